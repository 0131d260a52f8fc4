//! The demo: a hospital, the real gateway and a platform on this machine, live in the terminal.
//!
//! The gateway is a process of its own: this very program with `gateway` as its first argument.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a demonstration that cannot go on says where")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the demonstration is what it prints")]

use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hil_tests::account::account;
use hil_tests::gateway::{Gateway, Setup, destination};
use hil_tests::hospital::{Hospital, Person};
use hil_tests::mllp::{Sender, framed};
use hil_tests::platform::{Embedded, Fault};
use serde_json::Value;
use tokio::runtime::Runtime;

const HIS: &str = "mode = \"live\"\nidentifiers = { \"MR\" = \"HIS\", \"NI\" = \"resident-id\" }\nauthority = [\"identity\", \"demographics\", \"encounter\", \"order\"]\n";
const LIS: &str = "mode = \"live\"\nidentifiers = { \"MR\" = \"HIS\", \"NI\" = \"resident-id\" }\nauthority = [\"result\"]\n";

/// What the senders did.
#[derive(Default)]
struct Tally {
    sent: Mutex<BTreeSet<String>>,
    acknowledged: Mutex<BTreeSet<String>>,
    /// Frames that were broken on purpose.
    broken: Mutex<usize>,
}

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    if args.get(1).is_some_and(|first| first == "gateway") {
        return hil_tests::gateway::process(args.into_iter().skip(1));
    }
    match seconds(&args) {
        Ok(seconds) => demo(seconds),
        Err(error) => {
            eprintln!("{error}\nusage: demo [--seconds N]");
            ExitCode::from(2)
        }
    }
}

fn seconds(args: &[std::ffi::OsString]) -> Result<u64, String> {
    match args.get(1..).unwrap_or_default() {
        [] => Ok(45),
        [flag, n] if flag == "--seconds" => {
            let n: Option<u64> = n.to_str().and_then(|n| n.parse().ok()).filter(|n| (10..=3600).contains(n));
            n.ok_or_else(|| "--seconds takes a number from 10 to 3600".to_owned())
        }
        _ => Err("there is only --seconds N".to_owned()),
    }
}

