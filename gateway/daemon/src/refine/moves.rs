//! Visits, accounts and numbers that become another person's or get another number, and persons that are linked (HL7 v2.5,
//! section 3.6). Runs on the state owner, in capture order.

use buffer::{Binding, StateError};
use interpret::Reason;
use jiff::Timestamp;
use jiff::civil::Date;
use model::{
    Authority, Body, DiagnosisState, Encounter, EncounterStatus, Identifier, Number, NumberKind, PartialTime,
    PersonId, Record, RecordId, RecordKind, Step, StepKind, Trust,
};

use super::bind;
use super::identity::Resolved;
use super::joining::NotJoined;
use super::records::{Applier, Effects, Stop, Touched};
use super::{held, person};

/// Visits of a person that are looked at for one of an account; what is older is no longer held anyway.
const VISITS: usize = 500;

/// The date of a visit (PV1-44), and when the message says what it says.
#[derive(Clone, Copy)]
struct When<'a> {
    date: Option<Date>,
    event: Option<&'a PartialTime>,
}

/// A visit that is held.
struct Visit {
    record: Record,
    encounter: Box<Encounter>,
}

impl Applier<'_, '_> {
    /// Does what a message does beyond saying what is so. `date` is the date of its visit.
    pub(crate) fn step(
        &mut self,
        step: Step,
        date: Option<Date>,
        event: Option<&PartialTime>,
        resolved: &Resolved,
        effects: &mut Effects,
    ) -> Result<(), Stop> {
        use StepKind::{
            AccountIs, AccountMoves, Linked, NumberMoves, Unlinked, VisitGoesOn, VisitIs, VisitMoves,
            VisitsAreOne,
        };
        let (at, date) = (self.said_at(event), When { date, event });
        let of_persons =
            matches!(step.kind, NumberMoves(_) | AccountMoves(_) | VisitMoves(_) | Linked | Unlinked);
        if of_persons && !self.feed.may(Authority::Identity) {
            return Err(Stop::Quarantine(Reason::NoMergeAuthority));
        }
        if !matches!(step.kind, NumberMoves(_) | Linked | Unlinked) && !self.feed.may(Authority::Encounter) {
            return Err(Stop::Quarantine(Reason::NoVisitAuthority));
        }
        let from = self.meant(&step.from)?;
        let within = from.iter().all(|person| *person == self.person);
        if !of_persons && !within && !self.released {
            return Err(Stop::Quarantine(Reason::MoveHeld));
        }
        match step.kind {
            NumberMoves(number) => self.move_number(&number, &from, resolved, effects),
            AccountMoves(account) => self.move_account(&account, &from, resolved, effects),
            VisitMoves(number) => self.move_visit(&number, date, &from, resolved, effects),
            AccountIs { old, new } => self.recharge(&old, &new, effects),
            VisitIs { old, new } => self.renumber(&old, &new, date, true, effects),
            VisitGoesOn { old, new } => self.renumber(&old, &new, date, false, effects),
            VisitsAreOne { lost, kept } => self.join_visits(&lost, &kept, date, effects),
            Linked => self.link(&step.from, true, at, effects),
            Unlinked => self.link(&step.from, false, at, effects),
        }
    }

    /// The persons that numbers mean today, heard of or not.
    fn meant(&self, numbers: &[Identifier]) -> Result<Vec<PersonId>, StateError> {
        let meant = |number: &Identifier| {
            let (domain, value) = number.lookup();
            match self.holder(number)? {
                Some(holder) => person::survivor(self.tx, holder),
                None => Ok(self.rules.id_key.person(&[&domain, value])),
            }
        };
        numbers.iter().map(meant).collect()
    }

    /// A visit of one of `from` is this person's from now on, with all that was made in it (A45).
    fn move_visit(
        &mut self,
        number: &Number,
        date: When<'_>,
        from: &[PersonId],
        resolved: &Resolved,
        effects: &mut Effects,
    ) -> Result<(), Stop> {
        let Some(binding) = self.meaning(number, date, from)? else {
            // Nothing of it was heard yet: who still names one of `from` will mean this person's visit.
            let parts = self.scoped(number, date)?;
            let id = bind::id(&self.rules.id_key, "visit", &parts, &[]);
            let visit = Encounter { moved_from: from.to_vec(), ..Encounter::new(number.clone()) };
            self.bind(number, &parts, id, date.date)?;
            return self.begin(id, visit, resolved);
        };
        match self.owner(&binding)? {
            Some(owner) if owner == self.person => Ok(()),
            Some(owner) if from.contains(&owner) || self.released => {
                self.carry_visit(binding.record, owner, resolved, effects)
            }
            _ => Err(Stop::Quarantine(Reason::MoveHeld)),
        }
    }

