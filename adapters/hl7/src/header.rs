//! The header segment, read from raw bytes before anything is decoded.

use memchr::memchr2;

/// The delimiters that a message declares (MSH-1, MSH-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delimiters {
    /// Between fields.
    pub field: u8,
    /// Between components.
    pub component: u8,
    /// Between repetitions.
    pub repetition: u8,
    /// Before an escape.
    pub escape: u8,
    /// Between subcomponents.
    pub subcomponent: u8,
}

/// What routing and acknowledgement need of MSH. Texts are ASCII where senders keep to the standard; other bytes are
/// replaced here, the message itself keeps them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The delimiters.
    pub delimiters: Delimiters,
    /// MSH-2 as written.
    pub encoding_characters: String,
    /// MSH-3.
    pub sending_application: String,
    /// MSH-4.
    pub sending_facility: String,
    /// MSH-5.
    pub receiving_application: String,
    /// MSH-6.
    pub receiving_facility: String,
    /// MSH-7.
    pub time: String,
    /// MSH-9.1
    pub message_code: String,
    /// MSH-9.2
    pub trigger: String,
    /// MSH-10.
    pub control_id: String,
    /// MSH-11.1
    pub processing_id: String,
    /// MSH-12.1
    pub version: String,
    /// MSH-13.
    pub sequence: String,
    /// MSH-15.
    pub accept_ack: String,
    /// MSH-16.
    pub application_ack: String,
    /// MSH-18, its repetitions.
    pub charsets: Vec<String>,
}

/// Why a payload has no header that can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unreadable {
    /// It does not begin with MSH.
    #[error("not HL7: the first segment is not MSH")]
    NotHl7,
    /// It begins with FHS or BHS.
    #[error("a batch (FHS, BHS) is no message; its messages are")]
    Batch,
    /// It is written in UTF-16.
    #[error("UTF-16: MLLP needs a character set whose bytes hold ASCII, send UTF-8 or GB18030")]
    Utf16,
    /// MSH-1 or MSH-2 is empty or no delimiters.
    #[error("MSH-1 and MSH-2 do not name the delimiters, a header should begin with MSH|^~\\&")]
    Delimiters,
}

impl Header {
    /// Reads the header of a payload. Tolerates a byte order mark, blank lines before MSH, LF and CRLF, and the damaged
    /// forms `^~&` and `^~\\&` of MSH-2.
    ///
    /// # Errors
    /// When there is no header that could be answered.
    pub fn read(raw: &[u8]) -> Result<Self, Unreadable> {
        let line = header_line(raw)?;
        let field = line[3];
        let mut fields = line[4..].split(|b| *b == field);
        let encoding = fields.next().unwrap_or_default();
        let delimiters = Delimiters::read(field, encoding)?;
        let mut next = || fields.next().unwrap_or_default();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        let component = |bytes: &[u8], n: usize| {
            text(bytes.split(|b| *b == delimiters.component).nth(n).unwrap_or_default())
        };
        let (sending_application, sending_facility) = (text(next()), text(next()));
        let (receiving_application, receiving_facility) = (text(next()), text(next()));
        let (time, _security, kind) = (text(next()), next(), next());
        let (control_id, processing_id, version) = (text(next()), component(next(), 0), component(next(), 0));
        let (sequence, _continuation) = (text(next()), next());
        let (accept_ack, application_ack, _country) = (text(next()), text(next()), next());
        let charsets =
            next().split(|b| *b == delimiters.repetition).map(text).filter(|name| !name.is_empty()).collect();
        Ok(Self {
            delimiters,
            encoding_characters: text(encoding),
            sending_application,
            sending_facility,
            receiving_application,
            receiving_facility,
            time,
            message_code: component(kind, 0),
            trigger: component(kind, 1),
            control_id,
            processing_id,
            version,
            sequence,
            accept_ack,
            application_ack,
            charsets,
        })
    }
}

