//! Persons as the index holds them, and which of them were found to be one.

use buffer::{Read, StateError};
use model::{Body, Person, PersonId, RecordId};

use super::held;

/// How many links are followed before the index counts as damaged. Links are flattened when they are made.
const LINKS: usize = 8;

/// What is held about a person.
pub(crate) fn held(read: &Read<'_>, id: PersonId) -> Result<Option<Person>, StateError> {
    let record = held::record(read, RecordId::from(id))?;
    Ok(record.and_then(|record| match record.body {
        Body::Person(person) => Some(person),
        _ => None,
    }))
}

/// The person that `id` was linked to, or itself.
pub(crate) fn survivor(read: &Read<'_>, mut id: PersonId) -> Result<PersonId, StateError> {
    for _ in 0..LINKS {
        let Some(link) = read.person(id)? else { return Ok(id) };
        let next: [u8; 16] = link.as_slice().try_into().map_err(|_| StateError::Damaged("person link"))?;
        id = PersonId::from_bytes(next);
    }
    Err(StateError::Damaged("person link"))
}
