//! The command line.

mod client;
mod import;
mod print;
mod words;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use log::LevelFilter;
use rustix::fs::Mode;
use serde_json::{Value, json};

use tokio::runtime::Builder;

use crate::config::{Config, ConfigError, KeySource};
use crate::run::{self, RunError};
use crate::{Time, chain, check, clock, codes};
use client::{Client, ClientError};
use words::{Audit, Captures, Cli, Codes, Command, Deliveries, Keys, Page, Persons, Records};

/// Where the configuration is looked for when nobody names one.
const DEFAULT: &str = "/etc/hospital-gateway/gateway.toml";

/// How long threads may take to end when everything else has.
const LAST: Duration = Duration::from_secs(2);

/// Why a command did not do what it should.
enum Trouble {
    /// Wrong usage or configuration: exit code 2.
    Setup(String),
    /// It failed: exit code 1.
    Failed(String),
}

impl From<ClientError> for Trouble {
    fn from(error: ClientError) -> Self {
        Self::Failed(chain(&error))
    }
}

impl From<ConfigError> for Trouble {
    fn from(error: ConfigError) -> Self {
        Self::Setup(chain_config(&error))
    }
}

/// The whole program: 0 done, 1 failed, 2 wrong usage or configuration.
pub fn main() -> ExitCode {
    main_with(std::env::args_os(), clock::system())
}

/// [`main`] with these arguments, the first of which is the program's name, and this time.
pub fn main_with(args: impl IntoIterator<Item = std::ffi::OsString>, time: Time) -> ExitCode {
    let cli = Cli::parse_from(args);
    match command(cli, time) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Trouble::Failed(why)) => {
            print::error(&why);
            ExitCode::from(1)
        }
        Err(Trouble::Setup(why)) => {
            print::error(&why);
            ExitCode::from(2)
        }
    }
}

