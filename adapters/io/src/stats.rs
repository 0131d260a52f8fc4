//! What a feed has seen since the start: counters, acknowledgement times, and notes on how peers frame.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use hl7::frame::Ending;
use jiff::Timestamp;

/// Peers whose framing is noted; of more only the sums are kept.
const NOTED_PEERS: usize = 256;

/// Upper bounds of the acknowledgement times, in microseconds: 1-2-5 steps from 0.1 ms to 10 s.
const BOUNDS: [u64; 16] = [
    100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000,
    2_000_000, 5_000_000, 10_000_000,
];

/// Why a connection was closed at once or a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refused {
    /// The peer is not in the allow-list.
    NotAllowed,
    /// No handshake of TLS.
    Tls,
    /// As many connections as the feed may have.
    TooManyConnections,
    /// No message there.
    NotHl7,
    /// No readable header.
    Header,
    /// No MSH-10.
    NoControlId,
    /// A query from somebody who may not ask.
    Query,
    /// Above the size limit.
    TooLarge,
    /// The buffer was full.
    Full,
    /// The disk failed.
    Disk,
}

/// Counters of a feed. Shared between its connections and whoever shows them.
#[derive(Debug)]
pub struct Stats {
    connections: AtomicI64,
    received: AtomicU64,
    acknowledged: AtomicU64,
    broken: AtomicU64,
    empty: AtomicU64,
    junk_bytes: AtomicU64,
    timeouts: AtomicU64,
    holding: AtomicI64,
    last: AtomicI64,
    refused: Mutex<BTreeMap<Refused, u64>>,
    latency: [AtomicU64; BOUNDS.len() + 1],
    peers: Mutex<BTreeMap<IpAddr, PeerNotes>>,
}

/// How a peer frames its messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerNotes {
    /// Connections that are open.
    pub connections: u64,
    /// Messages received.
    pub messages: u64,
    /// Frames that ended in FS LF.
    pub line_feed: u64,
    /// Frames whose FS was followed by the next VT.
    pub next_start: u64,
    /// Frames whose FS was followed by silence or the end.
    pub silence: u64,
    /// Frames whose end never came.
    pub broken: u64,
    /// Bytes outside of frames.
    pub junk_bytes: u64,
}

/// Acknowledgement times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latency {
    /// Upper bound in microseconds and how many were at or below it but above the one before; the last has no bound.
    pub buckets: Vec<(Option<u64>, u64)>,
}

/// The counters at one moment.
#[derive(Clone, Debug)]
pub struct StatsView {
    /// Connections that are open.
    pub connections: u64,
    /// Messages received.
    pub received: u64,
    /// Messages acknowledged.
    pub acknowledged: u64,
    /// Broken frames.
    pub broken: u64,
    /// Empty frames.
    pub empty: u64,
    /// Bytes outside of frames.
    pub junk_bytes: u64,
    /// Connections closed by a timeout.
    pub timeouts: u64,
    /// Connections that wait for room in the buffer.
    pub holding: u64,
    /// When the last message was received.
    pub last: Option<Timestamp>,
    /// What was refused.
    pub refused: Vec<(Refused, u64)>,
    /// Acknowledgement times.
    pub latency: Latency,
    /// Peers.
    pub peers: Vec<(IpAddr, PeerNotes)>,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            connections: AtomicI64::new(0),
            received: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            broken: AtomicU64::new(0),
            empty: AtomicU64::new(0),
            junk_bytes: AtomicU64::new(0),
            timeouts: AtomicU64::new(0),
            holding: AtomicI64::new(0),
            last: AtomicI64::new(i64::MIN),
            refused: Mutex::default(),
            latency: [const { AtomicU64::new(0) }; BOUNDS.len() + 1],
            peers: Mutex::default(),
        }
    }
}

impl Stats {
    /// The counters now.
    pub fn view(&self) -> StatsView {
        let count = |n: &AtomicI64| n.load(Relaxed).max(0).unsigned_abs();
        let bounds = BOUNDS.iter().map(|bound| Some(*bound)).chain([None]);
        let last = self.last.load(Relaxed);
        StatsView {
            connections: count(&self.connections),
            received: self.received.load(Relaxed),
            acknowledged: self.acknowledged.load(Relaxed),
            broken: self.broken.load(Relaxed),
            empty: self.empty.load(Relaxed),
            junk_bytes: self.junk_bytes.load(Relaxed),
            timeouts: self.timeouts.load(Relaxed),
            holding: count(&self.holding),
            last: Timestamp::from_microsecond(last).ok().filter(|_| last != i64::MIN),
            refused: lock(&self.refused).iter().map(|(why, n)| (*why, *n)).collect(),
            latency: Latency { buckets: bounds.zip(self.latency.iter().map(|n| n.load(Relaxed))).collect() },
            peers: lock(&self.peers).iter().map(|(peer, notes)| (*peer, *notes)).collect(),
        }
    }

    pub(crate) fn connected(&self, peer: IpAddr) {
        self.connections.fetch_add(1, Relaxed);
        self.note(peer, |notes| notes.connections += 1);
    }

