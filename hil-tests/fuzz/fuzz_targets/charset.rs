//! Character sets: no panic under any name, and what is decoded can be written again.
//!
//! What stands before the first line feed is the name that MSH-18 declares; the rest is the text.

#![no_main]

use hl7::charset::{self, Default, Learned};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (name, raw) = data.split_at(data.iter().position(|b| *b == b'\n').unwrap_or(0));
    let declared = [String::from_utf8_lossy(name).into_owned()];
    let _ = charset::decode(raw, &declared, Default::Auto, None);
    for learned in [None, Some(Learned::Utf8), Some(Learned::Gb18030)] {
        if let Ok(decoded) = charset::decode(raw, &[], Default::Auto, learned) {
            let again = decoded.charset.encode(&decoded.text);
            assert_eq!(decoded.charset.decode(&again).as_deref(), Some(decoded.text.as_ref()));
        }
    }
});
