//! A connection that is made to somebody else's listener: one frame out, and what comes back to it.

use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::str::FromStr;
use core::task::Poll;
use core::time::Duration;
use std::sync::Arc;

use hl7::client::Exchange;
use hl7::frame::{Event, Framer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::answer;
use super::connection::prepare;
use super::transport::Transport;

/// How long a connection may take to be made, handshake of TLS included.
const CONNECT: Duration = Duration::from_secs(10);
/// Bytes of an answer at most; a batch of them is larger than one.
const LARGEST_ANSWER: usize = 4 << 20;
/// Answers that belong to nothing, read before a message is sent; who sends more than that is no receiver.
const STRAYS: usize = 64;

/// Whom to connect to.
#[derive(Clone)]
pub struct Target {
    host: String,
    port: u16,
    tls: Option<Arc<ClientConfig>>,
}

/// Why a text is no target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an MLLP address is written mllp://HOST:PORT, or mllps://HOST:PORT for TLS")]
pub struct TargetError;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkFailure {
    /// No connection: network, name or TLS.
    Connect,
    /// No answer in time. The connection is to be dropped, so that a late answer finds nobody.
    Timeout,
    /// The connection ended before the answer came; whether the message was taken is not known.
    Cut,
}

/// A connection.
pub struct Link {
    stream: Transport,
    framer: Framer,
    strays: u64,
}

impl Target {
    /// Whether it is to be spoken to in TLS.
    pub fn is_secure(text: &str) -> bool {
        text.starts_with("mllps://")
    }

    /// The same with this TLS.
    pub fn with_tls(self, config: Arc<ClientConfig>) -> Self {
        Self { tls: Some(config), ..self }
    }

    /// Connects.
    ///
    /// # Errors
    /// [`LinkFailure::Connect`], whatever was in the way: the log says it.
    pub async fn connect(&self) -> Result<Link, LinkFailure> {
        let connect = async {
            let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
            prepare(&stream)?;
            let Some(config) = &self.tls else { return Ok(Transport::Plain(stream)) };
            let name = ServerName::try_from(self.host.clone()).map_err(std::io::Error::other)?;
            let stream = TlsConnector::from(config.clone()).connect(name, stream).await?;
            Ok::<_, std::io::Error>(Transport::tls(stream.into()))
        };
        match tokio::time::timeout(CONNECT, connect).await {
            Ok(Ok(stream)) => Ok(Link { stream, framer: Framer::new(LARGEST_ANSWER), strays: 0 }),
            Ok(Err(error)) => {
                log::debug!("{self}: {error}");
                Err(LinkFailure::Connect)
            }
            Err(_) => Err(LinkFailure::Connect),
        }
    }
}

impl Link {
    /// Whether the connection still stands. What came over it since the last answer belongs to nothing and is counted.
    pub async fn is_alive(&mut self) -> bool {
        for _ in 0..STRAYS {
            let mut space = [0; 4096];
            let mut bytes = ReadBuf::new(&mut space);
            let polled =
                poll_fn(|cx| Poll::Ready(Pin::new(&mut self.stream).poll_read(cx, &mut bytes))).await;
            match polled {
                Poll::Pending => return true,
                Poll::Ready(Ok(())) if !bytes.filled().is_empty() => {
                    self.framer.push(bytes.filled());
                    while let Some(event) = self.framer.next() {
                        self.strays += u64::from(matches!(event, Event::Message { .. }));
                    }
                }
                Poll::Ready(_) => return false,
            }
        }
        false
    }

    /// Sends a payload in its frame.
    ///
    /// # Errors
    /// When it could not be written in time.
    pub async fn send(&mut self, payload: &[u8], patience: Duration) -> Result<(), LinkFailure> {
        let framed = answer::frame(payload);
        let write = async {
            self.stream.write_all(&framed).await?;
            self.stream.flush().await
        };
        match tokio::time::timeout(patience, write).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(LinkFailure::Cut),
            Err(_) => Err(LinkFailure::Timeout),
        }
    }

    /// Sends a payload and reads until everything in it is answered. `exchange` was begun at `begun`, on whose clock its
    /// deadline is.
    ///
    /// # Errors
    /// When something has no answer. What the exchange knows by then holds; the link is to be dropped.
    pub async fn exchange(
        &mut self,
        payload: &[u8],
        exchange: &mut Exchange,
        begun: Instant,
    ) -> Result<(), LinkFailure> {
        let patience = exchange.deadline().saturating_sub(begun.elapsed());
        self.send(payload, patience).await?;
        let before = exchange.strays();
        let answered = self.answers(exchange, begun).await;
        self.strays += u64::from(exchange.strays() - before);
        answered
    }

    async fn answers(&mut self, exchange: &mut Exchange, begun: Instant) -> Result<(), LinkFailure> {
        let mut space = [0; 4096];
        while !exchange.is_done() {
            if let Some(event) = self.framer.next() {
                if let Event::Message { payload, .. } = event {
                    exchange.answer(&payload, begun.elapsed());
                }
                continue;
            }
            let end = begun + exchange.deadline();
            match tokio::time::timeout_at(end, self.stream.read(&mut space)).await {
                Ok(Ok(0)) => {
                    // An FS at the very end ends an answer too.
                    if let Some(Event::Message { payload, .. }) = self.framer.close() {
                        exchange.answer(&payload, begun.elapsed());
                    }
                    return if exchange.is_done() { Ok(()) } else { Err(LinkFailure::Cut) };
                }
                Ok(Ok(n)) => self.framer.push(&space[..n]),
                Ok(Err(_)) => return Err(LinkFailure::Cut),
                Err(_) => {
                    if let Some(Event::Message { payload, .. }) = self.framer.quiet() {
                        exchange.answer(&payload, begun.elapsed());
                    }
                    return if exchange.is_done() { Ok(()) } else { Err(LinkFailure::Timeout) };
                }
            }
        }
        Ok(())
    }

    /// Answers that came over it and were answers to nothing.
    pub fn strays(&self) -> u64 {
        self.strays
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let rest = text.strip_prefix("mllp://").or_else(|| text.strip_prefix("mllps://"));
        let rest = rest.ok_or(TargetError)?.trim_end_matches('/');
        let (host, port) = rest.rsplit_once(':').ok_or(TargetError)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bare {
            Some(host) => host.parse::<core::net::Ipv6Addr>().map(|_| host).map_err(|_| TargetError)?,
            None => host,
        };
        let named = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if host.is_empty() || (bare.is_none() && !host.bytes().all(named)) {
            return Err(TargetError);
        }
        let port = port.parse().ok().filter(|port| *port > 0).ok_or(TargetError)?;
        Ok(Self { host: host.to_owned(), port, tls: None })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls.is_some() { "mllps" } else { "mllp" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        for text in ["mllp://10.1.5.5:2576", "mllp://lis.hospital:2576", "mllp://[2001:db8::1]:2576"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        for wrong in [
            "10.1.5.5:2576",
            "mllp://10.1.5.5",
            "mllp://:1",
            "mllp://h:0",
            "mllp://h:99999",
            "http://h:1",
            "mllp://a b:1",
            "mllp://[x]:1",
        ] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }
}
