//! Times from and until.

use model::PartialTime;

use super::datatype::Period;
use super::trace::Marks;

/// The period from `start` to `end`. An end before its start is left out and its `element` marked; a day beside a time of the same day is no
/// order that FHIR can tell, so that both go up as days.
pub(crate) fn period(
    start: Option<&PartialTime>,
    end: Option<&PartialTime>,
    element: &str,
    marks: &mut Marks<'_>,
) -> Option<Period> {
    let (Some(first), Some(last)) = (start, end) else {
        return (start.is_some() || end.is_some())
            .then(|| Period { start: start.map(ToString::to_string), end: end.map(ToString::to_string) });
    };
    let (from, to) = (first.to_string(), last.to_string());
    let mixed = from.contains('T') != to.contains('T');
    let shared = from.len().min(to.len()).min(10);
    let backwards = first.earliest() > last.latest() || !from.contains('T') && from[..shared] > to[..shared];
    if backwards {
        marks.doubtful(element);
        return Some(Period { start: Some(from), end: None });
    }
    if mixed && first.to_date() == last.to_date() {
        return Some(Period { start: Some(first.to_date()), end: Some(last.to_date()) });
    }
    Some(Period { start: Some(from), end: Some(to) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> PartialTime {
        PartialTime::read(text, None, &jiff::tz::TimeZone::fixed(jiff::tz::offset(8))).unwrap()
    }

    fn shown(start: &str, end: &str) -> (Option<String>, Option<String>) {
        let period = period(Some(&time(start)), Some(&time(end)), "PV1-45", &mut Marks::default()).unwrap();
        (period.start, period.end)
    }

    #[test]
    fn a_period_never_ends_before_it_starts() {
        let day = |d: &str| Some(d.to_owned());
        assert_eq!(shown("20261124", "202611240500"), (day("2026-11-24"), day("2026-11-24")));
        assert_eq!(shown("202611240500", "20261124"), (day("2026-11-24"), day("2026-11-24")));
        assert_eq!(shown("20261124", "20261123"), (day("2026-11-24"), None));
        assert_eq!(shown("202611250500", "20261124").1, None);
        assert_eq!(shown("20261124", "202611"), (day("2026-11-24"), day("2026-11")));
        assert_eq!(shown("202611240500", "202611240500").1, day("2026-11-24T05:00:00+08:00"));
    }
}
