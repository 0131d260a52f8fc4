//! What anybody with the view right sees: no person in it.

use std::collections::BTreeMap;

use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use buffer::{
    DeliveryFilter, DeliveryId, DeliveryState, ExceptionFilter, Health, IntakeHealth, MAX_ROWS, Outcome,
    OutcomeKind,
};
use feed::CaptureId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Problem};
use super::{Held, metrics};
use crate::config::Profile;
use crate::run::lock;

/// Rows of a page when nobody says how many.
const PAGE: usize = 50;

pub(super) fn routes() -> Router<Held> {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/feeds", get(feeds))
        .route("/v1/captures", get(captures))
        .route("/v1/deliveries", get(deliveries))
        .route("/v1/keys", get(keys))
        .route("/v1/audit", get(audit))
        .route("/v1/audit/verify", get(verify))
        .route("/metrics", get(metrics::text))
}

/// Which page of a listing.
#[derive(Deserialize)]
struct Page {
    after: Option<String>,
    limit: Option<usize>,
    outcome: Option<String>,
    state: Option<String>,
    feed: Option<String>,
    destination: Option<String>,
    capture: Option<String>,
}

impl Page {
    fn limit(&self) -> usize {
        self.limit.unwrap_or(PAGE).clamp(1, MAX_ROWS)
    }

    fn after_capture(&self) -> Result<CaptureId, Problem> {
        let after = self.after.as_deref().map_or(Ok(CaptureId::ZERO), str::parse);
        after.map_err(|error| Problem::wrong(error.to_string()))
    }
}

async fn status(State(shown): State<Held>) -> Answer {
    let (counters, alarms, cursor) =
        shown.buffer.state().read(|read| Ok((read.counters()?, read.alarms()?, read.cursor()?))).await?;
    let usage = *lock(&shown.usage);
    let mut destinations = Vec::new();
    let config = lock(&shown.config).clone();
    for destination in &config.destinations {
        let status = lock(&shown.destinations)
            .get(&destination.name)
            .map(|status| lock(status).clone())
            .unwrap_or_default();
        let name = destination.name.clone();
        let oldest = shown.buffer.state().read(move |read| {
            let number = read.number_of(&name)?;
            number.map(|number| read.oldest_waiting(number)).transpose().map(Option::flatten)
        });
        let oldest = oldest.await?;
        let now = (shown.clock)();
        destinations.push(json!({
            "name": destination.name,
            "mode": format!("{:?}", destination.mode).to_lowercase(),
            "required": destination.required,
            "url": destination.url,
            "profile": match destination.profile {
                Profile::FhirR4 => "fhir-r4",
                Profile::Hl7v2(_) => "hl7v2",
            },
            "counts": of(&counters, &destination.name, "delivery-"),
            "oldest_waiting": oldest.map(|(id, capture, since)| json!({
                "delivery": id, "capture": capture, "since": since, "seconds": now.duration_since(since).as_secs().max(0),
            })),
            "in_flight": status.in_flight,
            "retried": status.retried,
            "waits_until": status.trouble.map(|(until, _)| until),
            "failures_in_a_row": status.trouble.map_or(0, |(_, tries)| tries),
            "last_failure": status.last_failure,
            "last_delivered": status.last_delivered,
            "reads_back": matches!(destination.profile, Profile::FhirR4),
            "answers_unmatched": status.strays,
        }));
    }
    let committed = shown.buffer.committed();
    let mut list: Vec<Value> = alarms
        .iter()
        .map(|alarm| json!({ "key": alarm.key, "code": alarm.code, "since": alarm.since }))
        .collect();
    // Where the state is what failed, the alarm about it could not be kept there.
    let held =
        shown.buffer.intake_health() == IntakeHealth::Held || shown.buffer.state().health() == Health::Held;
    if held && alarms.iter().all(|alarm| alarm.key != "disk") {
        list.push(json!({ "key": "disk", "code": "disk", "since": (shown.clock)() }));
    }
    Ok(Json(json!({
        "version": crate::VERSION,
        "clock": lock(&shown.watch).standing().word(),
        "started": shown.started,
        "site": { "organization": config.site.organization, "device": config.site.device },
        "buffer": {
            "directory": shown.buffer.directory(),
            "bytes": usage.bytes,
            "limit": usage.limit,
            "segment_bytes": usage.segments,
            "state_bytes": usage.state,
            "reserve": usage.reserve,
            "full": shown.buffer.is_full(),
            "intake": format!("{:?}", shown.buffer.intake_health()).to_lowercase(),
            "state": format!("{:?}", shown.buffer.state().health()).to_lowercase(),
            "key": shown.buffer.tier().words(),
        },
        "refine": { "committed": committed, "refined": cursor, "behind": committed > cursor },
        "feeds": feed_list(&shown, &counters),
        "destinations": destinations,
        "alarms": list,
    })))
}