    /// The visits of an account of one of `from` are this person's from now on (A44).
    fn move_account(
        &mut self,
        account: &Number,
        from: &[PersonId],
        resolved: &Resolved,
        effects: &mut Effects,
    ) -> Result<(), Stop> {
        let to = self.person;
        for owner in from.iter().filter(|owner| **owner != to) {
            for visit in self.visits_of(*owner, account)? {
                self.carry_visit(visit.record.id, *owner, resolved, effects)?;
            }
        }
        Ok(())
    }

    /// The visits of an account get its other number; the old one stays one of theirs (A35, A36, A41, A49).
    fn recharge(&mut self, old: &Number, new: &Number, effects: &mut Effects) -> Result<(), Stop> {
        for mut visit in self.visits_of(self.person, old)? {
            visit.encounter.charge(new.clone());
            self.renew_visit(visit, effects)?;
        }
        Ok(())
    }

    /// A visit goes by another number and keeps its id; the old one stays one of its numbers (A50). Not `sure`: the new number
    /// may be that of another visit, in which the patient goes on (A06, A07).
    fn renumber(
        &mut self,
        old: &Number,
        new: &Number,
        date: When<'_>,
        sure: bool,
        effects: &mut Effects,
    ) -> Result<(), Stop> {
        let (before, after) = (self.own_visit(old, date)?, self.own_visit(new, date)?);
        match (before, after) {
            // It has been said before, or the numbers are turned round.
            (Some(one), Some(two)) if one == two => self.go_by(one, new, effects),
            (Some(_), Some(two)) if !sure => self.know(two, old, effects),
            (Some(lost), Some(kept)) if self.released => self.absorb(lost, kept, effects),
            (Some(_), Some(_)) => Err(Stop::Quarantine(Reason::MoveHeld)),
            (Some(visit), None) => {
                self.lead(new, date, visit)?;
                self.go_by(visit, new, effects)
            }
            (None, Some(visit)) if !sure => self.know(visit, old, effects),
            (None, Some(visit)) => {
                self.lead(old, date, visit)?;
                self.know(visit, old, effects)
            }
            (None, None) => {
                // Nothing of it was heard yet: who uses the old number means the visit of the new one.
                let parts = self.scoped(new, date)?;
                let id = bind::id(&self.rules.id_key, "visit", &parts, &[]);
                self.lead(new, date, id)?;
                if sure { self.lead(old, date, id) } else { Ok(()) }
            }
        }
    }

    /// Two visits were one: what was made in the one that goes was made in the one that stays (A42).
    fn join_visits(
        &mut self,
        lost: &Number,
        kept: &Number,
        date: When<'_>,
        effects: &mut Effects,
    ) -> Result<(), Stop> {
        match (self.own_visit(lost, date)?, self.own_visit(kept, date)?) {
            (Some(one), Some(two)) if one == two => {
                let turned = self.visit(one)?.is_some_and(|visit| visit.encounter.went_by(kept));
                match turned {
                    true if !self.released => Err(Stop::Quarantine(Reason::MergeInverse)),
                    true => self.go_by(one, kept, effects),
                    false => Ok(()),
                }
            }
            (Some(one), Some(two)) => {
                self.lead(lost, date, two)?;
                self.absorb(one, two, effects)
            }
            _ => self.renumber(lost, kept, date, true, effects),
        }
    }

