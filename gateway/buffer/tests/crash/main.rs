//! The power fails at every sync of a run: what was acknowledged is there afterwards.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says where")]

mod vfs;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use buffer::{Buffer, ClockTrust, IntakeHealth, Kek, OpenError, Options};
use bytes::Bytes;
use feed::{Capture, CaptureId, Commit, FeedName, Form, Intake, Mark, Refusal, Ticket};
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
fn wait(ticket: Ticket) -> Result<Commit, Refusal> {
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
            std::task::Poll::Ready(answer) => return answer,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

/// What was acknowledged: bodies, and the round of the last mark.
#[derive(Default)]
struct Acknowledged {
    bodies: BTreeSet<Vec<u8>>,
    mark: u8,
}

/// Hands captures in until the power fails, over several segments, which are closed on the way; gives what was
/// acknowledged.
fn run(dir: &Path, fails_at: u64, synchronous: bool) -> Acknowledged {
    let live = dir.join("live/data");
    fs::create_dir_all(&live).unwrap();
    let kek = Kek::create_file(&dir.join("key")).unwrap();
    vfs::fail_at(fails_at);
    let options = Options { vfs: Some(vfs::NAME.to_owned()), synchronous, ..Options::new(live.clone()) };
    let mut acknowledged = Acknowledged::default();
    if let Ok(buffer) = Buffer::open(options, kek, now()) {
        let intake: Arc<dyn Intake> = buffer.intake();
        for n in 0..24_usize {
            if n % 8 == 7 {
                buffer.roll(now());
                // What fails here fails again below, where it counts.
                let _ = buffer.maintain(now(), ClockTrust::Trusted);
            }
            // Some small ones together, and now and then a large one that goes in parts.
            let length = if n % 8 == 5 { 300 << 10 } else { 200 + n };
            let captures: Vec<Capture> = (0..3).map(|m| capture(n * 10 + m, length + m)).collect();
            let mark =
                |m: usize| (m == 0).then(|| Mark { key: "round".into(), value: vec![n as u8 + 1].into() });
            let tickets: Vec<Ticket> =
                captures.iter().enumerate().map(|(m, c)| intake.submit(c.clone(), mark(m))).collect();
            for (m, (capture, ticket)) in captures.into_iter().zip(tickets).enumerate() {
                if wait(ticket).is_ok() {
                    acknowledged.bodies.insert(capture.body.to_vec());
                    if m == 0 {
                        acknowledged.mark = n as u8 + 1;
                    }
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
fn found(dir: &Path) -> Result<Acknowledged, OpenError> {
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
    let mark = buffer.mark(&FeedName::new("his").unwrap(), "round").unwrap();
    buffer.close();
    Ok(Acknowledged { bodies, mark: mark.map_or(0, |mark| mark[0]) })
}

#[test]
fn what_was_acknowledged_survives_a_power_cut_at_any_sync() {
    vfs::register();
    let whole = tempfile::tempdir().unwrap();
    let all = run(whole.path(), u64::MAX, true);
    assert_eq!(all.bodies.len(), 72, "without a power cut everything is acknowledged");
    let syncs = vfs::syncs();
    assert!(syncs > 24, "each round is synced: {syncs}");
    let mut lost_work = 0;
    for fails_at in 1..=syncs {
        let dir = tempfile::tempdir().unwrap();
        let acknowledged = run(dir.path(), fails_at, true);
        let found = found(dir.path()).unwrap_or_else(|error| panic!("power cut at sync {fails_at}: {error}"));
        let lost = acknowledged.bodies.difference(&found.bodies).count();
        assert_eq!(
            lost,
            0,
            "power cut at sync {fails_at} of {syncs}: {lost} of {} acknowledged are gone",
            acknowledged.bodies.len()
        );
        assert!(
            found.mark >= acknowledged.mark,
            "power cut at sync {fails_at} of {syncs}: mark {} of {}",
            found.mark,
            acknowledged.mark
        );
        lost_work += usize::from(acknowledged.bodies.len() < 72);
    }
    assert!(lost_work > 0, "some power cuts came while captures were on their way");

    // The same with a database that does not sync: this test can fail.
    let dir = tempfile::tempdir().unwrap();
    let acknowledged = run(dir.path(), u64::MAX, false);
    assert_eq!(acknowledged.bodies.len(), 72);
    match found(dir.path()) {
        Ok(found) => assert!(
            !acknowledged.bodies.is_subset(&found.bodies),
            "without syncs acknowledged captures are lost"
        ),
        // The state heard of a segment whose tables never reached the disk.
        Err(error) => assert!(matches!(error, OpenError::Emptied(_)), "{error}"),
    }
}

#[test]
fn a_disk_that_fails_once_costs_a_refusal_and_one_that_fails_again_holds_the_feeds() {
    vfs::register();
    let dir = tempfile::tempdir().unwrap();
    let live = dir.path().join("live/data");
    fs::create_dir_all(&live).unwrap();
    let kek = Kek::create_file(&dir.path().join("key")).unwrap();
    vfs::fail_at(u64::MAX);
    let options = Options { vfs: Some(vfs::NAME.to_owned()), ..Options::new(live) };
    let buffer = Buffer::open(options, kek, now()).unwrap();
    let commit = |n| wait(buffer.intake().submit(capture(n, 200), None));
    let first = commit(1).unwrap().capture;
    assert_eq!((first.segment(), buffer.intake_health()), (1, IntakeHealth::Good));

    vfs::fail_once();
    assert_eq!(commit(2).unwrap_err(), Refusal::Disk, "what may not be on the disk is not acknowledged");
    let next = commit(3).unwrap().capture;
    assert_eq!((next, buffer.intake_health()), (CaptureId::new(2, 1), IntakeHealth::Reopened));

    vfs::fail_once();
    assert_eq!(commit(4).unwrap_err(), Refusal::Disk);
    assert_eq!(buffer.intake_health(), IntakeHealth::Held);
    assert_eq!(commit(5).unwrap_err(), Refusal::Disk, "held, though the disk is well again");
    let rows = buffer.next_captures(CaptureId::ZERO, 10, 1 << 20).unwrap();
    let ids: Vec<CaptureId> = rows.iter().map(|stored| stored.id).collect();
    assert!(ids.contains(&first) && ids.contains(&next), "{ids:?}");
    buffer.close();
}
