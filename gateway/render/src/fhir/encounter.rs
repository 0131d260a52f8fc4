//! Visits and diagnoses: Encounter, Condition.

use std::borrow::Cow;

use model::{Diagnosis, Encounter, EncounterClass, EncounterStatus, Record, RecordId};
use serde::Serialize;

use super::types::{
    CodeableConcept, Coding, Identifier, Meta, Period, Reference, concept, fhir_code, local, period, text,
};
use super::{Entry, Site, encounter_of, json, meta, subject};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FhirEncounter<'a> {
    resource_type: &'static str,
    id: String,
    meta: Meta<'a>,
    identifier: Vec<Identifier<'a>>,
    status: &'static str,
    class: Coding<'a>,
    subject: Reference<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    participant: Vec<Participant<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    period: Option<Period>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    location: Vec<Location<'a>>,
    service_provider: Reference<'a>,
}

#[derive(Serialize)]
struct Participant<'a> {
    individual: Reference<'a>,
}

#[derive(Serialize)]
struct Location<'a> {
    location: Reference<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Condition<'a> {
    resource_type: &'static str,
    id: String,
    meta: Meta<'a>,
    verification_status: CodeableConcept<'a>,
    category: Vec<CodeableConcept<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<CodeableConcept<'a>>,
    subject: Reference<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encounter: Option<Reference<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recorded_date: Option<String>,
}

pub(super) fn encounter(record: &Record, encounter: &Encounter, site: &Site) -> Entry {
    let number = &encounter.number;
    let identifier = text(&number.value).map(|value| Identifier {
        usage: None,
        kind: None,
        system: Some(local(&site.organization, "visit", &number.space)),
        value,
    });
    let attending = encounter.attending.as_ref().and_then(|doctor| {
        let number = doctor.number.as_deref().and_then(text).map(|value| {
            let system = Some(local(&site.organization, "staff", "his"));
            Box::new(Identifier { usage: None, kind: None, system, value })
        });
        let display = doctor.name.as_deref().and_then(text);
        let known = number.is_some() || display.is_some();
        known
            .then_some(Participant { individual: Reference { reference: None, identifier: number, display } })
    });
    let location = encounter.location.as_deref().and_then(text);
    let resource = FhirEncounter {
        resource_type: "Encounter",
        id: record.id.to_string(),
        meta: meta::meta(record, site, []),
        identifier: identifier.into_iter().collect(),
        status: match encounter.status {
            EncounterStatus::Arrived => "arrived",
            EncounterStatus::InProgress => "in-progress",
            EncounterStatus::Finished => "finished",
            EncounterStatus::Unknown => "unknown",
        },
        class: class(encounter, site),
        subject: subject(record),
        participant: attending.into_iter().collect(),
        period: period(encounter.start.as_ref(), encounter.end.as_ref()),
        location: location.map(|name| Location { location: Reference::display(name) }).into_iter().collect(),
        service_provider: provider(site),
    };
    let depends_on = vec![RecordId::from(record.person)];
    let body = json(&resource);
    Entry { id: record.id, record: record.id, kind: "Encounter", depends_on, is_part: false, body }
}

/// Encounter.class is required: what is not in table 0004 stays a local code.
fn class<'a>(encounter: &'a Encounter, site: &Site) -> Coding<'a> {
    let code = match encounter.class {
        Some(EncounterClass::Emergency) => "EMER",
        Some(EncounterClass::Inpatient) => "IMP",
        Some(EncounterClass::Outpatient) => "AMB",
        Some(EncounterClass::Preadmission) => "PRENC",
        None => {
            let written = super::types::code(&encounter.class_source).unwrap_or(Cow::Borrowed("unknown"));
            let system = Some(local(&site.organization, "code", "patient-class"));
            return Coding { system, code: Some(written), display: None };
        }
    };
    let system = Some(Cow::Borrowed("http://terminology.hl7.org/CodeSystem/v3-ActCode"));
    Coding { system, code: Some(Cow::Borrowed(code)), display: None }
}

/// The hospital.
pub(super) fn provider<'a>(site: &Site) -> Reference<'a> {
    let value = Cow::Owned(site.organization.clone());
    let system = Some(Cow::Borrowed("urn:oid:2.16.156.10011.1.5"));
    let identifier = Identifier { usage: None, kind: None, system, value };
    let display = text(&site.name).map(|name| Cow::Owned(name.into_owned()));
    Reference { reference: None, identifier: Some(Box::new(identifier)), display }
}

pub(super) fn condition(record: &Record, diagnosis: &Diagnosis, site: &Site) -> Entry {
    use model::DiagnosisKind::{Admitting, Final, Working};
    let resource = Condition {
        resource_type: "Condition",
        id: record.id.to_string(),
        meta: meta::meta(record, site, []),
        verification_status: fhir_code(
            "http://terminology.hl7.org/CodeSystem/condition-ver-status",
            match diagnosis.kind {
                Final => "confirmed",
                Admitting | Working => "provisional",
            },
        ),
        category: vec![fhir_code(
            "http://terminology.hl7.org/CodeSystem/condition-category",
            "encounter-diagnosis",
        )],
        code: concept(&diagnosis.code, &site.organization),
        subject: subject(record),
        encounter: encounter_of(record),
        recorded_date: diagnosis.recorded.as_ref().map(model::PartialTime::to_string),
    };
    let depends_on = [RecordId::from(record.person)].into_iter().chain(record.encounter).collect();
    let body = json(&resource);
    Entry { id: record.id, record: record.id, kind: "Condition", depends_on, is_part: false, body }
}
