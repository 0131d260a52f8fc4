//! Reading captures, beside their writer.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use feed::{Capture, CaptureId, FeedName, Form};
use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Row};

use super::file::{self, SegmentError};
use crate::{Purpose, Ring, SealError, chain};

/// A capture and its number.
#[derive(Clone)]
pub struct Stored {
    /// Its number.
    pub id: CaptureId,
    /// The capture.
    pub capture: Capture,
}

/// Why captures cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("captures cannot be read")]
pub struct ReadError(#[from] Box<dyn core::error::Error + Send + Sync>);

impl From<SegmentError> for ReadError {
    fn from(error: SegmentError) -> Self {
        Self(Box::new(error))
    }
}

/// Connections kept open for reading.
const KEPT: usize = 6;

/// Reads segments. Clones share what is known of them.
#[derive(Clone)]
pub(crate) struct Readers(Arc<Inner>);

struct Inner {
    directory: PathBuf,
    ring: Arc<Ring>,
    vfs: Option<String>,
    /// Numbers of the segments that have a file, in order.
    numbers: RwLock<Vec<u32>>,
    idle: Mutex<VecDeque<(u32, Connection)>>,
    /// The last capture whose COMMIT has returned. SQLite shows a commit to readers only when its sync has returned, so
    /// this is a bound that no reader passes anyway; it keeps what was committed and what was announced the same.
    committed: AtomicI64,
    /// Segments of which nothing can be read.
    skipped: Mutex<BTreeMap<u32, String>>,
}

impl Readers {
    pub(crate) fn new(directory: PathBuf, ring: Arc<Ring>, vfs: Option<String>, numbers: Vec<u32>) -> Self {
        Self(Arc::new(Inner {
            directory,
            ring,
            vfs,
            numbers: RwLock::new(numbers),
            idle: Mutex::default(),
            committed: AtomicI64::new(CaptureId::ZERO.to_i64()),
            skipped: Mutex::default(),
        }))
    }

    pub(crate) fn committed(&self) -> CaptureId {
        CaptureId::from_i64(self.0.committed.load(Ordering::Acquire))
    }

    pub(crate) fn commit(&self, id: CaptureId) {
        self.0.committed.fetch_max(id.to_i64(), Ordering::AcqRel);
    }

    /// The segments that have a file, in order.
    pub(crate) fn numbers(&self) -> Vec<u32> {
        self.0.numbers.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Bytes of the newest segment on the disk, its log included.
    pub(crate) fn newest_size(&self) -> u64 {
        let Some(no) = self.numbers().last().copied() else { return 0 };
        let path = file::path(&self.0.directory, no);
        let log = path.with_extension("db-wal");
        [path, log].iter().filter_map(|path| std::fs::metadata(path).ok()).map(|meta| meta.len()).sum()
    }

    pub(crate) fn add(&self, no: u32) {
        let mut numbers = self.0.numbers.write().unwrap_or_else(PoisonError::into_inner);
        if let Err(at) = numbers.binary_search(&no) {
            numbers.insert(at, no);
        }
    }

    pub(crate) fn remove(&self, no: u32) {
        self.0.numbers.write().unwrap_or_else(PoisonError::into_inner).retain(|n| *n != no);
        self.idle().retain(|(n, _)| *n != no);
    }

    /// Closes the connections that are kept to `no`, so that its last writer can fold its log away.
    pub(crate) fn release(&self, no: u32) {
        self.idle().retain(|(n, _)| *n != no);
    }

    /// The captures after `after`, in order, up to a number of rows and bytes; at least one if there is one. One that can
    /// no longer be opened comes as [`Form::Damaged`], so that those behind it are reached.
    pub(crate) fn after(
        &self,
        after: CaptureId,
        rows: usize,
        bytes: usize,
    ) -> Result<Vec<Stored>, SegmentError> {
        let committed = self.committed();
        let mut found = Vec::new();
        let mut size = 0;
        let numbers = self.numbers();
        let first = numbers.partition_point(|no| *no < after.segment());
        for no in &numbers[first..] {
            if found.len() >= rows || size >= bytes || CaptureId::new(*no, 0) > committed {
                break;
            }
            let from = if *no == after.segment() { after.row() } else { 0 };
            let left = rows - found.len();
            let read = self.with(*no, |db| {
                let sql = "SELECT id, at, feed, len, first_chunk, last_chunk, sealed FROM capture WHERE id > ?1 ORDER BY id LIMIT ?2";
                let mut statement = db.prepare_cached(sql)?;
                let mut rows = statement.query((from, left as i64))?;
                while let Some(row) = rows.next()? {
                    let id = CaptureId::new(*no, row.get(0)?);
                    if id > committed {
                        break;
                    }
                    let length: i64 = row.get(3)?;
                    if !found.is_empty() && size + length as usize > bytes {
                        size = bytes;
                        break;
                    }
                    size += length as usize;
                    found.push(self.stored(id, db, row)?);
                }
                Ok(())
            });
            match read {
                Err(error) if self.is_damage(&error) => {
                    self.around_damage(*no, from, rows, bytes, &mut found)?
                }
                read => read?,
            }
        }
        Ok(found)
    }

    /// Goes on in a segment with damaged pages, row by row: what cannot be read comes as [`Form::Damaged`]. Where not even
    /// its last row can be told, nothing of it can be read.
    fn around_damage(
        &self,
        no: u32,
        from: u32,
        rows: usize,
        bytes: usize,
        found: &mut Vec<Stored>,
    ) -> Result<(), SegmentError> {
        let done = found.last().filter(|stored| stored.id.segment() == no).map_or(from, |s| s.id.row());
        let max = |db: &Connection| {
            db.query_row("SELECT max(id) FROM capture", [], |row| row.get::<_, Option<u32>>(0))
        };
        let last = match self.with(no, max) {
            Ok(last) => last.unwrap_or(0),
            Err(error) => {
                self.skip(no, &error);
                return Ok(());
            }
        };
        let mut size: usize = found.iter().map(|stored| stored.capture.body.len()).sum();
        for row in done + 1..=last {
            let id = CaptureId::new(no, row);
            if id > self.committed() || found.len() >= rows || size >= bytes {
                break;
            }
            let stored = match self.one(id) {
                Ok(Some(stored)) => stored,
                Ok(None) => continue,
                Err(error) if self.is_damage(&error) => {
                    log::error!("capture {id} can no longer be read: {}", chain(&error));
                    self.remains(id)?
                }
                Err(error) => return Err(error),
            };
            size += stored.capture.body.len();
            found.push(stored);
        }
        Ok(())
    }

    /// What is left of a capture that cannot be read: at most its feed and its time.
    fn remains(&self, id: CaptureId) -> Result<Stored, SegmentError> {
        /// Where not even the feed can be told.
        const NO_FEED: &str = "unknown";
        let head = self.with(id.segment(), |db| {
            let sql = "SELECT feed, at FROM capture WHERE id = ?1";
            db.query_row(sql, [id.row()], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))
        });
        let (feed, at) = head.unwrap_or_else(|_| (NO_FEED.to_owned(), 0));
        let failed = |source| SegmentError::Sqlite { no: id.segment(), source };
        Ok(Stored { id, capture: damaged(&feed, at).map_err(failed)? })
    }

    /// Notes that nothing of segment `no` can be read. Those behind it can.
    fn skip(&self, no: u32, error: &SegmentError) {
        let why = chain(error);
        let mut skipped = self.0.skipped.lock().unwrap_or_else(PoisonError::into_inner);
        if skipped.insert(no, why.clone()).is_none() {
            log::error!("segment {no} cannot be read, its captures are passed over: {why}");
        }
    }

    /// The segments of which nothing can be read, and why.
    pub(crate) fn skipped(&self) -> BTreeMap<u32, String> {
        self.0.skipped.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the bytes of a segment are to blame, which reading them again would not change.
    fn is_damage(&self, error: &SegmentError) -> bool {
        let SegmentError::Sqlite { no, source } = error else { return false };
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::SystemIoFailure) => true,
            // Running out of descriptors is no damage.
            Some(ErrorCode::CannotOpen) => !file::path(&self.0.directory, *no).exists(),
            _ => false,
        }
    }

    /// One capture, if its segment is there; as [`Form::Damaged`] if it can no longer be opened.
    pub(crate) fn one(&self, id: CaptureId) -> Result<Option<Stored>, SegmentError> {
        if id > self.committed() || self.numbers().binary_search(&id.segment()).is_err() {
            return Ok(None);
        }
        let sql = "SELECT id, at, feed, len, first_chunk, last_chunk, sealed FROM capture WHERE id = ?1";
        self.with(id.segment(), |db| {
            db.prepare_cached(sql)?.query_row([id.row()], |row| self.stored(id, db, row)).optional()
        })
    }

    fn stored(&self, id: CaptureId, db: &Connection, row: &Row<'_>) -> rusqlite::Result<Stored> {
        let (feed, at): (String, i64) = (row.get(2)?, row.get(1)?);
        let why = match self.open(db, row) {
            Ok(Some(capture)) => return Ok(Stored { id, capture }),
            Ok(None) => "it is no capture".to_owned(),
            Err(error) => chain(&error),
        };
        log::error!("capture {id} can no longer be opened: {why}");
        Ok(Stored { id, capture: damaged(&feed, at)? })
    }

    fn open(&self, db: &Connection, row: &Row<'_>) -> Result<Option<Capture>, OpenError> {
        let chunks: Option<(i64, i64)> = Option::zip(row.get(4)?, row.get(5)?);
        let sealed = row.get_ref(6)?.as_blob().map_err(rusqlite::Error::from)?;
        let plain = self.0.ring.open(Purpose::Capture, sealed)?;
        let mut body = Vec::new();
        if let Some((first, last)) = chunks {
            let mut statement =
                db.prepare_cached("SELECT sealed FROM chunk WHERE id BETWEEN ?1 AND ?2 ORDER BY id")?;
            let mut rows = statement.query((first, last))?;
            while let Some(row) = rows.next()? {
                let sealed = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
                body.extend_from_slice(&self.0.ring.open(Purpose::Chunk, sealed)?);
            }
        }
        let feed: String = row.get(2)?;
        Ok(file::decode(&feed, row.get(1)?, &plain, &body))
    }

    /// Lends a connection to segment `no`.
    fn with<T>(
        &self,
        no: u32,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, SegmentError> {
        let kept = {
            let mut idle = self.idle();
            idle.iter().position(|(n, _)| *n == no).and_then(|at| idle.remove(at))
        };
        let db = match kept {
            Some((_, db)) => db,
            None => file::open_read(&self.0.directory, no, self.0.vfs.as_deref())?,
        };
        let done = job(&db).map_err(|source| SegmentError::Sqlite { no, source })?;
        let mut idle = self.idle();
        idle.push_front((no, db));
        idle.truncate(KEPT);
        Ok(done)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, VecDeque<(u32, Connection)>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A capture whose bytes are gone.
fn damaged(feed: &str, at: i64) -> rusqlite::Result<Capture> {
    let unnamed = |error| rusqlite::Error::FromSqlConversionFailure(2, Type::Text, Box::new(error));
    Ok(Capture {
        feed: FeedName::new(feed).map_err(unnamed)?,
        received: Timestamp::from_microsecond(at).unwrap_or(Timestamp::UNIX_EPOCH),
        peer: Arc::from(""),
        form: Form::Damaged,
        body: Bytes::new(),
    })
}

/// Why a capture does not open.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Seal(#[from] SealError),
}