fn command(cli: Cli, time: Time) -> Result<(), Trouble> {
    match cli.command {
        Command::Run => return run(cli.config.as_deref(), time),
        Command::Check => return check_command(&cli),
        Command::Keys(Keys::Create { file }) => return create_key(&file),
        Command::Codes(Codes::Check { files }) => return check_codes(&files, cli.json),
        _ => {}
    }
    let client = Client::new(socket(&cli)?);
    let show = |value: Value, table: fn(&Value)| {
        if cli.json {
            print::json(&value)
        } else {
            table(&value)
        }
        Ok(())
    };
    match cli.command {
        Command::Run
        | Command::Check
        | Command::Keys(Keys::Create { .. })
        | Command::Codes(Codes::Check { .. }) => Ok(()),
        Command::Codes(Codes::Unmapped { feed, kind, reason: None, page }) => {
            let query = query(&page, &[("feed", feed), ("kind", kind)]);
            show(client.get(&format!("/v1/codes/unmapped{query}"))?, print::unmapped)
        }
        Command::Codes(Codes::Unmapped { feed, kind, reason, page }) => {
            let after: i64 = page.after.as_deref().and_then(|after| after.parse().ok()).unwrap_or(0);
            let body =
                json!({ "feed": feed, "kind": kind, "reason": reason, "after": after, "limit": page.limit });
            show(client.post("/v1/codes/unmapped/show", &body)?, print::unmapped)
        }
        Command::Records(Records::Recall { map, mapping, resend: false, page }) => {
            let query = query(&page, &[("map", map), ("mapping", mapping.map(|m| m.to_string()))]);
            show(client.get(&format!("/v1/records/recall{query}"))?, print::recalled)
        }
        Command::Records(Records::Recall { map, mapping, resend: true, page }) => {
            let mut rows = Vec::new();
            let mut after = page.after.clone();
            loop {
                let body = json!({ "map": map, "mapping": mapping, "after": after, "limit": page.limit });
                let mut done = client.post("/v1/records/recall", &body)?;
                if let Value::Array(page) = done["records"].take() {
                    rows.extend(page);
                }
                after = done["next"].as_str().map(str::to_owned);
                if after.is_none() {
                    return show(json!({ "records": rows, "next": null }), print::recalled);
                }
            }
        }
        Command::Codes(Codes::List) => show(client.get("/v1/codes")?, print::codes),
        Command::Status => show(client.get("/v1/status")?, print::status),
        Command::Feeds => show(client.get("/v1/feeds")?, print::feeds),
        Command::Keys(Keys::Status) => show(client.get("/v1/keys")?, print::fields),
        Command::Captures(captures) => match captures {
            Captures::List { outcome, feed, page } => {
                let query = query(&page, &[("outcome", outcome), ("feed", feed)]);
                show(client.get(&format!("/v1/captures{query}"))?, print::captures)
            }
            Captures::Show { id, reason } => {
                let shown = client.post(&format!("/v1/captures/{id}/show"), &json!({ "reason": reason }))?;
                show(shown, print::capture)
            }
            Captures::Replay { id } => {
                show(client.post(&format!("/v1/captures/{id}/replay"), &json!({}))?, print::done)
            }
            Captures::Release { id } => {
                show(client.post(&format!("/v1/captures/{id}/release"), &json!({}))?, print::done)
            }
            Captures::Discard { id, reason } => {
                let done =
                    client.post(&format!("/v1/captures/{id}/discard"), &json!({ "reason": reason }))?;
                show(done, print::done)
            }
        },
        Command::Deliveries(deliveries) => match deliveries {
            Deliveries::List { state, destination, capture, page } => {
                let query =
                    query(&page, &[("state", state), ("destination", destination), ("capture", capture)]);
                show(client.get(&format!("/v1/deliveries{query}"))?, print::deliveries)
            }
            Deliveries::Show { id, reason } => {
                let shown =
                    client.post(&format!("/v1/deliveries/{id}/show"), &json!({ "reason": reason }))?;
                show(shown, print::json)
            }
            Deliveries::Replay { id } => {
                show(client.post(&format!("/v1/deliveries/{id}/replay"), &json!({}))?, print::done)
            }
        },
        Command::Persons(persons) => match persons {
            Persons::Find { resident_id, number, name, reason } => {
                let wanted =
                    json!({ "resident_id": resident_id, "number": number, "name": name, "reason": reason });
                show(client.post("/v1/persons/find", &wanted)?, print::json)
            }
            Persons::Import { file, charset, dry_run, skip_wrong, reason } => {
                let import = import::Import {
                    file: &file,
                    charset: charset.as_deref(),
                    dry_run,
                    skip_wrong,
                    reason: &reason,
                    json: cli.json,
                };
                show(import::run(&client, &import)?, print::imported)
            }
            Persons::Show { id, reason } => {
                let path = format!("/v1/persons/{}/show", client::encoded(&id));
                show(client.post(&path, &json!({ "reason": reason }))?, print::person)
            }
            Persons::Merge { survivor, loser, force, reason } => {
                let pair = json!({ "one": survivor, "other": loser, "force": force, "reason": reason });
                show(client.post("/v1/persons/merge", &pair)?, print::done)
            }
            Persons::Unmerge { id, reason } => {
                let path = format!("/v1/persons/{}/unmerge", client::encoded(&id));
                show(client.post(&path, &json!({ "reason": reason }))?, print::done)
            }
            Persons::Link { one, other, undo, reason } => {
                let pair = json!({ "one": one, "other": other, "linked": !undo, "reason": reason });
                show(client.post("/v1/persons/link", &pair)?, print::done)
            }
            Persons::Reject { id, reason } => {
                let path = format!("/v1/persons/conflicts/{id}/reject");
                show(client.post(&path, &json!({ "reason": reason }))?, print::done)
            }
            Persons::Conflicts { reason, after, limit } => {
                let page = json!({ "reason": reason, "after": after, "limit": limit });
                show(client.post("/v1/persons/conflicts", &page)?, print::conflicts)
            }
            Persons::Resolve { id, accept, dismiss: _, reason } => {
                let body = json!({ "accept": accept, "reason": reason });
                show(client.post(&format!("/v1/persons/conflicts/{id}/resolve"), &body)?, print::done)
            }
        },
        Command::Audit(audit) => match audit {
            Audit::List { reason: Some(reason), page } => {
                let after: u64 = page.after.as_deref().and_then(|after| after.parse().ok()).unwrap_or(0);
                let page = json!({ "reason": reason, "after": after, "limit": page.limit });
                show(client.post("/v1/audit/show", &page)?, print::audit)
            }
            Audit::List { reason: None, page } => {
                show(client.get(&format!("/v1/audit{}", query(&page, &[])))?, print::audit)
            }
            Audit::Verify => {
                let verified = client.get("/v1/audit/verify")?;
                let whole = verified["whole"] == true;
                show(verified, print::fields)?;
                if whole { Ok(()) } else { Err(Trouble::Failed("the audit was changed".to_owned())) }
            }
        },
    }
}

