//! MRG: numbers, accounts and visits that become another person's or get another number (HL7 v2.5, section 3.6).

use hl7::Segment;
use model::{EncounterChange, Identifier, Number, NumberKind, PersonChange, Step, StepKind};

use crate::visit::numbers;
use crate::{Context, Reason, patient};

/// What MRG says was so before.
pub(crate) struct Prior {
    /// The person (MRG-1, and MRG-4 of old versions).
    pub(crate) persons: Vec<Identifier>,
    /// Numbers of the person that are no longer so (MRG-2).
    pub(crate) alternates: Vec<Identifier>,
    account: Option<Number>,
    visit: Option<Number>,
    other_visits: Vec<Number>,
}

impl Prior {
    /// Reads the MRG of one group.
    pub(crate) fn read(mrg: &[Segment<'_>], context: &Context) -> Self {
        let persons = |places: &[usize]| {
            let mut found: Vec<Identifier> = Vec::new();
            for field in mrg.iter().flat_map(|mrg| places.iter().map(|n| mrg.field(*n))) {
                for identifier in field.repetitions().filter_map(|cx| patient::identifier(cx, context)) {
                    if !found.iter().any(|held| held.same(&identifier)) {
                        found.push(identifier);
                    }
                }
            }
            found
        };
        let named = |n: usize, kind| -> Vec<Number> {
            mrg.iter().flat_map(|mrg| numbers(mrg.field(n).repetitions(), kind, context)).collect()
        };
        Self {
            persons: persons(&[1, 4]),
            alternates: persons(&[2]),
            account: named(3, NumberKind::Account).into_iter().next(),
            visit: named(5, NumberKind::Visit).into_iter().next(),
            other_visits: named(6, NumberKind::Visit),
        }
    }

    /// What an event does with accounts and visits. `visit` is what it says of the visit itself.
    pub(crate) fn steps(
        self,
        event: &str,
        account: Option<Number>,
        visit: &mut Option<EncounterChange>,
    ) -> Result<Vec<Step>, Reason> {
        let goes_by = visit.as_ref().map(|visit| visit.number.clone());
        let Self { persons: from, account: old_account, visit: old_visit, other_visits, .. } = self;
        if let Some(visit) = visit {
            visit.old_numbers.extend(old_visit.iter().cloned().chain(other_visits));
        }
        let step = |kind| Step { kind, from: from.clone() };
        let another = |old: Option<Number>, new: Option<Number>| match (old, new) {
            (Some(old), Some(new)) if old == new => Err(Reason::MergeSelf),
            (Some(old), Some(new)) => Ok((old, new)),
            _ => Err(Reason::NoPriorVisit),
        };
        Ok(match event {
            "A36" if old_account.is_none() || old_account == account => Vec::new(),
            "A35" | "A36" | "A41" | "A49" => {
                let (old, new) = another(old_account, account)?;
                vec![step(StepKind::AccountIs { old, new })]
            }
            "A42" => {
                let (lost, kept) = another(old_visit, goes_by)?;
                vec![step(StepKind::VisitsAreOne { lost, kept })]
            }
            "A50" => {
                let (old, new) = another(old_visit, goes_by)?;
                vec![step(StepKind::VisitIs { old, new })]
            }
            "A06" | "A07" => match (old_visit, goes_by) {
                (Some(old), Some(new)) if old != new => vec![step(StepKind::VisitGoesOn { old, new })],
                _ => Vec::new(),
            },
            "A44" | "A45" if from.is_empty() => return Err(Reason::NoPriorNumber),
            "A44" => {
                let moved = old_account.clone().or_else(|| account.clone()).ok_or(Reason::NoPriorVisit)?;
                let mut steps = vec![step(StepKind::AccountMoves(moved))];
                if let Ok((old, new)) = another(old_account, account) {
                    steps.push(step(StepKind::AccountIs { old, new }));
                }
                steps
            }
            "A45" => {
                let moved = old_visit.clone().or_else(|| goes_by.clone()).ok_or(Reason::NoPriorVisit)?;
                let mut steps = vec![step(StepKind::VisitMoves(moved))];
                if let Ok((old, new)) = another(old_visit, goes_by) {
                    steps.push(step(StepKind::VisitIs { old, new }));
                }
                steps
            }
            _ => Vec::new(),
        })
    }

    /// A43: a number of the person goes to another one, who is named by the other numbers of PID.
    pub(crate) fn moved_number(self, person: &mut PersonChange) -> Result<Vec<Step>, Reason> {
        let mut numbers = self.persons.into_iter();
        let moved = numbers.next().ok_or(Reason::NoPriorNumber)?;
        person.identifiers.retain(|own| !own.same(&moved));
        if person.identifiers.is_empty() {
            return Err(Reason::NoMoveTarget);
        }
        Ok(vec![Step { kind: StepKind::NumberMoves(moved), from: numbers.collect() }])
    }
}

/// The account of PID-18 where one is stated.
pub(crate) fn account(pid: Segment<'_>, context: &Context) -> Option<Number> {
    numbers(pid.field(18).repetitions(), NumberKind::Account, context).into_iter().next()
}
