//! One segment file: its tables, and what a row holds.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use feed::{Capture, FeedName, Form};
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};

/// Bodies above this size go to rows of their own, in bytes.
pub(crate) const CHUNKED_FROM: usize = 256 << 10;
/// Size of the parts of such a body, in bytes.
pub(crate) const CHUNK: usize = 64 << 10;

const SCHEMA: &str = "
CREATE TABLE capture (
    id          INTEGER PRIMARY KEY,
    at          INTEGER NOT NULL,   -- received, microseconds since 1970 UTC
    feed        TEXT NOT NULL,
    len         INTEGER NOT NULL,   -- of the body, before sealing
    first_chunk INTEGER,            -- of a large body: its rows in chunk
    last_chunk  INTEGER,
    sealed      BLOB NOT NULL       -- form, peer and the body, or what of it is not in chunks
) STRICT;
CREATE TABLE chunk (id INTEGER PRIMARY KEY, sealed BLOB NOT NULL) STRICT;
CREATE TABLE feed_mark (feed TEXT NOT NULL, key TEXT NOT NULL, sealed BLOB NOT NULL, PRIMARY KEY (feed, key)) STRICT, WITHOUT ROWID;
PRAGMA user_version = 1;
";

/// Why a segment cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SegmentError {
    /// SQLite refused.
    #[error("segment {no} failed")]
    Sqlite {
        no: u32,
        #[source]
        source: rusqlite::Error,
    },
    /// The directory refused.
    #[error("the segment directory {path} cannot be used")]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// SQLite found the file damaged.
    #[error("segment {no} is damaged: {found}")]
    Damaged { no: u32, found: String },
}

/// The file of segment `no`.
pub(crate) fn path(directory: &Path, no: u32) -> PathBuf {
    directory.join("seg").join(format!("{no:08}.db"))
}

/// The numbers of the segments that have a file, in order.
pub(crate) fn numbers(directory: &Path) -> Result<Vec<u32>, SegmentError> {
    let seg = directory.join("seg");
    let failed = |source| SegmentError::Io { path: seg.clone(), source };
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(&seg).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let number: Option<u32> =
            name.to_str().and_then(|name| name.strip_suffix(".db")).and_then(|no| no.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// A mark of a feed, sealed: feed, key, value.
pub(crate) type SealedMark = (String, String, Vec<u8>);

/// Makes segment `no` and opens it for writing. Its tables and the marks it begins with are there together or not at all.
pub(crate) fn create(
    directory: &Path,
    no: u32,
    vfs: Option<&str>,
    synchronous: bool,
    marks: &[SealedMark],
) -> Result<Connection, SegmentError> {
    let failed = |source| SegmentError::Sqlite { no, source };
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = open(&path(directory, no), flags, vfs).map_err(failed)?;
    let sync = if synchronous { "FULL" } else { "OFF" };
    db.execute_batch(&format!(
        "PRAGMA page_size=8192; PRAGMA auto_vacuum=NONE; PRAGMA journal_mode=WAL; PRAGMA synchronous={sync};
         PRAGMA wal_autocheckpoint=512; PRAGMA temp_store=MEMORY;"
    ))
    .map_err(failed)?;
    let fill = |db: &mut Connection| {
        let tx = db.transaction()?;
        tx.execute_batch(SCHEMA)?;
        for mark in marks {
            tx.execute(
                "INSERT INTO feed_mark (feed, key, sealed) VALUES (?1, ?2, ?3)",
                (&mark.0, &mark.1, &mark.2),
            )?;
        }
        tx.commit()
    };
    fill(&mut db).map_err(failed)?;
    Ok(db)
}

/// Whether segment `no` was never begun: the power failed before its tables were there, so nothing was ever in it.
pub(crate) fn is_stillborn(directory: &Path, no: u32, vfs: Option<&str>) -> Result<bool, SegmentError> {
    let db = open_read(directory, no, vfs)?;
    let version: i64 = db
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|source| SegmentError::Sqlite { no, source })?;
    Ok(version == 0)
}

/// Where somebody says that segment `no` is lost for good.
pub(crate) fn marker(directory: &Path, no: u32) -> PathBuf {
    path(directory, no).with_extension("lost")
}

/// Sets the file of segment `no` aside, and its log. Doing it again is no error.
pub(crate) fn set_aside(directory: &Path, no: u32) -> io::Result<()> {
    for (end, to) in [("db", "db-lost"), ("db-wal", "db-wal-lost")] {
        let from = path(directory, no).with_extension(end);
        match std::fs::rename(&from, from.with_extension(to)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Removes the file of segment `no`, and what SQLite keeps beside it. Doing it again is no error.
pub(crate) fn remove(directory: &Path, no: u32) -> io::Result<()> {
    for end in ["", "-wal", "-shm"] {
        let mut file = path(directory, no).into_os_string();
        file.push(end);
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Opens segment `no` for reading; while it has a writer, beside it.
pub(crate) fn open_read(directory: &Path, no: u32, vfs: Option<&str>) -> Result<Connection, SegmentError> {
    let failed = |source| SegmentError::Sqlite { no, source };
    // A write-ahead log can only be read by who may write its index.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = open(&path(directory, no), flags, vfs).map_err(failed)?;
    db.execute_batch("PRAGMA query_only=ON; PRAGMA cache_size=-512;").map_err(failed)?;
    Ok(db)
}

/// Opens a file with a named backend or the default one.
pub(crate) fn open(path: &Path, flags: OpenFlags, vfs: Option<&str>) -> rusqlite::Result<Connection> {
    match vfs {
        Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs),
        None => Connection::open_with_flags(path, flags),
    }
}

/// The plain text of a row: form, peer, and the body unless it lies in chunks.
pub(crate) fn encode(capture: &Capture, inline: bool) -> Vec<u8> {
    let peer = capture.peer.as_bytes();
    let peer = &peer[..peer.len().min(usize::from(u8::MAX))];
    let body = if inline { capture.body.as_ref() } else { &[] };
    let mut plain = Vec::with_capacity(2 + peer.len() + body.len());
    plain.push(capture.form.to_byte());
    plain.push(peer.len() as u8);
    plain.extend_from_slice(peer);
    plain.extend_from_slice(body);
    plain
}

/// A capture from the plain text of its row; `rest` is what its chunks hold.
pub(crate) fn decode(feed: &str, at: i64, plain: &[u8], rest: &[u8]) -> Option<Capture> {
    let (&form, plain) = plain.split_first()?;
    let (&length, plain) = plain.split_first()?;
    let (peer, body) = plain.split_at_checked(usize::from(length))?;
    Some(Capture {
        feed: FeedName::new(feed).ok()?,
        received: Timestamp::from_microsecond(at).ok()?,
        peer: Arc::from(String::from_utf8_lossy(peer)),
        form: Form::from_byte(form)?,
        body: if rest.is_empty() { Bytes::copy_from_slice(body) } else { Bytes::copy_from_slice(rest) },
    })
}

/// The last row of segment `no`; 0 when it is empty.
pub(crate) fn last_row(directory: &Path, no: u32, vfs: Option<&str>) -> Result<u32, SegmentError> {
    let db = open_read(directory, no, vfs)?;
    let last: Option<u32> = db
        .query_row("SELECT max(id) FROM capture", [], |row| row.get(0))
        .map_err(|source| SegmentError::Sqlite { no, source })?;
    Ok(last.unwrap_or(0))
}
