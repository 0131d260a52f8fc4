//! An existing index as a table (CSV): read record by record in bounded memory, each fault with its line and column.

use std::io::{self, BufRead, Read as _};

use hl7::charset::Charset;
use model::{Document, Identifier, IdentifierKind, PersonName, ResidentId, Sex};
use serde::{Deserialize, Serialize};

/// A record is at most so long.
const RECORD: usize = 64 << 10;
/// A table has at most so many columns.
const COLUMNS: usize = 64;

/// A person as one record of the table states it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
    /// The line that the record begins in.
    pub(crate) line: u64,
    pub(crate) identifiers: Vec<Identifier>,
    pub(crate) name: Option<PersonName>,
    pub(crate) sex: Option<Sex>,
    /// YYYY, YYYYMM or YYYYMMDD.
    pub(crate) birth: Option<String>,
    pub(crate) phones: Vec<String>,
    pub(crate) address: Option<String>,
}

/// What is wrong with a table, and where. The text in question stays out of it: it is somebody's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}{}: {what}", match column { Some(column) => format!(", column {column}"), None => String::new() })]
pub(crate) struct Fault {
    pub(crate) line: u64,
    /// The name of the column, from the first line.
    pub(crate) column: Option<String>,
    pub(crate) what: String,
}

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Column {
    Name,
    Sex,
    Birth,
    Phone,
    Address,
    ResidentId,
    HealthCode,
    Document(Document),
    Number(String),
}

const WORDS: &str = "a column is name, sex, birth, phone, address, resident-id, health-code, passport, hk-macau-permit, \
                     taiwan-permit, foreign-resident, or number:AUTHORITY for the numbers that an authority gave (number:HIS)";

/// Reads a table. Opened, it has read the first line.
pub(crate) struct Table<R> {
    records: Records<R>,
    charset: Charset,
    columns: Vec<(String, Column)>,
}

impl<R: BufRead> Table<R> {
    /// Reads the names of the columns.
    pub(crate) fn open(input: R, charset: Charset) -> io::Result<Result<Self, Fault>> {
        let mut records = Records { input, line: 0 };
        let Some(first) = records.next()? else {
            return Ok(Err(Fault { line: 1, column: None, what: format!("the table is empty: {WORDS}") }));
        };
        Ok(first.and_then(|(line, fields)| {
            let columns = head(line, fields, charset)?;
            Ok(Self { records, charset, columns })
        }))
    }

    /// The next person, or what is wrong with the record.
    pub(crate) fn next(&mut self) -> io::Result<Option<Result<Row, Fault>>> {
        let Some(record) = self.records.next()? else { return Ok(None) };
        Ok(Some(record.and_then(|(line, fields)| self.row(line, fields))))
    }

    fn row(&self, line: u64, fields: Vec<Vec<u8>>) -> Result<Row, Fault> {
        if fields.len() != self.columns.len() {
            let what = format!("{} fields where the first line names {}", fields.len(), self.columns.len());
            return Err(Fault { line, column: None, what });
        }
        let mut row = Row { line, ..Row::default() };
        for (field, (name, column)) in fields.iter().zip(&self.columns) {
            let fault = |what: &str| Fault { line, column: Some(name.clone()), what: what.to_owned() };
            let text = self.charset.decode(field).ok_or_else(|| fault(&not_of(self.charset)))?;
            let text = text.trim();
            if !text.is_empty() {
                put(&mut row, column, text).map_err(fault)?;
            }
        }
        if row.identifiers.is_empty() {
            let what = "it has no number, so nobody would be found by it".to_owned();
            return Err(Fault { line, column: None, what });
        }
        Ok(row)
    }
}

fn not_of(charset: Charset) -> String {
    format!("the bytes are not {}; name the character set with --charset", charset.name())
}

/// The columns that the first line names.
fn head(line: u64, fields: Vec<Vec<u8>>, charset: Charset) -> Result<Vec<(String, Column)>, Fault> {
    let fault = |column: Option<String>, what: String| Fault { line, column, what };
    if fields.len() > COLUMNS {
        return Err(fault(None, format!("{} columns; at most {COLUMNS}", fields.len())));
    }
    let mut columns: Vec<(String, Column)> = Vec::with_capacity(fields.len());
    for field in fields {
        let name = charset.decode(&field).ok_or_else(|| fault(None, not_of(charset)))?.trim().to_owned();
        let column =
            column(&name).ok_or_else(|| fault(Some(name.clone()), format!("it is not known: {WORDS}")))?;
        if columns.iter().any(|(_, held)| *held == column) {
            return Err(fault(Some(name), "it stands there twice".to_owned()));
        }
        columns.push((name, column));
    }
    let number = |column: &Column| {
        matches!(column, Column::Number(_) | Column::ResidentId | Column::HealthCode | Column::Document(_))
    };
    if !columns.iter().any(|(_, column)| number(column)) {
        return Err(fault(None, format!("no column holds a number: {WORDS}")));
    }
    Ok(columns)
}

