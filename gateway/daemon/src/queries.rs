//! Answers to queries of department systems out of the person index: PIX (ITI-9) and PDQ (ITI-21). Every query is in the
//! audit before anything is looked up.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use buffer::{AuditEntry, MAX_ROWS, Read, State, StateError};
use bytes::Bytes;
use feed::{Answers, FeedName};
use hl7::Message;
use hl7::ack::{Answer, Code, Stage};
use interpret::{Known, Query, Question};
use jiff::ZonedDateTime;
use model::{Document, IdentifierKind, Person, PersonId, Trust, name_and_birth};
use tokio::sync::watch;

use crate::Clock;
use crate::refine::{Rules, holders};

/// Persons that one answer names at most; who asks more exactly gets fewer.
const PERSONS: usize = 50;
/// The object identifier of resident ID numbers (WS 363).
const RESIDENT_ID: &str = "&2.16.156.10011.1.3&ISO";

/// Answers queries.
pub(crate) struct Index {
    /// The state.
    pub(crate) state: State,
    /// The rules in force.
    pub(crate) rules: watch::Receiver<Arc<Rules>>,
    /// The clock.
    pub(crate) clock: Clock,
    /// The hospital: the authority of the numbers of the index itself.
    pub(crate) organization: String,
}

/// What a query came to.
enum Found {
    Persons(Vec<(PersonId, Person)>),
    /// Nobody is known under the number.
    Nobody,
    /// It cannot be answered: where in QPD, and why.
    Wrong(&'static str, String),
}

impl Answers for Index {
    fn answer(
        &self,
        feed: FeedName,
        peer: String,
        message: Bytes,
    ) -> Pin<Box<dyn Future<Output = Option<Vec<u8>>> + Send>> {
        let (state, rules, clock) = (self.state.clone(), self.rules.borrow().clone(), self.clock.clone());
        let organization = self.organization.clone();
        Box::pin(async move {
            let rules = rules.feeds.get(&feed)?;
            let now = clock().to_zoned_datetime(rules.context.zone.clone());
            let message = match Message::read(&message, rules.charset, None) {
                Ok(message) => message,
                Err(error) => return Some(unreadable(&message, &error.to_string(), &now)),
            };
            let query = interpret::query(&message, &rules.context);
            let found = match &query {
                Ok(query) => look(&state, query, &message, &feed, &peer, &now).await,
                Err(error) => Found::Wrong("QPD^1^3", error.to_string()),
            };
            Some(written(&message, query.as_ref().ok(), &found, &organization, &now))
        })
    }
}

async fn look(
    state: &State,
    query: &Query,
    message: &Message,
    feed: &FeedName,
    peer: &str,
    now: &ZonedDateTime,
) -> Found {
    let header = message.header();
    let entry = AuditEntry {
        who: format!("{feed}:{peer}"),
        what: format!("query-{}", header.trigger.to_lowercase()),
        reason: format!("{} {} {}", header.sending_application, header.sending_facility, header.control_id),
        object: query.qpd.clone(),
        at: now.timestamp(),
    };
    let failed = |error: StateError| {
        log::error!("a query could not be answered: {error}");
        Found::Wrong("", "the index does not answer just now, ask again later".to_owned())
    };
    // Nothing is shown that is not written down first.
    if let Err(error) = state.audit(entry).await {
        return failed(error);
    }
    let question = query.question.clone();
    state.read(move |read| find(read, &question)).await.unwrap_or_else(failed)
}

fn find(read: &Read<'_>, question: &Question) -> Result<Found, StateError> {
    let mut found = Vec::new();
    match question {
        Question::Numbers { of, domains } => {
            let (domain, value) = of.lookup();
            for (id, mut person) in verified(read, &domain, value)? {
                person.identifiers.retain(|held| {
                    let authority = match &held.identifier.kind {
                        IdentifierKind::Assigned { authority, .. } => authority.as_str(),
                        IdentifierKind::ResidentId => "resident-id",
                        IdentifierKind::HealthCode => "health-code",
                        IdentifierKind::Document { document, .. } => document.name(),
                        IdentifierKind::Temporary { authority } => authority.as_str(),
                    };
                    domains.is_empty() || domains.iter().any(|wanted| wanted == authority)
                });
                found.push((id, person));
            }
            if found.is_empty() {
                return Ok(Found::Nobody);
            }
        }
        Question::Persons(known) => {
            let candidates = match &known.number {
                Some(number) => {
                    let (domain, value) = number.lookup();
                    verified(read, &domain, value)?
                }
                None => match named(read, known)? {
                    Some(candidates) => candidates,
                    None => {
                        let why = "too many persons have that name: say the whole birth date, or a number";
                        return Ok(Found::Wrong("QPD^1^3", why.to_owned()));
                    }
                },
            };
            found.extend(candidates.into_iter().filter(|(_, person)| fits(person, known)));
        }
    }
    if found.len() > PERSONS {
        let why = format!("{} persons fit: say more of whom you mean", found.len());
        return Ok(Found::Wrong("QPD^1^3", why));
    }
    Ok(Found::Persons(found))
}

fn verified(read: &Read<'_>, domain: &str, value: &str) -> Result<Vec<(PersonId, Person)>, StateError> {
    holders(read, domain, value, Trust::Verified)
}

/// The persons of a name: with a birth date by both together, which few share. None where so many are called so that they are not
/// looked through.
fn named(read: &Read<'_>, known: &Known) -> Result<Option<Vec<(PersonId, Person)>>, StateError> {
    let Some(name) = &known.name else { return Ok(Some(Vec::new())) };
    let dated = known.birth.as_ref().and_then(|birth| name_and_birth(name, birth));
    let (domain, value) = match &dated {
        Some(dated) => ("name-birth", dated.as_str()),
        None => ("name", &*name.folded()),
    };
    let found = read.idents(domain, value)?.len();
    if found >= MAX_ROWS { Ok(None) } else { holders(read, domain, value, Trust::Claimed).map(Some) }
}

/// Whether everything that was said of a person is true of this one.
fn fits(person: &Person, known: &Known) -> bool {
    let named = known
        .name
        .as_ref()
        .is_none_or(|name| person.name.as_ref().is_some_and(|held| model::names_agree(held, name)));
    let born = known.birth.as_ref().is_none_or(|birth| {
        let held = person.birth.as_ref();
        held.is_some_and(|held| held.latest() >= birth.earliest() && birth.latest() >= held.earliest())
    });
    named && born && known.sex.is_none_or(|sex| person.sex == Some(sex))
}

/// The answer: RSP^K22 or RSP^K23.
fn written(
    message: &Message,
    query: Option<&Query>,
    found: &Found,
    organization: &str,
    now: &ZonedDateTime,
) -> Vec<u8> {
    let header = message.header();
    let persons = matches!(query.map(|query| &query.question), Some(Question::Persons(_)));
    let kind = if persons || header.trigger == "Q22" { "K22" } else { "K23" };
    let id = format!("HQ{}", header.control_id);
    let mut answer = Answer::begin(header, &["RSP", kind, &format!("RSP_{kind}")], &id, now);
    let (code, status) = match found {
        Found::Persons(persons) if persons.iter().any(|(_, person)| !person.identifiers.is_empty()) => {
            (Code::Accept, "OK")
        }
        Found::Persons(_) => (Code::Accept, "NF"),
        Found::Nobody | Found::Wrong(..) => (Code::Error, "AE"),
    };
    answer.segment(&["MSA", code.as_str(Stage::Application), &header.control_id]);
    match found {
        Found::Nobody => {
            // ITI-9, case 3: the number is not known.
            let (place, code) =
                (answer.composed("QPD^1^3^1^1"), answer.composed("204^Unknown key identifier^HL70357"));
            answer.segment(&["ERR", "", &place, &code, "E"]);
        }
        Found::Wrong(place, why) => {
            let (place, code) =
                (answer.composed(place), answer.composed("207^Application internal error^HL70357"));
            let why = answer.escaped(why);
            answer.segment(&["ERR", "", &place, &code, "E", "", "", "", &why]);
        }
        Found::Persons(_) => {}
    }
    let found = match found {
        Found::Persons(persons) => persons.as_slice(),
        _ => &[],
    };
    let (tag, count) = (query.map_or("", |query| &query.tag), found.len().to_string());
    let name = answer.composed(&header.trigger);
    answer.segment(&["QAK", &answer.escaped(tag), status, &name, &count, &count, "0"]);
    if let Some(query) = query {
        answer.segment(&[&query.qpd]);
    }
    for (n, (id, person)) in found.iter().filter(|(_, person)| !person.identifiers.is_empty()).enumerate() {
        pid(&mut answer, n + 1, *id, person, organization, persons);
    }
    answer.finish()
}

/// PID: the number of the index and those of the person; who the person is only where that was asked (PDQ).
fn pid(answer: &mut Answer<'_>, n: usize, id: PersonId, person: &Person, organization: &str, whole: bool) {
    let mut numbers =
        vec![answer.components(&[&id.to_string(), "", "", &answer.escaped(organization), "PI"])];
    for held in person.identifiers.iter().filter(|held| held.trust == Trust::Verified) {
        let value = answer.escaped(&held.identifier.value);
        numbers.push(match &held.identifier.kind {
            IdentifierKind::ResidentId => {
                answer.components(&[&value, "", "", &answer.composed(RESIDENT_ID), "NI"])
            }
            IdentifierKind::HealthCode => answer.components(&[&value, "", "", "", "HC"]),
            IdentifierKind::Document { document, country } => {
                let code = if *document == Document::Passport { "PPN" } else { "PRC" };
                let country = answer.escaped(country.as_deref().unwrap_or_default());
                answer.components(&[&value, "", "", document.name(), code, "", "", "", &country])
            }
            // It is another one's tomorrow.
            IdentifierKind::Temporary { .. } => continue,
            IdentifierKind::Assigned { authority, code } => {
                let (authority, code) =
                    (answer.escaped(authority), answer.escaped(code.as_deref().unwrap_or_default()));
                answer.components(&[&value, "", "", &authority, &code])
            }
        });
    }
    let numbers = answer.repetitions(&numbers);
    let n = n.to_string();
    if !whole {
        // IHE wants a name and none to be shown: a blank and a second one of type S.
        let blank = answer.composed(" ~^^^^^^S");
        answer.segment(&["PID", &n, "", &numbers, "", &blank]);
        return;
    }
    let part = |text: &str| answer.escaped(text);
    let name = person.name.as_ref().map(|name| {
        let given = name.given.first().map(|given| part(given)).unwrap_or_default();
        answer.components(&[&part(name.family.as_deref().unwrap_or_default()), &given])
    });
    let birth = person.birth.as_ref().map(|birth| birth.to_date().replace('-', ""));
    let sex = person.sex.map(|sex| match sex {
        model::Sex::Female => "F",
        model::Sex::Male => "M",
        model::Sex::Other => "O",
        model::Sex::Unknown => "U",
    });
    let phone = person.phones.iter().flatten().next().map(|phone| part(phone));
    let (name, birth) = (name.unwrap_or_default(), birth.unwrap_or_default());
    let (sex, phone) = (sex.unwrap_or_default(), phone.unwrap_or_default());
    answer.segment(&["PID", &n, "", &numbers, "", &name, "", &birth, sex, "", "", "", "", &phone]);
}

/// The answer to a query whose bytes cannot be read.
fn unreadable(message: &[u8], why: &str, now: &ZonedDateTime) -> Vec<u8> {
    let header = hl7::Header::read(message).ok();
    let problem =
        hl7::ack::Problem { location: "MSH^1^18", code: hl7::ack::ErrorCode::DataType, text: why.to_owned() };
    hl7::ack::build(header.as_ref(), (Code::Error, Stage::Application), Some(&problem), None, "HQ", now)
}
