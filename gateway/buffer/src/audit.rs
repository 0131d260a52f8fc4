//! The audit: who saw or changed what, and why.
//!
//! Each entry's keyed hash covers the entry and the hash before it, so that nobody without the key can take out,
//! change or move one. A sealed record of the last hash shows when entries are missing at the end, a sealed anchor
//! where entries were dropped from the front because their time had passed.

use jiff::Timestamp;
use rusqlite::Row;

use crate::Ring;
use crate::state::{MAX_ROWS, Read, State, StateError, Tx, Urgency};

/// Something that is about to be done or shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// The account that asked.
    pub who: String,
    /// What it asked for, as a code.
    pub what: String,
    /// The reason it gave; sealed at rest.
    pub reason: String,
    /// What it was shown or what it changed; sealed at rest.
    pub object: String,
    /// When.
    pub at: Timestamp,
}

/// An entry with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Its number, counted from 1.
    pub seq: u64,
    /// What it says.
    pub entry: AuditEntry,
}

/// The first entry at which the chain does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit was changed: entry {at} is not what was written")]
pub struct AuditBroken {
    /// Its number.
    pub at: u64,
}

/// A place in the chain: an entry and its hash. Number 0 is the place before the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Link {
    seq: u64,
    hash: [u8; 32],
}

const HEAD: &str = "audit-head";
const ANCHOR: &str = "audit-anchor";

impl State {
    /// Writes an entry and answers once it is durable: only then may the data be shown.
    ///
    /// # Errors
    /// When it could not be made durable.
    pub async fn audit(&self, entry: AuditEntry) -> Result<u64, StateError> {
        self.run(Urgency::Now, move |tx| tx.audit(&entry)).await
    }

    /// Follows the whole chain, page by page. Answers how many entries it has.
    ///
    /// # Errors
    /// When the database fails; inside, where the chain does not hold.
    pub async fn verify_audit(&self) -> Result<Result<u64, AuditBroken>, StateError> {
        let mut at = None;
        let mut count = 0;
        loop {
            match self.read(move |read| read.verify_page(at)).await? {
                Ok((_, 0)) => return Ok(Ok(count)),
                Ok((link, more)) => {
                    at = Some(link);
                    count += more;
                }
                Err(broken) => return Ok(Err(broken)),
            }
        }
    }
}

impl Read<'_> {
    /// One page of the entries after number `after`, oldest first.
    ///
    /// # Errors
    /// When the database fails or an entry does not open.
    pub fn audit_page(&self, after: u64, limit: usize) -> Result<Vec<AuditRow>, StateError> {
        let rows = self.stored(after, limit)?;
        rows.into_iter().map(|row| self.opened_entry(row)).collect()
    }

    /// Follows the chain from `at` (or its anchor) for one page. Answers the last link, and how many entries follow
    /// the rules: none at the end of a whole chain.
    fn verify_page(&self, at: Option<Link>) -> Result<Result<(Link, u64), AuditBroken>, StateError> {
        let anchor = self.link(ANCHOR)?.unwrap_or(Link { seq: 0, hash: [0; 32] });
        // Entries may have been dropped from the front since the last page.
        let mut link = at.filter(|at| at.seq >= anchor.seq).unwrap_or(anchor);
        let rows = self.stored(link.seq, MAX_ROWS)?;
        let count = rows.len() as u64;
        for row in rows {
            let expected = Link { seq: link.seq + 1, hash: row.expected(self.ring(), &link.hash) };
            if row.seq != expected.seq || row.hash != expected.hash {
                return Ok(Err(AuditBroken { at: expected.seq }));
            }
            link = expected;
        }
        let head = self.link(HEAD)?.unwrap_or(anchor);
        // An audit that was deleted with its head, or an older one that was put back, is shorter than it was.
        if count == 0 && (link != head || link.seq < self.ring().audit_floor()) {
            return Ok(Err(AuditBroken { at: link.seq + 1 }));
        }
        Ok(Ok((link, count)))
    }

    fn stored(&self, after: u64, limit: usize) -> Result<Vec<StoredEntry>, StateError> {
        let sql =
            "SELECT seq, at, who, what, reason, object, hash FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2";
        self.all(sql, (after as i64, limit.min(MAX_ROWS) as i64), StoredEntry::read)
    }

    fn opened_entry(&self, row: StoredEntry) -> Result<AuditRow, StateError> {
        let text = |sealed: &[u8]| {
            String::from_utf8(self.open(sealed)?).map_err(|_| StateError::Damaged("audit entry"))
        };
        let at = Timestamp::from_microsecond(row.at).map_err(|_| StateError::Damaged("audit entry"))?;
        let (reason, object) = (text(&row.reason)?, text(&row.object)?);
        Ok(AuditRow { seq: row.seq, entry: AuditEntry { who: row.who, what: row.what, reason, object, at } })
    }

    /// The number of the last entry; 0 where there is none.
    pub(crate) fn audit_end(&self) -> Result<u64, StateError> {
        Ok(self.link(HEAD)?.map_or(0, |head| head.seq))
    }

    fn link(&self, key: &str) -> Result<Option<Link>, StateError> {
        let Some(bytes) = self.meta(key)? else { return Ok(None) };
        let link = bytes.split_first_chunk::<8>().and_then(|(seq, hash)| {
            Some(Link { seq: u64::from_le_bytes(*seq), hash: hash.try_into().ok()? })
        });
        link.ok_or(StateError::Damaged("audit link")).map(Some)
    }
}

