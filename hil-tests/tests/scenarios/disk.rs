//! The disk: full, not writable, copied and put back; and the clock, which goes wrong as disks do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hil_tests::account::account;
use hil_tests::gateway::{Gateway, LIVE, Setup, destination};
use hil_tests::hospital::{Hospital, Person};
use hil_tests::mllp::Sender;
use hil_tests::platform::{Embedded, Fault};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use tokio::runtime::Runtime;

use crate::{House, ids};

const PROGRAM: &str = env!("CARGO_BIN_EXE_demo");

const SKIPPED: &str = "skipped: this user may not mount a file system";

/// A small file system in memory. Unmounted when dropped.
struct Tmpfs(PathBuf);

impl Tmpfs {
    /// None where this user may not mount; then the test says that it was skipped.
    fn mount(at: &Path, options: &str) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", options, "none"]).arg(at).output();
        if mount.is_ok_and(|output| output.status.success()) {
            return Some(Self(at.to_owned()));
        }
        None
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: a gateway that is dropped later may still hold a file.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A message of so many bytes and more.
fn large(hospital: &mut Hospital, n: usize, length: usize) -> (String, Vec<u8>) {
    let (id, mut bytes) = hospital.report(&Person::numbered(n), &format!("B{n}"), "F", 1);
    bytes.extend_from_slice(b"\rZZZ|");
    // Nothing of this becomes a record. Not to be compressed away.
    let mut x = n as u64 + 1;
    bytes.extend((0..length).map(|_| {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        b'a' + (x >> 33) as u8 % 26
    }));
    (id, bytes)
}

#[test]
fn a_full_disk_refuses_keeps_what_was_acknowledged_and_takes_more_when_there_is_room() {
    let mount = tempfile::tempdir().unwrap();
    let Some(_disk) = Tmpfs::mount(&mount.path().join("disk"), "size=400m") else {
        return println!("{SKIPPED}");
    };
    let disk = mount.path().join("disk");
    let runtime = Runtime::new().unwrap();
    let certificates = tempfile::tempdir().unwrap();
    let platform = runtime.block_on(Embedded::start(certificates.path()));
    let feed = format!("{LIVE}when_full = \"refuse\"\n");
    let setup = Setup {
        feeds: &[("his", &feed)],
        destinations: destination("region", &platform.url, Some(&platform.ca)),
        buffer: "max_size = \"95%\"",
        directory: Some(disk.join("data")),
    };
    let mut gateway = Gateway::new(PROGRAM, &setup);
    gateway.start();
    platform.fault(Fault::Down);
    assert_eq!(gateway.json(&["status"])["buffer"]["reserve"], true);
    // Something else on the machine takes the disk away.
    let filler = disk.join("somebody-elses.log");
    let free = || {
        let stat = rustix::fs::statvfs(&disk).unwrap();
        stat.f_bavail * stat.f_frsize
    };
    let file = fs::File::create(&filler).unwrap();
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, free() - (6 << 20)).unwrap();
    let mut hospital = Hospital::new("F", 1);
    let mut acknowledged = Vec::new();
    let mut sender = Sender::connect(gateway.ports[0]).unwrap();
    let refused = loop {
        let n = acknowledged.len();
        assert!(n < 200, "the disk never filled");
        let message = large(&mut hospital, n, 400 << 10);
        let ack = sender.send(&message.1).unwrap();
        if ack.code != "AA" {
            break (message, ack);
        }
        acknowledged.push(message);
    };
    let (refused, ack) = refused;
    assert_eq!(ack.code, "AE", "the sender keeps it and sends it again: {}", ack.text);
    assert!(ack.text.contains("full"), "{}", ack.text);
    assert!(!acknowledged.is_empty());
    gateway.wait_for("status says so", |gateway| gateway.json(&["status"])["buffer"]["full"] == true);

    // What is in can be delivered: the reserve was given up for that.
    platform.fault(Fault::None);
    gateway.settled();
    let sent = ids(&acknowledged);
    let faults = account(&gateway).faults(&sent, &sent);
    assert!(faults.is_empty(), "{faults:?}");

    // Room again: what was refused is taken when the sender tries again.
    drop(file);
    fs::remove_file(&filler).unwrap();
    gateway.wait_for("there is room again", |gateway| {
        Sender::connect(gateway.ports[0]).unwrap().send(&refused.1).is_ok_and(|ack| ack.code == "AA")
    });
    gateway.settled();
    assert_eq!(gateway.fates(&refused.0).first().map(String::as_str), Some("delivered"));
    gateway.stop();
}

