//! Persons: found, shown with their history, and what waits for somebody to decide. Every look and every decision is in the
//! audit before it is done.

use axum::extract::{ConnectInfo, Path, State};
use axum::routing::post;
use axum::{Json, Router};
use buffer::MAX_ROWS;
use model::{Body, Identifier, PersonId, Record, RecordId};
use serde::Deserialize;
use serde_json::json;

use super::answer::{Answer, Problem};
use super::operate::{Reason, note};
use super::{Caller, Held, advice};
use crate::refine::{Decider, Decision, Word, held_record, survivor};

/// Decisions that are shown of one person: the latest.
const HISTORY: usize = 100;

pub(super) fn routes() -> Router<Held> {
    Router::new()
        .route("/v1/persons/find", post(find))
        .route("/v1/persons/{id}/show", post(show))
        .route("/v1/persons/{id}/unmerge", post(unmerge))
        .route("/v1/persons/merge", post(merge))
        .route("/v1/persons/link", post(link))
        .route("/v1/persons/conflicts", post(conflicts))
        .route("/v1/persons/conflicts/{id}/resolve", post(resolve))
        .route("/v1/persons/conflicts/{id}/reject", post(reject))
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
            let advice = advice::of(&conflict);
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
                "about": advice.about,
                "next": advice.next,
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
    shown.operations.resolve(id, decision, (shown.clock)()).await?;
    let done = match decision {
        Decision::Accept => format!("conflict {id}: the number is that person's and links from now on"),
        Decision::Dismiss => format!("conflict {id} is off the list for good; the number stays a claim"),
    };
    Ok(Json(json!({ "done": done })))
}

/// A person as the index holds it, and what was decided about it.
async fn show(
    State(shown): State<Held>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(id): Path<String>,
    Json(body): Json<Reason>,
) -> Answer {
    let id = person_id(&id)?;
    note(&shown, caller, "person-show", body.given()?, &id.to_string()).await?;
    let found = shown.buffer.state().read(move |read| {
        let record = held_record(read, RecordId::from(id))?;
        let (link, links) = (read.person_link(id)?, read.links_to(id, MAX_ROWS)?);
        Ok((record, link, links, read.decisions_of(id, HISTORY)?))
    });
    let (record, link, links, decisions) = found.await?;
    if record.is_none() && link.is_none() {
        return Err(Problem::missing(format!(
            "there is no person {id}; see `hospital-gateway persons find`"
        )));
    }
    let person = record.as_ref().and_then(|record| match &record.body {
        Body::Person(person) => Some(person),
        _ => None,
    });
    let history = decisions.iter().map(|decision| {
        let word: Option<Word> = serde_json::from_slice(&decision.detail).ok();
        json!({
            "what": decision.what,
            "person": decision.person,
            "other": decision.other,
            "at": decision.at,
            "capture": decision.capture,
            "who": word.as_ref().map(|word| &word.who),
            "why": word.as_ref().map(|word| &word.why),
        })
    });
    Ok(Json(json!({
        "id": id,
        "merged_into": link.map(|link| link.survivor),
        "stands_for": links.iter().map(|link| link.person).collect::<Vec<_>>(),
        "person": person,
        "capture": record.as_ref().map(|record| record.provenance.capture),
        "history": history.collect::<Vec<_>>(),
    })))
}

/// Two persons and why.
#[derive(Deserialize)]
struct Pair {
    reason: String,
    one: String,
    other: String,
    /// Merge also what looks like two.
    #[serde(default)]
    force: bool,
    /// Whether they are to be linked, or no longer.
    #[serde(default)]
    linked: bool,
}

async fn merge(
    State(shown): State<Held>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(pair): Json<Pair>,
) -> Answer {
    let (one, other) = (person_id(&pair.one)?, person_id(&pair.other)?);
    let what = if pair.force { "person-merge-forced" } else { "person-merge" };
    let decider = decider(&shown, caller, what, pair.reason, &format!("{one} {other}")).await?;
    let done = shown.operations.merge(one, other, pair.force, decider).await?;
    Ok(Json(json!({
        "done": format!(
            "{} stands for {} from now on; {} records are sent again. `persons unmerge {}` takes it back",
            done.person, done.other, done.records, done.other
        ),
        "person": done.person,
        "other": done.other,
    })))
}

async fn unmerge(
    State(shown): State<Held>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(id): Path<String>,
    Json(body): Json<Reason>,
) -> Answer {
    let id = person_id(&id)?;
    let decider = decider(&shown, caller, "person-unmerge", body.reason, &id.to_string()).await?;
    let done = shown.operations.unmerge(id, decider).await?;
    Ok(Json(json!({
        "done": format!(
            "{id} stands for itself again and no longer for {}; {} records are sent again. What was delivered so long ago \
             that it is no longer held here has to be moved at its destination",
            done.person, done.records
        ),
        "person": done.person,
        "other": done.other,
    })))
}

async fn link(
    State(shown): State<Held>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(pair): Json<Pair>,
) -> Answer {
    let (one, other) = (person_id(&pair.one)?, person_id(&pair.other)?);
    let what = if pair.linked { "person-link" } else { "person-unlink" };
    let decider = decider(&shown, caller, what, pair.reason, &format!("{one} {other}")).await?;
    shown.operations.link(one, other, pair.linked, decider).await?;
    let done = if pair.linked {
        format!("{one} and {other} are linked: two persons, looked up together")
    } else {
        format!("{one} and {other} are no longer linked")
    };
    Ok(Json(json!({ "done": done })))
}

async fn reject(
    State(shown): State<Held>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(id): Path<i64>,
    Json(body): Json<Reason>,
) -> Answer {
    let decider = decider(&shown, caller, "conflict-reject", body.reason, &id.to_string()).await?;
    let done = shown.operations.reject(id, decider).await?;
    Ok(Json(json!({
        "done": format!("{} and {} are two persons; the pair is not listed again", done.person, done.other),
    })))
}

/// Writes the decision down before it is done.
async fn decider(
    shown: &Held,
    caller: Caller,
    what: &str,
    reason: String,
    object: &str,
) -> Result<Decider, Problem> {
    let reason = Reason { reason };
    let (who, why) = (caller.0.clone(), reason.given()?.to_owned());
    note(shown, caller, what, &why, object).await?;
    Ok(Decider { who, why, at: (shown.clock)() })
}

fn person_id(text: &str) -> Result<PersonId, Problem> {
    let wrong =
        "a person is named by its id, as `hospital-gateway persons find` and `persons conflicts` show it";
    text.parse().map_err(|_| Problem::wrong(wrong))
}
