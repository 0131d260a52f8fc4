//! Department systems ask who somebody is: PIX (QBP^Q23) and PDQ (QBP^Q22).

use hil_tests::gateway::LIVE;
use hil_tests::hospital::{Hospital, Person};
use hl7::charset::Charset;

use crate::House;

const ASKED: &str = "queries = [\"127.0.0.0/8\"]\n";

/// Asks, and gives the answer's segments.
fn ask(house: &House, charset: (&str, Charset), trigger: &str, qpd: &str) -> Vec<String> {
    let query = format!(
        "MSH|^~\\&|DEPT|D1|GW|R|20261124||QBP^{trigger}^QBP_Q21|ASK1|P|2.5||||||{}\rQPD|{qpd}\rRCP|I\r",
        charset.0
    );
    let mut sender = house.sender();
    sender.raw(&hil_tests::mllp::framed(&charset.1.encode(&query))).unwrap();
    let raw = sender.answer().unwrap();
    charset.1.decode(&raw).unwrap().split('\r').filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn utf8() -> (&'static str, Charset) {
    ("UNICODE UTF-8", Charset::Utf8)
}

fn segment<'a>(answer: &'a [String], name: &str) -> &'a str {
    answer.iter().find(|segment| segment.starts_with(name)).map_or("", String::as_str)
}

#[test]
fn a_local_number_leads_to_the_main_index_and_every_other_number() {
    let house = House::with(&format!("{LIVE}{ASKED}"));
    let mut hospital = Hospital::new("Q", 1);
    let person = Person::numbered(1);
    let again = Person { number: "M9999999".to_owned(), visit: "V9".to_owned(), ..person.clone() };
    for who in [&person, &again] {
        assert_eq!(house.fate(&hospital.adt("A01", who)), "delivered");
    }
    let answer = ask(&house, utf8(), "Q23", &format!("IHE PIX Query|T1|{}^^^HIS^MR", again.number));
    assert!(answer[0].contains("|RSP^K23^RSP_K23|") && segment(&answer, "MSA").starts_with("MSA|AA|ASK1"));
    assert!(segment(&answer, "QAK").starts_with("QAK|T1|OK|Q23|1"), "{answer:?}");
    assert!(segment(&answer, "QPD").starts_with("QPD|IHE PIX Query|T1|"));
    let pid = segment(&answer, "PID");
    for number in [&person.number, &again.number, &person.resident] {
        assert!(pid.contains(number.as_str()), "{pid}");
    }
    assert!(!pid.contains(&person.name), "PIX tells numbers, not who it is");
    // Of one authority only, and by the resident ID number.
    let resident = format!("IHE PIX Query|T2|{}^^^^NI|^^^HIS", person.resident);
    let answer = ask(&house, utf8(), "Q23", &resident);
    assert!(segment(&answer, "PID").contains(&person.number) && !segment(&answer, "PID").contains("^NI"));
    // A number that nobody has, and a number of an authority that gave none.
    let answer = ask(&house, utf8(), "Q23", "IHE PIX Query|T3|NOBODY^^^HIS^MR");
    assert!(segment(&answer, "MSA").starts_with("MSA|AE|") && segment(&answer, "ERR").contains("204^"));
    assert!(segment(&answer, "QAK").starts_with("QAK|T3|AE"));
    let answer =
        ask(&house, utf8(), "Q23", &format!("IHE PIX Query|T4|{}^^^HIS^MR|^^^ELSEWHERE", person.number));
    assert!(
        segment(&answer, "MSA").starts_with("MSA|AA|") && segment(&answer, "QAK").starts_with("QAK|T4|NF")
    );
    // Who was merged is found as who they are.
    let card = Person {
        number: "CARDLESS".to_owned(),
        visit: "V8".to_owned(),
        resident: String::new(),
        ..person.clone()
    };
    for message in [hospital.adt("A04", &card), hospital.merge("A40", &person, "CARDLESS")] {
        assert_eq!(house.fate(&message), "delivered");
    }
    let answer = ask(&house, utf8(), "Q23", "IHE PIX Query|T5|CARDLESS^^^HIS^MR");
    assert!(segment(&answer, "PID").contains(&person.resident), "{answer:?}");
}

#[test]
fn persons_are_found_by_what_is_known_of_them_in_the_askers_character_set() {
    let house = House::with(&format!("{LIVE}{ASKED}"));
    let mut hospital = Hospital::new("Q", 1);
    let person = Person { name: "张弢".to_owned(), ..Person::numbered(1) };
    let other = Person { name: "张弢".to_owned(), ..Person::numbered(2) };
    for who in [&person, &other] {
        assert_eq!(house.fate(&hospital.adt("A01", who)), "delivered");
    }
    let gbk = || ("GBK", Charset::Gb18030);
    let by = |more: &str| format!("IHE PDQ Query|T|@PID.5.1^张弢{more}");
    let answer = ask(&house, gbk(), "Q22", &by(&format!("~@PID.7^{}", person.born)));
    assert!(answer[0].contains("|RSP^K22^RSP_K22|") && segment(&answer, "QAK").starts_with("QAK|T|OK|Q22|1"));
    let pid = segment(&answer, "PID");
    assert!(pid.contains("|张弢") && pid.contains(&person.resident) && pid.contains(&person.born), "{pid}");
    // A name alone shows nobody; nor does a parameter that is not known.
    let answer = ask(&house, gbk(), "Q22", &by(""));
    assert!(segment(&answer, "MSA").starts_with("MSA|AE") && segment(&answer, "PID").is_empty());
    assert!(segment(&answer, "ERR").contains("together with more"), "{answer:?}");
    let answer = ask(&house, gbk(), "Q22", &by("~@PID.22^X"));
    assert!(segment(&answer, "ERR").contains("@PID.22"), "{answer:?}");
    let answer = ask(&house, gbk(), "Q22", &by("~@PID.7^19010101"));
    assert!(segment(&answer, "QAK").starts_with("QAK|T|NF"), "{answer:?}");
}

#[test]
fn who_may_not_ask_is_told_so_and_every_query_is_in_the_audit() {
    let closed = House::new();
    let answer = ask(&closed, utf8(), "Q23", "IHE PIX Query|T|1^^^HIS^MR");
    assert!(segment(&answer, "MSA").starts_with("MSA|AR|ASK1"), "{answer:?}");
    assert!(closed.gateway.captures().is_empty());

    let house = House::with(&format!("{LIVE}{ASKED}"));
    for _ in 0..3 {
        ask(&house, utf8(), "Q23", "IHE PIX Query|T|1^^^HIS^MR");
    }
    let answer = ask(&house, utf8(), "Q25", "Other|T|1");
    assert!(segment(&answer, "ERR").contains("Q22"), "{answer:?}");
    let audit = house.gateway.json(&["audit", "list"]);
    let queries = audit["audit"].as_array().unwrap().iter().filter(|entry| entry["what"] == "query-q23");
    assert_eq!(queries.count(), 3, "{audit}");
    assert!(house.gateway.cli(&["audit", "verify"]).is_ok());
    assert!(house.gateway.captures().is_empty(), "a query tells nothing of anybody, so it is not kept");
}
