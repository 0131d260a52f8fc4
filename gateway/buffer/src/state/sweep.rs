//! What goes when raw bytes go: deliveries, receipts, exceptions and the content of records.

use feed::CaptureId;
use jiff::Timestamp;

use super::{Delivery, DeliveryFilter, DeliveryId, DeliveryState, MAX_ROWS, Read, StateError, Tx};

/// Free pages that stay for reuse: 16 MiB.
const FREE_PAGES: i64 = 4096;

impl Read<'_> {
    /// When the last thing about a capture was settled.
    pub(crate) fn capture_settled(&self, capture: CaptureId) -> Result<Option<Timestamp>, StateError> {
        let sql = "SELECT max(at) FROM (SELECT max(settled) AS at FROM delivery WHERE capture = ?1
                   UNION ALL SELECT at FROM exception WHERE capture = ?1)";
        Ok(self.one(sql, [capture.to_i64()], |row| super::position::maybe_time(row, 0))?.flatten())
    }

    /// The first capture after `after` and up to `to` that has left a delivery or an exception.
    pub(crate) fn first_trace(
        &self,
        after: CaptureId,
        to: CaptureId,
    ) -> Result<Option<CaptureId>, StateError> {
        let sql = "SELECT min(capture) FROM (
                   SELECT min(capture) AS capture FROM delivery WHERE capture > ?1 AND capture <= ?2
                   UNION ALL SELECT min(capture) FROM exception WHERE capture > ?1 AND capture <= ?2)";
        let first =
            self.one(sql, (after.to_i64(), to.to_i64()), |row| row.get::<_, Option<i64>>(0))?.flatten();
        Ok(first.map(CaptureId::from_i64))
    }
}

impl Tx<'_> {
    /// Forgets what a capture left behind, whose raw bytes are gone. A delivery that still waits for a destination
    /// that is not required is given up, and counted as `behind`.
    pub(crate) fn forget_capture(&mut self, capture: CaptureId, at: Timestamp) -> Result<(), StateError> {
        loop {
            let filter = DeliveryFilter {
                destination: None,
                state: None,
                capture: Some(capture),
                after: DeliveryId(0),
                limit: MAX_ROWS,
            };
            let page = self.deliveries(&filter)?;
            for delivery in &page {
                self.forget_delivery(delivery, at)?;
            }
            if page.len() < MAX_ROWS {
                break;
            }
        }
        self.clear_exception(capture, at)?;
        Ok(())
    }

    /// Gives pages that are free back to the file system, a few at a time, once there are many.
    pub(crate) fn shrink(&self) -> Result<(), StateError> {
        let free = self.one("PRAGMA freelist_count", [], |row| row.get::<_, i64>(0))?;
        if free.is_some_and(|free| free > FREE_PAGES) {
            self.batch("PRAGMA incremental_vacuum(256)")
        } else {
            Ok(())
        }
    }

    fn forget_delivery(&self, delivery: &Delivery, at: Timestamp) -> Result<(), StateError> {
        let mut state = delivery.state;
        if state.is_open() {
            state = DeliveryState::Withheld;
            self.end(delivery, state, "behind", at)?;
            self.tally("behind", delivery.destination, 1)?;
        }
        self.tally(state.counter(), delivery.destination, -1)?;
        self.execute("DELETE FROM receipt WHERE delivery = ?1", [delivery.id.0])?;
        self.execute("DELETE FROM delivery WHERE id = ?1", [delivery.id.0])?;
        Ok(())
    }
}
