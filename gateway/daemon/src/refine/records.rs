//! What a change does to the records of its person. Runs on the state owner, in capture order.

use buffer::{StateError, Tx};
use interpret::Reason;
use jiff::Timestamp;
use jiff::civil::Date;
use model::{
    Attachment, Authority, Body, Change, Content, Encounter, EncounterChange, Fingerprint, Identifier,
    IdentifierKind, LabResult, Mark, Number, PartialTime, Person, PersonChange, PersonId, Position,
    Provenance, Record, RecordId, RecordKind, Report, ReportChange, Trust,
};

use super::bind::{self, Bound, Meaning, Role};
use super::held;
use super::identity::Resolved;
use super::person;
use super::rules::{FeedRules, REVISION, Rules};

/// What one capture did.
#[derive(Default)]
pub(crate) struct Effects {
    /// The records it concerns, in the order that they depend on each other.
    pub(crate) touched: Vec<Touched>,
    /// A final result was taken back.
    pub(crate) withdrawn: bool,
    /// Persons that look like the one of this capture.
    pub(crate) alike: Vec<PersonId>,
    /// Persons whose merge was taken back, each with who stood for it.
    pub(crate) parted: Vec<(PersonId, PersonId)>,
}

/// A record that a capture concerns.
pub(crate) struct Touched {
    pub(crate) id: RecordId,
    pub(crate) kind: RecordKind,
    /// The state this capture gave it; none where the record holds a later one already.
    pub(crate) current: bool,
}

impl Effects {
    /// Notes that a record is concerned; one that is named again is concerned once.
    pub(crate) fn touch(&mut self, id: RecordId, kind: RecordKind, current: bool) {
        match self.touched.iter_mut().find(|touched| touched.id == id) {
            Some(touched) => touched.current |= current,
            None => self.touched.push(Touched { id, kind, current }),
        }
    }
}

/// Why a change was not applied; nothing of it was.
pub(crate) enum Stop {
    /// It is kept and listed under this reason.
    Quarantine(Reason),
    /// Its feed is only observed.
    Observed,
    /// The state failed.
    State(StateError),
}

impl From<StateError> for Stop {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

/// Applies changes of one capture to the records of one person.
pub(crate) struct Applier<'a, 't> {
    pub(crate) tx: &'a mut Tx<'t>,
    pub(crate) rules: &'a Rules,
    pub(crate) feed: &'a FeedRules,
    pub(crate) person: PersonId,
    /// The one that the capture came under: another one where that was merged into the person. What is made in its name
    /// stays its own when the merge is taken back.
    pub(crate) under: PersonId,
    pub(crate) provenance: Provenance,
    /// An operator released the capture: its numbers are bound anew to this person and date.
    pub(crate) released: bool,
    /// The number that the person came with to whom what this capture is about was moved.
    pub(crate) moved_to: Option<Identifier>,
}

/// Whose the records are that a capture is about: its own person, or who they were moved to.
type Owner = (PersonId, PersonId, Option<Identifier>);

impl Applier<'_, '_> {
    /// Applies the whole change. The caller rolls back when it stops.
    pub(crate) fn apply(&mut self, change: Change, resolved: &Resolved) -> Result<Effects, Stop> {
        let mut effects = Effects::default();
        let about_person = change.is_about_person();
        let event = change.event;
        self.person(change.person, resolved, event.as_ref(), about_person, &mut effects)?;
        if !change.merged.is_empty() {
            self.merge(&change.merged, resolved, &mut effects)?;
        }
        if let Some(visit) = &change.encounter {
            self.identified(&visit.number, &mut effects)?;
        }
        let date =
            change.encounter.as_ref().and_then(|visit| visit.start.value()).and_then(PartialTime::date);
        for step in change.steps {
            self.step(step, date, event.as_ref(), resolved, &mut effects)?;
        }
        let own = self.whose();
        let only_quoted = !change.orders.is_empty() || change.appointment.is_some();
        let listed =
            change.encounter.as_ref().map(|visit| visit.diagnoses_listed.clone()).unwrap_or_default();
        let encounter = match change.encounter {
            Some(visit) => self.encounter(visit, resolved, event.as_ref(), &mut effects)?,
            None => None,
        };
        self.keep(change.attachments, resolved)?;
        let mut diagnoses = change.diagnoses;
        if only_quoted {
            diagnoses = self.unheard_of(diagnoses, encounter)?;
        }
        self.diagnoses(diagnoses, &listed, encounter, event.as_ref(), resolved, &mut effects)?;
        for report in change.reports {
            if !self.feed.may(Authority::Result) {
                return Err(Stop::Quarantine(Reason::NoAuthority));
            }
            let owner = self.whose();
            self.report(report, encounter, resolved, &mut effects)?;
            self.go_on_for(owner);
        }
        for order in change.orders {
            let owner = self.whose();
            self.order(order, encounter, resolved, &mut effects)?;
            self.go_on_for(owner);
        }
        if let Some(appointment) = change.appointment {
            self.appointment(appointment, event.as_ref(), resolved, &mut effects)?;
        }
        for immunization in change.immunizations {
            self.immunization(immunization, event.as_ref(), encounter, resolved, &mut effects)?;
        }
        self.go_on_for(own);
        Ok(effects)
    }

