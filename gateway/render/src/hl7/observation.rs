//! OBX: one result.

use model::{Absent, Comparator, Content, Enclosure, LabResult, ResultStatus, Value};

use super::coded::coded;
use super::report::Contents;
use super::segment::{Segments, components, escaped};

pub(super) fn obx(out: &mut Segments, n: usize, result: &LabResult, contents: Contents<'_>) {
    let (kind, value) = value(&result.value, contents);
    let flags: Vec<String> = result.flags.iter().map(|flag| escaped(flag)).collect();
    out.begin("OBX")
        .field(1, n.to_string())
        .field(2, kind)
        .field(3, coded(&result.code))
        .field(4, escaped(&result.key.sub_id))
        .field(5, value)
        .maybe(6, result.unit.as_ref().map(unit))
        .maybe(7, result.range.as_ref().map(|range| escaped(&range.text)))
        .field(8, flags.join("~"))
        .field(11, status(result, contents))
        .maybe(14, result.observed.as_ref().map(model::PartialTime::to_dtm))
        .maybe(17, result.method.as_ref().map(coded))
        .maybe(19, result.analysed.as_ref().map(model::PartialTime::to_dtm))
        .field(21, escaped(&result.key.instance))
        .end();
}

/// A unit of which only the words are known is its own code: receivers read the first component.
fn unit(unit: &model::Coded) -> String {
    match (&unit.text, unit.codings.is_empty()) {
        (Some(text), true) => escaped(text),
        _ => coded(unit),
    }
}

/// OBX-2 and OBX-5. Numbers keep the digits and signs of their source.
fn value(value: &Value, contents: Contents<'_>) -> (&'static str, String) {
    match value {
        Value::Absent(_) => ("", String::new()),
        Value::Number { comparator: None, decimal, .. } => ("NM", escaped(decimal)),
        Value::Number { comparator: Some(sign), decimal, .. } => {
            ("SN", components(&[&escaped(self::sign(*sign)), &escaped(decimal)]))
        }
        Value::Text(text) if text.contains(['\r', '\n']) => ("FT", escaped(text)),
        Value::Text(text) => ("ST", escaped(text)),
        Value::Coded(codes) => ("CWE", codes.iter().map(coded).collect::<Vec<_>>().join("~")),
        Value::Ratio { comparator, numerator, denominator, .. } => {
            let sign = comparator.map(sign).unwrap_or_default();
            ("SN", components(&[&escaped(sign), &escaped(numerator), ":", &escaped(denominator)]))
        }
        Value::Range { low: Some(low), high: Some(high), .. } => {
            ("SN", components(&["", &escaped(low), "-", &escaped(high)]))
        }
        Value::Range { low, high, .. } => {
            let side = |limit: &Option<String>| limit.as_deref().map(escaped).unwrap_or_default();
            ("NR", components(&[&side(low), &side(high)]))
        }
        Value::Period { start, end } => {
            let side = |time: &Option<model::PartialTime>| {
                time.as_ref().map(model::PartialTime::to_dtm).unwrap_or_default()
            };
            ("DR", components(&[&side(start), &side(end)]))
        }
        Value::Enclosed(documents) => enclosed(documents, contents),
        Value::Time(time) => ("TS", time.to_dtm()),
        Value::TimeOfDay(time) => ("TM", escaped(&time.replace(':', ""))),
    }
}

/// Documents: their contents (ED), or where they are (RP).
fn enclosed(documents: &[Enclosure], contents: Contents<'_>) -> (&'static str, String) {
    let (mut held, mut elsewhere) = (Vec::new(), Vec::new());
    for document in documents {
        match &document.content {
            Content::Held { record, .. } => held.extend(record.and_then(contents).map(|content| {
                let (kind, subtype) = media_type(&content.media_type);
                components(&["", &kind, &subtype, "Base64", &content.data])
            })),
            Content::Elsewhere { url } => {
                let (kind, subtype) = media_type(document.media_type.as_deref().unwrap_or_default());
                elsewhere.push(components(&[&escaped(url), "", &kind, &subtype]));
            }
            Content::Unreadable => {}
        }
    }
    match (held.is_empty(), elsewhere.is_empty()) {
        (false, _) => ("ED", held.join("~")),
        (true, false) => ("RP", elsewhere.join("~")),
        (true, true) => ("", String::new()),
    }
}

/// Type and subtype of a media type, without its parameters.
fn media_type(media_type: &str) -> (String, String) {
    let plain = media_type.split(';').next().unwrap_or_default();
    let (kind, subtype) = plain.split_once('/').unwrap_or((plain, ""));
    (escaped(kind.trim()), escaped(subtype.trim()))
}

/// Whether a value is there and cannot be shown: masked, refused, or a document whose content is not to be had.
pub(super) fn is_hidden(value: &Value, contents: Contents<'_>) -> bool {
    match value {
        Value::Absent(absent) => matches!(absent, Absent::Masked | Absent::Refused),
        Value::Enclosed(documents) => documents.iter().any(|document| match &document.content {
            Content::Held { record, .. } => record.and_then(contents).is_none(),
            Content::Elsewhere { .. } => false,
            Content::Unreadable => true,
        }),
        _ => false,
    }
}

const fn sign(comparator: Comparator) -> &'static str {
    match comparator {
        Comparator::Less => "<",
        Comparator::LessOrEqual => "<=",
        Comparator::Greater => ">",
        Comparator::GreaterOrEqual => ">=",
    }
}

/// OBX-11. A value that is hidden cannot be obtained (`X`), whatever its source calls it.
fn status(result: &LabResult, contents: Contents<'_>) -> String {
    if is_hidden(&result.value, contents) {
        return "X".to_owned();
    }
    if ResultStatus::read(&result.status_source) == result.status && !result.status_source.is_empty() {
        return escaped(&result.status_source);
    }
    match result.status {
        ResultStatus::Registered => "I",
        ResultStatus::Preliminary => "P",
        ResultStatus::Final => "F",
        ResultStatus::Amended => "A",
        ResultStatus::Corrected => "C",
        ResultStatus::Cancelled => "X",
        ResultStatus::EnteredInError => "W",
        ResultStatus::Unknown => "",
    }
    .to_owned()
}
