//! Real messages of public projects, through the real gateway to the strict peer. Reads `CORPORA_DIR/hl7`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says where")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use hil_tests::gateway::{Gateway, LIVE, Setup, destination};
use hil_tests::mllp::Sender;
use hil_tests::oracle::{Obx, results};
use hil_tests::platform::NodePeer;
use serde_json::Value;

/// What became of the files of a folder.
#[derive(Default)]
struct Tally {
    files: usize,
    refused: usize,
    outcomes: BTreeMap<String, usize>,
    results: usize,
    found: usize,
    listed: Vec<String>,
}

#[test]
fn every_public_message_is_taken_or_refused_with_a_reason_and_no_result_vanishes() {
    let Ok(dir) = std::env::var("CORPORA_DIR") else {
        println!("skipped: CORPORA_DIR is not set");
        return;
    };
    if NodePeer::start().is_none() {
        println!(
            "skipped: the packages of hil-tests/platform are not installed; hil-tests/run installs them"
        );
        return;
    }
    let mut folders: Vec<PathBuf> = fs::read_dir(Path::new(&dir).join("hl7"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    let mut missing = Vec::new();
    println!("{:48} {:>5} {:>7}  {:>5} {:>5}  outcomes", "folder", "files", "refused", "OBX", "found");
    for folder in folders {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let tally = through(&folder);
        println!(
            "{name:48} {:>5} {:>7}  {:>5} {:>5}  {:?}",
            tally.files, tally.refused, tally.results, tally.found, tally.outcomes
        );
        missing.extend(tally.listed.iter().map(|text| format!("{name}: {text}")));
    }
    assert!(missing.is_empty(), "results that vanished:\n{}", missing.join("\n"));
}

/// Sends every file of a folder to a gateway with a buffer of its own.
fn through(folder: &Path) -> Tally {
    let peer = NodePeer::start().unwrap();
    let setup = Setup {
        feeds: &[("his", LIVE)],
        destinations: destination("region", &peer.url(), None),
        ..Setup::default()
    };
    let mut gateway = Gateway::new(env!("CARGO_BIN_EXE_demo"), &setup);
    gateway.start();
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| {
        path.extension().is_some_and(|end| ["hl7", "txt", "er7"].contains(&&*end.to_string_lossy()))
    });
    files.sort();
    let mut tally = Tally::default();
    for (n, file) in files.iter().enumerate() {
        tally.files += 1;
        let control_id = format!("C{n:04}");
        let raw = fs::read(file).unwrap();
        if hl7::batch::is_batch(&raw) {
            batch(&mut tally, &gateway, &peer, file, &control_id);
            continue;
        }
        let text = prepared(&raw, &control_id);
        if text.trim().is_empty() {
            // An empty frame is counted and not answered.
            *tally.outcomes.entry("empty".to_owned()).or_default() += 1;
            continue;
        }
        // A refusal may end in a closed connection: each file has its own.
        let ack = Sender::connect(gateway.ports[0]).unwrap().send(text.as_bytes()).unwrap();
        let readable = hl7::Header::read(text.as_bytes()).is_ok();
        assert_eq!(ack.code == "AA", readable, "{}: {}", file.display(), ack.text);
        if ack.code != "AA" {
            assert!(ack.text.contains("\rERR|"), "{}: a refusal says why", file.display());
            tally.refused += 1;
            continue;
        }
        settle(&mut tally, &gateway, &peer, file, &control_id, &text);
    }
    let stats = peer.stats();
    assert_eq!(stats["rejected"], 0, "{}: the validator refused something: {stats}", folder.display());
    let status = gateway.json(&["status"]);
    assert_eq!(status["destinations"][0]["counts"]["dead"].as_i64().unwrap_or(0), 0, "{}", folder.display());
    tally
}

/// What became of one message, and whether its results are at the peer.
fn settle(tally: &mut Tally, gateway: &Gateway, peer: &NodePeer, file: &Path, control_id: &str, text: &str) {
    gateway.settled();
    let fate = gateway.fates(control_id).pop().unwrap();
    let reason = reason(gateway, control_id).filter(|_| fate == "quarantined");
    let outcome = reason.map_or_else(|| fate.clone(), |reason| format!("{fate} {reason}"));
    *tally.outcomes.entry(outcome).or_default() += 1;
    if fate == "delivered" && text.contains("|ORU^R01") {
        account(tally, peer, file, control_id, &results(text));
    }
}

/// A batch file: each of its messages is answered and settled like any other.
fn batch(tally: &mut Tally, gateway: &Gateway, peer: &NodePeer, file: &Path, control_id: &str) {
    let raw = String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned();
    let found = hl7::batch::Batch::read(raw.as_bytes());
    let (mut payload, mut end, mut messages) = (String::new(), 0, Vec::new());
    for (n, span) in found.messages().enumerate() {
        let id = format!("{control_id}.{n}");
        let message = prepared(raw[span.clone()].as_bytes(), &id);
        payload.push_str(&raw[end..span.start]);
        payload.push_str(&message);
        end = span.end;
        messages.push((id, message));
    }
    payload.push_str(&raw[end..]);
    let answer = Sender::connect(gateway.ports[0]).unwrap().send(payload.as_bytes()).unwrap();
    let accepted = answer.text.split('\r').filter(|line| line.starts_with("MSA|AA|")).count();
    assert_eq!(accepted, messages.len(), "{}: {}", file.display(), answer.text);
    if messages.is_empty() {
        *tally.outcomes.entry("empty batch".to_owned()).or_default() += 1;
    }
    for (id, message) in &messages {
        settle(tally, gateway, peer, file, id, message);
    }
}

fn reason(gateway: &Gateway, control_id: &str) -> Option<String> {
    let captures = gateway.captures();
    let own = captures.iter().rev().find(|capture| capture["control_id"] == control_id)?;
    own["reason"].as_str().map(str::to_owned)
}

/// Production, answered in original mode, with a number of its own.
fn prepared(raw: &[u8], control_id: &str) -> String {
    let text = String::from_utf8_lossy(raw).into_owned();
    // Some files hold remains of their frames; between a VT and an FS of ours they would be another frame's.
    let text = text.trim_end_matches(['\u{b}', '\u{1c}', '\r', '\n']).trim_start_matches('\u{b}').to_owned();
    let end = text.find(['\r', '\n']).unwrap_or(text.len());
    let (msh, rest) = text.split_at(end);
    let at = msh.find("MSH").unwrap_or(0);
    let mut fields: Vec<&str> = msh[at..].split('|').collect();
    if !msh[at..].starts_with("MSH|") || fields.len() < 10 {
        return text;
    }
    while fields.len() < 12 {
        fields.push("");
    }
    fields[9] = control_id;
    fields[10] = "P";
    for n in [14, 15] {
        if let Some(field) = fields.get_mut(n) {
            *field = "";
        }
    }
    format!("{}{}{rest}", &msh[..at], fields.join("|"))
}

/// Every OBX of the message has to be in what the peer holds of it.
fn account(tally: &mut Tally, peer: &NodePeer, file: &Path, control_id: &str, wanted: &[Obx]) {
    let end = format!("#{control_id}");
    let own: Vec<String> = peer
        .dump()
        .iter()
        .filter(|resource| resource["resourceType"] == "Observation")
        .filter(|resource| resource["meta"]["source"].as_str().is_some_and(|source| source.ends_with(&end)))
        .map(Value::to_string)
        .collect();
    for obx in wanted {
        tally.results += 1;
        if own.iter().any(|observation| holds(observation, obx)) {
            tally.found += 1;
        } else {
            tally.listed.push(format!("{}: {obx:?}", file.file_name().unwrap().to_string_lossy()));
        }
    }
}

/// Whether an Observation, as JSON, holds what an OBX says: its code, and its value, unit and range word by word as far as
/// neither an escape nor a delimiter touches them.
fn holds(observation: &str, obx: &Obx) -> bool {
    // A document stands in a Binary of its own.
    let value = if obx.kind == "ED" { "" } else { &obx.value };
    let parts = [&obx.code, value, &obx.unit, &obx.range];
    let words = parts.into_iter().flat_map(|part| part.split(['^', '~', '&', '\\', '"', ' ', '\t']));
    let plain =
        |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-'));
    words.filter(plain).take(4).all(|word| {
        let is_time = matches!(obx.kind.as_str(), "DT" | "TM" | "TS" | "DTM") && word == obx.value;
        let is_escape = word.starts_with('.') || matches!(word, "F" | "S" | "T" | "R" | "E" | "H" | "N");
        // The peer reads numbers as JavaScript does and forgets trailing zeros; that they are sent is tested in `render`.
        let number = word.parse::<f64>().ok().filter(|_| word.contains('.')).map(|number| number.to_string());
        is_escape
            || observation.contains(word)
            || number.is_some_and(|number| observation.contains(&number))
            || is_time && observation.replace(['-', ':'], "").contains(&word[..word.len().min(8)])
    })
}
