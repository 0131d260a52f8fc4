//! What a person at a terminal reads.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is where the command line prints")]

use serde_json::Value;

pub(super) fn line(text: &str) {
    println!("{text}");
}

pub(super) fn error(text: &str) {
    eprintln!("{text}");
}

pub(super) fn json(value: &Value) {
    println!("{value:#}");
}

pub(super) fn done(value: &Value) {
    println!("{}", text(&value["done"]));
}

/// Code maps, one a line.
pub(super) fn codes(value: &Value) {
    for map in value["maps"].as_array().into_iter().flatten() {
        println!(
            "{}@{}  {} rows, {} drafts, {} retired  {}  {}",
            text(&map["name"]),
            text(&map["version"]),
            map["rows"],
            map["drafts"],
            map["retired"],
            text(&map["file"]),
            names(&[&map["feeds"], &map["destinations"]]),
        );
    }
}

/// The names in some lists.
fn names(lists: &[&Value]) -> String {
    let all = lists.iter().flat_map(|list| list.as_array().into_iter().flatten());
    all.filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

/// Codes without a mapping, one a line, the most frequent first.
pub(super) fn unmapped(value: &Value) {
    for row in value["unmapped"].as_array().into_iter().flatten() {
        let code = match (&row["code"], &row["others"]) {
            (Value::String(code), _) => code.clone(),
            (_, Value::Bool(true)) => "(all others)".to_owned(),
            _ => "(hidden; --reason shows it)".to_owned(),
        };
        let draft = &row["draft"];
        let draft = if draft.is_null() {
            String::new()
        } else {
            format!("  draft {} in {} line {}", text(&draft["target"]), text(&draft["map"]), draft["line"])
        };
        println!(
            "{:>8}  {:8} {:12} {code} {} {}  {} to {}{draft}",
            row["seen"].to_string(),
            text(&row["feed"]),
            text(&row["kind"]),
            row["system"].as_str().unwrap_or_default(),
            row["display"].as_str().unwrap_or_default(),
            text(&row["first"]),
            text(&row["last"]),
        );
    }
    next(value);
}

/// Records that a map or a mapping made, and what sending them again does or did.
pub(super) fn recalled(value: &Value) {
    let mut ways = std::collections::BTreeMap::new();
    for row in value["records"].as_array().into_iter().flatten() {
        let maps = names(&[&row["maps"]]);
        let (way, kind, capture) = (text(&row["way"]), text(&row["kind"]), text(&row["capture"]));
        println!(
            "{way:10} {kind:11} {}  {capture}  mapping {}  {maps}",
            text(&row["record"]),
            row["mapping"]
        );
        *ways.entry(way).or_insert(0_u64) += 1;
    }
    let sums: Vec<String> = ways.iter().map(|(way, n)| format!("{n} {way}")).collect();
    println!("{}", if sums.is_empty() { "no records".to_owned() } else { sums.join(", ") });
    next(value);
}

/// Each field on a line.
pub(super) fn fields(value: &Value) {
    for (key, value) in value.as_object().into_iter().flatten() {
        println!("{key:12} {}", text(value));
    }
}

pub(super) fn status(value: &Value) {
    let buffer = &value["buffer"];
    println!(
        "hospital-gateway {} on {}, since {}",
        text(&value["version"]),
        text(&value["site"]["device"]),
        text(&value["started"])
    );
    println!(
        "buffer   {} of {}{}; intake {}, state {}; key {}",
        size(&buffer["bytes"]),
        size(&buffer["limit"]),
        if buffer["full"] == true { ", FULL: feeds hold" } else { "" },
        text(&buffer["intake"]),
        text(&buffer["state"]),
        text(&buffer["key"]),
    );
    println!("clock    {}", text(&value["clock"]));
    println!("refine   {} of {}", text(&value["refine"]["refined"]), text(&value["refine"]["committed"]));
    println!();
    feeds(value);
    println!();
    let rows = list(&value["destinations"]).iter().map(|d| {
        let counts = &d["counts"];
        let waits = match (&d["last_failure"], &d["waits_until"]) {
            (Value::Null, _) => String::new(),
            (failure, until) => format!("{} (next try {})", text(failure), text(until)),
        };
        vec![
            text(&d["name"]),
            text(&d["mode"]),
            number(&counts["waiting"]),
            number(&counts["delivered"]),
            number(&counts["superseded"]),
            number(&counts["withheld"]),
            number(&counts["dead"]),
            d["oldest_waiting"]["seconds"].as_i64().map(|s| format!("{s} s")).unwrap_or_default(),
            waits,
        ]
    });
    let head = [
        "destination",
        "mode",
        "waiting",
        "delivered",
        "superseded",
        "withheld",
        "dead",
        "oldest",
        "trouble",
    ];
    table(&head, rows.collect());
    for destination in list(&value["destinations"]) {
        if let Some(strays) = destination["answers_unmatched"].as_u64().filter(|strays| *strays > 0) {
            println!(
                "  {}: {strays} answers named no message that was sent just then, taken for nothing",
                text(&destination["name"])
            );
        }
    }
    for alarm in list(&value["alarms"]) {
        println!("ALARM {} {} since {}", text(&alarm["code"]), text(&alarm["key"]), text(&alarm["since"]));
    }
}

pub(super) fn feeds(value: &Value) {
    let feeds = list(&value["feeds"]);
    let rows = feeds.iter().map(|feed| {
        let counts = &feed["counts"];
        vec![
            text(&feed["name"]),
            text(&feed["listen"]),
            text(&feed["mode"]),
            text(&feed["connections"]),
            text(&feed["received"]),
            text(&feed["acknowledged"]),
            number(&counts["quarantined"]),
            number(&counts["duplicate"]),
            number(&counts["not-interpreted"]),
            millis(&feed["ack_p50_us"]),
            millis(&feed["ack_p99_us"]),
            text(&feed["last"]),
        ]
    });
    let head = [
        "feed",
        "listen",
        "mode",
        "open",
        "received",
        "acked",
        "quarantined",
        "duplicate",
        "not interp.",
        "p50",
        "p99",
        "last",
    ];
    table(&head, rows.collect());
    for feed in feeds {
        for (why, n) in feed["refused"].as_object().into_iter().flatten() {
            println!("  {}: {n} refused: {why}", text(&feed["name"]));
        }
        if let Some(ack_to) = feed["ack_to"].as_object() {
            println!(
                "  {}: {} acknowledgements told at {}, {} could not be told{}",
                text(&feed["name"]),
                text(&ack_to["told"]),
                text(&ack_to["address"]),
                text(&ack_to["untold"]),
                if ack_to["failing"] == true { "; it takes none just now" } else { "" },
            );
        }
    }
    peers(feeds);
}

/// Who is connected, since when, and what an engineer should know about each.
fn peers(feeds: &[Value]) {
    let all = || feeds.iter().flat_map(|feed| list(&feed["peers"]).iter().map(move |peer| (feed, peer)));
    if all().next().is_none() {
        return;
    }
    println!();
    let rows = all().map(|(feed, peer)| {
        vec![
            text(&feed["name"]),
            text(&peer["peer"]),
            text(&peer["connections"]),
            text(&peer["since"]),
            text(&peer["messages"]),
            text(&peer["last"]),
            list(&peer["notes"]).iter().map(text).collect::<Vec<_>>().join("; "),
        ]
    });
    table(&["feed", "peer", "open", "since", "messages", "last", "notes"], rows.collect());
}

pub(super) fn captures(value: &Value) {
    let rows = list(&value["captures"]).iter().map(|c| {
        ["id", "feed", "received", "control_id", "trigger", "bytes", "outcome", "reason"]
            .iter()
            .map(|key| text(&c[*key]))
            .collect()
    });
    table(
        &["capture", "feed", "received", "control id", "trigger", "bytes", "outcome", "reason"],
        rows.collect(),
    );
    next(value);
}

pub(super) fn capture(value: &Value) {
    for key in ["id", "feed", "received", "peer", "form", "charset", "outcome", "reason", "detail"] {
        if !value[key].is_null() {
            println!("{key:9} {}", text(&value[key]));
        }
    }
    println!("\n{}", text(&value["text"]));
}

pub(super) fn deliveries(value: &Value) {
    let rows = list(&value["deliveries"]).iter().map(|d| {
        ["id", "destination", "capture", "state", "reason", "queued", "settled"]
            .iter()
            .map(|key| text(&d[*key]))
            .collect()
    });
    table(&["delivery", "destination", "capture", "state", "reason", "queued", "settled"], rows.collect());
    next(value);
}

pub(super) fn conflicts(value: &Value) {
    for conflict in list(&value["conflicts"]) {
        let cell = |key: &str| text(&conflict[key]);
        println!(
            "conflict {} ({}), since {}, last in capture {}",
            cell("id"),
            cell("doubt"),
            cell("since"),
            cell("capture")
        );
        println!("  number {}  {} ({})", cell("number"), cell("name"), cell("person"));
        if !conflict["held_by"].is_null() {
            println!("  and {} ({})", cell("held_by_name"), cell("held_by"));
        }
        println!("  {}", cell("about"));
        for next in list(&conflict["next"]) {
            println!("  > {}", text(next));
        }
    }
    next(value);
}

pub(super) fn imported(value: &Value) {
    if value["dry_run"] == true {
        println!(
            "looked only; nothing was imported. Records of one person that are far apart count as two here"
        );
    }
    println!(
        "{} records: {} new persons, {} known with more, {} known, {} wrong",
        text(&value["records"]),
        text(&value["new"]),
        text(&value["more"]),
        text(&value["known"]),
        text(&value["wrong"])
    );
    for (doubt, n) in value["doubts"].as_object().into_iter().flatten() {
        println!("{n} {doubt}; see `hospital-gateway persons conflicts`");
    }
}

pub(super) fn person(value: &Value) {
    println!("person     {}", text(&value["id"]));
    if !value["merged_into"].is_null() {
        println!("merged     into {}", text(&value["merged_into"]));
    }
    for other in list(&value["stands_for"]) {
        println!("stands for {}", text(other));
    }
    json(&value["person"]);
    let rows = list(&value["history"]).iter().map(|decision| {
        ["at", "what", "person", "other", "capture", "who", "why"]
            .iter()
            .map(|key| text(&decision[*key]))
            .collect()
    });
    table(&["decided", "what", "person", "other", "capture", "by", "why"], rows.collect());
}

pub(super) fn audit(value: &Value) {
    let rows = list(&value["audit"])
        .iter()
        .map(|e| ["seq", "at", "who", "what", "reason", "object"].iter().map(|key| text(&e[*key])).collect());
    table(&["entry", "at", "who", "what", "reason", "object"], rows.collect());
    next(value);
}

fn next(value: &Value) {
    if !value["next"].is_null() {
        println!("more: --after {}", text(&value["next"]));
    }
}

/// Columns as wide as what is in them; the last one goes free.
fn table(head: &[&str], rows: Vec<Vec<String>>) {
    let width = |n: usize| {
        let cells = rows.iter().filter_map(|row| row.get(n)).map(|cell| columns(cell));
        cells.chain([head[n].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let print = |cells: &[String]| {
        let padded = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell}{}", " ".repeat(width.saturating_sub(columns(cell)))));
        println!("{}", padded.collect::<Vec<_>>().join("  ").trim_end());
    };
    print(&head.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>());
    for row in &rows {
        print(row);
    }
}

/// Columns of a terminal that a text takes: two for a hanzi.
fn columns(text: &str) -> usize {
    text.chars().map(|c| if ('\u{1100}'..='\u{ffe6}').contains(&c) { 2 } else { 1 }).sum()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn number(value: &Value) -> String {
    value.as_i64().unwrap_or(0).to_string()
}

fn millis(value: &Value) -> String {
    value.as_u64().map(|micros| format!("{} ms", micros as f64 / 1000.0)).unwrap_or_default()
}

fn size(value: &Value) -> String {
    let bytes = value.as_f64().unwrap_or(0.0);
    if bytes >= 1e9 { format!("{:.1} GB", bytes / 1e9) } else { format!("{:.1} MB", bytes / 1e6) }
}
