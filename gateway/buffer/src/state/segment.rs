//! The segments, and what keeps each of them from being destroyed.
//!
//! An *open reference* of a segment is an unsettled delivery (waiting or dead; waiting in a held lane too) of one of
//! its captures, counted per destination, or a quarantined capture. The counts move in the transactions that make,
//! settle, requeue or discard; which destinations matter is decided when they are read, so that a destination that
//! becomes live, optional or observing needs no recount.

use feed::CaptureId;
use jiff::Timestamp;
use rusqlite::Row;

use super::position::{maybe_time, time};
use super::{Read, StateError, Tx};

/// The destination under which quarantined captures are counted.
pub(crate) const QUARANTINE: u16 = 0;

/// How far a segment is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentState {
    /// It takes captures.
    Open,
    /// It takes no more.
    Closed,
    /// What is unsettled in it lives elsewhere; its key and file are being destroyed.
    Leaving,
    /// Its key and file are gone.
    Dropped,
}

/// What the state knows of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentRow {
    /// Its number.
    pub no: u32,
    /// How far it is.
    pub state: SegmentState,
    /// The day it was opened, counted from 1970-01-01 UTC.
    pub day: i64,
    /// When it was opened.
    pub opened: Timestamp,
    /// When it was closed.
    pub closed: Option<Timestamp>,
    /// Its last row, once closed.
    pub last: u32,
    /// Its size in bytes, once closed.
    pub bytes: u64,
    /// The digest of its file, once closed.
    pub digest: Option<[u8; 32]>,
    /// Its last row whose effects are in the state.
    pub refined_to: u32,
    /// Rows up to here that are open have been sealed again as survivors.
    pub survived_to: u32,
    /// Rows up to here have left nothing behind.
    pub swept_to: u32,
}

const COLUMNS: &str =
    "no, state, day, opened, closed, last, bytes, digest, refined_to, survived_to, swept_to";

impl Read<'_> {
    /// What is known of segment `no`.
    ///
    /// # Errors
    /// When the database fails.
    pub fn segment(&self, no: u32) -> Result<Option<SegmentRow>, StateError> {
        self.one(&format!("SELECT {COLUMNS} FROM segment WHERE no = ?1"), [no], row)
    }

    /// All segments that have left something, oldest first: one a start, day or GiB.
    ///
    /// # Errors
    /// When the database fails.
    pub fn segments(&self) -> Result<Vec<SegmentRow>, StateError> {
        self.all(&format!("SELECT {COLUMNS} FROM segment ORDER BY no"), [], row)
    }

    /// How many references keep segment `no`.
    ///
    /// # Errors
    /// When the database fails.
    pub fn open_refs(&self, no: u32) -> Result<u64, StateError> {
        let sql = "SELECT coalesce(sum(open), 0) FROM open_ref WHERE segment = ?1 AND
                   (destination = 0 OR destination IN (SELECT id FROM destination WHERE required))";
        Ok(self.one(sql, [no], |row| row.get::<_, i64>(0))?.map_or(0, |open| open.max(0) as u64))
    }

    /// When the references of segment `no` last changed.
    pub(crate) fn settled_at(&self, no: u32) -> Result<Option<Timestamp>, StateError> {
        let sql = "SELECT max(settled) FROM open_ref WHERE segment = ?1";
        Ok(self.one(sql, [no], |row| maybe_time(row, 0))?.flatten())
    }
}

