//! ORU and OUL: laboratory reports. One report for each OBR, one result for each OBX, none dropped.

use std::collections::BTreeMap;

use hl7::{Message, Segment};
use model::{
    Attachment, Change, Coded, LabResult, Mark, NumberKind, PartialTime, Report, ReportChange, ReportStatus,
    ResultKey, ResultStatus, Specimen, Value,
};

use crate::field::{Times, coded, number, text, whole_text};
use crate::range::range;
use crate::value::value;
use crate::{Context, Frame, Reason, doubt, patient, visit};

/// Where a message has its specimen and its order (HL7 v2.5, sections 7.3 and 13.3).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// ORC before OBR, SPM behind it: ORU, OUL^R21.
    Order,
    /// SPM before the OBRs it is about, ORC behind OBR: OUL^R22, OUL^R23.
    Specimen,
    /// OBR, then ORC, then SPM: OUL^R24.
    Service,
}

impl Layout {
    fn of(code: &str, event: &str) -> Self {
        match (code, event) {
            ("OUL", "R22" | "R23") => Self::Specimen,
            ("OUL", "R24") => Self::Service,
            _ => Self::Order,
        }
    }
}

/// Whether an event of ORU or OUL is interpreted here. R30 to R32 are results from the point of care.
pub(crate) fn is_known(code: &str, event: &str) -> bool {
    matches!((code, event), ("ORU", "R01" | "R30" | "R31" | "R32") | ("OUL", "R21" | "R22" | "R23" | "R24"))
}

/// Interprets ORU and OUL.
pub(crate) fn change(message: &Message, context: &Context) -> Result<Change, Reason> {
    let Frame { times, trigger, event, pid } = Frame::read(message, context)?;
    let sent = message.first("MSH").and_then(|msh| times.read(&msh.field(7)).ok().flatten());
    let mut reports: Vec<Reading> = Vec::new();
    let layout = Layout::of(&trigger.code, &trigger.event);
    let mut orc: Option<Segment<'_>> = None;
    let mut spm: Option<Segment<'_>> = None;
    // What is found before its order, as of a specimen, goes to the report of the order that comes next.
    let mut early: Vec<Segment<'_>> = Vec::new();
    let mut in_specimen = false;
    for segment in message.segments() {
        match segment.name() {
            "ORC" if layout == Layout::Order => orc = Some(segment),
            "ORC" => {
                if let Some(report) = reports.last_mut() {
                    report.order(segment, &times, context);
                }
            }
            "SPM" if layout == Layout::Specimen => (spm, in_specimen) = (Some(segment), true),
            "OBX" if in_specimen || reports.is_empty() => early.push(segment),
            "NTE" if !early.is_empty() => early.push(segment),
            "OBR" => {
                let mut report = Reading::begin(segment, orc.take(), &times, context, sent.as_ref())?;
                if let Some(spm) = spm {
                    report.specimen(spm, &times, context);
                }
                for segment in early.drain(..) {
                    report.take(segment, &times, context);
                }
                reports.push(report);
                in_specimen = false;
            }
            _ => {
                if let Some(report) = reports.last_mut() {
                    report.take(segment, &times, context);
                }
            }
        }
    }
    if let Some(report) = reports.last_mut() {
        for segment in early {
            report.take(segment, &times, context);
        }
    }
    if reports.is_empty() {
        // Results without the order they answer cannot be told from those of another.
        return Err(Reason::NoIdentity);
    }
    let person = patient::change(pid, &times, context);
    let encounter = visit::referenced(message, &times, context);
    let attachments = reports.iter_mut().flat_map(|report| report.attachments.drain(..)).collect();
    let reports = reports.into_iter().map(Reading::finish).collect();
    Ok(Change { trigger, event, person, encounter, reports, attachments, ..Change::default() })
}

/// A report while its segments are read.
struct Reading {
    report: Report,
    marks: Vec<Mark>,
    /// Documents that are values of its results.
    attachments: Vec<Attachment>,
    bound: Option<PartialTime>,
    /// What tells apart results that nothing else does.
    seen: BTreeMap<(String, String, String), u32>,
    /// The type of the last OBX, where its text may go on in the next.
    open_text: Option<&'static str>,
}

