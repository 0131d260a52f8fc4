//! What comes in on the wire, good and bad.

use std::time::Duration;

use hil_tests::gateway::{Gateway, LIVE};
use hil_tests::hospital::{Hospital, Person};
use hil_tests::mllp::{Sender, framed};
use hil_tests::receiver::{Manner, Receiver};
use hl7::charset::Charset;

use crate::House;

#[test]
fn admissions_and_reports_arrive_whole_from_utf8_and_gb18030_senders() {
    let house = House::new();
    let senders = [
        Hospital::new("U", 1),
        Hospital::new("G", 2).in_gb18030("GB 18030-2000"),
        Hospital::new("E", 3).in_gb18030(""),
    ];
    for (n, mut hospital) in senders.into_iter().enumerate() {
        let person = Person { name: "张弢".to_owned(), ..Person::numbered(n) };
        let messages = [hospital.adt("A01", &person), hospital.report(&person, &format!("R{n}"), "F", 12)];
        house.accept(&messages);
    }
    house.gateway.settled();
    let patients = house.at_platform("Patient");
    assert_eq!(patients.len(), 3);
    assert!(patients.iter().all(|patient| patient["name"][0]["text"] == "张弢"), "{patients:?}");
    assert_eq!(house.at_platform("Observation").len(), 36);
    assert_eq!(house.at_platform("DiagnosticReport").len(), 3);
    assert_eq!(house.at_platform("Encounter").len(), 3);
    let seen = house.platform.seen();
    assert_eq!((seen.back_in_time, seen.same_position_other_content), (0, 0));
}

