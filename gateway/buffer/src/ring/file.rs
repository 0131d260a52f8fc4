//! The ring on disk: `keys.0` and `keys.1`, written in turn.
//!
//! `HGWKEYS1 | generation 8 (LE) | key check 16 | wrapped root key 60 | sealed ring | SHA-256 32`. The digest tells damage
//! from a wrong key; the key check tells which key-encryption key it needs without trying.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::Kek;

const MAGIC: &[u8; 8] = b"HGWKEYS1";
const CHECK: usize = 16;
const WRAPPED: usize = NONCE_LEN + 32 + 16;
const DIGEST: usize = 32;
const BODY: usize = MAGIC.len() + 8 + CHECK + WRAPPED;

/// Why there is no ring.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// There is data and no ring.
    #[error(
        "there are data in {0} but no key ring (keys.0, keys.1): restore the ring, nothing can be read without it"
    )]
    Missing(PathBuf),
    /// Neither copy is whole.
    #[error("both copies of the key ring (keys.0, keys.1) are damaged: restore one from a backup")]
    Damaged,
    /// Another key-encryption key made it.
    #[error("the key does not open this buffer: it was made with another one; name that one in [buffer] key")]
    WrongKey,
    /// The operating system gives no random numbers.
    #[error("the operating system gives no random numbers")]
    Random,
    /// A copy cannot be read or written.
    #[error("the key ring file {path} cannot be used")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The root key, and how it lies in the file.
pub(super) struct Root {
    key: LessSafeKey,
    check: [u8; CHECK],
    wrapped: [u8; WRAPPED],
}

/// What the ring holds.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) generation: u64,
    pub(super) mac: Zeroizing<[u8; 32]>,
    pub(super) id_key: Zeroizing<[u8; 32]>,
    pub(super) keys: BTreeMap<u32, Zeroizing<[u8; 32]>>,
    /// The state's keys, oldest first.
    pub(super) state_keys: Vec<u32>,
    /// The key of each segment.
    pub(super) segments: BTreeMap<u32, u32>,
    pub(super) last_segment: u32,
    pub(super) last_key: u32,
    /// How long the audit was at the last start.
    #[serde(default)]
    pub(super) audit: u64,
}

impl Stored {
    pub(super) fn add_key(&mut self, random: &SystemRandom) -> Result<u32, RingError> {
        let mut secret = Zeroizing::new([0; 32]);
        random.fill(secret.as_mut()).map_err(|_| RingError::Random)?;
        self.last_key += 1;
        self.keys.insert(self.last_key, secret);
        Ok(self.last_key)
    }
}

impl Root {
    pub(super) fn make(kek: &Kek, random: &SystemRandom) -> Result<Self, RingError> {
        let mut secret = Zeroizing::new([0; 32]);
        random.fill(secret.as_mut()).map_err(|_| RingError::Random)?;
        let sealed = seal(&key(&kek.secret)?, MAGIC, secret.as_ref(), random)?;
        let wrapped = sealed.try_into().map_err(|_| RingError::Random)?;
        Ok(Self { key: key(&secret)?, check: check(kek), wrapped })
    }

    fn read(kek: &Kek, check_bytes: &[u8], wrapped: &[u8]) -> Result<Self, RingError> {
        if check_bytes != check(kek) {
            return Err(RingError::WrongKey);
        }
        let secret = open(&key(&kek.secret)?, MAGIC, wrapped).ok_or(RingError::WrongKey)?;
        let secret = Zeroizing::new(secret.as_slice().try_into().map_err(|_| RingError::Damaged)?);
        let wrapped = wrapped.try_into().map_err(|_| RingError::Damaged)?;
        Ok(Self { key: key(&secret)?, check: check(kek), wrapped })
    }
}

/// The two copies.
pub(super) fn paths(directory: &Path) -> [PathBuf; 2] {
    [directory.join("keys.0"), directory.join("keys.1")]
}

