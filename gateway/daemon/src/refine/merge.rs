//! Merge messages: two persons that were found to be one (contract 6). Runs on the state owner, in capture order.

use buffer::StateError;
use interpret::Reason;
use model::{Authority, Identifier, Number, PersonId, Trust};

use super::identity::{self, Resolved};
use super::joining::{By, Joining, NotJoined, Word};
use super::person;
use super::records::{Applier, Effects, Stop};

impl<'t> Applier<'_, 't> {
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
            let holder = match self.holder(number)? {
                Some(holder) => holder,
                None => {
                    // Nobody came under this number yet: who does so later is this person, until that is taken back.
                    let holder = self.rules.id_key.person(&[&domain, value]);
                    self.tx.put_ident(&domain, value, holder, Trust::Verified as u8)?;
                    holder
                }
            };
            let loser = person::survivor(self.tx, holder)?;
            if loser != self.person {
                let (survivor, sure) = (self.person, self.released);
                self.joining()?.merge(survivor, loser, sure, effects)?;
            } else if holder == self.person && resolved.under != self.person && !self.released {
                return Err(Stop::Quarantine(Reason::MergeInverse));
            }
        }
        Ok(())
    }

    /// Merges an unknown patient, who was known by the visit alone, into the person of this capture, which says whose visit it is.
    pub(crate) fn identified(&mut self, visit: &Number, effects: &mut Effects) -> Result<(), Stop> {
        if !self.feed.may(Authority::Identity) {
            return Ok(());
        }
        let Some(identifier) = identity::visit_identifier(visit) else { return Ok(()) };
        let Some(holder) = self.holder(&identifier)? else { return Ok(()) };
        // Once it was said whose visit it is, another name for it is no identification.
        if holder != self.person && self.tx.person_link(holder)?.is_none() {
            let (survivor, sure) = (self.person, self.released);
            self.joining()?.merge(survivor, holder, sure, effects)?;
        }
        Ok(())
    }

    /// Who holds the number itself, before any merge.
    pub(crate) fn holder(&self, number: &Identifier) -> Result<Option<PersonId>, StateError> {
        let (domain, value) = number.lookup();
        let idents = self.tx.idents(&domain, value)?;
        let verified = idents.into_iter().find(|ident| ident.trust == Trust::Verified as u8);
        Ok(verified.map(|ident| ident.person))
    }

    /// Changes who is who in the name of this capture.
    pub(crate) fn joining(&mut self) -> Result<Joining<'_, 't>, StateError> {
        let capture = self.provenance.capture;
        let by = By {
            capture,
            arrived: capture > self.tx.cursor()?,
            said: true,
            at: self.provenance.received,
            word: Word {
                who: self.provenance.feed.as_str().to_owned(),
                why: self.provenance.trigger.clone(),
            },
        };
        Ok(Joining { tx: self.tx, rules: self.rules, by })
    }
}

impl From<NotJoined> for Stop {
    fn from(error: NotJoined) -> Self {
        match error {
            NotJoined::Differ | NotJoined::TooMany => Self::Quarantine(Reason::MergeHeld),
            NotJoined::Same => Self::Quarantine(Reason::MergeSelf),
            NotJoined::NotMerged | NotJoined::Unknown => Self::Quarantine(Reason::NoPriorNumber),
            NotJoined::State(error) => Self::State(error),
        }
    }
}
