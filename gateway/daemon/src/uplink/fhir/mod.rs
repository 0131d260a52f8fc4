//! Over FHIR: chosen, rendered, sent as one transaction, halved where the server refuses it.

mod http;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering;

use buffer::{
    DeadResource, Delivery, DeliveryId, LaneHead, Read, RecordRef, Sent, SettledAs, StateError, Urgency,
};
use bytes::Bytes;
use deliver::{Attempt, Choice, Class, Ended, EntryEnd, Item, Step, choose, classify, retry_after};
use feed::CaptureId;
use model::{Mark, Position, Record, RecordId, RecordKind};
use render::fhir::{self, Answered, Entry, Refused, Stage};
use ring::digest::{SHA256, digest};

pub use http::{Endpoint, EndpointError};

use super::air::Aboard;
use super::flight::{Sender, Stop, Tally, ended, retry, waiting};
use http::Answer;

/// A FHIR destination.
pub struct Way {
    /// What it is called.
    pub name: String,
    /// Where it is.
    pub endpoint: Endpoint,
    /// What rendering needs to know.
    pub site: fhir::Site,
    /// Whether it takes orders, so that others may refer to them by id.
    pub takes_orders: bool,
}

/// A record to be sent, with what the destination is known to have of it.
struct Parcel {
    record: Record,
    refused: Refused,
    /// What it does without because of an earlier delivery, with the reasons.
    dead: Vec<DeadResource>,
    sent: Option<Position>,
    /// The destination's own code maps that touched it.
    maps: String,
    /// Not of this delivery, but needed by what is.
    ground: bool,
    /// The report as the destination has it, where its earlier content is no longer held here.
    there: Option<Bytes>,
}

/// What an answer that is none is called: of a portal or proxy in between, say.
const NO_ANSWER: &str = "no-fhir-answer";

/// What the destination refused of a delivery as a whole.
#[derive(Default)]
struct Refusals {
    /// A main resource was refused: the delivery is dead, for this reason.
    main: Option<String>,
    /// The person was refused: everything of the lane is held.
    ground: bool,
}

impl Sender {
    /// Delivers over FHIR; true when the destination took it.
    pub(super) async fn over_fhir(
        &self,
        way: &Way,
        number: u16,
        LaneHead { lane, head: id, .. }: LaneHead,
        tries: u32,
        urgency: Urgency,
        tally: &mut Tally,
    ) -> Result<bool, Stop> {
        let mut refusals = Refusals::default();
        let (delivery, mut parcels, _aboard) = self.load_fhir(number, lane, id, way.takes_orders).await?;
        for parcel in &mut parcels {
            parcel.maps = way.site.translate(&mut parcel.record);
        }
        let mut chosen = self.choose(way, &delivery, parcels).await?;
        if !chosen.iter().any(|parcel| !parcel.ground) {
            self.settle(id, SettledAs::Superseded, "newer", urgency, tally).await?;
            return Ok(false);
        }
        tally.dead.extend(chosen.iter().flat_map(|parcel| parcel.dead.iter().cloned()));
        // Each round a refused part is reduced further; two stages and the whole make three.
        let mut rounds = 3;
        loop {
            let dead = self.round(way, &delivery, &chosen, tries, tally, &mut refusals).await?;
            if dead.is_empty() {
                break;
            }
            if rounds == 0 {
                // A destination that refuses something else every time.
                return Err(Stop::Retry(Ended::Lane, "refused anew".to_owned()));
            }
            rounds -= 1;
            for (record, resource, stage, reason) in dead {
                let resource_id = *resource.as_bytes();
                tally.dead.retain(|dead| (dead.record, dead.resource) != (record, resource_id));
                tally.dead.push(DeadResource { record, resource: resource_id, reason, stage: stage as u8 });
                for parcel in chosen.iter_mut().filter(|parcel| parcel.record.id == record) {
                    parcel.refused.insert(resource, stage);
                }
            }
            chosen.retain(|parcel| tally.dead.iter().any(|dead| dead.record == parcel.record.id));
        }
        let (state, reason) = match (&refusals.main, tally.dead.is_empty()) {
            (Some(reason), _) => (SettledAs::Dead, reason.clone()),
            (None, true) => (SettledAs::Delivered, String::new()),
            (None, false) => (SettledAs::Delivered, "partial".to_owned()),
        };
        if refusals.ground {
            let (key, at) = (delivery.lane_key(), (self.clock)());
            let held =
                self.buffer.state().run(Urgency::Now, move |tx| tx.hold_lane(&key, "person-refused", at));
            held.await?;
        }
        self.settle(id, state, &reason, urgency, tally).await?;
        Ok(state == SettledAs::Delivered)
    }

