//! Codes: the source's own first, standard systems only where the source names them and the code can be one.

use model::{Coded, Coding as SourceCoding};

use super::Site;
use super::datatype::{Coding, Concept, Unit};
use super::text::{clean, code};
use super::trace::Marks;

const LOINC: &str = "http://loinc.org";
const ICD_10: &str = "http://hl7.org/fhir/sid/icd-10";
/// Vaccines.
const CVX: &str = "http://hl7.org/fhir/sid/cvx";
const UCUM: &str = "http://unitsofmeasure.org";

/// `coded` as a CodeableConcept; none where it says nothing. `element` names its place where a code is doubtful.
pub(crate) fn concept<'a>(
    coded: &'a Coded,
    site: &Site,
    element: &str,
    marks: &mut Marks<'_>,
) -> Option<Concept<'a>> {
    let coding: Vec<_> = coded.codings.iter().filter_map(|c| coding(c, site, element, marks)).collect();
    // A display beside a standard code has to be that system's own; the source's words then stand in the text.
    let shown = coding.iter().any(|c| c.display.is_some());
    let words = || coded.codings.iter().find_map(|c| clean(c.display.as_deref()?)).filter(|_| !shown);
    let text = coded.text.as_deref().and_then(clean).or_else(words);
    (!coding.is_empty() || text.is_some()).then(|| Concept { coding, text, ..Concept::default() })
}

/// The unit of a quantity: the source's spelling, and a code where the source says that it is UCUM.
pub(crate) fn unit<'a>(unit: Option<&'a Coded>, marks: &mut Marks<'_>) -> Unit<'a> {
    let Some(unit) = unit else { return Unit::default() };
    let ucum = unit.codings.iter().find(|c| c.system.as_deref() == Some("UCUM"));
    let standard = ucum.and_then(|c| code(&c.code)).filter(|c| can_be_ucum(c));
    if ucum.is_some() && standard.is_none() {
        marks.doubtful("OBX-6");
    }
    Unit { text: clean(unit.key()), system: standard.is_some().then_some(UCUM), code: standard }
}

fn coding<'a>(
    source: &'a SourceCoding,
    site: &Site,
    element: &str,
    marks: &mut Marks<'_>,
) -> Option<Coding<'a>> {
    let code = code(&source.code)?;
    let standard = match source.system.as_deref() {
        Some("LN") => Some((LOINC, is_loinc(&code))),
        Some("I10") => Some((ICD_10, can_be_icd_10(&code))),
        Some("CVX") => Some((CVX, can_be_cvx(&code))),
        _ => None,
    };
    match standard {
        Some((system, true)) => return Some(Coding { system: system.into(), code, display: None }),
        Some((_, false)) => marks.doubtful(element),
        None => {}
    }
    let system = site.code_system(source.system.as_deref()).into();
    Some(Coding { system, code, display: source.display.as_deref().and_then(clean) })
}

/// Whether `code` is a LOINC number with the right check digit (mod 10, LOINC Users' Guide appendix C).
fn is_loinc(code: &str) -> bool {
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
fn can_be_icd_10(code: &str) -> bool {
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

/// Whether `code` can be UCUM: printable ASCII without blanks, `^` and the like, brackets in pairs.
fn can_be_ucum(code: &str) -> bool {
    let mut open = Vec::new();
    for b in code.bytes() {
        match b {
            b'[' | b'{' | b'(' => open.push(b),
            b']' if open.pop() != Some(b'[') => return false,
            b'}' if open.pop() != Some(b'{') => return false,
            b')' if open.pop() != Some(b'(') => return false,
            b']' | b'}' | b')' => {}
            b'^' | b'"' | b'\\' => return false,
            _ if !b.is_ascii_graphic() => return false,
            _ => {}
        }
    }
    open.is_empty() && !code.is_empty()
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
    fn units_and_diagnoses_of_another_form_stay_the_sources_own() {
        for plausible in ["10*9/L", "mmol/L", "%", "mm[Hg]", "{copies}/mL", "umol/L"] {
            assert!(can_be_ucum(plausible), "{plausible}");
        }
        for other in ["10^9/L", "\u{3bc}mol/L", "g / L", "mm[Hg", "a)b", ""] {
            assert!(!can_be_ucum(other), "{other}");
        }
        for plausible in ["J18", "J18.9", "C34.101", "M1A.0"] {
            assert!(can_be_icd_10(plausible), "{plausible}");
        }
        for other in ["", "J", "J18.", "j18.9", "\u{80ba}\u{708e}", "J18.90001", "1234"] {
            assert!(!can_be_icd_10(other), "{other}");
        }
    }
}
