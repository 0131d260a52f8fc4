//! A feed that is watched first, started late or run again: nothing is lost, and nothing goes that should not.

use std::cell::Cell;

use hil_tests::gateway::LIVE;
use hil_tests::hospital::{Hospital, Person};
use hil_tests::platform::Fault;

use crate::House;

const OBSERVED: &str = "identifiers = { \"MR\" = \"HIS\", \"NI\" = \"resident-id\" }\n";

/// A feed of a laboratory: it knows results, and people only by their numbers.
const LABORATORY: &str = "mode = \"live\"\nauthority = [\"result\"]\nidentifiers = { \"MR\" = \"HIS\", \"NI\" = \"resident-id\" }\n";

#[test]
fn a_feed_that_is_only_observed_changes_nothing_that_others_send() {
    let house = House::with_feeds(&[("his", LIVE), ("lis", OBSERVED)]);
    let (mut his, mut lis) = (Hospital::new("H", 1), Hospital::new("L", 2));
    let person = Person::numbered(1);
    house.platform.fault(Fault::Down);
    let admission = his.adt("A01", &person);
    house.accept([&admission]);
    // The observed feed knows another name and another number of the person.
    let stranger = Person { name: "别人".into(), ..person.clone() };
    let pid = stranger.pid_with(&format!("{}^^^HIS^MR~L77^^^LIS^PI", person.number));
    let observed = lis.message("ADT^A08", &format!("EVN|A08|20261130000000\r{pid}"));
    let mut door = hil_tests::mllp::Sender::connect(house.gateway.ports[1]).unwrap();
    assert_eq!(door.send(&observed.1).unwrap().code, "AA");
    house.gateway.wait_for("refine", |gateway| gateway.fates(&observed.0) == ["observed"]);
    house.platform.fault(Fault::None);
    house.gateway.settled();
    assert_eq!(house.gateway.fates(&admission.0), ["delivered"]);
    let patients = house.at_platform("Patient");
    assert_eq!((patients.len(), patients[0]["name"][0]["text"].as_str()), (1, Some(person.name.as_str())));
    assert_eq!(house.at_platform("Encounter").len(), 1);
    assert!(!patients[0].to_string().contains("L77"), "{}", patients[0]);
}

#[test]
fn what_was_only_observed_goes_when_it_is_sent_again_to_the_live_feed() {
    let mut house = House::with(OBSERVED);
    let mut hospital = Hospital::new("P", 1);
    let messages =
        [hospital.adt("A01", &Person::numbered(1)), hospital.report(&Person::numbered(1), "1", "F", 3)];
    messages.iter().for_each(|message| house.to_feed(0, message));
    assert!(house.at_platform("Patient").is_empty());
    house.reload(&[("his", LIVE)]);
    messages.iter().for_each(|message| house.to_feed(0, message));
    for (control_id, _) in &messages {
        assert_eq!(house.gateway.fates(control_id), ["duplicate", "delivered"]);
    }
    assert_eq!((house.at_platform("Patient").len(), house.at_platform("Observation").len()), (1, 3));
    // A third time it is only a duplicate.
    house.to_feed(0, &messages[0]);
    assert_eq!(house.gateway.fates(&messages[0].0), ["duplicate", "delivered", "duplicate"]);
}

#[test]
fn what_was_quarantined_goes_when_it_is_sent_again_after_the_feed_was_mended() {
    let mut house = House::with("mode = \"live\"\nauthority = [\"identity\", \"demographics\"]\n");
    let report = Hospital::new("P", 1).report(&Person::numbered(1), "1", "F", 2);
    house.to_feed(0, &report);
    assert_eq!(house.reason(&report.0), "no-authority");
    // As long as nothing is mended it ends the same way, once.
    house.to_feed(0, &report);
    assert_eq!(house.gateway.fates(&report.0), ["duplicate", "quarantined"]);
    house.reload(&[("his", LIVE)]);
    house.to_feed(0, &report);
    assert_eq!(house.gateway.fates(&report.0), ["duplicate", "duplicate", "delivered"]);
    assert_eq!(house.at_platform("Observation").len(), 2);
}

