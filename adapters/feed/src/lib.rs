//! The contract between any feed and the gateway.
//!
//! An adapter turns what a socket or a line delivers into [`Capture`]s and submits them through
//! [`Intake`]. It may acknowledge to the sender only what the returned [`Ticket`] reports as
//! committed. No I/O happens here.

mod capture;
mod intake;

pub use capture::{Capture, CaptureId, CaptureIdError, FeedName, FeedNameError, Form};
pub use intake::{Answer, Answers, Commit, Intake, Mark, Outcome, Outcomes, Refusal, Ticket};
