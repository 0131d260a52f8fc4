//! A visit as an Encounter, a diagnosis as a Condition.

use model::{
    Attending, Coded, Diagnosis, DiagnosisKind, DiagnosisState, Encounter, EncounterClass, EncounterStatus,
    Number, NumberKind, PartialTime,
};

use super::coded::concept;
use super::datatype::{Coding, Concept, Extended, Extension, Identifier, Period, Reference, When};
use super::order::staff;
use super::period::period;
use super::render::Scene;
use super::resource::{
    ClassHistory, Condition, Encounter as FhirEncounter, Hospitalization, Location, Participant,
};
use super::text::{clean, code};
use super::trace::Marks;
use super::{Entry, ResourceType};

const ACT_CODE: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
const NULL_FLAVOR: &str = "http://terminology.hl7.org/CodeSystem/v3-NullFlavor";
const PARTICIPATION: &str = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType";
const CLINICAL_STATUS: &str = "http://terminology.hl7.org/CodeSystem/condition-clinical";
const VERIFICATION_STATUS: &str = "http://terminology.hl7.org/CodeSystem/condition-ver-status";
const CONDITION_CATEGORY: &str = "http://terminology.hl7.org/CodeSystem/condition-category";

/// When a visit is expected to begin and to end; FHIR R4 has no element for it.
const EXPECTED: [&str; 2] = ["urn:hospital-gateway:expected-start", "urn:hospital-gateway:expected-end"];
/// The visit that this one was found to be; FHIR has no element for it.
const MERGED_INTO: &str = "urn:hospital-gateway:merged-into";
/// The place of a diagnosis among those of its visit and kind, 1 being the main one.
const RANK: &str = "urn:hospital-gateway:diagnosis-rank";

pub(crate) fn encounter<'a>(scene: &Scene<'a>, visit: &'a Encounter) -> Vec<Entry> {
    let id = scene.record.id;
    let mut marks = scene.marks();
    let period = period(visit.start.as_ref(), visit.end.as_ref(), "PV1-45", &mut marks);
    let locations = locations(visit, &mut marks);
    let mut coded = |coded: &'a Option<Coded>, element| {
        coded.as_ref().and_then(|coded| concept(coded, scene.site, element, &mut marks))
    };
    let service_type = coded(&visit.service, "PV1-10");
    let admit_source = coded(&visit.admit_source, "PV1-14");
    let discharge_disposition = coded(&visit.disposition, "PV1-36");
    let reason_code = coded(&visit.reason, "PV2-3").into_iter().collect();
    let stay = admit_source.is_some() || discharge_disposition.is_some();
    let mut head = scene.head(ResourceType::Encounter, id, &marks);
    head.extension.extend(extensions(visit));
    let encounter = FhirEncounter {
        head,
        identifier: identifiers(scene, visit),
        status: match visit.status {
            EncounterStatus::Planned => "planned",
            EncounterStatus::Arrived => "arrived",
            EncounterStatus::InProgress => "in-progress",
            EncounterStatus::OnLeave => "onleave",
            EncounterStatus::Finished => "finished",
            EncounterStatus::Cancelled => "cancelled",
            EncounterStatus::EnteredInError => "entered-in-error",
            EncounterStatus::Unknown => "unknown",
        },
        class: class(scene, visit.class, &visit.class_source),
        class_history: class_history(scene, visit),
        service_type,
        subject: scene.subject(),
        participant: participants(scene, visit),
        period,
        reason_code,
        account: account(scene, visit).into_iter().collect(),
        hospitalization: stay.then_some(Hospitalization { admit_source, discharge_disposition }),
        location: locations,
        service_provider: scene.organization(),
    };
    vec![scene.main(ResourceType::Encounter, vec![scene.person()], &encounter)]
}

fn extensions(visit: &Encounter) -> impl Iterator<Item = Extension<'_>> {
    let expected = EXPECTED.into_iter().zip([&visit.expected_start, &visit.expected_end]);
    let expected = expected
        .filter_map(|(url, time)| Some(Extension { url, value: Extended::DateTime(When(time.as_ref()?)) }));
    let merged = visit.merged_into.map(|id| Extension {
        url: MERGED_INTO,
        value: Extended::Reference(Box::new(Reference::to(ResourceType::Encounter, id))),
    });
    expected.chain(merged)
}

/// The number it goes by, then its others; those that it or its account had before are old.
fn identifiers<'a>(scene: &Scene<'a>, visit: &'a Encounter) -> Vec<Identifier<'a>> {
    let date = visit.start.as_ref().and_then(PartialTime::date);
    let number = |number: &'a Number| {
        let kind = if number.kind == NumberKind::Account { "AN" } else { "VN" };
        scene.number(number, date, Some(kind))
    };
    let others = visit.other_numbers.iter().filter_map(|other| {
        let usage = if other.old { Some("old") } else { None };
        Some(Identifier { usage, ..number(&other.number)? })
    });
    number(&visit.number).into_iter().chain(others).collect()
}

