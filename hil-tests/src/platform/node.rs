//! The strict FHIR R4 peer of `hil-tests/platform`, run by Node: validates everything it gets.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::gateway::free_port;

/// The peer as a process. Ends when dropped.
pub struct NodePeer {
    child: Child,
    port: u16,
}

impl NodePeer {
    /// Starts it. None where its packages are not installed; `hil-tests/run` installs them.
    pub fn start() -> Option<Self> {
        let dir = Self::directory();
        if !dir.join("node_modules").exists() {
            return None;
        }
        let port = free_port();
        let mut child = Command::new("node")
            .arg("peer.mjs")
            .arg(port.to_string())
            .current_dir(&dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .ok()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take()?).read_line(&mut line).ok()?;
        assert!(line.starts_with("peer up"), "the peer said {line:?}");
        Some(Self { child, port })
    }

    /// Where it and its validator lie.
    pub fn directory() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("platform")
    }

    /// Its base address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Has a fault, as its README says; `{}` for none.
    pub fn fault(&self, fault: &str) {
        self.http(&format!("POST /_ctl HTTP/1.0\r\ncontent-length: {}\r\n\r\n{fault}", fault.len()));
    }

    /// Its counters.
    pub fn stats(&self) -> Value {
        serde_json::from_str(&self.http("GET /_stats HTTP/1.0\r\n\r\n")).unwrap()
    }

    /// Every current resource.
    pub fn dump(&self) -> Vec<Value> {
        let text = self.http("GET /_dump HTTP/1.0\r\n\r\n");
        text.lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn http(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8(answer).unwrap();
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
    }
}

impl Drop for NodePeer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
