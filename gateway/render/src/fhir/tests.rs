//! Whole renderings.

use feed::{CaptureId, FeedName};
use jiff::tz::TimeZone;
use model::{
    Absent, Coded, Comparator, Identifier, IdentifierKind, LabResult, Mark, Number, NumberKind, PartialTime,
    Person, PersonId, PersonName, Position, Provenance, ReferenceRange, Report, ReportStatus, ResultKey,
    ResultStatus, Scope, Sex, Trust, Value,
};
use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;

fn site() -> Site {
    let name = "\u{793a}\u{8303}\u{533b}\u{9662}".to_owned();
    Site { organization: "12330100470000000A".to_owned(), name, id_key: IdKey::new(&[7; 32]) }
}

fn time(text: &str) -> PartialTime {
    PartialTime::read(text, None, &TimeZone::fixed(jiff::tz::offset(8))).unwrap()
}

fn made(body: Body) -> Record {
    let capture = CaptureId::new(3, 14);
    Record {
        id: IdKey::new(&[7; 32]).id("test", &["1"]),
        person: PersonId::from_bytes([0x11; 16]),
        position: Position { event: "2026-11-24T00:15:00.123456Z".parse().unwrap(), capture, revision: 1 },
        provenance: Provenance {
            capture,
            feed: FeedName::new("lis").unwrap(),
            received: "2026-11-24T00:15:01Z".parse().unwrap(),
            control_id: "A/1 \u{53f7}".to_owned(),
            trigger: "ORU^R01".to_owned(),
            facility: None,
            application: None,
            event: None,
        },
        came_with: None,
        encounter: None,
        marks: vec![Mark::WeakId],
        body,
    }
}

fn result(code: &str, value: Value) -> LabResult {
    LabResult {
        key: ResultKey { code: code.to_owned(), sub_id: String::new(), instance: String::new(), repeat: 0 },
        code: Coded::of(code, Some("\u{8840}\u{94a0}"), Some("L")),
        value,
        unit: Some(Coded::of("mmol/L", None, None)),
        range: Some(ReferenceRange {
            low: Some("135.0".to_owned()),
            high: Some("145.0".to_owned()),
            text: "135.0-145.0".to_owned(),
        }),
        flags: vec!["\u{2191}".to_owned(), "XX".to_owned()],
        status: ResultStatus::Final,
        status_source: "F".to_owned(),
        observed: None,
        analysed: None,
        stated: None,
        method: None,
        notes: Vec::new(),
        withdrawn: false,
        order_unclear: false,
        doubtful: vec!["OBX-14".to_owned()],
    }
}

fn number(decimal: &str) -> Value {
    Value::Number { comparator: None, decimal: decimal.to_owned(), source: decimal.to_owned() }
}

fn lab(results: Vec<LabResult>) -> Record {
    made(Body::Report(Box::new(Report {
        filler: Some(Number {
            kind: NumberKind::Filler,
            space: "lis".to_owned(),
            scope: Scope::Year,
            value: "F1".to_owned(),
        }),
        service: Coded::of("CBC", None, None),
        status: ReportStatus::Final,
        effective: Some(time("20261124090000")),
        issued: Some(time("20261124")),
        results,
        ..Report::default()
    })))
}

fn parsed(entry: &Entry) -> Json {
    serde_json::from_slice(&entry.body).unwrap()
}

/// No empty text, list or object anywhere: FHIR has none.
fn assert_no_empties(json: &Json) {
    match json {
        Json::Null => panic!("null"),
        Json::String(text) => assert!(!text.trim().is_empty(), "empty text"),
        Json::Array(items) => {
            assert!(!items.is_empty(), "empty list");
            items.iter().for_each(assert_no_empties);
        }
        Json::Object(fields) => {
            assert!(!fields.is_empty(), "empty object");
            fields.values().for_each(assert_no_empties);
        }
        Json::Bool(_) | Json::Number(_) => {}
    }
}

#[test]
fn a_patient_shows_verified_numbers_and_keeps_claimed_ones_apart() {
    let mut person = Person {
        name: Some(PersonName {
            family: Some("\u{5f20}".to_owned()),
            given: vec!["\u{5f22}".to_owned()],
            kind: None,
        }),
        birth: Some(time("19491231")),
        sex: Some(Sex::Female),
        ..Person::default()
    };
    let assigned = IdentifierKind::Assigned { authority: "HIS".to_owned(), code: Some("MR".to_owned()) };
    person.hold(Identifier { kind: assigned, value: "M1".to_owned() }, Trust::Verified);
    let resident = |value: &str| Identifier { kind: IdentifierKind::ResidentId, value: value.to_owned() };
    person.hold(resident("11010519491231002X"), Trust::Verified);
    person.hold(resident("440524188001010014"), Trust::Claimed);
    let entries = record(&made(Body::Person(person)), &site(), &Refused::new());
    let json = parsed(&entries[0]);
    assert_no_empties(&json);
    insta::assert_snapshot!(serde_json::to_string_pretty(&json).unwrap());
}

