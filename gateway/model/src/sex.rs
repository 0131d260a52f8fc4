//! Administrative sex.

use serde::{Deserialize, Serialize};

/// Administrative sex (HL7 table 0001; GB/T 2261.1 digits are read too).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sex {
    /// Female.
    Female,
    /// Male.
    Male,
    /// Stated as something else.
    Other,
    /// Stated as unknown.
    Unknown,
}

impl Sex {
    /// Reads `F`, `M`, `O`, `A`, `U`, `N`, the digits of GB/T 2261.1 (1 male, 2 female, 0 unknown, 9 not stated) or 男, 女.
    pub fn read(text: &str) -> Option<Self> {
        Some(match text.trim() {
            "F" | "f" | "2" | "\u{5973}" => Self::Female,
            "M" | "m" | "1" | "\u{7537}" => Self::Male,
            "O" | "o" | "A" | "a" => Self::Other,
            "U" | "u" | "N" | "n" | "0" | "9" => Self::Unknown,
            _ => return None,
        })
    }

    /// Whether two statements can be of one person: unknown and other contradict nothing.
    pub const fn agrees(self, other: Self) -> bool {
        !matches!((self, other), (Self::Female, Self::Male) | (Self::Male, Self::Female))
    }
}
