//! SIU: appointments.

use hl7::{Message, Segment};
use model::{
    AppointmentChange, AppointmentStatus, Change, Coded, Duration, Field, NumberKind, PartialTime, Resource,
    ResourceKind,
};

use crate::field::{Times, coded, number, text, tri};
use crate::{Context, Frame, Reason, doubt, patient, reading, visit};

/// Whether an event is interpreted here. A slot that is blocked or opened (S23, S24) is an appointment only where it is
/// for somebody.
pub(crate) fn is_known(message: &Message, code: &str, event: &str) -> bool {
    let for_somebody = || message.first("PID").is_some();
    match event {
        _ if code != "SIU" => false,
        "S23" | "S24" => for_somebody(),
        "S12" | "S13" | "S14" | "S15" | "S16" | "S17" | "S18" | "S19" | "S20" | "S21" | "S22" | "S26" => true,
        _ => false,
    }
}

/// Interprets SIU.
pub(crate) fn change(message: &Message, context: &Context) -> Result<Change, Reason> {
    let Frame { times, trigger, event, pid } = Frame::read(message, context)?;
    let sch = message.first("SCH").ok_or(Reason::NoIdentity)?;
    if message.segments_named("PID").nth(1).is_some() {
        return Err(Reason::SeveralPatients);
    }
    let stated: Vec<Segment<'_>> =
        message.segments().filter(|segment| matches!(segment.name(), "OBX" | "NTE")).collect();
    let said = reading::observations(&stated, event.as_ref(), &times);
    let mut appointment = appointment(message, sch, &trigger.event, &times, context);
    (appointment.notes, appointment.observations) = (said.notes, said.results);
    let person = patient::change(pid, &times, context);
    let diagnoses = visit::diagnoses(&message.segments_named("DG1").collect::<Vec<_>>(), &times).all;
    let (appointment, attachments) = (Some(appointment), said.attachments);
    Ok(Change { trigger, event, person, diagnoses, appointment, attachments, ..Change::default() })
}

fn appointment(
    message: &Message,
    sch: Segment<'_>,
    event: &str,
    times: &Times<'_>,
    context: &Context,
) -> AppointmentChange {
    let mut marks = Vec::new();
    let status_source = text(sch.field(25).component(1)).unwrap_or_default();
    if !status_source.is_empty() && AppointmentStatus::named(&status_source).is_none() {
        doubt(&mut marks, "SCH-25");
    }
    let (start, end) = when(message, sch, times, &mut marks);
    let mut concept =
        |n: usize| tri(sch.field(n), &format!("SCH-{n}"), &mut marks, |field| coded(field.first()));
    let (because, reason, kind) = (concept(6), concept(7), concept(8));
    // S18 to S22 are about single resources of an appointment.
    let single = matches!(event, "S18" | "S19" | "S20" | "S21" | "S22");
    let takes_away = matches!(event, "S20" | "S21" | "S22");
    let resources = message.segments().filter_map(|segment| resource(segment, takes_away)).collect();
    AppointmentChange {
        filler: number(sch.field(2), NumberKind::Appointment, context),
        placer: number(sch.field(1), NumberKind::AppointmentRequest, context),
        ordered_as: number(sch.field(26), NumberKind::Placer, context),
        order: None,
        status: AppointmentStatus::read(event, &status_source),
        status_source,
        start,
        end,
        duration: duration(message, sch),
        kind,
        reason,
        because,
        lists_all: !single,
        resources,
        notes: Vec::new(),
        observations: Vec::new(),
        marks,
    }
}

