//! A small hospital to render: fixed records for snapshots, generated ones for properties.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

pub(crate) mod generated;

use std::sync::Arc;

use feed::CaptureId;
use jiff::tz::{TimeZone, offset};
use model::{
    Appointment, AppointmentStatus, Attachment, Body, CodeMap, Coded, Coding, Content, Diagnosis,
    DiagnosisKind, DiagnosisState, Duration, Encounter, EncounterClass, EncounterStatus, HeldIdentifier,
    IdKey, Identifier, IdentifierKind, Immunization, ItemKey, LabResult, Number, NumberKind, Order,
    OrderItem, OrderStatus, PartialTime, Person, PersonId, PersonName, Position, Provenance, Record,
    RecordId, ReferenceRange, Report, ReportStatus, Resource, ResourceKind, ResultKey, ResultStatus, Scope,
    Sex, Specimen, Trust, Value,
};
use render::fhir::{Entry, Site};

pub(crate) fn site() -> Site {
    Site {
        organization: "12330100470116614F".to_owned(),
        id_key: IdKey::new(&[7; 32]),
        device: "12330100470116614F-01".to_owned(),
        codes: Arc::default(),
        name: "\u{5e02}\u{4e00}\u{9662}".to_owned(),
    }
}

/// A code map with these rows: kind, code, target system, code and display, author, state.
pub(crate) fn map(name: &str, rows: &str) -> Arc<CodeMap> {
    let text = format!("kind,source_code,target_system,target_code,target_display,author,state\n{rows}");
    Arc::new(CodeMap::read(name, text.as_bytes()).unwrap())
}

pub(crate) fn time(text: &str) -> PartialTime {
    PartialTime::read(text, None, &TimeZone::fixed(offset(8))).unwrap()
}

pub(crate) fn record(id: u8, body: Body) -> Record {
    let capture = CaptureId::new(12, 345);
    Record {
        id: RecordId::from_bytes([id; 16]),
        person: PersonId::from_bytes([0xaa; 16]),
        position: Position { event: time("20261124081530").earliest(), capture, revision: 1 },
        provenance: Provenance {
            capture,
            feed: "lis".to_owned().try_into().unwrap(),
            received: time("20261124081531").earliest(),
            control_id: "LIS 0001/\u{4e00}".to_owned(),
            trigger: "ORU^R01".to_owned(),
            facility: None,
            application: None,
            event: None,
        },
        came_with: None,
        encounter: None,
        marks: Vec::new(),
        body,
    }
}

pub(crate) fn number(kind: NumberKind, space: &str, scope: Scope, value: &str) -> Number {
    Number { kind, space: space.to_owned(), scope, value: value.to_owned() }
}

pub(crate) fn result(code: &str, display: &str, value: Value) -> LabResult {
    LabResult {
        key: ResultKey { code: code.to_owned(), sub_id: "1".to_owned(), instance: String::new(), repeat: 0 },
        code: Coded::of(code, Some(display), None),
        status_source: "F".to_owned(),
        ..LabResult::new(value, ResultStatus::Final)
    }
}

pub(crate) fn decimal(digits: &str) -> Value {
    Value::Number { comparator: None, decimal: digits.to_owned(), source: digits.to_owned() }
}

