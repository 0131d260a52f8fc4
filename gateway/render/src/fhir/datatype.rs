//! FHIR data types, as far as they are emitted.

use core::fmt::Display;
use std::borrow::Cow;

use model::{PartialTime, RecordId};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::ResourceType;

/// A FHIR `string`, `code` or `uri`.
pub(crate) type Text<'a> = Cow<'a, str>;

/// The extension that says why a value is missing.
pub(crate) const DATA_ABSENT_REASON: &str = "http://hl7.org/fhir/StructureDefinition/data-absent-reason";

/// A FHIR `dateTime`, or an `instant` where that is exact enough.
#[derive(Clone, Copy)]
pub(crate) struct When<'a>(pub(crate) &'a PartialTime);

/// A FHIR `Coding`.
#[derive(Clone, Serialize)]
pub(crate) struct Coding<'a> {
    pub(crate) system: Text<'a>,
    pub(crate) code: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) display: Option<Text<'a>>,
}

/// A FHIR `CodeableConcept`; never empty.
#[derive(Clone, Default, Serialize)]
pub(crate) struct Concept<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) extension: Vec<Extension<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) coding: Vec<Coding<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<Text<'a>>,
}

/// A FHIR `Extension` with one of the values that are used here.
#[derive(Clone, Serialize)]
pub(crate) struct Extension<'a> {
    pub(crate) url: &'static str,
    #[serde(flatten)]
    pub(crate) value: Extended<'a>,
}

/// The value of an extension.
#[derive(Clone, Serialize)]
pub(crate) enum Extended<'a> {
    #[serde(rename = "valueString")]
    String(Text<'a>),
    #[serde(rename = "valueCode")]
    Code(&'static str),
    #[serde(rename = "valueDateTime")]
    DateTime(When<'a>),
    #[serde(rename = "valuePositiveInt")]
    Positive(u32),
    #[serde(rename = "valueReference")]
    Reference(Box<Reference<'a>>),
    #[serde(rename = "valueCodeableConcept")]
    Concept(Concept<'a>),
    #[serde(rename = "valueAttachment")]
    Attachment(Box<Attachment<'a>>),
}

/// A FHIR `Attachment`.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Attachment<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) extension: Vec<Extension<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_type: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hash: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) title: Option<Text<'a>>,
}

/// A FHIR `Identifier`.
#[derive(Clone, Serialize)]
pub(crate) struct Identifier<'a> {
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    pub(crate) usage: Option<&'static str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<Concept<'a>>,
    pub(crate) system: Text<'a>,
    pub(crate) value: Text<'a>,
}

/// A FHIR `Reference`: literal, by identifier, or by name only.
#[derive(Clone, Default, Serialize)]
pub(crate) struct Reference<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) extension: Vec<Extension<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reference: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) identifier: Option<Identifier<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) display: Option<Text<'a>>,
}

/// A FHIR `Quantity`.
#[derive(Clone, Serialize)]
pub(crate) struct Quantity<'a> {
    pub(crate) value: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) comparator: Option<&'static str>,
    #[serde(flatten)]
    pub(crate) unit: Unit<'a>,
}

/// The unit of a quantity, as written; with a code only where the source itself says UCUM.
#[derive(Clone, Default, Serialize)]
pub(crate) struct Unit<'a> {
    #[serde(rename = "unit", skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) system: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<Text<'a>>,
}

/// A FHIR `Range`.
#[derive(Clone, Serialize)]
pub(crate) struct Range<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) low: Option<Quantity<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) high: Option<Quantity<'a>>,
}

/// A FHIR `Ratio`.
#[derive(Clone, Serialize)]
pub(crate) struct Ratio<'a> {
    pub(crate) numerator: Quantity<'a>,
    pub(crate) denominator: Quantity<'a>,
}

/// A FHIR `Period`, each end in the form that it is as exact as given and that the two can be compared.
#[derive(Clone, Serialize)]
pub(crate) struct Period {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) start: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) end: Option<String>,
}

/// An element without a value, and why.
#[derive(Clone, Serialize)]
pub(crate) struct Missing<'a> {
    pub(crate) extension: Vec<Extension<'a>>,
}

/// A FHIR `Annotation`.
#[derive(Clone, Serialize)]
pub(crate) struct Annotation<'a> {
    pub(crate) text: Text<'a>,
}

impl<'a> Concept<'a> {
    /// One code of a standard system.
    pub(crate) fn code(system: &'static str, code: &'static str) -> Self {
        let coding = Coding { system: system.into(), code: code.into(), display: None };
        Self { coding: vec![coding], ..Self::default() }
    }

    /// Words only.
    pub(crate) fn text(text: Text<'a>) -> Self {
        Self { text: Some(text), ..Self::default() }
    }

    /// A required element that the source left empty.
    pub(crate) fn absent() -> Self {
        Self { extension: vec![Extension::absent("unknown")], ..Self::default() }
    }
}

impl Extension<'_> {
    /// Why a value is missing.
    pub(crate) const fn absent(reason: &'static str) -> Self {
        Self { url: DATA_ABSENT_REASON, value: Extended::Code(reason) }
    }
}

impl Reference<'_> {
    /// A reference to a resource of this gateway.
    pub(crate) fn to(kind: ResourceType, id: RecordId) -> Self {
        Self { reference: Some(format!("{kind}/{id}")), ..Self::default() }
    }
}

impl Serialize for When<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0 as &dyn Display)
    }
}
