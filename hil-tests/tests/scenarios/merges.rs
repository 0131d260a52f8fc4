//! Two record numbers, one person.

use std::collections::BTreeSet;
use std::time::Duration;

use hil_tests::gateway::LIVE;
use hil_tests::hospital::{Hospital, Person};
use hil_tests::platform::Fault;
use serde_json::Value;

use crate::House;

/// Somebody, and the same somebody registered a second time without the ID card.
pub(crate) fn twice(n: usize) -> (Person, Person) {
    let person = Person::numbered(n);
    let again = Person {
        number: format!("{}B", person.number),
        visit: format!("{}B", person.visit),
        resident: String::new(),
        ..person.clone()
    };
    (person, again)
}

/// The patient with a record number, whatever else it has.
pub(crate) fn patient<'p>(patients: &'p [Value], number: &str) -> &'p Value {
    let own = |p: &&Value| p["identifier"].as_array().into_iter().flatten().any(|i| i["value"] == number);
    let active = patients.iter().filter(own).find(|p| p["identifier"][0]["value"] == number);
    active.unwrap_or_else(|| panic!("{number} is not among {patients:#?}"))
}

pub(crate) fn reference(patient: &Value) -> String {
    format!("Patient/{}", patient["id"].as_str().unwrap())
}

/// Whose the resources of a type are.
fn subjects(house: &House, kind: &str) -> BTreeSet<String> {
    let all = house.at_platform(kind);
    all.iter().map(|r| r["subject"]["reference"].as_str().unwrap().to_owned()).collect()
}

pub(crate) fn links(patient: &Value) -> Vec<(&str, &str)> {
    let all = patient["link"].as_array().into_iter().flatten();
    all.map(|l| (l["type"].as_str().unwrap(), l["other"]["reference"].as_str().unwrap())).collect()
}

pub(crate) fn in_order(house: &House) {
    let seen = house.platform.seen();
    assert_eq!((seen.back_in_time, seen.same_position_other_content), (0, 0));
}

#[test]
fn what_came_under_the_loser_is_the_survivors_and_so_is_what_comes_later() {
    let house = House::new();
    let mut hospital = Hospital::new("M", 1);
    let (person, again) = twice(1);
    let mut messages = vec![hospital.adt("A01", &person), hospital.adt("A01", &again)];
    messages.extend((0..3).map(|n| hospital.report(&again, &format!("L{n}"), "F", 3)));
    messages.push(hospital.report(&person, "W", "F", 3));
    house.accept(&messages);
    house.gateway.settled();
    assert_eq!(subjects(&house, "DiagnosticReport").len(), 2);

    assert_eq!(house.fate(&hospital.merge("A40", &person, &again.number)), "delivered");
    let patients = house.at_platform("Patient");
    let (survivor, loser) = (patient(&patients, &person.number), patient(&patients, &again.number));
    assert_eq!(loser["active"], false);
    assert_eq!(loser["identifier"][0]["use"], "old");
    assert_eq!(links(loser), [("replaced-by", reference(survivor).as_str())]);
    assert_eq!(links(survivor), [("replaces", reference(loser).as_str())]);
    let only = BTreeSet::from([reference(survivor)]);
    for kind in ["DiagnosticReport", "Observation", "Encounter", "Condition"] {
        assert_eq!(subjects(&house, kind), only, "{kind}");
    }

    // The old number is used on by systems that have not heard of it.
    let late = hospital.report(&again, "LATE", "F", 2);
    let correction = hospital.report(&again, "L0", "C", 3);
    assert_eq!((house.fate(&late).as_str(), house.fate(&correction).as_str()), ("delivered", "delivered"));
    assert_eq!(house.at_platform("DiagnosticReport").len(), 5);
    assert_eq!(subjects(&house, "DiagnosticReport"), only);
    assert_eq!(house.at_platform("Patient").len(), 2);
    // Said again it changes nothing.
    assert_eq!(house.fate(&hospital.merge("A40", &person, &again.number)), "delivered");
    assert_eq!(links(patient(&house.at_platform("Patient"), &person.number)).len(), 1);
    in_order(&house);
}

