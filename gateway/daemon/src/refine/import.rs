//! An existing index taken over, a chunk of rows at a time (contract 6). A chunk and how far the import has come are one
//! transaction, so that an import that was cut off goes on where it was.

use std::collections::BTreeSet;

use buffer::{StateError, Tx, Urgency};
use feed::FeedName;
use interpret::Context;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use model::{
    Address, Authority, Body, Change, Doubt, Field, Identifier, PartialTime, Person, PersonChange, PersonId,
    Provenance, Record, RecordId,
};
use serde::{Deserialize, Serialize};

use super::apply::{self, Sending};
use super::identity;
use super::joining::step;
use super::operations::{OperationError, Operations};
use super::records::{Applier, Effects, Stop};
use super::rules::{FeedRules, Rules};
use super::{held, person};
use crate::table::Row;

/// The feed that records of an import name.
const FEED: &str = "import";

/// Rows of one transaction at most.
pub(crate) const CHUNK: usize = 200;

/// Rows that follow each other in a table.
#[derive(Serialize, Deserialize)]
pub(crate) struct Chunk {
    /// Tells the table: a digest of the file.
    pub(crate) table: String,
    /// The line that the chunk before ended with.
    pub(crate) after: u64,
    /// The rows.
    pub(crate) rows: Vec<Row>,
    /// Only looks what would happen.
    pub(crate) dry_run: bool,
}

/// What a chunk came to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Imported {
    /// Persons that were not in the index.
    pub(crate) new: u64,
    /// Persons that were, and of whom the table says more.
    pub(crate) more: u64,
    /// Persons that were, and of whom it says nothing new.
    pub(crate) known: u64,
    /// Lines with what somebody should look at, as codes.
    pub(crate) doubts: Vec<(u64, String)>,
}

impl Operations {
    /// How far an import of a table has come: the last line that is in the index; 0 where it has not begun.
    ///
    /// # Errors
    /// When the state fails.
    pub(crate) async fn import_begin(&self, table: &str) -> Result<u64, OperationError> {
        let key = self.import_key(table);
        let begin = self.buffer.state().run(Urgency::Now, move |tx| {
            let at = mark(tx, &key)?;
            if at.is_none() {
                put_mark(tx, &key, Some(0))?;
            }
            Ok(at.unwrap_or(0))
        });
        Ok(begin.await?)
    }

    /// Forgets how far an import has come: the next one of the same table begins anew, and finds everybody known.
    ///
    /// # Errors
    /// When the state fails.
    pub(crate) async fn import_end(&self, table: &str) -> Result<(), OperationError> {
        let key = self.import_key(table);
        Ok(self.buffer.state().run(Urgency::Now, move |tx| put_mark(tx, &key, None)).await?)
    }

    /// Takes a chunk over.
    ///
    /// # Errors
    /// When it does not follow what is in the index, or the state fails. Nothing of it is kept then.
    pub(crate) async fn import(
        &self,
        chunk: Chunk,
        zone: TimeZone,
        now: Timestamp,
    ) -> Result<Imported, OperationError> {
        if chunk.rows.len() > CHUNK {
            return Err(OperationError::Chunk);
        }
        let (key, rules) = (self.import_key(&chunk.table), self.rules.borrow().clone());
        let done = self.buffer.state().run(Urgency::Soon, move |tx| {
            if !chunk.dry_run && mark(tx, &key)? != Some(chunk.after) {
                return Ok(Err(OperationError::Chunk));
            }
            let dry_run = chunk.dry_run;
            let part = tx.part(|tx| {
                let last = chunk.rows.last().map_or(chunk.after, |row| row.line);
                let importer = Importer::new(&rules, zone, now);
                let mut imported = Imported::default();
                for row in chunk.rows {
                    importer.row(tx, row, &mut imported)?;
                }
                put_mark(tx, &key, Some(last))?;
                if dry_run { Err(Looked::Back(imported)) } else { Ok(imported) }
            });
            match part {
                Ok(imported) | Err(Looked::Back(imported)) => Ok(Ok(imported)),
                Err(Looked::State(error)) => Err(error),
            }
        });
        let imported = done.await??;
        self.enqueued.notify_waiters();
        Ok(imported)
    }

    /// The digest is one of people's data: only a keyed one lies open.
    fn import_key(&self, table: &str) -> String {
        let keyed = self.rules.borrow().ring.blind("import", table.as_bytes());
        format!("import:{:032x}", u128::from_be_bytes(keyed))
    }
}

/// How a chunk that is only looked at ends: everything is taken back.
enum Looked {
    Back(Imported),
    State(StateError),
}

impl From<StateError> for Looked {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

fn mark(tx: &Tx<'_>, key: &str) -> Result<Option<u64>, StateError> {
    let held = tx.meta(key)?.filter(|held| !held.is_empty());
    let read = |held: Vec<u8>| Some(u64::from_le_bytes(held.try_into().ok()?));
    held.map(|held| read(held).ok_or(StateError::Damaged("import"))).transpose()
}

fn put_mark(tx: &mut Tx<'_>, key: &str, at: Option<u64>) -> Result<(), StateError> {
    tx.put_meta(key, &at.map(|at| at.to_le_bytes().to_vec()).unwrap_or_default())
}

/// Takes rows over, each like a message of an identity feed from before everything.
struct Importer<'r> {
    rules: &'r Rules,
    zone: TimeZone,
    now: Timestamp,
    /// What a row may say of somebody that no feed has spoken of.
    whole: FeedRules,
    /// What it may say of others: numbers.
    numbers: FeedRules,
    /// Numbers and names that mean nobody on any feed.
    dummy: BTreeSet<String>,
}

