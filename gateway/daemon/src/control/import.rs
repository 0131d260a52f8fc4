//! Taking an existing index over: the table is read by who brings it, and comes in chunks.

use axum::extract::{ConnectInfo, State};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::answer::{Answer, Problem};
use super::operate::{Reason, note};
use super::{Caller, Held};
use crate::refine::Chunk;

pub(super) fn routes() -> Router<Held> {
    Router::new()
        .route("/v1/persons/import/begin", post(begin))
        .route("/v1/persons/import/chunk", post(chunk))
        .route("/v1/persons/import/end", post(end))
}

/// Which table, and why.
#[derive(Deserialize)]
struct Table {
    reason: String,
    /// A digest of the file.
    table: String,
    /// What it holds or what it came to, in words for the audit.
    words: String,
    #[serde(default)]
    dry_run: bool,
}

async fn begin(
    State(shown): State<Held>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(table): Json<Table>,
) -> Answer {
    let reason = Reason { reason: table.reason };
    let what = if table.dry_run { "person-import-dry-run" } else { "person-import" };
    note(&shown, caller, what, reason.given()?, &format!("{} {}", table.words, table.table)).await?;
    let after = if table.dry_run { 0 } else { shown.operations.import_begin(&table.table).await? };
    Ok(Json(json!({ "after": after })))
}

async fn chunk(State(shown): State<Held>, Json(chunk): Json<Chunk>) -> Answer {
    let zone = shown.config.lock().unwrap_or_else(std::sync::PoisonError::into_inner).site.time_zone.clone();
    let imported = shown.operations.import(chunk, zone, (shown.clock)()).await?;
    serde_json::to_value(imported).map(Json).map_err(|error| Problem::wrong(error.to_string()))
}

async fn end(
    State(shown): State<Held>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(table): Json<Table>,
) -> Answer {
    let reason = Reason { reason: table.reason };
    let object = format!("{} {}", table.words, table.table);
    note(&shown, caller, "person-import-end", reason.given()?, &object).await?;
    shown.operations.import_end(&table.table).await?;
    Ok(Json(json!({ "done": "the import has come to its end" })))
}
