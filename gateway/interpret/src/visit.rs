//! PV1, PV2 and DG1: what a message says about a visit.

use hl7::{Message, Repetition, Segment};
use model::{
    Attending, Coded, DiagnosisChange, DiagnosisKind, EncounterChange, EncounterClass, EncounterStatus,
    Field, Number, NumberKind, VisitStep,
};

use crate::Context;
use crate::field::{Times, coded, text, tri};

/// The segments that are about one visit.
#[derive(Clone, Copy)]
pub(crate) struct Segments<'m> {
    pub(crate) pid: Option<Segment<'m>>,
    pub(crate) pv1: Segment<'m>,
    pub(crate) pv2: Option<Segment<'m>>,
}

/// Events that are about a visit, with what they make of it (HL7 v2, chapter 3). None: they only state what is so now.
pub(crate) fn status(event: &str, class: Option<EncounterClass>) -> Option<EncounterStatus> {
    use EncounterStatus::{Arrived, Cancelled, EnteredInError, Finished, InProgress, OnLeave, Planned};
    Some(match event {
        "A05" | "A14" => Planned,
        // A registration for emergency care is care; another one waits to be seen.
        "A04" if class != Some(EncounterClass::Emergency) => Arrived,
        "A01" | "A02" | "A04" | "A06" | "A07" | "A12" | "A13" | "A22" => InProgress,
        "A21" => OnLeave,
        "A03" => Finished,
        "A11" | "A27" | "A38" => Cancelled,
        "A23" => EnteredInError,
        _ => return None,
    })
}

/// Reads PV1 and what stands beside it. None without a visit number: then nothing tells the visit from another.
pub(crate) fn change(
    segments: Segments<'_>,
    event: &str,
    times: &Times<'_>,
    context: &Context,
) -> Option<EncounterChange> {
    let Segments { pid, pv1, pv2 } = segments;
    let number = number(pv1.field(19).first(), NumberKind::Visit, context)?;
    let mut marks = Vec::new();
    let class_source = text(pv1.field(2).component(1)).unwrap_or_default();
    let step = match event {
        "A02" | "A10" | "A17" => VisitStep::Transfer,
        "A12" | "A32" => VisitStep::TransferCancelled,
        "A06" | "A07" => VisitStep::ClassChange,
        _ => VisitStep::Statement,
    };
    let time = |field, element: &str, marks: &mut Vec<_>| {
        tri(field, element, marks, |f| times.read(&f).ok().flatten())
    };
    let doctors = |n: usize, marks: &mut Vec<_>| {
        tri(pv1.field(n), &format!("PV1-{n}"), marks, |field| {
            let all: Vec<Attending> = field.repetitions().filter_map(doctor).collect();
            (!all.is_empty()).then_some(all)
        })
    };
    let code = |n: usize, marks: &mut Vec<_>| {
        let element = format!("PV1-{n}");
        tri(pv1.field(n), &element, marks, |field| local(field.first(), &element))
    };
    let expected = |n: usize, marks: &mut Vec<_>| {
        pv2.map_or(Field::Absent, |pv2| time(pv2.field(n), &format!("PV2-{n}"), marks))
    };
    Some(EncounterChange {
        number,
        other_numbers: numbers(pv1.field(50).repetitions(), NumberKind::Visit, context),
        old_numbers: Vec::new(),
        account: pid.map_or(Field::Absent, |pid| {
            tri(pid.field(18), "PID-18", &mut marks, |f| {
                self::number(f.first(), NumberKind::Account, context)
            })
        }),
        status: status(event, EncounterClass::read(&class_source)),
        class_source,
        start: time(pv1.field(44), "PV1-44", &mut marks),
        end: time(pv1.field(45), "PV1-45", &mut marks),
        expected_start: expected(8, &mut marks),
        expected_end: expected(9, &mut marks),
        location: match event {
            // Somebody on the way is nowhere yet.
            "A09" | "A33" => Field::Absent,
            _ => tri(pv1.field(3), "PV1-3", &mut marks, |field| location(field.first())),
        },
        prior_location: location(pv1.field(6).first()),
        attending: tri(pv1.field(7), "PV1-7", &mut marks, |field| doctor(field.first())),
        referring: doctors(8, &mut marks),
        consulting: doctors(9, &mut marks),
        admitting: doctors(17, &mut marks),
        service: code(10, &mut marks),
        admit_source: code(14, &mut marks),
        disposition: code(36, &mut marks),
        reason: pv2.map_or(Field::Absent, |pv2| {
            tri(pv2.field(3), "PV2-3", &mut marks, |field| local(field.first(), "PV2-3"))
        }),
        step,
        at: None,
        diagnoses_listed: Vec::new(),
        marks,
    })
}

