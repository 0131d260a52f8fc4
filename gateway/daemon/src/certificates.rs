//! Certificates that end soon, of feeds and destinations: alarmed 30, 7 and 1 days before, and when they have ended.

use std::collections::BTreeMap;
use std::sync::Mutex;

use buffer::{State, StateError, Urgency};
use jiff::{SignedDuration, Timestamp};

use crate::config::Config;
use crate::run::lock;
use crate::tls::TlsFiles;

/// Days before the end at which the alarm is raised and renewed.
const DAYS: [i64; 3] = [30, 7, 1];

/// What was last said of each certificate, so that it is said once.
#[derive(Default)]
pub(crate) struct Certificates(Mutex<BTreeMap<String, (Option<Timestamp>, Level)>>);

/// How near the end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Fine,
    /// It ends within so many days.
    Within(i64),
    Ended,
    /// It cannot be read any more.
    Unreadable,
}

impl Certificates {
    /// Looks at all certificates of the configuration; their files may have been replaced since the last time.
    pub(crate) fn look(&self, config: &Config, state: &State, now: Timestamp) -> Result<(), StateError> {
        let feeds = config.feeds.iter().filter_map(|f| Some((format!("feed {}", f.name), f.tls.as_ref()?)));
        let destinations = config.destinations.iter().map(|d| (format!("destination {}", d.name), &d.tls));
        for (name, files) in feeds.chain(destinations) {
            self.one(name, files, state, now)?;
        }
        Ok(())
    }

    fn one(&self, name: String, files: &TlsFiles, state: &State, now: Timestamp) -> Result<(), StateError> {
        let found = match files.ends() {
            Ok(None) => (None, Level::Fine),
            Ok(Some(ends)) => (Some(ends), level(ends.duration_since(now))),
            Err(_) => (None, Level::Unreadable),
        };
        if lock(&self.0).insert(name.clone(), found) == Some(found) {
            return Ok(());
        }
        let (ends, level) = found;
        let ends = ends.map(|ends| ends.to_string()).unwrap_or_default();
        let what = match level {
            Level::Fine => None,
            Level::Within(days) => {
                Some(format!("{name}: its certificate ends within {days} days, at {ends}"))
            }
            Level::Ended => Some(format!("{name}: its certificate ended at {ends}")),
            Level::Unreadable => Some(format!("{name}: its certificate cannot be read")),
        };
        if let Some(what) = &what {
            log::warn!("{what}; put a new one in its place and reload");
        }
        state.run_blocking(Urgency::Soon, move |tx| {
            let key = format!("certificate:{name}");
            match &what {
                Some(what) => tx.raise_alarm(&key, "certificate-expiry", what.as_bytes(), now).map(|_| ()),
                None => tx.clear_alarm(&key).map(|_| ()),
            }
        })
    }
}

fn level(left: SignedDuration) -> Level {
    if left.is_negative() {
        return Level::Ended;
    }
    let days = left.as_secs().div_euclid(86_400);
    DAYS.into_iter().rev().find(|within| days < *within).map_or(Level::Fine, Level::Within)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_step_is_said() {
        let days = |days: i64| level(SignedDuration::from_hours(24 * days));
        assert_eq!([days(31), days(30), days(29)], [Level::Fine, Level::Fine, Level::Within(30)]);
        assert_eq!([days(7), days(6), days(1)], [Level::Within(30), Level::Within(7), Level::Within(7)]);
        assert_eq!([days(0), days(-1)], [Level::Within(1), Level::Ended]);
    }
}
