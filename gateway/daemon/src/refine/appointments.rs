//! Appointments. Runs on the state owner, in capture order.

use interpret::Reason;
use model::{Appointment, AppointmentChange, Body, PartialTime, RecordKind};

use super::held;
use super::identity::Resolved;
use super::records::{Applier, Effects, Stop};

impl Applier<'_, '_> {
    /// Applies what is stated about an appointment. Who asked for it and who keeps the schedule number it differently.
    pub(super) fn appointment(
        &mut self,
        mut change: AppointmentChange,
        event: Option<&PartialTime>,
        resolved: &Resolved,
        effects: &mut Effects,
    ) -> Result<(), Stop> {
        self.enclose(&mut change.observations);
        let numbers: Vec<_> = [&change.filler, &change.placer].into_iter().flatten().cloned().collect();
        let Some(id) = self.meet("appointment", &numbers, None)? else {
            return Err(Stop::Quarantine(Reason::NoIdentity));
        };
        if let Some(number) = &change.ordered_as {
            change.order = self.order_named(number, None, "")?;
        }
        let previous = held::record(self.tx, id)?;
        let place = self.place(previous.as_ref(), event);
        let mut marks = change.marks.clone();
        if place.older {
            marks = previous.as_ref().map(|p| p.marks.clone()).unwrap_or_default();
        }
        let before = previous.and_then(|p| match p.body {
            Body::Appointment(appointment) => Some(*appointment),
            _ => None,
        });
        let next = Appointment::apply(before.clone(), change, place.older);
        let current = !place.older || before.as_ref() != Some(&next);
        if current {
            self.put(id, Body::Appointment(Box::new(next)), place, None, resolved, marks)?;
        }
        effects.touch(id, RecordKind::Appointment, current);
        Ok(())
    }
}
