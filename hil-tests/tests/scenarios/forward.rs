//! Another system in the hospital that is sent HL7 v2: captures as they came, or messages made from records.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use hil_tests::gateway::{Gateway, LIVE, Setup};
use hil_tests::hospital::{Hospital, Person};
use hil_tests::mllp::Sender;
use hil_tests::receiver::{Manner, Receiver};
use hl7::charset::Charset;
use rustix::process::Signal;
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_demo");

/// A gateway with one live feed and one receiving system.
struct Ward {
    receiver: Receiver,
    gateway: Gateway,
}

/// The section of a receiving system, with more lines.
fn ward(url: &str, lines: &str) -> String {
    format!(
        "[[destination]]\nname = \"ward\"\nmode = \"live\"\nprofile = \"hl7v2\"\nurl = \"{url}\"\nack_timeout = \"500ms\"\n{lines}\n"
    )
}

impl Ward {
    fn new(lines: &str) -> Self {
        let receiver = Receiver::start();
        let setup = Setup { destinations: ward(&receiver.url, lines), ..Setup::default() };
        let mut gateway = Gateway::new(PROGRAM, &setup);
        gateway.start();
        Self { receiver, gateway }
    }

    /// Another configuration of the receiving system, taken by a reload.
    fn reconfigure(&mut self, lines: &str) {
        let destinations = ward(&self.receiver.url, lines);
        self.gateway.configure(&Setup { destinations, ..Setup::default() });
        let before = self.gateway.log().matches("the configuration is in force").count();
        self.gateway.signal(Signal::HUP);
        self.gateway.wait_for("the reload", |gateway| {
            gateway.log().matches("the configuration is in force").count() > before
        });
    }

    fn accept<'m>(&self, messages: impl IntoIterator<Item = &'m (String, Vec<u8>)>) {
        let mut sender = Sender::connect(self.gateway.ports[0]).unwrap();
        for (id, bytes) in messages {
            let ack = sender.send(bytes).unwrap();
            assert_eq!((ack.code.as_str(), ack.control_id.as_str()), ("AA", id.as_str()), "{}", ack.text);
        }
    }

    fn destination(&self) -> Value {
        self.gateway.json(&["status"])["destinations"][0].clone()
    }

    fn deliveries(&self, state: &str) -> Vec<Value> {
        self.gateway.list(&["deliveries", "list", "--state", state], "deliveries")
    }

    /// Why the only delivery in this state ended so.
    fn reason(&self, state: &str) -> String {
        let all = self.deliveries(state);
        assert_eq!(all.len(), 1, "{all:?}");
        all[0]["reason"].as_str().unwrap().to_owned()
    }
}

const CAPTURES: &str = "content = \"captures\"\n";

