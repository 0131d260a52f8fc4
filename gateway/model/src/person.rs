//! Persons of the index.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{Coded, Contact, Identifier, PartialTime, PersonId, PersonName, Position, Sex, Trust};

/// What is held about a person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The numbers the person is known under, in the order they were first seen.
    pub identifiers: Vec<HeldIdentifier>,
    /// The name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<PersonName>,
    /// Whether the name says that nobody knows it: an unknown patient, never taken for another one.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub unknown: bool,
    /// Numbers of the mother, where a message says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mother: Vec<Identifier>,
    /// Which of several children of one birth, as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub birth_order: Option<String>,
    /// The birth date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub birth: Option<PartialTime>,
    /// The administrative sex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sex: Option<Sex>,
    /// The marital status (PID-16).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marital_status: Option<Coded>,
    /// The ethnic group (PID-22).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ethnic_group: Option<Coded>,
    /// The maps that said what an identifier is or what sex is meant, one version of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub maps: Vec<String>,
    /// Addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addresses: Option<Vec<Address>>,
    /// Telephone numbers as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phones: Option<Vec<String>>,
    /// Other names (PID-9).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aliases: Option<Vec<PersonName>>,
    /// Next of kin and others beside the person (NK1). Their numbers say nothing about who the person is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contacts: Option<Vec<Contact>>,
    /// Whether it was one of several children of one birth (PID-24).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multiple_birth: Option<bool>,
    /// When the person died, where only that is known: an empty statement that it happened.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "stated")]
    pub deceased: Option<Option<PartialTime>>,
    /// The person that this one was found to be. This one keeps its id and its numbers, and gets nothing new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<PersonId>,
    /// The persons that were found to be this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaces: Vec<PersonId>,
    /// Persons that this one is looked up together with: linked and not merged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub see_also: Vec<PersonId>,
    /// When it was said last whether it is linked with somebody.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub link_said: BTreeMap<PersonId, Timestamp>,
    /// Whether the source has deleted the person (A29). What is known about it stays.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub deleted: bool,
    /// Whether a feed with authority over demographics has spoken; before that it is a stub (contract 6).
    #[serde(default)]
    pub authoritative: bool,
    /// Where the last word of such a feed stands in time. A number that another feed adds later is no such word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stated: Option<Position>,
}

