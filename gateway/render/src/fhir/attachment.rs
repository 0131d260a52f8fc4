//! A document as a Binary, and what refers to it.

use model::{Attachment, Content, Enclosure};

use super::datatype::{Attachment as FhirAttachment, Extended, Extension, Text};
use super::render::Scene;
use super::resource::Binary;
use super::text::code;
use super::trace::Marks;
use super::{Entry, ResourceType};

/// SHA-256 of the content in hexadecimal digits: `hash` has only place for SHA-1.
const SHA_256: &str = "urn:hospital-gateway:sha-256";

pub(crate) fn entries(scene: &Scene<'_>, attachment: &Attachment) -> Vec<Entry> {
    let marks = Marks::default();
    let mut meta = scene.trace.meta(&marks);
    meta.extension.push(scene.trace.position());
    let binary = Binary {
        kind: ResourceType::Binary,
        id: scene.record.id,
        meta,
        content_type: code(&attachment.media_type).unwrap_or(Text::Borrowed("application/octet-stream")),
        security_context: scene.subject(),
        data: &attachment.data,
    };
    vec![scene.main(ResourceType::Binary, vec![scene.person()], &binary)]
}

/// What refers to a document. Where the destination does not have it, it is named without an address, with the reason.
pub(crate) fn reference<'a>(
    scene: &Scene<'_>,
    document: &'a Enclosure,
    title: Option<Text<'a>>,
) -> FhirAttachment<'a> {
    let content_type = document.media_type.as_deref().and_then(code);
    let bare =
        FhirAttachment { extension: Vec::new(), content_type, url: None, size: None, hash: None, title };
    match &document.content {
        Content::Held { record, print } => {
            let there = record.filter(|record| !scene.refused.contains_key(record));
            let mut extension =
                vec![Extension { url: SHA_256, value: Extended::String((&*print.sha256).into()) }];
            extension.extend(there.is_none().then(|| Extension::absent("error")));
            FhirAttachment {
                extension,
                url: there.map(|record| format!("{}/{record}", ResourceType::Binary).into()),
                size: u32::try_from(print.size).ok(),
                hash: Some(&print.sha1),
                ..bare
            }
        }
        Content::Elsewhere { url } => FhirAttachment { url: Some(url.into()), ..bare },
        Content::Unreadable => FhirAttachment { extension: vec![Extension::absent("error")], ..bare },
    }
}

/// Whether the destination has to do without the document.
pub(crate) fn lacks(scene: &Scene<'_>, document: &Enclosure) -> bool {
    match &document.content {
        Content::Held { record, .. } => record.is_none_or(|record| scene.refused.contains_key(&record)),
        Content::Elsewhere { .. } => false,
        Content::Unreadable => true,
    }
}
