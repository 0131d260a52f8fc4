//! `persons import`: reads a table three times (to tell it, to check it, to hand it over), each time in bounded memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use hl7::charset::Charset;
use ring::digest::{Context, SHA256};
use serde_json::{Value, json};

use super::client::Client;
use super::{Trouble, print};
use crate::refine::{CHUNK, Chunk, Imported};
use crate::table::{Row, Table};

/// Wrong lines that are shown; the rest is counted.
const SHOWN: usize = 100;
/// Lines with doubts that are listed as JSON; the rest is counted, and all are in `persons conflicts`.
const LISTED: usize = 10_000;
/// A chunk is at most about so large.
const BYTES: usize = 512 << 10;

/// What is to be imported and how.
pub(super) struct Import<'a> {
    pub(super) file: &'a Path,
    pub(super) charset: Option<&'a str>,
    pub(super) dry_run: bool,
    pub(super) skip_wrong: bool,
    pub(super) reason: &'a str,
    pub(super) json: bool,
}

/// What an import came to.
#[derive(Default)]
struct Sum {
    rows: u64,
    wrong: u64,
    faults: Vec<String>,
    imported: Imported,
    doubts: BTreeMap<String, u64>,
}

/// Imports a table.
pub(super) fn run(client: &Client, import: &Import<'_>) -> Result<Value, Trouble> {
    let (digest, utf8) = told(import)?;
    let charset = match import.charset {
        None if utf8 => Charset::Utf8,
        None => Charset::Gb18030,
        Some("utf-8") => Charset::Utf8,
        Some("gb18030" | "gbk" | "gb2312") => Charset::Gb18030,
        Some(_) => return Err(Trouble::Setup("--charset is utf-8 or gb18030".to_owned())),
    };
    let mut sum = checked(import, charset)?;
    for fault in &sum.faults {
        print::error(fault);
    }
    if sum.wrong > 0 && !import.skip_wrong {
        return Err(Trouble::Failed(format!(
            "{} of {} records are wrong; nothing was imported. Mend them, or leave them out with --skip-wrong",
            sum.wrong, sum.rows
        )));
    }
    let words = format!("{} records", sum.rows - sum.wrong);
    let begin =
        json!({ "reason": import.reason, "table": digest, "words": words, "dry_run": import.dry_run });
    let after = client.post("/v1/persons/import/begin", &begin)?["after"].as_u64().unwrap_or(0);
    if after > 0 && !import.json {
        print::line(&format!("the table is in the index up to line {after}; it goes on from there"));
    }
    hand_over(client, import, charset, (&digest, after), &mut sum)?;
    let (new, more, known) = (sum.imported.new, sum.imported.more, sum.imported.known);
    if !import.dry_run {
        let words = format!("{new} new, {more} with more, {known} known, {} wrong", sum.wrong);
        let end = json!({ "reason": import.reason, "table": digest, "words": words });
        client.post("/v1/persons/import/end", &end)?;
    }
    Ok(json!({
        "dry_run": import.dry_run,
        "records": sum.rows,
        "resumed_after": after,
        "new": new,
        "more": more,
        "known": known,
        "wrong": sum.wrong,
        "faults": sum.faults,
        "doubts": sum.doubts,
        "lines": sum.imported.doubts.iter().map(|(line, doubt)| json!({ "line": line, "doubt": doubt })).collect::<Vec<_>>(),
    }))
}

fn open(import: &Import<'_>) -> Result<BufReader<File>, Trouble> {
    let failed = |error| Trouble::Setup(format!("{} cannot be read: {error}", import.file.display()));
    File::open(import.file).map(|file| BufReader::with_capacity(1 << 16, file)).map_err(failed)
}

fn unreadable(import: &Import<'_>) -> impl Fn(std::io::Error) -> Trouble {
    let file = import.file.display().to_string();
    move |error| Trouble::Failed(format!("{file} cannot be read to its end: {error}"))
}

