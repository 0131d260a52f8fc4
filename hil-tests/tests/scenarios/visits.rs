//! The life of a visit, and of what a source says about a person.

use hil_tests::hospital::{Hospital, Person};
use serde_json::Value;

use crate::House;

/// The only visit at the platform.
fn visit(house: &House) -> Value {
    let mut visits = house.at_platform("Encounter");
    assert_eq!(visits.len(), 1);
    visits.pop().unwrap()
}

fn wards(visit: &Value) -> Vec<&str> {
    let places = visit["location"].as_array().into_iter().flatten();
    places.map(|place| place["location"]["display"].as_str().unwrap().split(' ').next().unwrap()).collect()
}

#[test]
fn a_visit_goes_through_its_whole_life_and_keeps_its_history() {
    let house = House::new();
    let mut hospital = Hospital::new("V", 1);
    let person = Person::numbered(1);
    let mut step = |event: &str, ward: &str, class: &str| {
        let message = hospital.step(event, &person, ward, class, "20261101080000");
        assert_eq!(house.fate(&message), "delivered", "{event}");
        let visit = visit(&house);
        let wards = wards(&visit).join(" ");
        (visit["status"].as_str().unwrap().to_owned(), wards, visit)
    };
    for (event, ward, class, status, wards) in [
        ("A05", "门诊", "P", "planned", "门诊"),
        ("A04", "急诊", "E", "in-progress", "急诊"),
        ("A02", "内科", "E", "in-progress", "急诊 内科"),
        ("A02", "外科", "E", "in-progress", "急诊 内科 外科"),
        ("A12", "内科", "E", "in-progress", "急诊 内科"),
        ("A06", "内科", "I", "in-progress", "急诊 内科"),
        ("A21", "内科", "I", "onleave", "急诊 内科"),
        ("A22", "内科", "I", "in-progress", "急诊 内科"),
        ("A08", "内科", "I", "in-progress", "急诊 内科"),
        ("A03", "内科", "I", "finished", "急诊 内科"),
    ] {
        let (is, at, _) = step(event, ward, class);
        assert_eq!((is.as_str(), at.as_str()), (status, wards), "{event}");
    }
    let (status, _, back) = step("A13", "内科", "I");
    assert_eq!(
        (status.as_str(), &back["period"]["end"]),
        ("in-progress", &Value::Null),
        "the discharge is taken back"
    );
    assert_eq!(back["classHistory"][0]["class"]["code"], "EMER");
    assert_eq!(back["location"][0]["status"], "completed");
    assert_eq!(back["location"][1]["status"], "active");
    assert_eq!(step("A11", "内科", "I").0, "cancelled");
    assert_eq!(step("A23", "内科", "I").0, "entered-in-error");
    assert_eq!(house.platform.seen().back_in_time, 0);
}

#[test]
fn a_visit_ends_in_the_same_state_whatever_order_its_events_arrive_in() {
    let house = House::new();
    let mut hospital = Hospital::new("V", 1);
    let mut messages = Vec::new();
    let mut persons = 0;
    for a in 0..4 {
        for b in (0..4).filter(|b| *b != a) {
            for c in (0..4).filter(|c| *c != a && *c != b) {
                let person = Person::numbered(persons);
                persons += 1;
                // Only the admission says when the visit began.
                let story = [
                    hospital.step("A01", &person, "内科", "I", "20261101080000"),
                    hospital.step("A02", &person, "外科", "I", ""),
                    hospital.step("A03", &person, "外科", "I", ""),
                    hospital.step("A13", &person, "骨科", "I", ""),
                ];
                let d = 6 - a - b - c;
                messages.extend([a, b, c, d].map(|n: usize| story[n].clone()));
            }
        }
    }
    house.accept(&messages);
    house.gateway.settled();
    let visits = house.at_platform("Encounter");
    assert_eq!(visits.len(), 24);
    for visit in &visits {
        assert_eq!(visit["status"], "in-progress", "{visit}");
        assert_eq!(visit["period"]["end"], Value::Null, "{visit}");
        assert_eq!(visit["period"]["start"], "2026-11-01T08:00:00+08:00", "{visit}");
        assert_eq!(wards(visit).last(), Some(&"骨科"), "{visit}");
    }
    assert_eq!(house.platform.seen().back_in_time, 0);
}

#[test]
fn a_visit_that_is_cancelled_before_it_was_heard_of_is_known_as_cancelled() {
    let house = House::new();
    let mut hospital = Hospital::new("V", 1);
    let person = Person::numbered(1);
    assert_eq!(house.fate(&hospital.step("A11", &person, "内科", "I", "")), "delivered");
    assert_eq!(visit(&house)["status"], "cancelled");
}

