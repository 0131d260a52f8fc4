//! What a job sees: the tables, through typed methods that live beside each table.

use core::ops::Deref;
use core::time::Duration;
use std::time::Instant;

use jiff::Timestamp;
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Params, Row};

use super::StateError;
use crate::{KeyUse, Purpose, Ring};

/// A view of the state that does not change while a job looks at it.
pub struct Read<'c> {
    db: &'c Connection,
    ring: &'c Ring,
    deadline: Option<Instant>,
}

/// A transaction on the state: everything a [`Read`] can, and writing.
pub struct Tx<'c> {
    read: Read<'c>,
    floor: Timestamp,
}

impl<'c> Read<'c> {
    pub(super) fn new(db: &'c Connection, ring: &'c Ring, limit: Option<Duration>) -> Self {
        Self { db, ring, deadline: limit.map(|limit| Instant::now() + limit) }
    }

    pub(crate) fn ring(&self) -> &'c Ring {
        self.ring
    }

    /// Prepares `sql` once and keeps it.
    pub(crate) fn prepare(&self, sql: &str) -> Result<CachedStatement<'c>, StateError> {
        #[cfg(test)]
        super::plan::check(self.db, sql);
        // SQLite is interrupted inside of a statement; this stops a job that runs many short ones.
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(StateError::TooSlow),
            _ => Ok(self.db.prepare_cached(sql)?),
        }
    }

    /// The row that `sql` finds, if any.
    pub(crate) fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StateError> {
        Ok(self.prepare(sql)?.query_row(params, read).optional()?)
    }

    /// All rows that `sql` finds; the statement carries the limit.
    pub(crate) fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StateError> {
        let mut statement = self.prepare(sql)?;
        let rows = statement.query_map(params, read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Runs a statement that nobody checks.
    #[cfg(test)]
    pub(super) fn unchecked(&self, sql: &str) -> rusqlite::Result<i64> {
        self.db.query_row(sql, [], |row| row.get(0))
    }

    /// Opens a sealed value.
    pub(crate) fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, StateError> {
        Ok(self.ring.open(Purpose::State, sealed)?.to_vec())
    }
}

impl<'c> Tx<'c> {
    pub(super) fn new(db: &'c Connection, ring: &'c Ring, floor: Timestamp) -> Self {
        Self { read: Read::new(db, ring, None), floor }
    }

    /// Runs `job` as a part of this one that is taken back alone when it gives an error, whatever the rest does.
    ///
    /// # Errors
    /// The job's own, or when the database fails.
    pub fn part<T, E: From<StateError>>(
        &mut self,
        job: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        self.batch("SAVEPOINT part")?;
        let done = job(self);
        if done.is_err() {
            self.batch("ROLLBACK TO part")?;
        }
        self.batch("RELEASE part")?;
        done
    }

    /// Runs a statement that returns no rows; answers how many it changed.
    pub(crate) fn execute(&self, sql: &str, params: impl Params) -> Result<usize, StateError> {
        Ok(self.prepare(sql)?.execute(params)?)
    }

    /// Runs statements that are not worth keeping: tables made and dropped.
    pub(crate) fn batch(&self, sql: &str) -> Result<(), StateError> {
        Ok(self.read.db.execute_batch(sql)?)
    }

    /// The number that the last inserted row got.
    pub(crate) fn last_id(&self) -> i64 {
        self.read.db.last_insert_rowid()
    }

    /// Seals a value for a column.
    pub(crate) fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, StateError> {
        Ok(self.read.ring.seal(KeyUse::State, Purpose::State, plain)?)
    }

    /// `at` in database form, never before a time that was once trusted.
    pub(crate) fn stamp(&self, at: Timestamp) -> i64 {
        self.not_before_trusted(at).as_microsecond()
    }

    /// `at`, never before a time that was once trusted.
    pub(crate) fn not_before_trusted(&self, at: Timestamp) -> Timestamp {
        at.max(self.floor)
    }
}

impl<'c> Deref for Tx<'c> {
    type Target = Read<'c>;

    fn deref(&self) -> &Read<'c> {
        &self.read
    }
}
