//! Abnormal flags (OBX-8) as interpretations.

use super::datatype::{Coding, Concept};
use super::text::clean;

const SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation";

/// The active codes of v3-ObservationInterpretation; HL7 table 0078 has others, which go up as text.
const CODES: [&str; 41] = [
    "CAR", "B", "D", "U", "W", "<", ">", "IE", "A", "AA", "HH", "LL", "H", "H>", "HU", "L", "L<", "LU", "N",
    "I", "NCL", "NS", "R", "SYN-R", "S", "SDD", "SYN-S", "EX", "HX", "LX", "IND", "E", "NEG", "ND", "POS",
    "DET", "EXP", "UNE", "NR", "RR", "WR",
];

/// A flag as an interpretation; none where it says nothing.
pub(crate) fn interpretation(flag: &str) -> Option<Concept<'_>> {
    let text = clean(flag)?;
    let code = match text.as_ref() {
        "\u{2191}" => "H",
        "\u{2193}" => "L",
        "\u{2191}\u{2191}" => "HH",
        "\u{2193}\u{2193}" => "LL",
        flag => match CODES.into_iter().find(|code| *code == flag) {
            Some(code) => code,
            None => return Some(Concept::text(text)),
        },
    };
    let coding = Coding { system: SYSTEM.into(), code: code.into(), display: None };
    Some(Concept { coding: vec![coding], text: Some(text), ..Concept::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_are_high_and_low_and_unknown_flags_stay_words() {
        let code = |flag| interpretation(flag).map(|c| c.coding.first().map(|c| c.code.to_string()));
        assert_eq!(code("\u{2191}"), Some(Some("H".to_owned())));
        assert_eq!(code(" \u{2193}\u{2193}"), Some(Some("LL".to_owned())));
        assert_eq!(code("HH"), Some(Some("HH".to_owned())));
        for words in ["AC", "h", "\u{504f}\u{9ad8}", "TOX"] {
            assert_eq!(code(words), Some(None), "{words}");
        }
        assert_eq!(code("  "), None);
    }
}
