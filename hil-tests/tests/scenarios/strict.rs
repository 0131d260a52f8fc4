//! The strict peer: every body validated against FHIR R4.

use hil_tests::gateway::{Gateway, LIVE, Setup, destination};
use hil_tests::hospital::{Hospital, Person};
use hil_tests::mllp::Sender;
use hil_tests::platform::NodePeer;

#[test]
fn a_day_of_the_hospital_is_valid_fhir_r4_to_the_last_resource() {
    let Some(peer) = NodePeer::start() else {
        println!(
            "skipped: the packages of hil-tests/platform are not installed; hil-tests/run installs them"
        );
        return;
    };
    let setup = Setup {
        feeds: &[("his", &LIVE.replace("}", ", \"PPN\" = \"passport\", \"TXZ\" = \"hk-macau-permit\" }"))],
        destinations: destination("region", &peer.url(), None),
        ..Setup::default()
    };
    let mut gateway = Gateway::new(env!("CARGO_BIN_EXE_demo"), &setup);
    gateway.start();
    let mut hospital = Hospital::new("S", 5).in_gb18030("GB18030");
    let mut sender = Sender::connect(gateway.ports[0]).unwrap();
    for n in 0..15 {
        let person = Person::numbered(n);
        let order = n.to_string();
        for message in [
            hospital.adt("A04", &person),
            hospital.adt("A01", &person),
            hospital.appointment("S12", &person, &order, "20261201090000", ""),
            hospital.appointment(["S13", "S15", "S17", "S26"][n % 4], &person, &order, "20261202", ""),
            hospital.vaccination(&person, &order, ["CP", "RE", "PA"][n % 3], "A", "L001"),
            hospital.order("NW", "", &person, &order, &[("CBC", "血常规"), ("CRP", "C反应蛋白")]),
            hospital.report(&person, &order, "P", 12),
            hospital.report(&person, &order, "F", 12),
            hospital.order(["SC", "CA"][n % 2], "CM", &person, &order, &[]),
            hospital.adt("A31", &person),
            hospital.update(&person, &["1||I10^高血压^I10|||A|||||||||1", "2||E11^糖尿病^I10|||W"]),
            hospital.update(&person, &["1||J18.9^肺炎^I10|||F|||||||||1", "2||E11.9^糖尿病|||W"]),
            hospital.step("A02", &person, "骨科", "I", ""),
            hospital.step("A07", &person, "骨科", "O", ""),
            hospital.step("A21", &person, "骨科", "O", ""),
            hospital.adt("A03", &person),
            hospital.step(["A13", "A11", "A23", "A29"][n % 4], &person, "骨科", "O", ""),
        ] {
            assert_eq!(sender.send(&message.1).unwrap().code, "AA");
        }
    }
    for n in 0..3 {
        // A second registration without the ID card, a report under it, and the merge.
        let person = Person::numbered(n);
        let again = Person { number: format!("B{n}"), resident: String::new(), ..person.clone() };
        let report = hospital.report(&again, &format!("B{n}"), "F", 4);
        for message in [report, hospital.merge("A40", &person, &again.number)] {
            assert_eq!(sender.send(&message.1).unwrap().code, "AA");
        }
    }
    // A newborn whose mother is named, documents of foreigners, numbers with dates, links, and merges that are taken back.
    let child = "PID|1||N1^^^HIS^MR^^20261101^20271101~E12345678^^^^PPN^^^^FRA~H1234567801^^^^TXZ||王静之子||20261101|M|||||||||||||M0000001^^^HIS^MR~110105199001010020^^^^NI||||2";
    let segments = format!("EVN|A28|{}\r{child}", hospital.time());
    assert_eq!(sender.send(&hospital.message("ADT^A28", &segments).1).unwrap().code, "AA");
    gateway.settled();
    let id = |n: &str| {
        let found = gateway.json(&["persons", "find", "--number", &format!("HIS:{n}"), "--reason", "x"]);
        found["persons"][0]["id"].as_str().unwrap().to_owned()
    };
    let (one, other) = (id("M0000005"), id("M0000006"));
    gateway.cli(&["persons", "link", &one, &other, "--reason", "x"]).unwrap();
    let merged =
        gateway.json(&["persons", "show", &id("M0000000"), "--reason", "x"])["stands_for"][0].clone();
    gateway.cli(&["persons", "unmerge", merged.as_str().unwrap(), "--reason", "x"]).unwrap();
    for n in 3..6 {
        // A visit with two numbers, on the wrong person; two who are looked up together.
        let (person, other) = (Person::numbered(n), Person::numbered(n + 6));
        let (visit, from) = (person.visit.as_str(), person.number.as_str());
        let new = format!("N{n}");
        for message in [
            hospital.moves("A50", &person, "", &format!("||||{visit}^^^HIS"), &new),
            hospital.moves("A49", &person, "ZH", &format!("||ZH{from}^^^HIS"), ""),
            hospital.moves("A45", &other, "", &format!("{from}^^^HIS^MR||||{new}^^^HIS"), &new),
            hospital.moves("A42", &other, "", &format!("||||{new}^^^HIS"), &other.visit),
            hospital.pair("A24", &person, &other),
        ] {
            assert_eq!(sender.send(&message.1).unwrap().code, "AA");
        }
    }
    gateway.settled();
    let stats = peer.stats();
    assert_eq!(stats["rejected"], 0, "{stats}");
    let dump = peer.dump();
    let count = |kind: &str| dump.iter().filter(|resource| resource["resourceType"] == kind).count();
    assert_eq!(
        (count("Patient"), count("Encounter"), count("DiagnosticReport"), count("Observation")),
        (19, 15, 18, 207)
    );
    assert_eq!((count("ServiceRequest"), count("Appointment"), count("Immunization")), (30, 15, 15));
    let status = gateway.json(&["status"]);
    assert_eq!(status["destinations"][0]["counts"]["dead"].as_i64().unwrap_or(0), 0, "{status}");
}
