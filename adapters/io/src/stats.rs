//! What a feed has seen since the start: counters, acknowledgement times, and notes on how peers frame.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
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
    /// As many connections as one peer may have.
    TooManyOfPeer,
    /// A number out of its sequence.
    Sequence,
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
    /// Open connections by peer: what limits are held against. As many as there are connections at most.
    open: Mutex<BTreeMap<IpAddr, usize>>,
    told_late: AtomicU64,
    untold: AtomicU64,
    return_failing: AtomicBool,
}

/// A peer: since when it is connected, what it sent, how it frames its messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerNotes {
    /// Connections that are open.
    pub connections: u64,
    /// Since when it has had one without a break; none: it has none.
    pub since: Option<Timestamp>,
    /// Messages received.
    pub messages: u64,
    /// When the last one was received.
    pub last: Option<Timestamp>,
    /// Connections that were closed at once because it had as many as it may.
    pub too_many: u64,
    /// How often it was not read because it held as many bytes in flight as it may.
    pub held_back: u64,
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
    /// Application acknowledgements told at the return address.
    pub told_late: u64,
    /// Application acknowledgements that could not be told there, and are not tried any more.
    pub untold: u64,
    /// Whether the return address takes none just now.
    pub return_failing: bool,
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
            open: Mutex::default(),
            told_late: AtomicU64::new(0),
            untold: AtomicU64::new(0),
            return_failing: AtomicBool::new(false),
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
            told_late: self.told_late.load(Relaxed),
            untold: self.untold.load(Relaxed),
            return_failing: self.return_failing.load(Relaxed),
        }
    }

    pub(crate) fn connected(&self, peer: IpAddr, at: Timestamp) {
        self.connections.fetch_add(1, Relaxed);
        *lock(&self.open).entry(peer).or_default() += 1;
        self.note(peer, |notes| {
            notes.connections += 1;
            notes.since.get_or_insert(at);
        });
    }

    pub(crate) fn disconnected(&self, peer: IpAddr) {
        self.connections.fetch_sub(1, Relaxed);
        let mut open = lock(&self.open);
        if let Some(left) = open.get_mut(&peer) {
            *left = left.saturating_sub(1);
            if *left == 0 {
                open.remove(&peer);
            }
        }
        drop(open);
        self.note(peer, |notes| {
            notes.connections = notes.connections.saturating_sub(1);
            notes.since = notes.since.filter(|_| notes.connections > 0);
        });
    }

    /// Connections that a peer has open.
    pub(crate) fn open_of(&self, peer: IpAddr) -> usize {
        lock(&self.open).get(&peer).copied().unwrap_or(0)
    }

    pub(crate) fn too_many_of(&self, peer: IpAddr) {
        self.note(peer, |notes| notes.too_many += 1);
    }

    pub(crate) fn held_back(&self, peer: IpAddr) {
        self.note(peer, |notes| notes.held_back += 1);
    }

    pub(crate) fn told_late(&self) {
        self.told_late.fetch_add(1, Relaxed);
    }

    pub(crate) fn untold(&self, answers: u64) {
        self.untold.fetch_add(answers, Relaxed);
    }

    /// Notes whether the return address fails; gives whether that is news.
    pub(crate) fn return_fails(&self, fails: bool) -> bool {
        self.return_failing.swap(fails, Relaxed) != fails
    }

    pub(crate) fn open_connections(&self) -> usize {
        usize::try_from(self.connections.load(Relaxed)).unwrap_or(0)
    }

    pub(crate) fn received(&self, peer: IpAddr, ending: Ending, at: Timestamp) {
        self.received.fetch_add(1, Relaxed);
        self.last.fetch_max(at.as_microsecond(), Relaxed);
        self.note(peer, |notes| {
            notes.messages += 1;
            notes.last = notes.last.max(Some(at));
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
        if peers.len() >= NOTED_PEERS && !peers.contains_key(&peer) {
            // Who is gone makes room, the longest silent first.
            let gone = peers.iter().filter(|(_, notes)| notes.connections == 0);
            let Some(gone) = gone.min_by_key(|(_, notes)| notes.last).map(|(peer, _)| *peer) else { return };
            peers.remove(&gone);
        }
        note(peers.entry(peer).or_default());
    }
}

impl Refused {
    /// Its code in listings and metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotAllowed => "not-allowed",
            Self::Tls => "tls",
            Self::TooManyConnections => "too-many-connections",
            Self::TooManyOfPeer => "too-many-connections-of-peer",
            Self::Sequence => "sequence",
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
        say(self.too_many, "connections closed at once: max_connections_per_peer were open");
        say(
            self.held_back,
            "times not read for a while: 32 MiB of it were in flight, which is the most for one peer",
        );
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
    fn a_peer_is_connected_since_its_first_connection_until_its_last_one_ends() {
        let (stats, peer) = (Stats::default(), IpAddr::from([10, 1, 2, 3]));
        let at = |second| Timestamp::from_second(second).unwrap();
        let since = || stats.view().peers.first().and_then(|(_, notes)| notes.since);
        stats.connected(peer, at(1));
        stats.connected(peer, at(2));
        stats.disconnected(peer);
        assert_eq!((since(), stats.open_of(peer)), (Some(at(1)), 1));
        stats.disconnected(peer);
        assert_eq!((since(), stats.open_of(peer)), (None, 0));
        stats.connected(peer, at(9));
        assert_eq!(since(), Some(at(9)));
    }

    #[test]
    fn the_table_of_peers_is_bounded_and_gives_up_those_that_are_gone() {
        let stats = Stats::default();
        let here = IpAddr::from([10, 0, 0, 1]);
        stats.connected(here, Timestamp::UNIX_EPOCH);
        for n in 0..600_u16 {
            let [a, b] = n.to_be_bytes();
            stats.broken(IpAddr::from([10, 1, a, b]));
        }
        let peers = stats.view().peers;
        assert_eq!(peers.len(), NOTED_PEERS);
        assert!(peers.iter().any(|(peer, _)| *peer == here));
    }

    #[test]
    fn notes_say_what_a_peer_does_wrong() {
        let notes = PeerNotes { line_feed: 3, messages: 5, ..PeerNotes::default() };
        assert_eq!(notes.words(), ["3 frames ended in FS LF instead of FS CR, accepted"]);
        assert!(PeerNotes { messages: 5, ..PeerNotes::default() }.words().is_empty());
    }
}
