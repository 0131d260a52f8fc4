//! The owner of the open segment: one thread that takes all waiting captures, commits them, and only then answers.

use core::time::Duration;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use feed::{Answer, Capture, CaptureId, Commit, Form, Intake, Mark, Refusal, Ticket};
use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, TransactionBehavior};

use super::Readers;
use super::file::{self, CHUNK, CHUNKED_FROM, SealedMark, SegmentError};
use crate::{KeyUse, Purpose, Ring, RingError, SealError, StateError, chain};

/// Captures of one transaction at most.
const BATCH: usize = 256;
/// Bytes of one transaction at most.
const BATCH_BYTES: usize = 4 << 20;
/// Bytes of a large body that one transaction takes, so that others do not wait for all of it.
const LARGE_SHARE: usize = 1 << 20;
/// A segment of this size is closed, in bytes.
const SEGMENT: u64 = 1 << 30;
/// Captures that may wait; more are refused as by a full buffer. The callers' memory permits bind earlier.
const QUEUE: usize = 65_536;
/// Of a broken frame or junk beyond the quota so much is kept, in bytes.
const JUNK_HEAD: usize = 1 << 10;

/// Whether captures can be committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Health {
    /// As it should be.
    Good = 0,
    /// A commit failed once; a new segment was begun.
    Reopened = 1,
    /// Commits failed twice. Nothing is taken until the gateway starts again.
    Held = 2,
}

/// What the rest of the buffer does when segments come and go. Called on the writer's thread.
pub(crate) trait Announce: Send + 'static {
    /// A segment was begun; durable when this returns.
    fn opened(&self, no: u32, at: Timestamp) -> Result<(), Box<dyn core::error::Error + Send + Sync>>;
    /// A segment takes no more.
    fn ended(&self, no: u32, at: Timestamp);
    /// The disk is full.
    fn disk_full(&self);
}

/// What the writer is made with.
pub(crate) struct WriterSettings {
    pub(crate) directory: PathBuf,
    pub(crate) ring: Arc<Ring>,
    pub(crate) readers: Readers,
    pub(crate) vfs: Option<String>,
    pub(crate) synchronous: bool,
    pub(crate) commit_delay: Duration,
    pub(crate) quarantine_junk: u64,
    /// The highest segment number found on the disk.
    pub(crate) highest: u32,
}

/// Hands captures to the writer's thread. Clones share it.
#[derive(Clone)]
pub(crate) struct Writer(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    full: AtomicBool,
    health: AtomicU8,
    beat: AtomicU64,
    written: AtomicU64,
    on_commit: Mutex<Vec<Arc<dyn Fn() + Send + Sync>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    roll: Option<Timestamp>,
    stop: bool,
}

struct Job {
    capture: Capture,
    mark: Option<Mark>,
    answer: Answer,
}

/// A large body on its way into chunks.
struct Large {
    job: Job,
    /// Bytes that are in chunks already.
    done: usize,
    first: Option<i64>,
    last: i64,
}

