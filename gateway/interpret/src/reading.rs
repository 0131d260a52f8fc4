//! One report while its segments are read: OBR and what stands under it.

use std::collections::BTreeMap;

use hl7::{Field, Segment};
use model::{
    Attachment, Coded, LabResult, Mark, NumberKind, Parent, ParentResult, PartialTime, Report, ReportChange,
    ReportStatus, ResultKey, ResultStatus, Specimen, Value,
};

use crate::field::{Notes, Times, coded, number, text, unit, whole_text};
use crate::range::range;
use crate::value::value;
use crate::{Context, Reason, doubt, party, specimen};

/// A report while its segments are read.
pub(crate) struct Reading {
    report: Report,
    notes: Notes,
    /// Documents that are values of its results.
    attachments: Vec<Attachment>,
    bound: Option<PartialTime>,
    /// The specimen is of quality control and of no patient.
    control: bool,
    /// OBR-15 has said something of a specimen that no SPM has taken up yet.
    open_specimen: bool,
    /// What tells apart results that nothing else does.
    seen: BTreeMap<(String, String, String), u32>,
    /// The type of the last OBX, where its text may go on in the next.
    open_text: Option<&'static str>,
}

impl Reading {
    pub(crate) fn begin(
        obr: Segment<'_>,
        orc: Option<Segment<'_>>,
        times: &Times<'_>,
        context: &Context,
        sent: Option<&PartialTime>,
    ) -> Result<Self, Reason> {
        let mut notes = Notes::default();
        let order = |kind, in_obr: usize, in_orc: usize| {
            number(obr.field(in_obr), kind, context)
                .or_else(|| orc.and_then(|orc| number(orc.field(in_orc), kind, context)))
        };
        let status_source = text(obr.field(25).component(1)).unwrap_or_default();
        let status = ReportStatus::read(&status_source).ok_or(Reason::NoReport)?;
        if status_source == "M" {
            notes.marks.push(Mark::NotFinalCorrection);
        }
        if status == ReportStatus::Unknown && !status_source.is_empty() {
            doubt(&mut notes.marks, "OBR-25");
        }
        let effective = times.noted(obr, 7, 1, &mut notes);
        let ended = times.noted(obr, 8, 1, &mut notes);
        let received = times.noted(obr, 14, 1, &mut notes);
        let issued = times.noted(obr, 22, 1, &mut notes);
        let specimen = Specimen { received, ..specimen::source(obr) };
        let open_specimen = specimen != Specimen::default();
        let people =
            |fields: [usize; 2]| fields.into_iter().flat_map(|n| party::observers(obr.field(n))).collect();
        let report = Report {
            placer: order(NumberKind::Placer, 2, 2),
            filler: order(NumberKind::Filler, 3, 3),
            service: coded(obr.field(4).first()).unwrap_or_default(),
            parent: parent(obr, context).map(Box::new),
            status,
            status_source,
            effective,
            ended,
            stated: issued.clone().or_else(|| sent.cloned()),
            issued,
            specimens: if open_specimen { vec![specimen] } else { Vec::new() },
            section: coded(obr.field(24).first()),
            clinical: joined(obr.field(13)),
            reasons: obr.field(31).repetitions().filter_map(coded).collect(),
            interpreters: people([32, 33]),
            performers: people([34, 35]),
            ..Report::default()
        };
        let bound = orc.and_then(|orc| times.read(&orc.field(9)).ok().flatten());
        let (seen, attachments) = (BTreeMap::new(), Vec::new());
        Ok(Self { report, notes, attachments, bound, control: false, open_specimen, seen, open_text: None })
    }

    /// The numbers of an ORC that stands behind its OBR.
    pub(crate) fn order(&mut self, orc: Segment<'_>, times: &Times<'_>, context: &Context) {
        let report = &mut self.report;
        report.placer = report.placer.take().or_else(|| number(orc.field(2), NumberKind::Placer, context));
        report.filler = report.filler.take().or_else(|| number(orc.field(3), NumberKind::Filler, context));
        self.bound = self.bound.take().or_else(|| times.read(&orc.field(9)).ok().flatten());
    }

