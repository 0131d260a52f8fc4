//! ADT: admissions, discharges, registrations, updates.

use hl7::{Message, Segment};
use model::{
    Attending, Change, Coded, DiagnosisChange, DiagnosisKind, EncounterChange, EncounterClass,
    EncounterStatus, Field, NumberKind,
};

use crate::field::{Times, coded, text, tri};
use crate::{Context, Frame, Reason, patient};

/// Interprets A01, A03, A04, A08 and A31.
pub(crate) fn change(message: &Message, context: &Context) -> Result<Change, Reason> {
    let Frame { times, trigger, event, pid } = Frame::read(message, context)?;
    let about_visit = trigger.event != "A31";
    let mut encounter = message
        .first("PV1")
        .filter(|_| about_visit)
        .and_then(|pv1| visit(pv1, &trigger.event, &times, context));
    if let (Some(encounter), "A03") = (&mut encounter, trigger.event.as_str()) {
        // A discharge without a time of its own happened when the event did.
        if encounter.end == Field::Absent {
            let happened = message.first("EVN").and_then(|evn| times.read(&evn.field(6)).ok().flatten());
            encounter.end = happened.or_else(|| event.clone()).into();
        }
    }
    let diagnoses = if about_visit { diagnoses(message, &times) } else { Vec::new() };
    let person = patient::change(pid, &times, context);
    Ok(Change { trigger, event, person, encounter, diagnoses, reports: Vec::new() })
}

/// Reads PV1. None without a visit number: then nothing tells the visit from another.
pub(crate) fn visit(
    pv1: Segment<'_>,
    event: &str,
    times: &Times<'_>,
    context: &Context,
) -> Option<EncounterChange> {
    let first = pv1.field(19).first();
    let authority = text(first.component(4).subcomponent(1));
    let number = context.number(NumberKind::Visit, &text(first.component(1))?, authority)?;
    let mut marks = Vec::new();
    let class_source = text(pv1.field(2).component(1)).unwrap_or_default();
    let class = EncounterClass::read(&class_source);
    let status = match event {
        "A01" => Some(EncounterStatus::InProgress),
        "A03" => Some(EncounterStatus::Finished),
        // A registration for emergency care is care; another one waits to be seen.
        "A04" if class == Some(EncounterClass::Emergency) => Some(EncounterStatus::InProgress),
        "A04" => Some(EncounterStatus::Arrived),
        _ => None,
    };
    let time =
        |field, element, marks: &mut Vec<_>| tri(field, element, marks, |f| times.read(&f).ok().flatten());
    Some(EncounterChange {
        number,
        status,
        class,
        class_source,
        start: time(pv1.field(44), "PV1-44", &mut marks),
        end: time(pv1.field(45), "PV1-45", &mut marks),
        location: tri(pv1.field(3), "PV1-3", &mut marks, |field| location(field.first())),
        attending: tri(pv1.field(7), "PV1-7", &mut marks, |field| attending(field.first())),
        marks,
    })
}

/// Ward, room and bed as the site writes them.
fn location(place: hl7::Repetition<'_>) -> Option<String> {
    let parts: Vec<String> =
        [1, 2, 3].into_iter().filter_map(|n| text(place.component(n).subcomponent(1))).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

fn attending(doctor: hl7::Repetition<'_>) -> Option<Attending> {
    let name: Vec<String> =
        [2, 3].into_iter().filter_map(|n| text(doctor.component(n).subcomponent(1))).collect();
    let wide = name.iter().any(|part| part.chars().any(|c| c >= '\u{2e80}'));
    let name = (!name.is_empty()).then(|| name.join(if wide { "" } else { " " }));
    let number = text(doctor.component(1));
    (number.is_some() || name.is_some()).then_some(Attending { number, name })
}

fn diagnoses(message: &Message, times: &Times<'_>) -> Vec<DiagnosisChange> {
    let read = |dg1: Segment<'_>| {
        // DG1-4 is the description where DG1-3 is only a code.
        let described = text(dg1.field(4).component(1));
        let mut code = coded(dg1.field(3).first()).or_else(|| described.as_deref().map(Coded::text))?;
        code.text = code.text.or(described);
        let recorded = times.read(&dg1.field(5)).ok().flatten();
        Some(DiagnosisChange { code, recorded, kind: DiagnosisKind::read(&dg1.field(6).text()) })
    };
    message.segments_named("DG1").filter_map(read).collect()
}

/// The visit that a report belongs to.
pub(crate) fn referenced(message: &Message, times: &Times<'_>, context: &Context) -> Option<EncounterChange> {
    message.first("PV1").and_then(|pv1| visit(pv1, "", times, context))
}