#[test]
fn a_small_buffer_gives_up_what_is_delivered_and_goes_on() {
    let runtime = Runtime::new().unwrap();
    let certificates = tempfile::tempdir().unwrap();
    let platform = runtime.block_on(Embedded::start(certificates.path()));
    let setup = Setup {
        destinations: destination("region", &platform.url, Some(&platform.ca)),
        buffer: "max_size = \"64MiB\"",
        ..Setup::default()
    };
    let mut gateway = Gateway::new(PROGRAM, &setup);
    gateway.start();
    let mut hospital = Hospital::new("S", 1);
    let mut sender = Sender::connect(gateway.ports[0]).unwrap();
    sender.patience(std::time::Duration::from_secs(60));
    // Twice what it may hold. A feed that holds answers late, never wrongly.
    for n in 0..64 {
        let message = large(&mut hospital, n, 2 << 20);
        let ack = sender.send(&message.1).unwrap();
        assert_eq!(ack.code, "AA", "{n}: {}", ack.text);
    }
    gateway.settled();
    gateway.wait_for("it is within its size", |gateway| {
        gateway.json(&["status"])["buffer"]["bytes"].as_u64().unwrap() < 64 << 20
    });
}

#[test]
fn a_directory_that_cannot_be_written_ends_with_2_and_says_which() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"not a directory").unwrap();
    let beneath = file.join("data");
    let mut gateway = Gateway::new(PROGRAM, &Setup { directory: Some(beneath.clone()), ..Setup::default() });
    gateway.spawn();
    assert_eq!(gateway.exit_code(), 2);
    assert!(gateway.log().contains(&beneath.display().to_string()), "{}", gateway.log());

    let Some(disk) = Tmpfs::mount(&dir.path().join("read-only"), "size=8m,ro") else {
        return println!("{SKIPPED}");
    };
    let data = disk.0.join("data");
    let mut gateway = Gateway::new(PROGRAM, &Setup { directory: Some(data.clone()), ..Setup::default() });
    gateway.spawn();
    assert_eq!(gateway.exit_code(), 2);
    let log = gateway.log();
    assert!(log.contains(&data.display().to_string()) && log.contains("Read-only"), "{log}");
}

/// Everything sealed that lies in a directory's databases.
fn sealed(directory: &Path) -> BTreeSet<Vec<u8>> {
    /// Format, key id, object id, nonce and tag.
    const LEAST: usize = 1 + 4 + 16 + 12 + 16;
    let mut blobs = BTreeSet::new();
    let mut files = vec![directory.join("state.db")];
    files.extend(fs::read_dir(directory.join("seg")).unwrap().map(|entry| entry.unwrap().path()));
    for path in files.iter().filter(|path| path.extension().is_some_and(|end| end == "db")) {
        let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
        let mut names = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").unwrap();
        let tables: Vec<String> =
            names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        for table in tables {
            let mut statement = db.prepare(&format!("SELECT * FROM \"{table}\"")).unwrap();
            let columns = statement.column_count();
            let mut rows = statement.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                for column in 0..columns {
                    if let ValueRef::Blob(blob) = row.get_ref(column).unwrap()
                        && blob.len() >= LEAST
                        && blob[0] == 1
                    {
                        blobs.insert(blob.to_vec());
                    }
                }
            }
        }
    }
    blobs
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else if path.is_file() {
            fs::copy(&path, &target).unwrap();
        }
    }
}

#[test]
fn an_image_of_the_disk_put_back_uses_no_nonce_twice_and_yields_to_what_the_platform_has() {
    let mut house = House::new();
    let mut hospital = Hospital::new("I", 1);
    let person = Person::numbered(1);
    let visit = |ward: &str, hospital: &mut Hospital| {
        let time = hospital.time();
        let pv1 = format!("PV1|1|I|{ward}^1^1||||||||||||||||V0000001^^^HIS");
        hospital.message("ADT^A08", &format!("EVN|A08|{time}\r{}\r{pv1}", person.pid()))
    };
    let first = visit("内科", &mut hospital);
    let second = visit("外科", &mut hospital);
    let third = visit("儿科", &mut hospital);
    let fourth = visit("眼科", &mut hospital);
    assert_eq!(house.fate(&first), "delivered");
    house.gateway.stop();
    let (data, image) = (house.gateway.path("data"), house.gateway.path("image"));
    copy(&data, &image);

    house.gateway.start();
    assert_eq!(house.fate(&third), "delivered");
    house.gateway.stop();
    let one_life = sealed(&data);

    fs::remove_dir_all(&data).unwrap();
    copy(&image, &data);
    house.gateway.start();
    // The box knows nothing of the third any more; the platform does.
    assert_eq!(house.fate(&second), "superseded");
    assert!(house.at_platform("Encounter")[0].to_string().contains("儿科"));
    assert_eq!(house.fate(&third), "delivered", "sent again, it changes nothing");
    assert_eq!(house.fate(&fourth), "delivered");
    assert!(house.at_platform("Encounter")[0].to_string().contains("眼科"));
    let seen = house.platform.seen();
    assert_eq!((seen.back_in_time, seen.same_position_other_content), (0, 0));
    assert_eq!(house.gateway.json(&["status"])["destinations"][0]["reads_back"], true);
    house.gateway.stop();

    let mut nonces: BTreeMap<Vec<u8>, &Vec<u8>> = BTreeMap::new();
    let other_life = sealed(&data);
    let own = (one_life.difference(&other_life).count(), other_life.difference(&one_life).count());
    assert!(own.0 > 0 && own.1 > 0, "both lives sealed something: {own:?}");
    for blob in one_life.iter().chain(&other_life) {
        if let Some(other) = nonces.insert(blob[21..33].to_vec(), blob) {
            assert_eq!(other, blob, "one nonce sealed two texts");
        }
    }
}