/// TQ1-7 and 8, else the fourth and fifth component of SCH-11, else when the first resource is needed.
fn when(
    message: &Message,
    sch: Segment<'_>,
    times: &Times<'_>,
    marks: &mut Vec<model::Mark>,
) -> (Field<PartialTime>, Field<PartialTime>) {
    if let Some(tq1) = message.first("TQ1").filter(|tq1| !tq1.field(7).is_empty()) {
        let mut time = |n: usize| {
            tri(tq1.field(n), &format!("TQ1-{n}"), marks, |field| times.read(&field).ok().flatten())
        };
        return (time(7), time(8));
    }
    let timing = sch.field(11).first();
    let mut part = |n: usize| {
        let written = text(timing.component(n))?;
        times.parse(&written).map_err(|_| doubt(marks, "SCH-11")).ok()
    };
    let (start, end) = (part(4), part(5));
    let needed = || {
        let first = |name: &str, n: usize| {
            message
                .segments()
                .filter(|s| s.name() == name)
                .find_map(|s| times.read(&s.field(n)).ok().flatten())
        };
        first("AIS", 4).or_else(|| first("AIP", 6)).or_else(|| first("AIL", 6)).or_else(|| first("AIG", 8))
    };
    let start = start.or_else(needed);
    (start.into(), end.into())
}

/// SCH-9, else how long a resource is needed; what is said in minutes comes first.
fn duration(message: &Message, sch: Segment<'_>) -> Option<Duration> {
    let read = |segment: Segment<'_>, value: usize, unit: usize| {
        let value = text(segment.field(value).component(1))?;
        Some(Duration { value, unit: text(segment.field(unit).component(1)).unwrap_or_default() })
    };
    let needed = message.segments().filter_map(|segment| match segment.name() {
        "AIS" => read(segment, 7, 8),
        "AIP" | "AIL" => read(segment, 9, 10),
        "AIG" => read(segment, 11, 12),
        _ => None,
    });
    let all: Vec<Duration> = read(sch, 9, 10).into_iter().chain(needed).collect();
    all.iter().find(|duration| duration.minutes().is_some()).or_else(|| all.first()).cloned()
}

