//! Which lanes of one destination are at work.
//!
//! One delivery of a lane is in flight at a time; lanes never wait for each other. When the destination itself is in
//! trouble (no connection, throttled, not authorised) all lanes wait for one probe, so that nothing is hammered.

use core::time::Duration;
use std::collections::BTreeMap;

use crate::Backoff;

/// A time on a clock that never jumps, counted from any start: waits have nothing to do with the time of day.
pub type Uptime = Duration;

/// A lane: a person, or a capture without one.
pub type Lane = [u8; 16];

/// How the work on a lane's head ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It is settled; the lane goes on with what is next.
    Settled,
    /// The destination is in trouble: everything waits.
    Destination {
        /// How long the server asked to wait.
        after: Option<Duration>,
    },
    /// Only this delivery is in trouble: its lane waits.
    Lane,
}

/// The lanes of one destination that are at work or resting. Memory is bounded by the ceiling and by the lanes that rest.
#[derive(Debug)]
pub struct Schedule {
    ceiling: usize,
    backoff: Backoff,
    in_flight: BTreeMap<Lane, u32>,
    resting: BTreeMap<Lane, Rest>,
    trouble: Option<Trouble>,
}

#[derive(Clone, Copy, Debug)]
struct Rest {
    until: Uptime,
    tries: u32,
}

#[derive(Clone, Copy, Debug)]
struct Trouble {
    until: Uptime,
    tries: u32,
}

/// Lanes that may rest at a time; beyond it the whole destination counts as being in trouble.
const RESTING: usize = 4096;

impl Schedule {
    /// A schedule of at most `ceiling` deliveries in flight.
    pub const fn new(ceiling: usize, backoff: Backoff) -> Self {
        Self { ceiling, backoff, in_flight: BTreeMap::new(), resting: BTreeMap::new(), trouble: None }
    }

    /// Changes the ceiling; what is in flight stays.
    pub const fn set_ceiling(&mut self, ceiling: usize) {
        self.ceiling = ceiling;
    }

    /// How many more lanes may be started now.
    pub fn room(&self, now: Uptime) -> usize {
        match self.trouble {
            Some(trouble) if now < trouble.until => 0,
            // One probe shows whether the trouble is over.
            Some(_) => usize::from(self.in_flight.is_empty()),
            None => self.ceiling.saturating_sub(self.in_flight.len()),
        }
    }

    /// Starts a lane unless it is at work or resting.
    pub fn start(&mut self, lane: Lane, now: Uptime) -> bool {
        if self.room(now) == 0 || self.in_flight.contains_key(&lane) {
            return false;
        }
        let tries = match self.resting.get(&lane) {
            Some(rest) if now < rest.until => return false,
            Some(rest) => rest.tries,
            None => 0,
        };
        self.resting.remove(&lane);
        self.in_flight.insert(lane, tries);
        true
    }

    /// How often the lane's head was tried in vain before.
    pub fn tries(&self, lane: &Lane) -> u32 {
        self.in_flight.get(lane).copied().unwrap_or(0)
    }

    /// Ends the work on a lane. `random` is even between 0 and 1.
    pub fn end(&mut self, lane: Lane, ended: Ended, now: Uptime, random: f64) {
        let tries = self.in_flight.remove(&lane).unwrap_or(0);
        match ended {
            Ended::Settled => self.trouble = None,
            Ended::Lane if self.resting.len() < RESTING => {
                let tries = tries + 1;
                self.trouble = None;
                let until = now + self.backoff.wait(tries, None, random);
                self.resting.insert(lane, Rest { until, tries });
            }
            Ended::Destination { .. } | Ended::Lane => {
                let after = if let Ended::Destination { after } = ended { after } else { None };
                // Many lanes in flight fail together: that is one failure of the destination.
                let known = self.trouble.filter(|trouble| now < trouble.until);
                let tries =
                    known.map_or_else(|| self.trouble.map_or(1, |t| t.tries + 1), |trouble| trouble.tries);
                let until = now + self.backoff.wait(tries, after, random);
                let until = known.map_or(until, |trouble| until.max(trouble.until));
                self.trouble = Some(Trouble { until, tries });
            }
        }
    }

    /// When to look again, if nothing else happens; none when nothing rests. What is due by `now` is not waited for: it was
    /// looked at, or waits for something that ends.
    pub fn wake(&self, now: Uptime) -> Option<Uptime> {
        let resting = self.resting.values().map(|rest| rest.until);
        resting.chain(self.trouble.map(|trouble| trouble.until)).filter(|until| *until > now).min()
    }

    /// Forgets the lanes whose rest is over. Called when every lane in which something waits has been offered: nothing
    /// waits in these any more.
    pub fn forget_due(&mut self, now: Uptime) {
        self.resting.retain(|_, rest| rest.until > now);
    }

