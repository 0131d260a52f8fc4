//! What records look like in HL7 v2, and that who reads them finds what was in them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use std::collections::BTreeMap;

use common::{decimal, diagnosis, glucose, person, report, result, site, time, visit};
use hl7::charset::Default;
use interpret::{Context, Interpretation, Meaning, Numbers};
use jiff::tz::{TimeZone, offset};
use model::{
    Absent, Body, Coded, Comparator, Field, Identifier, IdentifierKind, LabResult, Mark, PartialTime, Person,
    PersonId, Record, RecordId, Report, ReportStatus, ResultStatus, Value,
};
use proptest::prelude::*;
use render::hl7::{Head, Message, Rendered, messages};

fn rendered(wanted: &[Record], ground: &[Record]) -> Rendered {
    let site = site();
    let head = Head {
        organization: &site.organization,
        destination: "ward",
        time: time("20261124082000"),
        charset: "GB 18030-2000",
        enhanced: false,
        id_key: &site.id_key,
    };
    messages(wanted, ground, &head)
}

fn shown(rendered: &Rendered) -> String {
    rendered.messages.iter().map(|message| message.text.replace('\r', "\n")).collect::<Vec<_>>().join("\n")
}

/// Reads a message as our own feed would.
fn read(message: &Message) -> model::Change {
    let context = Context {
        feed: "ward".to_owned().try_into().unwrap(),
        zone: TimeZone::fixed(offset(8)),
        identifiers: BTreeMap::from([
            ("NI".to_owned(), Meaning::ResidentId),
            ("HC".to_owned(), Meaning::HealthCode),
        ]),
        dummy: std::collections::BTreeSet::new(),
        numbers: Numbers::default(),
        codes: std::sync::Arc::default(),
    };
    let bytes = hl7::charset::Charset::Gb18030.encode_all(&message.text).unwrap();
    let message = hl7::Message::read(&bytes, Default::Auto, None).unwrap();
    match interpret::hl7(&message, &context) {
        Interpretation::Changes(changes) => changes.into_iter().next().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn event(message: &Message) -> String {
    let change = read(message);
    format!("{}^{}", change.trigger.code, change.trigger.event)
}

#[test]
fn a_visit_with_its_person_and_diagnosis_is_one_message() {
    let all = rendered(&[person(), visit(), diagnosis()], &[]);
    assert_eq!((all.messages.len(), all.left_out.len()), (1, 0));
    assert!(!shown(&all).contains("440524188001010014"), "a number that is only claimed stays here");
    insta::assert_snapshot!("hl7-visit", shown(&all));
}

#[test]
fn a_laboratory_report_goes_with_person_visit_and_specimen() {
    let titre = Value::Ratio {
        comparator: None,
        numerator: "1".to_owned(),
        denominator: "128".to_owned(),
        source: "1:128".to_owned(),
    };
    let below = Value::Number {
        comparator: Some(Comparator::Less),
        decimal: "0.010".to_owned(),
        source: "<0.010".to_owned(),
    };
    let text = Value::Text("\u{9634}\u{6027} | ok\nsecond ^ line".to_owned());
    let mut one = report(vec![
        glucose(),
        result("RF", "RF", titre),
        result("TNI", "TNI", below),
        result("TXT", "Text", text),
        result("TIME", "Time", Value::TimeOfDay("08:15:00".to_owned())),
    ]);
    one.marks = vec![Mark::WeakId, Mark::Doubtful("OBR-7".to_owned())];
    let all = rendered(&[one], &[person(), visit()]);
    insta::assert_snapshot!("hl7-report", shown(&all));
}

#[test]
fn a_person_alone_is_an_update_and_who_was_found_to_be_another_is_a_merge() {
    assert_eq!(event(&rendered(&[person()], &[]).messages[0]), "ADT^A31");
    let mut lost = person();
    lost.id = RecordId::from_bytes([0xab; 16]);
    lost.person = PersonId::from_bytes([0xab; 16]);
    let kind = IdentifierKind::Assigned { authority: "HIS".to_owned(), code: Some("MR".to_owned()) };
    let number = Identifier::new(kind, "OLD7");
    let mut gone = Person { replaced_by: Some(PersonId::from_bytes([0xaa; 16])), ..Person::default() };
    gone.hold(number, model::Trust::Verified);
    lost.body = Body::Person(Box::new(gone));
    let all = rendered(&[person(), lost], &[]);
    let merge = read(&all.messages[0]);
    assert!(merge.merged.iter().any(|number| number.value == "OLD7"), "{merge:?}");
    assert!(merge.person.identifiers.iter().any(|number| number.value == "0001234"));
    assert_eq!(event(&all.messages[1]), "ADT^A31");
    assert_eq!(all.messages.len(), 2);
}

#[test]
fn a_masked_value_makes_a_final_report_partial_and_stays_visible() {
    let one = report(vec![glucose(), result("HIV", "HIV", Value::Absent(Absent::Masked))]);
    let change = read(&rendered(&[one], &[person()]).messages[0]);
    let read = &change.reports[0].report;
    assert_eq!((read.status, read.results.len()), (ReportStatus::Partial, 2));
    assert_eq!(
        (&read.results[1].value, read.results[1].status),
        (&Value::Absent(Absent::NotPerformed), ResultStatus::Cancelled)
    );
}

#[test]
fn a_control_id_is_short_the_same_for_the_same_state_and_another_for_another() {
    let id = |record: &Record| {
        rendered(core::slice::from_ref(record), &[person(), visit()]).messages[0].control_id.clone()
    };
    let one = report(vec![glucose()]);
    let mut later = one.clone();
    later.position.revision += 1;
    assert_eq!((id(&one), id(&one).len()), (id(&one), 18));
    assert_ne!(id(&one), id(&later));
    assert_ne!(id(&one), id(&visit()));
}

#[test]
fn what_cannot_be_stated_is_told() {
    let nobody = rendered(&[report(vec![glucose()])], &[]);
    assert_eq!((nobody.messages.len(), nobody.left_out.len()), (0, 1), "whose report it is is not held");
}

#[test]
fn every_standing_of_a_visit_reads_back_as_it_is() {
    use model::EncounterStatus::{
        Arrived, Cancelled, EnteredInError, Finished, InProgress, OnLeave, Planned, Unknown,
    };
    for status in [Planned, Arrived, InProgress, OnLeave, Finished, Cancelled, EnteredInError] {
        for class in ["I", "O", "E"] {
            if (status, class) == (Arrived, "E") {
                // A registration for emergency care is care.
                continue;
            }
            let mut one = visit();
            if let Body::Encounter(visit) = &mut one.body {
                (visit.status, visit.class_source) = (status, class.to_owned());
                visit.class = model::EncounterClass::read(class);
            }
            let change = read(&rendered(&[one], &[person()]).messages[0]);
            assert_eq!(change.encounter.unwrap().status, Some(status), "{class}");
        }
    }
    let mut one = visit();
    if let Body::Encounter(visit) = &mut one.body {
        visit.status = Unknown;
    }
    assert_eq!(read(&rendered(&[one], &[person()]).messages[0]).encounter.unwrap().status, None);
}

/// What was in a record, as far as the model can hold it after the journey.
fn came_back(person: &Person, change: &model::Change) {
    let verified = person.identifiers.iter().filter(|held| held.trust == model::Trust::Verified);
    for held in verified {
        let back = change.person.identifiers.iter().find(|number| number.value == held.identifier.value);
        assert!(back.is_some(), "{held:?} in {:?}", change.person.identifiers);
    }
    assert_eq!(change.person.name, Field::from(person.name.clone()));
    assert_eq!(change.person.birth.value().map(|t| t.to_date()), person.birth.as_ref().map(|t| t.to_date()));
    assert_eq!(change.person.sex, Field::from(person.sex));
}

#[test]
fn a_person_a_visit_and_a_report_come_back_as_they_were() {
    let (who, stay, found) = (person(), visit(), report(vec![glucose()]));
    let all = rendered(&[stay.clone(), diagnosis(), found.clone()], core::slice::from_ref(&who));
    let (Body::Person(who), Body::Encounter(stay), Body::Report(found)) =
        (&who.body, &stay.body, &found.body)
    else {
        panic!("not what they are called")
    };
    let (adt, oru) = (read(&all.messages[0]), read(&all.messages[1]));
    came_back(who, &adt);
    came_back(who, &oru);
    let back = adt.encounter.unwrap();
    assert_eq!((&back.number.value, &back.number.space), (&stay.number.value, &stay.number.space));
    let stated = |field: &Field<PartialTime>| field.value().map(PartialTime::to_dtm);
    assert_eq!((stated(&back.start), stated(&back.end)), (dtm(&stay.start), dtm(&stay.end)));
    assert_eq!(
        (back.location, back.attending),
        (stay.location.clone().into(), stay.attending.clone().into())
    );
    assert_eq!(adt.diagnoses[0].code.codings[0].code, "J18.9");
    let back = &oru.reports[0].report;
    let numbers = |report: &Report| {
        [report.placer.clone(), report.filler.clone()].map(|n| n.map(|n| (n.value, n.space)))
    };
    assert_eq!(numbers(back), numbers(found));
    assert_eq!((&back.service, back.status, &back.section), (&found.service, found.status, &found.section));
    assert_eq!((dtm(&back.effective), dtm(&back.issued)), (dtm(&found.effective), dtm(&found.issued)));
    let specimen = |report: &Report| {
        let specimen = report.specimens[0].clone();
        (specimen.number.map(|n| n.value), specimen.kind, dtm(&specimen.collected), dtm(&specimen.received))
    };
    assert_eq!(specimen(back), specimen(found));
    let of = |result: &LabResult| {
        let times = (dtm(&result.observed), dtm(&result.analysed));
        let (code, value, unit) = (result.code.clone(), result.value.clone(), result.unit.clone());
        (code, value, unit, result.range.clone(), result.flags.clone(), times, result.notes.clone())
    };
    assert_eq!(of(&back.results[0]), of(&found.results[0]));
}

/// Where its zone came from is another matter after the journey: it is stated then.
fn dtm(time: &Option<PartialTime>) -> Option<String> {
    time.as_ref().map(PartialTime::to_dtm)
}

fn values() -> impl Strategy<Value = Value> {
    let number = "-?(0|[1-9][0-9]{0,4})(\\.[0-9]{1,3})?";
    let text = "[ -~\u{4e00}-\u{4e20}\n]{1,30}";
    prop_oneof![
        number.prop_map(|digits: String| decimal(&digits)),
        (number, prop_oneof![Just(Comparator::Less), Just(Comparator::GreaterOrEqual)]).prop_map(
            |(decimal, comparator): (String, _)| {
                let sign = if comparator == Comparator::Less { "<" } else { ">=" };
                Value::Number { source: format!("{sign}{decimal}"), comparator: Some(comparator), decimal }
            }
        ),
        text.prop_map(|text: String| Value::Text(text)),
        ("[A-Z]{1,4}", text).prop_map(|(code, display): (String, String)| {
            Value::Coded(vec![Coded::of(
                &code,
                Some(display.replace('\n', " ").trim()).filter(|d| !d.is_empty()),
                None,
            )])
        }),
    ]
}

#[test]
fn a_document_goes_inside_its_report_and_one_that_is_gone_is_told() {
    let letter = model::Attachment::new("application/pdf", b"%PDF-1.7 letter");
    let mut enclosed = letter.enclosed();
    let id = RecordId::from_bytes([0xee; 16]);
    if let model::Content::Held { record, .. } = &mut enclosed.content {
        *record = Some(id);
    }
    let one = report(vec![glucose(), result("DOC", "Letter", Value::Enclosed(vec![enclosed]))]);
    let mut content = person();
    (content.id, content.body) = (id, Body::Attachment(Box::new(letter.clone())));
    let whole = rendered(core::slice::from_ref(&one), &[person(), content]);
    assert!(whole.messages[0].text.contains("|ED|DOC^Letter|1|^application^pdf^Base64^JVBERi0x"));
    let change = read(&whole.messages[0]);
    assert_eq!(change.reports[0].report.status, ReportStatus::Final);
    let Value::Enclosed(documents) = &change.reports[0].report.results[1].value else {
        panic!("no document")
    };
    assert_eq!(documents[0], letter.enclosed());
    let without = rendered(&[one], &[person()]);
    let change = read(&without.messages[0]);
    assert_eq!(
        (change.reports[0].report.status, change.reports[0].report.results.len()),
        (ReportStatus::Partial, 2)
    );
}

proptest! {
    #[test]
    fn any_value_comes_back_and_never_becomes_structure(values in proptest::collection::vec(values(), 1..5)) {
        let results: Vec<LabResult> =
            values.iter().enumerate().map(|(n, value)| result(&format!("C{n}"), "x", value.clone())).collect();
        let all = rendered(&[report(results)], &[person()]);
        let change = read(&all.messages[0]);
        let read = &change.reports[0].report.results;
        prop_assert_eq!(read.len(), values.len());
        for (value, back) in values.iter().zip(read) {
            match value {
                // Blanks at the end of lines and lines at the end are not worth anything to who reads them.
                Value::Text(text) if text.trim().is_empty() => {
                    prop_assert!(matches!(back.value, Value::Absent(_)), "{:?}", back.value);
                }
                Value::Text(text) => {
                    let source = back.value.source();
                    prop_assert_eq!(source.trim(), text.trim());
                }
                value => prop_assert_eq!(&back.value, value),
            }
        }
    }

    #[test]
    fn nothing_in_any_record_breaks_a_segment(mut any in common::generated::record()) {
        any.person = PersonId::from_bytes([0xaa; 16]);
        for message in rendered(&[any], &[person(), visit()]).messages {
            let names = ["MSH", "EVN", "PID", "MRG", "PV1", "PV2", "DG1", "OBR", "NTE", "OBX", "SPM", "ZHG"];
            for line in message.text.split_terminator('\r') {
                prop_assert!(names.contains(&line.get(..3).unwrap_or_default()), "{line:?}");
            }
            let ends_a_frame = message.text.contains(['\n', '\u{b}', '\u{1c}', '\u{1}']);
            prop_assert!(!ends_a_frame);
        }
    }
}
