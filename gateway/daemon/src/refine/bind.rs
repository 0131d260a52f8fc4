//! Business numbers to ids, with the person and the date that a number is bound to (contract 3).

use buffer::{Binding, Ring, StateError, Tx};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use model::{Body, IdKey, Number, PersonId, RecordId};

use super::{held, person};

/// Margin added to the scope of a number before its binding is forgotten.
const MARGIN_DAYS: i32 = 92;

/// What a number comes to for one person and event date.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// The number is free or bound to the same person and date.
    Agrees(Meaning),
    /// It is bound to what was moved from the person to this one (A44, A45), and the date agrees.
    Moved(Meaning, PersonId),
    /// It is bound to somebody else or to another date.
    Conflict,
    /// Its scope needs a date and there is none.
    Unscoped,
}

/// What a number is bound to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Meaning {
    /// What ids are made from.
    pub(crate) parts: Vec<String>,
    /// The record that it led to first, or leads to since a visit got another number; none where it is free.
    pub(crate) record: Option<RecordId>,
}

/// Looks `number` up for `person`, who is meant by way of `under`; it is counted in the period of `counted`. An operator's
/// release bound it a second time, to this person and date: that binding comes first.
pub(crate) fn look_up(
    tx: &Tx<'_>,
    ring: &Ring,
    number: &Number,
    (person, under): (PersonId, PersonId),
    counted: Option<Date>,
    date: Option<Date>,
) -> Result<Bound, StateError> {
    let Some(parts) = number.parts(counted) else { return Ok(Bound::Unscoped) };
    let parts = parts.to_vec();
    for id in [under, person] {
        let released = released(&parts, id, date);
        if let Some(binding) = tx.binding(blind(ring, &released))? {
            return Ok(Bound::Agrees(Meaning { parts: released, record: Some(binding.record) }));
        }
        if under == person {
            break;
        }
    }
    let Some(binding) = tx.binding(blind(ring, &parts))? else {
        return Ok(Bound::Agrees(Meaning { parts, record: None }));
    };
    // An absent date agrees: many messages about an order carry none.
    let dates_agree = match (binding.date, date) {
        (Some(bound), Some(date)) => bound == date,
        _ => true,
    };
    let meaning = Meaning { parts, record: Some(binding.record) };
    Ok(match owner(tx, &binding)? {
        _ if !dates_agree => Bound::Conflict,
        Some(owner) if owner != person => match has_left(tx, binding.record, &[person, under])? {
            true => Bound::Moved(meaning, owner),
            false => Bound::Conflict,
        },
        _ => Bound::Agrees(meaning),
    })
}

/// What the number that `parts` stand for is bound to.
pub(crate) fn meaning(tx: &Tx<'_>, ring: &Ring, parts: &[String]) -> Result<Option<Binding>, StateError> {
    tx.binding(blind(ring, parts))
}

/// Whose a number is today: whoever has the record that it led to, else for whom it was bound.
pub(crate) fn owner(tx: &Tx<'_>, binding: &Binding) -> Result<Option<PersonId>, StateError> {
    let owner = tx.owner_of(binding.record)?.or(binding.person);
    owner.map(|person| person::survivor(tx, person)).transpose()
}

/// Whether a record, or the visit that it belongs to, was moved away from one of `persons`.
fn has_left(tx: &Tx<'_>, record: RecordId, persons: &[PersonId]) -> Result<bool, StateError> {
    let Some(record) = held::record(tx, record)? else { return Ok(false) };
    let body = match record.encounter {
        Some(visit) => held::record(tx, visit)?.map(|visit| visit.body),
        None => Some(record.body),
    };
    let Some(Body::Encounter(visit)) = body else { return Ok(false) };
    Ok(visit.moved_from.iter().any(|person| persons.contains(person)))
}

/// Lets the number that `parts` stand for lead to a record of a person from now on.
#[expect(clippy::too_many_arguments, reason = "the parts of one binding")]
pub(crate) fn lead(
    tx: &mut Tx<'_>,
    ring: &Ring,
    number: &Number,
    parts: &[String],
    record: RecordId,
    person: PersonId,
    date: Option<Date>,
    now: Timestamp,
) -> Result<(), StateError> {
    let number = Binding {
        number: blind(ring, parts),
        record,
        person: Some(person),
        date,
        expires: expiry(number, date, now),
    };
    tx.bind(&number)
}

/// The day in whose period a number of a message without a date of its own is counted: the period of `day`, or the one
/// before where the number is bound only there (a stay that began last year).
pub(crate) fn counted(tx: &Tx<'_>, ring: &Ring, number: &Number, day: Date) -> Result<Date, StateError> {
    let before = match number.scope {
        model::Scope::Global => return Ok(day),
        model::Scope::Year => day.first_of_year().yesterday(),
        model::Scope::Day | model::Scope::InstrumentDay => day.yesterday(),
    };
    let Ok(before) = before else { return Ok(day) };
    let bound = |day| {
        let parts = number.parts(Some(day)).unwrap_or_default();
        Ok::<_, StateError>(tx.binding(blind(ring, &parts))?.is_some())
    };
    Ok(if !bound(day)? && bound(before)? { before } else { day })
}

