//! Persons: Patient.

use std::borrow::Cow;

use model::{Address, HeldIdentifier, IdentifierKind, Person, Record, Sex, Trust};
use serde::Serialize;

use super::types::{CodeableConcept, Coding, Extension, Identifier, Meta, Text, code, local, text};
use super::{Entry, Site, json, meta};

/// The resident ID number (GB 11643) in China's register of health identifiers.
pub(super) const RESIDENT_ID: &str = "urn:oid:2.16.156.10011.1.3";
/// Claimed numbers stand here, where no platform looks for numbers to link by (contract 6).
const CLAIMED: &str = "urn:hospital-gateway:claimed-identifier";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Patient<'a> {
    resource_type: &'static str,
    id: String,
    meta: Meta<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    extension: Vec<Extension<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    identifier: Vec<Identifier<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    name: Vec<HumanName<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    telecom: Vec<Telecom<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gender: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    birth_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deceased_boolean: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deceased_date_time: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    address: Vec<FhirAddress<'a>>,
}

#[derive(Serialize)]
struct HumanName<'a> {
    text: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    family: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    given: Vec<Text<'a>>,
}

#[derive(Serialize)]
struct Telecom<'a> {
    system: &'static str,
    value: Text<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FhirAddress<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    line: Vec<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    city: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    postal_code: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<Text<'a>>,
}

pub(super) fn patient(record: &Record, person: &Person, site: &Site) -> Entry {
    let held = |trust: Trust| person.identifiers.iter().filter(move |held| held.trust == trust);
    let claimed = held(Trust::Claimed).filter_map(|held| identifier(held, site)).map(|claimed| Extension {
        value_identifier: Some(Box::new(Identifier { usage: Some("temp"), ..claimed })),
        ..Extension::new(CLAIMED)
    });
    let name = person.name.as_ref().and_then(|name| {
        Some(HumanName {
            text: Cow::Owned(text(&name.full())?.into_owned()),
            family: name.family.as_deref().and_then(text),
            given: name.given.iter().filter_map(|given| text(given)).collect(),
        })
    });
    let phones = person.phones.iter().flatten().filter_map(|phone| text(phone));
    let (deceased_boolean, deceased_date_time) = match &person.deceased {
        Some(Some(time)) => (None, Some(time.to_string())),
        Some(None) => (Some(true), None),
        None => (None, None),
    };
    let resource = Patient {
        resource_type: "Patient",
        id: record.id.to_string(),
        meta: meta::meta(record, site, []),
        extension: claimed.collect(),
        identifier: held(Trust::Verified).filter_map(|held| identifier(held, site)).collect(),
        name: name.into_iter().collect(),
        telecom: phones.map(|value| Telecom { system: "phone", value }).collect(),
        gender: person.sex.map(gender),
        birth_date: person.birth.as_ref().map(model::PartialTime::to_date),
        deceased_boolean,
        deceased_date_time,
        address: person.addresses.iter().flatten().filter_map(address).collect(),
    };
    let body = json(&resource);
    Entry { id: record.id, record: record.id, kind: "Patient", depends_on: Vec::new(), is_part: false, body }
}

fn identifier<'a>(held: &'a HeldIdentifier, site: &Site) -> Option<Identifier<'a>> {
    let value = text(&held.identifier.value)?;
    Some(match &held.identifier.kind {
        IdentifierKind::ResidentId => Identifier {
            usage: Some("official"),
            kind: None,
            system: Some(Cow::Borrowed(RESIDENT_ID)),
            value,
        },
        IdentifierKind::HealthCode => Identifier {
            usage: Some("usual"),
            kind: None,
            system: Some(Cow::Borrowed("urn:hospital-gateway:health-code")),
            value,
        },
        IdentifierKind::Assigned { authority, code: kind } => Identifier {
            usage: Some("usual"),
            kind: kind.as_deref().and_then(kind_of),
            system: Some(local(&site.organization, "id", authority)),
            value,
        },
    })
}

/// Types of table 0203 that FHIR knows; others go as text.
fn kind_of(written: &str) -> Option<CodeableConcept<'_>> {
    let written = code(written)?;
    Some(match written.as_ref() {
        "MR" | "PI" | "PT" | "VN" | "AN" | "SS" | "PPN" | "DL" | "NI" => CodeableConcept {
            coding: vec![Coding {
                system: Some(Cow::Borrowed("http://terminology.hl7.org/CodeSystem/v2-0203")),
                code: Some(written),
                display: None,
            }],
            text: None,
        },
        _ => CodeableConcept { coding: Vec::new(), text: Some(written) },
    })
}

const fn gender(sex: Sex) -> &'static str {
    match sex {
        Sex::Female => "female",
        Sex::Male => "male",
        Sex::Other => "other",
        Sex::Unknown => "unknown",
    }
}

fn address(address: &Address) -> Option<FhirAddress<'_>> {
    let rendered = FhirAddress {
        line: address.lines.iter().filter_map(|line| text(line)).collect(),
        city: address.city.as_deref().and_then(text),
        state: address.state.as_deref().and_then(text),
        postal_code: address.postal_code.as_deref().and_then(text),
        country: address.country.as_deref().and_then(text),
    };
    let empty = rendered.line.is_empty()
        && [&rendered.city, &rendered.state, &rendered.postal_code, &rendered.country]
            .iter()
            .all(|p| p.is_none());
    (!empty).then_some(rendered)
}