    fn whose(&self) -> Owner {
        (self.person, self.under, self.moved_to.clone())
    }

    fn go_on_for(&mut self, owner: Owner) {
        (self.person, self.under, self.moved_to) = owner;
    }

    fn person(
        &mut self,
        change: PersonChange,
        resolved: &Resolved,
        event: Option<&PartialTime>,
        about_person: bool,
        effects: &mut Effects,
    ) -> Result<(), Stop> {
        let id = RecordId::from(self.person);
        let previous = held::record(self.tx, id)?;
        let here = self.place(previous.as_ref(), event);
        let mut next = match previous.as_ref().map(|p| &p.body) {
            Some(Body::Person(person)) => (**person).clone(),
            _ => Person::default(),
        };
        self.hold(&mut next, resolved)?;
        if self.under != self.person {
            self.loser(&change, resolved, event)?;
        }
        let marks = change.marks.clone();
        let demographics = self.feed.may(Authority::Demographics) && self.under == self.person;
        // A registration that arrives late still says more than the stub that a report has made meanwhile.
        let stated_before = if demographics { next.stated } else { previous.as_ref().map(|p| p.position) };
        let word = place(stated_before, event, &self.provenance);
        if !word.older {
            if let Some(name) = change.name.value() {
                self.tx.put_ident("name", &name.folded(), self.under, Trust::Claimed as u8)?;
            }
            let name = change.name.value().or(next.name.as_ref());
            let birth = change.birth.value().or(next.birth.as_ref());
            if let Some(both) = name.zip(birth).and_then(|(name, birth)| model::name_and_birth(name, birth)) {
                self.tx.put_ident("name-birth", &both, self.under, Trust::Claimed as u8)?;
            }
            // What is said under the number of one who was merged into the person never changes what is said under its own.
            next.apply(change, demographics);
        }
        let same = previous.as_ref().is_some_and(|p| p.body == Body::Person(Box::new(next.clone())));
        if demographics && !word.older && (!same || about_person) {
            next.stated = Some(word.position);
        }
        // A report brings its person along; only what is about the person says it again when nothing changed.
        if same && !about_person {
            return Ok(());
        }
        let current = !(here.older && same);
        if !same {
            effects.alike = self.alike(&next)?;
        }
        if current {
            self.put(id, Body::Person(Box::new(next)), here, None, resolved, marks)?;
        }
        effects.touched.push(Touched { id, kind: RecordKind::Person, current });
        Ok(())
    }

