//! What a feed's configuration says about its messages.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use feed::FeedName;
use jiff::tz::TimeZone;
use model::{CodeKind, Document, Hit, MapSet, Number, NumberKind, PersonName, Scope, Scoping};

/// What a feed's configuration says about its messages.
#[derive(Clone, Debug)]
pub struct Context {
    /// The feed.
    pub feed: FeedName,
    /// The zone of times that carry none.
    pub zone: TimeZone,
    /// What a type code (CX.5) or an authority (CX.4) means.
    pub identifiers: BTreeMap<String, Meaning>,
    /// Numbers, and names, that mean nobody.
    pub dummy: BTreeSet<String>,
    /// The scopes of business numbers.
    pub numbers: Numbers,
    /// What its codes become.
    pub codes: Arc<MapSet>,
}

/// What an identifier is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The resident ID number.
    ResidentId,
    /// The electronic health code.
    HealthCode,
    /// The number of a travel or residence document.
    Document(Document),
    /// A number of the mother, in a message about her child.
    Mother,
    /// A number for the time being.
    Temporary,
    /// A number of this authority.
    Authority(String),
}

/// The scopes of business numbers (contract 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// Visits.
    pub visit: Scoping,
    /// Orders, by who placed them.
    pub placer: Scoping,
    /// Orders, by who fills them.
    pub filler: Scoping,
    /// Specimens.
    pub specimen: Scoping,
    /// Imaging orders.
    pub accession: Scoping,
}

impl Default for Numbers {
    fn default() -> Self {
        let scoping = |scope| Scoping { scope, space: None };
        Self {
            visit: scoping(Scope::Global),
            placer: scoping(Scope::Global),
            filler: scoping(Scope::Year),
            specimen: scoping(Scope::Day),
            accession: scoping(Scope::Global),
        }
    }
}

impl Meaning {
    /// Reads `resident-id`, `health-code`, the name of a document, `mother`, `temporary`, or the name of an authority.
    pub fn read(text: &str) -> Self {
        match text {
            "resident-id" => Self::ResidentId,
            "health-code" => Self::HealthCode,
            "mother" => Self::Mother,
            "temporary" => Self::Temporary,
            other => match Document::from_name(other) {
                Some(document) => Self::Document(document),
                None => Self::Authority(other.to_owned()),
            },
        }
    }
}

impl Context {
    /// What there is to say about a source of which nothing is configured.
    pub fn bare(feed: FeedName, zone: TimeZone) -> Self {
        Self {
            feed,
            zone,
            identifiers: BTreeMap::new(),
            dummy: BTreeSet::new(),
            numbers: Numbers::default(),
            codes: Arc::default(),
        }
    }

    /// Whether a name says that nobody knows it.
    pub(crate) fn is_unknown(&self, name: &PersonName) -> bool {
        name.is_unknown() || self.dummy.contains(&name.folded())
    }

    /// What the configuration or a map says that an identifier is, by its type (CX.5) or its authority (CX.4).
    pub(crate) fn meaning(&self, key: &str) -> Option<Meaning> {
        let mapped = || self.identifier_row(key).map(|hit| Meaning::read(&hit.row.target_code));
        self.identifiers.get(key).cloned().or_else(mapped)
    }

    /// The row of a map that says what an identifier is.
    pub(crate) fn identifier_row(&self, key: &str) -> Option<Hit<'_>> {
        let hits = self.codes.find(CodeKind::Identifier, None, key, None);
        hits.into_iter().find(|hit| hit.row.target_system.is_empty())
    }

    /// A business number in its space: the configured one, else the assigning authority, else the feed. None for dummies.
    pub(crate) fn number(&self, kind: NumberKind, value: &str, authority: Option<String>) -> Option<Number> {
        let value = value.trim();
        if value.is_empty() || self.dummy.contains(value) {
            return None;
        }
        let for_ever = Scoping { scope: Scope::Global, space: None };
        let scoping = match kind {
            NumberKind::Visit => &self.numbers.visit,
            NumberKind::Placer => &self.numbers.placer,
            NumberKind::Filler => &self.numbers.filler,
            NumberKind::Specimen => &self.numbers.specimen,
            NumberKind::Accession => &self.numbers.accession,
            NumberKind::Account
            | NumberKind::Group
            | NumberKind::Immunization
            | NumberKind::Appointment
            | NumberKind::AppointmentRequest => &for_ever,
        };
        let space = scoping.space.clone().or(authority).unwrap_or_else(|| self.feed.as_str().to_owned());
        Some(Number { kind, space, scope: scoping.scope, value: value.to_owned() })
    }
}
