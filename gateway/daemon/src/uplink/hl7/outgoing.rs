//! What is sent for a delivery: the capture as it came, or its records as messages.

use std::collections::BTreeSet;

use buffer::{Buffer, Delivery, Read, SettledAs, StateError};
use deliver::{Choice, choose};
use hl7::ack::{Mode, Protocol, When};
use hl7::charset::Learned;
use hl7::{Header, Message};
use model::{PartialTime, Position, Record, RecordId};
use render::hl7 as rendering;

use super::{Content, Way};
use crate::refine::{charset_key, held_record};

/// What is to be sent for a delivery.
pub(super) enum Outgoing {
    /// Nothing: it ends as it is, for this reason.
    Nothing(SettledAs, String),
    /// Messages in this order, and the kinds of records that none of them states.
    Letters(Vec<Letter>, String),
}

/// A message to be sent.
pub(super) struct Letter {
    pub(super) bytes: Vec<u8>,
    pub(super) control_id: String,
    pub(super) protocol: Protocol,
    /// The records that it states.
    pub(super) states: Vec<(RecordId, Position)>,
}

/// The records of a delivery and what they belong to.
pub(super) struct Records {
    pub(super) wanted: Vec<Record>,
    pub(super) ground: Vec<Record>,
}

/// Reads what is to be sent for a delivery to destination `number`.
pub(super) async fn read(
    buffer: &Buffer,
    way: &Way,
    number: u16,
    delivery: &Delivery,
) -> Result<Outgoing, StateError> {
    match way.content {
        Content::Captures => capture(buffer, way, delivery).await,
        Content::Records => {
            let (of, capture) = (delivery.refs.clone(), delivery.position.capture);
            let refs = of.into_iter().map(|r| r.record).collect::<Vec<_>>();
            let records = buffer.state().read(move |read| {
                records(read, &refs, |read, record| {
                    // Nobody can be asked what a receiver has: what it took from us is what it has.
                    let sent = read.sent_position(number, record.id)?;
                    let choice = choose(capture, record.position, |p: Position| p.capture, sent, Some(sent));
                    Ok(choice == Choice::Send)
                })
            });
            Ok(written(way, delivery, &records.await?))
        }
    }
}

