//! The code maps in force, what they do not cover, and what they made. No person in it.

use axum::extract::{ConnectInfo, Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use buffer::{MAX_ROWS, Unmapped};
use model::{CodeKind, MapSet};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Problem};
use super::operate::note;
use super::{Caller, Held};
use crate::codes;
use crate::refine::{After, Debt, Recalled, Selection, debt};
use crate::run::lock;

/// Rows of a page when nobody says how many.
const PAGE: usize = 50;
/// Records that are sent again by one request at most.
const AT_ONCE: usize = 100;

pub(super) fn looking() -> Router<Held> {
    Router::new()
        .route("/v1/codes", get(list))
        .route("/v1/codes/unmapped", get(unmapped))
        .route("/v1/records/recall", get(recalled))
}

pub(super) fn operating() -> Router<Held> {
    Router::new().route("/v1/records/recall", post(recall))
}

pub(super) fn privacy() -> Router<Held> {
    Router::new().route("/v1/codes/unmapped/show", post(unmapped_shown))
}

async fn list(State(shown): State<Held>) -> Answer {
    let (config, library) = (lock(&shown.config).clone(), lock(&shown.codes).clone());
    let maps = library.maps().map(|(path, map)| {
        let feeds = config.feeds.iter().filter(|f| f.codes.iter().any(|c| c == path));
        let destinations = config.destinations.iter().filter(|d| d.codes.iter().any(|c| c == path));
        let mut map = codes::shown(path, map);
        map["feeds"] = feeds.map(|feed| feed.name.as_str()).collect();
        map["destinations"] = destinations.map(|destination| destination.name.as_str()).collect();
        map
    });
    let maps: Vec<Value> = maps.collect();
    Ok(Json(json!({ "maps": maps, "mapping": shown.operations.rules.borrow().revision })))
}

/// Which page of the unmapped codes.
#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    reason: String,
    feed: Option<String>,
    kind: Option<String>,
    #[serde(default)]
    after: i64,
    limit: Option<usize>,
}

async fn unmapped(State(shown): State<Held>, Query(wanted): Query<Wanted>) -> Answer {
    unmapped_page(&shown, wanted, false).await
}

/// With the words that stand beside the codes, which may name somebody.
async fn unmapped_shown(
    State(shown): State<Held>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(wanted): Json<Wanted>,
) -> Answer {
    if wanted.reason.trim().is_empty() {
        return Err(Problem::wrong("a reason is needed: --reason \"...\""));
    }
    note(&shown, caller, "codes-unmapped", wanted.reason.trim(), "").await?;
    unmapped_page(&shown, wanted, true).await
}

async fn unmapped_page(shown: &Held, wanted: Wanted, whole: bool) -> Answer {
    let kind = wanted.kind.as_deref().map(str::parse::<CodeKind>).transpose().map_err(Problem::wrong)?;
    let limit = wanted.limit.unwrap_or(PAGE).clamp(1, MAX_ROWS);
    let rows = shown.buffer.state().read(move |read| {
        let feed = match &wanted.feed {
            None => None,
            Some(name) => match read.number_of(name)? {
                Some(number) => Some(number),
                None => return Ok(Vec::new()),
            },
        };
        read.unmapped(feed, kind.map(|kind| kind as u8), wanted.after, limit)
    });
    let rows = rows.await?;
    let next = rows.last().filter(|_| rows.len() == limit).map(|row| row.id);
    let (config, library) = (lock(&shown.config).clone(), lock(&shown.codes).clone());
    let maps = |row: &Unmapped| {
        let feed = config.feeds.iter().find(|feed| feed.name.as_str() == row.feed);
        let of_destinations = config.destinations.iter().flat_map(|destination| &destination.codes);
        let files: Vec<_> = feed.into_iter().flat_map(|f| &f.codes).chain(of_destinations).cloned().collect();
        library.of_feed(&files)
    };
    let mut list: Vec<Value> = rows.iter().map(|row| unmapped_row(row, &maps(row), whole)).collect();
    list.sort_by_key(|row| core::cmp::Reverse(row["seen"].as_i64()));
    Ok(Json(json!({ "unmapped": list, "next": next })))
}