pub(crate) fn person() -> Record {
    let held = |kind, value: &str, trust| HeldIdentifier {
        identifier: Identifier::new(kind, value),
        trust,
        from: None,
    };
    let assigned = |authority: &str, code: &str| IdentifierKind::Assigned {
        authority: authority.to_owned(),
        code: Some(code.to_owned()),
    };
    let name = PersonName {
        family: Some("\u{5f20}".to_owned()),
        given: vec!["\u{5f22}".to_owned()],
        kind: Some("L".to_owned()),
    };
    record(
        0xaa,
        Body::Person(Box::new(Person {
            identifiers: vec![
                held(IdentifierKind::ResidentId, "11010519491231002X", Trust::Verified),
                held(IdentifierKind::ResidentId, "440524188001010014", Trust::Claimed),
                held(assigned("HIS", "MR"), "0001234", Trust::Verified),
                held(assigned("YB&2.16.156.1.2&ISO", "\u{533b}\u{4fdd}"), "A77", Trust::Verified),
            ],
            name: Some(name),
            birth: Some(time("19491231")),
            sex: Some(Sex::Female),
            addresses: Some(vec![model::Address {
                lines: vec!["\u{957f}\u{5b89}\u{8857}1\u{53f7}".to_owned()],
                city: Some("\u{5317}\u{4eac}".to_owned()),
                ..model::Address::default()
            }]),
            phones: Some(vec![" 13800000000 ".to_owned(), String::new()]),
            deceased: Some(None),
            aliases: Some(vec![PersonName {
                family: Some("\u{5c0f}\u{5f22}".to_owned()),
                ..PersonName::default()
            }]),
            multiple_birth: Some(true),
            contacts: Some(vec![model::Contact {
                name: Some(PersonName {
                    family: Some("\u{738b}\u{82b3}".to_owned()),
                    ..PersonName::default()
                }),
                relationship: Some(Coded::of("MTH", Some("\u{6bcd}\u{4eb2}"), Some("HL70063"))),
                role: Some(Coded::of("C", None, Some("NK1-7"))),
                phones: vec!["13900000000".to_owned()],
                address: None,
            }]),
            authoritative: true,
            ..Person::default()
        })),
    )
}

pub(crate) fn visit() -> Record {
    record(
        0xbb,
        Body::Encounter(Box::new(Encounter {
            class: Some(EncounterClass::Inpatient),
            class_source: "I".to_owned(),
            status: EncounterStatus::Finished,
            start: Some(time("202611200930")),
            end: Some(time("20261124080000")),
            location: Some("\u{5185}\u{79d1}-301-2".to_owned()),
            attending: Some(model::Attending {
                number: Some("D07".to_owned()),
                name: Some("\u{738b}".to_owned()),
            }),
            ..Encounter::new(number(NumberKind::Visit, "HIS", Scope::Year, "Z001"))
        })),
    )
}

/// A visit with everything that a visit can have.
pub(crate) fn whole_visit() -> Record {
    let mut record = visit();
    let doctor = |number: &str| model::Attending {
        number: Some(number.to_owned()),
        name: Some("\u{674e}".to_owned()),
    };
    let code = |code: &str, display, element| Some(Coded::of(code, display, Some(element)));
    if let Body::Encounter(visit) = &mut record.body {
        visit.account = Some(number(NumberKind::Account, "HIS", Scope::Global, "A77"));
        visit.know(number(NumberKind::Visit, "HIS", Scope::Year, "M1002"), true);
        visit.know(number(NumberKind::Visit, "YB", Scope::Global, "YB-5"), false);
        visit.know(number(NumberKind::Account, "HIS", Scope::Global, "A70"), true);
        visit.referring = Some(vec![doctor("D08")]);
        visit.consulting = Some(vec![doctor("D09"), doctor("D10")]);
        visit.admitting = Some(vec![doctor("D17")]);
        visit.service = code("0301", Some("\u{5fc3}\u{5185}\u{79d1}"), "PV1-10");
        visit.admit_source = code("2", None, "PV1-14");
        visit.disposition = code("1", Some("\u{533b}\u{5631}\u{79bb}\u{9662}"), "PV1-36");
        visit.reason = Some(Coded::text("\u{80f8}\u{75db}"));
        visit.expected_start = Some(time("20261120"));
        visit.expected_end = Some(time("202611251200"));
        visit.merged_into = Some(RecordId::from_bytes([0xbc; 16]));
    }
    record
}

pub(crate) fn diagnosis() -> Record {
    let code = Coded::of("J18.9", Some("\u{80ba}\u{708e}"), Some("I10"));
    let encounter = Some(RecordId::from_bytes([0xbb; 16]));
    let kind = DiagnosisKind::Final;
    let (recorded, state) = (Some(time("20261120")), DiagnosisState::Stands);
    record(0xcc, Body::Diagnosis(Diagnosis { code, encounter, recorded, kind, rank: Some(1), state }))
}

