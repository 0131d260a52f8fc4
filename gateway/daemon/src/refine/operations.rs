//! What an operator may ask of refine: run a capture again, release one, settle a conflict of persons.

use std::sync::Arc;

use buffer::{Buffer, Conflict, Outcome, ReadError, StateError, Tx, Urgency};
use feed::CaptureId;
use jiff::Timestamp;
use model::{Identifier, PersonId, ResidentId, Trust};
use tokio::sync::{Notify, watch};

use super::apply::{self, Cause};
use super::joining::{By, Joining, Word};
use super::prepare;
use super::records::Effects;
use super::rules::Rules;
use super::{blocking, person, persons};

/// The operations. Each is one transaction of the state owner.
#[derive(Clone)]
pub struct Operations {
    /// The buffer.
    pub buffer: Buffer,
    /// The rules in force.
    pub rules: watch::Receiver<Arc<Rules>>,
    /// Notified when deliveries were enqueued.
    pub enqueued: Arc<Notify>,
}

/// Why an operation was not done. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// There is no such capture any more.
    #[error("there is no capture {0}; see `hospital-gateway captures list`")]
    NoCapture(CaptureId),
    /// The capture waits for its turn; it needs no replay.
    #[error("capture {0} has not been refined yet; it will be in its turn")]
    NotRefined(CaptureId),
    /// Only a capture that waits for a decision is released.
    #[error(
        "capture {0} is not quarantined as id-conflict, merge-held, merge-inverse or move-held; `captures replay` runs it again"
    )]
    NotInConflict(CaptureId),
    /// There is no such conflict.
    #[error("there is no conflict {0}; see `hospital-gateway persons conflicts`")]
    NoConflict(i64),
    /// The number cannot be verified whatever anybody says.
    #[error(
        "the number of conflict {0} is no resident ID number: correct it at its source, then dismiss the conflict"
    )]
    Malformed(i64),
    /// Two persons cannot be made one by accepting a number.
    #[error(
        "conflict {0} is about two persons that are in the index already: `persons merge` makes them one, `persons reject {0}` says that they are two"
    )]
    TwoPersons(i64),
    /// Only two persons can be said to be two.
    #[error("conflict {0} is about a number, not about two persons; see `hospital-gateway persons resolve`")]
    NotTwo(i64),
    /// They look like two.
    #[error(
        "their verified ID numbers, sex or birth dates differ: look at both with `persons show`, and add --force if they are one all the same"
    )]
    Differ,
    /// Nothing is to be done.
    #[error("it is so already: {0} and {1} are as that asks for; see `hospital-gateway persons show {0}`")]
    AsAsked(PersonId, PersonId),
    /// Nothing is held of a person.
    #[error("there is no such person; see `hospital-gateway persons find`")]
    NoPerson,
    /// The person was never merged.
    #[error("{0} was not merged into anybody; see `hospital-gateway persons show {0}`")]
    NotMerged(PersonId),
    /// Too many would be one.
    #[error(
        "one person would stand for more than 500: the number that joins them means nobody, name it in dummy of the feed"
    )]
    TooMany,
    /// Rows that are not the next ones.
    #[error(
        "the rows do not follow what is in the index: another import of this table is at work; run it again"
    )]
    Chunk,
    /// The buffer could not read the capture.
    #[error("the capture could not be read")]
    Read(#[from] ReadError),
    /// The state failed.
    #[error("the state could not be changed")]
    State(#[from] StateError),
}

/// What a replay did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// So many deliveries wait again, each at its original position.
    Deliveries(usize),
    /// The capture was interpreted again.
    Interpreted,
}

/// What somebody decided about a conflict of persons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The number is that person's: from now on it links.
    Accept,
    /// It is not: it stays a claim, and the conflict is no longer listed.
    Dismiss,
}

impl Operations {
    /// Runs a capture again at its original position: what it had queued for destinations waits again; what had not
    /// come that far is interpreted anew.
    ///
    /// # Errors
    /// When there is no such capture, it has not had its turn, or the buffer fails.
    pub async fn replay(&self, capture: CaptureId, now: Timestamp) -> Result<Replayed, OperationError> {
        let requeued = self.buffer.state().run(Urgency::Now, move |tx| {
            let mut requeued = 0;
            let exception = tx.exception(capture)?.map(|exception| exception.outcome);
            for delivery in apply::deliveries_of(tx, capture)? {
                apply::requeue(tx, &delivery, now)?;
                requeued += 1;
            }
            // A capture may have been sent on as it is, and not been understood all the same.
            let again = matches!(exception, Some(Outcome::NotInterpreted | Outcome::Quarantined));
            Ok((requeued, again))
        });
        let done = match requeued.await? {
            (0, _) | (_, true) => {
                self.interpret(capture, Cause::Replayed).await?;
                Replayed::Interpreted
            }
            (requeued, false) => Replayed::Deliveries(requeued),
        };
        self.enqueued.notify_waiters();
        Ok(done)
    }

