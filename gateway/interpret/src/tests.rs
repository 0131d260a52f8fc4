//! Whole messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use feed::FeedName;
use hl7::charset::{Charset, Default as Charsets};
use jiff::tz::TimeZone;
use model::{Absent, EncounterStatus, Field, IdentifierKind, ReportStatus, Value};
use proptest::prelude::*;

use super::*;

fn context() -> Context {
    let meaning = [
        ("MR", Meaning::Authority("HIS".to_owned())),
        ("NI", Meaning::ResidentId),
        ("JKK", Meaning::HealthCode),
        ("PPN", Meaning::Document(model::Document::Passport)),
        ("TXZ", Meaning::Document(model::Document::HkMacauPermit)),
        ("19", Meaning::Mother),
        ("TMP", Meaning::Temporary),
    ];
    Context {
        feed: FeedName::new("his").unwrap(),
        zone: TimeZone::fixed(jiff::tz::offset(8)),
        identifiers: meaning
            .into_iter()
            .map(|(key, meaning)| (key.to_owned(), meaning))
            .collect::<BTreeMap<_, _>>(),
        dummy: ["0".to_owned(), "999999".to_owned()].into(),
        numbers: Numbers::default(),
        codes: Arc::default(),
    }
}

pub(crate) fn interpreted(text: &str) -> Interpretation {
    let raw = Charset::Gb18030.encode(text);
    let message = Message::read(&raw, Charsets::Fixed(Charset::Gb18030), None).unwrap();
    hl7(&message, &context())
}

