//! Times as exact as their source gave them, with the zone kept (HL7 DTM, section 2.A.22).

use core::fmt;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

/// A point in time of a stated precision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Stored", try_from = "Stored")]
pub struct PartialTime {
    start: DateTime,
    precision: Precision,
    /// Digits of the fraction of a second as written.
    fraction: String,
    offset: Offset,
    zone: ZoneSource,
}

/// How exact a time is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Precision {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
}

/// Where the zone of a time came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ZoneSource {
    /// The time itself carried an offset.
    Stated,
    /// The time of the message (MSH-7) carried one.
    Message,
    /// The configuration of the site.
    Site,
}

/// Why a text is not a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Not `YYYY[MM[DD[HH[MM[SS[.S[S[S[S]]]]]]]]][+/-ZZZZ]`.
    #[error("a time is written YYYY[MM[DD[HH[MM[SS[.SSSS]]]]]][+/-ZZZZ]")]
    Form,
    /// A month, day, hour, minute, second or offset that does not exist.
    #[error("no such day or time of day")]
    Range,
}

impl PartialTime {
    /// Reads an HL7 DTM. Without an offset of its own the time takes that of the message, else that of the site on that day.
    ///
    /// # Errors
    /// When the text is no DTM or names a day or hour that does not exist; nothing is repaired.
    pub fn read(text: &str, message: Option<Offset>, site: &TimeZone) -> Result<Self, TimeError> {
        let text = text.trim();
        let (digits, offset) = match text.find(['+', '-']) {
            Some(at) => (&text[..at], Some(read_offset(&text[at..])?)),
            None => (text, None),
        };
        let (digits, fraction) = match digits.split_once('.') {
            Some((digits, fraction)) if digits.len() == 14 => (digits, fraction),
            Some(_) => return Err(TimeError::Form),
            None => (digits, ""),
        };
        if !digits.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) || fraction.len() > 9 {
            return Err(TimeError::Form);
        }
        let precision = match digits.len() {
            4 => Precision::Year,
            6 => Precision::Month,
            8 => Precision::Day,
            10 => Precision::Hour,
            12 => Precision::Minute,
            14 => Precision::Second,
            _ => return Err(TimeError::Form),
        };
        let part = |at: usize, length: usize, least: i8| {
            digits.get(at..at + length).map_or(Ok(least), |d| d.parse::<i8>().map_err(|_| TimeError::Form))
        };
        let year = digits[..4].parse::<i16>().map_err(|_| TimeError::Form)?;
        let date = Date::new(year, part(4, 2, 1)?, part(6, 2, 1)?).map_err(|_| TimeError::Range)?;
        let nanos = format!("{fraction:0<9}").parse().map_err(|_| TimeError::Form)?;
        let time = Time::new(part(8, 2, 0)?, part(10, 2, 0)?, part(12, 2, 0)?, nanos)
            .map_err(|_| TimeError::Range)?;
        if year == 0 {
            return Err(TimeError::Range);
        }
        let start = date.to_datetime(time);
        let (offset, zone) = match (offset, message) {
            (Some(own), _) => (own, ZoneSource::Stated),
            (None, Some(message)) => (message, ZoneSource::Message),
            (None, None) => (
                site.to_ambiguous_zoned_datetime(start).compatible().map_or(Offset::UTC, |z| z.offset()),
                ZoneSource::Site,
            ),
        };
        Ok(Self { start, precision, fraction: fraction.to_owned(), offset, zone })
    }

    /// A second-exact time at an instant, written in `offset`.
    pub fn at(instant: Timestamp, offset: Offset) -> Self {
        let start = offset.to_datetime(instant);
        let whole = start.with().subsec_nanosecond(0).build().unwrap_or(start);
        Self {
            start: whole,
            precision: Precision::Second,
            fraction: String::new(),
            offset,
            zone: ZoneSource::Stated,
        }
    }

    /// The first instant it can mean.
    pub fn earliest(&self) -> Timestamp {
        self.offset.to_timestamp(self.start).unwrap_or(Timestamp::MIN)
    }

    /// The last instant it can mean.
    pub fn latest(&self) -> Timestamp {
        let unit = match self.precision {
            Precision::Year => Span::new().years(1),
            Precision::Month => Span::new().months(1),
            Precision::Day => Span::new().days(1),
            Precision::Hour => Span::new().hours(1),
            Precision::Minute => Span::new().minutes(1),
            Precision::Second if self.fraction.is_empty() => Span::new().seconds(1),
            Precision::Second => return self.earliest(),
        };
        let end = self.start.checked_add(unit).and_then(|end| end.checked_sub(Span::new().nanoseconds(1)));
        end.ok().and_then(|end| self.offset.to_timestamp(end).ok()).unwrap_or_else(|| self.earliest())
    }

    /// The day, where it is that exact.
    pub fn date(&self) -> Option<Date> {
        (self.precision >= Precision::Day).then(|| self.start.date())
    }

    /// The year.
    pub fn year(&self) -> i16 {
        self.start.year()
    }

    /// Whether it is exact to the second, as a FHIR `instant` has to be.
    pub fn is_instant(&self) -> bool {
        self.precision == Precision::Second
    }

    /// Whether it is exact to the hour, which FHIR has no form for.
    pub fn is_hour(&self) -> bool {
        self.precision == Precision::Hour
    }

    /// The offset of its zone.
    pub const fn offset(&self) -> Offset {
        self.offset
    }

    /// Where its zone came from.
    pub const fn zone(&self) -> ZoneSource {
        self.zone
    }

    /// As HL7 DTM, as exact as it is; with its offset where it has a time of day.
    pub fn to_dtm(&self) -> String {
        let digits = self.digits();
        if self.precision < Precision::Hour { digits } else { digits + &written_offset(self.offset) }
    }

    /// The digits of a DTM.
    fn digits(&self) -> String {
        let s = self.start;
        let mut text = format!("{:04}", s.year());
        let parts = [(Precision::Month, s.month()), (Precision::Day, s.day()), (Precision::Hour, s.hour())];
        let parts =
            parts.into_iter().chain([(Precision::Minute, s.minute()), (Precision::Second, s.second())]);
        for (precision, part) in parts {
            if self.precision >= precision {
                text.push_str(&format!("{part:02}"));
            }
        }
        if !self.fraction.is_empty() {
            text.push('.');
            text.push_str(&self.fraction);
        }
        text
    }

    /// As FHIR `date`: the time of day is left out.
    pub fn to_date(&self) -> String {
        let (year, month, day) = (self.start.year(), self.start.month(), self.start.day());
        match self.precision {
            Precision::Year => format!("{year:04}"),
            Precision::Month => format!("{year:04}-{month:02}"),
            _ => format!("{year:04}-{month:02}-{day:02}"),
        }
    }
}

