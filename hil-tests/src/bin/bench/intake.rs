//! Durable acknowledgement by the listener over the buffer alone, beside a listener that looks at nothing.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use buffer::{Buffer, Kek, Options};
use bytes::Bytes;
use feed::{Answers, Capture, CaptureId, FeedName, Form, Intake, Outcome, Outcomes};
use io::{Cidr, mllp};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::load::{Load, load};

/// How long each load runs.
const RUN: Duration = Duration::from_secs(4);

/// The listener over the buffer alone, or in its place one that only looks for the end of a frame.
pub(crate) async fn intake(bare: bool) -> Vec<(usize, Load)> {
    let mut loads = Vec::new();
    for connections in [1, 8, 64, 256] {
        let dir = tempfile::tempdir_in(".").unwrap();
        let kek = Kek::create_file(&dir.path().join("key")).unwrap();
        let buffer = Buffer::open(Options::new(dir.path().join("data")), kek, Timestamp::now()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let stop = CancellationToken::new();
        let server = if bare {
            tokio::spawn(bare_listener(listener, buffer.intake()))
        } else {
            let settings = mllp::Settings {
                feed: FeedName::new("his").unwrap(),
                tls: None,
                queries: Vec::new(),
                ack: hl7::ack::Mode::Auto,
                allow: Cidr::loopback(),
                when_full: mllp::WhenFull::Hold,
                max_message: 16 << 20,
                max_connections: 1024,
                max_per_peer: 1024,
                ack_to: None,
                sequence: false,
                idle_timeout: None,
                frame_timeout: Duration::from_secs(30),
                zone: TimeZone::UTC,
            };
            let context = mllp::Context {
                intake: buffer.intake(),
                outcomes: Arc::new(Nobody),
                answers: Arc::new(Nobody),
                memory: mllp::Memory::default(),
                sequence: Arc::default(),
                clock: Arc::new(Timestamp::now),
                stats: Arc::default(),
                beat: Arc::new(|| {}),
            };
            let (_keep, settings) = watch::channel(Arc::new(settings));
            let stop = stop.clone();
            tokio::spawn(async move {
                let _keep = _keep;
                mllp::serve(listener, settings, context, stop).await.unwrap();
            })
        };
        loads.push((connections, load(port, connections, RUN, None).await));
        stop.cancel();
        server.abort();
        buffer.close();
    }
    loads
}

/// Nobody waits for second answers here.
struct Nobody;

impl Answers for Nobody {
    fn answer(
        &self,
        _: FeedName,
        _: String,
        _: Bytes,
    ) -> Pin<Box<dyn Future<Output = Option<Vec<u8>>> + Send>> {
        Box::pin(core::future::ready(None))
    }
}

impl Outcomes for Nobody {
    fn outcome(&self, _: CaptureId) -> Pin<Box<dyn Future<Output = Option<Outcome>> + Send>> {
        Box::pin(core::future::ready(None))
    }
}

/// Frames cut at FS CR, committed, answered; nothing is looked at.
async fn bare_listener(listener: TcpListener, intake: Arc<dyn Intake>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let intake = intake.clone();
        tokio::spawn(async move {
            let feed = FeedName::new("his").unwrap();
            let peer: Arc<str> = Arc::from("bare");
            let mut held = Vec::new();
            let mut bytes = vec![0; 16 << 10];
            loop {
                let Ok(n @ 1..) = stream.read(&mut bytes).await else { return };
                held.extend_from_slice(&bytes[..n]);
                if !held.ends_with(b"\x1c\r") {
                    continue;
                }
                let body = Bytes::copy_from_slice(&held[1..held.len() - 2]);
                held.clear();
                let (feed, peer) = (feed.clone(), peer.clone());
                let capture = Capture { feed, received: Timestamp::now(), peer, form: Form::Whole, body };
                if intake.submit(capture, None).await.is_err()
                    || stream.write_all(b"\x0bMSH|^~\\&|||||||ACK||P|2.4\rMSA|AA|1\r\x1c\r").await.is_err()
                {
                    return;
                }
            }
        });
    }
}
