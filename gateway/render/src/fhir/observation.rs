//! One result as an Observation.

use std::borrow::Cow;

use model::{Absent, Enclosure, LabResult, PartialTime, RecordId, ResultKey, ResultStatus, Value};

use super::coded::{concept, unit};
use super::datatype::{Annotation, Concept, Extended, Extension, Identifier, Period, Reference, When};
use super::interpretation::interpretation;
use super::render::Scene;
use super::resource::Observation;
use super::text::{clean, percent_encoded};
use super::trace::Marks;
use super::value::{self, Rendered};
use super::{Entry, ResourceType, attachment, party, report};

const CATEGORY: &str = "http://terminology.hl7.org/CodeSystem/observation-category";

/// The value as the source wrote it, where its FHIR form does not give it back.
const SOURCE_VALUE: &str = "urn:hospital-gateway:source-value";
/// A document as a value: R4 has no place for it, R5 has.
const VALUE_ATTACHMENT: &str = "http://hl7.org/fhir/5.0/StructureDefinition/extension-Observation.value";
/// The unit of a value whose FHIR form has no place for one.
const UNIT: &str = "urn:hospital-gateway:unit";
/// An instrument besides the first (OBX-18), by number and authority.
const DEVICE: &str = "urn:hospital-gateway:device";
/// When it was analysed (OBX-19).
const ANALYSED: &str = "urn:hospital-gateway:analysed";
/// When it was issued (OBR-22), where that is not exact enough for `issued`.
pub(crate) const ISSUED: &str = "urn:hospital-gateway:issued";

/// What the results of a report share.
#[derive(Default)]
pub(crate) struct Shared<'a> {
    /// Their category; none where they only go with something else.
    pub(crate) category: Option<&'static str>,
    pub(crate) issued: Option<&'a PartialTime>,
    /// When they were made, where they do not say so themselves.
    pub(crate) effective: Option<&'a PartialTime>,
    pub(crate) encounter: Option<Reference<'a>>,
    /// What they are a part of.
    pub(crate) part_of: Option<Reference<'a>>,
    /// From when until when, where it took longer and a result does not say its own time.
    pub(crate) period: Option<Period>,
    /// The one specimen that all are of.
    pub(crate) specimen: Option<RecordId>,
    /// The system of result identifiers and what their values begin with: the number of the order.
    pub(crate) order: Option<(String, &'a str)>,
    /// The result of another report that this one was made for.
    pub(crate) parent: Option<Reference<'a>>,
}

/// The id of a result's resource.
pub(crate) fn id(scene: &Scene<'_>, key: &ResultKey) -> RecordId {
    id_under(scene, scene.record.id, key)
}

/// The id of the resource of a result that belongs to `owner`.
pub(crate) fn id_under(scene: &Scene<'_>, owner: RecordId, key: &ResultKey) -> RecordId {
    let repeat = key.repeat.to_string();
    owner.part(&scene.site.id_key, "result", &[&key.code, &key.sub_id, &key.instance, &repeat])
}