fn demo(seconds: u64) -> ExitCode {
    let runtime = Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let platform = runtime.block_on(Embedded::start(dir.path()));
    let setup = Setup {
        feeds: &[("his", HIS), ("lis", LIS)],
        destinations: destination("region", &platform.url, Some(&platform.ca)),
        ..Setup::default()
    };
    let program = std::env::current_exe().unwrap();
    let mut gateway = Gateway::new(program.to_str().unwrap(), &setup);
    gateway.start();
    println!("A hospital, the gateway and a regional platform on this machine, for {seconds} s.");
    println!(
        "HIS (UTF-8) -> 127.0.0.1:{}   LIS (GB18030) -> 127.0.0.1:{}   platform: {}",
        gateway.ports[0], gateway.ports[1], platform.url
    );
    println!("A third of the way in, the platform goes away for a third of the time.\n");

    let tally = Arc::new(Tally::default());
    let stop = AtomicBool::new(false);
    let begun = Instant::now();
    let time = Duration::from_secs(seconds);
    std::thread::scope(|scope| {
        let (his, lis) = (gateway.ports[0], gateway.ports[1]);
        let (tally, stop) = (&tally, &stop);
        scope.spawn(move || admissions(his, tally, stop));
        scope.spawn(move || reports(lis, tally, stop));
        let mut screen = Screen::new();
        while begun.elapsed() < time {
            let third = begun.elapsed().as_millis() * 3 / time.as_millis();
            platform.fault(if third == 1 { Fault::Down } else { Fault::None });
            screen.show(&gateway, tally, third == 1, begun.elapsed());
            std::thread::sleep(Duration::from_millis(500));
        }
        platform.fault(Fault::None);
        stop.store(true, Ordering::Relaxed);
    });
    gateway.settled();
    let mut screen = Screen::new();
    screen.show(&gateway, &tally, false, begun.elapsed());
    let whole = summary(&gateway, &platform, &tally);
    gateway.stop();
    if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The hospital information system: admissions, registrations, updates, discharges.
fn admissions(port: u16, tally: &Tally, stop: &AtomicBool) {
    let mut hospital = Hospital::new("HIS-", 1);
    let mut sender = Sender::connect(port).unwrap();
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        let person = Person::numbered(n / 4);
        let event = ["A04", "A01", "A08", "A03"][n % 4];
        let message = hospital.adt(event, &person);
        send(&mut sender, &message, tally);
        match n % 40 {
            // A sender that repeats itself, one in training, one of a kind that is not interpreted.
            11 => send(&mut sender, &message, tally),
            21 => {
                let text = hospital.text("ADT^A08", &format!("TRAIN-{n}"), "T", &person.pid());
                send(&mut sender, &(format!("TRAIN-{n}"), text.into_bytes()), tally);
            }
            31 => {
                let order = hospital.message("ORM^O01", &person.pid());
                send(&mut sender, &order, tally);
            }
            _ => {}
        }
        n += 1;
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The laboratory: reports of ten and more results in GB18030, corrections, and now and then a broken frame.
fn reports(port: u16, tally: &Tally, stop: &AtomicBool) {
    let mut hospital = Hospital::new("LIS-", 2).in_gb18030("GB 18030-2000");
    let mut sender = Sender::connect(port).unwrap();
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        let person = Person::numbered(n / 4);
        let results = 10 + hospital.dice().below(6);
        for status in if n % 7 == 0 { &["P", "F", "C"][..] } else { &["F"] } {
            let message = hospital.report(&person, &n.to_string(), status, results);
            send(&mut sender, &message, tally);
        }
        if n % 50 == 25 {
            sender.raw(b"\x0bMSH|^~\\&|LIS|the line broke here").unwrap();
            *tally.broken.lock().unwrap() += 1;
        }
        n += 1;
        std::thread::sleep(Duration::from_millis(25));
    }
}

fn send(sender: &mut Sender, message: &(String, Vec<u8>), tally: &Tally) {
    tally.sent.lock().unwrap().insert(message.0.clone());
    sender.raw(&framed(&message.1)).unwrap();
    let ack = sender.ack().unwrap();
    if ack.code == "AA" {
        tally.acknowledged.lock().unwrap().insert(ack.control_id);
    }
}

/// The table, drawn over itself on a terminal, a line now and then elsewhere.
struct Screen {
    live: bool,
    drawn: usize,
    lines: usize,
}

impl Screen {
    fn new() -> Self {
        Self { live: std::io::stdout().is_terminal(), drawn: 0, lines: 0 }
    }

    fn show(&mut self, gateway: &Gateway, tally: &Tally, down: bool, elapsed: Duration) {
        self.drawn += 1;
        if !self.live && self.drawn % 10 != 1 {
            return;
        }
        let status = gateway.json(&["status"]);
        let (sent, acknowledged) =
            (tally.sent.lock().unwrap().len(), tally.acknowledged.lock().unwrap().len());
        let mut text = format!(
            "{:3} s   platform {}   sent {sent}   acknowledged {acknowledged}\n",
            elapsed.as_secs(),
            if down { "DOWN" } else { "up  " }
        );
        text.push_str("feed   received  acknowledged  quarantined  duplicate    ack p50    ack p99\n");
        for feed in status["feeds"].as_array().unwrap() {
            let counts = &feed["counts"];
            text.push_str(&format!(
                "{:6} {:>8}  {:>12}  {:>11}  {:>9}  {:>9}  {:>9}\n",
                feed["name"].as_str().unwrap(),
                number(&feed["received"]),
                number(&feed["acknowledged"]),
                number(&counts["quarantined"]),
                number(&counts["duplicate"]),
                millis(&feed["ack_p50_us"]),
                millis(&feed["ack_p99_us"]),
            ));
        }
        text.push_str("to      waiting     delivered   superseded       dead    retried  last trouble\n");
        for destination in status["destinations"].as_array().unwrap() {
            let counts = &destination["counts"];
            text.push_str(&format!(
                "{:6} {:>8}  {:>12}  {:>11}  {:>9}  {:>9}  {}\n",
                destination["name"].as_str().unwrap(),
                number(&counts["waiting"]),
                number(&counts["delivered"]),
                number(&counts["superseded"]),
                number(&counts["dead"]),
                number(&destination["retried"]),
                destination["last_failure"].as_str().unwrap_or("-"),
            ));
        }
        if self.live && self.lines > 0 {
            print!("\x1b[{}A\x1b[J", self.lines);
        }
        print!("{text}");
        if !self.live {
            println!();
        }
        // A terminal that is gone shows nothing more.
        let _ = std::io::stdout().flush();
        self.lines = text.lines().count();
    }
}

/// Accounts for every message by its control id.
fn summary(gateway: &Gateway, platform: &Embedded, tally: &Tally) -> bool {
    let (sent, acknowledged) =
        (tally.sent.lock().unwrap().clone(), tally.acknowledged.lock().unwrap().clone());
    let account = account(gateway);
    let mut faults = account.faults(&sent, &acknowledged);
    let broken = *tally.broken.lock().unwrap();
    let quarantined = account.without.get("quarantined").copied().unwrap_or(0);
    if quarantined != broken {
        faults.push(format!("{quarantined} frames are quarantined, {broken} were broken on purpose"));
    }
    if account.count("quarantined") > 0 {
        faults.push(format!("{} messages are quarantined that should not be", account.count("quarantined")));
    }
    let seen = platform.seen();
    if seen.back_in_time + seen.same_position_other_content > 0 {
        faults.push(format!("{} states went over newer ones", seen.back_in_time));
    }
    println!("\nEvery message by its control id:");
    println!("  sent          {:>7}", sent.len());
    println!("  acknowledged  {:>7}", acknowledged.len());
    let outcomes = account.by_outcome.iter().map(|(outcome, ids)| format!("{} {outcome}", ids.len()));
    println!(
        "  accounted for {:>7}   ({})",
        account.by_outcome.values().flatten().collect::<BTreeSet<_>>().len(),
        outcomes.collect::<Vec<_>>().join(", ")
    );
    println!("  broken frames {broken:>7}   (kept, quarantined)");
    println!(
        "At the platform: {} transactions, {} entries, {} resources, each once.",
        seen.bundles,
        seen.entries,
        seen.resources.len()
    );
    for fault in &faults {
        println!("FAULT: {fault}");
    }
    println!(
        "{}",
        if faults.is_empty() {
            "Conserved: nothing lost, nothing twice, nothing out of order."
        } else {
            "NOT conserved."
        }
    );
    faults.is_empty()
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

fn millis(value: &Value) -> String {
    value.as_u64().map(|micros| format!("{} ms", micros as f64 / 1000.0)).unwrap_or_default()
}
