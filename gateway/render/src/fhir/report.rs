//! A laboratory report as a DiagnosticReport with its Observations and its Specimen.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use model::{
    Absent, Coded, LabResult, Mark, Number, PartialTime, Party, RecordId, Report, ReportStatus, ResultKey,
    Value,
};

use super::coded::concept;
use super::datatype::{Concept, Extended, Extension, Identifier, Reference, Text, When};
use super::observation::{self, ISSUED, Shared};
use super::period::period;
use super::render::Scene;
use super::resource::DiagnosticReport;
use super::text::clean;
use super::trace::Marks;
use super::{Entry, ResourceType, Stage, attachment, party, specimen};

/// What the laboratory was told of the patient (OBR-13); a report has no place for it.
const CLINICAL: &str = "urn:hospital-gateway:clinical-information";
/// Why it was ordered (OBR-31).
const REASON: &str = "urn:hospital-gateway:reason";
const SECTION: &str = "http://terminology.hl7.org/CodeSystem/v2-0074";

pub(crate) fn entries(scene: &Scene<'_>, report: &Report) -> Vec<Entry> {
    let date = event_date(report);
    let mut entries = Vec::with_capacity(report.results.len() + 2);
    // Contract 5: a report that lacks anything is partial, never a final that silently lacks it.
    let mut lacks = scene.record.marks.contains(&Mark::Continued)
        || report.results.iter().any(hidden)
        || report.enclosures().any(|(_, document)| attachment::lacks(scene, document));

    let mut specimens = Vec::with_capacity(report.specimens.len());
    for one in &report.specimens {
        let id = specimen::id(scene, one);
        if scene.refused.contains_key(&id) {
            lacks = true;
        } else {
            entries.push(specimen::entry(scene, one, id, date));
            specimens.push(id);
        }
    }

    let order = report.filler.as_ref().or(report.placer.as_ref());
    let mut marks = scene.marks();
    let until = report.ended.as_ref();
    let period = until.and_then(|u| period(report.effective.as_ref(), Some(u), "OBR-8", &mut marks));
    let shared = Shared {
        part_of: None,
        category: Some("laboratory"),
        issued: report.issued.as_ref(),
        effective: report.effective.as_ref(),
        encounter: scene.encounter(scene.record.encounter),
        period,
        // Of several specimens nobody says which one a result is of.
        specimen: specimens.first().copied().filter(|_| report.specimens.len() == 1),
        order: order.map(|n| (result_system(scene, n, date), n.value.as_str())),
        parent: parent(scene, report, date),
    };
    let members = report.members();
    let stage = |id| scene.refused.get(&id);
    let ids: Vec<RecordId> = report.results.iter().map(|r| observation::id(scene, &r.key)).collect();
    let mut results = Vec::with_capacity(ids.len());
    for (result, id) in report.results.iter().zip(&ids) {
        lacks |= stage(*id).is_some();
        let there = stage(*id) != Some(&Stage::LeftOut);
        results.push(if there { Reference::to(ResourceType::Observation, *id) } else { named(result) });
    }
    // What has members goes behind them.
    for n in in_order(ids.len(), &members) {
        if stage(ids[n]) == Some(&Stage::LeftOut) {
            continue;
        }
        let own = members.get(&n).into_iter().flatten().map(|member| ids[*member]);
        let result = &report.results[n];
        let children = report.children.iter().filter(|child| child.of == result.key);
        let others = children.flat_map(|child| {
            child.results.iter().map(|key| observation::id_under(scene, child.report, key))
        });
        let member = own.chain(others).filter(|id| stage(*id) != Some(&Stage::LeftOut)).collect();
        entries.push(observation::entry(scene, &shared, result, ids[n], member, stage(ids[n]).is_some()));
    }
    let names = entries.iter().map(|entry| entry.id).chain(scene.record.body.attachments()).collect();
    let main = main(scene, report, &shared, lacks, &specimens, results, marks);
    entries.push(Entry { names, ..main });
    entries
}

/// The places of `count` results, each behind its members.
fn in_order(count: usize, members: &BTreeMap<usize, Vec<usize>>) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).filter(|n| !members.contains_key(n)).collect();
    // Sub-ids nest, so that every round finds a next one.
    while order.len() < count {
        let placed: BTreeSet<usize> = order.iter().copied().collect();
        let ready =
            members.iter().filter(|(n, of)| !placed.contains(n) && of.iter().all(|m| placed.contains(m)));
        let ready: Vec<usize> = ready.map(|(n, _)| *n).collect();
        if ready.is_empty() {
            order.extend((0..count).filter(|n| !placed.contains(n)));
        }
        order.extend(ready);
    }
    order
}