impl fmt::Display for PartialTime {
    /// As FHIR `dateTime`. FHIR knows no time of day without minutes and seconds: an hour is cut to its day,
    /// a minute is written with second 00.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_date())?;
        if self.precision < Precision::Minute {
            return Ok(());
        }
        write!(f, "T{:02}:{:02}:{:02}", self.start.hour(), self.start.minute(), self.start.second())?;
        if !self.fraction.is_empty() {
            write!(f, ".{}", self.fraction)?;
        }
        let minutes = self.offset.seconds() / 60;
        let sign = if minutes < 0 { '-' } else { '+' };
        write!(f, "{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
    }
}

fn written_offset(offset: Offset) -> String {
    let minutes = offset.seconds() / 60;
    let sign = if minutes < 0 { '-' } else { '+' };
    format!("{sign}{:02}{:02}", minutes.abs() / 60, minutes.abs() % 60)
}

fn read_offset(text: &str) -> Result<Offset, TimeError> {
    let (sign, digits) = text.split_at(1);
    if digits.len() != 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(TimeError::Form);
    }
    let number = |range: core::ops::Range<usize>| digits[range].parse::<i32>().map_err(|_| TimeError::Form);
    let (hours, minutes) = (number(0..2)?, number(2..4)?);
    // FHIR allows -13:59 to +14:00.
    if hours > 14 || minutes > 59 || hours == 14 && (minutes > 0 || sign == "-") {
        return Err(TimeError::Range);
    }
    let seconds = (hours * 60 + minutes) * 60;
    Offset::from_seconds(if sign == "-" { -seconds } else { seconds }).map_err(|_| TimeError::Range)
}

