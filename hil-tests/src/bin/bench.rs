//! Benches. Every figure stands beside a bare baseline of the same run: ratios mean something, absolutes do not.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench that cannot go on says where")]
#![expect(clippy::print_stdout, reason = "a bench prints")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use buffer::{Buffer, Kek, Options};
use bytes::Bytes;
use feed::{Capture, FeedName, Form, Intake};
use hil_tests::gateway::{Gateway, LIVE, Setup, destination};
use hil_tests::hospital::{Hospital, Person};
use hil_tests::platform::Embedded;
use io::{Cidr, mllp};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

/// How long each load runs.
const RUN: Duration = Duration::from_secs(4);

/// How long the whole gateway is loaded; then it drains.
const SHORT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    if args.get(1).is_some_and(|first| first == "gateway") {
        return hil_tests::gateway::process(args.into_iter().skip(1));
    }
    let runtime = Runtime::new().unwrap();
    medium();
    parsing();
    let bare = runtime.block_on(intake(true));
    let real = runtime.block_on(intake(false));
    println!("\nDurable acknowledgement, ORU of 10 results, buffer alone");
    println!("connections   bare msg/s   real msg/s   ratio    bare p50    real p50   ratio    real p99");
    for ((n, bare), (_, real)) in bare.iter().zip(&real) {
        println!(
            "{n:>11}   {:>10.0}   {:>10.0}   {:>5.2}   {:>6.2} ms   {:>6.2} ms   {:>5.2}   {:>6.2} ms",
            bare.rate,
            real.rate,
            real.rate / bare.rate,
            bare.p50,
            real.p50,
            real.p50 / bare.p50,
            real.p99
        );
    }
    whole(&runtime, bare[2].1.rate);
    ExitCode::SUCCESS
}

/// The raw limits of the disk.
fn medium() {
    let dir = tempfile::tempdir_in(".").unwrap();
    let mut file = File::create(dir.path().join("raw")).unwrap();
    let begun = Instant::now();
    for _ in 0..300 {
        file.write_all(&[7; 1600]).unwrap();
        file.sync_data().unwrap();
    }
    let sync = begun.elapsed() / 300;
    let db = rusqlite::Connection::open(dir.path().join("raw.db")).unwrap();
    db.execute_batch("PRAGMA page_size=8192; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t (id INTEGER PRIMARY KEY, b BLOB)").unwrap();
    let commits = |rows: usize, times: usize| {
        let begun = Instant::now();
        for _ in 0..times {
            db.execute_batch("BEGIN").unwrap();
            for _ in 0..rows {
                db.execute("INSERT INTO t (b) VALUES (?1)", [vec![7_u8; 1600]]).unwrap();
            }
            db.execute_batch("COMMIT").unwrap();
        }
        (rows * times) as f64 / begun.elapsed().as_secs_f64()
    };
    println!(
        "fdatasync of 1.6 kB: {:.2} ms; SQLite, one row a commit: {:.0}/s; 64 rows a commit: {:.0}/s",
        sync.as_secs_f64() * 1e3,
        commits(1, 300),
        commits(64, 60)
    );
}

/// The message index, interpretation and rendering, on one thread.
fn parsing() {
    let mut hospital = Hospital::new("B", 1);
    let (_, message) = hospital.report(&Person::numbered(1), "1", "F", 100);
    let rate = |name: &str, bytes: usize, work: &mut dyn FnMut()| {
        let begun = Instant::now();
        let mut n = 0_u32;
        while begun.elapsed() < Duration::from_millis(700) {
            work();
            n += 1;
        }
        let each = begun.elapsed().as_secs_f64() / f64::from(n);
        println!(
            "{name:44} {:>8.2} us   {:>8.0}/s   {:>7.0} MB/s",
            each * 1e6,
            1.0 / each,
            bytes as f64 / each / 1e6
        );
    };
    println!("\nOne thread, ORU of 100 results ({} bytes), then of 10", message.len());
    let auto = hl7::charset::Default::Auto;
    rate("routing fields", message.len(), &mut || {
        std::hint::black_box(hl7::Header::read(&message).unwrap());
    });
    rate("decode and index", message.len(), &mut || {
        std::hint::black_box(hl7::Message::read(&message, auto, None).unwrap());
    });
    let (_, message) = hospital.report(&Person::numbered(1), "1", "F", 10);
    let context = interpret::Context {
        feed: FeedName::new("lis").unwrap(),
        zone: TimeZone::UTC,
        identifiers: BTreeMap::new(),
        dummy: Default::default(),
        numbers: interpret::Numbers::default(),
    };
    rate("decode, index and interpret", message.len(), &mut || {
        let read = hl7::Message::read(&message, auto, None).unwrap();
        std::hint::black_box(interpret::hl7(&read, &context));
    });
}

