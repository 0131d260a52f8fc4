//! Lanes, retry, bisecting, superseding. Sans-IO.