    pub(crate) fn take(&mut self, segment: Segment<'_>, times: &Times<'_>, context: &Context) {
        match segment.name() {
            "OBX" => self.result(segment, times),
            "NTE" => self.note(segment),
            "SPM" => self.specimen(segment, times, context),
            _ => {}
        }
    }

    fn result(&mut self, obx: Segment<'_>, times: &Times<'_>) {
        let mut notes = Notes::default();
        let status_source = text(obx.field(11).component(1)).unwrap_or_default();
        let status = ResultStatus::read(&status_source);
        if status == ResultStatus::Unknown && !status_source.is_empty() {
            doubt(&mut notes.marks, "OBX-11");
        }
        let code = coded(obx.field(3).first()).unwrap_or_else(|| {
            doubt(&mut notes.marks, "OBX-3");
            Coded::text("?")
        });
        let sub_id = whole_text(obx.field(4).first()).unwrap_or_default();
        let instance = text(obx.field(21).component(1)).unwrap_or_default();
        let value = value(obx, status, times, &mut self.attachments, &mut notes);
        let kind = match obx.field(2).text().trim() {
            "TX" => Some("TX"),
            "FT" => Some("FT"),
            _ => None,
        };
        if kind.is_some() && self.goes_on(kind, code.key(), &sub_id, &instance, status, &value) {
            return;
        }
        self.open_text = kind;
        let analysed = times.noted(obx, 19, 1, &mut notes);
        let observed = times.noted(obx, 14, 1, &mut notes);
        let repeat = self.seen.entry((code.key().to_owned(), sub_id.clone(), instance.clone())).or_default();
        let key = ResultKey { code: code.key().to_owned(), sub_id, instance, repeat: *repeat };
        *repeat += 1;
        let mut performers = party::persons(obx.field(16));
        performers.extend(party::producer(obx.field(15).first()));
        performers.extend(party::organization(obx.field(23).first(), obx.field(24).first()));
        performers.extend(party::persons(obx.field(25)));
        self.report.results.push(LabResult {
            key,
            code,
            unit: unit(obx.field(6).first()),
            // A tilde in a range is what it looks like: `3.9~6.1` is one range, not two.
            range: joined_by(obx.field(7), "~").map(|text| range(&text)),
            flags: obx.field(8).repetitions().filter_map(flag).collect(),
            status_source,
            stated: analysed.clone().or_else(|| self.report.stated.clone()),
            observed,
            analysed,
            method: coded(obx.field(17).first()),
            performers,
            devices: party::devices(obx.field(18)),
            doubtful: notes.marks.into_iter().filter_map(element).collect(),
            as_written: notes.as_written,
            ..LabResult::new(value, status)
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
        if let Some(text) = joined(nte.field(3)) {
            let notes = match self.report.results.last_mut() {
                Some(result) => &mut result.notes,
                None => &mut self.report.notes,
            };
            notes.push(text);
        }
    }

    pub(crate) fn specimen(&mut self, spm: Segment<'_>, times: &Times<'_>, context: &Context) {
        self.control |= specimen::is_control(spm);
        if !core::mem::take(&mut self.open_specimen) {
            self.report.specimens.push(Specimen::default());
        }
        if let Some(specimen) = self.report.specimens.last_mut() {
            specimen::read(specimen, spm, times, context, &mut self.notes);
        }
    }

    /// Whether it is of the same order and service as `earlier`, and for the same result of another one.
    pub(crate) fn continues(&self, earlier: &Self) -> bool {
        let (one, other) = (&self.report, &earlier.report);
        let numbered = one.filler.is_some() || one.placer.is_some();
        let specimen = |report: &Report| report.specimens.first().and_then(|s| s.number.clone());
        numbered
            && one.filler == other.filler
            && (one.filler.is_some() || one.placer == other.placer)
            && one.service.key() == other.service.key()
            && one.parent.as_ref().map(|p| &p.result) == other.parent.as_ref().map(|p| &p.result)
            && specimen(one) == specimen(other)
            && self.control == earlier.control
    }

    /// Takes over what stands under another OBR of the same order.
    pub(crate) fn go_on(&mut self, mut more: Self) {
        for mut result in more.report.results {
            let key = &mut result.key;
            let seen = (key.code.clone(), key.sub_id.clone(), key.instance.clone());
            let repeat = self.seen.entry(seen).or_default();
            key.repeat = *repeat;
            *repeat += 1;
            self.report.results.push(result);
        }
        self.report.notes.append(&mut more.report.notes);
        self.attachments.append(&mut more.attachments);
        self.notes.marks.append(&mut more.notes.marks);
        self.notes.as_written.append(&mut more.notes.as_written);
    }

    /// Whether it is about a material of quality control and not about the patient.
    pub(crate) const fn is_control(&self) -> bool {
        self.control
    }

    /// The report, and the contents of its documents.
    pub(crate) fn finish(mut self, control_left_out: bool) -> (ReportChange, Vec<Attachment>) {
        let specimen = self.report.specimens.first();
        // Contract 3: specimen collected, else OBR-7, else OBR-14, else ORC-9.
        let bound_to = specimen
            .and_then(|s| s.collected.clone())
            .or_else(|| self.report.effective.clone())
            .or_else(|| specimen.and_then(|s| s.received.clone()))
            .or(self.bound);
        if self.report.service.is_empty() {
            doubt(&mut self.notes.marks, "OBR-4");
        }
        if control_left_out {
            self.notes.marks.push(Mark::ControlLeftOut);
        }
        self.report.as_written = self.notes.as_written;
        (ReportChange { bound_to, report: self.report, marks: self.notes.marks }, self.attachments)
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
        notes: Notes::default(),
        attachments: Vec::new(),
        bound: None,
        control: false,
        open_specimen: false,
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

/// OBR-26 and OBR-29: the result of another order that this one was made for; from version 2.8 on the order in OBR-54.
fn parent(obr: Segment<'_>, context: &Context) -> Option<Parent> {
    let order = |component: usize, kind| {
        [29, 54].into_iter().find_map(|n| {
            let component = obr.field(n).component(component);
            let authority = text(component.subcomponent(2));
            context.number(kind, &text(component.subcomponent(1))?, authority)
        })
    };
    let prior = obr.field(26).first();
    let (code, display) = (prior.component(1).subcomponent(1), prior.component(1).subcomponent(2));
    let code = match (text(code), text(display)) {
        (Some(code), display) => {
            let system = text(prior.component(1).subcomponent(3));
            Some(Coded::of(&code, display.as_deref(), system.as_deref()))
        }
        (None, Some(display)) => Some(Coded::text(&display)),
        (None, None) => None,
    };
    let parent = Parent {
        placer: order(1, NumberKind::Placer),
        filler: order(2, NumberKind::Filler),
        result: code.map(|code| ParentResult {
            code,
            sub_id: text(prior.component(2)).unwrap_or_default(),
            text: text(prior.component(3)),
        }),
    };
    // A result of no order is one of nobody's.
    (parent.placer.is_some() || parent.filler.is_some()).then_some(parent)
}

/// A flag: its code, else its words.
fn flag(repetition: hl7::Repetition<'_>) -> Option<String> {
    text(repetition.component(1)).or_else(|| text(repetition.component(2)))
}

/// A field of text, each repetition on a line.
fn joined(field: Field<'_>) -> Option<String> {
    joined_by(field, "\n")
}

fn joined_by(field: Field<'_>, separator: &str) -> Option<String> {
    let mut parts = field.repetitions().filter_map(whole_text);
    let mut all = parts.next()?;
    for part in parts {
        all.push_str(separator);
        all.push_str(&part);
    }
    Some(all)
}

fn element(mark: Mark) -> Option<String> {
    match mark {
        Mark::Doubtful(element) => Some(element),
        _ => None,
    }
}