    /// Lets two persons be looked up together, or no longer so (A24, A37). Who was merged is one of two again.
    fn link(
        &mut self,
        numbers: &[Identifier],
        linked: bool,
        at: Timestamp,
        effects: &mut Effects,
    ) -> Result<(), Stop> {
        let number = numbers.first().ok_or(Stop::Quarantine(Reason::NoSecondPerson))?;
        let other = self.meant(core::slice::from_ref(number))?.into_iter().next().unwrap_or(self.person);
        if other == self.person {
            return if linked { Ok(()) } else { self.part(number, effects) };
        }
        // What was said of the two later holds, whichever arrives first.
        let said = person::held(self.tx, self.person)?.and_then(|own| own.link_said.get(&other).copied());
        if said.is_some_and(|said| said > at) {
            return Ok(());
        }
        for (own, other) in [(self.person, other), (other, self.person)] {
            if let Some((mut record, mut own)) = person::record(self.tx, own)? {
                own.link_said.insert(other, at);
                record.body = Body::Person(Box::new(own));
                held::put(self.tx, &record)?;
            }
        }
        let own = self.person;
        match self.joining()?.link(own, other, linked, effects) {
            Ok(()) | Err(NotJoined::Same) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes back that the two were merged.
    fn part(&mut self, number: &Identifier, effects: &mut Effects) -> Result<(), Stop> {
        let theirs = self.holder(number)?.unwrap_or(self.person);
        let merged = [theirs, self.under].into_iter().find(|person| *person != self.person);
        let Some(loser) = merged else { return Err(Stop::Quarantine(Reason::MergeSelf)) };
        self.joining()?.unmerge(loser, effects)?;
        Ok(())
    }

    /// A number and what came under it are this person's from now on (A43). `from`: whose it is said to be, where that is said.
    fn move_number(
        &mut self,
        number: &Identifier,
        from: &[PersonId],
        resolved: &Resolved,
        effects: &mut Effects,
    ) -> Result<(), Stop> {
        let (domain, value) = number.lookup();
        let holder = self.holder(number)?;
        let owner = holder.map(|holder| person::survivor(self.tx, holder)).transpose()?;
        let (Some(holder), Some(owner)) = (holder, owner) else {
            self.tx.put_ident(&domain, value, self.under, Trust::Verified as u8)?;
            return self.give(number, None, effects);
        };
        if owner == self.person {
            return Ok(());
        }
        // Part of a merged person is given back by an unmerge, not moved.
        let clear = holder == owner && (from.is_empty() || from.contains(&owner));
        if !clear && !self.released {
            return Err(Stop::Quarantine(Reason::MoveHeld));
        }
        self.tx.drop_ident(&domain, value, holder)?;
        self.tx.put_ident(&domain, value, self.under, Trust::Verified as u8)?;
        self.give(number, Some(owner), effects)?;
        let mut visits = Vec::new();
        let to = self.person;
        self.joining()?.carry(owner, to, effects, |_, record| {
            let came = record.came_with.as_ref().is_some_and(|own| own.same(number));
            let theirs = came || record.encounter.is_some_and(|visit| visits.contains(&visit));
            if theirs && record.body.kind() == RecordKind::Encounter {
                visits.push(record.id);
            }
            Ok(theirs)
        })?;
        for visit in visits {
            if let Some(mut visit) = self.visit(visit)? {
                visit.encounter.leave(owner, to);
                visit.record.came_with = visit.record.came_with.or_else(|| resolved.came_with.clone());
                self.renew_visit(visit, effects)?;
            }
        }
        Ok(())
    }

    /// Lets this person hold the number, and who had it no longer.
    fn give(
        &mut self,
        number: &Identifier,
        owner: Option<PersonId>,
        effects: &mut Effects,
    ) -> Result<(), Stop> {
        if let Some((record, mut before)) = owner.map(|id| person::record(self.tx, id)).transpose()?.flatten()
        {
            before.identifiers.retain(|held| !held.identifier.same(number));
            self.joining()?.renew_person(record, before, effects)?;
        }
        if let Some((record, mut now)) = person::record(self.tx, self.person)? {
            now.hold(number.clone(), Trust::Verified);
            self.joining()?.renew_person(record, now, effects)?;
        }
        Ok(())
    }

    /// A visit of `owner` and what was made in it are this person's, under the number that this person came with.
    fn carry_visit(
        &mut self,
        id: RecordId,
        owner: PersonId,
        resolved: &Resolved,
        effects: &mut Effects,
    ) -> Result<(), Stop> {
        let to = self.person;
        let (mut carried, mut documents) = (Vec::new(), Vec::new());
        self.joining()?.carry(owner, to, effects, |_, record| {
            let of_visit = record.id == id || record.encounter == Some(id);
            let theirs = of_visit || documents.contains(&record.id);
            if theirs {
                carried.push(record.id);
                documents.extend(record.body.attachments());
            }
            Ok(theirs)
        })?;
        for record in carried {
            let Some(mut record) = held::record(self.tx, record)? else { continue };
            record.came_with.clone_from(&resolved.came_with);
            if let Body::Encounter(visit) = &mut record.body {
                visit.leave(owner, to);
            }
            held::put(self.tx, &record)?;
        }
        Ok(())
    }

    /// What was made in one visit was made in the other one; the one that goes is kept as an error that says so.
    fn absorb(&mut self, lost: RecordId, kept: RecordId, effects: &mut Effects) -> Result<(), Stop> {
        let (Some(mut gone), Some(mut stays)) = (self.visit(lost)?, self.visit(kept)?) else { return Ok(()) };
        for number in core::iter::once(gone.encounter.number.clone())
            .chain(gone.encounter.other_numbers.iter().map(|other| other.number.clone()))
        {
            let date = gone.encounter.start.as_ref().and_then(PartialTime::date);
            if number.kind == NumberKind::Visit && number.parts(date).is_some() {
                self.lead(&number, When { date, event: None }, kept)?;
            }
            stays.encounter.know(number, true);
        }
        gone.encounter.status = EncounterStatus::EnteredInError;
        gone.encounter.merged_into = Some(kept);
        let person = self.person;
        self.renew_visit(gone, effects)?;
        self.renew_visit(stays, effects)?;
        let mut moved = Vec::new();
        self.joining()?.carry(person, person, effects, |_, record| {
            let theirs = record.encounter == Some(lost);
            if theirs {
                moved.push(record.id);
            }
            Ok(theirs)
        })?;
        for id in moved {
            let Some(mut record) = held::record(self.tx, id)? else { continue };
            record.encounter = Some(kept);
            if let Body::Diagnosis(diagnosis) = &mut record.body {
                // Under the other visit it has the id that the visit gives it.
                let twin = self.rules.id_key.id("diagnosis", &[&kept.to_string(), diagnosis.code.key()]);
                diagnosis.encounter = Some(kept);
                if held::record(self.tx, twin)?.is_none() {
                    held::put(self.tx, &Record { id: twin, ..record.clone() })?;
                    effects.touched.push(Touched { id: twin, kind: RecordKind::Diagnosis, current: true });
                }
                if let Body::Diagnosis(diagnosis) = &mut record.body {
                    diagnosis.state = DiagnosisState::Deleted;
                }
            }
            held::put(self.tx, &record)?;
        }
        Ok(())
    }

    /// Lets a visit go by a number.
    fn go_by(&mut self, id: RecordId, number: &Number, effects: &mut Effects) -> Result<(), Stop> {
        let Some(mut visit) = self.visit(id)? else { return Ok(()) };
        if visit.encounter.number != *number {
            visit.encounter.renumber(number.clone());
            self.renew_visit(visit, effects)?;
        }
        Ok(())
    }

    /// Lets a visit be known under a number that it had before.
    fn know(&mut self, id: RecordId, number: &Number, effects: &mut Effects) -> Result<(), Stop> {
        let Some(mut visit) = self.visit(id)? else { return Ok(()) };
        let before = visit.encounter.clone();
        visit.encounter.know(number.clone(), true);
        if visit.encounter != before {
            self.renew_visit(visit, effects)?;
        }
        Ok(())
    }

    /// The visit of this person that a number means; none where nothing of it was heard.
    fn own_visit(&self, number: &Number, date: When<'_>) -> Result<Option<RecordId>, Stop> {
        let Some(binding) = self.meaning(number, date, &[])? else { return Ok(None) };
        match self.owner(&binding)? {
            Some(owner) if owner != self.person => Err(Stop::Quarantine(Reason::MoveHeld)),
            _ => Ok(Some(binding.record)),
        }
    }

    /// What a number of a visit means: for one of `from` where it was released for that person, else for everybody.
    fn meaning(&self, number: &Number, date: When<'_>, from: &[PersonId]) -> Result<Option<Binding>, Stop> {
        let parts = self.scoped(number, date)?;
        for person in [self.under, self.person].iter().chain(from) {
            let released = bind::released(&parts, *person, date.date);
            if let Some(binding) = bind::meaning(self.tx, &self.rules.ring, &released)? {
                return Ok(Some(binding));
            }
        }
        Ok(bind::meaning(self.tx, &self.rules.ring, &parts)?)
    }

    /// Lets a number mean a visit of this person from now on.
    fn lead(&mut self, number: &Number, date: When<'_>, visit: RecordId) -> Result<(), Stop> {
        let parts = self.scoped(number, date)?;
        let now = self.provenance.received;
        Ok(bind::lead(self.tx, &self.rules.ring, number, &parts, visit, self.under, date.date, now)?)
    }

    fn scoped(&self, number: &Number, date: When<'_>) -> Result<Vec<String>, Stop> {
        let counted = self.counted(number, date.date, date.event)?;
        Ok(number.parts(counted).ok_or(Stop::Quarantine(Reason::NoPriorVisit))?.to_vec())
    }

    /// Whose the record is that a number means.
    fn owner(&self, binding: &Binding) -> Result<Option<PersonId>, StateError> {
        bind::owner(self.tx, binding)
    }

    fn visit(&self, id: RecordId) -> Result<Option<Visit>, StateError> {
        let Some(record) = held::record(self.tx, id)? else { return Ok(None) };
        Ok(match record.body.clone() {
            Body::Encounter(encounter) => Some(Visit { record, encounter }),
            _ => None,
        })
    }

    fn visits_of(&self, person: PersonId, account: &Number) -> Result<Vec<Visit>, StateError> {
        let mut found = Vec::new();
        for row in self.tx.records_of(person, RecordKind::Encounter as u8, VISITS)? {
            if row.content.is_empty() {
                continue;
            }
            let record = held::parse(&row)?;
            if let Body::Encounter(encounter) = record.body.clone()
                && encounter.account.as_ref() == Some(account)
            {
                found.push(Visit { record, encounter });
            }
        }
        Ok(found)
    }

    fn renew_visit(&mut self, visit: Visit, effects: &mut Effects) -> Result<(), Stop> {
        let record = Record { body: Body::Encounter(visit.encounter), ..visit.record };
        Ok(self.joining()?.renew(record, effects)?)
    }
}
