//! Reading fields: text, times, codes, null.

use hl7::{Component, Field as Hl7Field, Repetition, Segment};
use jiff::tz::{Offset, TimeZone};
use model::{AsWritten, Coded, Coding, Field, Mark, Number, NumberKind, PartialTime, TimeError};

use crate::{Context, doubt};

/// Text of a component; none where nothing is stated. The null counts as nothing here.
pub(crate) fn text(component: Component<'_>) -> Option<String> {
    if component.is_null() {
        return None;
    }
    let text = component.text();
    let trimmed = text.trim();
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}

/// Text of a whole repetition, for fields of plain text.
pub(crate) fn whole_text(repetition: Repetition<'_>) -> Option<String> {
    let text = repetition.text();
    let trimmed = text.trim_end();
    (!trimmed.trim().is_empty() && trimmed != "\"\"").then(|| trimmed.to_owned())
}

/// A field that may be absent, null or a value. What cannot be read counts as absent and is marked.
pub(crate) fn tri<'m, T>(
    field: Hl7Field<'m>,
    element: &str,
    marks: &mut Vec<Mark>,
    read: impl FnOnce(Hl7Field<'m>) -> Option<T>,
) -> Field<T> {
    if field.is_null() {
        return Field::Null;
    }
    if field.is_empty() {
        return Field::Absent;
    }
    let value = read(field);
    if value.is_none() {
        doubt(marks, element);
    }
    value.into()
}

/// Reads the times of one message.
#[derive(Clone, Copy)]
pub(crate) struct Times<'c> {
    message: Option<Offset>,
    site: &'c TimeZone,
}

impl<'c> Times<'c> {
    /// `sent` is MSH-7, whose offset times without one of their own take.
    pub(crate) fn new(context: &'c Context, sent: &str) -> Self {
        let own = sent.contains(['+', '-']);
        let message =
            PartialTime::read(sent, None, &context.zone).ok().filter(|_| own).map(|time| time.offset());
        Self { message, site: &context.zone }
    }

    /// Reads a time; none where nothing is stated.
    pub(crate) fn read(&self, field: &Hl7Field<'_>) -> Result<Option<PartialTime>, TimeError> {
        text(field.component(1)).map(|written| self.parse(&written)).transpose()
    }

    pub(crate) fn parse(&self, written: &str) -> Result<PartialTime, TimeError> {
        PartialTime::read(written, self.message, self.site)
    }

    /// Reads a time; an odd one counts as none and is marked.
    pub(crate) fn marked(
        &self,
        segment: Segment<'_>,
        n: usize,
        marks: &mut Vec<Mark>,
    ) -> Option<PartialTime> {
        self.read(&segment.field(n)).unwrap_or_else(|_| {
            doubt(marks, &format!("{}-{n}", segment.name()));
            None
        })
    }

    /// Reads a time of a segment; an odd one counts as none, is marked, and stays as it was written.
    pub(crate) fn noted(
        &self,
        segment: Segment<'_>,
        n: usize,
        component: usize,
        notes: &mut Notes,
    ) -> Option<PartialTime> {
        let element = || format!("{}-{n}", segment.name());
        self.read_noted(segment.field(n).component(component), element, notes)
    }

    /// Reads a time of a field, as [`Times::noted`].
    pub(crate) fn stated(
        &self,
        field: &Hl7Field<'_>,
        component: usize,
        element: &str,
        notes: &mut Notes,
    ) -> Option<PartialTime> {
        self.read_noted(field.component(component), || element.to_owned(), notes)
    }

    fn read_noted(
        &self,
        component: Component<'_>,
        element: impl Fn() -> String,
        notes: &mut Notes,
    ) -> Option<PartialTime> {
        let written = text(component)?;
        let read = self.parse(&written);
        match &read {
            // FHIR has no time of day without minutes: the hour would be lost.
            Ok(time) if time.is_hour() => notes.keep(&element(), &written),
            Ok(_) => {}
            Err(_) => {
                doubt(&mut notes.marks, &element());
                notes.keep(&element(), &written);
            }
        }
        read.ok()
    }
}

/// What is worth knowing about how elements were read.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) marks: Vec<Mark>,
    pub(crate) as_written: Vec<AsWritten>,
}

impl Notes {
    /// Keeps what stood in an element beside what is made of it.
    pub(crate) fn keep(&mut self, element: &str, text: &str) {
        let kept = AsWritten { element: element.to_owned(), text: text.to_owned() };
        if !self.as_written.contains(&kept) {
            self.as_written.push(kept);
        }
    }
}

/// A coded element: the first triplet, the alternate one, and the text that belongs to neither.
pub(crate) fn coded(repetition: Repetition<'_>) -> Option<Coded> {
    let triplet = |first: usize| {
        let part = |n| text(repetition.component(first + n));
        (part(0), part(1), part(2))
    };
    let mut coded = Coded::default();
    for first in [1, 4] {
        match triplet(first) {
            (Some(code), display, system) => coded.codings.push(Coding { code, display, system }),
            // Words without a code are text.
            (None, Some(display), _) if coded.text.is_none() => coded.text = Some(display),
            _ => {}
        }
    }
    // CWE.9 is the original text.
    coded.text = text(repetition.component(9)).or(coded.text);
    (!coded.is_empty()).then_some(coded)
}

/// A unit (OBX-6). Laboratories write `10^9/L` without escaping the `^`, which cuts it in two: it is put together again.
pub(crate) fn unit(repetition: Repetition<'_>) -> Option<Coded> {
    let part = |n| text(repetition.component(n));
    match (part(1), part(2)) {
        (Some(base), Some(power)) if is_ten(&base) && power.starts_with(|c: char| c.is_ascii_digit()) => {
            Some(Coded::of(&format!("{base}^{power}"), None, None))
        }
        _ => coded(repetition),
    }
}

/// `10`, with or without a sign of multiplication before it.
fn is_ten(text: &str) -> bool {
    text.strip_suffix("10").is_some_and(|sign| matches!(sign, "" | "x" | "X" | "*" | "\u{d7}"))
}

/// A number (EI or CM): the value, and the authority in the second component.
pub(crate) fn number(field: Hl7Field<'_>, kind: NumberKind, context: &Context) -> Option<Number> {
    let first = field.first();
    let authority = text(first.component(2).subcomponent(1));
    context.number(kind, &text(first.component(1).subcomponent(1))?, authority)
}