/// The result that the report was made for, by the identifier that its resource has.
fn parent<'a>(scene: &Scene<'a>, report: &'a Report, date: Option<Date>) -> Option<Reference<'a>> {
    let parent = report.parent.as_deref()?;
    let (order, wanted) = (parent.filler.as_ref().or(parent.placer.as_ref())?, parent.result.as_ref()?);
    let key = ResultKey {
        code: wanted.code.key().to_owned(),
        sub_id: wanted.sub_id.clone(),
        ..ResultKey::default()
    };
    let value = observation::identifier_value(&order.value, &key);
    let system = result_system(scene, order, date).into();
    Some(Reference {
        kind: Some("Observation"),
        identifier: Some(Identifier { usage: None, kind: None, system, value: value.into() }),
        display: wanted.text.as_deref().and_then(clean),
        ..Reference::default()
    })
}

/// The system of the identifiers of an order's results.
fn result_system(scene: &Scene<'_>, order: &Number, date: Option<Date>) -> String {
    format!("{}:result", scene.site.number_system(order, date))
}

fn main<'a>(
    scene: &Scene<'a>,
    report: &'a Report,
    shared: &Shared<'a>,
    lacks: bool,
    specimens: &[RecordId],
    result: Vec<Reference<'a>>,
    mut marks: Marks<'a>,
) -> Entry {
    let date = event_date(report);
    let code = concept(&report.service, scene.site, "OBR-4", &mut marks).unwrap_or_else(Concept::absent);
    let number = |number: &'a Option<Number>, kind| scene.number(number.as_ref()?, date, Some(kind));
    let order = |reference, identifier| Reference {
        reference,
        kind: Some("ServiceRequest"),
        identifier,
        ..Reference::default()
    };
    // By id where the order is known, and by its number always; then that of the result it was made for.
    let known = report.order.map(|order| format!("{}/{}", ResourceType::ServiceRequest, order.resource));
    let own = number(&report.placer, "PLAC");
    let own = (known.is_some() || own.is_some()).then(|| order(known, own));
    let made_for = report
        .parent
        .as_deref()
        .and_then(|parent| number(&parent.placer, "PLAC").or_else(|| number(&parent.filler, "FILL")));
    let made_for = made_for.map(|identifier| order(None, Some(identifier)));
    let mut category = vec![Concept::code(SECTION, "LAB")];
    category.extend(report.section.as_ref().and_then(|s| concept(s, scene.site, "OBR-24", &mut marks)));
    let (issued, effective) = (report.issued.as_ref(), report.effective.as_ref());
    let notes: Vec<_> = report.notes.iter().filter_map(|n| clean(n)).collect();
    let parties = |parties: &'a [Party]| parties.iter().filter_map(|p| party::reference(p, scene.site));

    let mut head = scene.head(ResourceType::DiagnosticReport, scene.record.id, &marks);
    let inexact = issued.filter(|t| !t.is_instant());
    head.extension.extend(inexact.map(|t| Extension { url: ISSUED, value: Extended::DateTime(When(t)) }));
    let words = |url, text| Extension { url, value: Extended::String(text) };
    head.extension.extend(report.clinical.as_deref().and_then(clean).map(|text| words(CLINICAL, text)));
    head.extension.extend(report.reasons.iter().filter_map(words_of).map(|text| words(REASON, text)));
    head.extension.extend(party::as_written(&report.as_written));
    let resource = DiagnosticReport {
        head,
        identifier: number(&report.placer, "PLAC")
            .into_iter()
            .chain(number(&report.filler, "FILL"))
            .collect(),
        based_on: own.into_iter().chain(made_for).collect(),
        status: status(report.status, lacks),
        category,
        code,
        subject: scene.subject(),
        encounter: shared.encounter.clone(),
        effective_date_time: effective.filter(|_| shared.period.is_none()).map(When),
        effective_period: shared.period.clone(),
        issued: issued.filter(|t| t.is_instant()).map(When),
        performer: scene.organization().into_iter().chain(parties(&report.performers)).collect(),
        results_interpreter: parties(&report.interpreters).collect(),
        specimen: specimens.iter().map(|id| Reference::to(ResourceType::Specimen, *id)).collect(),
        result,
        presented_form: report
            .enclosures()
            .map(|(result, document)| attachment::reference(scene, document, self::words(result)))
            .collect(),
        conclusion: (!notes.is_empty()).then(|| notes.join("\n").into()),
    };
    scene.main(ResourceType::DiagnosticReport, vec![scene.person()], &resource)
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
    words_of(&result.code)
}

fn words_of(code: &Coded) -> Option<Text<'_>> {
    let display = code.codings.iter().find_map(|c| c.display.as_deref());
    code.text.as_deref().or(display).and_then(clean).or_else(|| clean(code.key()))
}

const fn hidden(result: &LabResult) -> bool {
    matches!(result.value, Value::Absent(Absent::Masked | Absent::Refused))
}

/// The day that the report's numbers are counted in: specimen collected, else OBR-7, else OBR-14 (contract 3).
fn event_date(report: &Report) -> Option<Date> {
    let specimen = report.specimens.first();
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
