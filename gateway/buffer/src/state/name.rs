//! Names of feeds and destinations as small numbers.

use jiff::Timestamp;

use super::position::maybe_time;
use super::{Read, StateError, Tx};

impl Read<'_> {
    /// The number of `name`, where it has one.
    ///
    /// # Errors
    /// When the database fails.
    pub fn number_of(&self, name: &str) -> Result<Option<u16>, StateError> {
        self.one("SELECT id FROM name WHERE name = ?1", [name], |row| row.get(0))
    }

    /// The name behind `number`.
    ///
    /// # Errors
    /// When the database fails or nobody ever got that number.
    pub fn name_of(&self, number: u16) -> Result<String, StateError> {
        self.one("SELECT name FROM name WHERE id = ?1", [number], |row| row.get(0))?
            .ok_or(StateError::Damaged("name"))
    }

    /// All destinations: number, name, and whether deliveries to it keep captures from being destroyed.
    ///
    /// # Errors
    /// When the database fails.
    pub fn destinations(&self) -> Result<Vec<(u16, String, bool)>, StateError> {
        self.all("SELECT id, name, required FROM destination JOIN name USING (id) ORDER BY id", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
    }

    /// When a destination was last said to be no longer required.
    pub(crate) fn waived_at(&self) -> Result<Option<Timestamp>, StateError> {
        let sql = "SELECT max(changed) FROM destination WHERE NOT required";
        Ok(self.one(sql, [], |row| maybe_time(row, 0))?.flatten())
    }
}

impl Tx<'_> {
    /// The number of `name`, given to it for ever at the first call.
    ///
    /// # Errors
    /// When the database fails or all 65,535 numbers are given.
    pub fn intern(&mut self, name: &str) -> Result<u16, StateError> {
        if let Some(number) = self.number_of(name)? {
            return Ok(number);
        }
        let next: i64 = self
            .one("SELECT coalesce(max(id), 0) + 1 FROM name", [], |row| row.get(0))?
            .ok_or(StateError::Damaged("name"))?;
        let number = u16::try_from(next).map_err(|_| StateError::TooManyNames)?;
        self.execute("INSERT INTO name (id, name) VALUES (?1, ?2)", (number, name))?;
        Ok(number)
    }

    /// The number of the destination `name`; a new one is required.
    ///
    /// # Errors
    /// As [`Tx::intern`].
    pub fn intern_destination(&mut self, name: &str) -> Result<u16, StateError> {
        let number = self.intern(name)?;
        self.execute(
            "INSERT OR IGNORE INTO destination (id, required, changed) VALUES (?1, 1, 0)",
            [number],
        )?;
        Ok(number)
    }

    /// Says whether a destination is live and required: only then do its unsettled deliveries keep captures
    /// (contract 2). Captures that are waived by this are kept as if they had been settled now.
    ///
    /// # Errors
    /// When the database fails.
    pub fn require(&mut self, destination: u16, required: bool, at: Timestamp) -> Result<(), StateError> {
        let sql = "UPDATE destination SET required = ?2, changed = ?3 WHERE id = ?1 AND required <> ?2";
        self.execute(sql, (destination, required, self.stamp(at)))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::state::testing::{at, scratch};

    #[test]
    fn a_name_keeps_its_number() {
        let state = scratch();
        state.write(|tx| {
            let his = tx.intern("his")?;
            let platform = tx.intern_destination("platform")?;
            assert_ne!(his, platform);
            assert_eq!((tx.intern("his")?, tx.intern_destination("platform")?), (his, platform));
            assert_eq!(tx.name_of(his)?, "his");
            assert_eq!(tx.destinations()?, [(platform, "platform".into(), true)]);
            tx.require(platform, false, at(1))?;
            assert_eq!(tx.destinations()?, [(platform, "platform".into(), false)]);
            Ok(())
        });
    }
}
