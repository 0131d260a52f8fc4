//! A field of a change.

use serde::{Deserialize, Serialize};

/// What a message says about a field. HL7 v2.5 section 2.5.3: an absent field leaves what is held, the null `""` deletes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Field<T> {
    /// Nothing is said.
    #[default]
    Absent,
    /// What is held is to be deleted.
    Null,
    /// What is held is to be replaced.
    Value(T),
}

impl<T> Field<T> {
    /// The value, if one is stated.
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Null => None,
        }
    }

    /// Changes `held` as this field says.
    pub fn apply(self, held: &mut Option<T>) {
        match self {
            Self::Absent => {}
            Self::Null => *held = None,
            Self::Value(value) => *held = Some(value),
        }
    }
}

impl<T> From<Option<T>> for Field<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Absent, Self::Value)
    }
}
