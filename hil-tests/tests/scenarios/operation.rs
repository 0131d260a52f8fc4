//! Starting, stopping, being killed, being misconfigured.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hil_tests::account::account;
use hil_tests::gateway::{Gateway, LIVE, Setup, destination};
use hil_tests::hospital::{Dice, Hospital, Person};
use hil_tests::mllp::Sender;
use hil_tests::platform::Embedded;
use rusqlite::Connection;
use rustix::process::Signal;
use tokio::runtime::Runtime;

const PROGRAM: &str = env!("CARGO_BIN_EXE_demo");

fn setup_fails(change: impl FnOnce(&mut Gateway)) -> String {
    let mut gateway = Gateway::new(PROGRAM, &Setup::default());
    change(&mut gateway);
    gateway.spawn();
    assert_eq!(gateway.exit_code(), 2, "{}", gateway.log());
    gateway.log()
}

#[test]
fn what_has_to_be_mended_first_ends_with_2_and_says_what() {
    let missing_key = setup_fails(|gateway| fs::remove_file(gateway.path("key")).unwrap());
    assert!(
        missing_key.contains("there is no key at") && missing_key.contains("keys create"),
        "{missing_key}"
    );
    let open_key = setup_fails(|gateway| {
        fs::set_permissions(gateway.path("key"), fs::Permissions::from_mode(0o644)).unwrap();
    });
    assert!(open_key.contains("chmod 600"), "{open_key}");
    let unknown = setup_fails(|gateway| {
        let text = fs::read_to_string(gateway.path("gateway.toml")).unwrap();
        fs::write(gateway.path("gateway.toml"), text.replace("region =", "regoin =")).unwrap();
    });
    assert!(unknown.contains("gateway.toml:4:1: site has no key regoin; did you mean region?"), "{unknown}");
    let taken = {
        let mut gateway = Gateway::new(PROGRAM, &Setup::default());
        let _holder = std::net::TcpListener::bind(("127.0.0.1", gateway.ports[0])).unwrap();
        gateway.spawn();
        assert_eq!(gateway.exit_code(), 2);
        assert!(!gateway.path("data").exists(), "a port that is taken leaves no trace");
        gateway.log()
    };
    assert!(taken.contains("cannot be listened on"), "{taken}");
}

#[test]
fn a_wrong_key_and_a_missing_ring_never_make_a_second_empty_gateway() {
    let mut gateway = Gateway::new(PROGRAM, &Setup::default());
    gateway.start();
    let message = Hospital::new("K", 1).adt("A08", &Person::numbered(1));
    assert_eq!(Sender::connect(gateway.ports[0]).unwrap().send(&message.1).unwrap().code, "AA");
    gateway.stop();
    let key = fs::read(gateway.path("key")).unwrap();
    fs::write(gateway.path("key"), [7; 32]).unwrap();
    gateway.spawn();
    assert_eq!(gateway.exit_code(), 2);
    assert!(gateway.log().contains("the key does not open this buffer"), "{}", gateway.log());
    fs::remove_file(gateway.path("key")).unwrap();
    gateway.spawn();
    assert_eq!(gateway.exit_code(), 2);
    assert!(gateway.log().contains("there is no key at"), "{}", gateway.log());
    assert!(!gateway.path("key").exists(), "no other key is made where there are data");
    fs::write(gateway.path("key"), key).unwrap();
    fs::set_permissions(gateway.path("key"), fs::Permissions::from_mode(0o600)).unwrap();
    let data = gateway.path("data");
    for copy in ["keys.0", "keys.1"] {
        fs::rename(data.join(copy), gateway.path(copy)).unwrap();
    }
    gateway.spawn();
    assert_eq!(gateway.exit_code(), 2);
    assert!(gateway.log().contains("no key ring"), "{}", gateway.log());
    for copy in ["keys.0", "keys.1"] {
        fs::rename(gateway.path(copy), data.join(copy)).unwrap();
    }
    gateway.start();
    assert_eq!(gateway.fates(&message.0).len(), 1);
}

