//! The return address of a feed: second answers of enhanced mode go there, over a connection of their own, in the order
//! in which their messages came.

use core::time::Duration;
use std::sync::Arc;

use feed::{CaptureId, Outcome};
use hl7::Header;
use hl7::ack::{Code, Stage, When};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::link::{Link, Target};
use super::{Context, Settings, answer, connection};

/// Answers that may wait; what comes beyond is counted as not told.
const WAITING: usize = 4096;
/// How long one answer is tried for; then the next one has its turn.
const TRIED_FOR: Duration = Duration::from_secs(15 * 60);
/// Waits between two tries: the first, and the longest.
const WAIT: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// How long an answer may take to be written.
const WRITE: Duration = Duration::from_secs(30);

/// A message whose sender waits for a second answer.
pub(super) struct Late {
    pub(super) header: Header,
    pub(super) capture: CaptureId,
    pub(super) wanted: When,
}

/// Where connections hand in what is to be told. Clones share it.
#[derive(Clone)]
pub(super) struct Returns(mpsc::Sender<Late>);

/// What tells it.
pub(super) struct Telling(JoinHandle<()>);

struct Teller {
    settings: watch::Receiver<Arc<Settings>>,
    context: Context,
    stop: CancellationToken,
    link: Option<Link>,
}

impl Returns {
    pub(super) fn start(
        settings: &watch::Receiver<Arc<Settings>>,
        context: &Context,
        stop: &CancellationToken,
    ) -> (Self, Telling) {
        let (sender, late) = mpsc::channel(WAITING);
        let teller =
            Teller { settings: settings.clone(), context: context.clone(), stop: stop.clone(), link: None };
        (Self(sender), Telling(tokio::spawn(teller.run(late))))
    }

    /// Hands in what is to be told; gives it back where it is told over the connection itself.
    pub(super) fn take(&self, late: Late, settings: &Settings, context: &Context) -> Option<Late> {
        if settings.ack_to.is_none() {
            return Some(late);
        }
        if self.0.try_send(late).is_err() {
            context.stats.untold(1);
        }
        None
    }
}

impl Telling {
    /// Waits until it has ended, which it does when nobody can hand anything in any more.
    pub(super) async fn finish(self) {
        // One that panicked has nothing left to tell.
        let _ = self.0.await;
    }
}

impl Teller {
    async fn run(mut self, mut late: mpsc::Receiver<Late>) {
        while let Some(late) = late.recv().await {
            if !self.tell(&late).await {
                self.context.stats.untold(1);
            }
        }
    }

    /// Tells one answer; false when it could not be told.
    async fn tell(&mut self, late: &Late) -> bool {
        let outcome = tokio::select! {
            outcome = self.context.outcomes.outcome(late.capture) => outcome,
            () = self.stop.cancelled() => None,
        };
        let Some(outcome) = outcome else { return false };
        let (code, problem) = match outcome {
            Outcome::Understood => (Code::Accept, None),
            Outcome::Refused(why) => (Code::Error, Some(answer::not_used(&why))),
        };
        if !late.wanted.wants(code) {
            return true;
        }
        let zone = self.settings.borrow().zone.clone();
        let now = (self.context.clock)().to_zoned_datetime(zone);
        let nth = connection::next_answer();
        let code = (code, Stage::Application);
        let payload = answer::build(Some(&late.header), code, problem.as_ref(), None, nth, &now);
        let (end, mut wait) = (Instant::now() + TRIED_FOR, WAIT.0);
        loop {
            // A reload may have changed the address.
            let Some(target) = self.settings.borrow().ack_to.clone() else { return false };
            if self.write(&target, &payload).await {
                self.context.stats.told_late();
                self.fails(&target, false);
                return true;
            }
            self.fails(&target, true);
            if Instant::now() + wait > end {
                return false;
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stop.cancelled() => return false,
            }
            wait = (wait * 2).min(WAIT.1);
        }
    }

    /// Writes over a connection that stands. Nobody answers an answer: that it was written is all there is to know.
    async fn write(&mut self, target: &Target, payload: &[u8]) -> bool {
        let mut standing = self.link.take();
        if let Some(link) = &mut standing
            && !link.is_alive().await
        {
            standing = None;
        }
        let mut link = match standing {
            Some(link) => link,
            None => match target.connect().await {
                Ok(link) => link,
                Err(_) => return false,
            },
        };
        if link.send(payload, WRITE).await.is_err() {
            return false;
        }
        self.link = Some(link);
        true
    }

    /// Says it once, not at every try.
    fn fails(&self, target: &Target, fails: bool) {
        if !self.context.stats.return_fails(fails) {
            return;
        }
        let feed = self.settings.borrow().feed.clone();
        if fails {
            log::warn!("feed {feed}: ack_to {target} takes no acknowledgements; they are tried again");
        } else {
            log::info!("feed {feed}: ack_to {target} takes acknowledgements again");
        }
    }
}