/// Binds the number that `parts` stand for, if it is not bound yet or was bound without a date. Gives the record that it is
/// bound to.
#[expect(clippy::too_many_arguments, reason = "the parts of one binding")]
pub(crate) fn bind(
    tx: &mut Tx<'_>,
    ring: &Ring,
    number: &Number,
    parts: &[String],
    record: RecordId,
    person: PersonId,
    date: Option<Date>,
    now: Timestamp,
) -> Result<RecordId, StateError> {
    let blinded = blind(ring, parts);
    let bound = tx.binding(blinded)?;
    if let Some(bound) = bound.filter(|bound| bound.date.is_some() || date.is_none()) {
        return Ok(bound.record);
    }
    tx.bind(&Binding {
        number: blinded,
        record,
        // Whose it was first, it stays: by that an unmerge leaves every number with its own person.
        person: bound.and_then(|bound| bound.person).or(Some(person)),
        date,
        expires: expiry(number, date, now),
    })?;
    Ok(record)
}

/// What a record has to do with a number that it is not bound to.
#[derive(Clone, Copy)]
pub(crate) enum Role {
    /// Another report of the same order.
    Sibling,
    /// A report that was made for a result of this order.
    Child,
}

/// Records that are noted with one number in one role at most.
const NOTED: usize = 64;

/// Notes that `record` has to do with a number.
#[expect(clippy::too_many_arguments, reason = "the parts of one binding")]
pub(crate) fn note(
    tx: &mut Tx<'_>,
    ring: &Ring,
    number: &Number,
    parts: &[String],
    role: Role,
    record: RecordId,
    person: PersonId,
    date: Option<Date>,
    now: Timestamp,
) -> Result<(), StateError> {
    for n in 0..NOTED {
        let place = noted_at(ring, parts, role, n);
        match tx.binding(place)? {
            Some(held) if held.record == record => return Ok(()),
            Some(_) => {}
            None => {
                let expires = expiry(number, date, now);
                return tx.bind(&Binding { number: place, record, person: Some(person), date, expires });
            }
        }
    }
    Ok(())
}

/// The records that were noted with a number.
pub(crate) fn noted(
    tx: &Tx<'_>,
    ring: &Ring,
    parts: &[String],
    role: Role,
) -> Result<Vec<RecordId>, StateError> {
    let mut found = Vec::new();
    while found.len() < NOTED
        && let Some(held) = tx.binding(noted_at(ring, parts, role, found.len()))?
    {
        found.push(held.record);
    }
    Ok(found)
}

/// The reports of an order: the one that its number is bound to, and its siblings.
pub(crate) fn reports(tx: &Tx<'_>, ring: &Ring, parts: &[String]) -> Result<Vec<RecordId>, StateError> {
    let Some(first) = tx.binding(blind(ring, parts))? else { return Ok(Vec::new()) };
    let mut found = vec![first.record];
    found.extend(noted(tx, ring, parts, Role::Sibling)?);
    Ok(found)
}

fn noted_at(ring: &Ring, parts: &[String], role: Role, n: usize) -> [u8; 16] {
    let role = match role {
        Role::Sibling => "sibling",
        Role::Child => "child",
    };
    blind(ring, &[parts, &[role.to_owned(), n.to_string()]].concat())
}

/// The record of `kind` that a number leads to.
pub(crate) fn meeting(
    tx: &Tx<'_>,
    ring: &Ring,
    kind: &str,
    parts: &[String],
) -> Result<Option<RecordId>, StateError> {
    Ok(tx.binding(blind(ring, &place(kind, parts)))?.map(|binding| binding.record))
}

/// Lets a number lead to a record of `kind`.
#[expect(clippy::too_many_arguments, reason = "the parts of one binding")]
pub(crate) fn meet(
    tx: &mut Tx<'_>,
    ring: &Ring,
    kind: &str,
    number: &Number,
    parts: &[String],
    record: RecordId,
    person: PersonId,
    date: Option<Date>,
    now: Timestamp,
) -> Result<(), StateError> {
    let blinded = blind(ring, &place(kind, parts));
    if tx.binding(blinded)?.is_some_and(|held| held.record == record) {
        return Ok(());
    }
    let expires = expiry(number, date, now);
    tx.bind(&Binding { number: blinded, record, person: Some(person), date: None, expires })
}

/// Where those meet who speak of a thing of `kind` by one of its numbers.
fn place(kind: &str, parts: &[String]) -> Vec<String> {
    parts.iter().cloned().chain([format!("meet:{kind}")]).collect()
}

/// The parts of a number that an operator released for this person and date.
pub(crate) fn released(parts: &[String], person: PersonId, date: Option<Date>) -> Vec<String> {
    let mut parts = parts.to_vec();
    parts.push(person.to_string());
    parts.push(date.map(|date| date.to_string()).unwrap_or_default());
    parts
}

/// The id of the record of `kind` that `parts` stand for.
pub(crate) fn id(key: &IdKey, kind: &str, parts: &[String], more: &[&str]) -> RecordId {
    let all: Vec<&str> = parts.iter().map(String::as_str).chain(more.iter().copied()).collect();
    key.id(kind, &all)
}

fn blind(ring: &Ring, parts: &[String]) -> [u8; 16] {
    // A unit separator stands in no number of any protocol.
    ring.blind("binding", parts.join("\u{1f}").as_bytes())
}

/// When the binding may be forgotten: its scope and a margin later. A number of global scope never.
fn expiry(number: &Number, date: Option<Date>, now: Timestamp) -> Option<Timestamp> {
    let today = now.to_zoned_datetime(TimeZone::UTC).date();
    let last = match number.scope {
        model::Scope::Global => return None,
        model::Scope::Year => date.unwrap_or(today).last_of_year(),
        model::Scope::Day | model::Scope::InstrumentDay => date.unwrap_or(today),
    };
    let end = last.max(today).saturating_add(Span::new().days(MARGIN_DAYS));
    end.to_zoned_datetime(TimeZone::UTC).ok().map(|end| end.timestamp())
}
