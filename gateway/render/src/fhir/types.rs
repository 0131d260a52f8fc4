//! The datatypes that we write. Texts are cleaned where they come in: FHIR allows no control characters and no empty text.

use std::borrow::Cow;

use model::{Coded, PartialTime, RecordId};
use serde::Serialize;
use serde_json::value::RawValue;

pub(super) type Text<'a> = Cow<'a, str>;

/// A text as FHIR allows it; none where nothing is left.
pub(super) fn text(text: &str) -> Option<Text<'_>> {
    let trimmed = text.trim();
    let forbidden = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if trimmed.is_empty() {
        None
    } else if trimmed.contains(forbidden) {
        let clean: String = trimmed.chars().filter(|c| !forbidden(*c)).collect();
        (!clean.trim().is_empty()).then_some(Cow::Owned(clean))
    } else {
        Some(Cow::Borrowed(trimmed))
    }
}

/// A text as a FHIR `code` or part of one: inner blanks become one space.
pub(super) fn code(written: &str) -> Option<Text<'_>> {
    let clean = text(written)?;
    let well_formed =
        !clean.contains(['\t', '\n', '\r']) && !clean.contains("  ") && !clean.contains('\u{a0}');
    if well_formed {
        Some(clean)
    } else {
        Some(Cow::Owned(clean.split_whitespace().collect::<Vec<_>>().join(" ")))
    }
}

/// A decimal with its digits as they are. None where the text is no JSON number.
pub(super) fn decimal(digits: &str) -> Option<Box<RawValue>> {
    let value = RawValue::from_string(digits.to_owned()).ok()?;
    value.get().bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'.')).then_some(value)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta<'a> {
    pub(super) extension: Vec<Extension<'a>>,
    pub(super) source: String,
    pub(super) tag: Vec<Coding<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Extension<'a> {
    pub(super) url: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) extension: Vec<Self>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value_string: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value_instant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value_positive_int: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value_identifier: Option<Box<Identifier<'a>>>,
}

impl Extension<'_> {
    pub(super) const fn new(url: &'static str) -> Self {
        Self {
            url,
            extension: Vec::new(),
            value_string: None,
            value_instant: None,
            value_positive_int: None,
            value_identifier: None,
        }
    }
}

#[derive(Serialize)]
pub(super) struct Coding<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) system: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) display: Option<Text<'a>>,
}

#[derive(Serialize)]
pub(super) struct CodeableConcept<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) coding: Vec<Coding<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<Text<'a>>,
}

#[derive(Serialize)]
pub(super) struct Identifier<'a> {
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    pub(super) usage: Option<&'static str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<CodeableConcept<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) system: Option<Text<'a>>,
    pub(super) value: Text<'a>,
}

#[derive(Serialize)]
pub(super) struct Reference<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) identifier: Option<Box<Identifier<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) display: Option<Text<'a>>,
}

impl<'a> Reference<'a> {
    pub(super) fn to(kind: &str, id: RecordId) -> Self {
        Self { reference: Some(format!("{kind}/{id}")), identifier: None, display: None }
    }

    pub(super) fn by(identifier: Identifier<'a>) -> Self {
        Self { reference: None, identifier: Some(Box::new(identifier)), display: None }
    }

    pub(super) fn display(display: Text<'a>) -> Self {
        Self { reference: None, identifier: None, display: Some(display) }
    }
}

#[derive(Serialize)]
pub(super) struct Quantity<'a> {
    pub(super) value: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) comparator: Option<model::Comparator>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unit: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) system: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<Text<'a>>,
}

#[derive(Serialize)]
pub(super) struct Period {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) start: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) end: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Annotation<'a> {
    pub(super) text: Text<'a>,
}

/// The code systems whose HL7 names (table 0396) are known; the codes of any other are local.
fn system<'a>(name: Option<&str>, coded: &str, organization: &str) -> Text<'a> {
    let known = match name.map(str::trim) {
        Some("LN" | "LOINC") if is_loinc(coded) => "http://loinc.org",
        Some("SCT" | "SNM3" | "SNOMED-CT") if coded.bytes().all(|b| b.is_ascii_digit()) => {
            "http://snomed.info/sct"
        }
        Some("I10" | "ICD10" | "ICD-10") => "http://hl7.org/fhir/sid/icd-10",
        Some("I9C") => "http://hl7.org/fhir/sid/icd-9-cm",
        Some("UCUM") => UCUM,
        name => return local(organization, "code", name.unwrap_or("local")),
    };
    Cow::Borrowed(known)
}