#[test]
fn a_merge_before_either_number_was_seen_joins_what_comes_under_both() {
    let house = House::new();
    let mut hospital = Hospital::new("M", 1);
    let (person, again) = twice(1);
    assert_eq!(house.fate(&hospital.merge("A40", &person, &again.number)), "delivered");
    assert_eq!(house.fate(&hospital.report(&again, "1", "F", 2)), "delivered");
    assert_eq!(house.at_platform("Patient").len(), 1);
    assert_eq!(subjects(&house, "DiagnosticReport").len(), 1);
}

#[test]
fn chains_of_merges_end_at_the_last_survivor() {
    let house = House::new();
    let mut hospital = Hospital::new("M", 1);
    let (person, again) = twice(1);
    let third = Person { number: "THIRD".to_owned(), visit: "THIRD".to_owned(), ..again.clone() };
    for who in [&person, &again, &third] {
        assert_eq!(house.fate(&hospital.report(who, &who.number.clone(), "F", 1)), "delivered");
    }
    for message in [hospital.merge("A40", &again, "THIRD"), hospital.merge("A34", &person, &again.number)] {
        assert_eq!(house.fate(&message), "delivered");
    }
    let patients = house.at_platform("Patient");
    let survivor = reference(patient(&patients, &person.number));
    for loser in [&again.number, "THIRD"] {
        assert_eq!(links(patient(&patients, loser)), [("replaced-by", survivor.as_str())], "{loser}");
    }
    assert_eq!(links(patient(&patients, &person.number)).len(), 2);
    assert_eq!(subjects(&house, "DiagnosticReport"), BTreeSet::from([survivor]));
    in_order(&house);
}

#[test]
fn a_merge_that_cannot_be_right_is_kept_for_somebody_to_decide() {
    let house = House::new();
    let mut hospital = Hospital::new("M", 1);
    let (person, again) = twice(1);
    let stranger = Person::numbered(50);
    for who in [&person, &again, &stranger] {
        assert_eq!(house.fate(&hospital.adt("A01", who)), "delivered");
    }
    let refused = |message: (String, Vec<u8>)| {
        assert_eq!(house.fate(&message), "quarantined");
        (house.reason(&message.0), message.0)
    };
    assert_eq!(refused(hospital.merge("A40", &person, &person.number)).0, "merge-self");
    assert_eq!(refused(hospital.merge("A40", &person, "")).0, "no-prior-number");
    let (reason, held) = refused(hospital.merge("A40", &person, &stranger.number));
    assert_eq!(reason, "merge-held", "two verified ID numbers");
    assert!(house.at_platform("Patient").iter().all(|patient| patient["link"].is_null()));

    assert_eq!(house.fate(&hospital.merge("A40", &person, &again.number)), "delivered");
    let inverse = hospital.merge("A40", &Person { resident: String::new(), ..again }, &person.number);
    assert_eq!(house.fate(&inverse), "quarantined");
    assert_eq!(house.reason(&inverse.0), "merge-inverse");

    // Somebody has looked into it: they are one.
    let captures = house.gateway.captures();
    let capture = captures.iter().find(|capture| capture["control_id"] == held.as_str()).unwrap();
    assert!(house.gateway.cli(&["captures", "release", capture["id"].as_str().unwrap()]).is_ok());
    house.gateway.settled();
    assert_eq!(house.gateway.fates(&held), ["delivered"]);
    assert_eq!(patient(&house.at_platform("Patient"), &stranger.number)["active"], false);
    in_order(&house);
}

