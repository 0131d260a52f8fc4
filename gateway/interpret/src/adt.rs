//! ADT: admissions, discharges, registrations, updates.

use hl7::{Message, Segment};
use model::{Change, Field, Step, StepKind};

use crate::steps::{self, Prior};
use crate::visit::{self, Segments};
use crate::{Context, Frame, Reason, patient};

/// Whether two persons are merged by it: who is named in MRG is who is named in PID.
fn merges(event: &str) -> bool {
    matches!(event, "A18" | "A30" | "A34" | "A36" | "A39" | "A40")
}

/// Whether a person gets another number by it: MRG has the old one, PID the new one.
fn renumbers(event: &str) -> bool {
    matches!(event, "A46" | "A47" | "A48")
}

/// Whether two persons are linked by it, or no longer so: each has a PID.
fn links(event: &str) -> bool {
    matches!(event, "A24" | "A37")
}

/// Whether it moves or merges accounts or visits, or a number of a person.
fn moves(event: &str) -> bool {
    matches!(event, "A35" | "A41" | "A42" | "A43" | "A44" | "A45" | "A49" | "A50" | "A51")
}

/// Whether it is about the person alone, whatever it says of a visit.
fn is_about_person(event: &str) -> bool {
    merges(event) || renumbers(event) || links(event) || matches!(event, "A28" | "A29" | "A31" | "A43")
}

/// Whether an ADT event is interpreted here.
pub(crate) fn is_known(event: &str) -> bool {
    const STATING: [&str; 10] = ["A08", "A09", "A10", "A15", "A16", "A17", "A25", "A26", "A32", "A33"];
    is_about_person(event) || moves(event) || STATING.contains(&event) || visit::status(event, None).is_some()
}

/// Interprets an ADT message: one change, or one for each group of segments where it is about several persons or visits.
pub(crate) fn changes(message: &Message, context: &Context) -> Result<Vec<Change>, Reason> {
    let frame = Frame::read(message, context)?;
    let event = frame.trigger.event.as_str();
    let groups = Group::all(message, event);
    let mut changes =
        groups.iter().map(|group| change(group, &frame, context)).collect::<Result<Vec<_>, _>>()?;
    if links(event) {
        let [one, other] = changes.as_mut_slice() else { return Err(Reason::NoSecondPerson) };
        let kind = if event == "A24" { StepKind::Linked } else { StepKind::Unlinked };
        let from = core::mem::take(&mut one.person.identifiers);
        one.person.identifiers.clone_from(&from);
        if from.is_empty() || other.person.identifiers.is_empty() {
            return Err(Reason::NoSecondPerson);
        }
        // By then both are known.
        other.steps.push(Step { kind, from });
    }
    Ok(changes)
}

/// The segments about one person, or about one of several that a message is about.
struct Group<'m> {
    pid: Segment<'m>,
    mrg: Vec<Segment<'m>>,
    evn: Option<Segment<'m>>,
    pv1: Option<Segment<'m>>,
    pv2: Option<Segment<'m>>,
    dg1: Vec<Segment<'m>>,
    nk1: Vec<Segment<'m>>,
}

impl<'m> Group<'m> {
    /// The groups of a message. Each PID begins one, and so does each MRG of another visit (A42, A44, A45); in messages about one
    /// person everything belongs to the first.
    fn all(message: &'m Message, event: &str) -> Vec<Self> {
        // A17: two patients change places.
        let by_person = merges(event) || renumbers(event) || links(event) || moves(event) || event == "A17";
        let evn = message.first("EVN");
        let mut groups: Vec<Self> = Vec::new();
        for segment in message.segments() {
            if segment.name() == "PID" && (by_person || groups.is_empty()) {
                groups.push(Self {
                    pid: segment,
                    mrg: Vec::new(),
                    evn,
                    pv1: None,
                    pv2: None,
                    dg1: Vec::new(),
                    nk1: Vec::new(),
                });
                continue;
            }
            let Some(group) = groups.last_mut() else { continue };
            match segment.name() {
                "MRG" if moves(event) && !group.mrg.is_empty() => {
                    let pid = group.pid;
                    groups.push(Self {
                        pid,
                        mrg: vec![segment],
                        evn,
                        pv1: None,
                        pv2: None,
                        dg1: Vec::new(),
                        nk1: Vec::new(),
                    });
                }
                "MRG" => group.mrg.push(segment),
                "PV1" => group.pv1 = group.pv1.or(Some(segment)),
                "PV2" => group.pv2 = group.pv2.or(Some(segment)),
                "DG1" => group.dg1.push(segment),
                "NK1" => group.nk1.push(segment),
                _ => {}
            }
        }
        groups
    }
}

/// Interprets one group: an event of a visit, or one about the person alone (A28, A29, A31 and what is said of numbers).
fn change(group: &Group<'_>, frame: &Frame<'_>, context: &Context) -> Result<Change, Reason> {
    let Frame { times, trigger, event, .. } = frame;
    let about_visit = !is_about_person(&trigger.event);
    let mut encounter = group.pv1.filter(|_| about_visit).and_then(|pv1| {
        let segments = Segments { pid: Some(group.pid), pv1, pv2: group.pv2 };
        visit::change(segments, &trigger.event, times, context)
    });
    let diagnoses =
        if about_visit { visit::diagnoses(&group.dg1, times) } else { visit::Diagnoses::default() };
    if let Some(encounter) = &mut encounter {
        // When it really happened, else when it was recorded.
        let happened = group.evn.and_then(|evn| times.read(&evn.field(6)).ok().flatten());
        encounter.at = happened.or_else(|| event.clone());
        encounter.diagnoses_listed = diagnoses.listed;
        match trigger.event.as_str() {
            // A discharge without a time of its own happened when the event did.
            "A03" if encounter.end == Field::Absent => encounter.end = encounter.at.clone().into(),
            "A13" => encounter.end = Field::Null,
            _ => {}
        }
    }
    let mut person = patient::change(group.pid, times, context);
    person.contacts = patient::contacts(&group.nk1);
    person.deleted = Some(trigger.event == "A29");
    let prior = Prior::read(&group.mrg, context);
    let (merge, renumber) = (merges(&trigger.event), renumbers(&trigger.event));
    let mut merged = Vec::new();
    if merge || renumber {
        merged.clone_from(&prior.persons);
        if renumber {
            // The person is found under the old number and holds both from now on.
            merged.extend(prior.alternates.iter().cloned());
            person.identifiers.append(&mut merged);
        }
        if prior.persons.is_empty() && (merge || prior.alternates.is_empty()) {
            return Err(Reason::NoPriorNumber);
        }
    }
    let steps = match trigger.event.as_str() {
        "A43" => prior.moved_number(&mut person)?,
        event => prior.steps(event, steps::account(group.pid, context), &mut encounter)?,
    };
    let (trigger, event) = (trigger.clone(), event.clone());
    Ok(Change {
        trigger,
        event,
        person,
        merged,
        steps,
        encounter,
        diagnoses: diagnoses.all,
        ..Change::default()
    })
}
