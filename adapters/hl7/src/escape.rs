//! Escape sequences (HL7 v2.5 section 2.7), decoded once and after splitting.

use std::borrow::Cow;

use crate::charset::Charset;
use crate::header::Delimiters;

/// Decodes the escapes in the text of one component.
pub(crate) fn decode<'a>(text: &'a str, delimiters: Delimiters, charset: Charset) -> Cow<'a, str> {
    let escape = char::from(delimiters.escape);
    if !text.contains(escape) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(escape) {
        let (before, after) = (&rest[..start], &rest[start + 1..]);
        out.push_str(before);
        let Some(end) = after.find(escape) else {
            // A lone escape character is text.
            rest = &rest[start..];
            break;
        };
        if sequence(&after[..end], delimiters, charset, &mut out) {
            rest = &after[end + 1..];
        } else {
            // Not an escape: kept as written. The second character may begin one.
            out.push(escape);
            out.push_str(&after[..end]);
            rest = &after[end..];
            if !rest[1..].contains(escape) {
                break;
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Decodes one sequence; false when it is none.
fn sequence(name: &str, delimiters: Delimiters, charset: Charset, out: &mut String) -> bool {
    match name {
        "F" => out.push(char::from(delimiters.field)),
        "S" => out.push(char::from(delimiters.component)),
        "T" => out.push(char::from(delimiters.subcomponent)),
        "R" => out.push(char::from(delimiters.repetition)),
        "E" => out.push(char::from(delimiters.escape)),
        // Highlighting has no meaning here.
        "H" | "N" => {}
        ".br" | ".sp" | ".ce" => out.push('\n'),
        _ => match name.strip_prefix('X').map(hex) {
            Some(Some(bytes)) => match charset.decode(&bytes) {
                Some(text) => out.push_str(&text),
                None => return false,
            },
            _ => return false,
        },
    }
    true
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
    fn what_is_no_sequence_stays_as_written() {
        for text in [r"C:\new", r"a\b", r"\", r"\\", r"\Q\", r"\X4\", r"\Zfoo\", r"x\Q\F\"] {
            let same = decoded(text);
            assert!(same == text || text == r"x\Q\F\", "{text} became {same}");
        }
    }
}