fn query(page: &Page, more: &[(&str, Option<String>)]) -> String {
    let own = [("after", page.after.clone()), ("limit", page.limit.map(|limit| limit.to_string()))];
    let all = own.iter().chain(more).filter_map(|(key, value)| Some((key, value.as_ref()?)));
    let pairs: Vec<String> = all.map(|(key, value)| format!("{key}={}", client::encoded(value))).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

fn run(path: Option<&Path>, time: Time) -> Result<(), Trouble> {
    crate::log::start(LevelFilter::Info);
    // Whatever this process makes is its own user's alone: databases, logs of databases, directories, sockets.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let (config, path) = match (path, Path::new(DEFAULT)) {
        (Some(path), _) => (Config::read(path)?, Some(path.to_owned())),
        (None, default) if default.exists() => (Config::read(default)?, Some(default.to_owned())),
        (None, _) if std::io::stderr().is_terminal() => (embedded()?, None),
        (None, default) => {
            return Err(Trouble::Setup(format!(
                "there is no configuration at {}: write one (see config/gateway.toml), or name it with --config",
                default.display()
            )));
        }
    };
    for warning in &config.warnings {
        log::warn!("{warning}");
    }
    let runtime = |name: &str, begin: fn()| {
        let runtime =
            Builder::new_multi_thread().enable_all().thread_name(name).on_thread_start(begin).build();
        runtime.map_err(|error| Trouble::Failed(error.to_string()))
    };
    // Senders are answered by threads of their own; everything else gives way to them.
    let (door, work) = (runtime("door", || {})?, runtime("work", buffer::give_way)?);
    let ended = door.block_on(run::run(config, path, time, work.handle().clone()));
    // Everything that has to be finished is; what still runs was made to end and did not.
    work.shutdown_timeout(LAST);
    door.shutdown_timeout(LAST);
    ended.map_err(|error: RunError| {
        if error.is_setup() { Trouble::Setup(chain(&error)) } else { Trouble::Failed(chain(&error)) }
    })
}

/// The embedded defaults, with a key of their own beside the data.
fn embedded() -> Result<Config, Trouble> {
    let config = Config::embedded();
    if let KeySource::File(path) = &config.buffer.key
        && !path.exists()
    {
        let failed = |error: &dyn core::error::Error| Trouble::Setup(chain(error));
        std::fs::create_dir_all(&config.buffer.directory).map_err(|error| failed(&error))?;
        buffer::Kek::create_file(path).map_err(|error| failed(&error))?;
        log::warn!(
            "{} was made: it lies beside the data and protects nothing from who takes both",
            path.display()
        );
    }
    log::warn!("no configuration: embedded defaults, {} only, nothing is sent", config.feeds[0].listen);
    Ok(config)
}

