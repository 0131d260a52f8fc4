//! Text in the forms that FHIR allows.

use std::borrow::Cow;

use serde_json::value::RawValue;

/// `text` as a FHIR `string`: trimmed, without control characters; none where nothing is left.
pub(crate) fn clean(text: &str) -> Option<Cow<'_, str>> {
    let text = text.trim_matches(blank);
    if text.is_empty() {
        return None;
    }
    if !text.contains(forbidden) {
        return Some(Cow::Borrowed(text));
    }
    let kept: String = text.chars().filter(|c| !forbidden(*c)).collect();
    let kept = kept.trim_matches(blank);
    (!kept.is_empty()).then(|| Cow::Owned(kept.to_owned()))
}

/// `text` as a FHIR `code`: as [`clean`], and no run of blanks longer than one.
pub(crate) fn code(text: &str) -> Option<Cow<'_, str>> {
    let text = clean(text)?;
    let plain = !text.contains("  ") && !text.contains(|c: char| c.is_whitespace() && c != ' ');
    Some(if plain { text } else { Cow::Owned(text.split_whitespace().collect::<Vec<_>>().join(" ")) })
}

/// `text` with everything but the unreserved characters of RFC 3986 percent-encoded: a valid part of a URI.
pub(crate) fn percent_encoded(text: &str) -> Cow<'_, str> {
    let unreserved = |b: &u8| b.is_ascii_alphanumeric() || b"-._~".contains(b);
    if text.as_bytes().iter().all(unreserved) {
        return Cow::Borrowed(text);
    }
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if unreserved(&byte) {
            out.push(char::from(byte));
        } else {
            let nibbles = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
            out.push('%');
            out.extend(nibbles.map(char::from));
        }
    }
    Cow::Owned(out)
}

/// `text` as a FHIR `decimal` with its digits as written; none where it is not one.
pub(crate) fn decimal(text: &str) -> Option<&RawValue> {
    let digit_first = text.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit());
    // Exponents are legal but lost on servers that keep decimals as fixed point: they stay text.
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'-' || b == b'.');
    // FHIR asks servers for 18 digits; what is far longer is no measurement.
    if !digit_first || !plain || text.len() > 40 {
        return None;
    }
    serde_json::from_str(text).ok()
}

/// Whether `text` is an OID in dotted form: a first arc of 0 to 2 and at least two more, no leading zeros.
pub(crate) fn is_oid(text: &str) -> bool {
    let arc =
        |a: &str| !a.is_empty() && a.bytes().all(|b| b.is_ascii_digit()) && (a == "0" || !a.starts_with('0'));
    matches!(text.as_bytes(), [b'0'..=b'2', b'.', ..])
        && text.split('.').all(arc)
        && text.matches('.').count() >= 2
}

/// Whether `text` is a FHIR `time`.
pub(crate) fn is_time_of_day(text: &str) -> bool {
    let (clock, fraction) = text.split_once('.').map_or((text, None), |(c, f)| (c, Some(f)));
    let shape = clock.len() == 8
        && clock.bytes().enumerate().all(|(at, b)| if at % 3 == 2 { b == b':' } else { b.is_ascii_digit() });
    let exists = || clock[..2] < *"24" && clock[3..5] < *"60" && clock[6..] < *"60";
    let digits = |f: &str| !f.is_empty() && f.bytes().all(|b| b.is_ascii_digit());
    shape && exists() && fraction.is_none_or(digits)
}

/// A byte order mark inside text is no blank to Rust, but it is to what checks FHIR.
fn blank(c: char) -> bool {
    c.is_whitespace() || c == '\u{feff}'
}

fn forbidden(c: char) -> bool {
    c.is_control() && !matches!(c, '\t' | '\n' | '\r') || c == '\u{feff}'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_trimmed_and_never_empty() {
        assert_eq!(
            clean(" \u{3000}\u{7532}\u{80ce}\u{86cb}\u{767d}\u{0}\r\n"),
            Some("\u{7532}\u{80ce}\u{86cb}\u{767d}".into())
        );
        assert_eq!(clean("a\u{1c}b\nc"), Some("ab\nc".into()));
        for nothing in ["", "  ", "\u{3000}", "\u{feff}", "\u{1}\u{2}", " \u{1} \u{feff} "] {
            assert_eq!(clean(nothing), None, "{nothing:?}");
        }
        assert_eq!(code("GLU  x\ty"), Some("GLU x y".into()));
        assert!(matches!(code("GLU x"), Some(Cow::Borrowed(_))));
    }

    #[test]
    fn decimals_keep_their_digits_and_other_texts_are_none() {
        for kept in ["135.0", "0", "-0.50", "0.00", "100000000000000000.1"] {
            assert_eq!(decimal(kept).map(RawValue::get), Some(kept));
        }
        for text in
            ["", "-", ".5", "5.", "+5", "007", "1,5", "<5", " 5", "5 ", "1e9", "NaN", "--1", "null", "\"5\""]
        {
            assert!(decimal(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn oids_and_times_of_day_are_told_from_look_alikes() {
        for oid in ["1.2.840.113619", "2.16.156.10011.1.3"] {
            assert!(is_oid(oid), "{oid}");
        }
        for other in ["", "HIS", "3.1.2", "1.2", "1.02.3", "1..2", "1.2.3."] {
            assert!(!is_oid(other), "{other}");
        }
        for time in ["00:00:00", "23:59:59.250"] {
            assert!(is_time_of_day(time), "{time}");
        }
        for other in
            ["", "24:00:00", "8:15:00", "08:60:00", "08:15", "08:15:00.", "08-15-00", "\u{4e8c}\u{4e8c}08"]
        {
            assert!(!is_time_of_day(other), "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_text_becomes_a_valid_one(text in any::<String>()) {
            if let Some(clean) = clean(&text) {
                prop_assert!(!clean.trim().is_empty() && !clean.contains(forbidden));
            }
            if let Some(code) = code(&text) {
                prop_assert!(code.split(char::is_whitespace).all(|word| !word.is_empty()));
            }
            prop_assert!(percent_encoded(&text).bytes().all(|b| b.is_ascii_graphic()));
            let _ = (is_time_of_day(&text), is_oid(&text), decimal(&text));
        }
    }
}
