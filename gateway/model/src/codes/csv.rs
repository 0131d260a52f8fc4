//! Comma-separated values (RFC 4180), each record with the line it begins on.

use std::borrow::Cow;

/// One record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record<'t> {
    /// The line it begins on, counted from 1.
    pub(super) line: usize,
    pub(super) fields: Vec<Cow<'t, str>>,
}

/// Reads records one by one. After a malformed one it goes on with the next line.
pub(super) struct Records<'t> {
    rest: &'t str,
    line: usize,
}

impl<'t> Records<'t> {
    pub(super) const fn new(text: &'t str) -> Self {
        Self { rest: text, line: 1 }
    }

    /// Takes `n` bytes off.
    fn take(&mut self, n: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at(n);
        self.rest = rest;
        self.line += taken.matches('\n').count();
        taken
    }

    /// Takes the end of a line off, if it is what comes next.
    fn end_of_line(&mut self) -> bool {
        let n = match self.rest.as_bytes() {
            [b'\r', b'\n', ..] => 2,
            [b'\n', ..] => 1,
            rest => return rest.is_empty(),
        };
        self.take(n);
        true
    }

    fn field(&mut self) -> Result<Cow<'t, str>, (usize, &'static str)> {
        let line = self.line;
        if !self.rest.starts_with('"') {
            let end = self.rest.find([',', '\n', '\r', '"']).unwrap_or(self.rest.len());
            let text = self.take(end);
            if self.rest.starts_with('"') {
                return Err((
                    line,
                    "a field with a quotation mark in it stands in quotation marks as a whole",
                ));
            }
            return Ok(Cow::Borrowed(text));
        }
        self.take(1);
        let mut text = Cow::Borrowed("");
        loop {
            let Some(end) = self.rest.find('"') else {
                self.take(self.rest.len());
                return Err((line, "a quotation mark is opened here and never closed"));
            };
            let part = self.take(end);
            if text.is_empty() {
                text = Cow::Borrowed(part)
            } else {
                text.to_mut().push_str(part)
            }
            self.take(1);
            if !self.rest.starts_with('"') {
                return Ok(text);
            }
            self.take(1);
            text.to_mut().push('"');
        }
    }

    fn record(&mut self) -> Result<Record<'t>, (usize, &'static str)> {
        let mut record = Record { line: self.line, fields: Vec::new() };
        loop {
            record.fields.push(self.field()?);
            if self.end_of_line() {
                return Ok(record);
            }
            if !self.rest.starts_with(',') {
                return Err((self.line, "after a field comes a comma or the end of the line"));
            }
            self.take(1);
        }
    }
}

impl<'t> Iterator for Records<'t> {
    type Item = Result<Record<'t>, (usize, &'static str)>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() && self.end_of_line() {}
        if self.rest.is_empty() {
            return None;
        }
        let read = self.record();
        if read.is_err() {
            let end = self.rest.find('\n').map_or(self.rest.len(), |at| at + 1);
            self.take(end);
        }
        Some(read)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn written(rows: &[Vec<String>], end: &str) -> String {
        let field = |text: &String| format!("\"{}\"", text.replace('"', "\"\""));
        rows.iter().map(|row| row.iter().map(field).collect::<Vec<_>>().join(",") + end).collect()
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_whatever_it_holds(
            rows in vec(vec("[a,\"\r\n\u{4e00} ]{0,6}", 1..5), 0..5),
            windows: bool,
        ) {
            let text = written(&rows, if windows { "\r\n" } else { "\n" });
            let read: Result<Vec<_>, _> = Records::new(&text).collect();
            let read: Vec<Vec<String>> = read.unwrap().into_iter()
                .map(|r| r.fields.into_iter().map(Cow::into_owned).collect()).collect();
            prop_assert_eq!(read, rows);
        }

        #[test]
        fn nothing_is_too_odd_to_be_read_to_its_end(text in "[a,\"\r\n;]{0,40}") {
            let lines = text.matches('\n').count() + 1;
            for record in Records::new(&text) {
                let line = record.map_or_else(|(line, _)| line, |record| record.line);
                prop_assert!((1..=lines).contains(&line));
            }
        }
    }

    #[test]
    fn lines_are_counted_through_fields_of_several_lines() {
        let text = "a,b\n\"1\n2\",c\r\n\nd,e";
        let lines: Vec<_> = Records::new(text).map(|record| record.unwrap().line).collect();
        assert_eq!(lines, [1, 2, 5]);
    }

    #[test]
    fn a_malformed_line_is_told_with_its_number_and_the_next_one_is_read() {
        let text = "a\"b,c\n\"x\"y\nd\n\"open\n";
        let read: Vec<_> = Records::new(text).map(|record| record.map_err(|(line, _)| line)).collect();
        assert_eq!(read[0], Err(1));
        assert_eq!(read[1], Err(2));
        assert_eq!(read[2], Ok(Record { line: 3, fields: vec!["d".into()] }));
        assert_eq!(read[3..], [Err(4)]);
    }
}
