//! What a server answers to a Bundle. Read with tolerance: servers differ.

use serde::Deserialize;

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// One for each entry of the request, where the answer is a Bundle.
    pub entries: Vec<EntryAnswer>,
    /// The issues of an OperationOutcome.
    pub issues: Vec<Issue>,
}

/// The answer to one entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryAnswer {
    /// The HTTP status; none where the server gave none that is one.
    pub status: Option<u16>,
    /// The version the resource now has.
    pub etag: Option<String>,
    /// What is wrong with it.
    pub issues: Vec<Issue>,
}

/// An issue: its code and where it is. What a server says in words may hold personal data and goes no further.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Issue {
    /// The code of the issue type.
    pub code: String,
    /// Where, as a FHIRPath or XPath of the server.
    pub path: Option<String>,
    /// Whether it is an error and not a hint.
    pub is_error: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Body {
    resource_type: String,
    entry: Vec<RawEntry>,
    issue: Vec<RawIssue>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawEntry {
    response: Option<RawResponse>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawResponse {
    status: String,
    etag: Option<String>,
    outcome: Option<Box<Body>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawIssue {
    severity: String,
    code: String,
    expression: Vec<String>,
    location: Vec<String>,
}

/// Reads the body of an answer. What is no FHIR gives nothing.
pub fn parse_answer(body: &[u8]) -> Answered {
    let body: Body = serde_json::from_slice(body).unwrap_or_default();
    let entries = body.entry.into_iter().map(|entry| {
        let response = entry.response.unwrap_or_default();
        EntryAnswer {
            status: response.status.split_whitespace().next().and_then(|status| status.parse().ok()),
            etag: response.etag,
            issues: response.outcome.map(|outcome| issues(outcome.issue)).unwrap_or_default(),
        }
    });
    let is_bundle = body.resource_type == "Bundle";
    Answered { entries: if is_bundle { entries.collect() } else { Vec::new() }, issues: issues(body.issue) }
}

fn issues(raw: Vec<RawIssue>) -> Vec<Issue> {
    let read = |issue: RawIssue| Issue {
        is_error: matches!(issue.severity.as_str(), "error" | "fatal"),
        code: issue.code,
        path: issue.expression.into_iter().next().or_else(|| issue.location.into_iter().next()),
    };
    raw.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_looked_at_even_when_the_whole_succeeded() {
        let body = br#"{"resourceType":"Bundle","type":"transaction-response","entry":[
            {"response":{"status":"201 Created","etag":"W/\"1\""}},
            {"response":{"status":"429","outcome":{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"throttled"}]}}},
            {}]}"#;
        let answered = parse_answer(body);
        let statuses: Vec<_> = answered.entries.iter().map(|entry| entry.status).collect();
        assert_eq!(statuses, [Some(201), Some(429), None]);
        assert_eq!(answered.entries[1].issues[0].code, "throttled");
    }

    #[test]
    fn an_outcome_gives_its_codes_and_paths_and_anything_else_nothing() {
        let body = br#"{"resourceType":"OperationOutcome","issue":[
            {"severity":"error","code":"required","expression":["Bundle.entry[3].resource.status"],"diagnostics":"Zhang San"}]}"#;
        let issue = parse_answer(body).issues.remove(0);
        assert_eq!((issue.code.as_str(), issue.is_error), ("required", true));
        assert_eq!(issue.path.as_deref(), Some("Bundle.entry[3].resource.status"));
        assert_eq!(parse_answer(b"<html>504</html>"), Answered::default());
    }
}
