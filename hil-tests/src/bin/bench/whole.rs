//! The whole gateway as a process, to a platform that only counts.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hil_tests::gateway::{Gateway, LIVE, Setup, destination};
use hil_tests::platform::{Embedded, Fault};
use tokio::runtime::Runtime;

use crate::load::load;

/// How long it is loaded; then it drains.
const SHORT: Duration = Duration::from_secs(1);
/// How long it is loaded at a pace.
const PACED: Duration = Duration::from_secs(3);

/// Loads it, lets it drain, then loads it at a pace with everything else going on.
pub(crate) fn whole(runtime: &Runtime, bare: f64) {
    let dir = tempfile::tempdir_in(".").unwrap();
    let platform = runtime.block_on(Embedded::counting(dir.path()));
    let mut gateway = gateway(dir.path(), &platform);
    gateway.start();
    let idle = process(gateway.process());
    let begun = Instant::now();
    let load = runtime.block_on(load(gateway.ports[0], 64, SHORT, None));
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
    paced(runtime, &gateway, load.rate);
    gateway.stop();
}

/// 64 connections at four fifths of the peak, a message of 16 MiB each second, and a listing all the time.
fn paced(runtime: &Runtime, gateway: &Gateway, peak: f64) {
    let end = AtomicBool::new(false);
    let paced = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !end.load(Ordering::Relaxed) {
                let begun = Instant::now();
                large(gateway.ports[0]);
                std::thread::sleep(Duration::from_secs(1).saturating_sub(begun.elapsed()));
            }
        });
        scope.spawn(|| {
            while !end.load(Ordering::Relaxed) {
                gateway.cli(&["captures", "list", "--limit", "200"]).unwrap();
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        let pace = Duration::from_secs_f64(64.0 / (peak * 0.8));
        let paced = runtime.block_on(load(gateway.ports[0], 64, PACED, Some(pace)));
        end.store(true, Ordering::Relaxed);
        paced
    });
    println!(
        "at 80 %          {:>8.0}/s   p50 {:.2} ms, p99 {:.2} ms with 16 MiB a second and a listing beside it",
        paced.rate, paced.p50, paced.p99
    );
}

/// One message of nearly 16 MiB, acknowledged.
fn large(port: u16) {
    let mut message = b"\x0bMSH|^~\\&|A|B|||20261101||ORU^R01|LARGE|T|2.4\rOBX|1|ED|".to_vec();
    message.resize((16 << 20) - 8, b'x');
    message.extend_from_slice(b"\x1c\r");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(&message).unwrap();
    let mut answer = [0; 1024];
    assert!(stream.read(&mut answer).unwrap() > 0);
}

/// With a platform that is down: memory with `messages` waiting, and how soon it listens after a start with them.
pub(crate) fn backlog(runtime: &Runtime, messages: usize) {
    let dir = tempfile::tempdir_in(".").unwrap();
    let platform = runtime.block_on(Embedded::counting(dir.path()));
    platform.fault(Fault::Down);
    let mut gateway = gateway(dir.path(), &platform);
    gateway.start();
    let mut sent = 0;
    println!("{:>12} {:>10} {:>12}", "captures", "MB resident", "GB on disk");
    while sent < messages {
        let load = runtime.block_on(load(gateway.ports[0], 64, Duration::from_secs(10), None));
        sent += (load.rate * 10.0) as usize;
        while gateway.json(&["status"])["refine"]["behind"] == true {
            std::thread::sleep(Duration::from_millis(200));
        }
        let bytes = gateway.json(&["status"])["buffer"]["bytes"].as_f64().unwrap();
        println!("{sent:>12} {:>10.0} {:>12.2}", process(gateway.process()).resident / 1e6, bytes / 1e9);
    }
    gateway.kill();
    let begun = Instant::now();
    gateway.spawn();
    while TcpStream::connect(("127.0.0.1", gateway.ports[0])).is_err() {
        std::thread::sleep(Duration::from_millis(1));
    }
    println!("listening {:.0} ms after a start from a kill", begun.elapsed().as_secs_f64() * 1e3);
    gateway.answers();
    println!("answering {:.0} ms after it", begun.elapsed().as_secs_f64() * 1e3);
}

/// A gateway in `dir` that sends to `platform`.
fn gateway(dir: &Path, platform: &Embedded) -> Gateway {
    let setup = Setup {
        feeds: &[("his", LIVE)],
        destinations: destination("region", &platform.url, Some(&platform.ca)),
        directory: Some(std::path::absolute(dir.join("data")).unwrap()),
        ..Setup::default()
    };
    Gateway::new(std::env::current_exe().unwrap().to_str().unwrap(), &setup)
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
