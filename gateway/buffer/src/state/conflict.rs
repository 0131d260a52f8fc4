//! Doubts about who is who, kept until somebody has looked at them.

use feed::CaptureId;
use jiff::Timestamp;
use model::PersonId;
use rusqlite::Row;

use super::capture::capture;
use super::listing::bounded;
use super::position::time;
use super::{Read, StateError, Tx};

/// A number that was not taken as the person's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Its number in listings; 0 for a new one.
    pub id: i64,
    /// The person that the message was taken to be about.
    pub person: PersonId,
    /// Why the number was not taken, as a code.
    pub doubt: String,
    /// The number in doubt; sealed at rest.
    pub number: Vec<u8>,
    /// The person that holds the number.
    pub other: Option<PersonId>,
    /// The capture it was seen in last.
    pub capture: CaptureId,
    /// When it was seen first.
    pub since: Timestamp,
}

const COLUMNS: &str = "id, person, doubt, number, other, capture, since FROM conflict";

impl Read<'_> {
    /// The conflict with this number.
    ///
    /// # Errors
    /// When the database fails or the number does not open.
    pub fn conflict(&self, id: i64) -> Result<Option<Conflict>, StateError> {
        let found = self.one(&format!("SELECT {COLUMNS} WHERE id = ?1"), [id], row)?;
        found.map(|found| self.opened_conflict(found)).transpose()
    }

    /// The conflicts after number `after`.
    ///
    /// # Errors
    /// When the database fails or a number does not open.
    pub fn conflicts(&self, after: i64, limit: usize) -> Result<Vec<Conflict>, StateError> {
        let sql = format!("SELECT {COLUMNS} WHERE id > ?1 ORDER BY id LIMIT ?2");
        let rows = self.all(&sql, (after, bounded(limit)), row)?;
        rows.into_iter().map(|found| self.opened_conflict(found)).collect()
    }

    fn opened_conflict(&self, found: Conflict) -> Result<Conflict, StateError> {
        Ok(Conflict { number: self.open(&found.number)?, ..found })
    }
}

impl Tx<'_> {
    /// Lists a conflict, or notes where it was seen again: one entry for each `what`, which says what is in doubt, however
    /// often it is seen.
    ///
    /// # Errors
    /// When the database fails.
    pub fn put_conflict(&mut self, conflict: &Conflict, what: &[u8]) -> Result<(), StateError> {
        let blind = self.ring().blind("conflict", what);
        let sql = "INSERT INTO conflict (blind, person, doubt, number, other, capture, since)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                   ON CONFLICT (blind) DO UPDATE SET capture = excluded.capture, other = excluded.other";
        let other = conflict.other.as_ref().map(PersonId::as_bytes);
        let (number, since) = (self.seal(&conflict.number)?, self.stamp(conflict.since));
        let person = conflict.person.as_bytes();
        self.execute(sql, (blind, person, &conflict.doubt, number, other, conflict.capture.to_i64(), since))?;
        Ok(())
    }

    /// Takes a conflict off the list.
    ///
    /// # Errors
    /// When the database fails.
    pub fn drop_conflict(&mut self, id: i64) -> Result<(), StateError> {
        self.execute("DELETE FROM conflict WHERE id = ?1", [id])?;
        Ok(())
    }
}

fn row(row: &Row<'_>) -> rusqlite::Result<Conflict> {
    Ok(Conflict {
        id: row.get(0)?,
        person: PersonId::from_bytes(row.get(1)?),
        doubt: row.get(2)?,
        number: row.get(3)?,
        other: row.get::<_, Option<[u8; 16]>>(4)?.map(PersonId::from_bytes),
        capture: capture(row, 5)?,
        since: time(row, 6)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::testing::{at, scratch};

    #[test]
    fn a_conflict_is_listed_once_however_often_it_is_seen() {
        let state = scratch();
        let conflict = Conflict {
            id: 0,
            person: PersonId::from_bytes([1; 16]),
            doubt: "name".to_owned(),
            number: b"11010519491231002X".to_vec(),
            other: None,
            capture: CaptureId::new(1, 1),
            since: at(0),
        };
        let again = Conflict { capture: CaptureId::new(1, 9), since: at(60), ..conflict.clone() };
        let listed = state.write(move |tx| {
            tx.put_conflict(&conflict, b"1")?;
            tx.put_conflict(&again, b"1")?;
            tx.conflicts(0, 10)
        });
        assert_eq!(listed.len(), 1);
        assert_eq!((listed[0].capture, listed[0].since), (CaptureId::new(1, 9), at(0)));
        assert!(!state.bytes().windows(18).any(|w| w == b"11010519491231002X"));
        let id = listed[0].id;
        assert_eq!(state.write(move |tx| tx.drop_conflict(id).and_then(|()| tx.conflict(id))), None);
    }
}