impl<'r> Importer<'r> {
    fn new(rules: &'r Rules, zone: TimeZone, now: Timestamp) -> Self {
        let feed = |authority: BTreeSet<Authority>| FeedRules {
            context: Context::bare(name(), zone.clone()),
            charset: hl7::charset::Default::Auto,
            authority,
            live: true,
        };
        let dummy = rules.feeds.values().flat_map(|feed| feed.context.dummy.iter().cloned()).collect();
        let whole = feed([Authority::Identity, Authority::Demographics].into());
        let numbers = feed([Authority::Identity].into());
        Self { rules, zone, now, whole, numbers, dummy }
    }

    fn row(&self, tx: &mut Tx<'_>, row: Row, imported: &mut Imported) -> Result<(), StateError> {
        let line = row.line;
        let mut change = self.change(row);
        let Some(resolved) = identity::resolve(tx, &self.rules.id_key, &change, true)? else {
            imported.doubts.push((line, "no-identity".to_owned()));
            return Ok(());
        };
        let (id, under) = (resolved.id, resolved.under);
        let before = held::record(tx, RecordId::from(id))?;
        // What a feed has said is newer than any table.
        let spoken = person::held(tx, id)?.is_some_and(|held| held.authoritative)
            && before.as_ref().is_some_and(|before| before.provenance.feed != name());
        let feed = if spoken { &self.numbers } else { &self.whole };
        // It is put as from before everything that a feed says.
        change.event = Some(PartialTime::at(Timestamp::UNIX_EPOCH, jiff::tz::Offset::UTC));
        let capture = tx.cursor()?;
        let provenance = Provenance {
            capture,
            feed: name(),
            received: self.now,
            control_id: String::new(),
            trigger: FEED.to_owned(),
            facility: None,
            application: None,
            event: None,
        };
        let rules = self.rules;
        let mut applier = Applier {
            tx: &mut *tx,
            rules,
            feed,
            person: id,
            under,
            provenance,
            released: false,
            moved_to: None,
        };
        let effects = match applier.apply(change, &resolved) {
            Ok(effects) => effects,
            Err(Stop::State(error)) => return Err(error),
            Err(Stop::Quarantine(reason)) => {
                imported.doubts.push((line, reason.code().to_owned()));
                return Ok(());
            }
            // No feed of an import is only observed.
            Err(Stop::Observed) => return Ok(()),
        };
        for (identifier, doubt, other) in &resolved.doubts {
            self.doubt(tx, id, identifier, *doubt, *other)?;
            imported.doubts.push((line, doubt.code().to_owned()));
        }
        for other in &effects.alike {
            if let Some(number) = &resolved.came_with {
                self.doubt(tx, id, number, Doubt::PossibleDuplicate, Some(*other))?;
            }
            imported.doubts.push((line, Doubt::PossibleDuplicate.code().to_owned()));
        }
        let after = held::record(tx, RecordId::from(id))?;
        match (before, after) {
            (None, _) => imported.new += 1,
            (Some(before), Some(mut after)) if said(&before) != said(&after) => {
                imported.more += 1;
                if after.position <= before.position {
                    after.position.event = step(before.position.event);
                    after.position.capture = before.position.capture;
                    held::put(tx, &after)?;
                }
                // Who is at a destination already is sent again; who is new goes up with the first record that needs him.
                self.send(tx, id, &effects)?;
            }
            (Some(_), _) => imported.known += 1,
        }
        Ok(())
    }

    fn send(&self, tx: &mut Tx<'_>, id: PersonId, effects: &Effects) -> Result<(), StateError> {
        let mut sent = false;
        for destination in &self.rules.destinations {
            sent |= tx.sent_position(destination.number, RecordId::from(id))?.is_some();
        }
        if sent {
            let capture = tx.cursor()?;
            apply::enqueue(
                tx,
                self.rules,
                &Sending { feed: None, capture, after: capture, at: self.now },
                id,
                effects,
            )?;
        }
        Ok(())
    }

    fn doubt(
        &self,
        tx: &mut Tx<'_>,
        person: PersonId,
        identifier: &Identifier,
        doubt: Doubt,
        other: Option<PersonId>,
    ) -> Result<(), StateError> {
        let capture = tx.cursor()?;
        apply::conflict(tx, (capture, self.now), person, identifier, doubt, other)
    }

    fn change(&self, row: Row) -> Change {
        let known = |identifier: &Identifier| !self.dummy.contains(&identifier.value);
        let birth = row.birth.and_then(|birth| PartialTime::read(&birth, None, &self.zone).ok());
        let unknown =
            row.name.as_ref().is_some_and(|name| name.is_unknown() || self.dummy.contains(&name.folded()));
        let address = row.address.map(|line| vec![Address { lines: vec![line], ..Address::default() }]);
        let person = PersonChange {
            identifiers: row.identifiers.into_iter().filter(known).collect(),
            name: Field::from(row.name),
            unknown,
            birth: Field::from(birth),
            sex: Field::from(row.sex),
            phones: Field::from(Some(row.phones).filter(|phones| !phones.is_empty())),
            addresses: Field::from(address),
            ..PersonChange::default()
        };
        Change { person, ..Change::default() }
    }
}

/// What a record says of its person, wherever it stands in time.
fn said(record: &Record) -> Option<Person> {
    match &record.body {
        Body::Person(person) => Some(Person { stated: None, ..(**person).clone() }),
        _ => None,
    }
}

#[expect(clippy::expect_used, reason = "a constant name")]
fn name() -> FeedName {
    FeedName::new(FEED).expect("a name of letters")
}
