//! The sections of the file, one function each.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use buffer::MaxSize;
use feed::FeedName;
use hl7::charset::Charset;
use interpret::{Meaning, Numbers};
use io::Cidr;
use io::mllp::{Target, WhenFull};
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use model::{Authority, RecordKind, Scope, Scoping};
use toml::de::DeTable;

use super::parse;
use super::section::{Faults, ROOT, Report, Section};
use super::{Buffer, Config, Content, Destination, Feed, Hl7v2, KeySource, Mode, Profile, Site};
use crate::Silence;
use crate::tls::TlsFiles;

/// Sections of parts that are not built yet.
const LATER: [&str; 6] = ["management", "update", "surveillance", "health_code", "alert", "metrics"];
/// Kinds of feeds that are not built yet.
const LATER_FEEDS: [&str; 3] = ["dicom", "dicom-query", "instrument"];
/// Profiles of destinations that are not built yet.
const LATER_PROFILES: [&str; 2] = ["ws500-cda", "cdc-front"];
/// Kinds of records that are not built yet.
const LATER_RECORDS: [&str; 5] =
    ["imaging-study", "imaging-report", "document", "suspicion", "infection-card"];

pub(super) fn config(text: &str, file: &str) -> Result<Config, Faults> {
    let mut report = Report::new(text);
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => {
            report.fault(error.span().unwrap_or(0..0), format!("this is no TOML: {}", error.message()));
            report.finish(file)?;
            // Reached only if a fault were no fault.
            return Err(Faults { file: file.to_owned(), faults: Vec::new() });
        }
    };
    let mut root = Section::new(ROOT, table.get_ref(), 0..0);
    for name in LATER {
        if let Some(value) = root.get(name) {
            report.fault(value.span(), format!("[{name}]: not in this version"));
        }
    }
    let mut warnings = Vec::new();
    let site = root.table("site", &mut report).map(|section| site(section, &mut report));
    if site.is_none() && root.get("site").is_none() {
        report.fault(0..0, "[site] is missing: organization, name, region and device of this hospital");
    }
    let buffer = match root.table("buffer", &mut report) {
        Some(section) => buffer(section, &mut report),
        None => Buffer::default(),
    };
    let keep_audit = match root.table("audit", &mut report) {
        Some(mut audit) => {
            let keep = audit.read("keep", AUDIT, &mut report, parse::span);
            audit.finish(&mut report);
            keep
        }
        None => AUDIT,
    };
    // Files of code maps lie beside the configuration that names them.
    let base = Path::new(file).parent().unwrap_or_else(|| Path::new(""));
    let feeds: Vec<Feed> = root
        .tables("feed", &mut report)
        .into_iter()
        .filter_map(|s| feed(s, base, &mut report, &mut warnings))
        .collect();
    let destinations: Vec<Destination> = root
        .tables("destination", &mut report)
        .into_iter()
        .filter_map(|s| destination(s, base, &mut report, &mut warnings))
        .collect();
    let faults = doubles(&feeds, &destinations);
    root.finish(&mut report);
    for fault in faults {
        report.fault(0..0, fault);
    }
    report.finish(file)?;
    let Some(site) = site else { return Err(Faults { file: file.to_owned(), faults: Vec::new() }) };
    Ok(Config { site, buffer, keep_audit, feeds, destinations, warnings })
}

/// Names and addresses that stand twice.
fn doubles(feeds: &[Feed], destinations: &[Destination]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut names = BTreeSet::new();
    let mut addresses = BTreeSet::new();
    for feed in feeds {
        if !names.insert(feed.name.as_str()) {
            faults.push(format!("two feeds are called {}", feed.name));
        }
        if !addresses.insert(feed.listen) {
            faults.push(format!("two feeds listen on {}", feed.listen));
        }
    }
    for destination in destinations {
        for feed in destination.feeds.iter().flatten() {
            if feeds.iter().all(|known| known.name != *feed) {
                faults
                    .push(format!("destination {}: feeds names {feed}, which is no feed", destination.name));
            }
        }
        // Both are named in one list of counters.
        if !names.insert(destination.name.as_str()) {
            faults.push(format!("the name {} stands twice among feeds and destinations", destination.name));
        }
    }
    faults
}

