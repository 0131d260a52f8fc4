//! The clock, and whether it can be believed.

use std::sync::Arc;

use buffer::ClockTrust;
use jiff::Timestamp;

/// Tells the time. Passed in, so that tests can make it go as they need.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The clock of the system.
pub fn system() -> Clock {
    Arc::new(Timestamp::now)
}

/// Whether the system's clock can be believed: what systemd-timesyncd or chrony leave behind when they are in step.
/// Without either the clock counts as doubtful, and nothing is destroyed, unless the site vouches for it.
pub(crate) fn trust(vouched: bool) -> ClockTrust {
    let in_step = std::path::Path::new("/run/systemd/timesync/synchronized").exists();
    if vouched || in_step { ClockTrust::Trusted } else { ClockTrust::Doubtful }
}
