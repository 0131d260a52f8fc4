//! What the privacy right allows: to see persons, for a reason that is kept before anything is shown.

use axum::extract::{ConnectInfo, Path, State};
use axum::routing::post;
use axum::{Json, Router};
use buffer::{DeliveryId, MAX_ROWS};
use model::{Body, Identifier, PersonId, Record, RecordId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Problem};
use super::operate::{Reason, capture_id, note};
use super::{Caller, Held};
use crate::refine::{Decision, held_record, survivor};

pub(super) fn routes() -> Router<Held> {
    Router::new()
        .route("/v1/captures/{id}/show", post(show_capture))
        .route("/v1/deliveries/{id}/show", post(show_delivery))
        .route("/v1/persons/find", post(find))
        .route("/v1/persons/conflicts", post(conflicts))
        .route("/v1/persons/conflicts/{id}/resolve", post(resolve))
        .route("/v1/audit/show", post(audit))
}

async fn show_capture(
    State(shown): State<Held>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(id): Path<String>,
    Json(body): Json<Reason>,
) -> Answer {
    let id = capture_id(&id)?;
    note(&shown, caller, "capture-show", body.given()?, &id.to_string()).await?;
    let buffer = shown.buffer.clone();
    let stored = tokio::task::spawn_blocking(move || buffer.capture(id)).await;
    let stored = stored.map_err(|_| Problem::wrong("the capture cannot be read"))??;
    let capture = stored.ok_or_else(|| Problem::missing(format!("there is no capture {id}")))?.capture;
    let exception = shown.buffer.state().read(move |read| read.exception(id)).await?;
    let message = hl7::Message::read(&capture.body, hl7::charset::Default::Auto, None).ok();
    let text = message.as_ref().map_or_else(
        || String::from_utf8_lossy(&capture.body).into_owned(),
        |message| message.segments().map(|segment| segment.raw()).collect::<Vec<_>>().join("\n"),
    );
    Ok(Json(json!({
        "id": id,
        "feed": capture.feed,
        "received": capture.received,
        "peer": capture.peer.as_ref(),
        "form": capture.form,
        "charset": message.map(|message| message.charset().name()),
        "outcome": exception.as_ref().map(|e| e.outcome.kind().as_str()),
        "reason": exception.as_ref().map(|e| &e.reason),
        "detail": exception.as_ref().map(|e| String::from_utf8_lossy(&e.detail)),
        "text": text,
    })))
}

async fn show_delivery(
    State(shown): State<Held>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(id): Path<i64>,
    Json(body): Json<Reason>,
) -> Answer {
    note(&shown, caller, "delivery-show", body.given()?, &id.to_string()).await?;
    let records = shown.buffer.state().read(move |read| {
        let delivery =
            read.delivery(DeliveryId(id))?.ok_or(buffer::StateError::NoDelivery(DeliveryId(id)))?;
        delivery.refs.iter().map(|r| held_record(read, r.record)).collect::<Result<Vec<_>, _>>()
    });
    let records = records.await?;
    let nothing = render::fhir::Refused::new();
    let entries: Vec<_> = records
        .iter()
        .flatten()
        .flat_map(|record| render::fhir::record(record, &shown.site, &nothing))
        .collect();
    let bundle: Value = serde_json::from_slice(&render::fhir::bundle(&entries)).unwrap_or(Value::Null);
    Ok(Json(json!({ "id": id, "bundle": bundle })))
}

/// Whom to look for.
#[derive(Deserialize)]
struct Wanted {
    reason: String,
    /// A resident ID number.
    resident_id: Option<String>,
    /// A number of an authority, as `AUTHORITY:NUMBER`.
    number: Option<String>,
    /// A whole name.
    name: Option<String>,
}