const AUDIT: SignedDuration = SignedDuration::from_hours(24 * 185);

impl Default for Buffer {
    fn default() -> Self {
        Self {
            directory: PathBuf::from("/var/lib/hospital-gateway"),
            key: KeySource::Credential("buffer-key".to_owned()),
            max_size: MaxSize::Percent(60),
            keep_delivered: SignedDuration::from_hours(24 * 7),
            commit_delay: Duration::ZERO,
            quarantine_junk: 256 << 20,
        }
    }
}

fn site(mut section: Section<'_>, report: &mut Report<'_>) -> Site {
    let mut required = |key, report: &mut Report<'_>, read: fn(&str) -> Result<String, String>| {
        let (text, span) = section.required(key, report)?;
        read(text).map_err(|error| report.fault(span, format!("site.{key}: {error}"))).ok()
    };
    let organization = required("organization", report, parse::organization).unwrap_or_default();
    let name = required("name", report, |name| Ok(name.to_owned())).unwrap_or_default();
    let region = required("region", report, parse::region).unwrap_or_default();
    let device = required("device", report, parse::device).unwrap_or_default();
    let zone = |name: &str| {
        TimeZone::get(name)
            .map_err(|_| "no such time zone; names are those of the IANA database: Asia/Shanghai".to_owned())
    };
    // The default is in every time zone database; a box without one gets the offset.
    let default = zone("Asia/Shanghai").unwrap_or_else(|_| TimeZone::fixed(jiff::tz::offset(8)));
    let time_zone = section.read("time_zone", default, report, zone);
    let clock_trusted = section.read("clock", false, report, |clock| match clock {
        "synchronised" => Ok(false),
        "trusted" => Ok(true),
        _ => Err("synchronised or trusted"),
    });
    section.finish(report);
    Site { organization, name, region, device, time_zone, clock_trusted }
}

fn buffer(mut section: Section<'_>, report: &mut Report<'_>) -> Buffer {
    let default = Buffer::default();
    let text = |text: &str| Ok::<_, String>(PathBuf::from(text));
    let buffer = Buffer {
        directory: section.read("directory", default.directory, report, text),
        key: section.read("key", default.key, report, key_source),
        max_size: section.read("max_size", default.max_size, report, parse::max_size),
        keep_delivered: section.read("keep_delivered", default.keep_delivered, report, parse::span),
        commit_delay: section.read("commit_delay", default.commit_delay, report, |text| {
            parse::duration(text).and_then(|d| {
                if d <= Duration::from_millis(5) {
                    Ok(d)
                } else {
                    Err("at most 5ms: every sender waits for it".to_owned())
                }
            })
        }),
        quarantine_junk: section.read("quarantine_junk", default.quarantine_junk, report, parse::size),
    };
    section.later(&[("recovery_key", "")], report);
    section.finish(report);
    buffer
}

fn key_source(text: &str) -> Result<KeySource, String> {
    match text.split_once(':') {
        Some(("file", path)) if !path.is_empty() => Ok(KeySource::File(PathBuf::from(path))),
        Some(("credential", name)) if !name.is_empty() && !name.contains('/') => {
            Ok(KeySource::Credential(name.to_owned()))
        }
        _ => Err("a key is named file:/path or credential:NAME".to_owned()),
    }
}

fn mode(section: &mut Section<'_>, report: &mut Report<'_>) -> Mode {
    section.read("mode", Mode::Observe, report, |mode| match mode {
        "observe" => Ok(Mode::Observe),
        "live" => Ok(Mode::Live),
        _ => Err("observe or live"),
    })
}

