//! The person index: the blind index of identifiers. Persons themselves are records.

use jiff::Timestamp;
use model::PersonId;

use super::position::maybe_time;
use super::{Read, StateError, Tx};

/// A person that an identifier leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ident {
    /// Who.
    pub person: PersonId,
    /// How far the identifier may be trusted; the meaning is the caller's.
    pub trust: u8,
    /// Until when the identifier is the person's, where that is stated.
    pub ends: Option<Timestamp>,
}

impl Read<'_> {
    /// The persons that have the identifier `value` of `domain`.
    ///
    /// # Errors
    /// When the database fails.
    pub fn idents(&self, domain: &str, value: &str) -> Result<Vec<Ident>, StateError> {
        let sql = "SELECT person, trust, ends FROM ident WHERE blind = ?1 ORDER BY person LIMIT 500";
        self.all(sql, [self.ident_blind(domain, value)], |row| {
            Ok(Ident {
                person: PersonId::from_bytes(row.get(0)?),
                trust: row.get(1)?,
                ends: maybe_time(row, 2)?,
            })
        })
    }

    fn ident_blind(&self, domain: &str, value: &str) -> [u8; 16] {
        // No domain holds a NUL, so that ("ab", "c") and ("a", "bc") stay apart.
        self.ring().blind("ident", format!("{domain}\0{value}").as_bytes())
    }
}

impl Tx<'_> {
    /// Lets an identifier lead to a person, or changes how far it may be trusted.
    ///
    /// # Errors
    /// When the database fails.
    pub fn put_ident(
        &mut self,
        domain: &str,
        value: &str,
        person: PersonId,
        trust: u8,
    ) -> Result<(), StateError> {
        let sql = "INSERT INTO ident (blind, person, trust) VALUES (?1, ?2, ?3)
                   ON CONFLICT DO UPDATE SET trust = excluded.trust";
        self.execute(sql, (self.ident_blind(domain, value), person.as_bytes(), trust))?;
        Ok(())
    }

    /// Says until when an identifier is a person's; none: for ever.
    ///
    /// # Errors
    /// When the database fails.
    pub fn end_ident(
        &mut self,
        domain: &str,
        value: &str,
        person: PersonId,
        ends: Option<Timestamp>,
    ) -> Result<(), StateError> {
        let sql = "UPDATE ident SET ends = ?3 WHERE blind = ?1 AND person = ?2";
        let ends = ends.map(Timestamp::as_microsecond);
        self.execute(sql, (self.ident_blind(domain, value), person.as_bytes(), ends))?;
        Ok(())
    }

    /// Lets an identifier no longer lead to a person.
    ///
    /// # Errors
    /// When the database fails.
    pub fn drop_ident(&mut self, domain: &str, value: &str, person: PersonId) -> Result<(), StateError> {
        let sql = "DELETE FROM ident WHERE blind = ?1 AND person = ?2";
        self.execute(sql, (self.ident_blind(domain, value), person.as_bytes()))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::testing::scratch;

    #[test]
    fn an_identifier_may_lead_to_several_persons() {
        let state = scratch();
        let (mother, child) = (PersonId::from_bytes([1; 16]), PersonId::from_bytes([2; 16]));
        state.write(move |tx| {
            tx.put_ident("resident-id", "110105194912310021", mother, 2)?;
            tx.put_ident("resident-id", "110105194912310021", child, 0)?;
            let found = tx.idents("resident-id", "110105194912310021")?;
            assert_eq!(
                found,
                [
                    Ident { person: mother, trust: 2, ends: None },
                    Ident { person: child, trust: 0, ends: None }
                ]
            );
            let ends = Some(crate::state::testing::at(5));
            tx.end_ident("resident-id", "110105194912310021", child, ends)?;
            tx.put_ident("resident-id", "110105194912310021", child, 1)?;
            let held = Ident { person: child, trust: 1, ends };
            assert_eq!(tx.idents("resident-id", "110105194912310021")?[1], held);
            tx.drop_ident("resident-id", "110105194912310021", child)?;
            assert_eq!(tx.idents("resident-id", "110105194912310021")?.len(), 1);
            assert_eq!(tx.idents("HIS", "110105194912310021")?, []);
            Ok(())
        });
    }

    #[test]
    fn no_identifier_lies_readable_in_the_file() {
        let state = scratch();
        let id = PersonId::from_bytes([1; 16]);
        state.write(move |tx| tx.put_ident("resident-id", "110105194912310021", id, 2));
        let (bytes, secret) = (state.bytes(), b"110105194912310021");
        assert!(!bytes.windows(secret.len()).any(|w| w == secret));
    }
}
