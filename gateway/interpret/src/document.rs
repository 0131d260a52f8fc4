//! Documents in OBX-5: embedded ones (ED) and pointers to them (RP).

use hl7::{Component, Field, Repetition};
use model::{Attachment, Content, Enclosure, Mark, Value, base64};

use crate::doubt;
use crate::field::text;

/// A document that cannot be read goes up as its source text, up to so many bytes of it.
const MAX_SOURCE: usize = 4096;
const UNKNOWN: &str = "application/octet-stream";

/// The documents of a field of type ED, one for each repetition. Their contents are added to `attachments`. None where it is
/// short and no document at all.
pub(crate) fn embedded(
    field: &Field<'_>,
    attachments: &mut Vec<Attachment>,
    marks: &mut Vec<Mark>,
) -> Option<Value> {
    let mut documents = Vec::new();
    let mut readable = false;
    for repetition in field.repetitions() {
        let Some(data) = data(repetition) else { continue };
        let stated = media_type(repetition, [2, 3], marks);
        let encoding = text(repetition.component(4)).unwrap_or_default().to_ascii_lowercase();
        let plain_text = stated.as_deref().is_some_and(|stated| stated.starts_with("text/"));
        let Some((bytes, as_text)) = content(data, &encoding, plain_text, marks) else {
            doubt(marks, "OBX-5");
            documents.push(Enclosure { media_type: stated, content: Content::Unreadable });
            continue;
        };
        readable = true;
        let shown = shown(&bytes);
        let media_type = match (stated, shown) {
            (None, shown) if as_text => shown.unwrap_or("text/plain;charset=utf-8").to_owned(),
            (None, shown) => shown.unwrap_or(UNKNOWN).to_owned(),
            (Some(stated), Some(shown)) if stated == UNKNOWN => shown.to_owned(),
            (Some(stated), shown) => {
                let shows_itself = SIGNATURES.iter().any(|(_, media_type)| stated == *media_type);
                if shown.map_or(shows_itself, |shown| shown != stated) {
                    doubt(marks, "OBX-5.3");
                }
                if as_text && stated.starts_with("text/") {
                    format!("{stated};charset=utf-8")
                } else {
                    stated
                }
            }
        };
        let attachment = Attachment::new(&media_type, &bytes);
        documents.push(attachment.enclosed());
        attachments.push(attachment);
    }
    (readable || field.raw().len() > MAX_SOURCE).then_some(Value::Enclosed(documents))
}

/// Whether a field of type ED names no content at all, only what it would be.
pub(crate) fn is_empty(field: &Field<'_>) -> bool {
    field.repetitions().all(|repetition| data(repetition).is_none())
}

/// The documents that a field of type RP points to. None where it holds no address.
pub(crate) fn pointed(field: &Field<'_>, marks: &mut Vec<Mark>) -> Option<Value> {
    let mut documents = Vec::new();
    for repetition in field.repetitions() {
        let url = text(repetition.component(1)).filter(|url| is_address(url))?;
        let media_type = media_type(repetition, [3, 4], marks);
        documents.push(Enclosure { media_type, content: Content::Elsewhere { url } });
    }
    Some(Value::Enclosed(documents))
}