fn feed(
    mut section: Section<'_>,
    base: &Path,
    report: &mut Report<'_>,
    warnings: &mut Vec<String>,
) -> Option<Feed> {
    let (kind, span) = section.required("kind", report)?;
    if LATER_FEEDS.contains(&kind) {
        report.fault(span, format!("feed.kind {kind}: not in this version"));
        return None;
    }
    if kind != "mllp" {
        report.fault(span, "feed.kind is mllp in this version");
        return None;
    }
    let name = section.required("name", report).and_then(|(name, span)| {
        FeedName::new(name).map_err(|error| report.fault(span, format!("feed.name: {error}"))).ok()
    });
    let listen = section.required("listen", report).and_then(|(listen, span)| {
        let read = SocketAddr::from_str(listen);
        read.map_err(|_| report.fault(span, "feed.listen is an address and a port: 0.0.0.0:2575")).ok()
    });
    let mode = mode(&mut section, report);
    let allow = section.list("allow", report, Cidr::from_str).filter(|allow| !allow.is_empty());
    if allow.iter().flatten().any(Cidr::is_everyone) {
        let who = name.as_ref().map_or("?", FeedName::as_str);
        warnings.push(format!("feed {who}: allow lets everybody connect who reaches the port"));
    }
    let tls = section.table("tls", report).and_then(|section| server_tls(section, report));
    let authority = section.list("authority", report, authority);
    let numbers = match section.table("numbers", report) {
        Some(section) => numbers(section, report),
        None => Numbers::default(),
    };
    let identifiers = match section.table("identifiers", report) {
        Some(mut section) => section
            .texts(report)
            .into_iter()
            .map(|(key, text, _)| (key.to_owned(), Meaning::read(text)))
            .collect(),
        None => BTreeMap::new(),
    };
    let dummy = section.list("dummy", report, |text| Ok::<_, String>(text.to_owned()));
    let charset =
        section.read("charset", hl7::charset::Default::Auto, report, hl7::charset::Default::from_str);
    let when_full = section.read("when_full", WhenFull::Hold, report, |text| match text {
        "hold" => Ok(WhenFull::Hold),
        "refuse" => Ok(WhenFull::Refuse),
        "close" => Ok(WhenFull::Close),
        _ => Err("hold, refuse or close"),
    });
    let queries = section.list("queries", report, Cidr::from_str).unwrap_or_default();
    let silence = section.table("silence_alarm", report).and_then(|section| silence(section, report));
    let ack = section.read("ack", hl7::ack::Mode::Auto, report, |text| match text {
        "auto" => Ok(hl7::ack::Mode::Auto),
        "original" => Ok(hl7::ack::Mode::Original),
        "enhanced" => Ok(hl7::ack::Mode::Enhanced),
        _ => Err("auto, original or enhanced"),
    });
    let max_message = section.read("max_message", 16 << 20, report, |text| match parse::size(text)? {
        size @ 1..=0x100_0000 => Ok(size as usize),
        _ => Err("at most 16MiB: all feeds together hold 64 MiB in flight".to_owned()),
    });
    let max_connections = section.number("max_connections", 256, 1..=4096, report);
    let max_per_peer = section.number("max_connections_per_peer", 128.min(max_connections), 1..=4096, report);
    let ack_to = section.read("ack_to", None, report, |text| match text {
        "" => Ok(None),
        text if Target::is_secure(text) => {
            Err("acknowledgements are returned without TLS: mllp://HOST:PORT".to_owned())
        }
        text => text.parse::<Target>().map(Some).map_err(|error| error.to_string()),
    });
    let sequence = section.read("sequence", false, report, |text| match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("on or off"),
    });
    let idle_timeout = section.read("idle_timeout", None, report, parse::maybe_duration);
    let frame_timeout = section.read("frame_timeout", Duration::from_secs(30), report, parse::duration);
    let codes = section.list("codes", report, |file| Ok::<_, String>(base.join(file)));
    section.finish(report);
    let all = [
        Authority::Identity,
        Authority::Demographics,
        Authority::Encounter,
        Authority::Order,
        Authority::Result,
    ];
    Some(Feed {
        name: name?,
        mode,
        listen: listen?,
        tls,
        allow: allow.unwrap_or_else(Cidr::loopback),
        authority: authority.map_or_else(|| all.into(), |list| list.into_iter().collect()),
        numbers,
        identifiers,
        dummy: dummy.unwrap_or_default().into_iter().collect(),
        codes: codes.unwrap_or_default(),
        charset,
        when_full,
        max_message,
        max_connections,
        max_per_peer,
        ack_to,
        sequence,
        queries,
        silence,
        ack,
        idle_timeout,
        frame_timeout,
    })
}

