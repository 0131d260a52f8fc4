//! What a hospital would see: the real gateway as a process, real sockets, platforms with faults.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says where")]
mod appointments;
mod codes;
mod disk;
mod documents;
mod forward;
mod hard;
mod identity;
mod intake;
mod merges;
mod moves;
mod operation;
mod orders;
mod persons;
mod platform;
mod queries;
mod reload;
mod rerun;
mod results;
mod strict;
mod tls;
mod vaccinations;
mod visits;

use std::collections::BTreeSet;

use hil_tests::gateway::{Gateway, LIVE, Setup, destination};
use hil_tests::mllp::Sender;
use hil_tests::platform::Embedded;
use rustix::process::Signal;
use serde_json::Value;
use tokio::runtime::Runtime;

/// A gateway with one feed and one platform, both live.
struct House {
    _runtime: Runtime,
    platform: Embedded,
    gateway: Gateway,
}

impl House {
    fn new() -> Self {
        Self::with(LIVE)
    }

    /// With these lines in the feed's section.
    fn with(feed: &str) -> Self {
        Self::with_feeds(&[("his", feed)])
    }

    /// With these feeds: name, and the lines of its section.
    fn with_feeds(feeds: &[(&str, &str)]) -> Self {
        let runtime = Runtime::new().unwrap();
        let dir = tempfile::tempdir().unwrap().keep();
        let platform = runtime.block_on(Embedded::start(&dir));
        let destinations = destination("region", &platform.url, Some(&platform.ca));
        let setup = Setup { feeds, destinations, ..Setup::default() };
        let mut gateway = Gateway::new(env!("CARGO_BIN_EXE_demo"), &setup);
        gateway.start();
        Self { _runtime: runtime, platform, gateway }
    }

    /// Configures it anew, with these feeds, and waits until that is in force.
    fn reload(&mut self, feeds: &[(&str, &str)]) {
        let destinations = destination("region", &self.platform.url, Some(&self.platform.ca));
        self.gateway.configure(&Setup { feeds, destinations, ..Setup::default() });
        let before = self.gateway.log().matches("the configuration is in force").count();
        self.gateway.signal(Signal::HUP);
        self.gateway.wait_for("the new configuration", |gateway| {
            gateway.log().matches("the configuration is in force").count() > before
        });
    }

    /// Sends a message to the feed with this index; it has to be accepted, and settled.
    fn to_feed(&self, feed: usize, message: &(String, Vec<u8>)) {
        let ack = Sender::connect(self.gateway.ports[feed]).unwrap().send(&message.1).unwrap();
        assert_eq!(ack.code, "AA", "{}", ack.text);
        self.gateway.settled();
    }

    fn sender(&self) -> Sender {
        Sender::connect(self.gateway.ports[0]).unwrap()
    }

    /// Sends messages on one connection; all have to be accepted.
    fn accept<'m>(&self, messages: impl IntoIterator<Item = &'m (String, Vec<u8>)>) {
        let mut sender = self.sender();
        for (control_id, bytes) in messages {
            let ack = sender.send(bytes).unwrap();
            assert_eq!(
                (ack.code.as_str(), ack.control_id.as_str()),
                ("AA", control_id.as_str()),
                "{}",
                ack.text
            );
        }
    }

    /// Sends one message, which has to be accepted, and waits until it is settled; gives what became of it.
    fn fate(&self, message: &(String, Vec<u8>)) -> String {
        self.accept([message]);
        self.gateway.settled();
        self.gateway.fates(&message.0).pop().unwrap()
    }

    /// The current resources of a type at the platform.
    fn at_platform(&self, kind: &str) -> Vec<Value> {
        self.platform.resources(kind)
    }

    fn reason(&self, control_id: &str) -> String {
        let captures = self.gateway.captures();
        let own = captures.iter().rev().find(|capture| capture["control_id"] == control_id).unwrap();
        own["reason"].as_str().unwrap_or_default().to_owned()
    }
}

fn ids<'m>(messages: impl IntoIterator<Item = &'m (String, Vec<u8>)>) -> BTreeSet<String> {
    messages.into_iter().map(|(id, _)| id.clone()).collect()
}
