//! What one capture states: the output of interpretation and the input of [`crate::Person::apply`] and its like.

use serde::{Deserialize, Serialize};

use crate::{
    Address, AppointmentStatus, Attachment, Attending, CodeKind, Coded, Contact, DiagnosisKind, Duration,
    EncounterStatus, Field, Identifier, ImmunizationStatus, LabResult, Mark, Number, OrderRef, OrderStatus,
    PartialTime, PersonName, Report, Resource, Sex, Specimen,
};

/// What one capture states, or one of its groups where it is about several persons.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The message it was in.
    pub trigger: Trigger,
    /// When it happened by the source: EVN-2, else MSH-7. Reports carry their own.
    pub event: Option<PartialTime>,
    /// Who it is about.
    pub person: PersonChange,
    /// Numbers of other persons that are this one (MRG). Empty: nobody is merged.
    pub merged: Vec<Identifier>,
    /// What is done with numbers, accounts and visits before what is said of the visit holds.
    pub steps: Vec<Step>,
    /// The visit.
    pub encounter: Option<EncounterChange>,
    /// Diagnoses.
    pub diagnoses: Vec<DiagnosisChange>,
    /// Laboratory reports.
    pub reports: Vec<ReportChange>,
    /// Documents that its records refer to by their digest.
    pub attachments: Vec<Attachment>,
    /// Orders.
    pub orders: Vec<OrderChange>,
    /// An appointment.
    pub appointment: Option<AppointmentChange>,
    /// Vaccinations.
    pub immunizations: Vec<ImmunizationChange>,
}

impl Change {
    /// Whether it is about the person or a visit; what only comes with something else is said again only when it changes.
    pub fn is_about_person(&self) -> bool {
        self.reports.is_empty()
            && self.orders.is_empty()
            && self.appointment.is_none()
            && self.immunizations.is_empty()
    }
}

/// What a message does beyond saying what is so now (HL7 v2.5, section 3.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it does.
    pub kind: StepKind,
    /// Numbers of the person for whom it was so until now (MRG-1), or of the other person of a link.
    pub from: Vec<Identifier>,
}

/// What a message does beyond saying what is so now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// A number of another person, with all that came under it, is this person's (A43).
    NumberMoves(Identifier),
    /// The visits of an account of another person are this person's (A44).
    AccountMoves(Number),
    /// A visit of another person is this person's (A45).
    VisitMoves(Number),
    /// The visits of one account are those of another one, or the account has another number (A35, A36, A41, A49).
    AccountIs {
        /// The number until now.
        old: Number,
        /// The number from now on.
        new: Number,
    },
    /// A visit has another number (A50).
    VisitIs {
        /// The number until now.
        old: Number,
        /// The number from now on.
        new: Number,
    },
    /// A visit goes on under another number, which may be that of another visit (A06, A07).
    VisitGoesOn {
        /// The number until now.
        old: Number,
        /// The number from now on.
        new: Number,
    },
    /// Two visits are one (A42).
    VisitsAreOne {
        /// The one that goes.
        lost: Number,
        /// The one that stays.
        kept: Number,
    },
    /// The two persons are to be looked up together (A24).
    Linked,
    /// They are not, or are two again (A37).
    Unlinked,
}

/// The message that a change came in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trigger {
    /// The message code (MSH-9.1), as `ADT`.
    pub code: String,
    /// The trigger event (MSH-9.2), as `A01`.
    pub event: String,
    /// The sender's number of the message (MSH-10).
    pub control_id: String,
    /// The sending application (MSH-3).
    pub application: Option<String>,
    /// The sending facility (MSH-4).
    pub facility: Option<String>,
}

