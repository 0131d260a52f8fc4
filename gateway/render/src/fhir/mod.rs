//! FHIR R4 (4.0.1): a record as the resources that carry it.
//!
//! - Only what is emitted has a struct; text is borrowed from the record.
//! - An element that is not what it should be goes up as source text without a standard code and is tagged
//!   (contract 5); numbers keep their digits.
//! - Every resource says in `meta.source` and `meta.tag` which message, capture, feed and mapping made it,
//!   and in an extension where it stands in time ([`position_of`]). A `Provenance` beside each record says the same in
//!   FHIR's own words, with the gateway and the hospital that answer for it; a destination may refuse it, and nothing
//!   depends on it.
//! - Numbers that are only claimed (contract 6) stay in the gateway: a platform that found one, as an identifier or
//!   in an extension, could link by it.

mod appointment;
mod attachment;
mod bundle;
mod coded;
mod datatype;
mod entry;
mod immunization;
mod interpretation;
mod observation;
mod order;
mod party;
mod patient;
mod period;
mod provenance;
mod rejoin;
mod render;
mod report;
mod resource;
mod response;
mod site;
mod specimen;
mod text;
mod trace;
mod value;
mod visit;

pub use bundle::bundle;
pub use entry::{Entry, Refused, Stage, main_type};
pub use provenance::provenance;
pub use rejoin::{is_resource, rejoin};
pub use render::record;
pub use response::{Answered, EntryAnswer, Issue, parse_answer};
pub use site::Site;
pub use trace::position_of;

use entry::ResourceType;
