//! The buffer as one thing: opened, filled, read, maintained, closed.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use feed::{CaptureId, FeedName, Form, Intake};
use jiff::Timestamp;

use crate::retention::{self, Retention, Stuck};
use crate::segment::{self, Announce, Health, Readers, SegmentError, Writer, WriterSettings};
use crate::state::{self, SchemaError, SegmentState, State, StateError, Urgency};
use crate::{
    AuditEntry, ClockTrust, Kek, Options, Pass, ReadError, Ring, RingError, Stored, Tier, Usage, chain, space,
};

/// The sealed buffer. Clones share it.
#[derive(Clone)]
pub struct Buffer(Arc<Inner>);

struct Inner {
    options: Options,
    tier: Tier,
    ring: Arc<Ring>,
    state: State,
    readers: Readers,
    writer: Writer,
    upkeep: Mutex<Upkeep>,
    /// Held for as long as the buffer is open.
    _lock: File,
}

/// What maintenance knows from one round to the next.
struct Upkeep {
    retention: Retention,
    /// The day of the open segment.
    today: i64,
    /// The segments whose alarm is raised.
    told: Stuck,
    /// Ended segments that could not be closed, and when that is tried again: it reads all of one.
    unclosed: BTreeMap<u32, (String, Instant)>,
}

/// Why a buffer does not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it.
    #[error("the buffer in {0} is in use by another hospital-gateway; stop that one first")]
    InUse(PathBuf),
    /// The directory cannot be used.
    #[error("the buffer directory {path} cannot be used; it must exist and be writable for this user")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The ring does not open.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// The state does not open.
    #[error("the state database does not open")]
    Schema(#[from] SchemaError),
    /// The state does not answer.
    #[error("the state database does not answer")]
    State(#[from] StateError),
    /// A segment that held captures has nothing in it.
    #[error(
        "seg/{0:08}.db had captures and is empty now: put its -wal file back beside it, or, if they are lost for good, say so with `touch seg/{0:08}.lost`"
    )]
    Emptied(u32),
    /// A segment that held captures is not there.
    #[error(
        "seg/{0:08}.db had captures and is gone: put it back with its -wal file, or, if they are lost for good, say so with `touch seg/{0:08}.lost`"
    )]
    Missing(u32),
    /// A segment is there and is no database any more.
    #[error(
        "seg/{no:08}.db cannot be opened: put a good copy in its place, or, if its captures are lost for good, say so with `touch seg/{no:08}.lost`"
    )]
    Unreadable {
        /// Which.
        no: u32,
        /// Why.
        #[source]
        source: Box<dyn core::error::Error + Send + Sync>,
    },
    /// A segment cannot be begun or read.
    #[error("the segments cannot be used")]
    Segment(#[source] Box<dyn core::error::Error + Send + Sync>),
}

/// Why a round of maintenance ended early. The next one goes on. A segment that is stuck ends none: it is alarmed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MaintainError {
    /// Its size cannot be told.
    #[error("the size of the buffer cannot be told")]
    Usage(#[from] io::Error),
    /// The state does not answer.
    #[error("the state does not answer")]
    State(#[from] StateError),
}

/// What a round of maintenance did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Maintained {
    /// What retention did.
    pub pass: Pass,
    /// What the buffer holds now.
    pub usage: Usage,
}

/// Counters that grow for as long as the two owners get on; the watchdog is fed from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// Of the thread that commits captures.
    pub ingest: u64,
    /// Of the thread that writes the state.
    pub state: u64,
}

/// The code of the alarm about a segment that is stuck.
const STUCK: &str = "segment-stuck";
/// A segment that could not be closed is tried again so often.
const CLOSE_AGAIN: Duration = Duration::from_secs(600);

/// The open segment is ended when it takes more than such a part of what the buffer may hold.
const OPEN_SHARE: u64 = 8;

