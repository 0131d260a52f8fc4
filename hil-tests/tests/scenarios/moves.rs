//! Visits, accounts and numbers that were somebody else's or had another number, and persons that are linked.

use hil_tests::gateway::LIVE;
use hil_tests::hospital::{Hospital, Person};
use serde_json::Value;

use crate::House;
use crate::merges::{in_order, links, patient, reference, twice};

/// A report that says which visit it belongs to.
fn in_visit((id, bytes): (String, Vec<u8>), visit: &str) -> (String, Vec<u8>) {
    let text = String::from_utf8(bytes).unwrap();
    let pv1 = format!("\rPV1|1|I{}{visit}^^^HIS\rOBR|", "|".repeat(17));
    (id, text.replacen("\rOBR|", &pv1, 1).into_bytes())
}

/// MRG of a person and a visit.
fn mrg(person: &str, visit: &str) -> String {
    let person = if person.is_empty() { String::new() } else { format!("{person}^^^HIS^MR") };
    format!("{person}||||{visit}^^^HIS")
}

/// How many resources of each type are about a person: Encounter, Condition, DiagnosticReport, Observation.
fn about(house: &House, person: &Person) -> [usize; 4] {
    let own = reference(patient(&house.at_platform("Patient"), &person.number));
    ["Encounter", "Condition", "DiagnosticReport", "Observation"].map(|kind| {
        house.at_platform(kind).iter().filter(|r| r["subject"]["reference"] == own.as_str()).count()
    })
}

/// The visit that goes by a number.
fn visit(house: &House, number: &str) -> Value {
    let own = |visit: &Value| visit["identifier"][0]["value"] == number;
    let visits = house.at_platform("Encounter");
    visits.iter().find(|visit| own(visit)).unwrap_or_else(|| panic!("{number}: {visits:#?}")).clone()
}

/// The numbers of a visit, those that it had before with a minus.
fn numbers(visit: &Value) -> Vec<String> {
    let number =
        |i: &Value| format!("{}{}", if i["use"] == "old" { "-" } else { "" }, i["value"].as_str().unwrap());
    visit["identifier"].as_array().unwrap().iter().map(number).collect()
}

fn quarantined(house: &House, message: &(String, Vec<u8>)) -> String {
    assert_eq!(house.fate(message), "quarantined");
    house.reason(&message.0)
}

fn release(house: &House, control_id: &str) {
    let captures = house.gateway.captures();
    let id = captures.iter().find(|c| c["control_id"] == control_id).unwrap()["id"].as_str().unwrap();
    assert!(house.gateway.cli(&["captures", "release", id]).is_ok());
    house.gateway.settled();
    assert_eq!(house.gateway.fates(control_id), ["delivered"]);
}

#[test]
fn a_visit_on_the_wrong_person_is_moved_with_everything_that_was_made_in_it() {
    let house = House::new();
    let mut hospital = Hospital::new("M", 1);
    let (wrong, right) = (Person::numbered(1), Person::numbered(2));
    let stay = wrong.visit.as_str();
    let messages = [
        hospital.adt("A01", &wrong),
        hospital.adt("A01", &right),
        in_visit(hospital.report(&wrong, "1", "P", 2), stay),
        hospital.report(&wrong, "OWN", "F", 2),
    ];
    house.accept(&messages);
    house.gateway.settled();
    assert_eq!((about(&house, &wrong), about(&house, &right)), ([1, 1, 2, 4], [1, 1, 0, 0]));
    let before = visit(&house, stay)["id"].clone();

    let moved = |hospital: &mut Hospital, to: &Person, from: &Person| {
        hospital.moves("A45", to, "", &mrg(&from.number, stay), stay)
    };
    assert_eq!(house.fate(&moved(&mut hospital, &right, &wrong)), "delivered");
    assert_eq!((about(&house, &wrong), about(&house, &right)), ([0, 0, 1, 2], [2, 2, 1, 2]));
    assert_eq!(visit(&house, stay)["id"], before, "it keeps its id");

    // Who has not heard of it goes on under the wrong person; who has does not.
    let late = [
        hospital.report(&wrong, "1", "F", 2),
        in_visit(hospital.report(&wrong, "2", "F", 2), stay),
        hospital.report(&right, "1", "C", 2),
        hospital.adt("A03", &wrong),
        moved(&mut hospital, &right, &wrong),
    ];
    for message in &late {
        assert_eq!(house.fate(message), "delivered");
    }
    assert_eq!((about(&house, &wrong), about(&house, &right)), ([0, 0, 1, 2], [2, 2, 2, 4]));
    assert_eq!(visit(&house, stay)["status"], "finished");
    let reports = house.at_platform("DiagnosticReport");
    assert_eq!(reports.iter().filter(|report| report["status"] == "corrected").count(), 1);
    // The wrong person has visits of his own again, and gets this one back.
    let again = Person { visit: "AGAIN".to_owned(), ..wrong.clone() };
    for message in [hospital.adt("A01", &again), moved(&mut hospital, &wrong, &right)] {
        assert_eq!(house.fate(&message), "delivered");
    }
    assert_eq!((about(&house, &wrong), about(&house, &right)), ([2, 2, 3, 6], [1, 1, 0, 0]));
    in_order(&house);
}

