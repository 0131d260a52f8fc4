//! `run`: everything wired together, looked after, and brought to a good end.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use buffer::{Buffer, ClockTrust, Health, IntakeHealth, OpenError, Options, Urgency};
use feed::{Answers, CaptureId, FeedName, Outcomes};
use hl7::sequence::Sequence;
use io::Stats;
use io::mllp;
use jiff::Timestamp;
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};

use crate::certificates::Certificates;
use crate::clock::Watch;
use crate::codes::Library;
use crate::config::{Config, ConfigError, Content, Destination, Feed, Hl7v2, Mode, Profile};
use crate::notify::{ROUND, Watchdog, tell};
use crate::queries::Index;
use crate::refine::{DestinationRules, Fates, FeedRules, Operations, REVISION, Refine, Rules};
use crate::silence::Silences;
use crate::supervise::{Place, Supervisor};
use crate::tls::{self, TlsError};
use crate::uplink::{self, Uplink, Way, WayError};
use crate::{Clock, Time, chain, check, control};

/// A disk that has not failed for so long is no longer alarmed.
const DISK_WELL: Duration = Duration::from_secs(24 * 3600);

/// How often maintenance runs.
const MAINTAIN: Duration = Duration::from_secs(5);

/// Why the gateway does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The configuration has faults.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The key of the buffer is not to be had.
    #[error("[buffer] key")]
    Key(#[from] buffer::KekError),
    /// The code maps have faults.
    #[error("the code maps have faults:\n{}", .0.join("\n"))]
    Codes(Vec<String>),
    /// The buffer does not open.
    #[error("the buffer does not open")]
    Buffer(#[from] OpenError),
    /// The TLS of a feed cannot be used as configured.
    #[error("feed {name}: tls")]
    FeedTls {
        /// Which.
        name: FeedName,
        /// Why.
        #[source]
        source: TlsError,
    },
    /// A destination cannot be used as configured.
    #[error("destination {name}")]
    Destination {
        /// Which.
        name: String,
        /// Why.
        #[source]
        source: WayError,
    },
    /// A feed cannot listen.
    #[error("feed {name}: {listen} cannot be listened on; is another program there? see `ss -ltnp`")]
    Listen {
        /// Which.
        name: FeedName,
        /// Where.
        listen: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Where a feed's numbered messages stand cannot be read.
    #[error("feed {name}: where its sequence numbers stand cannot be read")]
    Sequence {
        /// Which.
        name: FeedName,
        /// Why.
        #[source]
        source: buffer::ReadError,
    },
    /// The control socket cannot be made.
    #[error("the control socket cannot be made")]
    Control(#[source] std::io::Error),
    /// The disk failed more than once.
    #[error(
        "the disk has failed again: nothing more is acknowledged on it. The next start checks what is there; look at the disk (dmesg, smartctl)"
    )]
    Disk,
    /// The state failed.
    #[error("the state failed")]
    State(#[from] buffer::StateError),
    /// The system refused something basic.
    #[error("the system refused")]
    System(#[source] std::io::Error),
}

impl RunError {
    /// Whether the configuration or its surroundings have to be mended first (exit code 2).
    pub fn is_setup(&self) -> bool {
        !matches!(self, Self::Disk | Self::State(_) | Self::System(_))
    }
}

/// What is shown of the running gateway. Shared with the control sockets.
pub(crate) struct Shown {
    pub(crate) buffer: Buffer,
    pub(crate) operations: Operations,
    pub(crate) clock: Clock,
    pub(crate) time: Time,
    /// Whether the clock can be believed.
    pub(crate) watch: Mutex<Watch>,
    pub(crate) started: Timestamp,
    pub(crate) config: Mutex<Arc<Config>>,
    pub(crate) feeds: Mutex<BTreeMap<FeedName, Arc<Stats>>>,
    /// Where the streams of feeds with numbered messages stand.
    pub(crate) sequences: Mutex<BTreeMap<FeedName, Arc<tokio::sync::Mutex<Sequence>>>>,
    pub(crate) destinations: Mutex<BTreeMap<String, Arc<Mutex<uplink::Status>>>>,
    pub(crate) usage: Mutex<buffer::Usage>,
    /// What is rendered with, without the maps of a destination.
    pub(crate) site: render::fhir::Site,
    pub(crate) codes: Mutex<Arc<Library>>,
    /// Where the configuration can be read again.
    pub(crate) reload: Arc<Notify>,
}

/// Runs until SIGTERM or SIGINT. `path` is where the configuration is read again on SIGHUP. Feeds run on the runtime that
/// this is polled on; everything that may wait runs on `work`, whose threads should [give way](buffer::give_way).
///
/// # Errors
/// When it cannot start; once it runs, only when the state is beyond help.
pub async fn run(config: Config, path: Option<PathBuf>, time: Time, work: Handle) -> Result<(), RunError> {
    let clock = time.clock.clone();
    let started = clock();
    let begun = Instant::now();
    let kek = check::key(&config)?;
    let codes = Arc::new(Library::read(&config).map_err(RunError::Codes)?);
    // Listening comes first: a port that is taken leaves no trace on the disk.
    let mut listeners = BTreeMap::new();
    for feed in &config.feeds {
        listeners.insert(feed.name.clone(), listen(feed).await?);
    }
    let buffer = Buffer::open(options(&config), kek, started)?;
    let site = render::fhir::Site {
        organization: config.site.organization.clone(),
        name: config.site.name.clone(),
        device: config.site.device.clone(),
        codes: Arc::default(),
        id_key: buffer.ring().id_key(),
    };
    // What fell in an earlier run is running anew.
    buffer
        .state()
        .run(Urgency::Soon, |tx| {
            tx.clear_alarms("restarted")?;
            // Doubt counts from the start.
            tx.clear_alarms("clock-doubtful")
        })
        .await?;
    let numbers = numbers(&buffer, &config, started).await?;
    let revision = begin_mapping(&buffer, &config, &codes, started).await?;
    let (rules, rules_seen) = watch::channel(Arc::new(rules(&config, &codes, revision, &buffer, &numbers)));
    let (applied, fates) = watch::channel(CaptureId::ZERO);
    let applied = Arc::new(applied);
    let (committed, enqueued, reload) =
        (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(Notify::new()));
    buffer.on_commit(Arc::new({
        let committed = committed.clone();
        move || committed.notify_one()
    }));
    let operations =
        Operations { buffer: buffer.clone(), rules: rules_seen.clone(), enqueued: enqueued.clone() };
    let shown = Arc::new(Shown {
        buffer: buffer.clone(),
        operations,
        clock: clock.clone(),
        watch: Mutex::new(Watch::new(&time, config.site.clock_trusted)),
        time,
        started,
        config: Mutex::new(Arc::new(config.clone())),
        feeds: Mutex::default(),
        sequences: Mutex::default(),
        destinations: Mutex::default(),
        usage: Mutex::new(buffer.usage().unwrap_or_default()),
        site: site.clone(),
        codes: Mutex::new(codes),
        reload: reload.clone(),
    });
    let mut gateway = Gateway {
        supervisor: Supervisor::new(work.clone()),
        work,
        certificates: Arc::default(),
        silences: Arc::default(),
        answers: Arc::new(Index {
            state: buffer.state().clone(),
            rules: rules_seen.clone(),
            clock: clock.clone(),
            organization: config.site.organization.clone(),
        }),
        outcomes: Arc::new(Fates { state: buffer.state().clone(), applied: fates }),
        shown: shown.clone(),
        memory: mllp::Memory::default(),
        enqueued: enqueued.clone(),
        feeds: BTreeMap::new(),
        destinations: BTreeMap::new(),
        rules,
        site,
    };
    control::serve(shown.clone(), &mut gateway.supervisor).map_err(RunError::Control)?;
    gateway.supervisor.start("refine", Place::Work, {
        let (buffer, committed) = (buffer.clone(), committed.clone());
        move |hand| {
            let refine = Refine {
                buffer: buffer.clone(),
                rules: rules_seen.clone(),
                committed: committed.clone(),
                applied: applied.clone(),
                enqueued: enqueued.clone(),
                threads: 2,
            };
            async move { refine.run(hand.stop).await.map_err(|error| chain(&error)) }
        }
    });
    for destination in &config.destinations {
        gateway.start_destination(destination, &config, &numbers)?;
    }
    for feed in &config.feeds {
        gateway.start_feed(feed, &config, listeners.remove(&feed.name))?;
    }
    for feed in &config.feeds {
        log::info!("feed {} listens on {} ({})", feed.name, feed.listen, word(feed.mode));
    }
    log::info!(
        "hospital-gateway {} runs on {} (key: {})",
        crate::VERSION,
        buffer.directory().display(),
        buffer.tier().words()
    );
    let ready = format!("listening after {} ms", begun.elapsed().as_millis());
    tell(&[NotifyState::Ready, NotifyState::Status(&ready)]);
    let ended = gateway.look_after(&buffer, path, &reload).await;
    log::info!("stopping: feeds finish what is in hand");
    tell(&[NotifyState::Stopping]);
    gateway.supervisor.finish(|name| name.starts_with("feed ")).await;
    gateway.supervisor.finish(|_| true).await;
    let closing = buffer.clone();
    let closed = tokio::task::spawn_blocking(move || closing.close()).await;
    if closed.is_err() {
        log::error!(
            "the buffer was not closed cleanly; nothing acknowledged is lost, the next start repairs it"
        );
    }
    log::info!("stopped");
    ended
}

/// What is known of the disk.
struct Disk {
    /// Whether it has failed in this run.
    failed: bool,
    /// When the alarm of an earlier run ends, if it does not fail before.
    well: Option<Instant>,
}

/// The running parts.
struct Gateway {
    work: Handle,
    certificates: Arc<Certificates>,
    silences: Arc<Silences>,
    outcomes: Arc<dyn Outcomes>,
    answers: Arc<dyn Answers>,
    supervisor: Supervisor,
    shown: Arc<Shown>,
    memory: mllp::Memory,
    enqueued: Arc<Notify>,
    feeds: BTreeMap<FeedName, (SocketAddr, watch::Sender<Arc<mllp::Settings>>)>,
    destinations: BTreeMap<String, watch::Sender<Arc<uplink::Settings>>>,
    rules: watch::Sender<Arc<Rules>>,
    site: render::fhir::Site,
}

impl Gateway {
    /// Looks after everything until it is asked to stop.
    async fn look_after(
        &mut self,
        buffer: &Buffer,
        path: Option<PathBuf>,
        reload: &Notify,
    ) -> Result<(), RunError> {
        let mut terminate = signal(SignalKind::terminate()).map_err(RunError::System)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::System)?;
        let mut hangup = signal(SignalKind::hangup()).map_err(RunError::System)?;
        let mut watchdog = Watchdog::new(buffer.clone());
        let mut round = tokio::time::interval(ROUND);
        let mut maintained = Instant::now();
        let mut fallen: Vec<(tokio::time::Instant, String)> = Vec::new();
        let (done, mut maintenance) = tokio::sync::mpsc::channel(1);
        let mut maintaining = false;
        let mut disk = Disk { failed: false, well: Some(Instant::now() + DISK_WELL) };
        loop {
            let next = fallen.iter().map(|(at, _)| *at).min();
            tokio::select! {
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
                _ = hangup.recv() => self.reload(path.as_ref()).await,
                () = reload.notified() => self.reload(path.as_ref()).await,
                down = self.supervisor.fallen() => {
                    log::error!("{} ended and is started again in {:?}: {}", down.name, down.after, down.why);
                    self.alarm(&down.name, &down.why).await;
                    fallen.push((tokio::time::Instant::now() + down.after, down.name));
                }
                () = sleep_until(next) => {
                    let now = tokio::time::Instant::now();
                    let due: Vec<String> = fallen.iter().filter(|(at, _)| *at <= now).map(|(_, n)| n.clone()).collect();
                    fallen.retain(|(at, _)| *at > now);
                    for name in due {
                        self.supervisor.again(&name);
                    }
                }
                Some(()) = maintenance.recv() => maintaining = false,
                _ = round.tick() => {
                    watchdog.feed();
                    self.watch_disk(&mut disk).await?;
                    for name in self.supervisor.look(tokio::time::Instant::now()) {
                        self.well(&name).await;
                    }
                    if !maintaining && maintained.elapsed() >= MAINTAIN {
                        (maintaining, maintained) = (true, Instant::now());
                        self.maintain(buffer, done.clone());
                    }
                }
            }
        }
    }

    /// Maintenance, on a thread of its own.
    fn maintain(&self, buffer: &Buffer, done: tokio::sync::mpsc::Sender<()>) {
        let (buffer, shown) = (buffer.clone(), self.shown.clone());
        let (certificates, silences) = (self.certificates.clone(), self.silences.clone());
        self.work.spawn_blocking(move || {
            let trust = watch_clock(&shown).unwrap_or_else(|error| {
                log::warn!("the clock: {error}");
                ClockTrust::Doubtful
            });
            match buffer.maintain((shown.clock)(), trust) {
                Ok(maintained) => *lock(&shown.usage) = maintained.usage,
                Err(error) => log::warn!("maintenance: {}", chain(&error)),
            }
            if let Err(error) = listen_for_silence(&shown, &silences) {
                log::warn!("silence of feeds: {error}");
            }
            if let Err(error) = certificates.look(&lock(&shown.config), buffer.state(), (shown.clock)()) {
                log::warn!("certificates: {error}");
            }
            // The supervisor waits for this; when it is gone nobody does.
            let _ = done.blocking_send(());
        });
    }

    async fn alarm(&self, name: &str, why: &str) {
        let (key, why, now) = (format!("fallen:{name}"), why.to_owned(), (self.shown.clock)());
        let raise = self
            .shown
            .buffer
            .state()
            .run(Urgency::Now, move |tx| tx.raise_alarm(&key, "restarted", why.as_bytes(), now));
        if let Err(error) = raise.await {
            log::error!("an alarm could not be kept: {error}");
        }
    }

    /// A disk that failed is alarmed. One that failed again ends the gateway, so that the next start checks everything: on
    /// what it answers nothing is acknowledged any more.
    async fn watch_disk(&self, disk: &mut Disk) -> Result<(), RunError> {
        let buffer = &self.shown.buffer;
        let (intake, state) = (buffer.intake_health(), buffer.state().health());
        if intake == IntakeHealth::Held || state == Health::Held {
            return Err(RunError::Disk);
        }
        let now = (self.shown.clock)();
        if !disk.failed && (intake != IntakeHealth::Good || state != Health::Good) {
            (disk.failed, disk.well) = (true, None);
            let what = "a commit failed; a second failure stops the gateway, which then checks everything";
            let raise = buffer
                .state()
                .run(Urgency::Now, move |tx| tx.raise_alarm("disk", "disk", what.as_bytes(), now));
            if let Err(error) = raise.await {
                log::error!("the alarm about the disk could not be kept: {error}");
            }
        }
        if disk.well.is_some_and(|well| Instant::now() >= well) {
            disk.well = None;
            buffer.state().run(Urgency::Soon, |tx| tx.clear_alarm("disk")).await?;
        }
        Ok(())
    }

    /// A task that fell has been well for a while: nobody needs to look after it any more.
    async fn well(&self, name: &str) {
        let key = format!("fallen:{name}");
        let clear = self.shown.buffer.state().run(Urgency::Soon, move |tx| tx.clear_alarm(&key));
        if let Err(error) = clear.await {
            log::warn!("an alarm could not be cleared: {error}");
        }
    }

    /// Reads the configuration again and applies what has changed, after the same check as at the start.
    async fn reload(&mut self, path: Option<&PathBuf>) {
        let Some(path) = path else {
            log::warn!("there is no configuration file to read again: the embedded defaults are in force");
            return;
        };
        log::info!("reading {} again", path.display());
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(_) => tell(&[NotifyState::Status("reading the configuration again")]),
        }
        let held: Vec<SocketAddr> = self.feeds.values().map(|(listen, _)| *listen).collect();
        let applied = match Config::read(path) {
            Ok(config) => {
                let findings = check::check(&config, &held);
                if findings.faults.is_empty() {
                    self.apply(config).await.map_err(|e| chain(&e))
                } else {
                    Err(findings.faults.join("\n"))
                }
            }
            Err(error) => Err(chain(&error)),
        };
        match applied {
            Ok(()) => log::info!("the configuration is in force"),
            Err(why) => log::error!("the configuration is not taken, the one before stays in force:\n{why}"),
        }
        tell(&[NotifyState::Ready]);
    }

    async fn apply(&mut self, config: Config) -> Result<(), RunError> {
        let before = lock(&self.shown.config).clone();
        if before.buffer != config.buffer || before.site.organization != config.site.organization {
            log::warn!("[buffer] and site.organization are taken at the next start");
        }
        let codes = Arc::new(Library::read(&config).map_err(RunError::Codes)?);
        let numbers = numbers(&self.shown.buffer, &config, (self.shown.clock)()).await?;
        let revision = begin_mapping(&self.shown.buffer, &config, &codes, (self.shown.clock)()).await?;
        self.rules.send_replace(Arc::new(rules(&config, &codes, revision, &self.shown.buffer, &numbers)));
        *lock(&self.shown.codes) = codes;
        let gone: Vec<FeedName> = self
            .feeds
            .iter()
            .filter(|(name, (listen, _))| {
                !config.feeds.iter().any(|f| f.name == **name && f.listen == *listen)
            })
            .map(|(name, _)| name.clone())
            .collect();
        let tasks: Vec<String> = gone.iter().map(|name| format!("feed {name}")).collect();
        self.supervisor.finish(|name| tasks.iter().any(|task| task == name)).await;
        for name in gone {
            self.feeds.remove(&name);
            lock(&self.shown.feeds).remove(&name);
            lock(&self.shown.sequences).remove(&name);
        }
        for feed in &config.feeds {
            match self.feeds.get(&feed.name) {
                Some((_, settings)) => {
                    settings.send_replace(Arc::new(feed_settings(feed, &config)?));
                }
                None => {
                    let listener = listen(feed).await?;
                    self.start_feed(feed, &config, Some(listener))?;
                }
            }
        }
        let gone: Vec<String> = self
            .destinations
            .keys()
            .filter(|n| !config.destinations.iter().any(|d| d.name == **n))
            .cloned()
            .collect();
        let tasks: Vec<String> = gone.iter().map(|name| format!("destination {name}")).collect();
        self.supervisor.finish(|name| tasks.iter().any(|task| task == name)).await;
        for name in gone {
            self.destinations.remove(&name);
            lock(&self.shown.destinations).remove(&name);
        }
        for destination in &config.destinations {
            match self.destinations.get(&destination.name) {
                Some(settings) => {
                    let new = self.uplink_settings(destination, &config, &numbers)?;
                    settings.send_replace(Arc::new(new));
                }
                None => self.start_destination(destination, &config, &numbers)?,
            }
        }
        *lock(&self.shown.config) = Arc::new(config);
        Ok(())
    }

    fn start_feed(
        &mut self,
        feed: &Feed,
        config: &Config,
        listener: Option<TcpListener>,
    ) -> Result<(), RunError> {
        let (sender, settings) = watch::channel(Arc::new(feed_settings(feed, config)?));
        let stats = Arc::new(Stats::default());
        lock(&self.shown.feeds).insert(feed.name.clone(), stats.clone());
        self.feeds.insert(feed.name.clone(), (feed.listen, sender));
        let stands = self.shown.buffer.mark(&feed.name, mllp::SEQUENCE_MARK);
        let stands = stands.map_err(|source| RunError::Sequence { name: feed.name.clone(), source })?;
        let sequence = Arc::new(tokio::sync::Mutex::new(Sequence::read(stands.as_deref())));
        lock(&self.shown.sequences).insert(feed.name.clone(), sequence.clone());
        let context = mllp::Context {
            sequence,
            intake: self.shown.buffer.intake(),
            outcomes: self.outcomes.clone(),
            answers: self.answers.clone(),
            memory: self.memory.clone(),
            clock: self.shown.clock.clone(),
            stats,
            beat: Arc::new(|| {}),
        };
        // The first start takes the listener that is there; a later one makes its own.
        let first = Arc::new(Mutex::new(listener));
        let feed = feed.clone();
        self.supervisor.start(&format!("feed {}", feed.name), Place::Door, move |hand| {
            let (first, settings, feed) = (first.clone(), settings.clone(), feed.clone());
            let context = mllp::Context { beat: Arc::new(move || hand.beat.beat()), ..context.clone() };
            async move {
                let listener = lock(&first).take();
                let listener = match listener {
                    Some(listener) => listener,
                    None => listen(&feed).await.map_err(|error| chain(&error))?,
                };
                mllp::serve(listener, settings, context, hand.stop).await.map_err(|error| error.to_string())
            }
        });
        Ok(())
    }

    fn start_destination(
        &mut self,
        destination: &Destination,
        config: &Config,
        numbers: &BTreeMap<String, u16>,
    ) -> Result<(), RunError> {
        let settings = self.uplink_settings(destination, config, numbers)?;
        let (sender, settings) = watch::channel(Arc::new(settings));
        let status = Arc::new(Mutex::new(uplink::Status::default()));
        lock(&self.shown.destinations).insert(destination.name.clone(), status.clone());
        self.destinations.insert(destination.name.clone(), sender);
        let (buffer, clock, enqueued) =
            (self.shown.buffer.clone(), self.shown.clock.clone(), self.enqueued.clone());
        self.supervisor.start(&format!("destination {}", destination.name), Place::Work, move |hand| {
            let uplink = Uplink {
                buffer: buffer.clone(),
                settings: settings.clone(),
                enqueued: enqueued.clone(),
                status: status.clone(),
                clock: clock.clone(),
                beat: Arc::new(move || hand.beat.beat()),
            };
            async move { uplink.run(hand.stop).await.map_err(|error| chain(&error)) }
        });
        Ok(())
    }

    fn uplink_settings(
        &self,
        destination: &Destination,
        config: &Config,
        numbers: &BTreeMap<String, u16>,
    ) -> Result<uplink::Settings, RunError> {
        let codes = lock(&self.shown.codes).of_destination(destination);
        let site = render::fhir::Site { codes, ..self.site.clone() };
        let way = Way::new(destination, config, &site)
            .map_err(|source| RunError::Destination { name: destination.name.clone(), source })?;
        Ok(uplink::Settings {
            name: destination.name.clone(),
            number: numbers.get(&destination.name).copied().unwrap_or(0),
            live: destination.mode == Mode::Live,
            way,
            max_in_flight: destination.max_in_flight,
        })
    }
}

/// Numbers of the destinations in the buffer, and whether captures wait for each.
async fn numbers(
    buffer: &Buffer,
    config: &Config,
    now: Timestamp,
) -> Result<BTreeMap<String, u16>, RunError> {
    let destinations: Vec<(String, bool)> =
        config.destinations.iter().map(|d| (d.name.clone(), d.required && d.mode == Mode::Live)).collect();
    let intern = buffer.state().run(Urgency::Now, move |tx| {
        let mut numbers = BTreeMap::new();
        let known = tx.destinations()?;
        for (name, required) in &destinations {
            let number = tx.intern_destination(name)?;
            tx.require(number, *required, now)?;
            numbers.insert(name.clone(), number);
        }
        // What is no longer configured keeps nothing from expiring, and is there again when it returns.
        for (number, name, required) in known {
            if required && !destinations.iter().any(|(n, _)| *n == name) {
                tx.require(number, false, now)?;
            }
        }
        Ok(numbers)
    });
    Ok(intern.await?)
}

/// The number of the mapping that is in force from now on. What the maps have come to cover is no debt any more.
async fn begin_mapping(
    buffer: &Buffer,
    config: &Config,
    codes: &Library,
    now: Timestamp,
) -> Result<u32, RunError> {
    let maps = codes.words(config);
    let begin = buffer.state().run(Urgency::Now, move |tx| tx.begin_mapping(REVISION, &maps, now));
    let revision = begin.await?;
    let mut after = 0;
    loop {
        let page =
            buffer.state().read(move |read| read.unmapped(None, None, after, buffer::MAX_ROWS)).await?;
        let Some(last) = page.last() else { return Ok(revision) };
        after = last.id;
        let paid: Vec<i64> = page.iter().filter(|row| codes.pays(config, row)).map(|row| row.id).collect();
        if !paid.is_empty() {
            let drop = buffer
                .state()
                .run(Urgency::Now, move |tx| paid.iter().try_for_each(|id| tx.drop_unmapped(*id)));
            drop.await?;
        }
    }
}

fn rules(
    config: &Config,
    codes: &Library,
    revision: u32,
    buffer: &Buffer,
    numbers: &BTreeMap<String, u16>,
) -> Rules {
    let feeds = config.feeds.iter().map(|feed| {
        let context = interpret::Context {
            feed: feed.name.clone(),
            zone: config.site.time_zone.clone(),
            identifiers: feed.identifiers.clone(),
            dummy: feed.dummy.clone(),
            numbers: feed.numbers.clone(),
            codes: codes.of_feed(&feed.codes),
        };
        let live = feed.mode == Mode::Live;
        (
            feed.name.clone(),
            FeedRules { context, charset: feed.charset, authority: feed.authority.clone(), live },
        )
    });
    let destinations = config.destinations.iter().filter_map(|destination| {
        Some(DestinationRules {
            number: *numbers.get(&destination.name)?,
            live: destination.mode == Mode::Live,
            kinds: destination.records.clone(),
            codes: codes.of_destination(destination),
            captures: matches!(destination.profile, Profile::Hl7v2(Hl7v2 { content: Content::Captures, .. })),
            feeds: destination.feeds.clone(),
        })
    });
    Rules {
        feeds: feeds.collect(),
        destinations: destinations.collect(),
        revision,
        ring: buffer.ring().clone(),
        id_key: buffer.ring().id_key(),
    }
}

/// Looks whether the clock can be believed, and alarms one that cannot for long: nothing is destroyed meanwhile.
fn watch_clock(shown: &Shown) -> Result<ClockTrust, buffer::StateError> {
    const ALARM: &str = "clock";
    let vouched = lock(&shown.config).site.clock_trusted;
    let (before, standing, alarming) = {
        let mut watch = lock(&shown.watch);
        let before = (watch.standing(), watch.is_alarming());
        (before, watch.look(&shown.time, vouched), watch.is_alarming())
    };
    if standing != before.0 {
        log::info!("the clock is {} now", standing.word());
    }
    let (state, now) = (shown.buffer.state(), (shown.clock)());
    match (before.1, alarming) {
        (false, true) => {
            log::warn!(
                "the clock cannot be believed ({}): nothing is destroyed, the buffer fills",
                standing.word()
            );
            let word = standing.word();
            state.run_blocking(Urgency::Soon, move |tx| {
                tx.raise_alarm(ALARM, "clock-doubtful", word.as_bytes(), now)
            })?;
        }
        (true, false) => {
            state.run_blocking(Urgency::Soon, |tx| tx.clear_alarm(ALARM))?;
        }
        _ => {}
    }
    Ok(standing.trust())
}

/// Looks which feeds have been silent for too long.
fn listen_for_silence(shown: &Shown, silences: &Silences) -> Result<(), buffer::StateError> {
    let (config, now) = (lock(&shown.config).clone(), (shown.clock)());
    let zoned = now.to_zoned_datetime(config.site.time_zone.clone());
    for feed in &config.feeds {
        let heard = lock(&shown.feeds).get(&feed.name).and_then(|stats| stats.view().last);
        let last = heard.map_or(shown.started, |heard| heard.max(shown.started));
        let silent = feed.silence.as_ref().is_some_and(|silence| silence.is_too_long(last, &zoned));
        silences.note(&feed.name, silent.then_some(last), shown.buffer.state(), now)?;
    }
    Ok(())
}

fn feed_settings(feed: &Feed, config: &Config) -> Result<mllp::Settings, RunError> {
    let tls = feed.tls.as_ref().map(tls::server).transpose();
    let tls = tls.map_err(|source| RunError::FeedTls { name: feed.name.clone(), source })?;
    Ok(mllp::Settings {
        feed: feed.name.clone(),
        tls: tls.map(Arc::new),
        allow: feed.allow.clone(),
        when_full: feed.when_full,
        max_message: feed.max_message,
        max_connections: feed.max_connections,
        max_per_peer: feed.max_per_peer,
        ack_to: feed.ack_to.clone(),
        sequence: feed.sequence,
        ack: feed.ack,
        queries: feed.queries.clone(),
        idle_timeout: feed.idle_timeout,
        frame_timeout: feed.frame_timeout,
        zone: config.site.time_zone.clone(),
    })
}

async fn listen(feed: &Feed) -> Result<TcpListener, RunError> {
    TcpListener::bind(feed.listen).await.map_err(|source| RunError::Listen {
        name: feed.name.clone(),
        listen: feed.listen,
        source,
    })
}

fn options(config: &Config) -> Options {
    Options {
        max_size: config.buffer.max_size,
        keep_delivered: config.buffer.keep_delivered,
        keep_audit: config.keep_audit,
        commit_delay: config.buffer.commit_delay,
        quarantine_junk: config.buffer.quarantine_junk,
        ..Options::new(config.buffer.directory.clone())
    }
}

async fn sleep_until(when: Option<tokio::time::Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => core::future::pending().await,
    }
}

const fn word(mode: Mode) -> &'static str {
    match mode {
        Mode::Observe => "observe",
        Mode::Live => "live",
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What is guarded is replaced as a whole: it is never half written.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
