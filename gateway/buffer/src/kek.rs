//! The key-encryption key: 32 bytes from outside the buffer that open its key ring.

use core::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

/// Length of the key in bytes.
const LENGTH: usize = 32;

/// The key-encryption key and where it came from. Never shown.
pub struct Kek {
    pub(crate) secret: Zeroizing<[u8; LENGTH]>,
    tier: Tier,
}

/// What the key protects against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// Handed over by systemd; whoever takes the disk alone does not have it when it is bound to the TPM.
    Credential,
    /// A file on this box, which goes away together with the data.
    SameDisk,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KekError {
    /// There is no such file.
    #[error(
        "there is no key at {path}: make one with `hospital-gateway keys create --file {path}`, or restore the one this buffer was made with"
    )]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The service has no such credential.
    #[error(
        "systemd handed over no credential {name:?}: add LoadCredentialEncrypted={name}:PATH to the unit"
    )]
    NoCredential {
        /// Its name.
        name: String,
    },
    /// It is no regular file.
    #[error("{path} is no regular file")]
    NotAFile {
        /// What it is.
        path: PathBuf,
    },
    /// Others may read it.
    #[error("{path} may be read by others (mode {mode:04o}): chmod 600 {path}")]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It does not hold 32 bytes.
    #[error("{path} holds {length} bytes, a key is 32 random bytes")]
    Length {
        /// The file.
        path: PathBuf,
        /// What it holds, counted up to 33.
        length: usize,
    },
    /// There is a file already; a key is never overwritten.
    #[error(
        "{path} exists already and is left as it is: a key that is overwritten makes its buffer unreadable"
    )]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read or written.
    #[error("{path} cannot be used")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The operating system gives no random numbers.
    #[error("the operating system gives no random numbers")]
    Random,
}

impl Kek {
    /// Reads a key file: 32 bytes in a regular file that only its owner may read.
    ///
    /// # Errors
    /// Says what is wrong with the file and what to do.
    pub fn from_file(path: &Path) -> Result<Self, KekError> {
        let path_buf = || path.to_owned();
        let file = File::open(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => KekError::Missing { path: path_buf() },
            _ => KekError::Io { path: path_buf(), source },
        })?;
        let meta = file.metadata().map_err(|source| KekError::Io { path: path_buf(), source })?;
        if !meta.is_file() {
            return Err(KekError::NotAFile { path: path_buf() });
        }
        let mode = meta.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KekError::TooOpen { path: path_buf(), mode });
        }
        Self::read(file, path, Tier::SameDisk)
    }

    /// Reads the credential `name` that systemd handed over in `directory` (`$CREDENTIALS_DIRECTORY`).
    ///
    /// # Errors
    /// When there is none, or it is no key.
    pub fn from_credential(directory: Option<&Path>, name: &str) -> Result<Self, KekError> {
        let missing = || KekError::NoCredential { name: name.to_owned() };
        let path = directory.ok_or_else(missing)?.join(name);
        let file = File::open(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => missing(),
            _ => KekError::Io { path: path.clone(), source },
        })?;
        Self::read(file, &path, Tier::Credential)
    }

    /// Makes a new key in a new file of mode 0600, durable when this returns.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn create_file(path: &Path) -> Result<Self, KekError> {
        let mut secret = Zeroizing::new([0; LENGTH]);
        SystemRandom::new().fill(secret.as_mut()).map_err(|_| KekError::Random)?;
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AlreadyExists => KekError::Exists { path: path.to_owned() },
            _ => KekError::Io { path: path.to_owned(), source },
        };
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
        file.write_all(secret.as_ref()).and_then(|()| file.sync_all()).map_err(failed)?;
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        File::open(parent).and_then(|dir| dir.sync_all()).map_err(failed)?;
        Ok(Self { secret, tier: Tier::SameDisk })
    }

    /// What the key protects against.
    pub const fn tier(&self) -> Tier {
        self.tier
    }

    fn read(file: File, path: &Path, tier: Tier) -> Result<Self, KekError> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(LENGTH + 1));
        file.take(LENGTH as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(|source| KekError::Io { path: path.to_owned(), source })?;
        let mut secret = Zeroizing::new([0; LENGTH]);
        if bytes.len() != LENGTH {
            return Err(KekError::Length { path: path.to_owned(), length: bytes.len() });
        }
        secret.copy_from_slice(&bytes);
        Ok(Self { secret, tier })
    }
}

impl fmt::Debug for Kek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kek({:?})", self.tier)
    }
}

impl Tier {
    /// In words, for `status`.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Credential => {
                "credential: protects a stolen disk as far as systemd keeps the credential (TPM or host key)"
            }
            Self::SameDisk => {
                "same-disk: no protection against theft of the box, the key lies beside the data"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("buffer.key");
        let made = Kek::create_file(&path).unwrap();
        assert_eq!(*Kek::from_file(&path).unwrap().secret, *made.secret);
        assert!(matches!(Kek::create_file(&path), Err(KekError::Exists { .. })));
        assert_eq!(*Kek::from_credential(Some(dir.path()), "buffer.key").unwrap().secret, *made.secret);
    }

    #[test]
    fn what_is_wrong_with_a_key_file_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k");
        assert!(matches!(Kek::from_file(&path), Err(KekError::Missing { .. })));
        std::fs::write(&path, [1; 31]).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Kek::from_file(&path), Err(KekError::TooOpen { mode: 0o640, .. })));
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(Kek::from_file(&path), Err(KekError::Length { length: 31, .. })));
        assert!(matches!(Kek::from_file(dir.path()), Err(KekError::NotAFile { .. })));
        assert!(matches!(Kek::from_credential(None, "k"), Err(KekError::NoCredential { .. })));
    }
}