#[test]
fn a_second_gateway_on_the_same_buffer_is_told_so() {
    let mut first = Gateway::new(PROGRAM, &Setup::default());
    first.start();
    let directory = Some(first.path("data"));
    let mut second = Gateway::new(PROGRAM, &Setup { directory, ..Setup::default() });
    fs::copy(first.path("key"), second.path("key")).unwrap();
    second.spawn();
    assert_eq!(second.exit_code(), 2);
    assert!(second.log().contains("in use by another hospital-gateway"), "{}", second.log());
}

#[test]
fn a_reload_takes_what_is_right_and_leaves_what_is_wrong() {
    let mut gateway = Gateway::new(PROGRAM, &Setup::default());
    gateway.start();
    gateway.configure(&Setup { feeds: &[("his", "max_message = \"sixteen\"\n")], ..Setup::default() });
    gateway.signal(Signal::HUP);
    gateway.wait_for("the refusal", |gateway| gateway.log().contains("stays in force"));
    gateway.configure(&Setup { feeds: &[("his", LIVE), ("lis", LIVE)], ..Setup::default() });
    gateway.signal(Signal::HUP);
    gateway.wait_for("the second feed", |gateway| Sender::connect(gateway.ports[1]).is_ok());
    let mut old = Sender::connect(gateway.ports[0]).unwrap();
    let message = Hospital::new("R", 1).adt("A08", &Person::numbered(1));
    assert_eq!(old.send(&message.1).unwrap().code, "AA");
    gateway.stop();
}

#[test]
fn no_log_line_file_name_or_metric_names_a_patient() {
    let runtime = Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let platform = runtime.block_on(Embedded::start(dir.path()));
    platform.fault(hil_tests::platform::Fault::Refuse("Observation".to_owned()));
    let setup =
        Setup { destinations: destination("region", &platform.url, Some(&platform.ca)), ..Setup::default() };
    let mut gateway = Gateway::new(PROGRAM, &setup);
    gateway.start();
    let mut sender = Sender::connect(gateway.ports[0]).unwrap();
    let mut hospital = Hospital::new("L", 1);
    let persons: Vec<Person> = (0..5).map(Person::numbered).collect();
    for person in &persons {
        for message in [hospital.adt("A01", person), hospital.report(person, &person.number, "F", 3)] {
            sender.send(&message.1).unwrap();
        }
        sender.send(format!("hello {} {}", person.name, person.resident).as_bytes()).unwrap();
    }
    gateway.settled();
    let views = ["status", "feeds", "captures list", "deliveries list", "audit list"];
    let mut shown: String =
        views.iter().map(|view| gateway.cli(&view.split(' ').collect::<Vec<_>>()).unwrap()).collect();
    gateway.stop();
    shown.push_str(&gateway.log());
    let mut files = Vec::new();
    for entry in
        fs::read_dir(gateway.path("data")).unwrap().chain(fs::read_dir(gateway.path("data/seg")).unwrap())
    {
        let path = entry.unwrap().path();
        shown.push_str(&path.display().to_string());
        if path.is_file() {
            files.push(fs::read(path).unwrap());
        }
    }
    for person in &persons {
        for secret in [&person.name, &person.resident] {
            assert!(!shown.contains(secret.as_str()), "{secret} is shown");
            let gb = hl7::charset::Charset::Gb18030.encode(secret);
            for needle in [secret.as_bytes(), &gb] {
                assert!(
                    !files.iter().any(|file| file.windows(needle.len()).any(|w| w == needle)),
                    "{secret} lies on the disk"
                );
            }
        }
    }
}

