//! The code maps of a configuration, read from their files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use buffer::Unmapped;
use model::{CodeMap, MapSet, RowState};
use serde_json::{Value, json};

use crate::config::{Config, Destination, Mode};
use crate::refine::debt;

/// Every map that a configuration names, each read once.
#[derive(Default)]
pub(crate) struct Library(BTreeMap<PathBuf, Arc<CodeMap>>);

impl Library {
    /// Reads every map.
    ///
    /// # Errors
    /// With every fault of every file, each as `FILE:LINE: what is wrong`.
    pub(crate) fn read(config: &Config) -> Result<Self, Vec<String>> {
        let of_feeds = config.feeds.iter().flat_map(|feed| &feed.codes);
        let of_destinations = config.destinations.iter().flat_map(|destination| &destination.codes);
        let (mut library, mut faults) = (Self::default(), Vec::new());
        for path in of_feeds.chain(of_destinations) {
            if library.0.contains_key(path) {
                continue;
            }
            match read(path) {
                Ok(map) => {
                    let held = library.0.iter().find(|(_, held)| held.name() == map.name());
                    if let Some((other, _)) = held.filter(|(_, held)| held.label() != map.label()) {
                        faults.push(format!(
                            "two maps are called {}: {} and {}; give one another file name",
                            map.name(),
                            other.display(),
                            path.display()
                        ));
                    }
                    library.0.insert(path.clone(), Arc::new(map));
                }
                Err(told) => faults.extend(told),
            }
        }
        if faults.is_empty() { Ok(library) } else { Err(faults) }
    }

    /// The maps of a feed. A draft changes no record: records outlive every mode.
    pub(crate) fn of_feed(&self, paths: &[PathBuf]) -> Arc<MapSet> {
        self.set(paths, false)
    }

    /// The maps of a destination. What a destination in observe mode would be sent is shown with its drafts.
    pub(crate) fn of_destination(&self, destination: &Destination) -> Arc<MapSet> {
        self.set(&destination.codes, destination.mode == Mode::Observe)
    }

    fn set(&self, paths: &[PathBuf], drafts: bool) -> Arc<MapSet> {
        let maps = paths.iter().filter_map(|path| self.0.get(path).cloned());
        Arc::new(MapSet::new(maps.collect(), drafts))
    }

    /// Which maps are in force where: what a mapping revision is told by.
    pub(crate) fn words(&self, config: &Config) -> String {
        let labels = |paths: &[PathBuf]| {
            let maps = paths.iter().filter_map(|path| self.0.get(path));
            maps.map(|map| map.label().to_owned()).collect::<Vec<_>>().join(" ")
        };
        let feeds = config.feeds.iter().map(|feed| (feed.name.as_str(), labels(&feed.codes)));
        let destinations = config.destinations.iter().map(|d| (d.name.as_str(), labels(&d.codes)));
        let all = feeds.chain(destinations).filter(|(_, labels)| !labels.is_empty());
        all.map(|(name, labels)| format!("{name}: {labels}")).collect::<Vec<_>>().join("; ")
    }

    /// Whether a code that came without a mapping has one now, for its feed or at a destination.
    pub(crate) fn pays(&self, config: &Config, row: &Unmapped) -> bool {
        let Some(debt) = debt(row.kind, &row.what) else { return false };
        let feed = config.feeds.iter().find(|feed| feed.name.as_str() == row.feed);
        let of_feed = feed.is_some_and(|feed| debt.is_paid(&self.of_feed(&feed.codes)));
        of_feed || config.destinations.iter().any(|d| debt.is_paid(&self.of_destination(d)))
    }

    /// The maps with their files.
    pub(crate) fn maps(&self) -> impl Iterator<Item = (&Path, &CodeMap)> {
        self.0.iter().map(|(path, map)| (path.as_path(), map.as_ref()))
    }
}

/// Reads one map. It is called by its file's name.
///
/// # Errors
/// With its faults, each as `FILE:LINE: what is wrong`.
pub(crate) fn read(path: &Path) -> Result<CodeMap, Vec<String>> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some(name) = name.strip_suffix(".csv") else {
        return Err(vec![format!("{}: a code map is a file NAME.csv", path.display())]);
    };
    let bytes =
        std::fs::read(path).map_err(|error| vec![format!("{}: cannot be read: {error}", path.display())])?;
    CodeMap::read(name, &bytes).map_err(|faults| {
        faults.iter().map(|fault| format!("{}:{}: {}", path.display(), fault.line, fault.text)).collect()
    })
}

/// A map as listings show it.
pub(crate) fn shown(path: &Path, map: &CodeMap) -> Value {
    let count = |state| map.rows().iter().filter(|row| row.state == state).count();
    json!({
        "name": map.name(),
        "version": map.version(),
        "file": path,
        "rows": map.rows().len(),
        "reviewed": count(RowState::Reviewed),
        "drafts": count(RowState::Draft),
        "retired": count(RowState::Retired),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The maps that the project ships are what a site begins with: they have to load as they are.
    #[test]
    fn the_maps_that_are_shipped_have_no_faults() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/codes");
        let mut found = 0;
        for file in std::fs::read_dir(directory).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|end| end == "csv") {
                let map = read(&path).unwrap_or_else(|faults| panic!("{}", faults.join("\n")));
                assert!(!map.rows().is_empty(), "{}", path.display());
                found += 1;
            }
        }
        assert!(found >= 4, "{found}");
    }
}
