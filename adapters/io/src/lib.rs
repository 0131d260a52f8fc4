//! The tokio shells of the feeds: listeners, connections, limits.