    /// Lets the numbers of this capture lead to who it came under, and the person hold them.
    fn hold(&mut self, person: &mut Person, resolved: &Resolved) -> Result<(), StateError> {
        for (identifier, trust) in &resolved.identifiers {
            let (domain, value) = identifier.lookup();
            let known = self.tx.idents(&domain, value)?;
            let mut known = known.iter().filter(|ident| ident.trust == Trust::Verified as u8);
            let own = match known.next() {
                Some(ident) if person::survivor(self.tx, ident.person)? == self.person => Some(ident.person),
                _ => None,
            };
            // A number that leads here already goes on doing so, whatever this message makes of it.
            if own.is_none() {
                self.tx.put_ident(&domain, value, self.under, *trust as u8)?;
            }
            if let Some(ends) = identifier.valid.ends() {
                self.tx.end_ident(&domain, value, own.unwrap_or(self.under), Some(ends))?;
            }
            match own.unwrap_or(self.under) {
                owner if owner == self.person => person.hold(identifier.clone(), *trust),
                owner if own.is_none() || identifier.kind == IdentifierKind::ResidentId => {
                    person.hold_from(identifier.clone(), *trust, owner);
                }
                // It is on the record of who was merged.
                _ => {}
            }
        }
        Ok(())
    }

    /// Keeps what is said under the number of a person that was merged into this one on its own record too, so that an unmerge
    /// gives it back. Nothing of it is sent.
    fn loser(
        &mut self,
        change: &PersonChange,
        resolved: &Resolved,
        event: Option<&PartialTime>,
    ) -> Result<(), Stop> {
        let id = RecordId::from(self.under);
        let previous = held::record(self.tx, id)?;
        let here = self.place(previous.as_ref(), event);
        let mut next = match previous.as_ref().map(|p| &p.body) {
            Some(Body::Person(person)) => (**person).clone(),
            _ => Person { replaced_by: Some(self.person), ..Person::default() },
        };
        for (identifier, trust) in &resolved.identifiers {
            if let Some(owner) = self.holder(identifier)?
                && owner == self.under
            {
                next.hold(identifier.clone(), *trust);
            }
        }
        let demographics = self.feed.may(Authority::Demographics);
        let stated_before = if demographics { next.stated } else { previous.as_ref().map(|p| p.position) };
        let word = place(stated_before, event, &self.provenance);
        if !word.older {
            next.apply(change.clone(), demographics);
        }
        if previous.as_ref().is_some_and(|p| p.body == Body::Person(Box::new(next.clone()))) {
            return Ok(());
        }
        if demographics && !word.older {
            next.stated = Some(word.position);
        }
        let record = Record {
            id,
            person: self.under,
            position: here.position,
            provenance: self.provenance.clone(),
            came_with: resolved.came_with.clone(),
            encounter: None,
            marks: change.marks.clone(),
            body: Body::Person(Box::new(next)),
        };
        Ok(held::put(self.tx, &record)?)
    }

    /// Persons with the same name, birth date, sex and telephone number: listed for a human, never merged by guess.
    fn alike(&mut self, person: &Person) -> Result<Vec<PersonId>, StateError> {
        let mut found = Vec::new();
        let likenesses = person.likenesses();
        for likeness in &likenesses {
            for ident in self.tx.idents("likeness", likeness)? {
                let other = person::survivor(self.tx, ident.person)?;
                if other == self.person || found.contains(&other) {
                    continue;
                }
                // What it was known by may have changed since.
                let held = person::held(self.tx, other)?;
                let still = held.is_some_and(|held| {
                    held.likenesses().contains(likeness) && !held.contradicts(person) && !held.is_twin(person)
                });
                if still {
                    found.push(other);
                }
            }
            self.tx.put_ident("likeness", likeness, self.under, Trust::Claimed as u8)?;
        }
        Ok(found)
    }