/// AIS, AIP, AIL, AIG: `Err` for one that is taken away.
fn resource(segment: Segment<'_>, takes_away: bool) -> Option<Result<Resource, Resource>> {
    let (kind, state, role) = match segment.name() {
        "AIS" => (ResourceKind::Service, 10, None),
        "AIP" => (ResourceKind::Person, 12, coded(segment.field(4).first())),
        "AIL" => (ResourceKind::Place, 12, coded(segment.field(4).first())),
        "AIG" => (ResourceKind::Thing, 14, coded(segment.field(4).first())),
        _ => return None,
    };
    let field = segment.field(3);
    let what = match kind {
        ResourceKind::Person => {
            let somebody = visit::doctor(field.first())?;
            match (somebody.number, somebody.name) {
                (Some(number), name) => Coded::of(&number, name.as_deref(), None),
                (None, name) => Coded::text(&name?),
            }
        }
        ResourceKind::Place => Coded::text(&visit::location(field.first())?),
        ResourceKind::Service => coded(field.first())?,
        // Some resources have a type only.
        ResourceKind::Thing => coded(field.first()).or_else(|| role.clone())?,
    };
    let state = text(segment.field(state).component(1)).unwrap_or_default();
    let resource = Resource { kind, what, role, state };
    Some(match segment.field(2).text().trim() {
        "D" => Err(resource),
        "A" | "U" if takes_away => Ok(resource),
        _ if takes_away => Err(resource),
        _ => Ok(resource),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Interpretation;
    use crate::tests::{PID, changed, interpreted};

    fn message(event: &str, segments: &str) -> String {
        format!("MSH|^~\\&|SCH|H1|||20261124100000||SIU^{event}|C1|P|2.5\r{segments}")
    }

    fn siu(event: &str, segments: &str) -> AppointmentChange {
        changed(&message(event, segments)).appointment.unwrap()
    }

    #[test]
    fn an_appointment_says_when_why_and_with_whom() {
        let segments = format!(
            "SCH|R1^HIS|A1^SCH||||NEW^\u{65b0}\u{7ea6}|FU^\u{590d}\u{8bca}|NORMAL|30|min|^^^20261201090000^20261201093000||||||||||||||Booked|P1^HIS\rNTE|1||\u{5e26}\u{65e7}\u{7247}\r{PID}\rRGS|1\rAIS|1|A|ECHO^\u{5fc3}\u{8d85}\rAIP|1|A|D7^\u{674e}^\u{660e}|DOC^\u{533b}\u{751f}||||||||Booked\rAIL|1||\u{95e8}\u{8bca}^3\rAIG|1||E1^\u{5fc3}\u{7535}\u{56fe}\rOBX|1|NM|WT||65.0"
        );
        let appointment = siu("S12", &segments);
        let numbers = [&appointment.filler, &appointment.placer, &appointment.ordered_as];
        assert_eq!(numbers.map(|n| n.as_ref().unwrap().value.as_str()), ["A1", "R1", "P1"]);
        assert_eq!(appointment.start.value().unwrap().to_string(), "2026-12-01T09:00:00+08:00");
        assert_eq!(appointment.end.value().unwrap().to_string(), "2026-12-01T09:30:00+08:00");
        assert_eq!(appointment.duration.unwrap().minutes(), Some(30));
        assert_eq!(appointment.reason.value().unwrap().key(), "FU");
        let what: Vec<_> =
            appointment.resources.iter().map(|r| r.as_ref().unwrap().what.key().to_owned()).collect();
        assert_eq!(what, ["ECHO", "D7", "\u{95e8}\u{8bca} 3", "E1"]);
        assert_eq!((appointment.notes.len(), appointment.observations.len()), (1, 1));
        assert!(appointment.marks.is_empty());
    }

    #[test]
    fn null_deletes_odd_is_marked_and_a_time_is_found_where_older_versions_put_it() {
        let appointment = siu(
            "S14",
            &format!("SCH||A1||||\"\"|\"\"||||||||||||||||||Maybe\r{PID}\rAIS|1|D|X|20261201090000|||20|min"),
        );
        assert_eq!(
            (&appointment.because, &appointment.reason, &appointment.kind),
            (&Field::Null, &Field::Null, &Field::Absent)
        );
        assert_eq!(appointment.status, None);
        assert_eq!(appointment.marks, [model::Mark::Doubtful("SCH-25".to_owned())]);
        assert!(appointment.start.value().is_some() && appointment.resources[0].is_err());
        let newer =
            siu("S12", &format!("SCH||A1|||||||||^^^20200101\rTQ1|1||||||20261201100000|\"\"\r{PID}"));
        assert_eq!((newer.start.value().unwrap().year(), newer.end), (2026, Field::Null));
        for (event, taken) in [("S18", false), ("S20", true), ("S22", true)] {
            let change = siu(event, &format!("SCH||A1\r{PID}\rAIP|1||D7"));
            assert_eq!((change.resources[0].is_err(), change.lists_all), (taken, false), "{event}");
        }
    }

    #[test]
    fn a_blocked_slot_of_nobody_is_kept_and_not_interpreted() {
        for event in ["S23", "S24"] {
            let told = interpreted(&message(event, "SCH||A1\rRGS|1\rAIL|1||X"));
            assert_eq!(told, Interpretation::NotInterpreted { trigger: format!("SIU^{event}") });
        }
        assert_eq!(siu("S23", &format!("SCH||A1\r{PID}")).status, Some(AppointmentStatus::Pending));
        assert_eq!(interpreted(&message("S12", PID)), Interpretation::Quarantine(Reason::NoIdentity));
        assert_eq!(interpreted(&message("S12", "SCH||A1")), Interpretation::Quarantine(Reason::NoPid));
    }

    proptest! {
        #[test]
        fn no_obx_is_lost_and_nothing_panics(
            kinds in proptest::collection::vec(prop::sample::select(vec!["OBX", "AIS", "AIP", "AIL", "AIG", "NTE", "RGS", "TQ1"]), 0..20),
            tail in "[|^~&\\\\A-Z0-9.\r\"+-]{0,60}",
        ) {
            let line = |(n, kind): (usize, &&str)| match *kind {
                "OBX" => format!("OBX|{n}|ST|C{n}||v||||||F"),
                kind => format!("{kind}|{n}|A|B{n}{tail}"),
            };
            let body: Vec<String> = kinds.iter().enumerate().map(line).collect();
            let change = siu("S12", &format!("{PID}\rSCH||A1\r{}", body.join("\r")));
            let sent = kinds.iter().filter(|kind| **kind == "OBX").count();
            prop_assert_eq!(change.observations.len(), sent);
        }
    }
}
