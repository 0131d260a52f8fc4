//! Receipts: proof that a destination took a delivery.

use jiff::Timestamp;

use super::position::time;
use super::{DeliveryId, Read, StateError, Tx};

/// Proof that a destination took a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// When it answered.
    pub at: Timestamp,
    /// SHA-256 of what was sent.
    pub digest: [u8; 32],
    /// How many bytes were sent, before compression.
    pub bytes: u64,
    /// How many resources or rows it took.
    pub resources: u32,
    /// What it answered, as a code: an HTTP status, or MSA-1.
    pub answer: String,
}

impl Read<'_> {
    /// The receipt of a delivery.
    ///
    /// # Errors
    /// When the database fails.
    pub fn receipt(&self, delivery: DeliveryId) -> Result<Option<Receipt>, StateError> {
        let sql = "SELECT at, digest, bytes, resources, answer FROM receipt WHERE delivery = ?1";
        self.one(sql, [delivery.0], |row| {
            Ok(Receipt {
                at: time(row, 0)?,
                digest: row.get(1)?,
                bytes: row.get::<_, i64>(2)? as u64,
                resources: row.get(3)?,
                answer: row.get(4)?,
            })
        })
    }
}

impl Tx<'_> {
    pub(super) fn put_receipt(&self, delivery: DeliveryId, receipt: &Receipt) -> Result<(), StateError> {
        let sql = "INSERT OR REPLACE INTO receipt (delivery, at, digest, bytes, resources, answer)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let Receipt { at, digest, bytes, resources, answer } = receipt;
        self.execute(sql, (delivery.0, at.as_microsecond(), digest, *bytes as i64, resources, answer))?;
        Ok(())
    }
}
