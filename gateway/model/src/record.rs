//! Records: core information as held and delivered.

use feed::{CaptureId, FeedName};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Appointment, Attachment, Diagnosis, Enclosure, Encounter, Identifier, Immunization, LabResult, Order,
    PartialTime, Person, PersonId, Position, RecordId, Report,
};

/// One record: the current state of one thing about one person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its id: that of its main resource at the destinations.
    pub id: RecordId,
    /// Whose it is.
    pub person: PersonId,
    /// Where it stands in time.
    pub position: Position,
    /// The capture that it stands on.
    pub provenance: Provenance,
    /// The identifier that it came with, so that an unmerge can give it back (contract 6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub came_with: Option<Identifier>,
    /// The visit it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encounter: Option<RecordId>,
    /// What is worth knowing about how it was made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Mark>,
    /// The content.
    pub body: Body,
}

/// The content of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Body {
    /// A person.
    Person(Box<Person>),
    /// A visit.
    Encounter(Box<Encounter>),
    /// A diagnosis.
    Diagnosis(Diagnosis),
    /// A laboratory report with its results.
    Report(Box<Report>),
    /// The content of a document.
    Attachment(Box<Attachment>),
    /// An order.
    Order(Box<Order>),
    /// An appointment.
    Appointment(Box<Appointment>),
    /// A vaccination.
    Immunization(Box<Immunization>),
}

/// Kinds of records, numbered as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum RecordKind {
    /// A person.
    Person = 1,
    /// A visit.
    Encounter = 2,
    /// A diagnosis.
    Diagnosis = 3,
    /// A laboratory report.
    LabReport = 4,
    /// The content of a document. It goes with the records that refer to it and is chosen with them.
    Attachment = 13,
    /// An order.
    Order = 5,
    /// An appointment.
    Appointment = 9,
    /// A vaccination.
    Immunization = 10,
}

/// Where a state came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The capture.
    pub capture: CaptureId,
    /// The feed.
    pub feed: FeedName,
    /// When the capture was received.
    pub received: Timestamp,
    /// The sender's number of the message (MSH-10).
    pub control_id: String,
    /// What the message was, as `ADT^A01`.
    pub trigger: String,
    /// The sending facility (MSH-4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facility: Option<String>,
    /// The sending application (MSH-3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// When it happened by the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<PartialTime>,
}

/// What is worth knowing about how a record was made; goes up as a tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// The source gave no number: the id is made from person, service and time (contract 3).
    WeakId,
    /// A final state was taken back (contract 5).
    Withdrawn,
    /// The order of two states could not be told; the later capture won (contract 5).
    OrderUnclear,
    /// An element went up as source text only, as `OBX-14` (contract 5).
    Doubtful(String),
    /// Quality control stood in the same message and was left out.
    ControlLeftOut,
    /// Corrected but not final (OBR-25 `M`).
    NotFinalCorrection,
    /// It goes on from a state whose content is no longer held here: what it lacks may still be at the destination.
    Continued,
}

/// What a feed is the authority for (contract 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Authority {
    /// Who is who: numbers of persons.
    Identity,
    /// Names, birth dates, addresses.
    Demographics,
    /// Visits.
    Encounter,
    /// Orders.
    Order,
    /// Results.
    Result,
}

impl Body {
    /// Persons that it speaks of besides its own: those that were merged or linked with it.
    pub fn linked(&self) -> impl Iterator<Item = PersonId> {
        let person = match self {
            Self::Person(person) => Some(person),
            _ => None,
        };
        let linked = |person: &'_ Person| {
            let merged = person.replaced_by.iter().chain(&person.replaces);
            merged.chain(&person.see_also).copied().collect::<Vec<_>>()
        };
        person.map(|person| linked(person)).unwrap_or_default().into_iter()
    }

    /// The results that it holds, whatever it is.
    pub fn results(&self) -> Vec<&LabResult> {
        match self {
            Self::Report(report) => report.results.iter().collect(),
            Self::Order(order) => order.items.iter().flat_map(|item| &item.observations).collect(),
            Self::Appointment(appointment) => appointment.observations.iter().collect(),
            Self::Immunization(immunization) => immunization.observations.iter().collect(),
            Self::Person(_) | Self::Encounter(_) | Self::Diagnosis(_) | Self::Attachment(_) => Vec::new(),
        }
    }

    /// The records that hold the content of its documents: a destination needs them first.
    pub fn attachments(&self) -> impl Iterator<Item = RecordId> {
        self.results().into_iter().flat_map(|result| result.enclosures().iter().filter_map(Enclosure::record))
    }

    /// The order that it answers or is for.
    pub fn order(&self) -> Option<RecordId> {
        let order = match self {
            Self::Report(report) => report.order,
            Self::Appointment(appointment) => appointment.order,
            _ => None,
        };
        order.map(|order| order.record)
    }

    /// Leaves that order out, for who does not take orders.
    pub fn forget_order(&mut self) {
        match self {
            Self::Report(report) => report.order = None,
            Self::Appointment(appointment) => appointment.order = None,
            _ => {}
        }
    }

    /// What kind of record it makes.
    pub const fn kind(&self) -> RecordKind {
        match self {
            Self::Person(_) => RecordKind::Person,
            Self::Encounter(_) => RecordKind::Encounter,
            Self::Diagnosis(_) => RecordKind::Diagnosis,
            Self::Report(_) => RecordKind::LabReport,
            Self::Attachment(_) => RecordKind::Attachment,
            Self::Order(_) => RecordKind::Order,
            Self::Appointment(_) => RecordKind::Appointment,
            Self::Immunization(_) => RecordKind::Immunization,
        }
    }
}

impl RecordKind {
    /// All kinds, each after those that it may refer to.
    pub const ALL: [Self; 8] = [
        Self::Person,
        Self::Encounter,
        Self::Diagnosis,
        Self::Attachment,
        Self::Order,
        Self::LabReport,
        Self::Appointment,
        Self::Immunization,
    ];

    /// The kinds that a destination chooses from. Contents of documents go with whatever refers to them.
    pub fn chosen() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|kind| *kind != Self::Attachment)
    }

    /// The kinds of which a person has any number: what goes with the person when two are found to be one.
    pub fn of_a_person() -> impl Iterator<Item = Self> {
        Self::chosen().filter(|kind| *kind != Self::Person)
    }

    /// The kind with this number.
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }

    /// The kind of this name that a destination may choose.
    pub fn named(name: &str) -> Option<Self> {
        Self::chosen().find(|kind| kind.name() == name)
    }

    /// Its name in configuration and listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Encounter => "encounter",
            Self::Diagnosis => "diagnosis",
            Self::LabReport => "lab-report",
            Self::Attachment => "attachment",
            Self::Order => "order",
            Self::Appointment => "appointment",
            Self::Immunization => "immunization",
        }
    }
}
