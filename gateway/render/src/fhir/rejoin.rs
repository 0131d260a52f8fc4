//! A report that goes on from one whose content is no longer held here.

use serde_json::Value;

use super::Entry;

/// Whether the body of an answer is a FHIR resource at all.
pub fn is_resource(body: &[u8]) -> bool {
    serde_json::from_slice::<Value>(body).is_ok_and(|value| value["resourceType"].is_string())
}

/// Puts the results that a destination's report (`held`, as read back from it) has and `report` lacks before those of
/// `report`: a correction of one result must not take the others out of the report. False where `held` is no report.
pub fn rejoin(report: &mut Entry, held: &[u8]) -> bool {
    let (Ok(held), Ok(mut own)) =
        (serde_json::from_slice::<Value>(held), serde_json::from_slice::<Value>(&report.body))
    else {
        return false;
    };
    if held["resourceType"] != own["resourceType"] {
        return false;
    }
    let results = |report: &Value| report["result"].as_array().cloned().unwrap_or_default();
    let stated = results(&own);
    let mut all: Vec<Value> = results(&held);
    all.retain(|result| stated.iter().all(|own| own["reference"] != result["reference"]));
    all.extend(stated);
    if !all.is_empty() {
        own["result"] = Value::Array(all);
    }
    report.body = Entry::json(&own);
    true
}

#[cfg(test)]
mod tests {
    use model::RecordId;

    use super::*;

    fn report(results: &str) -> Entry {
        let id = RecordId::from_bytes([7; 16]);
        let body =
            format!(r#"{{"resourceType":"DiagnosticReport","status":"corrected","result":[{results}]}}"#);
        let (kind, body) = ("DiagnosticReport", body.into_bytes());
        Entry { id, record: id, kind, depends_on: Vec::new(), names: Vec::new(), is_part: false, body }
    }

    #[test]
    fn the_results_that_stand_at_the_destination_stay_in_the_report() {
        let mut entry = report(r#"{"reference":"Observation/b"},{"reference":"Observation/n"}"#);
        let held = r#"{"resourceType":"DiagnosticReport","status":"final","result":
            [{"reference":"Observation/a"},{"reference":"Observation/b"},{"reference":"Observation/c"}]}"#;
        assert!(rejoin(&mut entry, held.as_bytes()));
        let value: Value = serde_json::from_slice(&entry.body).unwrap();
        let named: Vec<_> =
            value["result"].as_array().unwrap().iter().map(|r| r["reference"].as_str().unwrap()).collect();
        assert_eq!(named, ["Observation/a", "Observation/c", "Observation/b", "Observation/n"]);
        assert_eq!(value["status"], "corrected");
    }

    #[test]
    fn what_is_no_report_changes_nothing() {
        for held in ["<html>", "{}", r#"{"resourceType":"Patient"}"#] {
            let mut entry = report("");
            assert!(!rejoin(&mut entry, held.as_bytes()));
            assert_eq!(entry, report(""));
        }
    }
}
