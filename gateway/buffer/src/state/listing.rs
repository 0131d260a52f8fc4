//! Pages of listings: bounded, and read by key.

/// A listing never answers more rows than this at once.
pub const MAX_ROWS: usize = 500;

/// `limit` as it may be.
pub(crate) fn bounded(limit: usize) -> i64 {
    limit.min(MAX_ROWS) as i64
}

/// One page out of several pages of the same listing, each sorted by `key`.
pub(crate) fn merge<T, K: Ord>(mut rows: Vec<T>, limit: usize, key: impl Fn(&T) -> K) -> Vec<T> {
    rows.sort_by_key(|row| key(row));
    rows.truncate(limit.min(MAX_ROWS));
    rows
}
