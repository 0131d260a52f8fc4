//! Standard code systems, and the forms their codes have.

/// LOINC.
pub const LOINC: &str = "http://loinc.org";
/// UCUM.
pub const UCUM: &str = "http://unitsofmeasure.org";
/// ICD-10.
pub const ICD_10: &str = "http://hl7.org/fhir/sid/icd-10";
/// Vaccines.
pub const CVX: &str = "http://hl7.org/fhir/sid/cvx";
/// Marital status, as FHIR binds it.
pub const MARITAL_STATUS: &str = "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus";
/// Ethnic groups of China (GB/T 3304).
pub const ETHNIC_GROUP: &str = "urn:oid:2.16.156.10011.2.3.3.3";

/// The standard system that a source calls by its name in HL7 table 0396.
pub fn standard_system(name: &str) -> Option<&'static str> {
    Some(match name {
        "LN" => LOINC,
        "I10" => ICD_10,
        "CVX" => CVX,
        "UCUM" => UCUM,
        _ => return None,
    })
}

/// Whether `code` can be one of the standard `system`; true for a system that has no form to check here.
pub fn is_standard(system: &str, code: &str) -> bool {
    match system {
        LOINC => is_loinc(code),
        ICD_10 => can_be_icd_10(code),
        CVX => can_be_cvx(code),
        UCUM => super::check_ucum(code).is_ok(),
        MARITAL_STATUS => code.len() == 1 && "ACDILMPSTUW".contains(code),
        ETHNIC_GROUP => matches!(code.parse::<u8>(), Ok(1..=56 | 97 | 98)) && code.len() == 2,
        _ => true,
    }
}

/// Whether `code` is a LOINC number with the right check digit (mod 10, LOINC Users' Guide appendix C).
pub fn is_loinc(code: &str) -> bool {
    let Some((number, check)) = code.split_once('-') else { return false };
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    if !digits(number) || number.len() > 7 || !digits(check) || check.len() != 1 {
        return false;
    }
    let sum: u8 = number
        .bytes()
        .rev()
        .enumerate()
        .map(|(at, b)| match (b - b'0', at % 2) {
            (digit, 0) => digit * 2 / 10 + digit * 2 % 10,
            (digit, _) => digit,
        })
        .sum();
    check.as_bytes() == [b'0' + (10 - sum % 10) % 10]
}

/// Whether `code` has the form of an ICD-10 category or subcategory, as `J18` or `J18.9`.
pub fn can_be_icd_10(code: &str) -> bool {
    let (category, rest) = code.split_once('.').unwrap_or((code, "0"));
    let tail = |b: u8| b.is_ascii_digit() || b.is_ascii_uppercase();
    matches!(category.as_bytes(), [b'A'..=b'Z', b'0'..=b'9', c] if tail(*c))
        && (1..=4).contains(&rest.len())
        && rest.bytes().all(tail)
}

/// Whether `code` has the form of a CVX number: two or three digits.
fn can_be_cvx(code: &str) -> bool {
    (2..=3).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loinc_number_is_known_by_its_check_digit() {
        for right in ["2345-7", "718-7", "6690-2", "4544-3", "94500-6", "1751-7"] {
            assert!(is_loinc(right), "{right}");
        }
        for wrong in ["2345-6", "718-8", "GLU", "2345", "-7", "LP14635-4", "2345-7 ", "\u{ff12}345-7"] {
            assert!(!is_loinc(wrong), "{wrong}");
        }
    }

    #[test]
    fn diagnoses_of_another_form_stay_the_sources_own() {
        for plausible in ["J18", "J18.9", "C34.101", "M1A.0"] {
            assert!(can_be_icd_10(plausible), "{plausible}");
        }
        for other in ["", "J", "J18.", "j18.9", "\u{80ba}\u{708e}", "J18.90001", "1234"] {
            assert!(!can_be_icd_10(other), "{other}");
        }
    }

    #[test]
    fn vaccines_are_numbers_of_two_or_three_digits() {
        assert!(["08", "140", "998"].into_iter().all(|code| is_standard(CVX, code)));
        assert!(["8", "0140", "HepB", ""].into_iter().all(|code| !is_standard(CVX, code)));
        assert_eq!(standard_system("CVX"), Some(CVX));
    }

    #[test]
    fn ethnic_groups_have_two_digits_of_their_table() {
        assert!(["01", "56", "97", "98"].into_iter().all(|code| is_standard(ETHNIC_GROUP, code)));
        assert!(["1", "00", "57", "099", "x"].into_iter().all(|code| !is_standard(ETHNIC_GROUP, code)));
    }
}
