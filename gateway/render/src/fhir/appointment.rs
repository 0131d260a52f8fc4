//! An appointment as an Appointment.

use jiff::SignedDuration;
use model::{Appointment, AppointmentStatus, PartialTime, RecordId, Resource, ResourceKind};

use super::coded::concept;
use super::datatype::{Concept, Extended, Extension, Identifier, Missing, Reference, When};
use super::observation::{self, Shared};
use super::render::Scene;
use super::resource::{Appointment as FhirAppointment, AppointmentParticipant};
use super::text::clean;
use super::trace::Marks;
use super::{Entry, ResourceType, Stage};

/// A time that is not exact enough for an `instant`.
const TIME: &str = "urn:hospital-gateway:time";
/// How long it lasts as written, where that is not in minutes.
const DURATION: &str = "urn:hospital-gateway:duration";
/// Why the last event happened (SCH-6), where the appointment was not called off.
const BECAUSE: &str = "urn:hospital-gateway:event-reason";

pub(crate) fn entries(scene: &Scene<'_>, appointment: &Appointment) -> Vec<Entry> {
    let id = scene.record.id;
    let mut entries = Vec::new();
    let supporting = supporting(scene, id, appointment, &mut entries);
    let mut marks = scene.marks();
    let off = matches!(appointment.status, AppointmentStatus::Cancelled | AppointmentStatus::NoShow);
    let because = appointment.because.as_ref().and_then(|b| concept(b, scene.site, "SCH-6", &mut marks));
    let words = because.as_ref().filter(|_| !off).and_then(words);
    let mut services = Vec::new();
    let mut participant =
        vec![AppointmentParticipant { kind: Vec::new(), actor: scene.subject(), status: "accepted" }];
    for resource in &appointment.resources {
        match resource.kind {
            ResourceKind::Service => {
                services.extend(concept(&resource.what, scene.site, "AIS-3", &mut marks))
            }
            _ => participant.extend(taking_part(scene, resource, &mut marks)),
        }
    }
    let minutes = appointment.duration.as_ref().and_then(model::Duration::minutes);
    let (start, end) = times(appointment, minutes, &mut marks);
    let odd = appointment.duration.as_ref().filter(|_| minutes.is_none());
    let odd = odd.and_then(|d| Some(clean(&format!("{} {}", d.value, d.unit))?.into_owned()));
    let kind = appointment.kind.as_ref().and_then(|k| concept(k, scene.site, "SCH-8", &mut marks));
    let reason = appointment.reason.as_ref().and_then(|r| concept(r, scene.site, "SCH-7", &mut marks));
    let notes: Vec<_> = appointment.notes.iter().filter_map(|n| clean(n)).collect();
    let order = appointment.order.map(|order| Reference::to(ResourceType::ServiceRequest, order.resource));
    let identifier = |number| scene.number(number, None, None);

    let mut head = scene.head(ResourceType::Appointment, id, &marks);
    let text = |url, text: String| Extension { url, value: Extended::String(text.into()) };
    head.extension.extend(odd.map(|odd| text(DURATION, odd)));
    head.extension.extend(words.map(|words| text(BECAUSE, words)));
    let resource = FhirAppointment {
        head,
        identifier: [&appointment.filler, &appointment.placer]
            .into_iter()
            .flatten()
            .filter_map(identifier)
            .collect(),
        status: status(appointment.status),
        cancelation_reason: because.filter(|_| off),
        service_type: services,
        appointment_type: kind,
        reason_code: reason.into_iter().collect(),
        supporting_information: supporting,
        start_absent: start.is_none().then(|| missing(appointment.start.as_ref())),
        start,
        end_absent: end.is_none().then(|| missing(appointment.end.as_ref())),
        end,
        minutes_duration: minutes,
        comment: (!notes.is_empty()).then(|| notes.join("\n").into()),
        based_on: order.into_iter().collect(),
        participant,
    };
    entries.push(scene.main(ResourceType::Appointment, vec![scene.person()], &resource));
    entries
}

