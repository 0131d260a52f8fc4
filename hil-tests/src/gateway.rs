//! The real gateway as a process of its own, in a directory of its own.

use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Names the file that holds by how many seconds the gateway's clock is off, how many have passed that have not, and
/// whether the clock is in step (1 or 0); read whenever it tells the time.
const CLOCK: &str = "HIL_CLOCK";

/// The gateway's own program, with a clock that tests can set.
pub fn process(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut time = daemon::clock::system();
    if let Some(path) = std::env::var_os(CLOCK) {
        let read = move || {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let mut parts = text.split_whitespace().map(|part| part.parse::<i64>().unwrap_or(0));
            (parts.next().unwrap_or(0), parts.next().unwrap_or(0), parts.next().unwrap_or(1))
        };
        let (off, passed, in_step) = (read.clone(), read.clone(), read);
        let uptime = time.uptime;
        time = daemon::Time {
            clock: Arc::new(move || Timestamp::now() + SignedDuration::from_secs(off().0)),
            uptime: Arc::new(move || uptime() + Duration::from_secs(passed().1.unsigned_abs())),
            in_step: Arc::new(move || in_step().2 != 0),
        };
    }
    daemon::cli::main_with(args, time)
}

/// How long anything of the gateway may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A gateway with its directory. Killed and removed when dropped.
pub struct Gateway {
    program: PathBuf,
    dir: TempDir,
    child: Option<Child>,
    /// The port of each feed, in the order they were named.
    pub ports: Vec<u16>,
    /// Where it tells systemd how it is, from its next start on.
    pub notify: Option<PathBuf>,
}

/// What a gateway is configured with.
pub struct Setup<'a> {
    /// Feeds: name, and more lines of their section.
    pub feeds: &'a [(&'a str, &'a str)],
    /// Destinations: whole sections.
    pub destinations: String,
    /// More of the `[buffer]` section.
    pub buffer: &'a str,
    /// Where the buffer lies; in the gateway's directory by default.
    pub directory: Option<PathBuf>,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Self { feeds: &[("his", LIVE)], destinations: String::new(), buffer: "", directory: None }
    }
}

/// The lines of a live feed.
pub const LIVE: &str = "mode = \"live\"\nidentifiers = { \"MR\" = \"HIS\", \"NI\" = \"resident-id\" }\n";

/// A live FHIR destination at `url`.
pub fn destination(name: &str, url: &str, ca: Option<&Path>) -> String {
    let tls = ca.map(|ca| format!("tls = {{ ca = {ca:?} }}\n")).unwrap_or_default();
    format!(
        "[[destination]]\nname = \"{name}\"\nmode = \"live\"\nprofile = \"fhir-r4\"\nurl = \"{url}\"\n{tls}"
    )
}