/// None for an empty table: nobody is alarmed.
fn silence(mut section: Section<'_>, report: &mut Report<'_>) -> Option<Silence> {
    let span = section.span();
    let after = section.read("after", None, report, |text| parse::duration(text).map(Some));
    let hours = section.read("hours", None, report, |text| text.parse().map(Some));
    section.finish(report);
    if after.is_none() && hours.is_some() {
        report.fault(span, "silence_alarm needs after, for example \"15m\"");
    }
    Some(Silence { after: after?, hours })
}

fn authority(text: &str) -> Result<Authority, &'static str> {
    Ok(match text {
        "identity" => Authority::Identity,
        "demographics" => Authority::Demographics,
        "encounter" => Authority::Encounter,
        "order" => Authority::Order,
        "result" => Authority::Result,
        _ => return Err("identity, demographics, encounter, order or result"),
    })
}

fn numbers(mut section: Section<'_>, report: &mut Report<'_>) -> Numbers {
    let default = Numbers::default();
    let mut read = |key, default| section.read(key, default, report, Scoping::from_str);
    let numbers = Numbers {
        visit: read("visit", default.visit),
        placer: read("placer", default.placer),
        filler: read("filler", default.filler),
        specimen: read("specimen", default.specimen),
        accession: read("accession", Scoping { scope: Scope::Global, space: None }),
    };
    section.finish(report);
    numbers
}

fn destination(
    mut section: Section<'_>,
    base: &Path,
    report: &mut Report<'_>,
    warnings: &mut Vec<String>,
) -> Option<Destination> {
    let (profile, span) = section.required("profile", report)?;
    if LATER_PROFILES.contains(&profile) {
        report.fault(span, format!("destination.profile {profile}: not in this version"));
        return None;
    }
    let is_hl7 = match profile {
        "fhir-r4" => false,
        "hl7v2" => true,
        _ => {
            report.fault(span, "destination.profile is fhir-r4 or hl7v2 in this version");
            return None;
        }
    };
    let name = section.required("name", report).and_then(|(name, span)| {
        let read = FeedName::new(name).map(|_| name.to_owned());
        read.map_err(|_| report.fault(span, "destination.name is 1 to 63 of a-z, 0-9, - _ .")).ok()
    });
    let url = section.required("url", report).and_then(|(url, span)| {
        let secure = url.starts_with("https://") || Target::is_secure(url);
        let known = if is_hl7 { url.parse::<Target>().is_ok() } else { secure || url.starts_with("http://") };
        if !known || (!is_hl7 && Target::is_secure(url)) {
            let form = if is_hl7 { "mllp://HOST:PORT, or mllps://HOST:PORT for TLS" } else { "https://..." };
            report.fault(span, format!("destination.url of profile {profile} is written {form}"));
            return None;
        }
        if !secure && !is_local(url) {
            warnings
                .push(format!("destination {url}: without TLS patients' data cross the network readable"));
        }
        Some(url.to_owned())
    });
    let mode = mode(&mut section, report);
    let required = section.flag("required", true, report);
    let tls = section.table("tls", report).map(|section| client_tls(section, report)).unwrap_or_default();
    let (profile, feeds) = if is_hl7 { hl7v2(&mut section, report) } else { (Profile::FhirR4, None) };
    let captures = matches!(profile, Profile::Hl7v2(Hl7v2 { content: Content::Captures, .. }));
    let records = if captures {
        if let Some(value) = section.get("records") {
            report.fault(value.span(), "destination.records: content = \"captures\" sends whole messages");
        }
        BTreeSet::new()
    } else {
        let list = section.list("records", report, record_kind);
        list.map_or_else(all_records, |list| list.into_iter().flatten().collect())
    };
    // A receiver in the house usually takes one connection; a platform many requests.
    let max_in_flight = if is_hl7 {
        section.number("max_in_flight", 1, 1..=16, report)
    } else {
        section.number("max_in_flight", 64, 1..=256, report)
    };
    let codes = section.list("codes", report, |file| Ok::<_, String>(base.join(file)));
    if is_hl7 && codes.as_ref().is_some_and(|codes| !codes.is_empty()) {
        report.fault(
            section.span(),
            "destination.codes: maps of a destination apply to fhir-r4 in this version",
        );
    }
    section.later(
        &[
            ("oauth", ""),
            ("proxy", ""),
            ("route", "sharing"),
            ("fields", ""),
            ("withhold", ""),
            ("bandwidth", "unlimited"),
            ("max_backlog", ""),
        ],
        report,
    );
    section.finish(report);
    let codes = codes.unwrap_or_default();
    Some(Destination {
        name: name?,
        mode,
        required,
        profile,
        feeds,
        url: url?,
        tls,
        records,
        codes,
        max_in_flight,
    })
}