    fn encounter(
        &mut self,
        change: EncounterChange,
        resolved: &Resolved,
        event: Option<&PartialTime>,
        effects: &mut Effects,
    ) -> Result<Option<RecordId>, Stop> {
        let date = change.start.value().and_then(PartialTime::date);
        let counted = self.counted(&change.number, date, event)?;
        let Some(Meaning { parts, record }) = self.meant_by(&change.number, counted, date)? else {
            // Nothing tells the visit from another of that number: said, not dropped.
            let stop = Err(Stop::Quarantine(Reason::NoIdentity));
            return if self.feed.may(Authority::Encounter) { stop } else { Ok(None) };
        };
        let id = record.unwrap_or_else(|| bind::id(&self.rules.id_key, "visit", &parts, &[]));
        let previous = held::held(self.tx, id)?;
        if !self.feed.may(Authority::Encounter) {
            // Only a reference: such a feed makes no visits and changes none.
            return Ok(previous.map(|_| id));
        }
        self.bind(&change.number, &parts, id, date)?;
        let place = self.place_after(previous.as_ref(), event);
        let faded = previous.as_ref().is_some_and(|p| p.record.is_none());
        if faded && place.older {
            // What it lacks cannot be told from what was forgotten.
            effects.touched.push(Touched { id, kind: RecordKind::Encounter, current: false });
            return Ok(Some(id));
        }
        let known = previous.as_ref().map(|p| p.visit(&change.number));
        let previous = previous.and_then(|p| p.record);
        let kept_marks = previous.as_ref().map(|p| p.marks.clone()).unwrap_or_default();
        let continued = (faded || kept_marks.contains(&Mark::Continued)).then_some(Mark::Continued);
        let mut marks = if place.older { kept_marks } else { change.marks.clone() };
        marks.extend(continued.filter(|mark| !marks.contains(mark)));
        let again = previous.as_ref().is_some_and(|p| self.provenance.capture < p.position.capture);
        let held = previous.as_ref().and_then(|p| match &p.body {
            Body::Encounter(encounter) => Some((**encounter).clone()),
            _ => None,
        });
        // What arrives late still says what nothing later has said.
        let next = Encounter::apply(held.clone().or(known), change, self.said_at(event), again);
        let current = !place.older || !held.is_some_and(|held| held.tells_the_same_as(&next));
        let body = Body::Encounter(Box::new(next));
        match previous {
            // It may tell by what comes later: kept, and nothing is sent.
            Some(record) if !current => held::put(self.tx, &Record { body, ..record })?,
            _ => self.put(id, body, place, None, resolved, marks)?,
        }
        effects.touched.push(Touched { id, kind: RecordKind::Encounter, current });
        Ok(Some(id))
    }

