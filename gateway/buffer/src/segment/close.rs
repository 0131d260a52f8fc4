//! Closing a segment: its log folded in, checked, digested.

use std::io::Read as _;
use std::path::Path;

use ring::digest::{Context, SHA256};
use rusqlite::OpenFlags;

use super::file::{self, SegmentError};

/// What a closed segment comes to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closed {
    /// Its last row; 0 when it is empty.
    pub(crate) last: u32,
    /// Its size in bytes.
    pub(crate) bytes: u64,
    /// SHA-256 of its file.
    pub(crate) digest: [u8; 32],
}

/// Closes segment `no`, which has no writer any more. Doing it again gives the same.
pub(crate) fn close(directory: &Path, no: u32, vfs: Option<&str>) -> Result<Closed, SegmentError> {
    let failed = |source| SegmentError::Sqlite { no, source };
    let path = file::path(directory, no);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = file::open(&path, flags, vfs).map_err(failed)?;
    // A reader that is still at it keeps the log; then the next start folds it in.
    db.execute_batch("PRAGMA synchronous=FULL; PRAGMA wal_checkpoint(TRUNCATE);").map_err(failed)?;
    let found: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if found != "ok" {
        return Err(SegmentError::Damaged { no, found });
    }
    let last: Option<u32> =
        db.query_row("SELECT max(id) FROM capture", [], |row| row.get(0)).map_err(failed)?;
    drop(db);
    let (bytes, digest) = digest(&path)?;
    Ok(Closed { last: last.unwrap_or(0), bytes, digest })
}

fn digest(path: &Path) -> Result<(u64, [u8; 32]), SegmentError> {
    let failed = |source| SegmentError::Io { path: path.to_owned(), source };
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 128 << 10];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut buffer).map_err(failed)?;
        if read == 0 {
            break;
        }
        context.update(&buffer[..read]);
        bytes += read as u64;
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    Ok((bytes, digest))
}
