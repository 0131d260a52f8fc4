//! A visit ends in the same state in whatever order its messages arrive.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use jiff::Timestamp;
use jiff::tz::TimeZone;
use model::{
    Attending, Encounter, EncounterChange, EncounterStatus, Field, Number, NumberKind, PartialTime, Scope,
    VisitStep,
};
use proptest::prelude::*;

/// What a message of each event says, besides what everyone says: nothing about the rest.
const EVENTS: [&str; 12] =
    ["A05", "A04", "A01", "A02", "A12", "A06", "A21", "A22", "A08", "A03", "A13", "A11"];
const WARDS: [&str; 4] = ["\u{5185}\u{79d1}", "\u{5916}\u{79d1}", "\u{9aa8}\u{79d1}", "\u{6025}\u{8bca}"];

fn time(minute: usize) -> PartialTime {
    let written = format!("20261124{:02}{:02}00", 8 + minute / 60, minute % 60);
    PartialTime::read(&written, None, &TimeZone::UTC).unwrap()
}

fn number() -> Number {
    Number { kind: NumberKind::Visit, space: "HIS".to_owned(), scope: Scope::Global, value: "V1".to_owned() }
}

/// The message of an event, sent at a minute.
fn message(event: &str, minute: usize, ward: usize, said: bool) -> (Timestamp, EncounterChange) {
    use EncounterStatus::{Arrived, Cancelled, Finished, InProgress, OnLeave, Planned};
    let at = time(minute);
    let status = match event {
        "A05" => Some(Planned),
        "A04" => Some(Arrived),
        "A08" => None,
        "A21" => Some(OnLeave),
        "A03" => Some(Finished),
        "A11" => Some(Cancelled),
        _ => Some(InProgress),
    };
    let step = match event {
        "A02" => VisitStep::Transfer,
        "A12" => VisitStep::TransferCancelled,
        "A06" => VisitStep::ClassChange,
        _ => VisitStep::Statement,
    };
    let doctor = Attending { number: Some(format!("D{minute}")), name: None };
    let change = EncounterChange {
        number: number(),
        other_numbers: Vec::new(),
        old_numbers: Vec::new(),
        account: Field::Absent,
        status,
        class_source: if said { ["E", "I", "O"][ward % 3].to_owned() } else { String::new() },
        start: if event == "A01" { Field::Value(at.clone()) } else { Field::Absent },
        end: match event {
            "A03" => Field::Value(at.clone()),
            "A13" => Field::Null,
            _ => Field::Absent,
        },
        expected_start: Field::Absent,
        expected_end: Field::Absent,
        location: match (event, said) {
            ("A02", _) | (_, true) => Field::Value(WARDS[ward % 4].to_owned()),
            ("A08", false) if ward == 0 => Field::Null,
            _ => Field::Absent,
        },
        prior_location: None,
        step,
        at: Some(at.clone()),
        attending: match (ward, said) {
            (0, true) => Field::Null,
            (_, true) => Field::Value(doctor.clone()),
            _ => Field::Absent,
        },
        referring: Field::Absent,
        consulting: if ward == 3 { Field::Value(vec![doctor]) } else { Field::Absent },
        admitting: Field::Absent,
        service: Field::Absent,
        admit_source: Field::Absent,
        disposition: Field::Absent,
        reason: Field::Absent,
        diagnoses_listed: Vec::new(),
        marks: Vec::new(),
    };
    (at.earliest(), change)
}

/// The visit after these messages have arrived in this order.
fn visit(arrived: &[(Timestamp, EncounterChange)]) -> Encounter {
    let mut held = None;
    for (at, change) in arrived {
        held = Some(Encounter::apply(held, change.clone(), *at, false));
    }
    held.unwrap_or_else(|| Encounter::new(number()))
}

