//! Orders, and the results that answer them.

use hil_tests::gateway::{LIVE, Setup, destination};
use hil_tests::hospital::{Hospital, Person};
use serde_json::Value;

use crate::House;

const CBC: [(&str, &str); 1] = [("CBC", "血常规")];

/// The only order at the platform.
fn order(house: &House) -> Value {
    let mut orders = house.at_platform("ServiceRequest");
    assert_eq!(orders.len(), 1, "{orders:#?}");
    orders.pop().unwrap()
}

fn based_on(house: &House) -> Value {
    let mut reports = house.at_platform("DiagnosticReport");
    assert_eq!(reports.len(), 1);
    reports.pop().unwrap()["basedOn"][0].clone()
}

fn reference(order: &Value) -> Value {
    format!("ServiceRequest/{}", order["id"].as_str().unwrap()).into()
}

fn in_order(house: &House) {
    let seen = house.platform.seen();
    assert_eq!((seen.back_in_time, seen.same_position_other_content), (0, 0));
}

#[test]
fn an_order_goes_through_its_life_and_its_result_refers_to_it() {
    let house = House::new();
    let (mut hospital, person) = (Hospital::new("O", 1), Person::numbered(1));
    for (control, status, fhir) in [
        ("NW", "", "active"),
        ("SC", "IP", "active"),
        ("HD", "", "on-hold"),
        ("UC", "", "on-hold"),
        ("RL", "", "active"),
        ("SC", "CM", "completed"),
    ] {
        assert_eq!(
            house.fate(&hospital.order(control, status, &person, "1", &CBC)),
            "delivered",
            "{control}"
        );
        assert_eq!(order(&house)["status"], fhir, "{control}");
    }
    let placed = order(&house);
    assert_eq!(placed["code"]["coding"][0]["display"], "血常规");
    assert_eq!((&placed["priority"], &placed["requester"]["display"]), (&"stat".into(), &"李明".into()));
    assert_eq!(placed["note"][0]["text"], "空腹");
    assert_eq!(placed["requisition"]["value"], "G1");
    assert_eq!(house.at_platform("Condition").len(), 1, "the diagnosis of the order");

    // The specimen was taken on another day than the order was placed: that is no conflict.
    assert_eq!(house.fate(&hospital.report(&person, "1", "F", 3)), "delivered");
    assert_eq!(based_on(&house)["reference"], reference(&placed));
    in_order(&house);
}

#[test]
fn a_result_that_comes_before_its_order_names_it_by_number_and_refers_to_it_later() {
    let house = House::new();
    let (mut hospital, person) = (Hospital::new("O", 1), Person::numbered(1));
    let placed = hospital.order("NW", "", &person, "1", &CBC);
    assert_eq!(house.fate(&hospital.report(&person, "1", "F", 3)), "delivered");
    assert_eq!(
        (&based_on(&house)["reference"], &based_on(&house)["identifier"]["value"]),
        (&Value::Null, &"P1".into())
    );
    assert_eq!(house.fate(&placed), "delivered");
    assert_eq!(based_on(&house)["reference"], reference(&order(&house)));
    in_order(&house);
}

#[test]
fn a_cancellation_that_comes_before_its_order_is_not_undone_by_it() {
    let house = House::new();
    let (mut hospital, person) = (Hospital::new("O", 1), Person::numbered(1));
    let placed = hospital.order("NW", "", &person, "1", &CBC);
    let again = hospital.text(
        "ORM^O01",
        "AGAIN",
        "P",
        String::from_utf8_lossy(&placed.1).split_once('\r').unwrap().1,
    );
    assert_eq!(house.fate(&hospital.order("CA", "", &person, "1", &[])), "delivered");
    assert_eq!((&order(&house)["status"], &order(&house)["code"]), (&"revoked".into(), &Value::Null));
    assert_eq!(house.fate(&placed), "delivered", "it says what was cancelled");
    let now = order(&house);
    assert_eq!((&now["status"], &now["code"]["coding"][0]["code"]), (&"revoked".into(), &"CBC".into()));
    assert!(now["authoredOn"].is_string());
    assert_eq!(house.fate(&("AGAIN".to_owned(), again.into_bytes())), "superseded");
    assert_eq!(order(&house), now);
    in_order(&house);
}