#[test]
fn gbk_senders_whose_names_happen_to_be_utf8_keep_their_names() {
    let house = House::new();
    let mut hospital = Hospital::new("G", 1).in_gb18030("");
    for (n, name) in ["袁伟", "郑强"].into_iter().enumerate() {
        // Nothing else in the message is beyond ASCII: only the name tells.
        let pid = format!("PID|1||M{n}^^^HIS^MR||{name}");
        let message = hospital.message("ADT^A08", &format!("EVN|A08|20261101\r{pid}"));
        assert!(core::str::from_utf8(&message.1).is_ok());
        assert_eq!(house.fate(&message), "delivered");
    }
    let mut names: Vec<_> = house
        .at_platform("Patient")
        .iter()
        .map(|p| p["name"][0]["text"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["袁伟", "郑强"]);
}

#[test]
fn broken_framing_costs_nobody_else_a_message() {
    let house = House::new();
    let mut hospital = Hospital::new("F", 1);
    let person = Person::numbered(1);
    let mut good = || hospital.adt("A08", &person);
    let mut sender = house.sender();
    let (a, b, c, d, e) = (good(), good(), good(), good(), good());
    // Two in one write; FS without CR; FS LF; an aborted frame; an empty one; a log line.
    sender.raw(&[framed(&a.1), framed(&b.1)].concat()).unwrap();
    sender.raw(&[b"\x0b", c.1.as_slice(), b"\x1c"].concat()).unwrap();
    sender
        .raw(
            &[b"\x0b", d.1.as_slice(), b"\x1c\n", b"\x0bMSH|^~\\&|aborted", b"\x0b\x1c\r", b"log line\r\n"]
                .concat(),
        )
        .unwrap();
    sender.raw(&framed(&e.1)).unwrap();
    for message in [&a, &b, &c, &d, &e] {
        let ack = sender.ack().unwrap();
        assert_eq!((ack.code.as_str(), &ack.control_id), ("AA", &message.0));
    }
    house.gateway.settled();
    let feeds = house.gateway.json(&["feeds"]);
    let feed = &feeds["feeds"][0];
    assert_eq!((feed["broken"].as_i64(), feed["empty"].as_i64()), (Some(1), Some(1)));
    assert!(feed["peers"][0]["notes"].to_string().contains("FS LF instead of FS CR"), "{feed}");
    let quarantined = house.gateway.list(&["captures", "list", "--outcome", "quarantined"], "captures");
    let reasons: Vec<_> = quarantined.iter().map(|c| c["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["broken-frame", "junk"]);
}

#[test]
fn refusals_say_what_is_wrong_where_and_what_to_do() {
    let house = House::new();
    let mut sender = house.sender();
    for (payload, code, says) in [
        (&b"hello"[..], "AR", "not HL7"),
        (b"MSH|^~\\&|A|B|||20261101||ADT^A01||P|2.4\rPID|1", "AR", "MSH-10"),
        (b"MSH||A", "AR", "MSH-2"),
        (b"\xff\xfeM\0S\0H\0|\0", "AR", "UTF-16"),
    ] {
        let ack = sender.send(payload).unwrap();
        assert_eq!(ack.code, code);
        assert!(ack.text.contains(says) && ack.text.contains("\rERR|"), "{}", ack.text);
    }
}

#[test]
fn a_batch_is_taken_message_by_message_and_one_that_was_cut_off_says_so() {
    let house = House::new();
    let mut hospital = Hospital::new("B", 1);
    let messages =
        [hospital.adt("A01", &Person::numbered(1)), hospital.report(&Person::numbered(2), "1", "F", 3)];
    let mut batch = b"FHS|^~\\&|A\rBHS|^~\\&|A|||||||||B1\r".to_vec();
    for (_, bytes) in &messages {
        batch.extend_from_slice(bytes);
    }
    let mut sender = house.sender();
    let cut = sender.send(&batch).unwrap();
    assert!(cut.text.contains("may have been cut off"), "{}", cut.text);
    batch.extend_from_slice(b"BTS|2\rFTS|1\r");
    let whole = sender.send(&batch).unwrap();
    assert_eq!(whole.text.matches("MSA|AA|").count(), 2);
    assert!(whole.text.contains("BTS|2\r") && whole.text.contains("FTS|1\r"), "{}", whole.text);
    house.gateway.settled();
    for (id, _) in &messages {
        assert_eq!(house.gateway.fates(id), ["delivered", "duplicate"]);
    }
    assert!(sender.send(b"FHS|^~\\&|A").unwrap().text.contains("may have been cut off"));
}

#[test]
fn a_sender_in_enhanced_mode_hears_twice_that_it_is_stored_and_whether_it_was_understood() {
    let house = House::new();
    let mut sender = house.sender();
    let pid = Person::numbered(1).pid();
    let send = |sender: &mut Sender, id: &str, charset: &str| {
        let text = format!(
            "MSH|^~\\&|SIM|H|GW|R|20261101||ADT^A08|{id}|P|2.4|||AL|AL||{charset}\rEVN|A08|20261101\r{pid}\r"
        );
        let first = sender.send(text.as_bytes()).unwrap();
        let second = sender.ack().unwrap();
        assert_eq!((first.control_id.as_str(), second.control_id.as_str()), (id, id));
        (first.code, second.code, second.text)
    };
    let (stored, understood, _) = send(&mut sender, "E1", "UNICODE UTF-8");
    assert_eq!((stored.as_str(), understood.as_str()), ("CA", "AA"));
    let (stored, understood, why) = send(&mut sender, "E2", "KLINGON");
    assert_eq!((stored.as_str(), understood.as_str()), ("CA", "AE"));
    assert!(why.contains("unknown-charset") && why.contains("MSH-18"), "{why}");
    assert_eq!(house.gateway.fates("E2"), ["quarantined"]);
}

#[test]
fn what_cannot_be_decoded_is_kept_and_released_by_a_replay_after_the_feed_is_mended() {
    let mut house = House::new();
    let mut hospital = Hospital::new("C", 1);
    hospital.declared = "KLINGON";
    let unknown = hospital.adt("A08", &Person::numbered(1));
    assert_eq!(house.fate(&unknown), "quarantined");
    assert_eq!(house.reason(&unknown.0), "unknown-charset");
    // A Big5 sender on a feed that nobody told about it; these bytes are neither UTF-8 nor GB18030.
    hospital.declared = "";
    let mut big5 = hospital.message("ADT^A08", "EVN|A08|20261101\rPID|1||M9^^^HIS^MR||?");
    let at = big5.1.iter().rposition(|b| *b == b'?').unwrap();
    big5.1.splice(at..=at, Charset::Big5.encode("許功蓋").into_iter().chain([0xff, 0xff]));
    assert_eq!(house.fate(&big5), "quarantined");
    assert_eq!(house.reason(&big5.0), "undecodable");
    // Nothing of it is lost: it is shown to who has a reason, and the reason is in the audit.
    let id = house.gateway.captures().iter().find(|c| c["control_id"] == big5.0).unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(house.gateway.cli(&["captures", "show", &id]).is_err(), "a reason is needed");
    let shown = house.gateway.json(&["captures", "show", &id, "--reason", "vendor call 4711"]);
    assert!(shown["text"].as_str().unwrap().contains("M9"));
    let audit = house.gateway.cli(&["audit", "list", "--reason", "test"]).unwrap();
    assert!(audit.contains("vendor call 4711"), "{audit}");
    assert!(house.gateway.cli(&["audit", "verify"]).is_ok());
    house.gateway.stop();
}

#[test]
fn a_frame_of_17_mib_is_refused_and_the_next_message_is_taken() {
    let house = House::new();
    let mut sender = house.sender();
    let mut large = b"MSH|^~\\&|A|B|||20261101||ORU^R01|BIG|P|2.4\rOBX|1|ED|".to_vec();
    large.resize(17 << 20, b'x');
    let ack = sender.send(&large).unwrap();
    assert_eq!((ack.code.as_str(), ack.control_id.as_str()), ("AR", "BIG"));
    assert!(ack.text.contains("max_message"), "{}", ack.text);
    let next = Hospital::new("N", 1).adt("A08", &Person::numbered(1));
    assert_eq!(sender.send(&next.1).unwrap().code, "AA");
    // Just below the limit it is taken, in parts.
    large.truncate((16 << 20) - 1);
    assert_eq!(sender.send(&large).unwrap().code, "AA");
}

#[test]
fn a_sender_that_drips_is_closed_and_what_it_sent_is_kept_as_broken() {
    let house = House::with(&format!("{LIVE}frame_timeout = \"1s\"\n"));
    let mut sender = house.sender();
    sender.raw(b"\x0bMSH|^~\\&|SLOW").unwrap();
    assert!(sender.ack().is_err(), "the connection is closed");
    house.gateway.wait_for("the broken frame", |gateway| {
        gateway.captures().iter().any(|capture| capture["reason"] == "broken-frame")
    });
    let feeds = house.gateway.json(&["feeds"]);
    assert_eq!(feeds["feeds"][0]["timeouts"], 1);
}

#[test]
fn idle_connections_beyond_the_cap_are_closed_and_others_are_served() {
    let house = House::with(&format!("{LIVE}max_connections = 50\n"));
    let idle: Vec<Sender> = (0..50).map(|_| house.sender()).collect();
    house.gateway.wait_for("all are connected", |g| g.json(&["feeds"])["feeds"][0]["connections"] == 50);
    for _ in 0..9950 {
        let mut beyond = house.sender();
        beyond.patience(Duration::from_secs(10));
        assert!(beyond.ack().is_err());
    }
    let refused = house.gateway.json(&["feeds"])["feeds"][0]["refused"]["too-many-connections"].as_i64();
    assert_eq!(refused, Some(9950));
    let mut one = idle.into_iter().next().unwrap();
    let message = Hospital::new("I", 1).adt("A08", &Person::numbered(1));
    assert_eq!(one.send(&message.1).unwrap().code, "AA");
}

#[test]
fn the_same_message_twice_has_one_effect_and_the_same_number_with_other_content_is_another_message() {
    let house = House::new();
    let mut hospital = Hospital::new("D", 1);
    let person = Person::numbered(1);
    let message = hospital.adt("A08", &person);
    assert_eq!(house.fate(&message), "delivered");
    assert_eq!(house.fate(&message), "duplicate");
    let text = hospital.text(
        "ADT^A08",
        &message.0,
        "P",
        &format!("EVN|A08|{}\r{}", hospital.time(), Person::numbered(2).pid()),
    );
    assert_eq!(house.fate(&(message.0.clone(), text.into_bytes())), "delivered");
    assert_eq!(house.at_platform("Patient").len(), 2);
}

#[test]
fn training_messages_never_leave_and_unknown_kinds_are_kept() {
    let house = House::new();
    let mut hospital = Hospital::new("T", 1);
    let text = hospital.text("ADT^A01", "T1", "T", &Person::numbered(1).pid());
    assert_eq!(house.fate(&("T1".to_owned(), text.into_bytes())), "test");
    let account = hospital.message("DFT^P03", &Person::numbered(1).pid());
    assert_eq!(house.fate(&account), "not-interpreted");
    assert_eq!(house.platform.seen().entries, 0);
}

#[test]
fn a_result_without_a_value_and_one_below_its_limit_say_so() {
    let house = House::new();
    let mut hospital = Hospital::new("V", 1);
    let pid = Person::numbered(1).pid();
    let message = hospital.message(
        "ORU^R01",
        &format!(
            "{pid}\rOBR|1|P1|F1|X^Y^L|||20261101\rOBX|1|NM|A^a^L||||||||F\rOBX|2|NM|B^b^L||<0.01|ng/mL|||||F"
        ),
    );
    assert_eq!(house.fate(&message), "delivered");
    let observations = house.at_platform("Observation");
    let of = |code: &str| observations.iter().find(|o| o["code"]["coding"][0]["code"] == code).unwrap();
    assert_eq!(of("A")["dataAbsentReason"]["coding"][0]["code"], "unknown");
    assert_eq!(
        (&of("B")["valueQuantity"]["comparator"], of("B")["valueQuantity"]["value"].to_string().as_str()),
        (&serde_json::json!("<"), "0.01")
    );
}

#[test]
fn numbered_messages_go_on_where_they_stood_after_the_gateway_was_killed() {
    let mut house = House::with(&format!("{LIVE}sequence = \"on\"\n"));
    let pid = Person::numbered(1).pid();
    let message = |id: &str, number: &str| {
        format!(
            "MSH|^~\\&|SIM|H|GW|R|20261101||ADT^A08|{id}|P|2.4|{number}|||||UNICODE UTF-8\rEVN|A08|20261101\r{pid}\r"
        )
    };
    let send = |sender: &mut Sender, id: &str, number: &str| {
        let ack = sender.send(message(id, number).as_bytes()).unwrap();
        let msa = ack.text.split('\r').find(|line| line.starts_with("MSA")).unwrap();
        (ack.code, msa.split('|').nth(4).unwrap_or_default().to_owned(), msa.to_owned())
    };
    let told = |told: (String, String, String)| (told.0, told.1);
    let of = |code: &str, number: &str| (code.to_owned(), number.to_owned());
    let mut sender = house.sender();
    assert_eq!(told(send(&mut sender, "S1", "7")), of("AA", "7"));
    assert_eq!(told(send(&mut sender, "S2", "8")), of("AA", "8"));
    house.gateway.kill();
    house.gateway.start();
    let mut sender = house.sender();
    let (code, expected, why) = send(&mut sender, "S4", "10");
    assert_eq!((code.as_str(), expected.as_str()), ("AE", "9"));
    assert!(why.contains("9 is expected"), "{why}");
    let question = b"MSH|^~\\&|SIM|H|GW|R|20261101||ADT^A08|Q|P|2.4|0\r";
    let ack = sender.send(question).unwrap();
    assert!(ack.text.contains("MSA|AA|Q||9\r"), "{}", ack.text);
    assert_eq!(told(send(&mut sender, "S3", "9")), of("AA", "9"));
    let resync = b"MSH|^~\\&|SIM|H|GW|R|20261101||ADT^A08|R|P|2.4|-1\r";
    assert!(sender.send(resync).unwrap().text.contains("MSA|AA|R||-1\r"));
    house.gateway.kill();
    house.gateway.start();
    assert_eq!(told(send(&mut house.sender(), "S9", "100")), of("AA", "100"));
    house.gateway.settled();
    assert_eq!(house.gateway.fates("S4"), [""; 0], "what was refused is not kept");
    assert_eq!(house.gateway.fates("R"), ["not-interpreted"]);
    let feeds = house.gateway.json(&["feeds"]);
    assert_eq!(feeds["feeds"][0]["sequence"]["expected"], 101, "{feeds}");
}

#[test]
fn the_table_of_peers_shows_who_is_connected_since_when_and_what_is_odd_about_them() {
    let house = House::with(&format!("{LIVE}max_connections_per_peer = 1\n"));
    let mut sender = house.sender();
    let mut hospital = Hospital::new("P", 1);
    for _ in 0..3 {
        let message = hospital.adt("A08", &Person::numbered(1));
        sender.raw(&[b"\x0b", message.1.as_slice(), b"\x1c\n"].concat()).unwrap();
        assert_eq!(sender.ack().unwrap().code, "AA");
    }
    assert!(house.sender().ack().is_err());
    let feeds = house.gateway.json(&["feeds"]);
    let (feed, peer) = (&feeds["feeds"][0], &feeds["feeds"][0]["peers"][0]);
    assert_eq!((&peer["connections"], &peer["messages"]), (&1.into(), &3.into()));
    assert!(peer["since"].is_string() && peer["last"].is_string(), "{peer}");
    assert_eq!(feed["refused"]["too-many-connections-of-peer"], 1);
    let shown = house.gateway.cli(&["feeds"]).unwrap();
    for says in
        ["127.0.0.1", "3 frames ended in FS LF instead of FS CR, accepted", "max_connections_per_peer"]
    {
        assert!(shown.contains(says), "{says}: {shown}");
    }
    assert!(house.gateway.log().contains("(max_connections_per_peer = 1)"), "{}", house.gateway.log());
}

#[test]
fn second_answers_of_enhanced_mode_go_to_the_return_address() {
    let returns = Receiver::start();
    returns.be(Manner::Silent);
    let house = House::with(&format!("{LIVE}ack_to = \"{}\"\n", returns.url));
    let mut sender = house.sender();
    let pid = Person::numbered(1).pid();
    for (id, charset) in [("E1", "UNICODE UTF-8"), ("E2", "KLINGON"), ("E3", "UNICODE UTF-8")] {
        let text = format!(
            "MSH|^~\\&|SIM|H|GW|R|20261101||ADT^A08|{id}|P|2.4|||AL|AL||{charset}\rEVN|A08|20261101\r{pid}\r"
        );
        let ack = sender.send(text.as_bytes()).unwrap();
        assert_eq!((ack.code.as_str(), ack.control_id.as_str()), ("CA", id));
    }
    let feed = |gateway: &Gateway| gateway.json(&["feeds"])["feeds"][0].clone();
    house.gateway.wait_for("all are told", |gateway| feed(gateway)["ack_to"]["told"] == 3);
    let told: Vec<String> = returns
        .taken()
        .iter()
        .map(|taken| {
            let text = String::from_utf8_lossy(&taken.bytes).into_owned();
            let msa = text.split('\r').find(|line| line.starts_with("MSA")).unwrap().to_owned();
            msa.split('|').skip(1).take(2).collect::<Vec<_>>().join(" ")
        })
        .collect();
    assert_eq!(told, ["AA E1", "AE E2", "AA E3"]);
    assert_eq!(returns.connections(), 1, "over one connection");
    assert_eq!(feed(&house.gateway)["ack_to"]["untold"], 0);
    let shown = house.gateway.cli(&["feeds"]).unwrap();
    assert!(shown.contains("3 acknowledgements told at mllp://"), "{shown}");
}