    /// Deliveries in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Until when the destination waits, and how often it failed in a row.
    pub fn trouble(&self) -> Option<(Uptime, u32)> {
        self.trouble.map(|trouble| (trouble.until, trouble.tries))
    }

    /// Forgets all waiting: somebody says that what was wrong is mended.
    pub fn retry_now(&mut self) {
        self.trouble = None;
        self.resting.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Uptime {
        Uptime::from_millis(millis)
    }

    fn lane(n: u8) -> Lane {
        [n; 16]
    }

    #[test]
    fn a_lane_has_one_delivery_in_flight_and_others_go_on() {
        let mut schedule = Schedule::new(2, Backoff::default());
        assert!(schedule.start(lane(1), at(0)));
        assert!(!schedule.start(lane(1), at(0)));
        assert!(schedule.start(lane(2), at(0)));
        assert!(!schedule.start(lane(3), at(0)), "the ceiling is two");
        schedule.end(lane(1), Ended::Lane, at(0), 1.0);
        assert!(!schedule.start(lane(1), at(500)), "it rests");
        assert!(schedule.start(lane(3), at(500)), "others do not");
        schedule.end(lane(3), Ended::Settled, at(600), 0.0);
        assert!(schedule.start(lane(1), at(1000)));
        assert_eq!(schedule.tries(&lane(1)), 1);
    }

    #[test]
    fn a_destination_in_trouble_gets_one_probe_and_nothing_within_its_window() {
        let mut schedule = Schedule::new(64, Backoff::default());
        for n in 0..8 {
            assert!(schedule.start(lane(n), at(0)));
        }
        let asked = Some(Duration::from_secs(5));
        for n in 0..8 {
            schedule.end(lane(n), Ended::Destination { after: asked }, at(10), 0.5);
        }
        assert_eq!(schedule.trouble().map(|(_, tries)| tries), Some(1), "one failure, not eight");
        assert_eq!(schedule.room(at(5_000)), 0);
        let wake = schedule.wake(at(10)).unwrap();
        assert!(wake >= at(5_010));
        assert_eq!(schedule.room(wake), 1);
        assert!(schedule.start(lane(1), wake));
        assert_eq!(schedule.room(wake), 0, "until the probe has answered");
        assert_eq!(
            schedule.wake(wake),
            None,
            "a probe that hangs is waited for, not looked at again and again"
        );
        schedule.end(lane(1), Ended::Settled, wake, 0.0);
        assert_eq!(schedule.room(wake), 64);
    }

    #[test]
    fn a_lane_that_was_emptied_while_it_rested_is_not_looked_for_for_ever() {
        let mut schedule = Schedule::new(2, Backoff::default());
        for n in [1, 2] {
            assert!(schedule.start(lane(n), at(0)));
        }
        schedule.end(lane(1), Ended::Lane, at(0), 1.0);
        let due = schedule.wake(at(0)).unwrap();
        schedule.end(lane(2), Ended::Lane, due, 1.0);
        // Its delivery was discarded meanwhile: nothing of it is offered.
        let next = schedule.wake(due).unwrap();
        assert!(next > due, "what is due is no reason to wake");
        schedule.forget_due(due);
        assert_eq!(schedule.wake(due), Some(next), "the other one rests still");
        assert!(!schedule.start(lane(2), due));
        schedule.forget_due(next);
        assert_eq!(schedule.wake(at(0)), None);
    }

    proptest! {
        #[test]
        fn never_more_in_flight_than_the_ceiling_and_nothing_in_a_window(
            steps in proptest::collection::vec((0_u8..6, 0_u8..4, 0_u64..3000, 0.0_f64..1.0), 1..200),
            ceiling in 1_usize..5,
        ) {
            let mut schedule = Schedule::new(ceiling, Backoff::default());
            let mut now = 0;
            let mut working = std::collections::BTreeSet::new();
            for (n, what, wait, random) in steps {
                now += wait;
                match what {
                    0 | 1 => {
                        let closed = schedule.trouble().is_some_and(|(until, _)| at(now) < until);
                        if schedule.start(lane(n), at(now)) {
                            prop_assert!(!closed && working.insert(n));
                        }
                    }
                    _ if !working.remove(&n) => {}
                    2 => schedule.end(lane(n), Ended::Settled, at(now), random),
                    _ if random < 0.5 => schedule.end(lane(n), Ended::Lane, at(now), random),
                    _ => schedule.end(lane(n), Ended::Destination { after: None }, at(now), random),
                }
                prop_assert!(schedule.in_flight() <= ceiling && schedule.in_flight() == working.len());
            }
        }
    }
}
