//! Values, ranges and flags of results.

use std::borrow::Cow;

use model::{Absent, Coded, LabResult, ReferenceRange, Value};
use serde::Serialize;
use serde_json::value::RawValue;

use super::types::{CodeableConcept, Coding, Quantity, Text, UCUM, code, concept, decimal, fhir_code, text};

/// One of `value[x]` or the reason why there is none.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Valued<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    value_quantity: Option<Quantity<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_string: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_codeable_concept: Option<CodeableConcept<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_ratio: Option<Ratio<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_range: Option<Range<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_date_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_time: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_absent_reason: Option<CodeableConcept<'a>>,
}

#[derive(Serialize)]
struct Ratio<'a> {
    numerator: Quantity<'a>,
    denominator: Quantity<'a>,
}

#[derive(Serialize)]
struct Range<'a> {
    low: Simple<'a>,
    high: Simple<'a>,
}

/// A quantity without a comparator.
#[derive(Serialize)]
struct Simple<'a> {
    value: Box<RawValue>,
    #[serde(flatten)]
    unit: Unit<'a>,
}

#[derive(Clone, Default, Serialize)]
struct Unit<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Text<'a>>,
}

/// A reference range.
#[derive(Serialize)]
pub(super) struct FhirRange<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    low: Option<Simple<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    high: Option<Simple<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Text<'a>>,
}

/// The value of a result. Numbers keep their digits; a number that FHIR cannot hold goes as text.
pub(super) fn value<'a>(result: &'a LabResult, organization: &str) -> Valued<'a> {
    let unit = unit(result.unit.as_ref());
    let quantity = |digits: &str, comparator, unit: Unit<'a>| {
        let Unit { unit, system, code } = unit;
        decimal(digits).map(|value| Quantity { value, comparator, unit, system, code })
    };
    let mut valued = Valued::default();
    match &result.value {
        Value::Absent(why) => return absent(*why),
        Value::Number { comparator, decimal, .. } => {
            valued.value_quantity = quantity(decimal, *comparator, unit)
        }
        Value::Text(written) => valued.value_string = text(written),
        Value::Coded(codes) => valued.value_codeable_concept = codes_of(codes, organization),
        Value::Ratio { comparator, numerator, denominator, .. } => {
            let denominator = quantity(denominator, None, Unit::default());
            valued.value_ratio = quantity(numerator, *comparator, Unit::default())
                .zip(denominator)
                .map(|(numerator, denominator)| Ratio { numerator, denominator });
        }
        Value::Range { low, high, .. } => {
            valued.value_range =
                simple(low, &unit).zip(simple(high, &unit)).map(|(low, high)| Range { low, high });
        }
        Value::Time(time) => valued.value_date_time = Some(time.to_string()),
        Value::TimeOfDay(time) => valued.value_time = Some(Cow::Borrowed(time)),
    }
    if valued.is_empty() {
        let source = result.value.source();
        valued.value_string = text(&source).map(|source| Cow::Owned(source.into_owned()));
    }
    if valued.is_empty() { absent(Absent::Unknown) } else { valued }
}

/// The reason why there is no value (code system data-absent-reason).
pub(super) fn absent<'a>(why: Absent) -> Valued<'a> {
    let reason = match why {
        Absent::Unknown => "unknown",
        Absent::NotPerformed => "not-performed",
        Absent::Masked => "masked",
        Absent::Refused => "error",
    };
    let system = "http://terminology.hl7.org/CodeSystem/data-absent-reason";
    Valued { data_absent_reason: Some(fhir_code(system, reason)), ..Valued::default() }
}

/// A range as far as its limits are numbers, and its text.
pub(super) fn reference_range<'a>(range: &'a ReferenceRange, result: &'a LabResult) -> Option<FhirRange<'a>> {
    let unit = unit(result.unit.as_ref());
    let limit = |limit: &Option<String>| limit.as_deref().and_then(|limit| simple(limit, &unit));
    let rendered = FhirRange { low: limit(&range.low), high: limit(&range.high), text: text(&range.text) };
    (rendered.low.is_some() || rendered.high.is_some() || rendered.text.is_some()).then_some(rendered)
}

/// A flag: the code of v3-ObservationInterpretation where it exists there, and always the source's own.
pub(super) fn interpretation(flag: &str) -> Option<CodeableConcept<'_>> {
    const KNOWN: [&str; 24] = [
        "A", "AA", "B", "D", "H", "HH", "HU", "HX", "I", "IND", "L", "LL", "LU", "LX", "N", "NCL", "NEG",
        "NS", "POS", "R", "S", "SDD", "U", "W",
    ];
    let written = code(flag)?;
    let standard = match written.as_ref() {
        "\u{2191}" | "\u{2191}\u{2191}" => Some("H"),
        "\u{2193}" | "\u{2193}\u{2193}" => Some("L"),
        other => KNOWN.iter().find(|known| **known == other).copied(),
    };
    let coding = standard.map(|code| Coding {
        system: Some(Cow::Borrowed("http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation")),
        code: Some(Cow::Borrowed(code)),
        display: None,
    });
    Some(CodeableConcept { coding: coding.into_iter().collect(), text: Some(written) })
}

impl Valued<'_> {
    fn is_empty(&self) -> bool {
        self.value_quantity.is_none()
            && self.value_string.is_none()
            && self.value_codeable_concept.is_none()
            && self.value_ratio.is_none()
            && self.value_range.is_none()
            && self.value_date_time.is_none()
            && self.value_time.is_none()
            && self.data_absent_reason.is_none()
    }
}

fn simple<'a>(digits: &str, unit: &Unit<'a>) -> Option<Simple<'a>> {
    decimal(digits).map(|value| Simple { value, unit: unit.clone() })
}

/// The unit as written. Only what the source calls UCUM is coded as UCUM.
fn unit(written: Option<&Coded>) -> Unit<'_> {
    let Some(coding) = written.and_then(|unit| unit.codings.first()) else {
        let text = written.and_then(|unit| unit.text.as_deref()).and_then(text);
        return Unit { unit: text, ..Unit::default() };
    };
    let shown = text(&coding.code);
    let is_ucum =
        coding.system.as_deref() == Some("UCUM") && coding.code.is_ascii() && !coding.code.contains(' ');
    if is_ucum {
        Unit {
            unit: coding.display.as_deref().and_then(text).or_else(|| shown.clone()),
            system: Some(UCUM),
            code: shown,
        }
    } else {
        Unit { unit: shown, ..Unit::default() }
    }
}

/// Several codes of one answer are one concept of several words.
fn codes_of<'a>(codes: &'a [Coded], organization: &str) -> Option<CodeableConcept<'a>> {
    let [only] = codes else {
        let words: Vec<&str> = codes
            .iter()
            .filter_map(|c| {
                c.text
                    .as_deref()
                    .or_else(|| c.codings.first().map(|c| c.display.as_deref().unwrap_or(&c.code)))
            })
            .collect();
        let joined = words.join("; ");
        let text = text(&joined).map(|text| Cow::Owned(text.into_owned()));
        return text.map(|text| CodeableConcept { coding: Vec::new(), text: Some(text) });
    };
    concept(only, organization)
}
