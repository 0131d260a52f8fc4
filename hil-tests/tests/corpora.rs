//! Real messages of public projects, through the real gateway, to the strict peer, to a platform whose bytes are compared
//! with the messages field by field, and to one that has faults all the time. Reads `CORPORA_DIR/hl7`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says where")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use hil_tests::gateway::{Gateway, LIVE, Setup, destination};
use hil_tests::mllp::Sender;
use hil_tests::oracle::{Found, Said, difference, results};
use hil_tests::platform::{Embedded, Fault, NodePeer};
use serde_json::Value;
use tokio::runtime::Runtime;

/// The offset of times that carry none: that of the gateway's site.
const SITE: &str = "+08:00";

/// What became of the files of a folder.
#[derive(Default)]
struct Tally {
    files: usize,
    refused: usize,
    outcomes: BTreeMap<String, usize>,
    /// OBX of messages that were delivered.
    lines: usize,
    /// OBX that are, field by field, an Observation.
    found: usize,
    wrong: Vec<String>,
    /// What was said so far: a report keeps the results that a later message about it leaves out.
    said: Vec<Said>,
}

/// A message as it is sent.
struct Message {
    control_id: String,
    text: String,
    file: String,
}

/// What goes in one frame: a message, or a batch of them.
struct Frame {
    payload: String,
    messages: Vec<Message>,
    is_batch: bool,
}

