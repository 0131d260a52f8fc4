//! Names of persons, and when two of them agree.

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use crate::PartialTime;

/// A name as the source wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonName {
    /// Family name; Chinese sources often put the whole name here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// Given names in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given: Vec<String>,
    /// The type of the name (HL7 table 0200), as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

impl PersonName {
    /// The whole name: family and given names together without a blank where they are written in hanzi.
    pub fn full(&self) -> String {
        let parts: Vec<&str> = self.family.iter().chain(&self.given).map(String::as_str).collect();
        let wide = |p: &str| p.chars().any(|c| c >= '\u{2e80}');
        if parts.iter().any(|p| wide(p)) { parts.concat() } else { parts.join(" ") }
    }

    /// What names are compared by: NFKC without blanks and middle dots (contract 6).
    pub fn folded(&self) -> String {
        let whole: String = self.family.iter().chain(&self.given).map(String::as_str).collect();
        whole.nfkc().filter(|c| !c.is_whitespace() && !is_middle_dot(*c)).collect()
    }

    /// Whether it says that the name is not known: what registries write for somebody who cannot say who he is.
    pub fn is_unknown(&self) -> bool {
        const WHOLE: [&str; 13] = [
            "无名",
            "不详",
            "不明",
            "佚名",
            "姓名不详",
            "姓名不明",
            "姓名未知",
            "无姓名",
            "unknown",
            "unk",
            "nn",
            "johndoe",
            "janedoe",
        ];
        // They are told apart by what is written behind: 无名氏2, 未知男.
        const BEGINNING: [&str; 4] = ["无名氏", "无名男", "无名女", "未知"];
        let name = self.folded().to_lowercase();
        WHOLE.contains(&name.as_str()) || BEGINNING.iter().any(|beginning| name.starts_with(beginning))
    }

    /// Whether nothing is stated.
    pub fn is_empty(&self) -> bool {
        self.folded().is_empty()
    }
}

/// Whether two names can be of one person: equal after folding.
pub fn names_agree(a: &PersonName, b: &PersonName) -> bool {
    a.folded() == b.folded()
}

/// What name and birth date are looked up by together; none where the date is not exact to the day.
pub fn name_and_birth(name: &PersonName, birth: &PartialTime) -> Option<String> {
    birth.date().map(|born| format!("{}|{born}", name.folded()))
}

/// The dots that stand between the parts of a transliterated name; the tables write several of them.
const fn is_middle_dot(c: char) -> bool {
    matches!(c, '\u{b7}' | '\u{2022}' | '\u{2027}' | '\u{30fb}' | '\u{ff65}' | '\u{25cf}' | '\u{ff0e}' | '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(family: &str, given: &[&str]) -> PersonName {
        PersonName {
            family: Some(family.to_owned()),
            given: given.iter().map(|g| (*g).to_owned()).collect(),
            kind: None,
        }
    }

    #[test]
    fn a_name_that_says_that_none_is_known_is_nobodys() {
        for unknown in ["无名氏", "无 名 氏 3", "未知", "未知男", "UNKNOWN", "佚名"] {
            assert!(name(unknown, &[]).is_unknown(), "{unknown}");
        }
        assert!(name("John", &["Doe"]).is_unknown());
        for known in ["吴名", "无忌", "王未知", "Nnamdi"] {
            assert!(!name(known, &[]).is_unknown(), "{known}");
        }
    }

    #[test]
    fn spacing_width_and_middle_dots_make_no_other_name() {
        let plain = name("\u{5f20}", &["\u{5f22}"]);
        for same in [name("\u{5f20}\u{5f22}", &[]), name(" \u{5f20}", &["\u{3000}\u{5f22} "])] {
            assert!(names_agree(&plain, &same));
        }
        let dotted = name("\u{963f}\u{4f9d}\u{b7}\u{5df4}\u{54c8}", &[]);
        assert!(names_agree(&dotted, &name("\u{963f}\u{4f9d}\u{2022}\u{5df4}\u{54c8}", &[])));
        assert!(names_agree(&name("\u{ff2c}\u{ff29}", &[]), &name("LI", &[])));
        assert!(!names_agree(&plain, &name("\u{7ae0}", &["\u{5f22}"])));
        assert_eq!(plain.full(), "\u{5f20}\u{5f22}");
        assert_eq!(name("Smith", &["Ann"]).full(), "Smith Ann");
    }
}
