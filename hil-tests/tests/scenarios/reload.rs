//! A configuration that is changed while the gateway runs.

use hil_tests::gateway::{Gateway, LIVE, Setup, destination, free_port};
use hil_tests::hospital::{Hospital, Person};
use hil_tests::mllp::Sender;
use hil_tests::platform::Embedded;
use rustix::process::Signal;
use tokio::runtime::Runtime;

const PROGRAM: &str = env!("CARGO_BIN_EXE_demo");

/// Has the gateway read its configuration again, and waits until that is in force.
fn reload(gateway: &Gateway) {
    let taken = |gateway: &Gateway| gateway.log().matches("the configuration is in force").count();
    let before = taken(gateway);
    gateway.signal(Signal::HUP);
    gateway.wait_for("the configuration is in force", |gateway| taken(gateway) > before);
}

/// Whether a feed takes messages on a port.
fn takes(port: u16, hospital: &mut Hospital) -> bool {
    let message = hospital.adt("A08", &Person::numbered(1));
    Sender::connect(port).and_then(|mut sender| sender.send(&message.1)).is_ok_and(|ack| ack.code == "AA")
}

#[test]
fn a_feed_that_moves_to_another_port_leaves_those_whose_names_begin_like_its_own() {
    let feeds = [("his", LIVE), ("his2", LIVE), ("lis", LIVE)];
    let mut gateway = Gateway::new(PROGRAM, &Setup { feeds: &feeds, ..Setup::default() });
    gateway.start();
    let mut hospital = Hospital::new("R", 1);
    let before = gateway.ports.clone();
    gateway.ports[0] = free_port();
    gateway.configure(&Setup { feeds: &feeds, ..Setup::default() });
    reload(&gateway);
    for port in gateway.ports.clone() {
        assert!(takes(port, &mut hospital), "{}", gateway.log());
    }
    assert!(!takes(before[0], &mut hospital), "the old port is closed");

    // The one in the middle goes; its neighbours do not notice.
    let (first, last) = (gateway.ports[0], gateway.ports[2]);
    let middle = gateway.ports.remove(1);
    gateway.configure(&Setup { feeds: &[feeds[0], feeds[2]], ..Setup::default() });
    reload(&gateway);
    assert!(!takes(middle, &mut hospital));
    assert!(takes(first, &mut hospital) && takes(last, &mut hospital));
    assert_eq!(gateway.json(&["feeds"])["feeds"].as_array().unwrap().len(), 2);
    gateway.stop();
}

#[test]
fn a_destination_that_moves_and_one_that_goes_live_get_what_waited_and_what_comes() {
    let runtime = Runtime::new().unwrap();
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (old, new) =
        (runtime.block_on(Embedded::start(here.path())), runtime.block_on(Embedded::start(there.path())));
    let live = |at: &Embedded| destination("region", &at.url, Some(&at.ca));
    let observed = |at: &Embedded| live(at).replace("\"live\"", "\"observe\"");
    let with = |destinations: String| Setup { destinations, ..Setup::default() };
    let mut gateway = Gateway::new(PROGRAM, &with(observed(&old)));
    gateway.start();
    let mut hospital = Hospital::new("R", 1);
    let mut send = |gateway: &Gateway| {
        let message = hospital.adt("A08", &Person::numbered(1));
        assert_eq!(Sender::connect(gateway.ports[0]).unwrap().send(&message.1).unwrap().code, "AA");
        gateway.settled();
        gateway.fates(&message.0).pop().unwrap()
    };
    assert_ne!(send(&gateway), "delivered");
    assert_eq!(old.seen().bundles, 0, "nothing leaves in observe mode");

    gateway.configure(&with(live(&old)));
    reload(&gateway);
    assert_eq!(send(&gateway), "delivered");
    assert!(old.seen().bundles > 0);

    gateway.configure(&with(live(&new)));
    reload(&gateway);
    let before = old.seen().requests;
    assert_eq!(send(&gateway), "delivered");
    assert_eq!(old.seen().requests, before, "the old place hears no more");
    assert_eq!(new.resources("Patient").len(), 1);

    // Back to observing: what comes is shown and stays here.
    gateway.configure(&with(observed(&new)));
    reload(&gateway);
    let before = new.seen().requests;
    assert_ne!(send(&gateway), "delivered");
    assert_eq!(new.seen().requests, before);
    gateway.stop();
}
