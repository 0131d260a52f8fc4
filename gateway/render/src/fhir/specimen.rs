//! Specimens.

use jiff::civil::Date;
use model::{RecordId, Specimen};

use super::coded::concept;
use super::datatype::{Annotation, Quantity, Unit, When};
use super::period::period;
use super::render::Scene;
use super::resource::{Collection, Specimen as FhirSpecimen};
use super::text::{clean, decimal};
use super::{Entry, ResourceType};

/// The id of a specimen of the report: by its number, where it has one.
pub(crate) fn id(scene: &Scene<'_>, specimen: &Specimen) -> RecordId {
    let number = specimen.number.as_ref();
    let parts = number.map(|number| [number.space.as_str(), number.value.as_str()]);
    scene.record.id.part(&scene.site.id_key, "specimen", parts.as_ref().map_or(&[], |parts| &parts[..]))
}

pub(crate) fn entry(scene: &Scene<'_>, specimen: &Specimen, id: RecordId, date: Option<Date>) -> Entry {
    let mut marks = scene.part_marks();
    let kind = specimen.kind.as_ref().and_then(|k| concept(k, scene.site, "SPM-4", &mut marks));
    let method = specimen.method.as_ref().and_then(|m| concept(m, scene.site, "SPM-7", &mut marks));
    let body_site = specimen.site.as_ref().and_then(|s| concept(s, scene.site, "SPM-8", &mut marks));
    let conditions = specimen.conditions.iter();
    let condition = conditions.filter_map(|c| concept(c, scene.site, "SPM-24", &mut marks)).collect();
    let until = specimen.collected_until.as_ref();
    let collected_period =
        until.and_then(|until| period(specimen.collected.as_ref(), Some(until), "SPM-17", &mut marks));
    let collected = specimen.collected.as_ref().filter(|_| collected_period.is_none());
    let amount = specimen.amount.as_deref();
    let quantity = amount.and_then(decimal).map(|value| {
        let unit = Unit { text: specimen.amount_unit.as_deref().and_then(clean), ..Unit::default() };
        Quantity { value, comparator: None, unit }
    });
    if amount.is_some() && quantity.is_none() {
        marks.doubtful("SPM-12");
    }
    let collection = Collection {
        collected_date_time: collected.map(When),
        collected_period,
        quantity,
        method,
        body_site,
    };
    let said = collection.collected_date_time.is_some()
        || collection.collected_period.is_some()
        || collection.quantity.is_some()
        || collection.method.is_some()
        || collection.body_site.is_some();
    let number = specimen.number.as_ref().and_then(|n| scene.number(n, date, None));
    let resource = FhirSpecimen {
        head: scene.head(ResourceType::Specimen, id, &marks),
        identifier: number.into_iter().collect(),
        kind,
        subject: scene.subject(),
        received_time: specimen.received.as_ref().map(When),
        collection: said.then_some(collection),
        condition,
        note: specimen.notes.iter().filter_map(|n| Some(Annotation { text: clean(n)? })).collect(),
    };
    scene.part(ResourceType::Specimen, id, &resource)
}