/// Calls `each` with every order of the items.
fn orders<T: Clone>(items: &mut Vec<T>, from: usize, each: &mut impl FnMut(&[T])) {
    if from == items.len() {
        return each(items);
    }
    for n in from..items.len() {
        items.swap(from, n);
        orders(items, from + 1, each);
        items.swap(from, n);
    }
}

#[test]
fn every_order_of_a_whole_stay_ends_in_the_same_visit() {
    for story in [
        ["A01", "A02", "A08", "A02", "A12", "A03", "A13"],
        ["A05", "A01", "A02", "A03", "A13", "A08", "A03"],
        ["A04", "A06", "A02", "A12", "A21", "A22", "A11"],
    ] {
        let mut messages: Vec<_> =
            story.iter().enumerate().map(|(n, event)| message(event, n, n, n % 2 == 0)).collect();
        let right = visit(&messages);
        let mut seen = 0;
        orders(&mut messages, 0, &mut |arrived| {
            assert_eq!(visit(arrived), right, "{story:?}");
            seen += 1;
        });
        assert_eq!(seen, 5040);
    }
}

#[test]
fn a_stay_that_was_discharged_and_taken_back_is_open_and_one_that_was_called_off_is_cancelled() {
    let told = |story: &[(&str, usize)]| {
        let messages: Vec<_> =
            story.iter().enumerate().map(|(n, (event, ward))| message(event, n, *ward, true)).collect();
        visit(&messages)
    };
    let back = told(&[("A13", 1), ("A01", 1), ("A03", 1)]);
    assert_eq!((back.status, back.end.is_some()), (EncounterStatus::Finished, true), "said last");
    let mut late = [message("A13", 9, 1, true), message("A01", 1, 1, true), message("A03", 5, 1, true)];
    let open = visit(&late);
    assert_eq!((open.status, open.end, open.start), (EncounterStatus::InProgress, None, Some(time(1))));
    late[0] = message("A11", 9, 1, true);
    assert_eq!(visit(&late).status, EncounterStatus::Cancelled);
    // The transfer that was called off is no part of the history, wherever it comes in.
    let moved = [("A01", 1, 0), ("A02", 2, 1), ("A02", 3, 2), ("A12", 4, 1)];
    let mut moved: Vec<_> = moved.iter().map(|(event, at, ward)| message(event, *at, *ward, true)).collect();
    moved.reverse();
    let moved = visit(&moved);
    assert_eq!(moved.location.as_deref(), Some(WARDS[1]));
    let earlier: Vec<_> = moved.earlier_locations.iter().map(|place| place.location.as_str()).collect();
    assert_eq!(earlier, [WARDS[0]]);
}

proptest! {
    #[test]
    fn any_story_ends_the_same_in_any_order(
        story in prop::collection::vec((0..EVENTS.len(), 0..4_usize, any::<bool>()), 1..14),
        keys in prop::collection::vec(any::<u64>(), 14),
    ) {
        let messages: Vec<_> = story
            .iter()
            .enumerate()
            .map(|(n, (event, ward, said))| message(EVENTS[*event], n, *ward, *said))
            .collect();
        let mut arrived: Vec<_> = messages.iter().cloned().zip(keys).collect();
        arrived.sort_by_key(|(_, key)| *key);
        let arrived: Vec<_> = arrived.into_iter().map(|(message, _)| message).collect();
        prop_assert_eq!(visit(&arrived), visit(&messages));
    }

    #[test]
    fn a_visit_of_any_length_holds_a_bounded_story(wards in prop::collection::vec(0..4_usize, 1..120)) {
        let mut messages: Vec<_> = wards.iter().enumerate().map(|(n, ward)| message("A08", n, *ward, true)).collect();
        let last = WARDS[wards[wards.len() - 1]];
        messages.rotate_left(wards.len() / 3);
        let visit = visit(&messages);
        prop_assert!(visit.places.len() <= 32 && visit.classes.len() <= 32);
        prop_assert_eq!(visit.location.as_deref(), Some(last));
    }
}