    /// Reads a delivery and the records that it needs, and keeps other flights from carrying them.
    async fn load_fhir(
        &self,
        destination: u16,
        lane: [u8; 16],
        id: DeliveryId,
        takes_orders: bool,
    ) -> Result<(Delivery, Vec<Parcel>, Aboard<'_>), StateError> {
        loop {
            let since = self.air.landings();
            let load = self.buffer.state().read(move |read| {
                let delivery = waiting(read, id, lane)?;
                let parcels = parcels(read, destination, &delivery, takes_orders)?;
                Ok((delivery, parcels))
            });
            let (delivery, parcels) = load.await?;
            let records = parcels.iter().map(|parcel| parcel.record.id).collect();
            if let Some(aboard) = self.air.board(records, since).await {
                return Ok((delivery, parcels, aboard));
            }
        }
    }

    /// What of the delivery is still to be sent, the records that others need first.
    async fn choose(
        &self,
        way: &Way,
        delivery: &Delivery,
        parcels: Vec<Parcel>,
    ) -> Result<Vec<Parcel>, Stop> {
        let mut chosen: Vec<Parcel> = Vec::with_capacity(parcels.len());
        // Its own delivery follows, and the destination has nothing of it yet.
        let mut spare: Vec<Parcel> = Vec::new();
        for mut parcel in parcels {
            if self.is_to_be_sent(way, delivery, &mut parcel).await? {
                chosen.push(parcel);
            } else if parcel.sent.is_none() && !parcel.ground {
                spare.push(Parcel { ground: true, ..parcel });
            }
        }
        if chosen.iter().any(|parcel| !parcel.ground) {
            let needed: BTreeSet<RecordId> = chosen.iter().flat_map(needs).collect();
            for mut parcel in spare.into_iter().filter(|parcel| needed.contains(&parcel.record.id)) {
                if self.is_to_be_sent(way, delivery, &mut parcel).await? {
                    chosen.push(parcel);
                }
            }
            in_order(&mut chosen);
        }
        Ok(chosen)
    }

    async fn is_to_be_sent(&self, way: &Way, delivery: &Delivery, parcel: &mut Parcel) -> Result<bool, Stop> {
        if parcel.record.body.kind() == RecordKind::Attachment {
            // A content never changes, and this one was never sent.
            return Ok(true);
        }
        let current = parcel.record.position;
        // What only has to be there may be newer than the delivery: it goes as it stands.
        let of = if parcel.ground { current.capture } else { delivery.position.capture };
        let sent = parcel.sent;
        let choose = |theirs| choose(of, current, capture_of, sent, theirs);
        let theirs = self.is_known(parcel.record.id).then_some(sent);
        let mut choice = choose(theirs);
        if choice == Choice::AskFirst || choice == Choice::Send && parcel.continues() {
            parcel.there = self.ask(way, &parcel.record).await?;
            self.know(parcel.record.id);
            choice = choose(Some(parcel.there.as_deref().and_then(fhir::position_of)));
        }
        Ok(choice == Choice::Send)
    }

