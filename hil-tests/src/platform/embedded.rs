//! A FHIR platform inside this process, over HTTPS: keeps or counts what it gets, and has faults on demand.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use flate2::read::GzDecoder;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use model::Position;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::hospital::Dice;

/// A fault. It stays until another one takes its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Everything as it should be.
    #[default]
    None,
    /// Connections are cut before anything is read.
    Down,
    /// Every request is answered with this status and a Retry-After in seconds.
    Status(u16, Option<u64>),
    /// Requests are applied, then the connection is cut without an answer.
    CutAfterApplying,
    /// Every answer takes so long.
    Slow(Duration),
    /// Resources whose JSON holds this text are refused with 422, and the transaction with them.
    Refuse(String),
    /// Of five requests one is cut, one is applied and then cut, one is applied in parts (every third entry is answered
    /// 503), and two are taken.
    Flaky,
    /// A portal stands in front of it: every request is answered with 200 and a page to sign in on.
    Portal,
    /// Of a hundred Bundles so many go wrong, each in one way, as dice fall.
    Unsteady {
        /// Applied, then cut without an answer.
        late: u64,
        /// Cut before anything is applied.
        reset: u64,
        /// One entry fails with 503 inside a 200, the others are applied.
        partial: u64,
    },
}

/// What a platform has seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Requests.
    pub requests: u64,
    /// Transactions that were applied.
    pub bundles: u64,
    /// Entries of them.
    pub entries: u64,
    /// Resources as they were sent, by `Type/id`.
    pub resources: BTreeMap<String, Vec<u8>>,
    /// Control ids in `meta.source`.
    pub control_ids: BTreeSet<String>,
    /// Puts that brought an older state than the one that was there.
    pub back_in_time: u64,
    /// Puts that brought another content at a position that was there.
    pub same_position_other_content: u64,
    /// How often each was put.
    pub puts: BTreeMap<String, u64>,
    /// Links of what was put to what was neither there nor put with it.
    pub dangling: Vec<String>,
}

struct Shared {
    fault: Mutex<Fault>,
    seen: Mutex<Seen>,
    /// Only counted, nothing kept: for benches.
    counting: bool,
    requests: AtomicU64,
    entries: AtomicU64,
    dice: Mutex<Dice>,
}

/// The platform. Ends with the runtime it was started on.
#[derive(Clone)]
pub struct Embedded {
    shared: Arc<Shared>,
    /// Its base address.
    pub url: String,
    /// The certificate of its authority.
    pub ca: PathBuf,
}

impl Embedded {
    /// Starts a platform that keeps what it gets. Its authority's certificate is written to `dir`.
    pub async fn start(dir: &Path) -> Self {
        Self::begin(dir, false).await
    }

    /// Starts a platform that only counts.
    pub async fn counting(dir: &Path) -> Self {
        Self::begin(dir, true).await
    }

    async fn begin(dir: &Path, counting: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (acceptor, ca) = tls(dir);
        let shared = Arc::new(Shared {
            fault: Mutex::default(),
            seen: Mutex::default(),
            counting,
            requests: AtomicU64::new(0),
            entries: AtomicU64::new(0),
            dice: Mutex::new(Dice::new(7)),
        });
        tokio::spawn(accept(listener, acceptor, shared.clone()));
        Self { shared, url: format!("https://127.0.0.1:{port}/fhir"), ca }
    }

    /// Has a fault from now on.
    pub fn fault(&self, fault: Fault) {
        *self.shared.fault.lock().unwrap() = fault;
    }

    /// Forgets everything, as a platform that was set up anew.
    pub fn forget(&self) {
        *self.shared.seen.lock().unwrap() = Seen::default();
    }

    /// What it has seen.
    pub fn seen(&self) -> Seen {
        let mut seen = self.shared.seen.lock().unwrap().clone();
        seen.requests = self.shared.requests.load(Ordering::Relaxed);
        seen.entries = self.shared.entries.load(Ordering::Relaxed);
        seen
    }

    /// Entries that were taken so far, without looking at anything else.
    pub fn entries(&self) -> u64 {
        self.shared.entries.load(Ordering::Relaxed)
    }

