//! Who made or answers for a result, as references by number and name: they are no resources of this gateway.

use model::{AsWritten, Party, PartyKind};

use super::Site;
use super::datatype::{Extended, Extension, Identifier, Reference};
use super::text::clean;

/// Where a laboratory is: a reference has no place for that.
const ADDRESS: &str = "urn:hospital-gateway:address";
/// An element as its source wrote it, after its name.
const AS_WRITTEN: &str = "urn:hospital-gateway:as-written";

/// A reference to `party`; none where nothing of it can be said.
pub(crate) fn reference<'a>(party: &'a Party, site: &Site) -> Option<Reference<'a>> {
    let (kind, space) = match party.kind {
        PartyKind::Person => ("Practitioner", "staff"),
        PartyKind::Organization => ("Organization", "laboratory"),
        PartyKind::Device => ("Device", "device"),
    };
    let system = || match party.authority.as_deref().and_then(clean) {
        Some(authority) => site.authority(&authority),
        None => site.uri(&[space]),
    };
    let number = party.number.as_deref().and_then(clean);
    let identifier =
        number.map(|value| Identifier { usage: None, kind: None, system: system().into(), value });
    let display = party.name.as_deref().and_then(clean);
    let address = party.address.as_deref().and_then(clean);
    let said = identifier.is_some() || display.is_some() || address.is_some();
    let extension = address.map(|address| Extension { url: ADDRESS, value: Extended::String(address) });
    said.then(|| Reference {
        kind: Some(kind),
        identifier,
        display,
        extension: extension.into_iter().collect(),
        ..Reference::default()
    })
}

/// What the source wrote in elements whose form does not give it back.
pub(crate) fn as_written(all: &[AsWritten]) -> impl Iterator<Item = Extension<'_>> {
    all.iter().filter_map(|one| {
        let text = clean(&one.text)?;
        let text = format!("{} {text}", one.element).into();
        Some(Extension { url: AS_WRITTEN, value: Extended::String(text) })
    })
}
