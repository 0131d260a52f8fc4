//! Values of results, as FHIR has them.

use model::{Absent, Coded, Comparator, ReferenceRange, Value};
use serde::Serialize;
use serde_json::value::RawValue;

use super::Site;
use super::coded::{concept, unit};
use super::datatype::{Concept, Period, Quantity, Range, Ratio, Text, Unit, When};
use super::period::period;
use super::resource::{Component, ObservationRange};
use super::text::{clean, decimal, is_time_of_day};
use super::trace::Marks;

const ABSENT_REASON: &str = "http://terminology.hl7.org/CodeSystem/data-absent-reason";

/// `Observation.value[x]`.
#[derive(Serialize)]
pub(crate) enum Choice<'a> {
    #[serde(rename = "valueQuantity")]
    Quantity(Quantity<'a>),
    #[serde(rename = "valueString")]
    String(Text<'a>),
    #[serde(rename = "valueCodeableConcept")]
    Concept(Concept<'a>),
    #[serde(rename = "valueRatio")]
    Ratio(Ratio<'a>),
    #[serde(rename = "valueRange")]
    Range(Range<'a>),
    #[serde(rename = "valueDateTime")]
    DateTime(When<'a>),
    #[serde(rename = "valuePeriod")]
    Period(Period),
    #[serde(rename = "valueTime")]
    Time(&'a str),
    #[serde(rename = "dataAbsentReason")]
    Absent(Concept<'static>),
    #[serde(rename = "component")]
    Components(Vec<Component<'a>>),
}

/// A value with what its form has no place for.
pub(crate) struct Rendered<'a> {
    /// None where what is said stands elsewhere.
    pub(crate) choice: Option<Choice<'a>>,
    /// The value as written, where its form does not give it back.
    pub(crate) source: Option<Text<'a>>,
    /// The unit, where the form has none.
    pub(crate) unit: Option<Text<'a>>,
}

/// Renders the value of a result whose `code` and `unit` stand beside it.
pub(crate) fn render<'a>(
    value: &'a Value,
    source_unit: Option<&'a Coded>,
    code: &Concept<'a>,
    site: &Site,
    marks: &mut Marks<'a>,
) -> Rendered<'a> {
    let unit = unit(source_unit, marks);
    let unit_text = unit.text.clone();
    let other = |choice| Rendered { choice: Some(choice), source: None, unit: unit_text.clone() };
    match value {
        Value::Absent(why) => other(absent(*why)),
        Value::Text(text) => other(words(text)),
        Value::Number { comparator, decimal: digits, source } => match decimal(digits) {
            Some(value) => {
                let comparator = comparator.map(symbol);
                let written = source.strip_prefix(comparator.unwrap_or_default()) == Some(digits);
                Rendered {
                    choice: Some(Choice::Quantity(Quantity { value, comparator, unit })),
                    source: if written { None } else { clean(source) },
                    unit: None,
                }
            }
            None => doubtful(source, unit_text, marks),
        },
        Value::Range { low, high, source } => match (side(low), side(high)) {
            (Some(l), Some(h)) if l.is_some() || h.is_some() => {
                if let (Some(low), Some(high)) = (low, high)
                    && !ordered(low, high)
                {
                    return doubtful(source, unit_text, marks);
                }
                let side = |value: Option<&'a RawValue>| {
                    Some(Quantity { value: value?, comparator: None, unit: unit.clone() })
                };
                let written = source.split_once('-') == low.as_deref().zip(high.as_deref());
                Rendered {
                    choice: Some(Choice::Range(Range { low: side(l), high: side(h) })),
                    source: if written { None } else { clean(source) },
                    unit: None,
                }
            }
            _ => doubtful(source, unit_text, marks),
        },
        Value::Ratio { comparator, numerator, denominator, source } => {
            let (Some(n), Some(d)) = (decimal(numerator), decimal(denominator)) else {
                return doubtful(source, unit_text, marks);
            };
            let comparator = comparator.map(symbol);
            let part = |value, comparator| Quantity { value, comparator, unit: Unit::default() };
            let plain = source.strip_prefix(comparator.unwrap_or_default()).and_then(|s| s.split_once(':'));
            let (numerator_part, denominator_part) = (part(n, comparator), part(d, None));
            Rendered {
                choice: Some(Choice::Ratio(Ratio {
                    numerator: numerator_part,
                    denominator: denominator_part,
                })),
                source: if plain == Some((numerator, denominator)) { None } else { clean(source) },
                unit: unit_text,
            }
        }
        Value::Coded(codes) => other(coded(codes, code, site, marks)),
        Value::Time(time) => other(Choice::DateTime(When(time))),
        Value::Period { start, end } => match period(start.as_ref(), end.as_ref(), "OBX-5", marks) {
            Some(period) => other(Choice::Period(period)),
            None => other(absent(Absent::Unknown)),
        },
        Value::TimeOfDay(time) if is_time_of_day(time) => other(Choice::Time(time)),
        Value::TimeOfDay(time) => doubtful(time, unit_text, marks),
        Value::Enclosed(_) => Rendered { choice: None, source: None, unit: unit_text },
    }
}

/// No value, and why.
pub(crate) fn absent(why: Absent) -> Choice<'static> {
    let code = match why {
        Absent::Unknown => "unknown",
        Absent::NotPerformed => "not-performed",
        Absent::Masked => "masked",
        Absent::Refused => "error",
    };
    Choice::Absent(Concept::code(ABSENT_REASON, code))
}

/// A reference range; none where it says nothing. A limit that is no decimal stands in the text only.
pub(crate) fn range<'a>(range: &'a ReferenceRange, unit: &Unit<'a>) -> Option<ObservationRange<'a>> {
    let limit = |limit: &'a Option<String>| {
        let value = decimal(limit.as_deref()?)?;
        Some(Quantity { value, comparator: None, unit: unit.clone() })
    };
    let (low, high, text) = (limit(&range.low), limit(&range.high), clean(&range.text));
    let said = low.is_some() || high.is_some() || text.is_some();
    said.then_some(ObservationRange { low, high, text })
}

/// FHIR has one concept per value; several codes are as many components of the one result.
fn coded<'a>(codes: &'a [Coded], code: &Concept<'a>, site: &Site, marks: &mut Marks<'a>) -> Choice<'a> {
    let mut concepts: Vec<_> = codes.iter().filter_map(|c| concept(c, site, "OBX-5", marks)).collect();
    match concepts.len() {
        0 => absent(Absent::Unknown),
        1 => Choice::Concept(concepts.remove(0)),
        _ => {
            let component = |value| Component { code: code.clone(), value };
            Choice::Components(concepts.into_iter().map(component).collect())
        }
    }
}

/// A limit as a decimal; `Some(None)` where the range is open, none where it is no decimal.
fn side(limit: &Option<String>) -> Option<Option<&RawValue>> {
    match limit {
        Some(limit) => decimal(limit).map(Some),
        None => Some(None),
    }
}

fn words(text: &str) -> Choice<'_> {
    clean(text).map_or_else(|| absent(Absent::Unknown), Choice::String)
}

fn doubtful<'a>(source: &'a str, unit: Option<Text<'a>>, marks: &mut Marks<'a>) -> Rendered<'a> {
    marks.doubtful("OBX-5");
    Rendered { choice: Some(words(source)), source: None, unit }
}

/// Whether a range runs upwards, as FHIR asks of it. Comparing is all that is ever done with values.
fn ordered(low: &str, high: &str) -> bool {
    matches!((low.parse::<f64>(), high.parse::<f64>()), (Ok(low), Ok(high)) if low <= high)
}

const fn symbol(comparator: Comparator) -> &'static str {
    match comparator {
        Comparator::Less => "<",
        Comparator::LessOrEqual => "<=",
        Comparator::Greater => ">",
        Comparator::GreaterOrEqual => ">=",
    }
}
