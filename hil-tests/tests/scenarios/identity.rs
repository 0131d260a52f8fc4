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

/// A feed that knows more kinds of numbers.
fn with_documents() -> House {
    let live = "mode = \"live\"\ndummy = [\"999999\"]\nidentifiers = { \"MR\" = \"HIS\", \"NI\" = \"resident-id\", \"PPN\" = \"passport\", \"TXZ\" = \"hk-macau-permit\", \"TMP\" = \"temporary\", \"19\" = \"mother\" }\n";
    House::with(live)
}

/// A registration with these numbers in PID-3, a name, a birth date, a sex, and more of PID from PID-9 on.
fn registration(
    hospital: &mut Hospital,
    event: &str,
    who: (&str, &str, &str, &str),
    visit: &str,
    more: &str,
) -> (String, Vec<u8>) {
    let (numbers, name, born, sex) = who;
    let time = hospital.time();
    let segments = format!(
        "EVN|{event}|{time}\rPID|1||{numbers}||{name}||{born}|{sex}|{more}\rPV1|1|E|||||||||||||||||{visit}^^^HIS"
    );
    hospital.message(&format!("ADT^{event}"), &segments)
}

fn patients_named(house: &House, name: &str) -> Vec<Value> {
    house.at_platform("Patient").into_iter().filter(|p| p["name"][0]["text"] == name).collect()
}

#[test]
fn a_permit_links_with_and_without_its_count_of_issues_and_a_passport_only_within_its_country() {
    let house = with_documents();
    let mut hospital = Hospital::new("F", 1);
    let mut send = |numbers: &str, name: &str, visit: &str| {
        let message = registration(&mut hospital, "A04", (numbers, name, "19800101", "M"), visit, "");
        assert_eq!(house.fate(&message), "delivered");
    };
    send("A1^^^HIS^MR~H1234567801^^^^TXZ", "陈大文", "V1");
    send("A2^^^HIS^MR~h12345678^^^^TXZ", "陈大文", "V2");
    send("A3^^^HIS^MR~H1234567802^^^^TXZ", "陈大文", "V3");
    assert_eq!(patients_named(&house, "陈大文").len(), 1);
    // Borrowed: another name. It is listed and links nobody.
    send("A4^^^HIS^MR~H1234567803^^^^TXZ", "黄小明", "V4");
    send("B1^^^HIS^MR~E12345678^^^^PPN^^^^FRA", "Anne Martin", "V5");
    send("B2^^^HIS^MR~E12345678^^^^PPN^^^^DEU", "Anne Martin", "V6");
    assert_eq!(house.at_platform("Patient").len(), 4);
    assert_eq!(conflicts(&house), ["name"]);
    let anne = &patients_named(&house, "Anne Martin")[0];
    assert!(
        anne["identifier"].as_array().unwrap().iter().any(|i| i["type"]["coding"][0]["code"] == "PPN"),
        "{anne}"
    );
}

#[test]
fn a_newborn_is_never_the_mother_whatever_number_it_comes_with_and_twins_are_two() {
    let house = with_documents();
    let mut hospital = Hospital::new("N", 1);
    let mother = Person { name: "王静".into(), sex: "F", born: "19900101".into(), ..Person::numbered(1) };
    let mother = Person { resident: hil_tests::hospital::resident_id(&mother.born, "F", 5), ..mother };
    assert_eq!(house.fate(&hospital.adt("A01", &mother)), "delivered");
    let number = format!("{}^^^HIS^MR", mother.number);
    // On the mother's record number, told apart by PID-25.
    for (order, visit) in [("1", "VN1"), ("2", "VN2"), ("1", "VN1")] {
        let more = format!("||||||||||||{number}||||{order}");
        let who = (number.as_str(), "王静之子", "20261101", "M");
        assert_eq!(house.fate(&registration(&mut hospital, "A01", who, visit, &more)), "delivered");
    }
    // With a number of its own, the mother's marked as hers.
    let numbers = format!("N3^^^HIS^MR~{}^^^^19", mother.resident);
    let who = (numbers.as_str(), "王静之女", "20261101", "F");
    assert_eq!(house.fate(&registration(&mut hospital, "A01", who, "VN3", "")), "delivered");
    let patients = house.at_platform("Patient");
    assert_eq!(patients.len(), 4, "{patients:#?}");
    assert_eq!(patients_named(&house, "王静")[0]["birthDate"], "1990-01-01");
    assert!(patients.iter().all(|patient| patient["link"].is_null()));
    assert_eq!(patients.iter().map(|p| verified(p).len()).sum::<usize>(), 1, "the number stays the mother's");
    let mothers = house.at_platform("RelatedPerson");
    assert_eq!(mothers.len(), 3);
    assert!(mothers.iter().all(|mother| mother["relationship"][0]["coding"][0]["code"] == "MTH"));
    let doubts: BTreeSet<String> = conflicts(&house).into_iter().collect();
    assert_eq!(doubts, BTreeSet::from(["newborn".to_owned()]), "twins are no duplicates");
}