/// One code. Its own words are shown only `whole`, for a reason; the code itself where it can be nothing personal.
fn unmapped_row(row: &Unmapped, maps: &MapSet, whole: bool) -> Value {
    let kind = CodeKind::from_u8(row.kind);
    let debt: Option<Debt> = debt(row.kind, &row.what);
    let plain = debt.as_ref().filter(|debt| whole || debt.is_plain());
    let draft = debt.as_ref().and_then(|debt| maps.draft(debt.kind?, debt.system.as_deref(), &debt.code));
    let system =
        plain.and_then(|debt| debt.system.as_ref()).filter(|s| whole || s.is_ascii() && s.len() <= 16);
    json!({
        "feed": row.feed,
        "kind": kind.map(CodeKind::name),
        "code": plain.map(|debt| &debt.code),
        "system": system,
        "display": debt.as_ref().filter(|_| whole).and_then(|debt| debt.display.as_ref()),
        // Why there is no code: it may name somebody, or there are too many to tell apart.
        "hidden": debt.is_some() && plain.is_none(),
        "others": debt.is_none(),
        "seen": row.seen,
        "first": row.first,
        "last": row.last,
        "draft": draft.map(|hit| json!({
            "map": hit.map.name(), "line": hit.row.line, "target": hit.row.target_code,
        })),
    })
}

/// Which records, and which page of them.
#[derive(Deserialize)]
struct Which {
    map: Option<String>,
    mapping: Option<u32>,
    after: Option<String>,
    limit: Option<usize>,
}

impl Which {
    fn selection(&self) -> Result<Selection, Problem> {
        match (&self.map, self.mapping) {
            (Some(map), None) => Ok(Selection::map(map)),
            (None, Some(revision)) => Ok(Selection::Mapping(revision)),
            _ => Err(Problem::wrong("name one of --map NAME[@VERSION] and --mapping REVISION")),
        }
    }

    fn after(&self) -> Result<After, Problem> {
        let after = self.after.as_deref().map_or(Ok(After::Record(0)), str::parse);
        after.map_err(Problem::wrong)
    }
}

async fn recalled(State(shown): State<Held>, Query(which): Query<Which>) -> Answer {
    let limit = which.limit.unwrap_or(PAGE).clamp(1, MAX_ROWS);
    let (selection, after) = (which.selection()?, which.after()?);
    let (page, next) = shown.operations.recalled(selection, after, limit).await?;
    let rows = page.iter().map(|one| row(one, one.way.word())).collect::<Vec<_>>();
    Ok(Json(json!({ "records": rows, "next": next.map(|next| next.to_string()) })))
}

async fn recall(
    State(shown): State<Held>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(which): Json<Which>,
) -> Answer {
    let limit = which.limit.unwrap_or(AT_ONCE).clamp(1, AT_ONCE);
    let (selection, after) = (which.selection()?, which.after()?);
    note(&shown, caller, "records-recall", "", &format!("{selection} after {after}")).await?;
    let (page, next) = shown.operations.recalled(selection, after, limit).await?;
    let mut rows = Vec::with_capacity(page.len());
    for one in &page {
        let done = shown.operations.recall(one).await?;
        rows.push(row(one, done.word()));
    }
    Ok(Json(json!({ "records": rows, "next": next.map(|next| next.to_string()) })))
}

fn row(one: &Recalled, way: &str) -> Value {
    let held = one.held.as_ref();
    json!({
        "record": one.record,
        "kind": held.map(|held| held.kind.name()),
        "capture": held.map(|held| held.position.capture),
        "event": held.map(|held| held.position.event),
        "mapping": held.map(|held| held.position.revision),
        "maps": held.map(|held| &held.maps),
        "way": way,
    })
}