impl Tx<'_> {
    /// Adds an entry to the chain. Answers its number.
    ///
    /// # Errors
    /// When the database fails.
    pub fn audit(&mut self, entry: &AuditEntry) -> Result<u64, StateError> {
        let head = self.link(HEAD)?.unwrap_or(Link { seq: 0, hash: [0; 32] });
        let mut row = StoredEntry {
            seq: head.seq + 1,
            at: entry.at.as_microsecond(),
            who: entry.who.clone(),
            what: entry.what.clone(),
            reason: self.seal(entry.reason.as_bytes())?,
            object: self.seal(entry.object.as_bytes())?,
            hash: [0; 32],
        };
        row.hash = row.expected(self.ring(), &head.hash);
        let sql = "INSERT INTO audit (seq, at, who, what, reason, object, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let params = (row.seq as i64, row.at, &row.who, &row.what, &row.reason, &row.object, row.hash);
        self.execute(sql, params)?;
        self.put_link(HEAD, Link { seq: row.seq, hash: row.hash })?;
        Ok(row.seq)
    }

    /// Drops up to a page of entries from the front that are older than `before`. Answers how many.
    pub(crate) fn drop_audit(&mut self, before: Timestamp) -> Result<usize, StateError> {
        let mut old = self.stored(0, MAX_ROWS)?;
        // Only from the front: the chain has one anchor, and a clock that went back leaves no holes.
        let keep = old.iter().position(|row| row.at >= before.as_microsecond()).unwrap_or(old.len());
        old.truncate(keep);
        let Some(last) = old.last() else { return Ok(0) };
        self.execute("DELETE FROM audit WHERE seq <= ?1", [last.seq as i64])?;
        self.put_link(ANCHOR, Link { seq: last.seq, hash: last.hash })?;
        Ok(old.len())
    }

    fn put_link(&mut self, key: &str, link: Link) -> Result<(), StateError> {
        self.put_meta(key, &[&link.seq.to_le_bytes()[..], &link.hash].concat())
    }
}

/// An entry as it lies in the table.
struct StoredEntry {
    seq: u64,
    at: i64,
    who: String,
    what: String,
    reason: Vec<u8>,
    object: Vec<u8>,
    hash: [u8; 32],
}

impl StoredEntry {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get::<_, i64>(0)? as u64,
            at: row.get(1)?,
            who: row.get(2)?,
            what: row.get(3)?,
            reason: row.get(4)?,
            object: row.get(5)?,
            hash: row.get(6)?,
        })
    }

    /// The hash that this entry must have after an entry with the hash `before`.
    fn expected(&self, ring: &Ring, before: &[u8; 32]) -> [u8; 32] {
        let mut bytes = before.to_vec();
        bytes.extend(self.seq.to_le_bytes());
        bytes.extend(self.at.to_le_bytes());
        for part in [self.who.as_bytes(), self.what.as_bytes(), &self.reason, &self.object] {
            // The length in front keeps the parts apart.
            bytes.extend((part.len() as u64).to_le_bytes());
            bytes.extend(part);
        }
        ring.mac("audit", &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::testing::{Scratch, at, scratch};

    fn entry(n: i64) -> AuditEntry {
        AuditEntry {
            who: "officer".into(),
            what: "persons-find".into(),
            reason: "complaint 12".into(),
            object: format!("110105194912310021 {n}"),
            at: at(n),
        }
    }

    fn written(count: i64) -> Scratch {
        let state = scratch();
        state.write(move |tx| (0..count).try_for_each(|n| tx.audit(&entry(n)).map(drop)));
        state
    }

    fn verify(state: &Scratch) -> Result<u64, AuditBroken> {
        super::super::state::testing::wait(state.handle().verify_audit()).unwrap()
    }

    #[test]
    fn a_chain_over_several_pages_holds() {
        let state = written(1_203);
        assert_eq!(verify(&state), Ok(1_203));
        state.write(|tx| {
            assert_eq!(tx.audit_page(1_202, 10)?, [AuditRow { seq: 1_203, entry: entry(1_202) }]);
            Ok(())
        });
    }

    #[test]
    fn no_entry_can_be_changed_taken_out_or_moved() {
        for (tampering, at) in [
            ("UPDATE audit SET who = 'nobody' WHERE seq = 3", 3),
            ("UPDATE audit SET at = at + 1 WHERE seq = 2", 2),
            ("UPDATE audit SET reason = object WHERE seq = 4", 4),
            ("DELETE FROM audit WHERE seq = 3", 3),
            ("DELETE FROM audit WHERE seq = 1", 1),
            ("DELETE FROM audit WHERE seq = 5", 5),
            ("DELETE FROM audit", 1),
            (
                "UPDATE audit SET seq = 9 WHERE seq = 2; UPDATE audit SET seq = 2 WHERE seq = 3; UPDATE audit SET seq = 3 WHERE seq = 9",
                2,
            ),
            ("DELETE FROM meta WHERE key = 'audit-head'", 6),
        ] {
            let state = written(5);
            state.write(move |tx| tx.batch(tampering));
            let verdict = verify(&state);
            if at == 6 {
                assert!(verdict.is_err(), "{tampering}");
            } else {
                assert_eq!(verdict, Err(AuditBroken { at }), "{tampering}");
            }
        }
    }

    #[test]
    fn old_entries_go_from_the_front_and_the_rest_still_holds() {
        let state = written(5);
        state.write(|tx| Ok(assert_eq!((tx.drop_audit(at(2))?, tx.drop_audit(at(2))?), (2, 0))));
        assert_eq!(verify(&state), Ok(3));
        state.write(|tx| tx.batch("DELETE FROM audit WHERE seq = 3"));
        assert_eq!(verify(&state), Err(AuditBroken { at: 3 }));
    }

    #[test]
    fn an_audit_that_was_never_written_is_whole() {
        assert_eq!(verify(&scratch()), Ok(0));
    }
}
