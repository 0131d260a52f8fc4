//! How deliveries end, and how they come back.

use feed::CaptureId;
use jiff::Timestamp;

use super::{
    DeadResource, Delivery, DeliveryId, DeliveryState, Outcome, Receipt, SegmentState, Sent, StateError, Tx,
};
use crate::audit::AuditEntry;

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettledAs {
    /// The destination has it.
    Delivered,
    /// Something newer had gone before.
    Superseded,
    /// The destination refuses it. It keeps its capture until it is replayed or discarded.
    Dead,
    /// It is not to be sent.
    Withheld,
}

/// The end of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// How it ended.
    pub state: SettledAs,
    /// Why, as a code.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// Proof, where the destination took it.
    pub receipt: Option<Receipt>,
    /// The records that the destination took, with their positions.
    pub sent: Vec<Sent>,
    /// The parts that it refused.
    pub dead: Vec<DeadResource>,
}

impl Tx<'_> {
    /// Ends a waiting delivery and lets its lane go on to the next.
    ///
    /// # Errors
    /// When the database fails or the delivery is not waiting.
    pub fn settle(&mut self, id: DeliveryId, settled: &Settled) -> Result<(), StateError> {
        let delivery = self.delivery(id)?.ok_or(StateError::NoDelivery(id))?;
        if delivery.state != DeliveryState::Waiting {
            return Err(StateError::NotWaiting(id));
        }
        let state = match settled.state {
            SettledAs::Delivered => DeliveryState::Delivered,
            SettledAs::Superseded => DeliveryState::Superseded,
            SettledAs::Dead => DeliveryState::Dead,
            SettledAs::Withheld => DeliveryState::Withheld,
        };
        self.end(&delivery, state, &settled.reason, settled.at)?;
        if let Some(receipt) = &settled.receipt {
            self.put_receipt(id, receipt)?;
        }
        for sent in &settled.sent {
            self.put_sent(delivery.destination, sent)?;
        }
        for dead in &settled.dead {
            self.put_dead(delivery.destination, dead)?;
        }
        Ok(())
    }

    /// Lets a delivery that has ended wait again, at its own place: ahead of everything in its lane that came later. What
    /// was refused of its records is tried again. One that waits already stays as it is.
    ///
    /// # Errors
    /// When the database fails, there is no such delivery or its capture is no longer kept.
    pub fn requeue(&mut self, id: DeliveryId, at: Timestamp) -> Result<(), StateError> {
        let delivery = self.delivery(id)?.ok_or(StateError::NoDelivery(id))?;
        if delivery.state == DeliveryState::Waiting {
            return Ok(());
        }
        self.still_kept(delivery.capture)?;
        let sql = "UPDATE delivery SET state = 0, reason = '', settled = NULL WHERE id = ?1";
        self.execute(sql, [id.0])?;
        for of in &delivery.refs {
            self.forgive(delivery.destination, of.record)?;
        }
        self.join_lane(&delivery.lane_key(), id, at)?;
        if !delivery.state.is_open() {
            self.add_ref(delivery.capture, delivery.destination, at)?;
        }
        self.tally(delivery.state.counter(), delivery.destination, -1)?;
        self.tally(DeliveryState::Waiting.counter(), delivery.destination, 1)
    }

    /// Gives up everything unsettled of a capture, as its officer decided: its open deliveries end as withheld, it
    /// falls under the retention of settled captures. The audit entry goes with it.
    ///
    /// # Errors
    /// When the database fails or the capture has not been refined yet.
    pub fn discard(
        &mut self,
        capture: CaptureId,
        feed: &feed::FeedName,
        entry: &AuditEntry,
    ) -> Result<(), StateError> {
        if capture > self.cursor()? {
            return Err(StateError::NotRefined(capture));
        }
        self.audit(entry)?;
        while let Some(delivery) = self.open_delivery(capture)? {
            self.end(&delivery, DeliveryState::Withheld, "discarded", entry.at)?;
        }
        self.except(&super::Exception {
            capture,
            feed: feed.clone(),
            outcome: Outcome::Discarded,
            reason: "discarded".into(),
            detail: Vec::new(),
            at: entry.at,
        })
    }

    /// Moves a delivery that waits or is dead to where it ends, with all that hangs on it.
    pub(super) fn end(
        &self,
        delivery: &Delivery,
        state: DeliveryState,
        reason: &str,
        at: Timestamp,
    ) -> Result<(), StateError> {
        let sql = "UPDATE delivery SET state = ?2, reason = ?3, settled = ?4 WHERE id = ?1";
        self.execute(sql, (delivery.id.0, state as u8, reason, self.stamp(at)))?;
        if delivery.state == DeliveryState::Waiting {
            self.leave_lane(&delivery.lane_key(), delivery.id, at)?;
        }
        if !state.is_open() {
            self.drop_ref(delivery.capture, delivery.destination, at)?;
        }
        self.tally(delivery.state.counter(), delivery.destination, -1)?;
        self.tally(state.counter(), delivery.destination, 1)
    }

    /// A delivery of the capture that waits or is dead.
    fn open_delivery(&self, capture: CaptureId) -> Result<Option<Delivery>, StateError> {
        let sql = "SELECT id FROM delivery WHERE capture = ?1 AND state IN (0, 3) ORDER BY id LIMIT 1";
        let id = self.one(sql, [capture.to_i64()], |row| Ok(DeliveryId(row.get(0)?)))?;
        id.map_or(Ok(None), |id| self.delivery(id))
    }

    /// Fails where neither the capture's segment nor a survivor holds it any more.
    fn still_kept(&self, capture: CaptureId) -> Result<(), StateError> {
        let whole = self.segment(capture.segment())?;
        let whole = whole.is_some_and(|s| matches!(s.state, SegmentState::Open | SegmentState::Closed));
        if whole || self.has_survived(capture)? { Ok(()) } else { Err(StateError::Gone(capture)) }
    }
}

