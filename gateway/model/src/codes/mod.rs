//! Code maps: a site's own codes in the terms of a standard, as rows of CSV files that somebody has reviewed.
//!
//! A map renames and never converts. The source's own coding stays first; what a map adds stands beside it and says which
//! version of which map it came from. A row that nobody has reviewed (`draft`) changes nothing that leaves.

mod csv;
mod kind;
mod map;
mod row;
mod set;
mod standard;
mod ucum;

pub use kind::CodeKind;
pub use map::{CodeMap, MapFault};
pub use row::{MapRow, RowState};
pub use set::{Hit, MapSet};
pub use standard::{
    CVX, ETHNIC_GROUP, ICD_10, LOINC, MARITAL_STATUS, UCUM, can_be_icd_10, is_loinc, is_standard,
    standard_system,
};
pub use ucum::{UcumError, check as check_ucum};
