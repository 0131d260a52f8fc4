//! One capture's effects, in one transaction of the state owner.

use buffer::{
    Conflict, Delivery, DeliveryFilter, DeliveryId, DeliveryState, Exception, MAX_ROWS, NewDelivery, Outcome,
    RecordRef, Settled, SettledAs, StateError, Tx,
};
use feed::{CaptureId, FeedName, Form};
use interpret::{Interpretation, Reason};
use jiff::Timestamp;
use model::{Authority, Change, Doubt, Identifier, PersonId, Position, Provenance};

use super::identity::{self, Resolved};
use super::person;
use super::prepare::{Marker, Prepared, Reading};
use super::records::{Applier, Effects, Stop};
use super::rules::{DestinationRules, FeedRules, Rules};

/// Why a delivery was not sent: its destination is only observed.
const DESTINATION_OBSERVE: &str = "destination-observe";

/// Why a capture is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It is its turn.
    Arrived,
    /// An operator replays it.
    Replayed,
    /// An operator released it from an id conflict.
    Released,
}

/// Applies the effects of one capture. The caller moves the cursor in the same transaction.
pub(crate) fn capture(
    tx: &mut Tx<'_>,
    rules: &Rules,
    item: Prepared,
    cause: Cause,
) -> Result<(), StateError> {
    let Prepared { reading, marker: item, owed: _ } = item;
    if cause != Cause::Arrived {
        tx.clear_exception(item.id, item.received)?;
    }
    let feed = rules.feeds.get(&item.feed);
    let interpretation = match reading {
        Reading::Broken(Form::Junk) => return quarantine(tx, &item, Reason::Junk),
        Reading::Broken(Form::Damaged) => return damaged(tx, &item),
        Reading::Broken(_) => return quarantine(tx, &item, Reason::BrokenFrame),
        Reading::NoSuchFeed => return quarantine(tx, &item, Reason::NoSuchFeed),
        Reading::Unreadable(reason) => return quarantine(tx, &item, reason),
        Reading::Read(interpretation, _) => interpretation,
    };
    let Some(feed) = feed else { return quarantine(tx, &item, Reason::NoSuchFeed) };
    if cause == Cause::Arrived && duplicate(tx, rules, &item)? {
        return Ok(());
    }
    match interpretation {
        Interpretation::Test { .. } => return except(tx, &item, Outcome::Test, "test", ""),
        Interpretation::NotInterpreted { trigger } => {
            except(tx, &item, Outcome::NotInterpreted, "trigger", &trigger)?;
        }
        Interpretation::Quarantine(reason) => quarantine(tx, &item, reason)?,
        Interpretation::Changes(changes) => changes_of(tx, rules, feed, &item, changes, cause)?,
    }
    if feed.live { forward(tx, rules, &item) } else { Ok(()) }
}

/// Queues the capture itself for who is sent captures, whatever was made of it here: test messages and duplicates alone
/// never leave. It goes in the lane of the person it names first.
///
/// A message that is read anew (sent again, replayed, released) was queued when it came first, and is not queued again.
fn forward(tx: &mut Tx<'_>, rules: &Rules, item: &Marker) -> Result<(), StateError> {
    if !rules.destinations.iter().any(|to| to.captures && to.takes(&item.feed)) {
        return Ok(());
    }
    let key = [b"forwarded:", item.control_id.as_deref().unwrap_or_default().as_bytes()].concat();
    let first = tx.seen(&item.feed, &key, item.content)?.unwrap_or(item.id);
    tx.see(&item.feed, &key, first, item.content)?;
    let queued = deliveries_of(tx, first)?;
    for destination in rules.destinations.iter().filter(|to| to.captures && to.takes(&item.feed)) {
        if let Some(delivery) = queued.iter().find(|delivery| delivery.destination == destination.number) {
            if was_kept(rules, delivery) {
                requeue(tx, delivery, item.received)?;
            }
            continue;
        }
        let person = identity::named(tx, &rules.id_key, &item.about)?;
        let detour = person.map(|person| tx.detour(person, destination.number)).transpose()?.flatten();
        let lane = match (&detour, person) {
            (Some(key), _) => key.lane,
            (None, Some(person)) => *person.as_bytes(),
            // About nobody: nothing waits for it, and it waits for nothing.
            (None, None) => i128::from(item.id.to_i64()).to_be_bytes(),
        };
        let id = tx.enqueue(&NewDelivery {
            destination: destination.number,
            class: 0,
            lane,
            capture: item.id,
            position: Position { event: item.received, capture: item.id, revision: rules.revision },
            refs: Vec::new(),
            at: item.received,
        })?;
        if let (Some(_), Some(person)) = (detour, person) {
            tx.put_detour(person, destination.number, lane, id)?;
        }
        if !destination.live {
            tx.settle(id, &unsent(SettledAs::Withheld, DESTINATION_OBSERVE, item.received))?;
        }
    }
    Ok(())
}

