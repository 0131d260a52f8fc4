//! The threads that answer questions about the state.

use core::future::poll_fn;
use core::panic::AssertUnwindSafe;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use futures_channel::oneshot;
use rusqlite::{Connection, ErrorCode};

use super::owner::{Shared, spawn};
use super::queue::{Queue, Work};
use super::{Read, SchemaError, StateError, Urgency, schema};
use crate::Ring;

/// How many listings run at the same time.
const THREADS: usize = 3;
/// How many more may wait.
const WAITING: usize = 64;
/// How long one may hold its snapshot.
const LIMIT: Duration = Duration::from_millis(250);
/// How many steps of SQLite's machine pass between two looks at the clock.
const STEPS: i32 = 1000;

/// The queue of the readers.
pub(super) struct Readers(Arc<Queue<Box<dyn FnOnce(&mut Reader) + Send>>>);

/// One reader's side.
pub(super) struct Reader {
    db: Connection,
    ring: Arc<Ring>,
    start: Instant,
    /// When the running job must have ended, in milliseconds after `start`.
    until: Arc<AtomicU64>,
}

impl Readers {
    /// Opens a connection for each thread and starts them.
    pub(super) fn start(shared: &Shared) -> Result<(Self, Vec<JoinHandle<()>>), SchemaError> {
        let queue = Arc::new(Queue::new(WAITING));
        let mut threads = Vec::with_capacity(THREADS);
        for _ in 0..THREADS {
            let mut reader = Reader::open(shared)?;
            let queue = Arc::clone(&queue);
            threads.push(spawn("state-reader", move || reader.work(&queue))?);
        }
        Ok((Self(queue), threads))
    }

    /// Runs `job` on the next free thread.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Read<'_>) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        let (answer, result) = oneshot::channel();
        let mut task: Option<Box<dyn FnOnce(&mut Reader) + Send>> = Some(Box::new(move |reader| {
            // Nobody waiting any more is no error.
            let _ = answer.send(reader.snapshot(job));
        }));
        if !poll_fn(|cx| self.0.poll_push(Urgency::Now, &mut task, cx)).await {
            return Err(StateError::Stopping);
        }
        result.await.unwrap_or(Err(StateError::Stopping))
    }

    /// Takes no more jobs.
    pub(super) fn stop(&self) {
        self.0.stop();
    }
}

impl Reader {
    fn open(shared: &Shared) -> Result<Self, SchemaError> {
        let mut db = schema::open_reader(&shared.path, shared.vfs.as_deref())?;
        let start = Instant::now();
        let until = Arc::new(AtomicU64::new(u64::MAX));
        let clock = Arc::clone(&until);
        db.progress_handler(STEPS, Some(move || elapsed(start) > clock.load(Ordering::Relaxed)))?;
        Ok(Self { db, ring: Arc::clone(&shared.ring), start, until })
    }

    fn work(&mut self, queue: &Queue<Box<dyn FnOnce(&mut Self) + Send>>) {
        loop {
            match queue.wait(Duration::from_secs(3600), 1, || Duration::ZERO) {
                // Another thread may have been faster.
                Work::Ready => queue.pop().into_iter().for_each(|job| job(self)),
                Work::Idle => {}
                Work::Stopped => return,
            }
        }
    }

    fn snapshot<T>(&mut self, job: impl FnOnce(&Read<'_>) -> Result<T, StateError>) -> Result<T, StateError> {
        self.until.store(elapsed(self.start) + LIMIT.as_millis() as u64, Ordering::Relaxed);
        // Deferred, and rolled back when dropped: the snapshot ends here on every way out.
        let snapshot = self.db.transaction()?;
        let read = Read::new(&snapshot, &self.ring, Some(LIMIT));
        let result = catch_unwind(AssertUnwindSafe(|| job(&read))).unwrap_or(Err(StateError::Panicked));
        self.until.store(u64::MAX, Ordering::Relaxed);
        match result {
            Err(StateError::Sqlite(e)) if e.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
                Err(StateError::TooSlow)
            }
            result => result,
        }
    }
}

fn elapsed(start: Instant) -> u64 {
    start.elapsed().as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::super::StateError;
    use super::super::testing::scratch;

    const ENDLESS: &str =
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n LIMIT 1";

    #[test]
    fn a_reader_that_takes_too_long_is_interrupted_and_the_next_one_is_served() {
        let state = scratch();
        let slow = state.handle().read_blocking(|read| Ok(read.unchecked(ENDLESS)?));
        assert!(matches!(slow, Err(StateError::TooSlow)), "{slow:?}");
        let many = state.handle().read_blocking(|read| {
            loop {
                read.cursor()?;
            }
            #[expect(unreachable_code)]
            Ok(())
        });
        assert!(matches!(many, Err(StateError::TooSlow)), "{many:?}");
        assert!(state.read(|read| read.counters()).is_empty());
    }

    #[test]
    fn a_panicking_reader_hurts_nobody() {
        let state = scratch();
        for _ in 0..5 {
            let panicked = state.handle().read_blocking(|_| -> Result<(), _> { panic!("on purpose") });
            assert!(matches!(panicked, Err(StateError::Panicked)));
        }
        assert!(state.read(|read| read.counters()).is_empty());
    }

    #[test]
    fn a_snapshot_does_not_change_under_its_reader() {
        let state = scratch();
        let writer = state.handle().clone();
        state.read(move |read| {
            let before = read.counters()?;
            writer.run_blocking(super::Urgency::Now, |tx| tx.count("received", "", 1))?;
            Ok(assert_eq!(read.counters()?, before))
        });
        assert_eq!(state.read(|read| read.counters()).len(), 1);
    }
}