    /// Releases a capture that waits for a human's decision: from an id conflict, so that its numbers mean this person and
    /// date from now on, beside the first; or from a merge that looked wrong.
    ///
    /// # Errors
    /// When it is not quarantined for such a reason, or the buffer fails.
    pub async fn release(&self, capture: CaptureId) -> Result<(), OperationError> {
        let exception = self.buffer.state().read(move |read| read.exception(capture)).await?;
        let conflict = |e: &buffer::Exception| {
            matches!(e.outcome, Outcome::Quarantined) && RELEASABLE.contains(&e.reason.as_str())
        };
        if !exception.as_ref().is_some_and(conflict) {
            return Err(OperationError::NotInConflict(capture));
        }
        self.interpret(capture, Cause::Released).await?;
        self.enqueued.notify_waiters();
        Ok(())
    }

    /// Settles a conflict of persons as somebody decided.
    ///
    /// # Errors
    /// When there is no such conflict or what was decided cannot be.
    pub async fn resolve(
        &self,
        conflict: i64,
        decision: Decision,
        now: Timestamp,
    ) -> Result<(), OperationError> {
        let found = self.buffer.state().read(move |read| read.conflict(conflict)).await?;
        let found = found.ok_or(OperationError::NoConflict(conflict))?;
        let identifier: Identifier = serde_json::from_slice(&found.number)
            .map_err(|_| OperationError::State(StateError::Damaged("conflict")))?;
        if decision == Decision::Accept {
            if found.other.is_some_and(|other| other != found.person) {
                return Err(OperationError::TwoPersons(conflict));
            }
            ResidentId::read(&identifier.value).map_err(|_| OperationError::Malformed(conflict))?;
        }
        let rules = self.rules.borrow().clone();
        let done = self.buffer.state().run(Urgency::Now, move |tx| match decision {
            Decision::Accept => {
                accept(tx, &rules, &found, &identifier, now)?;
                tx.settle_conflict(conflict, "accept")
            }
            Decision::Dismiss => tx.settle_conflict(conflict, "dismiss"),
        });
        done.await?;
        self.enqueued.notify_waiters();
        Ok(())
    }

    pub(super) async fn interpret(&self, capture: CaptureId, cause: Cause) -> Result<(), OperationError> {
        let cursor = self.buffer.state().read(|read| read.cursor()).await?;
        if capture > cursor {
            return Err(OperationError::NotRefined(capture));
        }
        let (buffer, rules) = (self.buffer.clone(), self.rules.borrow().clone());
        let item = blocking({
            let rules = rules.clone();
            move || {
                let stored = buffer.capture(capture)?.ok_or(OperationError::NoCapture(capture))?;
                Ok::<_, OperationError>(prepare::one(stored, &rules, &|_| None))
            }
        })
        .await?;
        Ok(self.buffer.state().run(Urgency::Now, move |tx| apply::capture(tx, &rules, item, cause)).await?)
    }
}

/// Reasons for which a capture waits for a human's decision.
const RELEASABLE: [&str; 4] = ["id-conflict", "merge-held", "merge-inverse", "move-held"];

/// The number is that person's: it links from now on, and goes up with the person.
fn accept(
    tx: &mut Tx<'_>,
    rules: &Rules,
    conflict: &Conflict,
    identifier: &Identifier,
    at: Timestamp,
) -> Result<(), StateError> {
    let id = person::survivor(tx, conflict.person)?;
    let (domain, value) = identifier.lookup();
    tx.put_ident(&domain, value, id, Trust::Verified as u8)?;
    let Some((record, mut person)) = person::record(tx, id)? else { return Ok(()) };
    person.hold(identifier.clone(), Trust::Verified);
    let word = Word { who: String::new(), why: String::new() };
    let by = By { capture: tx.cursor()?, arrived: false, said: false, at, word };
    let mut effects = Effects::default();
    Joining { tx, rules, by }.renew_person(record, person, &mut effects)?;
    persons::send(tx, rules, id, at, &effects)
}
