//! The uplink: what [`deliver`] decides, done over the network, one task per destination.
//!
//! Lanes, waits, order and settling are the same for every destination; what is sent and what an answer means is the
//! profile's ([`Way`]).

mod air;
mod fhir;
mod flight;
mod hl7;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use buffer::{Buffer, DeliveryId, LaneHead, StateError, Urgency};
use deliver::{Backoff, Ended, Lane, Schedule};
use jiff::{SignedDuration, Timestamp};
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::sync::{Notify, watch};
use tokio::task::{Id, JoinSet};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

pub use fhir::{Endpoint, EndpointError, Way as Fhir};
pub use hl7::{Content, Hl7Error, Way as Hl7};

pub(crate) use hl7::shown;

use crate::config::{Config, Destination, Profile};
use flight::{Flight, Sender};

/// Lanes looked at in one page.
const PAGE: usize = 256;
/// From so many lanes at hand on the uplink counts as busy.
const BUSY: usize = 16;
/// Blocked lanes are looked for so often.
const LOOK: Duration = Duration::from_secs(15);
/// A lane whose head waits for so long is alarmed.
const BLOCKED: SignedDuration = SignedDuration::from_hours(1);

/// What a destination needs to know.
#[derive(Clone)]
pub struct Settings {
    /// Its name.
    pub name: String,
    /// Its number in the buffer.
    pub number: u16,
    /// Whether it is sent to.
    pub live: bool,
    /// Where it is and what it speaks.
    pub way: Way,
    /// Deliveries in flight at most.
    pub max_in_flight: usize,
}

/// What a destination speaks.
#[derive(Clone)]
pub enum Way {
    /// FHIR R4 over HTTPS.
    Fhir(Arc<Fhir>),
    /// HL7 v2 over MLLP.
    Hl7(Arc<Hl7>),
}

/// Why a destination cannot be used as configured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WayError {
    /// Over FHIR.
    #[error(transparent)]
    Fhir(#[from] EndpointError),
    /// Over HL7 v2.
    #[error(transparent)]
    Hl7(#[from] Hl7Error),
}

impl Way {
    /// What a destination speaks, as configured.
    ///
    /// # Errors
    /// When its address or a file of its TLS cannot be used.
    pub fn new(
        destination: &Destination,
        config: &Config,
        site: &render::fhir::Site,
    ) -> Result<Self, WayError> {
        Ok(match &destination.profile {
            Profile::FhirR4 => {
                let takes_orders = destination.records.contains(&model::RecordKind::Order);
                let endpoint = Endpoint::new(&destination.url, &destination.tls)?;
                Self::Fhir(Arc::new(Fhir {
                    name: destination.name.clone(),
                    endpoint,
                    site: site.clone(),
                    takes_orders,
                }))
            }
            Profile::Hl7v2(hl7) => {
                Self::Hl7(Arc::new(Hl7::new(destination, hl7, config, site.id_key.clone())?))
            }
        })
    }

    /// Whether the destination can be used as configured, without going there.
    ///
    /// # Errors
    /// When its address or a file of its TLS cannot be used.
    pub fn check(destination: &Destination) -> Result<(), WayError> {
        match &destination.profile {
            Profile::FhirR4 => drop(Endpoint::new(&destination.url, &destination.tls)?),
            Profile::Hl7v2(_) => drop(hl7::target(&destination.url, &destination.tls)?),
        }
        Ok(())
    }
}

/// How a destination is doing. Shared with whoever shows it.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Deliveries in flight.
    pub in_flight: usize,
    /// Until when everything waits, and after how many failures in a row.
    pub trouble: Option<(Timestamp, u32)>,
    /// The last failure, as a code.
    pub last_failure: Option<String>,
    /// When something was delivered last.
    pub last_delivered: Option<Timestamp>,
    /// Tries that failed since the start.
    pub retried: u64,
    /// Bytes sent since the start, as compressed.
    pub bytes: u64,
    /// Answers since the start that belonged to nothing that was sent, and were taken for nothing.
    pub strays: u64,
}

/// One destination's uplink.
pub struct Uplink {
    /// The buffer.
    pub buffer: Buffer,
    /// The settings in force.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// Notified when deliveries were enqueued.
    pub enqueued: Arc<Notify>,
    /// How it is doing.
    pub status: Arc<Mutex<Status>>,
    /// The clock.
    pub clock: crate::Clock,
    /// Called now and then while it gets on.
    pub beat: Arc<dyn Fn() + Send + Sync>,
}

/// The heads of lanes that wait, read page by page, oldest first. One that was settled since it was read is noticed by
/// its flight; what came since is in the next round.
struct Ready {
    heads: VecDeque<LaneHead>,
    /// Where the next page of this round begins; 0 between two rounds.
    after: DeliveryId,
    /// Whether there is a reason for another round.
    again: bool,
}

impl Default for Ready {
    fn default() -> Self {
        Self { heads: VecDeque::new(), after: DeliveryId(0), again: true }
    }
}

impl Ready {
    async fn next(&mut self, buffer: &Buffer, destination: u16) -> Result<Option<LaneHead>, StateError> {
        loop {
            if let Some(head) = self.heads.pop_front() {
                return Ok(Some(head));
            }
            if self.after == DeliveryId(0) && !core::mem::take(&mut self.again) {
                return Ok(None);
            }
            let after = self.after;
            let page = buffer.state().read(move |read| read.ready_lanes(destination, 0, after, PAGE));
            self.heads = page.await?.into();
            let last = self.heads.back().filter(|_| self.heads.len() == PAGE);
            self.after = last.map_or(DeliveryId(0), |head| head.head);
        }
    }
}

