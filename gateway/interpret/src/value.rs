//! Values (OBX-5) by their type (OBX-2).

use hl7::Segment;
use model::{Absent, Attachment, Comparator, Mark, ResultStatus, Value};

use crate::field::{Times, coded, text, whole_text};
use crate::range::{comparator, decimal};
use crate::{document, doubt};

/// Reads the value of an OBX. What is not of its type goes as text and is marked. The contents of documents are added to
/// `attachments`.
pub(crate) fn value(
    obx: Segment<'_>,
    status: ResultStatus,
    times: &Times<'_>,
    attachments: &mut Vec<Attachment>,
    marks: &mut Vec<Mark>,
) -> Value {
    let field = obx.field(5);
    let kind = obx.field(2).text();
    let kind = kind.trim();
    if field.is_empty() || field.is_null() || kind == "ED" && document::is_empty(&field) {
        let absent = if status == ResultStatus::Cancelled { Absent::NotPerformed } else { Absent::Unknown };
        return Value::Absent(absent);
    }
    if kind == "ED"
        && let Some(documents) = document::embedded(&field, attachments, marks)
    {
        return documents;
    }
    let source = field.repetitions().filter_map(whole_text).collect::<Vec<_>>().join("\n");
    if source.len() >= 2 && source.bytes().all(|b| b == b'*') {
        return Value::Absent(Absent::Masked);
    }
    let read = match kind {
        "RP" => document::pointed(&field, marks),
        "NM" => number(&source),
        "SN" => structured(obx),
        "ST" | "TX" | "FT" => Some(Value::Text(source.clone())),
        "CE" | "CWE" | "CF" | "CNE" | "IS" | "ID" | "CNN" => {
            let codes: Vec<_> = field.repetitions().filter_map(coded).collect();
            (!codes.is_empty()).then_some(Value::Coded(codes))
        }
        "DT" | "TS" | "DTM" => times.read(&field).ok().flatten().map(Value::Time),
        "TM" => time_of_day(&source),
        "ED" => None,
        _ => {
            doubt(marks, "OBX-2");
            return plain(&source);
        }
    };
    read.unwrap_or_else(|| {
        doubt(marks, "OBX-5");
        plain(&source)
    })
}

/// A value as its source wrote it.
fn plain(source: &str) -> Value {
    if source.is_empty() { Value::Absent(Absent::Unknown) } else { Value::Text(source.to_owned()) }
}

/// `135.0`, `<0.01`, `\u{2264}5`.
fn number(source: &str) -> Option<Value> {
    let (comparator, rest) = comparator(source.trim());
    decimal(rest).map(|decimal| Value::Number { comparator, decimal, source: source.to_owned() })
}

/// SN: comparator, number, separator, number (section 2.A.70).
fn structured(obx: Segment<'_>) -> Option<Value> {
    let first = obx.field(5).first();
    let part = |n| text(first.component(n)).unwrap_or_default();
    let (sign, one, separator, two) = (part(1), part(2), part(3), part(4));
    let source = format!("{sign}{one}{separator}{two}");
    let comparator = match sign.as_str() {
        "" | "=" => None,
        sign => Some(comparator_only(sign)?),
    };
    if separator.is_empty() && two.is_empty() {
        return Some(Value::Number { comparator, decimal: decimal(&one)?, source });
    }
    let (one, two) = (decimal(&one)?, decimal(&two)?);
    match separator.as_str() {
        ":" | "/" => Some(Value::Ratio { comparator, numerator: one, denominator: two, source }),
        "-" if comparator.is_none() => Some(Value::Range { low: one, high: two, source }),
        _ => None,
    }
}

fn comparator_only(sign: &str) -> Option<Comparator> {
    match comparator(sign) {
        (Some(comparator), "") => Some(comparator),
        _ => None,
    }
}

/// `HHMM[SS[.S]]` to `HH:MM:SS[.S]`.
fn time_of_day(source: &str) -> Option<Value> {
    let written = source.trim();
    let (digits, fraction) = written.split_once('.').map_or((written, ""), |(d, f)| (d, f));
    if !digits.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) || !matches!(digits.len(), 4 | 6) {
        return None;
    }
    let second = digits.get(4..6).unwrap_or("00");
    let (hour, minute) = (&digits[..2], &digits[2..4]);
    if hour > "23" || minute > "59" || second > "59" {
        return None;
    }
    let fraction = if fraction.is_empty() { String::new() } else { format!(".{fraction}") };
    Some(Value::TimeOfDay(format!("{hour}:{minute}:{second}{fraction}")))
}
