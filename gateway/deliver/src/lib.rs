//! Lanes, retry, bisecting, superseding. Sans-IO: time and randomness are passed in.

mod attempt;
mod backoff;
mod class;
mod schedule;
mod supersede;

pub use attempt::{Attempt, EntryEnd, Item, Step};
pub use backoff::{Backoff, retry_after};
pub use class::{Class, Failure, classify};
pub use schedule::{Ended, Lane, Schedule, Uptime};
pub use supersede::{Choice, choose};
