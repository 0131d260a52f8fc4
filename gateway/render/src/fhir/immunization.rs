//! A vaccination as an Immunization, with what was stated about it as Observations that are part of it.

use std::borrow::Cow;

use model::{Coded, Immunization, ImmunizationStatus};

use super::coded::{concept, unit};
use super::datatype::{Annotation, Concept, Extended, Extension, Quantity, Reference, When};
use super::observation::{self, Shared};
use super::order::staff;
use super::render::Scene;
use super::resource::{Immunization as FhirImmunization, Performer};
use super::text::{clean, decimal};
use super::{Entry, ResourceType, Stage};

/// The dose as written, where it is no number.
const DOSE: &str = "urn:hospital-gateway:dose";
/// The completion as written, where it is not of HL7 table 0322.
const COMPLETION: &str = "urn:hospital-gateway:completion";
/// Why a dose does not count as a whole one.
const SUBPOTENT: &str = "http://terminology.hl7.org/CodeSystem/immunization-subpotent-reason";

pub(crate) fn entries<'a>(scene: &Scene<'a>, immunization: &'a Immunization) -> Vec<Entry> {
    let id = scene.record.id;
    let mut marks = scene.marks();
    let site = scene.site;
    let mut coded = |coded: &'a Option<Coded>, element| {
        coded.as_ref().and_then(|coded| concept(coded, site, element, &mut marks))
    };
    let (route, body_site) = (coded(&immunization.route, "RXR-1"), coded(&immunization.site, "RXR-2"));
    let (refusal, reason) = (coded(&immunization.refusal, "RXA-18"), coded(&immunization.reason, "RXA-19"));
    let origin = coded(&immunization.source, "RXA-9");
    let vaccine = concept(&immunization.vaccine, site, "RXA-5", &mut marks).unwrap_or_else(Concept::absent);
    let not_done = immunization.status == ImmunizationStatus::NotDone;
    let new = immunization.source.as_ref().map(|source| source.key() == "00");
    let dose = immunization.dose.as_deref();
    let number = dose.and_then(|dose| decimal(dose.trim()));
    let odd = dose.filter(|_| number.is_none()).and_then(clean);
    if odd.is_some() {
        marks.doubtful("RXA-6");
    }
    let unit = unit(immunization.unit.as_ref(), &mut marks);
    let completion = clean(&immunization.status_source);
    let completion = completion.filter(|_| !ImmunizationStatus::knows(&immunization.status_source));
    let numbered = immunization.number.as_ref().and_then(|number| scene.number(number, None, None));
    let maker = immunization.manufacturer.as_ref().and_then(|maker| {
        let coding = maker.codings.first();
        let name = maker.text.as_deref().or_else(|| coding.and_then(|c| c.display.as_deref()));
        clean(name.unwrap_or_else(|| maker.key()))
    });

    let mut head = scene.head(ResourceType::Immunization, id, &marks);
    let words =
        |url, text: Cow<'_, str>| Extension { url, value: Extended::String(text.into_owned().into()) };
    head.extension.extend(odd.map(|text| words(DOSE, text)));
    head.extension.extend(completion.map(|text| words(COMPLETION, text)));
    let resource = FhirImmunization {
        head,
        identifier: numbered.into_iter().collect(),
        status: match immunization.status {
            ImmunizationStatus::Completed => "completed",
            ImmunizationStatus::NotDone => "not-done",
            ImmunizationStatus::EnteredInError => "entered-in-error",
        },
        status_reason: refusal.filter(|_| not_done),
        vaccine_code: vaccine,
        patient: scene.subject(),
        encounter: scene.encounter(scene.record.encounter),
        occurrence_date_time: immunization.given.as_ref().map(When),
        occurrence_string: immunization.given.is_none().then_some("unknown"),
        recorded: immunization.recorded.as_ref().map(When),
        primary_source: new,
        report_origin: origin.filter(|_| new == Some(false)),
        location: immunization.place.as_deref().and_then(clean).map(shown),
        manufacturer: maker.map(shown),
        lot_number: immunization.lot.as_deref().and_then(clean),
        expiration_date: immunization.expires.as_ref().map(model::PartialTime::to_date),
        site: body_site,
        route,
        dose_quantity: number.map(|value| Quantity { value, comparator: None, unit }),
        performer: immunization
            .by
            .as_ref()
            .and_then(|who| staff(scene, who))
            .map(|actor| Performer { actor })
            .into_iter()
            .collect(),
        note: immunization.notes.iter().filter_map(|n| Some(Annotation { text: clean(n)? })).collect(),
        reason_code: reason.into_iter().collect(),
        is_subpotent: immunization.partly.then_some(true),
        subpotent_reason: immunization
            .partly
            .then(|| Concept::code(SUBPOTENT, "partial"))
            .into_iter()
            .collect(),
    };
    let mut entries = vec![scene.main(ResourceType::Immunization, vec![scene.person()], &resource)];
    let shared = Shared {
        encounter: scene.encounter(scene.record.encounter),
        effective: immunization.given.as_ref(),
        part_of: Some(Reference::to(ResourceType::Immunization, id)),
        ..Shared::default()
    };
    for observation in &immunization.observations {
        let part = observation::id_under(scene, id, &observation.key);
        let stage = scene.refused.get(&part);
        if stage != Some(&Stage::LeftOut) {
            entries.push(observation::entry(scene, &shared, observation, part, Vec::new(), stage.is_some()));
        }
    }
    entries
}

/// A reference to something by its name alone.
fn shown(name: Cow<'_, str>) -> Reference<'_> {
    Reference { display: Some(name), ..Reference::default() }
}
