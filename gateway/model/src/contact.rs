//! Who is to be asked or told about a person.

use serde::{Deserialize, Serialize};

use crate::{Address, Coded, PersonName};

/// Somebody beside a person: next of kin, guardian, employer (NK1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// The name (NK1-2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<PersonName>,
    /// What the contact is to the person (NK1-3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relationship: Option<Coded>,
    /// What the contact is there for (NK1-7).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Coded>,
    /// Telephone numbers (NK1-5, NK1-6) as written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phones: Vec<String>,
    /// The address (NK1-4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
}
