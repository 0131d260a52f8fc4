//! ADT: admissions, discharges, registrations, updates.

use hl7::{Message, Segment};
use model::{Change, Field, Identifier};

use crate::visit::{self, Segments};
use crate::{Context, Frame, Reason, patient};

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
        || matches!(
            event,
            "A08"
                | "A09"
                | "A10"
                | "A15"
                | "A16"
                | "A17"
                | "A25"
                | "A26"
                | "A28"
                | "A29"
                | "A31"
                | "A32"
                | "A33"
        )
        || visit::status(event, None).is_some()
}

/// Interprets an ADT message: one change, or one for each group of PID and MRG where it merges several pairs of persons.
pub(crate) fn changes(message: &Message, context: &Context) -> Result<Vec<Change>, Reason> {
    let frame = Frame::read(message, context)?;
    let event = frame.trigger.event.as_str();
    // A17: two patients change places.
    let by_person = merges(event) || renumbers(event) || event == "A17";
    Group::all(message, by_person).iter().map(|group| change(group, &frame, context)).collect()
}

/// The segments about one person, or about one of several that a message is about.
struct Group<'m> {
    pid: Segment<'m>,
    mrg: Vec<Segment<'m>>,
    evn: Option<Segment<'m>>,
    pv1: Option<Segment<'m>>,
    pv2: Option<Segment<'m>>,
    dg1: Vec<Segment<'m>>,
}

impl<'m> Group<'m> {
    /// The groups of a message: each PID begins one where `by_person` says so, else everything belongs to the first.
    fn all(message: &'m Message, by_person: bool) -> Vec<Self> {
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
                });
                continue;
            }
            let Some(group) = groups.last_mut() else { continue };
            match segment.name() {
                "MRG" => group.mrg.push(segment),
                "PV1" => group.pv1 = group.pv1.or(Some(segment)),
                "PV2" => group.pv2 = group.pv2.or(Some(segment)),
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
    Ok(Change { trigger, event, person, merged, encounter, diagnoses: diagnoses.all, ..Change::default() })
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
