//! Codes that no map translates, gathered for each batch and counted in its transaction.

use std::collections::BTreeMap;

use buffer::{Outcome, StateError, Tx};
use feed::FeedName;
use jiff::Timestamp;
use jiff::civil::Date;
use model::{Change, CodeKind, Coded, MapSet, is_standard, standard_system};
use serde::{Deserialize, Serialize};

use super::prepare::Marker;
use super::rules::{FeedRules, Rules};

/// Characters of a code or its words that are kept.
const LONGEST: usize = 64;

/// A code that no map translates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Debt {
    /// What it is the code of.
    #[serde(skip)]
    pub(crate) kind: Option<CodeKind>,
    /// The code, or the words where the source gives none.
    pub(crate) code: String,
    /// The system as the source names it.
    pub(crate) system: Option<String>,
    /// What the source calls it.
    pub(crate) display: Option<String>,
    /// Whether there are words only.
    pub(crate) words: bool,
}

impl Debt {
    /// Whether its code may be shown to who sees no persons: a short technical term, no words, nothing like a number of a
    /// person.
    pub(crate) fn is_plain(&self) -> bool {
        let unit = self.kind == Some(CodeKind::Unit);
        let allowed = |c: char| c.is_ascii_graphic() || unit && !c.is_ascii() && !c.is_control();
        let mut run = 0;
        let numbers = self.code.chars().any(|c| {
            run = if c.is_ascii_digit() { run + 1 } else { 0 };
            run > 6
        });
        !self.words && self.code.chars().count() <= 32 && self.code.chars().all(allowed) && !numbers
    }

    /// Whether any of the maps translates it now.
    pub(crate) fn is_paid(&self, maps: &MapSet) -> bool {
        let system = self.system.as_deref();
        self.kind.is_some_and(|kind| !maps.find(kind, system, &self.code, None).is_empty())
    }
}

/// What `changes` of a feed say in codes that nothing translates: neither a map of the feed nor one of a destination.
pub(crate) fn of(changes: &mut [Change], feed: &FeedRules, rules: &Rules) -> Vec<Debt> {
    let mut owed = Vec::new();
    for change in changes {
        let day = change.day();
        let unread = change.person.unmapped.iter();
        owed.extend(unread.map(|(kind, code)| debt(*kind, code, None, None, false)));
        change.codes_mut(&mut |kind, coded| {
            owed.extend(one(kind, coded).filter(|debt| is_owed(debt, kind, day, feed, rules)));
        });
    }
    owed
}

/// The code of the source's own, where nothing of a standard stands beside it.
fn one(kind: CodeKind, coded: &Coded) -> Option<Debt> {
    let standard = coded.codings.iter().any(|coding| {
        let system = coding.system.as_deref().and_then(standard_system);
        system.is_some_and(|system| is_standard(system, &coding.code))
    });
    if standard || !coded.mapped.is_empty() {
        return None;
    }
    match (coded.codings.first(), &coded.text) {
        (Some(coding), _) => {
            Some(debt(kind, &coding.code, coding.system.as_deref(), coding.display.as_deref(), false))
        }
        // What stands for a code that is missing is none.
        (None, Some(text)) if text != "?" => Some(debt(kind, text, None, None, true)),
        _ => None,
    }
}

fn is_owed(debt: &Debt, kind: CodeKind, day: Option<Date>, feed: &FeedRules, rules: &Rules) -> bool {
    let maps = || rules.destinations.iter().map(|destination| &destination.codes);
    // Answers and methods are endless: they are a debt only where somebody has begun to map them.
    if matches!(kind, CodeKind::Answer | CodeKind::Method)
        && !feed.context.codes.covers(kind)
        && !maps().any(|maps| maps.covers(kind))
    {
        return false;
    }
    maps().all(|maps| maps.find(kind, debt.system.as_deref(), &debt.code, day).is_empty())
}

fn debt(kind: CodeKind, code: &str, system: Option<&str>, display: Option<&str>, words: bool) -> Debt {
    let short = |text: &str| text.chars().take(LONGEST).collect::<String>();
    Debt {
        kind: Some(kind),
        code: short(code),
        system: system.map(short),
        display: display.map(short),
        words,
    }
}

/// The debts of a batch.
#[derive(Default)]
pub(crate) struct Tally(BTreeMap<(FeedName, CodeKind, String), (Debt, i64, Timestamp)>);

impl Tally {
    /// Adds what an applied capture owes; nothing where it was a duplicate or is quarantined.
    pub(crate) fn add(&mut self, tx: &Tx<'_>, item: &Marker, owed: Vec<Debt>) -> Result<(), StateError> {
        if owed.is_empty() {
            return Ok(());
        }
        let (feed, at) = (&item.feed, item.received);
        if let Some(exception) = tx.exception(item.id)?
            && matches!(exception.outcome, Outcome::Duplicate { .. } | Outcome::Quarantined)
        {
            return Ok(());
        }
        for debt in owed {
            let Some(kind) = debt.kind else { continue };
            // A unit separator stands in no code of any protocol.
            let key = format!("{}\u{1f}{}", debt.code, debt.system.as_deref().unwrap_or_default());
            let (_, seen, last) = self.0.entry((feed.clone(), kind, key)).or_insert((debt, 0, at));
            *seen += 1;
            *last = at.max(*last);
        }
        Ok(())
    }

    pub(crate) fn count(self, tx: &mut Tx<'_>) -> Result<(), StateError> {
        for ((feed, kind, key), (debt, seen, at)) in self.0 {
            let what = serde_json::to_vec(&debt).map_err(|_| StateError::Damaged("unmapped"))?;
            tx.count_unmapped(&feed, kind as u8, key.as_bytes(), &what, seen, at)?;
        }
        Ok(())
    }
}

/// A counted code, read back; none for what was counted together.
pub(crate) fn parse(kind: u8, what: &[u8]) -> Option<Debt> {
    let debt: Debt = serde_json::from_slice(what).ok()?;
    Some(Debt { kind: CodeKind::from_u8(kind), ..debt })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_name_somebody_is_not_shown_without_a_reason() {
        let plain = |kind, code: &str, words| debt(kind, code, None, None, words).is_plain();
        assert!(plain(CodeKind::Test, "GLU", false) && plain(CodeKind::Test, "L-1234", false));
        assert!(plain(CodeKind::Unit, "\u{4e2a}/HP", false));
        for (code, words) in [
            ("\u{5f20}\u{4e09}", false),
            ("Glucose", true),
            ("11010519491231002X", false),
            ("13800000000", false),
            ("Zhang San", false),
        ] {
            assert!(!plain(CodeKind::Test, code, words), "{code}");
        }
    }
}
