//! MLLP frames, cut incrementally out of a byte stream (MLLP Release 1, HL7 v2 transport).
//!
//! A frame is VT payload FS CR. Real senders also end one with FS LF or FS CR LF, begin the next without ending the last,
//! and write log lines between. The framer never glues two messages together and never drops a byte unseen.

use bytes::{Bytes, BytesMut};
use memchr::{memchr, memchr2};

const VT: u8 = 0x0b;
const FS: u8 = 0x1c;
const CR: u8 = b'\r';
const LF: u8 = b'\n';

/// Junk between frames is reported in pieces of this size at most, in bytes.
const JUNK_PIECE: usize = 64 << 10;
/// Of a frame above the limit so much is kept for the refusal, in bytes.
const HEAD: usize = 4 << 10;

/// Cuts frames out of a byte stream. Chunking does not matter: the same bytes give the same events.
#[derive(Debug)]
pub struct Framer {
    buffer: BytesMut,
    /// Bytes of the buffer that hold no end of the current unit.
    scanned: usize,
    max_message: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between frames.
    Outside,
    /// Behind a VT.
    Inside,
    /// Behind the FS of a frame: CR and LF belong to it.
    Ended,
    /// In a frame above the limit, whose bytes are skipped.
    Skipping,
}

/// What was found in the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole frame.
    Message {
        /// Its bytes between VT and FS.
        payload: Bytes,
        /// How it ended.
        ending: Ending,
    },
    /// A frame whose end never came.
    Broken {
        /// Its bytes behind VT.
        bytes: Bytes,
        /// What cut it off.
        by: BrokenBy,
    },
    /// Bytes outside of any frame.
    Junk {
        /// The bytes.
        bytes: Bytes,
    },
    /// A frame without payload.
    Empty,
    /// A frame above the limit. Its rest is skipped.
    TooLarge {
        /// Its first bytes, enough for a header.
        head: Bytes,
    },
}

/// How a frame ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// FS CR, as the standard has it; also before LF.
    Standard,
    /// FS LF.
    LineFeed,
    /// FS, then the VT of the next frame.
    NextStart,
    /// FS, then the end of the stream or silence.
    Silence,
}

/// What cut a frame off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BrokenBy {
    /// The VT of another frame.
    NextStart,
    /// The end of the stream, or silence in the middle of a frame.
    EndOfStream,
}

impl Framer {
    /// A framer that takes payloads of up to `max_message` bytes.
    pub fn new(max_message: usize) -> Self {
        Self { buffer: BytesMut::new(), scanned: 0, max_message, state: State::Outside }
    }

    /// Takes what was received. Call [`Framer::next`] until it returns none before taking more: then no more is held than
    /// one frame and what was pushed.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether a frame has begun and not ended.
    pub fn in_frame(&self) -> bool {
        matches!(self.state, State::Inside | State::Skipping)
    }

    /// Bytes held of what is not complete.
    pub fn held(&self) -> usize {
        self.buffer.len()
    }

    /// The next thing found in what was received so far.
    #[expect(clippy::should_implement_trait, reason = "none means: not yet, so it is no iterator")]
    pub fn next(&mut self) -> Option<Event> {
        loop {
            match self.state {
                State::Ended => {
                    let end = self.buffer.iter().position(|b| !matches!(*b, CR | LF));
                    let _ = self.buffer.split_to(end.unwrap_or(self.buffer.len()));
                    end?;
                    self.state = State::Outside;
                }
                State::Outside => match memchr(VT, &self.buffer) {
                    Some(0) => {
                        let _ = self.buffer.split_to(1);
                        (self.state, self.scanned) = (State::Inside, 0);
                    }
                    Some(at) => return Some(self.junk(at)),
                    None if self.buffer.len() >= JUNK_PIECE => return Some(self.junk(JUNK_PIECE)),
                    None => return None,
                },
                State::Inside => return self.inside(),
                State::Skipping => self.skip()?,
            }
        }
    }

    /// Whether the last byte is an FS that may have ended the frame: what comes next tells, or that nothing comes.
    pub fn may_have_ended(&self) -> bool {
        self.state == State::Inside && self.buffer.last() == Some(&FS)
    }

    /// Nothing came after the last byte: an FS there has ended the frame. Anything else goes on.
    pub fn quiet(&mut self) -> Option<Event> {
        if !self.may_have_ended() {
            return None;
        }
        let mut payload = self.buffer.split();
        payload.truncate(payload.len() - 1);
        self.state = State::Ended;
        let (payload, ending) = (payload.freeze(), Ending::Silence);
        Some(if payload.is_empty() { Event::Empty } else { Event::Message { payload, ending } })
    }