#[test]
fn every_public_message_is_taken_or_refused_with_a_reason_and_no_result_vanishes_or_changes() {
    let Ok(dir) = std::env::var("CORPORA_DIR") else {
        println!("skipped: CORPORA_DIR is not set");
        return;
    };
    let Some(strict) = NodePeer::start() else {
        println!(
            "skipped: the packages of hil-tests/platform are not installed; hil-tests/run installs them"
        );
        return;
    };
    let mut folders: Vec<PathBuf> = fs::read_dir(Path::new(&dir).join("hl7"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    let mut wrong = Vec::new();
    println!("{:40} {:>5} {:>7}  {:>5} {:>5}  outcomes", "folder", "files", "refused", "OBX", "same");
    for (n, folder) in folders.iter().enumerate() {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let tally = through(folder, n, &strict);
        println!(
            "{name:40} {:>5} {:>7}  {:>5} {:>5}  {:?}",
            tally.files, tally.refused, tally.lines, tally.found, tally.outcomes
        );
        wrong.extend(tally.wrong.iter().map(|text| format!("{name}: {text}")));
    }
    assert!(wrong.is_empty(), "{} results that vanished or changed:\n{}", wrong.len(), wrong.join("\n"));
}

/// Sends every file of a folder twice to a gateway with a buffer of its own.
fn through(folder: &Path, number: usize, strict: &NodePeer) -> Tally {
    let runtime = Runtime::new().unwrap();
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [clean, faulty] = [0, 1].map(|n| runtime.block_on(Embedded::start(dirs[n].path())));
    faulty.fault(Fault::Flaky);
    let destinations = [
        destination("strict", &strict.url(), None),
        destination("clean", &clean.url, Some(&clean.ca)),
        format!("{}required = false\n", destination("faulty", &faulty.url, Some(&faulty.ca))),
    ];
    let setup = Setup { feeds: &[("his", LIVE)], destinations: destinations.concat(), ..Setup::default() };
    let mut gateway = Gateway::new(env!("CARGO_BIN_EXE_demo"), &setup);
    gateway.start();
    let mut tally = Tally::default();
    let frames = frames(folder, number);
    tally.files = frames.len();
    for wave in waves(&frames) {
        let sent: Vec<&Message> =
            wave.iter().filter(|frame| send(&mut tally, &gateway, frame)).flat_map(|f| &f.messages).collect();
        gateway.wait_for("everything is at the platforms without faults", |gateway| {
            let status = gateway.json(&["status"]);
            let all = status["destinations"].as_array().unwrap();
            let waits = |d: &Value| d["name"] != "faulty" && d["counts"]["waiting"].as_i64().unwrap_or(0) > 0;
            status["refine"]["behind"] == false && !all.iter().any(waits)
        });
        let fates = fates(&gateway, usize::MAX);
        for message in sent {
            account(&mut tally, &clean, message, &fates);
        }
    }
    let captured = gateway.captures().len();
    for frame in &frames {
        send(&mut Tally::default(), &gateway, frame);
    }
    faulty.fault(Fault::None);
    gateway.settled();
    assert!(gateway.captures().len() > captured);
    let fates = fates(&gateway, captured);
    for message in frames.iter().flat_map(|frame| &frame.messages) {
        if let Some(fate) = fates.get(&message.control_id) {
            *tally.outcomes.entry(fate.clone()).or_default() += 1;
        }
    }
    let (clean, faulty) = (clean.seen(), faulty.seen());
    assert_eq!((clean.back_in_time, faulty.back_in_time), (0, 0), "{}", folder.display());
    let differing: Vec<_> = clean
        .resources
        .keys()
        .filter(|url| clean.resources.get(*url) != faulty.resources.get(*url))
        .collect();
    assert!(
        differing.is_empty(),
        "{}: other at the platform that had faults: {differing:?}",
        folder.display()
    );
    assert_eq!(clean.resources.len(), faulty.resources.len());
    let stats = strict.stats();
    assert_eq!(stats["rejected"], 0, "{}: the validator refused something: {stats}", folder.display());
    let status = gateway.json(&["status"]);
    for destination in status["destinations"].as_array().unwrap() {
        assert_eq!(destination["counts"]["dead"].as_i64().unwrap_or(0), 0, "{}: {status}", folder.display());
    }
    tally
}

/// The files of a folder as they are sent; what is empty is left out, an empty frame is not answered.
fn frames(folder: &Path, number: usize) -> Vec<Frame> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| {
        path.extension().is_some_and(|end| ["hl7", "txt", "er7"].contains(&&*end.to_string_lossy()))
    });
    files.sort();
    let mut frames = Vec::new();
    for (n, path) in files.iter().enumerate() {
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let control_id = format!("F{number}C{n:04}");
        let raw = String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
        if !hl7::batch::is_batch(raw.as_bytes()) {
            let text = prepared(&raw, &control_id);
            if !text.trim().is_empty() {
                let payload = text.clone();
                frames.push(Frame {
                    payload,
                    messages: vec![Message { control_id, text, file }],
                    is_batch: false,
                });
            }
            continue;
        }
        let (mut payload, mut end, mut messages) = (String::new(), 0, Vec::new());
        for (m, span) in hl7::batch::Batch::read(raw.as_bytes()).messages().enumerate() {
            let control_id = format!("{control_id}.{m}");
            let text = prepared(&raw[span.clone()], &control_id);
            payload.push_str(&raw[end..span.start]);
            payload.push_str(&text);
            end = span.end;
            messages.push(Message { control_id, text, file: file.clone() });
        }
        payload.push_str(&raw[end..]);
        frames.push(Frame { payload, messages, is_batch: true });
    }
    frames
}

/// Frames that share no number, so that what each of them says can be looked at before another one changes it. Those that
/// share one stay in their order.
fn waves(frames: &[Frame]) -> Vec<Vec<&Frame>> {
    let mut waves: Vec<Vec<&Frame>> = Vec::new();
    let mut last: BTreeMap<String, usize> = BTreeMap::new();
    for frame in frames {
        let numbers: BTreeSet<String> =
            frame.messages.iter().flat_map(|message| numbers(&message.text)).collect();
        let wave =
            numbers.iter().filter_map(|number| last.get(number)).map(|wave| wave + 1).max().unwrap_or(0);
        last.extend(numbers.into_iter().map(|number| (number, wave)));
        if waves.len() <= wave {
            waves.resize_with(wave + 1, Vec::new);
        }
        waves[wave].push(frame);
    }
    waves
}

