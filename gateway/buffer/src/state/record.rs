//! The current state of each record of core information.

use feed::CaptureId;
use jiff::Timestamp;
use model::{PersonId, Position, RecordId};
use rusqlite::Row;

use super::listing::bounded;
use super::position::{maybe_time, position};
use super::{Read, StateError, Tx};

/// A record as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordRow {
    /// Its id, the same outside.
    pub id: RecordId,
    /// What it is; the numbers are the caller's.
    pub kind: u8,
    /// Whose, where known.
    pub person: Option<PersonId>,
    /// Where its state stands in time.
    pub position: Position,
    /// Its status; the numbers are the caller's.
    pub status: u8,
    /// Whether the content stays for as long as the record is current (persons, open encounters) rather than for as
    /// long as delivered data are kept.
    pub current: bool,
    /// When the position may be forgotten after the content is gone: with the binding; `None`: never.
    pub expires: Option<Timestamp>,
    /// The code maps that something in it comes from, as `NAME@VERSION`, separated by blanks.
    pub maps: String,
    /// The content, sealed at rest; empty once it has been destroyed.
    pub content: Vec<u8>,
}

const COLUMNS: &str = "id, kind, person, event, capture, revision, status, keep, expires, sealed,
    (SELECT maps FROM made WHERE made.id = record.made)";

impl Read<'_> {
    /// The record with this id.
    ///
    /// # Errors
    /// When the database fails or the content does not open.
    pub fn record(&self, id: RecordId) -> Result<Option<RecordRow>, StateError> {
        let found = self.one(&format!("SELECT {COLUMNS} FROM record WHERE id = ?1"), [id.as_bytes()], row)?;
        found.map(|found| self.opened(found)).transpose()
    }

    /// Whose record it is; its content stays closed.
    ///
    /// # Errors
    /// When the database fails.
    pub fn owner_of(&self, id: RecordId) -> Result<Option<PersonId>, StateError> {
        let sql = "SELECT person FROM record WHERE id = ?1";
        let found = self.one(sql, [id.as_bytes()], |row| row.get::<_, Option<[u8; 16]>>(0))?;
        Ok(found.flatten().map(PersonId::from_bytes))
    }

    /// The records of one kind of a person, those of the latest events first.
    ///
    /// # Errors
    /// When the database fails or a content does not open.
    pub fn records_of(&self, person: PersonId, kind: u8, limit: usize) -> Result<Vec<RecordRow>, StateError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM record WHERE person = ?1 AND kind = ?2 ORDER BY event DESC LIMIT ?3"
        );
        let found = self.all(&sql, (person.as_bytes(), kind, bounded(limit)), row)?;
        found.into_iter().map(|found| self.opened(found)).collect()
    }

    /// The records of one kind of a person whose content is still held, latest events first, up to `limit` of them after the
    /// place `before`. Beside them the place where the next page begins.
    ///
    /// # Errors
    /// When the database fails or a content does not open.
    pub fn held_records_of(
        &self,
        person: PersonId,
        kind: u8,
        before: Option<(i64, i64)>,
        limit: usize,
    ) -> Result<(Vec<RecordRow>, Option<(i64, i64)>), StateError> {
        let sql = format!(
            "SELECT {COLUMNS}, no FROM record WHERE person = ?1 AND kind = ?2 AND (event, no) < (?3, ?4)
             AND sealed IS NOT NULL ORDER BY event DESC, no DESC LIMIT ?5"
        );
        let (event, no) = before.unwrap_or((i64::MAX, i64::MAX));
        let params = (person.as_bytes(), kind, event, no, bounded(limit));
        let found = self.all(&sql, params, |found| {
            Ok((row(found)?, (found.get::<_, i64>(3)?, found.get::<_, i64>(11)?)))
        })?;
        let next = found.last().filter(|_| found.len() == limit).map(|(_, place)| *place);
        let rows = found.into_iter().map(|(found, _)| self.opened(found)).collect::<Result<_, _>>()?;
        Ok((rows, next))
    }

    fn opened(&self, mut record: RecordRow) -> Result<RecordRow, StateError> {
        if !record.content.is_empty() {
            record.content = self.open(&record.content)?;
        }
        Ok(record)
    }
}

