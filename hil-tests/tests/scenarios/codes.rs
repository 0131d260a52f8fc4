//! Local codes and units in the terms of standards, by maps that somebody has reviewed.

use std::path::{Path, PathBuf};

use hil_tests::gateway::{Gateway, LIVE, Setup, destination};
use hil_tests::hospital::{Hospital, Person};
use hil_tests::mllp::Sender;
use hil_tests::platform::{Embedded, Fault, NodePeer};
use serde_json::Value;
use tokio::runtime::Runtime;

const HEADER: &str = "kind,source_code,target_code,author,state\n";

/// A gateway whose feed and destination have code maps.
struct Coded {
    _runtime: Runtime,
    platform: Embedded,
    gateway: Gateway,
    files: PathBuf,
    hospital: Hospital,
}

impl Coded {
    /// With the maps `lab.csv` on the feed and `region.csv` on the destination, of these rows.
    fn new(lab: &str, region: &str) -> Self {
        let runtime = Runtime::new().unwrap();
        let files = tempfile::tempdir().unwrap().keep();
        let platform = runtime.block_on(Embedded::start(&files));
        write(&files, "lab", lab);
        write(&files, "region", region);
        let feed = format!("{LIVE}codes = [{:?}]\n", files.join("lab.csv"));
        let destinations = destination("region", &platform.url, Some(&platform.ca));
        let destinations = format!("{destinations}codes = [{:?}]\n", files.join("region.csv"));
        let setup = Setup { feeds: &[("lis", &feed)], destinations, ..Setup::default() };
        let mut gateway = Gateway::new(env!("CARGO_BIN_EXE_demo"), &setup);
        gateway.start();
        Self { _runtime: runtime, platform, gateway, files, hospital: Hospital::new("C", 1) }
    }

    /// Sends a message and waits until it has arrived; gives its control id.
    fn send(&self, message: &(String, Vec<u8>)) -> String {
        let ack = Sender::connect(self.gateway.ports[0]).unwrap().send(&message.1).unwrap();
        assert_eq!(ack.code, "AA", "{}", ack.text);
        self.gateway.settled();
        message.0.clone()
    }

    /// Sends a report of one result.
    fn result(&mut self, order: &str, code: &str, unit: &str) -> String {
        let pid = Person::numbered(1).pid();
        let segments = format!(
            "{pid}\rOBR|1||F{order}|BG^\u{8840}^L|||20261102090000||||||||||||||||||F\rOBX|1|NM|{code}^\u{9879}\u{76ee}^L||5.5|{unit}||||F"
        );
        let message = self.hospital.message("ORU^R01", &segments);
        self.send(&message)
    }

    fn observations(&self) -> Vec<Value> {
        self.platform.resources("Observation")
    }

    /// The codes of an observation of a local code, its own first.
    fn codes(&self, local: &str) -> Vec<String> {
        let all = self.observations();
        let own = all.iter().find(|o| o["code"]["coding"][0]["code"] == local).unwrap();
        let codings = own["code"]["coding"].as_array().unwrap();
        codings.iter().map(|c| c["code"].as_str().unwrap().to_owned()).collect()
    }

    /// Writes maps anew and has them read.
    fn reload(&self, name: &str, rows: &str) {
        write(&self.files, name, rows);
        let before = self.gateway.log().matches("reading ").count();
        self.gateway.signal(rustix::process::Signal::HUP);
        self.gateway.wait_for("the configuration is read again", |gateway| {
            let log = gateway.log();
            let answers = log.matches("the configuration is in force").count()
                + log.matches("the configuration is not taken").count();
            log.matches("reading ").count() > before && answers == log.matches("reading ").count()
        });
    }
}

fn write(files: &Path, name: &str, rows: &str) {
    std::fs::write(files.join(format!("{name}.csv")), format!("{HEADER}{rows}")).unwrap();
}

