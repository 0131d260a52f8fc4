//! Whatever the model holds, what goes up is JSON that FHIR allows.

mod common;

use std::fs::File;
use std::io::Write;

use common::{generated, site};
use model::{Absent, Body, Value as Held};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use render::fhir::{Refused, Stage, bundle, position_of, provenance, record};
use serde_json::Value;

/// FHIR has no empty strings, lists and objects, no null, and no control characters.
fn check(value: &Value, path: &str) -> Result<(), TestCaseError> {
    match value {
        Value::Null => prop_assert!(false, "null at {path}"),
        Value::String(text) => {
            let blank = |c: char| c.is_whitespace() || c == '\u{feff}';
            prop_assert!(!text.chars().all(blank), "empty text at {path}");
            prop_assert!(
                !text.chars().any(|c| c < ' ' && !"\t\r\n".contains(c)),
                "control character at {path}"
            );
        }
        Value::Array(items) => {
            prop_assert!(!items.is_empty(), "empty list at {path}");
            items.iter().try_for_each(|item| check(item, path))?;
        }
        Value::Object(fields) => {
            prop_assert!(!fields.is_empty(), "empty object at {path}");
            fields.iter().try_for_each(|(name, field)| check(field, &format!("{path}.{name}")))?;
        }
        Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_record_renders_to_json_that_fhir_allows(one in generated::record()) {
        let mut entries = record(&one, &site(), &Refused::default());
        entries.push(provenance(&one, &site(), &entries));
        for entry in entries {
            let resource: Value = serde_json::from_slice(&entry.body).unwrap();
            check(&resource, entry.kind)?;
            prop_assert_eq!(position_of(&entry.body), Some(one.position));
            prop_assert_eq!(entry.url(), format!("{}/{}", entry.kind, entry.id));
            prop_assert!(entry.url().is_ascii() && resource["id"] == entry.id.to_string());
        }
    }

    #[test]
    fn the_same_record_renders_to_the_same_bytes(one in generated::record()) {
        let render = || record(&one, &site(), &Refused::default());
        prop_assert_eq!(render(), render());
    }

    #[test]
    fn no_result_vanishes_whatever_was_refused(one in generated::record(), stages in prop::collection::vec(0u8..3, 8)) {
        let Body::Report(report) = &one.body else { return Ok(()) };
        let whole = record(&one, &site(), &Refused::default());
        let ids: Vec<_> = whole.iter().map(|e| e.id).filter(|id| *id != one.id).collect();
        let refused: Refused = ids.iter().copied().zip(stages).filter_map(|(id, stage)| Some((id, Stage::from_u8(stage)?))).collect();
        let entries = record(&one, &site(), &refused);
        let main: Value = serde_json::from_slice(&entries.last().unwrap().body).unwrap();
        let named = main["result"].as_array().map_or(0, Vec::len);
        prop_assert_eq!(named, report.results.len());
        let hidden = |r: &model::LabResult| matches!(r.value, Held::Absent(Absent::Masked | Absent::Refused));
        if report.results.iter().any(hidden) || ids.iter().any(|id| refused.contains_key(id)) {
            prop_assert!(["partial", "registered", "cancelled"].contains(&main["status"].as_str().unwrap()));
        }
    }
}

/// Writes generated bundles, one a line, for a FHIR validator to read: `target/tmp/bundles.ndjson`.
#[test]
fn generated_bundles_are_left_for_a_validator() {
    let mut file = File::create(concat!(env!("CARGO_TARGET_TMPDIR"), "/bundles.ndjson")).unwrap();
    let mut runner = TestRunner::deterministic();
    let fixed = [
        common::person(),
        common::visit(),
        common::diagnosis(),
        common::report(vec![common::glucose()]),
        common::document(),
        common::report(vec![common::enclosing()]),
        common::order(),
        common::appointment(),
        common::vaccination(),
    ];
    let generated = (0..400).map(|_| generated::record().new_tree(&mut runner).unwrap().current());
    for (at, one) in fixed.into_iter().chain(generated).enumerate() {
        let ids = record(&one, &site(), &Refused::default()).into_iter().map(|e| e.id);
        // Every third record is rendered as for a destination that refused something.
        let refused: Refused = ids
            .filter(|_| at % 3 == 2)
            .zip([0, 1, 2].into_iter().cycle())
            .filter_map(|(id, n)| Some((id, Stage::from_u8(n)?)))
            .collect();
        let mut entries = record(&one, &site(), &refused);
        entries.push(provenance(&one, &site(), &entries));
        file.write_all(&bundle(&entries)).unwrap();
        file.write_all(b"\n").unwrap();
    }
}
