//! The core-information model, typed ids, identity rules.
