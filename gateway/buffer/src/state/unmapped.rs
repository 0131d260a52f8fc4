//! Codes that came without a mapping, counted: a site's mapping debt.

use feed::FeedName;
use jiff::Timestamp;

use super::listing::bounded;
use super::position::time;
use super::{Read, StateError, Tx};

/// Codes of one kind and feed that are told apart. What comes beyond them is counted together.
pub const UNMAPPED: i64 = 500;

/// A code that came without a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmapped {
    /// Its number in listings.
    pub id: i64,
    /// The feed it came on.
    pub feed: String,
    /// What it is the code of; the numbers are the caller's.
    pub kind: u8,
    /// What the source wrote, sealed at rest; empty: every code beyond the bound.
    pub what: Vec<u8>,
    /// How often.
    pub seen: i64,
    /// When first.
    pub first: Timestamp,
    /// When last.
    pub last: Timestamp,
}

impl Read<'_> {
    /// The codes after number `after`, of one feed and kind where they are named.
    ///
    /// # Errors
    /// When the database fails or a text does not open.
    pub fn unmapped(
        &self,
        feed: Option<u16>,
        kind: Option<u8>,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Unmapped>, StateError> {
        let sql = "SELECT unmapped.id, name.name, kind, sealed, seen, first, last
                   FROM unmapped JOIN name ON name.id = unmapped.feed
                   WHERE unmapped.id > ?1 AND (?2 IS NULL OR feed = ?2) AND (?3 IS NULL OR kind = ?3)
                   ORDER BY unmapped.id LIMIT ?4";
        let rows = self.all(sql, (after, feed, kind, bounded(limit)), |row| {
            Ok(Unmapped {
                id: row.get(0)?,
                feed: row.get(1)?,
                kind: row.get(2)?,
                what: row.get(3)?,
                seen: row.get(4)?,
                first: time(row, 5)?,
                last: time(row, 6)?,
            })
        })?;
        rows.into_iter().map(|row| Ok(Unmapped { what: self.open(&row.what)?, ..row })).collect()
    }
}

impl Tx<'_> {
    /// Counts a code that came without a mapping. `key` tells it from the others of its kind and feed.
    ///
    /// # Errors
    /// When the database fails.
    pub fn count_unmapped(
        &mut self,
        feed: &FeedName,
        kind: u8,
        key: &[u8],
        what: &[u8],
        seen: i64,
        at: Timestamp,
    ) -> Result<(), StateError> {
        let feed = self.intern(feed.as_str())?;
        let blind = self.ring().blind("unmapped", key);
        let (blind, at) = (blind.as_slice(), self.stamp(at));
        let sql = "UPDATE unmapped SET seen = seen + ?4, last = max(last, ?5)
                   WHERE feed = ?1 AND kind = ?2 AND blind = ?3";
        if self.execute(sql, (feed, kind, blind, seen, at))? > 0 {
            return Ok(());
        }
        let held =
            self.one("SELECT count(*) FROM unmapped WHERE feed = ?1 AND kind = ?2", (feed, kind), |row| {
                row.get::<_, i64>(0)
            })?;
        let full = held.is_some_and(|held| held >= UNMAPPED);
        let (blind, what): (&[u8], &[u8]) = if full { (&[], &[]) } else { (blind, what) };
        let sql = "INSERT INTO unmapped (feed, kind, blind, sealed, seen, first, last)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)
                   ON CONFLICT (feed, kind, blind) DO UPDATE SET seen = seen + excluded.seen, last = max(last, excluded.last)";
        let sealed = self.seal(what)?;
        self.execute(sql, (feed, kind, blind, sealed, seen, at))?;
        Ok(())
    }

    /// Takes a code off the list: something maps it now.
    ///
    /// # Errors
    /// When the database fails.
    pub fn drop_unmapped(&mut self, id: i64) -> Result<(), StateError> {
        self.execute("DELETE FROM unmapped WHERE id = ?1", [id])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::testing::{at, feed, scratch};

    #[test]
    fn a_code_is_listed_once_with_its_count_and_its_text_is_sealed() {
        let state = scratch();
        let listed = state.write(|tx| {
            tx.count_unmapped(&feed("lis"), 1, b"GLU", b"glucose of Zhang", 2, at(0))?;
            tx.count_unmapped(&feed("lis"), 1, b"GLU", b"glucose", 3, at(9))?;
            tx.count_unmapped(&feed("his"), 1, b"GLU", b"glucose", 1, at(5))?;
            tx.count_unmapped(&feed("lis"), 2, b"GLU", b"glucose", 1, at(5))?;
            let lis = tx.number_of("lis")?;
            tx.unmapped(lis, Some(1), 0, 10)
        });
        assert_eq!(listed.len(), 1);
        let one = &listed[0];
        assert_eq!((one.seen, one.first, one.last, one.feed.as_str()), (5, at(0), at(9), "lis"));
        assert_eq!(one.what, b"glucose of Zhang");
        assert!(!state.bytes().windows(16).any(|w| w == b"glucose of Zhang"));
        let id = one.id;
        assert_eq!(
            state.write(move |tx| tx.drop_unmapped(id).and_then(|()| tx.unmapped(None, None, 0, 10))).len(),
            2
        );
    }

    #[test]
    fn codes_without_end_do_not_fill_the_disk() {
        let state = scratch();
        let listed = state.write(|tx| {
            for n in 0..UNMAPPED + 50 {
                tx.count_unmapped(&feed("lis"), 1, format!("C{n}").as_bytes(), b"code", 1, at(n))?;
            }
            let mut all = tx.unmapped(None, None, 0, 500)?;
            let last = all.last().map_or(0, |row| row.id);
            all.extend(tx.unmapped(None, None, last, 500)?);
            Ok(all)
        });
        assert_eq!(listed.len() as i64, UNMAPPED + 1);
        let rest = listed.iter().find(|row| row.what.is_empty()).unwrap();
        assert_eq!(rest.seen, 50);
    }
}
