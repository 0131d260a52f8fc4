//! Which persons were found to be one, what was decided about who is who, and lanes that parted persons still share.

use feed::CaptureId;
use jiff::Timestamp;
use model::{Link, PersonId};
use rusqlite::Row;

use super::lane::LaneKey;
use super::listing::bounded;
use super::position::time;
use super::{DeliveryId, DeliveryState, Read, StateError, Tx};

/// What was decided about two persons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Its number; 0 for a new one.
    pub id: i64,
    /// The person that it is about: of a merge, who stands for both.
    pub person: PersonId,
    /// The other one.
    pub other: PersonId,
    /// What was decided, as a code.
    pub what: String,
    /// The capture that said so; none where somebody did.
    pub capture: Option<CaptureId>,
    /// When.
    pub at: Timestamp,
    /// Who decided and why; sealed at rest.
    pub detail: Vec<u8>,
}

const LINK: &str = "person, into_, survivor FROM link";
const DECISION: &str = "id, person, other, what, capture, at, sealed FROM decision";

impl Read<'_> {
    /// Who the person was found to be, if it was merged.
    ///
    /// # Errors
    /// When the database fails.
    pub fn person_link(&self, person: PersonId) -> Result<Option<Link>, StateError> {
        self.one(&format!("SELECT {LINK} WHERE person = ?1"), [person.as_bytes()], link)
    }

    /// Up to `limit` of those that `survivor` stands for.
    ///
    /// # Errors
    /// When the database fails.
    pub fn links_to(&self, survivor: PersonId, limit: usize) -> Result<Vec<Link>, StateError> {
        let sql = format!("SELECT {LINK} WHERE survivor = ?1 LIMIT ?2");
        self.all(&sql, (survivor.as_bytes(), bounded(limit)), link)
    }

    /// The latest decisions about a person, as the one or the other, oldest first.
    ///
    /// # Errors
    /// When the database fails or a detail does not open.
    pub fn decisions_of(&self, person: PersonId, limit: usize) -> Result<Vec<Decision>, StateError> {
        let mut found = Vec::new();
        for column in ["person", "other"] {
            let sql = format!("SELECT {DECISION} WHERE {column} = ?1 ORDER BY id DESC LIMIT ?2");
            found.extend(self.all(&sql, (person.as_bytes(), bounded(limit)), decision)?);
        }
        found.sort_by_key(|decision| -decision.id);
        found.dedup_by_key(|decision| decision.id);
        found.truncate(limit);
        found.reverse();
        found.into_iter().map(|found| Ok(Decision { detail: self.open(&found.detail)?, ..found })).collect()
    }
}

impl Tx<'_> {
    /// Links a person to who it was found to be, in place of what it was linked to.
    ///
    /// # Errors
    /// When the database fails.
    pub fn put_person_link(&mut self, link: &Link) -> Result<(), StateError> {
        let sql = "INSERT OR REPLACE INTO link (person, into_, survivor) VALUES (?1, ?2, ?3)";
        self.execute(sql, (link.person.as_bytes(), link.into.as_bytes(), link.survivor.as_bytes()))?;
        Ok(())
    }

    /// Lets a person stand for itself again.
    ///
    /// # Errors
    /// When the database fails.
    pub fn drop_person_link(&mut self, person: PersonId) -> Result<(), StateError> {
        self.execute("DELETE FROM link WHERE person = ?1", [person.as_bytes()])?;
        Ok(())
    }

    /// Writes down what was decided.
    ///
    /// # Errors
    /// When the database fails.
    pub fn decide(&mut self, decision: &Decision) -> Result<(), StateError> {
        let sql =
            "INSERT INTO decision (person, other, what, capture, at, sealed) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let capture = decision.capture.map(CaptureId::to_i64);
        let (at, sealed) = (self.stamp(decision.at), self.seal(&decision.detail)?);
        let (person, other) = (decision.person.as_bytes(), decision.other.as_bytes());
        self.execute(sql, (person, other, &decision.what, capture, at, sealed))?;
        Ok(())
    }

    /// Lets what comes for a person go by another one's lane, for as long as its delivery `last` waits there.
    ///
    /// # Errors
    /// When the database fails.
    pub fn put_detour(
        &mut self,
        person: PersonId,
        destination: u16,
        lane: [u8; 16],
        last: DeliveryId,
    ) -> Result<(), StateError> {
        let sql = "INSERT OR REPLACE INTO detour (person, destination, lane, last) VALUES (?1, ?2, ?3, ?4)";
        self.execute(sql, (person.as_bytes(), destination, lane, last.0))?;
        Ok(())
    }

    /// The lane that what comes for a person goes by, where that is not its own. A detour that has come to its end is
    /// forgotten.
    ///
    /// # Errors
    /// When the database fails.
    pub fn detour(&mut self, person: PersonId, destination: u16) -> Result<Option<LaneKey>, StateError> {
        let sql = "SELECT lane, last FROM detour WHERE person = ?1 AND destination = ?2";
        let found = self.one(sql, (person.as_bytes(), destination), |row| {
            Ok((row.get::<_, [u8; 16]>(0)?, DeliveryId(row.get(1)?)))
        })?;
        let Some((lane, last)) = found else { return Ok(None) };
        if self.delivery(last)?.is_some_and(|last| last.state == DeliveryState::Waiting) {
            return Ok(Some(LaneKey { destination, class: 0, lane }));
        }
        let sql = "DELETE FROM detour WHERE person = ?1 AND destination = ?2";
        self.execute(sql, (person.as_bytes(), destination))?;
        Ok(None)
    }
}

