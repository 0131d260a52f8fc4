//! How much the buffer holds, and how much it may.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::MaxSize;

/// Free space that is never used, in bytes.
const HEADROOM: u64 = 512 << 20;
/// Size of the file that is given up when the disk is full, so that what drains the buffer can still be written.
const RESERVE: u64 = 32 << 20;

/// What the buffer holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes on the disk, write-ahead logs included.
    pub bytes: u64,
    /// Bytes it may hold: the configured size, or less where its partition has less to give.
    pub limit: u64,
    /// Bytes of segments.
    pub segments: u64,
    /// Bytes of the state.
    pub state: u64,
    /// Whether the reserve is there.
    pub reserve: bool,
}

impl Usage {
    /// Whether delivered data should go before their time.
    pub fn is_pressed(&self) -> bool {
        self.bytes >= self.limit / 10 * 8
    }

    /// Whether nothing more may come in.
    pub fn is_full(&self) -> bool {
        self.bytes >= self.limit
    }

    /// Whether there is room again after it was full.
    pub fn has_room(&self) -> bool {
        self.bytes < self.limit / 100 * 95
    }
}

/// Measures the buffer in `directory`.
pub(crate) fn usage(directory: &Path, max: MaxSize) -> io::Result<Usage> {
    let segments = size(&directory.join("seg"))?;
    let reserve = fs::metadata(reserve_path(directory)).map_or(0, |meta| meta.len());
    let state = size(directory)?.saturating_sub(reserve);
    let bytes = segments + state;
    let stat = rustix::fs::statvfs(directory)?;
    let partition = Partition { total: stat.f_blocks * stat.f_frsize, free: stat.f_bavail * stat.f_frsize };
    Ok(Usage { bytes, limit: partition.limit(max, bytes), segments, state, reserve: reserve > 0 })
}

/// The file system that the buffer lies on.
#[derive(Clone, Copy)]
struct Partition {
    total: u64,
    free: u64,
}

impl Partition {
    /// How much a buffer that holds `bytes` may hold. What it holds itself is no reason to give it less.
    fn limit(self, max: MaxSize, bytes: u64) -> u64 {
        let configured = match max {
            MaxSize::Percent(percent) => self.total / 100 * u64::from(percent),
            MaxSize::Bytes(bytes) => bytes,
        };
        // A small partition keeps a part of itself free instead.
        let headroom = HEADROOM.min(self.total / 8);
        configured.min((bytes + self.free).saturating_sub(headroom))
    }
}

/// Sets the reserve aside where there is room for it.
pub(crate) fn make_reserve(directory: &Path) -> io::Result<()> {
    let path = reserve_path(directory);
    let stat = rustix::fs::statvfs(directory)?;
    if path.exists() || stat.f_bavail * stat.f_frsize < 8 * RESERVE {
        return Ok(());
    }
    let made = OpenOptions::new().write(true).create_new(true).open(&path).and_then(|mut file| {
        // Zeros on the disk, not a hole: only blocks that are taken can be given back.
        let zeros = vec![0; 1 << 20];
        for _ in 0..RESERVE >> 20 {
            file.write_all(&zeros)?;
        }
        file.sync_all()
    });
    made.or_else(|error| {
        fs::remove_file(&path)?;
        Err(error)
    })
}

/// Gives the reserve up.
pub(crate) fn give_reserve(directory: &Path) {
    // Where it is gone already there is nothing to give.
    let _ = fs::remove_file(reserve_path(directory));
}

fn reserve_path(directory: &Path) -> PathBuf {
    directory.join("reserve")
}

/// The sizes of the files in a directory, not below it. Files that go away meanwhile count nothing.
fn size(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        bytes += entry?.metadata().map_or(0, |meta| if meta.is_file() { meta.len() } else { 0 });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_counts_as_free_and_can_be_given_up() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("seg")).unwrap();
        fs::write(dir.path().join("state.db"), [0; 100]).unwrap();
        fs::write(dir.path().join("seg/1.db"), [0; 50]).unwrap();
        make_reserve(dir.path()).unwrap();
        let held = usage(dir.path(), MaxSize::Bytes(1000)).unwrap();
        assert_eq!((held.bytes, held.segments, held.state, held.limit), (150, 50, 100, 1000));
        give_reserve(dir.path());
        assert!(!usage(dir.path(), MaxSize::Bytes(1000)).unwrap().reserve);
    }

    #[test]
    fn the_limit_of_a_partition_does_not_move_with_what_the_buffer_itself_puts_there() {
        const TOTAL: u64 = 4 << 30;
        let limit = |bytes: u64, others: u64| {
            Partition { total: TOTAL, free: TOTAL - bytes - others }.limit(MaxSize::Percent(95), bytes)
        };
        let empty = limit(0, 0);
        assert_eq!(empty, TOTAL - HEADROOM);
        for bytes in [1, 1 << 30, 3 << 30] {
            assert_eq!(limit(bytes, 0), empty);
        }
        assert_eq!(limit(1 << 30, 1 << 30), empty - (1 << 30), "what others put there takes away");
    }

    #[test]
    fn pressure_comes_before_fullness_and_room_only_well_below_it() {
        let at = |bytes| Usage { bytes, limit: 1000, ..Usage::default() };
        assert!(!at(799).is_pressed() && at(800).is_pressed() && !at(999).is_full());
        assert!(at(1000).is_full() && !at(960).has_room() && at(940).has_room());
    }
}