async fn feeds(State(shown): State<Held>) -> Answer {
    let counters = shown.buffer.state().read(|read| read.counters()).await?;
    Ok(Json(json!({ "feeds": feed_list(&shown, &counters) })))
}

type Counters = Vec<(String, String, i64)>;

fn feed_list(shown: &Held, counters: &Counters) -> Vec<Value> {
    let config = lock(&shown.config).clone();
    let stats = lock(&shown.feeds).clone();
    let sequences = lock(&shown.sequences).clone();
    let list = config.feeds.iter().map(|feed| {
        let view = stats.get(&feed.name).map(|stats| stats.view());
        let peers = view.iter().flat_map(|view| &view.peers).map(|(peer, notes)| {
            json!({
                "peer": peer, "connections": notes.connections, "since": notes.since, "messages": notes.messages,
                "last": notes.last, "notes": notes.words(),
            })
        });
        let view = view.as_ref();
        json!({
            "name": feed.name,
            "listen": feed.listen,
            "mode": format!("{:?}", feed.mode).to_lowercase(),
            "connections": view.map_or(0, |v| v.connections),
            "holding": view.map_or(0, |v| v.holding),
            "received": view.map_or(0, |v| v.received),
            "acknowledged": view.map_or(0, |v| v.acknowledged),
            "last": view.and_then(|v| v.last),
            "ack_p50_us": view.and_then(|v| v.latency.percentile(50)),
            "ack_p99_us": view.and_then(|v| v.latency.percentile(99)),
            "broken": view.map_or(0, |v| v.broken),
            "empty": view.map_or(0, |v| v.empty),
            "junk_bytes": view.map_or(0, |v| v.junk_bytes),
            "timeouts": view.map_or(0, |v| v.timeouts),
            "refused": view.map(|v| v.refused.iter().map(|(why, n)| (why.code(), *n)).collect::<BTreeMap<_, _>>()),
            "counts": of(counters, feed.name.as_str(), "exception-"),
            "limits": {
                "connections": feed.max_connections, "connections_per_peer": feed.max_per_peer,
                "message_bytes": feed.max_message,
            },
            // A message on its way holds it: then it is shown the next time.
            "sequence": sequences.get(&feed.name).filter(|_| feed.sequence).and_then(|sequence| {
                sequence.try_lock().ok().map(|sequence| json!({ "expected": sequence.expected() }))
            }),
            "ack_to": feed.ack_to.as_ref().map(|target| json!({
                "address": target.to_string(),
                "told": view.map_or(0, |v| v.told_late),
                "untold": view.map_or(0, |v| v.untold),
                "failing": view.is_some_and(|v| v.return_failing),
            })),
            "peers": peers.collect::<Vec<_>>(),
        })
    });
    list.collect()
}

/// The counters of one feed or destination whose names begin with `prefix`.
fn of(counters: &Counters, name: &str, prefix: &str) -> BTreeMap<String, i64> {
    let own = counters.iter().filter(|(_, of, _)| of == name);
    own.filter_map(|(counter, _, value)| Some((counter.strip_prefix(prefix)?.to_owned(), *value))).collect()
}

