//! Character sets: found and decoded before anything is split at delimiters.
//!
//! 464 of the basic hanzi end, in GBK and GB18030, in a byte that is also `|`, `^`, `\` or `~`; splitting first would cut
//! through names.

use core::str::FromStr;
use std::borrow::Cow;

use encoding_rs::{BIG5, Encoding, GB18030, WINDOWS_1252};

/// A character set that messages come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Charset {
    /// ASCII.
    Ascii,
    /// UTF-8.
    Utf8,
    /// GB18030, and GBK and GB2312, which it contains.
    Gb18030,
    /// Big5.
    Big5,
    /// One of the 8-bit sets of ISO 8859, or another that the Encoding Standard knows.
    Other(&'static Encoding),
}

/// What a listener takes for the character set of a message that names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// UTF-8 or GB18030, by what the bytes prove and what the feed has shown before.
    Auto,
    /// Always this one.
    Fixed(Charset),
}

/// What a feed has been proven to write in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned {
    /// UTF-8.
    Utf8,
    /// GB18030.
    Gb18030,
}

/// Decoded text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded<'a> {
    /// The text.
    pub text: Cow<'a, str>,
    /// What it was decoded from.
    pub charset: Charset,
    /// What the bytes prove about the feed, where they do.
    pub proof: Option<Learned>,
}

/// Why bytes cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CharsetError {
    /// MSH-18 names a set that is not known.
    #[error("MSH-18 names a character set that is not known here; use UNICODE UTF-8 or GB 18030-2000")]
    Unknown,
    /// The bytes are not of the set.
    #[error("the bytes are not {charset}, which {source_of}")]
    Undecodable {
        /// The set they should be of.
        charset: &'static str,
        /// Who says so.
        source_of: &'static str,
    },
}

impl Charset {
    /// Reads a name as in HL7 table 0211 or as senders write it. None when unknown.
    pub fn named(name: &str) -> Option<Self> {
        let folded: String =
            name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect();
        Some(match folded.as_str() {
            "ASCII" | "USASCII" | "ISOIR6" | "ISO646" => Self::Ascii,
            "UTF8" | "UNICODEUTF8" | "UNICODE" => Self::Utf8,
            "GB180302000" | "GB18030" | "GB180302005" | "GB180302022" | "GBK" | "GB2312" | "GB231280"
            | "CP936" | "MS936" | "EUCCN" | "GB" => Self::Gb18030,
            "BIG5" | "BIG5HKSCS" | "CP950" | "MS950" => Self::Big5,
            "88591" | "ISO88591" | "LATIN1" | "ISOIR100" | "WINDOWS1252" | "CP1252" => {
                Self::Other(WINDOWS_1252)
            }
            other => {
                let label = match other.strip_prefix("ISO").unwrap_or(other).strip_prefix("8859") {
                    Some(part) if !part.is_empty() => format!("iso-8859-{part}"),
                    _ => name.trim().to_ascii_lowercase(),
                };
                let encoding = Encoding::for_label(label.as_bytes())?;
                // UTF-16 cannot be framed; "replacement" decodes nothing.
                if encoding.output_encoding() != encoding || !encoding.is_ascii_compatible() {
                    return None;
                }
                Self::Other(encoding)
            }
        })
    }

