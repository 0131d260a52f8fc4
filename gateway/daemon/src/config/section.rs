//! Reading a table of the configuration: each key once, each fault with its place, nothing left over.

use core::fmt;
use core::ops::Range;
use std::collections::BTreeSet;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where: `line:column`, both counted from 1.
    pub place: (usize, usize),
    /// What is wrong and what to do.
    pub text: String,
}

/// Every fault of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    /// The file.
    pub file: String,
    /// The faults in the order of the file.
    pub faults: Vec<Fault>,
}

impl core::error::Error for Faults {}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, fault) in self.faults.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            let (line, column) = fault.place;
            write!(f, "{}:{line}:{column}: {}", self.file, fault.text)?;
        }
        Ok(())
    }
}

/// Collects faults.
pub(super) struct Report<'t> {
    text: &'t str,
    faults: Vec<(usize, String)>,
}

impl<'t> Report<'t> {
    pub(super) const fn new(text: &'t str) -> Self {
        Self { text, faults: Vec::new() }
    }

    pub(super) fn fault(&mut self, span: Range<usize>, text: impl Into<String>) {
        self.faults.push((span.start, text.into()));
    }

    /// Nothing, or every fault.
    pub(super) fn finish(mut self, file: &str) -> Result<(), Faults> {
        if self.faults.is_empty() {
            return Ok(());
        }
        self.faults.sort();
        let place = |at: usize| {
            let before = self.text.get(..at).unwrap_or(self.text);
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            (line, column)
        };
        let faults = self.faults.iter().map(|(at, text)| Fault { place: place(*at), text: text.clone() });
        Err(Faults { file: file.to_owned(), faults: faults.collect() })
    }
}

/// What the outermost table is called in faults.
pub(super) const ROOT: &str = "the file";

/// A table while its keys are read.
pub(super) struct Section<'t> {
    name: String,
    table: &'t DeTable<'t>,
    span: Range<usize>,
    known: BTreeSet<&'static str>,
}

impl<'t> Section<'t> {
    pub(super) fn new(name: impl Into<String>, table: &'t DeTable<'t>, span: Range<usize>) -> Self {
        Self { name: name.into(), table, span, known: BTreeSet::new() }
    }

    /// Where the section begins.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The value of a key, if it is there.
    pub(super) fn get(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.known.insert(key);
        self.table.get(key)
    }

