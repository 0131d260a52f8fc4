//! A state to test with.

use core::time::Duration;
use std::sync::Arc;

use feed::{CaptureId, FeedName};
use jiff::Timestamp;
use model::Position;
use tempfile::TempDir;

use super::{Read, Settings, State, StateError, Tx, Urgency, block_on};
use crate::Ring;

/// A state in a directory of its own.
pub(crate) struct Scratch {
    state: State,
    ring: Arc<Ring>,
    dir: TempDir,
}

/// An empty state.
pub(crate) fn scratch() -> Scratch {
    scratch_with(|_| {})
}

/// An empty state with other settings.
pub(crate) fn scratch_with(change: impl FnOnce(&mut Settings)) -> Scratch {
    let dir = tempfile::tempdir().unwrap();
    let ring = Arc::new(Ring::for_tests());
    let mut settings = settings(&dir, &ring);
    change(&mut settings);
    Scratch { state: State::open(settings).unwrap(), ring, dir }
}

fn settings(dir: &TempDir, ring: &Arc<Ring>) -> Settings {
    Settings {
        path: dir.path().join("state.db"),
        ring: Arc::clone(ring),
        vfs: None,
        linger: Duration::ZERO,
        on_full: Box::new(|| {}),
    }
}

impl Scratch {
    /// Runs a job that has to succeed. What it asserts fails the test.
    #[track_caller]
    pub(crate) fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Tx<'_>) -> Result<T, StateError> + Send + 'static,
    ) -> T {
        self.state.run_blocking(Urgency::Now, job).unwrap()
    }

    /// Runs a job that does its work and then gives up.
    pub(crate) fn fail<T: 'static>(
        &self,
        job: impl FnOnce(&mut Tx<'_>) -> Result<T, StateError> + Send + 'static,
    ) {
        let given_up = self.state.run_blocking(Urgency::Now, |tx| {
            job(tx)?;
            Err::<(), _>(StateError::Abandoned("on purpose".into()))
        });
        assert!(matches!(given_up, Err(StateError::Abandoned(_))));
    }

    /// Runs a question that has to succeed; on a busy machine it may take several turns.
    #[track_caller]
    pub(crate) fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Read<'_>) -> Result<T, StateError> + Clone + Send + 'static,
    ) -> T {
        let mut turns = (0..100).map(|_| self.state.read_blocking(job.clone()));
        turns.find(|answer| !matches!(answer, Err(StateError::TooSlow))).unwrap().unwrap()
    }

    /// Shows the database as another program would see it.
    pub(crate) fn with_db(&self, look: impl FnOnce(&rusqlite::Connection)) {
        look(&rusqlite::Connection::open(self.dir.path().join("state.db")).unwrap());
    }

    pub(crate) fn handle(&self) -> &State {
        &self.state
    }

    /// Closes the state and opens it again.
    pub(crate) fn reopen(&mut self) {
        self.state.close();
        self.state = State::open(settings(&self.dir, &self.ring)).unwrap();
    }

    /// Everything that lies on the disk.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let files = std::fs::read_dir(self.dir.path()).unwrap();
        files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
    }
}

/// Waits for an answer.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    block_on(future)
}

/// So many seconds after 2026-11-24 00:00 UTC.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_795_478_400 + seconds).unwrap()
}

pub(crate) fn feed(name: &str) -> FeedName {
    FeedName::new(name).unwrap()
}

pub(crate) fn position(event: i64, capture: CaptureId) -> Position {
    Position { event: at(event), capture, revision: 1 }
}