impl Tx<'_> {
    /// Keeps the state of a record, replacing the one before it. Whether it may is the caller's decision
    /// (contract 4).
    ///
    /// # Errors
    /// When the database fails.
    pub fn put_record(&mut self, record: &RecordRow) -> Result<(), StateError> {
        let sql = "INSERT INTO record (id, kind, person, event, capture, revision, status, keep, expires, sealed, made)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
                   ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, person = excluded.person,
                   event = excluded.event, capture = excluded.capture, revision = excluded.revision,
                   status = excluded.status, made = excluded.made, keep = excluded.keep, expires = excluded.expires, sealed = excluded.sealed";
        let params = (
            record.id.as_bytes(),
            record.kind,
            record.person.as_ref().map(PersonId::as_bytes),
            record.position.event.as_microsecond(),
            record.position.capture.to_i64(),
            record.position.revision,
            record.status,
            record.current,
            record.expires.map(Timestamp::as_microsecond),
            self.seal(&record.content)?,
            self.made_with(record.position.revision, &record.maps)?,
        );
        self.execute(sql, params)?;
        Ok(())
    }

    /// Destroys the content of the records whose state came with a capture after `after` and up to `to`, unless the
    /// capture has survived or the record stays for as long as it is current. Their positions stay.
    pub(crate) fn fade_records(&self, after: CaptureId, to: CaptureId) -> Result<(), StateError> {
        let sql = "UPDATE record SET sealed = NULL
                   WHERE capture > ?1 AND capture <= ?2 AND keep = 0 AND sealed IS NOT NULL
                   AND NOT EXISTS (SELECT 1 FROM survivor WHERE survivor.capture = record.capture AND part = 0)";
        self.execute(sql, (after.to_i64(), to.to_i64()))?;
        Ok(())
    }

    /// Forgets up to `limit` positions that have expired. Answers how many.
    pub(crate) fn expire_records(&mut self, now: Timestamp, limit: usize) -> Result<usize, StateError> {
        let sql = "SELECT no, id FROM record WHERE expires IS NOT NULL AND sealed IS NULL AND expires <= ?1
                   ORDER BY expires LIMIT ?2";
        let old = self.all(sql, (now.as_microsecond(), bounded(limit)), |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, [u8; 16]>(1)?))
        })?;
        for (no, id) in &old {
            self.execute("DELETE FROM sent WHERE record = ?1", [id])?;
            self.execute("DELETE FROM dead_resource WHERE record = ?1", [id])?;
            self.execute("DELETE FROM record WHERE no = ?1", [no])?;
        }
        Ok(old.len())
    }
}

fn row(row: &Row<'_>) -> rusqlite::Result<RecordRow> {
    Ok(RecordRow {
        id: RecordId::from_bytes(row.get(0)?),
        kind: row.get(1)?,
        person: row.get::<_, Option<_>>(2)?.map(PersonId::from_bytes),
        position: position(row, 3)?,
        status: row.get(6)?,
        current: row.get(7)?,
        expires: maybe_time(row, 8)?,
        maps: row.get::<_, Option<_>>(10)?.unwrap_or_default(),
        content: row.get::<_, Option<_>>(9)?.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::testing::{at, position, scratch};

    fn record(id: u8, event: i64, current: bool) -> RecordRow {
        RecordRow {
            id: RecordId::from_bytes([id; 16]),
            kind: 3,
            person: Some(PersonId::from_bytes([9; 16])),
            position: position(event, CaptureId::from_i64(i64::from(id))),
            status: 1,
            current,
            expires: Some(at(100)),
            maps: "lab@1".to_owned(),
            content: vec![id],
        }
    }

    #[test]
    fn a_record_is_kept_as_it_was_put_last() {
        let state = scratch();
        state.write(|tx| {
            let (old, new) =
                (record(1, 10, false), RecordRow { content: vec![7; 3000], ..record(1, 20, false) });
            tx.put_record(&old)?;
            assert_eq!(tx.record(old.id)?, Some(old));
            tx.put_record(&new)?;
            assert_eq!(tx.record(new.id)?, Some(new));
            Ok(())
        });
    }

    #[test]
    fn the_records_of_a_person_come_latest_first() {
        let state = scratch();
        state.write(|tx| {
            for (id, event) in [(1, 20), (2, 30), (3, 10)] {
                tx.put_record(&record(id, event, false))?;
            }
            let events = |rows: Vec<RecordRow>| rows.iter().map(|r| r.id.as_bytes()[0]).collect::<Vec<_>>();
            assert_eq!(events(tx.records_of(PersonId::from_bytes([9; 16]), 3, 2)?), [2, 1]);
            assert!(tx.records_of(PersonId::from_bytes([9; 16]), 4, 2)?.is_empty());
            Ok(())
        });
    }

    #[test]
    fn the_held_records_of_a_person_are_read_page_by_page_to_the_last() {
        let state = scratch();
        state.write(|tx| {
            for id in 1..=7 {
                // Two of each time, so that a page ends between two of the same.
                tx.put_record(&record(id, i64::from(id / 2), false))?;
            }
            tx.fade_records(CaptureId::ZERO, CaptureId::from_i64(1))?;
            let (mut seen, mut before) = (Vec::new(), None);
            loop {
                let (rows, next) = tx.held_records_of(PersonId::from_bytes([9; 16]), 3, before, 2)?;
                seen.extend(rows.iter().map(|row| row.id.as_bytes()[0]));
                before = next;
                if before.is_none() {
                    break;
                }
            }
            seen.sort_unstable();
            assert_eq!(seen, [2, 3, 4, 5, 6, 7]);
            Ok(())
        });
    }

    #[test]
    fn content_goes_with_its_capture_and_the_position_later() {
        let state = scratch();
        state.write(|tx| {
            let (open, closed) = (record(1, 10, true), record(2, 10, false));
            tx.put_record(&open)?;
            tx.put_record(&closed)?;
            tx.fade_records(CaptureId::ZERO, CaptureId::from_i64(2))?;
            assert_eq!(tx.record(open.id)?.map(|r| r.content), Some(vec![1]));
            let faded = tx.record(closed.id)?.expect("the position stays");
            assert_eq!((faded.content, faded.position), (vec![], closed.position));
            assert_eq!(tx.expire_records(at(99), 10)?, 0);
            assert_eq!(tx.expire_records(at(100), 10)?, 1);
            assert_eq!(tx.record(closed.id)?, None);
            Ok(())
        });
    }
}