async fn find(
    State(shown): State<Held>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(wanted): Json<Wanted>,
) -> Answer {
    let (domain, value) = match (&wanted.resident_id, &wanted.number, &wanted.name) {
        (Some(number), None, None) => {
            let normal = model::ResidentId::read(number).map(|id| id.as_str().to_owned());
            ("resident-id".to_owned(), normal.unwrap_or_else(|_| number.clone()))
        }
        (None, Some(number), None) => {
            let (authority, number) = number.split_once(':').ok_or_else(|| {
                Problem::wrong("a number is written AUTHORITY:NUMBER, for example HIS:12345")
            })?;
            (format!("assigned:{authority}"), number.to_owned())
        }
        (None, None, Some(name)) => {
            let name = model::PersonName { family: Some(name.clone()), ..model::PersonName::default() };
            ("name".to_owned(), name.folded())
        }
        _ => return Err(Problem::wrong("name one of --resident-id, --number AUTHORITY:NUMBER and --name")),
    };
    let reason = Reason { reason: wanted.reason };
    note(&shown, caller, "person-find", reason.given()?, &format!("{domain} {value}")).await?;
    let found = shown.buffer.state().read(move |read| {
        let mut found: Vec<(PersonId, u8, Option<Record>)> = Vec::new();
        for ident in read.idents(&domain, &value)?.into_iter().take(MAX_ROWS) {
            // Who was merged into somebody is found as that one.
            let person = survivor(read, ident.person)?;
            match found.iter_mut().find(|(known, ..)| *known == person) {
                Some((_, trust, _)) => *trust = (*trust).max(ident.trust),
                None => found.push((person, ident.trust, held_record(read, RecordId::from(person))?)),
            }
        }
        Ok(found)
    });
    let found = found.await?;
    let persons = found.iter().map(|(id, trust, record)| {
        let person = record.as_ref().and_then(|record| match &record.body {
            Body::Person(person) => Some(person),
            _ => None,
        });
        json!({ "id": id, "matched": if *trust == 1 { "verified" } else { "claimed" }, "person": person })
    });
    Ok(Json(json!({ "persons": persons.collect::<Vec<_>>() })))
}

/// Which page of the conflicts.
#[derive(Deserialize)]
struct Conflicts {
    reason: String,
    #[serde(default)]
    after: i64,
    limit: Option<usize>,
}

async fn conflicts(
    State(shown): State<Held>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(page): Json<Conflicts>,
) -> Answer {
    let reason = Reason { reason: page.reason };
    note(&shown, caller, "person-conflicts", reason.given()?, "").await?;
    let limit = page.limit.unwrap_or(50).clamp(1, MAX_ROWS);
    let after = page.after;
    let rows = shown.buffer.state().read(move |read| {
        let name = |id: PersonId| {
            held_record(read, RecordId::from(id)).map(|record| {
                record.and_then(|record| match record.body {
                    Body::Person(person) => person.name.map(|name| name.full()),
                    _ => None,
                })
            })
        };
        let mut rows = Vec::new();
        for conflict in read.conflicts(after, limit)? {
            let number: Option<Identifier> = serde_json::from_slice(&conflict.number).ok();
            let merged = match conflict.other {
                Some(other) => survivor(read, other)? == survivor(read, conflict.person)?,
                None => false,
            };
            rows.push(json!({
                "id": conflict.id,
                "merged": merged,
                "doubt": conflict.doubt,
                "number": number.map(|number| number.value),
                "person": conflict.person,
                "name": name(conflict.person)?,
                "held_by": conflict.other,
                "held_by_name": conflict.other.map(name).transpose()?.flatten(),
                "capture": conflict.capture,
                "since": conflict.since,
            }));
        }
        Ok(rows)
    });
    let rows = rows.await?;
    let next = rows.last().filter(|_| rows.len() == limit).map(|row| row["id"].clone());
    Ok(Json(json!({ "conflicts": rows, "next": next })))
}

#[derive(Deserialize)]
struct Resolution {
    reason: String,
    accept: bool,
}

async fn resolve(
    State(shown): State<Held>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(id): Path<i64>,
    Json(body): Json<Resolution>,
) -> Answer {
    let decision = if body.accept { Decision::Accept } else { Decision::Dismiss };
    let reason = Reason { reason: body.reason };
    let what = if body.accept { "conflict-accept" } else { "conflict-dismiss" };
    note(&shown, caller, what, reason.given()?, &id.to_string()).await?;
    shown.operations.resolve(id, decision).await?;
    let done = match decision {
        Decision::Accept => format!("conflict {id}: the number is that person's and links from now on"),
        Decision::Dismiss => format!("conflict {id} is off the list; the number stays a claim"),
    };
    Ok(Json(json!({ "done": done })))
}

#[derive(Deserialize)]
struct AuditPage {
    reason: String,
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

/// The audit with its reasons and objects, which may name persons.
async fn audit(
    State(shown): State<Held>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(page): Json<AuditPage>,
) -> Answer {
    let reason = Reason { reason: page.reason };
    note(&shown, caller, "audit-show", reason.given()?, "").await?;
    let (after, limit) = (page.after, page.limit.unwrap_or(50).clamp(1, MAX_ROWS));
    let rows = shown.buffer.state().read(move |read| read.audit_page(after, limit)).await?;
    let list = rows.iter().map(|row| {
        let entry = &row.entry;
        json!({
            "seq": row.seq, "at": entry.at, "who": entry.who, "what": entry.what, "reason": entry.reason,
            "object": entry.object,
        })
    });
    Ok(Json(json!({ "audit": list.collect::<Vec<_>>() })))
}
