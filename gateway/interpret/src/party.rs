//! Who made or answers for results: XCN, XON, EI and the older spellings.

use hl7::{Field, Repetition};
use model::{Party, PartyKind};

use crate::field::text;

/// Persons of a field of type XCN, one for each repetition.
pub(crate) fn persons(field: Field<'_>) -> Vec<Party> {
    let read = |repetition: Repetition<'_>| {
        let part = |n: usize| text(repetition.component(n).subcomponent(1));
        let authority = text(repetition.component(9).subcomponent(1));
        person([1, 2, 3, 4].map(part), authority)
    };
    field.repetitions().filter_map(read).collect()
}

/// Persons of a field of type NDL: the name is in the subcomponents of its first component. Older systems write XCN.
pub(crate) fn observers(field: Field<'_>) -> Vec<Party> {
    let read = |repetition: Repetition<'_>| {
        let first = repetition.component(1);
        let nested = !first.subcomponent(2).is_empty() || !first.subcomponent(3).is_empty();
        if nested {
            let authority = text(first.subcomponent(9));
            return person([1, 2, 3, 4].map(|n| text(first.subcomponent(n))), authority);
        }
        // NDL-2 is a time, XCN-2 a name.
        let second = text(repetition.component(2));
        let is_time = second.as_ref().is_some_and(|second| second.starts_with(|c: char| c.is_ascii_digit()));
        let name = |n: usize| text(repetition.component(n)).filter(|_| !is_time);
        person([text(first), name(2), name(3), name(4)], None)
    };
    field.repetitions().filter_map(read).collect()
}

/// The laboratory in a coded element (OBX-15).
pub(crate) fn producer(repetition: Repetition<'_>) -> Option<Party> {
    let (number, name) = (text(repetition.component(1)), text(repetition.component(2)));
    let authority = text(repetition.component(3)).filter(|_| number.is_some());
    party(PartyKind::Organization, number, authority, name)
}

/// The laboratory in a field of type XON (OBX-23), with its address in one of type XAD (OBX-24).
pub(crate) fn organization(name: Repetition<'_>, address: Repetition<'_>) -> Option<Party> {
    let part = |n: usize| text(name.component(n).subcomponent(1));
    let number = part(10).or_else(|| part(3));
    let authority = part(6).filter(|_| number.is_some());
    let lines: Vec<String> = (1..=6).filter_map(|n| text(address.component(n).subcomponent(1))).collect();
    let address = (!lines.is_empty()).then(|| lines.join(" "));
    let party = party(PartyKind::Organization, number, authority, part(1));
    match (party, address) {
        (Some(party), address) => Some(Party { address, ..party }),
        (None, Some(address)) => Some(Party {
            kind: PartyKind::Organization,
            number: None,
            authority: None,
            name: None,
            address: Some(address),
        }),
        (None, None) => None,
    }
}

/// Instruments of a field of type EI (OBX-18), one for each repetition.
pub(crate) fn devices(field: Field<'_>) -> Vec<Party> {
    let read = |repetition: Repetition<'_>| {
        let part = |n: usize| text(repetition.component(n).subcomponent(1));
        let authority = part(2).or_else(|| part(3));
        party(PartyKind::Device, Some(part(1)?), authority, None)
    };
    field.repetitions().filter_map(read).collect()
}

/// A person by number, family name, given name and further names. A number that is a name is one.
fn person([number, family, given, more]: [Option<String>; 4], authority: Option<String>) -> Option<Party> {
    // Family and given name are written together, as Chinese names are; Latin ones with a blank.
    let parts: Vec<String> = [family, given, more].into_iter().flatten().collect();
    let latin = parts.iter().all(|part| part.is_ascii());
    let name = parts.join(if latin { " " } else { "" });
    let mut number = number;
    let name = if name.is_empty() { number.take_if(|number| !number.is_ascii()) } else { Some(name) };
    let authority = authority.filter(|_| number.is_some());
    party(PartyKind::Person, number, authority, name)
}

fn party(
    kind: PartyKind,
    number: Option<String>,
    authority: Option<String>,
    name: Option<String>,
) -> Option<Party> {
    let said = number.is_some() || name.is_some();
    said.then_some(Party { kind, number, authority, name, address: None })
}