#[test]
fn several_services_under_one_number_are_told_apart_and_cancelled_together() {
    let house = House::new();
    let (mut hospital, person) = (Hospital::new("O", 1), Person::numbered(1));
    let both = [("CBC", "血常规"), ("CRP", "C反应蛋白")];
    assert_eq!(house.fate(&hospital.order("NW", "", &person, "1", &both)), "delivered");
    assert_eq!(house.fate(&hospital.report(&person, "1", "P", 2)), "delivered");
    let statuses = |house: &House| -> Vec<(String, String)> {
        let all = house.at_platform("ServiceRequest");
        let mut all: Vec<_> = all
            .iter()
            .map(|o| {
                [&o["code"]["coding"][0]["code"], &o["status"]].map(|v| v.as_str().unwrap().to_owned()).into()
            })
            .collect();
        all.sort();
        all
    };
    let expected =
        |cbc: &str, crp: &str| [("CBC", cbc), ("CRP", crp)].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(house.fate(&hospital.order("DC", "", &person, "1", &both[1..])), "delivered");
    assert_eq!(statuses(&house), expected("active", "revoked"));
    let blood =
        house.at_platform("ServiceRequest").into_iter().find(|o| o["code"]["coding"][0]["code"] == "CBC");
    assert_eq!(based_on(&house)["reference"], reference(&blood.unwrap()));
    assert_eq!(house.fate(&hospital.order("CA", "", &person, "1", &[])), "delivered");
    assert_eq!(statuses(&house), expected("revoked", "revoked"));
    in_order(&house);
}

#[test]
fn the_order_of_one_system_and_the_result_of_another_meet_where_they_share_a_space() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap().keep();
    let platform = runtime.block_on(hil_tests::platform::Embedded::start(&dir));
    let shared = |authority: &str| {
        format!("{LIVE}authority = {authority}\nnumbers = {{ placer = \"global@orders\" }}\n")
    };
    let (his, lis) = (shared("[\"identity\", \"demographics\", \"order\"]"), shared("[\"result\"]"));
    let setup = Setup {
        feeds: &[("his", &his), ("lis", &lis)],
        destinations: destination("region", &platform.url, Some(&platform.ca)),
        ..Setup::default()
    };
    let mut gateway = hil_tests::gateway::Gateway::new(env!("CARGO_BIN_EXE_demo"), &setup);
    gateway.start();
    let person = Person::numbered(1);
    let (mut one, mut other) = (Hospital::new("H", 1), Hospital::new("L", 2));
    let send = |port: usize, message: &(String, Vec<u8>)| {
        let mut sender = hil_tests::mllp::Sender::connect(gateway.ports[port]).unwrap();
        assert_eq!(sender.send(&message.1).unwrap().code, "AA");
        gateway.settled();
        gateway.fates(&message.0).pop().unwrap()
    };
    assert_eq!(send(0, &one.order("NW", "", &person, "1", &CBC)), "delivered");
    assert_eq!(send(1, &other.report(&person, "1", "F", 2)), "delivered");
    let order = platform.resources("ServiceRequest").pop().unwrap();
    assert_eq!(platform.resources("DiagnosticReport")[0]["basedOn"][0]["reference"], reference(&order));
    // Who may give results may not place orders.
    let refused = other.order("NW", "", &person, "2", &CBC);
    assert_eq!(send(1, &refused), "quarantined");
    let captures = gateway.captures();
    let own = captures.iter().find(|capture| capture["control_id"] == refused.0.as_str()).unwrap();
    assert_eq!(own["reason"], "no-authority");
}

#[test]
fn an_order_number_of_somebody_else_is_a_conflict_and_a_merge_takes_orders_along() {
    let house = House::new();
    let mut hospital = Hospital::new("O", 1);
    let (person, other) = (Person::numbered(1), Person::numbered(2));
    assert_eq!(house.fate(&hospital.order("NW", "", &person, "1", &CBC)), "delivered");
    let conflict = hospital.order("NW", "", &other, "1", &CBC);
    assert_eq!(house.fate(&conflict), "quarantined");
    assert_eq!(house.reason(&conflict.0), "id-conflict");

    let again = Person { number: "AGAIN".to_owned(), resident: String::new(), ..person.clone() };
    assert_eq!(house.fate(&hospital.order("NW", "", &again, "2", &CBC)), "delivered");
    let subjects = |house: &House| {
        let orders = house.at_platform("ServiceRequest");
        orders
            .iter()
            .map(|o| o["subject"]["reference"].as_str().unwrap().to_owned())
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(subjects(&house).len(), 2);
    assert_eq!(house.fate(&hospital.merge("A40", &person, "AGAIN")), "delivered");
    assert_eq!(subjects(&house).len(), 1);
    in_order(&house);
}

#[test]
fn a_destination_that_takes_no_orders_gets_results_that_name_theirs_by_number() {
    let house = House::new();
    let (mut hospital, person) = (Hospital::new("O", 1), Person::numbered(1));
    let mut gateway = house.gateway;
    let only = format!(
        "{}records = [\"person\", \"lab-report\"]\n",
        destination("region", &house.platform.url, Some(&house.platform.ca))
    );
    gateway.configure(&Setup { destinations: only, ..Setup::default() });
    gateway.stop();
    gateway.start();
    let house = House { gateway, ..house };
    assert_eq!(
        house.fate(&hospital.order("NW", "", &person, "1", &CBC)),
        "delivered",
        "it brings the person"
    );
    assert_eq!(house.fate(&hospital.report(&person, "1", "F", 3)), "delivered");
    assert!(house.at_platform("ServiceRequest").is_empty());
    assert_eq!(
        (&based_on(&house)["reference"], &based_on(&house)["identifier"]["value"]),
        (&Value::Null, &"P1".into())
    );
}
