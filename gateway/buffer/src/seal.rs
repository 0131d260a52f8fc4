//! Sealed blobs: AES-256-GCM under a key of the ring.
//!
//! `format 1 | key id 4 (LE) | object id 16 | nonce 12 | ciphertext | tag 16`. Format, key id, purpose and object id are
//! the associated data. The nonce is 96 bits from the operating system; a key seals far fewer than 2^32 blobs, because a
//! segment ends at a GiB and every start makes new keys. The first plain byte says whether the rest is compressed, so
//! that nobody without the key can make a reader inflate anything.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use ring::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

/// Format byte of this layout.
const FORMAT: u8 = 1;
const KEY_ID: usize = 1;
const OBJECT: usize = KEY_ID + 4;
const NONCE: usize = OBJECT + 16;
const HEADER: usize = NONCE + NONCE_LEN;
const TAG: usize = 16;

/// Below this many bytes compressing costs the acknowledgement more time than it saves flash.
const COMPRESS_FROM: usize = 4 << 10;
/// Nothing that was sealed here is larger than this when it is opened, in bytes.
const MAX_PLAIN: u64 = 64 << 20;

const PLAIN: u8 = 0;
const DEFLATED: u8 = 1;

/// What a blob is for. A blob sealed for one purpose does not open for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A capture in a segment.
    Capture,
    /// A part of a large capture.
    Chunk,
    /// A feed's own state.
    Mark,
    /// A value of the state database.
    State,
}

/// Why a blob was not sealed or does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// Not a blob of a known format.
    #[error("not a sealed blob of a known format")]
    Format,
    /// Its key is not in the ring: it was destroyed, or the blob belongs to another buffer.
    #[error("its key {0} is not in the ring")]
    NoKey(u32),
    /// It was changed, or sealed for something else.
    #[error("it was changed or sealed for something else")]
    Altered,
    /// The operating system gives no random numbers.
    #[error("the operating system gives no random numbers")]
    Random,
}

impl Purpose {
    const fn byte(self) -> u8 {
        match self {
            Self::Capture => 1,
            Self::Chunk => 2,
            Self::Mark => 3,
            Self::State => 4,
        }
    }
}

/// Seals `plain` under `key`, whose number is `key_id`.
pub(crate) fn seal(
    key: &LessSafeKey,
    key_id: u32,
    purpose: Purpose,
    plain: &[u8],
    random: &SystemRandom,
) -> Result<Vec<u8>, SealError> {
    let mut blob = vec![0; HEADER];
    blob[0] = FORMAT;
    blob[KEY_ID..OBJECT].copy_from_slice(&key_id.to_le_bytes());
    random.fill(&mut blob[OBJECT..HEADER]).map_err(|_| SealError::Random)?;
    blob.reserve(1 + plain.len() + TAG);
    put_body(&mut blob, plain);
    let aad = associated(&blob, purpose);
    let nonce = nonce(&blob)?;
    let tag = key
        .seal_in_place_separate_tag(nonce, Aad::from(aad), &mut blob[HEADER..])
        .map_err(|_| SealError::Altered)?;
    blob.extend_from_slice(tag.as_ref());
    Ok(blob)
}

/// The number of the key that a blob was sealed under.
pub(crate) fn key_id(blob: &[u8]) -> Result<u32, SealError> {
    if blob.len() < HEADER + 1 + TAG || blob[0] != FORMAT {
        return Err(SealError::Format);
    }
    let bytes = blob[KEY_ID..OBJECT].try_into().map_err(|_| SealError::Format)?;
    Ok(u32::from_le_bytes(bytes))
}