fn tags(resource: &Value, system: &str) -> Vec<String> {
    let tags = resource["meta"]["tag"].as_array().unwrap().iter();
    let own = tags.filter(|tag| tag["system"].as_str().unwrap().ends_with(system));
    own.map(|tag| tag["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn mapped_codes_stand_beside_the_laboratorys_own_and_say_which_map_gave_them() {
    let mut house = Coded::new(
        "test,GLU,2345-7,Li,reviewed\ntest,NA,2951-2,Li,draft\nunit,10^9/L,10*9/L,Li,reviewed\n",
        "test,GLU,14749-6,Wang,reviewed\n",
    );
    house.result("1", "GLU", "mmol/L");
    house.result("2", "NA", "mmol/L");
    house.result("3", "WBC", "10^9/L");
    assert_eq!(house.codes("GLU"), ["GLU", "14749-6"], "the destination's map counts");
    assert_eq!(house.codes("NA"), ["NA"], "a draft changes nothing that leaves");
    let all = house.observations();
    let cells = all.iter().find(|o| o["code"]["coding"][0]["code"] == "WBC").unwrap();
    let quantity = &cells["valueQuantity"];
    assert_eq!((&quantity["unit"], &quantity["code"]), (&"10^9/L".into(), &"10*9/L".into()));
    assert_eq!(quantity["value"].to_string(), "5.5", "units are renamed, values stay");

    let listed = house.gateway.json(&["codes", "list"]);
    let label = |name: &str| {
        let own = listed["maps"].as_array().unwrap().iter().find(|map| map["name"] == name).unwrap();
        assert_eq!(own["drafts"], u64::from(name == "lab"), "{own}");
        format!("{name}@{}", own["version"].as_str().unwrap())
    };
    assert_eq!(tags(cells, ":code-map"), [label("lab")]);
    let glucose = all.iter().find(|o| o["code"]["coding"][0]["code"] == "GLU").unwrap();
    assert_eq!(tags(glucose, ":code-map"), [label("region")]);
    let provenance = house.platform.resources("Provenance");
    let of_glucose = provenance.iter().find(|p| p.to_string().contains(glucose["id"].as_str().unwrap()));
    assert_eq!(tags(of_glucose.unwrap(), ":code-map"), [label("region")]);
}

#[test]
fn a_map_with_faults_is_told_line_by_line_and_the_one_before_stays_in_force() {
    let mut house = Coded::new("test,GLU,2345-7,Li,reviewed\n", "");
    let wrong = "test,GLU,2345-8,Li,reviewed\ntest,GLU\nunit,mg/dL,mmol/L,Li,reviewed\ntest,A,718-7,Li,reviewed\ntest,A,718-7,Li,reviewed\n";
    house.reload("lab", wrong);
    let lab = house.files.join("lab.csv");
    let file = lab.to_str().unwrap();
    let checked = house.gateway.cli(&["codes", "check", file]).unwrap_err();
    for fault in [
        "lab.csv:2: target_code 2345-8 is no LOINC number",
        "lab.csv:3: the line has 2 fields, the header 5",
        "lab.csv:4: mg/dL is a unit of UCUM already",
        "lab.csv:6: test A stands on line 5 already",
    ] {
        assert!(checked.contains(fault), "{fault} in {checked}");
        assert!(
            house.gateway.log().contains(fault) && house.gateway.cli(&["check"]).unwrap_err().contains(fault)
        );
    }
    house.result("1", "GLU", "mmol/L");
    assert_eq!(house.codes("GLU"), ["GLU", "2345-7"]);
    let gbk = [HEADER.as_bytes(), b"test,\xc6\xcf\xcc\xd1\xcc\xc7,2345-7,Li,reviewed\n"].concat();
    std::fs::write(&lab, gbk).unwrap();
    assert!(house.gateway.cli(&["codes", "check", file]).unwrap_err().contains("save it as `CSV UTF-8`"));
    house.reload("lab", "test,GLU,14749-6,Li,reviewed\n");
    house.result("2", "GLU", "mmol/L");
    let all: Vec<String> =
        house.observations().iter().map(|o| o["code"]["coding"][1]["code"].to_string()).collect();
    assert!(all.contains(&"\"14749-6\"".to_owned()) && all.len() == 2, "{all:?}");
}

#[test]
fn a_platform_that_refuses_provenance_gets_everything_else() {
    for fault in ["Provenance", "assembler"] {
        let mut house = Coded::new("test,GLU,2345-7,Li,reviewed\n", "");
        house.platform.fault(Fault::Refuse(fault.to_owned()));
        house.result("1", "GLU", "mmol/L");
        let requests = house.platform.seen().requests;
        house.result("2", "GLU", "mmol/L");
        assert_eq!((house.observations().len(), house.platform.resources("Provenance").len()), (2, 0));
        // One to see what is there, one to send: it does not ask for trouble a second time.
        assert!(house.platform.seen().requests - requests <= 3);
        let status = house.gateway.json(&["status"]);
        assert_eq!(status["destinations"][0]["counts"]["dead"].as_i64().unwrap_or(0), 0);
        let listed = house.gateway.list(&["deliveries", "list"], "deliveries");
        assert!(listed.iter().all(|d| d["state"] == "delivered" && d["reason"] == ""), "{listed:?}");
        assert_eq!(house.gateway.log().matches("Provenance is refused").count(), 1);
    }
}

#[test]
fn the_maps_that_are_shipped_make_valid_fhir() {
    let Some(peer) = NodePeer::start() else {
        println!(
            "skipped: the packages of hil-tests/platform are not installed; hil-tests/run installs them"
        );
        return;
    };
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/codes");
    let files = tempfile::tempdir().unwrap();
    // The site has looked at the drafts and agrees.
    let laboratory = std::fs::read_to_string(shipped.join("laboratory.csv")).unwrap();
    let reviewed = files.path().join("laboratory.csv");
    std::fs::write(&reviewed, laboratory.replace(",draft,", ",reviewed,")).unwrap();
    let maps = [shipped.join("units.csv"), shipped.join("demographics.csv"), reviewed];
    let feed = format!("{LIVE}codes = {maps:?}\n");
    let setup = Setup {
        feeds: &[("lis", &feed)],
        destinations: destination("region", &peer.url(), None),
        ..Setup::default()
    };
    let mut gateway = Gateway::new(env!("CARGO_BIN_EXE_demo"), &setup);
    gateway.start();
    let mut hospital = Hospital::new("V", 3);
    let mut sender = Sender::connect(gateway.ports[0]).unwrap();
    for n in 0..4 {
        let person = Person::numbered(n);
        let married = format!(
            "EVN|A08|20261124080000\r{}|||2{n}^\u{5df2}\u{5a5a}||||||5{n}^\u{6c11}\u{65cf}",
            person.pid()
        );
        for message in [
            hospital.adt("A01", &person),
            hospital.report(&person, &n.to_string(), "F", 12),
            hospital.message("ADT^A08", &married),
        ] {
            assert_eq!(sender.send(&message.1).unwrap().code, "AA");
        }
    }
    gateway.settled();
    let stats = peer.stats();
    assert_eq!(stats["rejected"], 0, "{stats}");
    let dump = peer.dump();
    let observations: Vec<_> = dump.iter().filter(|r| r["resourceType"] == "Observation").collect();
    assert_eq!(observations.len(), 48);
    assert!(observations.iter().all(|o| o["code"]["coding"][1]["system"] == "http://loinc.org"));
    let with_unit = observations.iter().filter(|o| !o["valueQuantity"].is_null());
    assert!(
        with_unit.clone().count() > 30 && with_unit.clone().all(|o| !o["valueQuantity"]["code"].is_null())
    );
    let persons: Vec<_> = dump.iter().filter(|r| r["resourceType"] == "Patient").collect();
    assert!(persons.iter().all(|p| p["maritalStatus"]["coding"][1]["code"] == "M"), "{persons:?}");
    assert!(persons.iter().all(|p| p.to_string().contains("urn:oid:2.16.156.10011.2.3.3.3")));
}

/// The version of a map that is in force.
fn label(gateway: &Gateway, name: &str) -> String {
    let listed = gateway.json(&["codes", "list"]);
    let own = listed["maps"].as_array().unwrap().iter().find(|map| map["name"] == name).unwrap();
    format!("{name}@{}", own["version"].as_str().unwrap())
}

fn in_order(house: &Coded) {
    let seen = house.platform.seen();
    assert_eq!((seen.back_in_time, seen.same_position_other_content), (0, 0));
}

/// What each of these records would be or was sent again for.
fn ways(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["way"].as_str().unwrap()).collect()
}

#[test]
fn what_a_wrong_map_made_is_found_and_corrected_upstream_and_nothing_else() {
    // Glucose goes up as cholesterol.
    let mut house = Coded::new("test,GLU,14647-2,Li,reviewed\ntest,K,2823-3,Li,reviewed\n", "");
    for (order, code) in [("1", "GLU"), ("2", "NA"), ("3", "K"), ("4", "GLU")] {
        house.result(order, code, "mmol/L");
    }
    let wrong = label(&house.gateway, "lab");
    let recall = |house: &Coded, more: &[&str]| {
        let mut args = vec!["records", "recall", "--map", &wrong];
        args.extend(more);
        if more.is_empty() {
            house.gateway.list(&args, "records")
        } else {
            house.gateway.json(&args)["records"].as_array().unwrap().clone()
        }
    };
    assert_eq!(ways(&recall(&house, &[])), ["unchanged"; 3], "in force it says what it said");
    let before = house.platform.seen().resources;

    house.reload("lab", "test,GLU,14749-6,Li,reviewed\ntest,K,2823-3,Li,reviewed\n");
    let listed = recall(&house, &[]);
    assert_eq!(ways(&listed), ["translate", "unchanged", "translate"]);
    assert!(listed.iter().all(|row| row["kind"] == "lab-report" && row["maps"][0] == wrong.as_str()));
    assert_eq!(house.platform.seen().resources, before, "a look sends nothing");

    assert_eq!(ways(&recall(&house, &["--resend"])), ["translate", "unchanged", "translate"]);
    house.gateway.settled();
    let right = label(&house.gateway, "lab");
    let after = house.platform.seen().resources;
    let mut corrected = 0;
    for (url, body) in &after {
        let (old, new): (Value, Value) =
            (serde_json::from_slice(&before[url]).unwrap(), serde_json::from_slice(body).unwrap());
        if old == new {
            continue;
        }
        assert_eq!(tags(&old, ":capture"), tags(&new, ":capture"), "at its place");
        assert!(tags(&old, ":mapping") < tags(&new, ":mapping"), "{url}");
        if url.starts_with("Observation/") {
            assert_eq!(new["code"]["coding"][1]["code"], "14749-6");
            assert_eq!(tags(&new, ":code-map"), core::slice::from_ref(&right));
            corrected += 1;
        }
    }
    assert_eq!((after.len(), corrected), (before.len(), 2));
    in_order(&house);
    assert_eq!(recall(&house, &[]), [] as [Value; 0]);
    let audit = house.gateway.json(&["audit", "list"]);
    assert!(audit["audit"].as_array().unwrap().iter().any(|entry| entry["what"] == "records-recall"));
    // What comes later goes on as ever.
    house.result("1", "GLU", "mmol/L");
    in_order(&house);
}

#[test]
fn a_destinations_wrong_map_is_recalled_at_that_destination() {
    let mut house = Coded::new("", "test,GLU,14647-2,Wang,reviewed\n");
    house.result("1", "GLU", "mmol/L");
    house.result("2", "NA", "mmol/L");
    let wrong = label(&house.gateway, "region");
    house.reload("region", "test,GLU,14749-6,Wang,reviewed\n");
    assert_eq!(house.codes("GLU"), ["GLU", "14647-2"]);
    let listed = house.gateway.list(&["records", "recall", "--map", &wrong], "records");
    assert_eq!(ways(&listed), ["render"]);
    let done = house.gateway.json(&["records", "recall", "--map", &wrong, "--resend"]);
    assert_eq!(ways(done["records"].as_array().unwrap()), ["render"]);
    house.gateway.settled();
    assert_eq!(
        (house.codes("GLU"), house.codes("NA").len()),
        (vec!["GLU".to_owned(), "14749-6".to_owned()], 1)
    );
    in_order(&house);
}

#[test]
fn what_a_map_makes_a_message_mean_is_read_again_from_the_message() {
    let mut house = Coded::new("sex,\u{7537}\u{6027},F,Li,reviewed\n", "");
    let pid = "PID|1||M0000001^^^HIS^MR||\u{5f20}\u{5f22}||19491231|\u{7537}\u{6027}";
    let message = house.hospital.message("ADT^A28", &format!("EVN|A28|20261124080000\r{pid}"));
    house.send(&message);
    assert_eq!(house.platform.resources("Patient")[0]["gender"], "female");
    let wrong = label(&house.gateway, "lab");
    house.reload("lab", "sex,\u{7537}\u{6027},M,Li,reviewed\n");
    let done = house.gateway.json(&["records", "recall", "--map", &wrong, "--resend"]);
    assert_eq!(ways(done["records"].as_array().unwrap()), ["interpret"]);
    house.gateway.settled();
    let patient = &house.platform.resources("Patient")[0];
    assert_eq!(
        (&patient["gender"], tags(patient, ":code-map")),
        (&"male".into(), vec![label(&house.gateway, "lab")])
    );
    in_order(&house);
}

#[test]
fn the_site_sees_its_mapping_debt_and_nobody_in_it() {
    let mut house = Coded::new("test,GLU,2345-7,Li,reviewed\ntest,NA,2951-2,Li,draft\n", "");
    house.result("1", "GLU", "mmol/L");
    for order in ["2", "3"] {
        house.result(order, "NA", "mmol/L");
    }
    let pid = Person::numbered(1).pid();
    let text = format!(
        "{pid}\rOBR|1||F9|BG^\u{8840}^L|||20261102090000\rOBX|1|ST|^\u{5f20}\u{4e09} 13800000000||x||||F"
    );
    let message = house.hospital.message("ORU^R01", &text);
    house.send(&message);
    // The same message again is no further debt.
    house.send(&message);
    let debts = |house: &Coded, more: &[&str]| {
        let args: Vec<&str> = ["codes", "unmapped", "--kind", "test"].iter().chain(more).copied().collect();
        house.gateway.list(&args, "unmapped")
    };
    let listed = debts(&house, &[]);
    let of = |code: &str| listed.iter().find(|row| row["code"] == code).unwrap();
    let sodium = of("NA");
    assert_eq!(
        (&sodium["seen"], &sodium["feed"], &sodium["draft"]["target"]),
        (&2.into(), &"lis".into(), &"2951-2".into())
    );
    assert!(sodium["first"].as_str() <= sodium["last"].as_str());
    assert_eq!(of("BG")["seen"], 4, "{listed:?}");
    let hidden: Vec<_> = listed.iter().filter(|row| row["hidden"] == true).collect();
    assert_eq!((hidden.len(), &hidden[0]["seen"], &hidden[0]["code"]), (1, &1.into(), &Value::Null));
    assert!(!house.gateway.cli(&["codes", "unmapped"]).unwrap().contains("13800000000"));
    let whole = debts(&house, &["--reason", "mapping of the laboratory"]);
    assert!(whole.iter().any(|row| row["code"].as_str().is_some_and(|code| code.contains("13800000000"))));
    let units = house.gateway.json(&["codes", "unmapped", "--kind", "unit"]);
    assert_eq!(units["unmapped"][0]["code"], "mmol/L");

    house.reload("lab", "test,GLU,2345-7,Li,reviewed\ntest,NA,2951-2,Li,reviewed\n");
    assert!(debts(&house, &[]).iter().all(|row| row["code"] != "NA"), "reviewed, it is paid");
    house.gateway.stop();
    house.gateway.start();
    assert!(debts(&house, &[]).iter().any(|row| row["code"] == "BG"), "counts outlive the process");
}