fn create_key(path: &Path) -> Result<(), Trouble> {
    buffer::Kek::create_file(path).map_err(|error| Trouble::Setup(chain(&error)))?;
    print::line(&format!(
        "{} was made. Keep a copy off this box: without it the buffer cannot be read.\n\
         A key file lies on the same disk as the data and does not protect a stolen box; a systemd credential does (LoadCredentialEncrypted=).",
        path.display()
    ));
    Ok(())
}

/// Checks code maps by themselves.
fn check_codes(files: &[PathBuf], json: bool) -> Result<(), Trouble> {
    let mut faults = Vec::new();
    let mut maps = Vec::new();
    for file in files {
        match codes::read(file) {
            Ok(map) => maps.push(codes::shown(file, &map)),
            Err(told) => faults.extend(told),
        }
    }
    let value = json!({ "maps": maps, "faults": faults });
    if json {
        print::json(&value)
    } else {
        print::codes(&value)
    }
    if faults.is_empty() { Ok(()) } else { Err(Trouble::Setup(faults.join("\n"))) }
}

fn check_command(cli: &Cli) -> Result<(), Trouble> {
    let path = cli.config.clone().unwrap_or_else(|| PathBuf::from(DEFAULT));
    let config = Config::read(&path)?;
    let running = Client::new(crate::control::socket_path(&config.buffer.directory)).get("/v1/feeds").ok();
    let held: Vec<std::net::SocketAddr> = running
        .iter()
        .flat_map(|running| running["feeds"].as_array().cloned().unwrap_or_default())
        .filter_map(|feed| feed["listen"].as_str()?.parse().ok())
        .collect();
    let findings = check::check(&config, &held);
    if cli.json {
        print::json(&json!({ "faults": findings.faults, "warnings": findings.warnings }));
    } else {
        for warning in &findings.warnings {
            print::line(&format!("warning: {warning}"));
        }
        if findings.faults.is_empty() {
            print::line(&format!(
                "{}: {} feeds, {} destinations, no faults",
                path.display(),
                config.feeds.len(),
                config.destinations.len()
            ));
        }
    }
    if findings.faults.is_empty() { Ok(()) } else { Err(Trouble::Setup(findings.faults.join("\n"))) }
}

/// The socket of the running gateway: named, or installed, or beside the buffer of the configuration.
fn socket(cli: &Cli) -> Result<PathBuf, Trouble> {
    if let Some(socket) = &cli.socket {
        return Ok(socket.clone());
    }
    let name = match &cli.command {
        Command::Persons(_)
        | Command::Captures(Captures::Show { .. })
        | Command::Deliveries(Deliveries::Show { .. }) => "privacy.sock",
        Command::Captures(Captures::List { .. }) | Command::Deliveries(Deliveries::List { .. }) => {
            "view.sock"
        }
        Command::Captures(_) | Command::Deliveries(_) => "operate.sock",
        Command::Audit(Audit::List { reason: Some(_), .. })
        | Command::Codes(Codes::Unmapped { reason: Some(_), .. }) => "privacy.sock",
        Command::Records(Records::Recall { resend: true, .. }) => "operate.sock",
        _ => "view.sock",
    };
    let installed = Path::new(crate::control::INSTALLED).join(name);
    if cli.config.is_none() && installed.exists() {
        return Ok(installed);
    }
    let config = match (&cli.config, Path::new(DEFAULT)) {
        (Some(path), _) => Config::read(path)?,
        (None, default) if default.exists() => Config::read(default)?,
        _ => Config::embedded(),
    };
    Ok(crate::control::socket_path(&config.buffer.directory))
}

fn chain_config(error: &ConfigError) -> String {
    match error {
        // The faults are the message; there is no cause behind them.
        ConfigError::Faults(faults) => faults.to_string(),
        error => chain(error),
    }
}