#[test]
fn a_registration_that_arrives_late_still_says_who_the_person_of_a_report_is() {
    let house = House::with_feeds(&[("his", LIVE), ("lis", LABORATORY)]);
    let (mut his, mut lis) = (Hospital::new("H", 1), Hospital::new("L", 2));
    let person = Person::numbered(1);
    let registration = his.adt("A04", &person);
    for _ in 0..10 {
        lis.time();
        lis.report(&person, "0", "F", 1);
    }
    house.to_feed(1, &lis.report(&person, "1", "F", 2));
    house.to_feed(0, &registration);
    assert_eq!(house.gateway.fates(&registration.0), ["delivered"]);
    let patient = &house.at_platform("Patient")[0];
    assert_eq!(patient["name"][0]["text"], person.name.as_str());
    assert_eq!(patient["birthDate"].as_str().map(|born| born.replace('-', "")), Some(person.born.clone()));
    // Later words of the laboratory's do not make an update in between an old one, and an older one stays old.
    let (older, newer) = (
        his.adt("A08", &Person { name: "较早".into(), ..person.clone() }),
        his.adt("A08", &Person { name: "较晚".into(), ..person.clone() }),
    );
    let known = format!("{}^^^HIS^MR~L9^^^LIS^PI", person.number);
    let numbered = lis.message(
        "ORU^R01",
        &format!(
            "{}\rOBR|1||F9|X^Y^L|||20261109||||||||||||||||||F\rOBX|1|NM|A^a^L||1||||||F",
            person.pid_with(&known)
        ),
    );
    house.to_feed(1, &numbered);
    house.to_feed(0, &newer);
    house.to_feed(0, &older);
    assert_eq!(house.gateway.fates(&older.0), ["superseded"]);
    let patient = &house.at_platform("Patient")[0];
    assert_eq!(patient["name"][0]["text"], "较晚");
    assert!(patient.to_string().contains("L9"));
}

#[test]
fn a_visit_whose_number_is_used_again_each_year_is_found_without_its_admission_time() {
    let house = House::with(&format!("{LIVE}numbers = {{ visit = \"year\" }}\n"));
    let mut hospital = Hospital::new("P", 1);
    let person = Person::numbered(1);
    let at = |hospital: &mut Hospital, event: &str, time: &str, start: &str| {
        let pv1 = format!("PV1|1|I|A^1^1||||||||||||||||{}^^^HIS{}{start}", person.visit, "|".repeat(25));
        hospital.message(&format!("ADT^{event}"), &format!("EVN|{event}|{time}\r{}\r{pv1}", person.pid()))
    };
    house.to_feed(0, &at(&mut hospital, "A01", "20251230080000", ""));
    house.to_feed(0, &at(&mut hospital, "A08", "20251231080000", "20251230080000"));
    // A stay over New Year: the number is still last year's.
    house.to_feed(0, &at(&mut hospital, "A03", "20260102080000", ""));
    let visits = house.at_platform("Encounter");
    assert_eq!(visits.len(), 1, "{visits:?}");
    assert_eq!(visits[0]["status"], "finished");
    // The same number the next year, with its own admission.
    house.to_feed(0, &at(&mut hospital, "A01", "20261101080000", "20261101080000"));
    assert_eq!(house.at_platform("Encounter").len(), 2);
}

#[test]
fn a_correction_that_comes_after_its_report_was_forgotten_leaves_the_other_results_in_it() {
    let mut house = House::new();
    let mut hospital = Hospital::new("P", 1);
    let person = Person::numbered(1);
    assert_eq!(house.fate(&hospital.report(&person, "1", "F", 5)), "delivered");
    forget(&mut house);
    // One result of five is corrected.
    assert_eq!(house.fate(&hospital.report(&person, "1", "C", 1)), "delivered");
    let report = &house.at_platform("DiagnosticReport")[0];
    assert_eq!(
        (report["status"].as_str(), report["result"].as_array().map(Vec::len)),
        (Some("corrected"), Some(5))
    );
    assert_eq!(house.at_platform("Observation").len(), 5);
    // Corrected once more: what stands at the platform is still whole.
    assert_eq!(house.fate(&hospital.report(&person, "1", "C", 2)), "delivered");
    assert_eq!(house.at_platform("DiagnosticReport")[0]["result"].as_array().map(Vec::len), Some(5));
}

#[test]
fn a_visit_that_was_forgotten_stays_over_when_its_data_are_updated() {
    let mut house = House::new();
    let mut hospital = Hospital::new("P", 1);
    let person = Person::numbered(1);
    let old = hospital.adt("A08", &person);
    assert_eq!(house.fate(&hospital.adt("A01", &person)), "delivered");
    assert_eq!(house.fate(&hospital.adt("A03", &person)), "delivered");
    forget(&mut house);
    assert_eq!(house.fate(&hospital.adt("A08", &person)), "delivered");
    assert_eq!(house.at_platform("Encounter")[0]["status"], "finished");
    // What is older than what was forgotten changes nothing.
    assert_eq!(house.fate(&old), "superseded");
    assert_eq!(house.platform.seen().back_in_time, 0);
}

/// Time passes until what was delivered is no longer held: its segment ends with the start, is closed, and goes a week later.
fn forget(house: &mut House) {
    house.gateway.stop();
    house.gateway.start();
    let weeks = Cell::new(0);
    house.gateway.wait_for("retention", |gateway| {
        weeks.set(weeks.get() + 1);
        // They have passed: nothing goes by a clock that was only set.
        let passed = weeks.get() * 7 * 86_400;
        gateway.time(passed, passed, true);
        gateway.captures().is_empty()
    });
}