#[test]
fn unknown_patients_are_never_one_and_who_is_identified_gets_everything_of_the_visit() {
    let house = with_documents();
    let mut hospital = Hospital::new("K", 1);
    let unknown = |number: &'static str| (number, "无名氏", "19500101", "M");
    for visit in ["E1", "E2"] {
        for _ in 0..2 {
            let message = registration(&mut hospital, "A04", unknown("999999^^^HIS^MR"), visit, "");
            assert_eq!(house.fate(&message), "delivered");
        }
    }
    // A number for the time being, used for two: each visit is somebody.
    for visit in ["E3", "E4"] {
        let message = registration(&mut hospital, "A04", unknown("T1^^^HIS^TMP"), visit, "");
        assert_eq!(house.fate(&message), "delivered");
    }
    assert_eq!(house.at_platform("Patient").len(), 4);
    assert!(conflicts(&house).is_empty(), "nobody looks like another one");
    let pid = "PID|1||999999^^^HIS^MR||无名氏||19500101|M";
    let report = hospital.message(
        "ORU^R01",
        &format!("{pid}\rPV1|1|E|||||||||||||||||E1^^^HIS\rOBR|1||F1|X^Y^L|||20261101090000||||||||||||||||||F\rOBX|1|NM|A^a^L||1.0||||||F"),
    );
    assert_eq!(house.fate(&report), "delivered");

    // The police found out who he is.
    let known = Person { visit: "E1".into(), sex: "M", ..Person::numbered(3) };
    let known = Person { resident: hil_tests::hospital::resident_id(&known.born, "M", 3), ..known };
    assert_eq!(house.fate(&hospital.adt("A08", &known)), "delivered");
    let identified = patients_named(&house, &known.name);
    assert_eq!(identified.len(), 1);
    let reference = format!("Patient/{}", identified[0]["id"].as_str().unwrap());
    assert_eq!(house.at_platform("DiagnosticReport")[0]["subject"]["reference"], reference);
    assert_eq!(verified(&identified[0]), [known.resident.as_str()]);
    let inactive = house.at_platform("Patient").iter().filter(|p| p["active"] == false).count();
    assert_eq!(inactive, 1, "the other unknown patients stay who they are");
    // What the laboratory still sends under the dummy number is his.
    let late = hospital.message(
        "ORU^R01",
        &format!("{pid}\rPV1|1|E|||||||||||||||||E1^^^HIS\rOBR|1||F2|X^Y^L|||20261101100000||||||||||||||||||F\rOBX|1|NM|A^a^L||2.0||||||F"),
    );
    assert_eq!(house.fate(&late), "delivered");
    assert!(
        house.at_platform("DiagnosticReport").iter().all(|r| r["subject"]["reference"] == reference.as_str())
    );
    // Somebody else's number on the same visit is no second identification.
    let other = Person { visit: "E1".into(), ..Person::numbered(9) };
    assert_eq!(house.fate(&hospital.adt("A08", &other)), "quarantined");
    assert_eq!(
        (house.platform.seen().back_in_time, house.platform.seen().same_position_other_content),
        (0, 0)
    );
}

#[test]
fn a_number_that_has_ended_links_nobody_and_the_next_holder_is_another_person() {
    let house = with_documents();
    let mut hospital = Hospital::new("E", 1);
    let first = ("W7^^^HIS^MR^^20200101^20251231~A1^^^HIS2", "张一", "19700101", "M");
    let again = ("W7^^^HIS^MR^^20260101", "李二", "19800202", "F");
    assert_eq!(house.fate(&registration(&mut hospital, "A04", first, "V1", "")), "delivered");
    assert_eq!(house.fate(&registration(&mut hospital, "A04", again, "V2", "")), "delivered");
    assert_eq!(house.fate(&registration(&mut hospital, "A08", again, "V2", "")), "delivered");
    assert_eq!(house.at_platform("Patient").len(), 2);
    let second = &patients_named(&house, "李二")[0];
    assert_eq!(second["identifier"][0]["period"], serde_json::json!({ "start": "2026-01-01" }));
    assert!(conflicts(&house).is_empty());
}

#[test]
fn a_number_of_fifteen_digits_is_the_same_as_its_eighteen() {
    let house = House::new();
    let mut hospital = Hospital::new("O", 1);
    let person = Person {
        born: "19491231".into(),
        sex: "F",
        resident: "11010519491231002X".into(),
        ..Person::numbered(1)
    };
    let old = Person {
        number: "M77".into(),
        visit: "V77".into(),
        resident: "110105491231002".into(),
        ..person.clone()
    };
    for who in [&person, &old] {
        assert_eq!(house.fate(&hospital.adt("A04", who)), "delivered");
    }
    assert_eq!(house.at_platform("Patient").len(), 1);
}
