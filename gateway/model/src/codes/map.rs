//! A map: a whole file, checked.

use core::fmt;
use std::collections::HashMap;

use super::CodeKind;
use super::csv::Records;
use super::row::{COLUMNS, MapRow, Places, RowState};

/// Rows of a map at most.
const ROWS: usize = 100_000;
/// Bytes of a file at most.
const BYTES: usize = 16 << 20;
/// Faults that are told at once.
const FAULTS: usize = 100;

/// A map of codes.
pub struct CodeMap {
    label: String,
    rows: Vec<MapRow>,
    /// Rows that are not retired: for each kind, by what they are found by.
    index: [HashMap<Box<str>, Vec<u32>>; CodeKind::ALL.len() + 1],
}

/// One fault of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapFault {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong and what to do.
    pub text: String,
}

impl fmt::Debug for CodeMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}

impl CodeMap {
    /// Reads a file. `name` is what it is called: 1 to 63 of a-z, 0-9, - _ .
    ///
    /// # Errors
    /// With its faults, each with its line.
    pub fn read(name: &str, bytes: &[u8]) -> Result<Self, Vec<MapFault>> {
        let fault = |line, text: &str| vec![MapFault { line, text: text.to_owned() }];
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
        if name.is_empty() || name.len() > 63 || !name.bytes().all(plain) {
            return Err(fault(1, "a map is called by its file: 1 to 63 of a-z, 0-9, - _ . before .csv"));
        }
        if bytes.len() > BYTES {
            return Err(fault(1, "a map has 16 MiB at most"));
        }
        let text = text(bytes)?;
        let mut faults = Vec::new();
        let mut records = Records::new(text);
        let places = match records.next() {
            None => return Err(fault(1, "there is nothing in it: the first line names the columns")),
            Some(Err((line, text))) => return Err(fault(line, text)),
            Some(Ok(header)) => places(header.line, &header.fields)?,
        };
        let mut map = Self { label: label(name, bytes), rows: Vec::new(), index: Default::default() };
        for record in records {
            if faults.len() >= FAULTS {
                break;
            }
            match record {
                Err((line, text)) => faults.push(MapFault { line, text: text.to_owned() }),
                // What a spreadsheet leaves of a row that was emptied.
                Ok(record) if record.fields.iter().all(|field| field.trim().is_empty()) => {}
                Ok(record) if record.fields.len() != width(&places) => {
                    let (has, wants) = (record.fields.len(), width(&places));
                    let text = format!("the line has {has} fields, the header {wants}");
                    faults.push(MapFault { line: record.line, text });
                }
                Ok(record) => match MapRow::read(record.line, &record.fields, &places) {
                    Ok(row) => faults.extend(map.add(row)),
                    Err(texts) => {
                        let line = record.line;
                        faults.extend(texts.into_iter().map(|text| MapFault { line, text }));
                    }
                },
            }
        }
        if faults.is_empty() { Ok(map) } else { Err(faults) }
    }

    /// Adds a row, unless another one says something about the same code at the same time.
    fn add(&mut self, row: MapRow) -> Option<MapFault> {
        if self.rows.len() >= ROWS {
            let text = format!("a map has {ROWS} rows at most");
            return Some(MapFault { line: row.line, text });
        }
        if row.state != RowState::Retired {
            let same = self.index[row.kind as usize].entry(row.key().into()).or_default();
            let twice = same.iter().filter_map(|n| self.rows.get(*n as usize)).find(|held| {
                held.source_system == row.source_system
                    && held.target_system == row.target_system
                    && held.overlaps(&row)
            });
            if let Some(held) = twice {
                let (kind, key, line) = (row.kind, row.key(), held.line);
                let text = format!(
                    "{kind} {key} stands on line {line} already; one of the two is retired, or ends before the other begins"
                );
                return Some(MapFault { line: row.line, text });
            }
            same.push(u32::try_from(self.rows.len()).ok()?);
        }
        self.rows.push(row);
        None
    }

    /// What outgoing resources name it by: `NAME@VERSION`. The version is the beginning of the file's SHA-256.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.label.split('@').next().unwrap_or_default()
    }

    /// Its version.
    pub fn version(&self) -> &str {
        self.label.split('@').nth(1).unwrap_or_default()
    }

    /// Its rows in the order of the file.
    pub fn rows(&self) -> &[MapRow] {
        &self.rows
    }

    /// Whether it has rows of a kind.
    pub(super) fn covers(&self, kind: CodeKind) -> bool {
        !self.index[kind as usize].is_empty()
    }

    /// The rows about a code or, where there is none, about words; those that name the source's system first.
    pub(super) fn find(&self, kind: CodeKind, system: Option<&str>, key: &str) -> Vec<&MapRow> {
        let Some(found) = self.index[kind as usize].get(key) else { return Vec::new() };
        let rows = found.iter().filter_map(|n| self.rows.get(*n as usize));
        let mut rows: Vec<&MapRow> = rows
            .filter(|row| row.source_system.is_empty() || Some(row.source_system.as_str()) == system)
            .collect();
        rows.sort_by_key(|row| row.source_system.is_empty());
        rows
    }
}

