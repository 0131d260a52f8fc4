//! Results: what one OBX says.

use serde::{Deserialize, Serialize};

use crate::{Coded, Enclosure, PartialTime, Party};

/// One result of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabResult {
    /// What tells it from the other results of its report.
    pub key: ResultKey,
    /// What was measured.
    pub code: Coded,
    /// The value.
    pub value: Value,
    /// The unit as the source wrote it; renamed where a map says so, never converted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Coded>,
    /// What is normal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<ReferenceRange>,
    /// Abnormal flags as written (OBX-8).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
    /// Its status.
    pub status: ResultStatus,
    /// The status as written (OBX-11).
    #[serde(default)]
    pub status_source: String,
    /// When it was observed (OBX-14).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<PartialTime>,
    /// When it was analysed (OBX-19).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysed: Option<PartialTime>,
    /// The time that its states are ordered by: OBX-19, else OBR-22, else MSH-7.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stated: Option<PartialTime>,
    /// How it was measured (OBX-17).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Coded>,
    /// Who made it or answers for it (OBX-15, OBX-16, OBX-23 to OBX-25).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub performers: Vec<Party>,
    /// What it was measured with (OBX-18).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<Party>,
    /// Comments (NTE).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// A final result was taken back by a later state that is not final (contract 5).
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub withdrawn: bool,
    /// The order of two states could not be told; the later capture won.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub order_unclear: bool,
    /// Elements that are not what they should be and went up as source text (contract 5), as `OBX-14`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubtful: Vec<String>,
    /// Elements whose form here does not give back what the source wrote.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub as_written: Vec<AsWritten>,
}

/// An element as its source wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsWritten {
    /// Which, as `OBX-14`.
    pub element: String,
    /// What stood there.
    pub text: String,
}

/// What tells a result from the other results of its report. No ordinal where these differ (contract 3).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ResultKey {
    /// The code or its text (OBX-3).
    pub code: String,
    /// Observation sub-id (OBX-4).
    pub sub_id: String,
    /// Observation instance identifier (OBX-21).
    pub instance: String,
    /// 0; counts up only among results of one message that nothing else tells apart.
    pub repeat: u32,
}

/// A value with its source text. No arithmetic is done on values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// Nothing, and why.
    Absent(Absent),
    /// A number, digits as written: `135.0` stays `135.0`.
    Number {
        /// A comparator, where one stands before the number.
        comparator: Option<Comparator>,
        /// The number, a decimal in the form of FHIR `decimal`.
        decimal: String,
        /// The whole value as written.
        source: String,
    },
    /// Words.
    Text(String),
    /// Codes.
    Coded(Vec<Coded>),
    /// `1:128`.
    Ratio {
        /// Comparator of the whole.
        comparator: Option<Comparator>,
        /// Left number.
        numerator: String,
        /// Right number.
        denominator: String,
        /// The whole value as written.
        source: String,
    },
    /// `3-5`.
    Range {
        /// Low number; none where the range is open.
        low: Option<String>,
        /// High number; none where the range is open.
        high: Option<String>,
        /// The whole value as written.
        source: String,
    },
    /// A point in time.
    Time(PartialTime),
    /// A time from and until; either may be open.
    Period {
        /// From.
        start: Option<PartialTime>,
        /// Until.
        end: Option<PartialTime>,
    },
    /// A time of day, as FHIR `time`.
    TimeOfDay(String),
    /// Documents.
    Enclosed(Vec<Enclosure>),
}

/// Why there is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Absent {
    /// The source gave none.
    Unknown,
    /// The test was not asked for or not done.
    NotPerformed,
    /// The instrument or the source hides it (`****`).
    Masked,
    /// The destination refused the value.
    Refused,
}

/// A comparator before a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparator {
    /// `<`
    #[serde(rename = "<")]
    Less,
    /// `<=`
    #[serde(rename = "<=")]
    LessOrEqual,
    /// `>`
    #[serde(rename = ">")]
    Greater,
    /// `>=`
    #[serde(rename = ">=")]
    GreaterOrEqual,
}

