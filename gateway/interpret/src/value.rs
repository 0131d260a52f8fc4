//! Values (OBX-5) by their type (OBX-2).

use hl7::{Field, Segment};
use model::{Absent, Attachment, Comparator, ResultStatus, Value};

use crate::field::{Notes, Times, coded, text, whole_text};
use crate::range::{comparator, decimal};
use crate::{document, doubt};

/// Reads the value of an OBX. What is not of its type goes as text and is marked. The contents of documents are added to
/// `attachments`.
pub(crate) fn value(
    obx: Segment<'_>,
    status: ResultStatus,
    times: &Times<'_>,
    attachments: &mut Vec<Attachment>,
    notes: &mut Notes,
) -> Value {
    let field = obx.field(5);
    let kind = obx.field(2).text();
    let kind = kind.trim();
    if field.is_empty() || field.is_null() || kind == "ED" && document::is_empty(&field) {
        let absent = if status == ResultStatus::Cancelled { Absent::NotPerformed } else { Absent::Unknown };
        return Value::Absent(absent);
    }
    if kind == "ED"
        && let Some(documents) = document::embedded(&field, attachments, &mut notes.marks)
    {
        return documents;
    }
    let source = source(&field);
    if is_masked(&source) {
        return Value::Absent(Absent::Masked);
    }
    let read = match kind {
        "NM" => number(&source),
        "SN" => structured(&field),
        "ST" | "TX" | "FT" => Some(Value::Text(source.clone())),
        "CE" | "CWE" | "CF" | "CNE" | "IS" | "ID" => {
            let codes: Vec<_> = field.repetitions().filter_map(coded).collect();
            (!codes.is_empty()).then_some(Value::Coded(codes))
        }
        "DT" | "TS" | "DTM" => times.stated(&field, 1, "OBX-5", notes).map(Value::Time),
        "TM" => time_of_day(&source),
        "DR" => period(&field, times, notes),
        "NR" => limits(&field, &source),
        "RP" => document::pointed(&field, &mut notes.marks),
        "ED" => None,
        known if is_composite(known) => Some(plain(&source)),
        _ => {
            doubt(&mut notes.marks, "OBX-2");
            return plain(&source);
        }
    };
    read.unwrap_or_else(|| {
        doubt(&mut notes.marks, "OBX-5");
        plain(&source)
    })
}

/// Types of HL7 v2.5 (section 2.A) and later that FHIR has no value for: they go as they were written, and nothing is wrong with them.
fn is_composite(kind: &str) -> bool {
    const TYPES: &[&str] = &[
        "AD", "AUI", "CCD", "CK", "CN", "CNN", "CP", "CQ", "CSU", "CX", "DDI", "DIN", "DLD", "DLN", "DLT",
        "EI", "EIP", "FC", "FN", "HD", "JCC", "MA", "MO", "MOC", "NA", "NDL", "OCD", "OG", "OSD", "PL", "PN",
        "PPN", "PT", "RI", "SAD", "SI", "SPS", "TN", "TQ", "VID", "XAD", "XCN", "XON", "XPN", "XTN",
    ];
    TYPES.binary_search(&kind).is_ok()
}

/// The field as written, each repetition on a line.
fn source(field: &Field<'_>) -> String {
    let mut parts = field.repetitions().filter_map(whole_text);
    let mut all = parts.next().unwrap_or_default();
    for part in parts {
        all.push('\n');
        all.push_str(&part);
    }
    all
}

/// Whether a source hides its value: nothing but asterisks, two or more.
fn is_masked(source: &str) -> bool {
    source.len() >= 2
        && source.starts_with(['*', '^'])
        && source.bytes().all(|b| matches!(b, b'*' | b'^'))
        && source.bytes().filter(|b| *b == b'*').count() >= 2
}

/// A value as its source wrote it.
fn plain(source: &str) -> Value {
    if source.trim().is_empty() { Value::Absent(Absent::Unknown) } else { Value::Text(source.to_owned()) }
}

/// `135.0`, `<0.01`, `\u{2264}5`.
fn number(source: &str) -> Option<Value> {
    let (comparator, rest) = comparator(source.trim());
    decimal(rest).map(|decimal| Value::Number { comparator, decimal, source: source.to_owned() })
}

/// SN: comparator, number, separator, number (section 2.A.70).
fn structured(field: &Field<'_>) -> Option<Value> {
    let first = field.first();
    let part = |n| text(first.component(n)).unwrap_or_default();
    let (sign, one, separator, two) = (part(1), part(2), part(3), part(4));
    let source = format!("{sign}{one}{separator}{two}");
    // `2+` is a category, and FHIR knows no "not equal": words, and nothing is wrong with them.
    if separator == "+" && two.is_empty() || sign == "<>" {
        return Some(Value::Text(source));
    }
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
        "-" if comparator.is_none() => Some(Value::Range { low: Some(one), high: Some(two), source }),
        _ => None,
    }
}

fn comparator_only(sign: &str) -> Option<Comparator> {
    match comparator(sign) {
        (Some(comparator), "") => Some(comparator),
        _ => None,
    }
}

/// NR: low and high; either may be open.
fn limits(field: &Field<'_>, source: &str) -> Option<Value> {
    let limit = |n| match text(field.component(n)) {
        Some(written) => decimal(&written).map(Some),
        None => Some(None),
    };
    let (low, high) = (limit(1)?, limit(2)?);
    let said = low.is_some() || high.is_some();
    said.then(|| Value::Range { low, high, source: source.to_owned() })
}

/// DR: from and until; either may be open.
fn period(field: &Field<'_>, times: &Times<'_>, notes: &mut Notes) -> Option<Value> {
    let stated = |n| !field.component(n).is_empty() && !field.component(n).is_null();
    let start = times.stated(field, 1, "OBX-5", notes);
    let end = times.stated(field, 2, "OBX-5", notes);
    let whole = start.is_some() == stated(1) && end.is_some() == stated(2);
    (whole && (start.is_some() || end.is_some())).then_some(Value::Period { start, end })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composite_types_are_found_in_their_list() {
        for kind in ["AD", "CP", "MO", "NA", "XAD", "XPN", "XTN", "EI"] {
            assert!(is_composite(kind), "{kind}");
        }
        for other in ["", "NM", "ST", "CE", "ED", "ZZ"] {
            assert!(!is_composite(other), "{other}");
        }
    }

    #[test]
    fn stars_are_a_mask_and_one_star_is_a_word() {
        for mask in ["**", "****", "^****"] {
            assert!(is_masked(mask), "{mask}");
        }
        for word in ["*", "**1", "", "^", "\u{2605}\u{2605}"] {
            assert!(!is_masked(word), "{word}");
        }
    }
}
