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

/// A table of these persons, one a line.
fn table(house: &House, name: &str, people: &[Person]) -> String {
    let mut text = "姓名,性别,出生日期,身份证号,number:HIS,电话\n".to_owned();
    for Person { name, sex, born, resident, number, .. } in people {
        text.push_str(&format!("{name},{sex},{born},{resident},{number},139{number}\n"));
    }
    let path = house.gateway.path(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn import(house: &House, file: &str, more: &[&str]) -> Value {
    house
        .gateway
        .json(&[&["persons", "import", file, "--reason", "the index of the old system"], more].concat())
}

fn found(house: &House, number: &str) -> Value {
    let found =
        house.gateway.json(&["persons", "find", "--number", &format!("HIS:{number}"), "--reason", "test"]);
    found["persons"][0].clone()
}

#[test]
fn an_imported_person_is_known_to_the_first_message_and_goes_up_with_it() {
    let house = House::new();
    let mut hospital = Hospital::new("I", 1);
    let people: Vec<Person> = (0..20).map(Person::numbered).collect();
    let file = table(&house, "index.csv", &people);
    let looked = import(&house, &file, &["--dry-run"]);
    assert_eq!((&looked["new"], &looked["records"]), (&20.into(), &20.into()), "{looked}");
    assert!(found(&house, &people[0].number).is_null(), "nothing was imported");
    let done = import(&house, &file, &[]);
    assert_eq!((&done["new"], &done["known"], &done["wrong"]), (&20.into(), &0.into(), &0.into()), "{done}");
    assert!(house.at_platform("Patient").is_empty(), "nobody goes up for being in a table");
    // Said again it changes nothing.
    let again = import(&house, &file, &[]);
    assert_eq!(
        (&again["new"], &again["more"], &again["known"]),
        (&0.into(), &0.into(), &20.into()),
        "{again}"
    );

    // A report under the record number alone finds the whole person.
    let report = hospital.report(&Person { resident: String::new(), ..people[3].clone() }, "1", "F", 1);
    assert_eq!(house.fate(&report), "delivered");
    let patients = house.at_platform("Patient");
    assert_eq!(patients.len(), 1);
    let numbers: Vec<&str> =
        patients[0]["identifier"].as_array().unwrap().iter().map(|i| i["value"].as_str().unwrap()).collect();
    assert!(numbers.contains(&people[3].resident.as_str()), "{numbers:?}");
    // What a feed says is newer than any table.
    let renamed = Person { name: "新名".to_owned(), ..people[3].clone() };
    assert_eq!(house.fate(&hospital.adt("A08", &renamed)), "delivered");
    import(&house, &file, &[]);
    assert_eq!(found(&house, &people[3].number)["person"]["name"]["family"], "新名");
    assert_eq!(
        (house.platform.seen().back_in_time, house.platform.seen().same_position_other_content),
        (0, 0)
    );
}

#[test]
fn a_table_in_gb18030_with_faults_says_every_line_and_imports_nothing_unless_told_to() {
    let house = House::new();
    let good = Person::numbered(1);
    let text = format!(
        "姓名,性别,出生日期,身份证号,number:HIS\n{},{},{},{},M1\n张三,男,1980-02-30,,M2\n李四,X,,,M3\n王五,男\n\"赵六,男,,,M5\n",
        good.name, good.sex, good.born, good.resident
    );
    let path = house.gateway.path("gb.csv");
    std::fs::write(&path, hl7::charset::Charset::Gb18030.encode(&text)).unwrap();
    let file = path.to_str().unwrap();
    let refused = house.gateway.cli(&["persons", "import", file, "--reason", "x"]).unwrap_err();
    for says in
        ["line 3, column 出生日期", "line 4, column 性别", "line 5", "line 6", "4 of 5 records are wrong"]
    {
        assert!(refused.contains(says), "{refused}");
    }
    for secret in ["张三", "1980-02-30", &good.name, &good.resident] {
        assert!(!refused.contains(secret), "{refused}");
    }
    assert!(found(&house, "M1").is_null());
    let done = import(&house, file, &["--skip-wrong"]);
    assert_eq!((&done["new"], &done["wrong"]), (&1.into(), &4.into()), "{done}");
    assert_eq!(found(&house, "M1")["person"]["name"]["family"], good.name.as_str());
    assert!(house.gateway.cli(&["persons", "import", "/nowhere.csv", "--reason", "x"]).is_err());
    assert!(house.gateway.cli(&["persons", "import", file]).is_err(), "a reason is needed");
    let audit = house.gateway.json(&["audit", "list", "--limit", "500"]);
    let audit = audit["audit"].as_array().unwrap();
    assert!(audit.iter().any(|entry| entry["what"] == "person-import"));
}

#[test]
fn an_import_tells_its_conflicts_and_verifies_only_what_agrees() {
    let house = House::new();
    let (one, other) = (Person::numbered(1), Person::numbered(2));
    let people = [
        one.clone(),
        // Borrowed, then a child on a parent's number, then a typing error, then the same person registered twice.
        Person { number: "M90".into(), name: "借用".into(), ..one.clone() },
        Person { number: "M91".into(), born: "20260101".into(), name: "小宝".into(), ..one.clone() },
        Person { number: "M92".into(), resident: "110105194912310020".into(), ..Person::numbered(5) },
        other.clone(),
        Person { number: format!("{}B", other.number), ..other.clone() },
    ];
    let done = import(&house, &table(&house, "index.csv", &people), &[]);
    let doubts: Vec<(u64, &str)> = done["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["line"].as_u64().unwrap(), row["doubt"].as_str().unwrap()))
        .collect();
    assert_eq!(doubts, [(3, "name"), (4, "birth-date"), (5, "malformed")], "{done}");
    assert_eq!((&done["new"], &done["more"]), (&5.into(), &1.into()), "{done}");
    assert_eq!(found(&house, &other.number)["id"], found(&house, &format!("{}B", other.number))["id"]);
    assert_eq!(conflicts(&house).len(), 3);
    let by_number = house.gateway.json(&["persons", "find", "--resident-id", &one.resident, "--reason", "x"]);
    let verified = by_number["persons"].as_array().unwrap().iter().filter(|p| p["matched"] == "verified");
    assert_eq!(verified.count(), 1, "{by_number}");
}

#[test]
fn an_import_that_is_cut_off_goes_on_where_it_was() {
    let mut house = House::new();
    let people: Vec<Person> = (0..1_400).map(Person::numbered).collect();
    let file = table(&house, "index.csv", &people);
    std::thread::scope(|scope| {
        let gateway = &house.gateway;
        let cut = scope.spawn(|| gateway.cli(&["persons", "import", &file, "--reason", "x"]));
        gateway.wait_for("the first rows are in", |_| !found(&house, &people[0].number).is_null());
        let id = rustix::process::Pid::from_raw(i32::try_from(gateway.process()).unwrap()).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::KILL).unwrap();
        assert!(cut.join().unwrap().is_err(), "it was cut off");
    });
    house.gateway.kill();
    house.gateway.start();
    let done = import(&house, &file, &[]);
    let (resumed, new) = (done["resumed_after"].as_u64().unwrap(), done["new"].as_u64().unwrap());
    assert!(resumed > 1, "{done}");
    assert_eq!(resumed - 1 + new + done["more"].as_u64().unwrap() + done["known"].as_u64().unwrap(), 1_400);
    for n in [0, 199, 200, 700, 1_399] {
        assert!(!found(&house, &people[n].number).is_null(), "{n}");
    }
    let again = import(&house, &file, &[]);
    assert_eq!((&again["known"], &again["resumed_after"]), (&1_400.into(), &0.into()), "{again}");
}
