//! The core-information model: what a hospital sends up about a person, with typed ids and the identity rules.
//!
//! Everything here is pure. [`Change`]s say what one capture states (absent, null or a value per field);
//! [`Person::apply`] and its like turn a previous record and a change into the next record.

mod apply;
mod appointment;
mod attachment;
pub mod base64;
mod change;
mod coded;
mod codes;
mod contact;
mod document;
mod encounter;
mod family;
mod field;
mod identifier;
mod ids;
mod immunization;
mod link;
mod matching;
mod name;
mod number;
mod order;
mod party;
mod person;
mod position;
mod record;
mod report;
mod resident_id;
mod result;
mod sex;
mod time;
mod trail;
mod walk;

pub use apply::Applied;
pub use appointment::{Appointment, AppointmentStatus, Duration, Resource, ResourceKind};
pub use attachment::{Attachment, Content, Enclosure, Fingerprint};
pub use change::{
    AppointmentChange, Change, DiagnosisChange, EncounterChange, ImmunizationChange, ImmunizationFields,
    OrderChange, PersonChange, ReportChange, Step, StepKind, Trigger, VisitStep,
};
pub use coded::{Coded, Coding, Mapped};
pub use codes::{
    CVX, CodeKind, CodeMap, ETHNIC_GROUP, Hit, ICD_10, LOINC, MARITAL_STATUS, MapFault, MapRow, MapSet,
    RowState, UCUM, UcumError, can_be_icd_10, check_ucum, is_loinc, is_standard, standard_system,
};
pub use contact::Contact;
pub use document::Document;
pub use encounter::{
    Attending, Diagnosis, DiagnosisKind, DiagnosisState, EarlierClass, EarlierLocation, Encounter,
    EncounterClass, EncounterStatus, OtherNumber, VisitAspect,
};
pub use family::{Child, Parent, ParentResult, is_susceptibility};
pub use field::Field;
pub use identifier::{Identifier, IdentifierKind, Trust, Validity};
pub use ids::{IdKey, PersonId, RecordId};
pub use immunization::{Immunization, ImmunizationStatus};
pub use link::Link;
pub use matching::{Agreement, Claim, Doubt, Evidence};
pub use name::{PersonName, name_and_birth, names_agree};
pub use number::{Number, NumberKind, Scope, ScopeError, Scoping};
pub use order::{ItemKey, Order, OrderItem, OrderRef, OrderStatus};
pub use party::{Party, PartyKind};
pub use person::{Address, HeldIdentifier, Person};
pub use position::Position;
pub use record::{Authority, Body, Mark, Provenance, Record, RecordKind};
pub use report::{Report, ReportStatus, Specimen};
pub use resident_id::{ResidentId, ResidentIdError};
pub use result::{Absent, AsWritten, Comparator, LabResult, ReferenceRange, ResultKey, ResultStatus, Value};
pub use sex::Sex;
pub use time::{PartialTime, TimeError, ZoneSource};
pub use trail::{ClassStep, PlaceStep};