/// The stored form: the DTM as normalised, with its offset, and where the zone came from.
#[derive(Serialize, Deserialize)]
struct Stored(String, ZoneSource);

impl From<PartialTime> for Stored {
    fn from(time: PartialTime) -> Self {
        let text = time.digits() + &written_offset(time.offset);
        Self(text, time.zone)
    }
}

impl TryFrom<Stored> for PartialTime {
    type Error = TimeError;

    fn try_from(stored: Stored) -> Result<Self, TimeError> {
        Ok(Self { zone: stored.1, ..Self::read(&stored.0, None, &TimeZone::UTC)? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn site() -> TimeZone {
        TimeZone::fixed(jiff::tz::offset(8))
    }

    #[test]
    fn precision_and_fraction_stay_as_written() {
        for (written, shown) in [
            ("2026", "2026"),
            ("202611", "2026-11"),
            ("20261124", "2026-11-24"),
            ("2026112408", "2026-11-24"),
            ("202611240815", "2026-11-24T08:15:00+08:00"),
            ("20261124081530.120", "2026-11-24T08:15:30.120+08:00"),
            ("20261124081530-0500", "2026-11-24T08:15:30-05:00"),
        ] {
            assert_eq!(PartialTime::read(written, None, &site()).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn a_dtm_is_as_exact_as_the_time_and_a_day_has_no_offset() {
        for (written, dtm) in [
            ("2026", "2026"),
            ("20261124", "20261124"),
            ("20261124+0100", "20261124"),
            ("202611240815", "202611240815+0800"),
            ("20261124081530.120-0500", "20261124081530.120-0500"),
        ] {
            assert_eq!(PartialTime::read(written, None, &site()).unwrap().to_dtm(), dtm);
        }
    }

    #[test]
    fn the_zone_is_the_times_own_else_the_messages_else_the_sites() {
        let message = Some(jiff::tz::offset(9));
        let zone =
            |t: &str, m| PartialTime::read(t, m, &site()).map(|t| (t.zone(), t.offset().seconds() / 3600));
        assert_eq!(zone("20261124080000+0100", message), Ok((ZoneSource::Stated, 1)));
        assert_eq!(zone("20261124080000", message), Ok((ZoneSource::Message, 9)));
        assert_eq!(zone("20261124080000", None), Ok((ZoneSource::Site, 8)));
    }

    #[test]
    fn days_and_hours_that_do_not_exist_are_refused() {
        for wrong in
            ["20260230", "202613", "2026112424", "20261124081560", "20261124+1500", "0000", "20261124-1400"]
        {
            assert_eq!(PartialTime::read(wrong, None, &site()), Err(TimeError::Range), "{wrong}");
        }
        for wrong in ["", "20", "2026112", "20261124081530.", "2026-11-24", "\u{4e8c}\u{3007}", "20261124+08"]
        {
            let read = PartialTime::read(wrong, None, &site());
            assert!(matches!(read, Err(TimeError::Form)) || wrong.ends_with('.'), "{wrong} {read:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_storage_keeps_everything(text in "[0-9]{0,14}(\\.[0-9]{1,4})?([+-][0-9]{4})?") {
            if let Ok(time) = PartialTime::read(&text, None, &site()) {
                let stored = serde_json::to_string(&time).unwrap();
                prop_assert!(time.earliest() <= time.latest());
                prop_assert_eq!(serde_json::from_str::<PartialTime>(&stored).unwrap(), time);
            }
        }

        #[test]
        fn arbitrary_text_never_panics(text in ".{0,30}") {
            let _ = PartialTime::read(&text, None, &site());
        }
    }
}
