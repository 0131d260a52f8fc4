//! Appointments.

use serde::{Deserialize, Serialize};

use crate::{AppointmentChange, Coded, LabResult, Number, OrderRef, PartialTime};

/// An appointment of a person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appointment {
    /// Its number, by who keeps the schedule (SCH-2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filler: Option<Number>,
    /// Its number, by who asked for it (SCH-1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placer: Option<Number>,
    /// How far it has come.
    pub status: AppointmentStatus,
    /// The status as written (SCH-25).
    #[serde(default)]
    pub status_source: String,
    /// When it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<PartialTime>,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<PartialTime>,
    /// How long it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Duration>,
    /// What kind of appointment (SCH-8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Coded>,
    /// Why the patient comes (SCH-7).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Coded>,
    /// Why it is as it is: the reason of the last event (SCH-6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<Coded>,
    /// Services, staff, places and equipment (AIS, AIP, AIL, AIG).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Resource>,
    /// Comments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What was stated with it (OBX).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observations: Vec<LabResult>,
    /// The order it is for (SCH-26), where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderRef>,
}

/// A duration as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Duration {
    /// How many.
    pub value: String,
    /// Of what; empty where the source says nothing.
    pub unit: String,
}

impl Duration {
    /// The minutes, where it is said in whole ones.
    pub fn minutes(&self) -> Option<u32> {
        let unit = self.unit.trim().to_ascii_lowercase();
        let minutes = matches!(
            unit.as_str(),
            "min" | "mins" | "minute" | "minutes" | "m" | "\u{5206}" | "\u{5206}\u{949f}"
        );
        self.value.trim().parse().ok().filter(|value| minutes && (1..=100_000).contains(value))
    }
}

/// Something or somebody that an appointment needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// What it is.
    pub kind: ResourceKind,
    /// Its number or code, and its name.
    pub what: Coded,
    /// In which role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Coded>,
    /// Its status as written (HL7 table 0278).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub state: String,
}

/// Kinds of what an appointment needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResourceKind {
    /// A service (AIS).
    Service,
    /// Somebody (AIP).
    Person,
    /// A place (AIL).
    Place,
    /// Equipment and whatever else (AIG).
    Thing,
}

/// How far an appointment has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AppointmentStatus {
    /// Asked for, its time held.
    Pending,
    /// Waits for a time.
    Waitlist,
    /// Agreed; also where an event only tells of a change.
    #[default]
    Booked,
    /// The patient is there.
    Arrived,
    /// Over.
    Fulfilled,
    /// Called off (S15), or broken off (S16).
    Cancelled,
    /// The patient did not come (S26).
    NoShow,
    /// It should never have been (S17).
    EnteredInError,
}

impl AppointmentStatus {
    /// What an event makes of an appointment: a total function of the event and the status (SCH-25, HL7 table 0278). None for
    /// a change that says nothing of it.
    ///
    /// What the event is about speaks first, then the status, then that it was booked at all.
    pub fn read(event: &str, status: &str) -> Option<Self> {
        match event {
            "S15" | "S16" | "S24" => return Some(Self::Cancelled),
            "S17" => return Some(Self::EnteredInError),
            "S26" => return Some(Self::NoShow),
            _ => {}
        }
        Self::named(status).or(match event {
            "S12" | "S13" => Some(Self::Booked),
            "S23" => Some(Self::Pending),
            _ => None,
        })
    }

    /// The status of this name in table 0278.
    pub fn named(status: &str) -> Option<Self> {
        Some(match status.trim().to_ascii_lowercase().as_str() {
            "pending" | "blocked" => Self::Pending,
            "waitlist" => Self::Waitlist,
            "booked" | "overbook" => Self::Booked,
            "started" => Self::Arrived,
            "complete" | "completed" => Self::Fulfilled,
            "cancelled" | "canceled" | "dc" | "discontinued" => Self::Cancelled,
            "noshow" | "no show" => Self::NoShow,
            "deleted" => Self::EnteredInError,
            _ => return None,
        })
    }
}

impl Appointment {
    /// The appointment after `change`; of an older one only what was missing is taken.
    pub fn apply(held: Option<Self>, change: AppointmentChange, older: bool) -> Self {
        let mut next = held.unwrap_or_default();
        next.filler = next.filler.or(change.filler);
        next.placer = next.placer.or(change.placer);
        next.order = change.order.or(next.order);
        if older {
            next.start = next.start.or_else(|| change.start.value().cloned());
            next.end = next.end.or_else(|| change.end.value().cloned());
            next.duration = next.duration.or(change.duration);
            next.kind = next.kind.or_else(|| change.kind.value().cloned());
            next.reason = next.reason.or_else(|| change.reason.value().cloned());
            if next.resources.is_empty() {
                next.resources = change.resources.into_iter().filter_map(|step| step.ok()).collect();
            }
            if next.notes.is_empty() {
                next.notes = change.notes;
            }
            next.observe(change.observations, false);
            return next;
        }
        if let Some(status) = change.status {
            next.status = status;
        }
        next.status_source = change.status_source;
        change.start.apply(&mut next.start);
        change.end.apply(&mut next.end);
        next.duration = change.duration.or(next.duration);
        change.kind.apply(&mut next.kind);
        change.reason.apply(&mut next.reason);
        change.because.apply(&mut next.because);
        if change.lists_all && !change.resources.is_empty() {
            next.resources.clear();
        }
        for step in change.resources {
            let (Ok(resource) | Err(resource)) = &step;
            let same = |held: &Resource| held.kind == resource.kind && held.what.key() == resource.what.key();
            let at = next.resources.iter().position(same);
            match (step, at) {
                (Ok(resource), Some(at)) => next.resources[at] = resource,
                (Ok(resource), None) => next.resources.push(resource),
                (Err(_), Some(at)) => drop(next.resources.remove(at)),
                (Err(_), None) => {}
            }
        }
        if !change.notes.is_empty() {
            next.notes = change.notes;
        }
        next.observe(change.observations, true);
        next
    }

    fn observe(&mut self, observations: Vec<LabResult>, newer: bool) {
        for observation in observations {
            match self.observations.iter_mut().find(|held| held.key == observation.key) {
                Some(held) if newer => *held = observation,
                Some(_) => {}
                None => self.observations.push(observation),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_and_status_of_an_appointment_has_a_meaning() {
        use AppointmentStatus::{
            Arrived, Booked, Cancelled, EnteredInError, Fulfilled, NoShow, Pending, Waitlist,
        };
        for (event, status, meaning) in [
            ("S12", "", Some(Booked)),
            ("S12", "Pending", Some(Pending)),
            ("S13", "?", Some(Booked)),
            ("S14", "", None),
            ("S14", "Started", Some(Arrived)),
            ("S14", "COMPLETE", Some(Fulfilled)),
            ("S14", "Waitlist", Some(Waitlist)),
            ("S15", "Booked", Some(Cancelled)),
            ("S16", "", Some(Cancelled)),
            ("S17", "", Some(EnteredInError)),
            ("S18", "", None),
            ("S22", "Booked", Some(Booked)),
            ("S23", "", Some(Pending)),
            ("S24", "", Some(Cancelled)),
            ("S26", "Booked", Some(NoShow)),
        ] {
            assert_eq!(AppointmentStatus::read(event, status), meaning, "{event} {status}");
        }
        for code in
            "Pending Waitlist Booked Started Complete Cancelled DC Deleted Blocked Overbook Noshow".split(' ')
        {
            assert!(AppointmentStatus::named(code).is_some(), "{code}");
        }
    }
}