/// Why the writer could not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    #[error(transparent)]
    Segment(#[from] SegmentError),
    #[error(transparent)]
    Ring(#[from] RingError),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error("SQLite failed")]
    Sqlite(#[from] rusqlite::Error),
    #[error("the segment could not be announced")]
    Announce(#[source] Box<dyn core::error::Error + Send + Sync>),
}

impl Intake for Writer {
    fn submit(&self, capture: Capture, mark: Option<Mark>) -> Ticket {
        let (answer, ticket) = Ticket::new();
        let refusal = if self.health() == Health::Held {
            Some(Refusal::Disk)
        } else if self.0.full.load(Ordering::Relaxed) {
            Some(Refusal::Full)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            answer.give(Err(refusal));
            return ticket;
        }
        let mut queue = self.lock();
        if queue.stop || queue.jobs.len() >= QUEUE {
            let refusal = if queue.stop { Refusal::Stopping } else { Refusal::Full };
            drop(queue);
            answer.give(Err(refusal));
            return ticket;
        }
        queue.jobs.push_back(Job { capture, mark, answer });
        drop(queue);
        self.0.wake.notify_one();
        ticket
    }
}

impl Writer {
    /// Begins a new segment and starts the thread.
    pub(crate) fn start(
        settings: WriterSettings,
        announce: impl Announce,
        now: Timestamp,
    ) -> Result<Self, WriteError> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            wake: Condvar::new(),
            full: AtomicBool::new(false),
            health: AtomicU8::new(Health::Good as u8),
            beat: AtomicU64::new(0),
            written: AtomicU64::new(0),
            on_commit: Mutex::default(),
            thread: Mutex::new(None),
        });
        let writer = Self(shared);
        let open = Open::begin(&settings, &announce, None, now)?;
        let owner =
            Owner { shared: writer.clone(), settings, announce, open, large: VecDeque::new(), latest: now };
        let thread = std::thread::Builder::new().name("ingest".to_owned()).spawn(move || owner.run());
        let thread =
            thread.map_err(|source| SegmentError::Io { path: PathBuf::from("thread ingest"), source })?;
        *writer.0.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(writer)
    }

    /// Calls `hook` after every commit, on the writer's thread: it must not block.
    pub(crate) fn on_commit(&self, hook: Arc<dyn Fn() + Send + Sync>) {
        self.0.on_commit.lock().unwrap_or_else(PoisonError::into_inner).push(hook);
    }

    /// Refuses captures as long as it is set.
    pub(crate) fn set_full(&self, full: bool) {
        self.0.full.store(full, Ordering::Relaxed);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.0.full.load(Ordering::Relaxed)
    }

    /// Begins a new segment if the open one holds anything.
    pub(crate) fn roll(&self, now: Timestamp) {
        self.lock().roll = Some(now);
        self.0.wake.notify_one();
    }

    pub(crate) fn health(&self) -> Health {
        match self.0.health.load(Ordering::Relaxed) {
            0 => Health::Good,
            1 => Health::Reopened,
            _ => Health::Held,
        }
    }

    /// Grows for as long as the thread lives and gets on, also without work.
    pub(crate) fn beat(&self) -> u64 {
        self.0.beat.load(Ordering::Relaxed)
    }

    /// Sealed bytes handed to SQLite since the start.
    pub(crate) fn written(&self) -> u64 {
        self.0.written.load(Ordering::Relaxed)
    }

    /// Commits what is waiting and ends the thread.
    pub(crate) fn close(&self) {
        self.lock().stop = true;
        self.0.wake.notify_one();
        let thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A thread that panicked has dropped its answers: nobody was told that anything is safe.
            let _ = thread.join();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The open segment.
struct Open {
    no: u32,
    db: Connection,
    next_row: u32,
    next_chunk: i64,
    bytes: u64,
    junk: u64,
}

impl Open {
    /// Begins a segment; the marks of feeds go along from the one before it.
    fn begin(
        settings: &WriterSettings,
        announce: &impl Announce,
        before: Option<&Self>,
        now: Timestamp,
    ) -> Result<Self, WriteError> {
        let highest = before.map_or(settings.highest, |before| before.no);
        let no = settings.ring.add_segment(highest)?;
        match Self::make(settings, announce, no, now) {
            Ok(db) => {
                settings.readers.add(no);
                Ok(Self { no, db, next_row: 1, next_chunk: 1, bytes: 0, junk: 0 })
            }
            Err(error) => {
                // The open one goes on, and its marks with it: a later start must not find these.
                let gone = file::remove(&settings.directory, no).map_err(|error| error.to_string());
                let gone = gone.and_then(|()| sync_directory(settings).map_err(|error| error.to_string()));
                if let Err(left) = gone {
                    log::warn!("segment {no}, which was not begun, may still be there: {left}");
                }
                Err(error)
            }
        }
    }

    fn make(
        settings: &WriterSettings,
        announce: &impl Announce,
        no: u32,
        now: Timestamp,
    ) -> Result<Connection, WriteError> {
        let last = settings.readers.numbers().last().copied();
        let marks = last.map_or_else(|| Ok(Vec::new()), |last| marks(settings, last, no))?;
        let vfs = settings.vfs.as_deref();
        let db = file::create(&settings.directory, no, vfs, settings.synchronous, &marks)?;
        sync_directory(settings)?;
        announce.opened(no, now).map_err(WriteError::Announce)?;
        Ok(db)
    }
}

/// The file's name has to be on the disk before anything in it is called safe.
fn sync_directory(settings: &WriterSettings) -> Result<(), SegmentError> {
    let path = settings.directory.join("seg");
    let synced = std::fs::File::open(&path).and_then(|dir| dir.sync_all());
    synced.map_err(|source| SegmentError::Io { path, source })
}

/// The marks of segment `from`, sealed for segment `to`.
fn marks(settings: &WriterSettings, from: u32, to: u32) -> Result<Vec<SealedMark>, WriteError> {
    let old = file::open_read(&settings.directory, from, settings.vfs.as_deref())?;
    let mut statement = old.prepare("SELECT feed, key, sealed FROM feed_mark")?;
    let mut rows = statement.query([])?;
    let mut marks = Vec::new();
    while let Some(row) = rows.next()? {
        let value =
            settings.ring.open(Purpose::Mark, row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?)?;
        let (feed, key): (String, String) = (row.get(0)?, row.get(1)?);
        let sealed = settings.ring.seal(KeyUse::Segment(to), Purpose::Mark, &value)?;
        marks.push((feed, key, sealed));
    }
    Ok(marks)
}

/// The thread's own things.
struct Owner<A> {
    shared: Writer,
    settings: WriterSettings,
    announce: A,
    open: Open,
    large: VecDeque<Large>,
    /// When the last capture came: the time at which the next segment is begun, where nobody says another.
    latest: Timestamp,
}

enum Work {
    Commit(Vec<Job>, Option<Timestamp>),
    Stop,
}

impl<A: Announce> Owner<A> {
    fn run(mut self) {
        loop {
            match self.wait() {
                Work::Stop => break,
                Work::Commit(jobs, roll) => {
                    self.commit(jobs);
                    let full = self.open.bytes >= SEGMENT;
                    if (full || roll.is_some()) && self.open.next_row > 1 {
                        self.roll(roll.unwrap_or(self.latest));
                    }
                }
            }
        }
    }

    /// Waits for work and takes all of it up to the limits of one transaction. Large bodies queue apart.
    fn wait(&mut self) -> Work {
        /// Without work the thread shows that it lives so often.
        const IDLE: Duration = Duration::from_secs(1);
        let shared = self.shared.clone();
        let mut queue = shared.lock();
        while queue.jobs.is_empty() && self.large.is_empty() && queue.roll.is_none() && !queue.stop {
            shared.0.beat.fetch_add(1, Ordering::Relaxed);
            queue = shared.0.wake.wait_timeout(queue, IDLE).unwrap_or_else(PoisonError::into_inner).0;
        }
        shared.0.beat.fetch_add(1, Ordering::Relaxed);
        if !self.settings.commit_delay.is_zero() && queue.jobs.len() < BATCH && !queue.stop {
            drop(queue);
            std::thread::sleep(self.settings.commit_delay);
            queue = shared.lock();
        }
        let mut jobs = Vec::with_capacity(queue.jobs.len().min(BATCH));
        let mut bytes = 0;
        while jobs.len() < BATCH && bytes < BATCH_BYTES {
            let Some(job) = queue.jobs.pop_front() else { break };
            if job.capture.body.len() > CHUNKED_FROM {
                self.large.push_back(Large { job, done: 0, first: None, last: 0 });
            } else {
                bytes += job.capture.body.len();
                jobs.push(job);
            }
        }
        let roll = queue.roll.take();
        if jobs.is_empty() && self.large.is_empty() && roll.is_none() && queue.stop {
            return Work::Stop;
        }
        Work::Commit(jobs, roll)
    }

    fn commit(&mut self, jobs: Vec<Job>) {
        if self.shared.health() == Health::Held {
            refuse(jobs, Refusal::Disk);
            return self.refuse_large(Refusal::Disk);
        }
        if let Some(last) = jobs.last().or_else(|| self.large.front().map(|large| &large.job)) {
            self.latest = last.capture.received;
        }
        match self.write(&jobs) {
            Ok((first, large)) => {
                let mut last = None;
                for (row, job) in (first..).zip(jobs.into_iter().chain(large)) {
                    let capture = CaptureId::new(self.open.no, row);
                    // Readers may have it before its sender hears of it, never the other way round.
                    self.settings.readers.commit(capture);
                    job.answer.give(Ok(Commit { capture }));
                    last = Some(capture);
                }
                if last.is_some() {
                    for hook in self.shared.0.on_commit.lock().unwrap_or_else(PoisonError::into_inner).iter()
                    {
                        hook();
                    }
                }
            }
            Err(error) if is_full(&error) => {
                log::error!("the disk is full: captures are refused until delivered data are gone");
                self.shared.set_full(true);
                self.announce.disk_full();
                refuse(jobs, Refusal::Full);
                self.refuse_large(Refusal::Full);
            }
            Err(error) => {
                log::error!(
                    "segment {}: a commit failed, its captures are not acknowledged: {}",
                    self.open.no,
                    chain(&error)
                );
                self.recover();
                refuse(jobs, Refusal::Disk);
                self.refuse_large(Refusal::Disk);
            }
        }
    }

    /// One transaction: the captures, and a share of the large body that is on its way. Gives the first row and the large
    /// body if it is complete, which then has the last row.
    fn write(&mut self, jobs: &[Job]) -> Result<(u32, Option<Job>), WriteError> {
        let first = self.open.next_row;
        let mut row = first;
        let mut bytes = 0;
        let tx = self.open.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut insert = tx.prepare_cached(
                "INSERT INTO capture (id, at, feed, len, sealed) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?;
            for job in jobs {
                let capture = &job.capture;
                let kept = self.settings.within_quota(capture, &mut self.open.junk);
                let sealed =
                    self.settings.seal(self.open.no, Purpose::Capture, &file::encode(&kept, true))?;
                bytes += sealed.len() as u64;
                let at = capture.received.as_microsecond();
                insert.execute((row, at, capture.feed.as_str(), capture.body.len() as i64, sealed))?;
                row += 1;
                if let Some(mark) = &job.mark {
                    put_mark(&tx, &self.settings, self.open.no, capture, mark)?;
                }
            }
        }
        let mut complete = false;
        let mut next_chunk = self.open.next_chunk;
        let mut progress = None;
        if let Some(large) = self.large.front() {
            let body = &large.job.capture.body;
            let end = body.len().min(large.done + LARGE_SHARE);
            let mut insert = tx.prepare_cached("INSERT INTO chunk (id, sealed) VALUES (?1, ?2)")?;
            let first_chunk = large.first.unwrap_or(next_chunk);
            for part in body[large.done..end].chunks(CHUNK) {
                let sealed = self.settings.seal(self.open.no, Purpose::Chunk, part)?;
                bytes += sealed.len() as u64;
                insert.execute((next_chunk, sealed))?;
                next_chunk += 1;
            }
            complete = end == body.len();
            if complete {
                let capture = &large.job.capture;
                let sealed =
                    self.settings.seal(self.open.no, Purpose::Capture, &file::encode(capture, false))?;
                let sql = "INSERT INTO capture (id, at, feed, len, first_chunk, last_chunk, sealed) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
                let (at, length) = (capture.received.as_microsecond(), body.len() as i64);
                tx.execute(
                    sql,
                    (row, at, capture.feed.as_str(), length, first_chunk, next_chunk - 1, sealed),
                )?;
                row += 1;
                if let Some(mark) = &large.job.mark {
                    put_mark(&tx, &self.settings, self.open.no, capture, mark)?;
                }
            }
            progress = Some((end, first_chunk, next_chunk - 1));
        }
        tx.commit()?;
        if let (Some(large), Some((done, first, last))) = (self.large.front_mut(), progress) {
            (large.done, large.first, large.last) = (done, Some(first), last);
        }
        self.open.next_row = row;
        self.open.next_chunk = next_chunk;
        self.open.bytes += bytes;
        self.shared.0.written.fetch_add(bytes, Ordering::Relaxed);
        let large = if complete { self.large.pop_front().map(|large| large.job) } else { None };
        Ok((first, large))
    }

    /// After a failed commit nobody knows what of it is on the disk. The segment is left as it is, to be checked when it is
    /// closed, and a new one is begun. A second failure holds the feeds: a medium that fails again and again is not one to
    /// acknowledge on, however long it takes from one to the next.
    fn recover(&mut self) {
        let again = self.shared.health() != Health::Good;
        self.set_health(if again { Health::Held } else { Health::Reopened });
        if !again && let Err(error) = self.begin_next(self.latest) {
            log::error!("a new segment cannot be begun: {}", chain(&error));
            self.set_health(Health::Held);
        }
    }

    /// Begins a new segment where nothing is wrong with the open one: that one goes on where there is no room for another.
    fn roll(&mut self, now: Timestamp) {
        match self.begin_next(now) {
            Ok(()) => {}
            Err(error) if is_full(&error) => {
                log::error!("the disk has no room for a new segment: the open one goes on");
                self.shared.set_full(true);
                self.announce.disk_full();
            }
            Err(error) => {
                log::error!("a new segment cannot be begun: {}", chain(&error));
                self.set_health(Health::Held);
            }
        }
    }

    fn begin_next(&mut self, now: Timestamp) -> Result<(), WriteError> {
        let next = Open::begin(&self.settings, &self.announce, Some(&self.open), now)?;
        let old = core::mem::replace(&mut self.open, next);
        // A body that was half way begins anew; what it left in the old segment belongs to no capture.
        for large in &mut self.large {
            (large.done, large.first) = (0, None);
        }
        let no = old.no;
        drop(old);
        self.announce.ended(no, now);
        Ok(())
    }

    fn set_health(&self, health: Health) {
        self.shared.0.health.store(health as u8, Ordering::Relaxed);
    }

    fn refuse_large(&mut self, refusal: Refusal) {
        for large in self.large.drain(..) {
            large.job.answer.give(Err(refusal));
        }
    }
}

impl WriterSettings {
    fn seal(&self, no: u32, purpose: Purpose, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        self.ring.seal(KeyUse::Segment(no), purpose, plain)
    }

    /// Broken frames and junk have a quota; of what comes beyond it only the beginning is kept.
    fn within_quota(&self, capture: &Capture, junk: &mut u64) -> Capture {
        let mut kept = capture.clone();
        if capture.form != Form::Whole {
            *junk += capture.body.len() as u64;
            if *junk > self.quarantine_junk {
                kept.body.truncate(JUNK_HEAD);
            }
        }
        kept
    }
}

fn put_mark(
    db: &Connection,
    settings: &WriterSettings,
    no: u32,
    capture: &Capture,
    mark: &Mark,
) -> Result<(), WriteError> {
    let sealed = settings.seal(no, Purpose::Mark, &mark.value)?;
    let sql = "INSERT OR REPLACE INTO feed_mark (feed, key, sealed) VALUES (?1, ?2, ?3)";
    db.prepare_cached(sql)?.execute((capture.feed.as_str(), &mark.key, sealed))?;
    Ok(())
}

/// The mark of a feed in segment `no`.
pub(crate) fn mark(
    directory: &Path,
    ring: &Ring,
    vfs: Option<&str>,
    no: u32,
    feed: &str,
    key: &str,
) -> Result<Option<Vec<u8>>, WriteError> {
    let db = file::open_read(directory, no, vfs)?;
    let sql = "SELECT sealed FROM feed_mark WHERE feed = ?1 AND key = ?2";
    let sealed: Option<Vec<u8>> = db.query_row(sql, (feed, key), |row| row.get(0)).optional()?;
    sealed.map(|sealed| Ok(ring.open(Purpose::Mark, &sealed)?.to_vec())).transpose()
}

fn refuse(jobs: Vec<Job>, refusal: Refusal) {
    for job in jobs {
        job.answer.give(Err(refusal));
    }
}

/// Whether the disk had no room, wherever in the chain of causes that is said.
fn is_full(error: &(dyn core::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(cause) = next {
        let sqlite = cause.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code);
        let io = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        let state = cause.downcast_ref::<StateError>().is_some_and(StateError::is_disk_full);
        if state || sqlite == Some(ErrorCode::DiskFull) || io == Some(std::io::ErrorKind::StorageFull) {
            return true;
        }
        next = cause.source();
    }
    false
}
