//! Tasks that are started anew when they end, panic or no longer get on, each alone.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

type Work = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;
type Make = Box<dyn Fn(Hand) -> Work + Send>;
type Ended = Result<(Id, Result<(), String>), JoinError>;

/// The longest wait before a task that keeps failing is started again.
const LONGEST: Duration = Duration::from_secs(60);
/// A task that has run for so long since it was started again is well.
const WELL: Duration = Duration::from_secs(600);
/// A task that has not beaten for so long is stuck.
const STUCK: Duration = Duration::from_secs(60);
/// How long tasks may take to end when they are asked to.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long tasks may take to notice that they are made to end. One that never waits for anything notices nothing.
const ABORTED: Duration = Duration::from_secs(2);

/// Tasks by name.
pub(crate) struct Supervisor {
    /// Where tasks run that give way to the doors.
    work: Handle,
    tasks: JoinSet<Result<(), String>>,
    running: BTreeMap<Id, Running>,
    made: BTreeMap<String, Task>,
    /// Tasks that ended by themselves while others were waited for.
    ended: VecDeque<Ended>,
}

/// Where a task runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Among what senders wait for.
    Door,
    /// Among what gives way.
    Work,
}

/// What a task is given.
#[derive(Clone)]
pub(crate) struct Hand {
    /// Cancelled when it is asked to end.
    pub(crate) stop: CancellationToken,
    /// Shows that it gets on.
    pub(crate) beat: Beat,
}

/// Shows that a task gets on. One that has begun to beat and stops is started anew.
#[derive(Clone, Default)]
pub(crate) struct Beat(Arc<AtomicU64>);

impl Beat {
    /// It gets on.
    pub(crate) fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct Task {
    make: Make,
    place: Place,
    stop: CancellationToken,
    failures: u32,
}

struct Running {
    name: String,
    since: Instant,
    handle: AbortHandle,
    beat: Beat,
    /// The beat that was seen last, and when it was new.
    seen: (u64, Instant),
    stuck: bool,
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
        Self {
            work,
            tasks: JoinSet::new(),
            running: BTreeMap::new(),
            made: BTreeMap::new(),
            ended: VecDeque::new(),
        }
    }

    /// Starts a task; `make` makes it anew each time.
    pub(crate) fn start<F>(&mut self, name: &str, place: Place, make: impl Fn(Hand) -> F + Send + 'static)
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let make: Make = Box::new(move |hand| Box::pin(make(hand)));
        let task = Task { make, place, stop: CancellationToken::new(), failures: 0 };
        self.made.insert(name.to_owned(), task);
        self.spawn(name);
    }

    /// Starts a task again after it has fallen, unless one of its name runs already.
    pub(crate) fn again(&mut self, name: &str) {
        if !self.runs(name) {
            self.spawn(name);
        }
    }

    fn spawn(&mut self, name: &str) {
        let Some(task) = self.made.get(name) else { return };
        let beat = Beat::default();
        let work = (task.make)(Hand { stop: task.stop.clone(), beat: beat.clone() });
        let handle = match task.place {
            Place::Door => self.tasks.spawn(work),
            Place::Work => self.tasks.spawn_on(work, &self.work),
        };
        let (id, since) = (handle.id(), Instant::now());
        let running = Running { name: name.to_owned(), since, handle, beat, seen: (0, since), stuck: false };
        self.running.insert(id, running);
    }

    fn runs(&self, name: &str) -> bool {
        self.running.values().any(|running| running.name == name)
    }

    /// Waits for a task that ends though nobody asked it to.
    pub(crate) async fn fallen(&mut self) -> Fallen {
        loop {
            let ended = match self.ended.pop_front() {
                Some(ended) => ended,
                None => match self.tasks.join_next_with_id().await {
                    Some(ended) => ended,
                    None => return core::future::pending().await,
                },
            };
            if let Some(fallen) = self.fell(ended) {
                return fallen;
            }
        }
    }

    fn fell(&mut self, ended: Ended) -> Option<Fallen> {
        let (id, why) = match ended {
            Ok((id, Ok(()))) => (id, "it ended by itself".to_owned()),
            Ok((id, Err(error))) => (id, error),
            Err(error) if error.is_cancelled() => (error.id(), "it no longer got on".to_owned()),
            Err(panic) => (panic.id(), "it panicked".to_owned()),
        };
        let Running { name, .. } = self.running.remove(&id)?;
        // A task that was asked to end is no longer among the made ones, or one of its name runs anew.
        if self.runs(&name) {
            return None;
        }
        let task = self.made.get_mut(&name).filter(|task| !task.stop.is_cancelled())?;
        task.failures = task.failures.saturating_add(1);
        let after =
            Duration::from_secs(1).saturating_mul(2_u32.saturating_pow(task.failures - 1)).min(LONGEST);
        Some(Fallen { name, why, after })
    }

    /// Looks after the tasks: makes an end of those that are stuck, which [`Supervisor::fallen`] then tells, and names
    /// those that fell and have been well for a while since.
    pub(crate) fn look(&mut self, now: Instant) -> Vec<String> {
        let mut well = Vec::new();
        for running in self.running.values_mut() {
            let count = running.beat.count();
            if count != running.seen.0 {
                running.seen = (count, now);
            } else if count > 0 && !running.stuck && now.duration_since(running.seen.1) >= STUCK {
                running.stuck = true;
                running.handle.abort();
            }
            if !running.stuck
                && now.duration_since(running.since) >= WELL
                && let Some(task) = self.made.get_mut(&running.name)
                && core::mem::take(&mut task.failures) > 0
            {
                well.push(running.name.clone());
            }
        }
        well
    }