impl Buffer {
    /// Opens the buffer in a directory, or makes one where the directory is empty. Begins a new segment with a new key.
    ///
    /// # Errors
    /// When it is in use, its key does not fit, or a file cannot be used. An existing buffer is never replaced.
    pub fn open(options: Options, kek: Kek, now: Timestamp) -> Result<Self, OpenError> {
        let directory = options.directory.clone();
        let failed = |source| OpenError::Directory { path: directory.clone(), source };
        make_directory(&directory.join("seg")).map_err(failed)?;
        let lock = lock(&directory)?;
        let has_data = directory.join("state.db").exists() || !numbers(&directory)?.is_empty();
        let ring = match (Ring::exists(&directory), has_data) {
            (true, _) => Ring::load(&directory, &kek)?,
            (false, false) => Ring::create(&directory, &kek)?,
            (false, true) => return Err(RingError::Missing(directory).into()),
        };
        let ring = Arc::new(ring);
        // Not having a reserve is no reason not to start: a small disk may have no room for it.
        if let Err(error) = space::make_reserve(&directory) {
            log::warn!("no reserve could be set aside in {}: {error}", directory.display());
        }
        let reserve = directory.clone();
        let state = State::open(state::Settings {
            path: directory.join("state.db"),
            ring: Arc::clone(&ring),
            vfs: options.vfs.clone(),
            linger: options.linger,
            on_full: Box::new(move || space::give_reserve(&reserve)),
        })?;
        ring.note_audit(state.read_blocking(|read| read.audit_end())?)?;
        // What was stuck in an earlier run is found again if it still is.
        state.run_blocking(Urgency::Soon, |tx| tx.clear_alarms(STUCK))?;
        let numbers = begun(&directory, &options, &ring, &state, now)?;
        let readers =
            Readers::new(directory.clone(), Arc::clone(&ring), options.vfs.clone(), numbers.clone());
        known(&state, &readers, &directory, &options, &numbers, now)?;
        let settings = WriterSettings {
            directory: directory.clone(),
            ring: Arc::clone(&ring),
            readers: readers.clone(),
            vfs: options.vfs.clone(),
            synchronous: options.synchronous,
            commit_delay: options.commit_delay,
            quarantine_junk: options.quarantine_junk,
            highest: numbers.last().copied().unwrap_or(0).max(highest_known(&state)?),
        };
        let announce = Segments { directory, state: state.clone() };
        let writer =
            Writer::start(settings, announce, now).map_err(|error| OpenError::Segment(Box::new(error)))?;
        let retention = Retention::new(options.keep_delivered, options.keep_audit);
        let tier = kek.tier();
        Ok(Self(Arc::new(Inner {
            options,
            tier,
            ring,
            state,
            readers,
            writer,
            upkeep: Mutex::new(Upkeep {
                retention,
                today: day(now),
                told: Stuck::new(),
                unclosed: BTreeMap::new(),
            }),
            _lock: lock,
        })))
    }

    /// Where captures are handed in.
    pub fn intake(&self) -> Arc<dyn Intake> {
        Arc::new(self.0.writer.clone())
    }

    /// Everything that is not a raw capture.
    pub fn state(&self) -> &State {
        &self.0.state
    }

    /// The keys.
    pub fn ring(&self) -> &Arc<Ring> {
        &self.0.ring
    }

    /// What the key-encryption key protects against.
    pub fn tier(&self) -> Tier {
        self.0.tier
    }

    /// Where it lies.
    pub fn directory(&self) -> &Path {
        &self.0.options.directory
    }

