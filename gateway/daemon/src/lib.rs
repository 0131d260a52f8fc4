//! hospital-gateway: configuration, supervision, refine, uplink, control socket, command line.

mod certificates;
mod check;
pub mod cli;
pub mod clock;
mod codes;
pub mod config;
mod control;
mod log;
mod notify;
mod queries;
pub mod refine;
pub mod run;
mod silence;
mod supervise;
mod table;
pub mod tls;
pub mod uplink;

pub use clock::{Clock, Time};
pub use silence::{Hours, Silence};

/// The version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// An error with its causes, in one line.
pub fn chain(error: &dyn core::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