#[test]
fn registering_reporting_moving_and_merging_end_the_same_in_every_order() {
    let house = House::new();
    let mut hospital = Hospital::new("M", 1);
    let mut messages = Vec::new();
    let mut ends = Vec::new();
    for n in 0..24 {
        let (wrong, (person, again)) = (Person::numbered(100 + n), twice(n));
        let stay = wrong.visit.as_str();
        let story = [
            hospital.adt("A01", &wrong),
            in_visit(hospital.report(&wrong, &format!("{n}"), "F", 1), stay),
            hospital.moves("A45", &again, "", &mrg(&wrong.number, stay), stay),
            hospital.merge("A40", &person, &again.number),
        ];
        let mut left = vec![0, 1, 2, 3];
        let order = [n / 6, n % 6 / 2, n % 2, 0].map(|at| left.remove(at));
        messages.extend(order.map(|at| story[at].clone()));
        ends.push((order, wrong, person));
    }
    house.accept(&messages);
    house.gateway.settled();
    let quarantined: Vec<_> =
        house.gateway.captures().into_iter().filter(|c| c["outcome"] == "quarantined").collect();
    assert!(quarantined.is_empty(), "{quarantined:#?}");
    for (order, wrong, person) in &ends {
        assert_eq!(about(&house, person), [1, 1, 1, 1], "{order:?}");
        assert_eq!(visit(&house, &wrong.visit)["status"], "in-progress", "{order:?}");
    }
    in_order(&house);
}

#[test]
fn a_move_that_contradicts_what_is_held_waits_for_somebody() {
    let house = House::new();
    let mut hospital = Hospital::new("M", 1);
    let (one, two, three) = (Person::numbered(1), Person::numbered(2), Person::numbered(3));
    for who in [&one, &two, &three] {
        assert_eq!(house.fate(&hospital.adt("A01", who)), "delivered");
    }
    let stay = one.visit.as_str();
    let held = hospital.moves("A45", &two, "", &mrg(&three.number, stay), stay);
    assert_eq!(quarantined(&house, &held), "move-held", "the visit is not the third one's");
    let mut reason = |event: &str, mrg: &str, visit: &str| {
        quarantined(&house, &hospital.moves(event, &two, "", mrg, visit))
    };
    assert_eq!(reason("A45", &mrg("", stay), stay), "no-prior-number");
    assert_eq!(reason("A42", &two.number, &two.visit), "no-prior-visit");
    assert_eq!(reason("A50", &mrg("", &two.visit), &two.visit), "merge-self");
    assert_eq!(reason("A50", &mrg("", stay), "NEW"), "move-held", "the old number is another one's visit");
    assert_eq!(
        reason("A50", &mrg("", &two.visit), stay),
        "move-held",
        "the new number is another one's visit"
    );
    assert_eq!(reason("A24", "", ""), "no-second-person");
    assert_eq!(reason("A43", &mrg("", ""), ""), "no-prior-number");
    let bare = Person { resident: String::new(), ..two.clone() };
    let nobody = hospital.moves("A43", &bare, "", &format!("{}^^^HIS^MR", two.number), "");
    assert_eq!(quarantined(&house, &nobody), "no-move-target");
    assert_eq!((about(&house, &one), about(&house, &two)), ([1, 1, 0, 0], [1, 1, 0, 0]));
    // Somebody has looked into it.
    release(&house, &held.0);
    assert_eq!((about(&house, &one), about(&house, &two)), ([0, 0, 0, 0], [2, 2, 0, 0]));
    in_order(&house);
}

#[test]
fn a_feed_moves_and_merges_only_what_it_is_the_authority_for() {
    for (authority, event, reason) in [
        ("\"demographics\", \"encounter\"", "A45", "no-merge-authority"),
        ("\"identity\", \"demographics\"", "A45", "no-visit-authority"),
        ("\"identity\", \"demographics\"", "A50", "no-visit-authority"),
        ("\"demographics\", \"encounter\"", "A43", "no-merge-authority"),
    ] {
        let house = House::with(&format!("{LIVE}authority = [{authority}]\n"));
        let mut hospital = Hospital::new("M", 1);
        let other = Person::numbered(2);
        let message = hospital.moves(event, &Person::numbered(1), "", &mrg(&other.number, "V"), "NEW");
        assert_eq!(quarantined(&house, &message), reason, "{authority} {event}");
    }
}

