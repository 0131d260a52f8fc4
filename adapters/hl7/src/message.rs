//! The message index: where each segment lies; fields are split when they are asked for.

use core::ops::Range;
use std::borrow::Cow;

use memchr::{memchr_iter, memchr2};

use crate::charset::{self, Charset, CharsetError, Learned};
use crate::escape;
use crate::header::{Delimiters, Header, Unreadable, content_start};

/// A message: its text and the spans of its segments, which together cover all of it.
#[derive(Clone, Debug)]
pub struct Message {
    text: String,
    segments: Vec<Range<usize>>,
    header: Header,
    charset: Charset,
    proof: Option<Learned>,
}

/// Why a payload is no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It has no header.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// It cannot be decoded.
    #[error(transparent)]
    Charset(#[from] CharsetError),
}

/// One segment.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'m> {
    line: &'m str,
    number: usize,
    delimiters: Delimiters,
    charset: Charset,
}

/// One field with its repetitions.
#[derive(Clone, Copy, Debug)]
pub struct Field<'m>(Part<'m>);

/// One repetition of a field.
#[derive(Clone, Copy, Debug)]
pub struct Repetition<'m>(Part<'m>);

/// One component, or a subcomponent.
#[derive(Clone, Copy, Debug)]
pub struct Component<'m>(Part<'m>);

#[derive(Clone, Copy, Debug)]
struct Part<'m> {
    raw: &'m str,
    delimiters: Delimiters,
    charset: Charset,
}

impl Message {
    /// Reads a payload: header, character set, segments, in this order. Below MSH nothing fails.
    ///
    /// # Errors
    /// When there is no header, or the bytes are not of the character set.
    pub fn read(raw: &[u8], default: charset::Default, learned: Option<Learned>) -> Result<Self, ReadError> {
        let header = Header::read(raw)?;
        let decoded = charset::decode(raw, &header.charsets, default, learned)?;
        let (charset, proof) = (decoded.charset, decoded.proof);
        Ok(Self::index(decoded.text.into_owned(), header, charset, proof))
    }

    fn index(text: String, header: Header, charset: Charset, proof: Option<Learned>) -> Self {
        let bytes = text.as_bytes();
        let mut segments = Vec::with_capacity(bytes.len() / 64);
        let mut start = content_start(bytes);
        while start < bytes.len() {
            let end = memchr2(b'\r', b'\n', &bytes[start..]).map_or(bytes.len(), |at| start + at);
            // Blank lines are no segments; their bytes still belong to the message.
            if end > start {
                segments.push(start..end);
            }
            start = end + 1;
        }
        Self { text, segments, header, charset, proof }
    }

    /// The header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it was decoded from.
    pub const fn charset(&self) -> Charset {
        self.charset
    }

    /// What its bytes prove about the character set of its feed, where they do.
    pub const fn proof(&self) -> Option<Learned> {
        self.proof
    }

    /// All segments in order, MSH first.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = Segment<'_>> + Clone {
        self.segments.iter().enumerate().map(|(number, span)| Segment {
            line: &self.text[span.clone()],
            number: number + 1,
            delimiters: self.header.delimiters,
            charset: self.charset,
        })
    }

    /// The segments called `name`.
    pub fn segments_named<'m>(&'m self, name: &'m str) -> impl Iterator<Item = Segment<'m>> {
        self.segments().filter(move |segment| segment.name() == name)
    }

    /// The parts that begin with a segment called `name`, each as a message with the header of this one. What stands before
    /// the first belongs to none.
    pub fn parts(&self, name: &str) -> Vec<Self> {
        let begins: Vec<usize> =
            self.segments().enumerate().filter(|(_, s)| s.name() == name).map(|(at, _)| at).collect();
        let ends = begins.iter().skip(1).copied().chain([self.segments.len()]);
        let part = |(begin, end): (usize, usize)| {
            let own = self.segments.first().into_iter().chain(&self.segments[begin..end]);
            let lines: Vec<&str> = own.map(|span| &self.text[span.clone()]).collect();
            Self::index(lines.join("\r"), self.header.clone(), self.charset, self.proof)
        };
        begins.iter().copied().zip(ends).map(part).collect()
    }

    /// The first segment called `name`.
    pub fn first(&self, name: &str) -> Option<Segment<'_>> {
        self.segments().find(|segment| segment.name() == name)
    }
}

