//! Records with anything in them that the model can hold.

use model::{
    Absent, Appointment, AppointmentStatus, AsWritten, Attachment, Body, Child, Coded, Coding, Comparator,
    Content, Diagnosis, DiagnosisKind, DiagnosisState, Duration, EarlierClass, EarlierLocation, Enclosure,
    Encounter, EncounterClass, EncounterStatus, HeldIdentifier, Identifier, IdentifierKind, Immunization,
    ImmunizationStatus, ItemKey, LabResult, Mapped, Mark, Number, NumberKind, Order, OrderItem, OrderRef,
    OrderStatus, OtherNumber, Parent, ParentResult, PartialTime, Party, PartyKind, Person, PersonName,
    Record, RecordId, ReferenceRange, Report, ReportStatus, Resource, ResourceKind, ResultKey, ResultStatus,
    Scope, Sex, Specimen, Trust, Value,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

/// Text as hospitals send it, and worse.
fn text() -> BoxedStrategy<String> {
    prop_oneof![
        4 => "[A-Za-z0-9 ]{1,12}",
        2 => "[\u{4e00}-\u{4e20}]{1,6}",
        1 => ".{0,12}",
        1 => "[ \u{3000}\u{feff}\u{0}\u{1c}\t\n^&]{0,4}",
    ]
    .boxed()
}

fn digits() -> BoxedStrategy<String> {
    prop_oneof![6 => "-?(0|[1-9][0-9]{0,5})(\\.[0-9]{1,4})?", 1 => text()].boxed()
}

fn time() -> BoxedStrategy<PartialTime> {
    let parts = (1900i16..2100, 1u8..13, 1u8..29, 0u8..24, 0u8..60, 0u8..60, 0usize..6);
    parts
        .prop_map(|(year, month, day, hour, minute, second, precision)| {
            let whole = format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}");
            super::time(&whole[..4 + 2 * precision])
        })
        .boxed()
}

fn coding() -> BoxedStrategy<Coding> {
    let system =
        of(prop_oneof![Just("LN".to_owned()), Just("UCUM".to_owned()), Just("I10".to_owned()), text()]);
    let code =
        prop_oneof![Just("2345-7".to_owned()), Just("10*9/L".to_owned()), Just("J18.9".to_owned()), text()];
    (code, of(text()), system).prop_map(|(code, display, system)| Coding { code, display, system }).boxed()
}

fn coded() -> BoxedStrategy<Coded> {
    (vec(coding(), 0..3), of(text()), vec(mapped(), 0..2))
        .prop_map(|(codings, text, mapped)| Coded { codings, text, mapped })
        .boxed()
}

/// As maps that were checked when they were loaded give it.
fn mapped() -> BoxedStrategy<Mapped> {
    let row = |system: &str, code: &str| (system.to_owned(), code.to_owned());
    let rows = vec![
        row(model::LOINC, "2345-7"),
        row(model::UCUM, "10*9/L"),
        row(model::ICD_10, "J18.9"),
        row("urn:oid:1.2.3", "\u{8461}"),
    ];
    (prop::sample::select(rows), of(text()), any::<bool>())
        .prop_map(|((system, code), display, draft)| Mapped {
            system,
            code,
            display,
            map: "lab@0123456789ab".to_owned(),
            draft,
        })
        .boxed()
}

fn number() -> BoxedStrategy<Number> {
    let kinds = [
        NumberKind::Visit,
        NumberKind::Placer,
        NumberKind::Filler,
        NumberKind::Specimen,
        NumberKind::Group,
        NumberKind::Appointment,
    ];
    let scopes = [Scope::Global, Scope::Year, Scope::Day, Scope::InstrumentDay];
    let select = prop::sample::select(kinds.to_vec());
    let of_kind = (select, text(), prop::sample::select(scopes.to_vec()), text());
    of_kind.prop_map(|(kind, space, scope, value)| Number { kind, space, scope, value }).boxed()
}

fn comparator() -> BoxedStrategy<Option<Comparator>> {
    of(prop_oneof![
        Just(Comparator::Less),
        Just(Comparator::LessOrEqual),
        Just(Comparator::Greater),
        Just(Comparator::GreaterOrEqual)
    ])
    .boxed()
}

