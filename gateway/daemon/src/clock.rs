//! The clock, and whether it can be believed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use buffer::ClockTrust;
use jiff::{SignedDuration, Timestamp};

/// Tells the time of day.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Where the time comes from. Passed in, so that tests can make it go as they need.
#[derive(Clone)]
pub struct Time {
    /// The time of day.
    pub clock: Clock,
    /// How long it is since some moment, on a clock that nobody sets.
    pub uptime: Arc<dyn Fn() -> Duration + Send + Sync>,
    /// Whether the time of day is kept in step with a source of time.
    pub in_step: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// The time of the system.
pub fn system() -> Time {
    let begun = Instant::now();
    Time {
        clock: Arc::new(Timestamp::now),
        uptime: Arc::new(move || begun.elapsed()),
        in_step: Arc::new(kernel_in_step),
    }
}

/// Whether the kernel's clock is disciplined, whoever does it (timesyncd, chrony, ntpd): its largest error is below the 16
/// seconds that it has from the start and comes back to some hours after the last word from a source. This is what stands
/// behind `timedatectl`'s NTPSynchronized.
#[expect(unsafe_code, reason = "adjtimex(2): there is no safe way to ask it")]
fn kernel_in_step() -> bool {
    /// In microseconds (NTP_PHASE_LIMIT).
    const NOT_IN_STEP: i64 = 16_000_000;
    // SAFETY: `timex` is plain numbers, for which zeros are a value; with `modes` 0 the call only fills it in.
    let (answer, state) = unsafe {
        let mut state: libc::timex = core::mem::zeroed();
        (libc::adjtimex(&mut state), state)
    };
    #[allow(clippy::useless_conversion, reason = "its width is the platform's")]
    let error = i64::from(state.maxerror);
    answer >= 0 && error < NOT_IN_STEP
}

/// From such a difference on against the clock that nobody sets, the time of day was stepped. Slewing makes a hundredth.
const STEP: SignedDuration = SignedDuration::from_secs(2);
/// For so long after a step the time of day is not believed.
const SETTLE: Duration = Duration::from_secs(15 * 60);
/// A clock that is doubtful for so long is alarmed: nothing is destroyed meanwhile, and the buffer fills.
const ALARM: Duration = Duration::from_secs(3600);

/// What is known of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is kept in step.
    Synchronised,
    /// The site vouches for it.
    Vouched,
    /// Nothing keeps it in step.
    Unsynchronised,
    /// It has just been stepped.
    Stepped,
}

impl Standing {
    pub(crate) const fn trust(self) -> ClockTrust {
        match self {
            Self::Synchronised | Self::Vouched => ClockTrust::Trusted,
            Self::Unsynchronised | Self::Stepped => ClockTrust::Doubtful,
        }
    }

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Synchronised => "synchronised",
            Self::Vouched => "vouched",
            Self::Unsynchronised => "unsynchronised",
            Self::Stepped => "stepped",
        }
    }
}

/// Watches the clock.
pub(crate) struct Watch {
    /// The time of day and the uptime when it was last looked at.
    last: (Timestamp, Duration),
    stepped: Option<Duration>,
    doubtful: Option<Duration>,
    standing: Standing,
}

impl Watch {
    pub(crate) fn new(time: &Time, vouched: bool) -> Self {
        let last = ((time.clock)(), (time.uptime)());
        let mut watch = Self { last, stepped: None, doubtful: None, standing: Standing::Unsynchronised };
        watch.look(time, vouched);
        watch
    }

    /// Looks at the clock. Called every few seconds.
    pub(crate) fn look(&mut self, time: &Time, vouched: bool) -> Standing {
        let (now, uptime) = ((time.clock)(), (time.uptime)());
        let (then, before) = core::mem::replace(&mut self.last, (now, uptime));
        let passed = SignedDuration::try_from(uptime.saturating_sub(before)).unwrap_or(SignedDuration::MAX);
        if now.duration_since(then).saturating_sub(passed).abs() >= STEP {
            self.stepped = Some(uptime);
        }
        self.standing = if self.stepped.is_some_and(|at| uptime.saturating_sub(at) < SETTLE) {
            Standing::Stepped
        } else if vouched {
            Standing::Vouched
        } else if (time.in_step)() {
            Standing::Synchronised
        } else {
            Standing::Unsynchronised
        };
        self.doubtful = match self.standing.trust() {
            ClockTrust::Trusted => None,
            ClockTrust::Doubtful => self.doubtful.or(Some(uptime)),
        };
        self.standing
    }

    pub(crate) const fn standing(&self) -> Standing {
        self.standing
    }

    /// Whether somebody has to look at it.
    pub(crate) fn is_alarming(&self) -> bool {
        self.doubtful.is_some_and(|since| self.last.1.saturating_sub(since) >= ALARM)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A time that a test sets: seconds of the day's clock, seconds of uptime, in step.
    fn time(at: &Arc<Mutex<(i64, u64, bool)>>) -> Time {
        let [a, b, c] = core::array::from_fn(|_| at.clone());
        Time {
            clock: Arc::new(move || Timestamp::from_second(1_800_000_000 + a.lock().unwrap().0).unwrap()),
            uptime: Arc::new(move || Duration::from_secs(b.lock().unwrap().1)),
            in_step: Arc::new(move || c.lock().unwrap().2),
        }
    }

    #[test]
    fn a_step_in_either_direction_is_noticed_and_believed_again_after_a_while() {
        for step in [-7200, -2, 2, 86_400] {
            let at = Arc::new(Mutex::new((0, 0, true)));
            let time = time(&at);
            let mut watch = Watch::new(&time, false);
            let mut look = |clock, uptime| {
                *at.lock().unwrap() = (clock, uptime, true);
                watch.look(&time, false)
            };
            assert_eq!(look(5, 5), Standing::Synchronised);
            assert_eq!(look(11, 10), Standing::Synchronised, "a second is no step");
            assert_eq!(look(16 + step, 15), Standing::Stepped, "{step}");
            assert_eq!(look(21 + step, 20), Standing::Stepped);
            let later = SETTLE.as_secs() + 15;
            assert_eq!(look(later as i64 + 1 + step, later), Standing::Synchronised);
        }
    }

    #[test]
    fn a_clock_that_nothing_keeps_in_step_is_doubtful_and_alarmed_after_an_hour() {
        let at = Arc::new(Mutex::new((0, 0, false)));
        let time = time(&at);
        let mut watch = Watch::new(&time, false);
        assert_eq!((watch.standing(), watch.is_alarming()), (Standing::Unsynchronised, false));
        *at.lock().unwrap() = (3600, 3600, false);
        assert_eq!(watch.look(&time, false).trust(), ClockTrust::Doubtful);
        assert!(watch.is_alarming());
        *at.lock().unwrap() = (3605, 3605, true);
        assert_eq!(watch.look(&time, false), Standing::Synchronised);
        assert!(!watch.is_alarming());
        *at.lock().unwrap() = (3610, 3610, false);
        assert_eq!(watch.look(&time, true), Standing::Vouched);
        *at.lock().unwrap() = (9999, 3615, false);
        assert_eq!(watch.look(&time, true), Standing::Stepped, "nobody vouches for a step");
    }

    #[test]
    fn the_kernel_can_be_asked() {
        // What it answers is this machine's; that it answers is ours.
        let _ = kernel_in_step();
        let time = system();
        assert!((time.clock)() > Timestamp::UNIX_EPOCH && (time.uptime)() < Duration::from_secs(60));
    }
}