fn link(row: &Row<'_>) -> rusqlite::Result<Link> {
    let id = |n| row.get(n).map(PersonId::from_bytes);
    Ok(Link { person: id(0)?, into: id(1)?, survivor: id(2)? })
}

fn decision(row: &Row<'_>) -> rusqlite::Result<Decision> {
    Ok(Decision {
        id: row.get(0)?,
        person: PersonId::from_bytes(row.get(1)?),
        other: PersonId::from_bytes(row.get(2)?),
        what: row.get(3)?,
        capture: row.get::<_, Option<i64>>(4)?.map(CaptureId::from_i64),
        at: time(row, 5)?,
        detail: row.get(6)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NewDelivery;
    use crate::state::testing::{at, position, scratch};

    fn id(n: u8) -> PersonId {
        PersonId::from_bytes([n; 16])
    }

    #[test]
    fn links_are_found_from_both_ends() {
        let state = scratch();
        state.write(|tx| {
            let link = Link { person: id(3), into: id(2), survivor: id(1) };
            tx.put_person_link(&link)?;
            tx.put_person_link(&Link { person: id(2), into: id(1), survivor: id(1) })?;
            assert_eq!((tx.person_link(id(3))?, tx.links_to(id(1), 10)?.len()), (Some(link), 2));
            tx.drop_person_link(id(3))?;
            assert_eq!((tx.person_link(id(3))?, tx.links_to(id(1), 10)?.len()), (None, 1));
            Ok(())
        });
    }

    #[test]
    fn decisions_are_told_of_both_persons_and_lie_sealed() {
        let state = scratch();
        let decision = |what: &str, other| Decision {
            id: 0,
            person: id(1),
            other,
            what: what.to_owned(),
            capture: Some(CaptureId::new(1, 2)),
            at: at(0),
            detail: "因为同一身份证".as_bytes().to_vec(),
        };
        let (merge, unmerge) = (decision("merge", id(2)), decision("unmerge", id(3)));
        let told = state.write(move |tx| {
            tx.decide(&merge)?;
            tx.decide(&unmerge)?;
            let what = |found: Vec<Decision>| Vec::from_iter(found.into_iter().map(|d| d.what));
            Ok((what(tx.decisions_of(id(1), 10)?), what(tx.decisions_of(id(2), 10)?)))
        });
        assert_eq!(told, (vec!["merge".to_owned(), "unmerge".to_owned()], vec!["merge".to_owned()]));
        let secret = "因为同一身份证".as_bytes();
        assert!(!state.bytes().windows(secret.len()).any(|w| w == secret));
    }

    #[test]
    fn a_parted_person_goes_by_the_other_lane_until_what_waits_there_has_gone() {
        let state = scratch();
        state.write(|tx| {
            tx.intern_destination("platform")?;
            let capture = CaptureId::new(1, 1);
            let position = position(0, capture);
            let new = NewDelivery {
                destination: 1,
                class: 0,
                lane: [1; 16],
                capture,
                position,
                refs: vec![],
                at: at(0),
            };
            let last = tx.enqueue(&new)?;
            tx.put_detour(id(2), 1, [1; 16], last)?;
            assert_eq!(tx.detour(id(2), 1)?.map(|lane| lane.lane), Some([1; 16]));
            assert_eq!(tx.detour(id(3), 1)?, None);
            let settled = crate::Settled {
                state: crate::SettledAs::Superseded,
                reason: "newer".to_owned(),
                at: at(1),
                receipt: None,
                sent: Vec::new(),
                dead: Vec::new(),
            };
            tx.settle(last, &settled)?;
            assert_eq!(tx.detour(id(2), 1)?, None);
            Ok(())
        });
    }
}
