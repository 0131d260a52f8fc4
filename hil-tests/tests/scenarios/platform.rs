//! A platform that is down, slow, throttled, or refuses.

use std::time::Duration;

use hil_tests::account::account;
use hil_tests::gateway::Gateway;
use hil_tests::hospital::{Hospital, Person};
use hil_tests::platform::Fault;

use crate::{House, ids};

fn day(hospital: &mut Hospital, persons: usize) -> Vec<(String, Vec<u8>)> {
    let mut messages = Vec::new();
    for n in 0..persons {
        let person = Person::numbered(n);
        messages.push(hospital.adt("A01", &person));
        messages.push(hospital.report(&person, &n.to_string(), "F", 5));
        messages.push(hospital.adt("A08", &person));
    }
    messages
}

#[test]
fn an_outage_is_buffered_and_caught_up_in_order_without_a_duplicate() {
    let house = House::new();
    let messages = day(&mut Hospital::new("O", 1), 20);
    let (before, during) = messages.split_at(20);
    house.accept(before);
    house.platform.fault(Fault::Down);
    house.accept(during);
    house.gateway.wait_for("the outage is noticed", |gateway| {
        gateway.json(&["status"])["destinations"][0]["last_failure"].is_string()
    });
    house.platform.fault(Fault::None);
    house.gateway.settled();
    let sent = ids(&messages);
    let faults = account(&house.gateway).faults(&sent, &sent);
    assert!(faults.is_empty(), "{faults:?}");
    let seen = house.platform.seen();
    assert_eq!((seen.back_in_time, seen.same_position_other_content), (0, 0));
    for (url, body) in &seen.resources {
        assert!(render::fhir::position_of(body).is_some(), "{url} does not say its position");
    }
    assert_eq!(house.at_platform("Patient").len(), 20);
    assert_eq!(house.at_platform("Observation").len(), 100);
}

#[test]
fn a_connection_cut_after_applying_duplicates_nothing() {
    let house = House::new();
    house.platform.fault(Fault::CutAfterApplying);
    let messages = day(&mut Hospital::new("O", 1), 3);
    house.accept(&messages);
    house.gateway.wait_for("it was applied", |_| house.platform.seen().bundles > 0);
    house.platform.fault(Fault::None);
    house.gateway.settled();
    let seen = house.platform.seen();
    assert_eq!((seen.back_in_time, seen.same_position_other_content), (0, 0));
    assert_eq!((house.at_platform("Patient").len(), house.at_platform("Observation").len()), (3, 15));
}

#[test]
fn a_slow_platform_is_waited_for_and_slows_nobody_down_at_the_door() {
    let house = House::new();
    house.platform.fault(Fault::Slow(Duration::from_secs(2)));
    let messages = day(&mut Hospital::new("O", 1), 10);
    let begun = std::time::Instant::now();
    house.accept(&messages);
    assert!(begun.elapsed() < Duration::from_secs(2) * 30, "no acknowledgement waits for the platform");
    house.gateway.settled();
    let sent = ids(&messages);
    assert!(account(&house.gateway).faults(&sent, &sent).is_empty());
    assert_eq!(house.at_platform("Patient").len(), 10);
    let seen = house.platform.seen();
    assert_eq!((seen.back_in_time, seen.same_position_other_content), (0, 0));
    assert_eq!(house.gateway.json(&["status"])["destinations"][0]["last_failure"], serde_json::Value::Null);
}

#[test]
fn throttling_is_obeyed_and_nothing_is_lost() {
    let house = House::new();
    house.platform.fault(Fault::Status(429, Some(2)));
    let messages = day(&mut Hospital::new("O", 1), 10);
    house.accept(&messages);
    house.gateway.wait_for("the first refusal", |_| house.platform.seen().requests > 0);
    let first = house.platform.seen().requests;
    std::thread::sleep(Duration::from_millis(1500));
    let within = house.platform.seen().requests - first;
    assert!(within <= 64, "only what was in flight when the first answer came: {within}");
    house.platform.fault(Fault::Status(503, None));
    std::thread::sleep(Duration::from_millis(1500));
    house.platform.fault(Fault::None);
    house.gateway.settled();
    let sent = ids(&messages);
    assert!(account(&house.gateway).faults(&sent, &sent).is_empty());
}

#[test]
fn one_refused_result_leaves_its_report_partial_and_its_neighbours_alone() {
    let house = House::new();
    house.platform.fault(Fault::Refuse("SPOILT".to_owned()));
    let mut hospital = Hospital::new("O", 1);
    let pid = Person::numbered(1).pid();
    let spoilt = hospital.message("ORU^R01", &format!("{pid}\rOBR|1||F1|X^Y^L|||20261101||||||||||||||||||F\rOBX|1|NM|A^a^L||1.0||||||F\rOBX|2|ST|B^b^L||SPOILT||||||F\rOBX|3|NM|C^c^L||3.0||||||F"));
    let fine = hospital.report(&Person::numbered(2), "2", "F", 4);
    house.accept([&spoilt, &fine]);
    house.gateway.settled();
    assert_eq!(house.reason(&spoilt.0), "partial");
    assert_eq!(house.gateway.fates(&fine.0), ["delivered"]);
    let reports = house.at_platform("DiagnosticReport");
    let mut statuses: Vec<_> = reports.iter().map(|r| r["status"].as_str().unwrap()).collect();
    statuses.sort_unstable();
    assert!(statuses[1] == "partial", "{statuses:?}");
    let observations = house.at_platform("Observation");
    let reduced = observations.iter().find(|o| o["code"]["coding"][0]["code"] == "B").unwrap();
    assert_eq!(reduced["dataAbsentReason"]["coding"][0]["code"], "error");
    assert_eq!(observations.len(), 7);
}

