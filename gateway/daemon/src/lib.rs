//! hospital-gateway: configuration, supervision, refine, uplink, control socket, command line.

pub mod config;
pub mod refine;
pub mod uplink;

use std::sync::Arc;

use jiff::Timestamp;

/// Tells the time. Passed in, so that tests can make it go as they need.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;
