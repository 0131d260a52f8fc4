//! Sealed SQLite: key ring, segments, state, the two write owners, readers.