#[test]
fn a_person_that_the_source_deletes_stays_known_and_can_come_back() {
    let house = House::new();
    let mut hospital = Hospital::new("V", 1);
    let person = Person::numbered(1);
    for (event, active) in [("A28", Value::Null), ("A29", false.into()), ("A31", Value::Null)] {
        assert_eq!(house.fate(&hospital.step(event, &person, "内科", "I", "")), "delivered");
        let patients = house.at_platform("Patient");
        assert_eq!((patients.len(), &patients[0]["active"]), (1, &active), "{event}");
        assert!(house.at_platform("Encounter").is_empty(), "none of these is about a visit");
    }
}

/// The diagnoses of a person at the platform: code, clinical status and verification status.
fn diagnoses(house: &House, person: &Person) -> Vec<String> {
    let numbered =
        |p: &&Value| p["identifier"].as_array().unwrap().iter().any(|i| i["value"] == person.number);
    let patients = house.at_platform("Patient");
    let own = patients.iter().find(numbered).unwrap()["id"].as_str().unwrap();
    let own = Value::from(format!("Patient/{own}"));
    let text = |concept: &Value| concept["coding"][0]["code"].as_str().unwrap_or("-").to_owned();
    let told = |c: &Value| {
        format!("{} {} {}", text(&c["code"]), text(&c["clinicalStatus"]), text(&c["verificationStatus"]))
    };
    let conditions = house.at_platform("Condition");
    let mut all: Vec<_> = conditions.iter().filter(|c| c["subject"]["reference"] == own).map(told).collect();
    all.sort_unstable();
    all
}

#[test]
fn diagnoses_that_a_later_list_leaves_out_are_no_longer_listed_in_whatever_order_the_lists_arrive() {
    let house = House::new();
    let mut hospital = Hospital::new("D", 1);
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for (n, order) in orders.into_iter().enumerate() {
        let person = Person::numbered(n);
        let messages = [
            hospital.update(&person, &["1||I10^高血压^I10|||A", "2||E11^糖尿病^I10|||A"]),
            hospital.update(&person, &["1||I10^高血压^I10|||A", "2||J18.9^肺炎^I10|||F"]),
            hospital.update(&person, &["1||J15.9^细菌性肺炎^I10|||F|||||||||1"]),
        ];
        house.accept(order.iter().map(|n| &messages[*n]));
        house.gateway.settled();
        let told = [
            "E11 inactive provisional",
            "I10 active provisional",
            "J15.9 active confirmed",
            "J18.9 inactive confirmed",
        ];
        assert_eq!(diagnoses(&house, &person), told, "{order:?}");
        // An update that names none says nothing about them; one by one they are deleted and come back.
        assert_eq!(house.fate(&hospital.update(&person, &[])), "delivered");
        assert_eq!(diagnoses(&house, &person), told, "{order:?}");
        let deleted = format!("1||I10^高血压^I10|||A{}D", "|".repeat(15));
        assert_eq!(house.fate(&hospital.update(&person, &[&deleted])), "delivered");
        assert_eq!(diagnoses(&house, &person)[1], "I10 - entered-in-error");
        assert_eq!(house.fate(&hospital.update(&person, &["1||I10^高血压^I10|||A"])), "delivered");
        assert_eq!(diagnoses(&house, &person), told);
        assert_eq!(house.platform.seen().back_in_time, 0);
    }
}

#[test]
fn a_visit_shows_its_doctors_its_department_and_all_its_numbers() {
    let house = House::new();
    let mut hospital = Hospital::new("V", 1);
    let person = Person::numbered(1);
    assert_eq!(house.fate(&hospital.update(&person, &[])), "delivered");
    let patient = &house.at_platform("Patient")[0];
    assert_eq!(patient["contact"][0]["name"]["text"], "王芳");
    assert_eq!(patient["contact"][0]["telecom"][0]["value"], "13900000000");
    let told = visit(&house);
    let roles: Vec<_> = told["participant"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["type"][0]["coding"][0]["code"].as_str().unwrap())
        .collect();
    assert_eq!(roles, ["ATND", "REF", "CON", "CON", "ADM"]);
    assert_eq!(told["serviceType"]["coding"][0]["display"], "心血管内科");
    assert_eq!(told["hospitalization"]["dischargeDisposition"]["coding"][0]["code"], "1");
    assert_eq!(told["reasonCode"][0]["text"], "胸痛");
    assert_eq!(told["account"][0]["identifier"]["value"], format!("ZH{}", person.number));
    let values: Vec<_> = told["identifier"].as_array().unwrap().iter().map(|i| &i["value"]).collect();
    assert_eq!(values, [&Value::from(person.visit.clone()), &Value::from("MZ0001")]);
}
