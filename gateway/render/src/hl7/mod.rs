//! HL7 v2.5.1: records as the messages that state them, for systems inside the hospital.
//!
//! - A message states how things stand, not what happened last: what came between may have been superseded. So a visit
//!   under way is an A01 or A04 each time, a discharged one an A03; a person alone an A31.
//! - Elements go as their source wrote them. Numbers that are only claimed (contract 6) stay in the gateway; a report that
//!   lacks a value is never stated as final (contract 5).
//! - Text is Unicode here; who sends it writes it in the receiver's character set.
//! - `ZHG` at the end says which capture, feed, message and mapping the record stands on, and where it stands in time.
//! - The same record at the same position makes the same message with the same control id.

mod coded;
mod letter;
mod observation;
mod person;
mod report;
mod segment;
mod visit;

pub use letter::{APPLICATION, Head, Message, Rendered, messages};