/// Everything in a message that may be the number of a person, order or visit.
fn numbers(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in text.split(['\r', '\n']) {
        let fields: Vec<&str> = line.split('|').collect();
        let places: &[usize] = match fields[0].trim() {
            "PID" => &[2, 3, 4, 18, 19],
            "OBR" | "ORC" => &[2, 3],
            "PV1" => &[19],
            "MRG" => &[1, 4],
            "SPM" => &[2],
            _ => continue,
        };
        for place in places {
            let parts = fields.get(*place).copied().unwrap_or_default().split(['~', '^', '&']);
            found.extend(parts.map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned));
        }
    }
    found
}

/// Sends a frame; false where it was refused, which says why.
fn send(tally: &mut Tally, gateway: &Gateway, frame: &Frame) -> bool {
    // A refusal may end in a closed connection: each has its own.
    let answer = Sender::connect(gateway.ports[0]).unwrap().send(frame.payload.as_bytes()).unwrap();
    if frame.is_batch {
        let accepted = answer.text.split('\r').filter(|line| line.starts_with("MSA|AA|")).count();
        assert_eq!(accepted, frame.messages.len(), "{}", answer.text);
        return true;
    }
    let message = &frame.messages[0];
    let readable = hl7::Header::read(message.text.as_bytes()).is_ok();
    assert_eq!(answer.code == "AA", readable, "{}: {}", message.file, answer.text);
    if !readable {
        assert!(answer.text.contains("\rERR|"), "{}: a refusal says why", message.file);
        tally.refused += 1;
    }
    readable
}

/// What became of every message of the first `captures`, and why.
fn fates(gateway: &Gateway, captures: usize) -> BTreeMap<String, String> {
    let fate = |capture: &Value| {
        let part = |name: &str| capture[name].as_str().unwrap_or_default().to_owned();
        let (outcome, reason) = (part("outcome"), part("reason"));
        let fate = if outcome == "quarantined" { format!("{outcome} {reason}") } else { outcome };
        (part("control_id"), fate)
    };
    gateway.captures().iter().take(captures).map(fate).collect()
}

/// Production, answered in original mode, with a number of its own.
fn prepared(raw: &str, control_id: &str) -> String {
    // Some files hold remains of their frames; between a VT and an FS of ours they would be another frame's.
    let text = raw.trim_end_matches(['\u{b}', '\u{1c}', '\r', '\n']).trim_start_matches('\u{b}').to_owned();
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

/// Every result of a delivered message is one Observation, the same in every field, and no Observation is anything else.
fn account(tally: &mut Tally, platform: &Embedded, message: &Message, fates: &BTreeMap<String, String>) {
    // What waits has only the faulty platform still before it.
    let fate = fates.get(&message.control_id).map(String::as_str).unwrap_or_default();
    if !matches!(fate, "delivered" | "waiting")
        || !["|ORU^R", "|OUL^R"].iter().any(|kind| message.text.contains(kind))
    {
        return;
    }
    let end = format!("#{}", message.control_id);
    let seen = platform.seen();
    let mut own: Vec<Found> = Vec::new();
    for (_, body) in seen.resources.iter().filter(|(url, _)| url.starts_with("Observation/")) {
        let observation: Value = serde_json::from_slice(body).unwrap();
        if observation["meta"]["source"].as_str().is_some_and(|source| source.ends_with(&end)) {
            own.push(Found::read(body, &seen.resources));
        }
    }
    let said = results(&message.text, SITE);
    for said in &said {
        tally.lines += said.lines;
        match own.iter().position(|found| difference(said, found).is_none()) {
            Some(at) => {
                own.swap_remove(at);
                tally.found += said.lines;
            }
            None => tally.wrong.push(format!("{}: {}", message.file, nearest(said, &own))),
        }
    }
    tally.said.extend(said);
    own.retain(|found| !tally.said.iter().any(|said| difference(said, found).is_none()));
    for found in own {
        tally.wrong.push(format!("{}: nobody said {found:?}", message.file));
    }
}

/// What is said, beside what comes nearest to it.
fn nearest(said: &Said, all: &[Found]) -> String {
    let near = all.iter().filter(|found| found.codes.starts_with(&said.codes) || said.codes.is_empty());
    let near: Vec<String> =
        near.take(2).map(|found| format!("\n    {:?} differs: {found:?}", difference(said, found))).collect();
    format!("{said:?}{}", near.concat())
}