    /// Asks the destination for the main resource of a record.
    async fn ask(&self, way: &Way, record: &Record) -> Result<Option<Bytes>, Stop> {
        let resource = format!("{}/{}", fhir::main_type(record.body.kind()), record.id);
        match way.endpoint.get(&resource).await {
            Ok(answer) if answer.status == 200 && fhir::is_resource(&answer.body) => Ok(Some(answer.body)),
            Ok(answer) if answer.status == 200 => Err(retry(Class::Misconfigured, NO_ANSWER.to_owned())),
            Ok(answer) if matches!(answer.status, 404 | 410) => Ok(None),
            Ok(answer) => {
                let (class, _) = self.class_of(&answer, &fhir::parse_answer(&answer.body));
                Err(Stop::Retry(ended(class), format!("HTTP {} on reading back", answer.status)))
            }
            Err(failure) => Err(Stop::Retry(ended(failure.into()), failure.code().to_owned())),
        }
    }

    /// Sends the records once, halving where needed. Gives the parts that were refused and how they are reduced next.
    async fn round(
        &self,
        way: &Way,
        delivery: &Delivery,
        parcels: &[Parcel],
        tries: u32,
        tally: &mut Tally,
        refusals: &mut Refusals,
    ) -> Result<Vec<(RecordId, RecordId, Stage, String)>, Stop> {
        let traced = self.traced.load(Ordering::Relaxed);
        match self.send(way, delivery, parcels, tries, traced, tally, refusals).await {
            // It may be the Provenance alone that is not allowed there.
            Err(Stop::NotAllowed(failure)) if traced => {
                let sent = self.send(way, delivery, parcels, tries, false, tally, refusals).await;
                if sent.is_ok() {
                    self.no_traces(way, &failure);
                }
                sent
            }
            sent => sent,
        }
    }

    /// Renders and sends the records once, with where they come from if they are to be `traced`.
    #[expect(clippy::too_many_arguments, reason = "the parts of one attempt")]
    async fn send(
        &self,
        way: &Way,
        delivery: &Delivery,
        parcels: &[Parcel],
        tries: u32,
        traced: bool,
        tally: &mut Tally,
        refusals: &mut Refusals,
    ) -> Result<Vec<(RecordId, RecordId, Stage, String)>, Stop> {
        let site = &way.site;
        let mut entries: Vec<Entry> = Vec::new();
        for parcel in parcels {
            let rendered = parcel.entries(site);
            let provenance = traced.then(|| fhir::provenance(&parcel.record, site, &rendered));
            entries.extend(rendered.into_iter().chain(provenance));
        }
        let mut attempt = Attempt::new(items(&entries), tries);
        let mut nth = 0;
        loop {
            match attempt.step() {
                Step::Send(group) => {
                    nth += 1;
                    let request = format!("{}.{}.{nth}", delivery.capture, delivery.id.0);
                    let bundle = fhir::bundle(group.iter().map(|n| &entries[*n]));
                    let sent = way.endpoint.post(&bundle, &request).await;
                    let (answer, bytes) = match sent {
                        Ok(sent) => sent,
                        Err(failure) => return Err(retry(Class::from(failure), failure.code().to_owned())),
                    };
                    tally.bytes += bytes;
                    tally.digest = digest(&SHA256, &bundle).as_ref().try_into().ok();
                    tally.answer = answer.status.to_string();
                    let answered = fhir::parse_answer(&answer.body);
                    if (200..300).contains(&answer.status) && !answered.is_response {
                        // Nobody has taken anything.
                        return Err(retry(Class::Misconfigured, NO_ANSWER.to_owned()));
                    }
                    if let Some(step) = self.take(&mut attempt, &answer, &answered, &group, &entries) {
                        let failure = format!("HTTP {}", answer.status);
                        return Err(match step {
                            Step::RetryDestination { class: Class::Misconfigured, .. } => {
                                Stop::NotAllowed(failure)
                            }
                            Step::RetryDestination { class, .. } => retry(class, failure),
                            _ => Stop::Retry(Ended::Lane, failure),
                        });
                    }
                }
                Step::Done => break,
                Step::RetryDestination { class, .. } => return Err(retry(class, "again".to_owned())),
                Step::RetryLane => return Err(Stop::Retry(Ended::Lane, "again".to_owned())),
            }
        }
        self.note_traces(way, &entries, attempt.ends());
        Ok(self.account(&entries, attempt.ends(), parcels, tally, refusals))
    }