impl<'m> Segment<'m> {
    /// Its name: what stands before the first field separator.
    pub fn name(&self) -> &'m str {
        pieces(self.line, self.delimiters.field).next().unwrap_or_default().trim()
    }

    /// Its text without the line end.
    pub const fn raw(&self) -> &'m str {
        self.line
    }

    /// Its number in the message, counted from 1.
    pub const fn number(&self) -> usize {
        self.number
    }

    /// Field `n`, counted from 1 as in the standard: MSH-1 is the separator itself. Absent fields are empty.
    pub fn field(&self, n: usize) -> Field<'m> {
        let header = self.name() == "MSH";
        let raw = match (header, n) {
            (true, 0) | (false, 0) => "",
            (true, 1) => self.line.get(3..4).unwrap_or_default(),
            (true, _) => self.nth(n - 1),
            (false, _) => self.nth(n),
        };
        // MSH-2 holds the delimiters, it is not split at them.
        let delimiters = if header && n <= 2 { NO_DELIMITERS } else { self.delimiters };
        Field(Part { raw, delimiters, charset: self.charset })
    }

    /// All fields from number 1 on; to visit many of them this is faster than [`Segment::field`] for each.
    pub fn fields(&self) -> impl Iterator<Item = Field<'m>> {
        let header = self.name() == "MSH";
        let (delimiters, charset) = (self.delimiters, self.charset);
        let separator = self.line.get(3..4).filter(|_| header);
        let rest = pieces(self.line, delimiters.field).skip(1);
        separator.into_iter().chain(rest).enumerate().map(move |(n, raw)| {
            let delimiters = if header && n < 2 { NO_DELIMITERS } else { delimiters };
            Field(Part { raw, delimiters, charset })
        })
    }

    fn nth(&self, n: usize) -> &'m str {
        pieces(self.line, self.delimiters.field).nth(n).unwrap_or_default()
    }
}

/// The pieces of a text between delimiters, which are ASCII and so cut no character.
fn pieces(text: &str, delimiter: u8) -> impl Iterator<Item = &str> {
    let ends = memchr_iter(delimiter, text.as_bytes()).chain(core::iter::once(text.len()));
    ends.scan(0, move |start, end| {
        let piece = text.get(*start..end).unwrap_or_default();
        *start = end + 1;
        Some(piece)
    })
}

/// Bytes that stand in no text.
const NO_DELIMITERS: Delimiters =
    Delimiters { field: 0x1c, component: 0x1c, repetition: 0x1c, escape: 0x1c, subcomponent: 0x1c };

impl<'m> Field<'m> {
    /// As written.
    pub const fn raw(&self) -> &'m str {
        self.0.raw
    }

    /// Whether nothing is stated.
    pub fn is_empty(&self) -> bool {
        self.0.raw.trim().is_empty()
    }

    /// Whether it is the null `""`: what is held is to be deleted (section 2.5.3).
    pub fn is_null(&self) -> bool {
        self.0.raw == "\"\""
    }

    /// Its repetitions; one even when it is empty.
    pub fn repetitions(&self) -> impl Iterator<Item = Repetition<'m>> {
        self.0.split(self.0.delimiters.repetition).map(Repetition)
    }

    /// The first repetition.
    pub fn first(&self) -> Repetition<'m> {
        Repetition(self.0.nth(self.0.delimiters.repetition, 1))
    }

    /// Component `n` of the first repetition, counted from 1.
    pub fn component(&self, n: usize) -> Component<'m> {
        self.first().component(n)
    }

    /// The first component of the first repetition, escapes decoded.
    pub fn text(&self) -> Cow<'m, str> {
        self.component(1).text()
    }
}

impl<'m> Repetition<'m> {
    /// As written.
    pub const fn raw(&self) -> &'m str {
        self.0.raw
    }

    /// Whether nothing is stated.
    pub fn is_empty(&self) -> bool {
        self.0.raw.trim().is_empty()
    }

    /// Component `n`, counted from 1. Absent components are empty.
    pub fn component(&self, n: usize) -> Component<'m> {
        Component(self.0.nth(self.0.delimiters.component, n))
    }

    /// Its components.
    pub fn components(&self) -> impl Iterator<Item = Component<'m>> {
        self.0.split(self.0.delimiters.component).map(Component)
    }

    /// The whole, escapes decoded and delimiters kept: for fields of plain text.
    pub fn text(&self) -> Cow<'m, str> {
        self.0.text()
    }
}