pub(super) const UCUM: &str = "http://unitsofmeasure.org";

/// A URI for something that only means anything at this site.
pub(super) fn local<'a>(organization: &str, kind: &str, name: &str) -> Text<'a> {
    // A name that is an OID means the same everywhere.
    if name.contains('.') && name.bytes().all(|b| b.is_ascii_digit() || b == b'.') && is_oid(name) {
        return Cow::Owned(format!("urn:oid:{name}"));
    }
    Cow::Owned(format!("urn:hospital-gateway:{organization}:{kind}:{}", encoded(name)))
}

fn is_oid(name: &str) -> bool {
    let mut arcs = name.split('.');
    let root = arcs.next().is_some_and(|arc| matches!(arc, "0" | "1" | "2"));
    root && arcs.all(|arc| !arc.is_empty() && (arc == "0" || !arc.starts_with('0')))
}

/// Percent-encodes what may not stand in a URI (RFC 3986, section 2.3).
pub(super) fn encoded(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for b in name.bytes() {
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

/// Whether a LOINC number is well formed and its check digit right (modulus 10 over the doubled odd digits).
pub(super) fn is_loinc(number: &str) -> bool {
    let Some((digits, check)) = number.split_once('-') else { return false };
    let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(digits) || digits.len() > 7 || check.len() != 1 || !all_digits(check) {
        return false;
    }
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(n, b)| {
            let digit = u32::from(b - b'0') * if n % 2 == 0 { 2 } else { 1 };
            digit / 10 + digit % 10
        })
        .sum();
    check.bytes().next().map(|b| u32::from(b - b'0')) == Some((10 - sum % 10) % 10)
}

/// A coded element with the source's codes and words. None where nothing is left of it.
pub(super) fn concept<'a>(coded: &'a Coded, organization: &str) -> Option<CodeableConcept<'a>> {
    let coding = coded.codings.iter().filter_map(|c| {
        let value = code(&c.code)?;
        let display = c.display.as_deref().and_then(text);
        Some(Coding {
            system: Some(system(c.system.as_deref(), &value, organization)),
            code: Some(value),
            display,
        })
    });
    let concept = CodeableConcept { coding: coding.collect(), text: coded.text.as_deref().and_then(text) };
    (!concept.coding.is_empty() || concept.text.is_some()).then_some(concept)
}

/// A concept of one code of a FHIR code system.
pub(super) fn fhir_code(system: &'static str, code: &'static str) -> CodeableConcept<'static> {
    CodeableConcept {
        coding: vec![Coding {
            system: Some(Cow::Borrowed(system)),
            code: Some(Cow::Borrowed(code)),
            display: None,
        }],
        text: None,
    }
}

/// Start and end, where the end is not before the start.
pub(super) fn period(start: Option<&PartialTime>, end: Option<&PartialTime>) -> Option<Period> {
    let in_order = match (start, end) {
        (Some(start), Some(end)) => start.earliest() <= end.latest(),
        _ => true,
    };
    let period = Period {
        start: start.map(PartialTime::to_string),
        end: end.filter(|_| in_order).map(PartialTime::to_string),
    };
    (period.start.is_some() || period.end.is_some()).then_some(period)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loinc_number_needs_its_check_digit() {
        for number in ["2951-2", "718-7", "26464-8", "94500-6"] {
            assert!(is_loinc(number), "{number}");
        }
        for number in ["2951-3", "2951", "x-1", "-", "2951-22"] {
            assert!(!is_loinc(number), "{number}");
        }
    }

    #[test]
    fn texts_are_cleaned_and_codes_hold_single_blanks() {
        assert_eq!(text(" a\u{1}b "), Some(Cow::Borrowed("ab")));
        assert_eq!(text(" \u{2} "), None);
        assert_eq!(code("a  b\tc").as_deref(), Some("a b c"));
        assert_eq!(local("X", "code", "2.16.840.1"), "urn:oid:2.16.840.1");
        assert_eq!(local("X", "code", "\u{5316} 1"), "urn:hospital-gateway:X:code:%E5%8C%96%201");
    }
}