impl Uplink {
    /// Delivers until `stop`, then lets what is in flight finish.
    ///
    /// # Errors
    /// When the state fails for longer than retries help; the supervisor starts the uplink anew.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), StateError> {
        let settings = self.settings.borrow_and_update().clone();
        let mut schedule = Schedule::new(settings.max_in_flight, Backoff::default());
        let begun = Instant::now();
        let sender = Arc::new(Sender::new(self.buffer.clone(), self.clock.clone()));
        let mut flights: JoinSet<Flight> = JoinSet::new();
        // What is in flight, whatever lane it has been moved to since.
        let mut flying: BTreeMap<Id, (Lane, DeliveryId)> = BTreeMap::new();
        let mut ready = Ready::default();
        // Comes round whatever else happens.
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !stop.is_cancelled() {
            (self.beat)();
            let settings = self.settings.borrow().clone();
            let now = begun.elapsed();
            while settings.live && schedule.room(now) > 0 {
                let Some(head) = ready.next(&self.buffer, settings.number).await? else {
                    schedule.forget_due(now);
                    break;
                };
                if flying.values().any(|(_, id)| *id == head.head) || !schedule.start(head.lane, now) {
                    continue;
                }
                // With many at hand, or more behind it in its lane, nothing lingers: what is settled makes room for the next.
                let urgency = if head.waiting > 1 || schedule.in_flight() + ready.heads.len() >= BUSY {
                    Urgency::Now
                } else {
                    Urgency::Soon
                };
                let (sender, settings, tries) =
                    (sender.clone(), settings.clone(), schedule.tries(&head.lane));
                let flight =
                    flights.spawn(async move { sender.deliver(&settings, head, tries, urgency).await });
                flying.insert(flight.id(), (head.lane, head.head));
            }
            self.show(&schedule, begun.elapsed());
            let wake = schedule.wake(now);
            tokio::select! {
                Some(ended) = flights.join_next_with_id(), if !flights.is_empty() => {
                    let (id, done) = match ended {
                        Ok((id, done)) => (id, done),
                        Err(panicked) => (panicked.id(), Flight::failed_inside()),
                    };
                    if let Some((lane, _)) = flying.remove(&id) {
                        self.ended(&mut schedule, lane, done, begun.elapsed());
                    }
                    ready.again = true;
                }
                () = self.enqueued.notified() => ready.again = true,
                () = until(begun, wake) => ready.again = true,
                changed = self.settings.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    schedule.set_ceiling(self.settings.borrow().max_in_flight);
                    schedule.retry_now();
                    ready.again = true;
                }
                _ = look.tick() => {
                    self.alarm_blocked().await?;
                    ready.again = true;
                }
                () = stop.cancelled() => break,
            }
        }
        let finish = async { while flights.join_next().await.is_some() {} };
        if tokio::time::timeout(Duration::from_secs(10), finish).await.is_err() {
            log::info!(
                "destination {}: what was in flight is sent again after the start",
                self.settings.borrow().name
            );
        }
        Ok(())
    }

    fn ended(&self, schedule: &mut Schedule, lane: Lane, done: Flight, now: Duration) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.bytes += done.bytes;
        status.strays += done.strays;
        if done.ended == Ended::Settled {
            if done.delivered {
                status.last_delivered = Some((self.clock)());
            }
        } else {
            status.retried += 1;
        }
        if let Some(failure) = done.failure {
            // Said once, not at every try: a platform that is down by plan fills no log.
            if status.last_failure.as_ref() != Some(&failure) {
                log::warn!("destination {}: {failure}; it is tried again", self.settings.borrow().name);
            }
            status.last_failure = Some(failure);
        } else if done.ended == Ended::Settled && status.last_failure.take().is_some() {
            log::info!("destination {} takes deliveries again", self.settings.borrow().name);
        }
        drop(status);
        schedule.end(lane, done.ended, now, random());
    }

    fn show(&self, schedule: &Schedule, now: Duration) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.in_flight = schedule.in_flight();
        // Shown as a time of day, which is only ever said, never waited for.
        status.trouble = schedule.trouble().map(|(until, tries)| {
            let wait = SignedDuration::try_from(until.saturating_sub(now)).unwrap_or_default();
            ((self.clock)() + wait, tries)
        });
    }

    /// Raises or clears the alarm about a lane that has been blocked for too long.
    async fn alarm_blocked(&self) -> Result<(), StateError> {
        let (number, name, now) = {
            let settings = self.settings.borrow();
            (settings.number, settings.name.clone(), (self.clock)())
        };
        let run = self.buffer.state().run(Urgency::Soon, move |tx| {
            let key = format!("lane-blocked:{name}");
            match tx.longest_blocked(number)?.filter(|lane| now.duration_since(lane.since) >= BLOCKED) {
                Some(lane) => {
                    let detail = format!(
                        "{} wait behind delivery {}",
                        lane.waiting,
                        lane.head.map_or(0, |head| head.0)
                    );
                    tx.raise_alarm(&key, "lane-blocked", detail.as_bytes(), now)?;
                }
                None => {
                    tx.clear_alarm(&key)?;
                }
            }
            Ok(())
        });
        run.await
    }
}

async fn until(begun: Instant, when: Option<Duration>) {
    match when {
        Some(when) => {
            let wait = when.saturating_sub(begun.elapsed());
            tokio::time::sleep(wait.max(Duration::from_millis(1))).await;
        }
        None => core::future::pending().await,
    }
}

/// Even between 0 and 1. Without random numbers the jitter is half: the wait is what matters.
fn random() -> f64 {
    let mut bytes = [0; 4];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 0.5,
    }
}
