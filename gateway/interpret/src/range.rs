//! Reference ranges (OBX-7) and the numbers in them.

use model::{Comparator, ReferenceRange};

/// Reads a reference range. Limits are given only where they are plain numbers; the text is kept always.
pub(crate) fn range(text: &str) -> ReferenceRange {
    let (low, high) = limits(text.trim()).unwrap_or((None, None));
    ReferenceRange { low, high, text: text.to_owned() }
}

type Limits = (Option<String>, Option<String>);

fn limits(text: &str) -> Option<Limits> {
    if let (Some(comparator), rest) = comparator(text) {
        let limit = Some(decimal(rest)?);
        return Some(match comparator {
            Comparator::Less | Comparator::LessOrEqual => (None, limit),
            Comparator::Greater | Comparator::GreaterOrEqual => (limit, None),
        });
    }
    // The separator is the first dash or tilde that is not a sign. A dash that would make the range run downwards is half
    // of a double one.
    let separators = [
        "-",
        "--",
        "~",
        "\u{2013}",
        "\u{2014}\u{2014}",
        "\u{2014}",
        "\u{ff0d}",
        "\u{ff5e}",
        "\u{301c}",
        "\u{2212}",
        "\u{81f3}",
        "\u{5230}",
    ];
    for separator in separators {
        let mut from = 1;
        while let Some(at) = text.get(from..).and_then(|rest| rest.find(separator)).map(|at| at + from) {
            let (low, high) = (text[..at].trim(), text[at + separator.len()..].trim());
            if let (Some(low), Some(high)) = (decimal(low), decimal(high))
                && runs_upwards(&low, &high)
            {
                return Some((Some(low), Some(high)));
            }
            from = at + separator.len();
            if !text.is_char_boundary(from) {
                break;
            }
        }
    }
    None
}

/// Comparing is all that is ever done with limits.
fn runs_upwards(low: &str, high: &str) -> bool {
    matches!((low.parse::<f64>(), high.parse::<f64>()), (Ok(low), Ok(high)) if low <= high)
}

/// The comparator at the beginning of a text, and the rest.
pub(crate) fn comparator(text: &str) -> (Option<Comparator>, &str) {
    use Comparator::{Greater, GreaterOrEqual, Less, LessOrEqual};
    let forms = [
        ("<=", LessOrEqual),
        (">=", GreaterOrEqual),
        ("=<", LessOrEqual),
        ("=>", GreaterOrEqual),
        ("\u{2264}", LessOrEqual),
        ("\u{2266}", LessOrEqual),
        ("\u{2265}", GreaterOrEqual),
        ("\u{2267}", GreaterOrEqual),
        ("<", Less),
        (">", Greater),
        ("\u{ff1c}", Less),
        ("\u{ff1e}", Greater),
    ];
    for (form, comparator) in forms {
        if let Some(rest) = text.strip_prefix(form) {
            return (Some(comparator), rest.trim());
        }
    }
    (None, text)
}

/// The text, if it is a number as FHIR writes one: `-?(0|[1-9][0-9]*)(\.[0-9]+)?`, at most 18 digits. Nothing is repaired:
/// `+5`, `.5`, `5.` and `05` are text.
pub(crate) fn decimal(text: &str) -> Option<String> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match unsigned.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (unsigned, None),
    };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let whole_ok = digits(whole) && (whole == "0" || !whole.starts_with('0'));
    (whole_ok && fraction.is_none_or(digits) && unsigned.len() <= 19).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn limits_are_read_where_they_are_plain_numbers() {
        let some = |low: &str, high: &str| {
            let of = |s: &str| Some(s.to_owned()).filter(|s| !s.is_empty());
            (of(low), of(high))
        };
        for (text, low, high) in [
            ("3.9-6.1", "3.9", "6.1"),
            ("3.9 - 6.1", "3.9", "6.1"),
            ("-5--1", "-5", "-1"),
            ("-5-1", "-5", "1"),
            ("0.00~5.00", "0.00", "5.00"),
            ("3.5\u{ff5e}5.5", "3.5", "5.5"),
            ("3.5\u{2014}5.5", "3.5", "5.5"),
            ("<5.0", "", "5.0"),
            ("\u{2264}5.0", "", "5.0"),
            (">= 60", "60", ""),
            ("3.5--5.5", "3.5", "5.5"),
            ("3.5\u{2014}\u{2014}5.5", "3.5", "5.5"),
            ("3.5\u{81f3}5.5", "3.5", "5.5"),
            ("6.1-3.9", "", ""),
            ("3.9-6.1 mmol/L", "", ""),
            ("0-14\u{5c81}: 3-5", "", ""),
            ("\u{9634}\u{6027}", "", ""),
            ("M: 4.0-5.5; F: 3.5-5.0", "", ""),
            ("", "", ""),
            ("-", "", ""),
        ] {
            let read = range(text);
            assert_eq!((read.low, read.high), some(low, high), "{text}");
            assert_eq!(read.text, text);
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in ".{0,30}") {
            prop_assert_eq!(range(&text).text, text);
        }

        #[test]
        fn a_decimal_is_a_json_number_of_the_same_digits(text in "[-+]?[0-9]{0,5}(\\.[0-9]{0,4})?") {
            if let Some(decimal) = decimal(&text) {
                prop_assert_eq!(&decimal, &text);
                prop_assert!(decimal.parse::<f64>().is_ok());
            }
        }
    }
}
