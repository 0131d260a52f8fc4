//! From what is held and what a capture states to what is held next. Pure.

use crate::{
    EarlierClass, EarlierLocation, Encounter, EncounterChange, LabResult, PartialTime, Person, PersonChange,
    Report, ReportChange, VisitStep,
};

/// What became of the results of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Anything changed.
    pub changed: bool,
    /// Older states of results that were not applied.
    pub older: usize,
    /// A final state was taken back; somebody has to hear of it (contract 5).
    pub withdrawn: bool,
    /// The order of two states could not be told.
    pub order_unclear: bool,
}

/// How a stated time relates to the one held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Before,
    Same,
    Unclear,
    After,
}

impl Person {
    /// Takes over what `change` states besides numbers, which the person index judges.
    ///
    /// A feed without authority over demographics fills a stub and never changes what an authoritative feed set.
    pub fn apply(&mut self, change: PersonChange, demographics: bool) {
        if self.authoritative && !demographics {
            return;
        }
        self.authoritative |= demographics;
        if change.name != crate::Field::Absent {
            self.unknown = change.unknown;
        }
        if !change.mother.is_empty() {
            self.mother = change.mother;
        }
        self.birth_order = change.birth_order.or_else(|| self.birth_order.take());
        change.name.apply(&mut self.name);
        change.birth.apply(&mut self.birth);
        change.sex.apply(&mut self.sex);
        change.addresses.apply(&mut self.addresses);
        change.phones.apply(&mut self.phones);
        change.deceased.apply(&mut self.deceased);
        self.deleted = change.deleted.unwrap_or(self.deleted);
    }
}

impl Encounter {
    /// The visit after `change`, which is not older than what is held.
    pub fn apply(held: Option<Self>, change: EncounterChange) -> Self {
        let mut next = held.unwrap_or_else(|| Self::new(change.number.clone()));
        next.step(&change);
        if let Some(status) = change.status {
            next.status = status;
        }
        if !change.class_source.is_empty() {
            next.class = change.class;
            next.class_source = change.class_source;
        }
        change.start.apply(&mut next.start);
        change.end.apply(&mut next.end);
        change.location.apply(&mut next.location);
        change.attending.apply(&mut next.attending);
        next
    }

    /// What a later look finds missing in the visit: only what can never have been taken back since.
    pub fn fill(&mut self, change: EncounterChange) -> bool {
        let before = self.clone();
        if self.class_source.is_empty() {
            (self.class, self.class_source) = (change.class, change.class_source);
        }
        if self.start.is_none() {
            self.start = change.start.value().cloned();
        }
        if self.attending.is_none() {
            self.attending = change.attending.value().cloned();
        }
        *self != before
    }

    /// Keeps a trace of what the step leaves behind.
    fn step(&mut self, change: &EncounterChange) {
        match change.step {
            VisitStep::Statement => {}
            VisitStep::Transfer => {
                let to = change.location.value();
                if to.is_none() || to == self.location.as_ref() {
                    return;
                }
                if let Some(location) = self.location.take() {
                    let since = self.located_since.take();
                    self.earlier_locations.push(EarlierLocation {
                        location,
                        since,
                        until: change.at.clone(),
                    });
                }
                self.located_since = change.at.clone();
            }
            VisitStep::TransferCancelled => {
                let Some(last) = self.earlier_locations.pop() else { return };
                (self.location, self.located_since) = (Some(last.location), last.since);
            }
            VisitStep::ClassChange => {
                let same = self.class_source == change.class_source || change.class_source.is_empty();
                if !same && !self.class_source.is_empty() {
                    let class_source = core::mem::take(&mut self.class_source);
                    let until = change.at.clone();
                    self.earlier_classes.push(EarlierClass { class: self.class, class_source, until });
                }
            }
        }
    }
}

impl Report {
    /// The report after `change`. Every result is ordered on its own, and the report's own fields by its own time:
    /// the later time wins, not the rank of the status (contract 5).
    pub fn apply(held: Option<Self>, change: ReportChange) -> (Self, Applied) {
        let new = change.report;
        let Some(mut next) = held else {
            return (new, Applied { changed: true, ..Applied::default() });
        };
        let mut applied = Applied::default();
        let results = core::mem::take(&mut next.results);
        let before = order(new.stated.as_ref(), next.stated.as_ref()) == Order::Before;
        let stated = new.results.clone();
        if before {
            applied.older += usize::from(stated.is_empty());
        } else {
            applied.withdrawn |= next.status.is_final() && !new.status.is_final();
            let kept = next.clone();
            next = Self { results: Vec::new(), ..new };
            // A later message that leaves one out does not delete it: OBR fields carry no null in practice.
            next.placer = next.placer.or(kept.placer);
            next.filler = next.filler.or(kept.filler);
            next.effective = next.effective.or(kept.effective);
            next.issued = next.issued.or(kept.issued);
            next.specimen = next.specimen.or(kept.specimen);
            next.section = next.section.or(kept.section);
            if next.notes.is_empty() {
                next.notes = kept.notes;
            }
            applied.changed = true;
        }
        next.results = results;
        for result in stated {
            next.apply_result(result, &mut applied);
        }
        (next, applied)
    }

    fn apply_result(&mut self, mut new: LabResult, applied: &mut Applied) {
        let Some(held) = self.results.iter_mut().find(|held| held.key == new.key) else {
            self.results.push(new);
            applied.changed = true;
            return;
        };
        let order = order(new.stated.as_ref(), held.stated.as_ref());
        if order == Order::Before {
            applied.older += 1;
            return;
        }
        if held.status.is_final() && !new.status.is_final() {
            new.withdrawn = true;
            applied.withdrawn = true;
        }
        // Two states that say the same need no order.
        let differs = (&held.value, held.status, &held.unit) != (&new.value, new.status, &new.unit);
        new.order_unclear = differs && order != Order::After;
        applied.order_unclear |= new.order_unclear;
        applied.changed |= *held != new;
        *held = new;
    }
}

fn order(new: Option<&PartialTime>, held: Option<&PartialTime>) -> Order {
    let (Some(new), Some(held)) = (new, held) else { return Order::Unclear };
    if new.latest() < held.earliest() {
        Order::Before
    } else if new.earliest() > held.latest() {
        Order::After
    } else if new == held {
        Order::Same
    } else {
        Order::Unclear
    }
}
