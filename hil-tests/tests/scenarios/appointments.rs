//! Appointments.

use hil_tests::hospital::{Hospital, Person};
use serde_json::Value;

use crate::House;

/// The only appointment at the platform.
fn appointment(house: &House) -> Value {
    let mut all = house.at_platform("Appointment");
    assert_eq!(all.len(), 1, "{all:#?}");
    all.pop().unwrap()
}

fn in_order(house: &House) {
    let seen = house.platform.seen();
    assert_eq!((seen.back_in_time, seen.same_position_other_content), (0, 0));
}

#[test]
fn an_appointment_is_booked_moved_changed_and_ends_in_every_way_it_can() {
    for (last, ends) in
        [("S15", "cancelled"), ("S16", "cancelled"), ("S17", "entered-in-error"), ("S26", "noshow")]
    {
        let house = House::new();
        let (mut hospital, person) = (Hospital::new("A", 1), Person::numbered(1));
        for (event, start, fhir) in [
            ("S12", "20261201090000", "booked"),
            ("S13", "20261202100000", "booked"),
            ("S14", "20261202100000", "booked"),
            (last, "20261202100000", ends),
        ] {
            assert_eq!(
                house.fate(&hospital.appointment(event, &person, "1", start, "")),
                "delivered",
                "{event}"
            );
            let now = appointment(&house);
            assert_eq!(now["status"], fhir, "{event}");
            let day = format!("2026-12-{}", &start[6..8]);
            assert!(now["start"].as_str().unwrap().starts_with(&day), "{event}");
        }
        let now = appointment(&house);
        assert_eq!(now["end"], "2026-12-02T10:30:00+08:00", "half an hour");
        assert_eq!(now["participant"].as_array().unwrap().len(), 3, "patient, doctor, room");
        assert_eq!(now["participant"][1]["actor"]["display"], "李明");
        assert_eq!(now["serviceType"][0]["coding"][0]["display"], "复诊");
        assert_eq!(now["comment"], "请携带既往检查资料");
        in_order(&house);
    }
}

#[test]
fn an_old_booking_that_comes_after_the_cancellation_changes_nothing() {
    let house = House::new();
    let (mut hospital, person) = (Hospital::new("A", 1), Person::numbered(1));
    let booked = hospital.appointment("S12", &person, "1", "20261201090000", "");
    let moved = hospital.appointment("S13", &person, "1", "20261202090000", "");
    assert_eq!(house.fate(&hospital.appointment("S15", &person, "1", "20261202090000", "")), "delivered");
    let cancelled = appointment(&house);
    for late in [&moved, &booked] {
        assert_eq!(house.fate(late), "superseded");
    }
    assert_eq!(appointment(&house), cancelled);
    assert_eq!(cancelled["status"], "cancelled");
    in_order(&house);
}

#[test]
fn a_cancellation_by_the_number_of_who_asked_finds_the_appointment_and_says_why() {
    let house = House::new();
    let (mut hospital, person) = (Hospital::new("A", 1), Person::numbered(1));
    assert_eq!(house.fate(&hospital.order("NW", "", &person, "1", &[("US", "超声")])), "delivered");
    assert_eq!(house.fate(&hospital.appointment("S12", &person, "1", "20261201090000", "P1")), "delivered");
    let order = house.at_platform("ServiceRequest").pop().unwrap();
    let reference = format!("ServiceRequest/{}", order["id"].as_str().unwrap());
    assert_eq!(appointment(&house)["basedOn"][0]["reference"], reference.as_str());
    let cancel = hospital.message("SIU^S15", &format!("SCH|R1|||||RAIN^患者取消\r{}", person.pid()));
    assert_eq!(house.fate(&cancel), "delivered");
    let now = appointment(&house);
    assert_eq!(
        (&now["status"], &now["cancelationReason"]["coding"][0]["display"]),
        (&"cancelled".into(), &"患者取消".into())
    );
    assert_eq!(now["start"], "2026-12-01T09:00:00+08:00", "what is not said stays");
    assert_eq!(now["basedOn"][0]["reference"], reference.as_str());
    in_order(&house);
}

#[test]
fn single_resources_join_and_leave_an_appointment() {
    let house = House::new();
    let (mut hospital, person) = (Hospital::new("A", 1), Person::numbered(1));
    let actors = |house: &House| -> Vec<String> {
        let now = appointment(house);
        let all = now["participant"].as_array().unwrap().iter();
        all.filter_map(|p| p["actor"]["display"].as_str().map(str::to_owned)).collect()
    };
    assert_eq!(house.fate(&hospital.appointment("S12", &person, "1", "20261201090000", "")), "delivered");
    assert_eq!(actors(&house), ["李明", "门诊 3"]);
    for (event, segment, expected) in [
        ("S18", "AIP|1|A|D8^王芳", &["李明", "门诊 3", "王芳"][..]),
        ("S19", "AIP|1|U|D8^王芳|N^护士", &["李明", "门诊 3", "王芳"]),
        ("S22", "AIP|1|D|D7^李明", &["门诊 3", "王芳"]),
    ] {
        let message = hospital
            .message(&format!("SIU^{event}"), &format!("SCH||A1\r{}\rRGS|1\r{segment}", person.pid()));
        assert_eq!(house.fate(&message), "delivered", "{event}");
        assert_eq!(actors(&house), expected, "{event}");
        assert_eq!(appointment(&house)["status"], "booked");
    }
    in_order(&house);
}

#[test]
fn slots_of_nobody_are_not_interpreted_and_an_appointment_of_several_is_kept_for_its_sender() {
    let house = House::new();
    let (mut hospital, person) = (Hospital::new("A", 1), Person::numbered(1));
    assert_eq!(house.fate(&hospital.message("SIU^S23", "SCH||A1\rRGS|1\rAIL|1||门诊^3")), "not-interpreted");
    let both = format!("SCH||A1\r{}\r{}", person.pid(), Person::numbered(2).pid());
    let message = hospital.message("SIU^S12", &both);
    assert_eq!(house.fate(&message), "quarantined");
    assert_eq!(house.reason(&message.0), "several-patients");
}
