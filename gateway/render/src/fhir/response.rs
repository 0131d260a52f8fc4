//! What a destination answers.

use serde_json::Value;

/// An answer, as far as it can be read. Only codes and places leave it: texts may quote a patient.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// Whether it is a server's answer to a bundle at all, and not the page of a portal or proxy in between.
    pub is_response: bool,
    /// One per entry of the bundle that was sent, in its order; empty where the answer is no bundle.
    pub entries: Vec<EntryAnswer>,
    /// The issues of an OperationOutcome about the whole.
    pub issues: Vec<Issue>,
}

/// What became of one entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryAnswer {
    /// The HTTP status; none where the server gave none that can be read.
    pub status: Option<u16>,
    /// The version that the server gave the resource.
    pub etag: Option<String>,
    /// Its issues.
    pub issues: Vec<Issue>,
}

/// One issue of an OperationOutcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Issue {
    /// What kind of issue (value set `issue-type`); empty where the server gave none that has the form of one.
    pub code: String,
    /// Where, as an element path.
    pub path: Option<String>,
    /// Whether it is an error and not a hint.
    pub is_error: bool,
}

/// Codes and paths longer than this are none.
const MAX_CODE: usize = 32;
const MAX_PATH: usize = 160;

/// Reads the body of an answer to a transaction. Never fails: what cannot be read is not there.
pub fn parse_answer(body: &[u8]) -> Answered {
    let Ok(answer) = serde_json::from_slice::<Value>(body) else { return Answered::default() };
    match answer["resourceType"].as_str() {
        Some("Bundle") => Answered {
            is_response: matches!(answer["type"].as_str(), Some("transaction-response" | "batch-response")),
            entries: items(&answer["entry"]).map(entry).collect(),
            issues: Vec::new(),
        },
        Some("OperationOutcome") => Answered { issues: issues(&answer), ..Answered::default() },
        _ => Answered::default(),
    }
}

fn entry(entry: &Value) -> EntryAnswer {
    let response = &entry["response"];
    EntryAnswer {
        status: status(&response["status"]),
        etag: response["etag"].as_str().filter(|tag| tag.len() <= 256).map(str::to_owned),
        issues: issues(&response["outcome"]),
    }
}

/// `201 Created`, `201`, and the bare number that some servers send.
fn status(status: &Value) -> Option<u16> {
    let number = match status {
        Value::String(text) => text.split_ascii_whitespace().next()?.parse().ok()?,
        other => u16::try_from(other.as_u64()?).ok()?,
    };
    (100..600).contains(&number).then_some(number)
}

fn issues(outcome: &Value) -> Vec<Issue> {
    let read = |issue: &Value| Issue {
        code: code(&issue["code"]),
        path: path(issue),
        is_error: matches!(issue["severity"].as_str(), Some("error" | "fatal")),
    };
    items(&outcome["issue"]).map(read).collect()
}

/// A code of the standard's form; anything else could be text about a patient.
fn code(value: &Value) -> String {
    let of_form = |c: &&str| c.len() <= MAX_CODE && c.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    value.as_str().filter(of_form).unwrap_or_default().to_owned()
}

/// Where the issue is, in `expression` or the older `location`; only what has the form of a path of elements.
fn path(issue: &Value) -> Option<String> {
    let of_form = |p: &&str| {
        p.len() <= MAX_PATH && p.bytes().all(|b| b.is_ascii_alphanumeric() || b"./[]".contains(&b))
    };
    let mut paths = items(&issue["expression"]).chain(items(&issue["location"])).filter_map(Value::as_str);
    paths.find(of_form).map(str::to_owned)
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_transaction_run_as_a_batch_shows_what_became_of_each_entry() {
        let body = br#"{"resourceType":"Bundle","type":"transaction-response","entry":[
            {"response":{"status":"201 Created","etag":"W/\"1\""}},
            {"response":{"status":"429","outcome":{"resourceType":"OperationOutcome",
              "issue":[{"severity":"error","code":"throttled","diagnostics":"\u5f20\u4e09"}]}}},
            {"response":{"status":200}}, {}, {"response":{"status":"soon"}}]}"#;
        let answered = parse_answer(body);
        assert!(answered.is_response);
        let statuses: Vec<_> = answered.entries.iter().map(|e| e.status).collect();
        assert_eq!(statuses, [Some(201), Some(429), Some(200), None, None]);
        assert_eq!(answered.entries[0].etag.as_deref(), Some("W/\"1\""));
        assert_eq!(answered.entries[1].issues[0].code, "throttled");
    }

    #[test]
    fn an_operation_outcome_names_the_culprit_and_quotes_nobody() {
        let body = br#"{"resourceType":"OperationOutcome","issue":[
            {"severity":"error","code":"invalid","expression":["Bundle.entry[3].resource.name[0]"]},
            {"severity":"error","code":"Zhang San has no id","location":["Bundle/entry[12]/resource"]},
            "odd"]}"#;
        let issue = |code: &str, path: &str| Issue {
            code: code.to_owned(),
            path: (!path.is_empty()).then(|| path.to_owned()),
            is_error: true,
        };
        assert_eq!(
            parse_answer(body).issues,
            [
                issue("invalid", "Bundle.entry[3].resource.name[0]"),
                issue("", "Bundle/entry[12]/resource"),
                Issue::default()
            ]
        );
    }

    #[test]
    fn the_page_of_a_portal_is_no_answer() {
        for other in [
            "<html>Please sign in</html>",
            "",
            "{}",
            r#"{"resourceType":"Bundle","type":"searchset"}"#,
            r#"{"resourceType":"Patient"}"#,
        ] {
            assert!(!parse_answer(other.as_bytes()).is_response, "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_panics(text in ".{0,200}") {
            prop_assert_eq!(parse_answer(text.as_bytes()), Answered::default());
        }
    }
}
