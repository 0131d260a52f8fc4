//! When a resident ID number or the number of a document counts as verified (contract 6).

use serde::{Deserialize, Serialize};

use crate::{PartialTime, Person, PersonName, ResidentId, Sex, names_agree};

/// What there is to judge whether a number is that person's.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The number, where it tells a birth date and a sex; its form and check digit are right.
    pub number: Option<&'a ResidentId>,
    /// The birth date in the message.
    pub birth: Option<&'a PartialTime>,
    /// The sex in the message.
    pub sex: Option<Sex>,
    /// The name in the message.
    pub name: Option<&'a PersonName>,
    /// Whether that name says that nobody knows it.
    pub unknown: bool,
    /// The person that holds the number as verified.
    pub holder: Option<&'a Person>,
    /// Whether the feed has authority over identity.
    pub identity_feed: bool,
}

/// What a number counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It may link.
    Verified,
    /// It is kept and listed, and never links.
    Claimed(Doubt),
}

/// Why a number is only claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Doubt {
    /// The form, the date inside or the check digit is wrong.
    Malformed,
    /// The birth date in the number is not that of the message: a child on a guardian's number.
    BirthDate,
    /// The sex in the number is not that of the message.
    Sex,
    /// The name is not the one held for the number: a borrowed card.
    Name,
    /// The birth date or sex held for the number is another.
    Holder,
    /// First seen on a feed without authority over identity.
    NotAuthoritative,
    /// The person has another verified number.
    OtherNumber,
    /// The person and the number's holder are two persons of the index.
    TwoPersons,
    /// The number of somebody who could be the mother, in a message about a small child.
    Newborn,
    /// A number for somebody whose name is not known.
    UnknownPatient,
    /// Another person has the same name, birth date, sex and telephone number.
    PossibleDuplicate,
}

/// How two statements relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// Nothing contradicts.
    Agrees,
    /// Something contradicts.
    Differs,
}

impl Evidence<'_> {
    /// Judges the number: verified only when birth date and sex agree where present, the name agrees with the one held
    /// for the number, and at first sight only on an identity feed.
    pub fn judge(&self) -> Claim {
        if let Some(number) = self.number {
            if self.birth.is_some_and(|stated| birth_agreement(stated, number) == Agreement::Differs) {
                return Claim::Claimed(Doubt::BirthDate);
            }
            if self.sex.is_some_and(|stated| !stated.agrees(number.sex())) {
                return Claim::Claimed(Doubt::Sex);
            }
        }
        if self.unknown {
            return Claim::Claimed(Doubt::UnknownPatient);
        }
        let Some(holder) = self.holder else {
            let first =
                if self.identity_feed { Claim::Verified } else { Claim::Claimed(Doubt::NotAuthoritative) };
            return first;
        };
        // A number that tells nothing by itself is measured by who holds it.
        let births = self.birth.zip(holder.birth.as_ref());
        let births = births
            .is_some_and(|(one, held)| one.latest() < held.earliest() || held.latest() < one.earliest());
        let sexes = self.sex.zip(holder.sex).is_some_and(|(one, held)| !one.agrees(held));
        if self.number.is_none() && (births || sexes) {
            return Claim::Claimed(Doubt::Holder);
        }
        // A number without a name beside it proves nothing about who carries it.
        match (self.name, &holder.name) {
            (Some(stated), Some(held)) if !names_agree(stated, held) => Claim::Claimed(Doubt::Name),
            (None, Some(_)) => Claim::Claimed(Doubt::Name),
            _ => Claim::Verified,
        }
    }
}

impl Doubt {
    /// Every doubt.
    pub const ALL: [Self; 11] = [
        Self::Malformed,
        Self::BirthDate,
        Self::Sex,
        Self::Name,
        Self::Holder,
        Self::NotAuthoritative,
        Self::OtherNumber,
        Self::TwoPersons,
        Self::Newborn,
        Self::UnknownPatient,
        Self::PossibleDuplicate,
    ];

    /// The doubt with this code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|doubt| doubt.code() == code)
    }

    /// Whether it is about two persons of the index.
    pub const fn is_of_two(self) -> bool {
        matches!(self, Self::Name | Self::Holder | Self::TwoPersons | Self::PossibleDuplicate)
    }

    /// Its code in listings and configuration.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::BirthDate => "birth-date",
            Self::Sex => "sex",
            Self::Name => "name",
            Self::Holder => "holder",
            Self::NotAuthoritative => "not-authoritative",
            Self::OtherNumber => "other-number",
            Self::TwoPersons => "two-persons",
            Self::Newborn => "newborn",
            Self::UnknownPatient => "unknown-patient",
            Self::PossibleDuplicate => "possible-duplicate",
        }
    }
}

/// Compares as far as the stated birth date is exact.
fn birth_agreement(stated: &PartialTime, number: &ResidentId) -> Agreement {
    let born = number.birth_date();
    let stated = stated.to_date();
    if born.to_string().starts_with(&stated) { Agreement::Agrees } else { Agreement::Differs }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn name(text: &str) -> PersonName {
        PersonName { family: Some(text.to_owned()), ..PersonName::default() }
    }

    fn judge(
        birth: Option<&str>,
        sex: Option<Sex>,
        stated: &str,
        held: Option<&str>,
        identity_feed: bool,
    ) -> Claim {
        let number = ResidentId::read("11010519491231002X").unwrap();
        let birth = birth.map(|b| PartialTime::read(b, None, &TimeZone::UTC).unwrap());
        let holder = held.map(|held| Person { name: Some(name(held)), ..Person::default() });
        let stated = name(stated);
        let evidence = Evidence {
            number: Some(&number),
            unknown: false,
            birth: birth.as_ref(),
            sex,
            name: Some(&stated),
            holder: holder.as_ref(),
            identity_feed,
        };
        evidence.judge()
    }

    #[test]
    fn a_number_is_verified_when_everything_agrees() {
        assert_eq!(judge(Some("19491231"), Some(Sex::Female), "\u{738b}", None, true), Claim::Verified);
        assert_eq!(judge(Some("1949"), None, "\u{738b}", Some("\u{738b}"), false), Claim::Verified);
    }

    #[test]
    fn an_infant_on_the_mothers_number_and_a_borrowed_card_are_only_claimed() {
        let claimed = Claim::Claimed;
        assert_eq!(judge(Some("20261101"), None, "\u{738b}", None, true), claimed(Doubt::BirthDate));
        assert_eq!(judge(None, Some(Sex::Male), "\u{738b}", None, true), claimed(Doubt::Sex));
        assert_eq!(judge(None, None, "\u{674e}", Some("\u{738b}"), true), claimed(Doubt::Name));
        assert_eq!(judge(None, None, "\u{738b}", None, false), claimed(Doubt::NotAuthoritative));
    }
}
