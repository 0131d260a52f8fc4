//! What hospitals' records look like in FHIR, and what a destination sees when something is missing.

mod common;

use std::sync::Arc;

use common::{
    decimal, diagnosis, document, enclosing, glucose, json, map, person, report, result, site, visit,
    whole_visit,
};
use model::{Absent, Body, Coded, Comparator, DiagnosisState, MapSet, Mark, Record, Value};
use render::fhir::{Entry, Refused, Site, Stage, bundle, position_of, provenance, record};

fn rendered(one: &Record) -> Vec<Entry> {
    record(one, &site(), &Refused::default())
}

fn shown(entries: &[Entry]) -> String {
    common::pretty(&bundle(entries))
}

fn of_kind(entries: &[Entry], kind: &str) -> Vec<serde_json::Value> {
    entries.iter().filter(|e| e.kind == kind).map(json).collect()
}

#[test]
fn a_person_goes_up_without_the_numbers_that_are_only_claimed() {
    let text = shown(&rendered(&person()));
    assert!(!text.contains("440524188001010014"));
    insta::assert_snapshot!("person", text);
}

#[test]
fn a_visit_and_its_diagnosis() {
    let entries = [rendered(&visit()), rendered(&diagnosis())].concat();
    insta::assert_snapshot!("visit", shown(&entries));
}

#[test]
fn a_visit_with_its_doctors_numbers_and_department() {
    insta::assert_snapshot!("whole_visit", shown(&rendered(&whole_visit())));
}

#[test]
fn a_diagnosis_that_no_longer_stands_says_why() {
    let state = |state| {
        let mut one = diagnosis();
        if let Body::Diagnosis(diagnosis) = &mut one.body {
            diagnosis.state = state;
        }
        json(&rendered(&one)[0])
    };
    let code = |concept: &serde_json::Value| concept["coding"][0]["code"].clone();
    let gone = state(DiagnosisState::NoLongerListed);
    assert_eq!(
        (code(&gone["clinicalStatus"]), code(&gone["verificationStatus"])),
        ("inactive".into(), "confirmed".into())
    );
    assert!(gone["meta"]["tag"].as_array().unwrap().iter().any(|tag| tag["code"] == "no-longer-listed"));
    let wrong = state(DiagnosisState::Deleted);
    assert_eq!(
        (wrong.get("clinicalStatus"), code(&wrong["verificationStatus"])),
        (None, "entered-in-error".into())
    );
}

#[test]
fn a_laboratory_report_with_its_specimen_and_results() {
    let high = Value::Number {
        comparator: Some(Comparator::Less),
        decimal: "0.010".to_owned(),
        source: "\u{ff1c}0.010".to_owned(),
    };
    let titre = Value::Ratio {
        comparator: None,
        numerator: "1".to_owned(),
        denominator: "128".to_owned(),
        source: "1:128".to_owned(),
    };
    let field =
        Value::Range { low: Some("3".to_owned()), high: Some("5".to_owned()), source: "3-5".to_owned() };
    let mut cells = result("WBCF", "\u{767d}\u{7ec6}\u{80de}", field);
    cells.unit = Some(Coded::text("/HP"));
    let both = Value::Coded(vec![Coded::of("A", None, None), Coded::of("B", None, None)]);
    let mut troponin = result("TNI", "\u{808c}\u{9499}\u{86cb}\u{767d}", high);
    troponin.order_unclear = true;
    let entries = rendered(&report(vec![
        glucose(),
        troponin,
        result("RF", "RF", titre),
        cells,
        result("TYPE", "\u{83cc}\u{79cd}", both),
    ]));
    insta::assert_snapshot!("report", shown(&entries));
}