    /// The stream ended, or was silent for too long: gives what is left. Nothing is held afterwards.
    pub fn close(&mut self) -> Option<Event> {
        if let Some(event) = self.next() {
            return Some(event);
        }
        if let Some(event) = self.quiet() {
            return Some(event);
        }
        let state = core::mem::replace(&mut self.state, State::Outside);
        let bytes = self.buffer.split().freeze();
        match state {
            State::Inside => Some(Event::Broken { bytes, by: BrokenBy::EndOfStream }),
            State::Outside if !bytes.is_empty() => Some(Event::Junk { bytes }),
            State::Outside | State::Ended | State::Skipping => None,
        }
    }

    /// Looks for the end of the frame from where the last look stopped.
    fn inside(&mut self) -> Option<Event> {
        while let Some(found) = memchr2(VT, FS, &self.buffer[self.scanned..]) {
            let at = self.scanned + found;
            if at > self.max_message {
                break;
            }
            if self.buffer[at] == VT {
                let bytes = self.buffer.split_to(at).freeze();
                self.state = State::Outside;
                return Some(Event::Broken { bytes, by: BrokenBy::NextStart });
            }
            let ending = match self.buffer.get(at + 1) {
                None => {
                    // Whether this FS ends the frame shows with the byte behind it.
                    self.scanned = at;
                    return None;
                }
                Some(&CR) => Ending::Standard,
                Some(&LF) => Ending::LineFeed,
                Some(&VT) => Ending::NextStart,
                // An FS in the middle of text ends nothing.
                Some(_) => {
                    self.scanned = at + 1;
                    continue;
                }
            };
            let payload = self.buffer.split_to(at).freeze();
            let _ = self.buffer.split_to(1);
            self.state = State::Ended;
            return Some(if payload.is_empty() { Event::Empty } else { Event::Message { payload, ending } });
        }
        self.scanned = self.scanned.max(self.buffer.len().saturating_sub(1));
        if self.buffer.len() <= self.max_message + 1 {
            return None;
        }
        // No more than what the limit lets in, so that it does not matter what else has come by now.
        let head = Bytes::copy_from_slice(&self.buffer[..HEAD.min(self.max_message + 1)]);
        self.state = State::Skipping;
        Some(Event::TooLarge { head })
    }

    /// Skips a frame that is too large, up to its end or the next start. None when it goes on.
    fn skip(&mut self) -> Option<()> {
        let Some(at) = memchr2(VT, FS, &self.buffer) else {
            self.buffer.clear();
            return None;
        };
        if self.buffer[at] == VT {
            let _ = self.buffer.split_to(at);
            self.state = State::Outside;
            return Some(());
        }
        match self.buffer.get(at + 1) {
            None => {
                let _ = self.buffer.split_to(at);
                return None;
            }
            Some(&(CR | LF | VT)) => self.state = State::Ended,
            Some(_) => {}
        }
        let _ = self.buffer.split_to(at + 1);
        Some(())
    }

