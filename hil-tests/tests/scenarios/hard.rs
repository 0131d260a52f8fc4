//! Hard inputs: deaf, long, large, old and damaged.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use hil_tests::hospital::{Hospital, Person};
use hil_tests::mllp::framed;
use hil_tests::platform::Fault;
use serde_json::Value;

use crate::House;

/// Resident memory of the gateway, in MiB.
fn resident(house: &House) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", house.gateway.process())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// A house that has been at work for a while.
fn warm() -> (House, Hospital) {
    let house = House::new();
    let mut hospital = Hospital::new("W", 1);
    let messages: Vec<_> =
        (0..50).map(|n| hospital.report(&Person::numbered(n), &n.to_string(), "F", 12)).collect();
    house.accept(&messages);
    house.gateway.settled();
    (house, hospital)
}

fn text_of<'a>(observations: &'a [Value], code: &str) -> &'a str {
    let own = observations.iter().find(|o| o["code"]["coding"][0]["code"] == code);
    own.and_then(|o| o["valueString"].as_str()).unwrap_or_default()
}

#[test]
fn a_sender_that_never_reads_its_answers_is_dammed_up_alone_and_memory_stays_flat() {
    let (house, mut hospital) = warm();
    let before = resident(&house);
    let mut deaf = TcpStream::connect(("127.0.0.1", house.gateway.ports[0])).unwrap();
    deaf.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    // What is echoed makes the answers as long as the messages.
    let name = "x".repeat(4000);
    let frame = |n: usize| {
        framed(format!("MSH|^~\\&|{name}|H|GW|R|20261101||ADT^A08|D{n}|P|2.4\rPID|1||D1^^^HIS^MR").as_bytes())
    };
    let dammed = (0..20_000).find(|n| deaf.write_all(&frame(*n)).is_err());
    assert!(dammed.is_some(), "80 MB of messages whose answers nobody reads were taken");
    let message = hospital.adt("A08", &Person::numbered(1));
    house.accept([&message]);
    assert!(resident(&house) < before + 48, "{before} MiB grew to {} MiB", resident(&house));
    drop(deaf);
    house
        .gateway
        .wait_for("the deaf one is gone", |gateway| gateway.json(&["feeds"])["feeds"][0]["connections"] == 0);
}

#[test]
fn sixteen_mib_of_junk_and_nuls_cost_no_memory_and_the_next_message_is_taken() {
    let (house, mut hospital) = warm();
    let before = resident(&house);
    let mut sender = house.sender();
    for filler in [b'x', 0] {
        for _ in 0..16 {
            sender.raw(&vec![filler; 1 << 20]).unwrap();
        }
        let message = hospital.adt("A08", &Person::numbered(1));
        let ack = sender.send(&message.1).unwrap();
        assert_eq!((ack.code.as_str(), &ack.control_id), ("AA", &message.0));
    }
    assert!(resident(&house) < before + 48, "{before} MiB grew to {} MiB", resident(&house));
    let junk = house.gateway.json(&["feeds"])["feeds"][0]["junk_bytes"].as_u64();
    assert_eq!(junk, Some(32 << 20));
}

#[test]
fn a_message_of_a_hundred_thousand_segments_is_interpreted_to_the_last_one() {
    let (house, mut hospital) = warm();
    let mut segments = format!("{}\rOBR|1|PL1|FL1|X^Y^L|||20261101090000", Person::numbered(7).pid());
    for n in 0..100_000 {
        segments.push_str(match n % 100 {
            99 => "\rOBX|1|ST|",
            _ => "\rNTE|1|L|",
        });
        segments.push_str(&match n % 100 {
            99 => format!("C{n}^c^L||{n}||||||F"),
            _ => format!("note {n}"),
        });
    }
    let message = hospital.message("ORU^R01", &segments);
    assert_eq!(house.fate(&message), "delivered", "{}\n{}", house.reason(&message.0), house.gateway.log());
    let observations = house.at_platform("Observation");
    assert_eq!(observations.len(), 600 + 1000);
    assert_eq!(text_of(&observations, "C99999"), "99999");
    let notes: usize = observations.iter().map(|o| o["note"].as_array().map_or(0, Vec::len)).sum();
    let report =
        house.at_platform("DiagnosticReport").into_iter().find(|r| r["conclusion"].is_string()).unwrap();
    let conclusion = report["conclusion"].as_str().unwrap().lines().count();
    assert_eq!(notes + conclusion, 99_000, "every note has its place");
}

#[test]
fn a_result_of_five_megabytes_goes_up_whole_beside_its_neighbour() {
    let (house, mut hospital) = warm();
    let long = "0123456789abcdef".repeat(5 << 16);
    let segments = format!(
        "{}\rOBR|1|PL2|FL2|X^Y^L|||20261101090000\rOBX|1|TX|LONG^l^L||{long}||||||F\rOBX|2|NM|GLU^g^L||5.10|mmol/L|||||F",
        Person::numbered(8).pid()
    );
    let message = hospital.message("ORU^R01", &segments);
    assert_eq!(house.fate(&message), "delivered", "{}\n{}", house.reason(&message.0), house.gateway.log());
    let observations = house.at_platform("Observation");
    assert_eq!(text_of(&observations, "LONG").len(), long.len());
    assert!(observations.iter().any(|o| o["code"]["coding"][0]["code"] == "GLU"));
    assert!(resident(&house) < 400, "{} MiB", resident(&house));
}