/// Figures of a load.
#[derive(Clone, Copy)]
struct Load {
    rate: f64,
    p50: f64,
    p99: f64,
}

/// The listener over the buffer alone, or in its place one that only looks for the end of a frame.
async fn intake(bare: bool) -> Vec<(usize, Load)> {
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
                allow: Cidr::loopback(),
                when_full: mllp::WhenFull::Hold,
                max_message: 16 << 20,
                max_connections: 1024,
                idle_timeout: None,
                frame_timeout: Duration::from_secs(30),
                zone: TimeZone::UTC,
            };
            let context = mllp::Context {
                intake: buffer.intake(),
                memory: Arc::new(Semaphore::new(mllp::MEMORY)),
                clock: Arc::new(Timestamp::now),
                stats: Arc::default(),
            };
            let (_keep, settings) = watch::channel(Arc::new(settings));
            let stop = stop.clone();
            tokio::spawn(async move {
                let _keep = _keep;
                mllp::serve(listener, settings, context, stop).await.unwrap();
            })
        };
        loads.push((connections, load(port, connections, RUN).await));
        stop.cancel();
        server.abort();
        buffer.close();
    }
    loads
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

/// One message in flight on each connection.
async fn load(port: u16, connections: usize, time: Duration) -> Load {
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

/// The whole gateway as a process, to a platform that only counts.
fn whole(runtime: &Runtime, bare: f64) {
    let dir = tempfile::tempdir_in(".").unwrap();
    let platform = runtime.block_on(Embedded::counting(dir.path()));
    let setup = Setup {
        feeds: &[("his", LIVE)],
        destinations: destination("region", &platform.url, Some(&platform.ca)),
        directory: Some(
            dir.path()
                .join("data")
                .canonicalize()
                .unwrap_or_else(|_| std::env::current_dir().unwrap().join(dir.path()).join("data")),
        ),
        ..Setup::default()
    };
    let program = std::env::current_exe().unwrap();
    let mut gateway = Gateway::new(program.to_str().unwrap(), &setup);
    gateway.start();
    let idle = process(gateway.process());
    let begun = Instant::now();
    let load = runtime.block_on(load(gateway.ports[0], 64, SHORT));
    gateway.settled();
    let all = begun.elapsed().as_secs_f64();
    let busy = process(gateway.process());
    let messages = load.rate * SHORT.as_secs_f64();
    println!(
        "\nThe whole gateway, 64 connections, refine and delivery to a counting HTTPS platform beside it"
    );
    println!(
        "acknowledged     {:>8.0}/s   {:.2} of the bare listener alone; p50 {:.2} ms, p99 {:.2} ms",
        load.rate,
        load.rate / bare,
        load.p50,
        load.p99
    );
    println!(
        "to the platform  {:>8.0}/s   {messages:.0} messages, the last one delivered after {all:.1} s",
        messages / all
    );
    println!(
        "processor        {:>8.2} ms of the gateway for each message",
        (busy.cpu - idle.cpu) * 1e3 / messages
    );
    println!(
        "written          {:>8.1} kB to the device for each message",
        (busy.written - idle.written) / messages / 1e3
    );
    println!(
        "memory           {:>8.0} MB idle, {:.0} MB after the load",
        idle.resident / 1e6,
        busy.resident / 1e6
    );
    gateway.stop();
}

struct Process {
    /// Seconds.
    cpu: f64,
    /// Bytes.
    written: f64,
    /// Bytes.
    resident: f64,
}

/// What /proc tells of a process.
fn process(id: u32) -> Process {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{id}/{name}")).unwrap_or_default();
    let stat = read("stat");
    let fields: Vec<f64> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .map(|n| n.parse().unwrap_or(0.0))
        .collect();
    let number = |text: String, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key)).map(str::to_owned).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0)
    };
    Process {
        // Fields 14 and 15 of proc(5), in ticks of 10 ms; the name and its bracket are cut off before field 3.
        cpu: (fields.get(11).unwrap_or(&0.0) + fields.get(12).unwrap_or(&0.0)) / 100.0,
        written: number(read("io"), "write_bytes:"),
        resident: number(read("status"), "VmRSS:") * 1024.0,
    }
}
