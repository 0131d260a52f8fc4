//! The header, the message index, the escapes and the answer: no panic, nothing cut off.

#![no_main]

use hl7::{Header, Message, charset};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(header) = Header::read(data) else { return };
    let Ok(message) = Message::read(data, charset::Default::Auto, None) else { return };
    let held: usize = message.segments().map(|segment| segment.raw().len()).sum();
    let text = message.text();
    let skipped = text.chars().filter(|c| matches!(c, '\r' | '\n')).count();
    let start = text.trim_start_matches(|c: char| c == '\u{feff}' || c.is_ascii_whitespace());
    let start = text.len() - start.len();
    let blanks =
        text[..start].chars().filter(|c| !matches!(c, '\r' | '\n')).map(char::len_utf8).sum::<usize>();
    assert_eq!(held + skipped + blanks, text.len());
    for segment in message.segments() {
        for n in 0..40 {
            for repetition in segment.field(n).repetitions() {
                for component in repetition.components() {
                    let _ = component.text();
                    let _ = component.subcomponent(2).text();
                }
            }
        }
    }
    let answer = hl7::ack::build(Some(&header), (hl7::ack::Code::Accept, hl7::ack::Stage::Application), None, "G1", &Default::default());
    assert!(answer.ends_with(b"\r") && !answer.contains(&0x0b) && !answer.windows(2).any(|b| b == b"\x1c\r"));
});
