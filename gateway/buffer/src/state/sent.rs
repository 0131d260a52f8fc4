//! What a destination has of each record, and what it has refused.

use model::{Position, RecordId};

use super::position::position;
use super::{Read, StateError, Tx};

/// A part of a record that a destination refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadResource {
    /// The record it belongs to.
    pub record: RecordId,
    /// The part.
    pub resource: [u8; 16],
    /// Why, as a code.
    pub reason: String,
    /// How far it was reduced; the numbers are the caller's.
    pub stage: u8,
}

/// A record that a destination took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The record.
    pub record: RecordId,
    /// Where its state stood.
    pub position: Position,
    /// The destination's own code maps that touched it, as [`RecordRow::maps`](super::RecordRow::maps).
    pub maps: String,
}

impl Read<'_> {
    /// The highest position of a record that a destination has taken.
    ///
    /// # Errors
    /// When the database fails.
    pub fn sent_position(&self, destination: u16, record: RecordId) -> Result<Option<Position>, StateError> {
        let sql = "SELECT event, capture, revision FROM sent WHERE record = ?1 AND destination = ?2";
        self.one(sql, (record.as_bytes(), destination), |row| position(row, 0))
    }

    /// The parts of a record that a destination refuses.
    ///
    /// # Errors
    /// When the database fails.
    pub fn dead_resources(
        &self,
        destination: u16,
        record: RecordId,
    ) -> Result<Vec<DeadResource>, StateError> {
        let sql = "SELECT resource, reason, stage FROM dead_resource WHERE record = ?1 AND destination = ?2
                   ORDER BY resource LIMIT 10000";
        self.all(sql, (record.as_bytes(), destination), |row| {
            Ok(DeadResource { record, resource: row.get(0)?, reason: row.get(1)?, stage: row.get(2)? })
        })
    }
}

impl Tx<'_> {
    /// A destination took a record at `position`: raises what it has, never lowers it. What it refused of the record
    /// before no longer stands.
    pub(super) fn put_sent(
        &self,
        destination: u16,
        Sent { record, position, maps }: &Sent,
    ) -> Result<(), StateError> {
        let sql = "INSERT INTO sent (record, destination, event, capture, revision, made)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                   ON CONFLICT DO UPDATE SET event = excluded.event, capture = excluded.capture,
                   revision = excluded.revision, made = excluded.made
                   WHERE (excluded.event, excluded.capture, excluded.revision) >= (event, capture, revision)";
        let Position { event, capture, revision } = *position;
        let made = (!maps.is_empty()).then(|| self.made_with(revision, maps)).transpose()?;
        self.execute(
            sql,
            (record.as_bytes(), destination, event.as_microsecond(), capture.to_i64(), revision, made),
        )?;
        self.forgive(destination, *record)
    }

    /// What a destination refused of a record before no longer stands.
    pub(super) fn forgive(&self, destination: u16, record: RecordId) -> Result<(), StateError> {
        let sql = "DELETE FROM dead_resource WHERE record = ?1 AND destination = ?2";
        self.execute(sql, (record.as_bytes(), destination))?;
        Ok(())
    }

    pub(super) fn put_dead(&self, destination: u16, dead: &DeadResource) -> Result<(), StateError> {
        let sql = "INSERT OR REPLACE INTO dead_resource (record, destination, resource, reason, stage)
                   VALUES (?1, ?2, ?3, ?4, ?5)";
        self.execute(sql, (dead.record.as_bytes(), destination, dead.resource, &dead.reason, dead.stage))?;
        Ok(())
    }
}