impl Delimiters {
    fn read(field: u8, encoding: &[u8]) -> Result<Self, Unreadable> {
        let distinct =
            |bytes: &[u8]| bytes.iter().all(|b| b.is_ascii_graphic() && !b.is_ascii_alphanumeric());
        let of = |component, repetition, escape, subcomponent| Self {
            field,
            component,
            repetition,
            escape,
            subcomponent,
        };
        if encoding.is_empty() || !distinct(encoding) || !distinct(&[field]) {
            return Err(Unreadable::Delimiters);
        }
        Ok(match *encoding {
            // The escape character was lost on the way, or doubled by a programming language.
            [c, r, b'&'] => of(c, r, b'\\', b'&'),
            [c, r, b'\\', b'\\', s] => of(c, r, b'\\', s),
            [c] => of(c, b'~', b'\\', b'&'),
            [c, r] => of(c, r, b'\\', b'&'),
            [c, r, e] => of(c, r, e, b'&'),
            [c, r, e, s, ..] => of(c, r, e, s),
            [] => return Err(Unreadable::Delimiters),
        })
    }
}

/// The header segment without its end; at least `MSH` and MSH-1.
fn header_line(raw: &[u8]) -> Result<&[u8], Unreadable> {
    if raw.starts_with(&[0xff, 0xfe])
        || raw.starts_with(&[0xfe, 0xff])
        || raw.starts_with(b"M\0")
        || raw.starts_with(b"\0M")
    {
        return Err(Unreadable::Utf16);
    }
    let start = content_start(raw);
    let text = &raw[start..];
    if text.starts_with(b"FHS") || text.starts_with(b"BHS") {
        return Err(Unreadable::Batch);
    }
    let line = &text[..memchr2(b'\r', b'\n', text).unwrap_or(text.len())];
    let separator = line.get(3).copied();
    if !line.starts_with(b"MSH")
        || separator.is_none_or(|b| b.is_ascii_alphanumeric() || !b.is_ascii_graphic())
    {
        return Err(Unreadable::NotHl7);
    }
    Ok(line)
}

/// Where the first segment begins: behind a byte order mark, blanks and blank lines.
pub(crate) fn content_start(raw: &[u8]) -> usize {
    let mark = if raw.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    mark + raw[mark..].iter().take_while(|b| b.is_ascii_whitespace()).count()
}

impl Header {
    /// What an answer is built on when the message had no header.
    pub(crate) fn fallback() -> Self {
        let delimiters =
            Delimiters { field: b'|', component: b'^', repetition: b'~', escape: b'\\', subcomponent: b'&' };
        Self {
            delimiters,
            encoding_characters: "^~\\&".to_owned(),
            sending_application: String::new(),
            sending_facility: String::new(),
            receiving_application: String::new(),
            receiving_facility: String::new(),
            time: String::new(),
            message_code: String::new(),
            trigger: String::new(),
            control_id: String::new(),
            processing_id: String::new(),
            version: String::new(),
            sequence: String::new(),
            accept_ack: String::new(),
            application_ack: String::new(),
            charsets: Vec::new(),
        }
    }
}

/// The text of a message with fields of its header replaced, each named by its number; fields that are not there yet are
/// added. `text` begins with a header that could be read.
pub fn with_header(text: &str, replaced: &[(usize, &str)]) -> String {
    let start = content_start(text.as_bytes());
    let end = memchr2(b'\r', b'\n', &text.as_bytes()[start..]).map_or(text.len(), |at| start + at);
    let line = &text[start..end];
    let Some(separator) = line.chars().nth(3) else { return text.to_owned() };
    // MSH-1 is the separator itself: field n is piece n - 1.
    let mut pieces: Vec<&str> = line.split(separator).collect();
    for (n, value) in replaced {
        if pieces.len() < *n {
            pieces.resize(*n, "");
        }
        if let Some(piece) = n.checked_sub(1).and_then(|at| pieces.get_mut(at)) {
            *piece = value;
        }
    }
    let line = pieces.join(&separator.to_string());
    [&text[..start], &line, &text[end..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_fields_are_replaced_where_they_stand_and_nothing_else_is() {
        let text = "MSH|^~\\&|A|B|||1||ADT^A01|7|P|2.4\rPID|1||9\r";
        let changed = with_header(text, &[(15, "AL"), (18, "UNICODE UTF-8")]);
        assert_eq!(changed, "MSH|^~\\&|A|B|||1||ADT^A01|7|P|2.4|||AL|||UNICODE UTF-8\rPID|1||9\r");
        let header = Header::read(changed.as_bytes()).unwrap();
        assert_eq!(
            (header.accept_ack.as_str(), header.charsets.as_slice()),
            ("AL", &["UNICODE UTF-8".to_owned()][..])
        );
        assert_eq!(with_header(&changed, &[(15, ""), (18, "")]), text.replace("2.4", "2.4||||||"));
    }
}