#[test]
fn killed_a_hundred_times_under_load_it_loses_nothing_and_sends_nothing_twice() {
    let kills: usize = std::env::var("KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(100);
    let runtime = Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let platform = runtime.block_on(Embedded::start(dir.path()));
    let setup =
        Setup { destinations: destination("region", &platform.url, Some(&platform.ca)), ..Setup::default() };
    let mut gateway = Gateway::new(PROGRAM, &setup);
    let stop = AtomicBool::new(false);
    let port = gateway.ports[0];
    let acknowledged = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..4)
            .map(|n| {
                let stop = &stop;
                scope.spawn(move || load(port, n, stop))
            })
            .collect();
        let mut dice = Dice::new(11);
        for n in 0..kills {
            // Every fourth time it dies while it recovers from the time before.
            if n % 4 == 3 {
                gateway.spawn();
                std::thread::sleep(Duration::from_millis(dice.below(60) as u64));
            } else {
                gateway.start();
                std::thread::sleep(Duration::from_millis(dice.below(120) as u64));
            }
            gateway.kill();
        }
        gateway.start();
        stop.store(true, Ordering::Relaxed);
        let all = senders.into_iter().flat_map(|sender| sender.join().unwrap());
        all.collect::<BTreeSet<String>>()
    });
    gateway.settled();
    assert!(acknowledged.len() > kills, "the load was real: {}", acknowledged.len());
    let account = account(&gateway);
    let kept: BTreeSet<String> = account.by_outcome.values().flatten().cloned().collect();
    let lost: Vec<_> = acknowledged.difference(&kept).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    for unsettled in ["pending", "waiting", "dead", "forgotten", "quarantined"] {
        assert_eq!(account.count(unsettled), 0, "{unsettled}");
    }
    let seen = platform.seen();
    assert_eq!((seen.back_in_time, seen.same_position_other_content), (0, 0));
    // Each sender's persons and reports are there once.
    let reports: BTreeSet<String> =
        platform.resources("DiagnosticReport").iter().map(|r| r["identifier"].to_string()).collect();
    assert_eq!(reports.len(), platform.resources("DiagnosticReport").len());
    assert!(gateway.cli(&["audit", "verify"]).is_ok());
    gateway.wait_for("the ended segments are closed", |gateway| {
        let db = Connection::open(gateway.path("data/state.db")).unwrap();
        let open = "SELECT count(*) FROM segment WHERE state = 0";
        db.query_row(open, [], |row| row.get::<_, u32>(0)).is_ok_and(|open| open == 1)
    });
    gateway.stop();
    whole(&gateway.path("data"));
    println!("{} acknowledged over {kills} kills", acknowledged.len());
}

/// Every database is whole, and every closed segment is what it was when it was closed.
fn whole(data: &Path) {
    let check = |path: &Path| {
        let db = Connection::open(path).unwrap();
        let found: String = db.query_row("PRAGMA quick_check", [], |row| row.get(0)).unwrap();
        assert_eq!(found, "ok", "{}", path.display());
        db
    };
    let state = check(&data.join("state.db"));
    let mut rows = state.prepare("SELECT no, digest FROM segment WHERE state = 1").unwrap();
    let closed: Vec<(u32, Vec<u8>)> =
        rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect();
    assert!(!closed.is_empty());
    for (no, digest) in closed {
        let path = data.join(format!("seg/{no:08}.db"));
        let bytes = fs::read(&path).unwrap();
        assert_eq!(
            ring::digest::digest(&ring::digest::SHA256, &bytes).as_ref(),
            digest,
            "{}",
            path.display()
        );
        check(&path);
    }
}