/// What is stored is stated, even when it is nothing: without this a death without a time would be read as no death.
fn stated<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// A number and how far it is trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldIdentifier {
    /// The number.
    pub identifier: Identifier,
    /// Whether it may link.
    pub trust: Trust,
    /// The person that it came under, where that is one who was merged into this one: an unmerge gives it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<PersonId>,
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
        if !identifier.valid.is_open() {
            let same = self.identifiers.iter_mut().filter(|held| held.identifier.same(&identifier));
            same.for_each(|held| held.identifier.valid = identifier.valid.clone());
        }
        let known = |held: &HeldIdentifier| held.identifier.same(&identifier) && held.trust >= trust;
        if self.identifiers.iter().any(known) {
            return;
        }
        match self.own_mut(&identifier) {
            Some(held) => held.trust = held.trust.max(trust),
            None => self.identifiers.push(HeldIdentifier { identifier, trust, from: None }),
        }
    }

    /// Holds `identifier`, which came under `from`, who was merged into this person. What the person holds by itself stays.
    pub fn hold_from(&mut self, identifier: Identifier, trust: Trust, from: PersonId) {
        let same = |held: &&mut HeldIdentifier| held.identifier.same(&identifier);
        match self.identifiers.iter_mut().filter(same).find(|held| held.trust >= trust || held.from.is_some())
        {
            Some(held) if held.from.is_some() => held.trust = held.trust.max(trust),
            Some(_) => {}
            None => self.identifiers.push(HeldIdentifier { identifier, trust, from: Some(from) }),
        }
    }

    fn own_mut(&mut self, identifier: &Identifier) -> Option<&mut HeldIdentifier> {
        self.identifiers.iter_mut().find(|held| held.from.is_none() && held.identifier.same(identifier))
    }

    /// Becomes the one that stands for `lost` too. The other keeps its id and its numbers; a verified ID number becomes known
    /// here where there was none.
    pub fn absorb(&mut self, own: PersonId, id: PersonId, lost: &mut Self) {
        lost.replaced_by = Some(own);
        for id in [id].into_iter().chain(core::mem::take(&mut lost.replaces)) {
            if !self.replaces.contains(&id) {
                self.replaces.push(id);
            }
        }
        if self.resident_id().is_none()
            && let Some(held) = lost.verified_resident()
        {
            self.hold_from(held.identifier.clone(), Trust::Verified, held.from.unwrap_or(id));
        }
    }

    /// Forgets what came under `members`, who were merged into somebody who was merged into this person's survivor before.
    pub fn forget(&mut self, members: &[PersonId]) {
        self.identifiers.retain(|held| held.from.is_none_or(|from| !members.contains(&from)));
    }

    /// Gives back what came with `parted`, whose merge into this person is taken back, and with those who go with it.
    pub fn release(&mut self, id: PersonId, parted: &mut Self, members: &[PersonId]) {
        parted.replaced_by = None;
        let theirs = |person: &PersonId| members.contains(person);
        let others = self.replaces.iter().filter(|person| theirs(person) && **person != id);
        parted.replaces = others.copied().collect();
        self.replaces.retain(|person| !theirs(person));
        for held in self.identifiers.extract_if(.., |held| held.from.as_ref().is_some_and(theirs)) {
            let known = parted.identifiers.iter().any(|own| own.identifier.same(&held.identifier));
            match held.from {
                Some(from) if from != id => parted.hold_from(held.identifier, held.trust, from),
                _ if !known => parted.hold(held.identifier, held.trust),
                _ => {}
            }
        }
    }

    /// What two registrations of one person have in common: name, exact birth date, sex and one telephone number each. Empty
    /// where one of them is not known.
    pub fn likenesses(&self) -> Vec<String> {
        let (Some(name), Some(birth), Some(sex)) = (&self.name, &self.birth, self.sex) else {
            return Vec::new();
        };
        let (name, birth) = (name.folded(), birth.to_date());
        if birth.len() < 10 || name.is_empty() || self.unknown {
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

    /// Whether two persons are children of one birth.
    pub fn is_twin(&self, other: &Self) -> bool {
        let orders = self.birth_order.as_ref().zip(other.birth_order.as_ref());
        orders.is_some_and(|(one, other)| one != other)
    }

    /// Whether two persons look like two: verified ID numbers, birth dates or sexes differ. The birth date of an unknown patient
    /// is somebody's estimate.
    pub fn contradicts(&self, other: &Self) -> bool {
        let numbers = self.resident_id().zip(other.resident_id()).is_some_and(|(one, other)| one != other);
        let births = self.birth.as_ref().zip(other.birth.as_ref());
        // A year agrees with every day of it.
        let births = births
            .is_some_and(|(one, other)| one.latest() < other.earliest() || other.latest() < one.earliest());
        let births = births && !self.unknown && !other.unknown;
        let sexes = self.sex.zip(other.sex).is_some_and(|(one, other)| !one.agrees(other));
        numbers || births || sexes
    }

    /// The verified resident ID number, if one is held.
    pub fn resident_id(&self) -> Option<&str> {
        self.verified_resident().map(|held| held.identifier.value.as_str())
    }

    fn verified_resident(&self) -> Option<&HeldIdentifier> {
        use crate::IdentifierKind::ResidentId;
        let verified =
            |held: &&HeldIdentifier| held.trust == Trust::Verified && held.identifier.kind == ResidentId;
        self.identifiers.iter().find(verified)
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::*;
    use crate::IdentifierKind;

    fn id(n: u8) -> PersonId {
        PersonId::from_bytes([n; 16])
    }

    fn held() -> impl Strategy<Value = HeldIdentifier> {
        let kind = prop_oneof![
            Just(IdentifierKind::ResidentId),
            Just(IdentifierKind::HealthCode),
            Just(IdentifierKind::Assigned { authority: "HIS".to_owned(), code: None }),
        ];
        (kind, 0_u8..4, any::<bool>()).prop_map(|(kind, value, verified)| HeldIdentifier {
            identifier: Identifier::new(kind, value.to_string()),
            trust: if verified { Trust::Verified } else { Trust::Claimed },
            from: None,
        })
    }

    fn person() -> impl Strategy<Value = Person> {
        proptest::collection::vec(held(), 0..6).prop_map(|all| {
            let mut person = Person::default();
            for held in all {
                person.hold(held.identifier, held.trust);
            }
            person
        })
    }

    #[test]
    fn storage_keeps_that_somebody_died_with_and_without_a_time() {
        let time = PartialTime::read("20261124", None, &TimeZone::UTC).ok();
        for deceased in [None, Some(None), Some(time)] {
            let person = Person { deceased, ..Person::default() };
            let stored = serde_json::to_string(&person).unwrap();
            assert_eq!(serde_json::from_str::<Person>(&stored).unwrap(), person, "{stored}");
        }
    }

    proptest! {
        #[test]
        fn an_unmerge_gives_back_exactly_what_the_merge_took(one in person(), two in person(), three in person()) {
            // Three into two, two into one, and two out again.
            let (mut a, mut b, mut c) = (one.clone(), two, three);
            b.absorb(id(2), id(3), &mut c);
            let before = b.clone();
            a.absorb(id(1), id(2), &mut b);
            prop_assert_eq!(b.replaced_by, Some(id(1)));
            prop_assert_eq!(&a.replaces, &[id(2), id(3)]);
            a.release(id(2), &mut b, &[id(2), id(3)]);
            prop_assert_eq!(a, one);
            prop_assert_eq!(b, before);
        }

        #[test]
        fn whatever_is_merged_and_taken_back_every_number_belongs_to_one_person(
            steps in proptest::collection::vec((0_u8..3, 0_usize..6, 0_usize..6), 0..40),
        ) {
            let kind = || IdentifierKind::Assigned { authority: "HIS".to_owned(), code: None };
            let mut people: Vec<Person> = (0..6_u8)
                .map(|n| {
                    let mut person = Person::default();
                    person.hold(Identifier::new(kind(), format!("M{n}")), Trust::Verified);
                    let resident = Identifier::new(IdentifierKind::ResidentId, format!("R{n}"));
                    person.hold(resident, if n % 2 == 0 { Trust::Verified } else { Trust::Claimed });
                    person
                })
                .collect();
            let first = people.clone();
            let mut links: Vec<crate::Link> = Vec::new();
            let survivor = |links: &[crate::Link], n: usize| {
                let link = links.iter().find(|link| link.person == id(n as u8));
                link.map_or(n, |link| usize::from(link.survivor.as_bytes()[0]))
            };
            for (step, one, other) in steps {
                let (top, low) = (survivor(&links, one), survivor(&links, other));
                match step {
                    // A merge of those who stand for the two.
                    0 if top != low => {
                        let followers: Vec<_> =
                            links.iter().filter(|link| link.survivor == id(low as u8)).copied().collect();
                        links.retain(|link| link.survivor != id(low as u8));
                        links.extend(crate::Link::merged(id(low as u8), id(top as u8), &followers));
                        let mut lost = people[low].clone();
                        people[top].absorb(id(top as u8), id(low as u8), &mut lost);
                        people[low] = lost;
                    }
                    // The other one's merge is taken back.
                    1 if low != other => {
                        let family: Vec<_> =
                            links.iter().filter(|link| link.survivor == id(low as u8)).copied().collect();
                        let members = crate::Link::under(id(other as u8), &family);
                        for over in crate::Link::over(id(other as u8), &family) {
                            people[usize::from(over.as_bytes()[0])].forget(&members);
                        }
                        links.retain(|link| !members.contains(&link.person));
                        links.extend(crate::Link::parted(id(other as u8), &family));
                        let mut parted = people[other].clone();
                        people[low].release(id(other as u8), &mut parted, &members);
                        people[other] = parted;
                    }
                    // A late message under the other one's number.
                    _ if low != other => {
                        let late = Identifier::new(kind(), format!("L{other}"));
                        people[low].hold_from(late.clone(), Trust::Verified, id(other as u8));
                    }
                    _ => {}
                }
                for n in 0..6 {
                    let own = |p: &Person, value: &str| {
                        p.identifiers.iter().any(|held| held.from.is_none() && held.identifier.value == value)
                    };
                    for value in [format!("M{n}"), format!("R{n}"), format!("L{n}")] {
                        let holders = people.iter().filter(|person| own(person, &value)).count();
                        prop_assert!(holders == 1 || value.starts_with('L') && holders == 0, "{value}: {holders}");
                    }
                    // Who stands for himself stands for those, and only those, whose links lead to him.
                    let mut stands_for: Vec<PersonId> = people[n].replaces.clone();
                    stands_for.sort();
                    let mut linked: Vec<PersonId> = links
                        .iter()
                        .filter(|link| link.survivor == id(n as u8))
                        .map(|link| link.person)
                        .collect();
                    linked.sort();
                    prop_assert_eq!(stands_for, linked);
                }
            }
            // All taken back, everybody is as at first but for what came since.
            while let Some(link) = links.last().copied() {
                let family: Vec<_> =
                    links.iter().filter(|other| other.survivor == link.survivor).copied().collect();
                let members = crate::Link::under(link.person, &family);
                for over in crate::Link::over(link.person, &family) {
                    people[usize::from(over.as_bytes()[0])].forget(&members);
                }
                links.retain(|other| !members.contains(&other.person));
                links.extend(crate::Link::parted(link.person, &family));
                let (top, low) = (link.survivor.as_bytes()[0] as usize, link.person.as_bytes()[0] as usize);
                let mut parted = people[low].clone();
                people[top].release(link.person, &mut parted, &members);
                people[low] = parted;
            }
            for (n, person) in people.iter_mut().enumerate() {
                person.identifiers.retain(|held| !held.identifier.value.starts_with('L'));
                person.replaced_by = None;
                prop_assert_eq!(&*person, &first[n]);
            }
        }

        #[test]
        fn what_came_under_the_loser_after_the_merge_goes_with_it(one in person(), two in person(), late in held()) {
            let (mut a, mut b) = (one.clone(), two);
            a.absorb(id(1), id(2), &mut b);
            a.hold_from(late.identifier.clone(), late.trust, id(2));
            a.release(id(2), &mut b, &[id(2)]);
            prop_assert_eq!(&a, &one);
            let known = |person: &Person| person.identifiers.iter().any(|own| own.identifier.same(&late.identifier));
            prop_assert!(known(&b) || known(&one));
        }
    }
}
