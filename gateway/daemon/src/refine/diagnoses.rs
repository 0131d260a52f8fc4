//! The diagnoses of a visit: listed as a whole, or changed one by one. Runs on the state owner, in capture order.

use buffer::StateError;
use jiff::Timestamp;
use model::{
    Authority, Body, Diagnosis, DiagnosisChange, DiagnosisKind, DiagnosisState, PartialTime, RecordId,
    RecordKind,
};

use super::held;
use super::identity::Resolved;
use super::records::{Applier, Effects, Stop};

/// Diagnoses of a person that are looked at; what is older is no longer held anyway.
const DIAGNOSES: usize = 500;

impl Applier<'_, '_> {
    /// Takes over what is said about diagnoses. What a whole list of the visit's diagnoses of a kind leaves out is no longer
    /// listed; a list that arrives after a later one brings nothing back.
    pub(crate) fn diagnoses(
        &mut self,
        changes: Vec<DiagnosisChange>,
        listed: &[DiagnosisKind],
        encounter: Option<RecordId>,
        event: Option<&PartialTime>,
        resolved: &Resolved,
        effects: &mut Effects,
    ) -> Result<(), Stop> {
        let at = self.said_at(event);
        let owner = encounter.unwrap_or_else(|| self.under.into()).to_string();
        let mut named = Vec::with_capacity(changes.len());
        for change in changes {
            let id = self.rules.id_key.id("diagnosis", &[&owner, change.code.key()]);
            named.push(id);
            let overtaken = self.list_of(encounter, change.kind)?.is_some_and(|later| later > at);
            let state = if change.deleted {
                DiagnosisState::Deleted
            } else if overtaken && held::record(self.tx, id)?.is_none() {
                DiagnosisState::NoLongerListed
            } else {
                DiagnosisState::Stands
            };
            let DiagnosisChange { code, recorded, kind, rank, .. } = change;
            let body = Body::Diagnosis(Diagnosis { code, encounter, recorded, kind, rank, state });
            self.state(id, body, event, encounter, resolved, Vec::new(), effects)?;
        }
        let Some(visit) = encounter.filter(|_| self.feed.may(Authority::Encounter)) else { return Ok(()) };
        for kind in listed {
            if self.list_of(encounter, *kind)? == Some(at) {
                self.leave_out(visit, *kind, &named, event, resolved, effects)?;
            }
        }
        Ok(())
    }

    /// Those that nothing is known of yet: an order or an appointment says what it is for, which changes no diagnosis.
    pub(crate) fn unheard_of(
        &self,
        changes: Vec<DiagnosisChange>,
        encounter: Option<RecordId>,
    ) -> Result<Vec<DiagnosisChange>, StateError> {
        let owner = encounter.unwrap_or_else(|| self.under.into()).to_string();
        let mut unheard = Vec::new();
        for change in changes {
            let id = self.rules.id_key.id("diagnosis", &[&owner, change.code.key()]);
            if held::record(self.tx, id)?.is_none() {
                unheard.push(change);
            }
        }
        Ok(unheard)
    }

    /// When the whole list of the visit's diagnoses of a kind was given last.
    fn list_of(&self, visit: Option<RecordId>, kind: DiagnosisKind) -> Result<Option<Timestamp>, StateError> {
        let Some(visit) = visit else { return Ok(None) };
        Ok(held::record(self.tx, visit)?.and_then(|record| match record.body {
            Body::Encounter(encounter) => encounter.stated.get(&kind.list()).copied(),
            _ => None,
        }))
    }

    /// Diagnoses of the kind that the visit's newest list does not name are no longer listed.
    fn leave_out(
        &mut self,
        visit: RecordId,
        kind: DiagnosisKind,
        named: &[RecordId],
        event: Option<&PartialTime>,
        resolved: &Resolved,
        effects: &mut Effects,
    ) -> Result<(), Stop> {
        for row in self.tx.records_of(self.person, RecordKind::Diagnosis as u8, DIAGNOSES)? {
            if row.content.is_empty() || named.contains(&row.id) {
                continue;
            }
            let record = held::parse(&row)?;
            let Body::Diagnosis(mut diagnosis) = record.body else { continue };
            let concerned = diagnosis.encounter == Some(visit) && diagnosis.kind == kind;
            // One that was said later, by itself or as one of another kind, stays as it is.
            if concerned && diagnosis.state.stands() && record.position.event <= self.said_at(event) {
                diagnosis.state = DiagnosisState::NoLongerListed;
                let body = Body::Diagnosis(diagnosis);
                self.state(row.id, body, event, Some(visit), resolved, record.marks, effects)?;
            }
        }
        Ok(())
    }
}
