//! Segments that the disk spoilt: what can be read is, what cannot is named, and nothing else waits for it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says where")]

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use buffer::{Buffer, ClockTrust, Kek, OpenError, Options, SegmentState};
use bytes::Bytes;
use feed::{Capture, CaptureId, FeedName, Form};
use jiff::Timestamp;
use tempfile::TempDir;

fn now() -> Timestamp {
    "2026-11-24T08:00:00Z".parse().unwrap()
}

struct Site(TempDir);

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Kek::create_file(&dir.path().join("key")).unwrap();
        Self(dir)
    }

    fn try_open(&self) -> Result<Buffer, OpenError> {
        let kek = Kek::from_file(&self.0.path().join("key")).unwrap();
        Buffer::open(Options::new(self.0.path().join("data")), kek, now())
    }

    fn open(&self) -> Buffer {
        self.try_open().unwrap_or_else(|error| panic!("{error}"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join("data/seg").join(name)
    }
}

/// Commits captures of so many bytes.
fn fill(buffer: &Buffer, count: usize, length: usize) {
    let tickets: Vec<feed::Ticket> = (0..count)
        .map(|n| {
            // Not to be compressed away.
            let body: Vec<u8> = (0..length).map(|i| (i * 31 + n * 7 + i * i / 3) as u8).collect();
            let (feed, peer) = (FeedName::new("his").unwrap(), Arc::from("127.0.0.1:1"));
            let capture = Capture { feed, received: now(), peer, form: Form::Whole, body: Bytes::from(body) };
            buffer.intake().submit(capture, None)
        })
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for ticket in tickets {
        runtime.block_on(ticket).unwrap();
    }
}

/// Everything that refine would be given, page by page.
fn all(buffer: &Buffer) -> Vec<(CaptureId, Form)> {
    let mut all = Vec::new();
    let mut after = CaptureId::ZERO;
    loop {
        let page = buffer.next_captures(after, 10, 1 << 20).unwrap();
        let Some(last) = page.last() else { return all };
        after = last.id;
        all.extend(page.iter().map(|stored| (stored.id, stored.capture.form)));
    }
}

#[test]
fn captures_on_a_damaged_page_are_named_and_those_around_them_are_read() {
    let site = Site::new();
    let buffer = site.open();
    fill(&buffer, 60, 2000);
    buffer.close();
    drop(buffer);
    let file = fs::File::options().write(true).open(site.file("00000001.db")).unwrap();
    let pages = file.metadata().unwrap().len() / 8192;
    assert!(pages > 10, "{pages}");
    file.write_all_at(&[0xff; 8192], pages / 2 * 8192).unwrap();
    drop(file);

    let buffer = site.open();
    fill(&buffer, 5, 100);
    let read = all(&buffer);
    let damaged = read.iter().filter(|(_, form)| *form == Form::Damaged).count();
    assert!((1..10).contains(&damaged), "{damaged} of {} are damaged", read.len());
    let rows =
        |no| read.iter().filter(|(id, _)| id.segment() == no).map(|(id, _)| id.row()).collect::<Vec<_>>();
    assert_eq!(rows(1), Vec::from_iter(1..=60), "each has its place, once");
    assert_eq!(rows(2), [1, 2, 3, 4, 5]);
    buffer.close();
}

#[test]
fn a_segment_that_cannot_be_closed_is_alarmed_once_and_the_others_are_looked_after() {
    let site = Site::new();
    for _ in 0..2 {
        let buffer = site.open();
        fill(&buffer, 60, 2000);
        buffer.close();
    }
    let file = fs::File::options().write(true).open(site.file("00000001.db")).unwrap();
    file.write_all_at(&[0xff; 8192], 5 * 8192).unwrap();
    drop(file);
    let buffer = site.open();
    for _ in 0..3 {
        let done = buffer.maintain(now(), ClockTrust::Trusted).unwrap();
        assert!(done.usage.segments > 0);
        let (states, alarms) = buffer
            .state()
            .read_blocking(|read| {
                let states: Vec<_> = read.segments()?.iter().map(|row| (row.no, row.state)).collect();
                Ok((states, read.alarms()?))
            })
            .unwrap();
        use SegmentState::{Closed, Open};
        assert_eq!(states, [(1, Open), (2, Closed), (3, Open)]);
        assert_eq!(alarms.iter().map(|alarm| alarm.key.as_str()).collect::<Vec<_>>(), ["segment-stuck:1"]);
    }
    buffer.close();
}

#[test]
fn a_segment_that_is_gone_or_no_database_stops_the_start_until_somebody_says_that_it_is_lost() {
    let spoil: [fn(&Site); 2] = [
        |site| fs::remove_file(site.file("00000001.db")).unwrap(),
        |site| fs::write(site.file("00000001.db"), [7; 8192]).unwrap(),
    ];
    for spoil in spoil {
        let site = Site::new();
        let buffer = site.open();
        fill(&buffer, 5, 100);
        buffer.close();
        drop(buffer);
        spoil(&site);
        for _ in 0..2 {
            let refused = site.try_open().err().expect("the loss is noticed");
            assert!(refused.to_string().contains("touch seg/00000001.lost"), "{refused}");
        }
        fs::write(site.file("00000001.lost"), b"").unwrap();
        let buffer = site.open();
        buffer.close();
        drop(buffer);
        assert!(!site.file("00000001.lost").exists(), "said once");
        let buffer = site.open();
        fill(&buffer, 3, 100);
        buffer.maintain(now(), ClockTrust::Trusted).unwrap();
        assert_eq!(all(&buffer).len(), 3);
        let audit = buffer.state().read_blocking(|read| read.audit_page(0, 10)).unwrap();
        assert_eq!(audit.iter().map(|row| row.entry.what.as_str()).collect::<Vec<_>>(), ["segment-lost"]);
        buffer.close();
        drop(buffer);
        site.open().close();
    }
}