impl<'m> Component<'m> {
    /// As written.
    pub const fn raw(&self) -> &'m str {
        self.0.raw
    }

    /// Whether nothing is stated.
    pub fn is_empty(&self) -> bool {
        self.0.raw.trim().is_empty()
    }

    /// Whether it is the null `""`.
    pub fn is_null(&self) -> bool {
        self.0.raw == "\"\""
    }

    /// Subcomponent `n`, counted from 1.
    pub fn subcomponent(&self, n: usize) -> Self {
        Self(self.0.nth(self.0.delimiters.subcomponent, n))
    }

    /// Its text, escapes decoded.
    pub fn text(&self) -> Cow<'m, str> {
        self.0.text()
    }

    /// Its bytes, in the character set of the message, where it holds bytes in hexadecimal escapes.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        escape::bytes(self.0.raw, self.0.delimiters, self.0.charset)
    }
}

impl<'m> Part<'m> {
    fn split(self, at: u8) -> impl Iterator<Item = Self> {
        pieces(self.raw, at).map(move |raw| Self { raw, ..self })
    }

    fn nth(self, at: u8, n: usize) -> Self {
        let raw = n.checked_sub(1).and_then(|n| pieces(self.raw, at).nth(n)).unwrap_or_default();
        Self { raw, ..self }
    }

    fn text(self) -> Cow<'m, str> {
        escape::decode(self.raw, self.delimiters, self.charset)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Message {
        Message::read(text.as_bytes(), charset::Default::Auto, None).unwrap()
    }

    fn names(text: &str) -> Vec<String> {
        read(text).segments().map(|segment| segment.name().to_owned()).collect()
    }

    #[test]
    fn all_line_ends_and_odd_segments_are_kept() {
        for end in ["\r", "\n", "\r\n", "\r\r", "\n\n"] {
            let lines = [
                "\u{feff}MSH|^~\\&|A",
                "EVN",
                "ZZZ",
                "ZLONG|1",
                "X2|y",
                "zz|low",
                "stray text",
                " PID|blank",
            ];
            let found = names(&lines.join(end));
            assert_eq!(found, ["MSH", "EVN", "ZZZ", "ZLONG", "X2", "zz", "stray text", "PID"]);
        }
    }

    #[test]
    fn damaged_and_newer_encoding_characters_do_not_shift_the_header() {
        for encoding in ["^~\\&", "^~\\&#", "^~&", "^~\\\\&", "^~"] {
            let message =
                read(&format!("MSH|{encoding}|APP|FAC|||20261124||ADT^A01|ID7|P|2.5\rPID|1||7^^^HIS&x"));
            let header = message.header();
            assert_eq!((header.control_id.as_str(), header.trigger.as_str()), ("ID7", "A01"), "{encoding}");
            let pid = message.first("PID").unwrap();
            assert_eq!(pid.field(3).component(4).subcomponent(1).text(), "HIS");
            let msh = message.first("MSH").unwrap();
            assert_eq!((msh.field(1).raw(), msh.field(2).raw(), msh.field(10).raw()), ("|", encoding, "ID7"));
        }
    }

    #[test]
    fn other_delimiters_are_those_of_msh() {
        let message = read("MSH$%*!@$A$$$$$$ADT%A01$ID$P$2.5\rPID$1$$7%x%y@z*8$n!F!m");
        let pid = message.first("PID").unwrap();
        assert_eq!(pid.field(3).component(3).subcomponent(2).text(), "z");
        assert_eq!(
            pid.field(3).repetitions().map(|r| r.component(1).text().into_owned()).collect::<Vec<_>>(),
            ["7", "8"]
        );
        assert_eq!(pid.field(4).text(), "n$m");
    }

