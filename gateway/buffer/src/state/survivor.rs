//! Captures that outlive their segment: unsettled when its time came, sealed again under the state key.

use core::str;

use feed::{Capture, CaptureId, FeedName, Form};
use jiff::Timestamp;

use super::listing::bounded;
use super::{Read, StateError, Tx};
use crate::Stored;

/// A capture is kept in parts of this many bytes, so that no single row is large.
const PART: usize = 256 * 1024;

impl Read<'_> {
    /// A capture that outlived its segment.
    ///
    /// # Errors
    /// When the database fails or the capture does not open.
    pub fn survivor(&self, id: CaptureId) -> Result<Option<Stored>, StateError> {
        let sql = "SELECT sealed FROM survivor WHERE capture = ?1 ORDER BY part";
        let parts = self.all(sql, [id.to_i64()], |row| row.get::<_, Vec<u8>>(0))?;
        if parts.is_empty() {
            return Ok(None);
        }
        let mut plain = Vec::new();
        for part in parts {
            plain.extend(self.open(&part)?);
        }
        Ok(Some(Stored { id, capture: decode(plain).ok_or(StateError::Damaged("survivor"))? }))
    }

    /// Whether the capture has outlived its segment.
    pub(crate) fn has_survived(&self, id: CaptureId) -> Result<bool, StateError> {
        let sql = "SELECT 1 FROM survivor WHERE capture = ?1 AND part = 0";
        Ok(self.one(sql, [id.to_i64()], |_| Ok(()))?.is_some())
    }

    /// Up to `limit` survivors after `after`.
    pub(crate) fn survivors(&self, after: CaptureId, limit: usize) -> Result<Vec<CaptureId>, StateError> {
        let sql = "SELECT capture FROM survivor WHERE capture > ?1 AND part = 0 ORDER BY capture LIMIT ?2";
        self.all(sql, (after.to_i64(), bounded(limit)), |row| super::capture::capture(row, 0))
    }

    /// The captures from after `after` up to `to` that something still needs: an unsettled delivery to a required
    /// destination, or quarantine.
    pub(crate) fn open_captures(
        &self,
        after: CaptureId,
        to: CaptureId,
    ) -> Result<Vec<CaptureId>, StateError> {
        self.all(OPEN, (after.to_i64(), to.to_i64()), |row| super::capture::capture(row, 0))
    }
}

const OPEN: &str = "SELECT capture FROM delivery WHERE capture > ?1 AND capture <= ?2 AND state IN (0, 3)
                    AND destination IN (SELECT id FROM destination WHERE required)
                    UNION SELECT capture FROM exception WHERE capture > ?1 AND capture <= ?2 AND outcome = 5
                    ORDER BY capture";

impl Tx<'_> {
    /// Seals a capture again, so that its segment can go. Doing it twice changes nothing.
    pub(crate) fn survive(&self, stored: &Stored) -> Result<(), StateError> {
        for (part, bytes) in (0_u32..).zip(encode(&stored.capture).chunks(PART)) {
            let sql = "INSERT OR REPLACE INTO survivor (capture, part, sealed) VALUES (?1, ?2, ?3)";
            self.execute(sql, (stored.id.to_i64(), part, self.seal(bytes)?))?;
        }
        Ok(())
    }

    /// Destroys a survivor.
    pub(crate) fn drop_survivor(&self, id: CaptureId) -> Result<(), StateError> {
        self.execute("DELETE FROM survivor WHERE capture = ?1", [id.to_i64()])?;
        Ok(())
    }
}

/// Form, time, feed and peer (each with its length), then the body.
fn encode(capture: &Capture) -> Vec<u8> {
    let (feed, peer) = (capture.feed.as_str().as_bytes(), capture.peer.as_bytes());
    let peer = &peer[..peer.len().min(usize::from(u16::MAX))];
    let mut bytes = Vec::with_capacity(16 + feed.len() + peer.len() + capture.body.len());
    bytes.push(capture.form.to_byte());
    bytes.extend(capture.received.as_microsecond().to_le_bytes());
    for text in [feed, peer] {
        bytes.extend((text.len() as u16).to_le_bytes());
        bytes.extend(text);
    }
    bytes.extend(&capture.body);
    bytes
}

fn decode(bytes: Vec<u8>) -> Option<Capture> {
    let (form, rest) = bytes.split_first()?;
    let (received, rest) = rest.split_first_chunk::<8>()?;
    let (feed, rest) = text(rest)?;
    let (peer, rest) = text(rest)?;
    Some(Capture {
        feed: FeedName::new(feed).ok()?,
        received: Timestamp::from_microsecond(i64::from_le_bytes(*received)).ok()?,
        peer: peer.into(),
        form: Form::from_byte(*form)?,
        body: rest.to_vec().into(),
    })
}

fn text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (text, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    Some((str::from_utf8(text).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::state::testing::{at, feed, scratch};

    fn stored(body: Vec<u8>) -> Stored {
        let capture = Capture {
            feed: feed("his"),
            received: at(5),
            peer: "10.1.0.7:4711".into(),
            form: Form::Whole,
            body: body.into(),
        };
        Stored { id: CaptureId::new(1, 7), capture }
    }

    #[test]
    fn a_large_survivor_is_kept_in_parts_and_reads_back_whole() {
        let state = scratch();
        state.write(|tx| {
            let whole = stored((0..1_000_000_u32).map(|n| n as u8).collect());
            tx.survive(&whole)?;
            let last =
                tx.one("SELECT max(part) FROM survivor WHERE capture = ?1", [whole.id.to_i64()], |row| {
                    row.get(0)
                })?;
            assert_eq!(last, Some(3));
            let back = tx.survivor(whole.id)?.expect("kept").capture;
            assert_eq!(
                (back.body, back.peer, back.received),
                (whole.capture.body, whole.capture.peer, at(5))
            );
            tx.drop_survivor(whole.id)?;
            assert!(tx.survivor(whole.id)?.is_none());
            Ok(())
        });
    }

    proptest! {
        #[test]
        fn every_capture_reads_back(body: Vec<u8>, peer: String, micros in 0_i64..4_000_000_000_000_000, form in 0_u8..3) {
            let capture = Capture {
                feed: feed("lis-2"),
                received: Timestamp::from_microsecond(micros).unwrap(),
                peer: peer.into(),
                form: Form::from_byte(form).unwrap(),
                body: body.into(),
            };
            let back = decode(encode(&capture)).unwrap();
            prop_assert_eq!((back.feed, back.received, back.peer, back.form, back.body),
                            (capture.feed, capture.received, capture.peer, capture.form, capture.body));
        }

        #[test]
        fn damaged_bytes_are_an_error_and_no_panic(bytes: Vec<u8>) {
            let _ = decode(bytes);
        }
    }
}