fn value() -> BoxedStrategy<Value> {
    let absent = prop_oneof![
        Just(Absent::Unknown),
        Just(Absent::NotPerformed),
        Just(Absent::Masked),
        Just(Absent::Refused)
    ];
    let number = (comparator(), digits(), text());
    let ratio = (comparator(), digits(), digits(), text());
    prop_oneof![
        absent.prop_map(Value::Absent),
        number.prop_map(|(comparator, decimal, source)| Value::Number { comparator, decimal, source }),
        text().prop_map(Value::Text),
        vec(coded(), 0..3).prop_map(Value::Coded),
        ratio.prop_map(|(comparator, numerator, denominator, source)| {
            Value::Ratio { comparator, numerator, denominator, source }
        }),
        (of(digits()), of(digits()), text()).prop_map(|(low, high, source)| Value::Range {
            low,
            high,
            source
        }),
        (of(time()), of(time())).prop_map(|(start, end)| Value::Period { start, end }),
        time().prop_map(Value::Time),
        prop_oneof![Just("08:15:00.5".to_owned()), text()].prop_map(Value::TimeOfDay),
        vec(enclosure(), 0..3).prop_map(Value::Enclosed),
    ]
    .boxed()
}

fn attachment() -> BoxedStrategy<Attachment> {
    let media_type = prop_oneof![Just("application/pdf".to_owned()), text()];
    (media_type, vec(any::<u8>(), 1..20)).prop_map(|(kind, bytes)| Attachment::new(&kind, &bytes)).boxed()
}

fn enclosure() -> BoxedStrategy<Enclosure> {
    let held = (attachment(), of(any::<[u8; 16]>())).prop_map(|(attachment, record)| {
        let record = record.map(RecordId::from_bytes);
        let content = Content::Held { record, print: attachment.print };
        Enclosure { media_type: Some(attachment.media_type), content }
    });
    let content = prop_oneof![
        Just(Content::Unreadable),
        Just(Content::Elsewhere { url: "https://pacs.example/1".to_owned() }),
    ];
    let other = (of(text()), content).prop_map(|(media_type, content)| Enclosure { media_type, content });
    prop_oneof![held, other].boxed()
}

fn party() -> BoxedStrategy<Party> {
    let kind = prop::sample::select(vec![PartyKind::Person, PartyKind::Organization, PartyKind::Device]);
    (kind, of(text()), of(text()), of(text()), of(text()))
        .prop_map(|(kind, number, authority, name, address)| Party { kind, number, authority, name, address })
        .boxed()
}

fn as_written() -> BoxedStrategy<AsWritten> {
    text().prop_map(|text| AsWritten { element: "OBX-14".to_owned(), text }).boxed()
}

fn result() -> BoxedStrategy<LabResult> {
    let statuses = "A C D F O P X Q".split(' ').map(ResultStatus::read).collect::<Vec<_>>();
    let range = (of(digits()), of(digits()), text());
    let range = of(range.prop_map(|(low, high, text)| ReferenceRange { low, high, text }));
    let flags = vec(
        prop_oneof![Just("H".to_owned()), Just("R".to_owned()), Just("\u{2191}".to_owned()), text()],
        0..3,
    );
    let sub_id =
        prop_oneof![prop::sample::select(vec!["1", "1.1", "1.2", "2"]).prop_map(str::to_owned), text()];
    let key = (text(), sub_id, text(), 0u32..3);
    let key = key.prop_map(|(code, sub_id, instance, repeat)| ResultKey { code, sub_id, instance, repeat });
    let what = (key, coded(), value(), of(coded()), range, flags, prop::sample::select(statuses));
    let more = (
        of(time()),
        of(time()),
        of(coded()),
        vec(text(), 0..2),
        (any::<bool>(), any::<bool>()),
        vec(text(), 0..2),
        (vec(party(), 0..2), vec(party(), 0..3), vec(as_written(), 0..2)),
    );
    (what, more)
        .prop_map(|(what, more)| {
            let (key, code, value, unit, range, flags, status) = what;
            let (observed, analysed, method, notes, (withdrawn, order_unclear), doubtful, more) = more;
            let (performers, devices, as_written) = more;
            LabResult {
                key,
                code,
                unit,
                range,
                flags,
                observed,
                analysed,
                method,
                performers,
                devices,
                notes,
                withdrawn,
                order_unclear,
                doubtful,
                as_written,
                ..LabResult::new(value, status)
            }
        })
        .boxed()
}

