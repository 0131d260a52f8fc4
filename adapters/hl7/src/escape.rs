//! Escape sequences (HL7 v2.5 section 2.7), decoded once and after splitting.

use std::borrow::Cow;

use crate::charset::Charset;
use crate::header::Delimiters;

/// A piece of a text with escapes.
enum Piece<'a> {
    /// As written.
    Text(&'a str),
    /// What an escape stands for.
    Char(char),
    /// The bytes of a hexadecimal escape.
    Bytes(Vec<u8>),
}

/// Decodes the escapes in the text of one component.
pub(crate) fn decode<'a>(text: &'a str, delimiters: Delimiters, charset: Charset) -> Cow<'a, str> {
    if !text.contains(char::from(delimiters.escape)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    walk(text, delimiters, &mut |piece| {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Char(c) => out.push(c),
            Piece::Bytes(bytes) => match charset.decode(&bytes) {
                Some(text) => out.push_str(&text),
                None => return false,
            },
        }
        true
    });
    Cow::Owned(out)
}

/// The bytes of one component whose hexadecimal escapes stand for bytes rather than for characters; none where it has no
/// such escape.
pub(crate) fn bytes(text: &str, delimiters: Delimiters, charset: Charset) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut any = false;
    walk(text, delimiters, &mut |piece| {
        match piece {
            Piece::Text(text) => out.extend_from_slice(&charset.encode(text)),
            Piece::Char(c) => out.extend_from_slice(&charset.encode(c.encode_utf8(&mut [0; 4]))),
            Piece::Bytes(bytes) => {
                any = true;
                out.extend_from_slice(&bytes);
            }
        }
        true
    });
    any.then_some(out)
}

/// Visits the pieces of `text` in order. A sequence that `visit` does not take is no sequence: it comes again as text.
fn walk(text: &str, delimiters: Delimiters, visit: &mut dyn FnMut(Piece<'_>) -> bool) {
    let escape = char::from(delimiters.escape);
    let mut rest = text;
    while let Some(start) = rest.find(escape) {
        let (before, after) = (&rest[..start], &rest[start + 1..]);
        visit(Piece::Text(before));
        let Some(end) = after.find(escape) else {
            // A lone escape character is text.
            rest = &rest[start..];
            break;
        };
        if sequence(&after[..end], delimiters, visit) {
            rest = &after[end + 1..];
        } else {
            // Not an escape: kept as written. The second character may begin one.
            visit(Piece::Text(&rest[start..start + 1 + end]));
            rest = &after[end..];
            if !rest[1..].contains(escape) {
                break;
            }
        }
    }
    visit(Piece::Text(rest));
}

/// Decodes one sequence; false when it is none.
fn sequence(name: &str, delimiters: Delimiters, visit: &mut dyn FnMut(Piece<'_>) -> bool) -> bool {
    let c = match name {
        "F" => char::from(delimiters.field),
        "S" => char::from(delimiters.component),
        "T" => char::from(delimiters.subcomponent),
        "R" => char::from(delimiters.repetition),
        "E" => char::from(delimiters.escape),
        // Highlighting has no meaning here.
        "H" | "N" => return true,
        ".br" | ".sp" | ".ce" => '\n',
        _ => {
            return match name.strip_prefix('X').map(hex) {
                Some(Some(bytes)) => visit(Piece::Bytes(bytes)),
                _ => false,
            };
        }
    };
    visit(Piece::Char(c))
}

fn hex(digits: &str) -> Option<Vec<u8>> {
    let digits = digits.as_bytes();
    if digits.is_empty() || !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |b: u8| char::from(b).to_digit(16);
    digits.chunks(2).map(|pair| Some((digit(pair[0])? * 16 + digit(pair[1])?) as u8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(text: &str) -> String {
        let delimiters =
            Delimiters { field: b'|', component: b'^', repetition: b'~', escape: b'\\', subcomponent: b'&' };
        decode(text, delimiters, Charset::Gb18030).into_owned()
    }

    #[test]
    fn each_sequence_is_decoded_once() {
        assert_eq!(decoded(r"a\F\b\S\c\T\d\R\e\E\f"), r"a|b^c&d~e\f");
        assert_eq!(decoded(r"\E\F\E\"), r"\F\");
        assert_eq!(decoded(r"line\.br\line \H\bold\N\"), "line\nline bold");
        assert_eq!(decoded(r"\X8F7C\"), "\u{5f22}");
        assert_eq!(decoded(r"\X41\\X42\"), "AB");
    }

    #[test]
    fn hexadecimal_escapes_are_bytes_where_bytes_are_asked_for() {
        let delimiters =
            Delimiters { field: b'|', component: b'^', repetition: b'~', escape: b'\\', subcomponent: b'&' };
        let bytes = |text| bytes(text, delimiters, Charset::Gb18030);
        assert_eq!(bytes(r"\XFFD8FF\a\T\\XE0\"), Some(b"\xff\xd8\xffa&\xe0".to_vec()));
        assert_eq!(bytes("\u{5f22}\\X00\\"), Some(b"\x8f\x7c\x00".to_vec()));
        assert_eq!((bytes("plain"), bytes(r"a\F\b"), bytes(r"\X4\")), (None, None, None));
    }

    #[test]
    fn what_is_no_sequence_stays_as_written() {
        for text in [r"C:\new", r"a\b", r"\", r"\\", r"\Q\", r"\X4\", r"\Zfoo\", r"x\Q\F\"] {
            let same = decoded(text);
            assert!(same == text || text == r"x\Q\F\", "{text} became {same}");
        }
    }
}
