//! Visits and the diagnoses made in them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::trail::{ClassStep, PlaceStep};
use crate::{Coded, Number, PartialTime, PersonId, RecordId};

/// A visit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encounter {
    /// Its number (PV1-19).
    pub number: Number,
    /// Its other numbers: alternate ones (PV1-50) and those that it and its account had before (MRG-5, MRG-3).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_numbers: Vec<OtherNumber>,
    /// The account that it belongs to (PID-18).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Number>,
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
    /// When the patient is expected (PV2-8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_start: Option<PartialTime>,
    /// When the patient is expected to leave (PV2-9).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_end: Option<PartialTime>,
    /// Where the patient is (PV1-3), its parts joined as the site writes them: ward, room, bed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Since when, where a transfer said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub located_since: Option<PartialTime>,
    /// Where the patient was before transfers (A02), oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier_locations: Vec<EarlierLocation>,
    /// The attending doctor (PV1-7).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attending: Option<Attending>,
    /// The referring doctors (PV1-8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referring: Option<Vec<Attending>>,
    /// The consulted doctors (PV1-9).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consulting: Option<Vec<Attending>>,
    /// The admitting doctors (PV1-17).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admitting: Option<Vec<Attending>>,
    /// The hospital service: the department (PV1-10).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Coded>,
    /// Where the patient came from (PV1-14).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admit_source: Option<Coded>,
    /// Where the patient went (PV1-36).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disposition: Option<Coded>,
    /// Why the patient came (PV2-3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Coded>,
    /// The statements about the place, by which a late one finds its place among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<PlaceStep>,
    /// The statements about the class, likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassStep>,
    /// When each aspect was stated last.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stated: BTreeMap<VisitAspect, Timestamp>,
    /// Persons that it was moved away from (A44, A45): who still names one of them means this visit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moved_from: Vec<PersonId>,
    /// The visit that it was found to be (A42).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged_into: Option<RecordId>,
}

/// A number of a visit beside the one that it goes by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherNumber {
    /// The number.
    pub number: Number,
    /// Whether it is one that it had before.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub old: bool,
}

/// What messages state about a visit one by one. The latest statement about each holds, whatever came with it and in which
/// order messages arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "named as the fields of a visit")]
pub enum VisitAspect {
    Status,
    Start,
    End,
    ExpectedStart,
    ExpectedEnd,
    Account,
    Attending,
    Referring,
    Consulting,
    Admitting,
    Service,
    AdmitSource,
    Disposition,
    Reason,
    /// The whole list of admitting diagnoses.
    AdmittingDiagnoses,
    /// The whole list of working diagnoses.
    WorkingDiagnoses,
    /// The whole list of final diagnoses.
    FinalDiagnoses,
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
    /// Its place among the diagnoses of its kind, 1 being the main one (DG1-15).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<u32>,
    /// Whether it still stands.
    #[serde(default, skip_serializing_if = "DiagnosisState::stands")]
    pub state: DiagnosisState,
}

/// Whether a diagnosis still stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiagnosisState {
    /// It does.
    #[default]
    Stands,
    /// A later list of the visit's diagnoses of its kind is without it.
    NoLongerListed,
    /// The source deleted it (DG1-21 `D`).
    Deleted,
}

/// Kinds of diagnoses (HL7 table 0052).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
            other_numbers: Vec::new(),
            account: None,
            class: None,
            class_source: String::new(),
            earlier_classes: Vec::new(),
            status: EncounterStatus::Unknown,
            start: None,
            end: None,
            expected_start: None,
            expected_end: None,
            location: None,
            located_since: None,
            earlier_locations: Vec::new(),
            attending: None,
            referring: None,
            consulting: None,
            admitting: None,
            service: None,
            admit_source: None,
            disposition: None,
            reason: None,
            places: Vec::new(),
            classes: Vec::new(),
            stated: BTreeMap::new(),
            moved_from: Vec::new(),
            merged_into: None,
        }
    }

    /// Whether both look the same from outside, however that came about.
    pub fn tells_the_same_as(&self, other: &Self) -> bool {
        let told = |visit: &Self| Self {
            places: Vec::new(),
            classes: Vec::new(),
            stated: BTreeMap::new(),
            ..visit.clone()
        };
        told(self) == told(other)
    }

    /// Goes by another number from now on; the one it had stays one of its numbers.
    pub fn renumber(&mut self, number: Number) {
        let before = core::mem::replace(&mut self.number, number);
        self.other_numbers.retain(|other| other.number != self.number);
        self.know(before, true);
    }

    /// Belongs to another account from now on; the number that the account had stays one of the visit's.
    pub fn charge(&mut self, account: Number) {
        self.other_numbers.retain(|other| other.number != account);
        if let Some(before) = self.account.replace(account) {
            self.know(before, true);
        }
    }

    /// Is the visit of `to` and no longer of `owner`.
    pub fn leave(&mut self, owner: PersonId, to: PersonId) {
        self.moved_from.retain(|person| *person != to && *person != owner);
        self.moved_from.push(owner);
    }

    /// Is known under a number too.
    pub fn know(&mut self, number: Number, old: bool) {
        if number == self.number || self.account.as_ref() == Some(&number) {
            return;
        }
        match self.other_numbers.iter_mut().find(|other| other.number == number) {
            Some(other) => other.old |= old,
            None => self.other_numbers.push(OtherNumber { number, old }),
        }
    }

    /// Whether it, or its account, went by this number before.
    pub fn went_by(&self, number: &Number) -> bool {
        self.other_numbers.iter().any(|other| other.old && other.number == *number)
    }
}

impl DiagnosisState {
    /// Whether it stands.
    pub const fn stands(&self) -> bool {
        matches!(self, Self::Stands)
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
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Admitting, Self::Working, Self::Final];

    /// The list of all diagnoses of the kind.
    pub const fn list(self) -> VisitAspect {
        match self {
            Self::Admitting => VisitAspect::AdmittingDiagnoses,
            Self::Working => VisitAspect::WorkingDiagnoses,
            Self::Final => VisitAspect::FinalDiagnoses,
        }
    }

    /// Reads DG1-6.
    pub fn read(code: &str) -> Self {
        match code.trim() {
            "A" => Self::Admitting,
            "F" => Self::Final,
            _ => Self::Working,
        }
    }
}
