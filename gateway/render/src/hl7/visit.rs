//! PV1 and DG1, and which event states a visit as it stands.

use model::{
    Attending, Diagnosis, DiagnosisKind, DiagnosisState, Encounter, EncounterClass, EncounterStatus, RecordId,
};

use super::coded::coded;
use super::segment::{Segments, components, escaped};

/// The event after which a visit stands as it does (HL7 v2, chapter 3).
pub(super) const fn event(visit: &Encounter) -> &'static str {
    match visit.status {
        EncounterStatus::Planned => "A05",
        EncounterStatus::Arrived => "A04",
        EncounterStatus::InProgress => match visit.class {
            Some(EncounterClass::Emergency) => "A04",
            _ => "A01",
        },
        EncounterStatus::OnLeave => "A21",
        EncounterStatus::Finished => "A03",
        EncounterStatus::Cancelled => "A11",
        EncounterStatus::EnteredInError => "A23",
        EncounterStatus::Unknown => "A08",
    }
}

/// The structure that an event has (MSH-9.3).
pub(super) fn structure(event: &str) -> &'static str {
    match event {
        "A01" | "A04" | "A08" => "ADT_A01",
        "A03" => "ADT_A03",
        "A05" | "A31" => "ADT_A05",
        "A11" => "ADT_A09",
        "A21" | "A23" | "A29" => "ADT_A21",
        _ => "ADT_A39",
    }
}

pub(super) fn pv1(out: &mut Segments, visit: &Encounter) {
    let doctors = |doctors: &Option<Vec<Attending>>| {
        doctors.as_ref().map(|all| all.iter().map(doctor).collect::<Vec<_>>().join("~"))
    };
    let number = components(&[&escaped(&visit.number.value), "", "", &escaped(&visit.number.space)]);
    let class = match visit.class {
        _ if !visit.class_source.is_empty() => escaped(&visit.class_source),
        Some(EncounterClass::Emergency) => "E".to_owned(),
        Some(EncounterClass::Inpatient) => "I".to_owned(),
        Some(EncounterClass::Outpatient) => "O".to_owned(),
        Some(EncounterClass::Preadmission) => "P".to_owned(),
        // Required; unknown (table 0004).
        None => "U".to_owned(),
    };
    let earlier = visit.earlier_locations.last();
    out.begin("PV1")
        .field(1, "1")
        .field(2, class)
        .maybe(3, visit.location.as_deref().map(escaped))
        .maybe(6, earlier.map(|earlier| escaped(&earlier.location)))
        .maybe(7, visit.attending.as_ref().map(doctor))
        .maybe(8, doctors(&visit.referring))
        .maybe(9, doctors(&visit.consulting))
        .maybe(10, visit.service.as_ref().map(coded))
        .maybe(14, visit.admit_source.as_ref().map(coded))
        .maybe(17, doctors(&visit.admitting))
        .field(19, number)
        .maybe(36, visit.disposition.as_ref().map(coded))
        .maybe(44, visit.start.as_ref().map(model::PartialTime::to_dtm))
        .maybe(45, visit.end.as_ref().map(model::PartialTime::to_dtm))
        .end();
    if visit.reason.is_some() || visit.expected_start.is_some() || visit.expected_end.is_some() {
        out.begin("PV2")
            .maybe(3, visit.reason.as_ref().map(coded))
            .maybe(8, visit.expected_start.as_ref().map(model::PartialTime::to_dtm))
            .maybe(9, visit.expected_end.as_ref().map(model::PartialTime::to_dtm))
            .end();
    }
}

fn doctor(doctor: &Attending) -> String {
    let part = |part: &Option<String>| part.as_deref().map(escaped).unwrap_or_default();
    components(&[&part(&doctor.number), &part(&doctor.name)])
}

/// The visit of a message that is about the person alone.
pub(super) fn no_visit(out: &mut Segments) {
    out.begin("PV1").field(1, "1").field(2, "N").end();
}

/// With an action code (DG1-21), which says that this is about single diagnoses and not the list of all that there are.
pub(super) fn dg1(out: &mut Segments, n: usize, id: RecordId, diagnosis: &Diagnosis) {
    let mut code = diagnosis.code.clone();
    // What it is called in words has a field of its own here.
    let text = if code.codings.is_empty() { None } else { code.text.take() };
    out.begin("DG1")
        .field(1, n.to_string())
        .field(3, coded(&code))
        .maybe(4, text.as_deref().map(escaped))
        .maybe(5, diagnosis.recorded.as_ref().map(model::PartialTime::to_dtm))
        .field(
            6,
            match diagnosis.kind {
                DiagnosisKind::Admitting => "A",
                DiagnosisKind::Working => "W",
                DiagnosisKind::Final => "F",
            },
        )
        .maybe(15, diagnosis.rank.map(|rank| rank.to_string()))
        .field(20, id.to_string())
        .field(21, if diagnosis.state == DiagnosisState::Stands { "A" } else { "D" })
        .end();
}
