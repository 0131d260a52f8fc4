//! Documents inside messages: a report as PDF, a scan, a curve.

use hil_tests::hospital::{Hospital, Person};
use hil_tests::platform::Fault;
use model::base64;
use ring::digest::{SHA256, digest};
use serde_json::Value;

use crate::House;

/// A report of one number and one document, as `value` in OBX-5 with OBX-2 `ED`.
fn report(
    hospital: &mut Hospital,
    person: &Person,
    order: &str,
    status: &str,
    value: &str,
) -> (String, Vec<u8>) {
    let time = hospital.time();
    let segments = format!(
        "{}\rOBR|1||F{order}|US^心电图^L|||20261102090000|||||||||||||||{time}|||{status}\r\
         OBX|1|NM|HR^心率^L||72|/min|||||{status}\rOBX|2|ED|PDF^报告单^L||{value}||||||{status}",
        person.pid()
    );
    hospital.message("ORU^R01", &segments)
}

fn pdf(size: usize) -> Vec<u8> {
    let mut bytes = b"%PDF-1.4\n".to_vec();
    bytes.extend((0..size).map(|n| (n * 7 % 251) as u8));
    bytes
}

fn embedded(bytes: &[u8]) -> String {
    format!("LIS^AP^PDF^Base64^{}", base64::encode(bytes))
}

fn only(mut resources: Vec<Value>) -> Value {
    assert_eq!(resources.len(), 1, "{resources:?}");
    resources.remove(0)
}

