//! PID, and MRG for a person that was found to be another one.

use model::{Address, Document, HeldIdentifier, IdentifierKind, Person, PersonId, Sex, Trust};

use super::letter::Head;
use super::segment::{Segments, components, escaped};

/// The object identifier of resident ID numbers (WS 363).
const RESIDENT_ID: &str = "&2.16.156.10011.1.3&ISO";

pub(super) fn pid(out: &mut Segments, id: PersonId, person: &Person, head: &Head<'_>) {
    let name = person.name.as_ref().map(|name| {
        let (first, more) = name.given.split_first().map_or(("", &[][..]), |(first, more)| (first, more));
        let (family, first, more) = (
            name.family.as_deref().map(escaped).unwrap_or_default(),
            escaped(first),
            escaped(&more.join(" ")),
        );
        let kind = name.kind.as_deref().map(escaped).unwrap_or_default();
        components(&[&family, &first, &more, "", "", "", &kind])
    });
    let sex = person.sex.map(|sex| match sex {
        Sex::Female => "F".to_owned(),
        Sex::Male => "M".to_owned(),
        Sex::Other => "O".to_owned(),
        Sex::Unknown => "U".to_owned(),
    });
    let addresses: Vec<String> = person.addresses.iter().flatten().map(address).collect();
    let phones: Vec<String> = person
        .phones
        .iter()
        .flatten()
        .map(|phone| escaped(phone.trim()))
        .filter(|phone| !phone.is_empty())
        .collect();
    let deceased = person.deceased.as_ref();
    out.begin("PID")
        .field(1, "1")
        .field(3, numbers(id, person, head))
        .maybe(5, name)
        .maybe(7, person.birth.as_ref().map(model::PartialTime::to_dtm))
        .maybe(8, sex)
        .field(11, addresses.join("~"))
        .field(13, phones.join("~"))
        .maybe(29, deceased.and_then(|when| when.as_ref()).map(model::PartialTime::to_dtm))
        .maybe(30, deceased.map(|_| "Y".to_owned()))
        .end();
}

/// The numbers of who is no longer a person of its own.
pub(super) fn mrg(out: &mut Segments, id: PersonId, person: &Person, head: &Head<'_>) {
    out.begin("MRG").field(1, numbers(id, person, head)).end();
}

/// The number of the index itself, and those that are verified.
fn numbers(id: PersonId, person: &Person, head: &Head<'_>) -> String {
    let own = components(&[&id.to_string(), "", "", &escaped(head.organization), "PI"]);
    let verified = person.identifiers.iter().filter(|held| held.trust == Trust::Verified);
    core::iter::once(own).chain(verified.filter_map(number)).collect::<Vec<_>>().join("~")
}

/// None for a number that is somebody else's afterwards.
fn number(held: &HeldIdentifier) -> Option<String> {
    let value = escaped(&held.identifier.value);
    Some(match &held.identifier.kind {
        IdentifierKind::ResidentId => components(&[&value, "", "", RESIDENT_ID, "NI"]),
        IdentifierKind::HealthCode => components(&[&value, "", "", "", "HC"]),
        IdentifierKind::Assigned { authority, code } => {
            let code = code.as_deref().map(escaped).unwrap_or_default();
            // An authority may be held as `name&OID&ISO`: its parts are subcomponents.
            let authority = authority.split('&').map(escaped).collect::<Vec<_>>().join("&");
            components(&[&value, "", "", &authority, &code])
        }
        IdentifierKind::Document { document, country } => {
            let code = if *document == Document::Passport { "PPN" } else { "PRC" };
            let country = country.as_deref().map(escaped).unwrap_or_default();
            components(&[&value, "", "", document.name(), code, "", "", "", &country])
        }
        IdentifierKind::Temporary { .. } => return None,
    })
}

fn address(address: &Address) -> String {
    let part = |part: &Option<String>| part.as_deref().map(escaped).unwrap_or_default();
    let (first, more) = address.lines.split_first().map_or(("", &[][..]), |(first, more)| (first, more));
    components(&[
        &escaped(first),
        &escaped(&more.join(" ")),
        &part(&address.city),
        &part(&address.state),
        &part(&address.postal_code),
        &part(&address.country),
    ])
}
