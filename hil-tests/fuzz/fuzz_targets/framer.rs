//! The framer: the same events however the stream is cut, and nothing held that should not be.
//!
//! The first two bytes choose the size limit and the size of the pieces; the rest is the stream.

#![no_main]

use hl7::frame::{Event, Framer};
use libfuzzer_sys::fuzz_target;

fn events(stream: &[u8], piece: usize, limit: usize) -> Vec<Event> {
    let mut framer = Framer::new(limit);
    let mut events = Vec::new();
    for bytes in stream.chunks(piece) {
        framer.push(bytes);
        while let Some(event) = framer.next() {
            events.push(event);
        }
    }
    while let Some(event) = framer.close() {
        events.push(event);
    }
    assert_eq!(framer.held(), 0);
    events
}

fuzz_target!(|data: &[u8]| {
    let [limit, piece, stream @ ..] = data else { return };
    let (limit, piece) = (usize::from(*limit) + 1, usize::from(*piece) + 1);
    let whole = events(stream, usize::MAX, limit);
    assert_eq!(events(stream, piece, limit), whole);
    for event in whole {
        if let Event::Message { payload, .. } = event {
            assert!(!payload.is_empty() && payload.len() <= limit && !payload.contains(&0x0b));
        }
    }
});