fn owned(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

#[test]
fn captures_go_on_byte_for_byte_and_tests_and_duplicates_do_not() {
    let ward = Ward::new(CAPTURES);
    let person = Person { name: "张弢".to_owned(), ..Person::numbered(1) };
    let (mut utf8, mut gb) = (Hospital::new("U", 1), Hospital::new("G", 2).in_gb18030("GB 18030-2000"));
    let account = utf8.message("DFT^P03", &format!("{}\rFT1|1|1", person.pid()));
    let messages =
        [utf8.adt("A01", &person), gb.report(&person, "1", "F", 3), account, gb.adt("A03", &person)];
    ward.accept(&messages);
    ward.accept([&messages[0], &messages[2], &messages[2]]);
    let test = utf8.text("ADT^A08", "T1", "T", &person.pid());
    ward.accept(&[("T1".to_owned(), test.into_bytes())]);
    ward.gateway.settled();
    let taken: Vec<Vec<u8>> = ward.receiver.taken().into_iter().map(|taken| taken.bytes).collect();
    assert!(taken == messages.clone().map(|(_, bytes)| bytes), "{}", taken.len());
    assert_eq!(ward.gateway.fates(&messages[0].0), ["delivered", "duplicate"]);
    assert_eq!(
        ward.gateway.fates(&messages[2].0),
        ["duplicate", "duplicate", "not-interpreted"],
        "it went on though nobody here understands it, and once"
    );
    assert_eq!(ward.gateway.fates("T1"), ["test"]);
    let delivered = ward.deliveries("delivered");
    assert!(delivered.iter().all(|delivery| delivery["receipt"]["status"] == "AA"), "{delivered:?}");
    assert_eq!(ward.receiver.connections(), 1, "one connection, one message in flight on it");
}

#[test]
fn a_gb18030_receiver_gets_gb18030_and_a_character_that_cannot_be_written_is_told() {
    let mut ward = Ward::new("content = \"captures\"\ncharset = \"gb18030\"\n");
    let person = Person { name: "张弢".to_owned(), ..Person::numbered(1) };
    let message = Hospital::new("U", 1).adt("A08", &person);
    ward.accept([&message]);
    ward.gateway.settled();
    let taken = ward.receiver.taken().remove(0).bytes;
    let text = Charset::Gb18030.decode(&taken).unwrap().into_owned();
    assert!(core::str::from_utf8(&taken).is_err(), "it is not UTF-8 any more");
    let expected = String::from_utf8(message.1).unwrap().replace("UNICODE UTF-8", "GB 18030-2000");
    assert_eq!(text, expected);
    // Big5 has no simplified hanzi: nothing is replaced, somebody decides.
    ward.reconfigure("content = \"captures\"\ncharset = \"big5\"\n");
    let second = Hospital::new("V", 2).adt("A08", &person);
    ward.accept([&second]);
    ward.gateway.settled();
    assert_eq!(ward.reason("dead"), "not-in-big5");
    ward.reconfigure("content = \"captures\"\ncharset = \"utf-8\"\n");
    let dead = ward.deliveries("dead")[0]["id"].to_string();
    assert!(ward.gateway.cli(&["deliveries", "replay", &dead]).is_ok());
    ward.gateway.settled();
    assert_eq!(ward.receiver.taken()[1].bytes, second.1);
}

#[test]
fn an_acknowledgement_of_something_else_is_never_taken_for_this_one() {
    for manner in [Manner::WrongId, Manner::OneBehind] {
        let ward = Ward::new(CAPTURES);
        let mut hospital = Hospital::new("W", 1);
        let messages = [hospital.adt("A01", &Person::numbered(1)), hospital.adt("A01", &Person::numbered(2))];
        ward.receiver.be(manner.clone());
        ward.accept(&messages);
        ward.gateway.wait_for("it is tried again", |_| ward.destination()["retried"].as_i64() >= Some(2));
        assert!(ward.deliveries("delivered").is_empty(), "{manner:?}");
        let status = ward.destination();
        assert_eq!(status["last_failure"], "timeout", "{status}");
        if manner == Manner::WrongId {
            assert!(status["answers_unmatched"].as_i64() >= Some(2), "{status}");
        }
        // Each try was on a connection of its own: what is late finds nobody.
        let taken = ward.receiver.taken();
        assert!(taken.windows(2).all(|pair| pair[0].connection != pair[1].connection), "{taken:?}");
        ward.receiver.be(Manner::Good);
        ward.gateway.settled();
        assert_eq!(ward.deliveries("delivered").len(), 2);
    }
}

#[test]
fn an_acknowledgement_that_comes_twice_is_taken_once() {
    let ward = Ward::new(CAPTURES);
    ward.receiver.be(Manner::Twice);
    let mut hospital = Hospital::new("W", 1);
    let messages: Vec<_> = (0..5).map(|n| hospital.adt("A01", &Person::numbered(n))).collect();
    ward.accept(&messages);
    ward.gateway.settled();
    assert_eq!(ward.receiver.ids().len(), 5);
    assert_eq!(ward.receiver.taken().len(), 5, "nothing was sent again");
}

#[test]
fn a_receiver_that_never_answers_is_not_flooded() {
    let ward = Ward::new(CAPTURES);
    ward.receiver.be(Manner::Silent);
    let mut hospital = Hospital::new("S", 1);
    let messages: Vec<_> = (0..50).map(|n| hospital.adt("A01", &Person::numbered(n))).collect();
    let begun = std::time::Instant::now();
    ward.accept(&messages);
    ward.gateway.wait_for("it was tried three times", |_| ward.destination()["retried"].as_i64() >= Some(3));
    let (tries, elapsed) = (ward.receiver.taken().len(), begun.elapsed());
    // One try takes its half second at least, and only one is on its way.
    let most = elapsed.as_millis() as usize / 500 + 2;
    assert!(tries <= most, "{tries} tries in {elapsed:?}");
    assert_eq!(ward.receiver.connections(), tries, "each try ends with its connection closed");
    ward.receiver.be(Manner::Good);
    ward.gateway.settled();
    assert_eq!(ward.receiver.ids().len(), 50);
}

#[test]
fn a_receiver_that_cuts_after_taking_is_sent_the_same_message_again() {
    let ward = Ward::new("");
    ward.receiver.be(Manner::CutAfterTaking);
    let mut hospital = Hospital::new("C", 1);
    let person = Person::numbered(1);
    let messages = [hospital.adt("A01", &person), hospital.report(&person, "1", "F", 2)];
    ward.accept(&messages);
    ward.gateway.wait_for("it was taken twice", |_| ward.receiver.taken().len() >= 2);
    ward.receiver.be(Manner::Good);
    ward.gateway.settled();
    // Again and again the very same bytes, so that whoever has it knows it.
    let mut by_id: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for taken in ward.receiver.taken() {
        by_id.entry(taken.control_id).or_default().push(taken.bytes);
    }
    assert!(by_id.values().any(|all| all.len() >= 2));
    for (id, all) in &by_id {
        assert!(id.len() == 18 && all.iter().all(|bytes| *bytes == all[0]), "{id}");
    }
    assert_eq!(ward.deliveries("delivered").len(), 2);
}

/// The order of `messages` of each person is that in which they were taken; what came again in between is passed over.
fn in_order(messages: &[(String, Vec<u8>)], ids: &[String], persons: usize) {
    for person in 0..persons {
        let own = |id: &String| messages.iter().any(|(known, bytes)| known == id && holds(bytes, person));
        let sent: Vec<&String> = messages.iter().map(|(id, _)| id).filter(|id| own(id)).collect();
        let taken: Vec<&String> = ids.iter().filter(|id| own(id)).collect();
        assert_eq!(sent, taken, "person {person}");
    }
}

fn holds(bytes: &[u8], person: usize) -> bool {
    let number = format!("{}^^^HIS", Person::numbered(person).number);
    bytes.windows(number.len()).any(|window| window == number.as_bytes())
}

fn day(hospital: &mut Hospital, persons: usize) -> Vec<(String, Vec<u8>)> {
    let mut messages = Vec::new();
    for round in 0..4 {
        for n in 0..persons {
            let person = Person::numbered(n);
            messages.push(match round {
                0 => hospital.adt("A01", &person),
                1 => hospital.message("ORM^O01", &format!("{}\rORC|NW|{n}", person.pid())),
                2 => hospital.report(&person, &n.to_string(), "F", 2),
                _ => hospital.adt("A03", &person),
            });
        }
    }
    messages
}

#[test]
fn after_an_outage_each_persons_messages_come_in_their_order() {
    let ward = Ward::new("content = \"captures\"\nmax_in_flight = 8\n");
    let messages = day(&mut Hospital::new("O", 1), 10);
    let (before, during) = messages.split_at(15);
    ward.accept(before);
    ward.receiver.be(Manner::Down);
    ward.accept(during);
    ward.gateway.wait_for("the outage is noticed", |_| ward.destination()["last_failure"].is_string());
    ward.receiver.be(Manner::Good);
    ward.gateway.settled();
    assert_eq!(ward.receiver.ids().len(), messages.len());
    in_order(&messages, &ward.receiver.ids(), 10);
}

#[test]
fn killed_in_the_middle_it_loses_nothing_and_keeps_the_order() {
    let mut ward = Ward::new("content = \"captures\"\nmax_in_flight = 4\n");
    ward.receiver.be(Manner::Slow(Duration::from_millis(20)));
    let messages = day(&mut Hospital::new("K", 1), 10);
    ward.accept(&messages);
    for reached in [5, 15] {
        ward.gateway.wait_for("some are taken", |_| ward.receiver.ids().len() >= reached);
        ward.gateway.kill();
        ward.gateway.start();
    }
    ward.receiver.be(Manner::Good);
    ward.gateway.settled();
    assert_eq!(ward.receiver.ids().len(), messages.len());
    in_order(&messages, &ward.receiver.ids(), 10);
    let again = ward.receiver.taken().len() - messages.len();
    assert!(again <= 8, "only what was in flight when it was killed comes again: {again}");
}

#[test]
fn a_refusal_is_a_dead_letter_with_its_reason_and_an_error_is_tried_again() {
    let ward = Ward::new(CAPTURES);
    let mut hospital = Hospital::new("R", 1);
    let (refused, fine) =
        (hospital.adt("A01", &Person::numbered(1)), hospital.adt("A01", &Person::numbered(2)));
    ward.receiver.be(Manner::Says("AR", Some(203), "M0000001"));
    ward.accept([&refused, &fine]);
    ward.gateway.settled();
    assert_eq!(ward.reason("dead"), "AR-203");
    assert_eq!(ward.gateway.fates(&fine.0), ["delivered"], "others do not wait");
    ward.receiver.be(Manner::Says("AE", None, "M0000003"));
    let (not_now, behind) =
        (hospital.adt("A01", &Person::numbered(3)), hospital.adt("A08", &Person::numbered(3)));
    ward.accept([&not_now, &behind]);
    ward.gateway.wait_for("it was tried again", |_| {
        ward.receiver.taken().iter().filter(|taken| taken.control_id == not_now.0).count() >= 2
    });
    assert!(!ward.receiver.ids().contains(&behind.0), "what follows waits");
    ward.receiver.be(Manner::Good);
    let dead = ward.deliveries("dead")[0]["id"].to_string();
    assert!(ward.gateway.cli(&["deliveries", "replay", &dead]).is_ok());
    ward.gateway.settled();
    assert_eq!(ward.deliveries("delivered").len(), 4);
    assert_eq!(ward.receiver.ids().last(), Some(&behind.0).filter(|_| ward.receiver.ids().len() == 4));
}

#[test]
fn in_enhanced_mode_what_is_committed_is_never_sent_again() {
    let ward = Ward::new("ack = \"enhanced\"\nrecords = [\"person\"]\n");
    let mut hospital = Hospital::new("E", 1);
    let mut send = |manner: Manner, n: usize| {
        ward.receiver.be(manner);
        let before = ward.receiver.taken().len();
        ward.accept([
            &hospital.message("ADT^A28", &format!("EVN|A28|20261101\r{}", Person::numbered(n).pid()))
        ]);
        ward.gateway.settled();
        let taken = ward.receiver.taken();
        assert_eq!(taken.len(), before + 1);
        assert!(taken[before].bytes.windows(7).any(|w| w == b"|AL|AL|"));
    };
    send(Manner::Good, 1);
    send(Manner::OnlyCommits, 2);
    send(Manner::CommitsThenFails, 3);
    let reasons =
        || -> Vec<Value> { ward.deliveries("delivered").iter().map(|d| d["reason"].clone()).collect() };
    assert_eq!(reasons(), ["", "no-application-ack"]);
    assert_eq!(ward.reason("dead"), "AE");
    // Who never says AA is not waited for again and again.
    for n in 4..12 {
        send(Manner::OnlyCommits, n);
    }
    assert_eq!(reasons()[2..], ["no-application-ack"; 8]);
    assert!(ward.gateway.log().contains("leaves out the AA"), "{}", ward.gateway.log());
}

#[test]
fn what_waits_of_one_person_goes_in_one_batch_and_each_message_has_its_own_fate() {
    let ward = Ward::new("content = \"captures\"\nbatch = 10\n");
    let mut hospital = Hospital::new("B", 1);
    let person = Person::numbered(1);
    ward.receiver.be(Manner::Down);
    let messages: Vec<_> = ["A01", "A08", "A02", "A03"].map(|event| hospital.adt(event, &person)).into();
    ward.accept(&messages);
    ward.gateway.wait_for("the outage is noticed", |_| ward.destination()["last_failure"].is_string());
    ward.gateway.wait_for("all wait", |_| ward.deliveries("waiting").len() == 4);
    ward.receiver.be(Manner::Says("AR", None, "ADT^A02"));
    ward.gateway.settled();
    let taken = ward.receiver.taken();
    let ids: Vec<&String> = taken.iter().map(|taken| &taken.control_id).collect();
    assert_eq!(ids, messages.iter().map(|(id, _)| id).collect::<Vec<_>>());
    assert!(taken.iter().all(|one| one.frame == taken[0].frame), "{taken:?}");
    assert_eq!((ward.deliveries("delivered").len(), ward.reason("dead")), (3, "AR".to_owned()));
    assert_eq!(ward.gateway.fates(&messages[2].0), ["dead"]);
}

#[test]
fn records_are_understood_by_another_gateway_as_they_were_by_the_first() {
    let mut second = Gateway::new(PROGRAM, &Setup { feeds: &[("ward", FEED)], ..Setup::default() });
    second.start();
    let url = format!("mllp://127.0.0.1:{}", second.ports[0]);
    let mut first = Gateway::new(PROGRAM, &Setup { destinations: ward(&url, ""), ..Setup::default() });
    first.start();
    let mut hospital = Hospital::new("N", 1).in_gb18030("GB 18030-2000");
    let person = Person { name: "张弢".to_owned(), ..Person::numbered(1) };
    let mut sender = Sender::connect(first.ports[0]).unwrap();
    for message in
        [hospital.adt("A01", &person), hospital.report(&person, "1", "F", 12), hospital.adt("A03", &person)]
    {
        assert_eq!(sender.send(&message.1).unwrap().code, "AA");
    }
    first.settled();
    second.settled();
    let triggers: Vec<String> = second
        .captures()
        .iter()
        .map(|c| format!("{} {}", c["trigger"].as_str().unwrap(), c["outcome"].as_str().unwrap()))
        .collect();
    assert!(
        triggers.contains(&"ORU^R01 withheld".to_owned())
            && triggers.contains(&"ADT^A03 withheld".to_owned()),
        "{triggers:?}"
    );
    assert!(
        triggers.iter().all(|trigger| trigger.ends_with("withheld")),
        "nobody is behind it: {triggers:?}"
    );
    let find = ["persons", "find", "--resident-id", &person.resident, "--reason", "test"];
    let (there, here) = (second.json(&find), first.json(&find));
    let shown = |found: &Value| {
        let person = &found["persons"][0]["person"];
        (
            found["persons"][0]["matched"].clone(),
            person["name"]["family"].clone(),
            person["birth"][0].clone(),
            person["sex"].clone(),
        )
    };
    assert_eq!(shown(&there), shown(&here));
    assert_eq!(shown(&there).1, "张弢");
    // What would be sent now is shown to who has a reason, and to nobody else.
    let delivery = first.list(&["deliveries", "list"], "deliveries")[0]["id"].to_string();
    let show = first.json(&["deliveries", "show", &delivery, "--reason", "vendor call 4711"]);
    assert!(show["messages"].to_string().contains("ADT^A03^ADT_A03"), "{show}");
}

/// A feed that hears another gateway: its numbers are what the first one calls them.
const FEED: &str = "mode = \"live\"\nidentifiers = { \"NI\" = \"resident-id\", \"HC\" = \"health-code\" }\n";

#[test]
fn in_observe_mode_nothing_is_sent_and_all_of_it_is_shown() {
    let receiver = Receiver::start();
    let destinations = ward(&receiver.url, CAPTURES).replace("\"live\"", "\"observe\"");
    let mut gateway = Gateway::new(PROGRAM, &Setup { destinations, ..Setup::default() });
    gateway.start();
    let message = Hospital::new("O", 1).adt("A01", &Person::numbered(1));
    assert_eq!(Sender::connect(gateway.ports[0]).unwrap().send(&message.1).unwrap().code, "AA");
    gateway.settled();
    let withheld = gateway.list(&["deliveries", "list", "--state", "withheld"], "deliveries");
    assert_eq!((withheld.len(), &withheld[0]["reason"]), (1, &"destination-observe".into()));
    assert!(receiver.taken().is_empty() && receiver.connections() == 0);
}

#[test]
fn a_receiver_gets_only_what_the_feeds_bring_that_it_is_to_hear() {
    let receiver = Receiver::start();
    let destinations = ward(&receiver.url, "content = \"captures\"\nfeeds = [\"lis\"]\n");
    let mut gateway = Gateway::new(
        PROGRAM,
        &Setup { feeds: &[("his", LIVE), ("lis", LIVE)], destinations, ..Setup::default() },
    );
    gateway.start();
    let mut hospital = Hospital::new("F", 1);
    let (his, lis) =
        (hospital.adt("A01", &Person::numbered(1)), hospital.report(&Person::numbered(1), "1", "F", 1));
    for (port, message) in [(gateway.ports[0], &his), (gateway.ports[1], &lis)] {
        assert_eq!(Sender::connect(port).unwrap().send(&message.1).unwrap().code, "AA");
    }
    gateway.settled();
    assert_eq!(receiver.ids(), owned(&[lis.0.as_str()]));
    assert_eq!(gateway.fates(&his.0), ["withheld"]);
}

#[test]
fn a_message_that_forbids_every_answer_is_asked_to_be_answered() {
    let ward = Ward::new(CAPTURES);
    let pid = Person::numbered(1).pid();
    let text = format!(
        "MSH|^~\\&|SIM|H|GW|R|20261101||ADT^A08|N1|P|2.4|||NE|NE||UNICODE UTF-8\rEVN|A08|20261101\r{pid}\r"
    );
    let mut sender = Sender::connect(ward.gateway.ports[0]).unwrap();
    sender.raw(&hil_tests::mllp::framed(text.as_bytes())).unwrap();
    ward.gateway.wait_for("it came", |_| !ward.receiver.taken().is_empty());
    ward.gateway.settled();
    let taken = String::from_utf8(ward.receiver.taken().remove(0).bytes).unwrap();
    assert_eq!(taken, text.replace("|NE|NE|", "|AL|NE|"));
    assert_eq!(ward.gateway.fates("N1"), ["delivered"]);
}

#[test]
fn over_tls_the_receivers_certificate_must_come_from_its_authority() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, others) = (crate::tls::Authority::new("ours"), crate::tls::Authority::new("others"));
    ours.issue(dir.path(), "server", 90);
    std::fs::write(dir.path().join("ca.pem"), ours.pem()).unwrap();
    std::fs::write(dir.path().join("other.pem"), others.pem()).unwrap();
    let path = |name: &str| dir.path().join(name);
    let lines =
        format!("{FEED}tls = {{ certificate = {:?}, key = {:?} }}\n", path("server.pem"), path("server.key"));
    let mut second = Gateway::new(PROGRAM, &Setup { feeds: &[("ward", &lines)], ..Setup::default() });
    second.start();
    let url = format!("mllps://localhost:{}", second.ports[0]);
    let with = |ca: &Path| ward(&url, &format!("{CAPTURES}tls = {{ ca = {ca:?} }}\n"));
    let mut first =
        Gateway::new(PROGRAM, &Setup { destinations: with(&path("other.pem")), ..Setup::default() });
    first.start();
    let message = Hospital::new("L", 1).adt("A01", &Person::numbered(1));
    assert_eq!(Sender::connect(first.ports[0]).unwrap().send(&message.1).unwrap().code, "AA");
    first.wait_for("no connection", |gateway| {
        gateway.json(&["status"])["destinations"][0]["last_failure"] == "connect"
    });
    first.configure(&Setup { destinations: with(&path("ca.pem")), ..Setup::default() });
    first.signal(Signal::HUP);
    first.settled();
    second.settled();
    assert_eq!(second.fates(&message.0), ["withheld"]);
}
