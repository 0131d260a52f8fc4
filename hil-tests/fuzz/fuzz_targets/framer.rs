//! The framer: the same events however the stream is cut, every byte at its place, and nothing held that should not be.
//!
//! The first two bytes choose the size limit and the size of the pieces; the rest is the stream.

#![no_main]

use hl7::frame::{Event, Framer};
use libfuzzer_sys::fuzz_target;

/// The events of a stream in pieces; with `silent`, nothing more seems to come after each of them.
fn events(stream: &[u8], piece: usize, limit: usize, silent: bool) -> Vec<Event> {
    let mut framer = Framer::new(limit);
    let mut events = Vec::new();
    for bytes in stream.chunks(piece) {
        framer.push(bytes);
        while let Some(event) = framer.next() {
            events.push(event);
        }
        if silent && let Some(event) = framer.quiet() {
            events.push(event);
        }
        // One frame and what was pushed, or a piece of junk that is not yet worth a report.
        assert!(!framer.in_frame() || framer.held() <= limit + 1 + piece.min(stream.len()));
    }
    while let Some(event) = framer.close() {
        events.push(event);
    }
    assert_eq!(framer.held(), 0);
    events
}

/// What is reported stands in the stream, in this order, and nothing twice.
fn in_order(stream: &[u8], limit: usize, events: &[Event]) {
    let mut rest = stream;
    for event in events {
        let bytes = match event {
            Event::Message { payload, .. } => {
                assert!(!payload.is_empty() && payload.len() <= limit && !payload.contains(&0x0b));
                payload
            }
            Event::Broken { bytes, .. } => {
                assert!(!bytes.contains(&0x0b));
                bytes
            }
            Event::Junk { bytes } => {
                assert!(!bytes.is_empty() && !bytes.contains(&0x0b));
                bytes
            }
            Event::TooLarge { head } => head,
            Event::Empty => continue,
        };
        let at = rest.windows(bytes.len().max(1)).position(|window| window.starts_with(bytes));
        assert!(at.is_some() || bytes.is_empty(), "bytes that were never sent");
        rest = &rest[at.unwrap_or(0) + bytes.len()..];
    }
}

fuzz_target!(|data: &[u8]| {
    let [limit, piece, stream @ ..] = data else { return };
    let (limit, piece) = (usize::from(*limit) + 1, usize::from(*piece) + 1);
    let whole = events(stream, usize::MAX, limit, false);
    assert_eq!(events(stream, piece, limit, false), whole);
    in_order(stream, limit, &whole);
    in_order(stream, limit, &events(stream, piece, limit, true));
});
