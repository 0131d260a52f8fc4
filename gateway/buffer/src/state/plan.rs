//! Every statement that a test runs is shown to find its rows by key, however many rows there are.

use rusqlite::Connection;

/// Tables with a row for each feed, destination, segment, period, kind of count or alarm, not for each capture.
const SMALL: &[&str] = &[
    "alarm",
    "binding_period",
    "counter",
    "destination",
    "name",
    "schema",
    "seen_day",
    "segment",
    "made",
    "mapping",
];

/// Panics where SQLite would read a large table from end to end or sort what it found.
#[track_caller]
pub(super) fn check(db: &Connection, sql: &str) {
    if sql.starts_with("PRAGMA") {
        return;
    }
    let mut explain = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    // Unbound parameters are NULL; the plan does not depend on them.
    let mut rows = explain.raw_query();
    while let Some(row) = rows.next().unwrap() {
        let step: String = row.get(3).unwrap();
        let scanned = step.strip_prefix("SCAN ").and_then(|rest| rest.split(' ').next());
        let large = |table: &str| !SMALL.contains(&table) && !table.starts_with('(') && table != "CONSTANT";
        assert!(!scanned.is_some_and(large), "{step}: {sql}");
        let sorts = step.starts_with("USE TEMP B-TREE")
            && !SMALL.iter().any(|table| sql.contains(&format!("FROM {table}")));
        assert!(!sorts, "{step}: {sql}");
    }
}

#[cfg(test)]
mod tests {
    use crate::state::testing::scratch;

    #[test]
    #[should_panic(expected = "SCAN delivery")]
    fn a_listing_that_reads_all_deliveries_is_found_out() {
        let state = scratch();
        state.with_db(|db| super::check(db, "SELECT id FROM delivery WHERE reason = ?1"));
    }

    #[test]
    #[should_panic(expected = "USE TEMP B-TREE")]
    fn a_listing_that_sorts_what_it_finds_is_found_out() {
        let state = scratch();
        state
            .with_db(|db| super::check(db, "SELECT id FROM delivery WHERE destination = ?1 ORDER BY queued"));
    }
}