/// What is stated about a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PersonChange {
    /// Numbers in the order of the message. Resident ID numbers are as written where they are malformed, else normalised.
    pub identifiers: Vec<Identifier>,
    /// The name.
    pub name: Field<PersonName>,
    /// Whether the name says that nobody knows it: an unknown patient.
    pub unknown: bool,
    /// Numbers of the mother (PID-21, or marked as hers). They are never the person's own.
    pub mother: Vec<Identifier>,
    /// Which of several children of one birth (PID-25), as written.
    pub birth_order: Option<String>,
    /// The birth date.
    pub birth: Field<PartialTime>,
    /// The sex.
    pub sex: Field<Sex>,
    /// The marital status.
    pub marital_status: Field<Coded>,
    /// The ethnic group.
    pub ethnic_group: Field<Coded>,
    /// The maps that said what an identifier is or what sex is meant.
    pub maps: Vec<String>,
    /// Codes that had a meaning to be found and found none.
    pub unmapped: Vec<(CodeKind, String)>,
    /// Addresses.
    pub addresses: Field<Vec<Address>>,
    /// Telephone numbers.
    pub phones: Field<Vec<String>>,
    /// Other names.
    pub aliases: Field<Vec<PersonName>>,
    /// Next of kin and others beside the person.
    pub contacts: Field<Vec<Contact>>,
    /// Whether it was one of several children of one birth.
    pub multiple_birth: Field<bool>,
    /// Whether and when the person died.
    pub deceased: Field<Option<PartialTime>>,
    /// Whether the source deleted the person (A29) or says that it did not; none where it says neither.
    pub deleted: Option<bool>,
    /// Elements that could not be read.
    pub marks: Vec<Mark>,
}

/// What is stated about a visit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncounterChange {
    /// Its number.
    pub number: Number,
    /// Its other numbers (PV1-50).
    pub other_numbers: Vec<Number>,
    /// Numbers that it had before (MRG-6).
    pub old_numbers: Vec<Number>,
    /// The account that it belongs to (PID-18).
    pub account: Field<Number>,
    /// Its status after this message; none where the message does not say (A08, ORU).
    pub status: Option<EncounterStatus>,
    /// Its class as written; empty where the message does not say.
    pub class_source: String,
    /// Admitted.
    pub start: Field<PartialTime>,
    /// Discharged.
    pub end: Field<PartialTime>,
    /// When the patient is expected to come.
    pub expected_start: Field<PartialTime>,
    /// When the patient is expected to leave.
    pub expected_end: Field<PartialTime>,
    /// Where the patient is.
    pub location: Field<String>,
    /// Where the patient was before.
    pub prior_location: Option<String>,
    /// What kind of step it is.
    pub step: VisitStep,
    /// When the step was taken.
    pub at: Option<PartialTime>,
    /// The attending doctor.
    pub attending: Field<Attending>,
    /// The referring doctors.
    pub referring: Field<Vec<Attending>>,
    /// The consulted doctors.
    pub consulting: Field<Vec<Attending>>,
    /// The admitting doctors.
    pub admitting: Field<Vec<Attending>>,
    /// The department.
    pub service: Field<Coded>,
    /// Where the patient came from.
    pub admit_source: Field<Coded>,
    /// Where the patient went.
    pub disposition: Field<Coded>,
    /// Why the patient came.
    pub reason: Field<Coded>,
    /// Kinds of diagnoses of which the message gives the whole list: what is not in it is no longer listed.
    pub diagnoses_listed: Vec<DiagnosisKind>,
    /// Elements that could not be read.
    pub marks: Vec<Mark>,
}

/// Steps of a visit that leave a trace of what was before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VisitStep {
    /// Only what is so now.
    #[default]
    Statement,
    /// The patient goes to another place (A02).
    Transfer,
    /// The transfer did not happen (A12).
    TransferCancelled,
    /// The visit goes on as one of another class (A06, A07).
    ClassChange,
}

/// What is stated about a diagnosis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiagnosisChange {
    /// What it is.
    pub code: Coded,
    /// When it was made.
    pub recorded: Option<PartialTime>,
    /// Admitting, working or final.
    pub kind: DiagnosisKind,
    /// Its place among those of its kind.
    pub rank: Option<u32>,
    /// Whether the source deletes it.
    pub deleted: bool,
}

/// What is stated about a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportChange {
    /// The date that its number is bound to: specimen collected, else OBR-7, else OBR-14, else ORC-9 (contract 3).
    pub bound_to: Option<PartialTime>,
    /// The report as this message states it.
    pub report: Report,
    /// What is worth knowing about how it was read.
    pub marks: Vec<Mark>,
}