    /// The current resources of a type.
    pub fn resources(&self, kind: &str) -> Vec<Value> {
        let seen = self.shared.seen.lock().unwrap();
        let own = seen.resources.iter().filter(|(url, _)| url.starts_with(&format!("{kind}/")));
        own.map(|(_, body)| serde_json::from_slice(body).unwrap()).collect()
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        // Without this every small answer waits for the delayed acknowledgement of TCP.
        let _ = stream.set_nodelay(true);
        if *shared.fault.lock().unwrap() == Fault::Down {
            continue;
        }
        let (acceptor, shared) = (acceptor.clone(), shared.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(move |request| answer(request, shared.clone()));
            // A client that goes away, and a fault that cuts, both end here.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// An error cuts the connection.
async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let number = shared.requests.fetch_add(1, Ordering::Relaxed);
    let fault = match shared.fault.lock().unwrap().clone() {
        Fault::Flaky => [Fault::Down, Fault::CutAfterApplying, Fault::Flaky, Fault::None, Fault::None]
            [(number % 5) as usize]
            .clone(),
        fault => fault,
    };
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let gzip = request.headers().get("content-encoding").is_some_and(|value| value == "gzip");
    let body = request.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes();
    match &fault {
        Fault::Down => return Err(std::io::Error::other("down")),
        Fault::Status(status, after) => {
            let mut response = outcome(*status, "transient");
            if let Some(after) = after {
                response.headers_mut().insert("retry-after", after.to_string().parse().unwrap());
            }
            return Ok(response);
        }
        Fault::Slow(wait) => tokio::time::sleep(*wait).await,
        Fault::Portal => {
            let page = "<html><body>Please sign in</body></html>";
            return Ok(Response::new(Full::new(Bytes::from_static(page.as_bytes()))));
        }
        Fault::None | Fault::CutAfterApplying | Fault::Refuse(_) | Fault::Flaky | Fault::Unsteady { .. } => {}
    }
    let reading = method == Method::GET;
    let mut late = fault == Fault::CutAfterApplying;
    let mut left_out = None;
    if let Fault::Unsteady { late: cut, reset, partial } = fault
        && !reading
    {
        let mut dice = shared.dice.lock().unwrap();
        let drawn = dice.below(100) as u64;
        if drawn < reset {
            return Err(std::io::Error::other("reset"));
        }
        late = drawn < reset + cut;
        left_out = (!late && drawn < reset + cut + partial).then(|| dice.below(1000));
    }
    let response = match method {
        Method::GET => read(&shared, path.trim_start_matches("/fhir/")),
        _ => apply(&shared, &body, gzip, &fault, left_out),
    };
    if late && !reading {
        return Err(std::io::Error::other("cut after applying"));
    }
    Ok(response.unwrap_or_else(|never: Infallible| match never {}))
}

fn read(shared: &Shared, resource: &str) -> Result<Response<Full<Bytes>>, Infallible> {
    let found = shared.seen.lock().unwrap().resources.get(resource).cloned();
    Ok(match found {
        Some(body) => json_response(200, body),
        None => outcome(404, "not-found"),
    })
}

fn apply(
    shared: &Shared,
    body: &[u8],
    gzip: bool,
    fault: &Fault,
    left_out: Option<usize>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut plain = Vec::new();
    if gzip {
        GzDecoder::new(body).read_to_end(&mut plain).unwrap();
    } else {
        plain.extend_from_slice(body);
    }
    if shared.counting {
        // Every entry has one request; to count them is all that a counting platform does.
        let entries = plain.windows(16).filter(|w| w == b"\"request\":{\"metho").count();
        shared.entries.fetch_add(entries as u64, Ordering::Relaxed);
        let one = r#"{"response":{"status":"200"}}"#;
        let body = format!(
            r#"{{"resourceType":"Bundle","type":"transaction-response","entry":[{}]}}"#,
            vec![one; entries].join(",")
        );
        return Ok(json_response(200, body.into_bytes()));
    }
    let Some(entries) = entries(&plain) else { return Ok(outcome(400, "structure")) };
    if let Fault::Refuse(text) = fault
        && entries.iter().any(|(_, body)| body.get().contains(text))
    {
        return Ok(outcome(422, "invariant"));
    }
    let mut seen = shared.seen.lock().unwrap();
    seen.bundles += 1;
    let (mut answers, mut put) = (Vec::new(), Vec::new());
    let left_out = left_out.map(|n| n % entries.len().max(1));
    for (n, (url, body)) in entries.into_iter().enumerate() {
        if *fault == Fault::Flaky && n % 3 == 0 || left_out == Some(n) {
            answers.push(json!({ "response": { "status": "503" } }));
            continue;
        }
        shared.entries.fetch_add(1, Ordering::Relaxed);
        let resource: Value = serde_json::from_str(body.get()).unwrap();
        // The bytes as they were sent: to read them as numbers would change their digits.
        let body = body.get().as_bytes().to_vec();
        if let Some((_, id)) = resource["meta"]["source"].as_str().and_then(|source| source.rsplit_once('#'))
        {
            seen.control_ids.insert(id.to_owned());
        }
        let status = match seen.resources.get(&url) {
            Some(held) => {
                let (old, new): (Option<Position>, Option<Position>) =
                    (render::fhir::position_of(held), render::fhir::position_of(&body));
                let changed = *held != body;
                seen.back_in_time += u64::from(new < old);
                seen.same_position_other_content += u64::from(new == old && changed);
                "200"
            }
            None => "201",
        };
        *seen.puts.entry(url.clone()).or_default() += 1;
        seen.resources.insert(url.clone(), body);
        put.push((url, resource));
        answers.push(json!({ "response": { "status": status, "etag": "W/\"1\"" } }));
    }
    for (url, resource) in &put {
        let mut links = Vec::new();
        collect_links(resource, &mut links);
        links.retain(|link| !seen.resources.contains_key(*link));
        seen.dangling.extend(links.into_iter().map(|link| format!("{url} to {link}")));
    }
    let answer = json!({ "resourceType": "Bundle", "type": "transaction-response", "entry": answers });
    Ok(json_response(200, answer.to_string().into_bytes()))
}

/// Literal references of a resource, and addresses of documents that are held here.
fn collect_links<'v>(value: &'v Value, links: &mut Vec<&'v str>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field.as_str() {
                    Some(link) if name == "reference" => links.push(link),
                    Some(link) if name == "url" && link.starts_with("Binary/") => links.push(link),
                    _ => collect_links(field, links),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_links(item, links)),
        _ => {}
    }
}