fn column(name: &str) -> Option<Column> {
    let plain = name.to_lowercase().replace('_', "-");
    if let Some(authority) =
        name.split_once(':').filter(|_| plain.starts_with("number:")).map(|(_, a)| a.trim())
    {
        return (!authority.is_empty()).then(|| Column::Number(authority.to_owned()));
    }
    Some(match plain.as_str() {
        "name" | "姓名" => Column::Name,
        "sex" | "gender" | "性别" => Column::Sex,
        "birth" | "birth-date" | "出生日期" => Column::Birth,
        "phone" | "电话" | "联系电话" => Column::Phone,
        "address" | "地址" | "住址" => Column::Address,
        "resident-id" | "身份证号" | "身份证号码" => Column::ResidentId,
        "health-code" | "电子健康码" => Column::HealthCode,
        "护照" | "护照号" => Column::Document(Document::Passport),
        other => Column::Document(Document::from_name(other)?),
    })
}

fn put(row: &mut Row, column: &Column, text: &str) -> Result<(), &'static str> {
    match column {
        Column::Name => {
            row.name = Some(PersonName { family: Some(text.to_owned()), ..PersonName::default() })
        }
        Column::Sex => {
            let wrong = "a sex is M, F, O, U, a digit of GB/T 2261.1, 男 or 女";
            row.sex = Some(Sex::read(text).ok_or(wrong)?);
        }
        Column::Birth => row.birth = Some(birth(text)?),
        Column::Phone => row.phones.push(text.to_owned()),
        Column::Address => row.address = Some(text.to_owned()),
        // A number that is not well formed is kept as a claim, and listed.
        Column::ResidentId => {
            let normal = ResidentId::read(text).map(|id| id.as_str().to_owned());
            let value = normal.unwrap_or_else(|_| text.to_owned());
            row.identifiers.push(Identifier::new(IdentifierKind::ResidentId, value));
        }
        Column::HealthCode => row.identifiers.push(Identifier::new(IdentifierKind::HealthCode, text)),
        Column::Document(document) => {
            let kind = IdentifierKind::Document { document: *document, country: None };
            let value = document.read(text).unwrap_or_else(|| text.to_owned());
            row.identifiers.push(Identifier::new(kind, value));
        }
        Column::Number(authority) => {
            let kind = IdentifierKind::Assigned { authority: authority.clone(), code: None };
            row.identifiers.push(Identifier::new(kind, text));
        }
    }
    Ok(())
}

/// The digits of a date; a time of day behind it is left out.
fn birth(text: &str) -> Result<String, &'static str> {
    const FORM: &str = "a birth date is written YYYYMMDD or YYYY-MM-DD (or YYYY/M/D, YYYY-MM, YYYY)";
    let date = text.split([' ', 'T']).next().unwrap_or_default();
    let mut parts = date.split(['-', '/', '.']);
    let first = parts.next().unwrap_or_default();
    let mut digits = first.to_owned();
    for part in parts {
        if first.len() != 4 || !(1..=2).contains(&part.len()) {
            return Err(FORM);
        }
        digits.push_str(&format!("{part:0>2}"));
    }
    if !matches!(digits.len(), 4 | 6 | 8) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(FORM);
    }
    model::PartialTime::read(&digits, None, &jiff::tz::TimeZone::UTC).map_err(|_| "there is no such day")?;
    Ok(digits)
}

/// The records of a file in the form of RFC 4180: lines end in LF or CR LF, a field in quotation marks may hold commas, line ends
/// and doubled quotation marks.
struct Records<R> {
    input: R,
    line: u64,
}

type Found = Result<(u64, Vec<Vec<u8>>), Fault>;

/// Where in a record a byte stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At the beginning of a field.
    Begin,
    /// In a field without quotation marks.
    Plain,
    /// Between quotation marks.
    Quoted,
    /// Behind one that closes the field, or is the first of a doubled one.
    Closing,
}