/// The keys of profile hl7v2.
fn hl7v2(section: &mut Section<'_>, report: &mut Report<'_>) -> (Profile, Option<BTreeSet<FeedName>>) {
    let content = section.read("content", Content::Records, report, |text| match text {
        "records" => Ok(Content::Records),
        "captures" => Ok(Content::Captures),
        _ => Err("records or captures"),
    });
    let feeds = section.list("feeds", report, FeedName::new).map(|list| list.into_iter().collect());
    let charset = section.read("charset", None, report, |text| {
        Charset::named(text).map(Some).ok_or("no such character set; utf-8, gb18030, big5, iso-8859-1, ...")
    });
    let ack_timeout = section.read("ack_timeout", Duration::from_secs(10), report, parse::duration);
    if content == Content::Captures
        && let Some(value) = section.get("ack")
    {
        report.fault(
            value.span(),
            "destination.ack: captures are acknowledged as their own MSH-15 and MSH-16 say",
        );
    }
    let enhanced = section.read("ack", false, report, |text| match text {
        "original" => Ok(false),
        "enhanced" => Ok(true),
        _ => Err("original or enhanced"),
    });
    let batch = section.number("batch", 1, 1..=500, report);
    (Profile::Hl7v2(Hl7v2 { content, charset, ack_timeout, enhanced, batch }), feeds)
}

fn client_tls(section: Section<'_>, report: &mut Report<'_>) -> TlsFiles {
    let span = section.span();
    let files = tls(section, "ca", report);
    if files.certificate.is_some() != files.key.is_some() {
        report.fault(span, "tls.certificate and tls.key go together");
    }
    files
}

/// None for an empty table, which is how a feed without TLS may be written.
fn server_tls(section: Section<'_>, report: &mut Report<'_>) -> Option<TlsFiles> {
    let span = section.span();
    let files = tls(section, "client_ca", report);
    if files == TlsFiles::default() {
        return None;
    }
    if files.certificate.is_none() || files.key.is_none() {
        report.fault(span, "a listener's tls needs certificate and key; client_ca makes clients show theirs");
    }
    Some(files)
}

fn tls(mut section: Section<'_>, authorities: &'static str, report: &mut Report<'_>) -> TlsFiles {
    let path = |text: &str| Ok::<_, String>(Some(PathBuf::from(text)));
    let files = TlsFiles {
        ca: section.read(authorities, None, report, path),
        certificate: section.read("certificate", None, report, path),
        key: section.read("key", None, report, |text| match text.split_once(':') {
            None => Ok(Some(KeySource::File(PathBuf::from(text)))),
            Some(_) => key_source(text).map(Some),
        }),
    };
    section.finish(report);
    files
}

/// A kind of record; none for one that no feed of this version makes, which may stand in the list all the same.
fn record_kind(text: &str) -> Result<Option<RecordKind>, String> {
    match RecordKind::named(text) {
        None if !LATER_RECORDS.contains(&text) => {
            Err(RecordKind::chosen().map(RecordKind::name).collect::<Vec<_>>().join(", "))
        }
        kind => Ok(kind),
    }
}

fn all_records() -> BTreeSet<RecordKind> {
    RecordKind::chosen().collect()
}

fn is_local(url: &str) -> bool {
    let bare = url.trim_start_matches("http://").trim_start_matches("mllp://");
    let host = bare.split(['/', ':']).next().unwrap_or_default();
    host == "localhost" || host.starts_with("127.") || bare.starts_with("[::1]")
}
