//! Records as the state holds them.

use buffer::{Read, RecordRow, StateError, Tx};
use model::{Body, Encounter, EncounterStatus, Number, Position, Record, RecordId, VisitAspect};

/// The record with this id. None too where its content has been destroyed with its delivered data.
pub(crate) fn record(read: &Read<'_>, id: RecordId) -> Result<Option<Record>, StateError> {
    read.record(id)?.filter(|row| !row.content.is_empty()).map(|row| parse(&row)).transpose()
}

/// What is held of a record that may have lost its content with its delivered data.
pub(crate) struct Held {
    /// Where its state stands in time.
    pub(crate) position: Position,
    /// How it stands; see [`standing`].
    pub(crate) standing: u8,
    /// The record, as long as its content is kept.
    pub(crate) record: Option<Record>,
}

/// What is held of the record with this id.
pub(crate) fn held(read: &Read<'_>, id: RecordId) -> Result<Option<Held>, StateError> {
    let Some(row) = read.record(id)? else { return Ok(None) };
    let record = if row.content.is_empty() { None } else { Some(parse(&row)?) };
    Ok(Some(Held { position: row.position, standing: row.status, record }))
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
        status: standing(&record.body),
        current: is_current(&record.body),
        expires: None,
        maps: record.body.maps().into_iter().collect::<Vec<_>>().join(" "),
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

/// Visits that are over, by how they ended: what of them outlives their content.
const ENDED: [EncounterStatus; 3] =
    [EncounterStatus::Finished, EncounterStatus::Cancelled, EncounterStatus::EnteredInError];

/// What outlives the content of a record: of a visit how it ended (1 and up, see [`ENDED`]), of a report whether it was final
/// (1). 0 where there is nothing to say.
fn standing(body: &Body) -> u8 {
    match body {
        Body::Encounter(visit) => {
            ENDED.iter().zip(1..).find(|(end, _)| **end == visit.status).map_or(0, |(_, number)| number)
        }
        Body::Report(report) => u8::from(report.status.is_final()),
        _ => 0,
    }
}

impl Held {
    /// Whether the report was final.
    pub(crate) const fn was_final(&self) -> bool {
        self.standing == 1
    }

    /// The visit as far as it is still known: its number and how it ended.
    pub(crate) fn visit(&self, number: &Number) -> Encounter {
        let mut visit = Encounter::new(number.clone());
        if let Some(end) = ENDED.get(usize::from(self.standing).wrapping_sub(1)) {
            visit.status = *end;
            visit.takes(VisitAspect::Status, self.position.event, false);
        }
        visit
    }
}