    /// Asks tasks to end for good, and waits for them. Those that do not are made to.
    pub(crate) async fn finish(&mut self, which: impl Fn(&str) -> bool) {
        self.made.retain(|name, task| {
            let ends = which(name);
            if ends {
                task.stop.cancel();
            }
            !ends
        });
        if self.wait(&which, PATIENCE).await {
            return;
        }
        for running in self.running.values().filter(|running| which(&running.name)) {
            log::warn!("{} did not end within {PATIENCE:?} and is made to", running.name);
            running.handle.abort();
        }
        if !self.wait(&which, ABORTED).await {
            log::error!("a task does not end; the rest goes on without it");
        }
    }

    /// Waits until no such task runs any more; false when it took too long. Others that end meanwhile have fallen.
    async fn wait(&mut self, which: &impl Fn(&str) -> bool, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        while self.running.values().any(|running| which(&running.name)) {
            let Ok(ended) = tokio::time::timeout_at(until, self.tasks.join_next_with_id()).await else {
                return false;
            };
            let Some(ended) = ended else { return true };
            let id = match &ended {
                Ok((id, _)) => *id,
                Err(error) => error.id(),
            };
            if self.running.get(&id).is_some_and(|running| which(&running.name)) {
                self.running.remove(&id);
            } else {
                self.ended.push_back(ended);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A supervisor on a clock that goes when nothing else can.
    fn run(test: impl AsyncFnOnce(Supervisor)) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async { test(Supervisor::new(Handle::current())).await });
    }

    /// Runs until it is asked to end.
    async fn patient(hand: Hand) -> Result<(), String> {
        hand.stop.cancelled().await;
        Ok(())
    }

    /// What is running, by name.
    fn names(supervisor: &Supervisor) -> Vec<&str> {
        let mut names: Vec<&str> = supervisor.running.values().map(|running| running.name.as_str()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_task_whose_name_begins_with_anothers_stays() {
        run(async |mut supervisor| {
            for name in ["feed his", "feed his2"] {
                supervisor.start(name, Place::Door, patient);
            }
            supervisor.finish(|name| name == "feed his").await;
            assert_eq!(names(&supervisor), ["feed his2"]);
            supervisor.finish(|name| name.starts_with("feed ")).await;
            assert!(names(&supervisor).is_empty());
        });
    }

    #[test]
    fn one_that_falls_while_another_is_waited_for_is_started_again() {
        run(async |mut supervisor| {
            supervisor.start("slow", Place::Work, async |hand: Hand| {
                hand.stop.cancelled().await;
                tokio::time::sleep(Duration::from_secs(3)).await;
                Ok(())
            });
            supervisor.start("falls", Place::Work, async |_| {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Err("on purpose".to_owned())
            });
            supervisor.finish(|name| name == "slow").await;
            let fallen = supervisor.fallen().await;
            assert_eq!((fallen.name.as_str(), fallen.why.as_str()), ("falls", "on purpose"));
            supervisor.again("falls");
            supervisor.again("falls");
            assert_eq!(names(&supervisor), ["falls"], "once");
        });
    }

    #[test]
    fn one_that_does_not_end_when_it_is_asked_to_is_made_to() {
        run(async |mut supervisor| {
            supervisor.start("stubborn", Place::Work, async |_| core::future::pending().await);
            let begun = Instant::now();
            supervisor.finish(|_| true).await;
            assert!(names(&supervisor).is_empty());
            assert!(begun.elapsed() <= PATIENCE + ABORTED);
        });
    }

    #[test]
    fn one_that_is_stuck_is_started_again_alone() {
        run(async |mut supervisor| {
            supervisor.start("stuck", Place::Work, async |hand: Hand| {
                hand.beat.beat();
                core::future::pending().await
            });
            supervisor.start("beats", Place::Work, async |hand: Hand| {
                loop {
                    hand.beat.beat();
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            });
            supervisor.start("never beats", Place::Work, patient);
            for _ in 0..STUCK.as_secs() + 2 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                assert!(supervisor.look(Instant::now()).is_empty());
            }
            let fallen = supervisor.fallen().await;
            assert_eq!((fallen.name.as_str(), fallen.why.as_str()), ("stuck", "it no longer got on"));
            assert_eq!(names(&supervisor), ["beats", "never beats"]);
        });
    }

    #[test]
    fn one_that_has_been_well_for_a_while_is_started_again_at_once() {
        run(async |mut supervisor| {
            supervisor.start("falls", Place::Work, async |_| {
                tokio::time::sleep(WELL + Duration::from_secs(1)).await;
                Err("on purpose".to_owned())
            });
            for _ in 0..3 {
                let fallen = supervisor.fallen().await;
                assert_eq!(fallen.after, Duration::from_secs(1));
                supervisor.again(&fallen.name);
                tokio::time::sleep(WELL).await;
                assert_eq!(supervisor.look(Instant::now()), ["falls"]);
                assert!(supervisor.look(Instant::now()).is_empty(), "said once");
            }
        });
    }
}
