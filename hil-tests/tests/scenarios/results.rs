//! Results in the order that they come in, in the order that they were made in, and what belongs to them.

use std::collections::BTreeMap;

use hil_tests::hospital::{Hospital, Person, segment};
use hil_tests::platform::Fault;
use serde_json::Value;

use crate::House;

type Message = (String, Vec<u8>);

/// A report with one result, stated at an hour of the day.
fn stated(
    hospital: &mut Hospital,
    person: &Person,
    order: &str,
    status: &str,
    hour: u32,
    value: &str,
) -> Message {
    let obr =
        format!("OBR|1||F{order}|GLU^血糖^L|||20261102090000|||||||||||||||202611020{hour}0000|||{status}");
    let obx = format!("OBX|1|NM|GLU^葡萄糖^L||{value}|mmol/L|||||{status}");
    hospital.message("ORU^R01", &format!("{}\r{obr}\r{obx}", person.pid()))
}

/// Every order of `items`.
fn permutations<T: Clone>(items: &[T]) -> Vec<Vec<T>> {
    if items.len() < 2 {
        return vec![items.to_vec()];
    }
    let mut all = Vec::new();
    for n in 0..items.len() {
        let mut rest = items.to_vec();
        let first = rest.remove(n);
        all.extend(permutations(&rest).into_iter().map(|mut tail| {
            tail.insert(0, first.clone());
            tail
        }));
    }
    all
}

fn tags(resource: &Value) -> Vec<&str> {
    let tags = resource["meta"]["tag"].as_array().unwrap().iter();
    tags.filter(|tag| tag["system"] == "urn:hospital-gateway:mark")
        .map(|tag| tag["code"].as_str().unwrap())
        .collect()
}

