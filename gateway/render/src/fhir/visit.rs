//! A visit as an Encounter, a diagnosis as a Condition.

use model::{Attending, Diagnosis, DiagnosisKind, Encounter, EncounterClass, EncounterStatus, PartialTime};

use super::coded::concept;
use super::datatype::{Coding, Concept, Identifier, Period, Reference, When};
use super::render::Scene;
use super::resource::{ClassHistory, Condition, Encounter as FhirEncounter, Location, Participant};
use super::text::{clean, code};
use super::trace::Marks;
use super::{Entry, ResourceType};

const ACT_CODE: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
const NULL_FLAVOR: &str = "http://terminology.hl7.org/CodeSystem/v3-NullFlavor";
const PARTICIPATION: &str = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType";
const CLINICAL_STATUS: &str = "http://terminology.hl7.org/CodeSystem/condition-clinical";
const VERIFICATION_STATUS: &str = "http://terminology.hl7.org/CodeSystem/condition-ver-status";
const CONDITION_CATEGORY: &str = "http://terminology.hl7.org/CodeSystem/condition-category";

pub(crate) fn encounter(scene: &Scene<'_>, visit: &Encounter) -> Vec<Entry> {
    let id = scene.record.id;
    let mut marks = scene.marks();
    let period = period(visit.start.as_ref(), visit.end.as_ref(), &mut marks);
    let date = visit.start.as_ref().and_then(PartialTime::date);
    let locations = locations(visit, &mut marks);
    let encounter = FhirEncounter {
        head: scene.head(ResourceType::Encounter, id, &marks),
        identifier: scene.number(&visit.number, date, Some("VN")).into_iter().collect(),
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
        subject: scene.subject(),
        participant: visit.attending.as_ref().and_then(|a| attending(scene, a)).into_iter().collect(),
        period,
        location: locations,
        service_provider: scene.organization(),
    };
    vec![scene.main(ResourceType::Encounter, vec![scene.person()], &encounter)]
}

pub(crate) fn diagnosis(scene: &Scene<'_>, diagnosis: &Diagnosis) -> Vec<Entry> {
    let id = scene.record.id;
    let mut marks = scene.marks();
    let code = concept(&diagnosis.code, scene.site, "DG1-3", &mut marks).unwrap_or_else(Concept::absent);
    let verification = match diagnosis.kind {
        DiagnosisKind::Final => "confirmed",
        DiagnosisKind::Admitting | DiagnosisKind::Working => "provisional",
    };
    let condition = Condition {
        head: scene.head(ResourceType::Condition, id, &marks),
        clinical_status: Concept::code(CLINICAL_STATUS, "active"),
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
        let period = period(earlier.since.as_ref(), earlier.until.as_ref(), marks);
        all.push(Location { location, status: Some("completed"), period });
    }
    if let Some(location) = visit.location.as_deref().and_then(at) {
        let period = period(visit.located_since.as_ref(), None, marks);
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

fn attending<'a>(scene: &Scene<'_>, attending: &'a Attending) -> Option<Participant<'a>> {
    let number = attending.number.as_deref().and_then(clean);
    let system = || scene.site.uri(&["staff"]).into();
    let identifier = number.map(|value| Identifier { usage: None, kind: None, system: system(), value });
    let display = attending.name.as_deref().and_then(clean);
    let said = identifier.is_some() || display.is_some();
    said.then(|| Participant {
        kind: vec![Concept::code(PARTICIPATION, "ATND")],
        individual: Reference { kind: Some("Practitioner"), identifier, display, ..Reference::default() },
    })
}

/// The period of a visit. An end before its start is left out and marked; a day beside a time of the same day is no
/// order that FHIR can tell, so that both go up as days.
fn period(start: Option<&PartialTime>, end: Option<&PartialTime>, marks: &mut Marks<'_>) -> Option<Period> {
    let (Some(first), Some(last)) = (start, end) else {
        return (start.is_some() || end.is_some())
            .then(|| Period { start: start.map(ToString::to_string), end: end.map(ToString::to_string) });
    };
    let (from, to) = (first.to_string(), last.to_string());
    let mixed = from.contains('T') != to.contains('T');
    let shared = from.len().min(to.len()).min(10);
    let backwards = first.earliest() > last.latest() || !from.contains('T') && from[..shared] > to[..shared];
    if backwards {
        marks.doubtful("PV1-45");
        return Some(Period { start: Some(from), end: None });
    }
    if mixed && first.to_date() == last.to_date() {
        return Some(Period { start: Some(first.to_date()), end: Some(last.to_date()) });
    }
    Some(Period { start: Some(from), end: Some(to) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> PartialTime {
        PartialTime::read(text, None, &jiff::tz::TimeZone::fixed(jiff::tz::offset(8))).unwrap()
    }

    fn shown(start: &str, end: &str) -> (Option<String>, Option<String>) {
        let period = period(Some(&time(start)), Some(&time(end)), &mut Marks::default()).unwrap();
        (period.start, period.end)
    }

    #[test]
    fn a_period_never_ends_before_it_starts() {
        let day = |d: &str| Some(d.to_owned());
        assert_eq!(shown("20261124", "202611240500"), (day("2026-11-24"), day("2026-11-24")));
        assert_eq!(shown("202611240500", "20261124"), (day("2026-11-24"), day("2026-11-24")));
        assert_eq!(shown("20261124", "20261123"), (day("2026-11-24"), None));
        assert_eq!(shown("202611250500", "20261124").1, None);
        assert_eq!(shown("20261124", "202611"), (day("2026-11-24"), day("2026-11")));
        assert_eq!(shown("202611240500", "202611240500").1, day("2026-11-24T05:00:00+08:00"));
    }
}
