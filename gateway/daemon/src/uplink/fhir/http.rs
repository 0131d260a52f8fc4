//! The HTTP client of a destination: one pool of kept connections, TLS with the configured authority.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use deliver::Failure;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use hyper::{Method, Request, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::tls::{self, TlsError, TlsFiles};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(60);
/// Bytes of an answer that are read at most.
const LARGEST_ANSWER: usize = 8 << 20;
const FHIR: &str = "application/fhir+json";

/// Where a destination is, and how to get there.
pub struct Endpoint {
    base: String,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// Why an endpoint cannot be used as configured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The address is none.
    #[error("url {0:?} is no http or https address")]
    Url(String),
    /// HTTPS without an authority: nothing could be verified.
    #[error(
        "an https destination needs tls.ca: the file with the certificate of the authority that the platform's certificate comes from"
    )]
    NoAuthority,
    /// Its TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<String>,
    pub(super) body: Bytes,
}

impl Endpoint {
    /// The endpoint at `url`.
    ///
    /// # Errors
    /// When the address or a file of its TLS cannot be used.
    pub fn new(url: &str, files: &TlsFiles) -> Result<Self, EndpointError> {
        let base = url.trim_end_matches('/').to_owned();
        let uri: Uri = base.parse().map_err(|_| EndpointError::Url(url.to_owned()))?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(EndpointError::Url(url.to_owned())),
        };
        if secure && files.ca.is_none() {
            return Err(EndpointError::NoAuthority);
        }
        let config = tls::client(files)?;
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_nodelay(true);
        connector.set_keepalive(Some(Duration::from_secs(60)));
        connector.enforce_http(false);
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_timer(TokioTimer::new())
            .build(connector);
        Ok(Self { base, client })
    }

    /// Posts a Bundle, compressed. `request` names the request in the server's log.
    pub(super) async fn post(&self, bundle: &[u8], request: &str) -> Result<(Answer, u64), Failure> {
        let mut encoder = GzEncoder::new(Vec::with_capacity(bundle.len() / 4), Compression::fast());
        // Writing to memory does not fail.
        let _ = encoder.write_all(bundle);
        let body = encoder.finish().unwrap_or_default();
        let sent = body.len() as u64;
        let answer = self.send(Method::POST, &self.base, Some("gzip"), body.into(), request).await?;
        if answer.status == 415 {
            // A server that takes no compressed bodies.
            let body = Bytes::copy_from_slice(bundle);
            let sent = sent + body.len() as u64;
            return Ok((self.send(Method::POST, &self.base, None, body, request).await?, sent));
        }
        Ok((answer, sent))
    }

    /// Gets a resource, named as `Type/id`.
    pub(super) async fn get(&self, resource: &str) -> Result<Answer, Failure> {
        let url = format!("{}/{resource}", self.base);
        self.send(Method::GET, &url, None, Bytes::new(), resource).await
    }

    async fn send(
        &self,
        method: Method,
        url: &str,
        encoding: Option<&str>,
        body: Bytes,
        request: &str,
    ) -> Result<Answer, Failure> {
        let mut builder =
            Request::builder().method(method).uri(url).header(ACCEPT, FHIR).header("X-Request-Id", request);
        if !body.is_empty() {
            builder = builder.header(CONTENT_TYPE, FHIR).header("Prefer", "return=minimal");
        }
        if let Some(encoding) = encoding {
            builder = builder.header(CONTENT_ENCODING, encoding);
        }
        let request = builder.body(Full::new(body)).map_err(|_| Failure::Connect)?;
        let exchange = async {
            let response = self
                .client
                .request(request)
                .await
                .map_err(|error| if error.is_connect() { Failure::Connect } else { Failure::Cut })?;
            let status = response.status().as_u16();
            let retry_after =
                response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()).map(str::to_owned);
            let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await;
            Ok(Answer { status, retry_after, body: body.map_err(|_| Failure::Cut)?.to_bytes() })
        };
        tokio::time::timeout(ANSWER, exchange).await.unwrap_or(Err(Failure::Timeout))
    }
}
