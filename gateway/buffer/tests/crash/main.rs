//! The power fails at every sync of a run: what was acknowledged is there afterwards.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says where")]

mod vfs;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use buffer::{Buffer, Kek, OpenError, Options};
use bytes::Bytes;
use feed::{Capture, CaptureId, FeedName, Form, Intake, Ticket};
use jiff::Timestamp;

fn now() -> Timestamp {
    "2026-11-24T08:00:00Z".parse().unwrap()
}

fn capture(n: usize, length: usize) -> Capture {
    let mut body = format!("message {n} ").into_bytes();
    body.resize(length, b'x');
    let (feed, peer) = (FeedName::new("his").unwrap(), Arc::from("127.0.0.1:1"));
    Capture { feed, received: now(), peer, form: Form::Whole, body: Bytes::from(body) }
}

/// Waits for a ticket on this thread.
fn wait(ticket: Ticket) -> bool {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut cx = std::task::Context::from_waker(&waker);
    let mut ticket = std::pin::pin!(ticket);
    loop {
        match ticket.as_mut().poll(&mut cx) {
            std::task::Poll::Ready(answer) => return answer.is_ok(),
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

/// Hands captures in until the power fails; gives the bodies of those that were acknowledged.
fn run(dir: &Path, fails_at: u64, synchronous: bool) -> BTreeSet<Vec<u8>> {
    let live = dir.join("live/data");
    fs::create_dir_all(&live).unwrap();
    let kek = Kek::create_file(&dir.join("key")).unwrap();
    vfs::fail_at(fails_at);
    let options = Options { vfs: Some(vfs::NAME.to_owned()), synchronous, ..Options::new(live.clone()) };
    let mut acknowledged = BTreeSet::new();
    if let Ok(buffer) = Buffer::open(options, kek, now()) {
        let intake: Arc<dyn Intake> = buffer.intake();
        for n in 0..24 {
            // Some small ones together, and now and then a large one that goes in parts.
            let length = if n % 8 == 5 { 300 << 10 } else { 200 + n };
            let captures: Vec<Capture> = (0..3).map(|m| capture(n * 10 + m, length + m)).collect();
            let tickets: Vec<Ticket> = captures.iter().map(|c| intake.submit(c.clone(), None)).collect();
            for (capture, ticket) in captures.into_iter().zip(tickets) {
                if wait(ticket) {
                    acknowledged.insert(capture.body.to_vec());
                }
            }
        }
        buffer.close();
    }
    // The ring is written with plain files, each change synced before anything relies on it.
    fs::create_dir_all(dir.join("durable/data/seg")).unwrap();
    for copy in ["keys.0", "keys.1"] {
        if live.join(copy).exists() {
            fs::copy(live.join(copy), dir.join("durable/data").join(copy)).unwrap();
        }
    }
    acknowledged
}

/// Opens what a machine would find after it comes back.
fn found(dir: &Path) -> Result<BTreeSet<Vec<u8>>, OpenError> {
    let kek = Kek::from_file(&dir.join("key")).unwrap();
    let buffer = Buffer::open(Options::new(dir.join("durable/data")), kek, now())?;
    let mut bodies = BTreeSet::new();
    let mut after = CaptureId::ZERO;
    loop {
        let page = buffer.next_captures(after, 100, 64 << 20).unwrap();
        let Some(last) = page.last() else { break };
        after = last.id;
        bodies.extend(page.iter().map(|stored| stored.capture.body.to_vec()));
    }
    buffer.close();
    Ok(bodies)
}

#[test]
fn what_was_acknowledged_survives_a_power_cut_at_any_sync() {
    vfs::register();
    let whole = tempfile::tempdir().unwrap();
    let all = run(whole.path(), u64::MAX, true);
    assert_eq!(all.len(), 72, "without a power cut everything is acknowledged");
    let syncs = vfs::syncs();
    assert!(syncs > 24, "each round is synced: {syncs}");
    let mut lost_work = 0;
    for fails_at in 1..=syncs {
        let dir = tempfile::tempdir().unwrap();
        let acknowledged = run(dir.path(), fails_at, true);
        let found = found(dir.path()).unwrap_or_else(|error| panic!("power cut at sync {fails_at}: {error}"));
        let lost = acknowledged.difference(&found).count();
        assert_eq!(
            lost,
            0,
            "power cut at sync {fails_at} of {syncs}: {lost} of {} acknowledged are gone",
            acknowledged.len()
        );
        lost_work += usize::from(acknowledged.len() < 72);
    }
    assert!(lost_work > 0, "some power cuts came while captures were on their way");

    // The same with a database that does not sync: this test can fail.
    let dir = tempfile::tempdir().unwrap();
    let acknowledged = run(dir.path(), u64::MAX, false);
    assert_eq!(acknowledged.len(), 72);
    match found(dir.path()) {
        Ok(found) => assert!(!acknowledged.is_subset(&found), "without syncs acknowledged captures are lost"),
        // The state heard of a segment whose tables never reached the disk.
        Err(error) => assert!(matches!(error, OpenError::Emptied(_)), "{error}"),
    }
}