#[test]
fn versions_from_2_1_to_2_9_on_one_connection_are_one_person() {
    let house = House::new();
    let mut sender = house.sender();
    let versions = ["2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.8.2", "2.9"];
    for (n, version) in versions.iter().enumerate() {
        let old = version < &"2.3";
        // Old ones know neither the event segment's time nor typed numbers; from 2.7 on MSH-2 has a fifth character.
        let encoding = if version >= &"2.7" { "^~\\&#" } else { "^~\\&" };
        let kind = if old { "ADT^A04" } else { "ADT^A04^ADT_A01" };
        let number = if old { "M1^^^HIS" } else { "M1^^^HIS&1.2.3&ISO^MR" };
        let version = if version >= &"2.5" { format!("{version}^CHN^&&&") } else { (*version).to_owned() };
        let text = format!(
            "MSH|{encoding}|SIM|H|GW|R|2026110108{n:02}||{kind}|V{n}|P|{version}\rEVN|A04|2026110108{n:02}\rPID|1||{number}||ZHANG^SAN||19700101|M\rPV1|1|O|||||||||||||||||V1^^^HIS\r"
        );
        let ack = sender.send(text.as_bytes()).unwrap();
        assert_eq!((ack.code.as_str(), ack.control_id), ("AA", format!("V{n}")));
        assert!(ack.text.contains(&format!("|{}\r", version.split('^').next().unwrap())), "{}", ack.text);
    }
    house.gateway.settled();
    // Of two that wait together the later one goes.
    let fates: BTreeSet<_> =
        (0..versions.len()).flat_map(|n| house.gateway.fates(&format!("V{n}"))).collect();
    assert!(fates.iter().all(|fate| fate == "delivered" || fate == "superseded"), "{fates:?}");
    assert_eq!(house.gateway.fates(&format!("V{}", versions.len() - 1)), ["delivered"]);
    assert_eq!((house.at_platform("Patient").len(), house.at_platform("Encounter").len()), (1, 1));
}

#[test]
fn unfinished_and_unknown_escapes_go_up_as_they_were_written() {
    let house = House::new();
    let mut hospital = Hospital::new("E", 1);
    let values = [
        (r"C:\new\", r"C:\new\"),
        (r"a\b", r"a\b"),
        (r"\", r"\"),
        (r"end\F", r"end\F"),
        (r"\Q\ and \T\", r"\Q\ and &"),
        (r"\X4\ \XZZ\ \X41\", r"\X4\ \XZZ\ A"),
        (r"\Zlocal\ \Cffff\ \M0000\", r"\Zlocal\ \Cffff\ \M0000\"),
        (r"1\S\2\R\3\E\4", r"1^2~3\4"),
        (r"\E\F\E\", r"\F\"),
    ];
    let obx: Vec<String> = values
        .iter()
        .enumerate()
        .map(|(n, (sent, _))| format!("OBX|{n}|ST|E{n}^e^L||{sent}||||||F"))
        .collect();
    let message = hospital.message(
        "ORU^R01",
        &format!("{}\rOBR|1|P1|F1|X^Y^L|||20261101\r{}", Person::numbered(1).pid(), obx.join("\r")),
    );
    assert_eq!(house.fate(&message), "delivered");
    let observations = house.at_platform("Observation");
    for (n, (sent, meant)) in values.iter().enumerate() {
        assert_eq!(text_of(&observations, &format!("E{n}")), *meant, "{sent}");
    }
}

#[test]
fn results_of_two_patients_in_one_message_never_become_one_patients() {
    let house = House::new();
    let mut hospital = Hospital::new("M", 1);
    let (one, other) = (Person::numbered(1), Person::numbered(2));
    let order = |n: usize| format!("OBR|{n}|P{n}|F{n}|X^Y^L|||20261101090000\rOBX|1|ST|C{n}^c^L||{n}||||||F");
    let both = format!("{}\r{}\r{}\r{}", one.pid(), order(1), other.pid(), order(2));
    let message = hospital.message("ORU^R01", &both);
    let fate = house.fate(&message);
    let patients = house.at_platform("Patient");
    let holder = |code: &str| {
        let all = house.at_platform("Observation");
        let own = all.iter().find(|o| o["code"]["coding"][0]["code"] == code)?;
        let id = own["subject"]["reference"].as_str()?.strip_prefix("Patient/")?.to_owned();
        let patient = patients.iter().find(|patient| patient["id"] == id.as_str())?;
        Some(patient["identifier"].to_string())
    };
    assert_eq!(fate, "delivered");
    assert!(holder("C1").unwrap().contains(&one.number) && holder("C2").unwrap().contains(&other.number));
    // Nothing of one that cannot be taken apart.
    let unclear = hospital
        .message("ORU^R01", &format!("{}\r{}\r{}\rOBX|1|ST|C3||3||||||F", one.pid(), order(4), other.pid()));
    assert_eq!(house.fate(&unclear), "quarantined");
    assert_eq!(house.at_platform("Observation").len(), 2);
}

#[test]
fn a_platform_that_is_away_fills_no_log() {
    let (house, mut hospital) = warm();
    house.platform.fault(Fault::Down);
    let before = house.gateway.log().lines().count();
    let messages: Vec<_> = (0..300).map(|n| hospital.adt("A08", &Person::numbered(n % 50))).collect();
    house.accept(&messages);
    house.gateway.wait_for("everything waits", |gateway| {
        let status = gateway.json(&["status"]);
        status["refine"]["behind"] == false
            && status["destinations"][0]["counts"]["waiting"].as_i64() >= Some(50)
    });
    let during = house.gateway.log().lines().count();
    house.platform.fault(Fault::None);
    house.gateway.settled();
    let log = house.gateway.log();
    assert!(log.lines().count() < before + 20, "{during} lines in the outage, then\n{log}");
}
