//! The configuration: read as a whole, every fault reported with file, line and column.

mod parse;
mod section;
mod sections;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use buffer::MaxSize;
use feed::FeedName;
use hl7::charset::Charset;
use interpret::{Meaning, Numbers};
use io::Cidr;
use io::mllp::{Target, WhenFull};
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use model::{Authority, RecordKind};

use crate::Silence;
use crate::tls::TlsFiles;

pub use section::{Fault, Faults};

/// A whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The hospital.
    pub site: Site,
    /// The buffer.
    pub buffer: Buffer,
    /// How long the audit is kept.
    pub keep_audit: SignedDuration,
    /// The feeds.
    pub feeds: Vec<Feed>,
    /// The destinations.
    pub destinations: Vec<Destination>,
    /// What is allowed and still worth a second look.
    pub warnings: Vec<String>,
}

/// The hospital.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The unified social credit code (GB 32100).
    pub organization: String,
    /// The name.
    pub name: String,
    /// The division (GB/T 2260).
    pub region: String,
    /// This box, unique within the region's tenant.
    pub device: String,
    /// The zone of times that carry none.
    pub time_zone: TimeZone,
    /// Whether the clock is right whatever the system says.
    pub clock_trusted: bool,
}

/// The buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Where it lies.
    pub directory: PathBuf,
    /// Where its key comes from.
    pub key: KeySource,
    /// How large it may grow.
    pub max_size: MaxSize,
    /// How long delivered captures are kept.
    pub keep_delivered: SignedDuration,
    /// How long a commit waits for more.
    pub commit_delay: Duration,
    /// Quota of broken frames and junk, in bytes.
    pub quarantine_junk: u64,
}

/// Where the key-encryption key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A credential that systemd hands over.
    Credential(String),
    /// A file.
    File(PathBuf),
}

/// Whether something is sent on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Captured, interpreted and shown; nothing is sent on.
    #[default]
    Observe,
    /// Sent on.
    Live,
}

/// An MLLP feed.
#[derive(Clone, Debug)]
pub struct Feed {
    /// Its name.
    pub name: FeedName,
    /// Whether what it delivers is sent on.
    pub mode: Mode,
    /// Where it listens.
    pub listen: SocketAddr,
    /// The files of its TLS; none: it speaks none.
    pub tls: Option<TlsFiles>,
    /// Who may connect.
    pub allow: Vec<Cidr>,
    /// What it is the authority for.
    pub authority: BTreeSet<Authority>,
    /// The scopes of its numbers.
    pub numbers: Numbers,
    /// What its identifiers mean.
    pub identifiers: BTreeMap<String, Meaning>,
    /// Numbers that mean nobody.
    pub dummy: BTreeSet<String>,
    /// The files of its code maps, in order.
    pub codes: Vec<PathBuf>,
    /// The character set where a message names none.
    pub charset: hl7::charset::Default,
    /// What happens when the buffer is full.
    pub when_full: WhenFull,
    /// Largest payload, in bytes.
    pub max_message: usize,
    /// Most connections at a time.
    pub max_connections: usize,
    /// Most connections of one peer at a time.
    pub max_per_peer: usize,
    /// Where second answers of enhanced mode go.
    pub ack_to: Option<Target>,
    /// Whether the sequence number protocol is spoken.
    pub sequence: bool,
    /// Who may ask (PIX, PDQ).
    pub queries: Vec<Cidr>,
    /// When its silence is alarmed.
    pub silence: Option<Silence>,
    /// How messages are acknowledged.
    pub ack: hl7::ack::Mode,
    /// How long a connection may be silent between frames.
    pub idle_timeout: Option<Duration>,
    /// How long a frame may take.
    pub frame_timeout: Duration,
}

/// What an HL7 v2 destination is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// Messages rendered from records.
    #[default]
    Records,
    /// Captures as they came.
    Captures,
}

/// What a destination speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// FHIR R4.
    FhirR4,
    /// HL7 v2 over MLLP.
    Hl7v2(Hl7v2),
}

/// How an HL7 v2 destination is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hl7v2 {
    /// What it is sent.
    pub content: Content,
    /// What it reads; none: captures go in the character set they came in, records in UTF-8.
    pub charset: Option<Charset>,
    /// How long each of its answers may take.
    pub ack_timeout: Duration,
    /// Whether both answers of enhanced mode are asked for.
    pub enhanced: bool,
    /// Messages of one lane in one batch at most; 1: no batches.
    pub batch: usize,
}

/// A destination.
#[derive(Clone, Debug)]
pub struct Destination {
    /// Its name.
    pub name: String,
    /// Whether it is sent to.
    pub mode: Mode,
    /// Whether captures wait for it.
    pub required: bool,
    /// What it speaks.
    pub profile: Profile,
    /// Only what these feeds bring goes there; none: what every feed brings.
    pub feeds: Option<BTreeSet<FeedName>>,
    /// Its address.
    pub url: String,
    /// The files of its TLS.
    pub tls: TlsFiles,
    /// The kinds of records it takes.
    pub records: BTreeSet<RecordKind>,
    /// The files of its code maps, in order.
    pub codes: Vec<PathBuf>,
    /// Deliveries in flight at most.
    pub max_in_flight: usize,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(
        "{path} cannot be read: name the configuration with --config, or see config/gateway.toml for one to begin with"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It has faults.
    #[error("{0}")]
    Faults(#[from] Faults),
}

impl Config {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// When it cannot be read, or with every fault in it.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Ok(Self::parse(&text, &path.display().to_string())?)
    }

    /// Reads a configuration; `file` is named in faults.
    ///
    /// # Errors
    /// With every fault in it.
    pub fn parse(text: &str, file: &str) -> Result<Self, Faults> {
        sections::config(text, file)
    }

    /// What the gateway runs on when nobody has configured it: on loopback, observing only, beside the working directory.
    pub fn embedded() -> Self {
        const TEXT: &str = include_str!("embedded.toml");
        // The text is a part of the program, and a test reads it.
        Self::parse(TEXT, "embedded").unwrap_or_else(|faults| panic!("{faults}"))
    }
}

#[cfg(test)]
mod tests;
