//! Records as the state holds them.

use buffer::{Read, RecordRow, StateError, Tx};
use model::{Record, RecordId};

/// The record with this id.
pub(crate) fn record(tx: &Read<'_>, id: RecordId) -> Result<Option<Record>, StateError> {
    tx.record(id)?.map(|row| read(&row)).transpose()
}

/// The record in a row.
pub(crate) fn read(row: &RecordRow) -> Result<Record, StateError> {
    serde_json::from_slice(&row.content).map_err(|error| StateError::content("record", error))
}

/// Puts a record.
pub(crate) fn put(tx: &mut Tx<'_>, record: &Record) -> Result<(), StateError> {
    let content = serde_json::to_vec(record).map_err(|error| StateError::content("record", error))?;
    tx.put_record(&RecordRow {
        id: record.id,
        kind: record.body.kind() as u8,
        person: Some(record.person),
        position: record.position,
        status: 0,
        content: content.into(),
    })
}
