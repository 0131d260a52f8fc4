//! What somebody decides about persons: merge, take back a merge, link, reject. Each is one transaction of the state owner and
//! is sent on like what a message says.

use buffer::{StateError, Tx, Urgency};
use jiff::Timestamp;
use model::PersonId;

use super::apply::{self, Sending};
use super::joining::{By, Joining, NotJoined, Word};
use super::operations::{OperationError, Operations};
use super::person;
use super::records::Effects;
use super::rules::Rules;

/// Who decides, why and when.
pub struct Decider {
    /// Who is at the control socket.
    pub who: String,
    /// The reason given.
    pub why: String,
    /// When.
    pub at: Timestamp,
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Who stands for both, or the first one named.
    pub person: PersonId,
    /// The other one.
    pub other: PersonId,
    /// Records that are sent again.
    pub records: usize,
}

type Result<T> = core::result::Result<T, OperationError>;

impl Operations {
    /// Makes two persons one: `survivor` stands for `loser` from now on. With `force` also where verified ID numbers, sex or
    /// birth date differ.
    ///
    /// # Errors
    /// When one of them is not held, they are one already, or they look like two.
    pub async fn merge(
        &self,
        survivor: PersonId,
        loser: PersonId,
        force: bool,
        decider: Decider,
    ) -> Result<Joined> {
        let name = move |tx: &Tx<'_>| Ok((person::survivor(tx, survivor)?, person::survivor(tx, loser)?));
        self.join(name, decider, move |joining, (one, other), effects| {
            for id in [one, other] {
                if joining.record_of(id)?.is_none() {
                    return Err(NotJoined::Unknown);
                }
            }
            joining.merge(one, other, force, effects)?;
            Ok((one, other))
        })
        .await
    }

    /// Takes back that `loser` was merged.
    ///
    /// # Errors
    /// When it was not merged.
    pub async fn unmerge(&self, loser: PersonId, decider: Decider) -> Result<Joined> {
        let name = move |_: &Tx<'_>| Ok((loser, loser));
        self.join(name, decider, move |joining, _, effects| {
            let survivor = joining.unmerge(loser, effects)?;
            Ok((survivor, loser))
        })
        .await
    }

    /// Lets two persons be looked up together, or no longer so.
    ///
    /// # Errors
    /// When one of them is not held, or it is so already.
    pub async fn link(
        &self,
        one: PersonId,
        other: PersonId,
        linked: bool,
        decider: Decider,
    ) -> Result<Joined> {
        let name = move |tx: &Tx<'_>| Ok((person::survivor(tx, one)?, person::survivor(tx, other)?));
        self.join(name, decider, move |joining, (one, other), effects| {
            joining.link(one, other, linked, effects)?;
            Ok((one, other))
        })
        .await
    }

    /// Notes that the two persons of a conflict are two, and takes it off the list for good.
    ///
    /// # Errors
    /// When there is no such conflict, or it is not about two persons.
    pub async fn reject(&self, conflict: i64, decider: Decider) -> Result<Joined> {
        let found = self.buffer.state().read(move |read| read.conflict(conflict)).await?;
        let found = found.ok_or(OperationError::NoConflict(conflict))?;
        let other = found.other.filter(|other| *other != found.person);
        let other = other.ok_or(OperationError::NotTwo(conflict))?;
        let name = move |_: &Tx<'_>| Ok((found.person, other));
        self.join(name, decider, move |joining, (one, other), _| {
            joining.tx.settle_conflict(conflict, "reject")?;
            joining.tx.settle_conflicts(one, other, "reject")?;
            joining.decide(one, other, "reject")?;
            Ok((one, other))
        })
        .await
    }

    /// Does `job` for two persons in one transaction and sends what it touched.
    async fn join(
        &self,
        name: impl FnOnce(&Tx<'_>) -> core::result::Result<(PersonId, PersonId), StateError> + Send + 'static,
        decider: Decider,
        job: impl FnOnce(
            &mut Joining<'_, '_>,
            (PersonId, PersonId),
            &mut Effects,
        ) -> core::result::Result<(PersonId, PersonId), NotJoined>
        + Send
        + 'static,
    ) -> Result<Joined> {
        let rules = self.rules.borrow().clone();
        let done = self.buffer.state().run(Urgency::Now, move |tx| {
            let (one, other) = name(tx)?;
            let capture = tx.cursor()?;
            let mut effects = Effects::default();
            let at = decider.at;
            let word = Word { who: decider.who, why: decider.why };
            let by = By { capture, arrived: false, said: false, at, word };
            // What cannot be done is said before anything is changed.
            let done = tx.part(|tx| {
                let mut joining = Joining { tx, rules: &rules, by };
                job(&mut joining, (one, other), &mut effects)
            });
            match done {
                Ok((person, other)) => {
                    send(tx, &rules, person, at, &effects)?;
                    Ok(Ok(Joined { person, other, records: effects.touched.len() }))
                }
                Err(NotJoined::State(error)) => Err(error),
                Err(error) => Ok(Err((error, one, other))),
            }
        });
        let done = done.await?.map_err(|(error, one, other)| match error {
            NotJoined::Differ => OperationError::Differ,
            NotJoined::Same => OperationError::AsAsked(one, other),
            NotJoined::Unknown => OperationError::NoPerson,
            NotJoined::NotMerged => OperationError::NotMerged(one),
            NotJoined::TooMany => OperationError::TooMany,
            NotJoined::State(error) => OperationError::State(error),
        })?;
        self.enqueued.notify_waiters();
        Ok(done)
    }
}

/// Sends what somebody's decision touched, after the last capture that was refined.
pub(crate) fn send(
    tx: &mut Tx<'_>,
    rules: &Rules,
    person: PersonId,
    at: Timestamp,
    effects: &Effects,
) -> core::result::Result<(), StateError> {
    let capture = tx.cursor()?;
    apply::enqueue(tx, rules, &Sending { feed: None, capture, after: capture, at }, person, effects)?;
    Ok(())
}