#[test]
fn a_clock_that_jumps_back_delays_nothing_and_turns_nothing_round() {
    let house = House::new();
    house.platform.fault(Fault::Down);
    let mut hospital = Hospital::new("C", 1);
    let person = Person::numbered(1);
    let messages = [hospital.adt("A01", &person), hospital.report(&person, "1", "F", 3)];
    house.accept(&messages[..1]);
    house.gateway.wait_for("the outage is noticed", |gateway| {
        gateway.json(&["status"])["destinations"][0]["last_failure"].is_string()
    });
    house.gateway.clock_off(-7 * 86_400);
    house.accept(&messages[1..]);
    house.platform.fault(Fault::None);
    house.gateway.settled();
    house.gateway.clock_off(40 * 86_400);
    let later = hospital.adt("A08", &person);
    assert_eq!(house.fate(&later), "delivered");
    house.gateway.clock_off(0);
    let last = hospital.adt("A08", &person);
    assert_eq!(house.fate(&last), "delivered");
    let sent: BTreeSet<String> = ids(messages.iter().chain([&later, &last]));
    let faults = account(&house.gateway).faults(&sent, &sent);
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!(house.platform.seen().back_in_time, 0);
    assert!(house.gateway.cli(&["audit", "verify"]).is_ok());
}

#[test]
fn a_capture_that_the_disk_spoilt_is_named_and_does_not_hold_up_the_others() {
    let mut house = House::with("mode = \"observe\"\nidentifiers = { \"MR\" = \"HIS\" }\n");
    let mut hospital = Hospital::new("X", 1);
    house.platform.fault(Fault::Down);
    let messages: Vec<_> = (0..3).map(|n| hospital.adt("A01", &Person::numbered(n))).collect();
    // Committed and not yet refined: the state of a box that died right then.
    house.accept(&messages);
    house.gateway.settled();
    house.gateway.stop();
    let data = house.gateway.path("data");
    let segment = data.join("seg/00000001.db");
    let db = Connection::open(&segment).unwrap();
    let mut blob: Vec<u8> =
        db.query_row("SELECT sealed FROM capture WHERE id = 2", [], |row| row.get(0)).unwrap();
    let middle = blob.len() / 2;
    blob[middle] ^= 1;
    db.execute("UPDATE capture SET sealed = ?1 WHERE id = 2", [blob]).unwrap();
    drop(db);
    for file in ["state.db", "state.db-wal", "state.db-shm"] {
        let _ = fs::remove_file(data.join(file));
    }
    house.gateway.start();
    house.gateway.settled();
    assert_eq!(house.gateway.fates(&messages[0].0), ["observed"]);
    assert_eq!(house.gateway.fates(&messages[2].0), ["observed"]);
    let damaged = house.gateway.list(&["captures", "list", "--outcome", "quarantined"], "captures");
    assert_eq!(damaged.len(), 1);
    assert_eq!(damaged[0]["reason"], "damaged");
}

