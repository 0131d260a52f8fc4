//! Who is one person and who is two, as a message or somebody says (contract 6). Runs on the state owner.
//!
//! A merge moves: the loser keeps its id, its numbers and what was said under them, and points at who stands for it. What
//! came under it becomes the survivor's and keeps the number that it came with; by that an unmerge finds it again.

use buffer::{Decision, LaneKey, StateError, Tx};
use feed::CaptureId;
use jiff::{SignedDuration, Timestamp};
use model::{Body, Identifier, Link, Person, PersonId, Position, Record, RecordKind, Trust};
use serde::{Deserialize, Serialize};

use super::records::{Effects, Touched};
use super::rules::Rules;
use super::{held, person};

/// Persons that one stands for at most. A number that is merged with more means nobody.
const FAMILY: usize = 500;
/// Records read at once.
const PAGE: usize = 200;
/// Records of one kind that are looked at; what is older is no longer held anyway.
const PAGES: usize = 50;

/// Changes who is who, in one transaction.
pub(crate) struct Joining<'a, 't> {
    pub(crate) tx: &'a mut Tx<'t>,
    pub(crate) rules: &'a Rules,
    pub(crate) by: By,
}

/// Who says so.
pub(crate) struct By {
    /// The capture that says so, or the last one before somebody did.
    pub(crate) capture: CaptureId,
    /// Whether the capture says it, in its turn.
    pub(crate) arrived: bool,
    /// Whether a capture says it at all.
    pub(crate) said: bool,
    /// When.
    pub(crate) at: Timestamp,
    /// Who and why.
    pub(crate) word: Word,
}

/// Who said it and why; kept sealed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Word {
    /// The feed, or who was at the control socket.
    pub(crate) who: String,
    /// The event, or the reason that was given.
    pub(crate) why: String,
}

/// Why persons are not joined or parted. Nothing was changed.
#[derive(Debug)]
pub(crate) enum NotJoined {
    /// They look like two.
    Differ,
    /// They are one already, or linked, or not linked: it is as it was asked for.
    Same,
    /// Nothing is held of one of them.
    Unknown,
    /// The person was never merged.
    NotMerged,
    /// One would stand for more than [`FAMILY`].
    TooMany,
    /// The state failed.
    State(StateError),
}

impl From<StateError> for NotJoined {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

impl Joining<'_, '_> {
    /// Lets `survivor` stand for `loser` and for all that it stood for. `sure`: also when they look like two.
    pub(crate) fn merge(
        &mut self,
        survivor: PersonId,
        loser: PersonId,
        sure: bool,
        effects: &mut Effects,
    ) -> Result<(), NotJoined> {
        if survivor == loser {
            return Err(NotJoined::Same);
        }
        let followers = self.tx.links_to(loser, FAMILY)?;
        if followers.len() + self.tx.links_to(survivor, FAMILY)?.len() + 1 >= FAMILY {
            return Err(NotJoined::TooMany);
        }
        let (winner, lost) = (self.record_of(survivor)?, self.record_of(loser)?);
        if let (Some((_, kept)), Some((_, gone))) = (&winner, &lost)
            && kept.contradicts(gone)
            && !sure
        {
            return Err(NotJoined::Differ);
        }
        for link in Link::merged(loser, survivor, &followers) {
            self.tx.put_person_link(&link)?;
        }
        // One that is known by its number only has nothing to show to others.
        if let (Some((winner, mut kept)), Some((lost, mut gone))) = (winner, lost) {
            kept.absorb(survivor, loser, &mut gone);
            self.renew_person(winner, kept, effects)?;
            self.renew_person(lost, gone, effects)?;
        }
        for link in &followers {
            if let Some((record, mut person)) = self.record_of(link.person)? {
                person.replaced_by = Some(survivor);
                self.renew_person(record, person, effects)?;
            }
        }
        self.carry(loser, survivor, effects, |_, _| Ok(true))?;
        for destination in &self.rules.destinations {
            let lane = |person: PersonId| LaneKey {
                destination: destination.number,
                class: 0,
                lane: *person.as_bytes(),
            };
            self.tx.move_lane(&lane(loser), &lane(survivor), self.by.at)?;
        }
        self.tx.settle_conflicts(survivor, loser, "merge")?;
        Ok(self.decide(survivor, loser, "merge")?)
    }

    /// Takes back that `loser` was merged: it stands for itself again and for all that had been merged into it before, and gets
    /// back what came under their numbers, before the merge and since. Gives who stood for it.
    pub(crate) fn unmerge(&mut self, loser: PersonId, effects: &mut Effects) -> Result<PersonId, NotJoined> {
        let link = self.tx.person_link(loser)?.ok_or(NotJoined::NotMerged)?;
        let survivor = link.survivor;
        let family = self.tx.links_to(survivor, FAMILY)?;
        let members = Link::under(loser, &family);
        self.tx.drop_person_link(loser)?;
        for link in Link::parted(loser, &family) {
            self.tx.put_person_link(&link)?;
        }
        let (winner, lost) = (self.record_of(survivor)?, self.record_of(loser)?);
        match (winner, lost) {
            (Some((winner, mut kept)), Some((lost, mut back))) => {
                kept.release(loser, &mut back, &members);
                self.doubt_numbers(&mut kept, &members)?;
                self.renew_person(winner, kept, effects)?;
                self.renew_person(lost, back, effects)?;
            }
            (None, Some((lost, mut back))) => {
                back.replaced_by = None;
                self.renew_person(lost, back, effects)?;
            }
            (_, None) => {}
        }
        for member in members.iter().filter(|member| **member != loser) {
            if let Some((record, mut person)) = self.record_of(*member)? {
                person.replaced_by = Some(loser);
                self.renew_person(record, person, effects)?;
            }
        }
        for over in Link::over(loser, &family) {
            if let Some((record, mut person)) = self.record_of(over)? {
                let before = person.identifiers.len();
                person.forget(&members);
                if person.identifiers.len() != before {
                    self.renew_person(record, person, effects)?;
                }
            }
        }
        let mut visits = Vec::new();
        self.carry(survivor, loser, effects, |tx, record| {
            // What belongs to a visit goes with it.
            let theirs = record.encounter.is_some_and(|visit| visits.contains(&visit))
                || match &record.came_with {
                    Some(number) => is_of(tx, number, &members)?,
                    None => false,
                };
            if theirs && record.body.kind() == RecordKind::Encounter {
                visits.push(record.id);
            }
            Ok(theirs)
        })?;
        effects.parted.push((loser, survivor));
        self.tx.reopen_conflicts(survivor, loser)?;
        self.decide(survivor, loser, "unmerge")?;
        Ok(survivor)
    }