#[test]
fn a_message_that_merges_several_pairs_merges_all_of_them_or_none() {
    let house = House::new();
    let mut hospital = Hospital::new("M", 1);
    let pairs = [twice(1), twice(2), twice(3)];
    let stranger = Person::numbered(50);
    for who in pairs.iter().flat_map(|(person, again)| [person, again]).chain([&stranger]) {
        assert_eq!(house.fate(&hospital.adt("A01", who)), "delivered");
    }
    let [(a, b), (c, d), (e, f)] = &pairs;
    // The second pair are two by their verified numbers: nothing of the message is done.
    let held = hospital.merges("A40", &[(a, &b.number), (c, &stranger.number)]);
    assert_eq!(house.fate(&held), "quarantined");
    assert_eq!(house.reason(&held.0), "merge-held");
    let captures = house.gateway.captures();
    let id = captures.iter().find(|c| c["control_id"] == held.0.as_str()).unwrap()["id"].as_str().unwrap();
    let shown = house.gateway.cli(&["captures", "show", id, "--reason", "test"]).unwrap();
    assert!(shown.contains("group 2 of 2: "), "{shown}");
    assert!(house.at_platform("Patient").iter().all(|patient| patient["link"].is_null()));

    // Each group sees what the ones before it did.
    let chain = hospital.merges("A40", &[(a, &b.number), (c, &d.number), (e, &f.number), (a, &e.number)]);
    assert_eq!(house.fate(&chain), "quarantined", "the last two have other ID numbers");
    let right = hospital.merges("A39", &[(a, &b.number), (c, &d.number), (e, &f.number)]);
    assert_eq!(house.fate(&right), "delivered");
    let patients = house.at_platform("Patient");
    for (survivor, loser) in &pairs {
        let survivor = reference(patient(&patients, &survivor.number));
        assert_eq!(links(patient(&patients, &loser.number)), [("replaced-by", survivor.as_str())]);
    }
    assert_eq!(subjects(&house, "Encounter").len(), 4);
    in_order(&house);
}

#[test]
fn a_feed_without_authority_over_identity_merges_nobody() {
    let house = House::with(&format!("{LIVE}authority = [\"demographics\", \"result\"]\n"));
    let mut hospital = Hospital::new("M", 1);
    let (person, again) = twice(1);
    let merge = hospital.merge("A40", &person, &again.number);
    assert_eq!(house.fate(&merge), "quarantined");
    assert_eq!(house.reason(&merge.0), "no-merge-authority");
}

#[test]
fn a_new_number_for_a_person_leads_to_the_same_person() {
    let house = House::new();
    let mut hospital = Hospital::new("M", 1);
    let (person, again) = twice(1);
    assert_eq!(house.fate(&hospital.adt("A01", &person)), "delivered");
    assert_eq!(house.fate(&hospital.merge("A47", &again, &person.number)), "delivered");
    assert_eq!(house.fate(&hospital.report(&again, "1", "F", 1)), "delivered");
    assert_eq!(house.at_platform("Patient").len(), 1);
    in_order(&house);
}

#[test]
fn merges_in_the_middle_of_traffic_and_outages_turn_nothing_round() {
    let house = House::new();
    let mut hospital = Hospital::new("M", 1);
    house.platform.fault(Fault::Slow(Duration::from_millis(30)));
    let mut messages = Vec::new();
    for n in 0..40 {
        let (person, again) = twice(n);
        messages.push(hospital.adt("A01", &person));
        messages.push(hospital.adt("A01", &again));
        messages.push(hospital.report(&again, &format!("{n}a"), "P", 3));
        messages.push(hospital.report(&person, &format!("{n}b"), "F", 3));
        messages.push(hospital.merge("A40", &person, &again.number));
        messages.push(hospital.report(&again, &format!("{n}a"), "F", 3));
        messages.push(hospital.adt("A03", &again));
    }
    let (first, rest) = messages.split_at(messages.len() / 2);
    house.accept(first);
    house.platform.fault(Fault::Down);
    house.accept(rest);
    house.platform.fault(Fault::Slow(Duration::from_millis(10)));
    house.gateway.settled();
    in_order(&house);
    let patients = house.at_platform("Patient");
    assert_eq!(patients.len(), 80);
    assert_eq!(patients.iter().filter(|patient| patient["active"] == false).count(), 40);
    for kind in ["DiagnosticReport", "Encounter", "Observation"] {
        assert_eq!(subjects(&house, kind).len(), 40, "{kind}: only survivors have any");
    }
    let status = house.gateway.json(&["status"]);
    assert_eq!(status["destinations"][0]["counts"]["dead"].as_i64().unwrap_or(0), 0);
}

