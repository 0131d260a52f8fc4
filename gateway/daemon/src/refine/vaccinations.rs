//! Vaccinations. Runs on the state owner, in capture order.

use interpret::Reason;
use model::{Body, Immunization, ImmunizationChange, Mark, PartialTime, RecordId, RecordKind};

use super::held;
use super::identity::Resolved;
use super::records::{Applier, Effects, Stop};

impl Applier<'_, '_> {
    /// Applies what is stated about a vaccination.
    pub(super) fn immunization(
        &mut self,
        mut change: ImmunizationChange,
        event: Option<&PartialTime>,
        encounter: Option<RecordId>,
        resolved: &Resolved,
        effects: &mut Effects,
    ) -> Result<(), Stop> {
        self.enclose(&mut change.observations);
        let mut marks = change.marks.clone();
        let named = match &change.number {
            Some(number) => self.meet("immunization", core::slice::from_ref(number), None)?,
            None => None,
        };
        let id = match named {
            Some(id) if change.repeat == 0 => id,
            // A number for several: the first has it, the others are told by their place behind it.
            Some(id) => id.part(&self.rules.id_key, "immunization", &[&change.repeat.to_string()]),
            None => {
                let Some(time) = change.fields.given.value().filter(|_| !change.vaccine.is_empty()) else {
                    return Err(Stop::Quarantine(Reason::NoIdentity));
                };
                marks.push(Mark::WeakId);
                let (person, time) = (self.under.to_string(), time.to_string());
                self.rules.id_key.id("weak-immunization", &[&person, change.vaccine.key(), &time])
            }
        };
        let previous = held::record(self.tx, id)?;
        let place = self.place(previous.as_ref(), event);
        let kept = previous.as_ref().and_then(|p| p.encounter);
        if place.older {
            marks = previous.as_ref().map(|p| p.marks.clone()).unwrap_or_default();
        }
        let before = previous.and_then(|p| match p.body {
            Body::Immunization(immunization) => Some(*immunization),
            _ => None,
        });
        let next = Immunization::apply(before.clone(), change, place.older);
        let current = !place.older || before.as_ref() != Some(&next);
        if current {
            let body = Body::Immunization(Box::new(next));
            self.put(id, body, place, encounter.or(kept), resolved, marks)?;
        }
        effects.touch(id, RecordKind::Immunization, current);
        Ok(())
    }
}