    fn report(
        &mut self,
        mut change: ReportChange,
        encounter: Option<RecordId>,
        resolved: &Resolved,
        effects: &mut Effects,
    ) -> Result<(), Stop> {
        self.enclose(&mut change.report.results);
        let date = change.bound_to.as_ref().and_then(PartialTime::date);
        let specimen = change.report.specimens.first().and_then(|s| s.number.as_ref());
        let numbers = [change.report.filler.as_ref(), change.report.placer.as_ref(), specimen];
        let mut bound = Vec::new();
        for number in numbers.into_iter().flatten() {
            if let Some(parts) = self.parts(number, date, date)? {
                bound.push((number.clone(), parts));
            }
        }
        let service = change.report.service.key().to_owned();
        // Of two panels of one order for two isolates each is a report: the isolate tells them apart.
        let made_for = change.report.parent.as_ref().and_then(|parent| parent.result.clone());
        let made_for = made_for.map(|result| {
            let text = result.text.filter(|_| result.sub_id.is_empty()).unwrap_or_default();
            [result.code.key().to_owned(), result.sub_id, text]
        });
        let mut told_by = vec![service.as_str()];
        told_by.extend(made_for.iter().flatten().map(String::as_str));
        let mut marks = change.marks.clone();
        let id = match bound.first() {
            Some((_, parts)) => bind::id(&self.rules.id_key, "report", parts, &told_by),
            None => {
                let Some(time) = &change.bound_to else { return Err(Stop::Quarantine(Reason::NoIdentity)) };
                marks.push(Mark::WeakId);
                let (under, time) = (self.under.to_string(), time.to_string());
                self.rules.id_key.id("weak-report", &[&[under.as_str()], &*told_by, &[&time]].concat())
            }
        };
        for (n, (number, parts)) in bound.iter().enumerate() {
            let first = self.bind(number, parts, id, date)?;
            if n == 0 && first != id {
                self.note(number, parts, Role::Sibling, id, date)?;
            }
        }
        let previous = held::held(self.tx, id)?;
        let place = self.place_after(previous.as_ref(), change.report.stated.as_ref());
        let faded = previous.as_ref().filter(|p| p.record.is_none());
        if faded.is_some() && place.older {
            effects.touched.push(Touched { id, kind: RecordKind::LabReport, current: false });
            return Ok(());
        }
        let withdrawn = faded.is_some_and(|p| p.was_final() && !change.report.status.is_final());
        let is_faded = faded.is_some();
        let previous = previous.and_then(|p| p.record);
        let kept_marks = previous.as_ref().map(|p| p.marks.clone()).unwrap_or_default();
        if is_faded || kept_marks.contains(&Mark::Continued) {
            marks.push(Mark::Continued);
        }
        let kept_encounter = previous.as_ref().and_then(|p| p.encounter);
        let held = previous.and_then(|p| match p.body {
            Body::Report(report) => Some(*report),
            _ => None,
        });
        change.report.order = self.order_of(&change.report, date)?;
        let (next, applied) = Report::apply(held, change);
        let parent = next.parent.clone();
        if applied.withdrawn || withdrawn {
            marks.push(Mark::Withdrawn);
            effects.withdrawn = true;
        }
        if applied.order_unclear {
            marks.push(Mark::OrderUnclear);
        }
        if applied.changed {
            if place.older {
                marks.extend(kept_marks);
            }
            marks.sort();
            marks.dedup();
            let body = Body::Report(Box::new(next));
            self.put(id, body, place, encounter.or(kept_encounter), resolved, marks)?;
        }
        effects.touched.push(Touched { id, kind: RecordKind::LabReport, current: applied.changed });
        self.tie(id, parent.as_deref(), bound.first().map(|(_, parts)| parts.as_slice()), date, effects)
    }

    /// Keeps the contents of documents. One that is held already only stays as long as this capture: it is sent to whoever
    /// has never had it, not again.
    fn keep(&mut self, attachments: Vec<Attachment>, resolved: &Resolved) -> Result<(), Stop> {
        for attachment in attachments {
            let id = self.content(&attachment.print);
            let mut record = match held::record(self.tx, id)? {
                Some(record) => record,
                None => {
                    let place = place(None, None, &self.provenance);
                    let body = Body::Attachment(Box::new(attachment));
                    self.record(id, body, place, None, resolved, Vec::new())
                }
            };
            record.position.capture = record.position.capture.max(self.provenance.capture);
            held::put(self.tx, &record)?;
        }
        Ok(())
    }

    /// Tells the documents of `results` their records.
    pub(super) fn enclose(&self, results: &mut [LabResult]) {
        for document in results.iter_mut().flat_map(LabResult::enclosures_mut) {
            if let Content::Held { record, print } = &mut document.content {
                *record = Some(self.content(print));
            }
        }
    }

    /// The record of a content of this person.
    fn content(&self, print: &Fingerprint) -> RecordId {
        self.rules.id_key.id("attachment", &[&self.under.to_string(), &print.sha256])
    }

    /// Puts a record that is replaced as a whole, unless what is held is later.
    #[expect(clippy::too_many_arguments, reason = "the parts of one record")]
    pub(crate) fn state(
        &mut self,
        id: RecordId,
        body: Body,
        event: Option<&PartialTime>,
        encounter: Option<RecordId>,
        resolved: &Resolved,
        marks: Vec<Mark>,
        effects: &mut Effects,
    ) -> Result<(), Stop> {
        let previous = held::held(self.tx, id)?;
        let place = self.place_after(previous.as_ref(), event);
        let kind = body.kind();
        if !place.older {
            self.put(id, body, place, encounter, resolved, marks)?;
        }
        effects.touched.push(Touched { id, kind, current: !place.older });
        Ok(())
    }

