//! Which persons were found to be one, and what an unmerge takes apart again. Pure.
//!
//! Links are flat: each leads to who stands for the person now. Beside that each remembers whom the person was merged into
//! at the time, so that a merge in the middle of a chain can be taken back alone, with what had been merged before it.

use crate::PersonId;

/// A person that was found to be another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Who was merged.
    pub person: PersonId,
    /// Into whom, when it was said.
    pub into: PersonId,
    /// Who stands for both today; nobody stands for that one.
    pub survivor: PersonId,
}

impl Link {
    /// The links as they are once `loser`, who stands for those in `followers`, is merged into `survivor`.
    pub fn merged(loser: PersonId, survivor: PersonId, followers: &[Self]) -> Vec<Self> {
        let follow = followers.iter().map(|link| Self { survivor, ..*link });
        core::iter::once(Self { person: loser, into: survivor, survivor }).chain(follow).collect()
    }

    /// The links as they are once `loser`'s merge is taken back: those who had been merged into it follow it. Its own is gone.
    pub fn parted(loser: PersonId, family: &[Self]) -> Vec<Self> {
        let members = Self::under(loser, family);
        let follow = family.iter().filter(|link| link.person != loser && members.contains(&link.person));
        follow.map(|link| Self { survivor: loser, ..*link }).collect()
    }

    /// Those between `person` and who stands for it: whom it was merged into, whom that one was merged into.
    pub fn over(person: PersonId, family: &[Self]) -> Vec<PersonId> {
        let mut over = Vec::new();
        let into = |of: PersonId| family.iter().find(|link| link.person == of).map(|link| link.into);
        let mut next = into(person);
        while let Some(id) = next.filter(|id| *id != person && !over.contains(id)) {
            next = into(id);
            if next.is_some() {
                over.push(id);
            }
        }
        over
    }

    /// Who goes with `person` when its merge is taken back: itself, who was merged into it, who was merged into those. `family`
    /// are all links to one survivor.
    pub fn under(person: PersonId, family: &[Self]) -> Vec<PersonId> {
        let mut members = vec![person];
        let mut next = 0;
        while let Some(into) = members.get(next).copied() {
            let more = family.iter().filter(|link| link.into == into && link.person != person);
            let more: Vec<PersonId> =
                more.map(|link| link.person).filter(|id| !members.contains(id)).collect();
            members.extend(more);
            next += 1;
        }
        members
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn id(n: u8) -> PersonId {
        PersonId::from_bytes([n; 16])
    }

    /// The index's links, as the state keeps them.
    #[derive(Clone, Debug, Default, PartialEq)]
    struct Index(BTreeMap<PersonId, Link>);

    impl Index {
        fn survivor(&self, person: PersonId) -> PersonId {
            self.0.get(&person).map_or(person, |link| link.survivor)
        }

        fn to(&self, survivor: PersonId) -> Vec<Link> {
            self.0.values().filter(|link| link.survivor == survivor).copied().collect()
        }

        /// Merges those who stand for the two. Answers whether they were two.
        fn merge(&mut self, loser: PersonId, survivor: PersonId) -> bool {
            let (loser, survivor) = (self.survivor(loser), self.survivor(survivor));
            if loser == survivor {
                return false;
            }
            for link in Link::merged(loser, survivor, &self.to(loser)) {
                self.0.insert(link.person, link);
            }
            true
        }

        fn unmerge(&mut self, loser: PersonId) -> bool {
            let Some(link) = self.0.remove(&loser) else { return false };
            let mut family = self.to(link.survivor);
            family.push(link);
            for link in Link::parted(loser, &family) {
                self.0.insert(link.person, link);
            }
            true
        }

        /// Every link leads to somebody who stands for himself.
        fn is_flat(&self) -> bool {
            self.0.values().all(|link| !self.0.contains_key(&link.survivor) && link.person != link.survivor)
        }
    }

    #[test]
    fn a_merge_in_the_middle_of_a_chain_is_taken_back_with_what_had_been_merged_before_it() {
        let mut index = Index::default();
        assert!(index.merge(id(3), id(2)) && index.merge(id(2), id(1)) && index.merge(id(4), id(1)));
        assert!([2, 3, 4].iter().all(|n| index.survivor(id(*n)) == id(1)));
        assert!(index.unmerge(id(2)));
        let survivors: Vec<PersonId> = (1..=4).map(|n| index.survivor(id(n))).collect();
        assert_eq!(survivors, [id(1), id(2), id(2), id(1)]);
        assert!(index.unmerge(id(3)) && !index.unmerge(id(3)));
        assert_eq!(index.survivor(id(3)), id(3));
    }

    #[test]
    fn the_end_of_a_chain_is_taken_back_alone() {
        let mut index = Index::default();
        assert!(index.merge(id(3), id(2)) && index.merge(id(2), id(1)));
        assert!(index.unmerge(id(3)));
        assert_eq!((index.survivor(id(3)), index.survivor(id(2))), (id(3), id(1)));
    }

    proptest! {
        #[test]
        fn links_stay_flat_and_an_unmerge_is_the_inverse_of_its_merge(
            steps in proptest::collection::vec((any::<bool>(), 0_u8..8, 0_u8..8), 0..40),
            last in (0_u8..8, 0_u8..8),
        ) {
            let mut index = Index::default();
            for (merge, one, other) in steps {
                if merge { index.merge(id(one), id(other)); } else { index.unmerge(id(one)); }
                prop_assert!(index.is_flat());
            }
            let before = index.clone();
            let loser = index.survivor(id(last.0));
            if index.merge(loser, id(last.1)) {
                prop_assert!(index.unmerge(loser));
            }
            prop_assert_eq!(index, before);
        }
    }
}
