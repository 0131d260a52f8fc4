//! The resident ID number (GB 11643-1999).

use core::fmt;

use jiff::civil::Date;

use crate::Sex;

/// A resident ID number of 18 characters whose form, birth date and check character are right.
///
/// That says nothing about whose it is: see contract 6 and [`crate::Evidence`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ResidentId([u8; 18]);

/// Why a text is not a resident ID number. The text itself is personal and never in the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResidentIdError {
    /// Neither 18 nor 15 characters.
    #[error("a resident ID number has 18 characters (or 15 before 1999)")]
    Length,
    /// A character that cannot stand there.
    #[error("a resident ID number is made of digits, the last may be X")]
    Character,
    /// The seventh to fourteenth digit are no day of the calendar.
    #[error("the birth date inside the number does not exist")]
    BirthDate,
    /// The last character does not fit the others (ISO 7064 MOD 11-2).
    #[error("the check digit is wrong")]
    CheckDigit,
}

impl ResidentId {
    /// Reads a number as written: blanks around, full-width digits and a lower-case x are normalised; 15 digits are
    /// upgraded to 18 except for the sequences 996 to 999, which stood for people born before 1900.
    ///
    /// # Errors
    /// Says what is wrong with the number; nothing is repaired.
    pub fn read(text: &str) -> Result<Self, ResidentIdError> {
        let mut chars: Vec<u8> = Vec::with_capacity(18);
        for c in text.trim_matches(|c: char| c.is_whitespace() || c == '\u{3000}').chars() {
            let ascii = match c {
                '\u{ff10}'..='\u{ff19}' => b'0' + (c as u32 - 0xff10) as u8,
                'x' | '\u{ff38}' | '\u{ff58}' => b'X',
                c if c.is_ascii() => c as u8,
                _ => return Err(ResidentIdError::Character),
            };
            if chars.len() == 18 {
                return Err(ResidentIdError::Length);
            }
            chars.push(ascii);
        }
        let number = match chars.len() {
            18 => chars,
            15 => upgraded(&chars)?,
            _ => return Err(ResidentIdError::Length),
        };
        let (last, digits) = number.split_last().ok_or(ResidentIdError::Length)?;
        if !digits.iter().all(u8::is_ascii_digit) || !(last.is_ascii_digit() || *last == b'X') {
            return Err(ResidentIdError::Character);
        }
        let id = Self(number.as_slice().try_into().map_err(|_| ResidentIdError::Length)?);
        birth_date(&id.0).ok_or(ResidentIdError::BirthDate)?;
        if check_character(digits) != *last {
            return Err(ResidentIdError::CheckDigit);
        }
        Ok(id)
    }

    /// The 18 characters.
    pub fn as_str(&self) -> &str {
        // Only ASCII was let in.
        core::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The birth date in the number.
    pub fn birth_date(&self) -> Date {
        birth_date(&self.0).unwrap_or(Date::MIN)
    }

    /// The sex in the number: the seventeenth digit is odd for male.
    pub const fn sex(&self) -> Sex {
        if self.0[16] % 2 == 1 { Sex::Male } else { Sex::Female }
    }
}

impl fmt::Debug for ResidentId {
    /// Never shows the number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResidentId(..)")
    }
}

fn upgraded(fifteen: &[u8]) -> Result<Vec<u8>, ResidentIdError> {
    if !fifteen.iter().all(u8::is_ascii_digit) {
        return Err(ResidentIdError::Character);
    }
    if (&b"996"[..]..=&b"999"[..]).contains(&&fifteen[12..15]) {
        return Err(ResidentIdError::BirthDate);
    }
    let mut number = fifteen[..6].to_vec();
    number.extend(b"19");
    number.extend(&fifteen[6..]);
    number.push(check_character(&number));
    Ok(number)
}

fn birth_date(number: &[u8; 18]) -> Option<Date> {
    let digits = |range: core::ops::Range<usize>| {
        number[range].iter().fold(0_i16, |sum, digit| sum * 10 + i16::from(digit - b'0'))
    };
    let (month, day) = (i8::try_from(digits(10..12)).ok()?, i8::try_from(digits(12..14)).ok()?);
    Date::new(digits(6..10), month, day).ok()
}

/// ISO 7064 MOD 11-2 over the first 17 digits.
fn check_character(digits: &[u8]) -> u8 {
    let sum = digits.iter().fold(0_u32, |sum, digit| (sum + u32::from(digit - b'0')) * 2 % 11);
    b"10X98765432"[sum as usize]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_two_standard_examples_pass_and_swapped_digits_fail() {
        for (number, born, sex) in [
            ("11010519491231002X", "1949-12-31", Sex::Female),
            ("440524188001010014", "1880-01-01", Sex::Male),
        ] {
            let id = ResidentId::read(number).unwrap();
            assert_eq!((id.birth_date().to_string().as_str(), id.sex()), (born, sex));
        }
        assert_eq!(ResidentId::read("11010519491231020X"), Err(ResidentIdError::CheckDigit));
        assert_eq!(ResidentId::read("11010519490231002X"), Err(ResidentIdError::BirthDate));
        assert_eq!(ResidentId::read("1101051949123100"), Err(ResidentIdError::Length));
        assert_eq!(ResidentId::read("1101051949123100\u{4e00}X"), Err(ResidentIdError::Character));
    }

    #[test]
    fn blanks_full_width_digits_and_a_small_x_are_normalised() {
        let wide: String = "11010519491231002"
            .bytes()
            .filter_map(|b| char::from_u32(0xff10 + u32::from(b - b'0')))
            .collect();
        for written in [" 11010519491231002x ", &format!("{wide}\u{ff58}"), "\u{3000}11010519491231002X"] {
            assert_eq!(ResidentId::read(written).unwrap().as_str(), "11010519491231002X");
        }
    }

    #[test]
    fn fifteen_digits_become_eighteen_but_never_a_centenarian() {
        assert_eq!(ResidentId::read("110105491231002").unwrap().as_str(), "11010519491231002X");
        assert_eq!(ResidentId::read("110105491231998"), Err(ResidentIdError::BirthDate));
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_read_reads_again(text in ".{0,24}") {
            if let Ok(id) = ResidentId::read(&text) {
                prop_assert_eq!(ResidentId::read(id.as_str()), Ok(id));
            }
        }

        #[test]
        fn one_wrong_digit_is_always_found(position in 0_usize..17, add in 1_u8..10) {
            let mut number = *b"11010519491231002X";
            number[position] = b'0' + (number[position] - b'0' + add) % 10;
            prop_assert!(ResidentId::read(core::str::from_utf8(&number).unwrap()).is_err());
        }
    }
}
