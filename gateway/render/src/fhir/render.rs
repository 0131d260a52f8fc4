//! From a record to its entries.

use jiff::civil::Date;
use model::{Body, Mark, Number, Record, RecordId};
use serde::Serialize;

use super::datatype::{Concept, Identifier, Reference};
use super::resource::Head;
use super::text::clean;
use super::trace::{Marks, Trace, WEAK_ID};
use super::{
    Entry, Refused, ResourceType, Site, appointment, attachment, immunization, order, patient, report, visit,
};

/// The type codes of identifiers (HL7 table 0203).
pub(crate) const IDENTIFIER_TYPE: &str = "http://terminology.hl7.org/CodeSystem/v2-0203";

/// Organisation codes (WS 363).
const ORGANIZATION_CODE: &str = "urn:oid:2.16.156.10011.1.5";

/// The resources that carry `record`, each after those that it cannot be without. Parts that a destination refused for good are left out or
/// sent without their value, as `refused` says.
pub fn record(record: &Record, site: &Site, refused: &Refused) -> Vec<Entry> {
    let scene = Scene::new(record, site, refused);
    match &record.body {
        Body::Person(person) => patient::entries(&scene, person),
        Body::Encounter(encounter) => visit::encounter(&scene, encounter),
        Body::Diagnosis(diagnosis) => visit::diagnosis(&scene, diagnosis),
        Body::Report(report) => report::entries(&scene, report),
        Body::Attachment(attachment) => attachment::entries(&scene, attachment),
        Body::Order(order) => order::entries(&scene, order),
        Body::Appointment(appointment) => appointment::entries(&scene, appointment),
        Body::Immunization(immunization) => immunization::entries(&scene, immunization),
    }
}

/// What the resources of one record share.
pub(crate) struct Scene<'a> {
    pub(crate) record: &'a Record,
    pub(crate) site: &'a Site,
    pub(crate) refused: &'a Refused,
    pub(crate) trace: Trace<'a>,
}

impl<'a> Scene<'a> {
    pub(crate) fn new(record: &'a Record, site: &'a Site, refused: &'a Refused) -> Self {
        Self { record, site, refused, trace: Trace::new(record, site) }
    }

    /// The head of a resource.
    pub(crate) fn head<'m>(&'m self, kind: ResourceType, id: RecordId, marks: &'m Marks<'m>) -> Head<'m> {
        Head { kind, id, meta: self.trace.meta(marks), extension: vec![self.trace.position()] }
    }

    /// The main resource of the record.
    pub(crate) fn main(
        &self,
        kind: ResourceType,
        depends_on: Vec<RecordId>,
        resource: &impl Serialize,
    ) -> Entry {
        let id = self.record.id;
        let (names, body) = (Vec::new(), Entry::json(resource));
        Entry { id, record: id, kind: kind.name(), depends_on, names, is_part: false, body }
    }

    /// A part of it, which stands by itself with the person.
    pub(crate) fn part(&self, kind: ResourceType, id: RecordId, resource: &impl Serialize) -> Entry {
        let (record, depends_on) = (self.record.id, vec![self.person()]);
        let (names, body) = (Vec::new(), Entry::json(resource));
        Entry { id, record, kind: kind.name(), depends_on, names, is_part: true, body }
    }

    /// The marks of the record.
    pub(crate) fn marks(&self) -> Marks<'a> {
        Marks::of(&self.record.marks)
    }

    /// The marks of a part of it: of the record's own only what is about its id.
    pub(crate) fn part_marks(&self) -> Marks<'a> {
        let mut marks = Marks::default();
        if self.record.marks.contains(&Mark::WeakId) {
            marks.add(WEAK_ID);
        }
        marks
    }

    /// The resource of the person.
    pub(crate) fn person(&self) -> RecordId {
        self.record.person.into()
    }

    /// A reference to the person.
    pub(crate) fn subject(&self) -> Reference<'static> {
        Reference::to(ResourceType::Patient, self.person())
    }

    /// A reference to the visit.
    pub(crate) fn encounter(&self, id: Option<RecordId>) -> Option<Reference<'static>> {
        id.map(|id| Reference::to(ResourceType::Encounter, id))
    }

    /// The hospital.
    pub(crate) fn organization(&self) -> Option<Reference<'a>> {
        let value = clean(&self.site.organization)?;
        let identifier = Identifier { usage: None, kind: None, system: ORGANIZATION_CODE.into(), value };
        let display = clean(&self.site.name);
        Some(Reference {
            kind: Some("Organization"),
            identifier: Some(identifier),
            display,
            ..Reference::default()
        })
    }

    /// A business number, with its type in HL7 table 0203 where that has one.
    pub(crate) fn number(
        &self,
        number: &'a Number,
        date: Option<Date>,
        kind: Option<&'static str>,
    ) -> Option<Identifier<'a>> {
        Some(Identifier {
            usage: None,
            kind: kind.map(|code| Concept::code(IDENTIFIER_TYPE, code)),
            system: self.site.number_system(number, date).into(),
            value: clean(&number.value)?,
        })
    }
}