#[test]
fn a_report_carries_its_results_with_their_own_digits() {
    let comparator = Some(Comparator::Less);
    let below = Value::Number { comparator, decimal: "0.01".to_owned(), source: "<0.01".to_owned() };
    let entries =
        record(&lab(vec![result("NA", number("135.0")), result("CRP", below)]), &site(), &Refused::new());
    let text = String::from_utf8(entries[0].body.clone()).unwrap();
    assert!(text.contains(r#""value":135.0,"#), "{text}");
    let all: Vec<Json> = entries.iter().map(parsed).collect();
    all.iter().for_each(assert_no_empties);
    insta::assert_snapshot!(serde_json::to_string_pretty(&all).unwrap());
}

#[test]
fn a_report_that_lacks_a_result_is_never_final() {
    let status = |record: &Record, refused: &Refused| {
        let entries = super::record(record, &site(), refused);
        parsed(entries.last().unwrap())["status"].as_str().unwrap().to_owned()
    };
    let whole = lab(vec![result("NA", number("135.0"))]);
    assert_eq!(status(&whole, &Refused::new()), "final");
    assert_eq!(status(&lab(vec![result("NA", Value::Absent(Absent::Masked))]), &Refused::new()), "partial");
    let id = record(&whole, &site(), &Refused::new())[0].id;
    let entries = record(&whole, &site(), &Refused::from([(id, Stage::WithoutValue)]));
    let reduced = parsed(&entries[0]);
    assert_eq!(reduced["dataAbsentReason"]["coding"][0]["code"], "error");
    assert_eq!(reduced.get("valueQuantity"), None);
    assert_eq!(status(&whole, &Refused::from([(id, Stage::WithoutValue)])), "partial");
    assert_eq!(status(&whole, &Refused::from([(id, Stage::LeftOut)])), "partial");
}

#[test]
fn the_position_is_read_back_as_it_was_written() {
    let record = lab(vec![result("NA", number("1"))]);
    for entry in super::record(&record, &site(), &Refused::new()) {
        assert_eq!(position_of(&entry.body), Some(record.position));
    }
    assert_eq!(position_of(br#"{"resourceType":"Patient","meta":{"versionId":"1"}}"#), None);
}

#[test]
fn a_bundle_puts_every_entry() {
    let entries = record(&lab(vec![result("NA", number("1"))]), &site(), &Refused::new());
    let bundle: Json = serde_json::from_slice(&bundle(&entries)).unwrap();
    let urls: Vec<_> =
        bundle["entry"].as_array().unwrap().iter().map(|e| e["request"]["url"].as_str().unwrap()).collect();
    assert_eq!(urls, entries.iter().map(Entry::url).collect::<Vec<_>>());
}

proptest! {
    #[test]
    fn any_text_gives_resources_without_empties(
        code in ".{0,12}", text in ".{0,20}", unit in ".{0,8}", range in ".{0,12}", flag in ".{0,4}", note in ".{0,12}",
        digits in "-?(0|[1-9][0-9]{0,6})(\\.[0-9]{1,4})?",
    ) {
        let mut one = result(&code, Value::Text(text));
        one.unit = Some(Coded::of(&unit, None, Some("UCUM")));
        one.range = Some(ReferenceRange { low: None, high: Some(digits.clone()), text: range });
        one.flags = vec![flag];
        one.notes = vec![note];
        let two = LabResult { value: number(&digits), ..one.clone() };
        for entry in record(&lab(vec![one, two]), &site(), &Refused::new()) {
            assert_no_empties(&parsed(&entry));
        }
    }

    #[test]
    fn digits_are_never_touched(digits in "-?(0|[1-9][0-9]{0,9})(\\.[0-9]{1,8})?") {
        let entries = record(&lab(vec![result("X", number(&digits))]), &site(), &Refused::new());
        let text = String::from_utf8(entries[0].body.clone()).unwrap();
        let expected = format!(r#""valueQuantity":{{"value":{digits},"#);
        prop_assert!(text.contains(&expected));
    }
}
