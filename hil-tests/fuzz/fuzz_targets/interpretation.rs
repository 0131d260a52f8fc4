//! Interpretation and what it renders to: no panic, every OBX is a result, a line of one or a reason, the way lines end
//! changes nothing, saying the same twice changes nothing, and what goes up is JSON that FHIR allows.
//!
//! The first byte chooses a header for the rest, so that the fuzzer need not find one; some keep what is there.

#![no_main]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use feed::{CaptureId, FeedName};
use hl7::{Message, charset};
use interpret::{Context, Interpretation, Meaning, Numbers, Reason};
use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;
use model::{Body, Change, Encounter, IdKey, Person, Position, Provenance, Record, Report};
use render::fhir::{Refused, Site, position_of};
use serde_json::Value;

const KINDS: [&str; 24] = [
    "ORU^R01", "ORU^R32", "OUL^R21", "OUL^R22", "OUL^R24", "ADT^A01", "ADT^A02", "ADT^A08", "ADT^A12",
    "ADT^A13", "ADT^A23", "ADT^A29", "ADT^A40", "ADT^A45", "ADT^A47", "QBP^Q22", "QBP^Q23", "MDM^T02",
    "SIU^S12", "VXU^V04", "ORM^O01", "OML^O21", "OMG^O19", "MDM^T06",
];

static CONTEXT: LazyLock<Context> = LazyLock::new(|| Context {
    feed: FeedName::new("his").expect("a name"),
    zone: TimeZone::fixed(jiff::tz::offset(8)),
    identifiers: [
        ("MR", Meaning::Authority("HIS".to_owned())),
        ("NI", Meaning::ResidentId),
        ("JKK", Meaning::HealthCode),
    ]
    .map(|(key, meaning)| (key.to_owned(), meaning))
    .into(),
    dummy: ["0".to_owned()].into(),
    numbers: Numbers::default(),
    codes: std::sync::Arc::default(),
});

static SITE: LazyLock<Site> = LazyLock::new(|| Site {
    organization: "12330100470000000A".to_owned(),
    name: "\u{533b}\u{9662}".to_owned(),
    device: "fuzz-1".to_owned(),
    codes: std::sync::Arc::default(),
    id_key: IdKey::new(&[7; 32]),
});

fuzz_target!(|data: &[u8]| {
    let Some((choice, body)) = data.split_first() else { return };
    let raw = match KINDS.get(usize::from(*choice)) {
        Some(kind) => {
            let header =
                format!("MSH|^~\\&|SIM|H1|GW|R|20261124081500||{kind}|C1|P|2.5||||||UNICODE UTF-8\r");
            [header.as_bytes(), String::from_utf8_lossy(body).as_bytes()].concat()
        }
        None => body.to_vec(),
    };
    let Ok(message) = Message::read(&raw, charset::Default::Auto, None) else { return };
    let _ = interpret::query(&message, &CONTEXT);
    let interpreted = interpret::hl7(&message, &CONTEXT);
    for end in ["\n", "\r\n"] {
        let lines: Vec<&str> = message.segments().map(|segment| segment.raw()).collect();
        let written = message.charset().encode(&lines.join(end));
        // A character that this set cannot write is no fault of the interpretation.
        if message.charset().decode(&written).is_none_or(|text| {
            text.split(['\r', '\n']).filter(|line| !line.is_empty()).ne(lines.iter().copied())
        }) {
            continue;
        }
        let Ok(again) = Message::read(&written, charset::Default::Fixed(message.charset()), None) else {
            continue;
        };
        assert_eq!(interpret::hl7(&again, &CONTEXT), interpreted, "line ends are no content");
    }
    match interpreted {
        Interpretation::Changes(changes) => {
            conserved(&message, &changes);
            changes.into_iter().for_each(rendered);
        }
        Interpretation::Quarantine(reason) => said(reason),
        Interpretation::NotInterpreted { .. } | Interpretation::Test { .. } => {}
    }
});

/// A reason has a code of its own and a text that says what to do.
fn said(reason: Reason) {
    let plain = |c: char| c.is_ascii_lowercase() || c == '-';
    assert!(reason.code().chars().all(plain) && reason.to_string().len() > 20);
}