#[test]
fn an_organism_with_its_susceptibilities_and_who_answers_for_them() {
    let coded = |code: &str, display: &str| Value::Coded(vec![Coded::of(code, Some(display), None)]);
    let mut organism = result(
        "600-7",
        "\u{7ec6}\u{83cc}\u{9274}\u{5b9a}",
        coded("ECO", "\u{5927}\u{80a0}\u{57c3}\u{5e0c}\u{83cc}"),
    );
    organism.performers = vec![model::Party {
        kind: model::PartyKind::Organization,
        number: Some("L1".to_owned()),
        authority: Some("WJW&2.16.156.1.2&ISO".to_owned()),
        name: Some("\u{5fae}\u{751f}\u{7269}\u{5ba4}".to_owned()),
        address: Some("1 Road".to_owned()),
    }];
    let drug = |code: &str, flag: &str| {
        let mic = Value::Number {
            comparator: Some(Comparator::LessOrEqual),
            decimal: "0.5".to_owned(),
            source: "<=0.5".to_owned(),
        };
        let mut drug = result(code, code, mic);
        drug.flags = vec![flag.to_owned()];
        drug.devices = vec![model::Party {
            kind: model::PartyKind::Device,
            number: Some("VITEK2".to_owned()),
            authority: None,
            name: None,
            address: None,
        }];
        drug
    };
    let mut one = report(vec![organism, drug("AMP", "S"), drug("IPM", "SDD")]);
    if let Body::Report(report) = &mut one.body {
        report.parent = Some(Box::new(model::Parent {
            placer: None,
            filler: Some(common::number(model::NumberKind::Filler, "lis", model::Scope::Global, "F1")),
            result: Some(model::ParentResult {
                code: Coded::of("BC", None, None),
                sub_id: "1".to_owned(),
                text: Some("\u{9633}\u{6027}".to_owned()),
            }),
        }));
        report.interpreters = vec![model::Party {
            kind: model::PartyKind::Person,
            number: Some("D7".to_owned()),
            authority: None,
            name: Some("\u{674e}\u{660e}".to_owned()),
            address: None,
        }];
        report.clinical = Some("\u{53d1}\u{70ed}".to_owned());
        report.ended = Some(common::time("20261124090000"));
    }
    let entries = rendered(&one);
    let observations = of_kind(&entries, "Observation");
    assert_eq!(
        observations[2]["hasMember"].as_array().unwrap().len(),
        2,
        "the organism goes behind its members"
    );
    insta::assert_snapshot!("susceptibilities", shown(&entries));
}

#[test]
fn a_document_is_a_binary_that_its_report_and_its_result_refer_to() {
    let elsewhere = model::Content::Elsewhere { url: "https://pacs.example/1".to_owned() };
    let slide = model::Enclosure { media_type: Some("image/jpeg".to_owned()), content: elsewhere };
    let results = vec![enclosing(), result("SLIDE", "\u{5207}\u{7247}", Value::Enclosed(vec![slide]))];
    let entries = [rendered(&document()), rendered(&report(results))].concat();
    assert_eq!(position_of(&entries[0].body), Some(document().position));
    assert_eq!(of_kind(&entries, "DiagnosticReport")[0]["status"], "final");
    insta::assert_snapshot!("document", shown(&entries));
}

#[test]
fn a_document_that_the_destination_refuses_or_nobody_can_read_is_named_in_a_partial_report() {
    let one = report(vec![enclosing(), glucose()]);
    let content = one.body.attachments().next().unwrap();
    let mut unreadable = enclosing();
    if let Value::Enclosed(documents) = &mut unreadable.value {
        documents[0].content = model::Content::Unreadable;
    }
    let refused = Refused::from_iter([(content, Stage::LeftOut)]);
    for (one, refused) in [(one, refused), (report(vec![unreadable, glucose()]), Refused::default())] {
        let entries = record(&one, &site(), &refused);
        let main = &of_kind(&entries, "DiagnosticReport")[0];
        assert_eq!((&main["status"], main["result"].as_array().unwrap().len()), (&"partial".into(), 2));
        let form = &main["presentedForm"][0];
        assert_eq!((&form["title"], form.get("url")), (&"\u{68c0}\u{9a8c}\u{62a5}\u{544a}".into(), None));
        let reasons = form["extension"].as_array().unwrap();
        assert!(reasons.iter().any(|extension| extension["valueCode"] == "error"), "{form}");
        let observation = &of_kind(&entries, "Observation")[0];
        assert_eq!(observation["dataAbsentReason"]["coding"][0]["code"], "error");
    }
}

#[test]
fn an_order_of_two_services_and_the_report_that_answers_one_of_them() {
    let placed = common::order();
    let entries = rendered(&placed);
    insta::assert_snapshot!("order", shown(&entries));
    let mut answer = report(vec![glucose()]);
    let Body::Order(order) = &placed.body else { panic!("an order") };
    for (service, of) in [("CRP", 0), ("BG", 1), ("ELSE", 1)] {
        if let Body::Report(report) = &mut answer.body {
            report.order = Some(order.reference(placed.id, &site().id_key, service));
        }
        let requests: Vec<_> = entries.iter().filter(|e| e.kind == "ServiceRequest").collect();
        let based_on = &of_kind(&rendered(&answer), "DiagnosticReport")[0]["basedOn"][0];
        assert_eq!(based_on["reference"], requests[of].url(), "{service}");
        assert_eq!(based_on["identifier"]["value"], "P9");
    }
}