/// A port that nobody listens on just now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Gateway {
    /// Writes the configuration and the key. `program` is this package's `demo`, which is the gateway too when its first
    /// argument is `gateway`.
    pub fn new(program: &str, setup: &Setup<'_>) -> Self {
        let dir = tempfile::Builder::new().prefix("hgw").tempdir().unwrap();
        let ports: Vec<u16> = setup.feeds.iter().map(|_| free_port()).collect();
        let mut gateway = Self { program: PathBuf::from(program), dir, child: None, ports, notify: None };
        gateway.configure(setup);
        assert!(gateway.cli(&["keys", "create", "--file", gateway.path("key").to_str().unwrap()]).is_ok());
        gateway
    }

    /// Writes the configuration anew; the ports stay.
    pub fn configure(&mut self, setup: &Setup<'_>) {
        while self.ports.len() < setup.feeds.len() {
            self.ports.push(free_port());
        }
        let mut text = String::from(
            "[site]\norganization = \"12330100470000000A\"\nname = \"Test\"\nregion = \"330106\"\ndevice = \"test-1\"\nclock = \"trusted\"\n",
        );
        let directory = setup.directory.clone().unwrap_or_else(|| self.path("data"));
        text.push_str(&format!(
            "[buffer]\ndirectory = {directory:?}\nkey = \"file:{}\"\n{}\n",
            self.path("key").display(),
            setup.buffer
        ));
        for ((name, more), port) in setup.feeds.iter().zip(&self.ports) {
            text.push_str(&format!(
                "[[feed]]\nname = \"{name}\"\nkind = \"mllp\"\nlisten = \"127.0.0.1:{port}\"\n{more}\n"
            ));
        }
        text.push_str(&setup.destinations);
        fs::write(self.path("gateway.toml"), text).unwrap();
    }

    /// Sets its clock off by so many seconds from now on, as somebody would who steps it.
    pub fn clock_off(&self, seconds: i64) {
        self.time(seconds, 0, true);
    }

    /// Sets its clock off by so many seconds, of which so many have passed, and says whether it is in step.
    pub fn time(&self, off: i64, passed: i64, in_step: bool) {
        fs::write(self.path("clock.new"), format!("{off} {passed} {}", u8::from(in_step))).unwrap();
        // At once: half a file would be another time.
        fs::rename(self.path("clock.new"), self.path("clock")).unwrap();
    }

    /// A file in the gateway's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts it and waits until it answers.
    pub fn start(&mut self) {
        self.spawn();
        self.answers();
    }

    /// Waits until it answers after [`Gateway::spawn`].
    pub fn answers(&mut self) {
        let end = Instant::now() + PATIENCE;
        while self.cli(&["status", "--json"]).is_err() {
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().unwrap()) {
                panic!("the gateway ended with {status}:\n{}", self.log());
            }
            assert!(Instant::now() < end, "the gateway does not answer:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts it without waiting.
    pub fn spawn(&mut self) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        let mut command = self.command();
        if let Some(socket) = &self.notify {
            command.env("NOTIFY_SOCKET", socket);
        }
        let child =
            command.arg("run").stderr(log).stdout(Stdio::null()).stdin(Stdio::null()).spawn().unwrap();
        self.child = Some(child);
    }

    /// Its exit code, once it has ended by itself.
    pub fn exit_code(&mut self) -> i32 {
        self.child.take().unwrap().wait().unwrap().code().unwrap_or(-1)
    }

    /// Ends it as systemd would, and waits.
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        let status = self.child.take().unwrap().wait().unwrap();
        assert!(status.success(), "the gateway ended with {status}:\n{}", self.log());
    }

    /// Ends it as a power cut would the process.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let id = self.child.as_ref().unwrap().id();
        kill_process(Pid::from_raw(i32::try_from(id).unwrap()).unwrap(), signal).unwrap();
    }

    /// The id of its process.
    pub fn process(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// What it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Runs the command line: what it printed, or what it said was wrong.
    pub fn cli(&self, args: &[&str]) -> Result<String, String> {
        let output = self.command().args(args).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// Runs the command line with `--json`.
    pub fn json(&self, args: &[&str]) -> Value {
        let all: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        let printed = self.cli(&all).unwrap_or_else(|error| panic!("{args:?}: {error}\n{}", self.log()));
        serde_json::from_str(&printed).unwrap()
    }

    /// All rows of a listing, page by page.
    pub fn list(&self, args: &[&str], rows: &str) -> Vec<Value> {
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let mut page: Vec<&str> = args.to_vec();
            page.extend(["--limit", "500"]);
            if let Some(after) = &after {
                page.extend(["--after", after]);
            }
            let value = self.json(&page);
            all.extend(value[rows].as_array().unwrap().iter().cloned());
            match &value["next"] {
                Value::Null => return all,
                Value::String(next) => after = Some(next.clone()),
                next => after = Some(next.to_string()),
            }
        }
    }

    /// Every capture with what became of it.
    pub fn captures(&self) -> Vec<Value> {
        self.list(&["captures", "list"], "captures")
    }

    /// What became of the captures with a control id, in their order.
    pub fn fates(&self, control_id: &str) -> Vec<String> {
        let own = |capture: &&Value| capture["control_id"] == control_id;
        self.captures().iter().filter(own).map(|c| c["outcome"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits for a condition; the gateway's log is in what a test says when it never comes.
    pub fn wait_for(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !condition(self) {
            assert!(
                Instant::now() < end,
                "waited in vain for: {what}\n{}\n{}",
                self.cli(&["status"]).unwrap_or_default(),
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until everything that was committed is refined and nothing waits for a destination.
    pub fn settled(&self) {
        self.wait_for("everything is settled", |gateway| {
            let status = gateway.json(&["status"]);
            let none_waits = |d: &Value| d["counts"]["waiting"].as_i64().unwrap_or(0) == 0;
            status["refine"]["behind"] == false
                && status["destinations"].as_array().unwrap().iter().all(none_waits)
        });
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("gateway").arg("--config").arg(self.path("gateway.toml"));
        command.env(CLOCK, self.path("clock"));
        command.env_remove("LISTEN_PID").env_remove("NOTIFY_SOCKET").env_remove("JOURNAL_STREAM");
        command
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
    }
}