/// A reference range; the text is kept always.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReferenceRange {
    /// Low limit, a decimal as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<String>,
    /// High limit, a decimal as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<String>,
    /// The range as written.
    pub text: String,
}

/// Status of a result: a total function of OBX-11 (HL7 table 0085).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResultStatus {
    /// Ordered or received, no result yet.
    Registered,
    /// Not verified or partial.
    Preliminary,
    /// Complete and verified.
    Final,
    /// Changed after final without being wrong.
    Amended,
    /// Replaces a wrong final.
    Corrected,
    /// Will not come.
    Cancelled,
    /// Was wrong: wrong patient or deleted.
    EnteredInError,
    /// The source gave none or one outside the table.
    Unknown,
}

impl LabResult {
    /// The documents that are its value.
    pub fn enclosures(&self) -> &[Enclosure] {
        match &self.value {
            Value::Enclosed(documents) => documents,
            _ => &[],
        }
    }

    /// The documents that are its value, to be told their records.
    pub fn enclosures_mut(&mut self) -> &mut [Enclosure] {
        match &mut self.value {
            Value::Enclosed(documents) => documents,
            _ => &mut [],
        }
    }

    /// A result of which only value and status are known.
    pub const fn new(value: Value, status: ResultStatus) -> Self {
        let key =
            ResultKey { code: String::new(), sub_id: String::new(), instance: String::new(), repeat: 0 };
        Self {
            key,
            code: Coded { codings: Vec::new(), text: None, mapped: Vec::new() },
            value,
            unit: None,
            range: None,
            flags: Vec::new(),
            status,
            status_source: String::new(),
            observed: None,
            analysed: None,
            stated: None,
            method: None,
            performers: Vec::new(),
            devices: Vec::new(),
            notes: Vec::new(),
            withdrawn: false,
            order_unclear: false,
            doubtful: Vec::new(),
            as_written: Vec::new(),
        }
    }
}

impl ResultStatus {
    /// Reads OBX-11.
    pub fn read(code: &str) -> Self {
        match code.trim() {
            "F" | "U" | "V" => Self::Final,
            "P" | "R" | "S" => Self::Preliminary,
            "I" | "O" => Self::Registered,
            "C" => Self::Corrected,
            "A" | "B" => Self::Amended,
            "D" | "W" => Self::EnteredInError,
            "X" | "N" => Self::Cancelled,
            _ => Self::Unknown,
        }
    }

    /// Whether a clinician may rely on it: final, corrected or amended.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Final | Self::Corrected | Self::Amended)
    }
}

impl Value {
    /// Whether both say the same in the source's own words, whatever maps have added.
    pub fn same_words(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Coded(own), Self::Coded(other)) => {
                own.len() == other.len() && own.iter().zip(other).all(|(own, other)| own.same_words(other))
            }
            (own, other) => own == other,
        }
    }

    /// The value as the source wrote it; empty where there is none.
    pub fn source(&self) -> String {
        match self {
            Self::Absent(_) | Self::Enclosed(_) => String::new(),
            Self::Number { source, .. } | Self::Ratio { source, .. } | Self::Range { source, .. } => {
                source.clone()
            }
            Self::Text(text) | Self::TimeOfDay(text) => text.clone(),
            Self::Coded(codes) => codes.iter().map(Coded::key).collect::<Vec<_>>().join("~"),
            Self::Time(time) => time.to_string(),
            Self::Period { start, end } => {
                let shown = |time: &Option<PartialTime>| time.as_ref().map(ToString::to_string);
                [shown(start), shown(end)].into_iter().flatten().collect::<Vec<_>>().join(" - ")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_table_0085_has_a_meaning() {
        for code in "A B C D F I N O P R S U V W X".split(' ') {
            assert_ne!(ResultStatus::read(code), ResultStatus::Unknown, "{code}");
        }
        assert_eq!(ResultStatus::read(""), ResultStatus::Unknown);
        assert_eq!(ResultStatus::read("Q"), ResultStatus::Unknown);
    }
}
