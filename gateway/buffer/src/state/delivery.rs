//! Deliveries: which records go where, in which order.

use core::fmt;
use core::str::FromStr;

use feed::CaptureId;
use jiff::Timestamp;
use model::{Position, RecordId};
use rusqlite::{Params, Row};
use serde::{Deserialize, Serialize};

use super::capture::capture;
use super::lane::LaneKey;
use super::listing::{bounded, merge};
use super::position::{maybe_time, position, time};
use super::{Read, StateError, Tx};

/// The number of a delivery. Order of numbers is order of captures; a number is never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeliveryId(pub i64);

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryState {
    /// It is to be sent, in the order of its lane.
    Waiting,
    /// The destination has it.
    Delivered,
    /// Something newer had gone before.
    Superseded,
    /// The destination refuses it.
    Dead,
    /// It is not to be sent.
    Withheld,
}

/// A record that a delivery carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecordRef {
    /// What it is; the numbers are the caller's.
    pub kind: u8,
    /// Which.
    pub record: RecordId,
}

/// A delivery to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDelivery {
    /// Where to, by its interned number.
    pub destination: u16,
    /// The class of its lane.
    pub class: u8,
    /// Its lane: the person, or the capture where there is none.
    pub lane: [u8; 16],
    /// The capture it came from.
    pub capture: CaptureId,
    /// Where its state stands in time.
    pub position: Position,
    /// What it carries; rendered when it is sent.
    pub refs: Vec<RecordRef>,
    /// When it is queued.
    pub at: Timestamp,
}

/// A delivery as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its number.
    pub id: DeliveryId,
    /// Where to, by its interned number.
    pub destination: u16,
    /// The class of its lane.
    pub class: u8,
    /// Its lane.
    pub lane: [u8; 16],
    /// The capture it came from.
    pub capture: CaptureId,
    /// Where its state stands in time.
    pub position: Position,
    /// Whether it waits, or how it ended.
    pub state: DeliveryState,
    /// Why it ended so, as a code; empty while it waits.
    pub reason: String,
    /// What it carries.
    pub refs: Vec<RecordRef>,
    /// When it was queued.
    pub queued: Timestamp,
    /// When it ended.
    pub settled: Option<Timestamp>,
}

/// Which deliveries to list, in the order of their numbers.
#[derive(Clone, Copy, Debug)]
pub struct DeliveryFilter {
    /// Only to this destination.
    pub destination: Option<u16>,
    /// Only those that stand there.
    pub state: Option<DeliveryState>,
    /// Only those of this capture.
    pub capture: Option<CaptureId>,
    /// Only those with a higher number.
    pub after: DeliveryId,
    /// At most so many; never more than [`MAX_ROWS`](super::MAX_ROWS).
    pub limit: usize,
}

const COLUMNS: &str = "id, destination, class, lane, capture, event, at_capture, revision, state, reason, refs, queued, settled";

impl DeliveryState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Waiting, Self::Delivered, Self::Superseded, Self::Dead, Self::Withheld];

    /// Whether a required delivery in this state keeps its capture from being destroyed.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::Dead)
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Superseded => "superseded",
            Self::Dead => "dead",
            Self::Withheld => "withheld",
        }
    }

    /// The counter that holds how many there are.
    pub(crate) fn counter(self) -> &'static str {
        match self {
            Self::Waiting => "delivery-waiting",
            Self::Delivered => "delivery-delivered",
            Self::Superseded => "delivery-superseded",
            Self::Dead => "delivery-dead",
            Self::Withheld => "delivery-withheld",
        }
    }
}

impl Delivery {
    /// The lane it waits in.
    pub fn lane_key(&self) -> LaneKey {
        LaneKey { destination: self.destination, class: self.class, lane: self.lane }
    }
}

impl Read<'_> {
    /// The delivery with this number.
    ///
    /// # Errors
    /// When the database fails.
    pub fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, StateError> {
        self.one(&format!("SELECT {COLUMNS} FROM delivery WHERE id = ?1"), [id.0], row)
    }

    /// One page of the deliveries that `filter` lets through.
    ///
    /// # Errors
    /// When the database fails.
    pub fn deliveries(&self, filter: &DeliveryFilter) -> Result<Vec<Delivery>, StateError> {
        let (after, limit) = (filter.after.0, bounded(filter.limit));
        if let Some(capture) = filter.capture {
            let mut rows = self.page(BY_CAPTURE, (capture.to_i64(), after, bounded(usize::MAX)))?;
            rows.retain(|row| filter.destination.is_none_or(|destination| row.destination == destination));
            rows.retain(|row| filter.state.is_none_or(|state| row.state == state));
            return Ok(merge(rows, filter.limit, |row| row.id));
        }
        if filter.destination.is_none() && filter.state.is_none() {
            return self.page(BY_ID, (after, limit));
        }
        let destinations = match filter.destination {
            Some(destination) => vec![destination],
            None => self.destinations()?.into_iter().map(|(number, ..)| number).collect(),
        };
        let states = match &filter.state {
            Some(state) => core::slice::from_ref(state),
            None => &DeliveryState::ALL,
        };
        let mut rows = Vec::new();
        for destination in destinations {
            for state in states {
                rows.extend(self.page(BY_STATE, (destination, *state as u8, after, limit))?);
            }
        }
        Ok(merge(rows, filter.limit, |row| row.id))
    }

    /// The delivery that has waited longest for a destination: its number, its capture and since when.
    ///
    /// # Errors
    /// When the database fails.
    pub fn oldest_waiting(
        &self,
        destination: u16,
    ) -> Result<Option<(DeliveryId, CaptureId, Timestamp)>, StateError> {
        let sql = "SELECT id, capture, queued FROM delivery WHERE destination = ?1 AND state = 0 ORDER BY id LIMIT 1";
        self.one(sql, [destination], |row| Ok((DeliveryId(row.get(0)?), capture(row, 1)?, time(row, 2)?)))
    }

    fn page(&self, condition: &str, params: impl Params) -> Result<Vec<Delivery>, StateError> {
        self.all(&format!("SELECT {COLUMNS} FROM delivery {condition}"), params, row)
    }
}

