//! Captures to changes of records, as pure functions.