    #[test]
    fn fields_one_by_one_are_the_fields_by_number() {
        let message = read("MSH|^~\\&|A|B~C|||1||ADT^A01|7|P|2.4\rPID|1||a^b~c||\rZZZ\r");
        for segment in message.segments() {
            let all: Vec<&str> = segment.fields().map(|field| field.raw()).collect();
            let numbered: Vec<&str> = (1..=all.len()).map(|n| segment.field(n).raw()).collect();
            assert_eq!(all, numbered);
            assert!(segment.field(all.len() + 1).is_empty());
            let repetitions = segment.fields().map(|field| field.repetitions().count());
            assert!(repetitions.eq((1..=all.len()).map(|n| segment.field(n).repetitions().count())));
        }
    }

    #[test]
    fn parts_are_messages_of_their_own_under_the_same_header() {
        let message = read("MSH|^~\\&|A||||||ORU|7|P\rSFT|x\rPID|1\rOBX|1\r\nPID|2\nOBX|2\rOBX|3\r");
        let parts: Vec<String> = message.parts("PID").iter().map(|part| part.text().to_owned()).collect();
        let msh = "MSH|^~\\&|A||||||ORU|7|P";
        assert_eq!(parts, [format!("{msh}\rPID|1\rOBX|1"), format!("{msh}\rPID|2\rOBX|2\rOBX|3")]);
        assert!(message.parts("PV1").is_empty() && message.parts("PID")[1].header().control_id == "7");
    }

    #[test]
    fn null_is_not_absent() {
        let message = read("MSH|^~\\&|||||||ADT|1|P\rPID|1||\"\"||");
        let pid = message.first("PID").unwrap();
        assert!(pid.field(3).is_null() && !pid.field(3).is_empty());
        assert!(pid.field(4).is_empty() && !pid.field(4).is_null() && pid.field(99).is_empty());
    }

    #[test]
    fn a_name_with_a_delimiter_byte_stays_whole_and_shifts_nothing() {
        let text =
            "MSH|^~\\&|H||||||ADT^A01|1|P|2.4||||||GB 18030-2000\rPID|1||7||\u{5f20}\u{5f22}||19700101|M";
        let raw = Charset::Gb18030.encode(text);
        let message = Message::read(&raw, charset::Default::Auto, None).unwrap();
        let pid = message.first("PID").unwrap();
        assert_eq!(
            (pid.field(5).text(), pid.field(7).text()),
            ("\u{5f20}\u{5f22}".into(), "19700101".into())
        );
    }

    #[test]
    fn short_headers_are_read_and_no_header_is_said_to_be_none() {
        for text in ["MSH|^~\\&", "MSH|^~\\&|", "MSH|^~\\&\r"] {
            assert_eq!(read(text).header().control_id, "");
        }
        let error = |raw: &[u8]| Message::read(raw, charset::Default::Auto, None).unwrap_err();
        for raw in [&b""[..], b"MSH", b"hello", b"PID|1", b"\0\0", b"MSHA"] {
            assert_eq!(error(raw), Unreadable::NotHl7.into());
        }
        assert_eq!(error(b"MSH|"), Unreadable::Delimiters.into());
        assert_eq!(error(b"MSH||A"), Unreadable::Delimiters.into());
        assert_eq!(error(b"FHS|^~\\&"), Unreadable::Batch.into());
        assert_eq!(error(b"\xff\xfeM\0S\0H\0"), Unreadable::Utf16.into());
    }

    proptest! {
        #[test]
        fn segments_and_line_ends_cover_the_whole_text(body in "[A-Z|^~\\\\& \r\n\u{4e00}]{0,80}") {
            let text = format!("MSH|^~\\&|A\r{body}");
            let message = read(&text);
            let held: usize = message.segments().map(|s| s.raw().len()).sum();
            let ends = message.text().bytes().filter(|b| matches!(b, b'\r' | b'\n')).count();
            prop_assert_eq!(held + ends, message.text().len());
        }

        #[test]
        fn arbitrary_bytes_never_panic(raw in proptest::collection::vec(any::<u8>(), 0..120), header in any::<bool>()) {
            let raw = if header { [b"MSH|^~\\&|", raw.as_slice()].concat() } else { raw };
            if let Ok(message) = Message::read(&raw, charset::Default::Auto, None) {
                for segment in message.segments() {
                    for n in 0..5 {
                        let field = segment.field(n);
                        for repetition in field.repetitions() {
                            let _ = repetition.component(1).subcomponent(1).text();
                        }
                    }
                }
            }
        }
    }
}
