//! OBR, NTE and SPM of a laboratory report.

use model::{Attachment, RecordId, Report, ReportStatus, Specimen};

use super::coded::{coded, number};
use super::observation::{is_hidden, obx};
use super::segment::{Segments, components, escaped};

/// The content of a document, where it is held.
pub(super) type Contents<'a> = &'a dyn Fn(RecordId) -> Option<&'a Attachment>;

pub(super) fn segments(out: &mut Segments, report: &Report, contents: Contents<'_>) {
    let received = report.specimens.first().and_then(|specimen| specimen.received.as_ref());
    out.begin("OBR")
        .field(1, "1")
        .maybe(2, report.placer.as_ref().map(number))
        .maybe(3, report.filler.as_ref().map(number))
        .field(4, coded(&report.service))
        .maybe(7, report.effective.as_ref().map(model::PartialTime::to_dtm))
        .maybe(8, report.ended.as_ref().map(model::PartialTime::to_dtm))
        .maybe(14, received.map(model::PartialTime::to_dtm))
        // Its states are ordered by this time: the source's own, else that of the message it came with.
        .maybe(22, report.issued.as_ref().or(report.stated.as_ref()).map(model::PartialTime::to_dtm))
        .maybe(24, report.section.as_ref().map(coded))
        .field(25, status(report, contents))
        .end();
    notes(out, &report.notes);
    for (n, result) in report.results.iter().enumerate() {
        obx(out, n + 1, result, contents);
        notes(out, &result.notes);
    }
    for (n, specimen) in report.specimens.iter().enumerate() {
        spm(out, n + 1, specimen);
    }
}

/// Comments, each of their lines a repetition.
pub(super) fn notes(out: &mut Segments, notes: &[String]) {
    let all = notes.iter().filter(|note| !note.trim().is_empty());
    for (n, note) in all.enumerate() {
        let lines: Vec<String> = note.lines().map(escaped).collect();
        out.begin("NTE").field(1, (n + 1).to_string()).field(3, lines.join("~")).end();
    }
}

/// OBR-25. Contract 5: what lacks anything is partial, never a final that silently lacks it.
fn status(report: &Report, contents: Contents<'_>) -> String {
    let lacks = report.results.iter().any(|result| is_hidden(&result.value, contents));
    if lacks && !matches!(report.status, ReportStatus::Registered | ReportStatus::Cancelled) {
        return "A".to_owned();
    }
    if ReportStatus::read(&report.status_source) == Some(report.status) && !report.status_source.is_empty() {
        return escaped(&report.status_source);
    }
    match report.status {
        ReportStatus::Registered => "O",
        ReportStatus::Partial => "A",
        ReportStatus::Preliminary => "P",
        ReportStatus::Final => "F",
        ReportStatus::Corrected => "C",
        ReportStatus::Cancelled => "X",
        ReportStatus::Unknown => "",
    }
    .to_owned()
}

fn spm(out: &mut Segments, n: usize, specimen: &Specimen) {
    // SPM-2 (EIP): the placer's number, then the filler's; each an entity identifier in subcomponents.
    let own = specimen.number.as_ref().map(|number| {
        let own = format!("{}&{}", escaped(&number.value), escaped(&number.space));
        components(&["", own.trim_end_matches('&')])
    });
    out.begin("SPM")
        .field(1, n.to_string())
        .maybe(2, own)
        .maybe(4, specimen.kind.as_ref().map(coded))
        .maybe(17, specimen.collected.as_ref().map(model::PartialTime::to_dtm))
        .maybe(18, specimen.received.as_ref().map(model::PartialTime::to_dtm))
        .end();
}
