//! What a row of a map translates.

use core::fmt;
use core::str::FromStr;

/// What a row of a map translates. The numbers are those of stored counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum CodeKind {
    /// A laboratory test or a group of them, or another service (OBX-3, OBR-4, AIS-3).
    Test = 1,
    /// A unit (OBX-6, RXA-7).
    Unit = 2,
    /// A specimen (SPM-4, OBR-15).
    Specimen = 3,
    /// A method (OBX-17).
    Method = 4,
    /// A coded result (OBX-5).
    Answer = 5,
    /// A diagnosis (DG1-3), and why something is asked for or given (OBR-31, RXA-19).
    Diagnosis = 6,
    /// A department (PV1-10, OBR-24).
    Department = 7,
    /// A type of identifier (CX.5).
    Identifier = 8,
    /// A sex (PID-8).
    Sex = 9,
    /// A marital status (PID-16).
    MaritalStatus = 10,
    /// An ethnic group (PID-22).
    EthnicGroup = 11,
}

impl CodeKind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Test,
        Self::Unit,
        Self::Specimen,
        Self::Method,
        Self::Answer,
        Self::Diagnosis,
        Self::Department,
        Self::Identifier,
        Self::Sex,
        Self::MaritalStatus,
        Self::EthnicGroup,
    ];

    /// Its name in maps and listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Unit => "unit",
            Self::Specimen => "specimen",
            Self::Method => "method",
            Self::Answer => "answer",
            Self::Diagnosis => "diagnosis",
            Self::Department => "department",
            Self::Identifier => "identifier",
            Self::Sex => "sex",
            Self::MaritalStatus => "marital-status",
            Self::EthnicGroup => "ethnic-group",
        }
    }

    /// The kind with this number.
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }

    /// Whether it says what a message means rather than how something in it is called: such a map works while a message is
    /// interpreted, and only the message itself can be interpreted again.
    pub const fn is_read_only_once(self) -> bool {
        matches!(self, Self::Identifier | Self::Sex)
    }
}

impl fmt::Display for CodeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for CodeKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("kind is one of {names}")
        })
    }
}
