//! How long to wait before the next try.

use core::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;

/// Exponential back-off with full jitter: between nothing and the cap of this try.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The cap of the first try.
    pub base: Duration,
    /// The highest cap.
    pub cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_secs(1), cap: Duration::from_secs(60) }
    }
}

impl Backoff {
    /// The wait before try `tries` + 1, counted from 1 failed try. `random` is even between 0 and 1. What the server asked
    /// for is the least, up to five minutes; the jitter comes on top, so that a thousand boxes do not return at once.
    pub fn wait(&self, tries: u32, after: Option<Duration>, random: f64) -> Duration {
        /// The most that a server may ask for.
        const LONGEST: Duration = Duration::from_secs(300);
        let cap = self.base.saturating_mul(2_u32.saturating_pow(tries.saturating_sub(1))).min(self.cap);
        let jitter = cap.mul_f64(random.clamp(0.0, 1.0));
        after.map_or(jitter, |after| after.min(LONGEST) + jitter.min(self.base))
    }
}

/// Reads Retry-After (RFC 9110, section 10.2.3): seconds or a date.
pub fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    // An HTTP-date is written like a mail's date, with GMT for the zone.
    let date = value.strip_suffix("GMT").map(|date| format!("{date}+0000"))?;
    let at = rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
    Some(Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let now = "2026-11-24T08:00:00Z".parse().unwrap();
        assert_eq!(retry_after("120", now), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Tue, 24 Nov 2026 08:00:30 GMT", now), Some(Duration::from_secs(30)));
        assert_eq!(retry_after("Tue, 24 Nov 2026 07:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }

    #[test]
    fn a_huge_retry_after_is_capped() {
        let backoff = Backoff::default();
        let wait = backoff.wait(1, Some(Duration::from_secs(86_400)), 0.0);
        assert_eq!(wait, Duration::from_secs(300));
    }

    proptest! {
        #[test]
        fn waits_stay_between_nothing_and_the_cap(tries in 0_u32..100, random in 0.0_f64..1.0) {
            let backoff = Backoff::default();
            prop_assert!(backoff.wait(tries, None, random) <= backoff.cap);
        }

        #[test]
        fn what_the_server_asks_for_is_the_least(tries in 1_u32..20, seconds in 0_u64..300, random in 0.0_f64..1.0) {
            let asked = Duration::from_secs(seconds);
            prop_assert!(Backoff::default().wait(tries, Some(asked), random) >= asked);
        }
    }
}
