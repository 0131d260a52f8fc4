//! A laboratory report as a DiagnosticReport with its Observations and its Specimen.

use jiff::civil::Date;
use model::{Absent, LabResult, Mark, PartialTime, RecordId, Report, ReportStatus, Specimen, Value};

use super::coded::concept;
use super::datatype::{Concept, Extended, Extension, Reference, Text, When};
use super::observation::{self, ISSUED, Shared};
use super::render::Scene;
use super::resource::{Collection, DiagnosticReport, Specimen as FhirSpecimen};
use super::text::clean;
use super::{Entry, ResourceType, Stage, attachment};

const SECTION: &str = "http://terminology.hl7.org/CodeSystem/v2-0074";

pub(crate) fn entries(scene: &Scene<'_>, report: &Report) -> Vec<Entry> {
    let date = event_date(report);
    let mut entries = Vec::with_capacity(report.results.len() + 2);
    // Contract 5: a report that lacks anything is partial, never a final that silently lacks it.
    let mut lacks = scene.record.marks.contains(&Mark::Continued)
        || report.results.iter().any(hidden)
        || report.enclosures().any(|(_, document)| attachment::lacks(scene, document));

    let mut specimens = Vec::new();
    if let Some(specimen) = &report.specimen {
        let id = scene.record.id.part(&scene.site.id_key, "specimen", &[]);
        if scene.refused.contains_key(&id) {
            lacks = true;
        } else {
            entries.push(specimen_entry(scene, specimen, id, date));
            specimens.push(Reference::to(ResourceType::Specimen, id));
        }
    }

    let order = report.filler.as_ref().or(report.placer.as_ref());
    let shared = Shared {
        part_of: None,
        category: Some("laboratory"),
        issued: report.issued.as_ref(),
        effective: report.effective.as_ref(),
        encounter: scene.encounter(scene.record.encounter),
        specimen: specimens.first().cloned(),
        order: order.map(|n| (format!("{}:result", scene.site.number_system(n, date)), n.value.as_str())),
    };
    let mut results = Vec::with_capacity(report.results.len());
    for result in &report.results {
        let id = observation::id(scene, &result.key);
        let stage = scene.refused.get(&id);
        lacks |= stage.is_some();
        if stage == Some(&Stage::LeftOut) {
            results.push(named(result));
        } else {
            entries.push(observation::entry(scene, &shared, result, id, stage.is_some()));
            results.push(Reference::to(ResourceType::Observation, id));
        }
    }
    entries.push(main(scene, report, &shared, date, lacks, specimens, results));
    entries
}

fn main<'a>(
    scene: &Scene<'a>,
    report: &'a Report,
    shared: &Shared<'a>,
    date: Option<Date>,
    lacks: bool,
    specimen: Vec<Reference<'a>>,
    result: Vec<Reference<'a>>,
) -> Entry {
    let mut marks = scene.marks();
    let code = concept(&report.service, scene.site, "OBR-4", &mut marks).unwrap_or_else(Concept::absent);
    let placer = || report.placer.as_ref().and_then(|n| scene.number(n, date, Some("PLAC")));
    let filler = report.filler.as_ref().and_then(|n| scene.number(n, date, Some("FILL")));
    // By id where the order is known, and by its number always.
    let order = Reference {
        reference: report.order.map(|order| format!("{}/{}", ResourceType::ServiceRequest, order.resource)),
        kind: Some("ServiceRequest"),
        identifier: placer(),
        ..Reference::default()
    };
    let ordered = order.reference.is_some() || order.identifier.is_some();
    let mut category = vec![Concept::code(SECTION, "LAB")];
    category.extend(report.section.as_deref().and_then(clean).map(Concept::text));
    let issued = report.issued.as_ref();
    let notes: Vec<_> = report.notes.iter().filter_map(|n| clean(n)).collect();

    let mut head = scene.head(ResourceType::DiagnosticReport, scene.record.id, &marks);
    let inexact = issued.filter(|t| !t.is_instant());
    head.extension.extend(inexact.map(|t| Extension { url: ISSUED, value: Extended::DateTime(When(t)) }));
    let resource = DiagnosticReport {
        head,
        identifier: placer().into_iter().chain(filler).collect(),
        based_on: ordered.then_some(order).into_iter().collect(),
        status: status(report.status, lacks),
        category,
        code,
        subject: scene.subject(),
        encounter: shared.encounter.clone(),
        effective_date_time: report.effective.as_ref().map(When),
        issued: issued.filter(|t| t.is_instant()).map(When),
        performer: scene.organization().into_iter().collect(),
        specimen,
        result,
        presented_form: report
            .enclosures()
            .map(|(result, document)| attachment::reference(scene, document, words(result)))
            .collect(),
        conclusion: (!notes.is_empty()).then(|| notes.join("\n").into()),
    };
    scene.main(ResourceType::DiagnosticReport, vec![scene.person()], &resource)
}

pub(crate) fn specimen_entry(
    scene: &Scene<'_>,
    specimen: &Specimen,
    id: RecordId,
    date: Option<Date>,
) -> Entry {
    let mut marks = scene.part_marks();
    let kind = specimen.kind.as_ref().and_then(|k| concept(k, scene.site, "SPM-4", &mut marks));
    let number = specimen.number.as_ref().and_then(|n| scene.number(n, date, None));
    let resource = FhirSpecimen {
        head: scene.head(ResourceType::Specimen, id, &marks),
        identifier: number.into_iter().collect(),
        kind,
        subject: scene.subject(),
        received_time: specimen.received.as_ref().map(When),
        collection: specimen.collected.as_ref().map(|t| Collection { collected_date_time: When(t) }),
    };
    scene.part(ResourceType::Specimen, id, &resource)
}

/// A result that the destination takes in no form: still present in its report, by name, with the reason.
fn named(result: &LabResult) -> Reference<'_> {
    Reference {
        extension: vec![Extension::absent("error")],
        kind: Some("Observation"),
        display: words(result),
        ..Reference::default()
    }
}

/// What a result is called, in the source's words where it has any.
pub(crate) fn words(result: &LabResult) -> Option<Text<'_>> {
    let code = &result.code;
    let display = code.codings.iter().find_map(|c| c.display.as_deref());
    code.text.as_deref().or(display).and_then(clean).or_else(|| clean(code.key()))
}

const fn hidden(result: &LabResult) -> bool {
    matches!(result.value, Value::Absent(Absent::Masked | Absent::Refused))
}

/// The day that the report's numbers are counted in: specimen collected, else OBR-7, else OBR-14 (contract 3).
fn event_date(report: &Report) -> Option<Date> {
    let specimen = report.specimen.as_ref();
    let times = [
        specimen.and_then(|s| s.collected.as_ref()),
        report.effective.as_ref(),
        specimen.and_then(|s| s.received.as_ref()),
    ];
    times.into_iter().flatten().find_map(PartialTime::date)
}

const fn status(status: ReportStatus, lacks: bool) -> &'static str {
    match status {
        ReportStatus::Registered => "registered",
        ReportStatus::Cancelled => "cancelled",
        _ if lacks => "partial",
        ReportStatus::Partial => "partial",
        ReportStatus::Preliminary => "preliminary",
        ReportStatus::Final => "final",
        ReportStatus::Corrected => "corrected",
        ReportStatus::Unknown => "unknown",
    }
}