    /// Its name in messages of ours.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ascii => "ASCII",
            Self::Utf8 => "UTF-8",
            Self::Gb18030 => "GB18030",
            Self::Big5 => "Big5",
            Self::Other(encoding) => encoding.name(),
        }
    }

    /// Its name in MSH-18 (table 0211); empty for ASCII, which is what no name means.
    pub fn declared(self) -> &'static str {
        match self {
            Self::Ascii => "",
            Self::Utf8 => "UNICODE UTF-8",
            Self::Gb18030 => "GB 18030-2000",
            Self::Big5 => "BIG-5",
            Self::Other(encoding) if encoding == WINDOWS_1252 => "8859/1",
            Self::Other(encoding) => encoding.name(),
        }
    }

    /// Encodes; none where the set lacks a character.
    pub fn encode_all(self, text: &str) -> Option<Vec<u8>> {
        let encoding = match self {
            Self::Utf8 => return Some(text.as_bytes().to_vec()),
            Self::Ascii => return text.is_ascii().then(|| text.as_bytes().to_vec()),
            Self::Gb18030 => GB18030,
            Self::Big5 => BIG5,
            Self::Other(encoding) => encoding,
        };
        let (bytes, _, lost) = encoding.encode(text);
        (!lost).then(|| bytes.into_owned())
    }

    /// Decodes; none where the bytes are not of this set.
    pub fn decode(self, raw: &[u8]) -> Option<Cow<'_, str>> {
        match self {
            Self::Ascii if raw.is_ascii() => core::str::from_utf8(raw).ok().map(Cow::Borrowed),
            Self::Ascii => None,
            Self::Utf8 => core::str::from_utf8(raw).ok().map(Cow::Borrowed),
            Self::Gb18030 => GB18030.decode_without_bom_handling_and_without_replacement(raw),
            Self::Big5 => BIG5.decode_without_bom_handling_and_without_replacement(raw),
            Self::Other(encoding) => encoding.decode_without_bom_handling_and_without_replacement(raw),
        }
    }

    /// Encodes; what the set lacks becomes `?`.
    pub fn encode(self, text: &str) -> Vec<u8> {
        let encoding = match self {
            Self::Utf8 => return text.as_bytes().to_vec(),
            Self::Ascii => return text.chars().map(|c| if c.is_ascii() { c as u8 } else { b'?' }).collect(),
            Self::Gb18030 => GB18030,
            Self::Big5 => BIG5,
            Self::Other(encoding) => encoding,
        };
        let mut out = Vec::with_capacity(text.len());
        let mut buffer = [0; 4];
        for c in text.chars() {
            // A replacement as `&#…;` would put delimiters into the text.
            let (bytes, _, lost) = encoding.encode(c.encode_utf8(&mut buffer));
            if lost { out.push(b'?') } else { out.extend_from_slice(&bytes) }
        }
        out
    }
}

impl Learned {
    /// Its name in storage.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::Gb18030 => "gb18030",
        }
    }

    /// Reads what [`Learned::name`] wrote.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "utf-8" => Some(Self::Utf8),
            "gb18030" => Some(Self::Gb18030),
            _ => None,
        }
    }
}

/// Why a configured name is not a default.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a character set is auto, utf-8, gb18030, gbk, big5, iso-8859-1 or another name of the Encoding Standard"
)]
pub struct UnknownCharset;

impl FromStr for Default {
    type Err = UnknownCharset;

    fn from_str(name: &str) -> Result<Self, UnknownCharset> {
        if name == "auto" {
            return Ok(Self::Auto);
        }
        Charset::named(name).map(Self::Fixed).ok_or(UnknownCharset)
    }
}

/// Decodes a payload by what it declares (MSH-18), else by the default of its listener.
///
/// # Errors
/// When the declared set is unknown or the bytes are not of the set.
pub fn decode<'a>(
    raw: &'a [u8],
    declared: &[String],
    default: Default,
    learned: Option<Learned>,
) -> Result<Decoded<'a>, CharsetError> {
    let declared: Vec<Charset> = declared
        .iter()
        .map(|name| Charset::named(name).ok_or(CharsetError::Unknown))
        .collect::<Result<_, _>>()?;
    if raw.is_ascii() {
        let charset = declared.last().copied().unwrap_or(Charset::Ascii);
        return Ok(Decoded { text: String::from_utf8_lossy(raw), charset, proof: None });
    }
    // Repetitions name the sets in use; the first beside ASCII is the one that non-ASCII bytes are of. Many senders
    // declare ASCII and write something else.
    if let Some(charset) = declared.into_iter().find(|charset| *charset != Charset::Ascii) {
        return as_set(raw, charset, "MSH-18 declares");
    }
    match default {
        Default::Fixed(charset) => as_set(raw, charset, "the feed is configured for"),
        Default::Auto => auto(raw, learned),
    }
}

fn as_set<'a>(raw: &'a [u8], charset: Charset, source_of: &'static str) -> Result<Decoded<'a>, CharsetError> {
    let text = charset
        .decode(raw)
        .ok_or_else(|| CharsetError::Undecodable { charset: charset.name(), source_of })?;
    Ok(Decoded { text, charset, proof: None })
}