#[test]
fn visits_are_merged_and_renumbered_and_both_numbers_lead_to_what_was_made_in_them() {
    let house = House::new();
    let mut hospital = Hospital::new("M", 1);
    let person = Person::numbered(1);
    let with = |visit: &str| Person { visit: visit.to_owned(), ..person.clone() };
    let messages = [
        hospital.adt("A01", &with("V1")),
        hospital.adt("A01", &with("V2")),
        in_visit(hospital.report(&person, "1", "F", 1), "V1"),
        hospital.moves("A42", &person, "", &mrg(&person.number, "V1"), "V2"),
    ];
    for message in &messages {
        assert_eq!(house.fate(message), "delivered");
    }
    let (lost, kept) = (visit(&house, "V1"), visit(&house, "V2"));
    let id = |visit: &Value| format!("Encounter/{}", visit["id"].as_str().unwrap());
    assert_eq!((&lost["status"], &kept["status"]), (&"entered-in-error".into(), &"in-progress".into()));
    assert_eq!(lost["extension"][1]["valueReference"]["reference"], id(&kept).as_str());
    assert_eq!(numbers(&kept), ["V2", "-V1"]);
    assert_eq!(house.at_platform("DiagnosticReport")[0]["encounter"]["reference"], id(&kept).as_str());
    // The diagnosis of the visit that goes is one of the visit that stays already.
    let wrong = |c: &Value| c["verificationStatus"]["coding"][0]["code"] == "entered-in-error";
    let conditions = house.at_platform("Condition");
    assert_eq!(conditions.iter().filter(|c| wrong(c)).count(), 1);
    assert!(conditions.iter().all(|c| c["encounter"]["reference"] == id(&kept).as_str()));

    // Said again it changes nothing; the other way round it waits; the old number leads to the visit that stays.
    let again = hospital.moves("A42", &person, "", &mrg(&person.number, "V1"), "V2");
    let inverse = hospital.moves("A42", &person, "", &mrg(&person.number, "V2"), "V1");
    assert_eq!(house.fate(&again), "delivered");
    assert_eq!(quarantined(&house, &inverse), "merge-inverse");
    assert_eq!(house.fate(&hospital.step("A03", &with("V1"), "内科", "I", "")), "delivered");
    assert_eq!(visit(&house, "V2")["status"], "finished");
    assert_eq!(visit(&house, "V1")["status"], "entered-in-error");

    // Another number: the same visit, by the new one and by all old ones.
    assert_eq!(house.fate(&hospital.moves("A50", &person, "", &mrg("", "V2"), "V3")), "delivered");
    let renumbered = visit(&house, "V3");
    assert_eq!(
        (&renumbered["id"], numbers(&renumbered)),
        (&kept["id"], vec!["V3".into(), "-V1".into(), "-V2".into()])
    );
    for (number, event, status) in
        [("V2", "A13", "in-progress"), ("V3", "A03", "finished"), ("V1", "A13", "in-progress")]
    {
        assert_eq!(house.fate(&hospital.step(event, &with(number), "内科", "I", "")), "delivered");
        assert_eq!(visit(&house, "V3")["status"], status, "{event} under {number}");
    }
    assert_eq!(house.at_platform("Encounter").len(), 2);
    // A06 gives the outpatient's visit the inpatient's number.
    let inward = hospital.moves("A06", &person, "", &mrg("", "V3"), "V4");
    assert_eq!(house.fate(&inward), "delivered");
    assert_eq!(visit(&house, "V4")["id"], kept["id"]);
    in_order(&house);
}

