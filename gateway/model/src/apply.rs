//! From what is held and what a capture states to what is held next. Pure.

use jiff::Timestamp;

use crate::trail::Said;
use crate::{
    Encounter, EncounterChange, Field, ItemKey, LabResult, Mark, Order, OrderChange, OrderItem, PartialTime,
    Person, PersonChange, Report, ReportChange, VisitAspect,
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
enum Turn {
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
        for map in &change.maps {
            // Of each map the version that spoke last.
            let name = |label: &str| label.split('@').next().map(str::to_owned);
            self.maps.retain(|held| name(held) != name(map));
            self.maps.push(map.clone());
        }
        if self.authoritative && !demographics {
            return;
        }
        self.authoritative |= demographics;
        if change.name != Field::Absent {
            self.unknown = change.unknown;
        }
        if !change.mother.is_empty() {
            self.mother = change.mother;
        }
        self.birth_order = change.birth_order.or_else(|| self.birth_order.take());
        change.name.apply(&mut self.name);
        change.birth.apply(&mut self.birth);
        change.sex.apply(&mut self.sex);
        change.marital_status.apply(&mut self.marital_status);
        change.ethnic_group.apply(&mut self.ethnic_group);
        change.addresses.apply(&mut self.addresses);
        change.phones.apply(&mut self.phones);
        change.aliases.apply(&mut self.aliases);
        change.contacts.apply(&mut self.contacts);
        change.multiple_birth.apply(&mut self.multiple_birth);
        change.deceased.apply(&mut self.deceased);
        self.deleted = change.deleted.unwrap_or(self.deleted);
    }
}

impl Encounter {
    /// The visit after `change`, which its source dates `at`. Each aspect takes its latest statement, so that messages lead to
    /// the same visit in whatever order they arrive; of two of one time the one that arrives later holds, unless it comes
    /// `again`.
    pub fn apply(held: Option<Self>, change: EncounterChange, at: Timestamp, again: bool) -> Self {
        let mut next = held.unwrap_or_else(|| Self::new(change.number.clone()));
        if let Some(status) = change.status
            && next.takes(VisitAspect::Status, at, again)
        {
            next.status = status;
        }
        for kind in change.diagnoses_listed {
            next.takes(kind.list(), at, again);
        }
        for number in change.other_numbers {
            next.know(number, false);
        }
        for number in change.old_numbers {
            next.know(number, true);
        }
        // Who has not heard of the account's new number goes on to say the old one.
        let account = match change.account {
            Field::Value(account) if next.went_by(&account) => Field::Absent,
            account => account,
        };
        macro_rules! take {
            ($($field:ident = $value:expr, $aspect:ident;)*) => {
                $(if $value != Field::Absent && next.takes(VisitAspect::$aspect, at, again) {
                    $value.apply(&mut next.$field);
                })*
            };
        }
        take! {
            account = account, Account;
            start = change.start, Start;
            end = change.end, End;
            expected_start = change.expected_start, ExpectedStart;
            expected_end = change.expected_end, ExpectedEnd;
            attending = change.attending, Attending;
            referring = change.referring, Referring;
            consulting = change.consulting, Consulting;
            admitting = change.admitting, Admitting;
            service = change.service, Service;
            admit_source = change.admit_source, AdmitSource;
            disposition = change.disposition, Disposition;
            reason = change.reason, Reason;
        }
        next.walk(Said {
            at,
            again,
            happened: change.at,
            step: change.step,
            location: change.location,
            prior: change.prior_location,
            class_source: change.class_source,
        });
        next
    }

