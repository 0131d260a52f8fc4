//! What the gateway is tested against: a simulated hospital, platforms with faults, and the gateway itself as a process.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test system that cannot go on says where")]

pub mod account;
pub mod gateway;
pub mod hospital;
pub mod mllp;
pub mod oracle;
pub mod platform;
pub mod receiver;
