//! What systemd is told: ready, stopping, and that the gateway lives.

use std::time::Duration;

use buffer::{Beat, Buffer};
use sd_notify::NotifyState;

/// Tells systemd something. Where there is no systemd nothing happens.
pub(crate) fn tell(states: &[NotifyState<'_>]) {
    // Nobody to tell is the normal case on a terminal.
    let _ = sd_notify::notify(states);
}

/// Feeds the watchdog for as long as both writers get on. Called by the supervisor, so that it shows too that the
/// supervisor lives; a feed or a destination that is stuck is restarted alone and never stops the feeding.
pub(crate) struct Watchdog {
    buffer: Buffer,
    last: Beat,
    stuck: u32,
}

/// Rounds of the supervisor without progress of a writer, after which the watchdog starves.
const PATIENCE: u32 = 30;

impl Watchdog {
    pub(crate) fn new(buffer: Buffer) -> Self {
        let last = buffer.beat();
        Self { buffer, last, stuck: 0 }
    }

    /// One round of the supervisor, every second.
    pub(crate) fn feed(&mut self) {
        let now = self.buffer.beat();
        let moved = now.ingest != self.last.ingest && now.state != self.last.state;
        self.stuck = if moved { 0 } else { self.stuck + 1 };
        if moved {
            self.last = now;
        }
        if self.stuck < PATIENCE {
            tell(&[NotifyState::Watchdog]);
        } else if self.stuck == PATIENCE {
            log::error!("a writer of the buffer does not get on; the watchdog is no longer fed");
        }
    }
}

/// How often the supervisor looks after everything.
pub(crate) const ROUND: Duration = Duration::from_secs(1);
