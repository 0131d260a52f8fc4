//! The header, the message index, the escapes and the answers: no panic, nothing cut off, every way to a field the same,
//! and an answer that the sender can read back.

#![no_main]

use hl7::ack::{self, Code, ErrorCode, Mode, Problem, Protocol, Stage};
use hl7::{Header, Message, charset};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(header) = Header::read(data) else { return };
    answers(&header);
    let Ok(message) = Message::read(data, charset::Default::Auto, None) else { return };
    covered(&message);
    for segment in message.segments() {
        let mut found = Vec::new();
        for (n, field) in segment.fields().enumerate() {
            assert_eq!(field.raw(), segment.field(n + 1).raw());
            found.push(field.raw());
            pieces(field, header.delimiters);
        }
        assert!(segment.field(0).is_empty() && segment.field(found.len() + 1).is_empty());
        let separator = char::from(header.delimiters.field).to_string();
        // MSH-1 is the separator itself, so that joining gives it twice.
        let joined = match segment.name() {
            "MSH" => found.get(1..).unwrap_or_default().join(&separator),
            _ => found.join(&separator),
        };
        assert!(segment.raw().ends_with(&joined));
        assert!(
            segment.raw().len()
                <= joined.len()
                    + separator.len()
                    + segment.raw().find(&separator).unwrap_or(segment.raw().len())
        );
    }
});

/// Segments and line ends cover the whole text; before MSH only blanks.
fn covered(message: &Message) {
    let text = message.text();
    let mut from = 0;
    for (n, segment) in message.segments().enumerate() {
        assert_eq!(segment.number(), n + 1);
        assert!(!segment.raw().is_empty() && !segment.raw().contains(['\r', '\n']));
        let at = from + text[from..].find(segment.raw()).expect("a segment is of the text");
        let blank = |c: char| c.is_ascii_whitespace() || c == '\u{feff}';
        assert!(text[from..at].chars().all(|c| if n == 0 { blank(c) } else { matches!(c, '\r' | '\n') }));
        from = at + segment.raw().len();
    }
    assert!(text[from..].chars().all(|c| matches!(c, '\r' | '\n')));
}

/// Pieces joined are the whole, and each is the one that its number gives.
fn pieces(field: hl7::Field<'_>, delimiters: hl7::Delimiters) {
    let joined = |parts: Vec<&str>, by: u8| parts.join(&char::from(by).to_string());
    let repetitions: Vec<_> = field.repetitions().collect();
    assert_eq!(repetitions[0].raw(), field.first().raw());
    let is_header = repetitions.len() == 1 && joined(vec![field.raw()], delimiters.repetition) == field.raw();
    if !is_header {
        assert_eq!(joined(repetitions.iter().map(|r| r.raw()).collect(), delimiters.repetition), field.raw());
    }
    for repetition in repetitions {
        let _ = repetition.text();
        for (n, component) in repetition.components().enumerate().take(12) {
            assert_eq!(component.raw(), repetition.component(n + 1).raw());
            // Without an escape character text is what was written.
            let text = component.text();
            assert!(component.raw().contains(char::from(delimiters.escape)) || text == component.raw());
            assert_eq!(component.is_null(), component.raw() == "\"\"");
            let _ = component.subcomponent(2).text();
        }
        assert!(repetition.component(0).is_empty());
    }
}

/// An answer ends no frame and names what it answers, whatever the sender wrote in its header.
fn answers(header: &Header) {
    let problem = Problem {
        location: "MSH^1^10",
        code: ErrorCode::RequiredFieldMissing,
        text: "a | text ^ with ~ all \\ delimiters & line\rends".to_owned(),
    };
    let now = Default::default();
    for (code, problem) in [(Code::Accept, None), (Code::Reject, Some(&problem))] {
        let answer = ack::build(Some(header), (code, Stage::Application), problem, None, "G1", &now);
        assert!(answer.ends_with(b"\r") && !answer.iter().any(|byte| matches!(byte, 0x0b | 0x1c)));
        for mode in [Mode::Auto, Mode::Original, Mode::Enhanced] {
            let _ = Protocol::of(header, mode).at_once(code);
        }
        let read = Header::read(&answer).expect("our own header can be read");
        assert_eq!(
            (read.delimiters, &*read.message_code, &*read.control_id),
            (header.delimiters, "ACK", "G1")
        );
        let plain = |id: &str| id.bytes().all(|b| b.is_ascii_graphic()) && !id.is_empty();
        if !plain(&header.control_id) || !header.charsets.is_empty() {
            continue;
        }
        let read = Message::read(&answer, charset::Default::Auto, None).expect("our own answer can be read");
        let msa = read.first("MSA").expect("an answer has an MSA");
        assert_eq!(msa.field(1).raw(), code.as_str(Stage::Application));
        assert_eq!(msa.field(2).raw(), header.control_id);
    }
}