fn report() -> BoxedStrategy<Body> {
    let statuses = "O A P F C X ?".split(' ').filter_map(ReportStatus::read).collect::<Vec<_>>();
    let specimen = (of(number()), of(coded()), of(time()), of(time()));
    let specimen = specimen.prop_map(|(number, kind, collected, received)| Specimen {
        number,
        site: kind.clone(),
        amount: kind.as_ref().map(|_| "5.0".to_owned()),
        conditions: kind.iter().cloned().collect(),
        kind,
        collected_until: received.clone(),
        collected,
        received,
        ..Specimen::default()
    });
    let specimens = vec(specimen, 0..3);
    let parent = (of(number()), of(number()), of((coded(), text(), of(text()))));
    let parent = parent.prop_map(|(placer, filler, result)| {
        let result = result.map(|(code, sub_id, text)| ParentResult { code, sub_id, text });
        Box::new(Parent { placer, filler, result })
    });
    let people = (of(parent), vec(party(), 0..2), vec(party(), 0..2), of(text()), vec(coded(), 0..2));
    let what = (of(number()), of(number()), coded(), prop::sample::select(statuses), specimens);
    let more = (of(time()), of(time()), of(coded()), vec(result(), 0..5), vec(text(), 0..2), of(time()));
    (what, more, people)
        .prop_map(|((placer, filler, service, status, specimens), more, people)| {
            let (effective, issued, section, results, notes, ended) = more;
            let (parent, interpreters, performers, clinical, reasons) = people;
            let child = |of: &LabResult| Child {
                of: of.key.clone(),
                report: RecordId::from_bytes([0xcd; 16]),
                results: vec![of.key.clone()],
            };
            Body::Report(Box::new(Report {
                order: filler.is_some().then(|| {
                    let record = RecordId::from_bytes([0xee; 16]);
                    OrderRef { record, resource: record }
                }),
                placer,
                filler,
                service,
                status,
                effective,
                ended,
                issued,
                specimens,
                section,
                children: results.first().map(child).into_iter().collect(),
                results,
                notes,
                parent,
                interpreters,
                performers,
                clinical,
                reasons,
                ..Report::default()
            }))
        })
        .boxed()
}

fn doctor() -> BoxedStrategy<model::Attending> {
    (of(text()), of(text())).prop_map(|(number, name)| model::Attending { number, name }).boxed()
}

fn specimen() -> BoxedStrategy<Specimen> {
    let what = (of(number()), of(coded()), of(time()), of(time()));
    what.prop_map(|(number, kind, collected, received)| Specimen {
        number,
        kind,
        collected,
        received,
        ..Specimen::default()
    })
    .boxed()
}

fn item() -> BoxedStrategy<OrderItem> {
    let statuses = ["NW", "HD", "CA", "?"].map(|control| OrderStatus::read(control, "").unwrap_or_default());
    let priority = of(prop_oneof![Just("S".to_owned()), text()]);
    let what =
        (coded(), prop::sample::select(statuses.to_vec()), text(), of(number()), priority, of(doctor()));
    let more = (of(time()), of(time()), vec(coded(), 0..2), vec(specimen(), 0..2), vec(text(), 0..2));
    (what, more, vec(result(), 0..2), vec(text(), 0..2), any::<bool>())
        .prop_map(|(what, more, mut observations, doubtful, order_unclear)| {
            let (service, status, status_source, filler, priority, requester) = what;
            let (ordered, planned, reasons, specimens, notes) = more;
            for (repeat, observation) in observations.iter_mut().enumerate() {
                observation.key.repeat = u32::try_from(repeat).unwrap();
            }
            OrderItem {
                key: ItemKey::default(),
                control: String::new(),
                stated: None,
                service,
                status,
                status_source,
                filler,
                priority,
                requester,
                ordered,
                planned,
                reasons,
                specimens,
                notes,
                observations,
                order_unclear,
                doubtful,
            }
        })
        .boxed()
}

/// Results that are told apart, as of something that holds a few.
fn few() -> BoxedStrategy<Vec<LabResult>> {
    vec(result(), 0..2)
        .prop_map(|mut results| {
            for (repeat, result) in results.iter_mut().enumerate() {
                result.key.repeat = u32::try_from(repeat).unwrap();
            }
            results
        })
        .boxed()
}

