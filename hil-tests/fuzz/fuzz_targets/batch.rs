//! Batches: every MSH begins a message of its own, none overlaps another, and the answer holds no frame bytes.

#![no_main]

use hl7::batch::Batch;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let batch = Batch::read(data);
    let mut end = 0;
    for span in batch.messages() {
        assert!(span.start >= end && data[span.clone()].starts_with(b"MSH"));
        end = span.end;
    }
    let answer = batch.answer(core::iter::repeat(b"MSH|^~\\&\rMSA|AA|1\r".to_vec()), "G1", "20261124");
    assert!(!answer.iter().any(|byte| matches!(byte, 0x0b | 0x1c)));
});
