//! The state database: everything that is not a raw capture.
//!
//! One owner thread writes, in transactions that gather many jobs; each job runs under a savepoint of its own, so
//! that its error takes back its own work and nobody else's. Three reader threads answer from short snapshots. A
//! job's answer comes only after the COMMIT that holds its work is on stable storage (contract 1).

mod alarm;
mod binding;
mod capture;
mod conflict;
mod counter;
mod cursor;
mod delivery;
mod error;
mod exception;
mod lane;
mod link;
mod listing;
mod mapping;
mod meta;
mod name;
mod owner;
mod person;
#[cfg(test)]
mod plan;
mod position;
mod queue;
mod readers;
mod receipt;
mod record;
mod schema;
mod seen;
mod segment;
mod sent;
mod settle;
mod survivor;
mod sweep;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tx;
mod unmapped;

use core::future::poll_fn;
use core::time::Duration;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use futures_channel::oneshot;
use jiff::Timestamp;

pub use alarm::Alarm;
pub use binding::Binding;
pub use conflict::Conflict;
pub use delivery::{Delivery, DeliveryFilter, DeliveryId, DeliveryState, NewDelivery, RecordRef};
pub use error::StateError;
pub use exception::{Exception, ExceptionFilter, Outcome, OutcomeKind, OutcomeKindError};
pub use lane::{Lane, LaneFilter, LaneHead, LaneKey};
pub use link::Decision;
pub use listing::MAX_ROWS;
pub use mapping::{Made, Mapping};
pub use person::Ident;
pub use receipt::Receipt;
pub use record::RecordRow;
pub use schema::{SchemaError, VERSION};
pub use segment::{SegmentRow, SegmentState};
pub use sent::{DeadResource, Sent};
pub use settle::{Settled, SettledAs};
pub use tx::{Read, Tx};
pub use unmapped::{UNMAPPED, Unmapped};

use crate::Ring;
use owner::{Owner, Task};
use queue::Queue;
use readers::Readers;

/// How soon a job has to become durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Goes first and never lingers: audit entries, what a human waits for.
    Now,
    /// May linger a little, so that one write to flash carries the work of many.
    Soon,
}

/// Whether the owner can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// As it should be.
    Good,
    /// A commit failed once; the database has been reopened and checked.
    Reopened,
    /// A commit failed twice. Nothing is written any more until the gateway starts again.
    Held,
}

/// What the state needs to open.
pub(crate) struct Settings {
    /// The database file.
    pub(crate) path: PathBuf,
    /// The keys for personal content and look-ups.
    pub(crate) ring: Arc<Ring>,
    /// The SQLite backend, where it is not the default.
    pub(crate) vfs: Option<String>,
    /// How long a job that is not urgent may linger.
    pub(crate) linger: Duration,
    /// Called when the disk is full, on the owner thread: gives up the reserve.
    pub(crate) on_full: Box<dyn Fn() + Send + Sync>,
}

/// A handle to the state. Clones share the same threads.
#[derive(Clone)]
pub struct State(Arc<Inner>);

struct Inner {
    jobs: Arc<Queue<Box<dyn Task>>>,
    owner: Arc<owner::Shared>,
    readers: Readers,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl State {
    /// Opens the database, bringing its tables up to date, and starts its threads.
    pub(crate) fn open(settings: Settings) -> Result<Self, SchemaError> {
        let jobs = Arc::new(Queue::new(4096));
        let (shared, owner) = Owner::start(settings, Arc::clone(&jobs))?;
        let (readers, mut threads) = Readers::start(&shared)?;
        threads.push(owner);
        Ok(Self(Arc::new(Inner { jobs, owner: shared, readers, threads: Mutex::new(threads) })))
    }

    /// Runs `job` on the owner thread and answers once its work is durable. Jobs of one urgency run in the order in
    /// which they were handed over. A job runs even when its caller stops waiting for the answer.
    ///
    /// # Errors
    /// The job's own, or why it could not be made durable. Nothing of a failed job is kept.
    pub async fn run<T: Send + 'static>(
        &self,
        urgency: Urgency,
        job: impl FnOnce(&mut Tx<'_>) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        let (answer, result) = oneshot::channel();
        let mut task: Option<Box<dyn Task>> = Some(owner::task(job, answer));
        if !poll_fn(|cx| self.0.jobs.poll_push(urgency, &mut task, cx)).await {
            return Err(StateError::Stopping);
        }
        result.await.unwrap_or(Err(StateError::Stopping))
    }

    /// Runs `job` on one of the reader threads, on a snapshot of its own. A job that takes longer than 250 ms is
    /// interrupted, because a long snapshot makes the write-ahead log grow.
    ///
    /// # Errors
    /// The job's own, or [`StateError::TooSlow`].
    pub async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Read<'_>) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        self.0.readers.run(job).await
    }

    /// [`State::run`] for threads that may block.
    ///
    /// # Errors
    /// As [`State::run`].
    pub fn run_blocking<T: Send + 'static>(
        &self,
        urgency: Urgency,
        job: impl FnOnce(&mut Tx<'_>) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        block_on(self.run(urgency, job))
    }

    /// [`State::read`] for threads that may block.
    ///
    /// # Errors
    /// As [`State::read`].
    pub fn read_blocking<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Read<'_>) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        block_on(self.read(job))
    }

    /// While set, no job lingers: the caller works off a backlog that is no longer young.
    pub fn hurry(&self, hurry: bool) {
        self.0.owner.hurry(hurry);
        self.0.jobs.nudge();
    }

    /// Grows for as long as the owner thread lives and gets on, also without work.
    pub fn beat(&self) -> u64 {
        self.0.owner.beat()
    }

    /// Whether the owner can write.
    pub fn health(&self) -> Health {
        self.0.owner.health()
    }

    /// Says that `now` comes from a synchronised clock. Later stamps are never set before it, so that a clock that
    /// starts in 1970 makes nothing look old.
    pub(crate) fn trust(&self, now: Timestamp) {
        self.0.owner.trust(now);
    }

    /// Finishes the jobs that were handed over, folds the write-ahead log into the file and ends the threads.
    pub(crate) fn close(&self) {
        self.0.jobs.stop();
        self.0.readers.stop();
        let threads = core::mem::take(&mut *self.0.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A thread that panicked has already failed its jobs.
            let _ = thread.join();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.jobs.stop();
        self.readers.stop();
    }
}

/// Polls `future` to its end on this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut cx = core::task::Context::from_waker(&waker);
    let mut future = core::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut cx) {
            core::task::Poll::Ready(output) => return output,
            core::task::Poll::Pending => std::thread::park(),
        }
    }
}