#[test]
fn a_pdf_in_a_report_arrives_byte_by_byte_and_once_however_often_it_is_sent() {
    let house = House::new();
    let mut hospital = Hospital::new("D", 1);
    let person = Person::numbered(1);
    let bytes = pdf(300_000);
    let value = embedded(&bytes);
    let first = report(&mut hospital, &person, "1", "P", &value);
    let second = report(&mut hospital, &person, "1", "F", &value);
    let other_order = report(&mut hospital, &person, "2", "F", &value);
    for message in [&first, &second, &other_order] {
        assert_eq!(house.fate(message), "delivered");
    }
    let binary = only(house.at_platform("Binary"));
    assert_eq!(base64::decode(binary["data"].as_str().unwrap()), Some(bytes.clone()));
    assert_eq!(binary["contentType"], "application/pdf");
    let patient = only(house.at_platform("Patient"));
    assert_eq!(
        binary["securityContext"]["reference"],
        format!("Patient/{}", patient["id"].as_str().unwrap())
    );
    let reports = house.at_platform("DiagnosticReport");
    assert_eq!(reports.len(), 2);
    let sha256: String = digest(&SHA256, &bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    for report in &reports {
        let form = &report["presentedForm"][0];
        assert_eq!(form["url"], format!("Binary/{}", binary["id"].as_str().unwrap()));
        assert_eq!((&form["size"], &form["title"]), (&bytes.len().into(), &"报告单".into()));
        assert_eq!(form["extension"][0]["valueString"], sha256);
        assert_eq!(report["status"], "final");
    }
    assert_eq!(house.at_platform("Observation").len(), 4, "every OBX is one Observation");
    let seen = house.platform.seen();
    let puts = seen.puts.get(&format!("Binary/{}", binary["id"].as_str().unwrap()));
    assert_eq!((puts, seen.dangling.len(), seen.back_in_time), (Some(&1), 0, 0));
    // Another person's is another one.
    let other = report(&mut hospital, &Person::numbered(2), "3", "F", &value);
    assert_eq!(house.fate(&other), "delivered");
    assert_eq!(house.at_platform("Binary").len(), 2);
}

#[test]
fn a_document_that_the_platform_refuses_leaves_its_report_partial_and_is_not_pressed_upon_it_again() {
    let house = House::new();
    let value = embedded(&pdf(20_000));
    house.platform.fault(Fault::Refuse("\"Binary\"".to_owned()));
    let mut hospital = Hospital::new("D", 1);
    let person = Person::numbered(1);
    let first = report(&mut hospital, &person, "1", "F", &value);
    assert_eq!(house.fate(&first), "delivered");
    assert_eq!(house.reason(&first.0), "partial");
    let check = |house: &House| {
        let report = only(house.at_platform("DiagnosticReport"));
        let form = &report["presentedForm"][0];
        assert_eq!((&report["status"], &form["title"]), (&"partial".into(), &"报告单".into()));
        assert_eq!(form.get("url"), None);
        assert_eq!(report["result"].as_array().unwrap().len(), 2);
    };
    check(&house);
    let seen = house.platform.seen();
    assert_eq!(seen.dangling, [""; 0], "no report went up with an address of what is not there");

    // A correction does not carry the refused document along again.
    house.platform.fault(Fault::None);
    let corrected = report(&mut hospital, &person, "1", "C", &value);
    assert_eq!(house.fate(&corrected), "delivered");
    assert_eq!(house.reason(&corrected.0), "partial");
    check(&house);

    // Somebody has raised the platform's limit and says so.
    let own = house.gateway.list(&["deliveries", "list", "--state", "delivered"], "deliveries");
    let last = own.iter().map(|delivery| delivery["id"].as_i64().unwrap()).max().unwrap();
    assert!(house.gateway.cli(&["deliveries", "replay", &last.to_string()]).is_ok());
    house.gateway.settled();
    assert_eq!(only(house.at_platform("DiagnosticReport"))["status"], "corrected");
    assert_eq!(house.at_platform("Binary").len(), 1);
}

#[test]
fn a_document_that_was_cut_off_is_said_to_be_unreadable_and_loses_nothing_else() {
    let house = House::new();
    let mut hospital = Hospital::new("D", 1);
    let value = format!("{}J", embedded(&pdf(9_000)));
    let message = report(&mut hospital, &Person::numbered(1), "1", "F", &value);
    assert_eq!(house.fate(&message), "delivered");
    assert!(house.at_platform("Binary").is_empty());
    let report = only(house.at_platform("DiagnosticReport"));
    assert_eq!(
        (&report["status"], report["presentedForm"].as_array().unwrap().len()),
        (&"partial".into(), 1)
    );
    let observations = house.at_platform("Observation");
    let heart_rate = observations.iter().find(|o| o["code"]["coding"][0]["code"] == "HR").unwrap();
    assert_eq!(heart_rate["valueQuantity"]["value"], 72);
    let document = observations.iter().find(|o| o["code"]["coding"][0]["code"] == "PDF").unwrap();
    assert_eq!(document["dataAbsentReason"]["coding"][0]["code"], "error");
    let tags = document["meta"]["tag"].as_array().unwrap();
    assert!(tags.iter().any(|tag| tag["code"] == "doubtful:OBX-5"));
}

#[test]
fn a_corrected_value_goes_up_where_the_first_one_was_refused() {
    let house = House::new();
    house.platform.fault(Fault::Refuse("SPOILT".to_owned()));
    let mut hospital = Hospital::new("D", 1);
    let pid = Person::numbered(1).pid();
    let mut message = |status: &str, value: &str| {
        let time = hospital.time();
        let obr = format!("OBR|1||F1|X^Y^L|||20261101|||||||||||||||{time}|||{status}");
        hospital.message("ORU^R01", &format!("{pid}\r{obr}\rOBX|1|ST|B^b^L||{value}||||||{status}"))
    };
    let (wrong, right) = (message("F", "SPOILT"), message("C", "right"));
    assert_eq!(house.fate(&wrong), "delivered");
    assert_eq!(house.reason(&wrong.0), "partial");
    assert_eq!(house.fate(&right), "delivered");
    assert_eq!(only(house.at_platform("Observation"))["valueString"], "right");
    assert_eq!(only(house.at_platform("DiagnosticReport"))["status"], "corrected");
    assert_eq!(house.platform.seen().dangling, [""; 0]);
}