    /// Hands an answer to the machine.
    fn take(
        &self,
        attempt: &mut Attempt,
        answer: &Answer,
        answered: &Answered,
        group: &[usize],
        entries: &[Entry],
    ) -> Option<Step> {
        let (class, reason) = self.class_of(answer, answered);
        let each = class == Class::Done
            && answered.entries.iter().any(|entry| entry.status.is_some_and(|s| s >= 300));
        if class == Class::Done
            && !answered.entries.is_empty()
            && (each || answered.entries.len() < group.len())
        {
            let after = self.retry_after(answer);
            let trace = |at: usize| group.get(at).and_then(|n| entries.get(*n)).is_some_and(Entry::is_trace);
            let answers: Vec<(Class, String)> = answered
                .entries
                .iter()
                .enumerate()
                .map(|(at, entry)| {
                    let codes =
                        entry.issues.iter().filter(|issue| issue.is_error).map(|issue| issue.code.as_str());
                    // A server that gives an entry no status says nothing about it.
                    let status = entry.status.unwrap_or(503);
                    let class = match classify(status, codes, after) {
                        // Nobody waits for what only says where the rest comes from.
                        Class::Misconfigured | Class::Bounded if trace(at) => Class::Permanent,
                        class => class,
                    };
                    (class, refusal(status, &entry.issues))
                })
                .collect();
            return attempt.answered_each(&answers);
        }
        attempt.answered(class, &reason)
    }

    /// A destination that refuses a Provenance though it has all that it is about is sent none from then on: every
    /// delivery would be halved to find out the same again. Everything else goes on as it was.
    fn note_traces(&self, way: &Way, entries: &[Entry], ends: &[Option<EntryEnd>]) {
        let all = entries.iter().zip(ends).filter(|(entry, _)| !entry.is_trace());
        let rest_taken = all.clone().all(|(_, end)| *end == Some(EntryEnd::Delivered));
        let refused = entries.iter().zip(ends).find_map(|(entry, end)| match end {
            Some(EntryEnd::Dead(reason)) if entry.is_trace() => Some(reason),
            _ => None,
        });
        if let Some(reason) = refused.filter(|_| rest_taken) {
            self.no_traces(way, reason);
        }
    }

    fn no_traces(&self, way: &Way, reason: &str) {
        if self.traced.swap(false, Ordering::Relaxed) {
            log::warn!(
                "destination {}: Provenance is refused ({reason}) and not sent until the next start; \
                 meta.source and meta.tag still say where each resource comes from",
                way.name
            );
        }
    }

    /// Notes what was taken and what was refused.
    fn account(
        &self,
        entries: &[Entry],
        ends: &[Option<EntryEnd>],
        parcels: &[Parcel],
        tally: &mut Tally,
        refusals: &mut Refusals,
    ) -> Vec<(RecordId, RecordId, Stage, String)> {
        let mut reduced = Vec::new();
        // Nothing hangs on what only says where the rest comes from.
        for (entry, end) in entries.iter().zip(ends).filter(|(entry, _)| !entry.is_trace()) {
            let parcel = parcels.iter().find(|parcel| parcel.record.id == entry.record);
            match end {
                Some(EntryEnd::Delivered) => {
                    tally.resources += 1;
                    if let Some(parcel) = parcel.filter(|_| !entry.is_part) {
                        tally.sent.retain(|sent| sent.record != entry.record);
                        tally.sent.push(Sent {
                            record: entry.record,
                            position: parcel.record.position,
                            maps: parcel.maps.clone(),
                        });
                        self.know(entry.record);
                    }
                }
                Some(EntryEnd::Dead(reason)) if entry.is_part => {
                    let before = parcel.and_then(|parcel| parcel.refused.get(&entry.id));
                    // Only results can do without their value.
                    let can_reduce = before.is_none() && entry.kind == "Observation";
                    let stage = if can_reduce { Stage::WithoutValue } else { Stage::LeftOut };
                    reduced.push((entry.record, entry.id, stage, reason.clone()));
                    // A result of another report may have it as its member.
                    let others: BTreeSet<RecordId> = entries
                        .iter()
                        .filter(|other| other.record != entry.record && other.names.contains(&entry.id))
                        .map(|other| other.record)
                        .collect();
                    reduced.extend(others.into_iter().map(|other| (other, entry.id, stage, reason.clone())));
                }
                Some(EntryEnd::Dead(reason)) if entry.kind == fhir::main_type(RecordKind::Attachment) => {
                    // Whatever refers to it goes without it and says so.
                    let without = parcels.iter().filter(|parcel| {
                        parcel.record.body.attachments().any(|attachment| attachment == entry.id)
                    });
                    reduced.extend(without.map(|parcel| {
                        (parcel.record.id, entry.id, Stage::LeftOut, format!("{}:{reason}", entry.kind))
                    }));
                }
                Some(EntryEnd::Dead(reason)) => {
                    refusals.ground |= entry.kind == "Patient";
                    refusals.main.get_or_insert_with(|| format!("{}:{reason}", entry.kind));
                }
                // It is written anew without what was refused, and goes in the next round.
                Some(EntryEnd::Stale) => {}
                Some(EntryEnd::Held) | None => {
                    refusals.main.get_or_insert_with(|| "held".to_owned());
                }
            }
        }
        // Nothing can be mended by reducing parts of what is dead as a whole.
        if refusals.main.is_some() { Vec::new() } else { reduced }
    }

