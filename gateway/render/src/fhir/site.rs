//! Where the records come from, and the URIs that name the site's own codes and numbers.

use std::sync::Arc;

use jiff::civil::Date;
use model::{IdKey, MapSet, Number, PartialTime, Record};

use super::text::{is_oid, percent_encoded};

/// The root of everything that only this product or this site can name.
pub(crate) const ROOT: &str = "urn:hospital-gateway:";

/// The site that sends, to one destination.
#[derive(Clone, Debug)]
pub struct Site {
    /// The hospital's unified social credit code (GB 32100).
    pub organization: String,
    /// Its name.
    pub name: String,
    /// This gateway, as it is called at the site.
    pub device: String,
    /// What codes become at this destination.
    pub codes: Arc<MapSet>,
    /// What ids of parts are made with.
    pub id_key: IdKey,
}

impl Site {
    /// Adds to `record` what the destination's code maps say; where a map of the feed says something else about the same
    /// system, the destination's word counts. To be done before it is rendered. Gives the maps of the destination that something
    /// in it comes from, as `NAME@VERSION`, separated by blanks.
    pub fn translate(&self, record: &mut Record) -> String {
        if self.codes.maps().is_empty() {
            return String::new();
        }
        let day = record.provenance.event.as_ref().and_then(PartialTime::date);
        record.body.translate(&self.codes, day);
        let own = |label: &&str| self.codes.maps().iter().any(|map| map.label() == *label);
        record.body.maps().into_iter().filter(own).collect::<Vec<_>>().join(" ")
    }

    /// A URI of this site's own for what `parts` name, most general first.
    pub(crate) fn uri(&self, parts: &[&str]) -> String {
        let mut uri = String::with_capacity(64);
        uri.push_str(ROOT);
        uri.push_str(&percent_encoded(&self.organization));
        for part in parts {
            uri.push(':');
            uri.push_str(&percent_encoded(part));
        }
        uri
    }

    /// The system of codes that the source calls `name`.
    pub(crate) fn code_system(&self, name: Option<&str>) -> String {
        match name.map(str::trim).filter(|n| !n.is_empty()) {
            Some(oid) if is_oid(oid) => format!("urn:oid:{oid}"),
            name => self.uri(&["code", name.unwrap_or("local")]),
        }
    }

    /// The system of numbers that `authority` gives: its OID where it has one (alone or as `name&OID&ISO`).
    pub(crate) fn authority(&self, authority: &str) -> String {
        match authority.split('&').map(str::trim).find(|part| is_oid(part)) {
            Some(oid) => format!("urn:oid:{oid}"),
            None => self.uri(&["id", authority]),
        }
    }

    /// The system of a business number. Its period is part of it, so that a number used again is another one.
    pub(crate) fn number_system(&self, number: &Number, date: Option<Date>) -> String {
        let period = number.parts(date).map(|[_, _, period, _]| period).unwrap_or_default();
        let parts = [number.kind.name(), &number.space, &period];
        self.uri(if period.is_empty() { &parts[..2] } else { &parts })
    }
}
