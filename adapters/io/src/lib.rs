//! The tokio shells of the feeds: sockets, limits, allow-lists. The protocols themselves are in crates without I/O.

mod cidr;
pub mod mllp;
mod stats;

pub use cidr::{Cidr, CidrError};
pub use stats::{Latency, PeerNotes, Refused, Stats, StatsView};
