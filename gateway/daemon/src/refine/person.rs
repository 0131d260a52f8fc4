//! Persons as the index holds them, and which of them were found to be one.

use buffer::{Read, StateError};
use model::{Body, Person, PersonId, Record, RecordId, Trust};

use super::held;

/// What is held about a person.
pub(crate) fn held(read: &Read<'_>, id: PersonId) -> Result<Option<Person>, StateError> {
    Ok(record(read, id)?.map(|(_, person)| person))
}

/// What is held about a person, with the record that it stands in.
pub(crate) fn record(read: &Read<'_>, id: PersonId) -> Result<Option<(Record, Person)>, StateError> {
    let Some(record) = held::record(read, RecordId::from(id))? else { return Ok(None) };
    match &record.body {
        Body::Person(person) => {
            let person = (**person).clone();
            Ok(Some((record, person)))
        }
        _ => Err(StateError::Damaged("person")),
    }
}

/// Who stands for `id`: the person that it was found to be, or itself.
pub(crate) fn survivor(read: &Read<'_>, id: PersonId) -> Result<PersonId, StateError> {
    Ok(read.person_link(id)?.map_or(id, |link| link.survivor))
}

/// The persons that an identifier leads to, trusted as far as `least`; who was merged into somebody is found as that one.
///
/// # Errors
/// When the state fails.
pub fn holders(
    read: &Read<'_>,
    domain: &str,
    value: &str,
    least: Trust,
) -> Result<Vec<(PersonId, Person)>, StateError> {
    let mut found: Vec<(PersonId, Person)> = Vec::new();
    for ident in read.idents(domain, value)?.into_iter().filter(|ident| ident.trust >= least as u8) {
        let id = survivor(read, ident.person)?;
        if found.iter().all(|(known, _)| *known != id)
            && let Some(person) = held(read, id)?
        {
            found.push((id, person));
        }
    }
    Ok(found)
}
