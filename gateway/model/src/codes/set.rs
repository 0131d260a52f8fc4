//! The maps of one feed or destination, in order.

use std::sync::Arc;

use jiff::civil::Date;

use super::row::RowState;
use super::{CodeKind, CodeMap, MapRow, is_standard, standard_system};
use crate::{Coded, Coding, Mapped};

/// The maps of one feed or destination. Of two that know a code the one named first says what it becomes.
#[derive(Clone, Debug, Default)]
pub struct MapSet {
    maps: Vec<Arc<CodeMap>>,
    drafts: bool,
}

/// What a map says about a code.
#[derive(Clone, Copy, Debug)]
pub struct Hit<'m> {
    /// The row.
    pub row: &'m MapRow,
    /// The map.
    pub map: &'m CodeMap,
}

impl MapSet {
    /// These maps. With `drafts` rows that nobody has reviewed apply too: only where nothing leaves.
    pub const fn new(maps: Vec<Arc<CodeMap>>, drafts: bool) -> Self {
        Self { maps, drafts }
    }

    /// The maps in their order.
    pub fn maps(&self) -> &[Arc<CodeMap>] {
        &self.maps
    }

    /// Whether any of them has rows of this kind.
    pub fn covers(&self, kind: CodeKind) -> bool {
        self.maps.iter().any(|map| map.covers(kind))
    }

    /// What a code becomes on a day: one hit for each target system. `code` may be words where the source gives no code.
    pub fn find(&self, kind: CodeKind, system: Option<&str>, code: &str, day: Option<Date>) -> Vec<Hit<'_>> {
        let mut hits: Vec<Hit<'_>> = Vec::new();
        for map in &self.maps {
            for row in map.find(kind, system, code) {
                let applies = row.state == RowState::Reviewed || self.drafts && row.state == RowState::Draft;
                let known = hits.iter().any(|hit| hit.row.target_system == row.target_system);
                if applies && !known && row.holds(day) {
                    hits.push(Hit { row, map });
                }
            }
        }
        hits
    }

    /// A draft that would translate the code, were it reviewed.
    pub fn draft(&self, kind: CodeKind, system: Option<&str>, code: &str) -> Option<Hit<'_>> {
        self.maps.iter().find_map(|map| {
            let row = map.find(kind, system, code).into_iter().find(|row| row.state == RowState::Draft)?;
            Some(Hit { row, map })
        })
    }

    /// Adds what the maps say to `coded`. What an earlier map said about the same system gives way.
    pub fn translate(&self, kind: CodeKind, coded: &mut Coded, day: Option<Date>) {
        if self.maps.is_empty() {
            return;
        }
        let by_code = coded.codings.iter().flat_map(|c| self.find(kind, c.system.as_deref(), &c.code, day));
        let words = coded.text.as_deref().filter(|_| coded.codings.is_empty());
        let by_words = words.into_iter().flat_map(|text| self.find(kind, None, text, day));
        let mut found: Vec<Hit<'_>> = Vec::new();
        for hit in by_code.chain(by_words) {
            let system = &hit.row.target_system;
            let known = found.iter().any(|held| held.row.target_system == *system);
            // The source's own word in a standard system is not talked over.
            if !known && !coded.codings.iter().any(|coding| says_itself(coding, system)) {
                found.push(hit);
            }
        }
        for Hit { row, map } in found {
            let mapped = Mapped {
                system: row.target_system.clone(),
                code: row.target_code.clone(),
                display: Some(row.target_display.clone()).filter(|display| !display.is_empty()),
                map: map.label().to_owned(),
                draft: row.state == RowState::Draft,
            };
            coded.mapped.retain(|held| held.system != mapped.system);
            coded.mapped.push(mapped);
        }
    }
}

/// Whether the source itself gives a code of the standard `system`.
fn says_itself(coding: &Coding, system: &str) -> bool {
    let own = coding.system.as_deref().and_then(standard_system);
    own == Some(system) && is_standard(system, &coding.code)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "kind,source_system,source_code,source_text,target_system,target_code,author,state,valid_from,valid_to\n";

    fn map(name: &str, rows: &str) -> Arc<CodeMap> {
        Arc::new(CodeMap::read(name, format!("{HEADER}{rows}").as_bytes()).unwrap())
    }

    fn translated(set: &MapSet, mut coded: Coded) -> Vec<(String, String)> {
        set.translate(CodeKind::Test, &mut coded, Some(Date::constant(2026, 11, 24)));
        let name = |label: &str| label.split('@').next().unwrap().to_owned();
        coded.mapped.iter().map(|mapped| (mapped.code.clone(), name(&mapped.map))).collect()
    }

    fn pair(code: &str, map: &str) -> (String, String) {
        (code.to_owned(), map.to_owned())
    }

    #[test]
    fn the_first_map_that_knows_a_code_says_what_it_becomes_in_each_system() {
        let first = map("a", "test,,GLU,,,2345-7,Li,reviewed,,\ntest,L2,GLU,,,14749-6,Li,reviewed,,\n");
        let second =
            map("b", "test,,GLU,,,15074-8,Li,reviewed,,\ntest,,GLU,,urn:oid:1.2.3,G1,Li,reviewed,,\n");
        let set = MapSet::new(vec![first, second], false);
        let plain = translated(&set, Coded::of("GLU", None, None));
        assert_eq!(plain, [pair("2345-7", "a"), pair("G1", "b")]);
        // A row that names the source's system is closer than one for any.
        assert_eq!(translated(&set, Coded::of("GLU", None, Some("L2")))[0], pair("14749-6", "a"));
        assert_eq!(translated(&set, Coded::of("glu", None, None)), []);
    }

    #[test]
    fn drafts_retired_rows_and_rows_of_another_time_do_not_apply() {
        let rows = "test,,A,,,2345-7,Li,draft,,\ntest,,B,,,2345-7,Li,retired,,\ntest,,C,,,2345-7,Li,reviewed,,2026-11-23\n";
        let maps = vec![map("a", rows)];
        let set = MapSet::new(maps.clone(), false);
        for code in ["A", "B", "C"] {
            assert_eq!(translated(&set, Coded::of(code, None, None)), [], "{code}");
        }
        assert_eq!(set.draft(CodeKind::Test, None, "A").map(|hit| hit.row.line), Some(2));
        let shown = MapSet::new(maps, true);
        assert_eq!(translated(&shown, Coded::of("A", None, None)), [pair("2345-7", "a")]);
    }

    #[test]
    fn what_the_source_says_in_a_standard_system_stands() {
        let set = MapSet::new(vec![map("a", "test,,GLU,,,2345-7,Li,reviewed,,\n")], false);
        let own = |code| Coded {
            codings: vec![Coding { code: "GLU".to_owned(), display: None, system: None }, code],
            ..Coded::default()
        };
        let loinc =
            |code: &str| Coding { code: code.to_owned(), display: None, system: Some("LN".to_owned()) };
        assert_eq!(translated(&set, own(loinc("14749-6"))), []);
        assert_eq!(translated(&set, own(loinc("no-loinc"))), [pair("2345-7", "a")]);
    }

    #[test]
    fn words_without_a_code_are_found_by_the_words() {
        let set =
            MapSet::new(vec![map("a", "test,,,\u{8461}\u{8404}\u{7cd6},,2345-7,Li,reviewed,,\n")], false);
        assert_eq!(translated(&set, Coded::text("\u{8461}\u{8404}\u{7cd6}")), [pair("2345-7", "a")]);
    }
}
