//! Codes: the source's own first, a standard system where the source names one and the code can be one, then what the
//! code maps add.

use model::{
    CVX, Coded, Coding as SourceCoding, ICD_10, LOINC, MARITAL_STATUS, Mapped, UCUM, is_standard,
    standard_system,
};

use super::Site;
use super::datatype::{Coding, Concept, Unit};
use super::text::{clean, code};
use super::trace::Marks;

/// `coded` as a CodeableConcept; none where it says nothing. `element` names its place where a code is doubtful.
pub(crate) fn concept<'a>(
    coded: &'a Coded,
    site: &Site,
    element: &str,
    marks: &mut Marks<'a>,
) -> Option<Concept<'a>> {
    let mut coding: Vec<_> = coded.codings.iter().filter_map(|c| coding(c, site, element, marks)).collect();
    // A display beside a standard code has to be that system's own; the source's words then stand in the text.
    let shown = coding.iter().any(|c| c.display.is_some());
    let words = || coded.codings.iter().find_map(|c| clean(c.display.as_deref()?)).filter(|_| !shown);
    let text = coded.text.as_deref().and_then(clean).or_else(words);
    coding.extend(coded.mapped.iter().filter_map(|m| mapped(m, marks)));
    (!coding.is_empty() || text.is_some()).then(|| Concept { coding, text, ..Concept::default() })
}

/// The unit of a quantity: the source's spelling, and a code of UCUM where the source says that it is one, or a map.
pub(crate) fn unit<'a>(unit: Option<&'a Coded>, marks: &mut Marks<'a>) -> Unit<'a> {
    let Some(unit) = unit else { return Unit::default() };
    let own = unit.codings.iter().find(|c| c.system.as_deref() == Some("UCUM"));
    let mut standard = own.and_then(|c| code(&c.code)).filter(|c| is_standard(UCUM, c));
    if own.is_some() && standard.is_none() {
        marks.doubtful("OBX-6");
    }
    if standard.is_none() {
        let mapped = unit.mapped.iter().find(|mapped| mapped.system == UCUM);
        standard = mapped.and_then(|m| mapped_code(m, marks));
    }
    Unit { text: clean(unit.key()), system: standard.is_some().then_some(UCUM), code: standard }
}

/// A code that a map gave. Its display stands only where nobody else publishes the system's own words.
fn mapped<'a>(mapped: &'a Mapped, marks: &mut Marks<'a>) -> Option<Coding<'a>> {
    let code = mapped_code(mapped, marks)?;
    let published = [LOINC, UCUM, ICD_10, CVX, MARITAL_STATUS].contains(&mapped.system.as_str());
    let display = mapped.display.as_deref().filter(|_| !published).and_then(clean);
    Some(Coding { system: clean(&mapped.system)?, code, display })
}

fn mapped_code<'a>(mapped: &'a Mapped, marks: &mut Marks<'a>) -> Option<std::borrow::Cow<'a, str>> {
    marks.map(&mapped.map);
    if mapped.draft {
        marks.add("draft-code");
    }
    code(&mapped.code)
}

fn coding<'a>(
    source: &'a SourceCoding,
    site: &Site,
    element: &str,
    marks: &mut Marks<'a>,
) -> Option<Coding<'a>> {
    let code = code(&source.code)?;
    match source.system.as_deref().and_then(standard_system) {
        Some(system) if is_standard(system, &code) => {
            return Some(Coding { system: system.into(), code, display: None });
        }
        Some(_) => marks.doubtful(element),
        None => {}
    }
    let system = site.code_system(source.system.as_deref()).into();
    Some(Coding { system, code, display: source.display.as_deref().and_then(clean) })
}
