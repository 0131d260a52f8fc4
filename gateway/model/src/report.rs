//! Laboratory reports: what one OBR and its OBX say.

use serde::{Deserialize, Serialize};

use crate::{AsWritten, Child, Coded, Enclosure, LabResult, Number, OrderRef, Parent, PartialTime, Party};

/// A laboratory report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The order's number, by who placed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placer: Option<Number>,
    /// The order's number, by the laboratory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filler: Option<Number>,
    /// The order, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderRef>,
    /// What was ordered (OBR-4).
    pub service: Coded,
    /// What it was made for, where that is a result of another order (OBR-26, OBR-29).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Box<Parent>>,
    /// Results of other reports that belong to results of this one, as susceptibilities to an organism.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Child>,
    /// Its status as the source gave it.
    pub status: ReportStatus,
    /// The status as written (OBR-25).
    #[serde(default)]
    pub status_source: String,
    /// When the specimen was taken or the observation made (OBR-7).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective: Option<PartialTime>,
    /// Until when, where it took longer (OBR-8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<PartialTime>,
    /// When the report was issued or its status changed (OBR-22).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<PartialTime>,
    /// The time that its states are ordered by: OBR-22, else MSH-7.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stated: Option<PartialTime>,
    /// The specimens, the main one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub specimens: Vec<Specimen>,
    /// The department that did it (OBR-24).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section: Option<Coded>,
    /// The results, in the order they were first seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<LabResult>,
    /// Comments on the whole (NTE after OBR, and what stands before it).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What the laboratory was told of the patient (OBR-13).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clinical: Option<String>,
    /// Why it was ordered (OBR-31).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Coded>,
    /// Who says what it means (OBR-32, OBR-33).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interpreters: Vec<Party>,
    /// Who made it (OBR-34, OBR-35).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub performers: Vec<Party>,
    /// Elements whose form here does not give back what the source wrote.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub as_written: Vec<AsWritten>,
}

/// A specimen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Specimen {
    /// Its number (SPM-2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<Number>,
    /// What it is (SPM-4, OBR-15).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Coded>,
    /// When it was taken (SPM-17, OBR-7).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collected: Option<PartialTime>,
    /// Until when, where that took longer (SPM-17).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collected_until: Option<PartialTime>,
    /// How it was taken (SPM-7).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Coded>,
    /// Where on the body (SPM-8, OBR-15).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Coded>,
    /// How much of it, as written (SPM-12).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    /// The unit of the amount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount_unit: Option<String>,
    /// Why it was rejected and what state it is in (SPM-21, SPM-24).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Coded>,
    /// What it is in words (SPM-14).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// When the laboratory received it (SPM-18, OBR-14).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<PartialTime>,
}

/// Status of a report: a total function of OBR-25 (HL7 table 0123).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReportStatus {
    /// Ordered or received, no result yet.
    Registered,
    /// Some results are there.
    Partial,
    /// Results that are not verified; `M` (corrected, not final) is one, marked.
    Preliminary,
    /// Complete and verified.
    Final,
    /// Replaces a wrong final.
    Corrected,
    /// Will not come.
    Cancelled,
    /// The source gave none or one outside the table.
    #[default]
    Unknown,
}

impl ReportStatus {
    /// Reads OBR-25. None for `Y` and `Z`: no order or no record of the patient, so no report.
    pub fn read(code: &str) -> Option<Self> {
        Some(match code.trim() {
            "O" | "I" | "S" => Self::Registered,
            "A" | "R" => Self::Partial,
            "P" | "M" => Self::Preliminary,
            "F" => Self::Final,
            "C" => Self::Corrected,
            "X" => Self::Cancelled,
            "Y" | "Z" => return None,
            _ => Self::Unknown,
        })
    }

    /// Whether a clinician may rely on it.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Final | Self::Corrected)
    }
}

impl Report {
    /// Its documents, each with the result that it is the value of.
    pub fn enclosures(&self) -> impl Iterator<Item = (&LabResult, &Enclosure)> {
        self.results
            .iter()
            .flat_map(|result| result.enclosures().iter().map(move |document| (result, document)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_table_0123_has_a_meaning() {
        for code in "O I S A R P M C F X".split(' ') {
            assert_ne!(ReportStatus::read(code), Some(ReportStatus::Unknown), "{code}");
        }
        assert_eq!((ReportStatus::read("Y"), ReportStatus::read("Z")), (None, None));
        assert_eq!(ReportStatus::read(""), Some(ReportStatus::Unknown));
    }
}
