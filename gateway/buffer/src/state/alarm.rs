//! What needs a human.

use jiff::Timestamp;

use super::position::time;
use super::{Read, StateError, Tx};

/// Something that needs a human, for as long as it lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// What it is about; raising it again does not make a second one.
    pub key: String,
    /// What is wrong, as a code.
    pub code: String,
    /// More about it; sealed at rest.
    pub detail: Vec<u8>,
    /// Since when.
    pub since: Timestamp,
}

impl Read<'_> {
    /// The alarms that are raised, by key.
    ///
    /// # Errors
    /// When the database fails or a detail does not open.
    pub fn alarms(&self) -> Result<Vec<Alarm>, StateError> {
        let sql = "SELECT key, code, detail, since FROM alarm ORDER BY key LIMIT 500";
        let rows = self.all(sql, [], |row| {
            Ok(Alarm { key: row.get(0)?, code: row.get(1)?, detail: row.get(2)?, since: time(row, 3)? })
        })?;
        rows.into_iter().map(|row| Ok(Alarm { detail: self.open(&row.detail)?, ..row })).collect()
    }
}

impl Tx<'_> {
    /// Raises an alarm, or renews the code and detail of one that is raised. Answers whether it is new.
    ///
    /// # Errors
    /// When the database fails.
    pub fn raise_alarm(
        &mut self,
        key: &str,
        code: &str,
        detail: &[u8],
        at: Timestamp,
    ) -> Result<bool, StateError> {
        let sealed = self.seal(detail)?;
        if self.execute("UPDATE alarm SET code = ?2, detail = ?3 WHERE key = ?1", (key, code, &sealed))? > 0 {
            return Ok(false);
        }
        let sql = "INSERT INTO alarm (key, code, detail, since) VALUES (?1, ?2, ?3, ?4)";
        self.execute(sql, (key, code, sealed, at.as_microsecond()))?;
        Ok(true)
    }

    /// Ends an alarm. Answers whether it was raised.
    ///
    /// # Errors
    /// When the database fails.
    pub fn clear_alarm(&mut self, key: &str) -> Result<bool, StateError> {
        Ok(self.execute("DELETE FROM alarm WHERE key = ?1", [key])? > 0)
    }

    /// Ends alarms about what happened, not about what lasts, that were raised before `before`: what they are about is
    /// listed with the captures.
    pub(crate) fn expire_alarms(&mut self, before: Timestamp) -> Result<(), StateError> {
        let sql = "DELETE FROM alarm WHERE code IN ('result-withdrawn', 'capture-damaged') AND since < ?1";
        self.execute(sql, [before.as_microsecond()])?;
        Ok(())
    }

    /// Ends all alarms of a code: what they were about is over.
    ///
    /// # Errors
    /// When the database fails.
    pub fn clear_alarms(&mut self, code: &str) -> Result<(), StateError> {
        self.execute("DELETE FROM alarm WHERE code = ?1", [code])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use crate::state::testing::{at, scratch};

    #[test]
    fn an_alarm_keeps_the_time_it_was_first_raised() {
        let state = scratch();
        state.write(|tx| {
            assert!(tx.raise_alarm("lane", "blocked", b"12 wait", Timestamp::UNIX_EPOCH)?);
            assert!(!tx.raise_alarm("lane", "blocked", b"13 wait", at(60))?);
            let alarms = tx.alarms()?;
            assert_eq!(
                (alarms[0].since, alarms[0].detail.as_slice()),
                (Timestamp::UNIX_EPOCH, &b"13 wait"[..])
            );
            assert!(tx.clear_alarm("lane")? && !tx.clear_alarm("lane")?);
            Ok(())
        });
    }
}
