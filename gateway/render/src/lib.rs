//! Records to what a destination takes, as pure functions.

pub mod fhir;
pub mod hl7;