    /// The captures after `after`, in the order of their commits, up to a number of rows and bytes; at least one if there
    /// is one. Only committed ones.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub fn next_captures(
        &self,
        after: CaptureId,
        rows: usize,
        bytes: usize,
    ) -> Result<Vec<Stored>, ReadError> {
        Ok(self.0.readers.after(after, rows, bytes)?)
    }

    /// A capture, from its segment or, when that is gone, from where it survived.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn capture(&self, id: CaptureId) -> Result<Option<Stored>, ReadError> {
        if let Some(stored) = self.0.readers.one(id)? {
            return Ok(Some(stored));
        }
        let survivor = self.0.state.read_blocking(move |read| read.survivor(id));
        survivor.map_err(|error| ReadError::from(Box::<dyn core::error::Error + Send + Sync>::from(error)))
    }

    /// The mark that a feed last committed under `key`, from the open segment: marks go along when a segment is begun.
    ///
    /// # Errors
    /// When the segment cannot be read.
    pub fn mark(&self, feed: &FeedName, key: &str) -> Result<Option<Vec<u8>>, ReadError> {
        let Some(no) = self.0.readers.numbers().last().copied() else { return Ok(None) };
        let vfs = self.0.options.vfs.as_deref();
        let mark = segment::mark(&self.0.options.directory, &self.0.ring, vfs, no, feed.as_str(), key);
        mark.map_err(|error| ReadError::from(Box::<dyn core::error::Error + Send + Sync>::from(error)))
    }

    /// The last capture that is durable.
    pub fn committed(&self) -> CaptureId {
        self.0.readers.committed()
    }

    /// Calls `hook` after every commit of captures, on the writer's thread: it must not block.
    pub fn on_commit(&self, hook: Arc<dyn Fn() + Send + Sync>) {
        self.0.writer.on_commit(hook);
    }

    /// What it holds.
    ///
    /// # Errors
    /// When its directory cannot be read.
    pub fn usage(&self) -> io::Result<Usage> {
        space::usage(&self.0.options.directory, self.0.options.max_size)
    }

    /// Whether captures are refused because it is full.
    pub fn is_full(&self) -> bool {
        self.0.writer.is_full()
    }

    /// Whether captures can be committed.
    pub fn intake_health(&self) -> Health {
        self.0.writer.health()
    }

    /// Sealed bytes of captures handed to SQLite since the start.
    pub fn written(&self) -> u64 {
        self.0.writer.written()
    }

    /// Counters that grow while both owners get on.
    pub fn beat(&self) -> Beat {
        Beat { ingest: self.0.writer.beat(), state: self.0.state.beat() }
    }

    /// A round of maintenance: a new segment on a new day, ended segments closed, retention, high water. May block for
    /// half a second; call it every few seconds on a thread of its own.
    ///
    /// # Errors
    /// When something could not be done; the next round tries again.
    pub fn maintain(&self, now: Timestamp, clock: ClockTrust) -> Result<Maintained, MaintainError> {
        let mut held = self.0.upkeep.lock().unwrap_or_else(PoisonError::into_inner);
        if clock == ClockTrust::Trusted && day(now) != held.today {
            held.today = day(now);
            self.0.writer.roll(now);
        }
        // Whatever cannot be done here, the rest of the round is: without it nothing makes room and nothing says that
        // there is none.
        let closed = self.close_ended(now, &mut held.unclosed);
        let mut stuck = self.0.readers.skipped();
        stuck.extend(held.unclosed.iter().map(|(no, (why, _))| (*no, why.clone())));
        let pressed = || self.usage().is_ok_and(|usage| usage.is_pressed());
        let segments =
            Files { directory: &self.0.options.directory, ring: &self.0.ring, readers: &self.0.readers };
        let pass = held.retention.pass(&self.0.state, &segments, now, clock, pressed, &mut stuck);
        let told = self.tell(&mut held.told, stuck, now);
        let usage = self.usage()?;
        // The open segment cannot be given up. It stays a small part of what may be held, also on a small disk.
        if self.0.readers.newest_size() > usage.limit / OPEN_SHARE {
            self.0.writer.roll(now);
        }
        if usage.is_full() {
            self.0.writer.set_full(true);
        } else if usage.has_room() && self.0.writer.is_full() {
            space::make_reserve(&self.0.options.directory)?;
            self.0.writer.set_full(false);
        }
        closed?;
        told?;
        Ok(Maintained { pass: pass?, usage })
    }

    /// Alarms the segments that are stuck, each once for as long as it is.
    fn tell(&self, told: &mut Stuck, stuck: Stuck, now: Timestamp) -> Result<(), StateError> {
        if *told == stuck {
            return Ok(());
        }
        for (no, why) in stuck.iter().filter(|(no, why)| told.get(no) != Some(why)) {
            log::error!("segment {no} is stuck, the others go on: {why}");
        }
        let (gone, new): (Vec<u32>, Vec<(u32, String)>) = (
            told.keys().filter(|no| !stuck.contains_key(no)).copied().collect(),
            stuck.iter().map(|(no, why)| (*no, why.clone())).collect(),
        );
        self.0.state.run_blocking(Urgency::Now, move |tx| {
            for no in gone {
                tx.clear_alarm(&alarm(no))?;
            }
            for (no, why) in new {
                tx.raise_alarm(&alarm(no), STUCK, why.as_bytes(), now)?;
            }
            Ok(())
        })?;
        *told = stuck;
        Ok(())
    }

    /// Begins a new segment now, for a backup or a test.
    pub fn roll(&self, now: Timestamp) {
        self.0.writer.roll(now);
    }

    /// Commits what was handed in, finishes the work on the state and folds its log away.
    pub fn close(&self) {
        self.0.writer.close();
        self.0.state.close();
    }

    /// Closes the segments that take no more, each alone.
    fn close_ended(
        &self,
        now: Timestamp,
        unclosed: &mut BTreeMap<u32, (String, Instant)>,
    ) -> Result<(), StateError> {
        let open = self.0.state.read_blocking(|read| read.segments())?;
        let newest = self.0.readers.numbers().last().copied().unwrap_or(0);
        for segment in open.into_iter().filter(|s| s.state == SegmentState::Open && s.no < newest) {
            let no = segment.no;
            if unclosed.get(&no).is_some_and(|(_, again)| Instant::now() < *again) {
                continue;
            }
            self.0.readers.release(no);
            let closed = match segment::close(&self.0.options.directory, no, self.0.options.vfs.as_deref()) {
                Ok(closed) => closed,
                Err(error) => {
                    unclosed.insert(no, (chain(&error), Instant::now() + CLOSE_AGAIN));
                    continue;
                }
            };
            unclosed.remove(&no);
            let close = self.0.state.run_blocking(Urgency::Now, move |tx| {
                tx.close_segment(no, closed.last, closed.bytes, closed.digest, now)
            });
            close?;
        }
        Ok(())
    }
}