fn appointment() -> BoxedStrategy<Body> {
    let statuses = ["pending", "waitlist", "booked", "started", "complete", "dc", "noshow", "deleted"];
    let statuses = statuses.map(|status| AppointmentStatus::named(status).unwrap());
    let kinds = [ResourceKind::Service, ResourceKind::Person, ResourceKind::Place, ResourceKind::Thing];
    let state = prop_oneof![Just("Booked".to_owned()), Just("DC".to_owned()), text()];
    let resource = (prop::sample::select(kinds.to_vec()), coded(), of(coded()), state)
        .prop_map(|(kind, what, role, state)| Resource { kind, what, role, state });
    let unit = prop_oneof![Just("min".to_owned()), text()];
    let duration = of((digits(), unit).prop_map(|(value, unit)| Duration { value, unit }));
    let what = (of(number()), of(number()), prop::sample::select(statuses.to_vec()), of(time()), of(time()));
    let more = (duration, of(coded()), of(coded()), of(coded()), vec(resource, 0..3), vec(text(), 0..2));
    (what, more, few())
        .prop_map(|(what, more, observations)| {
            let (filler, placer, status, start, end) = what;
            let (duration, kind, reason, because, resources, notes) = more;
            Body::Appointment(Box::new(Appointment {
                filler,
                placer,
                status,
                start,
                end,
                duration,
                kind,
                reason,
                because,
                resources,
                notes,
                observations,
                ..Appointment::default()
            }))
        })
        .boxed()
}

fn immunization() -> BoxedStrategy<Body> {
    let statuses =
        [ImmunizationStatus::Completed, ImmunizationStatus::NotDone, ImmunizationStatus::EnteredInError];
    let source =
        of(prop_oneof![Just(Coded::of("00", None, None)), Just(Coded::of("01", None, None)), coded()]);
    let what = (of(number()), coded(), prop::sample::select(statuses.to_vec()), text(), any::<bool>());
    let when = (of(time()), of(time()), of(time()), source, of(digits()), of(coded()), of(doctor()));
    let more = (of(text()), of(text()), of(coded()), of(coded()), of(coded()), of(coded()), of(coded()));
    (what, when, more, vec(text(), 0..2), few())
        .prop_map(|(what, when, more, notes, observations)| {
            let (number, vaccine, status, status_source, partly) = what;
            let (given, recorded, expires, source, dose, unit, by) = when;
            let (place, lot, manufacturer, refusal, reason, route, site) = more;
            Body::Immunization(Box::new(Immunization {
                number,
                vaccine,
                status,
                status_source,
                partly,
                given,
                recorded,
                source,
                dose,
                unit,
                by,
                place,
                lot,
                expires,
                manufacturer,
                refusal,
                reason,
                route,
                site,
                notes,
                observations,
            }))
        })
        .boxed()
}

fn order() -> BoxedStrategy<Body> {
    (of(number()), of(number()), of(time()), vec(item(), 1..3))
        .prop_map(|(placer, group, dated, mut items)| {
            for (repeat, item) in items.iter_mut().enumerate() {
                item.key = ItemKey { service: "S".to_owned(), repeat: u32::try_from(repeat).unwrap() };
            }
            Body::Order(Box::new(Order { placer, group, dated, items }))
        })
        .boxed()
}

fn person() -> BoxedStrategy<Body> {
    let kind = prop_oneof![
        Just(IdentifierKind::ResidentId),
        Just(IdentifierKind::HealthCode),
        (text(), of(text())).prop_map(|(authority, code)| IdentifierKind::Assigned { authority, code }),
    ];
    let held = (kind, text(), any::<bool>()).prop_map(|(kind, value, verified)| HeldIdentifier {
        identifier: Identifier::new(kind, value),
        trust: if verified { Trust::Verified } else { Trust::Claimed },
        from: None,
    });
    let name = (of(text()), vec(text(), 0..3), of(Just("L".to_owned())));
    let name = of(name.prop_map(|(family, given, kind)| PersonName { family, given, kind }));
    let address = (vec(text(), 0..3), of(text()), of(text())).prop_map(|(lines, city, country)| {
        model::Address { lines, city, country, ..model::Address::default() }
    });
    let sex = of(prop_oneof![Just(Sex::Female), Just(Sex::Male), Just(Sex::Other), Just(Sex::Unknown)]);
    let more = (of(vec(address, 0..2)), of(vec(text(), 0..2)), of(of(time())), any::<bool>(), of(coded()));
    let contact = (name.clone(), of(coded()), vec(text(), 0..2)).prop_map(|(name, relationship, phones)| {
        model::Contact { name, role: relationship.clone(), relationship, phones, address: None }
    });
    let beside = (of(vec(contact, 0..3)), of(text()), of(any::<bool>()));
    (vec(held, 0..4), name, of(time()), sex, more, beside)
        .prop_map(|(identifiers, name, birth, sex, more, beside)| {
            let (contacts, birth_order, multiple_birth) = beside;
            let (addresses, phones, deceased, authoritative, ethnic_group) = more;
            let deleted = !authoritative;
            Body::Person(Box::new(Person {
                aliases: name.clone().map(|name| vec![name]),
                identifiers,
                name,
                birth,
                sex,
                addresses,
                phones,
                deceased,
                contacts,
                birth_order,
                multiple_birth,
                replaced_by: deleted.then(|| model::PersonId::from_bytes([9; 16])),
                deleted,
                authoritative,
                marital_status: ethnic_group.clone(),
                ethnic_group,
                ..Person::default()
            }))
        })
        .boxed()
}