/// UTF-8 and GB18030 told apart by the bytes: what is not the one is the other. Two-byte sequences can be both, as in
/// 袁伟 or 郑强 written in GBK; then the feed's habit decides, and without one whether the pairs make hanzi.
fn auto(raw: &[u8], learned: Option<Learned>) -> Result<Decoded<'_>, CharsetError> {
    let utf8 = core::str::from_utf8(raw).ok();
    let gb = || GB18030.decode_without_bom_handling_and_without_replacement(raw);
    let as_utf8 = |text, proof| Decoded { text: Cow::Borrowed(text), charset: Charset::Utf8, proof };
    let as_gb = |text, proof| Decoded { text, charset: Charset::Gb18030, proof };
    let Some(text) = utf8 else {
        return gb().map(|text| as_gb(text, Some(Learned::Gb18030))).ok_or(CharsetError::Undecodable {
            charset: "UTF-8 or GB18030",
            source_of: "is what a message without MSH-18 may be here",
        });
    };
    // A byte order mark says so; three bytes for one hanzi, dash or arrow are no accident of GB18030 pairs.
    let wide = |c| matches!(c, '\u{2000}'..='\u{27bf}' | '\u{2e80}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{feff}' | '\u{ff00}'..='\u{ffef}');
    if text.chars().any(wide) {
        return Ok(as_utf8(text, Some(Learned::Utf8)));
    }
    match (learned, gb()) {
        (Some(Learned::Utf8), _) | (_, None) => Ok(as_utf8(text, None)),
        (Some(Learned::Gb18030), Some(gb)) => Ok(as_gb(gb, None)),
        (None, Some(gb)) => {
            let hanzi = gb.chars().filter(|c| !c.is_ascii()).all(|c| matches!(c, '\u{4e00}'..='\u{9fff}'));
            Ok(if hanzi && !has_sign(text) { as_gb(gb, None) } else { as_utf8(text, None) })
        }
    }
}