    pub(super) fn put(
        &mut self,
        id: RecordId,
        body: Body,
        place: Place,
        encounter: Option<RecordId>,
        resolved: &Resolved,
        marks: Vec<Mark>,
    ) -> Result<(), Stop> {
        // The number that it came with first: whose an order or a visit was, it stays when a merge is taken back.
        let first = held::record(self.tx, id)?.and_then(|previous| previous.came_with);
        let record = self.record(id, body, place, encounter, resolved, marks);
        let came_with = first.or_else(|| record.came_with.clone());
        Ok(held::put(self.tx, &Record { came_with, ..record })?)
    }

    fn record(
        &self,
        id: RecordId,
        body: Body,
        place: Place,
        encounter: Option<RecordId>,
        resolved: &Resolved,
        marks: Vec<Mark>,
    ) -> Record {
        Record {
            id,
            person: self.person,
            position: Position { revision: self.rules.revision, ..place.position },
            provenance: self.provenance.clone(),
            came_with: self.moved_to.clone().or_else(|| resolved.came_with.clone()),
            encounter,
            marks,
            body,
        }
    }

    /// The parts that the number's ids are made of; none where its scope needs a date that is not there.
    pub(super) fn parts(
        &mut self,
        number: &Number,
        counted: Option<Date>,
        date: Option<Date>,
    ) -> Result<Option<Vec<String>>, Stop> {
        Ok(self.meant_by(number, counted, date)?.map(|meaning| meaning.parts))
    }

    /// The day in whose period the number of a visit is counted: its own date, else that of the event.
    pub(crate) fn counted(
        &self,
        number: &Number,
        date: Option<Date>,
        event: Option<&PartialTime>,
    ) -> Result<Option<Date>, StateError> {
        Ok(match (date, event.and_then(PartialTime::date)) {
            (None, Some(day)) => Some(bind::counted(self.tx, &self.rules.ring, number, day)?),
            (date, _) => date,
        })
    }

    /// Begins a visit of which only is known that it is.
    pub(crate) fn begin(&mut self, id: RecordId, visit: Encounter, resolved: &Resolved) -> Result<(), Stop> {
        let place = Place { position: position(Timestamp::UNIX_EPOCH, &self.provenance), older: false };
        self.put(id, Body::Encounter(Box::new(visit)), place, None, resolved, Vec::new())
    }

    /// What a number means; none where its scope needs a date that is not there. Where it was moved away from the person, what
    /// follows is about whom it was moved to.
    fn meant_by(
        &mut self,
        number: &Number,
        counted: Option<Date>,
        date: Option<Date>,
    ) -> Result<Option<Meaning>, Stop> {
        let who = (self.person, self.under);
        match bind::look_up(self.tx, &self.rules.ring, number, who, counted, date)? {
            Bound::Agrees(meaning) => Ok(Some(meaning)),
            Bound::Moved(meaning, to) => {
                let moved = meaning.record.map(|id| held::record(self.tx, id)).transpose()?.flatten();
                (self.person, self.under) = (to, to);
                self.moved_to = moved.and_then(|record| record.came_with);
                Ok(Some(meaning))
            }
            Bound::Unscoped => Ok(None),
            Bound::Conflict if self.released => {
                let parts = number.parts(counted).map(|parts| bind::released(&parts, self.under, date));
                Ok(parts.map(|parts| Meaning { parts, record: None }))
            }
            Bound::Conflict => Err(Stop::Quarantine(Reason::IdConflict)),
        }
    }

    pub(crate) fn bind(
        &mut self,
        number: &Number,
        parts: &[String],
        id: RecordId,
        date: Option<Date>,
    ) -> Result<RecordId, Stop> {
        let now = self.provenance.received;
        Ok(bind::bind(self.tx, &self.rules.ring, number, parts, id, self.under, date, now)?)
    }