pub(crate) fn report(results: Vec<LabResult>) -> Record {
    let mut record = record(
        0xdd,
        Body::Report(Box::new(Report {
            placer: Some(number(NumberKind::Placer, "HIS", Scope::Global, "P9")),
            filler: Some(number(NumberKind::Filler, "lis", Scope::Day, "F42")),
            order: None,
            service: Coded::of("BG", Some("\u{8840}\u{5e38}\u{89c4}"), None),
            status: ReportStatus::Final,
            status_source: "F".to_owned(),
            effective: Some(time("20261124073000")),
            issued: Some(time("20261124081500")),
            stated: None,
            specimens: vec![Specimen {
                number: Some(number(NumberKind::Specimen, "lis", Scope::Day, "S7")),
                kind: Some(Coded::of("BLD", Some("\u{5168}\u{8840}"), None)),
                collected: Some(time("202611240730")),
                received: Some(time("20261124074500")),
                ..Specimen::default()
            }],
            section: Some(Coded::of("\u{68c0}\u{9a8c}\u{79d1}", None, None)),
            results,
            notes: vec!["\u{6eb6}\u{8840}".to_owned(), " ".to_owned()],
            ..Report::default()
        })),
    );
    record.encounter = Some(RecordId::from_bytes([0xbb; 16]));
    record
}

/// An appointment with a doctor in a room.
pub(crate) fn appointment() -> Record {
    let resource =
        |kind, what: Coded, role: Option<Coded>| Resource { kind, what, role, state: "Booked".to_owned() };
    let doctor = Coded::of("D07", Some("\u{738b}"), None);
    record(
        0x99,
        Body::Appointment(Box::new(Appointment {
            filler: Some(number(NumberKind::Appointment, "SCH", Scope::Global, "A1")),
            placer: Some(number(NumberKind::AppointmentRequest, "HIS", Scope::Global, "R1")),
            status: AppointmentStatus::Booked,
            start: Some(time("202612010900")),
            duration: Some(Duration { value: "30".to_owned(), unit: "min".to_owned() }),
            kind: Some(Coded::of("NORMAL", None, None)),
            reason: Some(Coded::of("FU", Some("\u{590d}\u{8bca}"), None)),
            resources: vec![
                resource(ResourceKind::Service, Coded::of("ECHO", Some("\u{5fc3}\u{8d85}"), None), None),
                resource(
                    ResourceKind::Person,
                    doctor,
                    Some(Coded::of("DOC", Some("\u{533b}\u{751f}"), None)),
                ),
                resource(ResourceKind::Place, Coded::text("\u{95e8}\u{8bca} 3"), None),
            ],
            notes: vec!["\u{5e26}\u{65e7}\u{7247}".to_owned()],
            ..Appointment::default()
        })),
    )
}

/// A vaccination with everything.
pub(crate) fn vaccination() -> Record {
    record(
        0x97,
        Body::Immunization(Box::new(Immunization {
            number: Some(number(NumberKind::Immunization, "IMM", Scope::Global, "I1")),
            vaccine: Coded::of("03", Some("\u{9ebb}\u{98ce}\u{75ab}\u{82d7}"), Some("CVX")),
            status_source: "PA".to_owned(),
            partly: true,
            given: Some(time("20261124093000")),
            source: Some(Coded::of("00", None, Some("NIP001"))),
            dose: Some("0.50".to_owned()),
            unit: Some(Coded::of("mL", None, Some("UCUM"))),
            by: Some(model::Attending {
                number: Some("N1".to_owned()),
                name: Some("\u{738b}\u{82b3}".to_owned()),
            }),
            place: Some("\u{63a5}\u{79cd}\u{95e8}\u{8bca}".to_owned()),
            lot: Some("L001".to_owned()),
            expires: Some(time("202712")),
            manufacturer: Some(Coded::of("SP", Some("\u{56fd}\u{836f}"), Some("MVX"))),
            route: Some(Coded::of("SC", Some("\u{76ae}\u{4e0b}"), None)),
            site: Some(Coded::of("LA", Some("\u{5de6}\u{4e0a}\u{81c2}"), None)),
            observations: vec![result("30963-3", "Funding", Value::Text("\u{514d}\u{8d39}".to_owned()))],
            ..Immunization::default()
        })),
    )
}

