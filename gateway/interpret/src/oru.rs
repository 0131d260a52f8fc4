//! ORU and OUL: laboratory reports. One report for each OBR, one result for each OBX, none dropped.

use hl7::{Message, Segment};
use model::Change;

use crate::reading::Reading;
use crate::{Context, Frame, Reason, patient, specimen, visit};

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

/// Whether all that a message measures is material of quality control: it is about no patient, whatever PID says.
pub(crate) fn is_control(message: &Message) -> bool {
    let mut specimens = message.segments_named("SPM").peekable();
    specimens.peek().is_some() && specimens.all(specimen::is_control)
}

/// Interprets ORU and OUL.
pub(crate) fn change(message: &Message, context: &Context) -> Result<Change, Reason> {
    let Frame { times, trigger, event, pid } = Frame::read(message, context)?;
    let sent = message.first("MSH").and_then(|msh| times.read(&msh.field(7)).ok().flatten());
    let mut reports: Vec<Reading> = Vec::new();
    let layout = Layout::of(&trigger.code, &trigger.event);
    let mut orc: Option<Segment<'_>> = None;
    let mut spm: Option<Segment<'_>> = None;
    // What is found before its order, as of a specimen or of the person, goes to the report of the order that comes next.
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
            "NTE" if in_specimen || reports.is_empty() || orc.is_some() => early.push(segment),
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
    let mut whole: Vec<Reading> = Vec::with_capacity(reports.len());
    for report in reports {
        // An order that is taken up again goes on: its results are told from those before.
        match whole.iter_mut().find(|earlier| report.continues(earlier)) {
            Some(earlier) => earlier.go_on(report),
            None => whole.push(report),
        }
    }
    let mut reports = whole;
    let all = reports.len();
    reports.retain(|report| !report.is_control());
    let control_left_out = reports.len() < all;
    let person = patient::change(pid, &times, context);
    let encounter = visit::referenced(message, &times, context);
    let mut change = Change { trigger, event, person, encounter, ..Change::default() };
    for report in reports {
        let (report, attachments) = report.finish(control_left_out);
        change.reports.push(report);
        change.attachments.extend(attachments);
    }
    Ok(change)
}
