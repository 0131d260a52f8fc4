//! Refine: from captures to records and deliveries.
//!
//! Decoding and interpretation run in parallel and touch no state ([`prepare`]); their effects are applied on the state
//! owner strictly in capture order, each batch in one transaction together with the cursor ([`apply`]). A crash between
//! two batches repeats nothing and skips nothing: the cursor is the number of the last capture whose effects are durable.

mod apply;
mod appointments;
mod bind;
mod debts;
mod diagnoses;
mod family;
mod fates;
mod held;
mod identity;
mod import;
mod joining;
mod meet;
mod merge;
mod moves;
mod operations;
mod orders;
mod person;
mod persons;
mod prepare;
mod recall;
mod records;
mod rules;
mod vaccinations;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use buffer::{Buffer, StateError, Stored, Tx, Urgency};
use feed::{CaptureId, FeedName};
use hl7::charset::Learned;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

pub use fates::Fates;
pub use operations::{Decision, OperationError, Operations, Replayed};
pub use person::holders;
pub use persons::{Decider, Joined};
pub use recall::{After, HeldRecord, Recalled, Selection, Way};
pub use rules::{DestinationRules, FeedRules, REVISION, Rules};

pub(crate) use debts::{Debt, parse as debt};
pub(crate) use held::record as held_record;
pub(crate) use import::{CHUNK, Chunk, Imported};
pub(crate) use joining::Word;
pub(crate) use person::survivor;

use apply::Cause;
use prepare::{Prepared, Reading};

/// Captures of one transaction; more only lengthens the wait of the state's urgent jobs.
const BATCH: usize = 128;
/// Bytes of one batch in memory.
const BATCH_BYTES: usize = 4 << 20;
/// Tries of a batch before its captures are applied one by one.
const TRIES: u32 = 3;

/// What refine works with.
pub struct Refine {
    /// The buffer.
    pub buffer: Buffer,
    /// The rules in force.
    pub rules: watch::Receiver<Arc<Rules>>,
    /// Notified when captures were committed.
    pub committed: Arc<Notify>,
    /// Notified here when deliveries were enqueued.
    pub enqueued: Arc<Notify>,
    /// Told how far the effects of captures are durable.
    pub applied: Arc<watch::Sender<CaptureId>>,
    /// Threads to interpret on.
    pub threads: usize,
}

/// What feeds have shown to write in where their messages do not say.
type Charsets = Arc<Mutex<BTreeMap<FeedName, Learned>>>;

impl Refine {
    /// Refines until `stop`; then finishes the batch in hand.
    ///
    /// # Errors
    /// When the state fails for longer than retries help; the supervisor starts refine anew.
    pub async fn run(self, stop: CancellationToken) -> Result<(), StateError> {
        let charsets: Charsets = Arc::new(Mutex::new(self.learned().await?));
        let mut cursor = self.buffer.state().read(|read| read.cursor()).await?;
        self.applied.send_replace(cursor);
        let mut next = self.prepare(cursor, &charsets).await?;
        let mut failures = 0;
        while !stop.is_cancelled() {
            let Some(last) = next.last().map(|item| item.marker.id) else {
                tokio::select! {
                    () = self.committed.notified() => {}
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                    () = stop.cancelled() => break,
                }
                next = self.prepare(cursor, &charsets).await?;
                continue;
            };
            let batch = core::mem::take(&mut next);
            // The next batch is read while this one is applied.
            let (applied, prepared) =
                tokio::join!(self.apply(cursor, batch, &charsets), self.prepare(last, &charsets));
            match applied {
                Ok(()) => {
                    (cursor, next, failures) = (last, prepared?, 0);
                    self.applied.send_replace(cursor);
                    self.enqueued.notify_waiters();
                }
                Err(error) if failures + 1 >= TRIES => {
                    log::error!(
                        "refine: a batch after capture {cursor} failed {TRIES} times, taking it apart: {error}"
                    );
                    cursor = self.apply_one_by_one(cursor, &charsets).await?;
                    self.applied.send_replace(cursor);
                    (next, failures) = (self.prepare(cursor, &charsets).await?, 0);
                }
                Err(error) => {
                    log::warn!("refine: captures after {cursor} are tried again: {error}");
                    failures += 1;
                    tokio::time::sleep(Duration::from_millis(250) * 4_u32.pow(failures)).await;
                    next = self.prepare(cursor, &charsets).await?;
                }
            }
        }
        Ok(())
    }

