//! Two persons that were found to be one (contract 6). Runs on the state owner, in capture order.

use buffer::{LaneKey, StateError};
use interpret::Reason;
use model::{Authority, Body, Identifier, PersonId, Position, Record, RecordId, RecordKind, Trust};

use super::identity::Resolved;
use super::records::{Applier, Effects, Stop, Touched};
use super::rules::REVISION;
use super::{held, person};

/// Records of one kind that are carried over at most; what is older is no longer held anyway.
const RECORDS: usize = 500;

impl Applier<'_, '_> {
    /// Merges the persons that hold `numbers` into the person of this capture.
    pub(crate) fn merge(
        &mut self,
        numbers: &[Identifier],
        resolved: &Resolved,
        effects: &mut Effects,
    ) -> Result<(), Stop> {
        if !self.feed.may(Authority::Identity) {
            return Err(Stop::Quarantine(Reason::NoMergeAuthority));
        }
        for number in numbers {
            if resolved.identifiers.iter().any(|(own, _)| own.same(number)) {
                return Err(Stop::Quarantine(Reason::MergeSelf));
            }
            let (domain, value) = number.lookup();
            let Some(holder) = self.holder(number)? else {
                // Nobody came under this number yet: who does so later is this person.
                self.tx.put_ident(&domain, value, self.person, Trust::Verified as u8)?;
                continue;
            };
            let loser = person::survivor(self.tx, holder)?;
            if loser != self.person {
                self.link(loser, effects)?;
            } else if holder == self.person && self.came_from_elsewhere(resolved)? && !self.released {
                return Err(Stop::Quarantine(Reason::MergeInverse));
            }
        }
        Ok(())
    }

    /// Who holds the number itself, before any merge.
    fn holder(&self, number: &Identifier) -> Result<Option<PersonId>, StateError> {
        let (domain, value) = number.lookup();
        let idents = self.tx.idents(&domain, value)?;
        let verified = idents.into_iter().find(|ident| ident.trust == Trust::Verified as u8);
        Ok(verified.map(|ident| ident.person))
    }

    /// Whether the number in PID-3 is of a person that was merged into this one before.
    fn came_from_elsewhere(&self, resolved: &Resolved) -> Result<bool, StateError> {
        let Some(number) = &resolved.came_with else { return Ok(false) };
        let (domain, value) = number.lookup();
        let idents = self.tx.idents(&domain, value)?;
        Ok(idents.iter().any(|ident| ident.trust == Trust::Verified as u8 && ident.person != self.person))
    }

    fn link(&mut self, loser: PersonId, effects: &mut Effects) -> Result<(), Stop> {
        let (Some(mut winner), Some(mut lost)) = (self.record_of(self.person)?, self.record_of(loser)?)
        else {
            // One of them is known by its number only: there is nothing to carry over.
            self.tx.put_person(loser, self.person.as_bytes())?;
            return Ok(());
        };
        let (Body::Person(kept), Body::Person(gone)) = (&mut winner.body, &mut lost.body) else {
            return Err(Stop::State(StateError::Damaged("person")));
        };
        if kept.contradicts(gone) && !self.released {
            return Err(Stop::Quarantine(Reason::MergeHeld));
        }
        // Links are kept flat: who was merged into the loser is now merged into the survivor.
        let earlier = core::mem::take(&mut gone.replaces);
        gone.replaced_by = Some(self.person);
        for id in [loser].into_iter().chain(earlier.iter().copied()) {
            self.tx.put_person(id, self.person.as_bytes())?;
            if !kept.replaces.contains(&id) {
                kept.replaces.push(id);
            }
        }
        if kept.resident_id().is_none() {
            let own = gone.identifiers.iter().find(|held| {
                held.trust == Trust::Verified && held.identifier.kind == model::IdentifierKind::ResidentId
            });
            if let Some(own) = own {
                kept.hold(own.identifier.clone(), Trust::Verified);
            }
        }
        self.renew(winner, RecordKind::Person, effects)?;
        self.renew(lost, RecordKind::Person, effects)?;
        for id in earlier {
            if let Some(mut record) = self.record_of(id)?
                && let Body::Person(person) = &mut record.body
            {
                person.replaced_by = Some(self.person);
                self.renew(record, RecordKind::Person, effects)?;
            }
        }
        self.carry_over(loser, effects)?;
        for destination in &self.rules.destinations {
            let lane = |person: PersonId| LaneKey {
                destination: destination.number,
                class: 0,
                lane: *person.as_bytes(),
            };
            self.tx.move_lane(&lane(loser), &lane(self.person), self.provenance.received)?;
        }
        Ok(())
    }

    /// What came under the loser is the survivor's from now on. The number it came with stays in each record.
    fn carry_over(&mut self, loser: PersonId, effects: &mut Effects) -> Result<(), Stop> {
        for kind in [RecordKind::Encounter, RecordKind::Diagnosis, RecordKind::LabReport] {
            for row in self.tx.records_of(loser, kind as u8, RECORDS)? {
                if row.content.is_empty() {
                    continue;
                }
                let mut record = held::parse(&row)?;
                record.person = self.person;
                self.renew(record, kind, effects)?;
            }
        }
        Ok(())
    }

    /// Puts a record as it stands after this capture, a step after the state that was held.
    fn renew(&mut self, mut record: Record, kind: RecordKind, effects: &mut Effects) -> Result<(), Stop> {
        let before = record.position;
        let capture = self.provenance.capture.max(before.capture);
        record.position = Position { event: before.event, capture, revision: REVISION };
        held::put(self.tx, &record)?;
        if effects.touched.iter().all(|touched| touched.id != record.id) {
            effects.touched.push(Touched { id: record.id, kind, current: true });
        }
        Ok(())
    }

    fn record_of(&self, person: PersonId) -> Result<Option<Record>, StateError> {
        held::record(self.tx, RecordId::from(person))
    }
}
