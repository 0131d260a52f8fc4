//! HL7 v2 without I/O: frames, headers, character sets, the message index and acknowledgements.
//!
//! The order is fixed: [`frame::Framer`] cuts bytes, [`Header::read`] looks at ASCII only, [`charset::decode`] makes text,
//! and only then [`Message`] splits at delimiters.

pub mod ack;
pub mod batch;
pub mod charset;
pub mod client;
pub mod frame;
pub mod sequence;

mod escape;
mod header;
mod message;

pub use header::{Delimiters, Header, Unreadable, with_header};
pub use message::{Component, Field, Message, ReadError, Repetition, Segment};
