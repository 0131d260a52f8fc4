//! What a map or a mapping revision made: found again, and sent again under the maps that are in force now.

use core::fmt;
use core::str::FromStr;

use buffer::{Made, NewDelivery, Read, RecordRef, StateError, Tx, Urgency};
use model::{Body, PartialTime, Position, Record, RecordId, RecordKind};

use super::apply::Cause;
use super::held;
use super::operations::{OperationError, Operations};
use super::rules::{REVISION, Rules};

/// Which records are meant.
#[derive(Clone, Debug)]
pub enum Selection {
    /// Those that something of a map is in.
    Map {
        /// Its name.
        name: String,
        /// Its version; none: any.
        version: Option<String>,
    },
    /// Those that were made under a mapping revision.
    Mapping(u32),
}

/// Where a page of them begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Among the records by what made them.
    Record(i64),
    /// Among those that a destination has under its own maps.
    Sent(RecordId),
}

/// A record that is meant.
#[derive(Clone, Debug)]
pub struct Recalled {
    /// The record.
    pub record: RecordId,
    /// The destination whose map is meant; none: a map of the feed.
    pub destination: Option<u16>,
    /// What it is, where it is still held.
    pub held: Option<HeldRecord>,
    /// What sending it again would do.
    pub way: Way,
}

/// What a listing shows of a record.
#[derive(Clone, Debug)]
pub struct HeldRecord {
    /// What kind of record.
    pub kind: RecordKind,
    /// Where its state stands.
    pub position: Position,
    /// The maps that something in it comes from.
    pub maps: Vec<String>,
}

/// What sending a record again does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Its codes become others under the maps in force.
    Translate,
    /// A destination's maps are applied anew when it is rendered.
    Render,
    /// Its capture is interpreted again.
    Interpret,
    /// Nothing: the maps in force say the same.
    Unchanged,
    /// It cannot be: the record or the capture it takes is no longer in the buffer.
    Gone,
}

impl Way {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Translate => "translate",
            Self::Render => "render",
            Self::Interpret => "interpret",
            Self::Unchanged => "unchanged",
            Self::Gone => "gone",
        }
    }
}

impl Selection {
    /// Reads `NAME` or `NAME@VERSION`.
    pub fn map(text: &str) -> Self {
        match text.split_once('@') {
            Some((name, version)) => Self::Map { name: name.to_owned(), version: Some(version.to_owned()) },
            None => Self::Map { name: text.to_owned(), version: None },
        }
    }

    fn is_meant(&self, label: &str) -> bool {
        let Self::Map { name, version } = self else { return false };
        label.split_once('@').is_some_and(|(own, held)| {
            own == name && version.as_deref().is_none_or(|version| held.starts_with(version))
        })
    }

    fn takes(&self, made: &Made) -> bool {
        match self {
            Self::Map { .. } => made.maps.split(' ').any(|label| self.is_meant(label)),
            Self::Mapping(revision) => made.revision == *revision,
        }
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Map { name, version: Some(version) } => write!(f, "map {name}@{version}"),
            Self::Map { name, version: None } => write!(f, "map {name}"),
            Self::Mapping(revision) => write!(f, "mapping {revision}"),
        }
    }
}

impl fmt::Display for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(no) => write!(f, "{no}"),
            Self::Sent(record) => write!(f, "sent-{record}"),
        }
    }
}

impl FromStr for After {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = match text.strip_prefix("sent-") {
            Some(record) => record.parse().ok().map(Self::Sent),
            None => text.parse().ok().map(Self::Record),
        };
        read.ok_or("after is what the page before names as next")
    }
}

impl Operations {
    /// One page of the records that are meant, and where the next one begins.
    ///
    /// # Errors
    /// When the buffer fails.
    pub async fn recalled(
        &self,
        selection: Selection,
        after: After,
        limit: usize,
    ) -> Result<(Vec<Recalled>, Option<After>), OperationError> {
        let rules = self.rules.borrow().clone();
        let page = self.buffer.state().read(move |read| page(read, &rules, &selection, after, limit));
        Ok(page.await?)
    }

    /// Sends a record again at its original position, under the maps in force.
    ///
    /// # Errors
    /// When the buffer fails.
    pub async fn recall(&self, recalled: &Recalled) -> Result<Way, OperationError> {
        let (id, destination) = (recalled.record, recalled.destination);
        let done = match recalled.way {
            Way::Gone => Way::Gone,
            Way::Interpret => {
                let Some(held) = &recalled.held else { return Ok(Way::Gone) };
                match self.interpret(held.position.capture, Cause::Replayed).await {
                    Ok(()) => Way::Interpret,
                    Err(OperationError::NoCapture(_)) => Way::Gone,
                    Err(error) => return Err(error),
                }
            }
            Way::Translate | Way::Render | Way::Unchanged => {
                let rules = self.rules.borrow().clone();
                let again =
                    self.buffer.state().run(Urgency::Now, move |tx| again(tx, &rules, id, destination));
                again.await?
            }
        };
        self.enqueued.notify_waiters();
        Ok(done)
    }
}

