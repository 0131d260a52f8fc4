//! Mapping revisions, and what records were made with, so that what a wrong map made can be found again.

use jiff::Timestamp;
use model::RecordId;

use super::listing::bounded;
use super::position::time;
use super::{Read, StateError, Tx};

/// A revision of the mapping: a program and the code maps it worked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Its number. It rises whenever the same capture might make other records than before.
    pub revision: u32,
    /// The revision of the program's own mapping.
    pub program: u32,
    /// The maps of each feed and destination.
    pub maps: String,
    /// Since when it was in force.
    pub since: Timestamp,
}

/// What records were made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its number in records.
    pub id: i64,
    /// The mapping revision.
    pub revision: u32,
    /// The maps that something in the record comes from, as `NAME@VERSION`, separated by blanks.
    pub maps: String,
}

/// Sets of maps that are looked through at most: a few for each mapping revision.
const SETS: i64 = 10_000;

impl Read<'_> {
    /// The mapping revision with this number.
    ///
    /// # Errors
    /// When the database fails.
    pub fn mapping(&self, revision: u32) -> Result<Option<Mapping>, StateError> {
        let sql = "SELECT revision, program, maps, since FROM mapping WHERE revision = ?1";
        self.one(sql, [revision], |row| {
            Ok(Mapping {
                revision: row.get(0)?,
                program: row.get(1)?,
                maps: row.get(2)?,
                since: time(row, 3)?,
            })
        })
    }

    /// What records were made with so far, the latest first.
    ///
    /// # Errors
    /// When the database fails.
    pub fn made(&self) -> Result<Vec<Made>, StateError> {
        let sql = "SELECT id, revision, maps FROM made ORDER BY id DESC LIMIT ?1";
        self.all(sql, [SETS], |row| Ok(Made { id: row.get(0)?, revision: row.get(1)?, maps: row.get(2)? }))
    }

    /// The records whose current state was made with `made`, by their place in the table.
    ///
    /// # Errors
    /// When the database fails.
    pub fn records_made(
        &self,
        made: i64,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, RecordId)>, StateError> {
        let sql = "SELECT no, id FROM record WHERE made = ?1 AND no > ?2 ORDER BY no LIMIT ?3";
        self.all(sql, (made, after, bounded(limit)), |row| {
            Ok((row.get(0)?, RecordId::from_bytes(row.get(1)?)))
        })
    }

    /// The records that a destination has as they were rendered with `made`, by their ids.
    ///
    /// # Errors
    /// When the database fails.
    pub fn sent_made(
        &self,
        made: i64,
        after: RecordId,
        limit: usize,
    ) -> Result<Vec<(RecordId, u16)>, StateError> {
        let sql =
            "SELECT record, destination FROM sent WHERE made = ?1 AND record > ?2 ORDER BY record LIMIT ?3";
        self.all(sql, (made, after.as_bytes(), bounded(limit)), |row| {
            Ok((RecordId::from_bytes(row.get(0)?), row.get(1)?))
        })
    }
}

impl Tx<'_> {
    /// The number of the mapping that is in force from now on: the last one where nothing has changed, else a new one.
    ///
    /// # Errors
    /// When the database fails.
    pub fn begin_mapping(&mut self, program: u32, maps: &str, at: Timestamp) -> Result<u32, StateError> {
        let sql = "SELECT revision, program, maps FROM mapping ORDER BY revision DESC LIMIT 1";
        let last = self.one(sql, [], |row| {
            Ok((row.get::<_, u32>(0)?, row.get::<_, u32>(1)?, row.get::<_, String>(2)?))
        })?;
        let next = match last {
            Some((revision, held, text)) if held == program && text == maps => return Ok(revision),
            Some((revision, ..)) => revision.saturating_add(1),
            None => 1,
        };
        let sql = "INSERT INTO mapping (revision, program, maps, since) VALUES (?1, ?2, ?3, ?4)";
        self.execute(sql, (next, program, maps, self.stamp(at)))?;
        Ok(next)
    }

    /// The number of what a record is made with.
    pub(super) fn made_with(&self, revision: u32, maps: &str) -> Result<i64, StateError> {
        let sql = "SELECT id FROM made WHERE revision = ?1 AND maps = ?2";
        if let Some(id) = self.one(sql, (revision, maps), |row| row.get(0))? {
            return Ok(id);
        }
        self.execute("INSERT INTO made (revision, maps) VALUES (?1, ?2)", (revision, maps))?;
        Ok(self.last_id())
    }
}

#[cfg(test)]
mod tests {
    use feed::CaptureId;
    use model::{PersonId, Position};

    use super::super::RecordRow;
    use super::super::testing::{at, position, scratch};
    use super::*;

    #[test]
    fn a_mapping_keeps_its_number_until_something_changes() {
        let state = scratch();
        state.write(|tx| {
            assert_eq!(tx.begin_mapping(1, "", at(0))?, 1);
            assert_eq!(tx.begin_mapping(1, "", at(1))?, 1);
            assert_eq!(tx.begin_mapping(1, "lis: lab@1", at(2))?, 2);
            assert_eq!(tx.begin_mapping(2, "lis: lab@1", at(3))?, 3);
            // What was before is another mapping when it returns.
            assert_eq!(tx.begin_mapping(1, "", at(4))?, 4);
            assert_eq!(tx.mapping(2)?.map(|m| (m.program, m.since)), Some((1, at(2))));
            Ok(())
        });
    }

    #[test]
    fn records_are_found_by_the_maps_of_their_current_state() {
        let state = scratch();
        state.write(|tx| {
            let record = |id: u8, revision, maps: &str| RecordRow {
                id: RecordId::from_bytes([id; 16]),
                kind: 4,
                person: Some(PersonId::from_bytes([9; 16])),
                position: Position { revision, ..position(0, CaptureId::new(1, u32::from(id))) },
                status: 0,
                current: false,
                expires: None,
                maps: maps.to_owned(),
                content: vec![id],
            };
            for (id, maps) in [(1, "lab@1"), (2, ""), (3, "lab@1"), (4, "lab@1 units@1")] {
                tx.put_record(&record(id, 1, maps))?;
            }
            let with = |tx: &Tx<'_>, text: &str| -> Result<Vec<u8>, StateError> {
                let sets: Vec<_> = tx.made()?.into_iter().filter(|made| made.maps == text).collect();
                let mut found = Vec::new();
                for made in sets {
                    found.extend(tx.records_made(made.id, 0, 10)?.iter().map(|(_, id)| id.as_bytes()[0]));
                }
                Ok(found)
            };
            assert_eq!(with(tx, "lab@1")?, [1, 3]);
            tx.put_record(&record(1, 2, "lab@2"))?;
            assert_eq!((with(tx, "lab@1")?, with(tx, "lab@2")?), (vec![3], vec![1]));
            Ok(())
        });
    }
}