/// Whether a sign of measurement stands alone among ASCII, as in `\u{b5}mol/L`. Read as GB18030 it would be a hanzi that stands in
/// few words and no name, and that between Latin letters in none.
fn has_sign(text: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    chars.iter().enumerate().any(|(at, c)| {
        let before = at.checked_sub(1).map_or(' ', |at| chars[at]);
        let behind = chars.get(at + 1).copied().unwrap_or(' ');
        let alone = before.is_ascii() && behind.is_ascii();
        match c {
            '\u{a0}' | '\u{b0}' | '\u{b1}' | '\u{b2}' | '\u{b5}' | '\u{d7}' => alone,
            // Lu is a surname.
            '\u{b3}' => alone && before.is_ascii_alphanumeric(),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GB_ALIASES: [&str; 5] = ["GB 18030-2000", "GB18030", "GBK", "GB2312", "gb-18030"];

    fn names(declared: &[&str]) -> Vec<String> {
        declared.iter().map(|name| (*name).to_owned()).collect()
    }

    /// Hanzi of the basic block whose second byte in `set` is a delimiter.
    fn with_delimiter_bytes(set: &'static Encoding) -> Vec<char> {
        let second_is_delimiter = |c: &char| {
            let (bytes, _, lost) = {
                let text = c.to_string();
                let (bytes, set, lost) = set.encode(&text);
                (bytes.into_owned(), set, lost)
            };
            !lost && bytes.len() == 2 && matches!(bytes[1], b'|' | b'^' | b'\\' | b'~')
        };
        ('\u{4e00}'..='\u{9fa5}').filter(second_is_delimiter).collect()
    }

    #[test]
    fn every_hanzi_that_ends_in_a_delimiter_byte_survives_under_every_alias() {
        let gbk = with_delimiter_bytes(encoding_rs::GBK);
        assert_eq!(gbk.len(), 464);
        for c in gbk {
            // A name as it stands in PID-5, with a common hanzi beside the rare one.
            let text = format!("PID|1||1||\u{5f20}{c}^^|x");
            let raw = Charset::Gb18030.encode(&text);
            for alias in GB_ALIASES {
                let decoded = decode(&raw, &names(&[alias]), Default::Auto, None).unwrap();
                assert_eq!(decoded.text, text);
            }
            assert_eq!(decode(&raw, &[], Default::Auto, None).unwrap().text, text);
        }
        let big5 = with_delimiter_bytes(BIG5);
        assert!(big5.len() >= 338, "{}", big5.len());
        for c in big5 {
            let text = format!("PID|1||1||{c}^^|x");
            let raw = Charset::Big5.encode(&text);
            let fixed = "big5".parse().unwrap();
            assert_eq!(decode(&raw, &[], fixed, None).unwrap().text, text);
            assert_eq!(decode(&raw, &names(&["BIG-5"]), Default::Auto, None).unwrap().text, text);
        }
    }

    #[test]
    fn a_gbk_sender_whose_names_happen_to_be_utf8_is_still_read_as_gbk() {
        for name in ["\u{8881}\u{4f1f}", "\u{90d1}\u{5f3a}"] {
            let raw = Charset::Gb18030.encode(name);
            assert!(core::str::from_utf8(&raw).is_ok(), "the trap needs bytes that are both");
            assert_eq!(decode(&raw, &[], Default::Auto, None).unwrap().text, name);
            assert_eq!(decode(&raw, &[], Default::Auto, Some(Learned::Gb18030)).unwrap().text, name);
            assert_ne!(decode(&raw, &[], Default::Auto, Some(Learned::Utf8)).unwrap().text, name);
        }
    }

    #[test]
    fn units_and_dashes_in_utf8_are_no_hanzi() {
        fn auto(raw: &[u8]) -> Decoded<'_> {
            decode(raw, &[], Default::Auto, None).unwrap()
        }
        for text in [
            "|\u{b5}mol/L|",
            "37.5\u{b0}C",
            "5.0 \u{b1} 0.2",
            "kg/m\u{b2}",
            "10\u{b3}/\u{b5}L",
            "5\u{d7}10",
            "pattern.\u{a0}These",
        ] {
            assert_eq!(auto(text.as_bytes()).text, text);
        }
        for text in ["pattern.\u{2003}These", "a \u{2013} b", "\u{2264}5", "\u{2191}", "37\u{2103}"] {
            let read = auto(text.as_bytes());
            assert_eq!((read.text.as_ref(), read.proof), (text, Some(Learned::Utf8)));
        }
        // Names that are both stay names.
        for name in ["\u{9c81}", "\u{9646}", "\u{5362}\u{9646}", "\u{8881}\u{4f1f}"] {
            assert_eq!(auto(&Charset::Gb18030.encode(name)).text, name);
        }
    }

    #[test]
    fn a_feed_is_learned_from_bytes_that_can_be_one_set_only() {
        let proof = |raw: &[u8]| decode(raw, &[], Default::Auto, None).unwrap().proof;
        assert_eq!(proof("\u{5f20}\u{5f22}".as_bytes()), Some(Learned::Utf8));
        assert_eq!(proof(&Charset::Gb18030.encode("\u{5f20}\u{5f22}")), Some(Learned::Gb18030));
        assert_eq!(proof(b"Zhang"), None);
    }

    #[test]
    fn what_msh_18_says_is_known_or_refused() {
        for known in
            ["ASCII", "8859/1", "8859/15", "UNICODE UTF-8", "UTF-8", "BIG-5", "ISO IR6", "ISO-8859-2"]
        {
            assert!(Charset::named(known).is_some(), "{known}");
        }
        for unknown in ["EBCDIC", "UTF-16", "UNICODE UTF-16", "x"] {
            assert_eq!(Charset::named(unknown), None, "{unknown}");
        }
        assert_eq!(decode(b"a", &names(&["EBCDIC"]), Default::Auto, None), Err(CharsetError::Unknown));
        let wrong = decode(b"\xff\xff", &names(&["UTF-8"]), Default::Auto, None);
        assert!(matches!(wrong, Err(CharsetError::Undecodable { .. })));
    }

    #[test]
    fn what_a_set_lacks_is_told_and_never_replaced() {
        let traditional = "\u{8a31}\u{529f}\u{84cb}";
        assert_eq!(Charset::Big5.encode_all(traditional), Some(Charset::Big5.encode(traditional)));
        // A simplified hanzi.
        assert_eq!(Charset::Big5.encode_all("\u{5f20}"), None);
        assert_eq!(Charset::Ascii.encode_all("\u{e9}"), None);
        for charset in [Charset::Utf8, Charset::Gb18030, Charset::Big5] {
            assert_eq!(Charset::named(charset.declared()), Some(charset));
        }
    }

    #[test]
    fn who_declares_ascii_and_writes_hanzi_is_read_by_the_default() {
        let raw = Charset::Gb18030.encode("\u{5f20}\u{5f22}");
        assert_eq!(decode(&raw, &names(&["ASCII"]), Default::Auto, None).unwrap().text, "\u{5f20}\u{5f22}");
        let both = names(&["ASCII", "GB 18030-2000"]);
        assert_eq!(decode(&raw, &both, Default::Auto, None).unwrap().text, "\u{5f20}\u{5f22}");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(raw in proptest::collection::vec(any::<u8>(), 0..64), name in ".{0,12}") {
            let _ = decode(&raw, &[], Default::Auto, None);
            let _ = decode(&raw, &[name], Default::Auto, Some(Learned::Gb18030));
        }

        #[test]
        fn text_comes_back_from_every_set_that_can_hold_it(text in "[ -~\u{4e00}-\u{9fa5}]{0,40}") {
            for charset in [Charset::Utf8, Charset::Gb18030] {
                let raw = charset.encode(&text);
                prop_assert_eq!(charset.decode(&raw).unwrap(), text.as_str());
            }
        }
    }
}