/// The entries of a bundle: where each is put, and the resource as it was sent.
fn entries(bundle: &[u8]) -> Option<Vec<(String, &RawValue)>> {
    let bundle: BTreeMap<String, &RawValue> = serde_json::from_slice(bundle).ok()?;
    let entries: Vec<BTreeMap<String, &RawValue>> = match bundle.get("entry") {
        Some(entries) => serde_json::from_str(entries.get()).ok()?,
        None => Vec::new(),
    };
    let mut found = Vec::new();
    for entry in &entries {
        let request: Value = serde_json::from_str(entry.get("request")?.get()).ok()?;
        found.push((request["url"].as_str()?.to_owned(), *entry.get("resource")?));
    }
    Some(found)
}

fn outcome(status: u16, code: &str) -> Response<Full<Bytes>> {
    let body =
        json!({ "resourceType": "OperationOutcome", "issue": [{ "severity": "error", "code": code }] });
    json_response(status, body.to_string().into_bytes())
}

fn json_response(status: u16, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().insert("content-type", "application/fhir+json".parse().unwrap());
    response
}

/// A certificate for 127.0.0.1 from an authority of our own.
fn tls(dir: &Path) -> (TlsAcceptor, PathBuf) {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = authority.self_signed(&authority_key).unwrap();
    let path = dir.join("platform-ca.pem");
    std::fs::write(&path, certificate.pem()).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    let own = own.signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.der().clone()], private)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), path)
}