#[test]
fn a_segment_that_somebody_deleted_is_noticed_at_the_start_and_goes_on_when_it_is_given_up() {
    let mut house = House::with("mode = \"observe\"\nidentifiers = { \"MR\" = \"HIS\" }\n");
    let mut hospital = Hospital::new("G", 1);
    house.accept([&hospital.adt("A01", &Person::numbered(1))]);
    house.gateway.kill();
    let segments = house.gateway.path("data/seg");
    for end in ["db", "db-wal", "db-shm"] {
        let _ = fs::remove_file(segments.join("00000001").with_extension(end));
    }
    house.gateway.spawn();
    assert_eq!(house.gateway.exit_code(), 2);
    let log = house.gateway.log();
    assert!(log.contains("00000001.db had captures and is gone") && log.contains("touch"), "{log}");

    fs::write(segments.join("00000001.lost"), b"").unwrap();
    house.gateway.start();
    let next = hospital.adt("A08", &Person::numbered(2));
    assert_eq!(house.fate(&next), "observed");
    let audit = house.gateway.list(&["audit", "list"], "audit");
    assert!(audit.iter().any(|entry| entry["what"] == "segment-lost"), "{audit:?}");
    // Maintenance goes on: what ended before is closed.
    house.gateway.stop();
    house.gateway.start();
    house.gateway.wait_for("the ended segment is closed", |gateway| {
        let db = Connection::open(gateway.path("data/state.db")).unwrap();
        let open = "SELECT count(*) FROM segment WHERE state = 0";
        db.query_row(open, [], |row| row.get::<_, u32>(0)).is_ok_and(|open| open == 1)
    });
    assert!(!house.gateway.log().contains("maintenance:"), "{}", house.gateway.log());
}

#[test]
fn the_limit_of_a_partition_does_not_shrink_by_what_the_buffer_holds() {
    let mount = tempfile::tempdir().unwrap();
    let Some(disk) = Tmpfs::mount(&mount.path().join("disk"), "size=600m") else {
        return println!("{SKIPPED}");
    };
    let directory = Some(disk.0.join("data"));
    let setup = Setup { buffer: "max_size = \"95%\"", directory, ..Setup::default() };
    let mut gateway = Gateway::new(PROGRAM, &setup);
    gateway.start();
    let buffer = |gateway: &Gateway| gateway.json(&["status"])["buffer"].clone();
    let empty = buffer(&gateway)["limit"].as_u64().unwrap();
    let mut hospital = Hospital::new("P", 1);
    let mut sender = Sender::connect(gateway.ports[0]).unwrap();
    for n in 0..40 {
        let message = large(&mut hospital, n, 2 << 20);
        assert_eq!(sender.send(&message.1).unwrap().code, "AA");
    }
    let held = |gateway: &Gateway| buffer(gateway)["bytes"].as_u64().unwrap();
    gateway.wait_for("it is measured", |gateway| held(gateway) >= 40 << 20);
    let limit = buffer(&gateway)["limit"].as_u64().unwrap();
    assert!(limit.abs_diff(empty) < 8 << 20, "{empty} when it was empty, {limit} now");
    gateway.stop();
}

#[test]
fn nothing_is_destroyed_by_a_clock_that_was_stepped_or_that_nothing_keeps_in_step() {
    const WEEK: i64 = 8 * 86_400;
    let mut house = House::new();
    let toml = house.gateway.path("gateway.toml");
    let text = fs::read_to_string(&toml).unwrap().replace("clock = \"trusted\"", "clock = \"synchronised\"");
    fs::write(&toml, text).unwrap();
    let mut hospital = Hospital::new("T", 1);
    assert_eq!(house.fate(&hospital.adt("A01", &Person::numbered(1))), "delivered");
    // The segment ends, so that it could go.
    house.gateway.stop();
    house.gateway.start();
    let clock = |gateway: &Gateway, word: &str| gateway.json(&["status"])["clock"] == word;
    let alarmed = |gateway: &Gateway| {
        let status = gateway.json(&["status"]);
        status["alarms"].as_array().unwrap().iter().any(|alarm| alarm["code"] == "clock-doubtful")
    };
    let there = |gateway: &Gateway| gateway.path("data/seg/00000001.db").exists();
    house.gateway.wait_for("the ended segment is closed", |gateway| {
        let db = Connection::open(gateway.path("data/state.db")).unwrap();
        let open = "SELECT count(*) FROM segment WHERE state = 0";
        db.query_row(open, [], |row| row.get::<_, u32>(0)).is_ok_and(|open| open == 1)
    });
    assert!(clock(&house.gateway, "synchronised"));

    house.gateway.clock_off(WEEK);
    house.gateway.wait_for("the step is noticed", |gateway| clock(gateway, "stepped"));
    assert!(there(&house.gateway) && !alarmed(&house.gateway));
    // Time passes, and nothing keeps it in step any more.
    house.gateway.time(WEEK + 7200, 7200, false);
    house.gateway.wait_for("it is doubtful", |gateway| clock(gateway, "unsynchronised"));
    house.gateway.wait_for("somebody hears of it", alarmed);
    assert!(there(&house.gateway));
    house.gateway.time(WEEK + 7200, 7200, true);
    house.gateway.wait_for("what was delivered a week ago goes", |gateway| !there(gateway));
    assert!(!alarmed(&house.gateway));
}
