//! The sender of a message: no bytes that come back end it unless they name it.

#![no_main]

use core::time::Duration;

use hl7::ack::Protocol;
use hl7::client::{Exchange, Reply};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    const ID: &str = "HG0123456789ABCDEF";
    let mut exchange =
        Exchange::new([(ID.to_owned(), Protocol::Original)], Duration::from_secs(10), Duration::ZERO);
    exchange.answer(data, Duration::from_secs(1));
    let named = data.windows(ID.len()).any(|window| window == ID.as_bytes());
    assert!(named || !exchange.is_done());
    if let Some(reply) = Reply::read(data) {
        assert!(reply.condition.is_none_or(|number| (100..=299).contains(&number)));
    }
});