/// What the writer tells of its segments.
struct Segments {
    directory: PathBuf,
    state: State,
}

impl Announce for Segments {
    fn opened(&self, no: u32, at: Timestamp) -> Result<(), Box<dyn core::error::Error + Send + Sync>> {
        Ok(self.state.run_blocking(Urgency::Now, move |tx| {
            // A clock that goes back has begun no earlier day.
            let at = tx.not_before_trusted(at);
            tx.open_segment(no, day(at), at)
        })?)
    }

    fn ended(&self, no: u32, _at: Timestamp) {
        log::debug!("segment {no} takes no more");
    }

    fn disk_full(&self) {
        space::give_reserve(&self.directory);
    }
}

/// What retention does with segments.
struct Files<'a> {
    directory: &'a Path,
    ring: &'a Ring,
    readers: &'a Readers,
}

impl retention::Segments for Files<'_> {
    fn read(&self, id: CaptureId) -> Result<Stored, Box<dyn core::error::Error + Send + Sync>> {
        let stored = self.readers.one(id)?.ok_or_else(|| format!("capture {id} is not in its segment"))?;
        // What is left of it stays where it is until somebody discards it.
        if stored.capture.form == Form::Damaged {
            return Err(
                format!("capture {id} can no longer be opened; discard it to let its segment go").into()
            );
        }
        Ok(stored)
    }

    /// The key first: a crash between the two leaves a file that nobody can read.
    fn destroy(&self, no: u32) -> Result<(), Box<dyn core::error::Error + Send + Sync>> {
        self.ring.drop_segment(no)?;
        self.readers.remove(no);
        Ok(segment::remove(self.directory, no)?)
    }
}

/// Tells the state of segments that it does not know, because it is older than they are, and the readers how far the
/// segments go.
fn known(
    state: &State,
    readers: &Readers,
    directory: &Path,
    options: &Options,
    numbers: &[u32],
    now: Timestamp,
) -> Result<(), OpenError> {
    let rows = state.read_blocking(|read| read.segments())?;
    for no in numbers.iter().copied() {
        if rows.iter().all(|row| row.no != no) {
            state.run_blocking(Urgency::Now, move |tx| {
                let now = tx.not_before_trusted(now);
                tx.open_segment(no, day(now), now)
            })?;
        }
    }
    // All of what lies in the files of an earlier run was committed. The bound goes to the end of the newest one that
    // holds anything; closed ones are known, and there are few others.
    for no in numbers.iter().rev().copied() {
        let last = match rows.iter().find(|row| row.no == no && row.state != SegmentState::Open) {
            Some(row) => row.last,
            None => segment::last_row(directory, no, options.vfs.as_deref())
                .map_err(|error| OpenError::Segment(Box::new(error)))?,
        };
        if last > 0 {
            readers.commit(CaptureId::new(no, last));
            break;
        }
    }
    Ok(())
}