impl Tx<'_> {
    /// Announces a segment before its first capture is committed. Announcing it again changes nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub fn open_segment(&mut self, no: u32, day: i64, at: Timestamp) -> Result<(), StateError> {
        let sql = "INSERT OR IGNORE INTO segment
                   (no, state, day, opened, last, bytes, refined_to, survived_to, swept_to)
                   VALUES (?1, 0, ?2, ?3, 0, 0, 0, 0, 0)";
        self.execute(sql, (no, day, self.stamp(at)))?;
        Ok(())
    }

    /// Says that a segment takes no more captures.
    ///
    /// # Errors
    /// When the database fails or the segment is unknown.
    pub fn close_segment(
        &mut self,
        no: u32,
        last: u32,
        bytes: u64,
        digest: [u8; 32],
        at: Timestamp,
    ) -> Result<(), StateError> {
        let sql = "UPDATE segment SET state = max(state, 1), closed = coalesce(closed, ?5), last = ?2, bytes = ?3, digest = ?4
                   WHERE no = ?1";
        match self.execute(sql, (no, last, bytes as i64, digest, self.stamp(at)))? {
            0 => Err(StateError::UnknownSegment(no)),
            _ => Ok(()),
        }
    }

    /// Moves a segment on its way.
    pub(crate) fn put_segment_state(&self, no: u32, state: SegmentState) -> Result<(), StateError> {
        self.execute("UPDATE segment SET state = ?2 WHERE no = ?1", (no, state as u8))?;
        Ok(())
    }

    /// Says that open rows up to `to` have been sealed again.
    pub(crate) fn put_survived(&self, no: u32, to: u32) -> Result<(), StateError> {
        self.execute("UPDATE segment SET survived_to = ?2 WHERE no = ?1", (no, to))?;
        Ok(())
    }

    /// Says that rows up to `to` have left nothing behind.
    pub(crate) fn put_swept(&self, no: u32, to: u32) -> Result<(), StateError> {
        self.execute("UPDATE segment SET swept_to = ?2 WHERE no = ?1", (no, to))?;
        Ok(())
    }

    /// Forgets a dropped segment that has left nothing behind.
    pub(crate) fn forget_segment(&self, no: u32) -> Result<(), StateError> {
        self.execute("DELETE FROM open_ref WHERE segment = ?1", [no])?;
        self.execute("DELETE FROM segment WHERE no = ?1", [no])?;
        Ok(())
    }

    /// Adds an open reference to the capture's segment.
    pub(crate) fn add_ref(
        &self,
        capture: CaptureId,
        destination: u16,
        at: Timestamp,
    ) -> Result<(), StateError> {
        self.change_ref(capture, destination, 1, at)?;
        // A capture that was passed over as settled when its segment was being emptied has to be looked at again.
        let sql = "UPDATE segment SET survived_to = ?2 WHERE no = ?1 AND survived_to > ?2";
        self.execute(sql, (capture.segment(), capture.row().saturating_sub(1)))?;
        Ok(())
    }

    /// Takes an open reference away.
    pub(crate) fn drop_ref(
        &self,
        capture: CaptureId,
        destination: u16,
        at: Timestamp,
    ) -> Result<(), StateError> {
        self.change_ref(capture, destination, -1, at)
    }

    fn change_ref(
        &self,
        capture: CaptureId,
        destination: u16,
        by: i64,
        at: Timestamp,
    ) -> Result<(), StateError> {
        let sql = "INSERT INTO open_ref (segment, destination, open, settled) VALUES (?1, ?2, ?3, ?4)
                   ON CONFLICT DO UPDATE SET open = open + excluded.open, settled = max(settled, excluded.settled)";
        self.execute(sql, (capture.segment(), destination, by, self.stamp(at)))?;
        Ok(())
    }
}

fn row(row: &Row<'_>) -> rusqlite::Result<SegmentRow> {
    Ok(SegmentRow {
        no: row.get(0)?,
        state: match row.get::<_, u8>(1)? {
            0 => SegmentState::Open,
            1 => SegmentState::Closed,
            2 => SegmentState::Leaving,
            _ => SegmentState::Dropped,
        },
        day: row.get(2)?,
        opened: time(row, 3)?,
        closed: maybe_time(row, 4)?,
        last: row.get(5)?,
        bytes: row.get::<_, i64>(6)? as u64,
        digest: row.get(7)?,
        refined_to: row.get(8)?,
        survived_to: row.get(9)?,
        swept_to: row.get(10)?,
    })
}