/// The ids of the persons that hold record numbers of their own.
fn person_ids(house: &House, numbers: &[&str]) -> Vec<String> {
    let patients = house.at_platform("Patient");
    numbers.iter().map(|number| patient(&patients, number)["id"].as_str().unwrap().to_owned()).collect()
}

/// Whose the report with a filler number is.
fn owner(house: &House, filler: &str) -> String {
    let reports = house.at_platform("DiagnosticReport");
    let own = |r: &&Value| r["identifier"].as_array().unwrap().iter().any(|i| i["value"] == filler);
    let report = reports.iter().find(own).unwrap_or_else(|| panic!("no report {filler}"));
    report["subject"]["reference"].as_str().unwrap().to_owned()
}

fn unmerge(house: &House, id: &str) {
    house.gateway.cli(&["persons", "unmerge", id, "--reason", "two patients after all"]).unwrap();
    house.gateway.settled();
}

#[test]
fn an_unmerge_gives_everything_back_that_came_under_the_loser_before_and_since() {
    let house = House::new();
    let mut hospital = Hospital::new("U", 1);
    let (person, again) = twice(1);
    let mut messages = vec![hospital.adt("A01", &person), hospital.adt("A01", &again)];
    messages.push(hospital.report(&again, "BEFORE", "F", 2));
    messages.push(hospital.report(&person, "OWN", "F", 2));
    messages.push(hospital.merge("A40", &person, &again.number));
    messages.extend((0..3).map(|n| hospital.report(&again, &format!("LATE{n}"), "F", 2)));
    house.accept(&messages);
    house.gateway.settled();
    let [survivor, loser] = &person_ids(&house, &[&person.number, &again.number])[..] else { unreachable!() };
    let (survivor, loser) = (format!("Patient/{survivor}"), format!("Patient/{loser}"));
    assert_eq!(subjects(&house, "DiagnosticReport"), BTreeSet::from([survivor.clone()]));

    unmerge(&house, loser.trim_start_matches("Patient/"));
    let patients = house.at_platform("Patient");
    for number in [&person.number, &again.number] {
        let patient = patient(&patients, number);
        assert!(patient["active"].is_null() && patient["link"].is_null(), "{patient}");
        assert!(patient["identifier"][0]["use"].is_null(), "{patient}");
    }
    for filler in ["FBEFORE", "FLATE0", "FLATE1", "FLATE2"] {
        assert_eq!(owner(&house, filler), loser, "{filler}");
    }
    assert_eq!(owner(&house, "FOWN"), survivor);
    for kind in ["Encounter", "Condition"] {
        assert_eq!(subjects(&house, kind).len(), 2, "{kind}: each has its own");
    }
    assert_eq!(house.at_platform("Observation").len(), 10);

    // What comes under each number from now on is its own: corrections of what came before and since, and new reports.
    for message in [
        hospital.report(&again, "BEFORE", "C", 2),
        hospital.report(&again, "LATE1", "C", 2),
        hospital.report(&again, "NEW", "F", 2),
        hospital.report(&person, "OWN", "C", 2),
        hospital.adt("A03", &again),
    ] {
        assert_eq!(house.fate(&message), "delivered");
    }
    for filler in ["FBEFORE", "FLATE1", "FNEW"] {
        assert_eq!(owner(&house, filler), loser, "{filler}");
    }
    assert_eq!(owner(&house, "FOWN"), survivor);
    assert_eq!((house.at_platform("Patient").len(), house.at_platform("DiagnosticReport").len()), (2, 6));
    in_order(&house);

    // Said a second time it is refused; merged again, everything is the survivor's again.
    let id = loser.trim_start_matches("Patient/");
    let refused = house.gateway.cli(&["persons", "unmerge", id, "--reason", "again"]).unwrap_err();
    assert!(refused.contains("was not merged"), "{refused}");
    assert_eq!(house.fate(&hospital.merge("A40", &person, &again.number)), "delivered");
    assert_eq!(subjects(&house, "DiagnosticReport"), BTreeSet::from([survivor]));
    in_order(&house);
}

