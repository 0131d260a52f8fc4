//! Feeds that have gone silent in hours in which they should not be.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Mutex;
use std::time::Duration;

use buffer::{State, StateError, Urgency};
use feed::FeedName;
use jiff::civil::Time;
use jiff::{SignedDuration, Timestamp, ZonedDateTime};

use crate::run::lock;

/// When silence is alarmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// How long no message may come.
    pub after: Duration,
    /// In these hours of the day; none: always.
    pub hours: Option<Hours>,
}

/// Hours of a day, in the site's time zone. An end before the beginning is on the next day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    from: Time,
    to: Time,
}

impl FromStr for Hours {
    type Err = String;

    /// Reads `07:00-19:00`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "hours are written 07:00-19:00".to_owned();
        let (from, to) = text.split_once('-').ok_or_else(wrong)?;
        let read = |part: &str| Time::strptime("%H:%M", part.trim()).map_err(|_| wrong());
        let (from, to) = (read(from)?, read(to)?);
        if from == to {
            Err("hours begin and end at the same time".to_owned())
        } else {
            Ok(Self { from, to })
        }
    }
}

impl Silence {
    /// Whether a feed that heard its last message at `last` is silent for too long. Nights do not count: after the hours
    /// have begun it has the whole time once more.
    pub fn is_too_long(&self, last: Timestamp, now: &ZonedDateTime) -> bool {
        let began = match self.hours {
            None => None,
            Some(hours) => match hours.began(now) {
                Some(began) => Some(began),
                None => return false,
            },
        };
        let since = began.map_or(last, |began| began.max(last));
        let after = SignedDuration::try_from(self.after).unwrap_or(SignedDuration::MAX);
        now.timestamp().duration_since(since) >= after
    }
}

impl Hours {
    /// When the hours that `now` is in have begun; none outside of them.
    fn began(self, now: &ZonedDateTime) -> Option<Timestamp> {
        let time = now.time();
        let (inside, yesterday) = if self.from < self.to {
            ((self.from..self.to).contains(&time), false)
        } else {
            (time >= self.from || time < self.to, time < self.to)
        };
        if !inside {
            return None;
        }
        let date = if yesterday { now.date().yesterday().ok()? } else { now.date() };
        let began = date.to_datetime(self.from).to_zoned_datetime(now.time_zone().clone()).ok()?;
        Some(began.timestamp())
    }
}

/// Which feeds are alarmed, so that each silence is said once.
#[derive(Default)]
pub(crate) struct Silences(Mutex<BTreeMap<FeedName, bool>>);

impl Silences {
    /// Notes whether a feed is silent, and raises or clears its alarm where that has changed.
    pub(crate) fn note(
        &self,
        feed: &FeedName,
        silent_since: Option<Timestamp>,
        state: &State,
        now: Timestamp,
    ) -> Result<(), StateError> {
        let silent = silent_since.is_some();
        let before = lock(&self.0).insert(feed.clone(), silent);
        if before == Some(silent) {
            return Ok(());
        }
        let key = format!("feed-silent:{feed}");
        match silent_since {
            Some(since) => {
                let what = format!("feed {feed}: no message since {since}");
                log::warn!("{what}; look at the sender and the line to it");
                state.run_blocking(Urgency::Soon, move |tx| {
                    tx.raise_alarm(&key, "feed-silent", what.as_bytes(), now).map(drop)
                })
            }
            None => {
                // Also at the start: the alarm may be left from before it.
                if before.is_some() {
                    log::info!("feed {feed} is heard again");
                }
                state.run_blocking(Urgency::Soon, move |tx| tx.clear_alarm(&key).map(drop))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> ZonedDateTime {
        format!("2026-11-{text}:00+08:00[Asia/Shanghai]").parse().unwrap()
    }

    fn silent(hours: Option<&str>, last: &str, now: &str) -> bool {
        let hours = hours.map(|hours| hours.parse().unwrap());
        let silence = Silence { after: Duration::from_secs(15 * 60), hours };
        silence.is_too_long(at(last).timestamp(), &at(now))
    }

    #[test]
    fn nights_do_not_count() {
        let day = Some("07:00-19:00");
        assert!(!silent(day, "24T08:00", "24T08:14"));
        assert!(silent(day, "24T08:00", "24T08:15"));
        assert!(!silent(day, "24T18:50", "24T19:30"), "the day is over");
        assert!(!silent(day, "24T18:50", "25T07:10"), "the day has just begun");
        assert!(silent(day, "24T18:50", "25T07:15"));
        assert!(silent(None, "24T18:50", "24T19:30"));
    }

    #[test]
    fn hours_may_go_over_midnight() {
        let night = Some("22:00-06:00");
        assert!(silent(night, "24T23:00", "25T01:00"));
        assert!(!silent(night, "24T21:00", "24T22:10"));
        assert!(!silent(night, "24T23:00", "25T07:00"));
        assert!("7-19".parse::<Hours>().is_err() && "07:00-07:00".parse::<Hours>().is_err());
    }
}
