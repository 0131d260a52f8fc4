//! Captures that are not normal.

use core::str::FromStr;

use feed::{CaptureId, FeedName};
use jiff::Timestamp;
use rusqlite::Row;
use serde::{Deserialize, Serialize};

use super::capture::capture;
use super::listing::{bounded, merge};
use super::position::time;
use super::segment::QUARANTINE;
use super::{Read, StateError, Tx};

/// What became of a capture, other than records and deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The same message had come before.
    Duplicate {
        /// The earlier capture.
        of: CaptureId,
    },
    /// Its kind is not interpreted.
    NotInterpreted,
    /// It is marked as a test or for training (MSH-11.1 is not P).
    Test,
    /// A rule keeps it back.
    Withheld,
    /// Its feed is in observe mode, or nothing is live to take it.
    Observed,
    /// It cannot be used as it is; kept raw until a human decides.
    Quarantined,
    /// A human gave it up.
    Discarded,
}

/// An [`Outcome`] without its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutcomeKind {
    /// See [`Outcome::Duplicate`].
    Duplicate,
    /// See [`Outcome::NotInterpreted`].
    NotInterpreted,
    /// See [`Outcome::Test`].
    Test,
    /// See [`Outcome::Withheld`].
    Withheld,
    /// See [`Outcome::Observed`].
    Observed,
    /// See [`Outcome::Quarantined`].
    Quarantined,
    /// See [`Outcome::Discarded`].
    Discarded,
}

/// A capture that is not normal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// Which.
    pub capture: CaptureId,
    /// The feed it came in on.
    pub feed: FeedName,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, as a code.
    pub reason: String,
    /// More about it, for those who may see persons; sealed at rest.
    pub detail: Vec<u8>,
    /// When.
    pub at: Timestamp,
}

/// Which exceptions to list, in the order of their captures.
#[derive(Clone, Debug)]
pub struct ExceptionFilter {
    /// Only with this outcome.
    pub outcome: Option<OutcomeKind>,
    /// Only for this reason.
    pub reason: Option<String>,
    /// Only of this feed.
    pub feed: Option<FeedName>,
    /// Only of later captures.
    pub after: CaptureId,
    /// At most so many; never more than [`MAX_ROWS`](super::MAX_ROWS).
    pub limit: usize,
}

const COLUMNS: &str =
    "capture, outcome, of, reason, detail, at, name.name FROM exception JOIN name ON name.id = feed";

impl Outcome {
    /// Which one, without its content.
    pub fn kind(&self) -> OutcomeKind {
        match self {
            Self::Duplicate { .. } => OutcomeKind::Duplicate,
            Self::NotInterpreted => OutcomeKind::NotInterpreted,
            Self::Test => OutcomeKind::Test,
            Self::Withheld => OutcomeKind::Withheld,
            Self::Observed => OutcomeKind::Observed,
            Self::Quarantined => OutcomeKind::Quarantined,
            Self::Discarded => OutcomeKind::Discarded,
        }
    }
}

impl OutcomeKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Duplicate,
        Self::NotInterpreted,
        Self::Test,
        Self::Withheld,
        Self::Observed,
        Self::Quarantined,
        Self::Discarded,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        self.counter().trim_start_matches("exception-")
    }

    /// The counter that holds how many there are.
    fn counter(self) -> &'static str {
        match self {
            Self::Duplicate => "exception-duplicate",
            Self::NotInterpreted => "exception-not-interpreted",
            Self::Test => "exception-test",
            Self::Withheld => "exception-withheld",
            Self::Observed => "exception-observed",
            Self::Quarantined => "exception-quarantined",
            Self::Discarded => "exception-discarded",
        }
    }
}

/// Why a text is not an outcome.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("an outcome is duplicate, not-interpreted, test, withheld, observed, quarantined or discarded")]
pub struct OutcomeKindError;

impl FromStr for OutcomeKind {
    type Err = OutcomeKindError;

    fn from_str(s: &str) -> Result<Self, OutcomeKindError> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == s).ok_or(OutcomeKindError)
    }
}

