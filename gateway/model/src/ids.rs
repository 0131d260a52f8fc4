//! Typed identifiers, and how outgoing ones are made (contract 3).

use core::fmt;

use ring::hmac;
use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

/// A person of the index. Random; the person index decides which messages mean it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PersonId(Uuid);

/// A record of core information, or a resource made from one: a keyed hash of business identifiers in scope.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecordId(Uuid);

macro_rules! uuid_id {
    ($name:ident) => {
        impl $name {
            /// The id with these 128 bits.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The id with these bytes, most significant first.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The 128 bits.
            pub const fn as_uuid(&self) -> &Uuid {
                &self.0
            }

            /// The bytes, most significant first.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl core::str::FromStr for $name {
            type Err = uuid::Error;

            fn from_str(s: &str) -> Result<Self, uuid::Error> {
                s.parse().map(Self)
            }
        }
    };
}

uuid_id!(PersonId);
uuid_id!(RecordId);

impl From<PersonId> for RecordId {
    /// The record that carries the person: the same 128 bits, so that a person has one id everywhere.
    fn from(person: PersonId) -> Self {
        Self(person.0)
    }
}

impl RecordId {
    /// The id of a part of this record (one result of a report), told apart by `parts`.
    pub fn part(&self, key: &IdKey, kind: &str, parts: &[&str]) -> Self {
        let mut all = vec![kind];
        let own = self.0.simple().to_string();
        all.push(&own);
        all.extend(parts);
        key.id("part", &all)
    }
}

/// The secret of a site that outgoing ids are made with, so that nobody can guess a person from an id.
/// It never rotates: another key is another set of ids.
#[derive(Clone)]
pub struct IdKey(hmac::Key);

impl IdKey {
    /// The key with this secret.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The UUIDv8 (RFC 9562) over `domain` and `parts`: the same parts give the same id, and only they.
    pub fn id(&self, domain: &str, parts: &[&str]) -> RecordId {
        let mut context = hmac::Context::with_key(&self.0);
        for part in core::iter::once(&domain).chain(parts) {
            // The length in front keeps ("ab", "c") apart from ("a", "bc").
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part.as_bytes());
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&context.sign().as_ref()[..16]);
        RecordId(Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// A person's id, made from the first identifier the person was seen under.
    pub fn person(&self, parts: &[&str]) -> PersonId {
        PersonId(self.id("person", parts).0)
    }
}

impl fmt::Debug for IdKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuid_v8_and_depend_on_key_domain_and_every_part() {
        let (a, b) = (IdKey::new(&[1; 32]), IdKey::new(&[2; 32]));
        let id = a.id("report", &["lis", "F1"]);
        assert_eq!(id.as_uuid().get_version_num(), 8);
        assert_eq!(id, a.id("report", &["lis", "F1"]));
        for other in [
            b.id("report", &["lis", "F1"]),
            a.id("visit", &["lis", "F1"]),
            a.id("report", &["lisF", "1"]),
            a.id("report", &["lis", "F1", ""]),
        ] {
            assert_ne!(id, other);
        }
    }
}
