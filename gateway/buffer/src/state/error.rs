//! What can go wrong in the state database.

use core::error::Error;
use std::sync::Arc;

use feed::CaptureId;

use super::DeliveryId;
use crate::SealError;

/// Why a job on the state gave no result. Nothing of a failed job is kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The job gave up by its own choice.
    #[error("the job on the state was abandoned")]
    Abandoned(#[source] Box<dyn Error + Send + Sync>),
    /// The transaction that held the job was not committed; the database has been reopened or held.
    #[error("the state transaction was not committed")]
    Commit(#[source] Arc<rusqlite::Error>),
    /// The refine cursor only moves forward.
    #[error("the cursor stands at {at} and cannot move back to {to}")]
    CursorBack {
        /// Where it stands.
        at: CaptureId,
        /// Where it was asked to go.
        to: CaptureId,
    },
    /// A stored value is not what the schema promises.
    #[error("a stored {0} cannot be read")]
    Damaged(&'static str),
    /// The medium is full.
    #[error("the disk is full")]
    DiskFull,
    /// The raw bytes of the capture are no longer kept.
    #[error("capture {0} is no longer kept")]
    Gone(CaptureId),
    /// The medium failed twice. Nothing is written any more until the gateway starts again.
    #[error("the state is held after repeated disk errors")]
    Held,
    /// There is no such delivery.
    #[error("there is no delivery {0}")]
    NoDelivery(DeliveryId),
    /// The capture has not been refined yet.
    #[error("capture {0} has not been refined yet")]
    NotRefined(CaptureId),
    /// The delivery is not waiting, so that nothing can settle it.
    #[error("delivery {0} is not waiting")]
    NotWaiting(DeliveryId),
    /// The job panicked; it was rolled back alone.
    #[error("a job on the state panicked")]
    Panicked,
    /// A sealed value does not open.
    #[error("a sealed value of the state cannot be used")]
    Seal(#[from] SealError),
    /// SQLite refused a statement.
    #[error("the state database failed")]
    Sqlite(#[from] rusqlite::Error),
    /// The gateway is stopping.
    #[error("the state is closed")]
    Stopping,
    /// A reader held its snapshot for longer than it may.
    #[error("reading took too long; ask for less at a time")]
    TooSlow,
    /// More than 65,535 names of feeds and destinations.
    #[error("too many names of feeds and destinations")]
    TooManyNames,
    /// The segment was never announced to the state.
    #[error("segment {0} is not known to the state")]
    UnknownSegment(u32),
}

impl StateError {
    /// Whether the medium had no room. Freeing space makes the same job possible again.
    pub fn is_disk_full(&self) -> bool {
        let full = |e: &rusqlite::Error| e.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull);
        match self {
            Self::DiskFull => true,
            Self::Sqlite(e) => full(e),
            Self::Commit(e) => full(e),
            _ => false,
        }
    }
}