    /// Lets two persons be looked up together, or no longer so. They stay two.
    pub(crate) fn link(
        &mut self,
        one: PersonId,
        other: PersonId,
        linked: bool,
        effects: &mut Effects,
    ) -> Result<(), NotJoined> {
        if one == other {
            return Err(NotJoined::Same);
        }
        let (Some(one_held), Some(other_held)) = (self.record_of(one)?, self.record_of(other)?) else {
            return Err(NotJoined::Unknown);
        };
        for ((record, mut person), see) in [(one_held, other), (other_held, one)] {
            match person.see_also.contains(&see) {
                known if known == linked => return Err(NotJoined::Same),
                true => person.see_also.retain(|id| *id != see),
                false => person.see_also.push(see),
            }
            self.renew_person(record, person, effects)?;
        }
        Ok(self.decide(one, other, if linked { "link" } else { "unlink" })?)
    }

    /// Notes what was decided.
    pub(crate) fn decide(&mut self, person: PersonId, other: PersonId, what: &str) -> Result<(), StateError> {
        let detail = serde_json::to_vec(&self.by.word).map_err(|_| StateError::Damaged("decision"))?;
        self.tx.decide(&Decision {
            id: 0,
            person,
            other,
            what: what.to_owned(),
            capture: self.by.said.then_some(self.by.capture),
            at: self.by.at,
            detail,
        })
    }

    /// A number that both say is theirs leads to who had it first; here it is a claim from now on.
    fn doubt_numbers(&mut self, kept: &mut Person, members: &[PersonId]) -> Result<(), StateError> {
        for held in kept.identifiers.iter_mut().filter(|held| held.trust == Trust::Verified) {
            if is_of(self.tx, &held.identifier, members)? {
                held.trust = Trust::Claimed;
            }
        }
        Ok(())
    }

    /// Gives `to` those records of `from` that `wanted` picks: visits first. The number it came with stays in each record.
    pub(crate) fn carry(
        &mut self,
        from: PersonId,
        to: PersonId,
        effects: &mut Effects,
        mut wanted: impl FnMut(&Tx<'_>, &Record) -> Result<bool, StateError>,
    ) -> Result<(), StateError> {
        for kind in RecordKind::of_a_person() {
            let mut before = None;
            for _ in 0..PAGES {
                let (rows, next) = self.tx.held_records_of(from, kind as u8, before, PAGE)?;
                for row in rows {
                    let mut record = held::parse(&row)?;
                    if wanted(self.tx, &record)? {
                        record.person = to;
                        self.renew(record, effects)?;
                    }
                }
                before = next;
                if before.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Puts a person as it stands after this.
    pub(crate) fn renew_person(
        &mut self,
        mut record: Record,
        person: Person,
        effects: &mut Effects,
    ) -> Result<(), StateError> {
        record.body = Body::Person(Box::new(person));
        self.renew(record, effects)
    }

    /// Puts a record as it stands after this, a step after the state that was held, so that destinations take it as the newer
    /// one.
    pub(crate) fn renew(&mut self, mut record: Record, effects: &mut Effects) -> Result<(), StateError> {
        let By { capture, arrived, .. } = self.by;
        let before = record.position;
        let newer = capture > before.capture || (arrived && capture == before.capture);
        let (event, capture) =
            if newer { (before.event, capture) } else { (step(before.event), before.capture) };
        record.position = Position { event, capture, revision: self.rules.revision };
        held::put(self.tx, &record)?;
        if effects.touched.iter().all(|touched| touched.id != record.id) {
            effects.touched.push(Touched { id: record.id, kind: record.body.kind(), current: true });
        }
        Ok(())
    }

    /// What is held of a person, with its record.
    pub(crate) fn record_of(&self, id: PersonId) -> Result<Option<(Record, Person)>, StateError> {
        person::record(self.tx, id)
    }
}

/// Whether a number is of one of these persons and of nobody else.
fn is_of(tx: &Tx<'_>, number: &Identifier, members: &[PersonId]) -> Result<bool, StateError> {
    let (domain, value) = number.lookup();
    let idents = tx.idents(&domain, value)?;
    let best = idents.iter().map(|ident| ident.trust).max();
    let mut holders = idents.iter().filter(|ident| Some(ident.trust) == best).peekable();
    Ok(holders.peek().is_some() && holders.all(|ident| members.contains(&ident.person)))
}

/// The next instant.
pub(crate) fn step(after: Timestamp) -> Timestamp {
    after.checked_add(SignedDuration::from_micros(1)).unwrap_or(after)
}