    fn class_of(&self, answer: &Answer, answered: &Answered) -> (Class, String) {
        let codes = answered.issues.iter().filter(|issue| issue.is_error).map(|issue| issue.code.as_str());
        let class = classify(answer.status, codes, self.retry_after(answer));
        (class, refusal(answer.status, &answered.issues))
    }

    fn retry_after(&self, answer: &Answer) -> Option<std::time::Duration> {
        answer.retry_after.as_deref().and_then(|value| retry_after(value, (self.clock)()))
    }
}

/// The records of a delivery, and before them what they need and the destination has never had.
fn parcels(
    read: &Read<'_>,
    destination: u16,
    delivery: &Delivery,
    takes_orders: bool,
) -> Result<Vec<Parcel>, StateError> {
    let mut parcels: Vec<Parcel> = Vec::with_capacity(delivery.refs.len() + 2);
    for RecordRef { record, .. } in &delivery.refs {
        parcels.extend(parcel(read, destination, *record, false)?);
    }
    if !takes_orders {
        // What it is not to have it cannot be referred to by id; the order's number remains.
        parcels.iter_mut().for_each(|parcel| parcel.record.body.forget_order());
    }
    let needed: BTreeSet<RecordId> = parcels.iter().flat_map(needs).collect();
    for record in needed {
        if parcels.iter().all(|parcel| parcel.record.id != record)
            && read.sent_position(destination, record)?.is_none()
        {
            parcels.extend(parcel(read, destination, record, true)?);
        }
    }
    let contents = attachments(read, destination, &mut parcels)?;
    parcels.extend(contents);
    in_order(&mut parcels);
    Ok(parcels)
}

/// What a record speaks of: its person and those linked to it, its visit, its order.
fn needs(parcel: &Parcel) -> impl Iterator<Item = RecordId> {
    let owner = [Some(parcel.record.person.into()), parcel.record.encounter].into_iter().flatten();
    owner.chain(parcel.record.body.linked().map(RecordId::from)).chain(parcel.record.body.order())
}

/// What others speak of goes first.
fn in_order(parcels: &mut [Parcel]) {
    parcels.sort_by_key(|parcel| match parcel.record.body.kind() {
        RecordKind::Person => 0,
        RecordKind::Encounter => 1,
        RecordKind::Attachment => 2,
        RecordKind::Diagnosis | RecordKind::Order => 3,
        RecordKind::LabReport | RecordKind::Appointment | RecordKind::Immunization => 4,
    });
}