/// ED.5; the first component, where a sender knows no other.
fn data(repetition: Repetition<'_>) -> Option<Component<'_>> {
    let fifth = repetition.component(5);
    if !fifth.is_empty() && !fifth.is_null() {
        return Some(fifth);
    }
    let first = repetition.component(1);
    let alone = (2..5).all(|n| repetition.component(n).is_empty());
    (alone && !first.is_empty() && !first.is_null()).then_some(first)
}

/// The bytes of a content, and whether they are text of the message.
fn content(
    data: Component<'_>,
    encoding: &str,
    is_text: bool,
    marks: &mut Vec<Mark>,
) -> Option<(Vec<u8>, bool)> {
    match encoding {
        "base64" => return base64::decode(&data.text()).map(|bytes| (bytes, false)),
        "hex" => return hex(&data.text()).map(|bytes| (bytes, false)),
        "a" => {}
        _ => {
            // Without the name of an encoding what shows itself to be a document is one; anything else is as written.
            doubt(marks, "OBX-5.4");
            let decoded = base64::decode(&data.text()).filter(|bytes| !is_text && shown(bytes).is_some());
            if let Some(bytes) = decoded {
                return Some((bytes, false));
            }
        }
    }
    match data.bytes() {
        // Bytes in hexadecimal escapes are the content's own unless it is text, where they are in the message's set.
        Some(bytes) if !is_text && core::str::from_utf8(&bytes).is_err() => Some((bytes, false)),
        _ => Some((data.text().into_owned().into_bytes(), true)),
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let digit = |b: u8| char::from(b).to_digit(16);
    if digits.is_empty() || !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks(2).map(|pair| Some((digit(pair[0])? * 16 + digit(pair[1])?) as u8)).collect()
}

/// How documents begin.
const SIGNATURES: [(&[u8], &str); 3] =
    [(b"%PDF-", "application/pdf"), (b"\xff\xd8\xff", "image/jpeg"), (b"\x89PNG\r\n\x1a\n", "image/png")];

/// What a content shows itself to be.
fn shown(bytes: &[u8]) -> Option<&'static str> {
    SIGNATURES.iter().find(|(begin, _)| bytes.starts_with(begin)).map(|(_, media_type)| *media_type)
}

/// The media type that a source names by type (HL7 table 0191) and subtype (table 0291), each in the spelling of many.
fn media_type(
    repetition: Repetition<'_>,
    [kind, subtype]: [usize; 2],
    marks: &mut Vec<Mark>,
) -> Option<String> {
    let part = |n: usize| text(repetition.component(n)).unwrap_or_default().to_ascii_lowercase();
    let (kind, subtype) = (part(kind), part(subtype));
    let known = |name: &str| {
        Some(match name {
            "pdf" => "application/pdf",
            "jpeg" | "jpg" => "image/jpeg",
            "png" => "image/png",
            "gif" => "image/gif",
            "bmp" => "image/bmp",
            "tiff" | "tif" => "image/tiff",
            "pict" => "image/x-pict",
            "html" | "htm" => "text/html",
            "xml" => "text/xml",
            "rtf" => "text/rtf",
            "plain" | "txt" => "text/plain",
            "dicom" => "application/dicom",
            "octet-stream" => UNKNOWN,
            "x-hl7-cda-level-one" => "application/x-hl7-cda-level-one",
            "msword" | "doc" => "application/msword",
            _ => return None,
        })
    };
    if let Some(media_type) = known(&subtype) {
        return Some(media_type.to_owned());
    }
    let whole = [&subtype, &kind].into_iter().find(|name| is_media_type(name));
    if let Some(media_type) = whole {
        return Some(media_type.clone());
    }
    let tree = match kind.as_str() {
        "application" | "ap" | "ns" | "sd" => "application",
        "image" | "im" | "si" => "image",
        "audio" | "au" => "audio",
        "video" => "video",
        "text" | "tx" | "ft" => "text",
        "" if subtype.is_empty() => return None,
        other => {
            return known(other).map(str::to_owned).or_else(|| {
                doubt(marks, "OBX-5.3");
                None
            });
        }
    };
    match (tree, subtype.as_str()) {
        ("text", "") => Some("text/plain".to_owned()),
        ("application", "") => Some(UNKNOWN.to_owned()),
        (_, "") => None,
        (tree, subtype) => {
            let whole = format!("{tree}/{subtype}");
            if is_media_type(&whole) {
                return Some(whole);
            }
            doubt(marks, "OBX-5.3");
            None
        }
    }
}

/// Whether `name` has the form of RFC 6838, as `application/pdf`.
fn is_media_type(name: &str) -> bool {
    let part = |part: &str| {
        let of_form = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
        (1..=64).contains(&part.len()) && part.bytes().all(of_form)
    };
    name.split_once('/').is_some_and(|(tree, subtype)| part(tree) && part(subtype))
}

/// Whether `url` is an absolute address. One letter before the colon is the drive of a disk.
fn is_address(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once(':') else { return false };
    scheme.len() > 1
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
        && !rest.is_empty()
        && !url.contains(|c: char| c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use hl7::Message;
    use hl7::charset::{Charset, Default as Charsets};
    use proptest::prelude::*;

    use super::*;

    /// The documents of an OBX-5, as media type and bytes, and what is doubtful.
    fn read(kind: &str, field: &str) -> (Option<Value>, Vec<(String, Vec<u8>)>, Vec<Mark>) {
        let text = format!("MSH|^~\\&|L\rOBX|1|{kind}|P||{field}||||||F");
        let raw = Charset::Gb18030.encode(&text);
        let message = Message::read(&raw, Charsets::Fixed(Charset::Gb18030), None).unwrap();
        let (mut attachments, mut marks) = (Vec::new(), Vec::new());
        let field = message.first("OBX").unwrap().field(5);
        let value = match kind {
            "ED" => embedded(&field, &mut attachments, &mut marks),
            _ => pointed(&field, &mut marks),
        };
        let contents = attachments.into_iter().map(|a| (a.media_type, base64::decode(&a.data).unwrap()));
        (value, contents.collect(), marks)
    }

    fn one(field: &str) -> (String, Vec<u8>, Vec<String>) {
        let (_, mut contents, marks) = read("ED", field);
        let (media_type, bytes) = contents.pop().unwrap();
        let marks = marks.into_iter().filter_map(|mark| match mark {
            Mark::Doubtful(element) => Some(element),
            _ => None,
        });
        (media_type, bytes, marks.collect())
    }

    const PDF: &[u8] = b"%PDF-1.4 x";
    const PDF_BASE64: &str = "JVBERi0xLjQgeA==";

    #[test]
    fn a_pdf_is_one_however_its_sender_names_and_codes_it() {
        let hex = "255044462D312E342078";
        for field in [
            format!("LIS^AP^PDF^Base64^{PDF_BASE64}"),
            format!("^application^pdf^BASE64^{PDF_BASE64}"),
            format!("^^application/pdf^Base64^{}\\.br\\{}", &PDF_BASE64[..8], &PDF_BASE64[8..]),
            format!("^PDF^^Base64^{}\\X0D\\\\X0A\\{}", &PDF_BASE64[..8], &PDF_BASE64[8..]),
            format!("^application^Octet-stream^Base64^{PDF_BASE64}"),
            format!("^^^Base64^{PDF_BASE64}"),
            format!("^AP^PDF^Hex^{hex}"),
            format!("^AP^PDF^A^\\X{hex}\\"),
        ] {
            assert_eq!(one(&field), ("application/pdf".to_owned(), PDF.to_vec(), vec![]), "{field}");
        }
        // Nobody says how it is coded, but it shows itself.
        assert_eq!(one(PDF_BASE64), ("application/pdf".to_owned(), PDF.to_vec(), vec!["OBX-5.4".to_owned()]));
    }

    #[test]
    fn a_content_of_another_type_than_named_keeps_the_name_and_is_marked() {
        let doubt = vec!["OBX-5.3".to_owned()];
        let named = one(&format!("^IM^JPEG^Base64^{PDF_BASE64}"));
        assert_eq!(named, ("image/jpeg".to_owned(), PDF.to_vec(), doubt.clone()));
        let (media_type, _, marks) = one("^IM^JPEG^Base64^VGhpcyBpcyBhIEJhc2U2NCBzdHJpbmc=");
        assert_eq!((media_type.as_str(), marks), ("image/jpeg", doubt.clone()));
        // No signature is known for these: nothing contradicts.
        assert_eq!(one("^TEXT^html^Base64^PGh0bWw+"), ("text/html".to_owned(), b"<html>".to_vec(), vec![]));
        let (media_type, _, marks) = one("^weird thing^\u{62a5}\u{544a}^Base64^AAAA");
        assert_eq!((media_type.as_str(), marks), (UNKNOWN, doubt));
    }

    #[test]
    fn text_in_the_message_is_a_document_in_utf_8_and_bytes_in_escapes_stay_bytes() {
        let text = one("^TX^^A^\u{5f20}\u{5f22}\\.br\\\\X8F7C\\");
        let expected = "\u{5f20}\u{5f22}\n\u{5f22}".as_bytes().to_vec();
        assert_eq!(text, ("text/plain;charset=utf-8".to_owned(), expected, vec![]));
        let bytes = one("^IM^JPEG^A^\\XFFD8FF\\ab\\XE0\\");
        assert_eq!(bytes, ("image/jpeg".to_owned(), b"\xff\xd8\xffab\xe0".to_vec(), vec![]));
    }

    #[test]
    fn what_cannot_be_decoded_is_text_where_it_is_short_and_visibly_unreadable_where_it_is_not() {
        let (value, contents, marks) = read("ED", "^AP^PDF^Base64^<Base64 encoded>");
        assert_eq!((value, contents.len()), (None, 0));
        assert_eq!(marks, [Mark::Doubtful("OBX-5".to_owned())]);
        let cut_off = format!("^AP^PDF^Base64^{}J", PDF_BASE64[..12].repeat(1000));
        let (value, contents, marks) = read("ED", &cut_off);
        let unreadable = |n| {
            let media_type = Some("application/pdf".to_owned());
            Value::Enclosed(vec![Enclosure { media_type, content: Content::Unreadable }; n])
        };
        assert_eq!((value, contents.len(), marks.len()), (Some(unreadable(1)), 0, 1));
        // Of two documents the one that can be read is there.
        let (value, contents, _) = read("ED", &format!("^AP^PDF^Base64^!~^AP^PDF^Base64^{PDF_BASE64}"));
        let Some(Value::Enclosed(documents)) = value else { panic!("{value:?}") };
        assert_eq!((documents.len(), contents.len()), (2, 1));
        assert_eq!(documents[0].content, Content::Unreadable);
    }

    #[test]
    fn an_address_is_pointed_to_and_a_path_on_somebodys_disk_is_none() {
        let (value, ..) = read("RP", "https://pacs.example/a?b=c^^image^PICT");
        let expected = Enclosure {
            media_type: Some("image/x-pict".to_owned()),
            content: Content::Elsewhere { url: "https://pacs.example/a?b=c".to_owned() },
        };
        assert_eq!(value, Some(Value::Enclosed(vec![expected])));
        for none in ["C:\\E\\scan.pdf", "scan.pdf", "60", "http://a b", "://x", "http:"] {
            assert_eq!(read("RP", none).0, None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn no_field_panics_and_every_document_has_its_content(field in "([\\^~A-Za-z0-9=/+\\\\X. \u{4e00}-\u{4e05}]|Base64|Hex|PDF){0,60}") {
            let (value, contents, _) = read("ED", &field);
            if let Some(Value::Enclosed(documents)) = value {
                let held = documents.iter().filter(|d| matches!(d.content, Content::Held { .. })).count();
                prop_assert_eq!(held, contents.len());
                prop_assert!(contents.iter().all(|(media_type, _)| media_type.contains('/')));
            }
            let _ = read("RP", &field);
        }
    }
}
