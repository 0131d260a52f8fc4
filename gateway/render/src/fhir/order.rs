//! An order as a ServiceRequest with its Specimens and what was stated with it. Every further service of the same number is
//! a ServiceRequest of its own.

use jiff::civil::Date;
use model::{Attending, Order, OrderItem, OrderStatus, PartialTime, RecordId};

use super::coded::concept;
use super::datatype::{Annotation, Extended, Extension, Identifier, Reference, When};
use super::observation::{self, Shared};
use super::render::Scene;
use super::resource::ServiceRequest;
use super::text::clean;
use super::{Entry, ResourceType, Stage, specimen};

/// The priority as written, where FHIR has none for it.
const PRIORITY: &str = "urn:hospital-gateway:priority";
/// The order status as written (ORC-5), where it says more than the status.
const STATUS: &str = "urn:hospital-gateway:order-status";

pub(crate) fn entries(scene: &Scene<'_>, order: &Order) -> Vec<Entry> {
    let mut entries = Vec::new();
    // The order itself comes last, after everything that it refers to.
    for (at, item) in order.items.iter().enumerate().rev() {
        let id = match at {
            0 => scene.record.id,
            _ => item.key.resource(scene.record.id, &scene.site.id_key),
        };
        if !scene.refused.contains_key(&id) {
            one(scene, order, item, id, &mut entries);
        }
    }
    entries
}

fn one(scene: &Scene<'_>, order: &Order, item: &OrderItem, id: RecordId, entries: &mut Vec<Entry>) {
    let date = order.dated.as_ref().and_then(PartialTime::date);
    let mut specimens = Vec::new();
    for (n, stated) in item.specimens.iter().enumerate() {
        let part = id.part(&scene.site.id_key, "specimen", &[&n.to_string()]);
        if !scene.refused.contains_key(&part) {
            entries.push(specimen::entry(scene, stated, part, date));
            specimens.push(Reference::to(ResourceType::Specimen, part));
        }
    }
    let shared = Shared {
        encounter: scene.encounter(scene.record.encounter),
        effective: item.planned.as_ref(),
        ..Shared::default()
    };
    let mut supporting = Vec::new();
    for observation in &item.observations {
        let part = observation::id_under(scene, id, &observation.key);
        let stage = scene.refused.get(&part);
        if stage != Some(&Stage::LeftOut) {
            entries.push(observation::entry(scene, &shared, observation, part, Vec::new(), stage.is_some()));
            supporting.push(Reference::to(ResourceType::Observation, part));
        }
    }

    let mut marks = if id == scene.record.id { scene.marks() } else { scene.part_marks() };
    for element in &item.doubtful {
        marks.doubtful(element);
    }
    if item.order_unclear {
        marks.add("order-unclear");
    }
    let code = concept(&item.service, scene.site, "OBR-4", &mut marks);
    let written = item.priority.as_deref().and_then(clean);
    let priority = written.as_deref().and_then(priority);
    let reasons = item.reasons.iter().filter_map(|r| concept(r, scene.site, "OBR-31", &mut marks)).collect();
    let mut head = scene.head(ResourceType::ServiceRequest, id, &marks);
    let words = |url, text| Extension { url, value: Extended::String(text) };
    head.extension.extend(written.filter(|_| priority.is_none()).map(|text| words(PRIORITY, text)));
    head.extension.extend(clean(&item.status_source).map(|text| words(STATUS, text)));
    let resource = ServiceRequest {
        head,
        identifier: identifiers(scene, order, item, date),
        requisition: order.group.as_ref().and_then(|number| scene.number(number, date, None)),
        status: status(item.status),
        intent: "order",
        priority,
        code,
        subject: scene.subject(),
        encounter: shared.encounter.clone(),
        occurrence_date_time: item.planned.as_ref().map(When),
        authored_on: item.ordered.as_ref().map(When),
        requester: item.requester.as_ref().and_then(|who| staff(scene, who)),
        reason_code: reasons,
        supporting_info: supporting,
        specimen: specimens,
        note: item.notes.iter().filter_map(|n| Some(Annotation { text: clean(n)? })).collect(),
    };
    entries.push(if id == scene.record.id {
        scene.main(ResourceType::ServiceRequest, vec![scene.person()], &resource)
    } else {
        scene.part(ResourceType::ServiceRequest, id, &resource)
    });
}

fn identifiers<'a>(
    scene: &Scene<'a>,
    order: &'a Order,
    item: &'a OrderItem,
    date: Option<Date>,
) -> Vec<Identifier<'a>> {
    let placer = order.placer.as_ref().and_then(|number| scene.number(number, date, Some("PLAC")));
    let filler = item.filler.as_ref().and_then(|number| scene.number(number, date, Some("FILL")));
    placer.into_iter().chain(filler).collect()
}

/// A member of staff by name and number; none where neither is said.
pub(crate) fn staff<'a>(scene: &Scene<'_>, who: &'a Attending) -> Option<Reference<'a>> {
    let system = || scene.site.uri(&["staff"]).into();
    let number = who.number.as_deref().and_then(clean);
    let identifier = number.map(|value| Identifier { usage: None, kind: None, system: system(), value });
    let display = who.name.as_deref().and_then(clean);
    let said = identifier.is_some() || display.is_some();
    said.then(|| Reference { kind: Some("Practitioner"), identifier, display, ..Reference::default() })
}

/// The FHIR priority of HL7 table 0485 and of what is written in its place.
fn priority(written: &str) -> Option<&'static str> {
    Some(match written.to_ascii_uppercase().as_str() {
        "S" | "STAT" | "\u{6025}\u{8bca}" => "stat",
        "A" | "ASAP" => "asap",
        "U" | "UR" | "URGENT" | "\u{52a0}\u{6025}" => "urgent",
        "R" | "ROUTINE" | "\u{5e38}\u{89c4}" | "\u{666e}\u{901a}" => "routine",
        _ => return None,
    })
}

const fn status(status: OrderStatus) -> &'static str {
    match status {
        OrderStatus::Active => "active",
        OrderStatus::OnHold => "on-hold",
        OrderStatus::Revoked => "revoked",
        OrderStatus::Completed => "completed",
        OrderStatus::Unknown => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_are_read_as_hospitals_write_them_and_others_stay_words() {
        for (written, fhir) in
            [("S", Some("stat")), ("r", Some("routine")), ("\u{52a0}\u{6025}", Some("urgent"))]
        {
            assert_eq!(priority(written), fhir);
        }
        for other in ["T", "P", "PRN", ""] {
            assert_eq!(priority(other), None, "{other}");
        }
    }
}