impl Read<'_> {
    /// What is not normal about a capture.
    ///
    /// # Errors
    /// When the database fails or the detail does not open.
    pub fn exception(&self, capture: CaptureId) -> Result<Option<Exception>, StateError> {
        let found = self.one(&format!("SELECT {COLUMNS} WHERE capture = ?1"), [capture.to_i64()], row)?;
        found.map(|found| self.read_exception(found)).transpose()
    }

    /// One page of the exceptions that `filter` lets through.
    ///
    /// # Errors
    /// When the database fails or a detail does not open.
    pub fn exceptions(&self, filter: &ExceptionFilter) -> Result<Vec<Exception>, StateError> {
        let (after, limit) = (filter.after.to_i64(), bounded(filter.limit));
        let mut rows = Vec::new();
        if filter.outcome.is_none() && filter.reason.is_none() && filter.feed.is_none() {
            rows = self.all(
                &format!("SELECT {COLUMNS} WHERE capture > ?1 ORDER BY capture LIMIT ?2"),
                (after, limit),
                row,
            )?;
        } else {
            for (outcome, reason, feed) in self.sorts(filter)? {
                let sql = format!(
                    "SELECT {COLUMNS} WHERE outcome = ?1 AND reason = ?2 AND feed = ?3 AND capture > ?4
                     ORDER BY capture LIMIT ?5"
                );
                rows.extend(self.all(&sql, (outcome, reason, feed, after, limit), row)?);
            }
        }
        let page = merge(rows, filter.limit, |row| row.capture);
        page.into_iter().map(|found| self.read_exception(found)).collect()
    }

    /// The combinations of outcome, reason and feed that exist and pass the filter: one seek each, however many
    /// captures there are.
    fn sorts(&self, filter: &ExceptionFilter) -> Result<Vec<(u8, String, u16)>, StateError> {
        let feed = match &filter.feed {
            Some(feed) => match self.number_of(feed.as_str())? {
                Some(number) => Some(number),
                None => return Ok(Vec::new()),
            },
            None => None,
        };
        let next = "SELECT outcome, reason, feed FROM exception WHERE (outcome, reason, feed) > (?1, ?2, ?3)
                    ORDER BY outcome, reason, feed LIMIT 1";
        let mut sorts = Vec::new();
        let mut last = (-1_i64, String::new(), 0_u16);
        while let Some(sort) = self.one(next, last, |row| {
            Ok((row.get::<_, u8>(0)?, row.get::<_, String>(1)?, row.get::<_, u16>(2)?))
        })? {
            let wanted = filter.outcome.is_none_or(|outcome| outcome as u8 == sort.0)
                && filter.reason.as_ref().is_none_or(|reason| *reason == sort.1)
                && feed.is_none_or(|feed| feed == sort.2);
            last = (i64::from(sort.0), sort.1.clone(), sort.2);
            if wanted {
                sorts.push(sort);
            }
        }
        Ok(sorts)
    }

    fn read_exception(&self, found: Found) -> Result<Exception, StateError> {
        let Found { capture, outcome, of, reason, detail, at, feed } = found;
        let outcome = match (OutcomeKind::ALL.get(usize::from(outcome)), of) {
            (Some(OutcomeKind::Duplicate), Some(of)) => Outcome::Duplicate { of: CaptureId::from_i64(of) },
            (Some(OutcomeKind::NotInterpreted), _) => Outcome::NotInterpreted,
            (Some(OutcomeKind::Test), _) => Outcome::Test,
            (Some(OutcomeKind::Withheld), _) => Outcome::Withheld,
            (Some(OutcomeKind::Observed), _) => Outcome::Observed,
            (Some(OutcomeKind::Quarantined), _) => Outcome::Quarantined,
            (Some(OutcomeKind::Discarded), _) => Outcome::Discarded,
            _ => return Err(StateError::Damaged("outcome")),
        };
        let feed = FeedName::new(&feed).map_err(|_| StateError::Damaged("feed name"))?;
        Ok(Exception { capture, feed, outcome, reason, detail: self.open(&detail)?, at })
    }
}