/// The text of a file; a byte order mark may stand before it.
fn text(bytes: &[u8]) -> Result<&str, Vec<MapFault>> {
    let refuse = |line, text: &str| Err(vec![MapFault { line, text: text.to_owned() }]);
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return refuse(1, "the file is UTF-16: save it as `CSV UTF-8`");
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match core::str::from_utf8(bytes) {
        Ok(text) if text.contains('\0') => refuse(1, "the file holds NUL bytes: it is no CSV"),
        Ok(text) => Ok(text),
        Err(error) => {
            let line = bytes[..error.valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
            refuse(
                line,
                "this is not UTF-8; Excel saves `CSV` as GB18030 (GBK): save it as `CSV UTF-8` instead",
            )
        }
    }
}

fn places(line: usize, header: &[std::borrow::Cow<'_, str>]) -> Result<Places, Vec<MapFault>> {
    let mut faults = Vec::new();
    let mut fault = |text: String| faults.push(MapFault { line, text });
    if header.len() == 1 && header[0].contains([';', '\t']) {
        fault("columns are separated by commas".to_owned());
    }
    let mut places: Places = [None; COLUMNS.len()];
    for (at, written) in header.iter().enumerate() {
        let name = written.trim();
        match COLUMNS.iter().position(|(column, _)| *column == name) {
            Some(n) if places[n].is_some() => fault(format!("the column {name} stands twice")),
            Some(n) => places[n] = Some(at),
            None => {
                let names = COLUMNS.map(|(name, _)| name).join(", ");
                fault(format!("there is no column {name}; columns are {names}"));
            }
        }
    }
    for ((name, required), place) in COLUMNS.iter().zip(places) {
        if *required && place.is_none() {
            fault(format!("the column {name} is missing"));
        }
    }
    if faults.is_empty() { Ok(places) } else { Err(faults) }
}

fn width(places: &Places) -> usize {
    places.iter().flatten().count()
}

fn label(name: &str, bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let version: String = digest.as_ref().iter().take(6).map(|b| format!("{b:02x}")).collect();
    format!("{name}@{version}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "kind,source_system,source_code,source_text,target_system,target_code,author,state,valid_from,valid_to\n";

    fn read(rows: &str) -> Result<CodeMap, Vec<MapFault>> {
        CodeMap::read("lab", format!("{HEADER}{rows}").as_bytes())
    }

    /// The faults as a person reads them.
    fn faults(rows: &str) -> String {
        let faults = read(rows).unwrap_err();
        faults.iter().map(|f| format!("{}: {}\n", f.line, f.text)).collect()
    }

    #[test]
    fn a_clumsy_file_is_told_line_by_line() {
        let told = faults(
            "test,,GLU,,,2345-8,Li,reviewed,,\n\
             unit,,mg/dL,,,mmol/L,Li,reviewed,,\n\
             unit,,x10,,,10^9/L,Li,reviewed,,\n\
             tset,,A,,,1,Li,done,,\n\
             test,,A,,,\n\
             specimen,,BLD,,,B,,draft,2026-13-01,\n\
             test,,\"A,,,\n",
        );
        for expected in [
            "2: target_code 2345-8 is no LOINC number",
            "3: mg/dL is a unit of UCUM already and is not mmol/L",
            "4: target_code 10^9/L: ",
            "5: kind is one of test, unit",
            "5: state is draft, reviewed or retired",
            "6: the line has 6 fields, the header 10",
            "7: valid_from is a day",
            "7: author is missing",
            "7: target_system is missing",
            "8: a quotation mark is opened here and never closed",
        ] {
            assert!(told.contains(expected), "{expected} in\n{told}");
        }
    }

    #[test]
    fn a_code_stands_once_for_each_time_and_system() {
        let glucose = "test,,GLU,,,2345-7,Li,reviewed,,2026-06-30\n";
        let later = "test,,GLU,,,14749-6,Li,reviewed,2026-07-01,\n";
        assert_eq!(read(&format!("{glucose}{later}")).unwrap().rows().len(), 2);
        let told = faults(&format!("{glucose}test,,GLU,,,14749-6,Li,draft,,\n"));
        assert!(told.contains("3: test GLU stands on line 2 already"), "{told}");
        let old = "test,,GLU,,,2345-7,Li,retired,,\n";
        assert!(read(&format!("{old}{later}{old}test,L2,GLU,,,2345-7,Li,reviewed,,\n")).is_ok());
    }

    #[test]
    fn encodings_are_read_or_refused_by_name() {
        let text = format!("{HEADER}test,,GLU,\u{8461}\u{8404}\u{7cd6},,2345-7,Li,reviewed,,\n");
        let with_mark = [b"\xef\xbb\xbf", text.as_bytes()].concat();
        assert_eq!(
            CodeMap::read("lab", &with_mark).unwrap().rows()[0].source_text,
            "\u{8461}\u{8404}\u{7cd6}"
        );
        let gbk = [HEADER.as_bytes(), b"test,,GLU,\xc6\xcf\xcc\xd1\xcc\xc7,,2345-7,Li,reviewed,,\n"].concat();
        let refused = CodeMap::read("lab", &gbk).unwrap_err();
        assert!(refused[0].line == 2 && refused[0].text.contains("GB18030"), "{refused:?}");
        let utf16 = CodeMap::read("lab", b"\xff\xfek\0").unwrap_err();
        assert!(utf16[0].text.contains("UTF-16"));
        let semicolons = CodeMap::read("lab", b"kind;source_code\n").unwrap_err();
        assert!(semicolons[0].text.contains("commas"));
    }

    #[test]
    fn the_version_is_the_content() {
        let (one, two) =
            (read("test,,GLU,,,2345-7,Li,reviewed,,\n"), read("test,,GLU,,,14749-6,Li,reviewed,,\n"));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!((one.name(), one.version().len()), ("lab", 12));
        assert_ne!(one.version(), two.version());
        assert!(CodeMap::read("\u{5f20}\u{4e09}", HEADER.as_bytes()).is_err());
    }
}
