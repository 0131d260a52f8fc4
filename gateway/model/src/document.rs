//! Travel and residence documents of people without a resident ID number (WS 364, CV02.01.101).

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use crate::ResidentId;

/// A document whose number a person is known under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Document {
    /// A passport (03).
    Passport,
    /// The travel permit of residents of Hong Kong and Macau (06): H or M, eight digits, a count of issues.
    HkMacauPermit,
    /// The travel permit of residents of Taiwan (07): eight digits, a count of issues.
    TaiwanPermit,
    /// The permanent residence card of foreigners: three letters and twelve digits, or since 2023 eighteen characters that begin
    /// with 9 and are checked like a resident ID number.
    ForeignResident,
}

impl Document {
    /// Every document.
    pub const ALL: [Self; 4] =
        [Self::Passport, Self::HkMacauPermit, Self::TaiwanPermit, Self::ForeignResident];

    /// Its name in the configuration and in look-ups.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passport => "passport",
            Self::HkMacauPermit => "hk-macau-permit",
            Self::TaiwanPermit => "taiwan-permit",
            Self::ForeignResident => "foreign-resident",
        }
    }

    /// The document with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|document| document.name() == name)
    }

    /// A number of it in its normal form: capital letters and digits without blanks, hyphens and brackets. None where it has not
    /// the form of the document's numbers.
    pub fn read(self, text: &str) -> Option<String> {
        let separator = |c: &char| c.is_whitespace() || matches!(c, '-' | '(' | ')' | '/');
        let number: String =
            text.nfkc().filter(|c| !separator(c)).map(|c| c.to_ascii_uppercase()).take(40).collect();
        if !number.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return None;
        }
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let letters = |text: &str| text.bytes().all(|b| b.is_ascii_uppercase());
        let right = match self {
            Self::Passport => (5..=20).contains(&number.len()),
            Self::HkMacauPermit => {
                number.starts_with(['H', 'M']) && matches!(number.len(), 9 | 11) && digits(&number[1..])
            }
            // The count of issues was two digits, then a letter.
            Self::TaiwanPermit => {
                let (own, issue) = number.split_at_checked(8)?;
                digits(own) && (issue.is_empty() || issue.len() == 2 && digits(issue) || issue.len() == 1)
            }
            Self::ForeignResident => match number.len() {
                18 => number.starts_with('9') && ResidentId::read(&number).is_ok(),
                15 => letters(&number[..3]) && digits(&number[3..]),
                _ => false,
            },
        };
        right.then_some(number)
    }

    /// The number without the count of issues, which changes when a permit is issued again and the person stays.
    pub fn without_issue(self, number: &str) -> &str {
        let own = match self {
            Self::HkMacauPermit => 9,
            Self::TaiwanPermit => 8,
            Self::Passport | Self::ForeignResident => return number,
        };
        if self.read(number).as_deref() == Some(number) {
            number.get(..own).unwrap_or(number)
        } else {
            number
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn permits_are_one_with_and_without_the_count_of_issues() {
        for (document, written, own) in [
            (Document::HkMacauPermit, "h12345678", "H12345678"),
            (Document::HkMacauPermit, "H1234567801", "H12345678"),
            (Document::HkMacauPermit, "M12345678 (02)", "M12345678"),
            (Document::TaiwanPermit, "12345678", "12345678"),
            (Document::TaiwanPermit, "1234567801", "12345678"),
            (Document::TaiwanPermit, "12345678(B)", "12345678"),
            (Document::Passport, "e-1234 5678", "E12345678"),
        ] {
            let number = document.read(written).unwrap();
            assert_eq!(document.without_issue(&number), own, "{written}");
        }
    }

    #[test]
    fn both_forms_of_the_residence_card_of_foreigners_are_known() {
        assert!(Document::ForeignResident.read("USA310078010153").is_some());
        // 9, division 31, country 840, birth date, sequence, check character.
        let digits = "93184019800101001";
        let right = "0123456789X".chars().map(|check| format!("{digits}{check}"));
        assert_eq!(right.filter(|number| Document::ForeignResident.read(number).is_some()).count(), 1);
        for wrong in ["11010519491231002X", "USA31007801015", "9"] {
            assert_eq!(Document::ForeignResident.read(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_a_normal_form_reads_as_itself(text in ".{0,24}|[HM]?[0-9]{8,10}[A-Z]?") {
            for document in Document::ALL {
                if let Some(number) = document.read(&text) {
                    let again = document.read(&number);
                    prop_assert_eq!(again.as_deref(), Some(number.as_str()));
                    let own = document.without_issue(&number);
                    prop_assert_eq!(document.without_issue(own), own);
                }
            }
        }
    }
}