/// Reads the newer of the copies that are whole.
pub(super) fn read(directory: &Path, kek: &Kek) -> Result<(Root, Stored), RingError> {
    let mut newest: Option<(Root, Stored)> = None;
    let mut wrong_key = false;
    let mut found = false;
    for path in paths(directory) {
        let bytes = match fs::read(&path) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(RingError::Io { path, source }),
        };
        found = true;
        match parse(&bytes, kek) {
            Ok(copy) if newest.as_ref().is_none_or(|n| n.1.generation < copy.1.generation) => {
                newest = Some(copy)
            }
            Ok(_) => {}
            Err(RingError::WrongKey) => wrong_key = true,
            Err(_) => {}
        }
    }
    match newest {
        Some(copy) => Ok(copy),
        None if wrong_key => Err(RingError::WrongKey),
        None if found => Err(RingError::Damaged),
        None => Err(RingError::Missing(directory.to_owned())),
    }
}

/// Writes the copy that this generation has its turn on; the other one stays as it is until the next change.
pub(super) fn write(
    directory: &Path,
    root: &Root,
    stored: &Stored,
    random: &SystemRandom,
) -> Result<(), RingError> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&stored.generation.to_le_bytes());
    bytes.extend_from_slice(&root.check);
    bytes.extend_from_slice(&root.wrapped);
    let plain = Zeroizing::new(serde_json::to_vec(stored).map_err(|_| RingError::Damaged)?);
    let body = seal(&root.key, &bytes, &plain, random)?;
    bytes.extend_from_slice(&body);
    bytes.extend_from_slice(digest(&SHA256, &bytes).as_ref());

    let [even, odd] = paths(directory);
    let path = if stored.generation.is_multiple_of(2) { even } else { odd };
    put(directory, &path, &bytes).map_err(|source| RingError::Io { path, source })
}

/// Beside it, synced, renamed over it, and the rename synced: one of the two states is there after any crash.
fn put(directory: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(directory)?.sync_all()
}

fn parse(bytes: &[u8], kek: &Kek) -> Result<(Root, Stored), RingError> {
    let (head, sum) = bytes.split_at_checked(bytes.len().saturating_sub(DIGEST)).ok_or(RingError::Damaged)?;
    if head.len() < BODY || digest(&SHA256, head).as_ref() != sum || !head.starts_with(MAGIC) {
        return Err(RingError::Damaged);
    }
    let check = &head[16..16 + CHECK];
    let root = Root::read(kek, check, &head[16 + CHECK..BODY])?;
    let plain = open(&root.key, &head[..BODY], &head[BODY..]).ok_or(RingError::Damaged)?;
    let stored = serde_json::from_slice(&plain).map_err(|_| RingError::Damaged)?;
    Ok((root, stored))
}

/// Sixteen bytes that tell key-encryption keys apart without telling anything about them.
fn check(kek: &Kek) -> [u8; CHECK] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, kek.secret.as_ref());
    let mut check = [0; CHECK];
    check.copy_from_slice(&hmac::sign(&key, b"hospital-gateway key check").as_ref()[..CHECK]);
    check
}

fn key(secret: &[u8; 32]) -> Result<LessSafeKey, RingError> {
    UnboundKey::new(&AES_256_GCM, secret).map(LessSafeKey::new).map_err(|_| RingError::Random)
}

fn seal(key: &LessSafeKey, aad: &[u8], plain: &[u8], random: &SystemRandom) -> Result<Vec<u8>, RingError> {
    let mut nonce = [0; NONCE_LEN];
    random.fill(&mut nonce).map_err(|_| RingError::Random)?;
    let mut body = plain.to_vec();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut body)
        .map_err(|_| RingError::Random)?;
    Ok([&nonce[..], &body].concat())
}

fn open(key: &LessSafeKey, aad: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, body) = sealed.split_at_checked(NONCE_LEN)?;
    let mut body = Zeroizing::new(body.to_vec());
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let length = key.open_in_place(nonce, Aad::from(aad), &mut body).ok()?.len();
    body.truncate(length);
    Some(body)
}