fn page(
    read: &Read<'_>,
    rules: &Rules,
    selection: &Selection,
    after: After,
    limit: usize,
) -> Result<(Vec<Recalled>, Option<After>), StateError> {
    let meant: Vec<Made> = read.made()?.into_iter().filter(|made| selection.takes(made)).collect();
    if let After::Record(no) = after {
        let mut found = Vec::new();
        for made in &meant {
            found.extend(read.records_made(made.id, no, limit)?);
        }
        found.sort_by_key(|(no, _)| *no);
        found.truncate(limit);
        let full = found.len() == limit;
        let next = found.last().map(|(no, _)| After::Record(*no)).filter(|_| full);
        let mut page = Vec::with_capacity(found.len());
        for (_, id) in found {
            page.push(look(read, rules, selection, id, None)?);
        }
        if next.is_some() {
            return Ok((page, next));
        }
        let left = limit.saturating_sub(page.len()).max(1);
        let (more, next) = sent(read, rules, selection, &meant, RecordId::from_bytes([0; 16]), left)?;
        page.extend(more);
        return Ok((page, next));
    }
    match after {
        After::Sent(after) => sent(read, rules, selection, &meant, after, limit),
        After::Record(_) => Ok((Vec::new(), None)),
    }
}

/// One page of those that a destination has under maps of its own.
fn sent(
    read: &Read<'_>,
    rules: &Rules,
    selection: &Selection,
    meant: &[Made],
    after: RecordId,
    limit: usize,
) -> Result<(Vec<Recalled>, Option<After>), StateError> {
    let mut found = Vec::new();
    // What a destination was sent under a mapping revision is found by the records themselves.
    if matches!(selection, Selection::Map { .. }) {
        for made in meant {
            found.extend(read.sent_made(made.id, after, limit)?);
        }
    }
    found.sort();
    // A record at several destinations is not cut in two by the end of a page.
    let end = found.get(limit.saturating_sub(1)).map(|(id, _)| *id).filter(|_| found.len() >= limit);
    found.retain(|(id, _)| end.is_none_or(|end| *id <= end));
    let mut page = Vec::with_capacity(found.len());
    for (id, destination) in found {
        page.push(look(read, rules, selection, id, Some(destination))?);
    }
    Ok((page, end.map(After::Sent)))
}

/// What a record is and what sending it again would do.
fn look(
    read: &Read<'_>,
    rules: &Rules,
    selection: &Selection,
    id: RecordId,
    destination: Option<u16>,
) -> Result<Recalled, StateError> {
    let Some(record) = held::record(read, id)? else {
        return Ok(Recalled { record: id, destination, held: None, way: Way::Gone });
    };
    let way = match selection {
        _ if destination.is_some() => Way::Render,
        Selection::Mapping(revision) if read.mapping(*revision)?.is_none_or(|m| m.program != REVISION) => {
            Way::Interpret
        }
        // What an identifier is and which sex is meant is asked of the message alone.
        Selection::Map { .. } if read_once(&record.body, selection) => Way::Interpret,
        _ => match translated(&record, rules) {
            None => Way::Gone,
            Some(body) if body.same_codes(&record.body) => Way::Unchanged,
            Some(_) => Way::Translate,
        },
    };
    let held = HeldRecord {
        kind: record.body.kind(),
        position: record.position,
        maps: record.body.maps().into_iter().map(str::to_owned).collect(),
    };
    Ok(Recalled { record: id, destination, held: Some(held), way })
}

fn read_once(body: &Body, selection: &Selection) -> bool {
    matches!(body, Body::Person(person) if person.maps.iter().any(|label| selection.is_meant(label)))
}

/// The content of a record under the maps in force for its feed; none where its feed is no longer configured.
fn translated(record: &Record, rules: &Rules) -> Option<Body> {
    let feed = rules.feeds.get(&record.provenance.feed)?;
    let mut body = record.body.clone();
    let day = record.provenance.event.as_ref().and_then(PartialTime::date);
    body.translate_anew(&feed.context.codes, day);
    Some(body)
}

/// Puts a record as the maps in force say, at its place in time, and queues it for who takes it: all, or the destination
/// whose own map is meant. What the maps leave as it was is not sent again.
fn again(tx: &mut Tx<'_>, rules: &Rules, id: RecordId, destination: Option<u16>) -> Result<Way, StateError> {
    let Some(mut record) = held::record(tx, id)? else { return Ok(Way::Gone) };
    let mut way = Way::Render;
    if destination.is_none() {
        let Some(body) = translated(&record, rules) else { return Ok(Way::Gone) };
        let same = body.same_codes(&record.body);
        record.body = body;
        if same {
            // Only the versions of the maps are others; nobody has to hear of that.
            held::put(tx, &record)?;
            return Ok(Way::Unchanged);
        }
        way = Way::Translate;
    }
    record.position.revision = rules.revision.max(record.position.revision);
    held::put(tx, &record)?;
    let live = rules.feeds.get(&record.provenance.feed).is_some_and(|feed| feed.live);
    let kind = record.body.kind();
    let takers = rules.destinations.iter().filter(|taker| {
        live && taker.live
            && taker.kinds.contains(&kind)
            && destination.is_none_or(|only| only == taker.number)
    });
    for taker in takers {
        let detour = tx.detour(record.person, taker.number)?;
        tx.enqueue(&NewDelivery {
            destination: taker.number,
            class: 0,
            lane: detour.map_or(*record.person.as_bytes(), |key| key.lane),
            capture: record.position.capture,
            position: Position { event: record.provenance.received, ..record.position },
            refs: vec![RecordRef { kind: kind as u8, record: id }],
            at: record.provenance.received,
        })?;
    }
    Ok(way)
}