/// Its bytes are gone: somebody has to hear of that.
fn damaged(tx: &mut Tx<'_>, item: &Marker) -> Result<(), StateError> {
    let detail = item.id.to_string();
    tx.raise_alarm(&format!("damaged:{}", item.id), "capture-damaged", detail.as_bytes(), item.received)?;
    quarantine(tx, item, Reason::Damaged)
}

/// Whether the sender sent the very same message before, and that one did what it could: then this one does nothing. What
/// of the first is dead, or was kept back by a destination that is live by now, is sent again. One that came to nothing (held
/// in quarantine, only observed, not understood) becomes the duplicate of this one, which is read by the rules of today: a
/// sender's feed is rerun by sending it again.
fn duplicate(tx: &mut Tx<'_>, rules: &Rules, item: &Marker) -> Result<bool, StateError> {
    let Some(control_id) = &item.control_id else { return Ok(false) };
    let seen = tx.seen(&item.feed, control_id.as_bytes(), item.content)?;
    let Some(first) = seen.filter(|first| *first != item.id) else {
        // The same number with other content is another message.
        tx.see(&item.feed, control_id.as_bytes(), item.id, item.content)?;
        return Ok(false);
    };
    if tx.exception(first)?.is_some_and(|first| came_to_nothing(&first.outcome)) {
        tx.clear_exception(first, item.received)?;
        let earlier = Marker { id: first, ..item.clone() };
        except(tx, &earlier, Outcome::Duplicate { of: item.id }, "sent-again", "")?;
        tx.see(&item.feed, control_id.as_bytes(), item.id, item.content)?;
        return Ok(false);
    }
    for delivery in deliveries_of(tx, first)? {
        if was_kept(rules, &delivery) {
            requeue(tx, &delivery, item.received)?;
        }
    }
    except(tx, item, Outcome::Duplicate { of: first }, "duplicate", "")?;
    Ok(true)
}

/// Whether a delivery is dead, or was kept back by a destination that is live by now.
fn was_kept(rules: &Rules, delivery: &Delivery) -> bool {
    let live = |number| rules.destinations.iter().any(|d| d.number == number && d.live);
    let kept_back = delivery.state == DeliveryState::Withheld && delivery.reason == DESTINATION_OBSERVE;
    delivery.state == DeliveryState::Dead || kept_back && live(delivery.destination)
}

/// Whether a capture that ended so has had no effect, and may have one when it is read again.
const fn came_to_nothing(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Quarantined | Outcome::Observed | Outcome::NotInterpreted | Outcome::Withheld)
}

/// What one group of a capture did.
struct Done {
    resolved: Resolved,
    effects: Effects,
}

/// Why a capture was not applied, and the group that is to blame.
struct Refusal {
    group: usize,
    stop: Stop,
}

impl From<StateError> for Refusal {
    fn from(error: StateError) -> Self {
        Self { group: 0, stop: Stop::State(error) }
    }
}

