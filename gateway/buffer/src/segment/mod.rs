//! Segments: append-only files of sealed captures, one writer and one key each.

mod close;
mod file;
mod reader;
mod writer;

pub use reader::{ReadError, Stored};
pub use writer::Health;

pub(crate) use close::close;
pub(crate) use file::{SegmentError, is_stillborn, last_row, marker, numbers, remove, set_aside};
pub(crate) use reader::Readers;
pub(crate) use writer::{Announce, Writer, WriterSettings, mark};
