//! Platforms to deliver to: one inside this process, and the strict one of Node.

mod embedded;
mod node;

pub use embedded::{Embedded, Fault, Seen};
pub use node::NodePeer;