#[test]
fn accounts_are_merged_renumbered_and_moved_with_their_visits() {
    let house = House::new();
    let mut hospital = Hospital::new("M", 1);
    let (person, other) = (Person::numbered(1), Person::numbered(2));
    let with = |visit: &str| Person { visit: visit.to_owned(), ..person.clone() };
    let account = |house: &House, number: &str| {
        visit(house, number)["account"][0]["identifier"]["value"].as_str().unwrap().to_owned()
    };
    let held = format!("ZH{}", person.number);
    for message in
        [hospital.update(&with("V1"), &[]), hospital.update(&with("V2"), &[]), hospital.update(&other, &[])]
    {
        assert_eq!(house.fate(&message), "delivered");
    }
    let merged = hospital.moves("A41", &person, "ZH-NEW", &format!("||{held}^^^HIS"), "");
    assert_eq!(house.fate(&merged), "delivered");
    for number in ["V1", "V2"] {
        assert_eq!(account(&house, number), "ZH-NEW");
        assert!(numbers(&visit(&house, number)).contains(&format!("-{held}")));
    }
    // Who has not heard of the new number changes nothing.
    assert_eq!(house.fate(&hospital.update(&with("V1"), &[])), "delivered");
    assert_eq!(account(&house, "V1"), "ZH-NEW");
    let renumbered =
        hospital.moves("A49", &person, "ZH-3", &format!("{}^^^HIS^MR||ZH-NEW^^^HIS", person.number), "");
    assert_eq!(house.fate(&renumbered), "delivered");
    assert_eq!(account(&house, "V2"), "ZH-3");
    let moved = hospital.moves("A44", &other, "ZH-3", &format!("{}^^^HIS^MR||ZH-3^^^HIS", person.number), "");
    assert_eq!(house.fate(&moved), "delivered");
    assert_eq!((about(&house, &person)[0], about(&house, &other)[0]), (0, 3));
    let without = hospital.moves("A41", &person, "", &format!("||{held}^^^HIS"), "");
    assert_eq!(quarantined(&house, &without), "no-prior-visit");
    in_order(&house);
}

#[test]
fn a_number_that_was_the_wrong_persons_takes_along_what_came_under_it() {
    let house = House::new();
    let mut hospital = Hospital::new("M", 1);
    let (wrong, right) = (Person::numbered(1), Person::numbered(2));
    let card = Person { number: "CARD".to_owned(), resident: String::new(), ..wrong.clone() };
    let both = format!("{}^^^HIS^MR~CARD^^^HIS^MR", wrong.number);
    let registered = format!("EVN|A04|{}\r{}", hospital.time(), wrong.pid_with(&both));
    let messages = [
        hospital.message("ADT^A04", &registered),
        hospital.adt("A01", &right),
        hospital.report(&card, "CARD", "F", 1),
        hospital.report(&wrong, "OWN", "F", 1),
        hospital.moves("A43", &right, "", "CARD^^^HIS^MR", ""),
        hospital.report(&card, "LATE", "F", 1),
    ];
    for message in &messages {
        assert_eq!(house.fate(message), "delivered");
    }
    assert_eq!((about(&house, &wrong)[2], about(&house, &right)[2]), (1, 2));
    let holds = |person: &Person| {
        let patients = house.at_platform("Patient");
        patient(&patients, &person.number)["identifier"].to_string().contains("\"CARD\"")
    };
    assert_eq!((holds(&wrong), holds(&right)), (false, true));
    in_order(&house);
}

#[test]
fn persons_are_linked_and_parted_as_was_said_last_and_a_merge_is_taken_back() {
    let house = House::new();
    let mut hospital = Hospital::new("M", 1);
    let seealso = |house: &House, person: &Person| {
        let patients = house.at_platform("Patient");
        links(patient(&patients, &person.number)).iter().filter(|(kind, _)| *kind == "seealso").count()
    };
    let (person, again) = twice(1);
    for message in [hospital.adt("A01", &person), hospital.adt("A01", &again)] {
        assert_eq!(house.fate(&message), "delivered");
    }
    for (event, linked) in [("A24", 1), ("A24", 1), ("A37", 0), ("A37", 0), ("A24", 1)] {
        assert_eq!(house.fate(&hospital.pair(event, &person, &again)), "delivered");
        assert_eq!((seealso(&house, &person), seealso(&house, &again)), (linked, linked), "{event}");
    }
    // What was said first and arrives last changes nothing.
    let (early, late) = (hospital.pair("A24", &person, &again), hospital.pair("A37", &person, &again));
    for (message, fate) in [(&late, "delivered"), (&early, "superseded")] {
        assert_eq!(house.fate(message), fate);
        assert_eq!(seealso(&house, &person), 0);
    }
    // After a merge, to part them is to take it back.
    let report = hospital.report(&again, "1", "F", 1);
    let merged = hospital.merge("A40", &person, &again.number);
    let parted = hospital.pair("A37", &person, &again);
    for (message, reports) in [(&report, [0, 1]), (&merged, [1, 0]), (&parted, [0, 1])] {
        assert_eq!(house.fate(message), "delivered");
        assert_eq!([about(&house, &person)[2], about(&house, &again)[2]], reports);
    }
    assert!(links(patient(&house.at_platform("Patient"), &again.number)).is_empty());
    in_order(&house);
}
