//! Vaccinations.

use hil_tests::hospital::{Hospital, Person};
use serde_json::Value;

use crate::House;

/// The only vaccination at the platform.
fn vaccination(house: &House) -> Value {
    let mut all = house.at_platform("Immunization");
    assert_eq!(all.len(), 1, "{all:#?}");
    all.pop().unwrap()
}

fn in_order(house: &House) {
    let seen = house.platform.seen();
    assert_eq!((seen.back_in_time, seen.same_position_other_content), (0, 0));
}

#[test]
fn a_vaccination_is_given_corrected_and_taken_back() {
    let house = House::new();
    let (mut hospital, person) = (Hospital::new("I", 1), Person::numbered(1));
    let first = hospital.vaccination(&person, "1", "CP", "A", "L001");
    assert_eq!(house.fate(&first), "delivered");
    let given = vaccination(&house);
    assert_eq!(
        (&given["status"], &given["lotNumber"], &given["primarySource"]),
        (&"completed".into(), &"L001".into(), &true.into())
    );
    assert_eq!(given["vaccineCode"]["coding"][0]["code"], "03");
    assert_eq!((&given["expirationDate"], &given["doseQuantity"]["unit"]), (&"2027-12".into(), &"mL".into()));
    assert_eq!(
        (&given["route"]["coding"][0]["display"], &given["site"]["coding"][0]["display"]),
        (&"皮下".into(), &"左上臂".into())
    );
    assert_eq!(
        (&given["manufacturer"]["display"], &given["performer"][0]["actor"]["display"]),
        (&"国药集团".into(), &"王芳".into())
    );
    let about = house.at_platform("Observation");
    assert_eq!(about.len(), 1, "who paid for it");
    assert_eq!(about[0]["partOf"][0]["reference"], format!("Immunization/{}", given["id"].as_str().unwrap()));

    for (completion, action, lot, status) in [
        ("CP", "U", "L002", "completed"),
        ("PA", "U", "L002", "completed"),
        ("CP", "D", "L002", "entered-in-error"),
    ] {
        assert_eq!(house.fate(&hospital.vaccination(&person, "1", completion, action, lot)), "delivered");
        let now = vaccination(&house);
        assert_eq!((&now["status"], &now["lotNumber"]), (&status.into(), &lot.into()));
        assert_eq!(now["isSubpotent"] == true, completion == "PA");
    }
    let end = vaccination(&house);
    let late =
        hospital.text("VXU^V04", "LATE", "P", String::from_utf8_lossy(&first.1).split_once('\r').unwrap().1);
    // The same words from a system that sends an hour behind.
    let late = late.replacen(&late[late.find("|202611").unwrap()..][..15], "|20261031000000", 1);
    assert_eq!(house.fate(&("LATE".to_owned(), late.into_bytes())), "superseded");
    assert_eq!(vaccination(&house), end);
    in_order(&house);
}

#[test]
fn what_was_refused_says_why_and_what_is_only_reported_says_so() {
    let house = House::new();
    let (mut hospital, person) = (Hospital::new("I", 1), Person::numbered(1));
    let refused = format!(
        "{}\rORC|RE||9999\rRXA|0|1|20261101||10^脊灰疫苗^CVX|999||||||||||||PAR^家长拒绝||RE|A\rORC|RE||9999\rRXA|0|1|2019||08^乙肝疫苗^CVX|999|||01^历史记录^NIP001|||||||||||CP",
        person.pid()
    );
    assert_eq!(house.fate(&hospital.message("VXU^V04", &refused)), "delivered");
    let all = house.at_platform("Immunization");
    let of = |code: &str| all.iter().find(|i| i["vaccineCode"]["coding"][0]["code"] == code).unwrap();
    assert_eq!(
        (&of("10")["status"], &of("10")["statusReason"]["coding"][0]["display"]),
        (&"not-done".into(), &"家长拒绝".into())
    );
    let earlier = of("08");
    assert_eq!((&earlier["status"], &earlier["primarySource"]), (&"completed".into(), &false.into()));
    assert_eq!(
        (&earlier["occurrenceDateTime"], &earlier["reportOrigin"]["coding"][0]["display"]),
        (&"2019".into(), &"历史记录".into())
    );
    assert_eq!(earlier.get("doseQuantity"), None);
    for one in &all {
        let tags = one["meta"]["tag"].as_array().unwrap();
        assert!(tags.iter().any(|tag| tag["code"] == "weak-id"), "9999 is no number");
    }
    // Said again in another message it is the same.
    assert_eq!(house.fate(&hospital.message("VXU^V04", &refused)), "delivered");
    assert_eq!(house.at_platform("Immunization").len(), 2);
    in_order(&house);
}
