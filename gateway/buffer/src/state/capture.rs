//! Capture numbers in columns.

use feed::CaptureId;
use rusqlite::Row;

/// A capture number.
pub(crate) fn capture(row: &Row<'_>, column: usize) -> rusqlite::Result<CaptureId> {
    Ok(CaptureId::from_i64(row.get(column)?))
}