async fn captures(State(shown): State<Held>, Query(page): Query<Page>) -> Answer {
    let (after, limit) = (page.after_capture()?, page.limit());
    let outcome = page.outcome.as_deref().map(str::parse::<OutcomeKind>).transpose();
    let outcome = outcome.map_err(|error| Problem::wrong(error.to_string()))?;
    let feed = page
        .feed
        .as_deref()
        .map(feed::FeedName::new)
        .transpose()
        .map_err(|e| Problem::wrong(e.to_string()))?;
    let ids: Vec<CaptureId> = if outcome.is_some() {
        let filter = ExceptionFilter { outcome, reason: None, feed: feed.clone(), after, limit };
        let found = shown.buffer.state().read(move |read| read.exceptions(&filter)).await?;
        found.into_iter().map(|exception| exception.capture).collect()
    } else {
        Vec::new()
    };
    let buffer = shown.buffer.clone();
    let listed = outcome.is_some();
    let stored = tokio::task::spawn_blocking(move || {
        if !listed {
            return buffer.next_captures(after, limit, 64 << 20);
        }
        ids.into_iter().filter_map(|id| buffer.capture(id).transpose()).collect()
    });
    let stored = stored.await.map_err(|_| Problem::wrong("the listing failed"))??;
    let wanted: Vec<CaptureId> = stored.iter().map(|stored| stored.id).collect();
    let fates = shown.buffer.state().read(move |read| {
        let cursor = read.cursor()?;
        wanted.into_iter().map(|id| fate(read, id, cursor)).collect::<Result<Vec<_>, _>>()
    });
    let fates = fates.await?;
    let rows = stored.iter().zip(fates).filter(|(stored, _)| feed.as_ref().is_none_or(|f| stored.capture.feed == *f)).map(
        |(stored, fate)| {
            let header = hl7::Header::read(&stored.capture.body).ok();
            json!({
                "id": stored.id,
                "feed": stored.capture.feed,
                "received": stored.capture.received,
                "bytes": stored.capture.body.len(),
                "form": stored.capture.form,
                "control_id": header.as_ref().map(|header| &header.control_id),
                "trigger": header.as_ref().map(|header| format!("{}^{}", header.message_code, header.trigger)),
                "outcome": fate.0,
                "reason": fate.1,
                "of": fate.2,
            })
        },
    );
    let rows: Vec<Value> = rows.collect();
    let next = stored.last().filter(|_| stored.len() == limit).map(|stored| stored.id);
    Ok(Json(json!({ "captures": rows, "next": next })))
}

type Fate = (String, Option<String>, Option<CaptureId>);

/// What became of a capture: the worst of its deliveries, or why it has none.
fn fate(read: &buffer::Read<'_>, id: CaptureId, cursor: CaptureId) -> Result<Fate, buffer::StateError> {
    if id > cursor {
        return Ok(("pending".to_owned(), None, None));
    }
    let filter = DeliveryFilter {
        destination: None,
        state: None,
        capture: Some(id),
        after: DeliveryId(0),
        limit: MAX_ROWS,
    };
    let deliveries = read.deliveries(&filter)?;
    let exception = read.exception(id)?;
    // What was not interpreted may have been sent on as it came: then that is what became of it.
    let forwarded = |exception: &buffer::Exception| {
        exception.outcome == Outcome::NotInterpreted && !deliveries.is_empty()
    };
    if let Some(exception) = exception.filter(|exception| !forwarded(exception)) {
        let of = match exception.outcome {
            Outcome::Duplicate { of } => Some(of),
            _ => None,
        };
        return Ok((exception.outcome.kind().as_str().to_owned(), Some(exception.reason), of));
    }
    use DeliveryState::{Dead, Delivered, Superseded, Waiting, Withheld};
    let worst = [Dead, Waiting, Withheld, Delivered, Superseded];
    let found = worst.iter().find_map(|state| deliveries.iter().find(|delivery| delivery.state == *state));
    Ok(match found {
        Some(delivery) => {
            let reason = Some(delivery.reason.clone()).filter(|reason| !reason.is_empty());
            (delivery.state.as_str().to_owned(), reason, None)
        }
        None => ("forgotten".to_owned(), None, None),
    })
}

