//! Specimens: SPM, and OBR-15 of old versions.

use hl7::Segment;
use model::{Coded, Mark, NumberKind, Specimen};

use crate::Context;
use crate::field::{Notes, Times, coded, text};

/// OBR-15: the specimen source, a coded element in subcomponents; the site of the body in the fourth component.
pub(crate) fn source(obr: Segment<'_>) -> Specimen {
    let source = obr.field(15).first();
    let nested = |component: usize| {
        let part = |n| text(source.component(component).subcomponent(n));
        match (part(1), part(2)) {
            (Some(code), display) => Some(Coded::of(&code, display.as_deref(), part(3).as_deref())),
            (None, Some(display)) => Some(Coded::text(&display)),
            (None, None) => None,
        }
    };
    Specimen { kind: nested(1), site: nested(4), ..Specimen::default() }
}

/// Reads SPM into a specimen of which OBR may have said something already.
pub(crate) fn read(
    specimen: &mut Specimen,
    spm: Segment<'_>,
    times: &Times<'_>,
    context: &Context,
    notes: &mut Notes,
) {
    let id = spm.field(2).first();
    let part = |n: usize| text(id.component(n).subcomponent(1));
    let authority = text(id.component(1).subcomponent(2)).or_else(|| text(id.component(2).subcomponent(2)));
    specimen.number =
        part(2).or_else(|| part(1)).and_then(|v| context.number(NumberKind::Specimen, &v, authority));
    let field = |n: usize| coded(spm.field(n).first());
    specimen.kind = field(4).or_else(|| specimen.kind.take());
    specimen.method = field(7);
    specimen.site = field(8).or_else(|| specimen.site.take());
    specimen.amount = text(spm.field(12).component(1));
    specimen.amount_unit = text(spm.field(12).component(2).subcomponent(1));
    let words = spm.field(14);
    specimen.notes.extend(words.repetitions().filter_map(crate::field::whole_text));
    specimen.collected = times.noted(spm, 17, 1, notes);
    specimen.collected_until = times.noted(spm, 17, 2, notes);
    specimen.received = times.noted(spm, 18, 1, notes).or_else(|| specimen.received.take());
    // Why it was rejected, and what state it is in.
    specimen.conditions.extend(
        [21, 24].into_iter().flat_map(|n| spm.field(n).repetitions().filter_map(coded).collect::<Vec<_>>()),
    );
}

/// Reads SPM by itself.
pub(crate) fn of(spm: Segment<'_>, times: &Times<'_>, context: &Context, marks: &mut Vec<Mark>) -> Specimen {
    let (mut specimen, mut notes) = (Specimen::default(), Notes::default());
    read(&mut specimen, spm, times, context, &mut notes);
    marks.extend(notes.marks);
    specimen
}

/// Whether it is a material of quality control or calibration (SPM-11, HL7 table 0369) and of no patient.
pub(crate) fn is_control(spm: Segment<'_>) -> bool {
    spm.field(11).repetitions().any(|role| {
        let role = text(role.component(1)).unwrap_or_default();
        matches!(role.to_ascii_uppercase().as_str(), "B" | "C" | "E" | "F" | "O" | "Q" | "V")
    })
}
