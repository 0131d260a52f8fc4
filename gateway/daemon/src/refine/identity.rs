//! The person index: who a change is about (contract 6). Runs on the state owner, in capture order.

use buffer::{Ident, StateError, Tx};
use jiff::{SignedDuration, Timestamp};
use model::{
    Change, Claim, Document, Doubt, Evidence, IdKey, Identifier, IdentifierKind, Number, PartialTime, Person,
    PersonChange, PersonId, ResidentId, Scope, Trust,
};

use super::person;

/// Who a change is about.
pub(crate) struct Resolved {
    /// The person.
    pub(crate) id: PersonId,
    /// The one that it came under: another one where that was merged into the person.
    pub(crate) under: PersonId,
    /// Numbers of the message and how far each may be trusted.
    pub(crate) identifiers: Vec<(Identifier, Trust)>,
    /// The identifier that the person was found or made under.
    pub(crate) came_with: Option<Identifier>,
    /// What somebody at the hospital should look at.
    pub(crate) doubts: Vec<(Identifier, Doubt, Option<PersonId>)>,
}

/// A child of less than so many years may be registered under a number of its mother,
const CHILD: i64 = 2;
/// who is older by at least so many.
const MOTHER: i64 = 10;

/// Finds or makes the person that `change` is about. None where it names nobody.
pub(crate) fn resolve(
    tx: &Tx<'_>,
    key: &IdKey,
    change: &Change,
    identity_feed: bool,
) -> Result<Option<Resolved>, StateError> {
    let person = &change.person;
    let at = change.event.as_ref().map(PartialTime::earliest);
    let mut doubts = Vec::new();
    let mut identifiers = Vec::new();
    let mut found: Option<(Holder, Identifier)> = None;

    // Numbers given by an authority are its own word. The health code is one too, but it is opaque here.
    for identifier in person.identifiers.iter().filter(|i| !i.is_judged()) {
        // One for the time being, or whose time was over, tells nothing about who this is.
        let ended = at.is_some_and(|at| identifier.valid.has_ended(at));
        if ended || matches!(identifier.kind, IdentifierKind::Temporary { .. }) {
            identifiers.push((identifier.clone(), Trust::Claimed));
            continue;
        }
        let holder = verified_holder(tx, identifier, at)?;
        if let Some(holder) = holder
            && is_child_of(tx, person, at, holder.person)?
        {
            doubts.push((identifier.clone(), Doubt::Newborn, Some(holder.person)));
            identifiers.push((identifier.clone(), Trust::Claimed));
            continue;
        }
        match (holder, &found) {
            (Some(holder), None) => found = Some((holder, identifier.plain())),
            (Some(holder), Some((first, _))) if holder.person != first.person => {
                doubts.push((identifier.clone(), Doubt::TwoPersons, Some(holder.person)));
                identifiers.push((identifier.clone(), Trust::Claimed));
                continue;
            }
            _ => {}
        }
        identifiers.push((identifier.clone(), Trust::Verified));
    }

    for identifier in person.identifiers.iter().filter(|i| i.is_judged()) {
        let by = found.as_ref().map(|(holder, _)| holder.person);
        let doubt = match judged(tx, identifier, person, by, identity_feed, at)? {
            Ok(holder) => {
                if found.is_none() {
                    found = holder.map(|holder| (holder, identifier.plain()));
                }
                identifiers.push((identifier.clone(), Trust::Verified));
                continue;
            }
            Err(doubt) => doubt,
        };
        identifiers.push((identifier.clone(), Trust::Claimed));
        doubts.push((identifier.clone(), doubt.0, doubt.1));
    }

    let is_verified = |(_, trust): &&(Identifier, Trust)| *trust == Trust::Verified;
    if found.is_none() && !identifiers.iter().any(|i| is_verified(&i)) && !is_told(&identifiers, person) {
        // Somebody who cannot say who he is: known by the visit, until a message of that visit says more.
        let Some(visit) = change.encounter.as_ref().and_then(|visit| visit_identifier(&visit.number)) else {
            return Ok(None);
        };
        found = verified_holder(tx, &visit, at)?.map(|holder| (holder, visit.clone()));
        identifiers.push((visit, Trust::Verified));
    }
    if let Some((Holder { person: id, under }, identifier)) = found {
        return Ok(Some(Resolved { id, under, identifiers, came_with: Some(identifier), doubts }));
    }
    if let Some((identifier, _)) = identifiers.iter().find(is_verified) {
        let (domain, value) = identifier.lookup();
        let id = key.person(&[&domain, value]);
        let came_with = Some(identifier.plain());
        return Ok(Some(Resolved { id, under: id, identifiers, came_with, doubts }));
    }
    // Only a claimed number: its person is told by everything that the message says, so that it never meets the holder.
    let Some(claimed) = identifiers.first().map(|(identifier, _)| identifier.plain()) else {
        return Ok(None);
    };
    let name = person.name.value().map(model::PersonName::folded).unwrap_or_default();
    let born = person.birth.value().map(PartialTime::to_date).unwrap_or_default();
    let mut parts = vec!["claimed", &claimed.value, &name, &born];
    parts.extend(person.birth_order.as_deref());
    let under = key.person(&parts);
    let id = person::survivor(tx, under)?;
    Ok(Some(Resolved { id, under, identifiers, came_with: Some(claimed), doubts }))
}