#[test]
fn systemd_hears_when_it_is_ready_that_it_lives_when_it_reloads_and_when_it_stops() {
    let mut gateway = Gateway::new(PROGRAM, &Setup::default());
    let socket = UnixDatagram::bind(gateway.path("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let hear = |wanted: &str| {
        let mut bytes = [0; 4096];
        loop {
            let length = socket.recv(&mut bytes).expect(wanted);
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if text.lines().any(|line| line == wanted) {
                return text;
            }
        }
    };
    gateway.notify = Some(gateway.path("notify"));
    gateway.spawn();
    assert!(hear("READY=1").contains("STATUS=listening"));
    for _ in 0..3 {
        hear("WATCHDOG=1");
    }
    assert_eq!(Sender::connect(gateway.ports[0]).map(drop).ok(), Some(()), "it listens when it says so");
    gateway.signal(Signal::HUP);
    assert!(hear("RELOADING=1").contains("MONOTONIC_USEC="));
    hear("READY=1");
    gateway.signal(Signal::TERM);
    hear("STOPPING=1");
    gateway.stop();
}

/// Sends until told to stop, again what was not acknowledged; gives what was.
fn load(port: u16, n: usize, stop: &AtomicBool) -> Vec<String> {
    let mut hospital = Hospital::new(&format!("L{n}-"), n as u64);
    let mut acknowledged = Vec::new();
    let mut sender: Option<Sender> = None;
    let mut next = 0;
    let mut message = hospital.adt("A01", &Person::numbered(n * 1000));
    while !stop.load(Ordering::Relaxed) {
        let Some(connected) = &mut sender else {
            sender = Sender::connect(port).ok();
            if sender.is_none() {
                std::thread::sleep(Duration::from_millis(5));
            }
            continue;
        };
        match connected.send(&message.1) {
            Ok(ack) => {
                assert_eq!((ack.code.as_str(), &ack.control_id), ("AA", &message.0), "{}", ack.text);
                acknowledged.push(message.0.clone());
                next += 1;
                let person = Person::numbered(n * 1000 + next / 3);
                message = match next % 3 {
                    0 => hospital.adt("A01", &person),
                    1 => hospital.report(&person, &format!("{n}x{next}"), "F", 3),
                    _ => hospital.adt("A08", &person),
                };
            }
            Err(_) => sender = None,
        }
    }
    acknowledged
}

#[test]
fn a_feed_that_goes_silent_is_alarmed_and_the_alarm_goes_when_it_is_heard_again() {
    let lines = format!("{LIVE}silence_alarm = {{ after = \"15m\" }}\n");
    let mut gateway = Gateway::new(PROGRAM, &Setup { feeds: &[("his", &lines)], ..Setup::default() });
    gateway.start();
    let silent = |gateway: &Gateway| {
        let status = gateway.json(&["status"]);
        status["alarms"].as_array().unwrap().iter().any(|alarm| alarm["code"] == "feed-silent")
    };
    let mut hospital = Hospital::new("Q", 1);
    let mut sender = Sender::connect(gateway.ports[0]).unwrap();
    assert_eq!(sender.send(&hospital.adt("A08", &Person::numbered(1)).1).unwrap().code, "AA");
    assert!(!silent(&gateway));
    gateway.clock_off(16 * 60);
    gateway.wait_for("the silence is noticed", silent);
    assert!(gateway.log().contains("feed his: no message since"), "{}", gateway.log());
    assert_eq!(sender.send(&hospital.adt("A08", &Person::numbered(1)).1).unwrap().code, "AA");
    gateway.wait_for("it is heard again", |gateway| !silent(gateway));
}

#[test]
fn half_a_request_on_the_control_socket_does_not_keep_it_from_stopping() {
    let mut gateway = Gateway::new(PROGRAM, &Setup::default());
    gateway.start();
    let mut half = UnixStream::connect(gateway.path("data/control.sock")).unwrap();
    half.write_all(b"GET /v1/status HTTP/1.1\r\nHost: ").unwrap();
    let mut body = UnixStream::connect(gateway.path("data/control.sock")).unwrap();
    body.write_all(b"POST /v1/persons/find HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{").unwrap();
    // Both are in the hands of the gateway by the time this one is answered.
    gateway.json(&["status"]);
    gateway.stop();
    assert!(gateway.log().contains("stopped"), "{}", gateway.log());
}

#[test]
fn what_lies_on_the_disk_is_readable_for_its_own_user_alone() {
    let mut gateway = Gateway::new(PROGRAM, &Setup::default());
    gateway.start();
    let message = Hospital::new("M", 1).adt("A08", &Person::numbered(1));
    assert_eq!(Sender::connect(gateway.ports[0]).unwrap().send(&message.1).unwrap().code, "AA");
    gateway.settled();
    let mut places = vec![gateway.path("data")];
    let mut files = 0;
    while let Some(place) = places.pop() {
        let mode = fs::metadata(&place).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", place.display());
        if place.is_dir() {
            places.extend(fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            files += 1;
        }
    }
    assert!(files > 5, "databases, their logs, keys, lock and socket: {files}");
}