fn visit() -> BoxedStrategy<Body> {
    let classes = ["E", "I", "O", "P", "?"].map(EncounterClass::read);
    let statuses = [
        EncounterStatus::Planned,
        EncounterStatus::Arrived,
        EncounterStatus::InProgress,
        EncounterStatus::OnLeave,
        EncounterStatus::Finished,
        EncounterStatus::Cancelled,
        EncounterStatus::EnteredInError,
        EncounterStatus::Unknown,
    ];
    let doctor = (of(text()), of(text())).prop_map(|(number, name)| model::Attending { number, name });
    let what =
        (number(), prop::sample::select(classes.to_vec()), text(), prop::sample::select(statuses.to_vec()));
    let doctors = of(vec(doctor.clone(), 0..2));
    let account = of(number().prop_map(|number| Number { kind: NumberKind::Account, ..number }));
    let others = vec((number(), any::<bool>()), 0..3);
    let more = (doctors, of(coded()), of(coded()), account, others);
    (what, of(time()), of(time()), of(text()), of(doctor), more)
        .prop_map(|(what, start, end, location, attending, more)| {
            let (doctors, service, reason, account, others) = more;
            let others = others.into_iter().map(|(number, old)| OtherNumber { number, old });
            let (number, class, class_source, status) = what;
            let earlier = class_source.clone();
            Body::Encounter(Box::new(Encounter {
                class,
                earlier_classes: vec![EarlierClass { class, class_source: earlier, until: end.clone() }],
                class_source,
                status,
                located_since: start.clone(),
                earlier_locations: location
                    .clone()
                    .map(|location| EarlierLocation { location, since: end.clone(), until: start.clone() })
                    .into_iter()
                    .collect(),
                start,
                end,
                location,
                attending,
                referring: doctors.clone(),
                consulting: None,
                admitting: doctors,
                admit_source: service.clone(),
                disposition: reason.clone(),
                service,
                reason,
                account,
                other_numbers: others.collect(),
                ..Encounter::new(number)
            }))
        })
        .boxed()
}

fn diagnosis() -> BoxedStrategy<Body> {
    let kinds = ["A", "W", "F"].map(DiagnosisKind::read).to_vec();
    let states = vec![DiagnosisState::Stands, DiagnosisState::NoLongerListed, DiagnosisState::Deleted];
    (coded(), of(time()), prop::sample::select(kinds), of(1_u32..9), prop::sample::select(states))
        .prop_map(|(code, recorded, kind, rank, state)| {
            Body::Diagnosis(Diagnosis { code, encounter: None, recorded, kind, rank, state })
        })
        .boxed()
}

/// Any record.
pub(crate) fn record() -> BoxedStrategy<Record> {
    let content = attachment().prop_map(|attachment| Body::Attachment(Box::new(attachment)));
    let body = prop_oneof![2 => person(), 2 => visit(), 2 => diagnosis(), 4 => report(), 2 => order(), 2 => appointment(), 2 => immunization(), 1 => content];
    let marks =
        vec(prop_oneof![Just(Mark::WeakId), Just(Mark::Withdrawn), text().prop_map(Mark::Doubtful)], 0..3);
    (any::<u8>(), body, marks, text(), any::<bool>())
        .prop_map(|(id, body, marks, control_id, in_visit)| {
            let mut record = super::record(id, body);
            record.marks = marks;
            record.provenance.control_id = control_id;
            record.encounter = in_visit.then(|| RecordId::from_bytes([0xbb; 16]));
            record
        })
        .boxed()
}
