//! Which messages state a set of records, and what every message begins and ends with.

use model::{
    Attachment, Body, Diagnosis, Encounter, IdKey, Mark, PartialTime, Person, Record, RecordId, RecordKind,
    Report,
};

use super::segment::{ENCODING, Segments, components, escaped};
use super::{person, report, visit};

/// What this gateway calls itself in MSH-3.
pub const APPLICATION: &str = "HOSPITAL-GATEWAY";
const VERSION: &str = "2.5.1";

/// What the messages say of themselves.
pub struct Head<'a> {
    /// The hospital's unified social credit code: MSH-4, and the authority of the index's own numbers.
    pub organization: &'a str,
    /// Whom they are for. It enters the control ids.
    pub destination: &'a str,
    /// When they were queued (MSH-7).
    pub time: PartialTime,
    /// MSH-18.
    pub charset: &'a str,
    /// Whether both acknowledgements of enhanced mode are asked for (MSH-15 and MSH-16 `AL`).
    pub enhanced: bool,
    /// What control ids are made with.
    pub id_key: &'a IdKey,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// MSH-10: 18 characters, the same whenever the same states are rendered for the same destination.
    pub control_id: String,
    /// The records that it states.
    pub records: Vec<RecordId>,
    /// Its text, segments ended by CR.
    pub text: String,
}

/// What records were rendered to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// The messages, in the order in which they are to be sent.
    pub messages: Vec<Message>,
    /// Records that no message states, because this rendering does not know their kind or what they belong to is gone.
    pub left_out: Vec<(RecordId, RecordKind)>,
}

/// The messages that state `wanted`. `ground` holds what they belong to: persons, visits, and who somebody was merged into.
pub fn messages(wanted: &[Record], ground: &[Record], head: &Head<'_>) -> Rendered {
    let desk = Desk { wanted, ground, head };
    let mut rendered = Rendered::default();
    // Who is who first, then visits, then persons by themselves, then what was found.
    for record in wanted {
        rendered.messages.extend(desk.merge(record));
    }
    for record in wanted {
        rendered.messages.extend(desk.visit(record));
    }
    for record in wanted {
        if !rendered.states(record.id) {
            rendered.messages.extend(desk.diagnosis(record, &rendered));
        }
    }
    for record in wanted {
        if !rendered.states(record.id) {
            rendered.messages.extend(desk.person(record));
        }
    }
    for record in wanted {
        rendered.messages.extend(desk.report(record));
    }
    // The content of a document goes inside the report that it belongs to.
    let left = wanted.iter().filter(|record| !rendered.states(record.id) && content_in(record).is_none());
    rendered.left_out = left.map(|record| (record.id, record.body.kind())).collect();
    rendered
}

impl Rendered {
    fn states(&self, id: RecordId) -> bool {
        self.messages.iter().any(|message| message.records.contains(&id))
    }
}

struct Desk<'a> {
    wanted: &'a [Record],
    ground: &'a [Record],
    head: &'a Head<'a>,
}

