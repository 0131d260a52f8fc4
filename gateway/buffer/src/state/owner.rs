//! The one thread that writes the state.

use core::panic::AssertUnwindSafe;
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use core::time::Duration;
use std::panic::catch_unwind;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use futures_channel::oneshot;
use jiff::Timestamp;
use rusqlite::Connection;

use super::queue::{Queue, Work};
use super::{Health, SchemaError, Settings, StateError, Tx, meta, schema};
use crate::Ring;

/// A transaction takes at most so many jobs,
const MAX_JOBS: usize = 256;
/// and no further one after so much time.
const MAX_TIME: Duration = Duration::from_millis(20);
/// The owner shows that it lives at least so often.
const IDLE: Duration = Duration::from_secs(1);

/// A job and the place where its answer goes.
pub(super) trait Task: Send {
    /// Does the work.
    fn run(&mut self, tx: &mut Tx<'_>) -> Ran;
    /// Gives the answer: the job's own, unless `outcome` says that its work was lost.
    fn finish(self: Box<Self>, outcome: Result<(), StateError>);
}

/// How a job ended.
pub(super) enum Ran {
    /// Well: its work is to be kept.
    Kept,
    /// Not well: its work is to be rolled back.
    Failed {
        /// Whether the medium had no room for it.
        disk_full: bool,
    },
}

/// What handles of the state share with the owner thread.
pub(super) struct Shared {
    pub(super) path: PathBuf,
    pub(super) ring: Arc<Ring>,
    pub(super) vfs: Option<String>,
    linger: Duration,
    on_full: Box<dyn Fn() + Send + Sync>,
    hurry: AtomicBool,
    beat: AtomicU64,
    failures: AtomicU8,
    /// The latest trusted time, in microseconds.
    floor: AtomicI64,
}

/// The owner's side.
pub(super) struct Owner {
    shared: Arc<Shared>,
    jobs: Arc<Queue<Box<dyn Task>>>,
    /// None once the medium has failed twice.
    db: Option<Connection>,
}

/// Boxes `job` with the sender of its answer.
pub(super) fn task<T, F>(job: F, answer: oneshot::Sender<Result<T, StateError>>) -> Box<dyn Task>
where
    T: Send + 'static,
    F: FnOnce(&mut Tx<'_>) -> Result<T, StateError> + Send + 'static,
{
    Box::new(Job { job: Some(job), result: None, answer })
}

struct Job<T, F> {
    job: Option<F>,
    /// None until it has run.
    result: Option<Result<T, StateError>>,
    answer: oneshot::Sender<Result<T, StateError>>,
}

impl<T, F> Task for Job<T, F>
where
    T: Send,
    F: FnOnce(&mut Tx<'_>) -> Result<T, StateError> + Send,
{
    fn run(&mut self, tx: &mut Tx<'_>) -> Ran {
        let Some(job) = self.job.take() else { return Ran::Kept };
        // What a panicking job leaves behind is rolled back; nothing else of it is shared.
        let result = catch_unwind(AssertUnwindSafe(|| job(tx))).unwrap_or(Err(StateError::Panicked));
        let ran = match &result {
            Ok(_) => Ran::Kept,
            Err(error) => Ran::Failed { disk_full: error.is_disk_full() },
        };
        self.result = Some(result);
        ran
    }

    fn finish(self: Box<Self>, outcome: Result<(), StateError>) {
        // A job that failed keeps its own error, which says more. Nobody waiting any more is no error.
        let _ = self.answer.send(match (self.result, outcome) {
            (Some(Err(own)), _) => Err(own),
            (_, Err(lost)) => Err(lost),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => Err(StateError::Stopping),
        });
    }
}

impl Owner {
    /// Opens the database and starts the thread.
    pub(super) fn start(
        settings: Settings,
        jobs: Arc<Queue<Box<dyn Task>>>,
    ) -> Result<(Arc<Shared>, JoinHandle<()>), SchemaError> {
        let Settings { path, ring, vfs, linger, on_full } = settings;
        let db = schema::open_writer(&path, vfs.as_deref())?;
        let floor = meta::trusted(&db)?;
        let shared = Arc::new(Shared {
            path,
            ring,
            vfs,
            linger,
            on_full,
            hurry: AtomicBool::new(false),
            beat: AtomicU64::new(0),
            failures: AtomicU8::new(0),
            floor: AtomicI64::new(floor),
        });
        let owner = Self { shared: Arc::clone(&shared), jobs, db: Some(db) };
        let thread = spawn("state-owner", move || owner.work())?;
        Ok((shared, thread))
    }

    fn work(mut self) {
        loop {
            self.shared.beat.fetch_add(1, Ordering::Relaxed);
            match self.jobs.wait(IDLE, MAX_JOBS, || self.shared.linger()) {
                Work::Ready => self.transact(),
                Work::Idle => {}
                Work::Stopped => break,
            }
        }
        if let Some(db) = &self.db {
            // Nobody reads or writes any more. A log that stays is read at the next start.
            let _ = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        }
    }

    /// One transaction: jobs until there are none, there are enough or time is up; then the commit; then the answers.
    fn transact(&mut self) {
        let mut done = Vec::new();
        let outcome = match &self.db {
            Some(db) => self.gather(db, &mut done).map_err(Arc::new),
            None => {
                done.extend(self.jobs.pop());
                return answer(done, || Err(StateError::Held));
            }
        };
        match outcome {
            Ok(()) => answer(done, || Ok(())),
            Err(error) => {
                self.recover(&error);
                answer(done, || Err(StateError::Commit(Arc::clone(&error))));
            }
        }
    }

    fn gather(&self, db: &Connection, done: &mut Vec<Box<dyn Task>>) -> rusqlite::Result<()> {
        // Take one job whatever happens, so that one that can never begin is answered.
        let Some(mut task) = self.jobs.pop() else { return Ok(()) };
        let start = Instant::now();
        let begun = db.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([]));
        if let Err(error) = begun {
            done.push(task);
            return Err(error);
        }
        loop {
            let kept = self.one(db, task.as_mut());
            done.push(task);
            kept?;
            self.shared.beat.fetch_add(1, Ordering::Relaxed);
            if done.len() >= MAX_JOBS || start.elapsed() >= MAX_TIME {
                break;
            }
            match self.jobs.pop() {
                Some(next) => task = next,
                None => break,
            }
        }
        db.prepare_cached("COMMIT")?.execute([]).map(drop)
    }

    /// Runs one job under its savepoint. An error means that the whole transaction is gone.
    fn one(&self, db: &Connection, task: &mut dyn Task) -> rusqlite::Result<()> {
        db.prepare_cached("SAVEPOINT job")?.execute([])?;
        let floor = self.shared.floor();
        if let Ran::Failed { disk_full } = task.run(&mut Tx::new(db, &self.shared.ring, floor)) {
            // SQLite may have rolled back everything by itself; then this fails, and the disk is why.
            let undone = db.prepare_cached("ROLLBACK TO job").and_then(|mut undo| undo.execute([]));
            match undone {
                Err(_) if disk_full => return Err(full()),
                Ok(_) if disk_full => (self.shared.on_full)(),
                undone => drop(undone?),
            }
        }
        db.prepare_cached("RELEASE job")?.execute([]).map(drop)
    }

    /// After a lost transaction: a full disk gets its reserve back; a failing one is reopened once, then held.
    fn recover(&mut self, error: &rusqlite::Error) {
        if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) {
            (self.shared.on_full)();
            if self.db.as_ref().is_some_and(|db| db.is_autocommit() || db.execute_batch("ROLLBACK").is_ok()) {
                return;
            }
        }
        self.db = None;
        log::error!("the state: a commit failed, its work is not kept: {error}");
        if self.shared.failures.fetch_add(1, Ordering::Relaxed) > 0 {
            return;
        }
        let reopened = schema::open_writer(&self.shared.path, self.shared.vfs.as_deref());
        match reopened.and_then(|db| schema::quick_check(&db).map(|()| db)) {
            Ok(db) => self.db = Some(db),
            Err(error) => {
                log::error!("the state cannot be opened again: {}", crate::chain(&error));
                self.shared.failures.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Shared {
    pub(super) fn hurry(&self, hurry: bool) {
        self.hurry.store(hurry, Ordering::Relaxed);
    }

    pub(super) fn beat(&self) -> u64 {
        self.beat.load(Ordering::Relaxed)
    }

    pub(super) fn health(&self) -> Health {
        match self.failures.load(Ordering::Relaxed) {
            0 => Health::Good,
            1 => Health::Reopened,
            _ => Health::Held,
        }
    }

    pub(super) fn trust(&self, now: Timestamp) {
        self.floor.fetch_max(now.as_microsecond(), Ordering::Relaxed);
    }

    fn floor(&self) -> Timestamp {
        Timestamp::from_microsecond(self.floor.load(Ordering::Relaxed)).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    fn linger(&self) -> Duration {
        if self.hurry.load(Ordering::Relaxed) { Duration::ZERO } else { self.linger }
    }
}

/// Starts a named thread that gives way to the acknowledgement of captures.
pub(super) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, SchemaError> {
    let work = move || {
        crate::give_way();
        work();
    };
    std::thread::Builder::new().name(name.into()).spawn(work).map_err(SchemaError::Thread)
}

fn full() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL), None)
}

fn answer(done: Vec<Box<dyn Task>>, outcome: impl Fn() -> Result<(), StateError>) {
    for task in done {
        task.finish(outcome());
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::Arc;

    use super::super::testing::{scratch, scratch_with, wait};
    use super::super::{Health, StateError, Urgency};

    /// Breaks a rule that SQLite only checks at the commit.
    const FAILS_AT_COMMIT: &str = "CREATE TABLE IF NOT EXISTS parent (id INTEGER PRIMARY KEY);
        CREATE TABLE IF NOT EXISTS child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED);
        INSERT INTO child VALUES (1);";

    #[test]
    fn a_failing_or_panicking_job_takes_back_its_own_work_and_nobody_elses() {
        let state = scratch();
        let handle = state.handle();
        // Three jobs of one transaction: the owner is busy while they are handed over.
        let busy = handle.run(Urgency::Now, |_| Ok(std::thread::sleep(core::time::Duration::from_millis(5))));
        let good = handle.run(Urgency::Now, |tx| tx.count("good", "", 1));
        let bad = handle.run(Urgency::Now, |tx| {
            tx.count("bad", "", 1)?;
            Err::<(), _>(StateError::Abandoned("no".into()))
        });
        let ugly = handle.run(Urgency::Now, |tx| {
            tx.count("ugly", "", 1)?;
            panic!("on purpose");
            #[expect(unreachable_code)]
            Ok(())
        });
        let (_, good, bad, ugly) = wait(async { (busy.await, good.await, bad.await, ugly.await) });
        assert!(good.is_ok());
        assert!(matches!(bad, Err(StateError::Abandoned(_))));
        assert!(matches!(ugly, Err(StateError::Panicked)));
        assert_eq!(state.read(|read| read.counters()), [("good".into(), String::new(), 1)]);
        assert_eq!(handle.health(), Health::Good);
    }

    #[test]
    fn a_lost_commit_fails_its_jobs_and_the_second_one_holds_the_state() {
        let state = scratch();
        let lose = || state.handle().run_blocking(Urgency::Now, |tx| tx.batch(FAILS_AT_COMMIT));
        assert!(matches!(lose(), Err(StateError::Commit(_))));
        assert_eq!(state.handle().health(), Health::Reopened);
        state.write(|tx| tx.count("after", "", 1));
        assert!(matches!(lose(), Err(StateError::Commit(_))));
        assert_eq!(state.handle().health(), Health::Held);
        assert!(matches!(lose(), Err(StateError::Held)));
        assert_eq!(
            state.read(|read| read.counters()),
            [("after".into(), String::new(), 1)],
            "reading goes on"
        );
    }

    #[test]
    fn a_full_disk_gives_up_the_reserve_and_is_no_broken_disk() {
        let freed = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&freed);
        let state = scratch_with(move |settings| {
            settings.on_full = Box::new(move || {
                seen.fetch_add(1, Ordering::Relaxed);
            });
        });
        let full = state.handle().run_blocking(Urgency::Now, |tx| {
            tx.batch("PRAGMA max_page_count = 1")?;
            tx.put_meta("large", &vec![0; 1 << 20])
        });
        assert!(full.unwrap_err().is_disk_full());
        assert!(freed.load(Ordering::Relaxed) > 0);
        assert_eq!(state.handle().health(), Health::Good);
        state.write(|tx| tx.batch("PRAGMA max_page_count = 1000000"));
        state.write(|tx| tx.put_meta("large", &vec![0; 1 << 20]));
    }

    #[test]
    fn what_was_answered_is_there_after_a_restart_and_a_closed_state_says_so() {
        let mut state = scratch();
        state.write(|tx| tx.put_meta("epoch", b"7"));
        let old = state.handle().clone();
        state.reopen();
        assert_eq!(state.read(|read| read.meta("epoch")).as_deref(), Some(&b"7"[..]));
        assert!(matches!(old.run_blocking(Urgency::Now, |_| Ok(())), Err(StateError::Stopping)));
        assert!(matches!(old.read_blocking(|_| Ok(())), Err(StateError::Stopping)));
    }

    #[test]
    fn jobs_that_are_not_urgent_linger_until_an_urgent_one_comes_or_there_is_a_backlog() {
        let hour = core::time::Duration::from_secs(3600);
        let state = scratch_with(move |settings| settings.linger = hour);
        let handle = state.handle();
        let both = async {
            let soon = handle.run(Urgency::Soon, |tx| tx.count("soon", "", 1));
            let now = handle.run(Urgency::Now, |tx| tx.count("now", "", 1));
            futures_join(soon, now).await
        };
        assert!(matches!(wait(both), (Ok(()), Ok(()))));
        handle.hurry(true);
        handle.run_blocking(Urgency::Soon, |_| Ok(())).unwrap();
    }

    #[test]
    fn the_owner_shows_that_it_gets_on() {
        let state = scratch();
        let before = state.handle().beat();
        state.write(|_| Ok(()));
        assert!(state.handle().beat() > before);
    }

    /// Both at the same time.
    async fn futures_join<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
        let (mut a, mut b) = (core::pin::pin!(a), core::pin::pin!(b));
        let (mut first, mut second) = (None, None);
        core::future::poll_fn(|cx| {
            if first.is_none()
                && let core::task::Poll::Ready(out) = a.as_mut().poll(cx)
            {
                first = Some(out);
            }
            if second.is_none()
                && let core::task::Poll::Ready(out) = b.as_mut().poll(cx)
            {
                second = Some(out);
            }
            match (first.take(), second.take()) {
                (Some(a), Some(b)) => core::task::Poll::Ready((a, b)),
                (a, b) => {
                    (first, second) = (a, b);
                    core::task::Poll::Pending
                }
            }
        })
        .await
    }
}