    /// Whether a statement about an aspect is not older than the one that holds; then it holds from now on.
    pub fn takes(&mut self, aspect: VisitAspect, at: Timestamp, again: bool) -> bool {
        let newer = self.stated.get(&aspect).is_none_or(|held| at > *held || (at == *held && !again));
        if newer {
            self.stated.insert(aspect, at);
        }
        newer
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
        let before = order(new.stated.as_ref(), next.stated.as_ref()) == Turn::Before;
        let stated = new.results.clone();
        if before {
            applied.older += usize::from(stated.is_empty());
        } else {
            let kept = next;
            next = Self { results: Vec::new(), children: kept.children, ..new };
            if next.status_source.is_empty() {
                // Nothing is said about the status: that takes nothing back.
                (next.status, next.status_source) = (kept.status, kept.status_source);
            }
            applied.withdrawn |= kept.status.is_final() && !next.status.is_final();
            // A later message that leaves one out does not delete it: OBR fields carry no null in practice.
            next.placer = next.placer.or(kept.placer);
            next.filler = next.filler.or(kept.filler);
            next.order = next.order.or(kept.order);
            next.effective = next.effective.or(kept.effective);
            next.issued = next.issued.or(kept.issued);
            next.ended = next.ended.or(kept.ended);
            next.parent = next.parent.or(kept.parent);
            next.section = next.section.or(kept.section);
            next.clinical = next.clinical.or(kept.clinical);
            unless_empty(&mut next.specimens, kept.specimens);
            unless_empty(&mut next.reasons, kept.reasons);
            unless_empty(&mut next.interpreters, kept.interpreters);
            unless_empty(&mut next.performers, kept.performers);
            unless_empty(&mut next.notes, kept.notes);
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
        if order == Turn::Before {
            applied.older += 1;
            return;
        }
        let says_the_same = held.value == new.value && held.unit == new.unit;
        if new.status_source.is_empty() && says_the_same {
            (new.status, new.status_source) = (held.status, held.status_source.clone());
        }
        if held.status.is_final() && !new.status.is_final() {
            new.withdrawn = true;
            applied.withdrawn = true;
        }
        // Two states that say the same need no order.
        let same_unit = match (&held.unit, &new.unit) {
            (Some(held), Some(new)) => held.same_words(new),
            (held, new) => held.is_none() && new.is_none(),
        };
        let differs = !held.value.same_words(&new.value) || held.status != new.status || !same_unit;
        new.order_unclear = differs && order != Turn::After;
        applied.order_unclear |= new.order_unclear;
        applied.changed |= *held != new;
        *held = new;
    }
}

impl Order {
    /// The order after `change`. Every item is ordered on its own; of an older state only what was missing is taken.
    pub fn apply(held: Option<Self>, change: OrderChange) -> (Self, Applied) {
        let mut applied = Applied::default();
        let known = held.is_some();
        let mut next = held.unwrap_or_default();
        let before = next.clone();
        next.placer = next.placer.take().or_else(|| change.placer.clone());
        next.dated = next.dated.take().or_else(|| change.dated.clone());
        for at in next.meant(&change) {
            let Some(item) = next.items.get_mut(at) else { continue };
            let older = item.take(&change, known, &mut applied);
            match (older, &change.group) {
                (false, group) => group.clone().apply(&mut next.group),
                (true, group) => next.group = next.group.take().or_else(|| group.value().cloned()),
            }
        }
        applied.changed = next != before;
        (next, applied)
    }

    /// The items that a change is about; one that is not there yet is made.
    fn meant(&mut self, change: &OrderChange) -> Vec<usize> {
        let Some(service) = &change.service else {
            if self.items.is_empty() {
                self.items.push(OrderItem::default());
            }
            return (0..self.items.len()).collect();
        };
        let key = ItemKey { service: service.key().to_owned(), repeat: change.repeat };
        if let Some(at) = self.items.iter().position(|item| item.key == key) {
            return vec![at];
        }
        let alone = self.items.len() == 1;
        // Known by its number only so far, or changed to another service: it stays the same item.
        if let Some(item) =
            self.items.first_mut().filter(|item| alone && (item.service.is_empty() || change.exchanged))
        {
            item.key = key;
            return vec![0];
        }
        self.items.push(OrderItem { key, ..OrderItem::default() });
        vec![self.items.len() - 1]
    }
}

impl OrderItem {
    /// Takes over what `change` states. Answers whether that is older than what is held.
    fn take(&mut self, change: &OrderChange, known: bool, applied: &mut Applied) -> bool {
        let new = !known || *self == Self { key: self.key.clone(), ..Self::default() };
        let place = if new { Turn::After } else { order(change.stated.as_ref(), self.stated.as_ref()) };
        if place == Turn::Before {
            applied.older += 1;
            self.fill(change);
            return true;
        }
        let before = self.status;
        if let Some(status) = change.status {
            self.status = status;
        }
        self.order_unclear = place == Turn::Unclear && before != self.status;
        applied.order_unclear |= self.order_unclear;
        if let Some(service) = &change.service {
            self.service = service.clone();
        }
        self.control.clone_from(&change.control);
        self.status_source.clone_from(&change.status_source);
        self.filler = change.filler.clone().or_else(|| self.filler.take());
        change.priority.clone().apply(&mut self.priority);
        change.requester.clone().apply(&mut self.requester);
        change.planned.clone().apply(&mut self.planned);
        match &change.reasons {
            Field::Absent => {}
            Field::Null => self.reasons.clear(),
            Field::Value(reasons) => self.reasons.clone_from(reasons),
        }
        self.ordered = self.ordered.take().or_else(|| change.ordered.clone());
        self.stated = change.stated.clone().or_else(|| self.stated.take());
        if !change.specimens.is_empty() {
            self.specimens.clone_from(&change.specimens);
        }
        if !change.notes.is_empty() {
            self.notes.clone_from(&change.notes);
        }
        for observation in &change.observations {
            match self.observations.iter_mut().find(|held| held.key == observation.key) {
                Some(held) => held.clone_from(observation),
                None => self.observations.push(observation.clone()),
            }
        }
        self.doubtful = change.marks.iter().filter_map(doubtful).collect();
        false
    }

