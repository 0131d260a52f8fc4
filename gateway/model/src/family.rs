//! Which results belong to which: panels, organisms with their susceptibilities, reports made for a result of another.
//! Only what the source shows; nothing is concluded from names or order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Coded, LabResult, Number, RecordId, Report, ResultKey, Value};

/// What a report was made for (OBR-26, OBR-29).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The order of the other report, by who placed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placer: Option<Number>,
    /// The order of the other report, by the laboratory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filler: Option<Number>,
    /// The result of it that was the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<ParentResult>,
}

/// A result as another report refers to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentResult {
    /// What was measured (OBX-3 of the parent).
    pub code: Coded,
    /// Its sub-id (OBX-4 of the parent).
    #[serde(default)]
    pub sub_id: String,
    /// What it said, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// Results of another report that belong to a result of this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Child {
    /// The result of this report.
    pub of: ResultKey,
    /// The other report.
    pub report: RecordId,
    /// Its results.
    pub results: Vec<ResultKey>,
}

impl Report {
    /// The result that another report refers to; none where none or more than one fits.
    pub fn find(&self, wanted: &ParentResult) -> Option<&LabResult> {
        let code = wanted.code.key();
        let fits = |result: &&LabResult| {
            let codes = &result.code.codings;
            let same = result.key.code == code || codes.iter().any(|coding| coding.code == code);
            same && (wanted.sub_id.is_empty() || result.key.sub_id == wanted.sub_id)
        };
        let found: Vec<&LabResult> = self.results.iter().filter(fits).collect();
        if let [only] = found.as_slice() {
            return Some(only);
        }
        let text = wanted.text.as_deref()?;
        let mut said = found.into_iter().filter(|result| says(&result.value, text));
        said.next().filter(|_| said.next().is_none())
    }

    /// The results that are members of others, by their places: `1.1` is one of `1`, and a susceptibility is one of the
    /// only organism of its sub-id. Empty for most reports.
    pub fn members(&self) -> BTreeMap<usize, Vec<usize>> {
        let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let shows = |result: &LabResult| result.key.sub_id.contains('.') || is_susceptibility(result);
        if !self.results.iter().any(shows) {
            return members;
        }
        let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (n, result) in self.results.iter().enumerate().filter(|(_, r)| !r.key.sub_id.is_empty()) {
            groups.entry(&result.key.sub_id).or_default().push(n);
        }
        // The organism of a group: its only coded value that is no susceptibility.
        let organism = |group: &[usize]| {
            let mut coded = group.iter().filter(|n| {
                let result = &self.results[**n];
                matches!(result.value, Value::Coded(_)) && !is_susceptibility(result)
            });
            coded.next().filter(|_| coded.next().is_none()).copied()
        };
        for (n, result) in self.results.iter().enumerate() {
            let of = parents(&result.key.sub_id).find_map(|prefix| {
                let group = groups.get(prefix)?;
                match group.as_slice() {
                    [only] => Some(Some(*only)),
                    // Several share the sub-id: which one is meant shows only where the member is a susceptibility.
                    several => Some(organism(several).filter(|_| is_susceptibility(result))),
                }
            });
            let of = of.flatten().or_else(|| {
                let group = groups.get(result.key.sub_id.as_str()).filter(|_| is_susceptibility(result))?;
                organism(group)
            });
            if let Some(of) = of.filter(|of| *of != n) {
                members.entry(of).or_default().push(n);
            }
        }
        members
    }
}

/// The sub-ids above a dotted one, the nearest first: of `1.2.3` these are `1.2` and `1`.
fn parents(sub_id: &str) -> impl Iterator<Item = &str> {
    core::iter::successors(sub_id.rsplit_once('.'), |(above, _)| above.rsplit_once('.'))
        .map(|(above, _)| above)
        .filter(|above| !above.is_empty())
}

/// Whether a result is a susceptibility: its flag (OBX-8) is one that only susceptibilities have (HL7 table 0078).
pub fn is_susceptibility(result: &LabResult) -> bool {
    result
        .flags
        .iter()
        .any(|flag| matches!(flag.as_str(), "S" | "I" | "R" | "SDD" | "NS" | "MS" | "VS" | "SYN-S" | "SYN-R"))
}