/// Applies the groups of a capture in their order, all or none.
fn changes_of(
    tx: &mut Tx<'_>,
    rules: &Rules,
    feed: &FeedRules,
    item: &Marker,
    changes: Vec<Change>,
    cause: Cause,
) -> Result<(), StateError> {
    let groups = changes.len();
    // What stops half way leaves nothing behind: the capture is quarantined as a whole.
    let applied = tx.part(|tx| {
        let numbered = changes.into_iter().zip(1..);
        let each = numbered.map(|(change, group)| {
            group_of(tx, rules, feed, item, change, cause).map_err(|stop| Refusal { group, stop })
        });
        let all = each.collect::<Result<Vec<Done>, Refusal>>()?;
        // What a feed that is only observed says must not change what others send: nothing of it stays.
        if feed.live { Ok(all) } else { Err(Refusal { group: 0, stop: Stop::Observed }) }
    });
    let all = match applied {
        Ok(all) => all,
        Err(Refusal { stop: Stop::State(error), .. }) => return Err(error),
        Err(Refusal { stop: Stop::Observed, .. }) => {
            return except(tx, item, Outcome::Observed, "feed-observe", "");
        }
        Err(Refusal { stop: Stop::Quarantine(reason), .. }) if groups == 1 => {
            return quarantine(tx, item, reason);
        }
        Err(Refusal { stop: Stop::Quarantine(reason), group }) => {
            let detail = format!("group {group} of {groups}: {reason}");
            return except(tx, item, Outcome::Quarantined, reason.code(), &detail);
        }
    };
    for Done { resolved, effects } in &all {
        for (identifier, doubt, other) in &resolved.doubts {
            conflict(tx, (item.id, item.received), resolved.id, identifier, *doubt, *other)?;
        }
        if let Some(number) = &resolved.came_with {
            for other in &effects.alike {
                let place = (item.id, item.received);
                conflict(tx, place, resolved.id, number, Doubt::PossibleDuplicate, Some(*other))?;
            }
        }
    }
    if all.iter().any(|done| done.effects.withdrawn) {
        tx.raise_alarm(
            &format!("withdrawn:{}", item.id),
            "result-withdrawn",
            item.id.to_string().as_bytes(),
            item.received,
        )?;
        tx.count("withdrawn", item.feed.as_str(), 1)?;
    }
    let sending = Sending {
        feed: Some(item.feed.clone()),
        capture: item.id,
        // What was decided afterwards stands behind everything that was refined meanwhile.
        after: if cause == Cause::Released { item.id.max(tx.cursor()?) } else { item.id },
        at: item.received,
    };
    let mut sent_anywhere = false;
    for Done { resolved, effects } in &all {
        // A later group may have merged this one's person.
        let person = person::survivor(tx, resolved.id)?;
        sent_anywhere |= enqueue(tx, rules, &sending, person, effects)?;
    }
    sent_anywhere |= rules.destinations.iter().any(|to| to.captures && to.takes(&item.feed));
    if !sent_anywhere {
        return except(tx, item, Outcome::Withheld, "no-destination-takes-it", "");
    }
    Ok(())
}

/// Applies one group.
fn group_of(
    tx: &mut Tx<'_>,
    rules: &Rules,
    feed: &FeedRules,
    item: &Marker,
    change: Change,
    cause: Cause,
) -> Result<Done, Stop> {
    let provenance = provenance(item, &change);
    let identity_feed = feed.may(Authority::Identity);
    let resolved = identity::resolve(tx, &rules.id_key, &change, identity_feed)?;
    let resolved = resolved.ok_or(Stop::Quarantine(Reason::NoIdentity))?;
    let released = cause == Cause::Released;
    let (person, under) = (resolved.id, resolved.under);
    let mut applier = Applier { tx, rules, feed, person, under, provenance, released, moved_to: None };
    let effects = applier.apply(change, &resolved)?;
    Ok(Done { resolved, effects })
}

/// What deliveries belong to.
pub(crate) struct Sending {
    /// The feed that brought it; none where somebody decided something.
    pub(crate) feed: Option<FeedName>,
    /// The capture, or the last one before somebody decided something.
    pub(crate) capture: CaptureId,
    /// The last capture whose effects are in the records that are sent.
    pub(crate) after: CaptureId,
    /// When.
    pub(crate) at: Timestamp,
}

/// Records of one delivery; what concerns more goes in several, one after the other.
const RECORDS: usize = 64;

