//! Permits for bytes in flight: of all feeds together, and of each peer (contract 10).

use core::net::IpAddr;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// Bytes that all feeds together may hold in flight: 64 MiB.
const TOTAL: usize = 64 << 20;
/// Of these so many for one peer, whatever feeds it sends to: nobody alone can stop all others.
const PER_PEER: usize = 32 << 20;

/// The permits. Clones share them.
#[derive(Clone)]
pub struct Memory(Arc<Inner>);

struct Inner {
    total: Arc<Semaphore>,
    peers: Mutex<BTreeMap<IpAddr, Weak<Semaphore>>>,
}

/// The share of one peer. It is forgotten when its last connection is.
#[derive(Clone)]
pub(crate) struct Share {
    total: Arc<Semaphore>,
    own: Arc<Semaphore>,
}

/// Permits that are held.
pub(crate) struct Permits {
    total: OwnedSemaphorePermit,
    own: OwnedSemaphorePermit,
}

impl Default for Memory {
    fn default() -> Self {
        Self(Arc::new(Inner { total: Arc::new(Semaphore::new(TOTAL)), peers: Mutex::default() }))
    }
}

impl Memory {
    /// Bytes that are not in flight.
    pub fn free(&self) -> usize {
        self.0.total.available_permits()
    }

    /// The share of a peer.
    pub(crate) fn of(&self, peer: IpAddr) -> Share {
        let mut peers = self.0.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.retain(|_, own| own.strong_count() > 0);
        let known = peers.get(&peer).and_then(Weak::upgrade);
        let own = known.unwrap_or_else(|| Arc::new(Semaphore::new(PER_PEER)));
        peers.insert(peer, Arc::downgrade(&own));
        Share { total: self.0.total.clone(), own }
    }
}

impl Share {
    /// Waits for permits, its own first: who waits for those keeps nothing from others. `held_back` is called when it has
    /// to wait for them.
    pub(crate) async fn acquire(
        &self,
        bytes: u32,
        held_back: impl FnOnce(),
    ) -> Result<Permits, AcquireError> {
        let own = match self.own.clone().try_acquire_many_owned(bytes) {
            Ok(own) => own,
            Err(_) => {
                held_back();
                self.own.clone().acquire_many_owned(bytes).await?
            }
        };
        let total = self.total.clone().acquire_many_owned(bytes).await?;
        Ok(Permits { total, own })
    }
}

impl Permits {
    pub(crate) fn merge(&mut self, more: Self) {
        self.total.merge(more.total);
        self.own.merge(more.own);
    }

    /// Gives back all but so many; true when none are left.
    pub(crate) fn shrink(&mut self, to: usize) -> bool {
        let surplus = self.total.num_permits().saturating_sub(to);
        drop((self.total.split(surplus), self.own.split(surplus)));
        self.total.num_permits() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(share: &Share, bytes: usize) -> Option<Permits> {
        let acquire = core::pin::pin!(share.acquire(bytes as u32, || {}));
        match acquire.poll(&mut core::task::Context::from_waker(core::task::Waker::noop())) {
            core::task::Poll::Ready(permits) => Some(permits.unwrap()),
            core::task::Poll::Pending => None,
        }
    }

    #[test]
    fn one_peer_holds_half_at_most_and_others_go_on() {
        let memory = Memory::default();
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        // Two connections of one peer, on whatever feeds, share what it may hold.
        let (first, second) = (memory.of(one), memory.of(one));
        let mut held = wait(&first, PER_PEER - 1).unwrap();
        assert!(wait(&second, 2).is_none(), "its share is used up");
        assert!(wait(&memory.of(other), PER_PEER).is_some());
        assert!(!held.shrink(1) && memory.free() == TOTAL - 1);
        assert!(wait(&second, 2).is_some());
        assert!(held.shrink(0));
        drop((held, first, second));
        memory.of(other);
        assert_eq!(memory.0.peers.lock().unwrap().len(), 1, "who is gone is forgotten");
    }
}
