//! The raw limits of the disk.

use std::fs::File;
use std::io::Write as _;
use std::time::Instant;

/// One sync, and group commits of raw SQLite.
pub(crate) fn medium() {
    let dir = tempfile::tempdir_in(".").unwrap();
    let mut file = File::create(dir.path().join("raw")).unwrap();
    let begun = Instant::now();
    for _ in 0..300 {
        file.write_all(&[7; 1600]).unwrap();
        file.sync_data().unwrap();
    }
    let sync = begun.elapsed() / 300;
    let db = rusqlite::Connection::open(dir.path().join("raw.db")).unwrap();
    db.execute_batch("PRAGMA page_size=8192; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t (id INTEGER PRIMARY KEY, b BLOB)").unwrap();
    let commits = |rows: usize, times: usize| {
        let begun = Instant::now();
        for _ in 0..times {
            db.execute_batch("BEGIN").unwrap();
            for _ in 0..rows {
                db.execute("INSERT INTO t (b) VALUES (?1)", [vec![7_u8; 1600]]).unwrap();
            }
            db.execute_batch("COMMIT").unwrap();
        }
        (rows * times) as f64 / begun.elapsed().as_secs_f64()
    };
    println!(
        "fdatasync of 1.6 kB: {:.2} ms; SQLite, one row a commit: {:.0}/s; 64 rows a commit: {:.0}/s",
        sync.as_secs_f64() * 1e3,
        commits(1, 300),
        commits(64, 60)
    );
}