/// Whether numbers that prove nothing tell a person together with the name.
fn is_told(identifiers: &[(Identifier, Trust)], person: &PersonChange) -> bool {
    let named = person.name.value().is_some_and(|name| !name.is_empty()) && !person.unknown;
    // What is given to somebody else afterwards needs a birth date beside the name.
    let lasting = |(i, _): &(Identifier, Trust)| !matches!(i.kind, IdentifierKind::Temporary { .. });
    named && (identifiers.iter().any(lasting) || !identifiers.is_empty() && person.birth.value().is_some())
}

/// The number of a visit as one that its patient is known under, where it means one visit for ever.
pub(crate) fn visit_identifier(number: &Number) -> Option<Identifier> {
    let authority = format!("visit:{}", number.space);
    let kind = IdentifierKind::Assigned { authority, code: Some("VN".to_owned()) };
    (number.scope == Scope::Global).then(|| Identifier::new(kind, number.value.clone()))
}

/// Whether the message is about a small child, and `holder` is so much older that the number is the mother's.
fn is_child_of(
    tx: &Tx<'_>,
    person: &PersonChange,
    at: Option<Timestamp>,
    holder: PersonId,
) -> Result<bool, StateError> {
    let (Some(born), Some(at)) = (person.birth.value(), at) else { return Ok(false) };
    let years = |n: i64| SignedDuration::from_hours(n * 365 * 24);
    if at.duration_since(born.earliest()) > years(CHILD) {
        return Ok(false);
    }
    let held = person::held(tx, holder)?.and_then(|held| held.birth);
    Ok(held.is_some_and(|held| born.earliest().duration_since(held.latest()) > years(MOTHER)))
}

/// Who holds a number.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Holder {
    /// The person today.
    person: PersonId,
    /// Whom the number leads to; another one where that was merged into the person.
    under: PersonId,
}

/// The person that these numbers name: who holds one of them, else who would be made under the first.
pub(crate) fn named(
    tx: &Tx<'_>,
    key: &IdKey,
    numbers: &[Identifier],
) -> Result<Option<PersonId>, StateError> {
    // In the order in which `resolve` looks at them.
    let (residents, assigned): (Vec<_>, Vec<_>) =
        numbers.iter().partition(|number| number.kind == IdentifierKind::ResidentId);
    let mut all = assigned.into_iter().chain(residents);
    for number in all.clone() {
        if let Some(holder) = verified_holder(tx, number, None)? {
            return Ok(Some(holder.person));
        }
    }
    Ok(all.next().map(|number| {
        let (domain, value) = number.lookup();
        key.person(&[&domain, value])
    }))
}

/// The person that holds the number as verified at a time.
fn verified_holder(
    tx: &Tx<'_>,
    identifier: &Identifier,
    at: Option<Timestamp>,
) -> Result<Option<Holder>, StateError> {
    let (domain, value) = identifier.lookup();
    let idents = tx.idents(&domain, value)?;
    let holds = |ident: &Ident| {
        let ended = ident.ends.zip(at).is_some_and(|(ends, at)| ends < at);
        ident.trust == Trust::Verified as u8 && !ended
    };
    let verified = idents.into_iter().find(holds);
    let holder = |under| person::survivor(tx, under).map(|person| Holder { person, under });
    verified.map(|ident| holder(ident.person)).transpose()
}

type Judged = Result<Option<Holder>, (Doubt, Option<PersonId>)>;

/// Judges a resident ID number or that of a document. Ok with its holder, if it has one; Err with the doubt and whom it concerns.
fn judged(
    tx: &Tx<'_>,
    identifier: &Identifier,
    change: &PersonChange,
    found: Option<PersonId>,
    identity_feed: bool,
    at: Option<Timestamp>,
) -> Result<Judged, StateError> {
    let number = ResidentId::read(&identifier.value).ok();
    let telling = match &identifier.kind {
        IdentifierKind::Document { document, .. } if document.read(&identifier.value).is_none() => {
            return Ok(Err((Doubt::Malformed, None)));
        }
        IdentifierKind::Document { document: Document::ForeignResident, .. } => number.as_ref(),
        IdentifierKind::Document { .. } => None,
        _ if number.is_none() => return Ok(Err((Doubt::Malformed, None))),
        _ => number.as_ref(),
    };
    let number_holder = verified_holder(tx, identifier, at)?;
    let holder_id = number_holder.map(|holder| holder.person);
    let holder = holder_id.map(|id| person::held(tx, id)).transpose()?.flatten();
    // A feed may leave out the name of somebody it has identified before: then the held one speaks.
    let held = found.map(|id| person::held(tx, id)).transpose()?.flatten();
    let held_name = held.as_ref().and_then(|p| p.name.as_ref());
    let evidence = Evidence {
        number: telling,
        birth: change.birth.value().or_else(|| held.as_ref().and_then(|p| p.birth.as_ref())),
        sex: change.sex.value().copied().or_else(|| held.as_ref().and_then(|p| p.sex)),
        name: change.name.value().or(held_name),
        unknown: match change.name.value() {
            Some(_) => change.unknown,
            None => held.as_ref().is_some_and(|p| p.unknown),
        },
        holder: holder.as_ref(),
        identity_feed,
    };
    if let Claim::Claimed(doubt) = evidence.judge() {
        return Ok(Err((doubt, holder_id)));
    }
    match (found, holder_id) {
        (Some(found), Some(holder)) if found != holder => Ok(Err((Doubt::TwoPersons, Some(holder)))),
        (Some(found), None) => {
            let own = held.as_ref().and_then(Person::resident_id);
            let is_resident = identifier.kind == IdentifierKind::ResidentId;
            let other = is_resident && own.is_some_and(|own| own != identifier.value);
            Ok(if other { Err((Doubt::OtherNumber, Some(found))) } else { Ok(None) })
        }
        _ => Ok(Ok(number_holder)),
    }
}
