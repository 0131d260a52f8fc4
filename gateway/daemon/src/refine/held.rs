//! Records as the state holds them.

use buffer::{Read, RecordRow, StateError, Tx};
use model::{Body, EncounterStatus, Record, RecordId};

/// The record with this id. None too where its content has been destroyed with its delivered data.
pub(crate) fn record(read: &Read<'_>, id: RecordId) -> Result<Option<Record>, StateError> {
    read.record(id)?.filter(|row| !row.content.is_empty()).map(|row| parse(&row)).transpose()
}

/// The record in a row.
pub(crate) fn parse(row: &RecordRow) -> Result<Record, StateError> {
    serde_json::from_slice(&row.content).map_err(|_| StateError::Damaged("record"))
}

/// Puts a record.
pub(crate) fn put(tx: &mut Tx<'_>, record: &Record) -> Result<(), StateError> {
    let content = serde_json::to_vec(record).map_err(|_| StateError::Damaged("record"))?;
    tx.put_record(&RecordRow {
        id: record.id,
        kind: record.body.kind() as u8,
        person: Some(record.person),
        position: record.position,
        status: 0,
        current: is_current(&record.body),
        expires: None,
        content,
    })
}

/// Persons and open visits are kept for as long as they are current; the rest as long as delivered data.
fn is_current(body: &Body) -> bool {
    match body {
        Body::Person(_) => true,
        Body::Encounter(encounter) => !matches!(
            encounter.status,
            EncounterStatus::Finished | EncounterStatus::Cancelled | EncounterStatus::EnteredInError
        ),
        Body::Diagnosis(_)
        | Body::Report(_)
        | Body::Attachment(_)
        | Body::Order(_)
        | Body::Appointment(_)
        | Body::Immunization(_) => false,
    }
}
