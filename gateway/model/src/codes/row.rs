//! One row of a map, checked.

use std::borrow::Cow;

use jiff::civil::Date;

use super::{CodeKind, ETHNIC_GROUP, ICD_10, LOINC, MARITAL_STATUS, UCUM, is_standard, ucum};
use crate::Sex;

/// Longest text of a field.
const LONGEST: usize = 500;

/// How far a row has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowState {
    /// Somebody's proposal. Nothing that leaves is changed by it.
    Draft,
    /// Somebody who may say so has agreed.
    Reviewed,
    /// It held once; kept for whoever asks what it was.
    Retired,
}

/// One row of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapRow {
    /// Its line in the file.
    pub line: usize,
    /// What it translates.
    pub kind: CodeKind,
    /// The system of the source's code, as the source names it; empty: any.
    pub source_system: String,
    /// The source's code; empty where the source writes words only.
    pub source_code: String,
    /// The source's words; matched where there is no code, else for whoever reads the file.
    pub source_text: String,
    /// The system of the code it becomes, as a URI; empty where it is the gateway's own term.
    pub target_system: String,
    /// What it becomes.
    pub target_code: String,
    /// What that means.
    pub target_display: String,
    /// Who wrote the row.
    pub author: String,
    /// How far it has come.
    pub state: RowState,
    /// The first day it holds for.
    pub from: Option<Date>,
    /// The last day it holds for.
    pub to: Option<Date>,
}

/// The columns by name. Only those marked so have to be there.
pub(super) const COLUMNS: [(&str, bool); 13] = [
    ("kind", true),
    ("source_system", false),
    ("source_code", true),
    ("source_text", false),
    ("target_system", false),
    ("target_code", true),
    ("target_display", false),
    ("author", true),
    ("reviewer", false),
    ("state", true),
    ("valid_from", false),
    ("valid_to", false),
    ("note", false),
];

/// The place of each column in a file, in the order of [`COLUMNS`].
pub(super) type Places = [Option<usize>; COLUMNS.len()];

impl MapRow {
    /// Reads a row. Every fault of it is told.
    pub(super) fn read(line: usize, fields: &[Cow<'_, str>], places: &Places) -> Result<Self, Vec<String>> {
        let mut faults = Vec::new();
        let text = |column: &str| {
            let at = COLUMNS.iter().position(|(name, _)| *name == column)?;
            fields.get(places[at]?).map(|field| field.trim().to_owned())
        };
        let get = |column: &str| text(column).unwrap_or_default();
        for (name, _) in COLUMNS {
            if get(name).len() > LONGEST {
                faults.push(format!("{name} is longer than {LONGEST} bytes"));
            }
        }
        let kind = get("kind").parse::<CodeKind>().map_err(|fault| faults.push(fault)).ok();
        let state = match get("state").as_str() {
            "draft" => Some(RowState::Draft),
            "reviewed" => Some(RowState::Reviewed),
            "retired" => Some(RowState::Retired),
            _ => None,
        };
        if state.is_none() {
            faults.push("state is draft, reviewed or retired".to_owned());
        }
        let mut day = |column: &str| match get(column).as_str() {
            "" => None,
            text => {
                let read = text.parse::<Date>();
                read.map_err(|_| faults.push(format!("{column} is a day: 2026-11-24"))).ok()
            }
        };
        let (from, to) = (day("valid_from"), day("valid_to"));
        if from.zip(to).is_some_and(|(from, to)| from > to) {
            faults.push("valid_to is before valid_from".to_owned());
        }
        if kind.is_some_and(CodeKind::is_read_only_once) && (from.is_some() || to.is_some()) {
            faults.push("rows of identifiers and sexes hold until they are retired: leave valid_from and valid_to empty".to_owned());
        }
        let (source_code, source_text) = (get("source_code"), get("source_text"));
        if source_code.is_empty() && source_text.is_empty() {
            faults
                .push("source_code is missing, or source_text where the source writes words only".to_owned());
        }
        if get("author").is_empty() {
            faults.push("author is missing: who answers for the row".to_owned());
        }
        let target_code = get("target_code");
        let mut target_system = String::new();
        if target_code.is_empty() {
            faults.push("target_code is missing".to_owned());
        } else if let Some(kind) = kind {
            match target(kind, &get("target_system"), &target_code, &source_code) {
                Ok(system) => target_system = system,
                Err(fault) => faults.push(fault),
            }
        }
        let (Some(kind), Some(state), true) = (kind, state, faults.is_empty()) else { return Err(faults) };
        Ok(Self {
            line,
            kind,
            source_system: get("source_system"),
            source_code,
            source_text,
            target_system,
            target_code,
            target_display: get("target_display"),
            author: get("author"),
            state,
            from,
            to,
        })
    }

    /// What it is found by: the code, or the words where there is no code.
    pub(super) fn key(&self) -> &str {
        if self.source_code.is_empty() { &self.source_text } else { &self.source_code }
    }

    /// Whether it holds on a day. Where the day is not known only a row without an end does.
    pub(super) fn holds(&self, day: Option<Date>) -> bool {
        match day {
            Some(day) => self.from.is_none_or(|from| from <= day) && self.to.is_none_or(|to| day <= to),
            None => self.to.is_none(),
        }
    }

    /// Whether there is a day on which both hold.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let before = |end: Option<Date>, start: Option<Date>| end.zip(start).is_some_and(|(e, s)| e < s);
        !before(self.to, other.from) && !before(other.to, self.from)
    }
}