    pub(crate) fn disconnected(&self, peer: IpAddr) {
        self.connections.fetch_sub(1, Relaxed);
        self.note(peer, |notes| notes.connections = notes.connections.saturating_sub(1));
    }

    pub(crate) fn open_connections(&self) -> usize {
        usize::try_from(self.connections.load(Relaxed)).unwrap_or(0)
    }

    pub(crate) fn received(&self, peer: IpAddr, ending: Ending, at: Timestamp) {
        self.received.fetch_add(1, Relaxed);
        self.last.fetch_max(at.as_microsecond(), Relaxed);
        self.note(peer, |notes| {
            notes.messages += 1;
            match ending {
                Ending::Standard => {}
                Ending::LineFeed => notes.line_feed += 1,
                Ending::NextStart => notes.next_start += 1,
                Ending::Silence => notes.silence += 1,
            }
        });
    }

    pub(crate) fn acknowledged(&self, after: Duration) {
        self.acknowledged.fetch_add(1, Relaxed);
        let micros = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        self.latency[BOUNDS.partition_point(|bound| *bound < micros)].fetch_add(1, Relaxed);
    }

    /// A frame that was counted as one message held so many.
    pub(crate) fn in_batch(&self, messages: usize) {
        self.received.fetch_add(messages.saturating_sub(1) as u64, Relaxed);
    }

    pub(crate) fn broken(&self, peer: IpAddr) {
        self.broken.fetch_add(1, Relaxed);
        self.note(peer, |notes| notes.broken += 1);
    }

    pub(crate) fn junk(&self, peer: IpAddr, bytes: usize) {
        self.junk_bytes.fetch_add(bytes as u64, Relaxed);
        self.note(peer, |notes| notes.junk_bytes += bytes as u64);
    }

    pub(crate) fn empty(&self) {
        self.empty.fetch_add(1, Relaxed);
    }

    pub(crate) fn timed_out(&self) {
        self.timeouts.fetch_add(1, Relaxed);
    }

    pub(crate) fn hold(&self, by: i64) {
        self.holding.fetch_add(by, Relaxed);
    }

    pub(crate) fn refused(&self, why: Refused) {
        *lock(&self.refused).entry(why).or_default() += 1;
    }

    fn note(&self, peer: IpAddr, note: impl FnOnce(&mut PeerNotes)) {
        let mut peers = lock(&self.peers);
        if peers.len() < NOTED_PEERS || peers.contains_key(&peer) {
            note(peers.entry(peer).or_default());
        }
    }
}

impl Refused {
    /// Its code in listings and metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotAllowed => "not-allowed",
            Self::Tls => "tls",
            Self::TooManyConnections => "too-many-connections",
            Self::NotHl7 => "not-hl7",
            Self::Header => "header",
            Self::NoControlId => "no-control-id",
            Self::Query => "query",
            Self::TooLarge => "too-large",
            Self::Full => "full",
            Self::Disk => "disk",
        }
    }
}

impl PeerNotes {
    /// What an engineer should know about the peer's framing; empty where it keeps to the standard.
    pub fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        let mut say = |n: u64, what: &str| {
            if n > 0 {
                words.push(format!("{n} {what}"));
            }
        };
        say(self.line_feed, "frames ended in FS LF instead of FS CR, accepted");
        say(self.next_start, "frames ended in FS without CR, accepted at the next start");
        say(self.silence, "frames ended in FS without CR, accepted after silence");
        say(self.broken, "frames were cut off, kept as broken");
        say(self.junk_bytes, "bytes came outside of frames, kept as junk");
        words
    }
}

impl Latency {
    /// The bound that a share of `percent` stays within, in microseconds. None without any, or above the last bound.
    pub fn percentile(&self, percent: u64) -> Option<u64> {
        let total: u64 = self.buckets.iter().map(|(_, n)| n).sum();
        let wanted = (total * percent).div_ceil(100).max(1);
        let mut sum = 0;
        let found = self.buckets.iter().find(|(_, n)| {
            sum += n;
            sum >= wanted
        });
        found.and_then(|(bound, _)| *bound)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Plain counters are whole even when a holder panicked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_the_bounds_of_their_buckets() {
        let stats = Stats::default();
        for _ in 0..98 {
            stats.acknowledged(Duration::from_micros(90));
        }
        stats.acknowledged(Duration::from_millis(3));
        stats.acknowledged(Duration::from_secs(60));
        let latency = stats.view().latency;
        assert_eq!((latency.percentile(50), latency.percentile(99)), (Some(100), Some(5_000)));
        assert_eq!(latency.percentile(100), None);
    }

    #[test]
    fn notes_say_what_a_peer_does_wrong() {
        let notes = PeerNotes { line_feed: 3, messages: 5, ..PeerNotes::default() };
        assert_eq!(notes.words(), ["3 frames ended in FS LF instead of FS CR, accepted"]);
        assert!(PeerNotes { messages: 5, ..PeerNotes::default() }.words().is_empty());
    }
}