/// The records with these ids that are wanted, and what they belong to.
pub(super) fn records(
    read: &Read<'_>,
    refs: &[RecordId],
    wants: impl Fn(&Read<'_>, &Record) -> Result<bool, StateError>,
) -> Result<Records, StateError> {
    let mut wanted = Vec::with_capacity(refs.len());
    for id in refs {
        if let Some(record) = held_record(read, *id)?
            && wants(read, &record)?
        {
            wanted.push(record);
        }
    }
    let needed: BTreeSet<RecordId> = wanted
        .iter()
        .flat_map(|record: &Record| {
            let owner = [Some(record.person.into()), record.encounter].into_iter().flatten();
            owner.chain(record.body.linked().map(RecordId::from)).chain(record.body.attachments())
        })
        .collect();
    let mut ground = Vec::new();
    for id in needed {
        if wanted.iter().all(|record| record.id != id) {
            ground.extend(held_record(read, id)?);
        }
    }
    Ok(Records { wanted, ground })
}

/// The messages of records.
pub(super) fn rendered(way: &Way, delivery: &Delivery, records: &Records) -> rendering::Rendered {
    let offset = way.zone.to_offset(delivery.queued);
    let head = rendering::Head {
        organization: &way.organization,
        destination: &way.name,
        time: PartialTime::at(delivery.queued, offset),
        charset: way.charset().declared(),
        enhanced: way.enhanced,
        id_key: &way.id_key,
    };
    rendering::messages(&records.wanted, &records.ground, &head)
}

fn written(way: &Way, delivery: &Delivery, records: &Records) -> Outgoing {
    if records.wanted.is_empty() {
        return Outgoing::Nothing(SettledAs::Superseded, "newer".to_owned());
    }
    let rendered = rendered(way, delivery, records);
    let kinds: BTreeSet<&str> = rendered.left_out.iter().map(|(_, kind)| kind.name()).collect();
    let kinds = Vec::from_iter(kinds).join(",");
    if rendered.messages.is_empty() {
        return Outgoing::Nothing(SettledAs::Withheld, format!("not-in-hl7v2:{kinds}"));
    }
    let position = |id: &RecordId| records.wanted.iter().find(|record| record.id == *id).map(|r| r.position);
    let mut letters = Vec::with_capacity(rendered.messages.len());
    for message in rendered.messages {
        let Some(bytes) = way.charset().encode_all(&message.text) else { return unwritable(way) };
        let protocol = if way.enhanced {
            Protocol::Enhanced { commit: When::Always, application: When::Always }
        } else {
            Protocol::Original
        };
        let states = message.records.iter().filter_map(|id| Some((*id, position(id)?))).collect();
        letters.push(Letter { bytes, control_id: message.control_id, protocol, states });
    }
    Outgoing::Letters(letters, kinds)
}

async fn capture(buffer: &Buffer, way: &Way, delivery: &Delivery) -> Result<Outgoing, StateError> {
    let (reading, id) = (buffer.clone(), delivery.capture);
    let stored = tokio::task::spawn_blocking(move || reading.capture(id)).await;
    let stored =
        stored.map_err(|_| StateError::Stopping)?.map_err(|error| StateError::Abandoned(Box::new(error)))?;
    // Its delivery keeps it from being destroyed: then the disk has lost it.
    let Some(stored) = stored else { return Ok(dead("capture-gone")) };
    let key = charset_key(&stored.capture.feed);
    let learned = buffer.state().read(move |read| read.meta(&key)).await?;
    let learned = learned.and_then(|name| Learned::from_name(core::str::from_utf8(&name).ok()?));
    Ok(as_it_came(way, &stored.capture, learned))
}

/// The capture's own bytes. They are changed only where the receiver wants another character set (then MSH-18 says which),
/// and where the message forbids its receiver to say that it came (MSH-15 and MSH-16): then MSH-15 asks for it.
fn as_it_came(way: &Way, capture: &feed::Capture, learned: Option<Learned>) -> Outgoing {
    let Ok(header) = Header::read(&capture.body) else { return dead("header") };
    if !matches!(header.processing_id.as_str(), "" | "P") {
        // It is never queued; and if it were, it would not leave.
        return Outgoing::Nothing(SettledAs::Withheld, "test".to_owned());
    }
    if header.control_id.is_empty() {
        return dead("no-control-id");
    }
    let protocol = Protocol::of(&header, Mode::Auto);
    let answers = match protocol {
        Protocol::Original => true,
        Protocol::Enhanced { commit, application } => [commit, application].contains(&When::Always),
    };
    let default = way.charsets.get(&capture.feed).copied().unwrap_or(hl7::charset::Default::Auto);
    let message = Message::read(&capture.body, default, learned);
    let letter = |bytes: Vec<u8>, protocol| {
        let letter = Letter { bytes, control_id: header.control_id.clone(), protocol, states: Vec::new() };
        Outgoing::Letters(vec![letter], String::new())
    };
    let message = match (message, way.charset, answers) {
        (Err(_), None, true) => return letter(capture.body.to_vec(), protocol),
        (Err(_), ..) => return dead("undecodable"),
        (Ok(message), ..) => message,
    };
    let own = message.charset();
    let target = way.charset.filter(|_| !capture.body.is_ascii()).unwrap_or(own);
    if target == own && answers {
        return letter(capture.body.to_vec(), protocol);
    }
    let mut fields = Vec::new();
    if target != own {
        fields.push((18, target.declared()));
    }
    let mut protocol = protocol;
    if !answers {
        fields.push((15, "AL"));
        protocol = Protocol::Enhanced { commit: When::Always, application: When::Never };
    }
    match target.encode_all(&hl7::with_header(message.text(), &fields)) {
        Some(bytes) => letter(bytes, protocol),
        None => unwritable(way),
    }
}

/// A character that the receiver's set lacks is never replaced: somebody has to choose another set, then replay.
fn unwritable(way: &Way) -> Outgoing {
    dead(&format!("not-in-{}", way.charset().name().to_lowercase()))
}

fn dead(reason: &str) -> Outgoing {
    Outgoing::Nothing(SettledAs::Dead, reason.to_owned())
}
