//! Sealed SQLite: key ring, segments, state, the two write owners, readers.
//!
//! Captures go to append-only *segments*, one writer thread and one key each; everything else goes to the *state*
//! database with a writer thread of its own. `FORMAT.md` beside this crate has the byte layout, the commit protocol and
//! what is assumed of the medium.

#![cfg_attr(test, allow(clippy::unit_arg, reason = "an assertion inside of a job is the job's answer"))]

mod audit;
mod buffer;
mod kek;
mod options;
mod retention;
mod ring;
mod seal;
mod segment;
mod space;
mod state;

pub use audit::{AuditBroken, AuditEntry, AuditRow};
pub use buffer::{Beat, Buffer, MaintainError, Maintained, OpenError};
pub use kek::{Kek, KekError, Tier};
pub use options::{MaxSize, Options};
pub use retention::{ClockTrust, Pass};
pub use ring::{KeyUse, Ring, RingError};
pub use seal::{Purpose, SealError};
pub use segment::{Health as IntakeHealth, ReadError, Stored};
pub use space::Usage;
pub use state::{
    Alarm, Binding, Conflict, DeadResource, Decision, Delivery, DeliveryFilter, DeliveryId, DeliveryState,
    Exception, ExceptionFilter, Health, Ident, Lane, LaneFilter, LaneHead, LaneKey, MAX_ROWS, Made, Mapping,
    NewDelivery, Outcome, OutcomeKind, OutcomeKindError, Read, Receipt, RecordRef, RecordRow, SchemaError,
    SegmentRow, SegmentState, Sent, Settled, SettledAs, State, StateError, Tx, UNMAPPED, Unmapped, Urgency,
    VERSION,
};

/// Lets the calling thread, and those it starts, give way to threads that acknowledge captures. What waits in the buffer
/// is safe; a sender that waits is not served.
pub fn give_way() {
    /// Steps of niceness (setpriority(2)): under full load about a tenth of the processor is left.
    const STEPS: i32 = 10;
    if let Err(error) = rustix::process::nice(STEPS) {
        log::debug!("a thread keeps its priority: {error}");
    }
}

/// An error with its causes, for the log.
fn chain(error: &dyn core::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