/// What was stated with it, each a resource of its own.
fn supporting(
    scene: &Scene<'_>,
    id: RecordId,
    appointment: &Appointment,
    entries: &mut Vec<Entry>,
) -> Vec<Reference<'static>> {
    let mut supporting = Vec::new();
    for observation in &appointment.observations {
        let part = observation::id_under(scene, id, &observation.key);
        let stage = scene.refused.get(&part);
        if stage != Some(&Stage::LeftOut) {
            entries.push(observation::entry(
                scene,
                &Shared::default(),
                observation,
                part,
                Vec::new(),
                stage.is_some(),
            ));
            supporting.push(Reference::to(ResourceType::Observation, part));
        }
    }
    supporting
}

/// Start and end as `instant`; an end that is not said is the start and the minutes it lasts. FHIR wants both or a reason.
fn times(
    appointment: &Appointment,
    minutes: Option<u32>,
    marks: &mut Marks<'_>,
) -> (Option<String>, Option<String>) {
    let exact = |time: &PartialTime| Some(time.to_string()).filter(|text| text.contains('T'));
    let start = appointment.start.as_ref().and_then(exact);
    let end = match (&appointment.end, &appointment.start, minutes) {
        (Some(end), Some(start), _) if end.latest() < start.earliest() => {
            marks.doubtful("SCH-11");
            None
        }
        (Some(end), _, _) => exact(end),
        (None, Some(from), Some(minutes)) if start.is_some() => {
            let end = from.earliest().checked_add(SignedDuration::from_mins(i64::from(minutes)));
            end.ok().map(|end| PartialTime::at(end, from.offset()).to_string())
        }
        _ => None,
    };
    (start, end)
}

/// Why there is no time; with the time as far as it is known.
fn missing(time: Option<&PartialTime>) -> Missing<'_> {
    let mut extension = vec![Extension::absent("unknown")];
    extension.extend(time.map(|time| Extension { url: TIME, value: Extended::DateTime(When(time)) }));
    Missing { extension }
}

fn taking_part<'a>(
    scene: &Scene<'_>,
    resource: &'a Resource,
    marks: &mut Marks<'a>,
) -> Option<AppointmentParticipant<'a>> {
    let kind = match resource.kind {
        ResourceKind::Person => Some("Practitioner"),
        ResourceKind::Place => Some("Location"),
        ResourceKind::Service | ResourceKind::Thing => None,
    };
    let coding = resource.what.codings.first();
    let identifier = coding.and_then(|coding| {
        let system = match resource.kind {
            ResourceKind::Person => scene.site.uri(&["staff"]),
            _ => scene.site.code_system(coding.system.as_deref()),
        };
        Some(Identifier { usage: None, kind: None, system: system.into(), value: clean(&coding.code)? })
    });
    let display = coding.and_then(|coding| coding.display.as_deref()).or(resource.what.text.as_deref());
    let display = display.and_then(clean);
    let role = resource.role.as_ref().and_then(|role| concept(role, scene.site, "AIP-4", marks));
    let said = identifier.is_some() || display.is_some();
    said.then(|| AppointmentParticipant {
        kind: role.into_iter().collect(),
        actor: Reference { kind, identifier, display, ..Reference::default() },
        status: match AppointmentStatus::named(&resource.state) {
            Some(AppointmentStatus::Pending | AppointmentStatus::Waitlist) => "needs-action",
            Some(
                AppointmentStatus::Cancelled | AppointmentStatus::EnteredInError | AppointmentStatus::NoShow,
            ) => "declined",
            _ => "accepted",
        },
    })
}

/// A concept in words.
fn words(concept: &Concept<'_>) -> Option<String> {
    let display = || concept.coding.iter().find_map(|c| c.display.as_deref());
    let code = || concept.coding.first().map(|c| &*c.code);
    concept.text.as_deref().or_else(display).or_else(code).map(str::to_owned)
}

const fn status(status: AppointmentStatus) -> &'static str {
    match status {
        AppointmentStatus::Pending => "pending",
        AppointmentStatus::Waitlist => "waitlist",
        AppointmentStatus::Booked => "booked",
        AppointmentStatus::Arrived => "arrived",
        AppointmentStatus::Fulfilled => "fulfilled",
        AppointmentStatus::Cancelled => "cancelled",
        AppointmentStatus::NoShow => "noshow",
        AppointmentStatus::EnteredInError => "entered-in-error",
    }
}
