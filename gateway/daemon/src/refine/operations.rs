//! What an operator may ask of refine: run a capture again, release one, settle a conflict of persons.

use std::sync::Arc;

use buffer::{Buffer, Conflict, Outcome, ReadError, StateError, Tx, Urgency};
use feed::CaptureId;
use jiff::Timestamp;
use model::{Body, Identifier, RecordId, ResidentId, Trust};
use tokio::sync::{Notify, watch};

use super::apply::{self, Cause};
use super::prepare;
use super::rules::Rules;
use super::{blocking, held, person};

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
        "capture {0} is not quarantined as id-conflict, merge-held or merge-inverse; `captures replay` runs it again"
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
        "conflict {0} is about two persons that are in the index already: only a merge message of an identity feed joins them"
    )]
    TwoPersons(i64),
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
            for delivery in apply::deliveries_of(tx, capture)? {
                apply::requeue(tx, &delivery, now)?;
                requeued += 1;
            }
            Ok(requeued)
        });
        let done = match requeued.await? {
            0 => {
                self.interpret(capture, Cause::Replayed).await?;
                Replayed::Interpreted
            }
            requeued => Replayed::Deliveries(requeued),
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
    pub async fn resolve(&self, conflict: i64, decision: Decision) -> Result<(), OperationError> {
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
        let done = self.buffer.state().run(Urgency::Now, move |tx| {
            if decision == Decision::Accept {
                accept(tx, &found, &identifier)?;
            }
            tx.drop_conflict(conflict)
        });
        done.await?;
        self.enqueued.notify_waiters();
        Ok(())
    }

    async fn interpret(&self, capture: CaptureId, cause: Cause) -> Result<(), OperationError> {
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
const RELEASABLE: [&str; 3] = ["id-conflict", "merge-held", "merge-inverse"];

/// The number is that person's: it links from now on.
fn accept(tx: &mut Tx<'_>, conflict: &Conflict, identifier: &Identifier) -> Result<(), StateError> {
    let id = person::survivor(tx, conflict.person)?;
    let (domain, value) = identifier.lookup();
    tx.put_ident(&domain, value, id, Trust::Verified as u8)?;
    let Some(mut record) = held::record(tx, RecordId::from(id))? else { return Ok(()) };
    if let Body::Person(person) = &mut record.body {
        person.hold(identifier.clone(), Trust::Verified);
    }
    // A step after the state that is held, so that destinations take it as the newer one.
    record.position.event = record.position.event.max(step(record.position.event));
    held::put(tx, &record)
}

fn step(after: Timestamp) -> Timestamp {
    after.checked_add(jiff::SignedDuration::from_micros(1)).unwrap_or(after)
}