/// Whether a value is `text`, in one of the forms that it has.
fn says(value: &Value, text: &str) -> bool {
    let text = text.trim();
    match value {
        Value::Coded(codes) => codes.iter().any(|code| {
            let words = code.codings.iter().flat_map(|c| [Some(c.code.as_str()), c.display.as_deref()]);
            words.chain([code.text.as_deref()]).flatten().any(|word| word == text)
        }),
        value => value.source() == text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Absent, ResultStatus};

    fn result(code: &str, sub_id: &str, flag: &str, value: Value) -> LabResult {
        LabResult {
            key: ResultKey { code: code.to_owned(), sub_id: sub_id.to_owned(), ..ResultKey::default() },
            code: Coded::of(code, None, None),
            flags: vec![flag.to_owned()],
            ..LabResult::new(value, ResultStatus::Final)
        }
    }

    fn organism(sub_id: &str, name: &str) -> LabResult {
        result("600-7", sub_id, "", Value::Coded(vec![Coded::of(name, Some("bacterium"), None)]))
    }

    fn drug(code: &str, sub_id: &str) -> LabResult {
        result(code, sub_id, "R", Value::Text("<=0.5".to_owned()))
    }

    fn members(results: Vec<LabResult>) -> Vec<(usize, Vec<usize>)> {
        Report { results, ..Report::default() }.members().into_iter().collect()
    }

    #[test]
    fn susceptibilities_belong_to_the_only_organism_of_their_group() {
        let two_isolates = vec![
            organism("1", "ECO"),
            result("564-5", "1", "", Value::Text("10^5".to_owned())),
            drug("AMP", "1"),
            organism("2", "KPN"),
            drug("AMP", "2"),
            drug("IPM", "2"),
        ];
        assert_eq!(members(two_isolates), [(0, vec![2]), (3, vec![4, 5])]);
        let dotted = vec![
            organism("1", "ECO"),
            result("564-5", "1", "", Value::Absent(Absent::Unknown)),
            drug("AMP", "1.1"),
        ];
        assert_eq!(members(dotted), [(0, vec![2])]);
    }

    #[test]
    fn dotted_sub_ids_nest_and_nothing_is_invented() {
        let text = |sub_id| result("X", sub_id, "", Value::Text("x".to_owned()));
        assert_eq!(
            members(vec![text("1"), text("1.1"), text("1.1.1"), text("1.3.2")]),
            [(0, vec![1, 3]), (1, vec![2])]
        );
        for nothing in [
            // No result is `2`; two are `1`; no group at all; two organisms in one.
            vec![text("2.1"), text("2.2")],
            vec![text("1"), text("1"), text("1.1")],
            vec![organism("", "ECO"), drug("AMP", "")],
            vec![organism("1", "ECO"), organism("1", "KPN"), drug("AMP", "1")],
            vec![text(".1"), text("1."), text("")],
        ] {
            assert_eq!(members(nothing), []);
        }
    }

    #[test]
    fn a_referred_result_is_found_by_code_sub_id_and_words_or_not_at_all() {
        let report =
            Report { results: vec![organism("1", "ECO"), organism("2", "KPN")], ..Report::default() };
        let wanted = |code: &str, sub_id: &str, text: Option<&str>| ParentResult {
            code: Coded::of(code, None, None),
            sub_id: sub_id.to_owned(),
            text: text.map(str::to_owned),
        };
        let found = |wanted: &ParentResult| report.find(wanted).map(|r| r.key.sub_id.clone());
        assert_eq!(found(&wanted("600-7", "2", None)).as_deref(), Some("2"));
        assert_eq!(found(&wanted("600-7", "", Some("ECO"))).as_deref(), Some("1"));
        for none in [
            wanted("600-7", "", None),
            wanted("600-7", "3", None),
            wanted("GLU", "1", None),
            wanted("600-7", "", Some("bacterium")),
        ] {
            assert_eq!(found(&none), None);
        }
    }
}