/// The one resource of a kind about the person with this number.
fn of(house: &House, kind: &str, person: &Person) -> Value {
    let mut all = all_of(house, kind, person);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

fn all_of(house: &House, kind: &str, person: &Person) -> Vec<Value> {
    let patients = house.at_platform("Patient");
    let own = patients.iter().find(|patient| patient.to_string().contains(&format!("\"{}\"", person.number)));
    let reference = format!("Patient/{}", own.unwrap()["id"].as_str().unwrap());
    let all = house.at_platform(kind).into_iter();
    all.filter(|resource| resource["subject"]["reference"] == reference).collect()
}

/// Status of the report, status and value of its result.
fn shown(house: &House, person: &Person) -> (String, String, String) {
    let (report, result) = (of(house, "DiagnosticReport", person), of(house, "Observation", person));
    let status = |resource: &Value| resource["status"].as_str().unwrap().to_owned();
    (status(&report), status(&result), result["valueQuantity"]["value"].to_string())
}

fn owned(shown: (&str, &str, &str)) -> (String, String, String) {
    (shown.0.to_owned(), shown.1.to_owned(), shown.2.to_owned())
}

fn alarmed(house: &House) -> bool {
    let status = house.gateway.json(&["status"]);
    status["alarms"].as_array().unwrap().iter().any(|alarm| alarm["code"] == "result-withdrawn")
}

#[test]
fn preliminary_final_corrected_ends_corrected_in_whatever_order_they_come() {
    let house = House::new();
    let mut hospital = Hospital::new("R", 1);
    let states = [("P", 1, "5.1"), ("F", 2, "5.2"), ("C", 3, "5.3")];
    let mut persons = Vec::new();
    for (n, order) in permutations(&states).into_iter().enumerate() {
        let person = Person::numbered(n);
        let messages: Vec<_> = order
            .into_iter()
            .map(|(status, hour, value)| stated(&mut hospital, &person, &n.to_string(), status, hour, value))
            .collect();
        house.accept(&messages);
        persons.push(person);
    }
    house.gateway.settled();
    for person in &persons {
        assert_eq!(shown(&house, person), owned(("corrected", "corrected", "5.3")), "{}", person.number);
        assert_eq!(tags(&of(&house, "Observation", person)), [""; 0]);
    }
    assert!(!alarmed(&house), "nothing was taken back");
    let seen = house.platform.seen();
    assert_eq!((seen.back_in_time, seen.dangling.as_slice()), (0, &[][..]));
}

#[test]
fn preliminary_final_corrected_ends_corrected_at_a_platform_that_fails_in_parts() {
    let house = House::new();
    house.platform.fault(Fault::Unsteady { late: 0, reset: 0, partial: 30 });
    let mut hospital = Hospital::new("R", 2);
    let persons: Vec<Person> = (0..8).map(Person::numbered).collect();
    for (status, hour, value) in [("P", 1, "5.1"), ("F", 2, "5.2"), ("C", 3, "5.3")] {
        for (n, person) in persons.iter().enumerate() {
            let message = stated(&mut hospital, person, &n.to_string(), status, hour, value);
            house.accept([&message]);
        }
    }
    house.gateway.settled();
    for person in &persons {
        assert_eq!(shown(&house, person), owned(("corrected", "corrected", "5.3")), "{}", person.number);
    }
    assert_eq!(house.platform.seen().back_in_time, 0);
}

#[test]
fn a_final_result_that_is_preliminary_again_is_withdrawn_and_somebody_hears_of_it() {
    let house = House::new();
    let mut hospital = Hospital::new("R", 3);
    let person = Person::numbered(1);
    let first = stated(&mut hospital, &person, "1", "F", 2, "5.2");
    assert_eq!(house.fate(&first), "delivered");
    assert!(!alarmed(&house));
    let back = stated(&mut hospital, &person, "1", "P", 4, "5.2");
    assert_eq!(house.fate(&back), "delivered");
    assert_eq!(shown(&house, &person), owned(("preliminary", "preliminary", "5.2")));
    assert_eq!(tags(&of(&house, "Observation", &person)), ["withdrawn"]);
    assert_eq!(tags(&of(&house, "DiagnosticReport", &person)), ["withdrawn"]);
    assert!(alarmed(&house));
}

#[test]
fn the_later_time_wins_over_the_rank_and_the_later_message_where_no_time_tells() {
    let house = House::new();
    let mut hospital = Hospital::new("R", 4);
    let newer = Person::numbered(1);
    for (status, hour, value) in [("C", 2, "5.3"), ("F", 4, "5.4")] {
        let message = stated(&mut hospital, &newer, "1", status, hour, value);
        assert_eq!(house.fate(&message), "delivered");
    }
    assert_eq!(shown(&house, &newer), owned(("final", "final", "5.4")));
    assert_eq!(tags(&of(&house, "Observation", &newer)), [""; 0]);
    let late = stated(&mut hospital, &newer, "1", "P", 1, "4.9");
    assert_eq!(house.fate(&late), "superseded");
    assert_eq!(shown(&house, &newer), owned(("final", "final", "5.4")));

    let unclear = Person::numbered(2);
    for value in ["6.1", "6.2"] {
        let message = stated(&mut hospital, &unclear, "2", "F", 3, value);
        assert_eq!(house.fate(&message), "delivered");
    }
    assert_eq!(shown(&house, &unclear), owned(("final", "final", "6.2")));
    assert_eq!(tags(&of(&house, "Observation", &unclear)), ["order-unclear"]);
    assert!(!alarmed(&house));
}

#[test]
fn a_result_that_a_later_message_leaves_out_stays_and_a_status_that_is_left_out_takes_nothing_back() {
    let house = House::new();
    let mut hospital = Hospital::new("R", 5);
    let person = Person::numbered(1);
    let mut message = |hour: u32, status: &str, results: &[(&str, &str)]| {
        let obr = format!("OBR|1||F1|X^生化^L|||20261102090000|||||||||||||||202611020{hour}0000|||{status}");
        let obx =
            results.iter().map(|(code, value)| format!("\rOBX|1|NM|{code}||{value}|mmol/L|||||{status}"));
        hospital.message("ORU^R01", &format!("{}\r{obr}{}", person.pid(), obx.collect::<String>()))
    };
    let whole = message(1, "F", &[("NA", "140"), ("K", "4.1"), ("HIV", "****")]);
    let part = message(2, "C", &[("K", "4.2")]);
    let silent = message(3, "", &[("K", "4.2")]);
    for message in [&whole, &part, &silent] {
        assert_eq!(house.fate(message), "delivered");
    }
    let report = of(&house, "DiagnosticReport", &person);
    assert_eq!(report["status"], "partial", "what is masked is missing, and it is said");
    assert_eq!(report["result"].as_array().unwrap().len(), 3);
    let results = all_of(&house, "Observation", &person);
    let result = |code: &str| results.iter().find(|r| r["code"]["coding"][0]["code"] == code).unwrap();
    assert_eq!(
        (&result("NA")["valueQuantity"]["value"], &result("NA")["status"]),
        (&140.into(), &"final".into())
    );
    assert_eq!(result("K")["status"], "corrected");
    assert_eq!(result("HIV")["dataAbsentReason"]["coding"][0]["code"], "masked");
    assert!(!alarmed(&house));
}

#[test]
fn material_of_quality_control_is_nobodys_result() {
    let house = House::new();
    let mut hospital = Hospital::new("R", 6);
    let person = Person::numbered(1);
    let spm = |number: &str, role: &str| format!("SPM|1|{number}||SER|||||||{role}|||||||");
    let group = |role: &str, order: &str| {
        let obr = format!("OBR|1||F{order}|GLU|||20261102090000|||||||||||||||||||F");
        format!("{}\r{obr}\rOBX|1|NM|GLU||5.1|mmol/L|||||F", spm(order, role))
    };
    let control = hospital.message("OUL^R22", &format!("{}\r{}", person.pid(), group("Q", "1")));
    let nobody = hospital.message("OUL^R22", &group("Q", "2"));
    let mixed = format!("{}\r{}\r{}", person.pid(), group("P", "3"), group("C", "4"));
    let mixed = hospital.message("OUL^R22", &mixed);
    assert_eq!(house.fate(&control), "not-interpreted");
    assert_eq!(house.fate(&nobody), "not-interpreted");
    assert_eq!(house.fate(&mixed), "delivered");
    assert_eq!(house.at_platform("Observation").len(), 1);
    assert_eq!(tags(&of(&house, "DiagnosticReport", &person)), ["control-left-out"]);
}

/// A culture with two isolates, and the susceptibilities of each in a panel of its own under the same number.
fn culture(hospital: &mut Hospital, person: &Person) -> [Message; 3] {
    let obr = |service: &str, more: &[(usize, &str)]| {
        segment("OBR", &[&[(3, "F77"), (4, service), (7, "20261102090000"), (25, "F")], more].concat())
    };
    let mut message =
        |segments: String| hospital.message("ORU^R01", &format!("{}\r{segments}", person.pid()));
    let organism = |n: u8, name: &str| format!("OBX|{n}|CWE|600-7^细菌鉴定^LN|{n}|{name}||||||F");
    let drug = |n: u8, code: &str, value: &str, flag: &str| {
        format!("\rOBX|{n}|SN|{code}^药敏^L||{value}|ug/mL||{flag}|||F")
    };
    let panel = |n: u8, flag: &str| {
        let parent = format!("600-7&细菌鉴定&LN^{n}^菌{n}");
        let drugs = [drug(1, "AMP", "<=^0.5", flag), drug(2, "IPM", "^8", "SDD")].concat();
        format!("{}{drugs}", obr("29576-6^药敏^LN", &[(26, &parent), (29, "^F77")]))
    };
    [
        message(format!(
            "{}\r{}\r{}",
            obr("BC^血培养^L", &[]),
            organism(1, "ECO^大肠埃希菌"),
            organism(2, "KPN^肺炎克雷伯菌")
        )),
        message(panel(1, "S")),
        message(panel(2, "R")),
    ]
}

#[test]
fn each_isolate_has_its_own_susceptibilities_whichever_message_comes_first() {
    let house = House::new();
    let mut hospital = Hospital::new("R", 7);
    for (n, order) in permutations(&[0, 1, 2]).into_iter().enumerate() {
        let person = Person::numbered(n);
        // Another hospital day for each, so that the numbers are not shared.
        let messages = culture(&mut hospital, &person).map(|(id, bytes)| {
            let text = String::from_utf8(bytes).unwrap().replace("F77", &format!("F77{n}"));
            (id, text.into_bytes())
        });
        for step in &order {
            assert_eq!(house.fate(&messages[*step]), "delivered", "{order:?}");
        }
        let results = all_of(&house, "Observation", &person);
        assert_eq!((results.len(), all_of(&house, "DiagnosticReport", &person).len()), (6, 3), "{order:?}");
        let by_id: BTreeMap<String, &Value> =
            results.iter().map(|r| (format!("Observation/{}", r["id"].as_str().unwrap()), r)).collect();
        for (organism, flag) in [("ECO", "S"), ("KPN", "R")] {
            let isolate =
                results.iter().find(|r| r["valueCodeableConcept"]["coding"][0]["code"] == organism).unwrap();
            let members = isolate["hasMember"].as_array().unwrap_or_else(|| panic!("{order:?}: {isolate}"));
            assert_eq!(members.len(), 2, "{order:?}");
            let members: Vec<_> = members.iter().map(|m| by_id[m["reference"].as_str().unwrap()]).collect();
            let ampicillin = members.iter().find(|m| m["code"]["coding"][0]["code"] == "AMP").unwrap();
            assert_eq!(ampicillin["interpretation"][0]["coding"][0]["code"], flag, "{order:?}");
            assert_eq!(ampicillin["valueQuantity"]["comparator"], "<=");
            let own = &isolate["identifier"][0];
            let derived = &ampicillin["derivedFrom"][0]["identifier"];
            assert_eq!((&derived["system"], &derived["value"]), (&own["system"], &own["value"]), "{order:?}");
        }
    }
    let seen = house.platform.seen();
    assert_eq!((seen.back_in_time, seen.dangling.as_slice()), (0, &[][..]));
}

/// A day with some of everything.
fn mixed_day() -> Vec<Message> {
    let mut hospital = Hospital::new("Y", 8);
    let mut day = Vec::new();
    for n in 0..4 {
        let person = Person::numbered(n);
        let order = n.to_string();
        day.push(hospital.adt("A01", &person));
        day.push(hospital.report(&person, &order, "P", 4));
        day.push(hospital.report(&person, &order, "F", 4));
        day.push(hospital.step("A02", &person, "骨科", "I", ""));
        day.push(stated(&mut hospital, &person, &format!("G{n}"), "F", 2, "5.2"));
        day.push(stated(&mut hospital, &person, &format!("G{n}"), "C", 3, "5.3"));
        day.extend(culture(&mut hospital, &person).map(|(id, bytes)| {
            (id, String::from_utf8(bytes).unwrap().replace("F77", &format!("F77{n}")).into_bytes())
        }));
        day.push(hospital.adt("A03", &person));
    }
    let again = Person { number: "B1".to_owned(), resident: String::new(), ..Person::numbered(1) };
    day.push(hospital.report(&again, "B1", "F", 3));
    day.push(hospital.merge("A40", &Person::numbered(1), "B1"));
    day
}

/// What a platform holds, without what says which capture brought it.
fn content(house: &House) -> BTreeMap<String, Value> {
    let resources = house.platform.seen().resources;
    let parsed = resources.into_iter().map(|(url, body)| {
        let mut resource: Value = serde_json::from_slice(&body).unwrap();
        let list = |value: &mut Value, keep: &dyn Fn(&Value) -> bool| {
            if let Some(items) = value.as_array_mut() {
                items.retain(|item| keep(item));
            }
        };
        list(&mut resource["meta"]["tag"], &|tag| !tag["system"].as_str().unwrap().ends_with(":capture"));
        list(&mut resource["extension"], &|extension| extension["url"] != "urn:hospital-gateway:position");
        if resource["resourceType"] == "Provenance" {
            // The capture and when it was received.
            resource["recorded"] = Value::Null;
            resource["entity"][0]["what"]["identifier"]["value"] = Value::Null;
        }
        (url, resource)
    });
    parsed.collect()
}

#[test]
fn a_day_sent_twice_to_a_platform_that_fails_in_every_way_ends_as_one_clean_day() {
    let mut house = House::new();
    house.gateway.stop();
    let (data, image) = (house.gateway.path("data"), house.gateway.path("image"));
    crate::disk::copy(&data, &image);
    house.gateway.start();
    let day = mixed_day();
    house.accept(&day);
    house.gateway.settled();
    let clean = content(&house);
    assert!(clean.len() > 70, "{}", clean.len());
    assert_eq!(house.platform.seen().dangling, [""; 0]);

    // The same box with nothing in it, and a platform that knows nothing.
    house.gateway.stop();
    std::fs::remove_dir_all(&data).unwrap();
    crate::disk::copy(&image, &data);
    house.platform.forget();
    house.platform.fault(Fault::Unsteady { late: 12, reset: 12, partial: 12 });
    house.gateway.start();
    for few in day.chunks(5) {
        house.accept(few);
        house.accept(few);
    }
    house.gateway.settled();
    let failing = content(&house);
    for (url, resource) in &clean {
        assert_eq!(failing.get(url), Some(resource), "{url}");
    }
    assert_eq!(failing.len(), clean.len());
    assert_eq!(house.platform.seen().back_in_time, 0);
}