/// Opens a blob with the key of [`key_id`].
pub(crate) fn open(
    key: &LessSafeKey,
    purpose: Purpose,
    blob: &[u8],
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    key_id(blob)?;
    let mut body = Zeroizing::new(blob[HEADER..].to_vec());
    let plain = key
        .open_in_place(nonce(blob)?, Aad::from(associated(blob, purpose)), &mut body)
        .map_err(|_| SealError::Altered)?;
    match plain.split_first() {
        Some((&PLAIN, _)) => {
            let length = plain.len();
            body.truncate(length);
            body.drain(..1);
            Ok(body)
        }
        Some((&DEFLATED, deflated)) => {
            let mut inflated = Zeroizing::new(Vec::new());
            let read = DeflateDecoder::new(deflated).take(MAX_PLAIN).read_to_end(&mut inflated);
            read.map(|_| inflated).map_err(|_| SealError::Format)
        }
        _ => Err(SealError::Format),
    }
}

fn put_body(blob: &mut Vec<u8>, plain: &[u8]) {
    if plain.len() >= COMPRESS_FROM {
        let start = blob.len();
        blob.push(DEFLATED);
        let mut encoder = DeflateEncoder::new(core::mem::take(blob), Compression::fast());
        let written = encoder.write_all(plain);
        // Writing to memory does not fail; if it did, the blob goes plain below.
        *blob = encoder.finish().unwrap_or_default();
        if written.is_ok() && blob.len() > start && blob.len() - start <= plain.len() {
            return;
        }
        blob.truncate(start);
    }
    blob.push(PLAIN);
    blob.extend_from_slice(plain);
}

fn nonce(blob: &[u8]) -> Result<Nonce, SealError> {
    Nonce::try_assume_unique_for_key(&blob[NONCE..HEADER]).map_err(|_| SealError::Format)
}

/// Format, key id, object id and purpose; all of fixed length.
fn associated(blob: &[u8], purpose: Purpose) -> [u8; NONCE + 1] {
    let mut aad = [0; NONCE + 1];
    aad[..NONCE].copy_from_slice(&blob[..NONCE]);
    aad[NONCE] = purpose.byte();
    aad
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ring::aead::{AES_256_GCM, UnboundKey};

    use super::*;

    fn key(byte: u8) -> LessSafeKey {
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[byte; 32]).unwrap())
    }

    fn sealed(plain: &[u8]) -> Vec<u8> {
        seal(&key(1), 7, Purpose::Capture, plain, &SystemRandom::new()).unwrap()
    }

    #[test]
    fn a_blob_opens_only_with_its_key_and_for_its_purpose() {
        let blob = sealed(b"text");
        assert_eq!(key_id(&blob), Ok(7));
        assert_eq!(open(&key(1), Purpose::Capture, &blob).unwrap().as_slice(), b"text");
        assert_eq!(open(&key(2), Purpose::Capture, &blob), Err(SealError::Altered));
        assert_eq!(open(&key(1), Purpose::State, &blob), Err(SealError::Altered));
    }

    #[test]
    fn large_text_is_stored_small_and_noise_is_stored_as_it_is() {
        let text = b"OBX|1|NM|GLU||5.6|mmol/L|\r".repeat(1000);
        let blob = sealed(&text);
        assert!(blob.len() < text.len() / 10);
        assert_eq!(open(&key(1), Purpose::Capture, &blob).unwrap().as_slice(), text);
        let mut noise = vec![0; 8192];
        SystemRandom::new().fill(&mut noise).unwrap();
        assert_eq!(sealed(&noise).len(), HEADER + 1 + noise.len() + TAG);
    }

    #[test]
    fn the_same_text_never_gives_the_same_blob() {
        assert_ne!(sealed(b"a")[OBJECT..HEADER], sealed(b"a")[OBJECT..HEADER]);
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens(plain in proptest::collection::vec(any::<u8>(), 0..9000)) {
            let opened = open(&key(1), Purpose::Capture, &sealed(&plain)).unwrap();
            prop_assert_eq!(opened.as_slice(), plain.as_slice());
        }

        #[test]
        fn one_changed_bit_is_found(at in any::<prop::sample::Index>(), bit in 0_u8..8) {
            let mut blob = sealed(b"some text of a message");
            let at = at.index(blob.len());
            blob[at] ^= 1 << bit;
            prop_assert!(open(&key(1), Purpose::Capture, &blob).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(blob in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(open(&key(1), Purpose::Capture, &blob).is_err());
        }
    }
}
