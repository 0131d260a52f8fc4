//! OBX: one result.

use model::{Absent, Comparator, LabResult, ResultStatus, Value};

use super::coded::coded;
use super::segment::{Segments, components, escaped};

pub(super) fn obx(out: &mut Segments, n: usize, result: &LabResult) {
    let (kind, value) = value(&result.value);
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
        .field(11, status(result))
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
fn value(value: &Value) -> (&'static str, String) {
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
        Value::Range { low, high, .. } => ("SN", components(&["", &escaped(low), "-", &escaped(high)])),
        Value::Time(time) => ("TS", time.to_dtm()),
        Value::TimeOfDay(time) => ("TM", escaped(&time.replace(':', ""))),
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
fn status(result: &LabResult) -> String {
    if matches!(result.value, Value::Absent(Absent::Masked | Absent::Refused)) {
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
