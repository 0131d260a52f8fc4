//! Persons of the index.

use serde::{Deserialize, Serialize};

use crate::{Identifier, PartialTime, PersonId, PersonName, Sex, Trust};

/// What is held about a person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The numbers the person is known under, in the order they were first seen.
    pub identifiers: Vec<HeldIdentifier>,
    /// The name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<PersonName>,
    /// The birth date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub birth: Option<PartialTime>,
    /// The administrative sex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sex: Option<Sex>,
    /// Addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addresses: Option<Vec<Address>>,
    /// Telephone numbers as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phones: Option<Vec<String>>,
    /// When the person died, where only that is known: an empty statement that it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deceased: Option<Option<PartialTime>>,
    /// The person that this one was found to be. This one keeps its id and its numbers, and gets nothing new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<PersonId>,
    /// The persons that were found to be this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaces: Vec<PersonId>,
    /// Whether the source has deleted the person (A29). What is known about it stays.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub deleted: bool,
    /// Whether a feed with authority over demographics has spoken; before that it is a stub (contract 6).
    #[serde(default)]
    pub authoritative: bool,
}

/// A number and how far it is trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldIdentifier {
    /// The number.
    pub identifier: Identifier,
    /// Whether it may link.
    pub trust: Trust,
}

/// An address; parts as the source wrote them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Street and house (XAD.1, XAD.2).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
    /// City (XAD.3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// Province (XAD.4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Postal code (XAD.5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postal_code: Option<String>,
    /// Country (XAD.6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
}

impl Person {
    /// Holds `identifier`; a number held already only ever gains trust.
    pub fn hold(&mut self, identifier: Identifier, trust: Trust) {
        match self.identifiers.iter_mut().find(|held| held.identifier.same(&identifier)) {
            Some(held) => held.trust = held.trust.max(trust),
            None => self.identifiers.push(HeldIdentifier { identifier, trust }),
        }
    }

    /// What two registrations of one person have in common: name, exact birth date, sex and one telephone number each. Empty
    /// where one of them is not known.
    pub fn likenesses(&self) -> Vec<String> {
        let (Some(name), Some(birth), Some(sex)) = (&self.name, &self.birth, self.sex) else {
            return Vec::new();
        };
        let (name, birth) = (name.folded(), birth.to_date());
        if birth.len() < 10 || name.is_empty() {
            return Vec::new();
        }
        let phones = self
            .phones
            .iter()
            .flatten()
            .map(|phone| phone.chars().filter(char::is_ascii_digit).collect::<String>());
        phones
            .filter(|phone| phone.len() >= 7)
            .map(|phone| format!("{name}|{birth}|{sex:?}|{phone}"))
            .collect()
    }

    /// Whether two persons look like two: verified ID numbers, birth dates or sexes differ.
    pub fn contradicts(&self, other: &Self) -> bool {
        let numbers = self.resident_id().zip(other.resident_id()).is_some_and(|(one, other)| one != other);
        let births = self.birth.as_ref().zip(other.birth.as_ref());
        // A year agrees with every day of it.
        let births = births
            .is_some_and(|(one, other)| one.latest() < other.earliest() || other.latest() < one.earliest());
        let sexes = self.sex.zip(other.sex).is_some_and(|(one, other)| !one.agrees(other));
        numbers || births || sexes
    }

    /// The verified resident ID number, if one is held.
    pub fn resident_id(&self) -> Option<&str> {
        use crate::IdentifierKind::ResidentId;
        let verified =
            |held: &&HeldIdentifier| held.trust == Trust::Verified && held.identifier.kind == ResidentId;
        self.identifiers.iter().find(verified).map(|held| held.identifier.value.as_str())
    }
}
