//! FHIR resources, as far as they are emitted.

use model::RecordId;
use serde::Serialize;

use super::ResourceType;
use super::datatype::{
    Annotation, Attachment, Coding, Concept, Extension, Identifier, Missing, Period, Quantity, Reference,
    Text, When,
};
use super::trace::Meta;
use super::value::Choice;

/// What every resource begins with.
#[derive(Serialize)]
pub(crate) struct Head<'a> {
    #[serde(rename = "resourceType")]
    pub(crate) kind: ResourceType,
    pub(crate) id: RecordId,
    pub(crate) meta: Meta<'a>,
    pub(crate) extension: Vec<Extension<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Patient<'a> {
    #[serde(flatten)]
    pub(crate) head: Head<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) identifier: Vec<DatedIdentifier<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) active: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) name: Vec<HumanName<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) telecom: Vec<ContactPoint<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gender: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) birth_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deceased_boolean: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deceased_date_time: Option<When<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) address: Vec<Address<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) multiple_birth_boolean: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) multiple_birth_integer: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) contact: Vec<PatientContact<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) marital_status: Option<Concept<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) managing_organization: Option<Reference<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) link: Vec<PatientLink<'a>>,
}

/// An identifier of a person.
#[derive(Serialize)]
pub(crate) struct DatedIdentifier<'a> {
    #[serde(flatten)]
    pub(crate) number: Identifier<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) period: Option<Period>,
}

#[derive(Serialize)]
pub(crate) struct RelatedPerson<'a> {
    #[serde(flatten)]
    pub(crate) head: Head<'a>,
    pub(crate) identifier: Vec<DatedIdentifier<'a>>,
    pub(crate) patient: Reference<'a>,
    pub(crate) relationship: Vec<Concept<'a>>,
}

#[derive(Serialize)]
pub(crate) struct PatientContact<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) relationship: Vec<Concept<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<HumanName<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) telecom: Vec<ContactPoint<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<Address<'a>>,
}

#[derive(Serialize)]
pub(crate) struct PatientLink<'a> {
    pub(crate) other: Reference<'a>,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
}

#[derive(Serialize)]
pub(crate) struct HumanName<'a> {
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    pub(crate) usage: Option<&'static str>,
    pub(crate) text: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) family: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) given: Vec<Text<'a>>,
}

#[derive(Serialize)]
pub(crate) struct ContactPoint<'a> {
    pub(crate) system: &'static str,
    pub(crate) value: Text<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Address<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) line: Vec<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) city: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) postal_code: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) country: Option<Text<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Encounter<'a> {
    #[serde(flatten)]
    pub(crate) head: Head<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) identifier: Vec<Identifier<'a>>,
    pub(crate) status: &'static str,
    pub(crate) class: Coding<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) class_history: Vec<ClassHistory<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) service_type: Option<Concept<'a>>,
    pub(crate) subject: Reference<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) participant: Vec<Participant<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) period: Option<Period>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) reason_code: Vec<Concept<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) account: Vec<Reference<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hospitalization: Option<Hospitalization<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) location: Vec<Location<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) service_provider: Option<Reference<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Hospitalization<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) admit_source: Option<Concept<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) discharge_disposition: Option<Concept<'a>>,
}

#[derive(Serialize)]
pub(crate) struct Participant<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: Vec<Concept<'a>>,
    pub(crate) individual: Reference<'a>,
}

#[derive(Serialize)]
pub(crate) struct Location<'a> {
    pub(crate) location: Reference<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) period: Option<Period>,
}

#[derive(Serialize)]
pub(crate) struct ClassHistory<'a> {
    pub(crate) class: Coding<'a>,
    pub(crate) period: Period,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Condition<'a> {
    #[serde(flatten)]
    pub(crate) head: Head<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) clinical_status: Option<Concept<'a>>,
    pub(crate) verification_status: Concept<'a>,
    pub(crate) category: Vec<Concept<'a>>,
    pub(crate) code: Concept<'a>,
    pub(crate) subject: Reference<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) encounter: Option<Reference<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) recorded_date: Option<When<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Specimen<'a> {
    #[serde(flatten)]
    pub(crate) head: Head<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) identifier: Vec<Identifier<'a>>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<Concept<'a>>,
    pub(crate) subject: Reference<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) received_time: Option<When<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) collection: Option<Collection<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) condition: Vec<Concept<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) note: Vec<Annotation<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Collection<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) collected_date_time: Option<When<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) collected_period: Option<Period>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) quantity: Option<Quantity<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) method: Option<Concept<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) body_site: Option<Concept<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DiagnosticReport<'a> {
    #[serde(flatten)]
    pub(crate) head: Head<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) identifier: Vec<Identifier<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) based_on: Vec<Reference<'a>>,
    pub(crate) status: &'static str,
    pub(crate) category: Vec<Concept<'a>>,
    pub(crate) code: Concept<'a>,
    pub(crate) subject: Reference<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) encounter: Option<Reference<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) effective_date_time: Option<When<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) effective_period: Option<Period>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) issued: Option<When<'a>>,
    pub(crate) performer: Vec<Reference<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) results_interpreter: Vec<Reference<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) specimen: Vec<Reference<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) result: Vec<Reference<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) conclusion: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) presented_form: Vec<Attachment<'a>>,
}

