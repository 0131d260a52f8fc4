//! The audit against somebody who may write the database and has no key.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says where")]

use std::fs;
use std::path::Path;

use buffer::{AuditEntry, Buffer, Kek, Options, Urgency};
use jiff::Timestamp;

fn now() -> Timestamp {
    "2026-11-24T08:00:00Z".parse().unwrap()
}

fn open(dir: &Path) -> Buffer {
    let kek = Kek::from_file(&dir.join("key")).unwrap();
    Buffer::open(Options::new(dir.join("data")), kek, now()).unwrap()
}

fn write(buffer: &Buffer, entries: usize) {
    for n in 0..entries {
        let entry = AuditEntry {
            who: "officer".into(),
            what: "persons-find".into(),
            reason: format!("complaint {n}"),
            object: "somebody".into(),
            at: now(),
        };
        buffer.state().run_blocking(Urgency::Now, move |tx| tx.audit(&entry)).unwrap();
    }
}

fn verdict(buffer: &Buffer) -> Result<u64, u64> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(buffer.state().verify_audit()).unwrap().map_err(|broken| broken.at)
}

#[test]
fn an_audit_that_was_deleted_with_its_head_and_an_older_one_put_back_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    Kek::create_file(&dir.path().join("key")).unwrap();
    let state = dir.path().join("data/state.db");
    let buffer = open(dir.path());
    write(&buffer, 2);
    buffer.close();
    drop(buffer);
    let older = fs::read(&state).unwrap();
    let buffer = open(dir.path());
    write(&buffer, 3);
    buffer.close();
    drop(buffer);
    let buffer = open(dir.path());
    assert_eq!(verdict(&buffer), Ok(5));
    buffer.close();
    drop(buffer);
    let whole = fs::read(&state).unwrap();

    let db = rusqlite::Connection::open(&state).unwrap();
    db.execute_batch("DELETE FROM audit; DELETE FROM meta WHERE key LIKE 'audit-%';").unwrap();
    drop(db);
    let buffer = open(dir.path());
    assert_eq!(verdict(&buffer), Err(1));
    write(&buffer, 2);
    assert_eq!(verdict(&buffer), Err(3), "new ones do not cover it");
    buffer.close();
    drop(buffer);

    for end in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{end}", state.display()));
    }
    fs::write(&state, older).unwrap();
    let buffer = open(dir.path());
    assert_eq!(verdict(&buffer), Err(3));
    buffer.close();
    drop(buffer);

    fs::write(&state, whole).unwrap();
    let buffer = open(dir.path());
    assert_eq!(verdict(&buffer), Ok(5));
    buffer.close();
}