/// What each entry cannot be without, and what it speaks of.
fn items(entries: &[Entry]) -> Vec<Item> {
    let places: HashMap<RecordId, usize> = entries.iter().enumerate().map(|(n, e)| (e.id, n)).collect();
    let earlier = |ids: &[RecordId], before: usize| {
        ids.iter().filter_map(|id| places.get(id).copied()).filter(|place| *place < before).collect()
    };
    let item = |(n, entry): (usize, &Entry)| Item {
        depends_on: earlier(&entry.depends_on, n),
        names: earlier(&entry.names, n),
    };
    entries.iter().enumerate().map(item).collect()
}

/// The contents of the documents of `parcels` that the destination has never had. What it refused before is not sent again
/// with every state of the record; what is no longer held counts as refused.
fn attachments(read: &Read<'_>, destination: u16, parcels: &mut [Parcel]) -> Result<Vec<Parcel>, StateError> {
    let mut found: Vec<Parcel> = Vec::new();
    for of in parcels {
        let wanted: Vec<RecordId> = of.record.body.attachments().collect();
        for id in wanted {
            if of.refused.contains_key(&id)
                || found.iter().any(|parcel| parcel.record.id == id)
                || read.sent_position(destination, id)?.is_some()
            {
                continue;
            }
            match parcel(read, destination, id, true)? {
                Some(mut parcel) => {
                    // Whoever it came under, it belongs to whom the record does now.
                    parcel.record.person = of.record.person;
                    found.push(parcel);
                }
                None => of.do_without(id, "gone"),
            }
        }
    }
    Ok(found)
}

fn parcel(
    read: &Read<'_>,
    destination: u16,
    id: RecordId,
    ground: bool,
) -> Result<Option<Parcel>, StateError> {
    let Some(record) = crate::refine::held_record(read, id)? else { return Ok(None) };
    let sent = read.sent_position(destination, id)?;
    let mut dead = read.dead_resources(destination, id)?;
    // Another value of a result is another question; a document is the same whenever it comes.
    let same_state = sent == Some(record.position);
    dead.retain(|dead| {
        same_state || record.body.attachments().any(|content| *content.as_bytes() == dead.resource)
    });
    let refused =
        dead.iter().filter_map(|d| Some((RecordId::from_bytes(d.resource), Stage::from_u8(d.stage)?)));
    let (refused, maps) = (refused.collect(), String::new());
    Ok(Some(Parcel { refused, record, dead, sent, maps, ground, there: None }))
}

impl Parcel {
    /// Whether it is a report that goes on from one whose content is no longer held here.
    fn continues(&self) -> bool {
        self.record.body.kind() == RecordKind::LabReport && self.record.marks.contains(&Mark::Continued)
    }

    /// The resources that carry it. A report that goes on keeps the results that it has at the destination; where they could not
    /// be read back it goes as partial.
    fn entries(&self, site: &fhir::Site) -> Vec<Entry> {
        if let Some(there) = self.there.as_ref().filter(|_| self.continues()) {
            let mut whole = self.record.clone();
            whole.marks.retain(|mark| *mark != Mark::Continued);
            let mut entries = fhir::record(&whole, site, &self.refused);
            if entries.iter_mut().find(|entry| !entry.is_part).is_some_and(|main| fhir::rejoin(main, there)) {
                return entries;
            }
        }
        fhir::record(&self.record, site, &self.refused)
    }

    /// Sends the record without one of its documents.
    fn do_without(&mut self, content: RecordId, reason: &str) {
        let (record, resource) = (self.record.id, *content.as_bytes());
        let (stage, reason) = (Stage::LeftOut as u8, reason.to_owned());
        self.dead.push(DeadResource { record, resource, reason, stage });
        self.refused.insert(content, Stage::LeftOut);
    }
}

fn capture_of(position: Position) -> CaptureId {
    position.capture
}

/// A refusal as a code: the status, and the code of the first issue. What the server says in words stays there.
fn refusal(status: u16, issues: &[fhir::Issue]) -> String {
    let known = |code: &str| code.len() <= 32 && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    match issues.iter().find(|issue| issue.is_error && known(&issue.code)) {
        Some(issue) => format!("{status}-{}", issue.code),
        None => status.to_string(),
    }
}
