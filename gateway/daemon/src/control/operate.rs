//! What the operate right allows: run again, release, give up. No person is shown.

use axum::extract::{ConnectInfo, Path, State};
use axum::routing::post;
use axum::{Json, Router};
use buffer::{AuditEntry, DeliveryId, Urgency};
use feed::CaptureId;
use serde::Deserialize;
use serde_json::json;

use super::answer::{Answer, Problem};
use super::{Caller, Held};
use crate::refine::Replayed;

pub(super) fn routes() -> Router<Held> {
    Router::new()
        .route("/v1/captures/{id}/replay", post(replay))
        .route("/v1/captures/{id}/release", post(release))
        .route("/v1/captures/{id}/discard", post(discard))
        .route("/v1/deliveries/{id}/replay", post(replay_delivery))
        .route("/v1/reload", post(reload))
}

#[derive(Deserialize)]
pub(super) struct Reason {
    pub(super) reason: String,
}

impl Reason {
    pub(super) fn given(&self) -> Result<&str, Problem> {
        let reason = self.reason.trim();
        if reason.is_empty() {
            Err(Problem::wrong("a reason is needed: --reason \"...\""))
        } else {
            Ok(reason)
        }
    }
}

pub(super) fn capture_id(text: &str) -> Result<CaptureId, Problem> {
    text.parse().map_err(|error: feed::CaptureIdError| Problem::wrong(error.to_string()))
}

async fn replay(
    State(shown): State<Held>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(id): Path<String>,
) -> Answer {
    let id = capture_id(&id)?;
    note(&shown, caller, "capture-replay", "", &id.to_string()).await?;
    let done = match shown.operations.replay(id, (shown.clock)()).await? {
        Replayed::Deliveries(n) => format!("{n} deliveries of capture {id} wait again at their place"),
        Replayed::Interpreted => format!("capture {id} was interpreted again"),
    };
    Ok(Json(json!({ "done": done })))
}

async fn release(
    State(shown): State<Held>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(id): Path<String>,
) -> Answer {
    let id = capture_id(&id)?;
    note(&shown, caller, "capture-release", "", &id.to_string()).await?;
    shown.operations.release(id).await?;
    Ok(Json(
        json!({ "done": format!("capture {id} is released; its numbers mean this person and date too") }),
    ))
}

async fn discard(
    State(shown): State<Held>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(id): Path<String>,
    Json(body): Json<Reason>,
) -> Answer {
    let id = capture_id(&id)?;
    let reason = body.given()?.to_owned();
    let buffer = shown.buffer.clone();
    let stored = tokio::task::spawn_blocking(move || buffer.capture(id)).await;
    let stored = stored.map_err(|_| Problem::wrong("the capture cannot be read"))??;
    let feed = stored.ok_or_else(|| Problem::missing(format!("there is no capture {id}")))?.capture.feed;
    let entry = entry(&shown, caller, "capture-discard", &reason, &id.to_string());
    shown.buffer.state().run(Urgency::Now, move |tx| tx.discard(id, &feed, &entry)).await?;
    Ok(Json(
        json!({ "done": format!("capture {id} is given up; it goes with the retention of settled ones") }),
    ))
}

async fn replay_delivery(
    State(shown): State<Held>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(id): Path<i64>,
) -> Answer {
    note(&shown, caller, "delivery-replay", "", &id.to_string()).await?;
    let at = (shown.clock)();
    let requeue = shown.buffer.state().run(Urgency::Now, move |tx| {
        let delivery = tx.delivery(DeliveryId(id))?.ok_or(buffer::StateError::NoDelivery(DeliveryId(id)))?;
        tx.requeue(delivery.id, at)?;
        tx.release_lane(&delivery.lane_key())?;
        Ok(())
    });
    requeue.await?;
    shown.operations.enqueued.notify_waiters();
    Ok(Json(json!({ "done": format!("delivery {id} waits again at its place") })))
}

async fn reload(State(shown): State<Held>) -> Answer {
    shown.reload.notify_one();
    Ok(Json(json!({ "done": "the configuration is read again; the log says how it went" })))
}

pub(super) fn entry(shown: &Held, caller: Caller, what: &str, reason: &str, object: &str) -> AuditEntry {
    let (what, reason, object) = (what.to_owned(), reason.to_owned(), object.to_owned());
    AuditEntry { who: caller.0, what, reason, object, at: (shown.clock)() }
}

/// Writes the audit first; only then is anything done or shown.
pub(super) async fn note(
    shown: &Held,
    caller: Caller,
    what: &str,
    reason: &str,
    object: &str,
) -> Result<(), Problem> {
    shown.buffer.state().audit(entry(shown, caller, what, reason, object)).await?;
    Ok(())
}
