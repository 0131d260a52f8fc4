//! What was received, and from where.

use core::fmt;
use core::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One raw unit received from a feed, with its provenance. The bytes are exactly those of the wire.
#[derive(Clone)]
pub struct Capture {
    /// The configured feed it came in on.
    pub feed: FeedName,
    /// When its last byte was received.
    pub received: Timestamp,
    /// Who sent it: a socket address or the name of a line. Never personal data.
    pub peer: Arc<str>,
    /// Whether it is a whole unit of its protocol.
    pub form: Form,
    /// The payload without framing bytes; for broken units whatever arrived.
    pub body: Bytes,
}

/// Whether a capture is a whole unit of its protocol. Broken units are kept too (contract 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// A whole unit.
    Whole,
    /// A unit whose end never came: aborted by the next start, the end of the connection or a timeout.
    Broken,
    /// Bytes outside of any unit.
    Junk,
    /// What the disk gives back can no longer be opened. No feed hands this in, and its body is empty.
    Damaged,
}

impl Form {
    const ALL: [Self; 4] = [Self::Whole, Self::Broken, Self::Junk, Self::Damaged];

    /// Its byte on the disk.
    pub const fn to_byte(self) -> u8 {
        match self {
            Self::Whole => 0,
            Self::Broken => 1,
            Self::Junk => 2,
            Self::Damaged => 3,
        }
    }

    /// The form that a byte on the disk stands for.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }
}

/// The number of a capture: its segment and its row there. Order of numbers is order of commits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct CaptureId(u64);

/// The name of a configured feed: 1 to 63 of `a-z 0-9 - _ .`, beginning with a letter or digit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FeedName(Arc<str>);

/// Why a text is not a feed name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a feed name is 1 to 63 of a-z, 0-9, '-', '_' and '.', beginning with a letter or digit")]
pub struct FeedNameError;

impl CaptureId {
    /// The number before every capture.
    pub const ZERO: Self = Self(0);

    /// The capture in row `row` (counted from 1) of segment `segment`.
    pub const fn new(segment: u32, row: u32) -> Self {
        Self(((segment as u64) << 32) | row as u64)
    }

    /// From the form it has in a database column. SQLite integers are signed; segment numbers stay below 2^31.
    pub const fn from_i64(value: i64) -> Self {
        Self(value as u64)
    }

    /// The form for a database column.
    pub const fn to_i64(self) -> i64 {
        self.0 as i64
    }

    /// The number of the segment that holds it.
    pub const fn segment(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Its row in the segment, counted from 1.
    pub const fn row(self) -> u32 {
        self.0 as u32
    }
}

impl fmt::Display for CaptureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.segment(), self.row())
    }
}

impl fmt::Debug for CaptureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a capture number.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a capture number is written SEGMENT-ROW, for example 12-345")]
pub struct CaptureIdError;

impl FromStr for CaptureId {
    type Err = CaptureIdError;

    fn from_str(s: &str) -> Result<Self, CaptureIdError> {
        let (segment, row) = s.split_once('-').ok_or(CaptureIdError)?;
        let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
        if !digits(segment) || !digits(row) {
            return Err(CaptureIdError);
        }
        let number = |t: &str| t.parse::<u32>().map_err(|_| CaptureIdError);
        match (number(segment)?, number(row)?) {
            (s, r) if s <= i32::MAX as u32 => Ok(Self::new(s, r)),
            _ => Err(CaptureIdError),
        }
    }
}

impl From<CaptureId> for String {
    fn from(id: CaptureId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for CaptureId {
    type Error = CaptureIdError;

    fn try_from(s: String) -> Result<Self, CaptureIdError> {
        s.parse()
    }
}

impl FeedName {
    /// Takes `name` as the name of a feed.
    ///
    /// # Errors
    /// When it is empty, too long or holds other characters than a name may.
    pub fn new(name: &str) -> Result<Self, FeedNameError> {
        let ok = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
        let first = name.bytes().next().ok_or(FeedNameError)?;
        if name.len() > 63 || !name.bytes().all(ok) || !first.is_ascii_alphanumeric() {
            return Err(FeedNameError);
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FeedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for FeedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<FeedName> for String {
    fn from(name: FeedName) -> Self {
        name.0.as_ref().into()
    }
}

impl TryFrom<String> for FeedName {
    type Error = FeedNameError;

    fn try_from(name: String) -> Result<Self, FeedNameError> {
        Self::new(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capture_numbers_sort_by_segment_then_row_and_read_back() {
        let (a, b) = (CaptureId::new(1, u32::MAX), CaptureId::new(2, 1));
        assert!(a < b && a.to_i64() < b.to_i64());
        assert_eq!("2-1".parse(), Ok(b));
        assert_eq!(CaptureId::from_i64(b.to_i64()), b);
        for wrong in ["", "1", "-1", "1-", "+1-2", "1-2-3", "4294967296-1", "2147483648-1"] {
            assert!(wrong.parse::<CaptureId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_feed_name_is_safe_in_a_path_a_log_line_and_a_topic() {
        assert!(FeedName::new("xn-550").is_ok());
        for wrong in ["", "-a", "A", "a/b", "a b", "\u{4eba}", &"a".repeat(64)] {
            assert!(FeedName::new(wrong).is_err(), "{wrong}");
        }
    }
}
