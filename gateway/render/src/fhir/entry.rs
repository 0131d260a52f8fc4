//! A rendered resource.

use core::fmt;
use std::collections::BTreeMap;

use model::{RecordId, RecordKind};
use serde::{Serialize, Serializer};

/// One resource to be put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The resource's id.
    pub id: RecordId,
    /// The record it belongs to.
    pub record: RecordId,
    /// The resource's type.
    pub kind: &'static str,
    /// Resources that it cannot be without: when one of them is refused, this one is held.
    pub depends_on: Vec<RecordId>,
    /// Resources that it speaks of: when one of them is refused, this one is written anew.
    pub names: Vec<RecordId>,
    /// Whether its record can go without it: a refused result leaves its report partial.
    pub is_part: bool,
    /// The resource as JSON.
    pub body: Vec<u8>,
}

/// Parts that a destination refuses for good, and how far each was reduced. Only an Observation has a value to leave
/// out; a part of another type is left out at either stage.
pub type Refused = BTreeMap<RecordId, Stage>;

/// How far a refused part is reduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Stage {
    /// Sent again without its value, with a data-absent reason.
    WithoutValue = 1,
    /// Left out.
    LeftOut = 2,
}

/// The types of resources that are sent.
#[derive(Clone, Copy)]
pub(crate) enum ResourceType {
    Patient,
    RelatedPerson,
    Encounter,
    Condition,
    Specimen,
    Observation,
    DiagnosticReport,
    Binary,
    ServiceRequest,
    Appointment,
    Immunization,
    Provenance,
}

/// The type of the main resource of a kind of record.
pub const fn main_type(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::Person => ResourceType::Patient.name(),
        RecordKind::Encounter => ResourceType::Encounter.name(),
        RecordKind::Diagnosis => ResourceType::Condition.name(),
        RecordKind::LabReport => ResourceType::DiagnosticReport.name(),
        RecordKind::Attachment => ResourceType::Binary.name(),
        RecordKind::Order => ResourceType::ServiceRequest.name(),
        RecordKind::Appointment => ResourceType::Appointment.name(),
        RecordKind::Immunization => ResourceType::Immunization.name(),
    }
}

impl Entry {
    /// Whether it only says where the others come from: nothing is lost where a destination does not take it.
    pub fn is_trace(&self) -> bool {
        self.kind == ResourceType::Provenance.name()
    }

    /// `Type/id`.
    pub fn url(&self) -> String {
        format!("{}/{}", self.kind, self.id)
    }

    /// Writes a resource. Structs of texts, checked numbers and lists have no way to fail to become JSON.
    pub(crate) fn json(resource: &impl Serialize) -> Vec<u8> {
        serde_json::to_vec(resource).unwrap_or_default()
    }
}

impl Stage {
    /// The stage with this number.
    pub const fn from_u8(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::WithoutValue),
            2 => Some(Self::LeftOut),
            _ => None,
        }
    }
}

impl ResourceType {
    /// Its name in FHIR.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Patient => "Patient",
            Self::RelatedPerson => "RelatedPerson",
            Self::Encounter => "Encounter",
            Self::Condition => "Condition",
            Self::Specimen => "Specimen",
            Self::Observation => "Observation",
            Self::DiagnosticReport => "DiagnosticReport",
            Self::Binary => "Binary",
            Self::ServiceRequest => "ServiceRequest",
            Self::Appointment => "Appointment",
            Self::Immunization => "Immunization",
            Self::Provenance => "Provenance",
        }
    }
}

impl fmt::Display for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for ResourceType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
