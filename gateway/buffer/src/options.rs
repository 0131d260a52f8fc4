//! What a buffer is opened with.

use core::time::Duration;
use std::path::PathBuf;

use jiff::SignedDuration;

/// What a buffer is opened with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it lies.
    pub directory: PathBuf,
    /// How large it may grow.
    pub max_size: MaxSize,
    /// How long delivered captures are kept.
    pub keep_delivered: SignedDuration,
    /// How long the audit is kept.
    pub keep_audit: SignedDuration,
    /// How long a commit waits for more captures; none by default.
    pub commit_delay: Duration,
    /// Bytes of broken frames and junk that a segment keeps whole; of what comes beyond only the first bytes.
    pub quarantine_junk: u64,
    /// How long work on the state that is not urgent may linger.
    pub linger: Duration,
    /// The SQLite backend, where it is not the default.
    #[doc(hidden)]
    pub vfs: Option<String>,
    /// Off only to show that the tests of durability can fail.
    #[doc(hidden)]
    pub synchronous: bool,
}

/// How large a buffer may grow. Whatever it says, 512 MiB of the partition stay free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxSize {
    /// A share of its partition, in percent.
    Percent(u8),
    /// Bytes.
    Bytes(u64),
}

impl Options {
    /// The defaults, in `directory`.
    pub fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            max_size: MaxSize::Percent(60),
            keep_delivered: SignedDuration::from_hours(24 * 7),
            keep_audit: SignedDuration::from_hours(24 * 185),
            commit_delay: Duration::ZERO,
            quarantine_junk: 256 << 20,
            linger: Duration::from_millis(200),
            vfs: None,
            synchronous: true,
        }
    }
}