    /// The text of a key.
    pub(super) fn text(
        &mut self,
        key: &'static str,
        report: &mut Report<'_>,
    ) -> Option<(&'t str, Range<usize>)> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some((text.as_ref(), value.span())),
            other => {
                report
                    .fault(value.span(), format!("{}.{key} is a text, not {}", self.name, other.type_str()));
                None
            }
        }
    }

    /// A key that has to be there.
    pub(super) fn required(
        &mut self,
        key: &'static str,
        report: &mut Report<'_>,
    ) -> Option<(&'t str, Range<usize>)> {
        if self.get(key).is_none() {
            report.fault(self.span(), format!("{} needs {key} = \"...\"", self.name));
            return None;
        }
        self.text(key, report)
    }

    /// A key whose text is read by `read`; the default where it is absent or faulty.
    pub(super) fn read<T, E: fmt::Display>(
        &mut self,
        key: &'static str,
        default: T,
        report: &mut Report<'_>,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> T {
        let Some((text, span)) = self.text(key, report) else { return default };
        read(text).unwrap_or_else(|error| {
            report.fault(span, format!("{}.{key}: {error}", self.name));
            default
        })
    }

    /// A whole number within bounds.
    pub(super) fn number(
        &mut self,
        key: &'static str,
        default: usize,
        bounds: core::ops::RangeInclusive<usize>,
        report: &mut Report<'_>,
    ) -> usize {
        let Some(value) = self.get(key) else { return default };
        let number =
            value.get_ref().as_integer().and_then(|n| usize::from_str_radix(n.as_str(), n.radix()).ok());
        match number.filter(|number| bounds.contains(number)) {
            Some(number) => number,
            None => {
                let (least, most) = (bounds.start(), bounds.end());
                report.fault(value.span(), format!("{}.{key} is a number from {least} to {most}", self.name));
                default
            }
        }
    }

    /// True or false.
    pub(super) fn flag(&mut self, key: &'static str, default: bool, report: &mut Report<'_>) -> bool {
        let Some(value) = self.get(key) else { return default };
        value.get_ref().as_bool().unwrap_or_else(|| {
            report.fault(value.span(), format!("{}.{key} is true or false", self.name));
            default
        })
    }

    /// A list of texts, each read by `read`; none where the key is absent.
    pub(super) fn list<T, E: fmt::Display>(
        &mut self,
        key: &'static str,
        report: &mut Report<'_>,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Vec<T>> {
        let value = self.get(key)?;
        let Some(items) = value.get_ref().as_array() else {
            report.fault(value.span(), format!("{}.{key} is a list of texts: [\"...\"]", self.name));
            return None;
        };
        let mut all = Vec::with_capacity(items.len());
        for item in items {
            match item.get_ref().as_str().map(&read) {
                Some(Ok(one)) => all.push(one),
                Some(Err(error)) => report.fault(item.span(), format!("{}.{key}: {error}", self.name)),
                None => report.fault(item.span(), format!("{}.{key} is a list of texts", self.name)),
            }
        }
        Some(all)
    }

    /// A table below this one.
    pub(super) fn table(&mut self, key: &'static str, report: &mut Report<'_>) -> Option<Self> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Table(table) => {
                let name = if self.name == ROOT { key.to_owned() } else { format!("{}.{key}", self.name) };
                Some(Self::new(name, table, value.span()))
            }
            other => {
                report
                    .fault(value.span(), format!("{}.{key} is a table, not {}", self.name, other.type_str()));
                None
            }
        }
    }

    /// The tables of a list of them.
    pub(super) fn tables(&mut self, key: &'static str, report: &mut Report<'_>) -> Vec<Self> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let items: &'t [Spanned<DeValue<'t>>] =
            value.get_ref().as_array().map_or(&[], |items: &DeArray<'t>| items);
        let sections: Vec<Self> = items
            .iter()
            .filter_map(|item| Some(Self::new(key, item.get_ref().as_table()?, item.span())))
            .collect();
        if sections.is_empty() || sections.len() < items.len() {
            report.fault(value.span(), format!("{key} is written [[{key}]], once for each"));
        }
        sections
    }

    /// All keys with their texts, for tables whose keys are free.
    pub(super) fn texts(&mut self, report: &mut Report<'_>) -> Vec<(&'t str, &'t str, Range<usize>)> {
        let mut all = Vec::new();
        for (key, value) in self.table {
            match value.get_ref().as_str() {
                Some(text) => all.push((key.get_ref().as_ref(), text, value.span())),
                None => report.fault(value.span(), format!("{}.{} is a text", self.name, key.get_ref())),
            }
        }
        all
    }

    /// Keys that belong to a part which is not built yet: they are refused, unless they stand at what holds without them.
    pub(super) fn later(&mut self, keys: &[(&'static str, &str)], report: &mut Report<'_>) {
        for (key, neutral) in keys {
            let Some(value) = self.get(key) else { continue };
            let is_neutral = match value.get_ref() {
                DeValue::String(text) => text.as_ref() == *neutral,
                DeValue::Array(items) => items.is_empty(),
                DeValue::Table(table) => table.is_empty(),
                _ => false,
            };
            if !is_neutral {
                report.fault(value.span(), format!("{}.{key}: not in this version", self.name));
            }
        }
    }

    /// Reports the keys that nobody has read, each with the nearest that there is.
    pub(super) fn finish(self, report: &mut Report<'_>) {
        for key in self.table.keys().filter(|key| !self.known.contains(key.get_ref().as_ref())) {
            let written = key.get_ref().as_ref();
            let nearest = self
                .known
                .iter()
                .max_by(|a, b| strsim::jaro_winkler(written, a).total_cmp(&strsim::jaro_winkler(written, b)));
            let hint = nearest
                .filter(|known| strsim::jaro_winkler(written, known) > 0.7)
                .map(|known| format!("; did you mean {known}?"))
                .unwrap_or_default();
            report.fault(key.span(), format!("{} has no key {written}{hint}", self.name));
        }
    }
}
