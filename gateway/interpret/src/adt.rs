//! ADT: admissions, discharges, registrations, updates.

use hl7::{Message, Segment};
use model::{
    Attending, Change, Coded, DiagnosisChange, DiagnosisKind, EncounterChange, EncounterClass,
    EncounterStatus, Field, Identifier, NumberKind, VisitStep,
};

use crate::field::{Times, coded, text, tri};
use crate::{Context, Frame, Reason, patient};

/// Events that are about a visit, with what they make of it (HL7 v2, chapter 3). None: they only state what is so now.
fn status(event: &str, class: Option<EncounterClass>) -> Option<EncounterStatus> {
    use EncounterStatus::{Arrived, Cancelled, EnteredInError, Finished, InProgress, OnLeave, Planned};
    Some(match event {
        "A05" | "A14" => Planned,
        // A registration for emergency care is care; another one waits to be seen.
        "A04" if class != Some(EncounterClass::Emergency) => Arrived,
        "A01" | "A02" | "A04" | "A06" | "A07" | "A12" | "A13" | "A22" => InProgress,
        "A21" => OnLeave,
        "A03" => Finished,
        "A11" | "A27" | "A38" => Cancelled,
        "A23" => EnteredInError,
        _ => return None,
    })
}

/// Whether two persons are merged by it: who is named in MRG is who is named in PID.
fn merges(event: &str) -> bool {
    matches!(event, "A18" | "A30" | "A34" | "A36" | "A39" | "A40")
}

/// Whether a person gets another number by it: MRG has the old one, PID the new one.
fn renumbers(event: &str) -> bool {
    matches!(event, "A46" | "A47" | "A48" | "A49")
}

/// Whether an ADT event is interpreted here.
pub(crate) fn is_known(event: &str) -> bool {
    merges(event)
        || renumbers(event)
        || matches!(event, "A08" | "A15" | "A16" | "A25" | "A26" | "A28" | "A29" | "A31")
        || status(event, None).is_some()
}

/// Interprets an ADT message: one change, or one for each group of PID and MRG where it merges several pairs of persons.
pub(crate) fn changes(message: &Message, context: &Context) -> Result<Vec<Change>, Reason> {
    let frame = Frame::read(message, context)?;
    let event = frame.trigger.event.as_str();
    let by_person = merges(event) || renumbers(event);
    Group::all(message, by_person).iter().map(|group| change(group, &frame, context)).collect()
}

/// The segments about one person, or about one of several that a message is about.
struct Group<'m> {
    pid: Segment<'m>,
    mrg: Vec<Segment<'m>>,
    evn: Option<Segment<'m>>,
    pv1: Option<Segment<'m>>,
    dg1: Vec<Segment<'m>>,
}

impl<'m> Group<'m> {
    /// The groups of a message: each PID begins one where `by_person` says so, else everything belongs to the first.
    fn all(message: &'m Message, by_person: bool) -> Vec<Self> {
        let evn = message.first("EVN");
        let mut groups: Vec<Self> = Vec::new();
        for segment in message.segments() {
            if segment.name() == "PID" && (by_person || groups.is_empty()) {
                groups.push(Self { pid: segment, mrg: Vec::new(), evn, pv1: None, dg1: Vec::new() });
                continue;
            }
            let Some(group) = groups.last_mut() else { continue };
            match segment.name() {
                "MRG" => group.mrg.push(segment),
                "PV1" => group.pv1 = group.pv1.or(Some(segment)),
                "DG1" => group.dg1.push(segment),
                _ => {}
            }
        }
        groups
    }
}

/// Interprets one group: an event of a visit, or one about the person alone (A28, A29, A31 and what is said of numbers).
fn change(group: &Group<'_>, frame: &Frame<'_>, context: &Context) -> Result<Change, Reason> {
    let Frame { times, trigger, event, .. } = frame;
    let (merge, renumber) = (merges(&trigger.event), renumbers(&trigger.event));
    let about_visit = !merge && !renumber && !matches!(trigger.event.as_str(), "A28" | "A29" | "A31");
    let mut encounter =
        group.pv1.filter(|_| about_visit).and_then(|pv1| visit(pv1, &trigger.event, times, context));
    if let Some(encounter) = &mut encounter {
        // When it really happened, else when it was recorded.
        let happened = group.evn.and_then(|evn| times.read(&evn.field(6)).ok().flatten());
        encounter.at = happened.or_else(|| event.clone());
        match trigger.event.as_str() {
            // A discharge without a time of its own happened when the event did.
            "A03" if encounter.end == Field::Absent => encounter.end = encounter.at.clone().into(),
            "A13" => encounter.end = Field::Null,
            _ => {}
        }
    }
    let diagnoses = if about_visit { diagnoses(&group.dg1, times) } else { Vec::new() };
    let mut person = patient::change(group.pid, times, context);
    person.deleted = Some(trigger.event == "A29");
    let mut merged = if merge || renumber { prior_numbers(&group.mrg, context) } else { Vec::new() };
    if (merge || renumber) && merged.is_empty() {
        return Err(Reason::NoPriorNumber);
    }
    if renumber {
        // The person is found under the old number and holds both from now on.
        person.identifiers.append(&mut merged);
    }
    let (trigger, event) = (trigger.clone(), event.clone());
    Ok(Change { trigger, event, person, merged, encounter, diagnoses, ..Change::default() })
}

/// MRG-1, and MRG-4 of old versions.
fn prior_numbers(mrg: &[Segment<'_>], context: &Context) -> Vec<Identifier> {
    let mut found: Vec<Identifier> = Vec::new();
    for mrg in mrg {
        let (list, single) = (mrg.field(1), mrg.field(4));
        for repetition in list.repetitions().chain(single.repetitions()) {
            if let Some(identifier) = patient::identifier(repetition, context)
                && !found.iter().any(|held| held.same(&identifier))
            {
                found.push(identifier);
            }
        }
    }
    found
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
    let step = match event {
        "A02" => VisitStep::Transfer,
        "A12" => VisitStep::TransferCancelled,
        "A06" | "A07" => VisitStep::ClassChange,
        _ => VisitStep::Statement,
    };
    let time =
        |field, element, marks: &mut Vec<_>| tri(field, element, marks, |f| times.read(&f).ok().flatten());
    Some(EncounterChange {
        number,
        status: status(event, class),
        class,
        class_source,
        start: time(pv1.field(44), "PV1-44", &mut marks),
        end: time(pv1.field(45), "PV1-45", &mut marks),
        location: tri(pv1.field(3), "PV1-3", &mut marks, |field| location(field.first())),
        attending: tri(pv1.field(7), "PV1-7", &mut marks, |field| attending(field.first())),
        step,
        at: None,
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

fn diagnoses(dg1: &[Segment<'_>], times: &Times<'_>) -> Vec<DiagnosisChange> {
    let read = |dg1: &Segment<'_>| {
        // DG1-4 is the description where DG1-3 is only a code.
        let described = text(dg1.field(4).component(1));
        let mut code = coded(dg1.field(3).first()).or_else(|| described.as_deref().map(Coded::text))?;
        code.text = code.text.or(described);
        let recorded = times.read(&dg1.field(5)).ok().flatten();
        Some(DiagnosisChange { code, recorded, kind: DiagnosisKind::read(&dg1.field(6).text()) })
    };
    dg1.iter().filter_map(read).collect()
}

/// The visit that a report belongs to.
pub(crate) fn referenced(message: &Message, times: &Times<'_>, context: &Context) -> Option<EncounterChange> {
    message.first("PV1").and_then(|pv1| visit(pv1, "", times, context))
}
