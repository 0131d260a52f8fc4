//! The part of refine that needs no state: decode and interpret, in parallel.

use buffer::Stored;
use feed::{CaptureId, FeedName, Form};
use hl7::charset::Learned;
use interpret::{Interpretation, Reason};
use jiff::Timestamp;
use model::Identifier;

use super::debts::{self, Debt};
use super::rules::{FeedRules, Rules};

/// A capture, read.
pub(crate) struct Prepared {
    pub(crate) marker: Marker,
    pub(crate) reading: Reading,
    /// Codes in it that no map translates.
    pub(crate) owed: Vec<Debt>,
}

/// Which capture it is.
#[derive(Clone)]
pub(crate) struct Marker {
    pub(crate) id: CaptureId,
    pub(crate) feed: FeedName,
    pub(crate) received: Timestamp,
    /// The sender's number of the message; none where there is none to be read.
    pub(crate) control_id: Option<String>,
    /// The numbers of the person it names first, where the capture itself may be sent somewhere.
    pub(crate) about: Vec<Identifier>,
    /// The first 128 bits of SHA-256 over the body; only ever kept sealed or keyed.
    pub(crate) content: [u8; 16],
}

/// What reading a capture came to.
pub(crate) enum Reading {
    /// Not a whole unit, or no longer: kept as it is.
    Broken(Form),
    /// Its feed is no longer configured.
    NoSuchFeed,
    /// It cannot be decoded or has no header.
    Unreadable(Reason),
    /// It was interpreted; the character set its bytes prove, if they do.
    Read(Interpretation, Option<Learned>),
}

/// Reads a batch on up to `threads` threads; the order stays.
pub(crate) fn batch(
    stored: Vec<Stored>,
    rules: &Rules,
    learned: &(dyn Fn(&FeedName) -> Option<Learned> + Sync),
    threads: usize,
) -> Vec<Prepared> {
    /// Below this a second thread costs more than it saves.
    const WORTH_A_THREAD: usize = 16;
    let threads = threads.min(stored.len() / WORTH_A_THREAD).max(1);
    if threads == 1 {
        return stored.into_iter().map(|stored| one(stored, rules, learned)).collect();
    }
    let share = stored.len().div_ceil(threads);
    std::thread::scope(|scope| {
        let mut rest = stored;
        let mut parts = Vec::with_capacity(threads);
        while !rest.is_empty() {
            let tail = rest.split_off(share.min(rest.len()));
            let part = core::mem::replace(&mut rest, tail);
            parts.push(
                scope.spawn(move || part.into_iter().map(|s| one(s, rules, learned)).collect::<Vec<_>>()),
            );
        }
        let joined = parts
            .into_iter()
            .map(|part| part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        joined.flatten().collect()
    })
}

/// Reads one capture.
pub(crate) fn one(stored: Stored, rules: &Rules, learned: &dyn Fn(&FeedName) -> Option<Learned>) -> Prepared {
    let capture = stored.capture;
    let digest = ring::digest::digest(&ring::digest::SHA256, &capture.body);
    let mut content = [0; 16];
    content.copy_from_slice(&digest.as_ref()[..16]);
    let mut marker = Marker {
        id: stored.id,
        received: capture.received,
        control_id: None,
        about: Vec::new(),
        content,
        feed: capture.feed,
    };
    let reading = match rules.feeds.get(&marker.feed) {
        _ if capture.form != Form::Whole => Reading::Broken(capture.form),
        None => Reading::NoSuchFeed,
        Some(feed) => {
            let forwarded = rules.destinations.iter().any(|to| to.captures && to.takes(&marker.feed));
            read(&mut marker, &capture.body, feed, learned, forwarded)
        }
    };
    let (mut reading, mut owed) = (reading, Vec::new());
    if let (Reading::Read(Interpretation::Changes(changes), _), Some(feed)) =
        (&mut reading, rules.feeds.get(&marker.feed))
    {
        owed = debts::of(changes, feed, rules);
    }
    Prepared { marker, reading, owed }
}

fn read(
    marker: &mut Marker,
    body: &[u8],
    feed: &FeedRules,
    learned: &dyn Fn(&FeedName) -> Option<Learned>,
    forwarded: bool,
) -> Reading {
    match hl7::Message::read(body, feed.charset, learned(&marker.feed)) {
        Ok(message) => {
            marker.control_id = Some(message.header().control_id.clone());
            if forwarded {
                marker.about = interpret::about(&message, &feed.context);
            }
            Reading::Read(interpret::hl7(&message, &feed.context), message.proof())
        }
        Err(error) => {
            marker.control_id = hl7::Header::read(body).ok().map(|header| header.control_id);
            Reading::Unreadable(Reason::from(error))
        }
    }
}