#[test]
fn an_appointment_and_one_of_which_hardly_anything_is_known() {
    insta::assert_snapshot!("appointment", shown(&rendered(&common::appointment())));
    let bare = common::record(0x98, Body::Appointment(Box::default()));
    let resource = json(&rendered(&bare)[0]);
    let reason = &resource["_start"]["extension"][0]["valueCode"];
    assert_eq!((&resource["status"], reason), (&"booked".into(), &"unknown".into()));
    assert_eq!(resource["participant"].as_array().unwrap().len(), 1, "the patient");
}

#[test]
fn a_vaccination_with_what_was_stated_about_it() {
    insta::assert_snapshot!("vaccination", shown(&rendered(&common::vaccination())));
}

#[test]
fn a_masked_value_makes_a_final_report_partial_and_stays_visible() {
    let entries = rendered(&report(vec![glucose(), result("HIV", "HIV", Value::Absent(Absent::Masked))]));
    let observations = of_kind(&entries, "Observation");
    assert_eq!(observations[1]["dataAbsentReason"]["coding"][0]["code"], "masked");
    let reports = of_kind(&entries, "DiagnosticReport");
    assert_eq!(reports[0]["status"], "partial");
    assert_eq!(reports[0]["result"].as_array().unwrap().len(), 2);
}

#[test]
fn a_refused_result_is_sent_without_its_value_and_then_only_named() {
    let one = report(vec![glucose(), result("NA", "\u{94a0}", decimal("135.0"))]);
    let whole = rendered(&one);
    let dead = whole.iter().find(|e| e.kind == "Observation").unwrap().id;

    let bare = record(&one, &site(), &Refused::from_iter([(dead, Stage::WithoutValue)]));
    let observation = &of_kind(&bare, "Observation")[0];
    assert_eq!(observation["dataAbsentReason"]["coding"][0]["code"], "error");
    for gone in ["valueQuantity", "interpretation", "referenceRange"] {
        assert_eq!(observation.get(gone), None, "{gone}");
    }
    assert_eq!(of_kind(&bare, "DiagnosticReport")[0]["status"], "partial");

    let without = record(&one, &site(), &Refused::from_iter([(dead, Stage::LeftOut)]));
    assert_eq!(without.len(), whole.len() - 1);
    let main = &of_kind(&without, "DiagnosticReport")[0];
    assert_eq!(
        (&main["status"], &main["result"][0]["display"]),
        (&"partial".into(), &"\u{8461}\u{8404}\u{7cd6}".into())
    );
    assert_eq!(main["result"][0].get("reference"), None);
}

#[test]
fn a_patient_holds_what_is_about_the_person_and_a_result_holds_nothing() {
    let one = report(vec![glucose()]);
    for entry in rendered(&one).into_iter().chain(rendered(&visit())).chain(rendered(&diagnosis())) {
        assert_eq!(entry.depends_on, [one.person.into()], "{}", entry.url());
    }
    assert!(rendered(&person())[0].depends_on.is_empty());
}

#[test]
fn a_loinc_number_with_a_wrong_check_digit_stays_a_local_code_and_is_marked() {
    let mut wrong = glucose();
    wrong.code = Coded::of("2345-8", Some("Glucose"), Some("LN"));
    let observation = &of_kind(&rendered(&report(vec![wrong])), "Observation")[0];
    assert_eq!(observation["code"]["coding"][0]["system"], "urn:hospital-gateway:12330100470116614F:code:LN");
    let tags = observation["meta"]["tag"].as_array().unwrap();
    assert!(tags.iter().any(|t| t["code"] == "doubtful:OBX-3"));
}

#[test]
fn decimals_go_up_digit_by_digit() {
    let number = |d: &str| result("NA", "Na", decimal(d));
    for digits in ["135.0", "0.00", "-1.50", "100000000000000000.10"] {
        let entries = rendered(&report(vec![number(digits)]));
        let body = String::from_utf8(entries[1].body.clone()).unwrap();
        assert!(body.contains(&format!("\"valueQuantity\":{{\"value\":{digits}}}")), "{body}");
    }
}

