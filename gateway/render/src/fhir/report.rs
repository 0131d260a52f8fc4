//! Laboratory reports: Specimen, Observation, DiagnosticReport.

use std::borrow::Cow;

use model::{Absent, LabResult, Number, Record, RecordId, Report, ReportStatus, ResultStatus, Value};
use serde::Serialize;

use super::encounter::provider;
use super::types::{
    Annotation, CodeableConcept, Identifier, Meta, Reference, Text, concept, fhir_code, local, text,
};
use super::value::{FhirRange, Valued, absent, interpretation, reference_range, value};
use super::{Entry, Refused, Site, Stage, encounter_of, json, meta, subject};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DiagnosticReport<'a> {
    resource_type: &'static str,
    id: String,
    meta: Meta<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    identifier: Vec<Identifier<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    based_on: Vec<Reference<'a>>,
    status: &'static str,
    category: Vec<CodeableConcept<'a>>,
    code: CodeableConcept<'a>,
    subject: Reference<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encounter: Option<Reference<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective_date_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued: Option<String>,
    performer: Vec<Reference<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    specimen: Vec<Reference<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    result: Vec<Reference<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conclusion: Option<Text<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Observation<'a> {
    resource_type: &'static str,
    id: String,
    meta: Meta<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    identifier: Vec<Identifier<'a>>,
    status: &'static str,
    category: Vec<CodeableConcept<'a>>,
    code: CodeableConcept<'a>,
    subject: Reference<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encounter: Option<Reference<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective_date_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued: Option<String>,
    performer: Vec<Reference<'a>>,
    #[serde(flatten)]
    value: Valued<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    interpretation: Vec<CodeableConcept<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    note: Vec<Annotation<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<CodeableConcept<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    specimen: Option<Reference<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reference_range: Vec<FhirRange<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FhirSpecimen<'a> {
    resource_type: &'static str,
    id: String,
    meta: Meta<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    identifier: Vec<Identifier<'a>>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<CodeableConcept<'a>>,
    subject: Reference<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    received_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    collection: Option<Collection>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Collection {
    collected_date_time: String,
}

pub(super) fn report(record: &Record, report: &Report, site: &Site, refused: &Refused) -> Vec<Entry> {
    let mut entries = Vec::with_capacity(report.results.len() + 2);
    let specimen_id = report.specimen.as_ref().map(|_| record.id.part(&site.id_key, "specimen", &[]));
    let left_out = |id: &RecordId| refused.get(id) == Some(&Stage::LeftOut);
    let specimen_id = specimen_id.filter(|id| !left_out(id));
    if let (Some(id), Some(specimen)) = (specimen_id, &report.specimen) {
        entries.push(self::specimen(record, id, specimen, site));
    }
    let mut incomplete = false;
    let mut results = Vec::with_capacity(report.results.len());
    for result in &report.results {
        let key = &result.key;
        let repeat = key.repeat.to_string();
        let id = record.id.part(&site.id_key, "result", &[&key.code, &key.sub_id, &key.instance, &repeat]);
        let stage = refused.get(&id).copied();
        incomplete |= stage.is_some() || result.value == Value::Absent(Absent::Masked);
        if stage != Some(Stage::LeftOut) {
            entries.push(observation(record, report, result, id, specimen_id, stage.is_some(), site));
            results.push(Reference::to("Observation", id));
        }
    }
    entries.push(main(record, report, results, specimen_id, incomplete, site));
    entries
}

fn main(
    record: &Record,
    report: &Report,
    result: Vec<Reference<'_>>,
    specimen: Option<RecordId>,
    incomplete: bool,
    site: &Site,
) -> Entry {
    let notes = report.notes.join("\n");
    let resource = DiagnosticReport {
        resource_type: "DiagnosticReport",
        id: record.id.to_string(),
        meta: meta::meta(record, site, []),
        identifier: report.filler.iter().filter_map(|n| identifier(n, "FILL", site)).collect(),
        based_on: report
            .placer
            .iter()
            .filter_map(|n| identifier(n, "PLAC", site))
            .map(Reference::by)
            .collect(),
        status: status(report.status, incomplete),
        category: vec![fhir_code("http://terminology.hl7.org/CodeSystem/v2-0074", "LAB")],
        code: concept(&report.service, &site.organization).unwrap_or_else(unknown),
        subject: subject(record),
        encounter: encounter_of(record),
        effective_date_time: report.effective.as_ref().map(model::PartialTime::to_string),
        issued: report.issued.as_ref().filter(|t| t.is_instant()).map(model::PartialTime::to_string),
        performer: vec![performer(report, site)],
        specimen: specimen.map(|id| Reference::to("Specimen", id)).into_iter().collect(),
        result,
        conclusion: text(&notes),
    };
    let depends_on = [RecordId::from(record.person)].into_iter().chain(record.encounter).collect();
    let body = json(&resource);
    Entry { id: record.id, record: record.id, kind: "DiagnosticReport", depends_on, is_part: false, body }
}