async fn deliveries(State(shown): State<Held>, Query(page): Query<Page>) -> Answer {
    let state = match page.state.as_deref() {
        None => None,
        Some(word) => Some(
            DeliveryState::ALL
                .into_iter()
                .find(|state| state.as_str() == word)
                .ok_or_else(|| Problem::wrong("state is waiting, delivered, superseded, dead or withheld"))?,
        ),
    };
    let after = page
        .after
        .as_deref()
        .map_or(Ok(0), str::parse)
        .map_err(|_| Problem::wrong("after is a delivery's number"))?;
    let capture = page.capture.as_deref().map(str::parse::<CaptureId>).transpose();
    let capture = capture.map_err(|error| Problem::wrong(error.to_string()))?;
    let (destination, limit) = (page.destination.clone(), page.limit());
    let rows = shown.buffer.state().read(move |read| {
        let number = match &destination {
            Some(name) => match read.number_of(name)? {
                Some(number) => Some(number),
                None => return Ok(Vec::new()),
            },
            None => None,
        };
        let filter = DeliveryFilter { destination: number, state, capture, after: DeliveryId(after), limit };
        let mut rows = Vec::new();
        for delivery in read.deliveries(&filter)? {
            let receipt = read.receipt(delivery.id)?;
            let refs: Vec<String> = delivery.refs.iter().map(|r| r.record.to_string()).collect();
            rows.push(json!({
                "id": delivery.id,
                "destination": read.name_of(delivery.destination)?,
                "capture": delivery.capture,
                "state": delivery.state,
                "reason": delivery.reason,
                "queued": delivery.queued,
                "settled": delivery.settled,
                "records": refs,
                "receipt": receipt.map(|receipt| json!({
                    "at": receipt.at, "status": receipt.answer, "resources": receipt.resources, "bytes": receipt.bytes,
                })),
            }));
        }
        Ok(rows)
    });
    let rows = rows.await?;
    let next = rows.last().filter(|_| rows.len() == limit).map(|row| row["id"].clone());
    Ok(Json(json!({ "deliveries": rows, "next": next })))
}

async fn keys(State(shown): State<Held>) -> Answer {
    let config = lock(&shown.config).clone();
    Ok(Json(json!({
        "source": format!("{:?}", config.buffer.key),
        "tier": shown.buffer.tier().words(),
        "ring": shown.buffer.directory().join("keys.0"),
    })))
}

async fn audit(State(shown): State<Held>, Query(page): Query<Page>) -> Answer {
    let after = page
        .after
        .as_deref()
        .map_or(Ok(0), str::parse)
        .map_err(|_| Problem::wrong("after is an entry's number"))?;
    let limit = page.limit();
    let rows = shown.buffer.state().read(move |read| read.audit_page(after, limit)).await?;
    // Reason and object may name a person: who may view sees that something was looked at, by whom and when.
    let list = rows.iter().map(
        |row| json!({ "seq": row.seq, "at": row.entry.at, "who": row.entry.who, "what": row.entry.what }),
    );
    let next = rows.last().filter(|_| rows.len() == limit).map(|row| row.seq);
    Ok(Json(json!({ "audit": list.collect::<Vec<_>>(), "next": next })))
}

async fn verify(State(shown): State<Held>) -> Answer {
    let verified = shown.buffer.state().verify_audit().await?;
    Ok(Json(match verified {
        Ok(entries) => json!({ "whole": true, "entries": entries }),
        Err(broken) => json!({ "whole": false, "broken_at": broken.at }),
    }))
}