/// An order for two services on one form.
pub(crate) fn order() -> Record {
    let item = |code: &str, display: &str| OrderItem {
        key: ItemKey { service: code.to_owned(), repeat: 0 },
        service: Coded::of(code, Some(display), None),
        status: OrderStatus::Active,
        control: "NW".to_owned(),
        priority: Some("S".to_owned()),
        ..OrderItem::default()
    };
    let first = OrderItem {
        status_source: "IP".to_owned(),
        filler: Some(number(NumberKind::Filler, "lis", Scope::Day, "F42")),
        requester: Some(model::Attending {
            number: Some("D07".to_owned()),
            name: Some("\u{738b}".to_owned()),
        }),
        ordered: Some(time("202611240700")),
        planned: Some(time("20261124073000")),
        reasons: vec![Coded::of("J18.9", Some("\u{80ba}\u{708e}"), Some("I10"))],
        specimens: vec![Specimen {
            number: Some(number(NumberKind::Specimen, "lis", Scope::Day, "S7")),
            kind: Some(Coded::of("BLD", Some("\u{5168}\u{8840}"), None)),
            ..Specimen::default()
        }],
        notes: vec!["\u{7a7a}\u{8179}".to_owned()],
        observations: vec![result("WT", "\u{4f53}\u{91cd}", decimal("65.0"))],
        ..item("BG", "\u{8840}\u{5e38}\u{89c4}")
    };
    let second = OrderItem {
        priority: Some("\u{4f18}\u{5148}".to_owned()),
        ..item("CRP", "C\u{53cd}\u{5e94}\u{86cb}\u{767d}")
    };
    record(
        0xee,
        Body::Order(Box::new(Order {
            placer: Some(number(NumberKind::Placer, "HIS", Scope::Global, "P9")),
            group: Some(number(NumberKind::Group, "HIS", Scope::Global, "G1")),
            dated: Some(time("20261124073000")),
            items: vec![first, second],
        })),
    )
}

/// A glucose with everything a result can have.
pub(crate) fn glucose() -> LabResult {
    let ucum = Coded::of("mmol/L", None, Some("UCUM"));
    LabResult {
        code: Coded {
            codings: vec![
                Coding {
                    code: "GLU".to_owned(),
                    display: Some("\u{8461}\u{8404}\u{7cd6}".to_owned()),
                    system: None,
                },
                Coding {
                    code: "2345-7".to_owned(),
                    display: Some("Glucose".to_owned()),
                    system: Some("LN".to_owned()),
                },
            ],
            ..Coded::default()
        },
        unit: Some(ucum),
        range: Some(ReferenceRange {
            low: Some("3.90".to_owned()),
            high: Some("6.10".to_owned()),
            text: "3.90-6.10".to_owned(),
        }),
        flags: vec!["\u{2191}".to_owned(), "!".to_owned()],
        observed: Some(time("20261124075900.250")),
        analysed: Some(time("202611240758")),
        method: Some(Coded::text("\u{5df1}\u{7cd6}\u{6fc0}\u{9176}\u{6cd5}")),
        notes: vec!["\u{590d}\u{67e5}".to_owned()],
        ..result("GLU", "\u{8461}\u{8404}\u{7cd6}", decimal("11.10"))
    }
}

/// A report as PDF.
pub(crate) fn document() -> Record {
    record(0xee, Body::Attachment(Box::new(Attachment::new("application/pdf", b"%PDF-1.4"))))
}

/// A result whose value is [`document`].
pub(crate) fn enclosing() -> LabResult {
    let Body::Attachment(attachment) = document().body else { unreachable!() };
    let mut enclosed = attachment.enclosed();
    if let Content::Held { record, .. } = &mut enclosed.content {
        *record = Some(RecordId::from_bytes([0xee; 16]));
    }
    result("PDF", "\u{68c0}\u{9a8c}\u{62a5}\u{544a}", Value::Enclosed(vec![enclosed]))
}

/// The resource of an entry.
pub(crate) fn json(entry: &Entry) -> serde_json::Value {
    serde_json::from_slice(&entry.body).unwrap()
}

/// JSON with a line per element; numbers stay as they are written.
pub(crate) fn pretty(json: &[u8]) -> String {
    let (mut out, mut depth, mut quoted, mut escaped) = (String::new(), 0, false, false);
    for c in std::str::from_utf8(json).unwrap().chars() {
        if !quoted && matches!(c, '}' | ']') {
            depth -= 1;
            out.push_str(&format!("\n{:1$}", "", depth * 2));
        }
        out.push(c);
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        match c {
            '{' | '[' if !quoted => depth += 1,
            ',' if !quoted => {}
            ':' if !quoted => {
                out.push(' ');
                continue;
            }
            _ => continue,
        }
        out.push_str(&format!("\n{:1$}", "", depth * 2));
    }
    out
}