const BY_ID: &str = "WHERE id > ?1 ORDER BY id LIMIT ?2";
const BY_STATE: &str = "WHERE destination = ?1 AND state = ?2 AND id > ?3 ORDER BY id LIMIT ?4";
const BY_CAPTURE: &str = "WHERE capture = ?1 AND id > ?2 ORDER BY id LIMIT ?3";

impl Tx<'_> {
    /// Queues a delivery at the end of its lane. Deliveries are to be queued in the order of their captures.
    ///
    /// # Errors
    /// When the database fails.
    pub fn enqueue(&mut self, new: &NewDelivery) -> Result<DeliveryId, StateError> {
        let sql = "INSERT INTO delivery
                   (destination, class, lane, capture, event, at_capture, revision, state, reason, refs, queued)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, '', ?8, ?9)";
        let params = (
            new.destination,
            new.class,
            new.lane,
            new.capture.to_i64(),
            new.position.event.as_microsecond(),
            new.position.capture.to_i64(),
            new.position.revision,
            write_refs(&new.refs),
            self.stamp(new.at),
        );
        self.execute(sql, params)?;
        let id = DeliveryId(self.last_id());
        let lane = LaneKey { destination: new.destination, class: new.class, lane: new.lane };
        self.join_lane(&lane, id, new.at)?;
        self.add_ref(new.capture, new.destination, new.at)?;
        self.tally(DeliveryState::Waiting.counter(), new.destination, 1)?;
        Ok(id)
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for DeliveryId {
    type Err = core::num::ParseIntError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        s.parse().map(Self)
    }
}

fn row(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    Ok(Delivery {
        id: DeliveryId(row.get(0)?),
        destination: row.get(1)?,
        class: row.get(2)?,
        lane: row.get(3)?,
        capture: capture(row, 4)?,
        position: position(row, 5)?,
        state: match row.get::<_, u8>(8)? {
            0 => DeliveryState::Waiting,
            1 => DeliveryState::Delivered,
            2 => DeliveryState::Superseded,
            3 => DeliveryState::Dead,
            _ => DeliveryState::Withheld,
        },
        reason: row.get(9)?,
        refs: read_refs(&row.get::<_, Vec<u8>>(10)?),
        queued: time(row, 11)?,
        settled: maybe_time(row, 12)?,
    })
}

/// 17 bytes for each: kind, then id.
fn write_refs(refs: &[RecordRef]) -> Vec<u8> {
    refs.iter().flat_map(|r| core::iter::once(r.kind).chain(*r.record.as_bytes())).collect()
}

fn read_refs(bytes: &[u8]) -> Vec<RecordRef> {
    let (refs, _) = bytes.as_chunks::<17>();
    refs.iter().map(|[kind, id @ ..]| RecordRef { kind: *kind, record: RecordId::from_bytes(*id) }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, position, scratch};
    use super::*;

    fn new(destination: u16, capture: u32, refs: Vec<RecordRef>) -> NewDelivery {
        let capture = CaptureId::new(1, capture);
        NewDelivery {
            destination,
            class: 0,
            lane: [1; 16],
            capture,
            position: position(9, capture),
            refs,
            at: at(3),
        }
    }

    #[test]
    fn a_delivery_reads_back_as_it_was_queued() {
        let state = scratch();
        state.write(|tx| {
            let refs = (0..300_u16).map(|n| {
                let mut id = [0; 16];
                id[..2].copy_from_slice(&n.to_le_bytes());
                RecordRef { kind: n as u8, record: RecordId::from_bytes(id) }
            });
            let new = new(1, 7, refs.collect());
            let id = tx.enqueue(&new)?;
            let read = tx.delivery(id)?.expect("queued");
            assert_eq!((read.refs, read.position, read.queued), (new.refs, new.position, at(3)));
            assert_eq!((read.state, read.settled, read.capture), (DeliveryState::Waiting, None, new.capture));
            Ok(())
        });
    }

    #[test]
    fn listings_page_by_number_and_never_answer_more_than_500_rows() {
        let state = scratch();
        state.write(|tx| {
            let east = tx.intern_destination("east")?;
            let west = tx.intern_destination("west")?;
            for n in 1..=600 {
                tx.enqueue(&new(if n % 2 == 0 { east } else { west }, n, vec![]))?;
            }
            let all = DeliveryFilter {
                destination: None,
                state: None,
                capture: None,
                after: DeliveryId(0),
                limit: 9999,
            };
            assert_eq!(tx.deliveries(&all)?.len(), 500);
            let waiting = DeliveryFilter { state: Some(DeliveryState::Waiting), limit: 100, ..all };
            let mut seen = Vec::new();
            let mut after = DeliveryId(0);
            loop {
                let page = tx.deliveries(&DeliveryFilter { after, ..waiting })?;
                let Some(last) = page.last() else { break };
                after = last.id;
                seen.extend(page.iter().map(|delivery| delivery.id.0));
            }
            assert_eq!(seen, Vec::from_iter(1..=600));
            let of_capture = DeliveryFilter { capture: Some(CaptureId::new(1, 42)), ..all };
            assert_eq!(tx.deliveries(&of_capture)?.len(), 1);
            assert!(tx.deliveries(&DeliveryFilter { destination: Some(west), ..of_capture })?.is_empty());
            Ok(())
        });
    }
}
