//! What somebody decides about persons, and what the index tells of it.

use hil_tests::gateway::LIVE;
use hil_tests::hospital::{Hospital, Person};
use serde_json::Value;

use crate::House;

fn registered_twice() -> (House, Hospital, Person, Person) {
    let house = House::new();
    let mut hospital = Hospital::new("D", 1);
    let person = Person::numbered(1);
    let again =
        Person { number: "AGAIN".into(), visit: "AGAIN".into(), resident: String::new(), ..person.clone() };
    for who in [&person, &again] {
        assert_eq!(house.fate(&hospital.adt("A04", who)), "delivered");
    }
    (house, hospital, person, again)
}

fn conflicts(house: &House) -> Vec<Value> {
    house.gateway.json(&["persons", "conflicts", "--reason", "test"])["conflicts"].as_array().unwrap().clone()
}

fn show(house: &House, id: &str) -> Value {
    house.gateway.json(&["persons", "show", id, "--reason", "test"])
}

/// The arguments of a command that was told, with a reason.
fn told(command: &str) -> Vec<String> {
    let words = command.split(' ').skip(1).filter(|word| !word.starts_with('"'));
    words.map(str::to_owned).chain(["told so".to_owned()]).collect()
}

#[test]
fn a_possible_duplicate_tells_the_commands_and_the_merge_that_they_do_is_in_the_history_of_both() {
    let (house, mut hospital, person, again) = registered_twice();
    let listed = conflicts(&house);
    assert_eq!(listed.len(), 1, "{listed:?}");
    let commands: Vec<&str> =
        listed[0]["next"].as_array().unwrap().iter().map(|next| next.as_str().unwrap()).collect();
    let merge = commands.iter().find(|command| command.contains(" merge ")).unwrap();
    let args = told(merge);
    let done = house.gateway.cli(&args.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    assert!(done.contains("stands for"), "{done}");
    house.gateway.settled();
    let (survivor, loser) = (args[2].as_str(), args[3].as_str());
    let patients = house.at_platform("Patient");
    let active = |id: &str| patients.iter().find(|p| p["id"] == id).unwrap()["active"].clone();
    assert_eq!((active(survivor), active(loser)), (Value::Null, Value::Bool(false)));
    assert!(conflicts(&house).is_empty());
    for id in [survivor, loser] {
        let history = &show(&house, id)["history"];
        assert_eq!(history[0]["what"], "merge", "{history}");
        assert_eq!(history[0]["why"], "told so");
        assert!(history[0]["who"].as_str().unwrap().starts_with("uid:") && history[0]["capture"].is_null());
    }
    assert_eq!(show(&house, loser)["merged_into"], survivor);

    // Taken back it is to be decided again, and the history tells both.
    house.gateway.cli(&["persons", "unmerge", loser, "--reason", "mistaken"]).unwrap();
    house.gateway.settled();
    assert_eq!(conflicts(&house).len(), 1);
    assert_eq!(show(&house, survivor)["history"].as_array().unwrap().len(), 2);
    assert_eq!(house.fate(&hospital.merge("A40", &person, &again.number)), "delivered");
    let history = show(&house, survivor)["history"].clone();
    assert_eq!((&history[2]["who"], &history[2]["why"]), (&"his".into(), &"ADT^A40".into()));
    assert!(history[2]["capture"].is_string(), "{history}");
    let audit = house.gateway.json(&["audit", "list", "--limit", "500"]);
    let done: Vec<&str> =
        audit["audit"].as_array().unwrap().iter().map(|entry| entry["what"].as_str().unwrap()).collect();
    assert!(
        done.contains(&"person-merge") && done.contains(&"person-unmerge") && done.contains(&"person-show")
    );
    assert!(house.gateway.cli(&["audit", "verify"]).is_ok());
}

#[test]
fn a_rejected_pair_is_never_listed_again_and_the_two_stay_two() {
    let (house, mut hospital, person, again) = registered_twice();
    let id = conflicts(&house)[0]["id"].to_string();
    let first = conflicts(&house)[0]["person"].as_str().unwrap().to_owned();
    house.gateway.cli(&["persons", "reject", &id, "--reason", "twins of one name"]).unwrap();
    assert!(conflicts(&house).is_empty());
    let moved = Person { number: "AGAIN".into(), visit: "AGAIN2".into(), ..again };
    for who in [&moved, &person] {
        house.accept([&hospital.adt("A08", who)]);
    }
    house.gateway.settled();
    assert!(conflicts(&house).is_empty());
    assert_eq!(show(&house, &first)["history"][0]["what"], "reject");
    assert!(house.gateway.cli(&["persons", "reject", &id, "--reason", "again"]).is_err());
    assert!(house.at_platform("Patient").iter().all(|patient| patient["link"].is_null()));
}

#[test]
fn linked_persons_are_looked_up_together_and_stay_two() {
    let (house, mut hospital, _, again) = registered_twice();
    let row = conflicts(&house)[0].clone();
    let (one, other) = (row["person"].as_str().unwrap(), row["held_by"].as_str().unwrap());
    house.gateway.cli(&["persons", "link", one, other, "--reason", "mother and child"]).unwrap();
    house.gateway.settled();
    let links = || -> Vec<(String, String)> {
        let patients = house.at_platform("Patient");
        let all = patients.iter().flat_map(|p| p["link"].as_array().cloned().unwrap_or_default());
        all.map(|link| {
            (
                link["type"].as_str().unwrap().to_owned(),
                link["other"]["reference"].as_str().unwrap().to_owned(),
            )
        })
        .collect()
    };
    assert_eq!(links().len(), 2);
    assert!(links().iter().all(|(kind, _)| kind == "seealso"));
    assert_eq!(house.fate(&hospital.report(&again, "1", "F", 1)), "delivered");
    let report = &house.at_platform("DiagnosticReport")[0];
    let again_id =
        house.at_platform("Patient").iter().find(|p| p["identifier"][0]["value"] == "AGAIN").unwrap()["id"]
            .clone();
    assert_eq!(report["subject"]["reference"], format!("Patient/{}", again_id.as_str().unwrap()));
    assert!(
        house.gateway.cli(&["persons", "link", one, other, "--reason", "x"]).is_err(),
        "it is so already"
    );
    house.gateway.cli(&["persons", "link", one, other, "--undo", "--reason", "mistaken"]).unwrap();
    house.gateway.settled();
    assert!(links().is_empty());
    assert_eq!(
        (house.platform.seen().back_in_time, house.platform.seen().same_position_other_content),
        (0, 0)
    );
}

#[test]
fn two_who_look_like_two_are_merged_only_by_force_and_every_decision_needs_a_reason() {
    let house = House::with(LIVE);
    let mut hospital = Hospital::new("D", 1);
    let (one, other) = (Person::numbered(1), Person::numbered(2));
    for who in [&one, &other] {
        assert_eq!(house.fate(&hospital.adt("A04", who)), "delivered");
    }
    let patients = house.at_platform("Patient");
    let ids: Vec<&str> = patients.iter().map(|p| p["id"].as_str().unwrap()).collect();
    let merge = |more: &[&str]| house.gateway.cli(&[&["persons", "merge", ids[0], ids[1]], more].concat());
    assert!(merge(&[]).is_err() && merge(&["--reason", " "]).is_err());
    let refused = merge(&["--reason", "x"]).unwrap_err();
    assert!(refused.contains("--force"), "{refused}");
    assert!(house.gateway.cli(&["persons", "merge", ids[0], ids[0], "--reason", "x"]).is_err());
    let nobody = "00000000-0000-4000-8000-000000000000";
    for wrong in [nobody, "M0000001"] {
        assert!(house.gateway.cli(&["persons", "merge", ids[0], wrong, "--reason", "x"]).is_err());
        assert!(house.gateway.cli(&["persons", "show", wrong, "--reason", "x"]).is_err());
    }
    assert!(house.at_platform("Patient").iter().all(|patient| patient["link"].is_null()));
    merge(&["--force", "--reason", "one of the numbers was borrowed"]).unwrap();
    house.gateway.settled();
    assert_eq!(show(&house, ids[0])["stands_for"][0], ids[1]);
    assert!(!house.gateway.log().contains(&one.name), "no name in the log");
}