fn highest_known(state: &State) -> Result<u32, StateError> {
    Ok(state.read_blocking(|read| read.segments())?.last().map_or(0, |segment| segment.no))
}

fn numbers(directory: &Path) -> Result<Vec<u32>, OpenError> {
    segment::numbers(directory).map_err(|error: SegmentError| OpenError::Segment(Box::new(error)))
}

/// The segments that were really begun. One that the power failed in the middle of making holds nothing and goes: the
/// state hears of a segment after its tables are durable and before its first capture.
///
/// One that held captures and is missing, emptied or no database any more is a loss, which somebody has to accept.
fn begun(
    directory: &Path,
    options: &Options,
    ring: &Ring,
    state: &State,
    now: Timestamp,
) -> Result<Vec<u32>, OpenError> {
    let failed = |source| OpenError::Directory { path: directory.to_owned(), source };
    let known = state.read_blocking(|read| read.segments())?;
    let there = numbers(directory)?;
    let mut begun = Vec::new();
    for no in there.iter().copied() {
        let is_known = known.iter().any(|row| row.no == no);
        let loss = match segment::is_stillborn(directory, no, options.vfs.as_deref()) {
            Ok(false) => {
                begun.push(no);
                continue;
            }
            Ok(true) if !is_known => {
                ring.drop_segment(no)?;
                segment::remove(directory, no).map_err(failed)?;
                continue;
            }
            Ok(true) => OpenError::Emptied(no),
            Err(error) => OpenError::Unreadable { no, source: Box::new(error) },
        };
        accept_loss(directory, state, no, now, loss)?;
        segment::set_aside(directory, no).map_err(failed)?;
    }
    // One that was given up before is closed and has no bytes.
    let held = known.iter().filter(|row| match row.state {
        SegmentState::Open => true,
        SegmentState::Closed => row.bytes > 0,
        SegmentState::Leaving | SegmentState::Dropped => false,
    });
    for no in held.map(|row| row.no).filter(|no| !there.contains(no)) {
        // Without a key it was destroyed as it should be: this state is older than that.
        if ring.has_segment(no) {
            accept_loss(directory, state, no, now, OpenError::Missing(no))?;
        } else {
            close_lost(state, no, now)?;
        }
    }
    Ok(begun)
}

/// Goes on without a segment if somebody has said that it is lost for good, which is audited; else gives `loss`.
fn accept_loss(
    directory: &Path,
    state: &State,
    no: u32,
    now: Timestamp,
    loss: OpenError,
) -> Result<(), OpenError> {
    let marker = segment::marker(directory, no);
    if !marker.exists() {
        return Err(loss);
    }
    let from = close_lost(state, no, now)?;
    log::error!("segment {no} was given up: its captures after {from} are lost where they were not refined");
    let entry = AuditEntry {
        who: "start".to_owned(),
        what: "segment-lost".to_owned(),
        reason: "given up by a file beside it".to_owned(),
        object: format!("captures after {from}"),
        at: now,
    };
    state.run_blocking(Urgency::Now, move |tx| tx.audit(&entry))?;
    fs::remove_file(&marker).map_err(|source| OpenError::Directory { path: marker, source })
}

/// A segment without a file ends with its last capture that was refined: what that left to do is done.
fn close_lost(state: &State, no: u32, now: Timestamp) -> Result<CaptureId, StateError> {
    state.run_blocking(Urgency::Now, move |tx| {
        let last = tx.segment(no)?.map_or(0, |row| row.refined_to);
        tx.open_segment(no, day(now), now)?;
        tx.close_segment(no, last, 0, [0; 32], now)?;
        Ok(CaptureId::new(no, last))
    })
}

fn alarm(no: u32) -> String {
    format!("{STUCK}:{no}")
}

fn make_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Takes the buffer for this process. The operating system gives it back when the process ends, however it ends.
fn lock(directory: &Path) -> Result<File, OpenError> {
    let failed = |source| OpenError::Directory { path: directory.to_owned(), source };
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(directory.join("lock"))
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(directory.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// The UTC day, counted from 1970-01-01.
fn day(now: Timestamp) -> i64 {
    now.as_second().div_euclid(86_400)
}
