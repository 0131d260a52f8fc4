//! TLS at the door, spoken by OpenSSL's own client.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use hil_tests::gateway::{Gateway, LIVE, Setup};
use hil_tests::hospital::{Hospital, Person};
use hil_tests::mllp::{Sender, framed};
use jiff::{SignedDuration, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustix::process::Signal;

const PROGRAM: &str = env!("CARGO_BIN_EXE_demo");

/// An authority of our own.
pub(crate) struct Authority(Issuer<'static, KeyPair>, String);

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self(Issuer::new(params, key), pem)
    }

    /// Its certificate.
    pub(crate) fn pem(&self) -> &str {
        &self.1
    }

    /// Writes `NAME.pem` and `NAME.key`; the certificate ends in so many days.
    pub(crate) fn issue(&self, dir: &Path, name: &str, days: i64) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let at = |days: i64| {
            let at = Timestamp::now() + SignedDuration::from_hours(24 * days) + SignedDuration::from_mins(5);
            let date = at.to_zoned_datetime(jiff::tz::TimeZone::UTC).date();
            rcgen::date_time_ymd(date.year().into(), date.month() as u8, date.day() as u8)
        };
        (params.not_before, params.not_after) = (at(-400), at(days));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        fs::write(dir.join(format!("{name}.pem")), certificate.pem()).unwrap();
        fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

/// `openssl s_client`, connected to the gateway.
struct Client(Child);

impl Client {
    fn connect(dir: &Path, port: u16, certificate: Option<&str>) -> Self {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-verify_return_error", "-servername", "localhost", "-CAfile"]);
        command.arg(dir.join("ca.pem")).arg("-connect").arg(format!("localhost:{port}"));
        if let Some(name) = certificate {
            command.arg("-cert").arg(dir.join(format!("{name}.pem")));
            command.arg("-key").arg(dir.join(format!("{name}.key")));
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// What came back up to the end of one answer, or of the connection.
    fn send(&mut self, message: &[u8]) -> String {
        // A handshake that is refused may be over before this is written.
        let _ = self.0.stdin.as_mut().unwrap().write_all(&framed(message));
        let mut answer = Vec::new();
        let mut byte = [0];
        while !answer.ends_with(b"\x1c\r") && self.0.stdout.as_mut().unwrap().read(&mut byte).unwrap() > 0 {
            answer.push(byte[0]);
        }
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn feed(dir: &Path, clients: bool) -> String {
    let clients = if clients { format!(", client_ca = {:?}", dir.join("ca.pem")) } else { String::new() };
    let (certificate, key) = (dir.join("server.pem"), dir.join("server.key"));
    format!("{LIVE}tls = {{ certificate = {certificate:?}, key = {key:?}{clients} }}\n")
}

#[test]
fn only_clients_with_a_certificate_of_the_authority_are_let_in() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (authority, stranger) = (Authority::new("hospital"), Authority::new("stranger"));
    fs::write(dir.join("ca.pem"), &authority.1).unwrap();
    authority.issue(dir, "server", 300);
    authority.issue(dir, "his", 300);
    authority.issue(dir, "expired", -2);
    stranger.issue(dir, "stranger", 300);
    let lines = feed(dir, true);
    let mut gateway = Gateway::new(PROGRAM, &Setup { feeds: &[("his", &lines)], ..Setup::default() });
    gateway.start();
    let port = gateway.ports[0];
    let mut hospital = Hospital::new("T", 1);
    let mut next = || hospital.adt("A08", &Person::numbered(1));

    let mut his = Client::connect(dir, port, Some("his"));
    for _ in 0..3 {
        let message = next();
        assert!(his.send(&message.1).contains(&format!("MSA|AA|{}", message.0)));
    }
    for certificate in [None, Some("expired"), Some("stranger")] {
        assert_eq!(Client::connect(dir, port, certificate).send(&next().1), "", "{certificate:?}");
    }
    // A sender without TLS is closed, and the log says why.
    assert!(Sender::connect(port).unwrap().send(&next().1).is_err());
    gateway.wait_for("the refusals are counted", |gateway| {
        gateway.json(&["feeds"])["feeds"][0]["refused"]["tls"] == 4
    });
    let log = gateway.log();
    assert!(log.contains("speaks no TLS"), "{log}");
    assert!(log.contains("TLS handshake"), "{log}");

    // A large message comes in many records.
    let mut large = next().1;
    large.extend_from_slice(b"ZZZ|");
    large.resize(3 << 20, b'x');
    assert!(his.send(&large).contains("MSA|AA|"));
    assert_eq!(gateway.captures().len(), 4);
}

#[test]
fn a_new_certificate_takes_effect_on_a_reload_and_nobody_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let authority = Authority::new("hospital");
    fs::write(dir.join("ca.pem"), &authority.1).unwrap();
    authority.issue(dir, "server", 5);
    let lines = feed(dir, false);
    let mut gateway = Gateway::new(PROGRAM, &Setup { feeds: &[("his", &lines)], ..Setup::default() });
    gateway.start();
    let port = gateway.ports[0];
    let mut hospital = Hospital::new("T", 1);
    let alarmed = |gateway: &Gateway| {
        let status = gateway.json(&["status"]);
        status["alarms"].as_array().unwrap().iter().any(|alarm| alarm["code"] == "certificate-expiry")
    };
    gateway.wait_for("the certificate that ends soon is alarmed", alarmed);
    let mut old = Client::connect(dir, port, None);
    assert!(old.send(&hospital.adt("A08", &Person::numbered(1)).1).contains("MSA|AA|"));

    authority.issue(dir, "server", 300);
    gateway.signal(Signal::HUP);
    gateway.wait_for("the alarm goes", |gateway| !alarmed(gateway));
    let shown = Command::new("sh")
        .arg("-c")
        .arg(format!(
            "openssl s_client -connect localhost:{port} </dev/null 2>/dev/null | openssl x509 -noout -checkend {}",
            200 * 86_400
        ))
        .status()
        .unwrap();
    assert!(shown.success(), "the new certificate is shown");
    assert!(
        old.send(&hospital.adt("A08", &Person::numbered(1)).1).contains("MSA|AA|"),
        "the old connection lives"
    );

    // One that cannot be used is refused as a whole, and what is in force stays.
    fs::write(dir.join("server.key"), "no key").unwrap();
    gateway.signal(Signal::HUP);
    gateway.wait_for("the refusal", |gateway| gateway.log().contains("stays in force"));
    assert!(
        Client::connect(dir, port, None)
            .send(&hospital.adt("A08", &Person::numbered(1)).1)
            .contains("MSA|AA|")
    );
}
