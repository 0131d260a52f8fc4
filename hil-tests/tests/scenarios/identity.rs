//! Who is who.

use std::collections::BTreeSet;

use hil_tests::hospital::{Hospital, Person};
use serde_json::Value;

use crate::House;

fn verified(patient: &Value) -> Vec<&str> {
    let own = |i: &&Value| i["system"] == "urn:oid:2.16.156.10011.1.3";
    patient["identifier"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(own)
        .filter_map(|i| i["value"].as_str())
        .collect()
}

fn conflicts(house: &House) -> Vec<String> {
    let listed = house.gateway.json(&["persons", "conflicts", "--reason", "test"]);
    listed["conflicts"].as_array().unwrap().iter().map(|c| c["doubt"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn one_person_is_found_again_by_resident_number_under_another_record_number() {
    let house = House::new();
    let mut hospital = Hospital::new("P", 1);
    let person = Person::numbered(1);
    let first = hospital.adt("A01", &person);
    let returning = Person { number: "M9999999".to_owned(), visit: "V9999999".to_owned(), ..person.clone() };
    let second = hospital.adt("A04", &returning);
    house.accept([&first, &second]);
    house.gateway.settled();
    let patients = house.at_platform("Patient");
    assert_eq!(patients.len(), 1);
    assert_eq!(verified(&patients[0]), [person.resident.as_str()]);
    assert_eq!(house.at_platform("Encounter").len(), 2);
    let found =
        house.gateway.json(&["persons", "find", "--resident-id", &person.resident, "--reason", "test"]);
    assert_eq!(found["persons"].as_array().unwrap().len(), 1);
}

#[test]
fn an_infant_on_the_mothers_number_and_a_borrowed_card_are_listed_and_never_linked() {
    let house = House::new();
    let mut hospital = Hospital::new("P", 1);
    let mother = Person { name: "王静".to_owned(), ..Person::numbered(1) };
    let infant = Person {
        number: "M2".into(),
        visit: "V2".into(),
        born: "20261101".into(),
        name: "王宝".into(),
        ..mother.clone()
    };
    let borrower =
        Person { number: "M3".into(), visit: "V3".into(), name: "李丽".into(), ..mother.clone() };
    for person in [&mother, &infant, &borrower] {
        assert_eq!(house.fate(&hospital.adt("A01", person)), "delivered");
    }
    let patients = house.at_platform("Patient");
    assert_eq!(patients.len(), 3);
    assert_eq!(patients.iter().map(|p| verified(p).len()).sum::<usize>(), 1);
    let mut doubts = conflicts(&house);
    doubts.sort();
    assert_eq!(doubts, ["birth-date", "name"]);
}

#[test]
fn a_number_with_a_wrong_check_digit_is_kept_and_links_nobody() {
    let house = House::new();
    let mut hospital = Hospital::new("P", 1);
    let mut wrong = Person::numbered(1);
    let last = if wrong.resident.ends_with('1') { "2" } else { "1" };
    wrong.resident.replace_range(17.., last);
    assert_eq!(house.fate(&hospital.adt("A01", &wrong)), "delivered");
    assert!(verified(&house.at_platform("Patient")[0]).is_empty());
    assert_eq!(conflicts(&house), ["malformed"]);
    let id =
        house.gateway.json(&["persons", "conflicts", "--reason", "test"])["conflicts"][0]["id"].to_string();
    assert!(
        house.gateway.cli(&["persons", "resolve", &id, "--accept", "--reason", "x"]).is_err(),
        "no check makes it right"
    );
    assert!(house.gateway.cli(&["persons", "resolve", &id, "--dismiss", "--reason", "typing error"]).is_ok());
    assert!(conflicts(&house).is_empty());
}

#[test]
fn the_same_filler_number_for_another_patient_the_next_day_never_makes_one_report() {
    let house = House::new();
    let mut hospital = Hospital::new("P", 1);
    let report = |hospital: &mut Hospital, person: &Person, day: &str| {
        let pid = person.pid();
        hospital.message(
            "ORU^R01",
            &format!("{pid}\rOBR|1||F77|X^Y^L|||{day}090000||||||||||||||||||F\rOBX|1|NM|A^a^L||1.0||||||F"),
        )
    };
    let first = report(&mut hospital, &Person::numbered(1), "20261101");
    let second = report(&mut hospital, &Person::numbered(2), "20261102");
    assert_eq!(house.fate(&first), "delivered");
    assert_eq!(house.fate(&second), "quarantined");
    assert_eq!(house.reason(&second.0), "id-conflict");
    assert_eq!(house.at_platform("DiagnosticReport").len(), 1);
    // It really is another order: somebody says so, and it goes as a report of its own.
    let quarantined = house.gateway.list(&["captures", "list", "--outcome", "quarantined"], "captures");
    let id = quarantined[0]["id"].as_str().unwrap().to_owned();
    assert!(house.gateway.cli(&["captures", "release", &id]).is_ok());
    house.gateway.settled();
    assert_eq!(house.gateway.fates(&second.0), ["delivered"]);
    assert_eq!(house.at_platform("DiagnosticReport").len(), 2);
    assert_eq!(house.at_platform("Patient").len(), 2);
    // A correction of the released one finds it again.
    let correction = report(&mut hospital, &Person::numbered(2), "20261102");
    assert_eq!(house.fate(&correction), "delivered");
    assert_eq!(house.at_platform("DiagnosticReport").len(), 2);
}

#[test]
fn an_old_update_replayed_after_a_newer_one_changes_nothing() {
    let house = House::new();
    let mut hospital = Hospital::new("P", 1);
    let old = hospital.adt("A08", &Person { name: "旧名".into(), ..Person::numbered(1) });
    let new = hospital.adt("A08", &Person { name: "新名".into(), ..Person::numbered(1) });
    assert_eq!(house.fate(&new), "delivered");
    assert_eq!(house.fate(&old), "superseded");
    assert_eq!(house.at_platform("Patient")[0]["name"][0]["text"], "新名");
    assert_eq!(house.platform.seen().back_in_time, 0);
}

#[test]
fn corrections_arrive_in_the_order_of_their_times_and_a_late_preliminary_is_superseded() {
    let house = House::new();
    let mut hospital = Hospital::new("P", 1);
    let person = Person::numbered(1);
    let preliminary = hospital.report(&person, "7", "P", 3);
    let last = hospital.report(&person, "7", "F", 3);
    let corrected = hospital.report(&person, "7", "C", 3);
    house.accept([&last, &corrected, &preliminary]);
    house.gateway.settled();
    assert_eq!(house.gateway.fates(&preliminary.0), ["superseded"]);
    assert_eq!(house.at_platform("DiagnosticReport")[0]["status"], "corrected");
    assert_eq!(house.at_platform("Observation").len(), 3);
    assert!(house.at_platform("Observation").iter().all(|o| o["status"] == "corrected"));
}

#[test]
fn two_registrations_that_look_like_one_person_are_listed_and_never_merged_by_guess() {
    let house = House::new();
    let mut hospital = Hospital::new("P", 1);
    let person = Person::numbered(1);
    let again =
        Person { number: "AGAIN".into(), visit: "AGAIN".into(), resident: String::new(), ..person.clone() };
    // The same name and birth date, and another verified ID number: two people.
    let other = Person { born: person.born.clone(), sex: person.sex, ..Person::numbered(9) };
    let other = Person {
        name: person.name.clone(),
        resident: hil_tests::hospital::resident_id(&person.born, person.sex, 77),
        ..other
    };
    for who in [&person, &other, &again, &again] {
        assert_eq!(house.fate(&hospital.adt("A04", who)), "delivered");
    }
    assert_eq!(house.at_platform("Patient").len(), 3);
    let listed = house.gateway.json(&["persons", "conflicts", "--reason", "test"]);
    let rows = listed["conflicts"].as_array().unwrap();
    assert!(
        rows.iter().all(|row| row["doubt"] == "possible-duplicate" && row["merged"] == false),
        "{listed}"
    );
    let pairs: BTreeSet<_> =
        rows.iter().map(|row| (row["person"].as_str(), row["held_by"].as_str())).collect();
    assert_eq!((rows.len(), pairs.len()), (2, 2), "said once for each pair: {listed}");
    // The source says that they are one: nothing is left to decide about the two.
    assert_eq!(house.fate(&hospital.merge("A40", &person, "AGAIN")), "delivered");
    let listed = house.gateway.json(&["persons", "conflicts", "--reason", "test"]);
    assert_eq!(listed["conflicts"].as_array().unwrap().len(), 1, "{listed}");
}