#[test]
fn one_tube_label_on_two_reports_is_two_specimens() {
    let one = report(Vec::new());
    let mut other = one.clone();
    other.id = model::RecordId::from_bytes([0xde; 16]);
    let specimen = |r: &Record| rendered(r)[0].id;
    assert_ne!(specimen(&one), specimen(&other));
}

#[test]
fn every_resource_says_where_it_came_from_and_reads_back_its_position() {
    let mut one = report(vec![glucose()]);
    one.marks = vec![Mark::WeakId, Mark::Doubtful("OBR-7".to_owned())];
    for entry in rendered(&one) {
        let resource = json(&entry);
        assert_eq!(position_of(&entry.body), Some(one.position));
        assert_eq!(
            resource["meta"]["source"],
            "urn:hospital-gateway:12330100470116614F#LIS%200001%2F%E4%B8%80"
        );
        let codes: Vec<_> = resource["meta"]["tag"].as_array().unwrap().iter().map(|t| &t["code"]).collect();
        let own = if entry.id == one.id { &["doubtful:OBR-7", "weak-id"][..] } else { &["weak-id"] };
        assert_eq!(codes, [&["12-345", "lis", "1"], own].concat());
    }
}

#[test]
fn a_visit_that_ends_before_it_starts_keeps_its_start_only() {
    let mut one = visit();
    if let Body::Encounter(visit) = &mut one.body {
        visit.end = Some(common::time("20261101"));
    }
    let resource = json(&rendered(&one)[0]);
    assert_eq!(resource["period"], serde_json::json!({"start": "2026-11-20T09:30:00+08:00"}));
}

#[test]
fn a_destinations_maps_stand_beside_the_sources_code_and_go_before_the_feeds() {
    let of_feed = MapSet::new(
        vec![map("lab", "test,NA,,2947-0,,Li,reviewed\nunit,mmol/l,,mmol/L,,Li,reviewed\n")],
        false,
    );
    let mut sodium = result("NA", "\u{94a0}", decimal("140.0"));
    sodium.unit = Some(Coded::of("mmol/l", None, None));
    let mut one = report(vec![sodium]);
    one.body.translate(&of_feed, None);
    let regional = map(
        "region",
        "test,NA,,2951-2,,Li,reviewed\ntest,NA,urn:oid:1.2.156.1,XN01,\u{8840}\u{94a0},Li,reviewed\n",
    );
    let site = Site { codes: Arc::new(MapSet::new(vec![regional.clone()], false)), ..site() };
    site.translate(&mut one);
    let observation = &of_kind(&record(&one, &site, &Refused::default()), "Observation")[0];
    let codings: Vec<_> =
        observation["code"]["coding"].as_array().unwrap().iter().map(|c| &c["code"]).collect();
    assert_eq!(codings, ["NA", "2951-2", "XN01"]);
    assert_eq!(observation["code"]["coding"][2]["display"], "\u{8840}\u{94a0}");
    let quantity = &observation["valueQuantity"];
    assert_eq!((&quantity["unit"], &quantity["code"]), (&"mmol/l".into(), &"mmol/L".into()));
    let tags = observation["meta"]["tag"].as_array().unwrap();
    let maps: Vec<_> =
        tags.iter().filter(|t| t["system"] == "urn:hospital-gateway:code-map").map(|t| &t["code"]).collect();
    assert!(maps.len() == 2 && maps.contains(&&regional.label().into()), "{maps:?}");
}

#[test]
fn a_provenance_names_what_it_is_about_the_gateway_and_the_message() {
    let mut one = report(vec![glucose(), result("NA", "\u{94a0}", decimal("135.0"))]);
    if let Body::Report(report) = &mut one.body {
        report.results[1].code.mapped = vec![model::Mapped {
            system: model::LOINC.to_owned(),
            code: "2951-2".to_owned(),
            display: None,
            map: "lab@0123456789ab".to_owned(),
            draft: false,
        }];
    }
    let entries = rendered(&one);
    let made = provenance(&one, &site(), &entries);
    assert!(made.is_trace() && made.is_part);
    assert_eq!(made.depends_on.len(), entries.len());
    insta::assert_snapshot!("provenance", shown(&[made]));
}
