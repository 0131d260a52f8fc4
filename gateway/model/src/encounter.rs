//! Visits and the diagnoses made in them.

use serde::{Deserialize, Serialize};

use crate::{Coded, Number, PartialTime, RecordId};

/// A visit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encounter {
    /// Its number (PV1-19).
    pub number: Number,
    /// What kind of visit; none where the source gave none that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<EncounterClass>,
    /// The class as written (PV1-2).
    #[serde(default)]
    pub class_source: String,
    /// What it was before a change of class (A06, A07), oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier_classes: Vec<EarlierClass>,
    /// How far it has come.
    pub status: EncounterStatus,
    /// Admitted (PV1-44).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<PartialTime>,
    /// Discharged (PV1-45).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<PartialTime>,
    /// Where the patient is (PV1-3), its parts joined as the site writes them: ward, room, bed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Since when, where a transfer said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub located_since: Option<PartialTime>,
    /// Where the patient was before transfers (A02), oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier_locations: Vec<EarlierLocation>,
    /// The attending doctor's name (PV1-7).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attending: Option<Attending>,
}

/// A class that a visit had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierClass {
    /// The class, where it is a known one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<EncounterClass>,
    /// The class as written.
    pub class_source: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<PartialTime>,
}

/// A place that a patient was at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierLocation {
    /// The place, as [`Encounter::location`].
    pub location: String,
    /// Since when, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<PartialTime>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<PartialTime>,
}

/// A doctor as a message names one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attending {
    /// The staff number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// The name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Kinds of visits (HL7 table 0004).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EncounterClass {
    /// `E`
    Emergency,
    /// `I`
    Inpatient,
    /// `O`, also `R` (recurring) and `C` (commercial account)
    Outpatient,
    /// `P`
    Preadmission,
}

/// How far a visit has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EncounterStatus {
    /// Expected (A05, A14).
    Planned,
    /// Registered, not seen yet.
    Arrived,
    /// Under way.
    InProgress,
    /// Under way, and the patient is away for a while (A21).
    OnLeave,
    /// Over.
    Finished,
    /// Called off (A11, A27, A38). It is kept, never deleted.
    Cancelled,
    /// It should never have been (A23).
    EnteredInError,
    /// Nothing known but that it exists.
    Unknown,
}

/// A diagnosis made in a visit (DG1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// What it is.
    pub code: Coded,
    /// The visit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encounter: Option<RecordId>,
    /// When it was made (DG1-5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<PartialTime>,
    /// Admitting, working or final.
    pub kind: DiagnosisKind,
}

/// Kinds of diagnoses (HL7 table 0052).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiagnosisKind {
    /// `A`
    Admitting,
    /// `W`, and where the source gave none
    Working,
    /// `F`
    Final,
}

impl Encounter {
    /// A visit of which only the number is known.
    pub const fn new(number: Number) -> Self {
        Self {
            number,
            class: None,
            class_source: String::new(),
            earlier_classes: Vec::new(),
            status: EncounterStatus::Unknown,
            start: None,
            end: None,
            location: None,
            located_since: None,
            earlier_locations: Vec::new(),
            attending: None,
        }
    }
}

impl EncounterClass {
    /// Reads PV1-2.
    pub fn read(code: &str) -> Option<Self> {
        Some(match code.trim() {
            "E" => Self::Emergency,
            "I" => Self::Inpatient,
            "O" | "R" | "C" => Self::Outpatient,
            "P" => Self::Preadmission,
            _ => return None,
        })
    }
}

impl DiagnosisKind {
    /// Reads DG1-6.
    pub fn read(code: &str) -> Self {
        match code.trim() {
            "A" => Self::Admitting,
            "F" => Self::Final,
            _ => Self::Working,
        }
    }
}
