//! FHIR R4 (4.0.1).
//!
//! Every record becomes one main resource with the record's id, and parts with ids derived from it. Every resource says
//! where it came from: `meta.source` names site and control id, tags name capture, feed and mapping revision, and an
//! extension of `meta` holds the position that [`position_of`] reads back.

mod encounter;
mod meta;
mod patient;
mod report;
mod response;
mod types;
mod value;

use std::collections::BTreeMap;

use model::{Body, IdKey, Record, RecordId};
use serde::Serialize;

pub use meta::position_of;
pub use response::{Answered, EntryAnswer, Issue, parse_answer};

use types::Reference;

/// What rendering needs to know of the site.
#[derive(Clone, Debug)]
pub struct Site {
    /// The unified social credit code (GB 32100).
    pub organization: String,
    /// The name.
    pub name: String,
    /// The key that ids of parts are made with.
    pub id_key: IdKey,
}

/// Parts that a destination refuses for good, and how far each was reduced.
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
    /// Whether its record can go without it: a refused result leaves its report partial.
    pub is_part: bool,
    /// The resource as JSON.
    pub body: Vec<u8>,
}

impl Entry {
    /// `Type/id`.
    pub fn url(&self) -> String {
        format!("{}/{}", self.kind, self.id)
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

/// The resources of a record, those that others depend on first.
pub fn record(record: &Record, site: &Site, refused: &Refused) -> Vec<Entry> {
    match &record.body {
        Body::Person(person) => vec![patient::patient(record, person, site)],
        Body::Encounter(encounter) => vec![encounter::encounter(record, encounter, site)],
        Body::Diagnosis(diagnosis) => vec![encounter::condition(record, diagnosis, site)],
        Body::Report(report) => report::report(record, report, site, refused),
    }
}

/// A transaction Bundle that puts the entries.
pub fn bundle<'e>(entries: impl IntoIterator<Item = &'e Entry>) -> Vec<u8> {
    let mut bundle = br#"{"resourceType":"Bundle","type":"transaction","entry":["#.to_vec();
    for (n, entry) in entries.into_iter().enumerate() {
        if n > 0 {
            bundle.push(b',');
        }
        let url = entry.url();
        bundle.extend_from_slice(br#"{"resource":"#);
        bundle.extend_from_slice(&entry.body);
        bundle.extend_from_slice(format!(r#","request":{{"method":"PUT","url":"{url}"}}}}"#).as_bytes());
    }
    bundle.extend_from_slice(b"]}");
    bundle
}

/// The type of the main resource of a kind of record.
pub const fn main_type(kind: model::RecordKind) -> &'static str {
    match kind {
        model::RecordKind::Person => "Patient",
        model::RecordKind::Encounter => "Encounter",
        model::RecordKind::Diagnosis => "Condition",
        model::RecordKind::LabReport => "DiagnosticReport",
    }
}

/// Writes a resource. Nothing in them can fail to become JSON: keys are text and numbers are checked texts.
fn json(resource: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(resource).unwrap_or_default()
}

fn subject(record: &Record) -> Reference<'static> {
    Reference::to("Patient", RecordId::from(record.person))
}

fn encounter_of(record: &Record) -> Option<Reference<'static>> {
    record.encounter.map(|id| Reference::to("Encounter", id))
}

#[cfg(test)]
mod tests;
