//! Senders: connections with one message in flight each, as fast as they are answered or at a pace.

use std::time::{Duration, Instant};

use hil_tests::hospital::{Hospital, Person};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Figures of a load.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) rate: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// Loads `port` for a time. With a pace each connection begins a message so often, late ones at once.
pub(crate) async fn load(port: u16, connections: usize, time: Duration, pace: Option<Duration>) -> Load {
    let end = Instant::now() + time;
    let begun = Instant::now();
    let mut senders = tokio::task::JoinSet::new();
    for n in 0..connections {
        senders.spawn(async move {
            let mut hospital = Hospital::new(&format!("B{port}x{n}-"), n as u64);
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut times = Vec::new();
            let mut answer = vec![0; 4096];
            let mut order = 0;
            while Instant::now() < end {
                order += 1;
                let person = Person::numbered(n * 1000 + order / 8);
                let (_, message) = hospital.report(&person, &format!("{n}x{order}"), "F", 10);
                let framed = hil_tests::mllp::framed(&message);
                if let Some(pace) = pace {
                    let due = begun + pace * order as u32 + pace * n as u32 / connections as u32;
                    tokio::time::sleep_until(due.into()).await;
                }
                let sent = Instant::now();
                stream.write_all(&framed).await.unwrap();
                let mut length = 0;
                while length < 2 || answer[length - 2..length] != *b"\x1c\r" {
                    length += stream.read(&mut answer[length..]).await.unwrap();
                }
                times.push(sent.elapsed());
            }
            times
        });
    }
    let mut times = Vec::new();
    while let Some(more) = senders.join_next().await {
        times.extend(more.unwrap());
    }
    let rate = times.len() as f64 / begun.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    Load { rate, p50: at(0.5), p99: at(0.99) }
}