fn changes(text: &str) -> Vec<Change> {
    match interpreted(text) {
        Interpretation::Changes(changes) => changes,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn changed(text: &str) -> Change {
    let [change] = <[Change; 1]>::try_from(changes(text)).expect("one group");
    change
}

fn adt(event: &str, segments: &str) -> String {
    format!("MSH|^~\\&|HIS|H1|||20261124081500||ADT^{event}|C1|P|2.4\r{segments}")
}

fn oru(segments: &str) -> String {
    format!("MSH|^~\\&|LIS|H1|||20261124100000+0800||ORU^R01|C2|P|2.4\rPID|1||M1^^^HIS^MR\r{segments}")
}

/// A segment with these fields.
fn segment(name: &str, fields: &[(usize, &str)]) -> String {
    let last = fields.iter().map(|(n, _)| *n).max().unwrap_or(0);
    let mut all = vec![""; last + 1];
    all[0] = name;
    for (n, text) in fields {
        all[*n] = text;
    }
    all.join("|")
}

pub(crate) const PID: &str = "PID|1||M1^^^HIS^MR~11010519491231002x^^^^NI~0^^^HIS^MR||\u{5f20}\u{5f22}||19491231|F|||\u{5357}\u{4eac}\u{8def}1\u{53f7}^^\u{676d}\u{5dde}^\u{6d59}\u{6c5f}^310000^CN||13800000000";

#[test]
fn an_admission_names_the_person_and_opens_the_visit() {
    let change = changed(&adt(
        "A01",
        &format!(
            "EVN|A01|20261124080000\r{PID}\rPV1|1|I|W3^12^2||||D7^\u{674e}^\u{660e}||||||||||||V1^^^HIS|||||||||||||||||||||||||20261124075500\rDG1|1||I10^\u{9ad8}\u{8840}\u{538b}^ICD-10|||A"
        ),
    ));
    assert_eq!(change.event.unwrap().to_string(), "2026-11-24T08:00:00+08:00");
    let person = change.person;
    let numbers: Vec<_> =
        person.identifiers.iter().map(|i| (i.kind == IdentifierKind::ResidentId, i.value.as_str())).collect();
    // The dummy number is nobody's; the small x is normalised.
    assert_eq!(numbers, [(false, "M1"), (true, "11010519491231002X")]);
    assert_eq!(person.name.value().unwrap().full(), "\u{5f20}\u{5f22}");
    assert_eq!(person.addresses.value().unwrap()[0].city.as_deref(), Some("\u{676d}\u{5dde}"));
    let visit = change.encounter.unwrap();
    assert_eq!((visit.number.value.as_str(), visit.number.space.as_str()), ("V1", "HIS"));
    assert_eq!(visit.status, Some(EncounterStatus::InProgress));
    assert_eq!(visit.location.value().unwrap(), "W3 12 2");
    assert_eq!(visit.attending.value().unwrap().name.as_deref(), Some("\u{674e}\u{660e}"));
    assert_eq!(visit.start.value().unwrap().to_string(), "2026-11-24T07:55:00+08:00");
    assert_eq!(change.diagnoses[0].code.key(), "I10");
}

#[test]
fn a_discharge_ends_the_visit_and_an_update_of_the_person_leaves_it_alone() {
    let pv1 = "PV1|1|I|||||||||||||||||V1";
    let discharge = changed(&adt("A03", &format!("EVN|A03|20261125090000\r{PID}\r{pv1}"))).encounter.unwrap();
    assert_eq!(discharge.status, Some(EncounterStatus::Finished));
    assert_eq!(discharge.end.value().unwrap().to_string(), "2026-11-25T09:00:00+08:00");
    assert_eq!(changed(&adt("A08", &format!("{PID}\r{pv1}"))).encounter.unwrap().status, None);
    assert_eq!(changed(&adt("A31", &format!("{PID}\r{pv1}"))).encounter, None);
}

#[test]
fn a_visit_is_read_with_its_doctors_numbers_and_department() {
    let pv1 = |pairs: &[(usize, &str)]| {
        let mut fields = vec![""; 51];
        for (n, value) in [(0, "PV1"), (19, "V1^^^HIS")].iter().chain(pairs) {
            fields[*n] = value;
        }
        fields.join("|")
    };
    let segments = format!(
        "{PID}|||||A7^^^HIS\r{}\rPV2|||^\u{80f8}\u{75db}|||||20261120|\"\"",
        pv1(&[
            (6, "W1^1"),
            (8, "D8^\u{738b}~D9"),
            (9, "\"\""),
            (10, "0301"),
            (14, "2"),
            (17, "D1"),
            (36, "1^Home^HL70112"),
            (50, "V0^^^HIS~Y5^^^YB"),
        ])
    );
    let visit = changed(&adt("A08", &segments)).encounter.unwrap();
    assert_eq!(visit.account.value().map(|number| number.value.as_str()), Some("A7"));
    let others: Vec<_> = visit.other_numbers.iter().map(|n| (n.space.as_str(), n.value.as_str())).collect();
    assert_eq!(others, [("HIS", "V0"), ("YB", "Y5")]);
    let referring = visit.referring.value().unwrap();
    assert_eq!((referring.len(), referring[1].number.as_deref()), (2, Some("D9")));
    assert_eq!((&visit.consulting, visit.admitting.value().unwrap().len()), (&Field::Null, 1));
    let coding = |coded: &Field<model::Coded>| coded.value().unwrap().codings[0].clone();
    assert_eq!(coding(&visit.service).system.as_deref(), Some("PV1-10"), "a code of the site's own table");
    assert_eq!(coding(&visit.disposition).system.as_deref(), Some("HL70112"));
    assert_eq!(visit.reason.value().unwrap().text.as_deref(), Some("\u{80f8}\u{75db}"));
    assert_eq!(visit.expected_start.value().unwrap().to_string(), "2026-11-20");
    assert_eq!((visit.expected_end, visit.location), (Field::Null, Field::Absent));
    assert_eq!(visit.prior_location.as_deref(), Some("W1 1"));
}

#[test]
fn diagnoses_are_a_list_of_their_kind_unless_each_says_what_is_done() {
    use model::DiagnosisKind::{Admitting, Final, Working};
    let pv1 = "PV1|1|I|||||||||||||||||V1";
    let read = |dg1: &str| {
        let change = changed(&adt("A08", &format!("{PID}\r{pv1}\r{dg1}")));
        let all = change.diagnoses.into_iter().map(|d| (d.code.key().to_owned(), d.kind, d.rank, d.deleted));
        (all.collect::<Vec<_>>(), change.encounter.unwrap().diagnoses_listed)
    };
    let one = |code: &str, kind, rank, deleted| (code.to_owned(), kind, rank, deleted);
    let rest = |n| "|".repeat(n);
    let listed = format!("DG1|1||I10|||A{}1\rDG1|2||E11|||F\rDG1|3||I10|||F{}0", rest(9), rest(9));
    assert_eq!(
        read(&listed),
        (vec![one("I10", Final, None, false), one("E11", Final, None, false)], vec![Admitting, Final])
    );
    let single = format!("DG1|1||I10|||A{}D\rDG1|2||E11|||W{}A", rest(15), rest(15));
    assert_eq!(
        read(&single),
        (vec![one("I10", Admitting, None, true), one("E11", Working, None, false)], vec![])
    );
    assert_eq!(read("DG1|\"\""), (vec![], vec![Admitting, Working, Final]), "there is none");
    assert_eq!(read("NTE|1"), (vec![], vec![]), "nothing is said");
}

#[test]
fn moves_say_what_goes_from_whom_to_whom_and_each_visit_is_a_group() {
    use model::StepKind;
    let pid = |account: &str| format!("PID|1||M1^^^HIS^MR{}{account}", "|".repeat(15));
    let pv1 = |visit: &str| format!("PV1|1|I{}{visit}^^^HIS", "|".repeat(17));
    let steps = |event: &str, segments: &str| -> Vec<(Vec<String>, Vec<String>)> {
        let told = |kind: &StepKind| match kind {
            StepKind::NumberMoves(number) => vec!["number".to_owned(), number.value.clone()],
            StepKind::AccountMoves(number) => vec!["account".to_owned(), number.value.clone()],
            StepKind::VisitMoves(number) => vec!["visit".to_owned(), number.value.clone()],
            StepKind::AccountIs { old, new }
            | StepKind::VisitIs { old, new }
            | StepKind::VisitGoesOn { old, new }
            | StepKind::VisitsAreOne { lost: old, kept: new } => vec![old.value.clone(), new.value.clone()],
            StepKind::Linked => vec!["linked".to_owned()],
            StepKind::Unlinked => vec!["unlinked".to_owned()],
        };
        let steps = changes(&adt(event, segments)).into_iter().flat_map(|change| change.steps);
        steps.map(|s| (told(&s.kind), s.from.into_iter().map(|n| n.value).collect())).collect()
    };
    let step = |what: &[&str], from: &[&str]| {
        let owned = |all: &[&str]| all.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        (owned(what), owned(from))
    };
    let two = format!(
        "{}\rMRG|M2^^^HIS^MR||||V1^^^HIS\r{}\rMRG|M3^^^HIS^MR||||V2^^^HIS\r{}",
        pid(""),
        pv1("V1"),
        pv1("V2")
    );
    assert_eq!(steps("A45", &two), [step(&["visit", "V1"], &["M2"]), step(&["visit", "V2"], &["M3"])]);
    let visits: Vec<_> =
        changes(&adt("A45", &two)).into_iter().map(|c| c.encounter.unwrap().number.value).collect();
    assert_eq!(visits, ["V1", "V2"]);
    for (event, segments, right) in [
        ("A44", format!("{}\rMRG|M2^^^HIS^MR||A1^^^HIS", pid("A1^^^HIS")), step(&["account", "A1"], &["M2"])),
        ("A41", format!("{}\rMRG|||A1^^^HIS", pid("A2^^^HIS")), step(&["A1", "A2"], &[])),
        ("A49", format!("{}\rMRG|M1^^^HIS^MR||A1^^^HIS", pid("A2^^^HIS")), step(&["A1", "A2"], &["M1"])),
        ("A42", format!("{}\rMRG|||||V1^^^HIS\r{}", pid(""), pv1("V2")), step(&["V1", "V2"], &[])),
        ("A50", format!("{}\rMRG|||||V1^^^HIS\r{}", pid(""), pv1("V2")), step(&["V1", "V2"], &[])),
        ("A06", format!("{}\rMRG|||||V1^^^HIS\r{}", pid(""), pv1("V2")), step(&["V1", "V2"], &[])),
        ("A43", format!("{}\rMRG|M2^^^HIS^MR", pid("")), step(&["number", "M2"], &[])),
        ("A24", format!("PID|1||M9^^^HIS^MR\r{}", pid("")), step(&["linked"], &["M9"])),
        ("A37", format!("PID|1||M9^^^HIS^MR\r{}", pid("")), step(&["unlinked"], &["M9"])),
    ] {
        assert_eq!(steps(event, &segments), [right], "{event}");
    }
    for (event, segments, reason) in [
        ("A45", format!("{}\rMRG|||||V1\r{}", pid(""), pv1("V1")), Reason::NoPriorNumber),
        ("A45", format!("{}\rMRG|M2^^^HIS^MR", pid("")), Reason::NoPriorVisit),
        ("A42", format!("{}\rMRG|M1^^^HIS^MR\r{}", pid(""), pv1("V2")), Reason::NoPriorVisit),
        ("A41", format!("{}\rMRG|||A1^^^HIS", pid("A1^^^HIS")), Reason::MergeSelf),
        ("A43", format!("{}\rMRG|M1^^^HIS^MR", pid("")), Reason::NoMoveTarget),
        ("A24", pid(""), Reason::NoSecondPerson),
    ] {
        assert_eq!(interpreted(&adt(event, &segments)), Interpretation::Quarantine(reason), "{event}");
    }
}

#[test]
fn those_beside_a_person_are_read_and_their_numbers_are_never_the_persons() {
    let fields = "|\u{5c0f}\u{5a1c}|||||||||||||||Y|2".trim_start_matches('|');
    let pid = format!("PID|1||M1^^^HIS^MR||\u{5f20}\u{5f22}||2020|F|{fields}");
    let kin = "NK1|1|\u{738b}^\u{82b3}|MTH^\u{6bcd}\u{4eb2}^HL70063|\u{5357}\u{4eac}\u{8def}|13900000000~13900000001|0571|C\rNK1|2|||||";
    let person = changed(&adt("A28", &format!("{pid}\r{kin}"))).person;
    assert_eq!(person.aliases.value().map(|all| all[0].full()).as_deref(), Some("\u{5c0f}\u{5a1c}"));
    assert_eq!((person.multiple_birth, person.birth_order.as_deref()), (Field::Value(true), Some("2")));
    let contacts = person.contacts.value().unwrap();
    assert_eq!(contacts.len(), 1, "one that says nothing is none");
    let systems = [&contacts[0].relationship, &contacts[0].role]
        .map(|coded| coded.as_ref().unwrap().codings[0].system.clone().unwrap());
    assert_eq!(systems, ["HL70063", "NK1-7"]);
    assert_eq!(contacts[0].phones, ["13900000000", "13900000001", "0571"]);
    assert_eq!(person.phones, Field::Absent);
    let said = |segments: &str| changed(&adt("A28", &format!("{pid}\r{segments}"))).person.contacts;
    assert_eq!((said("NK1|\"\""), said("NTE|1")), (Field::Null, Field::Absent));
}

#[test]
fn null_deletes_absent_leaves_and_odd_is_marked() {
    let person = changed(&adt("A08", "PID|1||M1^^^HIS^MR||||20261399|\"\"|||\"\"||")).person;
    assert_eq!((person.name, person.sex, person.addresses), (Field::Absent, Field::Null, Field::Null));
    assert_eq!(person.birth, Field::Absent);
    assert_eq!(person.marks, [Mark::Doubtful("PID-7".to_owned())]);
}

#[test]
fn the_resident_number_in_pid_19_is_read_and_a_malformed_one_in_pid_3_stays_as_written() {
    let change = changed(&adt(
        "A04",
        "PID|1||M1^^^HIS^MR~110105194912310021^^^^NI||A||||||||||||||11010519491231002X",
    ));
    let values: Vec<_> = change.person.identifiers.iter().map(|i| i.value.as_str()).collect();
    assert_eq!(values, ["M1", "110105194912310021", "11010519491231002X"]);
}

#[test]
fn values_keep_what_their_source_wrote() {
    let change = changed(&oru(
        "OBR|1|P1|F1|CBC^Blood count^L|||20261124090000|||||||20261124091000|BLD&Blood|||||||20261124095500|||F\r\
        OBX|1|NM|NA^Sodium^L||135.0|mmol/L|135.0-145.0|N|||F|||20261124090000\r\
        OBX|2|NM|CRP||<0.01|mg/L||L|||F\r\
        OBX|3|SN|TIT||^1^:^128|||H~A|||F\r\
        OBX|4|SN|RBCU||^3^-^5||\u{9634}\u{6027}||||P\r\
        OBX|5|NM|BAD||\u{7ea6}5||||||F\r\
        OBX|6|NM|EMPTY||||||||F\r\
        OBX|7|ST|STAR||****||||||F\r\
        OBX|8|CE|BT||A^A\u{578b}^L||||||C\r\
        OBX|9|DT|D||20261101||||||F\r\
        OBX|10|XX|Z||a^b||||||F\r\
        NTE|1||\u{6eb6}\u{8840}",
    ));
    let report = &change.reports[0].report;
    assert_eq!(report.status, ReportStatus::Final);
    assert_eq!(report.specimens[0].kind.as_ref().unwrap().key(), "BLD");
    assert_eq!(change.reports[0].bound_to.as_ref().unwrap().to_string(), "2026-11-24T09:00:00+08:00");
    let sources: Vec<_> = report.results.iter().map(|r| r.value.source()).collect();
    assert_eq!(sources, ["135.0", "<0.01", "1:128", "3-5", "\u{7ea6}5", "", "", "A", "2026-11-01", "a^b"]);
    let results = &report.results;
    assert!(
        matches!(&results[0].value, Value::Number { decimal, comparator: None, .. } if decimal == "135.0")
    );
    assert!(matches!(&results[1].value, Value::Number { comparator: Some(model::Comparator::Less), .. }));
    assert_eq!(results[5].value, Value::Absent(Absent::Unknown));
    assert_eq!(results[6].value, Value::Absent(Absent::Masked));
    assert_eq!(
        (results[4].doubtful.as_slice(), results[9].doubtful.as_slice()),
        (&["OBX-5".to_owned()][..], &["OBX-2".to_owned()][..])
    );
    assert_eq!(results[0].range.as_ref().unwrap().low.as_deref(), Some("135.0"));
    assert_eq!(results[2].flags, ["H", "A"]);
    assert_eq!(results[9].notes, ["\u{6eb6}\u{8840}"]);
}

#[test]
fn text_over_several_obx_is_one_result_and_repeats_are_told_apart() {
    let change = changed(&oru("ORC|RE|P1|F1\rOBR|1|||X^Y\r\
        OBX|1|TX|T^t|1|line one||||||F\rOBX|2|TX|T^t|1|line two||||||F\rOBX|3|TX|T^t|2|other||||||F\r\
        OBX|4|ST|S|1|a||||||F\rOBX|5|ST|S|1|b||||||F"));
    let report = &change.reports[0].report;
    assert_eq!(report.filler.as_ref().unwrap().value, "F1");
    let found: Vec<_> =
        report.results.iter().map(|r| (r.value.source(), r.key.sub_id.as_str(), r.key.repeat)).collect();
    let expected = [("line one\nline two", "1", 0), ("other", "2", 0), ("a", "1", 0), ("b", "1", 1)];
    assert_eq!(found, expected.map(|(v, s, r)| (v.to_owned(), s, r)));
}

#[test]
fn each_group_of_a_merge_is_a_change_and_an_update_takes_the_first_person_only() {
    let pid = |n: u8| format!("PID|{n}||M{n}^^^HIS^MR");
    let groups = format!("{}\rMRG|A^^^HIS^MR~B^^^HIS^MR\rMRG|C^^^HIS^MR\r{}\rMRG|D^^^HIS^MR", pid(1), pid(2));
    let found = changes(&adt("A40", &groups));
    let values =
        |numbers: &[model::Identifier]| numbers.iter().map(|number| number.value.clone()).collect::<Vec<_>>();
    let shown: Vec<_> = found.iter().map(|c| (values(&c.person.identifiers), values(&c.merged))).collect();
    let owned = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    assert_eq!(shown, [(owned(&["M1"]), owned(&["A", "B", "C"])), (owned(&["M2"]), owned(&["D"])),]);
    let without = adt("A40", &format!("{}\rMRG|A^^^HIS^MR\r{}", pid(1), pid(2)));
    assert_eq!(interpreted(&without), Interpretation::Quarantine(Reason::NoPriorNumber));
    assert_eq!(changed(&adt("A08", &format!("{}\r{}", pid(1), pid(2)))).person.identifiers.len(), 1);
}

#[test]
fn every_type_of_value_keeps_what_its_source_wrote() {
    let (day, hour) = ("20261101", "2026110108");
    let change = changed(&oru(&format!(
        "OBR|1|P1|F1|X|||||||||||||||||||||F\r\
        OBX|1|DR|DR||{day}^20261105||||||F\r\
        OBX|2|DR|DR2||{day}^||||||F\r\
        OBX|3|NR|NR||3.5^5.5||||||F\r\
        OBX|4|NR|NR2||^5.5||||||F\r\
        OBX|5|NA|NA||1^2^3~4^5||||||F\r\
        OBX|6|MO|MO||99.50^CNY||||||F\r\
        OBX|7|XPN|XPN||\u{5f20}^\u{5f22}||||||F\r\
        OBX|8|SN|PLUS||^2^+||||||F\r\
        OBX|9|DTM|HOUR||{hour}||||||F\r\
        OBX|10|TS|ODD||20261101240000||||||F\r\
        OBX|11|NM|T|| 5.1 |mmol/L|3.9~6.1||||F|||2026110108006\r\
        OBX|12|SN|HIDE||^****||||||F\r\
        OBX|13||NONE||x||||||F\r\
        OBX|14|NM|WORDS||1+||||||F"
    )));
    let results = &change.reports[0].report.results;
    let by = |code: &str| results.iter().find(|result| result.key.code == code).unwrap();
    assert_eq!(by("DR").value.source(), "2026-11-01 - 2026-11-05");
    assert!(matches!(&by("DR2").value, Value::Period { start: Some(_), end: None }));
    let some = |text: &str| Some(text.to_owned());
    assert!(
        matches!(&by("NR").value, Value::Range { low, high, .. } if (low, high) == (&some("3.5"), &some("5.5")))
    );
    assert!(matches!(&by("NR2").value, Value::Range { low: None, high, .. } if *high == some("5.5")));
    for (code, written) in [("NA", "1^2^3\n4^5"), ("MO", "99.50^CNY"), ("XPN", "\u{5f20}^\u{5f22}")] {
        assert_eq!(by(code).value, Value::Text(written.to_owned()), "{code}");
        assert!(by(code).doubtful.is_empty(), "{code}");
    }
    assert_eq!((&by("PLUS").value, by("PLUS").doubtful.len()), (&Value::Text("2+".to_owned()), 0));
    // FHIR has no form for an hour: it goes as its day, and what was written stands beside.
    assert_eq!(
        (by("HOUR").value.source(), by("HOUR").as_written[0].text.as_str()),
        ("2026-11-01".to_owned(), hour)
    );
    assert_eq!(
        (by("ODD").value.source().as_str(), by("ODD").doubtful.as_slice()),
        ("20261101240000", &["OBX-5".to_owned()][..])
    );
    let range = by("T").range.as_ref().unwrap();
    assert_eq!((range.low.as_deref(), range.high.as_deref()), (Some("3.9"), Some("6.1")));
    assert_eq!((by("T").observed.as_ref(), by("T").doubtful.as_slice()), (None, &["OBX-14".to_owned()][..]));
    assert_eq!(
        (by("T").as_written[0].element.as_str(), by("T").as_written[0].text.as_str()),
        ("OBX-14", "2026110108006")
    );
    assert_eq!(by("HIDE").value, Value::Absent(Absent::Masked));
    assert_eq!(
        (by("NONE").doubtful.as_slice(), by("WORDS").doubtful.as_slice()),
        (&["OBX-2".to_owned()][..], &["OBX-5".to_owned()][..])
    );
}

#[test]
fn a_panel_names_the_isolate_it_was_made_for_and_each_isolate_has_a_report_of_its_own() {
    let order = |more: &[(usize, &str)]| {
        let own = [(3, "F1^LIS"), (4, "29576-6^AST^LN"), (25, "F")];
        segment("OBR", &[&own, more].concat())
    };
    let panel = |n: u8| {
        let parent = format!("600-7&Bacteria&LN^{n}^E. coli");
        let order = order(&[(26, &parent), (29, "P1&HIS^F1&LIS")]);
        format!("{order}\rOBX|1|SN|AMP||<=^0.5|ug/mL||S|||F")
    };
    let change = changed(&oru(&format!(
        "OBR|1||F1^LIS|BC|||||||||||||||||||||F\rOBX|1|CWE|600-7^Bacteria^LN|1|ECO||||||F\r{}\r{}\r{}",
        panel(1),
        panel(2),
        panel(2).replace("AMP", "IPM")
    )));
    let reports: Vec<_> = change.reports.iter().map(|change| &change.report).collect();
    assert_eq!(
        reports.iter().map(|r| r.results.len()).collect::<Vec<_>>(),
        [1, 1, 2],
        "an order taken up again goes on"
    );
    let parent = reports[1].parent.as_ref().unwrap();
    let numbers = (&parent.placer.as_ref().unwrap().value, &parent.filler.as_ref().unwrap().value);
    assert_eq!(numbers, (&"P1".to_owned(), &"F1".to_owned()));
    let made_for = parent.result.as_ref().unwrap();
    assert_eq!((made_for.code.key(), made_for.sub_id.as_str()), ("600-7", "1"));
    assert_eq!(reports[0].find(made_for).unwrap().key.code, "600-7");
    assert_eq!(reports[0].parent, None);
    let later = changed(&oru(&order(&[(54, "^F1&LIS")])));
    assert!(later.reports[0].report.parent.as_ref().is_some_and(|p| p.filler.is_some()), "OBR-54");
}

#[test]
fn who_made_a_result_with_what_and_what_was_said_beside_is_kept() {
    let obr = segment(
        "OBR",
        &[
            (2, "P1"),
            (3, "F1"),
            (4, "X"),
            (8, "20261124110000"),
            (13, "chest pain"),
            (25, "F"),
            (31, "I20^Angina^I10"),
            (32, "7&\u{674e}&\u{660e}^20261124"),
            (34, "8^Smith^Jo"),
        ],
    );
    let obx = segment(
        "OBX",
        &[
            (2, "NM"),
            (3, "A"),
            (5, "1"),
            (11, "F"),
            (15, "L1^Main lab^99"),
            (16, "9^\u{738b}^\u{82b3}~10"),
            (18, "XN1^Sysmex~SER5"),
            (23, "Central lab^^77"),
            (24, "1 Road^^Hangzhou"),
            (25, "11^Boss"),
        ],
    );
    let change = changed(&oru(&format!(
        "NTE|1||about the person\rORC|RE|P1|F1\rNTE|1||about the order\r{obr}\rNTE|1||about the report\r{obx}\rNTE|1||first~second\rNTE|2||third"
    )));
    let report = &change.reports[0].report;
    assert_eq!(report.notes, ["about the person", "about the order", "about the report"]);
    assert_eq!(report.results[0].notes, ["first\nsecond", "third"]);
    assert_eq!((report.clinical.as_deref(), report.reasons[0].key()), (Some("chest pain"), "I20"));
    assert_eq!(report.ended.as_ref().unwrap().to_string(), "2026-11-24T11:00:00+08:00");
    let named = |parties: &[model::Party]| {
        let pairs = parties
            .iter()
            .map(|p| (p.number.clone().unwrap_or_default(), p.name.clone().unwrap_or_default()));
        pairs.collect::<Vec<_>>()
    };
    let pairs = |all: &[(&str, &str)]| {
        all.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(named(&report.interpreters), pairs(&[("7", "\u{674e}\u{660e}")]));
    assert_eq!(named(&report.performers), pairs(&[("8", "Smith Jo")]));
    let result = &report.results[0];
    assert_eq!(
        named(&result.performers),
        pairs(&[
            ("9", "\u{738b}\u{82b3}"),
            ("10", ""),
            ("L1", "Main lab"),
            ("77", "Central lab"),
            ("11", "Boss")
        ])
    );
    assert_eq!(result.performers[3].address.as_deref(), Some("1 Road Hangzhou"));
    assert_eq!(named(&result.devices), pairs(&[("XN1", ""), ("SER5", "")]));
}

#[test]
fn several_specimens_are_kept_and_control_material_is_nobodys() {
    let spm = |n: u8, role: &str| {
        format!(
            "SPM|{n}|P{n}&HIS^S{n}&LIS||BLD^Blood|||VEN|ARM^Arm|||{role}|5^mL||words|||20261124080000^20261124081000|||||||OK"
        )
    };
    let obr = "OBR|1|P1|F1|X|||20261124090000||||||||SER^Serum||||||||||F\rOBX|1|NM|A||1||||||F";
    let change = changed(&oru(&format!("{obr}\r{}\r{}", spm(1, "P"), spm(2, ""))));
    let specimens = &change.reports[0].report.specimens;
    assert_eq!(
        specimens.iter().map(|s| s.number.as_ref().unwrap().value.as_str()).collect::<Vec<_>>(),
        ["S1", "S2"]
    );
    let first = &specimens[0];
    assert_eq!((first.kind.as_ref().unwrap().key(), first.site.as_ref().unwrap().key()), ("BLD", "ARM"));
    assert_eq!((first.amount.as_deref(), first.amount_unit.as_deref()), (Some("5"), Some("mL")));
    assert!(first.collected_until.is_some() && first.notes == ["words"] && first.conditions[0].key() == "OK");
    for role in ["Q", "c", "B", "E", "F", "O", "V"] {
        let control = oru(&format!("{obr}\r{}", spm(1, role)));
        let Interpretation::NotInterpreted { trigger } = interpreted(&control) else { panic!("{role}") };
        assert_eq!(trigger, "ORU^R01 of quality control");
    }
}

proptest! {
    /// Whatever order segments come in: every OBX is one result or a line of one, every NTE is somewhere.
    #[test]
    fn no_result_and_no_note_vanishes(kinds in prop::collection::vec(0_u8..7, 0..30)) {
        let mut segments = String::from("OBR|1|P0|F0|X|||20261124090000||||||||||||||||||F");
        let (mut values, mut notes) = (Vec::new(), Vec::new());
        for (n, kind) in kinds.iter().enumerate() {
            let segment = match kind {
                0 => format!("OBR|{n}|P{}|F{}|X|||20261124090000||||||||||||||||||F", n % 3, n % 3),
                1 | 2 => {
                    values.push(format!("value{n};"));
                    format!("OBX|{n}|{}|A|{}|value{n};||||||F", ["ST", "TX"][usize::from(kind - 1)], n % 2)
                }
                3 => {
                    notes.push(format!("note{n};"));
                    format!("NTE|{n}||note{n};")
                }
                4 => format!("ORC|RE|P{}|F{}", n % 3, n % 3),
                5 => format!("SPM|{n}|S{n}||BLD"),
                _ => format!("ZZZ|{n}"),
            };
            segments.push('\r');
            segments.push_str(&segment);
        }
        for message in [oru(&segments), oul("R22", &segments), oul("R24", &segments)] {
            let change = changed(&message);
            let results = change.reports.iter().flat_map(|report| &report.report.results);
            let own = change.reports.iter().flat_map(|report| &report.report.notes);
            let said: String = results.clone().map(|result| result.value.source()).collect();
            let noted: String = results.flat_map(|result| &result.notes).chain(own).cloned().collect();
            for value in &values {
                prop_assert_eq!(said.matches(value.as_str()).count(), 1, "{}", value);
            }
            for note in &notes {
                prop_assert_eq!(noted.matches(note.as_str()).count(), 1, "{}", note);
            }
        }
    }
}

#[test]
fn a_document_in_a_report_is_the_value_of_its_result_and_its_content_stands_beside() {
    let change = changed(&oru("OBR|1|P1|F1|X^Y|||||||||||||||||||||F\r\
        OBX|1|ED|PDF^\u{62a5}\u{544a}^L||LIS^AP^PDF^Base64^JVBERi0xLjQgeA==||||||F\r\
        OBX|2|ED|NONE||^TEXT^html^Base64^||||||F\r\
        OBX|3|ED|BAD||^AP^PDF^Base64^JVBER||||||F\r\
        OBX|4|RP|AT||https://pacs.example/1^^image^JPEG||||||F"));
    let [one] = change.attachments.as_slice() else { panic!("{:?}", change.attachments) };
    let results = &change.reports[0].report.results;
    assert_eq!(results[0].value, Value::Enclosed(vec![one.enclosed()]));
    assert_eq!(results[1].value, Value::Absent(Absent::Unknown));
    assert_eq!(results[2].value, Value::Text("^AP^PDF^Base64^JVBER".to_owned()));
    assert_eq!(results[2].doubtful, ["OBX-5"]);
    assert!(matches!(&results[3].value, Value::Enclosed(documents) if documents[0].record().is_none()));
}

/// An unsolicited laboratory observation.
fn oul(event: &str, segments: &str) -> String {
    oru(segments).replace("ORU^R01", &format!("OUL^{event}"))
}

#[test]
fn results_by_specimen_find_their_specimen_and_their_order() {
    let specimen = |n: u8| format!("SPM|{n}|P{n}&HIS^S{n}&LIS||BLD^Blood|||||||||||||20261124080{n}00");
    let by_specimen = format!(
        "{}\rOBX|1|ST|VOL||5 mL||||||F\rSAC|||C1\rOBR|1|||GLU^Glucose|||||||||||||||||||||F\rORC|RE|P7|F7\rOBX|1|NM|GLU||5.1||||||F\rOBR|2|P8|F8|K|||||||||||||||||||||F\rOBX|1|NM|K||4.1||||||F\r{}\rOBR|3|P9|F9|NA|||||||||||||||||||||F\rOBX|1|NM|NA||140||||||F",
        specimen(1),
        specimen(2)
    );
    for event in ["R22", "R23"] {
        let change = changed(&oul(event, &by_specimen));
        let reports: Vec<_> = change.reports.iter().map(|change| &change.report).collect();
        let numbers: Vec<_> = reports.iter().map(|r| r.filler.as_ref().unwrap().value.as_str()).collect();
        assert_eq!(numbers, ["F7", "F8", "F9"], "{event}: ORC behind OBR");
        let specimens = reports.iter().map(|r| r.specimens[0].number.as_ref().unwrap());
        assert!(specimens.map(|n| n.value.as_str()).eq(["S1", "S1", "S2"]), "{event}");
        let results: Vec<_> =
            reports.iter().map(|r| r.results.iter().map(|x| x.code.key()).collect::<Vec<_>>()).collect();
        assert_eq!(results, [vec!["VOL", "GLU"], vec!["K"], vec!["NA"]], "{event}");
    }
    let by_order = format!(
        "OBR|1|||GLU|||||||||||||||||||||F\rORC|RE|P7|F7\rOBX|1|NM|GLU||5.1||||||F\r{}\rOBR|2|P8|F8|K\rOBX|1|NM|K||4.1||||||F",
        specimen(1)
    );
    let change = changed(&oul("R24", &by_order));
    assert_eq!(change.reports[0].report.filler.as_ref().unwrap().value, "F7");
    assert!(change.reports[0].report.specimens.len() == 1 && change.reports[1].report.specimens.is_empty());
    let point_of_care = oru("OBR|1|P1|F1|GLU|||||||||||||||||||||F\rOBX|1|NM|GLU||5.1||||||F");
    assert_eq!(changed(&point_of_care.replace("ORU^R01", "ORU^R32^ORU_R30")).reports.len(), 1);
}

#[test]
fn results_behind_another_patient_are_that_patients() {
    let order = |n: u8| format!("OBR|1|P{n}|F{n}|X\rOBX|1|ST|C{n}||v||||||F");
    let message = oru(&format!("{}\rPID|2||M2^^^HIS^MR\rPV1|1|I\r{}\r{}", order(1), order(2), order(3)));
    let Interpretation::Changes(changes) = interpreted(&message) else {
        panic!("{:?}", interpreted(&message))
    };
    let said = |change: &Change| {
        let codes = change.reports.iter().flat_map(|r| &r.report.results).map(|r| r.code.key().to_owned());
        (change.person.identifiers[0].value.clone(), codes.collect::<Vec<_>>())
    };
    assert_eq!(
        changes.iter().map(said).collect::<Vec<_>>(),
        [("M1".to_owned(), vec!["C1".to_owned()]), ("M2".to_owned(), vec!["C2".to_owned(), "C3".to_owned()])]
    );
    // One patient of several without an order: nothing of the message is guessed.
    let unclear = oru(&format!("{}\rPID|2||M2^^^HIS^MR\rOBX|1|ST|A||x", order(1)));
    assert_eq!(interpreted(&unclear), Interpretation::Quarantine(Reason::NoIdentity));
}

#[test]
fn what_is_not_production_not_known_or_about_nobody_says_so() {
    let test = adt("A01", PID).replace("|P|2.4", "|T|2.4");
    assert_eq!(interpreted(&test), Interpretation::Test { processing_id: "T".to_owned() });
    assert_eq!(
        interpreted(&adt("A20", PID)),
        Interpretation::NotInterpreted { trigger: "ADT^A20".to_owned() }
    );
    assert_eq!(interpreted(&adt("A01", "EVN|A01")), Interpretation::Quarantine(Reason::NoPid));
    assert_eq!(
        interpreted(&oru(&format!("OBR|1||F|X{}Z", "|".repeat(21)))),
        Interpretation::Quarantine(Reason::NoReport)
    );
    assert_eq!(interpreted(&oru("OBX|1|ST|A||x")), Interpretation::Quarantine(Reason::NoIdentity));
}

proptest! {
    #[test]
    fn every_obx_is_one_result_whatever_it_holds(
        lines in proptest::collection::vec("(NM|SN|ST|CE|DT|TM|ED|)\\|[A-Z]{0,3}\\|[0-9]?\\|[0-9<>.^&~*\u{4e00}a\\\\]{0,12}\\|[a-z/^]{0,6}\\|[0-9.<~-]{0,8}\\|[HL~]{0,3}\\|\\|\\|[A-Z]?\\|\\|\\|[0-9]{0,15}", 1..20),
    ) {
        let body: String = lines.iter().enumerate().map(|(n, line)| format!("OBX|{n}|{line}\r")).collect();
        let change = changed(&oru(&format!("OBR|1|P|F|X\r{body}")));
        prop_assert_eq!(change.reports[0].report.results.len(), lines.len());
    }

    #[test]
    fn no_result_is_lost_whatever_the_order_of_segments(
        kinds in proptest::collection::vec(prop::sample::select(vec!["OBX", "OBR", "ORC", "SPM", "NTE", "SAC"]), 0..25),
    ) {
        let line = |(n, kind): (usize, &&str)| match *kind {
            "OBX" => format!("OBX|{n}|ST|C{n}||v||||||F"),
            "OBR" => format!("OBR|{n}|P{n}|F{n}|X|||||||||||||||||||||F"),
            kind => format!("{kind}|{n}|A^B"),
        };
        let body: Vec<String> = kinds.iter().enumerate().map(line).collect();
        let sent = kinds.iter().filter(|kind| **kind == "OBX").count();
        for message in [oru(&body.join("\r")), oul("R21", &body.join("\r")), oul("R22", &body.join("\r")), oul("R24", &body.join("\r"))] {
            match interpreted(&message) {
                Interpretation::Changes(changes) => {
                    let found: usize = changes[0].reports.iter().map(|r| r.report.results.len()).sum();
                    prop_assert_eq!(found, sent, "{}", message);
                }
                other => prop_assert!(!kinds.contains(&"OBR"), "{:?}", other),
            }
        }
    }

    #[test]
    fn arbitrary_segments_never_panic(body in "[A-Z]{3}[|^~&\\\\A-Z0-9.\r\"+-]{0,200}") {
        for message in [adt("A01", &format!("{PID}\r{body}")), oru(&format!("OBR|{body}")), oru(&body)] {
            let _ = interpreted(&message);
        }
    }
}

#[test]
fn numbers_carry_their_kind_their_validity_and_their_country() {
    let pid = "PID|1||M1^^^HIS^MR^^20200101^20291231~e 12345678^^^^PPN^^^^FRA~h1234567801^^^^TXZ~T9^^^HIS^TMP~AB+/=~^^^^JKK";
    let pid = pid.replace("AB+/=~", "AB+/=\\R\\x");
    let numbers = changed(&adt("A04", &pid)).person.identifiers;
    let looked_up: Vec<_> =
        numbers.iter().map(|i| (i.lookup().0, i.lookup().1.to_owned(), i.value.clone())).collect();
    let expected = [
        ("assigned:HIS", "M1", "M1"),
        ("passport:FRA", "E12345678", "E12345678"),
        ("hk-macau-permit", "H12345678", "H1234567801"),
        ("temporary:HIS", "T9", "T9"),
        // Opaque, byte for byte.
        ("health-code", "AB+/=~x", "AB+/=~x"),
    ];
    let expected: Vec<_> =
        expected.iter().map(|(a, b, c)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned())).collect();
    assert_eq!(looked_up, expected);
    let dates = |i: &model::Identifier| {
        (i.valid.since.as_ref().map(|at| at.to_date()), i.valid.until.as_ref().map(|at| at.to_date()))
    };
    assert_eq!(dates(&numbers[0]), (Some("2020-01-01".to_owned()), Some("2029-12-31".to_owned())));
    assert_eq!(dates(&numbers[1]), (None, None));
}

#[test]
fn the_mothers_numbers_are_never_the_childs() {
    let pid = "PID|1||N1^^^HIS^MR~11010519491231002X^^^^19||\u{738b}\u{9759}\u{4e4b}\u{5b50}||20261123|M|||||||||||||M1^^^HIS^MR||||2";
    let person = changed(&adt("A01", pid)).person;
    let values = |all: &[model::Identifier]| Vec::from_iter(all.iter().map(|i| i.value.clone()));
    assert_eq!(values(&person.identifiers), ["N1"]);
    assert_eq!(values(&person.mother), ["11010519491231002X", "M1"]);
    assert_eq!(person.mother[0].kind, IdentifierKind::ResidentId);
    assert_eq!((person.birth_order.as_deref(), person.unknown), (Some("2"), false));
}

#[test]
fn a_name_that_nobody_knows_is_one_and_a_site_may_have_its_own() {
    let unknown = |name: &str| {
        let pid = format!("PID|1||M1^^^HIS^MR||{name}");
        changed(&adt("A04", &pid)).person.unknown
    };
    assert!(unknown("\u{65e0}\u{540d}\u{6c0f}") && unknown("999999") && !unknown("\u{5f20}\u{5f22}"));
}

#[test]
fn the_maps_of_a_feed_add_codes_beside_its_own_and_say_what_its_terms_mean() {
    let rows = "kind,source_code,target_code,author,state\n\
                test,GLU,2345-7,Li,reviewed\n\
                test,NA,2951-2,Li,draft\n\
                unit,10^9/L,10*9/L,Li,reviewed\n\
                sex,\u{7537}\u{6027},M,Li,reviewed\n\
                identifier,SFZ,resident-id,Li,reviewed\n\
                marital-status,20,M,Li,reviewed\n\
                ethnic-group,\u{6c49},01,Li,reviewed\n";
    let map = Arc::new(model::CodeMap::read("lab", rows.as_bytes()).unwrap());
    let mapped = Context { codes: Arc::new(model::MapSet::new(vec![map.clone()], false)), ..context() };
    let text = "MSH|^~\\&|LIS|H1|||20261124100000+0800||ORU^R01|C2|P|2.4\r\
         PID|1||M1^^^HIS^MR~11010519491231002X^^^^SFZ~77^^^^ZZ||||19491231|\u{7537}\u{6027}||||||||20|||||| \u{6c49}\r\
         OBR|1||F1|BG|||20261124080000\r\
         OBX|1|NM|GLU^\u{8461}\u{8404}\u{7cd6}||5.10|10^9/L||||F\rOBX|2|NM|NA||140|mmol/L||||F";
    let message = Message::read(text.as_bytes(), Charsets::Auto, None).unwrap();
    let Interpretation::Changes(changes) = hl7(&message, &mapped) else { panic!("no change") };
    let change = &changes[0];
    let person = &change.person;
    assert_eq!(person.sex.value(), Some(&model::Sex::Male));
    assert_eq!(person.identifiers[1].kind, IdentifierKind::ResidentId);
    assert_eq!(person.maps, [map.label()]);
    assert_eq!(person.unmapped, [(model::CodeKind::Identifier, "ZZ".to_owned())]);
    let code = |field: &Field<model::Coded>| field.value().unwrap().mapped[0].code.clone();
    assert_eq!((code(&person.marital_status), code(&person.ethnic_group)), ("M".to_owned(), "01".to_owned()));
    let results = &change.reports[0].report.results;
    let glucose = &results[0];
    assert_eq!((glucose.code.key(), glucose.code.mapped[0].code.as_str()), ("GLU", "2345-7"));
    let unit = glucose.unit.as_ref().unwrap();
    // The sender did not escape the power; its spelling stays beside the standard one.
    assert_eq!((unit.key(), unit.mapped[0].code.as_str()), ("10^9/L", "10*9/L"));
    // A draft changes nothing.
    assert!(results[1].code.mapped.is_empty() && results[1].unit.as_ref().unwrap().mapped.is_empty());
}
