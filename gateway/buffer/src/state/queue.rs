//! A bounded queue with an urgent lane, awaited by tasks on one side and waited for by threads on the other.

use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::Urgency;

/// Jobs waiting for a thread. Each lane keeps the order of its jobs.
pub(super) struct Queue<J> {
    lanes: Mutex<Lanes<J>>,
    filled: Condvar,
    limit: usize,
}

struct Lanes<J> {
    now: VecDeque<J>,
    soon: VecDeque<(Instant, J)>,
    /// Tasks that found the queue full.
    full: Vec<Waker>,
    stopped: bool,
}

/// What a thread finds when it asks for work.
pub(super) enum Work {
    /// There is something to do now.
    Ready,
    /// Nothing has come for a while.
    Idle,
    /// The queue is closed and empty.
    Stopped,
}

impl<J> Queue<J> {
    /// A queue that holds at most `limit` jobs in each lane.
    pub(super) fn new(limit: usize) -> Self {
        let lanes = Lanes { now: VecDeque::new(), soon: VecDeque::new(), full: Vec::new(), stopped: false };
        Self { lanes: Mutex::new(lanes), filled: Condvar::new(), limit }
    }

    /// Takes the job out of `job` as soon as there is room. Ready with false when the queue is closed.
    pub(super) fn poll_push(&self, urgency: Urgency, job: &mut Option<J>, cx: &Context<'_>) -> Poll<bool> {
        let mut lanes = self.lock();
        if lanes.stopped {
            return Poll::Ready(false);
        }
        let length = match urgency {
            Urgency::Now => lanes.now.len(),
            Urgency::Soon => lanes.soon.len(),
        };
        if length >= self.limit {
            if !lanes.full.iter().any(|waker| waker.will_wake(cx.waker())) {
                lanes.full.push(cx.waker().clone());
            }
            return Poll::Pending;
        }
        if let Some(job) = job.take() {
            match urgency {
                Urgency::Now => lanes.now.push_back(job),
                Urgency::Soon => lanes.soon.push_back((Instant::now(), job)),
            }
            self.filled.notify_one();
        }
        Poll::Ready(true)
    }

    /// Waits for work, at most for `idle`. Jobs that are not urgent may linger until the first of them is `linger`
    /// old or `enough` of them have gathered.
    pub(super) fn wait(&self, idle: Duration, enough: usize, linger: impl Fn() -> Duration) -> Work {
        let start = Instant::now();
        let mut lanes = self.lock();
        loop {
            let left = match lanes.soon.front() {
                _ if !lanes.now.is_empty() || lanes.soon.len() >= enough => return Work::Ready,
                Some(_) if lanes.stopped => return Work::Ready,
                Some((since, _)) => linger().saturating_sub(since.elapsed()),
                None if lanes.stopped => return Work::Stopped,
                None => match idle.saturating_sub(start.elapsed()) {
                    Duration::ZERO => return Work::Idle,
                    left => left,
                },
            };
            if left.is_zero() {
                return Work::Ready;
            }
            lanes = self.filled.wait_timeout(lanes, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The next job, urgent ones first.
    pub(super) fn pop(&self) -> Option<J> {
        let mut lanes = self.lock();
        let job = match lanes.now.pop_front() {
            Some(job) => Some(job),
            None => lanes.soon.pop_front().map(|(_, job)| job),
        };
        if lanes.now.len() < self.limit && lanes.soon.len() < self.limit {
            lanes.full.drain(..).for_each(Waker::wake);
        }
        job
    }

    /// Lets waiting threads look again, because a condition outside of the queue changed.
    pub(super) fn nudge(&self) {
        // Taking the lock orders this after the look of a thread that is about to sleep.
        drop(self.lock());
        self.filled.notify_all();
    }

    /// Takes no more jobs; those that are in will still be handed out.
    pub(super) fn stop(&self) {
        let mut lanes = self.lock();
        lanes.stopped = true;
        lanes.full.drain(..).for_each(Waker::wake);
        self.filled.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Lanes<J>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(queue: &Queue<u8>, urgency: Urgency, job: u8) -> bool {
        let cx = Context::from_waker(Waker::noop());
        queue.poll_push(urgency, &mut Some(job), &cx).is_ready()
    }

    #[test]
    fn urgent_jobs_go_first_and_each_lane_keeps_its_order() {
        let queue = Queue::new(8);
        for (urgency, job) in [(Urgency::Soon, 1), (Urgency::Now, 2), (Urgency::Soon, 3), (Urgency::Now, 4)] {
            assert!(push(&queue, urgency, job));
        }
        assert_eq!(std::iter::from_fn(|| queue.pop()).collect::<Vec<_>>(), [2, 4, 1, 3]);
    }

    #[test]
    fn a_full_lane_makes_the_task_wait_and_leaves_the_other_lane_open() {
        let queue = Queue::new(1);
        assert!(push(&queue, Urgency::Soon, 1));
        assert!(!push(&queue, Urgency::Soon, 2));
        assert!(push(&queue, Urgency::Now, 3));
        queue.pop();
        queue.pop();
        assert!(push(&queue, Urgency::Soon, 2));
    }

    #[test]
    fn a_stopped_queue_hands_out_what_it_holds_and_then_ends() {
        let queue = Queue::new(8);
        assert!(push(&queue, Urgency::Soon, 1));
        queue.stop();
        let hour = || Duration::from_secs(3600);
        assert!(matches!(queue.wait(hour(), 256, hour), Work::Ready), "no lingering while stopping");
        assert_eq!(queue.pop(), Some(1));
        assert!(matches!(queue.wait(hour(), 256, hour), Work::Stopped));
        let cx = Context::from_waker(Waker::noop());
        assert_eq!(queue.poll_push(Urgency::Now, &mut Some(2), &cx), Poll::Ready(false));
    }

    #[test]
    fn without_work_a_thread_wakes_to_show_that_it_lives() {
        let queue = Queue::<u8>::new(8);
        assert!(matches!(queue.wait(Duration::ZERO, 256, || Duration::ZERO), Work::Idle));
    }
}
