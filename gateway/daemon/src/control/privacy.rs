//! What the privacy right allows: to see persons, for a reason that is kept before anything is shown.

use axum::extract::{ConnectInfo, Path, State};
use axum::routing::post;
use axum::{Json, Router};
use buffer::{DeliveryId, MAX_ROWS};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Problem};
use super::operate::{Reason, capture_id, note};
use super::{Caller, Held};
use crate::config::Profile;
use crate::refine::held_record;
use crate::run::lock;
use crate::uplink;

pub(super) fn routes() -> Router<Held> {
    Router::new()
        .route("/v1/captures/{id}/show", post(show_capture))
        .route("/v1/deliveries/{id}/show", post(show_delivery))
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
    let config = lock(&shown.config).clone();
    let load = shown.buffer.state().read(move |read| {
        let delivery =
            read.delivery(DeliveryId(id))?.ok_or(buffer::StateError::NoDelivery(DeliveryId(id)))?;
        let name = read.name_of(delivery.destination)?;
        let records =
            delivery.refs.iter().map(|r| held_record(read, r.record)).collect::<Result<Vec<_>, _>>()?;
        Ok((delivery, name, records))
    });
    let (delivery, name, records) = load.await?;
    let destination = config.destinations.iter().find(|to| to.name == name);
    if let Some(destination) = destination
        && let Profile::Hl7v2(hl7) = &destination.profile
    {
        let way = uplink::Hl7::new(destination, hl7, &config, shown.site.id_key.clone());
        let way = way.map_err(|error| Problem::wrong(error.to_string()))?;
        let messages = uplink::shown(&shown.buffer, &way, &delivery).await?;
        return Ok(Json(json!({ "id": id, "messages": messages })));
    }
    let codes = destination.map(|d| lock(&shown.codes).of_destination(d)).unwrap_or_default();
    let site = render::fhir::Site { codes, ..shown.site.clone() };
    let nothing = render::fhir::Refused::new();
    let mut entries = Vec::new();
    for mut record in records.into_iter().flatten() {
        site.translate(&mut record);
        let rendered = render::fhir::record(&record, &site, &nothing);
        let provenance = render::fhir::provenance(&record, &site, &rendered);
        entries.extend(rendered.into_iter().chain([provenance]));
    }
    let bundle: Value = serde_json::from_slice(&render::fhir::bundle(&entries)).unwrap_or(Value::Null);
    Ok(Json(json!({ "id": id, "bundle": bundle })))
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