impl Reading {
    fn begin(
        obr: Segment<'_>,
        orc: Option<Segment<'_>>,
        times: &Times<'_>,
        context: &Context,
        sent: Option<&PartialTime>,
    ) -> Result<Self, Reason> {
        let mut marks = Vec::new();
        let order = |kind, in_obr: usize, in_orc: usize| {
            number(obr.field(in_obr), kind, context)
                .or_else(|| orc.and_then(|orc| number(orc.field(in_orc), kind, context)))
        };
        let status_source = text(obr.field(25).component(1)).unwrap_or_default();
        let status = ReportStatus::read(&status_source).ok_or(Reason::NoReport)?;
        if status_source == "M" {
            marks.push(Mark::NotFinalCorrection);
        }
        if status == ReportStatus::Unknown && !status_source.is_empty() {
            doubt(&mut marks, "OBR-25");
        }
        let effective = times.marked(obr, 7, &mut marks);
        let received = times.marked(obr, 14, &mut marks);
        let issued = times.marked(obr, 22, &mut marks);
        let source = specimen_source(obr);
        let specimen = Specimen { kind: source, received, ..Specimen::default() };
        let report = Report {
            placer: order(NumberKind::Placer, 2, 2),
            filler: order(NumberKind::Filler, 3, 3),
            order: None,
            service: coded(obr.field(4).first()).unwrap_or_default(),
            status,
            status_source,
            effective,
            stated: issued.clone().or_else(|| sent.cloned()),
            issued,
            specimen: (specimen != Specimen::default()).then_some(specimen),
            section: text(obr.field(24).component(1)),
            results: Vec::new(),
            notes: Vec::new(),
        };
        let bound = orc.and_then(|orc| times.read(&orc.field(9)).ok().flatten());
        Ok(Self { report, marks, attachments: Vec::new(), bound, seen: BTreeMap::new(), open_text: None })
    }

    /// The numbers of an ORC that stands behind its OBR.
    fn order(&mut self, orc: Segment<'_>, times: &Times<'_>, context: &Context) {
        let report = &mut self.report;
        report.placer = report.placer.take().or_else(|| number(orc.field(2), NumberKind::Placer, context));
        report.filler = report.filler.take().or_else(|| number(orc.field(3), NumberKind::Filler, context));
        self.bound = self.bound.take().or_else(|| times.read(&orc.field(9)).ok().flatten());
    }

    fn take(&mut self, segment: Segment<'_>, times: &Times<'_>, context: &Context) {
        match segment.name() {
            "OBX" => self.result(segment, times),
            "NTE" => self.note(segment),
            "SPM" => self.specimen(segment, times, context),
            _ => {}
        }
    }

    fn result(&mut self, obx: Segment<'_>, times: &Times<'_>) {
        let mut marks = Vec::new();
        let status_source = text(obx.field(11).component(1)).unwrap_or_default();
        let status = ResultStatus::read(&status_source);
        if status == ResultStatus::Unknown && !status_source.is_empty() {
            doubt(&mut marks, "OBX-11");
        }
        let code = coded(obx.field(3).first()).unwrap_or_else(|| {
            doubt(&mut marks, "OBX-3");
            Coded::text("?")
        });
        let sub_id = whole_text(obx.field(4).first()).unwrap_or_default();
        let instance = text(obx.field(21).component(1)).unwrap_or_default();
        let value = value(obx, status, times, &mut self.attachments, &mut marks);
        let kind = match obx.field(2).text().trim() {
            "TX" => Some("TX"),
            "FT" => Some("FT"),
            _ => None,
        };
        if kind.is_some() && self.goes_on(kind, code.key(), &sub_id, &instance, status, &value) {
            return;
        }
        self.open_text = kind;
        let analysed = times.marked(obx, 19, &mut marks);
        let observed = times.marked(obx, 14, &mut marks);
        let repeat = self.seen.entry((code.key().to_owned(), sub_id.clone(), instance.clone())).or_default();
        let key = ResultKey { code: code.key().to_owned(), sub_id, instance, repeat: *repeat };
        *repeat += 1;
        self.report.results.push(LabResult {
            key,
            code,
            value,
            unit: coded(obx.field(6).first()),
            range: whole_text(obx.field(7).first()).map(|text| range(&text)),
            flags: obx.field(8).repetitions().filter_map(|flag| text(flag.component(1))).collect(),
            status,
            status_source,
            stated: analysed.clone().or_else(|| self.report.stated.clone()),
            observed,
            analysed,
            method: coded(obx.field(17).first()),
            notes: Vec::new(),
            withdrawn: false,
            order_unclear: false,
            doubtful: marks.into_iter().filter_map(element).collect(),
        });
    }