/// Deliveries for each destination, in the lane of `person`. What is older than what is held is not sent, and says so. Answers
/// whether any destination takes any of it.
pub(crate) fn enqueue(
    tx: &mut Tx<'_>,
    rules: &Rules,
    sending: &Sending,
    person: PersonId,
    effects: &Effects,
) -> Result<bool, StateError> {
    let mut sent_anywhere = false;
    // Whose merge is taken back goes behind what waits for who stood for it.
    let person = effects.parted.first().map_or(person, |(_, survivor)| *survivor);
    let takes = |to: &DestinationRules| sending.feed.as_ref().is_none_or(|feed| to.takes(feed));
    for destination in rules.destinations.iter().filter(|to| takes(to)) {
        let wanted: Vec<_> =
            effects.touched.iter().filter(|touched| destination.kinds.contains(&touched.kind)).collect();
        if wanted.is_empty() {
            continue;
        }
        let detour = tx.detour(person, destination.number)?;
        let lane = detour.map_or(*person.as_bytes(), |key| key.lane);
        for part in wanted.chunks(RECORDS) {
            let refs = part.iter().map(|t| RecordRef { kind: t.kind as u8, record: t.id }).collect();
            let position = Position { event: sending.at, capture: sending.after, revision: rules.revision };
            let id = tx.enqueue(&NewDelivery {
                destination: destination.number,
                class: 0,
                lane,
                capture: sending.capture,
                position,
                refs,
                at: sending.at,
            })?;
            if detour.is_some() {
                tx.put_detour(person, destination.number, lane, id)?;
            }
            for (parted, _) in &effects.parted {
                tx.put_detour(*parted, destination.number, lane, id)?;
            }
            if !destination.live {
                tx.settle(id, &unsent(SettledAs::Withheld, DESTINATION_OBSERVE, sending.at))?;
            } else if part.iter().all(|touched| !touched.current) {
                tx.settle(id, &unsent(SettledAs::Superseded, "older", sending.at))?;
            }
        }
        sent_anywhere = true;
    }
    Ok(sent_anywhere)
}

fn quarantine(tx: &mut Tx<'_>, item: &Marker, reason: Reason) -> Result<(), StateError> {
    except(tx, item, Outcome::Quarantined, reason.code(), &reason.to_string())
}

fn except(
    tx: &mut Tx<'_>,
    item: &Marker,
    outcome: Outcome,
    reason: &str,
    detail: &str,
) -> Result<(), StateError> {
    tx.except(&Exception {
        capture: item.id,
        feed: item.feed.clone(),
        outcome,
        reason: reason.to_owned(),
        detail: detail.as_bytes().to_vec(),
        at: item.received,
    })
}

/// Lists what somebody should look at, once: for each person, number and doubt, or for each pair that looks like one.
pub(crate) fn conflict(
    tx: &mut Tx<'_>,
    (capture, since): (CaptureId, Timestamp),
    person: PersonId,
    identifier: &Identifier,
    doubt: Doubt,
    other: Option<PersonId>,
) -> Result<(), StateError> {
    let number = serde_json::to_vec(&identifier.plain()).map_err(|_| StateError::Damaged("identifier"))?;
    let what = match other {
        Some(other) if doubt == Doubt::PossibleDuplicate => {
            [doubt.code().as_bytes(), person.min(other).as_bytes(), person.max(other).as_bytes()].concat()
        }
        _ => [person.as_bytes(), doubt.code().as_bytes(), &number].concat(),
    };
    let doubt = doubt.code().to_owned();
    tx.put_conflict(&Conflict { id: 0, person, doubt, number, other, capture, since }, &what)
}

/// The deliveries of a capture: one for each destination and person.
pub(crate) fn deliveries_of(tx: &Tx<'_>, capture: CaptureId) -> Result<Vec<Delivery>, StateError> {
    let all = DeliveryFilter {
        destination: None,
        state: None,
        capture: Some(capture),
        after: DeliveryId(0),
        limit: MAX_ROWS,
    };
    tx.deliveries(&all)
}

/// Lets a delivery wait again. What its destination held back for its sake goes on.
pub(crate) fn requeue(tx: &mut Tx<'_>, delivery: &Delivery, at: Timestamp) -> Result<(), StateError> {
    tx.requeue(delivery.id, at)?;
    tx.release_lane(&delivery.lane_key())?;
    Ok(())
}

/// Quarantines what could not be applied.
pub(crate) fn internal(tx: &mut Tx<'_>, item: &Marker) -> Result<(), StateError> {
    quarantine(tx, item, Reason::Internal)
}

fn unsent(state: SettledAs, reason: &str, at: Timestamp) -> Settled {
    Settled { state, reason: reason.to_owned(), at, receipt: None, sent: Vec::new(), dead: Vec::new() }
}

fn provenance(item: &Marker, change: &Change) -> Provenance {
    let trigger = &change.trigger;
    Provenance {
        capture: item.id,
        feed: item.feed.clone(),
        received: item.received,
        control_id: trigger.control_id.clone(),
        trigger: format!("{}^{}", trigger.code, trigger.event),
        facility: trigger.facility.clone(),
        application: trigger.application.clone(),
        event: change.event.clone(),
    }
}