/// A Binary has no extensions of its own: its position stands in its `meta`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Binary<'a> {
    #[serde(rename = "resourceType")]
    pub(crate) kind: ResourceType,
    pub(crate) id: RecordId,
    pub(crate) meta: Meta<'a>,
    pub(crate) content_type: Text<'a>,
    pub(crate) security_context: Reference<'a>,
    pub(crate) data: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Observation<'a> {
    #[serde(flatten)]
    pub(crate) head: Head<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) identifier: Vec<Identifier<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) part_of: Vec<Reference<'a>>,
    pub(crate) status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) category: Vec<Concept<'a>>,
    pub(crate) code: Concept<'a>,
    pub(crate) subject: Reference<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) encounter: Option<Reference<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) effective_date_time: Option<When<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) effective_period: Option<Period>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) issued: Option<When<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) performer: Vec<Reference<'a>>,
    #[serde(flatten)]
    pub(crate) value: Option<Choice<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) interpretation: Vec<Concept<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) note: Vec<Annotation<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) method: Option<Concept<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) specimen: Option<Reference<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) reference_range: Vec<ObservationRange<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) device: Option<Reference<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) has_member: Vec<Reference<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) derived_from: Vec<Reference<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Component<'a> {
    pub(crate) code: Concept<'a>,
    #[serde(rename = "valueCodeableConcept")]
    pub(crate) value: Concept<'a>,
}

#[derive(Serialize)]
pub(crate) struct ObservationRange<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) low: Option<Quantity<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) high: Option<Quantity<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<Text<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServiceRequest<'a> {
    #[serde(flatten)]
    pub(crate) head: Head<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) identifier: Vec<Identifier<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) requisition: Option<Identifier<'a>>,
    pub(crate) status: &'static str,
    pub(crate) intent: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) priority: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<Concept<'a>>,
    pub(crate) subject: Reference<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) encounter: Option<Reference<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) occurrence_date_time: Option<When<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) authored_on: Option<When<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) requester: Option<Reference<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) reason_code: Vec<Concept<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) supporting_info: Vec<Reference<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) specimen: Vec<Reference<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) note: Vec<Annotation<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Appointment<'a> {
    #[serde(flatten)]
    pub(crate) head: Head<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) identifier: Vec<Identifier<'a>>,
    pub(crate) status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cancelation_reason: Option<Concept<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) service_type: Vec<Concept<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) appointment_type: Option<Concept<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) reason_code: Vec<Concept<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) supporting_information: Vec<Reference<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) start: Option<String>,
    #[serde(rename = "_start", skip_serializing_if = "Option::is_none")]
    pub(crate) start_absent: Option<Missing<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) end: Option<String>,
    #[serde(rename = "_end", skip_serializing_if = "Option::is_none")]
    pub(crate) end_absent: Option<Missing<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) minutes_duration: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) comment: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) based_on: Vec<Reference<'a>>,
    pub(crate) participant: Vec<AppointmentParticipant<'a>>,
}

#[derive(Serialize)]
pub(crate) struct AppointmentParticipant<'a> {
    #[serde(rename = "type", skip_serializing_if = "Vec::is_empty")]
    pub(crate) kind: Vec<Concept<'a>>,
    pub(crate) actor: Reference<'a>,
    pub(crate) status: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Immunization<'a> {
    #[serde(flatten)]
    pub(crate) head: Head<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) identifier: Vec<Identifier<'a>>,
    pub(crate) status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status_reason: Option<Concept<'a>>,
    pub(crate) vaccine_code: Concept<'a>,
    pub(crate) patient: Reference<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) encounter: Option<Reference<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) occurrence_date_time: Option<When<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) occurrence_string: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) recorded: Option<When<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) primary_source: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) report_origin: Option<Concept<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) location: Option<Reference<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) manufacturer: Option<Reference<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lot_number: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expiration_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) site: Option<Concept<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) route: Option<Concept<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dose_quantity: Option<Quantity<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) performer: Vec<Performer<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) note: Vec<Annotation<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) reason_code: Vec<Concept<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) is_subpotent: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) subpotent_reason: Vec<Concept<'a>>,
}

#[derive(Serialize)]
pub(crate) struct Performer<'a> {
    pub(crate) actor: Reference<'a>,
}
