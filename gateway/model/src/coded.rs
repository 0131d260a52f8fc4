//! Coded elements, always with the source's own words.

use serde::{Deserialize, Serialize};

/// A code as the source wrote it, with alternates and text. Local codes stay first-class (contract 5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coded {
    /// The codings, the source's own first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub codings: Vec<Coding>,
    /// The text that the source gave for the whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What code maps add. The source's own codings stay as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mapped: Vec<Mapped>,
}

/// A code that a map gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapped {
    /// The system, as a URI.
    pub system: String,
    /// The code.
    pub code: String,
    /// What it means in its system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display: Option<String>,
    /// The map and its version: `NAME@VERSION`.
    pub map: String,
    /// Nobody has reviewed it: it is shown and never sent.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub draft: bool,
}

/// One code in one system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coding {
    /// The code.
    pub code: String,
    /// What the code means, in the source's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display: Option<String>,
    /// The name of the code system as the source wrote it (HL7 table 0396 or local); none = local.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
}

impl Coded {
    /// A coded element of one code.
    pub fn of(code: &str, display: Option<&str>, system: Option<&str>) -> Self {
        Self {
            codings: vec![Coding {
                code: code.to_owned(),
                display: display.map(str::to_owned),
                system: system.map(str::to_owned),
            }],
            ..Self::default()
        }
    }

    /// A coded element of words only.
    pub fn text(text: &str) -> Self {
        Self { text: Some(text.to_owned()), ..Self::default() }
    }

    /// The first code, or the text where there is none: what tells this element from another.
    pub fn key(&self) -> &str {
        self.codings.first().map(|c| c.code.as_str()).or(self.text.as_deref()).unwrap_or_default()
    }

    /// Whether both say the same in the source's own words, whatever maps have added.
    pub fn same_words(&self, other: &Self) -> bool {
        (&self.codings, &self.text) == (&other.codings, &other.text)
    }

    /// Whether it says nothing at all.
    pub fn is_empty(&self) -> bool {
        self.codings.is_empty() && self.text.is_none()
    }
}