/// The resource of `result`, which has these members; `bare` leaves out its value and what explains it, because the
/// destination refused it so.
pub(crate) fn entry<'a>(
    scene: &Scene<'a>,
    shared: &Shared<'a>,
    result: &'a LabResult,
    id: RecordId,
    members: Vec<RecordId>,
    bare: bool,
) -> Entry {
    let mut marks = scene.part_marks();
    mark(result, &mut marks);
    let code = concept(&result.code, scene.site, "OBX-3", &mut marks).unwrap_or_else(Concept::absent);
    let rendered = if bare {
        marks.add("value-refused");
        Rendered { choice: Some(value::absent(Absent::Refused)), source: None, unit: None }
    } else {
        value::render(&result.value, result.unit.as_ref(), &code, scene.site, &mut marks)
    };
    let method = result.method.as_ref().and_then(|m| concept(m, scene.site, "OBX-17", &mut marks));
    let limits = unit(result.unit.as_ref(), &mut marks);
    let range = result.range.as_ref().filter(|_| !bare).and_then(|r| value::range(r, &limits));
    let flags = result.flags.iter().filter(|_| !bare);
    let issued = shared.issued;
    let party = |p| party::reference(p, scene.site);
    let mut devices = result.devices.iter();

    let mut head = scene.head(ResourceType::Observation, id, &marks);
    let words = |url, text: Option<Cow<'a, str>>| Some(Extension { url, value: Extended::String(text?) });
    let time = |url, when| Extension { url, value: Extended::DateTime(When(when)) };
    let documents: &[Enclosure] = match &result.value {
        Value::Enclosed(documents) if !bare => documents,
        _ => &[],
    };
    head.extension.extend(documents.iter().map(|document| {
        let attachment = attachment::reference(scene, document, report::words(result));
        Extension { url: VALUE_ATTACHMENT, value: Extended::Attachment(Box::new(attachment)) }
    }));
    let nowhere = documents.iter().all(|document| attachment::lacks(scene, document));
    let value = rendered.choice.or_else(|| nowhere.then(|| value::absent(Absent::Refused)));
    let device = devices.next().and_then(party);
    for more in devices {
        let name = [&more.number, &more.authority].into_iter().flatten().map(String::as_str);
        head.extension
            .extend(words(DEVICE, clean(&name.collect::<Vec<_>>().join(" ")).map(|c| c.into_owned().into())));
    }
    head.extension.extend(party::as_written(&result.as_written).filter(|_| !bare));
    head.extension.extend(words(SOURCE_VALUE, rendered.source));
    head.extension.extend(words(UNIT, rendered.unit));
    head.extension.extend(result.analysed.as_ref().map(|when| time(ANALYSED, when)));
    head.extension.extend(issued.filter(|t| !t.is_instant()).map(|when| time(ISSUED, when)));
    let effective = result.observed.as_ref().or(shared.effective);
    let effective_period = shared.period.clone().filter(|_| result.observed.is_none());
    let observation = Observation {
        head,
        identifier: identifier(shared, &result.key).into_iter().collect(),
        part_of: shared.part_of.iter().cloned().collect(),
        status: status(result.status),
        category: shared.category.map(|code| Concept::code(CATEGORY, code)).into_iter().collect(),
        code,
        subject: scene.subject(),
        encounter: shared.encounter.clone(),
        effective_date_time: effective.filter(|_| effective_period.is_none()).map(When),
        effective_period,
        issued: issued.filter(|t| t.is_instant()).map(When),
        performer: result.performers.iter().filter_map(party).collect(),
        value,
        interpretation: flags.filter_map(|flag| interpretation(flag)).collect(),
        note: result.notes.iter().filter_map(|n| Some(Annotation { text: clean(n)? })).collect(),
        method,
        specimen: shared.specimen.map(|id| Reference::to(ResourceType::Specimen, id)),
        reference_range: range.into_iter().collect(),
        device,
        has_member: members.iter().map(|id| Reference::to(ResourceType::Observation, *id)).collect(),
        derived_from: shared.parent.clone().into_iter().collect(),
    };
    let mut names = members;
    names.extend(shared.specimen);
    names.extend(documents.iter().filter_map(Enclosure::record));
    Entry { names, ..scene.part(ResourceType::Observation, id, &observation) }
}

fn mark(result: &LabResult, marks: &mut Marks<'_>) {
    if result.withdrawn {
        marks.add("withdrawn");
    }
    if result.order_unclear {
        marks.add("order-unclear");
    }
    for element in &result.doubtful {
        marks.doubtful(element);
    }
}

/// The order's number with the keys of the OBX: what the laboratory would find the result by.
fn identifier<'a>(shared: &Shared<'a>, key: &ResultKey) -> Option<Identifier<'a>> {
    let (system, number) = shared.order.as_ref()?;
    let value = identifier_value(number, key).into();
    Some(Identifier { usage: None, kind: None, system: system.clone().into(), value })
}

/// The value of a result's identifier.
pub(crate) fn identifier_value(order: &str, key: &ResultKey) -> String {
    let parts = [order, key.code.as_str(), &key.sub_id, &key.instance, &key.repeat.to_string()];
    parts.map(percent_encoded).join("/")
}

const fn status(status: ResultStatus) -> &'static str {
    match status {
        ResultStatus::Registered => "registered",
        ResultStatus::Preliminary => "preliminary",
        ResultStatus::Final => "final",
        ResultStatus::Amended => "amended",
        ResultStatus::Corrected => "corrected",
        ResultStatus::Cancelled => "cancelled",
        ResultStatus::EnteredInError => "entered-in-error",
        ResultStatus::Unknown => "unknown",
    }
}