#[test]
fn what_a_late_message_says_of_the_loser_never_changes_the_survivor_and_is_there_after_the_unmerge() {
    let house = House::new();
    let mut hospital = Hospital::new("U", 1);
    let (person, again) = twice(1);
    for message in [hospital.adt("A04", &person), hospital.adt("A04", &again)] {
        assert_eq!(house.fate(&message), "delivered");
    }
    assert_eq!(house.fate(&hospital.merge("A40", &person, &again.number)), "delivered");
    let renamed = Person { name: "改名".to_owned(), ..again.clone() };
    house.accept([&hospital.adt("A08", &renamed)]);
    house.gateway.settled();
    let name = |number: &str| patient(&house.at_platform("Patient"), number)["name"][0]["text"].clone();
    assert_eq!(name(&person.number), person.name.as_str());
    let ids = person_ids(&house, &[&again.number]);
    unmerge(&house, &ids[0]);
    assert_eq!((name(&person.number), name(&again.number)), (person.name.as_str().into(), "改名".into()));
    in_order(&house);
}

#[test]
fn the_id_number_that_the_survivor_got_from_the_loser_goes_back_with_it() {
    let house = House::new();
    let mut hospital = Hospital::new("U", 1);
    let (person, again) = twice(1);
    for message in [hospital.adt("A04", &again), hospital.adt("A04", &person)] {
        assert_eq!(house.fate(&message), "delivered");
    }
    // The one without the card is the one that stays.
    assert_eq!(house.fate(&hospital.merge("A40", &again, &person.number)), "delivered");
    let has = |number: &str| {
        let patients = house.at_platform("Patient");
        let all = patient(&patients, number)["identifier"].as_array().unwrap().clone();
        all.iter().any(|i| i["value"] == person.resident.as_str())
    };
    assert!(has(&again.number));
    unmerge(&house, &person_ids(&house, &[&person.number])[0]);
    assert!(has(&person.number) && !has(&again.number));
}

#[test]
fn an_unmerge_in_the_middle_of_a_chain_takes_along_what_was_merged_before_it() {
    let mut house = House::new();
    let mut hospital = Hospital::new("U", 1);
    let (person, again) = twice(1);
    let third = Person { number: "THIRD".to_owned(), visit: "THIRD".to_owned(), ..again.clone() };
    for who in [&person, &again, &third] {
        assert_eq!(house.fate(&hospital.report(who, &who.number.clone(), "F", 1)), "delivered");
    }
    for message in [hospital.merge("A40", &again, "THIRD"), hospital.merge("A40", &person, &again.number)] {
        assert_eq!(house.fate(&message), "delivered");
    }
    assert_eq!(house.fate(&hospital.report(&third, "LATE", "F", 1)), "delivered");
    let ids = person_ids(&house, &[&person.number, &again.number, "THIRD"]);
    let references: Vec<String> = ids.iter().map(|id| format!("Patient/{id}")).collect();
    // Who is who is remembered.
    house.gateway.kill();
    house.gateway.start();
    unmerge(&house, &ids[1]);
    let patients = house.at_platform("Patient");
    assert!(patient(&patients, &person.number)["link"].is_null());
    assert_eq!(links(patient(&patients, &again.number)), [("replaces", references[2].as_str())]);
    assert_eq!(links(patient(&patients, "THIRD")), [("replaced-by", references[1].as_str())]);
    for (filler, whose) in [(&person.number, 0), (&again.number, 1)] {
        assert_eq!(owner(&house, &format!("F{filler}")), references[whose], "{filler}");
    }
    for filler in ["FTHIRD", "FLATE"] {
        assert_eq!(owner(&house, filler), references[1], "{filler}");
    }
    // And the end of the chain.
    unmerge(&house, &ids[2]);
    for filler in ["FTHIRD", "FLATE"] {
        assert_eq!(owner(&house, filler), references[2], "{filler}");
    }
    assert_eq!(owner(&house, &format!("F{}", again.number)), references[1]);
    in_order(&house);
}

