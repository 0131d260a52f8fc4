//! Sums that are kept, never counted.

use super::{Read, StateError, Tx};

impl Read<'_> {
    /// All counters: name, feed or destination (empty: the whole gateway), value.
    ///
    /// The state keeps `delivery-STATE` (per destination) and `exception-OUTCOME` (per feed) itself: how many there
    /// are now.
    ///
    /// # Errors
    /// When the database fails.
    pub fn counters(&self) -> Result<Vec<(String, String, i64)>, StateError> {
        let sql = "SELECT counter.name, coalesce(name.name, ''), value
                   FROM counter LEFT JOIN name ON name.id = counter.of ORDER BY counter.name, counter.of";
        self.all(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
    }
}

impl Tx<'_> {
    /// Adds `delta` to the counter `name` of the feed or destination `of`; an empty `of` is the whole gateway.
    ///
    /// # Errors
    /// When the database fails.
    pub fn count(&mut self, name: &str, of: &str, delta: i64) -> Result<(), StateError> {
        let of = if of.is_empty() { 0 } else { self.intern(of)? };
        self.tally(name, of, delta)
    }

    /// [`Tx::count`] by number.
    pub(crate) fn tally(&self, name: &str, of: u16, delta: i64) -> Result<(), StateError> {
        let sql = "INSERT INTO counter (name, of, value) VALUES (?1, ?2, ?3)
                   ON CONFLICT DO UPDATE SET value = value + excluded.value";
        self.execute(sql, (name, of, delta))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::state::testing::scratch;

    #[test]
    fn counters_add_up_per_name_and_place() {
        let state = scratch();
        state.write(|tx| {
            for (of, delta) in [("his", 2), ("lis", 5), ("his", -1), ("", 7)] {
                tx.count("received", of, delta)?;
            }
            let all = tx.counters()?;
            let row = |of: &str, value| ("received".to_owned(), of.to_owned(), value);
            assert_eq!(all, [row("", 7), row("his", 1), row("lis", 5)]);
            Ok(())
        });
    }
}
