//! Control ids that have come before: a table for each UTC day, dropped whole.

use feed::{CaptureId, FeedName};

use super::capture::capture;
use super::{Read, StateError, Tx};

impl Read<'_> {
    /// The latest capture of `feed` with this control id and this content, within the days that are kept. With other
    /// content it would be another message (contract 3), whatever came between.
    ///
    /// # Errors
    /// When the database fails.
    pub fn seen(
        &self,
        feed: &FeedName,
        control_id: &[u8],
        content: [u8; 16],
    ) -> Result<Option<CaptureId>, StateError> {
        let hash = self.control_hash(feed, control_id);
        for day in self.all("SELECT day FROM seen_day ORDER BY day DESC", [], |row| row.get::<_, i64>(0))? {
            let sql = format!("SELECT capture FROM seen_{day} WHERE hash = ?1 AND content = ?2");
            let seen = self.one(&sql, (hash, content), |row| capture(row, 0))?;
            if seen.is_some() {
                return Ok(seen);
            }
        }
        Ok(None)
    }

    /// 64 keyed bits: nobody without the key can tell which ids they stand for. Two ids that meet in one hash are
    /// told apart by their content.
    fn control_hash(&self, feed: &FeedName, control_id: &[u8]) -> i64 {
        let mut value = Vec::with_capacity(feed.as_str().len() + 1 + control_id.len());
        value.extend_from_slice(feed.as_str().as_bytes());
        value.push(0);
        value.extend_from_slice(control_id);
        let [a, b, c, d, e, f, g, h, ..] = self.ring().blind("seen", &value);
        i64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

impl Tx<'_> {
    /// Remembers that `capture` of `feed` came with this control id, on the day of its segment.
    ///
    /// # Errors
    /// When the database fails or the segment of the capture is unknown.
    pub fn see(
        &mut self,
        feed: &FeedName,
        control_id: &[u8],
        capture: CaptureId,
        content: [u8; 16],
    ) -> Result<(), StateError> {
        let day = self
            .one("SELECT day FROM segment WHERE no = ?1", [capture.segment()], |row| row.get::<_, i64>(0))?
            .ok_or(StateError::UnknownSegment(capture.segment()))?;
        if self.execute("INSERT OR IGNORE INTO seen_day (day) VALUES (?1)", [day])? > 0 {
            self.batch(&format!(
                "CREATE TABLE seen_{day} (hash INTEGER NOT NULL, content BLOB NOT NULL, capture INTEGER NOT NULL, PRIMARY KEY (hash, content)) STRICT, WITHOUT ROWID"
            ))?;
        }
        let sql = format!("INSERT OR REPLACE INTO seen_{day} (hash, capture, content) VALUES (?1, ?2, ?3)");
        self.execute(&sql, (self.control_hash(feed, control_id), capture.to_i64(), content))?;
        Ok(())
    }

    /// Forgets the oldest day before `day` (counted from 1970-01-01 UTC). Answers whether there was one.
    pub(crate) fn drop_seen(&mut self, day: i64) -> Result<bool, StateError> {
        let sql = "SELECT day FROM seen_day WHERE day < ?1 ORDER BY day LIMIT 1";
        let Some(old) = self.one(sql, [day], |row| row.get::<_, i64>(0))? else { return Ok(false) };
        self.batch(&format!("DROP TABLE seen_{old}"))?;
        self.execute("DELETE FROM seen_day WHERE day = ?1", [old])?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use feed::CaptureId;

    use crate::state::testing::{feed, scratch};

    #[test]
    fn a_control_id_is_found_again_on_its_own_feed_until_its_day_is_dropped() {
        let state = scratch();
        state.write(|tx| {
            tx.open_segment(1, 100, crate::state::testing::at(0))?;
            tx.open_segment(2, 101, crate::state::testing::at(0))?;
            let (first, second) = (CaptureId::new(1, 1), CaptureId::new(2, 1));
            let seen = |tx: &crate::Tx<'_>, name, content| tx.seen(&feed(name), b"42", [content; 16]);
            tx.see(&feed("his"), b"42", first, [1; 16])?;
            assert_eq!(seen(tx, "his", 1)?, Some(first));
            assert_eq!((seen(tx, "lis", 1)?, seen(tx, "his", 2)?), (None, None));
            tx.see(&feed("his"), b"42", second, [2; 16])?;
            assert_eq!(seen(tx, "his", 2)?, Some(second));
            assert_eq!(seen(tx, "his", 1)?, Some(first), "another message between them changes nothing");
            tx.see(&feed("his"), b"42", CaptureId::new(2, 2), [1; 16])?;
            assert_eq!(seen(tx, "his", 1)?, Some(CaptureId::new(2, 2)));
            assert!(tx.drop_seen(102)? && tx.drop_seen(102)? && !tx.drop_seen(102)?);
            assert_eq!(seen(tx, "his", 1)?, None);
            Ok(())
        });
    }

    #[test]
    fn a_rolled_back_day_is_made_again() {
        let state = scratch();
        state.write(|tx| tx.open_segment(1, 100, crate::state::testing::at(0)));
        let see = |tx: &mut crate::state::Tx<'_>| tx.see(&feed("his"), b"1", CaptureId::new(1, 1), [0; 16]);
        state.fail(move |tx| see(tx));
        state.write(see);
        state.write(|tx| Ok(assert!(tx.seen(&feed("his"), b"1", [0; 16])?.is_some())));
    }
}
