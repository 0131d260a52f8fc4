//! Which records are on their way to a destination. A visit that was moved to another person may be in two lanes: no two flights
//! carry the same record, so that an older state never arrives behind a newer one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::RecordId;
use tokio::sync::Notify;

/// Landings that are remembered one by one; beyond it every record counts as one that has landed.
const REMEMBERED: usize = 4096;

/// The records on their way to one destination.
#[derive(Default)]
pub(super) struct Air {
    traffic: Mutex<Traffic>,
    landing: Notify,
}

#[derive(Default)]
struct Traffic {
    aboard: BTreeSet<RecordId>,
    landings: u64,
    landed: BTreeMap<RecordId, u64>,
    forgotten: u64,
}

/// Records of one flight, until it is dropped.
pub(super) struct Aboard<'a> {
    air: &'a Air,
    records: Vec<RecordId>,
}

impl Air {
    /// How many flights have landed: asked before records are read.
    pub(super) fn landings(&self) -> u64 {
        self.lock().landings
    }

    /// Takes records aboard as soon as no other flight has any of them. None where one of them landed after `since`: what was
    /// read of it is old.
    pub(super) async fn board(&self, records: Vec<RecordId>, since: u64) -> Option<Aboard<'_>> {
        loop {
            let landing = self.landing.notified();
            tokio::pin!(landing);
            landing.as_mut().enable();
            {
                let mut traffic = self.lock();
                if records.iter().all(|record| !traffic.aboard.contains(record)) {
                    let old = since < traffic.forgotten
                        || records
                            .iter()
                            .any(|record| traffic.landed.get(record).is_some_and(|at| *at > since));
                    if old {
                        return None;
                    }
                    traffic.aboard.extend(records.iter().copied());
                    return Some(Aboard { air: self, records });
                }
            }
            landing.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Traffic> {
        // What is guarded are plain sets: whole even if a holder panicked.
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Aboard<'_> {
    fn drop(&mut self) {
        let mut traffic = self.air.lock();
        traffic.landings += 1;
        let at = traffic.landings;
        if traffic.landed.len() + self.records.len() > REMEMBERED {
            traffic.landed.clear();
            traffic.forgotten = at;
        }
        for record in &self.records {
            traffic.aboard.remove(record);
            traffic.landed.insert(*record, at);
        }
        drop(traffic);
        self.air.landing.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(n: u8) -> RecordId {
        RecordId::from_bytes([n; 16])
    }

    #[tokio::test]
    async fn two_flights_never_carry_one_record_and_the_second_reads_it_anew() {
        let air = Air::default();
        let since = air.landings();
        let first = air.board(vec![record(1), record(2)], since).await.expect("nothing is aboard");
        let other = air.board(vec![record(3)], since).await.expect("another record");
        let waiting = air.board(vec![record(2), record(4)], since);
        tokio::pin!(waiting);
        let early = tokio::select! { biased; _ = &mut waiting => true, () = std::future::ready(()) => false };
        assert!(!early);
        drop(other);
        drop(first);
        assert!(waiting.await.is_none(), "what was read before the landing is old");
        assert!(air.board(vec![record(2), record(4)], air.landings()).await.is_some());
        assert!(air.board(vec![record(5)], since).await.is_some(), "it never flew");
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded_and_never_forgets_in_the_wrong_direction() {
        let air = Air::default();
        let since = air.landings();
        for n in 0..=REMEMBERED {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&(n as u64).to_le_bytes());
            drop(air.board(vec![RecordId::from_bytes(bytes)], air.landings()).await);
        }
        assert!(air.lock().landed.len() <= REMEMBERED);
        assert!(air.board(vec![record(9)], since).await.is_none());
        assert!(air.board(vec![record(9)], air.landings()).await.is_some());
    }
}
