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
    /// The conflict with this number, unless it was decided.
    ///
    /// # Errors
    /// When the database fails or the number does not open.
    pub fn conflict(&self, id: i64) -> Result<Option<Conflict>, StateError> {
        let found = self.one(&format!("SELECT {COLUMNS} WHERE id = ?1 AND decided IS NULL"), [id], row)?;
        found.map(|found| self.opened_conflict(found)).transpose()
    }

    /// The undecided conflicts after number `after`.
    ///
    /// # Errors
    /// When the database fails or a number does not open.
    pub fn conflicts(&self, after: i64, limit: usize) -> Result<Vec<Conflict>, StateError> {
        let sql = format!("SELECT {COLUMNS} WHERE id > ?1 AND decided IS NULL ORDER BY id LIMIT ?2");
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

    /// Takes a conflict off the list, for it was decided: seen again, it is not listed again.
    ///
    /// # Errors
    /// When the database fails.
    pub fn settle_conflict(&mut self, id: i64, how: &str) -> Result<(), StateError> {
        self.execute("UPDATE conflict SET decided = ?2 WHERE id = ?1", (id, how))?;
        Ok(())
    }

    /// Takes the conflicts between two persons off the list.
    ///
    /// # Errors
    /// When the database fails.
    pub fn settle_conflicts(&mut self, one: PersonId, other: PersonId, how: &str) -> Result<(), StateError> {
        for (one, other) in [(one, other), (other, one)] {
            let sql = "UPDATE conflict SET decided = ?3 WHERE person = ?1 AND other = ?2 AND decided IS NULL";
            self.execute(sql, (one.as_bytes(), other.as_bytes(), how))?;
        }
        Ok(())
    }

    /// Lists the conflicts between two persons again that were off the list because the two were merged.
    ///
    /// # Errors
    /// When the database fails.
    pub fn reopen_conflicts(&mut self, one: PersonId, other: PersonId) -> Result<(), StateError> {
        for (one, other) in [(one, other), (other, one)] {
            let sql = "UPDATE conflict SET decided = NULL
                       WHERE person = ?1 AND other = ?2 AND decided = 'merge'";
            self.execute(sql, (one.as_bytes(), other.as_bytes()))?;
        }
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
        let (id, seen_again) = (listed[0].id, listed[0].clone());
        assert_eq!(
            state.write(move |tx| tx.settle_conflict(id, "dismiss").and_then(|()| tx.conflict(id))),
            None
        );
        let listed = state.write(move |tx| {
            tx.put_conflict(&seen_again, b"1")?;
            tx.conflicts(0, 10)
        });
        assert_eq!(listed, [], "it was decided");
    }

    #[test]
    fn a_pair_that_is_merged_is_off_the_list_until_the_merge_is_taken_back() {
        let state = scratch();
        let (one, other) = (PersonId::from_bytes([1; 16]), PersonId::from_bytes([2; 16]));
        let conflict = Conflict {
            id: 0,
            person: one,
            doubt: "possible-duplicate".to_owned(),
            number: Vec::new(),
            other: Some(other),
            capture: CaptureId::new(1, 1),
            since: at(0),
        };
        let listed = state.write(move |tx| {
            tx.put_conflict(&conflict, b"1")?;
            tx.settle_conflicts(other, one, "merge")?;
            let merged = tx.conflicts(0, 10)?.len();
            tx.reopen_conflicts(one, other)?;
            let parted = tx.conflicts(0, 10)?.len();
            tx.settle_conflicts(one, other, "reject")?;
            tx.reopen_conflicts(one, other)?;
            Ok((merged, parted, tx.conflicts(0, 10)?.len()))
        });
        assert_eq!(listed, (0, 1, 0));
    }
}