#[test]
fn an_unmerge_before_either_number_was_seen_parts_what_came_under_each() {
    let house = House::new();
    let mut hospital = Hospital::new("U", 1);
    let (person, again) = twice(1);
    assert_eq!(house.fate(&hospital.merge("A40", &person, &again.number)), "delivered");
    assert_eq!(house.fate(&hospital.report(&again, "1", "F", 2)), "delivered");
    assert_eq!(house.fate(&hospital.report(&person, "2", "F", 2)), "delivered");
    let found = house.gateway.json(&[
        "persons",
        "find",
        "--number",
        &format!("HIS:{}", person.number),
        "--reason",
        "x",
    ]);
    let id = found["persons"][0]["id"].as_str().unwrap();
    let shown = house.gateway.json(&["persons", "show", id, "--reason", "x"]);
    let loser = shown["stands_for"][0].as_str().unwrap();
    unmerge(&house, loser);
    assert_eq!(owner(&house, "F1"), format!("Patient/{loser}"));
    assert_eq!(owner(&house, "F2"), format!("Patient/{id}"));
    assert_eq!(house.at_platform("Patient").len(), 2);
    in_order(&house);
}

#[test]
fn unmerges_in_the_middle_of_traffic_and_outages_turn_nothing_round() {
    let house = House::new();
    let mut hospital = Hospital::new("U", 1);
    house.platform.fault(Fault::Slow(Duration::from_millis(20)));
    let people: Vec<_> = (0..12).map(twice).collect();
    let mut messages = Vec::new();
    for (n, (person, again)) in people.iter().enumerate() {
        messages.push(hospital.adt("A01", person));
        messages.push(hospital.adt("A01", again));
        messages.push(hospital.report(again, &format!("{n}a"), "P", 3));
        messages.push(hospital.report(person, &format!("{n}b"), "P", 3));
    }
    house.accept(&messages);
    house.gateway.settled();
    let numbers: Vec<&str> = people.iter().map(|(_, again)| again.number.as_str()).collect();
    let ids = person_ids(&house, &numbers);
    house.platform.fault(Fault::Down);
    for (n, (person, again)) in people.iter().enumerate() {
        house.accept([
            &hospital.merge("A40", person, &again.number),
            &hospital.report(again, &format!("{n}a"), "F", 3),
            &hospital.report(again, &format!("{n}c"), "F", 3),
        ]);
    }
    house.gateway.wait_for("refined", |gateway| gateway.json(&["status"])["refine"]["behind"] == false);
    for (n, id) in ids.iter().enumerate() {
        house.gateway.cli(&["persons", "unmerge", id, "--reason", "x"]).unwrap();
        let (person, again) = &people[n];
        house.accept([
            &hospital.report(again, &format!("{n}a"), "C", 3),
            &hospital.report(person, &format!("{n}b"), "F", 3),
        ]);
        if n == ids.len() / 2 {
            house.platform.fault(Fault::Slow(Duration::from_millis(20)));
        }
    }
    house.gateway.settled();
    in_order(&house);
    for (n, id) in ids.iter().enumerate() {
        for filler in [format!("F{n}a"), format!("F{n}c")] {
            assert_eq!(owner(&house, &filler), format!("Patient/{id}"), "{filler}");
        }
        assert_ne!(owner(&house, &format!("F{n}b")), format!("Patient/{id}"));
    }
    let reports = house.at_platform("DiagnosticReport");
    let corrected = reports.iter().filter(|report| report["status"] == "corrected").count();
    assert_eq!((reports.len(), corrected), (36, 12));
    assert!(house.at_platform("Patient").iter().all(|patient| patient["active"].is_null()));
}
