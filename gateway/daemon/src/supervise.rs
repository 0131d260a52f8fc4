//! Tasks that are started anew when they end or panic, each alone.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

type Work = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;
type Make = Box<dyn Fn(CancellationToken) -> Work + Send>;

/// The longest wait before a task that keeps failing is started again.
const LONGEST: Duration = Duration::from_secs(60);

/// Tasks by name.
pub(crate) struct Supervisor {
    /// Where tasks run that give way to the doors.
    work: Handle,
    tasks: JoinSet<Result<(), String>>,
    running: BTreeMap<Id, String>,
    made: BTreeMap<String, Task>,
}

/// Where a task runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Among what senders wait for.
    Door,
    /// Among what gives way.
    Work,
}

struct Task {
    make: Make,
    place: Place,
    stop: CancellationToken,
    failures: u32,
}

/// A task that ended by itself.
pub(crate) struct Fallen {
    pub(crate) name: String,
    pub(crate) why: String,
    /// When it is to be started again.
    pub(crate) after: Duration,
}

impl Supervisor {
    pub(crate) fn new(work: Handle) -> Self {
        Self { work, tasks: JoinSet::new(), running: BTreeMap::new(), made: BTreeMap::new() }
    }

    /// Starts a task; `make` makes it anew each time.
    pub(crate) fn start<F>(
        &mut self,
        name: &str,
        place: Place,
        make: impl Fn(CancellationToken) -> F + Send + 'static,
    ) where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let make: Make = Box::new(move |stop| Box::pin(make(stop)));
        let task = Task { make, place, stop: CancellationToken::new(), failures: 0 };
        self.made.insert(name.to_owned(), task);
        self.again(name);
    }

    /// Starts a task again after it has fallen.
    pub(crate) fn again(&mut self, name: &str) {
        if let Some(task) = self.made.get(name) {
            let work = (task.make)(task.stop.clone());
            let handle = match task.place {
                Place::Door => self.tasks.spawn(work),
                Place::Work => self.tasks.spawn_on(work, &self.work),
            };
            self.running.insert(handle.id(), name.to_owned());
        }
    }

    /// Asks a task to end, for good.
    pub(crate) fn stop(&mut self, name: &str) {
        if let Some(task) = self.made.remove(name) {
            task.stop.cancel();
        }
    }

    /// Waits for a task that ends though nobody asked it to.
    pub(crate) async fn fallen(&mut self) -> Fallen {
        loop {
            let Some(ended) = self.tasks.join_next_with_id().await else {
                return core::future::pending().await;
            };
            let (id, why) = match ended {
                Ok((id, Ok(()))) => (id, "it ended by itself".to_owned()),
                Ok((id, Err(error))) => (id, error),
                Err(panic) => (panic.id(), "it panicked".to_owned()),
            };
            let Some(name) = self.running.remove(&id) else { continue };
            // A task that was asked to end is no longer among the made ones, or one of its name runs anew.
            if self.running.values().any(|other| *other == name) {
                continue;
            }
            let Some(task) = self.made.get_mut(&name).filter(|task| !task.stop.is_cancelled()) else {
                continue;
            };
            task.failures += 1;
            let after =
                Duration::from_secs(1).saturating_mul(2_u32.saturating_pow(task.failures - 1)).min(LONGEST);
            return Fallen { name, why, after };
        }
    }

    /// Asks all tasks of a kind to end, those whose names begin with `prefix`, and waits for them.
    pub(crate) async fn finish(&mut self, prefix: &str) {
        let names: Vec<String> = self.made.keys().filter(|name| name.starts_with(prefix)).cloned().collect();
        for name in &names {
            self.stop(name);
        }
        while self.running.values().any(|name| names.contains(name)) {
            let Some(ended) = self.tasks.join_next_with_id().await else { return };
            let id = ended.map_or_else(|panic| panic.id(), |(id, _)| id);
            self.running.remove(&id);
        }
    }
}
