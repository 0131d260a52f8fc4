//! Where a resource came from and where it stands in time.

use std::borrow::Cow;

use feed::CaptureId;
use model::{Mark, Position, Record};
use serde::Deserialize;

use super::Site;
use super::types::{Coding, Extension, Meta, encoded};

/// The extension of `meta` that holds a position.
const POSITION: &str = "urn:hospital-gateway:position";

/// The meta of a record's resources. `more` are tags of this resource alone.
pub(super) fn meta<'a>(record: &'a Record, site: &Site, more: impl IntoIterator<Item = String>) -> Meta<'a> {
    let provenance = &record.provenance;
    let tag = |system: &'static str, code: Cow<'a, str>| Coding {
        system: Some(Cow::Borrowed(system)),
        code: Some(code),
        display: None,
    };
    let mut tags = vec![
        tag("urn:hospital-gateway:capture", Cow::Owned(record.position.capture.to_string())),
        tag("urn:hospital-gateway:feed", Cow::Borrowed(provenance.feed.as_str())),
        tag("urn:hospital-gateway:mapping", Cow::Owned(record.position.revision.to_string())),
    ];
    let marks = record.marks.iter().map(mark).chain(more);
    tags.extend(marks.map(|mark| tag("urn:hospital-gateway:mark", Cow::Owned(mark))));
    let mut position = Extension::new(POSITION);
    position.extension = vec![
        Extension { value_instant: Some(record.position.event.to_string()), ..Extension::new("event") },
        Extension {
            value_string: Some(Cow::Owned(record.position.capture.to_string())),
            ..Extension::new("capture")
        },
        Extension { value_positive_int: Some(record.position.revision.max(1)), ..Extension::new("revision") },
    ];
    Meta {
        extension: vec![position],
        source: format!(
            "urn:hospital-gateway:{}:{}#{}",
            encoded(&site.organization),
            provenance.feed,
            encoded(&provenance.control_id)
        ),
        tag: tags,
    }
}

fn mark(mark: &Mark) -> String {
    match mark {
        Mark::WeakId => "weak-id".to_owned(),
        Mark::Withdrawn => "withdrawn".to_owned(),
        Mark::OrderUnclear => "order-unclear".to_owned(),
        Mark::NotFinalCorrection => "not-final-correction".to_owned(),
        Mark::Doubtful(element) => doubtful(element),
    }
}

/// The tag for an element that went up as source text.
pub(super) fn doubtful(element: &str) -> String {
    format!("doubtful:{element}")
}

/// Reads our position out of a resource that a destination gave back. None where it carries none.
pub fn position_of(resource: &[u8]) -> Option<Position> {
    #[derive(Deserialize)]
    struct Resource {
        meta: Option<Held>,
    }
    #[derive(Deserialize)]
    struct Held {
        #[serde(default)]
        extension: Vec<Part>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Part {
        url: String,
        #[serde(default)]
        extension: Vec<Self>,
        value_string: Option<String>,
        value_instant: Option<String>,
        value_positive_int: Option<u32>,
    }
    let resource: Resource = serde_json::from_slice(resource).ok()?;
    let position = resource.meta?.extension.into_iter().find(|part| part.url == POSITION)?;
    let (mut event, mut capture, mut revision) = (None, None, None);
    for part in position.extension {
        match part.url.as_str() {
            "event" => event = part.value_instant?.parse().ok(),
            "capture" => capture = part.value_string?.parse::<CaptureId>().ok(),
            "revision" => revision = part.value_positive_int,
            _ => {}
        }
    }
    Some(Position { event: event?, capture: capture?, revision: revision? })
}
