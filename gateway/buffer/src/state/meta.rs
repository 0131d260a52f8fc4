//! Small sealed values by name, and the latest trusted time.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _};

use super::{Read, StateError, Tx};

/// The latest trusted time, not sealed: it is read before anything else.
const TRUSTED: &str = "trusted-time";

impl Read<'_> {
    /// The value kept under `key`.
    ///
    /// # Errors
    /// When the database fails or the value does not open.
    pub fn meta(&self, key: &str) -> Result<Option<Vec<u8>>, StateError> {
        let sealed =
            self.one("SELECT sealed FROM meta WHERE key = ?1", [key], |row| row.get::<_, Vec<u8>>(0))?;
        sealed.map(|sealed| self.open(&sealed)).transpose()
    }

    /// The latest trusted time that was written down.
    pub(crate) fn trusted_time(&self) -> Result<Option<Timestamp>, StateError> {
        let kept =
            self.one("SELECT sealed FROM meta WHERE key = ?1", [TRUSTED], |row| row.get::<_, [u8; 8]>(0))?;
        kept.map(|bytes| Timestamp::from_microsecond(i64::from_le_bytes(bytes)))
            .transpose()
            .map_err(|_| StateError::Damaged("trusted time"))
    }
}

impl Tx<'_> {
    /// Keeps `value` under `key`, sealed.
    ///
    /// # Errors
    /// When the database fails.
    pub fn put_meta(&mut self, key: &str, value: &[u8]) -> Result<(), StateError> {
        self.execute("INSERT OR REPLACE INTO meta (key, sealed) VALUES (?1, ?2)", (key, self.seal(value)?))?;
        Ok(())
    }

    /// Keeps the latest trusted time over a restart.
    pub(crate) fn put_trusted(&mut self, now: Timestamp) -> Result<(), StateError> {
        let micros = now.as_microsecond().to_le_bytes();
        self.execute("INSERT OR REPLACE INTO meta (key, sealed) VALUES (?1, ?2)", (TRUSTED, micros))?;
        Ok(())
    }
}

/// The latest trusted time that was kept, in microseconds; 1970 where none was.
pub(super) fn trusted(db: &Connection) -> rusqlite::Result<i64> {
    let kept =
        db.query_row("SELECT sealed FROM meta WHERE key = ?1", [TRUSTED], |row| row.get::<_, [u8; 8]>(0));
    Ok(kept.optional()?.map_or(0, i64::from_le_bytes))
}