    /// When this capture says what it says: by its source, else when it was received.
    pub(crate) fn said_at(&self, event: Option<&PartialTime>) -> Timestamp {
        event.map_or(self.provenance.received, PartialTime::earliest)
    }

    /// Notes that a record has to do with a number that it is not bound to.
    pub(crate) fn note(
        &mut self,
        number: &Number,
        parts: &[String],
        role: Role,
        id: RecordId,
        date: Option<Date>,
    ) -> Result<(), Stop> {
        let now = self.provenance.received;
        Ok(bind::note(self.tx, &self.rules.ring, number, parts, role, id, self.under, date, now)?)
    }

    /// Where the state that this capture gives a record stands.
    pub(super) fn place(&self, previous: Option<&Record>, event: Option<&PartialTime>) -> Place {
        place(previous.map(|p| p.position), event, &self.provenance)
    }

    /// The same for a record that may have lost its content.
    fn place_after(&self, previous: Option<&held::Held>, event: Option<&PartialTime>) -> Place {
        place(previous.map(|p| p.position), event, &self.provenance)
    }
}

/// Where a state stands, and whether a later one is held already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) position: Position,
    pub(crate) older: bool,
}

fn place(previous: Option<Position>, event: Option<&PartialTime>, provenance: &Provenance) -> Place {
    // Without a time from the source the receive time orders the states; it never enters an id.
    let (earliest, latest): (Timestamp, Timestamp) =
        event.map_or((provenance.received, provenance.received), |e| (e.earliest(), e.latest()));
    let Some(previous) = previous else {
        return Place { position: position(earliest, provenance), older: false };
    };
    if latest < previous.event {
        // What it adds (a number, a missing result) makes a new state at the time that is held.
        return Place { position: position(previous.event, provenance), older: true };
    }
    // A time less exact than the one held does not go back behind it.
    let event = earliest.max(previous.event);
    let older = event == previous.event && provenance.capture < previous.capture;
    Place { position: position(event, provenance), older }
}

fn position(event: Timestamp, provenance: &Provenance) -> Position {
    Position { event, capture: provenance.capture, revision: REVISION }
}

#[cfg(test)]
mod tests {
    use feed::{CaptureId, FeedName};
    use jiff::tz::TimeZone;

    use super::*;

    fn at(row: u32) -> Provenance {
        Provenance {
            capture: CaptureId::new(1, row),
            feed: FeedName::new("his").unwrap(),
            received: "2026-11-24T00:00:00Z".parse().unwrap(),
            control_id: String::new(),
            trigger: String::new(),
            facility: None,
            application: None,
            event: None,
        }
    }

    fn time(text: &str) -> PartialTime {
        PartialTime::read(text, None, &TimeZone::UTC).unwrap()
    }

    #[test]
    fn an_old_message_replayed_after_a_newer_one_is_older() {
        let newer = place(None, Some(&time("20261124100000")), &at(1));
        let replayed = place(Some(newer.position), Some(&time("20261124090000")), &at(2));
        assert!(replayed.older);
        assert!(!place(Some(newer.position), Some(&time("20261124110000")), &at(2)).older);
    }

    #[test]
    fn a_time_that_is_only_a_day_is_not_older_than_an_hour_of_that_day() {
        let newer = place(None, Some(&time("20261124100000")), &at(1));
        let same_day = place(Some(newer.position), Some(&time("20261124")), &at(2));
        assert!(!same_day.older && same_day.position > newer.position);
    }

    #[test]
    fn of_two_messages_of_one_time_the_later_capture_wins() {
        let second = place(None, Some(&time("20261124100000")), &at(2));
        assert!(place(Some(second.position), Some(&time("20261124100000")), &at(1)).older);
        assert!(!place(Some(second.position), Some(&time("20261124100000")), &at(3)).older);
    }
}