#[cfg(test)]
mod tests {
    use model::RecordId;

    use super::super::testing::{at, feed, position, scratch};
    use super::super::{LaneKey, NewDelivery};
    use super::*;

    const REPORT: RecordId = RecordId::from_bytes([7; 16]);

    fn queue(tx: &mut Tx<'_>, row: u32) -> Result<DeliveryId, StateError> {
        let capture = CaptureId::new(1, row);
        let position = position(i64::from(row), capture);
        tx.enqueue(&NewDelivery {
            destination: 1,
            class: 0,
            lane: [1; 16],
            capture,
            position,
            refs: vec![],
            at: at(0),
        })
    }

    fn delivered(row: u32, dead: &[u8]) -> Settled {
        let dead = dead.iter().map(|n| DeadResource {
            record: REPORT,
            resource: [*n; 16],
            reason: "http-422".into(),
            stage: 1,
        });
        Settled {
            state: SettledAs::Delivered,
            reason: String::new(),
            at: at(10),
            receipt: Some(Receipt {
                at: at(10),
                digest: [3; 32],
                bytes: 900,
                resources: 12,
                answer: "200".into(),
            }),
            sent: vec![Sent {
                record: REPORT,
                position: position(i64::from(row), CaptureId::new(1, row)),
                maps: String::new(),
            }],
            dead: dead.collect(),
        }
    }

    #[test]
    fn a_delivered_one_leaves_a_receipt_its_positions_and_what_was_refused() {
        let state = scratch();
        state.write(|tx| {
            tx.intern_destination("platform")?;
            tx.open_segment(1, 0, at(0))?;
            let (first, second) = (queue(tx, 1)?, queue(tx, 2)?);
            tx.settle(second, &delivered(2, &[8, 9]))?;
            assert_eq!(tx.receipt(second)?.map(|receipt| receipt.resources), Some(12));
            assert_eq!(tx.dead_resources(1, REPORT)?.len(), 2);
            // The older one, sent late, does not lower what the destination has.
            tx.settle(first, &delivered(1, &[]))?;
            assert_eq!(tx.sent_position(1, REPORT)?, Some(position(2, CaptureId::new(1, 2))));
            assert_eq!(tx.dead_resources(1, REPORT)?, [], "the whole record was taken since");
            assert!(matches!(tx.settle(first, &delivered(1, &[])), Err(StateError::NotWaiting(_))));
            assert!(matches!(tx.settle(DeliveryId(99), &delivered(1, &[])), Err(StateError::NoDelivery(_))));
            Ok(())
        });
    }

    #[test]
    fn a_replayed_dead_letter_goes_ahead_of_what_came_later() {
        let state = scratch();
        state.write(|tx| {
            tx.intern_destination("platform")?;
            tx.open_segment(1, 0, at(0))?;
            let (first, second) = (queue(tx, 1)?, queue(tx, 2)?);
            tx.settle(first, &Settled { state: SettledAs::Dead, ..delivered(1, &[]) })?;
            let lane = LaneKey { destination: 1, class: 0, lane: [1; 16] };
            assert_eq!(tx.lane(&lane)?.and_then(|lane| lane.head), Some(second));
            tx.requeue(first, at(20))?;
            assert_eq!(tx.lane(&lane)?.map(|lane| (lane.head, lane.waiting)), Some((Some(first), 2)));
            assert_eq!(tx.delivery(first)?.map(|d| d.position), Some(position(1, CaptureId::new(1, 1))));
            Ok(())
        });
    }

    #[test]
    fn what_is_no_longer_kept_cannot_be_replayed() {
        let state = scratch();
        state.write(|tx| {
            tx.intern_destination("platform")?;
            tx.open_segment(1, 0, at(0))?;
            let id = queue(tx, 1)?;
            tx.settle(id, &delivered(1, &[]))?;
            tx.put_segment_state(1, SegmentState::Leaving)?;
            assert!(matches!(tx.requeue(id, at(20)), Err(StateError::Gone(_))));
            Ok(())
        });
    }

    #[test]
    fn a_discard_settles_the_capture_and_is_in_the_audit() {
        let state = scratch();
        state.write(|tx| {
            tx.intern_destination("platform")?;
            tx.open_segment(1, 0, at(0))?;
            let (dead, waiting) = (queue(tx, 1)?, queue(tx, 1)?);
            tx.settle(dead, &Settled { state: SettledAs::Dead, ..delivered(1, &[]) })?;
            let entry = AuditEntry {
                who: "officer".into(),
                what: "captures-discard".into(),
                reason: "test patient".into(),
                object: "1-1".into(),
                at: at(30),
            };
            let capture = CaptureId::new(1, 1);
            assert!(matches!(tx.discard(capture, &feed("his"), &entry), Err(StateError::NotRefined(_))));
            tx.advance(capture)?;
            tx.discard(capture, &feed("his"), &entry)?;
            for id in [dead, waiting] {
                let delivery = tx.delivery(id)?.expect("kept for a while");
                assert_eq!(
                    (delivery.state, delivery.reason.as_str()),
                    (DeliveryState::Withheld, "discarded")
                );
            }
            assert_eq!(tx.open_refs(1)?, 0);
            assert_eq!(tx.exception(capture)?.map(|e| e.outcome), Some(Outcome::Discarded));
            assert_eq!(tx.audit_page(0, 10)?.len(), 1);
            Ok(())
        });
    }
}