/// What tells the file from others, and whether it is UTF-8.
fn told(import: &Import<'_>) -> Result<(String, bool), Trouble> {
    let (mut input, failed) = (open(import)?, unreadable(import));
    let (mut digest, mut utf8, mut rest) = (Context::new(&SHA256), true, Vec::new());
    loop {
        let read = input.fill_buf().map_err(&failed)?;
        if read.is_empty() {
            break;
        }
        digest.update(read);
        // A character may begin in one part and end in the next.
        rest.extend_from_slice(read);
        let used = read.len();
        input.consume(used);
        match core::str::from_utf8(&rest) {
            Ok(_) => rest.clear(),
            Err(error) if error.error_len().is_none() => drop(rest.drain(..error.valid_up_to())),
            Err(_) => {
                utf8 = false;
                rest.clear();
            }
        }
    }
    let hex = digest.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((hex, utf8 && rest.is_empty()))
}

fn table(import: &Import<'_>, charset: Charset) -> Result<Table<BufReader<File>>, Trouble> {
    let table = Table::open(open(import)?, charset).map_err(unreadable(import))?;
    table.map_err(|fault| Trouble::Failed(format!("{}: {fault}", import.file.display())))
}

/// Reads the whole table before anything of it is handed over.
fn checked(import: &Import<'_>, charset: Charset) -> Result<Sum, Trouble> {
    let (mut table, failed, mut sum) = (table(import, charset)?, unreadable(import), Sum::default());
    while let Some(row) = table.next().map_err(&failed)? {
        sum.rows += 1;
        if let Err(fault) = row {
            sum.wrong += 1;
            if sum.faults.len() < SHOWN {
                sum.faults.push(fault.to_string());
            }
        }
    }
    Ok(sum)
}

fn hand_over(
    client: &Client,
    import: &Import<'_>,
    charset: Charset,
    (digest, mut after): (&str, u64),
    sum: &mut Sum,
) -> Result<(), Trouble> {
    let (mut table, failed) = (table(import, charset)?, unreadable(import));
    let (mut rows, mut bytes): (Vec<Row>, usize) = (Vec::with_capacity(CHUNK), 0);
    let begin = after;
    loop {
        let next = table.next().map_err(&failed)?;
        let ended = next.is_none();
        if let Some(Ok(row)) = next
            && row.line > begin
        {
            bytes += size(&row);
            rows.push(row);
        }
        if rows.len() < CHUNK && bytes < BYTES && !ended {
            continue;
        }
        if let Some(last) = rows.last().map(|row| row.line) {
            let dry_run = import.dry_run;
            let chunk = Chunk { table: digest.to_owned(), after, rows: core::mem::take(&mut rows), dry_run };
            let chunk = serde_json::to_value(chunk).map_err(|error| Trouble::Failed(error.to_string()))?;
            let answer = client.post("/v1/persons/import/chunk", &chunk)?;
            let imported =
                serde_json::from_value(answer).map_err(|error| Trouble::Failed(error.to_string()))?;
            add(sum, imported, import.json);
            (after, bytes) = (last, 0);
        }
        if ended {
            return Ok(());
        }
    }
}

fn add(sum: &mut Sum, imported: Imported, json: bool) {
    sum.imported.new += imported.new;
    sum.imported.more += imported.more;
    sum.imported.known += imported.known;
    for (line, doubt) in imported.doubts {
        *sum.doubts.entry(doubt.clone()).or_default() += 1;
        if !json {
            print::line(&format!("line {line}: {doubt}"));
        } else if sum.imported.doubts.len() < LISTED {
            sum.imported.doubts.push((line, doubt));
        }
    }
}

/// About how much a row takes on the way.
fn size(row: &Row) -> usize {
    let numbers: usize = row.identifiers.iter().map(|identifier| identifier.value.len() + 64).sum();
    let phones: usize = row.phones.iter().map(String::len).sum();
    let name = row.name.as_ref().and_then(|name| name.family.as_ref()).map_or(0, String::len);
    numbers + phones + name + row.address.as_ref().map_or(0, String::len) + 128
}
