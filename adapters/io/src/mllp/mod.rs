//! MLLP: the listener, and the connections that are made to others.

mod answer;
mod connection;
mod link;
mod memory;
mod returns;
mod transport;

use core::net::IpAddr;
use core::time::Duration;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use feed::{Answers, FeedName, Intake, Outcomes};
use hl7::ack;
use hl7::sequence::Sequence;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

pub use connection::SEQUENCE_MARK;
pub use link::{Link, LinkFailure, Target, TargetError};
pub use memory::Memory;

use returns::Returns;
use transport::Transport;

use crate::{Cidr, Refused, Stats};

/// How long connections may take to finish what is in hand when the listener stops.
const DRAIN: Duration = Duration::from_secs(10);

/// How long the handshake of TLS may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The listener shows that it gets on so often.
const PULSE: Duration = Duration::from_secs(5);

/// Refused connections are told so often; `feeds` counts all of them.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// How a listener behaves. Read anew for every frame.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The feed.
    pub feed: FeedName,
    /// TLS for connections that come from now on; none: it speaks none.
    pub tls: Option<Arc<ServerConfig>>,
    /// Who may connect.
    pub allow: Vec<Cidr>,
    /// What happens when the buffer is full.
    pub when_full: WhenFull,
    /// Largest payload, in bytes.
    pub max_message: usize,
    /// Most connections at a time.
    pub max_connections: usize,
    /// Most connections of one peer at a time.
    pub max_per_peer: usize,
    /// Where the second answers of enhanced mode go; none: over the connection that the message came on.
    pub ack_to: Option<Target>,
    /// Whether the sequence number protocol is spoken.
    pub sequence: bool,
    /// Who may ask (QBP).
    pub queries: Vec<Cidr>,
    /// How messages are acknowledged.
    pub ack: ack::Mode,
    /// How long a connection may be silent between frames; none = for ever.
    pub idle_timeout: Option<Duration>,
    /// How long a frame may take, and a second more for every 64 KiB of it.
    pub frame_timeout: Duration,
    /// The zone of the times in answers.
    pub zone: TimeZone,
}

/// What happens when the buffer is full (contract 7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// Stop reading and answer when there is room: the sender waits.
    #[default]
    Hold,
    /// Answer AE.
    Refuse,
    /// Close the connection.
    Close,
}

/// What connections work with.
#[derive(Clone)]
pub struct Context {
    /// Where captures go.
    pub intake: Arc<dyn Intake>,
    /// What becomes of them.
    pub outcomes: Arc<dyn Outcomes>,
    /// Who answers queries.
    pub answers: Arc<dyn Answers>,
    /// Bytes in flight, shared by all feeds.
    pub memory: Memory,
    /// Where the feed's stream of numbered messages stands. Held while the message whose turn it is becomes durable.
    pub sequence: Arc<Mutex<Sequence>>,
    /// The clock.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// The feed's counters.
    pub stats: Arc<Stats>,
    /// Called now and then while the listener gets on.
    pub beat: Arc<dyn Fn() + Send + Sync>,
}

/// Serves a listener until `stop`, then lets connections finish what is in hand.
///
/// # Errors
/// When the listener itself fails. Running out of file descriptors is no failure: it waits and goes on.
pub async fn serve(
    listener: TcpListener,
    settings: watch::Receiver<Arc<Settings>>,
    context: Context,
    stop: CancellationToken,
) -> io::Result<()> {
    let mut connections = JoinSet::new();
    let (returns, telling) = Returns::start(&settings, &context, &stop);
    let mut quiet_until: Option<Instant> = None;
    let mut pulse = tokio::time::interval(PULSE);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            _ = pulse.tick() => {
                (context.beat)();
                continue;
            }
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, address)) => {
                let peer = address.ip().to_canonical();
                let current = settings.borrow().clone();
                if let Some(why) = refusal(&current, &context.stats, peer) {
                    context.stats.refused(why);
                    if why == Refused::TooManyOfPeer {
                        context.stats.too_many_of(peer);
                    }
                    // Ten thousand of them are counted, not told one by one.
                    if quiet_until.is_none_or(|until| Instant::now() >= until) {
                        quiet_until = Some(Instant::now() + SAY_AGAIN);
                        let limit = limit(&current, why);
                        log::warn!(
                            "feed {}: connection from {peer} closed: {}{limit}",
                            current.feed,
                            why.code()
                        );
                    }
                    continue;
                }
                context.stats.connected(peer, (context.clock)());
                let (settings, context, stop) = (settings.clone(), context.clone(), stop.clone());
                connections.spawn(guarded(stream, peer, settings, context, returns.clone(), stop));
            }
            // The peer went away before it was accepted, or there are no descriptors left for a moment.
            Err(error) => {
                log::warn!("feed {}: a connection could not be accepted: {error}", settings.borrow().feed);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        log::warn!(
            "feed {}: connections did not finish within {DRAIN:?} and are closed",
            settings.borrow().feed
        );
        connections.shutdown().await;
    }
    drop(returns);
    telling.finish().await;
    Ok(())
}

