//! One capture's effects, in one transaction of the state owner.

use buffer::{DeliveryState, Exception, NewDelivery, Outcome, RecordRef, Settled, StateError, Tx};
use feed::CaptureId;
use interpret::{Interpretation, Reason};
use model::{Authority, Change, Doubt, Identifier, PersonId, Position, Provenance};

use super::identity;
use super::prepare::{Prepared, Reading};
use super::records::{Applier, Effects, Stop};
use super::rules::{FeedRules, REVISION, Rules};

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
pub(crate) fn capture(tx: &mut Tx<'_>, rules: &Rules, item: Prepared, cause: Cause) -> Result<(), StateError> {
    if cause != Cause::Arrived {
        tx.clear_exception(item.id)?;
    }
    let feed = rules.feeds.get(&item.feed);
    let (change, proof) = match item.reading {
        Reading::Broken(feed::Form::Junk) => return quarantine(tx, &item, Reason::Junk),
        Reading::Broken(_) => return quarantine(tx, &item, Reason::BrokenFrame),
        Reading::NoSuchFeed => return quarantine(tx, &item, Reason::NoSuchFeed),
        Reading::Unreadable(ref reason) => {
            let reason = reason.clone();
            return quarantine(tx, &item, reason);
        }
        Reading::Read(ref interpretation, proof) => (interpretation.clone(), proof),
    };
    let Some(feed) = feed else { return quarantine(tx, &item, Reason::NoSuchFeed) };
    let _ = proof;
    if cause == Cause::Arrived && duplicate(tx, &item)? {
        return Ok(());
    }
    match change {
        Interpretation::Test { .. } => except(tx, &item, Outcome::Test, "test", ""),
        Interpretation::NotInterpreted { trigger } => {
            except(tx, &item, Outcome::NotInterpreted, "trigger", &trigger)
        }
        Interpretation::Quarantine(reason) => quarantine(tx, &item, reason),
        Interpretation::Change(change) => change_of(tx, rules, feed, &item, *change, cause),
    }
}

/// Whether the sender sent the very same message before. What was not delivered yet is tried again at once.
fn duplicate(tx: &mut Tx<'_>, item: &Prepared) -> Result<bool, StateError> {
    let Some(control_id) = &item.control_id else { return Ok(false) };
    let seen = tx.seen(&item.feed, control_id.as_bytes())?;
    let Some(first) = seen.filter(|seen| seen.content == item.content && seen.capture != item.id) else {
        // The same number with other content is another message.
        tx.see(&item.feed, control_id.as_bytes(), item.id, item.content)?;
        return Ok(false);
    };
    for delivery in tx.deliveries_of(first.capture)? {
        if delivery.state == DeliveryState::Dead {
            tx.requeue(delivery.id)?;
        }
    }
    except(tx, item, Outcome::Duplicate { of: first.capture }, "duplicate", "")?;
    Ok(true)
}

fn change_of(
    tx: &mut Tx<'_>,
    rules: &Rules,
    feed: &FeedRules,
    item: &Prepared,
    change: Change,
    cause: Cause,
) -> Result<(), StateError> {
    let provenance = provenance(item, &change);
    let identity_feed = feed.may(Authority::Identity);
    let Some(resolved) = identity::resolve(tx, &rules.id_key, &change.person, identity_feed)? else {
        return quarantine(tx, item, Reason::NoIdentity);
    };
    let released = cause == Cause::Released;
    // What stops half way leaves nothing behind: the capture is quarantined as a whole.
    let applied = tx.nested(|tx| {
        let applier = Applier { tx, rules, feed, person: resolved.id, provenance, released };
        match applier.apply(change, &resolved) {
            Ok(effects) => Ok(Ok(effects)),
            Err(Stop::Quarantine(reason)) => Ok(Err(reason)),
            Err(Stop::State(error)) => Err(error),
        }
    }, Result::is_ok)?;
    let effects = match applied {
        Ok(effects) => effects,
        Err(reason) => return quarantine(tx, item, reason),
    };
    for (identifier, doubt, other) in &resolved.doubts {
        conflict(tx, item.id, resolved.id, identifier, *doubt, *other)?;
    }
    if effects.withdrawn {
        tx.raise_alarm(&format!("withdrawn:{}", item.id), "result-withdrawn", &item.id.to_string())?;
        tx.count("withdrawn", item.feed.as_str(), 1)?;
    }
    if !feed.live {
        return except(tx, item, Outcome::Observed, "feed-observe", "");
    }
    enqueue(tx, rules, item, resolved.id, &effects)
}

/// One delivery per destination. What is older than what is held is not sent, and says so.
fn enqueue(
    tx: &mut Tx<'_>,
    rules: &Rules,
    item: &Prepared,
    person: PersonId,
    effects: &Effects,
) -> Result<(), StateError> {
    let mut sent_anywhere = false;
    for destination in &rules.destinations {
        let wanted = || effects.touched.iter().filter(|touched| destination.kinds.contains(&touched.kind));
        if wanted().next().is_none() {
            continue;
        }
        let refs = wanted().map(|touched| RecordRef { kind: touched.kind as u8, record: touched.id }).collect();
        let position = Position { event: item.received, capture: item.id, revision: REVISION };
        let id = tx.enqueue(&NewDelivery {
            destination: destination.number,
            class: 0,
            lane: *person.as_bytes(),
            capture: item.id,
            position,
            required: destination.live && destination.required,
            refs,
        })?;
        sent_anywhere = true;
        if !destination.live {
            tx.settle(id, &Settled::without_sending(DeliveryState::Withheld, "destination-observe", item.received))?;
        } else if wanted().all(|touched| !touched.current) {
            tx.settle(id, &Settled::without_sending(DeliveryState::Superseded, "older", item.received))?;
        }
    }
    if !sent_anywhere {
        return except(tx, item, Outcome::Withheld, "no-destination-takes-it", "");
    }
    Ok(())
}

fn quarantine(tx: &mut Tx<'_>, item: &Prepared, reason: Reason) -> Result<(), StateError> {
    except(tx, item, Outcome::Quarantined, reason.code(), &reason.to_string())
}

fn except(
    tx: &mut Tx<'_>,
    item: &Prepared,
    outcome: Outcome,
    reason: &str,
    detail: &str,
) -> Result<(), StateError> {
    tx.count(outcome.name(), item.feed.as_str(), 1)?;
    tx.except(&Exception {
        capture: item.id,
        feed: item.feed.clone(),
        outcome,
        reason: reason.to_owned(),
        detail: detail.as_bytes().to_vec(),
        at: item.received,
    })
}

/// Lists what somebody should look at: one entry per person, number and doubt, however often it is seen.
fn conflict(
    tx: &mut Tx<'_>,
    capture: CaptureId,
    person: PersonId,
    identifier: &Identifier,
    doubt: Doubt,
    other: Option<PersonId>,
) -> Result<(), StateError> {
    tx.put_conflict(&buffer::Conflict {
        person,
        doubt: doubt.code().to_owned(),
        number: serde_json::to_vec(identifier).map_err(|error| StateError::content("conflict", error))?,
        other,
        capture,
    })
}

fn provenance(item: &Prepared, change: &Change) -> Provenance {
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