/// The visit that a report belongs to.
pub(crate) fn referenced(message: &Message, times: &Times<'_>, context: &Context) -> Option<EncounterChange> {
    let segments =
        Segments { pid: message.first("PID"), pv1: message.first("PV1")?, pv2: message.first("PV2") };
    change(segments, "", times, context)
}

/// A number of a visit or account (CX), with the authority in its fourth component.
pub(crate) fn number(first: Repetition<'_>, kind: NumberKind, context: &Context) -> Option<Number> {
    let authority = text(first.component(4).subcomponent(1));
    context.number(kind, &text(first.component(1))?, authority)
}

/// Several of them, each once.
pub(crate) fn numbers<'m>(
    repetitions: impl Iterator<Item = Repetition<'m>>,
    kind: NumberKind,
    context: &Context,
) -> Vec<Number> {
    let mut all: Vec<Number> = Vec::new();
    for found in repetitions.filter_map(|repetition| number(repetition, kind, context)) {
        if !all.contains(&found) {
            all.push(found);
        }
    }
    all
}

/// What a message says about the diagnoses of a visit.
#[derive(Default)]
pub(crate) struct Diagnoses {
    pub(crate) all: Vec<DiagnosisChange>,
    /// Kinds of which it gives the whole list.
    pub(crate) listed: Vec<DiagnosisKind>,
}

/// Reads the DG1 of a visit: with action codes (DG1-21) what is done to single ones, else the list of all that there are (HL7
/// v2.5, section 2.10.4), for each kind of its own: a list of final diagnoses says nothing about the admitting ones. A null in
/// place of the first means that there is none.
pub(crate) fn diagnoses(dg1: &[Segment<'_>], times: &Times<'_>) -> Diagnoses {
    let mut found = Diagnoses::default();
    let single = dg1.iter().any(|dg1| !dg1.field(21).is_empty());
    for dg1 in dg1 {
        if dg1.field(1).is_null() || dg1.field(3).is_null() {
            found.listed.extend(DiagnosisKind::ALL);
            continue;
        }
        let Some(diagnosis) = diagnosis(*dg1, times) else { continue };
        if !single {
            found.listed.push(diagnosis.kind);
        }
        match found.all.iter_mut().find(|held| held.code.key() == diagnosis.code.key()) {
            // One that is said to be admitting and final is final.
            Some(held) if weight(held.kind) >= weight(diagnosis.kind) => {}
            Some(held) => *held = diagnosis,
            None => found.all.push(diagnosis),
        }
    }
    found.listed.sort_unstable();
    found.listed.dedup();
    found
}

const fn weight(kind: DiagnosisKind) -> u8 {
    match kind {
        DiagnosisKind::Working => 0,
        DiagnosisKind::Admitting => 1,
        DiagnosisKind::Final => 2,
    }
}

fn diagnosis(dg1: Segment<'_>, times: &Times<'_>) -> Option<DiagnosisChange> {
    Some(DiagnosisChange {
        code: diagnosis_code(dg1)?,
        recorded: times.read(&dg1.field(5)).ok().flatten(),
        kind: DiagnosisKind::read(&dg1.field(6).text()),
        rank: dg1.field(15).text().trim().parse().ok().filter(|rank| *rank > 0),
        deleted: dg1.field(21).text().trim() == "D",
    })
}

/// DG1-3; DG1-4 is the description where that is only a code.
pub(crate) fn diagnosis_code(dg1: Segment<'_>) -> Option<Coded> {
    let described = text(dg1.field(4).component(1));
    let mut code = coded(dg1.field(3).first()).or_else(|| described.as_deref().map(Coded::text))?;
    code.text = code.text.or(described);
    Some(code)
}

/// Ward, room and bed as the site writes them.
pub(crate) fn location(place: Repetition<'_>) -> Option<String> {
    let parts: Vec<String> =
        [1, 2, 3].into_iter().filter_map(|n| text(place.component(n).subcomponent(1))).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

pub(crate) fn doctor(doctor: Repetition<'_>) -> Option<Attending> {
    let name: Vec<String> =
        [2, 3].into_iter().filter_map(|n| text(doctor.component(n).subcomponent(1))).collect();
    let wide = name.iter().any(|part| part.chars().any(|c| c >= '\u{2e80}'));
    let name = (!name.is_empty()).then(|| name.join(if wide { "" } else { " " }));
    let number = text(doctor.component(1));
    (number.is_some() || name.is_some()).then_some(Attending { number, name })
}

/// A code of the site's own table for `element`, unless it says whose it is.
pub(crate) fn local(repetition: Repetition<'_>, element: &str) -> Option<Coded> {
    let mut coded = coded(repetition)?;
    for coding in &mut coded.codings {
        coding.system.get_or_insert_with(|| element.to_owned());
    }
    Some(coded)
}