impl Place {
    const fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Quoted, b'"') => Self::Closing,
            (Self::Quoted, _) | (Self::Begin | Self::Closing, b'"') => Self::Quoted,
            (_, b',') => Self::Begin,
            _ => Self::Plain,
        }
    }
}

impl<R: BufRead> Records<R> {
    /// The next record that holds anything, with the line that it begins in.
    fn next(&mut self) -> io::Result<Option<Found>> {
        loop {
            let begins = self.line + 1;
            let (mut record, mut looked_at, mut place) = (Vec::new(), 0, Place::Begin);
            if !self.line(&mut record)? {
                return Ok(None);
            }
            if begins == 1 && record.starts_with(b"\xef\xbb\xbf") {
                record.drain(..3);
            }
            // Within quotation marks a record goes on over the end of the line.
            loop {
                place = record[looked_at..].iter().fold(place, |place, byte| place.after(*byte));
                looked_at = record.len();
                if place != Place::Quoted || record.len() > RECORD {
                    break;
                }
                record.push(b'\n');
                if !self.line(&mut record)? {
                    break;
                }
            }
            let fault = |what: String| Fault { line: begins, column: None, what };
            if record.len() > RECORD {
                let what = format!(
                    "the record is longer than {} KiB: a quotation mark is probably missing",
                    RECORD >> 10
                );
                return Ok(Some(Err(fault(what))));
            }
            if record.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            return Ok(Some(
                fields(&record).map(|fields| (begins, fields)).map_err(|what| fault(what.to_owned())),
            ));
        }
    }

    /// Adds the next line without its end. What is beyond the longest record is passed over. Answers whether there was one.
    fn line(&mut self, record: &mut Vec<u8>) -> io::Result<bool> {
        let before = record.len();
        let room = (RECORD + 2).saturating_sub(before).max(1) as u64;
        if self.input.by_ref().take(room).read_until(b'\n', record)? == 0 {
            return Ok(false);
        }
        self.line += 1;
        while record.last() != Some(&b'\n') {
            let rest = self.input.fill_buf()?;
            if rest.is_empty() {
                break;
            }
            let end = rest.iter().position(|b| *b == b'\n');
            let used = end.map_or(rest.len(), |at| at + 1);
            self.input.consume(used);
            if end.is_some() {
                break;
            }
        }
        if record.len() > before && record.last() == Some(&b'\n') {
            record.pop();
            if record.last() == Some(&b'\r') {
                record.pop();
            }
        }
        Ok(true)
    }
}

/// The fields of one record.
fn fields(record: &[u8]) -> Result<Vec<Vec<u8>>, &'static str> {
    let mut found = Vec::new();
    let mut rest = record;
    loop {
        let field;
        (field, rest) = match rest.strip_prefix(b"\"") {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let end = rest.iter().position(|b| *b == b',').unwrap_or(rest.len());
                if rest[..end].contains(&b'"') {
                    return Err(
                        "a quotation mark in the middle of a field: put the whole field in quotation marks and double it",
                    );
                }
                (rest[..end].to_vec(), &rest[end..])
            }
        };
        found.push(field);
        match rest.strip_prefix(b",") {
            Some(more) => rest = more,
            None => return Ok(found),
        }
    }
}