/// The limit that a connection is refused by, as it is named in the configuration.
fn limit(settings: &Settings, why: Refused) -> String {
    match why {
        Refused::TooManyConnections => format!(" (max_connections = {})", settings.max_connections),
        Refused::TooManyOfPeer => format!(" (max_connections_per_peer = {})", settings.max_per_peer),
        _ => String::new(),
    }
}

fn refusal(settings: &Settings, stats: &Stats, peer: IpAddr) -> Option<Refused> {
    if !settings.allow.iter().any(|network| network.contains(peer)) {
        return Some(Refused::NotAllowed);
    }
    if stats.open_connections() >= settings.max_connections {
        return Some(Refused::TooManyConnections);
    }
    (stats.open_of(peer) >= settings.max_per_peer).then_some(Refused::TooManyOfPeer)
}

/// One connection; a panic in it ends it alone.
async fn guarded(
    stream: TcpStream,
    peer: IpAddr,
    settings: watch::Receiver<Arc<Settings>>,
    context: Context,
    returns: Returns,
    stop: CancellationToken,
) {
    /// Counts the connection out, whatever ends it.
    struct Out(Arc<Stats>, IpAddr);
    impl Drop for Out {
        fn drop(&mut self) {
            self.0.disconnected(self.1);
        }
    }
    let _out = Out(context.stats.clone(), peer);
    let feed = settings.borrow().feed.clone();
    let tls = settings.borrow().tls.clone();
    let run = async {
        let name = stream.peer_addr().map_or_else(|_| peer.to_string(), |address| address.to_string());
        connection::prepare(&stream)?;
        let transport = match tls {
            None => Transport::Plain(stream),
            Some(config) => match handshake(stream, config).await {
                Ok(transport) => transport,
                Err(error) => {
                    context.stats.refused(Refused::Tls);
                    return Err(error);
                }
            },
        };
        connection::run(transport, peer, name, settings, context, returns, stop).await
    };
    match catch(run).await {
        Some(Ok(())) => {}
        Some(Err(error)) => log::info!("feed {feed}: connection from {peer} ended: {error}"),
        None => log::error!(
            "feed {feed}: the connection from {peer} failed inside; nothing unacknowledged was taken"
        ),
    }
}

async fn handshake(stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<Transport> {
    let said = |kind, error: &dyn core::fmt::Display| io::Error::new(kind, format!("TLS handshake: {error}"));
    let accepted = tokio::time::timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await;
    match accepted {
        Ok(Ok(stream)) => Ok(Transport::tls(stream.into())),
        // What a client without TLS sends is no TLS record: MLLP begins with VT.
        Ok(Err(error)) if error.to_string().contains("InvalidContentType") => {
            Err(said(error.kind(), &"the sender speaks no TLS, which this feed wants"))
        }
        Ok(Err(error)) => Err(said(error.kind(), &error)),
        Err(_) => Err(said(io::ErrorKind::TimedOut, &"the sender began none")),
    }
}

/// The output of a future, or none when it panicked.
async fn catch<F: Future>(future: F) -> Option<F::Output> {
    let mut future = core::pin::pin!(future);
    core::future::poll_fn(|cx| {
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        polled.map_or(core::task::Poll::Ready(None), |poll| poll.map(Some))
    })
    .await
}