impl Desk<'_> {
    fn find(&self, id: RecordId) -> Option<&Record> {
        self.wanted.iter().chain(self.ground).find(|record| record.id == id)
    }

    fn person_of(&self, record: &Record) -> Option<(&Record, &Person)> {
        let found = self.find(record.person.into())?;
        Some((found, person_in(found)?))
    }

    /// A40: the person of this record was found to be another one.
    fn merge(&self, record: &Record) -> Option<Message> {
        let lost = person_in(record)?;
        let survivor = self.find(lost.replaced_by?.into())?;
        let kept = person_in(survivor)?;
        let mut out = self.begin("ADT", "A40", visit::structure("A40"), record);
        person::pid(&mut out, survivor.person, kept, self.head);
        person::mrg(&mut out, record.person, lost, self.head);
        Some(self.end(out, &[record]))
    }

    /// The event of a visit, with the diagnoses that are to be stated of it.
    fn visit(&self, record: &Record) -> Option<Message> {
        // One that was found to be another visit is stated by that one.
        let visit = visit_in(record).filter(|visit| visit.merged_into.is_none())?;
        let (owner, person) = self.person_of(record)?;
        let diagnoses = self.diagnoses_of(Some(record.id), record);
        let mut stated = vec![record];
        stated.extend(diagnoses.iter().map(|(record, _)| *record));
        Some(self.adt(visit::event(visit), (owner, person), Some(visit), &diagnoses, stated))
    }

    /// A08: a diagnosis whose visit is not to be stated itself; all of one visit in one message.
    fn diagnosis(&self, record: &Record, rendered: &Rendered) -> Option<Message> {
        let own = diagnosis_in(record)?;
        let (owner, person) = self.person_of(record)?;
        let mut diagnoses = self.diagnoses_of(own.encounter, record);
        diagnoses.retain(|(record, _)| !rendered.states(record.id));
        let visit = own.encounter.and_then(|id| self.find(id)).and_then(visit_in);
        let stated = diagnoses.iter().map(|(record, _)| *record).collect();
        Some(self.adt("A08", (owner, person), visit, &diagnoses, stated))
    }

    /// A31 or A29: the person alone.
    fn person(&self, record: &Record) -> Option<Message> {
        let person = person_in(record).filter(|person| person.replaced_by.is_none())?;
        let event = if person.deleted { "A29" } else { "A31" };
        Some(self.adt(event, (record, person), None, &[], Vec::new()))
    }

    /// ORU^R01.
    fn report(&self, record: &Record) -> Option<Message> {
        let report = report_in(record)?;
        let (_, person) = self.person_of(record)?;
        let mut out = self.begin("ORU", "R01", "ORU_R01", record);
        person::pid(&mut out, record.person, person, self.head);
        if let Some(visit) = record.encounter.and_then(|id| self.find(id)).and_then(visit_in) {
            visit::pv1(&mut out, visit);
        }
        let content = |id: RecordId| self.find(id).and_then(content_in);
        report::segments(&mut out, report, &content);
        Some(self.end(out, &[record]))
    }

    fn diagnoses_of(&self, visit: Option<RecordId>, of: &Record) -> Vec<(&Record, &Diagnosis)> {
        let all = self.wanted.iter().filter_map(|record| Some((record, diagnosis_in(record)?)));
        all.filter(|(record, diagnosis)| diagnosis.encounter == visit && record.person == of.person).collect()
    }

    /// An ADT message about a person, who is stated by it too; `stated` is what else is.
    fn adt<'d>(
        &'d self,
        event: &str,
        (owner, person): (&'d Record, &Person),
        visit: Option<&Encounter>,
        diagnoses: &[(&Record, &Diagnosis)],
        mut stated: Vec<&'d Record>,
    ) -> Message {
        if stated.is_empty() || self.wanted.iter().any(|wanted| wanted.id == owner.id) {
            stated.push(owner);
        }
        let first = stated.first().copied().unwrap_or(owner);
        let mut out = self.begin("ADT", event, visit::structure(event), first);
        person::pid(&mut out, owner.person, person, self.head);
        match visit {
            Some(visit) => visit::pv1(&mut out, visit),
            None => visit::no_visit(&mut out),
        }
        for (n, (record, diagnosis)) in diagnoses.iter().enumerate() {
            visit::dg1(&mut out, n + 1, record.id, diagnosis);
        }
        self.end(out, &stated)
    }

    /// MSH without its control id, which is known at the end, and EVN.
    fn begin(&self, code: &str, event: &str, structure: &str, record: &Record) -> Segments {
        let mut out = Segments::default();
        let asked = if self.head.enhanced { "AL" } else { "" };
        out.begin("MSH")
            .field(1, ENCODING)
            .field(2, APPLICATION)
            .field(3, escaped(self.head.organization))
            .field(6, self.head.time.to_dtm())
            .field(8, components(&[code, event, structure]))
            .field(9, CONTROL_ID)
            .field(10, "P")
            .field(11, VERSION)
            .field(14, asked)
            .field(15, asked)
            .field(17, self.head.charset)
            .end();
        if code == "ADT" {
            // When what is stated became so: who receives several states orders them by it.
            let at = PartialTime::at(record.position.event, self.head.time.offset());
            out.begin("EVN").field(1, event).field(2, at.to_dtm()).end();
        }
        out
    }

    /// ZHG, and the control id.
    fn end(&self, mut out: Segments, stated: &[&Record]) -> Message {
        for (n, record) in stated.iter().enumerate() {
            zhg(&mut out, n + 1, record);
        }
        let parts: Vec<String> = stated
            .iter()
            .map(|record| {
                let at = record.position;
                format!("{} {} {} {}", record.id, at.event, at.capture, at.revision)
            })
            .collect();
        let mut all = vec![self.head.destination];
        all.extend(parts.iter().map(String::as_str));
        let control_id = control_id(&self.head.id_key.id("hl7v2-message", &all));
        let text = out.text().replacen(CONTROL_ID, &control_id, 1);
        Message { control_id, records: stated.iter().map(|record| record.id).collect(), text }
    }
}

/// Stands where the control id comes; no text can hold it, because none holds a control character.
const CONTROL_ID: &str = "\u{1}";

/// 16 characters of base 32 over an id: as short as the oldest versions want it (20), and never the same for two.
pub(super) fn control_id(id: &RecordId) -> String {
    const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let bits = id.as_bytes().iter().take(10).fold(0_u128, |bits, byte| (bits << 8) | u128::from(*byte));
    let digits = (0..16).rev().map(|n| char::from(DIGITS[((bits >> (n * 5)) & 31) as usize]));
    core::iter::once("HG".to_owned()).chain(digits.map(String::from)).collect()
}

/// Where a record came from: capture, feed, the source's control id and event, mapping revision, event time, and marks.
fn zhg(out: &mut Segments, n: usize, record: &Record) {
    let from = &record.provenance;
    let marks: Vec<String> = record
        .marks
        .iter()
        .map(|mark| match mark {
            Mark::Doubtful(element) => format!("doubtful:{}", escaped(element)),
            // The names are those of the stored form.
            other => serde_json::to_value(other)
                .ok()
                .and_then(|name| name.as_str().map(escaped))
                .unwrap_or_default(),
        })
        .collect();
    let position = record.position;
    out.begin("ZHG")
        .field(1, n.to_string())
        .field(2, record.id.to_string())
        .field(3, from.capture.to_string())
        .field(4, from.feed.as_str())
        .field(5, escaped(&from.control_id))
        .field(6, escaped(&from.trigger).replace("\\S\\", "^"))
        .field(7, position.revision.to_string())
        .field(8, position.event.to_string())
        .field(9, marks.join("~"))
        .end();
}

const fn person_in(record: &Record) -> Option<&Person> {
    if let Body::Person(person) = &record.body { Some(person) } else { None }
}

const fn visit_in(record: &Record) -> Option<&Encounter> {
    if let Body::Encounter(visit) = &record.body { Some(visit) } else { None }
}

const fn diagnosis_in(record: &Record) -> Option<&Diagnosis> {
    if let Body::Diagnosis(diagnosis) = &record.body { Some(diagnosis) } else { None }
}

fn content_in(record: &Record) -> Option<&Attachment> {
    if let Body::Attachment(content) = &record.body { Some(content) } else { None }
}

const fn report_in(record: &Record) -> Option<&Report> {
    if let Body::Report(report) = &record.body { Some(report) } else { None }
}
