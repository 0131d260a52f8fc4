//! What every delivery has in common, whatever its destination speaks: it is read, carried and settled.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use buffer::{
    Buffer, DeadResource, Delivery, DeliveryId, DeliveryState, LaneHead, Read, Receipt, Sent, Settled,
    SettledAs, StateError, Tx, Urgency,
};
use deliver::{Class, Ended};
use model::RecordId;

use super::air::Air;
use super::{Settings, Way};

/// Records whose state at the destination is known since the start. Beyond it everything is asked for anew.
const KNOWN: usize = 200_000;

/// Sends deliveries. Shared by the flights of one destination.
pub(super) struct Sender {
    pub(super) buffer: Buffer,
    pub(super) clock: crate::Clock,
    /// Records that were read back or sent since the start.
    known: Mutex<BTreeSet<RecordId>>,
    /// Whether the destination is sent Provenances: until it refuses one for good.
    pub(super) traced: AtomicBool,
    /// Records that are on their way.
    pub(super) air: Air,
}

/// How a flight ended.
pub(super) struct Flight {
    pub(super) ended: Ended,
    pub(super) delivered: bool,
    pub(super) failure: Option<String>,
    pub(super) bytes: u64,
    /// Answers that came and belonged to nothing that was sent.
    pub(super) strays: u64,
}

/// What has been sent so far.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) bytes: u64,
    pub(super) digest: Option<[u8; 32]>,
    pub(super) answer: String,
    pub(super) resources: u32,
    pub(super) strays: u64,
    pub(super) sent: Vec<Sent>,
    pub(super) dead: Vec<DeadResource>,
}

/// Why a flight stops before it is settled.
pub(super) enum Stop {
    Retry(Ended, String),
    /// The destination does not allow it: as a whole, or because of something in it.
    NotAllowed(String),
    State(StateError),
}

impl From<StateError> for Stop {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

impl Flight {
    /// A flight that panicked: its lane rests, the others go on.
    pub(super) fn failed_inside() -> Self {
        let failure = Some("internal".to_owned());
        Self { ended: Ended::Lane, delivered: false, failure, bytes: 0, strays: 0 }
    }
}

impl Sender {
    pub(super) fn new(buffer: Buffer, clock: crate::Clock) -> Self {
        Self { buffer, clock, known: Mutex::default(), traced: AtomicBool::new(true), air: Air::default() }
    }

    /// Delivers the head of a lane, which was tried `tries` times in vain.
    ///
    /// With `urgency` the caller says whether others wait for this one: a settled delivery that lingers keeps its place
    /// among those in flight.
    pub(super) async fn deliver(
        &self,
        settings: &Settings,
        head: LaneHead,
        tries: u32,
        urgency: Urgency,
    ) -> Flight {
        let id = head.head;
        let mut tally = Tally::default();
        let carried = match &settings.way {
            Way::Fhir(way) => self.over_fhir(way, settings.number, head, tries, urgency, &mut tally).await,
            Way::Hl7(way) => self.over_hl7(way, settings, head, tries, urgency, &mut tally).await,
        };
        let (ended, delivered, failure) = match carried {
            Ok(delivered) => (Ended::Settled, delivered, None),
            Err(Stop::Retry(ended, failure)) => (ended, false, Some(failure)),
            Err(Stop::NotAllowed(failure)) => (ended(Class::Misconfigured), false, Some(failure)),
            // Somebody settled it meanwhile (a discard): the lane goes on.
            Err(Stop::State(StateError::NotWaiting(_) | StateError::NoDelivery(_))) => {
                (Ended::Settled, false, None)
            }
            Err(Stop::State(error)) => {
                log::error!("delivery {}: the state failed: {error}", id.0);
                (Ended::Destination { after: None }, false, Some("state".to_owned()))
            }
        };
        Flight { ended, delivered, failure, bytes: tally.bytes, strays: tally.strays }
    }

    /// Ends a delivery, with what was sent for it.
    pub(super) async fn settle(
        &self,
        id: DeliveryId,
        state: SettledAs,
        reason: &str,
        urgency: Urgency,
        tally: &mut Tally,
    ) -> Result<(), StateError> {
        let at = (self.clock)();
        let receipt = tally.digest.take().map(|digest| Receipt {
            at,
            digest,
            bytes: tally.bytes,
            resources: tally.resources,
            answer: tally.answer.clone(),
        });
        let (sent, dead) = (core::mem::take(&mut tally.sent), core::mem::take(&mut tally.dead));
        let settled = Settled { state, reason: reason.to_owned(), at, receipt, sent, dead };
        self.buffer.state().run(urgency, move |tx: &mut Tx<'_>| tx.settle(id, &settled)).await
    }

    pub(super) fn is_known(&self, record: RecordId) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(&record)
    }

    pub(super) fn know(&self, record: RecordId) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN {
            known.clear();
        }
        known.insert(record);
    }
}

/// A delivery that is still the one to be sent in its lane.
pub(super) fn waiting(read: &Read<'_>, id: DeliveryId, lane: [u8; 16]) -> Result<Delivery, StateError> {
    let delivery = read.delivery(id)?.ok_or(StateError::NoDelivery(id))?;
    // A merge may have moved it to another lane since it was read: there it waits for its turn.
    if delivery.state != DeliveryState::Waiting || delivery.lane != lane {
        return Err(StateError::NotWaiting(id));
    }
    Ok(delivery)
}

/// What a class of answers means for the work on a lane.
pub(super) fn ended(class: Class) -> Ended {
    match class {
        Class::Transient { after } => Ended::Destination { after },
        Class::Bounded => Ended::Lane,
        _ => Ended::Destination { after: None },
    }
}

pub(super) fn retry(class: Class, failure: String) -> Stop {
    Stop::Retry(ended(class), failure)
}