fn quoted_field(mut rest: &[u8]) -> Result<(Vec<u8>, &[u8]), &'static str> {
    let mut field = Vec::new();
    loop {
        let end = rest.iter().position(|b| *b == b'"').ok_or("a quotation mark that is never closed")?;
        field.extend_from_slice(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.first() {
            Some(b'"') => {
                field.push(b'"');
                rest = &rest[1..];
            }
            None | Some(b',') => return Ok((field, rest)),
            Some(_) => return Err("text behind a closing quotation mark"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &[u8], charset: Charset) -> Result<Vec<Result<Row, String>>, String> {
        let mut table = Table::open(text, charset).unwrap().map_err(|fault| fault.to_string())?;
        let mut rows = Vec::new();
        while let Some(row) = table.next().unwrap() {
            rows.push(row.map_err(|fault| fault.to_string()));
        }
        Ok(rows)
    }

    #[test]
    fn a_table_in_either_character_set_names_persons() {
        let text = "\u{feff}姓名,性别,出生日期,身份证号,number:HIS,电话\r\n张弢,女,1949/12/31,11010519491231002x,M1,\"138,1\"\r\n\r\n李,1,,,M2,\r\n";
        let utf8 = read(text.as_bytes(), Charset::Utf8).unwrap();
        let gb = read(&Charset::Gb18030.encode(&text[3..]), Charset::Gb18030).unwrap();
        assert_eq!(utf8, gb);
        let first = utf8[0].as_ref().unwrap();
        assert_eq!((first.line, first.birth.as_deref(), first.sex), (2, Some("19491231"), Some(Sex::Female)));
        let numbers: Vec<_> = first.identifiers.iter().map(|i| i.lookup().1.to_owned()).collect();
        assert_eq!(
            (numbers, first.phones.as_slice()),
            (vec!["11010519491231002X".to_owned(), "M1".to_owned()], &["138,1".to_owned()][..])
        );
        assert_eq!(utf8[1].as_ref().unwrap().line, 4);
    }

    #[test]
    fn every_fault_says_its_line_and_column_and_the_rest_is_read() {
        let text = "name,birth,sex,number:HIS\n\
                    a,1980-13-01,M,1\n\
                    b,1980,X,2\n\
                    c,1980,M\n\
                    d,1980,M,\n\
                    e\"e,1980,M,5\n\
                    \"f\"g,1980,M,6\n\
                    \"h\ni\",198001,F,7\n\
                    j,80,F,8\n\
                    \"k,1980,M,9\n";
        let rows = read(text.as_bytes(), Charset::Utf8).unwrap();
        let said: Vec<&str> =
            rows.iter().map(|row| row.as_ref().map_or_else(String::as_str, |_| "read")).collect();
        let begins = [
            "line 2, column birth: there is no such day",
            "line 3, column sex: a sex is",
            "line 4: 3 fields where the first line names 4",
            "line 5: it has no number",
            "line 6: a quotation mark in the middle",
            "line 7: text behind",
            "read",
            "line 10, column birth: a birth date is written",
            "line 11: a quotation mark that is never closed",
        ];
        assert_eq!(said.len(), begins.len(), "{said:#?}");
        for (said, begins) in said.iter().zip(begins) {
            assert!(said.starts_with(begins), "{said}");
        }
        assert_eq!(rows[6].as_ref().unwrap().name.as_ref().unwrap().full(), "h\ni");
    }

    #[test]
    fn a_first_line_that_is_not_right_says_what_may_stand_there() {
        for (head, says) in [
            ("", "the table is empty"),
            ("name,nmae\n", "column nmae: it is not known"),
            ("name,name,number:HIS\n", "twice"),
            ("name,sex\n", "no column holds a number"),
            ("number:\n", "not known"),
        ] {
            let said = read(head.as_bytes(), Charset::Utf8).unwrap_err();
            assert!(said.contains(says), "{said}");
        }
        let said = read(&Charset::Gb18030.encode("姓名,number:HIS"), Charset::Utf8).unwrap_err();
        assert!(said.contains("--charset"), "{said}");
    }

    #[test]
    fn a_record_without_an_end_takes_no_memory_and_the_next_one_is_read() {
        let mut text = b"name,number:HIS\n".to_vec();
        text.extend(std::iter::repeat_n(b'x', 3 << 20));
        text.extend(b",1\nb,2\n");
        let rows = read(&text, Charset::Utf8).unwrap();
        assert!(rows[0].as_ref().unwrap_err().contains("longer than 64 KiB"));
        assert_eq!((rows.len(), rows[1].as_ref().unwrap().line), (2, 3));
    }

    proptest! {
        #[test]
        fn what_is_written_as_a_record_reads_back(all in proptest::collection::vec(".{0,12}|[\"\r\n, a]{0,8}", 1..6)) {
            let quoted: Vec<String> = all.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect();
            let text = format!("{}\n", quoted.join(","));
            let mut records = Records { input: text.as_bytes(), line: 0 };
            let (_, read) = records.next().unwrap().unwrap().unwrap();
            // An end of a line within a field is one however it was written.
            let lines = |text: &str| text.replace("\r\n", "\n");
            let read: Vec<String> = read.into_iter().map(|field| String::from_utf8(field).unwrap()).collect();
            prop_assert_eq!(read, all.iter().map(|field| lines(field)).collect::<Vec<_>>());
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = read(&bytes, Charset::Gb18030);
            let _ = read(&[b"name,number:HIS\n".as_slice(), &bytes].concat(), Charset::Utf8);
        }
    }
}
