//! Times and positions in columns.

use jiff::Timestamp;
use model::Position;
use rusqlite::Row;
use rusqlite::types::Type;

use super::capture::capture;

/// A time, kept in microseconds since 1970 UTC.
pub(crate) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    timestamp(row.get(column)?, column)
}

/// A time that may be absent.
pub(crate) fn maybe_time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    row.get::<_, Option<i64>>(column)?.map(|micros| timestamp(micros, column)).transpose()
}

/// A position, in three columns from `column` on.
pub(crate) fn position(row: &Row<'_>, column: usize) -> rusqlite::Result<Position> {
    Ok(Position {
        event: time(row, column)?,
        capture: capture(row, column + 1)?,
        revision: row.get(column + 2)?,
    })
}

fn timestamp(micros: i64, column: usize) -> rusqlite::Result<Timestamp> {
    Timestamp::from_microsecond(micros)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, Box::new(e)))
}
