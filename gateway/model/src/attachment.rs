//! Documents that come inside messages: a scanned form, a letter as PDF, a curve.

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::{RecordId, base64};

/// The content of a document. It is a record of its own, so that it is kept once for a person however often it is sent;
/// other records refer to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Its media type, as `application/pdf`.
    pub media_type: String,
    /// What tells it from another.
    pub print: Fingerprint,
    /// The content in base64.
    pub data: String,
}

/// What tells one content from another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Bytes.
    pub size: u64,
    /// SHA-256 in hexadecimal digits: what its id is made of.
    pub sha256: String,
    /// SHA-1 in base64: what FHIR R4 has a place for. Nothing here relies on it.
    pub sha1: String,
}

/// A document as the record that it belongs to holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enclosure {
    /// Its media type, where the source names one or the content shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Where its content is.
    pub content: Content,
}

/// Where the content of a document is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// In a record of its own.
    Held {
        /// The record; none until it is known whose it is.
        record: Option<RecordId>,
        /// What tells it from another.
        print: Fingerprint,
    },
    /// With somebody else.
    Elsewhere {
        /// The address.
        url: String,
    },
    /// It came and cannot be read, as base64 that is cut off. The capture holds what came.
    Unreadable,
}

impl Attachment {
    /// A document of these bytes.
    pub fn new(media_type: &str, bytes: &[u8]) -> Self {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let print = Fingerprint {
            size: bytes.len() as u64,
            sha256: hex(digest(&SHA256, bytes).as_ref()),
            sha1: base64::encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref()),
        };
        Self { media_type: media_type.to_owned(), print, data: base64::encode(bytes) }
    }

    /// What the record that it belongs to holds of it.
    pub fn enclosed(&self) -> Enclosure {
        let content = Content::Held { record: None, print: self.print.clone() };
        Enclosure { media_type: Some(self.media_type.clone()), content }
    }
}

impl Enclosure {
    /// The record of its content.
    pub const fn record(&self) -> Option<RecordId> {
        match &self.content {
            Content::Held { record, .. } => *record,
            Content::Elsewhere { .. } | Content::Unreadable => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_told_by_its_digests() {
        let one = Attachment::new("text/plain", b"abc");
        assert_eq!(one.print.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!((one.print.sha1.as_str(), one.print.size), ("qZk+NkcGgWq6PiVxeFDCbJzQ2J0=", 3));
        assert_eq!(base64::decode(&one.data).as_deref(), Some(&b"abc"[..]));
    }
}