    /// Text that goes on from the OBX before: of the same type, code and sub-id.
    fn goes_on(
        &mut self,
        kind: Option<&'static str>,
        code: &str,
        sub_id: &str,
        instance: &str,
        status: ResultStatus,
        value: &Value,
    ) -> bool {
        let same_kind = self.open_text == kind;
        let Some(last) = self.report.results.last_mut().filter(|_| same_kind) else { return false };
        let key = &last.key;
        if key.code != code || key.sub_id != sub_id || key.instance != instance || last.status != status {
            return false;
        }
        match (&mut last.value, value) {
            (Value::Text(text), Value::Text(more)) => {
                text.push('\n');
                text.push_str(more);
                true
            }
            // An empty line of a text.
            (Value::Text(text), Value::Absent(_)) => {
                text.push('\n');
                true
            }
            _ => false,
        }
    }

    fn note(&mut self, nte: Segment<'_>) {
        let lines: Vec<String> = nte.field(3).repetitions().filter_map(whole_text).collect();
        if !lines.is_empty() {
            let notes = match self.report.results.last_mut() {
                Some(result) => &mut result.notes,
                None => &mut self.report.notes,
            };
            notes.push(lines.join("\n"));
        }
    }

    fn specimen(&mut self, spm: Segment<'_>, times: &Times<'_>, context: &Context) {
        let specimen = self.report.specimen.get_or_insert_default();
        // Of several specimens the first is the report's.
        if specimen.number.is_some() {
            return;
        }
        let stated = specimen_of(spm, times, context, &mut self.marks);
        specimen.number = stated.number;
        specimen.kind = stated.kind.or_else(|| specimen.kind.take());
        specimen.collected = stated.collected;
        specimen.received = stated.received.or_else(|| specimen.received.take());
    }

    fn finish(mut self) -> ReportChange {
        let specimen = self.report.specimen.as_ref();
        // Contract 3: specimen collected, else OBR-7, else OBR-14, else ORC-9.
        let bound_to = specimen
            .and_then(|s| s.collected.clone())
            .or_else(|| self.report.effective.clone())
            .or_else(|| specimen.and_then(|s| s.received.clone()))
            .or(self.bound);
        if self.report.service.is_empty() {
            doubt(&mut self.marks, "OBR-4");
        }
        ReportChange { bound_to, report: self.report, marks: self.marks }
    }
}

/// What was stated beside something that is no report.
pub(crate) struct Stated {
    /// The comments before any OBX.
    pub(crate) notes: Vec<String>,
    /// Each OBX with its comments.
    pub(crate) results: Vec<LabResult>,
    /// Documents that are values of them.
    pub(crate) attachments: Vec<Attachment>,
}

/// Reads OBX and NTE; `at` is the time that their states are ordered by.
pub(crate) fn observations(segments: &[Segment<'_>], at: Option<&PartialTime>, times: &Times<'_>) -> Stated {
    let mut reading = Reading {
        report: Report { stated: at.cloned(), ..Report::default() },
        marks: Vec::new(),
        attachments: Vec::new(),
        bound: None,
        seen: BTreeMap::new(),
        open_text: None,
    };
    for segment in segments {
        match segment.name() {
            "OBX" => reading.result(*segment, times),
            "NTE" => reading.note(*segment),
            _ => {}
        }
    }
    let Reading { report, attachments, .. } = reading;
    Stated { notes: report.notes, results: report.results, attachments }
}

/// Reads SPM.
pub(crate) fn specimen_of(
    spm: Segment<'_>,
    times: &Times<'_>,
    context: &Context,
    marks: &mut Vec<Mark>,
) -> Specimen {
    let id = spm.field(2).first();
    let part = |n: usize| text(id.component(n).subcomponent(1));
    let authority = text(id.component(1).subcomponent(2)).or_else(|| text(id.component(2).subcomponent(2)));
    let number = part(2).or_else(|| part(1));
    Specimen {
        number: number.and_then(|value| context.number(NumberKind::Specimen, &value, authority)),
        kind: coded(spm.field(4).first()),
        collected: times.marked(spm, 17, marks),
        received: times.marked(spm, 18, marks),
    }
}

/// OBR-15: in old versions the specimen source, its first component a coded element in subcomponents.
pub(crate) fn specimen_source(obr: Segment<'_>) -> Option<Coded> {
    let first = obr.field(15).first().component(1);
    let code = text(first.subcomponent(1));
    let display = text(first.subcomponent(2));
    let system = text(first.subcomponent(3));
    match (code, display) {
        (Some(code), display) => Some(Coded::of(&code, display.as_deref(), system.as_deref())),
        (None, Some(display)) => Some(Coded::text(&display)),
        (None, None) => None,
    }
}

fn element(mark: Mark) -> Option<String> {
    match mark {
        Mark::Doubtful(element) => Some(element),
        _ => None,
    }
}