fn observation(
    record: &Record,
    report: &Report,
    result: &LabResult,
    id: RecordId,
    specimen: Option<RecordId>,
    without_value: bool,
    site: &Site,
) -> Entry {
    let mut tags: Vec<String> = result.doubtful.iter().map(|element| meta::doubtful(element)).collect();
    tags.extend(result.withdrawn.then(|| "withdrawn".to_owned()));
    tags.extend(result.order_unclear.then(|| "order-unclear".to_owned()));
    let observed = result.observed.as_ref().or(report.effective.as_ref());
    let issued = result.analysed.as_ref().or(report.issued.as_ref()).filter(|t| t.is_instant());
    // What the destination refused may be anything in it: only what the standard demands is sent again.
    let full = !without_value;
    let resource = Observation {
        resource_type: "Observation",
        id: id.to_string(),
        meta: meta::meta(record, site, tags),
        identifier: Vec::new(),
        status: result_status(result.status),
        category: vec![fhir_code("http://terminology.hl7.org/CodeSystem/observation-category", "laboratory")],
        code: concept(&result.code, &site.organization).unwrap_or_else(unknown),
        subject: subject(record),
        encounter: encounter_of(record).filter(|_| full),
        effective_date_time: observed.filter(|_| full).map(model::PartialTime::to_string),
        issued: issued.filter(|_| full).map(model::PartialTime::to_string),
        performer: vec![performer(report, site)],
        value: if full { value(result, &site.organization) } else { absent(Absent::Refused) },
        interpretation: result
            .flags
            .iter()
            .filter(|_| full)
            .filter_map(|flag| interpretation(flag))
            .collect(),
        note: result
            .notes
            .iter()
            .filter(|_| full)
            .filter_map(|n| text(n))
            .map(|text| Annotation { text })
            .collect(),
        method: result
            .method
            .as_ref()
            .filter(|_| full)
            .and_then(|method| concept(method, &site.organization)),
        specimen: specimen.map(|id| Reference::to("Specimen", id)),
        reference_range: result
            .range
            .iter()
            .filter(|_| full)
            .filter_map(|range| reference_range(range, result))
            .collect(),
    };
    let depends_on = vec![RecordId::from(record.person)];
    let body = json(&resource);
    Entry { id, record: record.id, kind: "Observation", depends_on, is_part: true, body }
}

fn specimen(record: &Record, id: RecordId, specimen: &model::Specimen, site: &Site) -> Entry {
    let number = specimen.number.as_ref().and_then(|n| {
        let system = Some(local(&site.organization, "specimen", &n.space));
        text(&n.value).map(|value| Identifier { usage: None, kind: None, system, value })
    });
    let collected = specimen.collected.as_ref().map(model::PartialTime::to_string);
    let resource = FhirSpecimen {
        resource_type: "Specimen",
        id: id.to_string(),
        meta: meta::meta(record, site, []),
        identifier: number.into_iter().collect(),
        kind: specimen.kind.as_ref().and_then(|kind| concept(kind, &site.organization)),
        subject: subject(record),
        received_time: specimen.received.as_ref().map(model::PartialTime::to_string),
        collection: collected.map(|collected_date_time| Collection { collected_date_time }),
    };
    let depends_on = vec![RecordId::from(record.person)];
    let body = json(&resource);
    Entry { id, record: record.id, kind: "Specimen", depends_on, is_part: true, body }
}

/// The section that did it, in the hospital.
fn performer<'a>(report: &'a Report, site: &Site) -> Reference<'a> {
    let mut hospital = provider(site);
    if let Some(section) = report.section.as_deref().and_then(text) {
        hospital.display = Some(Cow::Owned(format!("{} {section}", site.name).trim().to_owned()));
    }
    hospital
}

fn identifier<'a>(number: &'a Number, kind: &'static str, site: &Site) -> Option<Identifier<'a>> {
    let system = Some(local(&site.organization, number.kind.name(), &number.space));
    let kind = Some(fhir_code("http://terminology.hl7.org/CodeSystem/v2-0203", kind));
    text(&number.value).map(|value| Identifier { usage: None, kind, system, value })
}

/// A code that says only that there was none; the status of the element is in the tags.
fn unknown<'a>() -> CodeableConcept<'a> {
    CodeableConcept { coding: Vec::new(), text: Some(Cow::Borrowed("?")) }
}

/// Contract 5: never final where a result is missing.
const fn status(status: ReportStatus, incomplete: bool) -> &'static str {
    match status {
        ReportStatus::Registered => "registered",
        ReportStatus::Partial => "partial",
        ReportStatus::Preliminary => "preliminary",
        ReportStatus::Final | ReportStatus::Corrected if incomplete => "partial",
        ReportStatus::Final => "final",
        ReportStatus::Corrected => "corrected",
        ReportStatus::Cancelled => "cancelled",
        ReportStatus::Unknown => "unknown",
    }
}

const fn result_status(status: ResultStatus) -> &'static str {
    match status {
        ResultStatus::Registered => "registered",
        ResultStatus::Preliminary => "preliminary",
        ResultStatus::Final => "final",
        ResultStatus::Amended => "amended",
        ResultStatus::Corrected => "corrected",
        ResultStatus::Cancelled => "cancelled",
        ResultStatus::EnteredInError => "entered-in-error",
        ResultStatus::Unknown => "unknown",
    }
}
