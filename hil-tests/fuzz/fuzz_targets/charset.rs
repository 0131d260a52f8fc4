//! Character sets: no panic under any name, what is decoded can be written again, and no answer holds frame bytes that its
//! text does not.
//!
//! What stands before the first line feed is the name that MSH-18 declares; the rest is the text.

#![no_main]

use hl7::charset::{self, Charset, Default, Learned};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (name, raw) = data.split_at(data.iter().position(|b| *b == b'\n').unwrap_or(0));
    let declared = [String::from_utf8_lossy(name).into_owned()];
    let _ = charset::decode(raw, &declared, Default::Auto, None);
    if let Some(set) = Charset::named(&declared[0]) {
        // A name of ours means the same set to us.
        assert_eq!(Charset::named(set.name()), Some(set));
        if let Some(text) = set.decode(raw) {
            let written = set.encode(&text);
            assert!(
                text.contains(['\u{b}', '\u{1c}']) || !written.iter().any(|byte| matches!(byte, 0x0b | 0x1c))
            );
        }
    }
    for learned in [None, Some(Learned::Utf8), Some(Learned::Gb18030)] {
        if let Ok(decoded) = charset::decode(raw, &[], Default::Auto, learned) {
            let again = decoded.charset.encode(&decoded.text);
            assert_eq!(decoded.charset.decode(&again).as_deref(), Some(decoded.text.as_ref()));
            // What was proven once is decoded the same again.
            if let Some(proof) = decoded.proof {
                let again = charset::decode(raw, &[], Default::Auto, Some(proof));
                assert_eq!(again.map(|again| again.text), Ok(decoded.text));
            }
        }
    }
});
