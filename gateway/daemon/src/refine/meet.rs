//! Things with several numbers: who names one by one number and who names it by another mean the same (contract 3).

use jiff::civil::Date;
use model::{Number, RecordId};

use super::bind::{self, Bound};
use super::records::{Applier, Stop};

impl Applier<'_, '_> {
    /// The record of `kind` that any of `numbers` leads to, else the one that is made from the first. All of them lead to it
    /// from now on. None where none is usable.
    ///
    /// Only persons are compared, not dates: what is stated about an order or an appointment is stated on many days, and an
    /// order is placed on another day than its specimen is taken.
    pub(super) fn meet(
        &mut self,
        kind: &'static str,
        numbers: &[Number],
        date: Option<Date>,
    ) -> Result<Option<RecordId>, Stop> {
        let mut usable = Vec::with_capacity(numbers.len());
        for number in numbers {
            if let Some(parts) = self.parts(number, date, None)? {
                usable.push((number, parts));
            }
        }
        let Some((_, first)) = usable.first() else { return Ok(None) };
        let mut id = None;
        for (_, parts) in &usable {
            if id.is_none() {
                id = bind::meeting(self.tx, &self.rules.ring, kind, parts)?;
            }
        }
        let id = id.unwrap_or_else(|| bind::id(&self.rules.id_key, kind, first, &[]));
        for (number, parts) in &usable {
            self.bind(number, parts, id, None)?;
            let now = self.provenance.received;
            bind::meet(self.tx, &self.rules.ring, kind, number, parts, id, self.under, date, now)?;
        }
        Ok(Some(id))
    }

    /// The record of `kind` that a number leads to by now. None too where the number is somebody else's: to refer to it is no
    /// claim.
    pub(super) fn met(
        &self,
        kind: &'static str,
        number: &Number,
        date: Option<Date>,
    ) -> Result<Option<RecordId>, Stop> {
        let who = (self.person, self.under);
        match bind::look_up(self.tx, &self.rules.ring, number, who, date, None)? {
            Bound::Agrees(meaning) | Bound::Moved(meaning, _) => {
                Ok(bind::meeting(self.tx, &self.rules.ring, kind, &meaning.parts)?)
            }
            Bound::Unscoped | Bound::Conflict => Ok(None),
        }
    }
}
