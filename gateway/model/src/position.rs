//! Where a state of a record stands in time (contract 4).

use feed::CaptureId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The position of a state: the event time its source gave, then the order of commits, then the revision of the
/// mapping. A state is never sent over one of a higher position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// When the source says that it happened.
    pub event: Timestamp,
    /// The capture it came with.
    pub capture: CaptureId,
    /// The revision of the mapping that made it.
    pub revision: u32,
}
