//! What every resource says about where it came from, and reading that back.

use std::borrow::Cow;
use std::collections::BTreeSet;

use feed::CaptureId;
use jiff::Timestamp;
use model::{Mark, Position, Record};
use serde::{Deserialize, Serialize};

use super::Site;
use super::datatype::{Coding, Extended, Extension};
use super::text::percent_encoded;

/// The extension on each resource that holds its position, written `EVENT CAPTURE REVISION`.
pub(crate) const POSITION: &str = "urn:hospital-gateway:position";
const MARK: &str = "urn:hospital-gateway:mark";
/// Which version of which code map something in the resource comes from, written `NAME@VERSION`.
const CODE_MAP: &str = "urn:hospital-gateway:code-map";

/// The mark of an id that is made from no number (contract 3).
pub(crate) const WEAK_ID: &str = "weak-id";

/// FHIR `meta`.
#[derive(Clone, Serialize)]
pub(crate) struct Meta<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) extension: Vec<Extension<'a>>,
    pub(crate) source: Cow<'a, str>,
    pub(crate) tag: Vec<Coding<'a>>,
}

/// What the resources of one record have in common.
pub(crate) struct Trace<'a> {
    source: String,
    tags: Vec<Coding<'a>>,
    position: String,
}

/// What is worth knowing about one resource, and the code maps that it comes from; each goes up once, as a tag.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks<'a> {
    marks: BTreeSet<Cow<'a, str>>,
    maps: BTreeSet<&'a str>,
}

impl<'a> Trace<'a> {
    /// The trace of `record`.
    pub(crate) fn new(record: &'a Record, site: &'a Site) -> Self {
        let tag = |system: Cow<'a, str>, code: String| Coding { system, code: code.into(), display: None };
        let from = &record.provenance;
        Self {
            source: format!("{}#{}", site.uri(&[]), percent_encoded(&from.control_id)),
            tags: vec![
                tag(site.uri(&["capture"]).into(), from.capture.to_string()),
                tag(site.uri(&["feed"]).into(), from.feed.as_str().to_owned()),
                tag(site.uri(&["mapping"]).into(), record.position.revision.to_string()),
            ],
            position: written(&record.position),
        }
    }

    /// The `meta` of one resource.
    pub(crate) fn meta<'m>(&'m self, marks: &'m Marks<'a>) -> Meta<'m> {
        let mut tag = Vec::with_capacity(self.tags.len() + marks.maps.len() + marks.marks.len());
        let borrowed =
            |system, code| Coding { system: Cow::Borrowed(system), code: Cow::Borrowed(code), display: None };
        tag.extend(self.tags.iter().map(|t| borrowed(&*t.system, &*t.code)));
        tag.extend(marks.maps.iter().map(|map| borrowed(CODE_MAP, map)));
        tag.extend(marks.marks.iter().map(|mark| borrowed(MARK, mark)));
        Meta { extension: Vec::new(), source: Cow::Borrowed(&self.source), tag }
    }

    /// The extension that says where the resource stands in time.
    pub(crate) fn position(&self) -> Extension<'_> {
        Extension { url: POSITION, value: Extended::String(Cow::Borrowed(&self.position)) }
    }
}

impl<'a> Marks<'a> {
    /// Those of a record.
    pub(crate) fn of(marks: &'a [Mark]) -> Self {
        let mut all = Self::default();
        for mark in marks {
            match mark {
                Mark::WeakId => all.add(WEAK_ID),
                Mark::Withdrawn => all.add("withdrawn"),
                Mark::OrderUnclear => all.add("order-unclear"),
                Mark::ControlLeftOut => all.add("control-left-out"),
                Mark::NotFinalCorrection => all.add("not-final-correction"),
                Mark::Continued => all.add("continued"),
                Mark::Doubtful(element) => all.doubtful(element),
            }
        }
        all
    }

    /// Adds one of the fixed marks.
    pub(crate) fn add(&mut self, mark: &'static str) {
        self.marks.insert(Cow::Borrowed(mark));
    }

    /// Adds a code map, as `NAME@VERSION`.
    pub(crate) fn map(&mut self, map: &'a str) {
        self.maps.insert(map);
    }

    /// Adds that `element` (as `OBX-14`) went up as source text only. The element is a place, not a value.
    pub(crate) fn doubtful(&mut self, element: &str) {
        let place: String =
            element.chars().filter(|c| c.is_ascii_alphanumeric() || "-.".contains(*c)).collect();
        self.marks.insert(Cow::Owned(format!("doubtful:{place}")));
    }
}

/// The position of a resource that was read back from a destination; none where this gateway did not send it.
pub fn position_of(resource_json: &[u8]) -> Option<Position> {
    #[derive(Deserialize)]
    struct Resource {
        #[serde(default)]
        extension: Vec<Held>,
        #[serde(default)]
        meta: Meta,
    }
    #[derive(Default, Deserialize)]
    struct Meta {
        #[serde(default)]
        extension: Vec<Held>,
    }
    #[derive(Deserialize)]
    struct Held {
        url: String,
        #[serde(rename = "valueString")]
        value: Option<String>,
    }
    let resource: Resource = serde_json::from_slice(resource_json).ok()?;
    let held = resource.extension.into_iter().chain(resource.meta.extension);
    let held = held.filter(|e| e.url == POSITION);
    held.filter_map(|e| read(&e.value?)).max()
}

fn written(position: &Position) -> String {
    format!("{} {} {}", position.event, position.capture, position.revision)
}

fn read(text: &str) -> Option<Position> {
    let mut parts = text.split(' ');
    let (event, capture, revision) = (parts.next()?, parts.next()?, parts.next()?);
    Some(Position {
        event: event.parse::<Timestamp>().ok()?,
        capture: capture.parse::<CaptureId>().ok()?,
        revision: revision.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_position_reads_back_exactly(
            micros in -62_000_000_000_000_000i64..250_000_000_000_000_000,
            segment in 0..i32::MAX as u32,
            row: u32,
            revision: u32,
        ) {
            let position = Position {
                event: Timestamp::from_microsecond(micros).unwrap(),
                capture: CaptureId::new(segment, row),
                revision,
            };
            prop_assert_eq!(read(&written(&position)), Some(position));
        }
    }

    #[test]
    fn a_resource_of_somebody_else_has_no_position() {
        for other in [
            r#"{"resourceType":"Patient"}"#,
            r#"{"extension":[{"url":"urn:x","valueString":"a b c"},{"url":"urn:y","valueBoolean":true}]}"#,
            r#"{"extension":[{"url":"urn:hospital-gateway:position","valueString":"yesterday"}]}"#,
            "<html>",
        ] {
            assert_eq!(position_of(other.as_bytes()), None, "{other}");
        }
    }
}