    /// What a late look finds missing.
    fn fill(&mut self, change: &OrderChange) {
        if self.service.is_empty() {
            self.service = change.service.clone().unwrap_or_default();
        }
        self.filler = self.filler.take().or_else(|| change.filler.clone());
        self.priority = self.priority.take().or_else(|| change.priority.value().cloned());
        self.requester = self.requester.take().or_else(|| change.requester.value().cloned());
        self.planned = self.planned.take().or_else(|| change.planned.value().cloned());
        self.ordered = change.ordered.clone().or_else(|| self.ordered.take());
        if self.reasons.is_empty() {
            self.reasons = change.reasons.value().cloned().unwrap_or_default();
        }
        if self.specimens.is_empty() {
            self.specimens.clone_from(&change.specimens);
        }
        if self.notes.is_empty() {
            self.notes.clone_from(&change.notes);
        }
        for observation in &change.observations {
            if self.observations.iter().all(|held| held.key != observation.key) {
                self.observations.push(observation.clone());
            }
        }
    }
}

fn doubtful(mark: &Mark) -> Option<String> {
    match mark {
        Mark::Doubtful(element) => Some(element.clone()),
        _ => None,
    }
}

/// What is left out is not deleted.
fn unless_empty<T>(new: &mut Vec<T>, kept: Vec<T>) {
    if new.is_empty() {
        *new = kept;
    }
}

fn order(new: Option<&PartialTime>, held: Option<&PartialTime>) -> Turn {
    let (Some(new), Some(held)) = (new, held) else { return Turn::Unclear };
    if new.latest() < held.earliest() {
        Turn::Before
    } else if new.earliest() > held.latest() {
        Turn::After
    } else if new == held {
        Turn::Same
    } else {
        Turn::Unclear
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::*;
    use crate::{Coded, ReportStatus, ResultKey, ResultStatus, Value};

    /// A state of a report with one result at a minute of the hour, which may be empty.
    fn state(minute: u8, status: &str, value: &str) -> ReportChange {
        let at = PartialTime::read(&format!("2026112410{minute:02}00"), None, &TimeZone::UTC).unwrap();
        let result = LabResult {
            key: ResultKey { code: "GLU".to_owned(), ..ResultKey::default() },
            code: Coded::of("GLU", None, None),
            stated: Some(at.clone()),
            status_source: status.to_owned(),
            ..LabResult::new(Value::Text(value.to_owned()), ResultStatus::read(status))
        };
        let report = Report {
            status: ReportStatus::read(status).unwrap(),
            status_source: status.to_owned(),
            stated: Some(at),
            results: vec![result],
            ..Report::default()
        };
        ReportChange { bound_to: None, report, marks: Vec::new() }
    }

    proptest! {
        /// Whatever order the states of a report come in, it ends as the latest of them says.
        #[test]
        fn the_latest_state_stands_whatever_order_they_came_in(
            order in Just((0..6_u8).collect::<Vec<_>>()).prop_shuffle(),
            statuses in proptest::collection::vec(prop::sample::select(vec!["P", "F", "C", "X"]), 6),
        ) {
            let mut held = None;
            for n in &order {
                let change = state(*n, statuses[usize::from(*n)], &format!("value {n}"));
                held = Some(Report::apply(held, change).0);
            }
            let held = held.unwrap();
            prop_assert_eq!(held.results.len(), 1);
            prop_assert_eq!(held.status_source.as_str(), statuses[5]);
            prop_assert_eq!(held.results[0].status_source.as_str(), statuses[5]);
            prop_assert_eq!(held.results[0].value.source(), "value 5");
            prop_assert!(!held.results[0].order_unclear);
        }

        /// A final state that a later one takes back is always said to be.
        #[test]
        fn a_withdrawal_is_never_silent(
            statuses in proptest::collection::vec(prop::sample::select(vec!["P", "F", "C"]), 2..6),
        ) {
            let mut held = None;
            for (n, status) in statuses.iter().enumerate() {
                let (next, applied) = Report::apply(held, state(n as u8, status, "x"));
                let back = n > 0 && statuses[n - 1] != "P" && *status == "P";
                prop_assert_eq!(applied.withdrawn, back);
                prop_assert_eq!(next.results[0].withdrawn, back);
                held = Some(next);
            }
        }
    }

    #[test]
    fn a_status_that_is_left_out_takes_nothing_back_unless_the_value_is_another() {
        let (held, _) = Report::apply(None, state(1, "F", "5.1"));
        let (same, applied) = Report::apply(Some(held.clone()), state(2, "", "5.1"));
        assert!(!applied.withdrawn);
        assert_eq!((same.status_source.as_str(), same.results[0].status), ("F", ResultStatus::Final));
        let (other, applied) = Report::apply(Some(held), state(2, "", "5.2"));
        assert!(applied.withdrawn && other.results[0].withdrawn);
        assert_eq!(other.results[0].status, ResultStatus::Unknown);
    }
}