impl Tx<'_> {
    /// Marks a capture as not normal, replacing what was said of it before.
    ///
    /// # Errors
    /// When the database fails.
    pub fn except(&mut self, exception: &Exception) -> Result<(), StateError> {
        self.clear_exception(exception.capture, exception.at)?;
        let feed = self.intern(exception.feed.as_str())?;
        let kind = exception.outcome.kind();
        let of = match exception.outcome {
            Outcome::Duplicate { of } => Some(of.to_i64()),
            _ => None,
        };
        let sql = "INSERT INTO exception (capture, feed, outcome, of, reason, detail, at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let sealed = self.seal(&exception.detail)?;
        let params = (
            exception.capture.to_i64(),
            feed,
            kind as u8,
            of,
            &exception.reason,
            sealed,
            self.stamp(exception.at),
        );
        self.execute(sql, params)?;
        if kind == OutcomeKind::Quarantined {
            self.add_ref(exception.capture, QUARANTINE, exception.at)?;
        }
        self.tally(kind.counter(), feed, 1)
    }

    /// Takes back what was said of a capture. Answers whether anything was.
    ///
    /// # Errors
    /// When the database fails.
    pub fn clear_exception(&mut self, capture: CaptureId, at: Timestamp) -> Result<bool, StateError> {
        let sql = "DELETE FROM exception WHERE capture = ?1 RETURNING outcome, feed";
        let old =
            self.one(sql, [capture.to_i64()], |row| Ok((row.get::<_, u8>(0)?, row.get::<_, u16>(1)?)))?;
        let Some((outcome, feed)) = old else { return Ok(false) };
        let kind = OutcomeKind::ALL.get(usize::from(outcome)).ok_or(StateError::Damaged("outcome"))?;
        if *kind == OutcomeKind::Quarantined {
            self.drop_ref(capture, QUARANTINE, at)?;
        }
        self.tally(kind.counter(), feed, -1)?;
        Ok(true)
    }
}

/// A row whose detail is still sealed.
struct Found {
    capture: CaptureId,
    outcome: u8,
    of: Option<i64>,
    reason: String,
    detail: Vec<u8>,
    at: Timestamp,
    feed: String,
}

fn row(row: &Row<'_>) -> rusqlite::Result<Found> {
    Ok(Found {
        capture: capture(row, 0)?,
        outcome: row.get(1)?,
        of: row.get(2)?,
        reason: row.get(3)?,
        detail: row.get(4)?,
        at: time(row, 5)?,
        feed: row.get(6)?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, feed, scratch};
    use super::*;

    fn exception(row: u32, of: &str, outcome: Outcome, reason: &str) -> Exception {
        let capture = CaptureId::new(1, row);
        Exception {
            capture,
            feed: feed(of),
            outcome,
            reason: reason.into(),
            detail: vec![row as u8],
            at: at(1),
        }
    }

    #[test]
    fn exceptions_are_found_by_outcome_reason_and_feed() {
        let state = scratch();
        state.write(|tx| {
            let all = [
                exception(1, "his", Outcome::Quarantined, "undecodable"),
                exception(2, "his", Outcome::Duplicate { of: CaptureId::new(1, 1) }, "control-id"),
                exception(3, "lis", Outcome::Quarantined, "id-conflict"),
                exception(4, "lis", Outcome::Test, "processing-id"),
                exception(5, "his", Outcome::Quarantined, "id-conflict"),
            ];
            all.iter().try_for_each(|e| tx.except(e))?;
            let list = |tx: &Tx<'_>, outcome, reason: Option<&str>, of: Option<&str>, after| {
                let (reason, feed) = (reason.map(str::to_owned), of.map(feed));
                let filter =
                    ExceptionFilter { outcome, reason, feed, after: CaptureId::new(1, after), limit: 10 };
                tx.exceptions(&filter).unwrap().iter().map(|e| e.capture.row()).collect::<Vec<_>>()
            };
            let quarantined = Some(OutcomeKind::Quarantined);
            assert_eq!(list(tx, None, None, None, 0), [1, 2, 3, 4, 5]);
            assert_eq!(list(tx, quarantined, None, None, 0), [1, 3, 5]);
            assert_eq!(list(tx, quarantined, None, None, 3), [5]);
            assert_eq!(list(tx, None, Some("id-conflict"), None, 0), [3, 5]);
            assert_eq!(list(tx, None, None, Some("lis"), 0), [3, 4]);
            assert!(list(tx, None, None, Some("pacs"), 0).is_empty());
            assert_eq!(all.map(|e| tx.exception(e.capture).unwrap() == Some(e)), [true; 5]);
            Ok(())
        });
    }

    #[test]
    fn an_outcome_is_written_as_it_is_read() {
        for kind in OutcomeKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        assert_eq!(OutcomeKind::NotInterpreted.as_str(), "not-interpreted");
    }
}