/// What is stated about one service of an order: one ORC with its OBR.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderChange {
    /// Its number, by who placed it.
    pub placer: Option<Number>,
    /// Its number, by who fills it.
    pub filler: Option<Number>,
    /// The form it was on together with others.
    pub group: Field<Number>,
    /// The date that numbers of a narrower scope are counted in: specimen collected, else OBR-7, OBR-14, ORC-9 (contract 3).
    pub dated: Option<PartialTime>,
    /// The service; none where the order is only named: then all its services are meant.
    pub service: Option<Coded>,
    /// 0; counts up only among equal services of one message under one number.
    pub repeat: u32,
    /// The order asks for another service than before (ORC-1 `XO`, `XX`, `XR`).
    pub exchanged: bool,
    /// Its status; none where the message does not say.
    pub status: Option<OrderStatus>,
    /// ORC-1 as written.
    pub control: String,
    /// ORC-5 as written.
    pub status_source: String,
    /// The priority as written.
    pub priority: Field<String>,
    /// Who asks.
    pub requester: Field<Attending>,
    /// When it was placed.
    pub ordered: Option<PartialTime>,
    /// When it is to be done.
    pub planned: Field<PartialTime>,
    /// The time that its states are ordered by.
    pub stated: Option<PartialTime>,
    /// Why.
    pub reasons: Field<Vec<Coded>>,
    /// Specimens.
    pub specimens: Vec<Specimen>,
    /// Comments.
    pub notes: Vec<String>,
    /// What was stated with it.
    pub observations: Vec<LabResult>,
    /// Elements that could not be read.
    pub marks: Vec<Mark>,
}

/// What is stated about an appointment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppointmentChange {
    /// Its number, by who keeps the schedule.
    pub filler: Option<Number>,
    /// Its number, by who asked for it.
    pub placer: Option<Number>,
    /// The number of the order it is for.
    pub ordered_as: Option<Number>,
    /// That order, once it was looked up.
    pub order: Option<OrderRef>,
    /// Its status; none where the event does not say.
    pub status: Option<AppointmentStatus>,
    /// SCH-25 as written.
    pub status_source: String,
    /// When it begins.
    pub start: Field<PartialTime>,
    /// When it ends.
    pub end: Field<PartialTime>,
    /// How long it lasts.
    pub duration: Option<Duration>,
    /// What kind.
    pub kind: Field<Coded>,
    /// Why the patient comes.
    pub reason: Field<Coded>,
    /// Why the event happened.
    pub because: Field<Coded>,
    /// The resources named are all there are.
    pub lists_all: bool,
    /// What is needed (`Ok`), and what is no longer (`Err`).
    pub resources: Vec<Result<Resource, Resource>>,
    /// Comments.
    pub notes: Vec<String>,
    /// What was stated with it.
    pub observations: Vec<LabResult>,
    /// Elements that could not be read.
    pub marks: Vec<Mark>,
}

/// What is stated about a vaccination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImmunizationChange {
    /// Its number.
    pub number: Option<Number>,
    /// 0; counts up only among vaccinations of one message under one number.
    pub repeat: u32,
    /// The vaccine.
    pub vaccine: Coded,
    /// What became of it.
    pub status: ImmunizationStatus,
    /// RXA-20 as written.
    pub status_source: String,
    /// The rest, field by field.
    pub fields: ImmunizationFields,
    /// Comments.
    pub notes: Vec<String>,
    /// What was stated with it.
    pub observations: Vec<LabResult>,
    /// Elements that could not be read.
    pub marks: Vec<Mark>,
}

/// Fields of a vaccination, each as in [`crate::Immunization`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "said where they are held")]
pub struct ImmunizationFields {
    pub given: Field<PartialTime>,
    pub recorded: Field<PartialTime>,
    pub source: Field<Coded>,
    pub dose: Field<String>,
    pub unit: Field<Coded>,
    pub by: Field<Attending>,
    pub place: Field<String>,
    pub lot: Field<String>,
    pub expires: Field<PartialTime>,
    pub manufacturer: Field<Coded>,
    pub refusal: Field<Coded>,
    pub reason: Field<Coded>,
    pub route: Field<Coded>,
    pub site: Field<Coded>,
}
