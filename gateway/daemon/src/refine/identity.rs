//! The person index: who a change is about (contract 6). Runs on the state owner, in capture order.

use buffer::{StateError, Tx};
use model::{
    Claim, Doubt, Evidence, IdKey, Identifier, IdentifierKind, Person, PersonChange, PersonId, ResidentId,
    Trust,
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

/// Finds or makes the person that `change` is about. None where it names nobody.
pub(crate) fn resolve(
    tx: &Tx<'_>,
    key: &IdKey,
    change: &PersonChange,
    identity_feed: bool,
) -> Result<Option<Resolved>, StateError> {
    let mut doubts = Vec::new();
    let mut identifiers = Vec::new();
    let mut found: Option<(Holder, Identifier)> = None;

    // Numbers given by an authority are its own word. The health code is one too, but it is opaque here.
    for identifier in change.identifiers.iter().filter(|i| i.kind != IdentifierKind::ResidentId) {
        let holder = verified_holder(tx, identifier)?;
        match (holder, &found) {
            (Some(holder), None) => found = Some((holder, identifier.clone())),
            (Some(holder), Some((first, _))) if holder.person != first.person => {
                doubts.push((identifier.clone(), Doubt::TwoPersons, Some(holder.person)));
                identifiers.push((identifier.clone(), Trust::Claimed));
                continue;
            }
            _ => {}
        }
        identifiers.push((identifier.clone(), Trust::Verified));
    }

    for identifier in change.identifiers.iter().filter(|i| i.kind == IdentifierKind::ResidentId) {
        let doubt = match resident(tx, identifier, change, found.as_ref().map(|f| f.0.person), identity_feed)?
        {
            Ok(holder) => {
                if found.is_none() {
                    found = holder.map(|holder| (holder, identifier.clone()));
                }
                identifiers.push((identifier.clone(), Trust::Verified));
                continue;
            }
            Err(doubt) => doubt,
        };
        identifiers.push((identifier.clone(), Trust::Claimed));
        doubts.push((identifier.clone(), doubt.0, doubt.1));
    }

    if let Some((Holder { person: id, under }, identifier)) = found {
        return Ok(Some(Resolved { id, under, identifiers, came_with: Some(identifier), doubts }));
    }
    let verified = identifiers.iter().find(|(_, trust)| *trust == Trust::Verified).map(|(i, _)| i.clone());
    if let Some(identifier) = verified {
        let (domain, value) = identifier.lookup();
        let id = key.person(&[&domain, value]);
        return Ok(Some(Resolved { id, under: id, identifiers, came_with: Some(identifier), doubts }));
    }
    // Only a claimed number: its person is told by everything that the message says, so that it never meets the holder.
    let Some((claimed, _)) = identifiers.first().cloned() else { return Ok(None) };
    let name = change.name.value().map(model::PersonName::folded).unwrap_or_default();
    let born = change.birth.value().map(model::PartialTime::to_date).unwrap_or_default();
    if name.is_empty() {
        return Ok(None);
    }
    let under = key.person(&["claimed", &claimed.value, &name, &born]);
    let id = person::survivor(tx, under)?;
    Ok(Some(Resolved { id, under, identifiers, came_with: Some(claimed), doubts }))
}

/// Who holds a number.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Holder {
    /// The person today.
    person: PersonId,
    /// Whom the number leads to; another one where that was merged into the person.
    under: PersonId,
}

/// The person that holds the number as verified.
fn verified_holder(tx: &Tx<'_>, identifier: &Identifier) -> Result<Option<Holder>, StateError> {
    let (domain, value) = identifier.lookup();
    let idents = tx.idents(&domain, value)?;
    let verified = idents.into_iter().find(|ident| ident.trust == Trust::Verified as u8);
    let holder = |under| person::survivor(tx, under).map(|person| Holder { person, under });
    verified.map(|ident| holder(ident.person)).transpose()
}

type Judged = Result<Option<Holder>, (Doubt, Option<PersonId>)>;

/// Judges a resident ID number. Ok with its holder, if it has one; Err with the doubt and whom it concerns.
fn resident(
    tx: &Tx<'_>,
    identifier: &Identifier,
    change: &PersonChange,
    found: Option<PersonId>,
    identity_feed: bool,
) -> Result<Judged, StateError> {
    let Ok(number) = ResidentId::read(&identifier.value) else {
        return Ok(Err((Doubt::Malformed, None)));
    };
    let number_holder = verified_holder(tx, identifier)?;
    let holder_id = number_holder.map(|holder| holder.person);
    let holder = holder_id.map(|id| person::held(tx, id)).transpose()?.flatten();
    // A feed may leave out the name of somebody it has identified before: then the held one speaks.
    let held = found.map(|id| person::held(tx, id)).transpose()?.flatten();
    let evidence = Evidence {
        number: &number,
        birth: change.birth.value().or_else(|| held.as_ref().and_then(|p| p.birth.as_ref())),
        sex: change.sex.value().copied().or_else(|| held.as_ref().and_then(|p| p.sex)),
        name: change.name.value().or_else(|| held.as_ref().and_then(|p| p.name.as_ref())),
        holder: holder.as_ref(),
        identity_feed,
    };
    if let Claim::Claimed(doubt) = evidence.judge() {
        return Ok(Err((doubt, holder_id)));
    }
    match (found, holder_id) {
        (Some(found), Some(holder)) if found != holder => Ok(Err((Doubt::TwoPersons, Some(holder)))),
        (Some(found), None) => {
            let other = held.as_ref().and_then(Person::resident_id).is_some_and(|own| own != number.as_str());
            Ok(if other { Err((Doubt::OtherNumber, Some(found))) } else { Ok(None) })
        }
        _ => Ok(Ok(number_holder)),
    }
}