/// Each OBX of a report is a result or a line of the text before it.
fn conserved(message: &Message, changes: &[Change]) {
    assert!(!changes.is_empty());
    if changes.iter().all(|change| change.reports.is_empty()) {
        return;
    }
    let obx: Vec<_> = message.segments_named("OBX").collect();
    let text = obx.iter().filter(|obx| matches!(obx.field(2).text().trim(), "TX" | "FT")).count();
    let reports = || changes.iter().flat_map(|change| &change.reports).map(|stated| &stated.report);
    let results: usize = reports().map(|report| report.results.len()).sum();
    assert!(results <= obx.len() && results + text.saturating_sub(1) >= obx.len());
    for report in reports() {
        let keys: BTreeSet<_> = report.results.iter().map(|result| &result.key).collect();
        assert_eq!(keys.len(), report.results.len(), "each result has a key of its own");
    }
}

fn rendered(change: Change) {
    let id = SITE.id_key.id("fuzz", &[]);
    let position =
        Position { event: jiff::Timestamp::UNIX_EPOCH, capture: CaptureId::new(1, 2), revision: 3 };
    let record = |body, marks| Record {
        id,
        person: SITE.id_key.person(&["fuzz"]),
        position,
        provenance: Provenance {
            capture: CaptureId::new(1, 2),
            feed: CONTEXT.feed.clone(),
            received: jiff::Timestamp::UNIX_EPOCH,
            control_id: change.trigger.control_id.clone(),
            trigger: "FUZZ".to_owned(),
            facility: change.trigger.facility.clone(),
            application: change.trigger.application.clone(),
            event: change.event.clone(),
        },
        came_with: change.person.identifiers.first().cloned(),
        encounter: None,
        marks,
        body,
    };
    let mut person = Person::default();
    person.apply(change.person.clone(), true);
    let once = person.clone();
    person.apply(change.person.clone(), true);
    assert_eq!(person, once);
    check(&record(Body::Person(Box::new(person)), change.person.marks.clone()), 0);
    if let Some(visit) = &change.encounter {
        let held = Encounter::apply(None, visit.clone(), position.event, false);
        check(&record(Body::Encounter(Box::new(held)), visit.marks.clone()), 0);
    }
    for attachment in &change.attachments {
        check(&record(Body::Attachment(Box::new(attachment.clone())), Vec::new()), 0);
    }
    for stated in &change.reports {
        let (report, first) = Report::apply(None, stated.clone());
        assert!(first.changed && !first.withdrawn);
        let (again, second) = Report::apply(Some(report.clone()), stated.clone());
        assert!(!second.withdrawn && !second.order_unclear && second.older == 0);
        assert_eq!(again, report, "saying it twice changes nothing");
        let results = report.results.len();
        check(&record(Body::Report(Box::new(report)), stated.marks.clone()), results);
    }
}

/// A record survives storage, and renders the same twice to JSON that FHIR allows.
fn check(record: &Record, results: usize) {
    let stored = serde_json::to_vec(record).expect("a record can be stored");
    assert_eq!(serde_json::from_slice::<Record>(&stored).expect("and read"), *record);
    let entries = render::fhir::record(record, &SITE, &Refused::default());
    assert_eq!(entries, render::fhir::record(record, &SITE, &Refused::default()));
    for entry in &entries {
        let resource: Value = serde_json::from_slice(&entry.body).expect("JSON");
        allowed(&resource);
        assert_eq!(resource["resourceType"], entry.kind);
        assert_eq!(position_of(&entry.body), Some(record.position));
    }
    let of = |kind: &str| entries.iter().filter(|entry| entry.kind == kind).count();
    assert!(of("Observation") >= results, "each result goes up");
}

/// FHIR has no null, no empty text, list or object, and no control characters.
fn allowed(value: &Value) {
    match value {
        Value::Null => panic!("null"),
        Value::String(text) => {
            assert!(!text.chars().all(|c| c.is_whitespace() || c == '\u{feff}'), "empty text");
            assert!(
                !text.chars().any(|c| c.is_control() && !"\t\r\n".contains(c) && c < ' '),
                "control character"
            );
        }
        Value::Array(items) => {
            assert!(!items.is_empty(), "empty list");
            items.iter().for_each(allowed);
        }
        Value::Object(fields) => {
            assert!(!fields.is_empty(), "empty object");
            fields.values().for_each(allowed);
        }
        Value::Bool(_) | Value::Number(_) => {}
    }
}
