//! Segments with `^~\&`, their text escaped.

use core::fmt::Write as _;

/// The delimiters, as in MSH-1 and MSH-2.
pub(super) const ENCODING: &str = "^~\\&";

/// Segments, one after the other.
#[derive(Default)]
pub(super) struct Segments(String);

/// A segment while it is written: fields are put by their numbers, in any order.
pub(super) struct Segment<'s> {
    out: &'s mut Segments,
    name: &'static str,
    fields: Vec<String>,
}

impl Segments {
    pub(super) fn begin(&mut self, name: &'static str) -> Segment<'_> {
        Segment { out: self, name, fields: Vec::new() }
    }

    pub(super) fn text(self) -> String {
        self.0
    }
}

impl Segment<'_> {
    /// Puts field `n`, whose parts are escaped already.
    pub(super) fn field(&mut self, n: usize, field: impl Into<String>) -> &mut Self {
        if self.fields.len() < n {
            self.fields.resize(n, String::new());
        }
        self.fields[n - 1] = field.into();
        self
    }

    /// Puts field `n` where there is something to put.
    pub(super) fn maybe(&mut self, n: usize, field: Option<String>) -> &mut Self {
        if let Some(field) = field {
            self.field(n, field);
        }
        self
    }

    /// Ends it. Empty fields at the end are left out.
    pub(super) fn end(&mut self) {
        let used = self.fields.iter().rposition(|field| !field.is_empty()).map_or(0, |last| last + 1);
        self.out.0.push_str(self.name);
        for field in &self.fields[..used] {
            // Writing to a string does not fail.
            let _ = write!(self.out.0, "|{field}");
        }
        self.out.0.push('\r');
    }
}

/// Text of a component: delimiters and line ends are written as escapes, characters that would end a frame are left out.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.trim_end_matches(['\r', '\n']).chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '|' => out.push_str("\\F\\"),
            '^' => out.push_str("\\S\\"),
            '&' => out.push_str("\\T\\"),
            '~' => out.push_str("\\R\\"),
            '\\' => out.push_str("\\E\\"),
            '\r' | '\n' => {
                if c == '\r' && rest.peek() == Some(&'\n') {
                    rest.next();
                }
                out.push_str("\\.br\\");
            }
            c if c.is_control() && c != '\t' => {}
            c => out.push(c),
        }
    }
    out
}

/// Components of a field; empty ones at the end are left out.
pub(super) fn components(parts: &[&str]) -> String {
    let used = parts.iter().rposition(|part| !part.is_empty()).map_or(0, |last| last + 1);
    parts[..used].join("^")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_text_never_becomes_structure() {
        assert_eq!(escaped("a|b^c&d~e\\f\r\ng\u{b}\u{1c}\n"), r"a\F\b\S\c\T\d\R\e\E\f\.br\g");
        let mut segments = Segments::default();
        segments
            .begin("PV1")
            .field(1, "1")
            .maybe(3, Some(components(&["a", "", "b", ""])))
            .field(9, "")
            .end();
        assert_eq!(segments.text(), "PV1|1||a^^b\r");
    }
}