    fn junk(&mut self, length: usize) -> Event {
        Event::Junk { bytes: self.buffer.split_to(length).freeze() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events(chunks: &[&[u8]], max: usize) -> Vec<Event> {
        let mut framer = Framer::new(max);
        let mut events = Vec::new();
        for chunk in chunks {
            framer.push(chunk);
            while let Some(event) = framer.next() {
                events.push(event);
            }
        }
        while let Some(event) = framer.close() {
            events.push(event);
        }
        events
    }

    fn message(payload: &'static [u8], ending: Ending) -> Event {
        Event::Message { payload: Bytes::from_static(payload), ending }
    }

    fn junk(bytes: &'static [u8]) -> Event {
        Event::Junk { bytes: Bytes::from_static(bytes) }
    }

    fn broken(bytes: &'static [u8], by: BrokenBy) -> Event {
        Event::Broken { bytes: Bytes::from_static(bytes), by }
    }

    /// Junk has no end of its own: pieces are joined before two runs are compared.
    fn joined(events: Vec<Event>) -> Vec<Event> {
        let mut out: Vec<Event> = Vec::new();
        for event in events {
            match (out.last_mut(), event) {
                (Some(Event::Junk { bytes }), Event::Junk { bytes: more }) => {
                    *bytes = [bytes.as_ref(), more.as_ref()].concat().into();
                }
                (_, event) => out.push(event),
            }
        }
        out
    }

    #[test]
    fn pipelined_messages_are_told_apart_whatever_ends_them() {
        use Ending::{LineFeed, NextStart, Silence, Standard};
        for (stream, endings) in [
            (&b"\x0ba\x1c\r\x0bb\x1c\r"[..], [Standard, Standard]),
            (b"\x0ba\x1c\n\x0bb\x1c\r\n", [LineFeed, Standard]),
            (b"\x0ba\x1c\r\n\x0bb\x1c", [Standard, Silence]),
            (b"\x0ba\x1c\x0bb\x1c\n", [NextStart, LineFeed]),
        ] {
            assert_eq!(events(&[stream], 99), [message(b"a", endings[0]), message(b"b", endings[1])]);
        }
    }

    #[test]
    fn an_aborted_frame_is_never_glued_to_the_next() {
        let found = events(&[b"\x0baborted\x0bgood\x1c\r\x0bhalf"], 99);
        let aborted = broken(b"aborted", BrokenBy::NextStart);
        let half = broken(b"half", BrokenBy::EndOfStream);
        assert_eq!(found, [aborted, message(b"good", Ending::Standard), half]);
    }

    #[test]
    fn log_lines_stray_ends_and_empty_frames_disturb_nobody() {
        let found = events(&[b"log line\r\n\x0ba\x1c\r\x1c\r\x0b\x1c\r\x1c\r\x0bb\x1c\r"], 99);
        let a = message(b"a", Ending::Standard);
        let b = message(b"b", Ending::Standard);
        assert_eq!(found, [junk(b"log line\r\n"), a, junk(b"\x1c\r"), Event::Empty, junk(b"\x1c\r"), b]);
        let start = broken(b"", BrokenBy::EndOfStream);
        assert_eq!(events(&[b"\x1c\r\x0b"], 99), [junk(b"\x1c\r"), start]);
    }

    #[test]
    fn a_file_separator_inside_text_ends_nothing() {
        assert_eq!(events(&[b"\x0ba\x1cb\x1c\r"], 99), [message(b"a\x1cb", Ending::Standard)]);
    }

    #[test]
    fn a_frame_above_the_limit_is_skipped_and_the_next_one_is_taken() {
        let found = events(&[b"\x0b12345", b"6789\x1c\r\x0bnext\x1c\r"], 4);
        let head = Bytes::from_static(b"12345");
        assert_eq!(found[0], Event::TooLarge { head }, "the same however the stream was cut");
        assert_eq!(found[1..], [message(b"next", Ending::Standard)]);
    }

    #[test]
    fn junk_without_a_start_is_handed_out_in_bounded_pieces() {
        let mut framer = Framer::new(1 << 20);
        for _ in 0..1024 {
            framer.push(&[b'x'; 16 << 10]);
            while framer.next().is_some() {}
            assert!(framer.held() < 2 * JUNK_PIECE);
        }
    }

    #[test]
    fn cut_in_two_at_any_byte_a_stream_gives_the_same_events() {
        let stream = b"log\r\x0bone\x1ctwo\x1c\r\x0bthree\x1c\n\x1c\r\x0bfour\x1c\x0bcut off\x0b\x1c\r\x0bfive\x1c\r\x1c\r\x0bhalf";
        let events = |pieces: &[&[u8]]| {
            let mut framer = Framer::new(64);
            let mut events = Vec::new();
            for piece in pieces {
                framer.push(piece);
                events.extend(core::iter::from_fn(|| framer.next()));
            }
            events.extend(core::iter::from_fn(|| framer.close()));
            events
        };
        let whole = events(&[stream]);
        let messages = whole.iter().filter(|event| matches!(event, Event::Message { .. })).count();
        assert_eq!(messages, 4, "{whole:?}");
        for at in 0..=stream.len() {
            let (one, two) = stream.split_at(at);
            assert_eq!(events(&[one, two]), whole, "cut at {at}");
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(events(&bytes), whole);
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_events(
            stream in proptest::collection::vec(
                prop_oneof![Just(VT), Just(FS), Just(CR), Just(LF), Just(b'a'), Just(b'|')], 0..60),
            cuts in proptest::collection::vec(0_usize..60, 0..6),
            max in 1_usize..12,
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
            let heads_differ = |events: Vec<Event>| joined(events).into_iter().map(|event| match event {
                // How much of a frame above the limit had arrived when it was noticed depends on the chunks.
                Event::TooLarge { .. } => Event::TooLarge { head: Bytes::new() },
                event => event,
            }).collect::<Vec<_>>();
            prop_assert_eq!(heads_differ(events(&chunks, max)), heads_differ(events(&[&stream], max)));
        }

        #[test]
        fn arbitrary_bytes_never_panic(stream in proptest::collection::vec(any::<u8>(), 0..200), max in 1_usize..50) {
            events(&[&stream], max);
        }

        #[test]
        fn every_pipelined_message_arrives(payloads in proptest::collection::vec("[ -~\r]{1,80}", 1..20)) {
            let stream: Vec<u8> =
                payloads.iter().flat_map(|p| [&[VT], p.as_bytes(), &[FS, CR]].concat()).collect();
            let found = events(&[&stream], 99);
            let texts: Vec<_> = found.iter().map(|event| match event {
                Event::Message { payload, .. } => payload.as_ref(),
                _ => b"?",
            }).collect();
            prop_assert_eq!(texts, payloads.iter().map(|p| p.as_bytes()).collect::<Vec<_>>());
        }
    }
}
