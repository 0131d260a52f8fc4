//! Talking to the running gateway.

use std::path::PathBuf;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

/// Why the gateway did not answer as hoped.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// Nobody listens.
    #[error(
        "no gateway answers at {path}: is it running? (`hospital-gateway run`, or systemctl status hospital-gateway); another one is named with --config or --socket"
    )]
    NotRunning {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The exchange broke off.
    #[error("the gateway did not answer")]
    Exchange(#[source] Box<dyn core::error::Error + Send + Sync>),
    /// It refused.
    #[error("{0}")]
    Refused(String),
}

/// A client of one socket.
pub(super) struct Client(PathBuf);

impl Client {
    pub(super) const fn new(socket: PathBuf) -> Self {
        Self(socket)
    }

    pub(super) fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.exchange(Request::get(path), Bytes::new())
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        let request = Request::post(path).header("content-type", "application/json");
        self.exchange(request, body.to_string().into())
    }

    fn exchange(&self, request: hyper::http::request::Builder, body: Bytes) -> Result<Value, ClientError> {
        let other = |error: Box<dyn core::error::Error + Send + Sync>| ClientError::Exchange(error);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| other(error.into()))?;
        runtime.block_on(async {
            let stream = UnixStream::connect(&self.0)
                .await
                .map_err(|source| ClientError::NotRunning { path: self.0.clone(), source })?;
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
                .await
                .map_err(|e| other(e.into()))?;
            tokio::spawn(connection);
            let request = request
                .header("host", "gateway")
                .body(Full::new(body))
                .map_err(|error| other(error.into()))?;
            let response = sender.send_request(request).await.map_err(|error| other(error.into()))?;
            let status = response.status();
            let body = response.into_body().collect().await.map_err(|error| other(error.into()))?.to_bytes();
            let value: Value =
                serde_json::from_slice(&body).unwrap_or_else(|_| String::from_utf8_lossy(&body).into());
            if status.is_success() {
                return Ok(value);
            }
            let text =
                value["error"].as_str().or(value.as_str()).unwrap_or("the gateway refused without a word");
            Err(ClientError::Refused(text.to_owned()))
        })
    }
}

/// Percent-encodes a value for a query.
pub(super) fn encoded(value: &str) -> String {
    let mut out = String::new();
    for b in value.bytes() {
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}
