//! Numbers that persons are known under.

use serde::{Deserialize, Serialize};

/// A number that a person is known under.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identifier {
    /// What kind of number it is.
    pub kind: IdentifierKind,
    /// The number, normalised where its kind has a normal form.
    pub value: String,
}

/// Kinds of numbers of persons.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdentifierKind {
    /// The resident ID number (GB 11643).
    ResidentId,
    /// The electronic health code; opaque here.
    HealthCode,
    /// A number given by an authority: a hospital information system, an insurer.
    Assigned {
        /// Who gave it (CX.4 or the configured name).
        authority: String,
        /// Its type (CX.5), as written.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
    },
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
    /// The domain and the value under which it is looked up; the type code of an assigned number is no part of it.
    pub fn lookup(&self) -> (String, &str) {
        let domain = match &self.kind {
            IdentifierKind::ResidentId => "resident-id".to_owned(),
            IdentifierKind::HealthCode => "health-code".to_owned(),
            IdentifierKind::Assigned { authority, .. } => format!("assigned:{authority}"),
        };
        (domain, &self.value)
    }

    /// Whether both mean the same number of the same kind.
    pub fn same(&self, other: &Self) -> bool {
        self.lookup() == other.lookup()
    }
}
