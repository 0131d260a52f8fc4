//! Batches: every MSH begins a message of its own, none overlaps another, every line has its place, and the answer holds
//! each of ours once and no frame bytes.

#![no_main]

use hl7::batch::{Batch, is_batch};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let batch = Batch::read(data);
    let mut end = if data.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    for span in batch.messages() {
        assert!(span.start >= end && span.end <= data.len() && data[span.clone()].starts_with(b"MSH"));
        // What stands between two messages is the batch's own, blank, or said to be outside.
        outside(&data[end..span.start], &batch);
        end = span.end;
    }
    outside(&data[end..], &batch);
    let messages = batch.messages().count();
    let begun = data.split(|b| matches!(b, b'\r' | b'\n')).filter(|line| line.starts_with(b"MSH")).count();
    // One more where blanks stand before the first.
    assert!(messages == begun || messages == begun + 1);
    if is_batch(data) {
        assert!(batch.file.is_some() || !batch.groups.is_empty());
    }

    let own = b"MSH|^~\\&\rMSA|AA|1\r".to_vec();
    let answer = batch.answer(core::iter::repeat(own), "G1", "20261124");
    assert!(!answer.iter().any(|byte| matches!(byte, 0x0b | 0x1c)));
    let again = Batch::read(&answer);
    assert_eq!(again.messages().count(), messages, "each answered once");
    assert_eq!(
        again.groups.iter().filter(|group| group.header.is_some()).count(),
        batch.groups.iter().filter(|group| group.header.is_some()).count()
    );
});

fn outside(bytes: &[u8], batch: &Batch<'_>) {
    let own = |line: &[u8]| {
        [&b"FHS"[..], b"BHS", b"BTS", b"FTS"].iter().any(|name| line.trim_ascii_start().starts_with(name))
    };
    let foreign =
        bytes.split(|b| matches!(b, b'\r' | b'\n')).any(|line| !line.trim_ascii().is_empty() && !own(line));
    assert!(!foreign || batch.faults.iter().any(|fault| fault.contains("outside")));
}