#[test]
fn a_refused_person_holds_what_depends_on_it_until_a_replay() {
    let house = House::new();
    house.platform.fault(Fault::Refuse("\"Patient\"".to_owned()));
    let mut hospital = Hospital::new("O", 1);
    let (person, other) = (Person::numbered(1), Person::numbered(2));
    let admission = hospital.adt("A01", &person);
    let report = hospital.report(&person, "1", "F", 2);
    house.accept([&admission, &report]);
    house.gateway.wait_for("the dead letter", |gateway| gateway.fates(&admission.0) == ["dead"]);
    assert_eq!(house.gateway.fates(&report.0), ["waiting"]);
    let dead = house.gateway.list(&["deliveries", "list", "--state", "dead"], "deliveries");
    assert!(dead[0]["reason"].as_str().unwrap().starts_with("Patient:422"), "{dead:?}");
    house.platform.fault(Fault::None);
    assert_eq!(house.fate_of_other(&mut hospital, &other), "delivered", "others do not wait");
    assert!(house.gateway.cli(&["deliveries", "replay", &dead[0]["id"].to_string()]).is_ok());
    house.gateway.settled();
    assert_eq!(house.gateway.fates(&admission.0), ["delivered"]);
    assert_eq!(house.gateway.fates(&report.0), ["delivered"]);
    assert_eq!(house.at_platform("Patient").len(), 2);
}

#[test]
fn a_dead_letter_retried_after_its_followers_passed_never_goes_over_them() {
    let house = House::new();
    house.platform.fault(Fault::Refuse("SPOILT".to_owned()));
    let mut hospital = Hospital::new("O", 1);
    let person = Person::numbered(1);
    let first = hospital.adt("A01", &person);
    house.accept([&first]);
    house.gateway.settled();
    // The visit is refused, the person is not.
    let visit = |ward: &str, hospital: &mut Hospital| {
        let time = hospital.time();
        let pv1 = format!("PV1|1|I|{ward}^1^1||||||||||||||||V0000001^^^HIS");
        hospital.message("ADT^A08", &format!("EVN|A08|{time}\r{}\r{pv1}", person.pid()))
    };
    let spoilt = visit("SPOILT", &mut hospital);
    house.accept([&spoilt]);
    house.gateway.wait_for("the dead letter", |gateway| gateway.fates(&spoilt.0) == ["dead"]);
    let follower = visit("外科", &mut hospital);
    assert_eq!(house.fate(&follower), "delivered");
    house.platform.fault(Fault::None);
    let dead = house.gateway.list(&["deliveries", "list", "--state", "dead"], "deliveries");
    assert!(house.gateway.cli(&["deliveries", "replay", &dead[0]["id"].to_string()]).is_ok());
    house.gateway.settled();
    assert_eq!(house.gateway.fates(&spoilt.0), ["superseded"]);
    assert_eq!(house.platform.seen().back_in_time, 0);
    assert!(house.at_platform("Encounter")[0].to_string().contains("外科"));
}

impl House {
    fn fate_of_other(&self, hospital: &mut Hospital, other: &Person) -> String {
        let message = hospital.adt("A01", other);
        self.accept([&message]);
        self.gateway.wait_for("the other one", |gateway| {
            gateway.fates(&message.0).iter().all(|fate| fate != "waiting" && fate != "pending")
        });
        self.gateway.fates(&message.0).pop().unwrap()
    }
}

#[test]
fn a_lane_that_is_blocked_for_an_hour_is_alarmed_while_others_come_and_go() {
    let house = House::new();
    let mut hospital = Hospital::new("B", 1);
    house.platform.fault(Fault::Status(500, None));
    house.accept([&hospital.adt("A01", &Person::numbered(1))]);
    house.gateway.wait_for("it is tried in vain", |gateway| {
        gateway.json(&["status"])["destinations"][0]["last_failure"].is_string()
    });
    let blocked = |gateway: &Gateway| {
        let status = gateway.json(&["status"]);
        status["alarms"].as_array().unwrap().iter().any(|alarm| alarm["code"] == "lane-blocked")
    };
    assert!(!blocked(&house.gateway));
    house.gateway.clock_off(3600);
    let traffic = std::cell::RefCell::new((house.sender(), hospital));
    house.gateway.wait_for("the lane is alarmed", |gateway| {
        let (sender, hospital) = &mut *traffic.borrow_mut();
        let message = hospital.adt("A08", &Person::numbered(2));
        assert_eq!(sender.send(&message.1).unwrap().code, "AA");
        blocked(gateway)
    });
    house.platform.fault(Fault::None);
    house.gateway.settled();
    house.gateway.wait_for("the alarm goes with what was blocked", |gateway| !blocked(gateway));
}

#[test]
fn the_page_of_a_portal_in_between_is_no_answer_of_the_platform() {
    let house = House::new();
    let mut hospital = Hospital::new("P", 1);
    house.platform.fault(Fault::Portal);
    let admission = hospital.adt("A01", &Person::numbered(1));
    house.accept([&admission]);
    house.gateway.wait_for("the failure", |gateway| {
        gateway.json(&["status"])["destinations"][0]["last_failure"] == "no-fhir-answer"
    });
    assert_eq!(house.gateway.fates(&admission.0), ["waiting"]);
    house.platform.fault(Fault::None);
    house.gateway.settled();
    assert_eq!(house.gateway.fates(&admission.0), ["delivered"]);
    assert_eq!(house.at_platform("Encounter").len(), 1);
}