    /// Reads and interprets the captures after `after`.
    async fn prepare(&self, after: CaptureId, charsets: &Charsets) -> Result<Vec<Prepared>, StateError> {
        let (buffer, rules, charsets) = (self.buffer.clone(), self.rules.borrow().clone(), charsets.clone());
        let threads = self.threads;
        blocking(move || {
            let stored: Vec<Stored> = buffer
                .next_captures(after, BATCH, BATCH_BYTES)
                .map_err(|error| StateError::Abandoned(Box::new(error)))?;
            let learned = |feed: &FeedName| lock(&charsets).get(feed).copied();
            Ok(prepare::batch(stored, &rules, &learned, threads))
        })
        .await
    }

    /// Applies a batch in one transaction.
    async fn apply(
        &self,
        cursor: CaptureId,
        batch: Vec<Prepared>,
        charsets: &Charsets,
    ) -> Result<(), StateError> {
        let rules = self.rules.borrow().clone();
        let proofs = self.new_proofs(&batch, charsets);
        // A full batch has more behind it: then nothing lingers.
        let urgency = if batch.len() == BATCH { Urgency::Now } else { Urgency::Soon };
        self.buffer
            .state()
            .run(urgency, move |tx| {
                guard(tx, cursor)?;
                for (feed, proof) in &proofs {
                    tx.put_meta(&charset_key(feed), proof.name().as_bytes())?;
                }
                let last = batch.last().map_or(cursor, |item| item.marker.id);
                let mut tally = debts::Tally::default();
                for mut item in batch {
                    let (owed, marker) = (core::mem::take(&mut item.owed), item.marker.clone());
                    apply::capture(tx, &rules, item, Cause::Arrived)?;
                    tally.add(tx, &marker, owed)?;
                }
                tally.count(tx)?;
                tx.advance(last)
            })
            .await
    }

    /// Applies the captures of a batch that keeps failing each in a transaction of its own; one that fails alone is
    /// quarantined, so that it cannot hold up everybody else.
    async fn apply_one_by_one(
        &self,
        mut cursor: CaptureId,
        charsets: &Charsets,
    ) -> Result<CaptureId, StateError> {
        for item in self.prepare(cursor, charsets).await? {
            let (marker, rules) = (item.marker.clone(), self.rules.borrow().clone());
            let id = marker.id;
            let alone = self.buffer.state().run(Urgency::Soon, move |tx| {
                guard(tx, cursor)?;
                apply::capture(tx, &rules, item, Cause::Arrived)?;
                tx.advance(id)
            });
            if let Err(error) = alone.await {
                log::error!("refine: capture {id} cannot be applied and is quarantined: {error}");
                let quarantine = self.buffer.state().run(Urgency::Soon, move |tx| {
                    guard(tx, cursor)?;
                    apply::internal(tx, &marker)?;
                    tx.advance(id)
                });
                quarantine.await?;
            }
            cursor = id;
        }
        Ok(cursor)
    }

    async fn learned(&self) -> Result<BTreeMap<FeedName, Learned>, StateError> {
        let feeds: Vec<FeedName> = self.rules.borrow().feeds.keys().cloned().collect();
        let read = self.buffer.state().read(move |read| {
            let mut learned = BTreeMap::new();
            for feed in feeds {
                let name = read.meta(&charset_key(&feed))?;
                if let Some(proof) =
                    name.and_then(|name| Learned::from_name(core::str::from_utf8(&name).ok()?))
                {
                    learned.insert(feed, proof);
                }
            }
            Ok(learned)
        });
        read.await
    }

    /// Takes over what the batch proves about the character sets of its feeds; returns what is new.
    fn new_proofs(&self, batch: &[Prepared], charsets: &Charsets) -> Vec<(FeedName, Learned)> {
        let mut charsets = lock(charsets);
        let mut new = Vec::new();
        for item in batch {
            if let Reading::Read(_, Some(proof)) = &item.reading
                && charsets.insert(item.marker.feed.clone(), *proof) != Some(*proof)
            {
                new.push((item.marker.feed.clone(), *proof));
            }
        }
        new
    }
}

/// Refuses to apply when the cursor is not where the batch begins: then another refine was at work.
fn guard(tx: &Tx<'_>, expected: CaptureId) -> Result<(), StateError> {
    let cursor = tx.cursor()?;
    if cursor == expected { Ok(()) } else { Err(StateError::CursorBack { at: cursor, to: expected }) }
}

pub(crate) fn charset_key(feed: &FeedName) -> String {
    format!("charset:{feed}")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What is guarded is a map of plain values: whole even if a holder panicked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn blocking<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(job).await {
        Ok(done) => done,
        // The job panicked: so does its caller, and the supervisor starts it anew.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
