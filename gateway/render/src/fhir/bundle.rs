//! The transaction Bundle.

use super::Entry;

/// A transaction Bundle that puts the entries, in the order given. A resource may be in it once: a server may lose one
/// of two in silence (hapi-fhir issue 8183).
pub fn bundle<'e>(entries: impl IntoIterator<Item = &'e Entry>) -> Vec<u8> {
    let mut out = br#"{"resourceType":"Bundle","type":"transaction""#.to_vec();
    let mut before: &[u8] = br#","entry":["#;
    let mut after: &[u8] = b"}";
    for entry in entries {
        out.extend_from_slice(before);
        out.extend_from_slice(br#"{"resource":"#);
        out.extend_from_slice(&entry.body);
        out.extend_from_slice(br#","request":{"method":"PUT","url":""#);
        out.extend_from_slice(entry.url().as_bytes());
        out.extend_from_slice(br#""}}"#);
        (before, after) = (b",", b"]}");
    }
    out.extend_from_slice(after);
    out
}
