//! The key ring: every key that the buffer seals, opens and looks up with.
//!
//! The key-encryption key wraps a root key, the root key seals the ring. The ring lies in two files outside the databases;
//! each change is written to the older of the two. A segment has a key of its own, and so has every start of the state,
//! so that a disk image put back never goes on with an old key.

mod file;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use model::IdKey;
use ring::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

pub use file::RingError;

use crate::Kek;
use crate::seal::{self, Purpose, SealError};
use file::{Root, Stored};

/// The keys of a buffer. Shared by everything that seals.
pub struct Ring {
    directory: PathBuf,
    root: Root,
    random: SystemRandom,
    mac: hmac::Key,
    id_key: IdKey,
    inner: RwLock<Inner>,
}

struct Inner {
    stored: Stored,
    keys: BTreeMap<u32, LessSafeKey>,
    state_key: u32,
}

/// Which key to seal under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUse {
    /// The state's key of this start.
    State,
    /// The key of a segment.
    Segment(u32),
}

impl Ring {
    /// Makes a ring in an empty directory.
    pub(crate) fn create(directory: &Path, kek: &Kek) -> Result<Self, RingError> {
        let random = SystemRandom::new();
        let root = Root::make(kek, &random)?;
        let stored = Stored { mac: secret(&random)?, id_key: secret(&random)?, ..Stored::default() };
        Self::with(directory, root, stored, random)
    }

    /// Opens the ring of a directory and adds the state key of this start.
    pub(crate) fn load(directory: &Path, kek: &Kek) -> Result<Self, RingError> {
        let (root, stored) = file::read(directory, kek)?;
        Self::with(directory, root, stored, SystemRandom::new())
    }

    /// Whether a directory has a ring, whole or not.
    pub(crate) fn exists(directory: &Path) -> bool {
        file::paths(directory).iter().any(|path| path.exists())
    }

    fn with(
        directory: &Path,
        root: Root,
        mut stored: Stored,
        random: SystemRandom,
    ) -> Result<Self, RingError> {
        let state_key = stored.add_key(&random)?;
        stored.state_keys.push(state_key);
        let keys = stored.keys.iter().map(|(id, secret)| Ok((*id, aead(secret)?)));
        let keys = keys.collect::<Result<_, RingError>>()?;
        let ring = Self {
            directory: directory.to_owned(),
            root,
            mac: hmac::Key::new(hmac::HMAC_SHA256, stored.mac.as_ref()),
            id_key: IdKey::new(&stored.id_key),
            random,
            inner: RwLock::new(Inner { stored, keys, state_key }),
        };
        ring.change(|_, _| Ok(()))?;
        Ok(ring)
    }

    /// Seals `plain`.
    ///
    /// # Errors
    /// When the segment has no key any more.
    pub fn seal(&self, key: KeyUse, purpose: Purpose, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let id = match key {
            KeyUse::State => inner.state_key,
            KeyUse::Segment(no) => *inner.stored.segments.get(&no).ok_or(SealError::NoKey(no))?,
        };
        let key = inner.keys.get(&id).ok_or(SealError::NoKey(id))?;
        seal::seal(key, id, purpose, plain, &self.random)
    }

    /// Opens a blob that was sealed for `purpose`.
    ///
    /// # Errors
    /// When its key was destroyed, or it was changed or sealed for something else.
    pub fn open(&self, purpose: Purpose, blob: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let id = seal::key_id(blob)?;
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        seal::open(inner.keys.get(&id).ok_or(SealError::NoKey(id))?, purpose, blob)
    }

    /// What stands for `value` in an index: the same value gives the same, and nobody without the key can tell which.
    pub fn blind(&self, domain: &str, value: &[u8]) -> [u8; 16] {
        let mut blind = [0; 16];
        blind.copy_from_slice(&self.mac(domain, value)[..16]);
        blind
    }

    /// HMAC-SHA-256 over `domain` and `value`.
    pub fn mac(&self, domain: &str, value: &[u8]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.mac);
        context.update(&(domain.len() as u64).to_le_bytes());
        context.update(domain.as_bytes());
        context.update(value);
        let mut mac = [0; 32];
        mac.copy_from_slice(context.sign().as_ref());
        mac
    }

    /// The key that outgoing ids are made with. It never rotates.
    pub fn id_key(&self) -> IdKey {
        self.id_key.clone()
    }

    /// Gives the next segment a number and a key, durable when this returns. Numbers are never used again: `at_least` is
    /// the highest number found on the disk, which may be newer than a ring that was put back.
    pub(crate) fn add_segment(&self, at_least: u32) -> Result<u32, RingError> {
        self.change(|inner, random| {
            let no = inner.stored.last_segment.max(at_least) + 1;
            let id = inner.stored.add_key(random)?;
            inner.stored.segments.insert(no, id);
            inner.stored.last_segment = no;
            let key = inner.stored.keys.get(&id).map(aead).transpose()?;
            inner.keys.extend(key.map(|key| (id, key)));
            Ok(no)
        })
    }

    /// Whether there is a key for a segment. There is until its captures were destroyed.
    pub(crate) fn has_segment(&self, no: u32) -> bool {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).stored.segments.contains_key(&no)
    }

    /// Destroys the key of a segment, durable when this returns. Doing it again is no error.
    pub(crate) fn drop_segment(&self, no: u32) -> Result<(), RingError> {
        self.change(|inner, _| {
            if let Some(id) = inner.stored.segments.remove(&no) {
                inner.stored.keys.remove(&id);
                inner.keys.remove(&id);
            }
            Ok(())
        })?;
        // The other copy held the key still.
        self.change(|_, _| Ok(()))
    }

    /// The last entry of the audit at the last start: there can be no fewer.
    pub(crate) fn audit_floor(&self) -> u64 {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).stored.audit
    }

    /// Remembers, outside of the database, how long the audit is; durable when this returns.
    pub(crate) fn note_audit(&self, entry: u64) -> Result<(), RingError> {
        if entry <= self.audit_floor() {
            return Ok(());
        }
        self.change(|inner, _| {
            inner.stored.audit = entry;
            Ok(())
        })
    }

    fn change<T>(
        &self,
        change: impl FnOnce(&mut Inner, &SystemRandom) -> Result<T, RingError>,
    ) -> Result<T, RingError> {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let done = change(&mut inner, &self.random)?;
        inner.stored.generation += 1;
        file::write(&self.directory, &self.root, &inner.stored, &self.random)?;
        Ok(done)
    }

    /// A ring in a directory that is gone: for tests that never change it.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let kek = Kek::create_file(&dir.path().join("k")).unwrap();
        Self::create(dir.path(), &kek).unwrap()
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ring")
    }
}

