//! Numbers that persons are known under.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Document, PartialTime, ResidentId};

/// A number that a person is known under.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identifier {
    /// What kind of number it is.
    pub kind: IdentifierKind,
    /// The number, normalised where its kind has a normal form.
    pub value: String,
    /// From when and until when it is the person's, where that is stated.
    #[serde(default, skip_serializing_if = "Validity::is_open")]
    pub valid: Validity,
}

/// Kinds of numbers of persons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdentifierKind {
    /// The resident ID number (GB 11643).
    ResidentId,
    /// The electronic health code; opaque here, byte for byte.
    HealthCode,
    /// The number of a travel or residence document.
    Document {
        /// Which.
        document: Document,
        /// Of which country, where that is stated: two countries give the same passport numbers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        country: Option<String>,
    },
    /// A number for the time being, which is given to somebody else afterwards. It never links.
    Temporary {
        /// Who gave it.
        authority: String,
    },
    /// A number given by an authority: a hospital information system, an insurer.
    Assigned {
        /// Who gave it (CX.4 or the configured name).
        authority: String,
        /// Its type (CX.5), as written.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
    },
}

/// From when and until when a number is a person's (CX.7, CX.8).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validity {
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<PartialTime>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<PartialTime>,
}

/// How far a number is trusted to be that person's (contract 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// Stated, but it did not pass: kept and listed, never used to link.
    Claimed = 0,
    /// Passed every check, or an assigned number, which is its authority's own word.
    Verified = 1,
}

impl Identifier {
    /// A number of which nothing is said about when it is valid.
    pub fn new(kind: IdentifierKind, value: impl Into<String>) -> Self {
        Self { kind, value: value.into(), valid: Validity::default() }
    }

    /// The number alone.
    pub fn plain(&self) -> Self {
        Self::new(self.kind.clone(), self.value.clone())
    }

    /// The domain and the value under which it is looked up; the type code of an assigned number is no part of it, nor is the
    /// count of issues of a permit.
    pub fn lookup(&self) -> (String, &str) {
        let domain = match &self.kind {
            IdentifierKind::ResidentId => "resident-id".to_owned(),
            IdentifierKind::HealthCode => "health-code".to_owned(),
            // One that has the form of a resident ID number meets one that is stated as such.
            IdentifierKind::Document { document: Document::ForeignResident, .. }
                if ResidentId::read(&self.value).is_ok() =>
            {
                "resident-id".to_owned()
            }
            IdentifierKind::Document { document, country } => match country {
                Some(country) => format!("{}:{country}", document.name()),
                None => document.name().to_owned(),
            },
            IdentifierKind::Temporary { authority } => format!("temporary:{authority}"),
            IdentifierKind::Assigned { authority, .. } => format!("assigned:{authority}"),
        };
        let value = match &self.kind {
            IdentifierKind::Document { document, .. } => document.without_issue(&self.value),
            _ => &self.value,
        };
        (domain, value)
    }

    /// Whether both mean the same number of the same kind.
    pub fn same(&self, other: &Self) -> bool {
        self.lookup() == other.lookup()
    }

    /// Whether it may link only after it was judged; the others are their authority's own word.
    pub const fn is_judged(&self) -> bool {
        matches!(self.kind, IdentifierKind::ResidentId | IdentifierKind::Document { .. })
    }
}

impl Validity {
    /// Whether nothing is stated.
    pub const fn is_open(&self) -> bool {
        self.since.is_none() && self.until.is_none()
    }

    /// The last instant that it is valid at, where it has an end.
    pub fn ends(&self) -> Option<Timestamp> {
        self.until.as_ref().map(PartialTime::latest)
    }

    /// Whether it had ended before `at`.
    pub fn has_ended(&self, at: Timestamp) -> bool {
        self.ends().is_some_and(|ends| ends < at)
    }
}