/// The system of the target, and whether the code can be one of it.
fn target(kind: CodeKind, written: &str, code: &str, source: &str) -> Result<String, String> {
    let named = match written {
        "LOINC" => LOINC,
        "UCUM" => UCUM,
        "ICD-10" => ICD_10,
        written => written,
    };
    let system = match (kind, named) {
        (CodeKind::Test, "") => LOINC,
        (CodeKind::Unit, "") => UCUM,
        (CodeKind::Diagnosis, "") => ICD_10,
        (CodeKind::MaritalStatus, "") => MARITAL_STATUS,
        (CodeKind::EthnicGroup, "") => ETHNIC_GROUP,
        (CodeKind::Sex | CodeKind::Identifier, "") => "",
        (_, "") => {
            return Err(format!("target_system is missing: a {kind} has no standard system of its own"));
        }
        (CodeKind::Unit, system) if system != UCUM => {
            return Err("a unit becomes one of UCUM: leave target_system empty".to_owned());
        }
        (CodeKind::Sex, _) => {
            return Err("a sex becomes M, F, O or U: leave target_system empty".to_owned());
        }
        (_, system) => system,
    };
    let is_uri = ["http://", "https://", "urn:"].iter().any(|scheme| system.starts_with(scheme))
        && system.chars().all(|c| c.is_ascii_graphic());
    if !system.is_empty() && !is_uri {
        return Err("target_system is LOINC, UCUM, ICD-10 or a URI (http://..., urn:oid:...)".to_owned());
    }
    if code.chars().any(char::is_control) || code.contains("  ") {
        return Err("target_code holds characters that no code has".to_owned());
    }
    match (kind, system) {
        (CodeKind::Sex, _) if code.len() != 1 || Sex::read(code).is_none() || !"MFOU".contains(code) => {
            Err("a sex becomes M, F, O or U (HL7 table 0001)".to_owned())
        }
        (_, UCUM) => {
            ucum::check(code).map_err(|error| format!("target_code {code}: {error}"))?;
            match (ucum::plain(source), ucum::plain(code)) {
                (Some(from), Some(to)) if from != to => Err(format!(
                    "{source} is a unit of UCUM already and is not {code}: units are renamed, never converted"
                )),
                _ => Ok(system.to_owned()),
            }
        }
        (_, LOINC) if !is_standard(LOINC, code) => {
            Err(format!("target_code {code} is no LOINC number: digits, a hyphen and the right check digit"))
        }
        (_, system) if !is_standard(system, code) => {
            Err(format!("target_code {code} is no code of {system}"))
        }
        _ => Ok(system.to_owned()),
    }
}
