//! Where the resources of a record come from, as a Provenance beside them.
//!
//! One for each record rather than for each bundle: its id and its content follow from the record alone, so that whatever
//! was lost, repeated or overtaken on the way, the same records leave the same Provenances.

use std::borrow::Cow;

use jiff::Timestamp;
use model::{PartialTime, Record, ZoneSource};
use serde::Serialize;

use super::datatype::{Concept, Extended, Extension, Identifier, Reference};
use super::render::Scene;
use super::resource::Head;
use super::text::clean;
use super::trace::Marks;
use super::{Entry, Refused, ResourceType, Site};

const PARTICIPANT: &str = "http://terminology.hl7.org/CodeSystem/provenance-participant-type";

/// Times of the source carried no zone: whose was taken, `message` or `site`.
const ZONE: &str = "urn:hospital-gateway:zone";

#[derive(Serialize)]
struct Provenance<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    target: Vec<Reference<'a>>,
    recorded: Timestamp,
    agent: [Agent<'a>; 1],
    entity: [Entity<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Agent<'a> {
    #[serde(rename = "type")]
    kind: Concept<'a>,
    who: Reference<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_behalf_of: Option<Reference<'a>>,
}

#[derive(Serialize)]
struct Entity<'a> {
    role: &'static str,
    what: Reference<'a>,
}

/// Where the resources that were `rendered` of `record` come from; to go after them.
pub fn provenance(record: &Record, site: &Site, rendered: &[Entry]) -> Entry {
    let refused = Refused::new();
    let scene = Scene::new(record, site, &refused);
    let from = &record.provenance;
    let id = record.id.part(&site.id_key, "provenance", &[]);
    let mut marks = Marks::default();
    for map in record.body.maps() {
        marks.map(map);
    }
    let mut head = scene.head(ResourceType::Provenance, id, &marks);
    head.extension
        .extend(zone(record).map(|zone| Extension { url: ZONE, value: Extended::String(zone.into()) }));
    let named = |kind, system: String, value: Option<Cow<'static, str>>, display| Reference {
        kind: Some(kind),
        identifier: value.map(|value| Identifier { usage: None, kind: None, system: system.into(), value }),
        display,
        ..Reference::default()
    };
    let device = clean(&site.device).map(|device| Cow::Owned(device.into_owned()));
    let capture = Some(Cow::Owned(from.capture.to_string()));
    let resource = Provenance {
        head,
        target: rendered
            .iter()
            .map(|e| Reference { reference: Some(e.url()), ..Reference::default() })
            .collect(),
        recorded: from.received,
        agent: [Agent {
            kind: Concept::code(PARTICIPANT, "assembler"),
            who: named("Device", site.uri(&["device"]), device, None),
            on_behalf_of: scene.organization(),
        }],
        // The message by its capture; its control id is in `meta.source`.
        entity: [Entity {
            role: "source",
            what: named("DocumentReference", site.uri(&["capture"]), capture, clean(&from.trigger)),
        }],
    };
    let depends_on: Vec<_> = rendered.iter().map(|entry| entry.id).collect();
    Entry {
        id,
        record: record.id,
        kind: ResourceType::Provenance.name(),
        // It goes last: what it is about may itself have to be written anew.
        names: depends_on.clone(),
        depends_on,
        is_part: true,
        body: Entry::json(&resource),
    }
}

/// Whose zone was taken where times carried none; the farthest from the source of all.
fn zone(record: &Record) -> Option<&'static str> {
    let times = record.body.times().into_iter().chain(record.provenance.event.as_ref());
    let zones = times.filter(|time| time.is_instant()).map(PartialTime::zone);
    zones.fold(None, |farthest, zone| match (farthest, zone) {
        (Some("site"), _) | (_, ZoneSource::Site) => Some("site"),
        (_, ZoneSource::Message) => Some("message"),
        (farthest, ZoneSource::Stated) => farthest,
    })
}