fn secret(random: &SystemRandom) -> Result<Zeroizing<[u8; 32]>, RingError> {
    let mut secret = Zeroizing::new([0; 32]);
    random.fill(secret.as_mut()).map_err(|_| RingError::Random)?;
    Ok(secret)
}

fn aead(secret: &Zeroizing<[u8; 32]>) -> Result<LessSafeKey, RingError> {
    UnboundKey::new(&AES_256_GCM, secret.as_ref()).map(LessSafeKey::new).map_err(|_| RingError::Random)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        dir: tempfile::TempDir,
        kek: Kek,
    }

    fn place() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let kek = Kek::create_file(&dir.path().join("kek")).unwrap();
        Place { dir, kek }
    }

    #[test]
    fn a_ring_opens_again_with_all_its_keys_and_a_new_one_for_the_state() {
        let Place { dir, kek } = place();
        let ring = Ring::create(dir.path(), &kek).unwrap();
        let no = ring.add_segment(0).unwrap();
        let (state, capture) = (KeyUse::State, KeyUse::Segment(no));
        let old = ring.seal(state, Purpose::State, b"a").unwrap();
        let stored = ring.seal(capture, Purpose::Capture, b"b").unwrap();
        let (blind, id) = (ring.blind("x", b"y"), ring.id_key().id("r", &["1"]));
        drop(ring);

        let ring = Ring::load(dir.path(), &kek).unwrap();
        assert_eq!(ring.open(Purpose::State, &old).unwrap().as_slice(), b"a");
        assert_eq!(ring.open(Purpose::Capture, &stored).unwrap().as_slice(), b"b");
        assert_eq!((ring.blind("x", b"y"), ring.id_key().id("r", &["1"])), (blind, id));
        let new = ring.seal(state, Purpose::State, b"a").unwrap();
        assert_ne!(seal::key_id(&old), seal::key_id(&new));
        assert_eq!(ring.add_segment(0).unwrap(), no + 1);
        assert_eq!(ring.add_segment(9).unwrap(), 10);
    }

    #[test]
    fn a_dropped_segment_opens_never_again() {
        let Place { dir, kek } = place();
        let ring = Ring::create(dir.path(), &kek).unwrap();
        let no = ring.add_segment(0).unwrap();
        let blob = ring.seal(KeyUse::Segment(no), Purpose::Capture, b"b").unwrap();
        ring.drop_segment(no).unwrap();
        ring.drop_segment(no).unwrap();
        assert!(ring.open(Purpose::Capture, &blob).is_err());
        drop(ring);
        let ring = Ring::load(dir.path(), &kek).unwrap();
        assert!(ring.open(Purpose::Capture, &blob).is_err());
    }

    #[test]
    fn a_wrong_key_is_told_apart_from_a_damaged_ring() {
        let Place { dir, kek } = place();
        drop(Ring::create(dir.path(), &kek).unwrap());
        let other = Kek::create_file(&dir.path().join("other")).unwrap();
        assert!(matches!(Ring::load(dir.path(), &other), Err(RingError::WrongKey)));
        for path in file::paths(dir.path()) {
            if path.exists() {
                let mut bytes = std::fs::read(&path).unwrap();
                let last = bytes.len() - 1;
                bytes[last] ^= 1;
                std::fs::write(&path, bytes).unwrap();
            }
        }
        assert!(matches!(Ring::load(dir.path(), &kek), Err(RingError::Damaged)));
    }

    #[test]
    fn one_damaged_copy_is_made_good_by_the_other() {
        let Place { dir, kek } = place();
        let ring = Ring::create(dir.path(), &kek).unwrap();
        let no = ring.add_segment(0).unwrap();
        ring.drop_segment(99).unwrap();
        let newest = file::paths(dir.path())
            .into_iter()
            .max_by_key(|path| std::fs::metadata(path).unwrap().modified().unwrap())
            .unwrap();
        std::fs::write(newest, b"torn").unwrap();
        drop(ring);
        let ring = Ring::load(dir.path(), &kek).unwrap();
        assert!(ring.seal(KeyUse::Segment(no), Purpose::Capture, b"b").is_ok());
    }
}