fn account<'a>(scene: &Scene<'a>, visit: &'a Encounter) -> Option<Reference<'a>> {
    let identifier = scene.number(visit.account.as_ref()?, None, Some("AN"))?;
    Some(Reference { kind: Some("Account"), identifier: Some(identifier), ..Reference::default() })
}

fn participants<'a>(scene: &Scene<'_>, visit: &'a Encounter) -> Vec<Participant<'a>> {
    let many = [("REF", &visit.referring), ("CON", &visit.consulting), ("ADM", &visit.admitting)];
    let many = many.into_iter().flat_map(|(role, doctors)| doctors.iter().flatten().map(move |d| (role, d)));
    let all = visit.attending.iter().map(|doctor| ("ATND", doctor)).chain(many);
    all.filter_map(|(role, doctor)| participant(scene, role, doctor)).collect()
}

pub(crate) fn diagnosis(scene: &Scene<'_>, diagnosis: &Diagnosis) -> Vec<Entry> {
    let id = scene.record.id;
    let mut marks = scene.marks();
    let code = concept(&diagnosis.code, scene.site, "DG1-3", &mut marks).unwrap_or_else(Concept::absent);
    let verification = match (diagnosis.state, diagnosis.kind) {
        (DiagnosisState::Deleted, _) => "entered-in-error",
        (_, DiagnosisKind::Final) => "confirmed",
        (_, DiagnosisKind::Admitting | DiagnosisKind::Working) => "provisional",
    };
    let clinical = match diagnosis.state {
        DiagnosisState::Stands => Some("active"),
        DiagnosisState::NoLongerListed => {
            marks.add("no-longer-listed");
            Some("inactive")
        }
        // FHIR wants none beside an error (con-5).
        DiagnosisState::Deleted => None,
    };
    let mut head = scene.head(ResourceType::Condition, id, &marks);
    head.extension
        .extend(diagnosis.rank.map(|rank| Extension { url: RANK, value: Extended::Positive(rank) }));
    let condition = Condition {
        head,
        clinical_status: clinical.map(|code| Concept::code(CLINICAL_STATUS, code)),
        verification_status: Concept::code(VERIFICATION_STATUS, verification),
        category: vec![Concept::code(CONDITION_CATEGORY, "encounter-diagnosis")],
        code,
        subject: scene.subject(),
        encounter: scene.encounter(diagnosis.encounter.or(scene.record.encounter)),
        recorded_date: diagnosis.recorded.as_ref().map(When),
    };
    vec![scene.main(ResourceType::Condition, vec![scene.person()], &condition)]
}

/// Where the patient was, and is. Where nothing tells of a transfer only the place itself is said.
fn locations<'a>(visit: &'a Encounter, marks: &mut Marks<'_>) -> Vec<Location<'a>> {
    let at = |place: &'a str| Some(Reference { display: Some(clean(place)?), ..Reference::default() });
    let mut all: Vec<Location<'a>> = Vec::new();
    for earlier in &visit.earlier_locations {
        let Some(location) = at(&earlier.location) else { continue };
        let period = period(earlier.since.as_ref(), earlier.until.as_ref(), "PV1-45", marks);
        all.push(Location { location, status: Some("completed"), period });
    }
    if let Some(location) = visit.location.as_deref().and_then(at) {
        let period = period(visit.located_since.as_ref(), None, "PV1-45", marks);
        let here = !all.is_empty() && visit.status == EncounterStatus::InProgress;
        all.push(Location { location, status: here.then_some("active"), period });
    }
    all
}

/// What the visit was before. FHIR wants a period for each: one without any time is left out.
fn class_history<'a>(scene: &Scene<'_>, visit: &'a Encounter) -> Vec<ClassHistory<'a>> {
    let earlier = visit.earlier_classes.iter();
    earlier
        .filter_map(|earlier| {
            let end = Some(earlier.until.as_ref()?.to_string());
            let class = class(scene, earlier.class, &earlier.class_source);
            Some(ClassHistory { class, period: Period { start: None, end } })
        })
        .collect()
}

fn class<'a>(scene: &Scene<'_>, known: Option<EncounterClass>, source: &'a str) -> Coding<'a> {
    let standard = |code: &'static str| Coding { system: ACT_CODE.into(), code: code.into(), display: None };
    match (known, code(source)) {
        (Some(EncounterClass::Emergency), _) => standard("EMER"),
        (Some(EncounterClass::Inpatient), _) => standard("IMP"),
        (Some(EncounterClass::Outpatient), _) => standard("AMB"),
        (Some(EncounterClass::Preadmission), _) => standard("PRENC"),
        (None, Some(code)) => {
            Coding { system: scene.site.code_system(Some("PV1-2")).into(), code, display: None }
        }
        (None, None) => Coding { system: NULL_FLAVOR.into(), code: "UNK".into(), display: None },
    }
}

fn participant<'a>(scene: &Scene<'_>, role: &'static str, doctor: &'a Attending) -> Option<Participant<'a>> {
    let individual = staff(scene, doctor)?;
    Some(Participant { kind: vec![Concept::code(PARTICIPATION, role)], individual })
}
