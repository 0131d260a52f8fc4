//! What `check` validates: everything that `run` would need.

use std::net::TcpListener;
use std::path::Path;

use buffer::Kek;

use crate::chain;
use crate::codes::Library;
use crate::config::{Config, KeySource, Mode};
use crate::uplink::Way;

/// What was found.
pub(crate) struct Findings {
    pub(crate) faults: Vec<String>,
    pub(crate) warnings: Vec<String>,
}

/// Checks a configuration against this machine. `held` are addresses that the running gateway listens on already.
pub(crate) fn check(config: &Config, held: &[std::net::SocketAddr]) -> Findings {
    let mut faults = Vec::new();
    let mut warnings = config.warnings.clone();
    if let Err(error) = key(config) {
        faults.push(format!("[buffer] key: {}", chain(&error)));
    }
    directory(&config.buffer.directory, &mut faults);
    for feed in &config.feeds {
        if held.contains(&feed.listen) {
            continue;
        }
        if let Err(error) = TcpListener::bind(feed.listen) {
            faults.push(format!("feed {}: {} cannot be listened on: {error}", feed.name, feed.listen));
        }
    }
    for feed in &config.feeds {
        if let Some(Err(error)) = feed.tls.as_ref().map(crate::tls::server) {
            faults.push(format!("feed {}: {}", feed.name, chain(&error)));
        }
    }
    if let Err(told) = Library::read(config) {
        faults.extend(told);
    }
    for destination in &config.destinations {
        if let Err(error) = Way::check(destination) {
            faults.push(format!("destination {}: {}", destination.name, chain(&error)));
        }
    }
    if config.feeds.is_empty() {
        warnings.push("no [[feed]]: nothing comes in".to_owned());
    }
    if !config.destinations.iter().any(|destination| destination.mode == Mode::Live) {
        warnings.push("no live destination: everything is captured and shown, nothing is sent".to_owned());
    }
    Findings { faults, warnings }
}

/// The key-encryption key as configured.
pub(crate) fn key(config: &Config) -> Result<Kek, buffer::KekError> {
    match &config.buffer.key {
        KeySource::File(path) => Kek::from_file(path),
        KeySource::Credential(name) => {
            let directory = std::env::var_os("CREDENTIALS_DIRECTORY");
            Kek::from_credential(directory.as_deref().map(Path::new), name)
        }
    }
}

fn directory(path: &Path, faults: &mut Vec<String>) {
    match std::fs::metadata(path) {
        Ok(meta) if !meta.is_dir() => {
            faults.push(format!("[buffer] directory: {} is no directory", path.display()))
        }
        Ok(_) => {
            let probe = path.join(".check");
            if let Err(error) = std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe)) {
                faults.push(format!("[buffer] directory: {} cannot be written: {error}", path.display()));
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            if parent.is_some_and(|parent| !parent.is_dir()) {
                faults.push(format!(
                    "[buffer] directory: {} does not exist, nor does its parent",
                    path.display()
                ));
            }
        }
        Err(error) => faults.push(format!("[buffer] directory: {} cannot be used: {error}", path.display())),
    }
}
