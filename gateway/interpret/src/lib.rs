//! Captures to changes of records, as pure functions.

mod adt;
mod appointment;
mod context;
mod document;
mod field;
mod order;
mod oru;
mod party;
mod patient;
mod query;
mod range;
mod reading;
mod reason;
mod specimen;
mod steps;
mod vaccination;
mod value;
mod visit;

use hl7::{Message, Segment};
use model::{Change, Mark, PartialTime, Trigger};

pub use context::{Context, Meaning, Numbers};
pub use query::{Known, Query, QueryError, Question, query};
pub use reason::Reason;

use field::{Times, text};

/// What a message comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Interpretation {
    /// Changes of records: one, or one for each group where a message is about several persons. They are applied in this
    /// order, all or none.
    Changes(Vec<Change>),
    /// A kind of message that this version makes nothing of; it is kept and counted.
    NotInterpreted {
        /// What it is, as `DFT^P03`.
        trigger: String,
    },
    /// Not production data (MSH-11.1): it never leaves the house.
    Test {
        /// MSH-11.1 as written.
        processing_id: String,
    },
    /// It cannot be taken apart as it should.
    Quarantine(Reason),
}

/// Interprets an HL7 v2 message.
pub fn hl7(message: &Message, context: &Context) -> Interpretation {
    let header = message.header();
    // HL7 requires MSH-11; who leaves it out means production.
    if !matches!(header.processing_id.as_str(), "" | "P") {
        return Interpretation::Test { processing_id: header.processing_id.clone() };
    }
    let (code, event) = (header.message_code.as_str(), header.trigger.as_str());
    if message.segments().len() == 1 {
        // As the link control of the sequence number protocol: it is about nobody.
        return Interpretation::NotInterpreted { trigger: trigger_name(code, event) };
    }
    if oru::is_known(code, event) && message.segments_named("PID").nth(1).is_some() {
        return each_patient(message, context);
    }
    let interpreted = match (code, event) {
        ("ADT", event) if adt::is_known(event) => adt::changes(message, context),
        (code, event) if oru::is_known(code, event) && oru::is_control(message) => {
            let trigger = format!("{} of quality control", trigger_name(code, event));
            return Interpretation::NotInterpreted { trigger };
        }
        (code, event) if oru::is_known(code, event) => {
            oru::change(message, context).map(|change| vec![change])
        }
        (code, event) if appointment::is_known(message, code, event) => {
            appointment::change(message, context).map(|change| vec![change])
        }
        (code, event) if vaccination::is_known(code, event) => {
            vaccination::change(message, context).map(|change| vec![change])
        }
        (code, event) if order::is_known(message, code, event) => {
            order::change(message, context).map(|change| vec![change])
        }
        _ => return Interpretation::NotInterpreted { trigger: trigger_name(code, event) },
    };
    let translated =
        interpreted.map(|changes| changes.into_iter().map(|change| translated(change, context)).collect());
    translated.map_or_else(Interpretation::Quarantine, Interpretation::Changes)
}

/// The change with what the feed's code maps add.
fn translated(mut change: Change, context: &Context) -> Change {
    if !context.codes.maps().is_empty() {
        let day = change.day();
        change.codes_mut(&mut |kind, coded| context.codes.translate(kind, coded, day));
    }
    change
}

/// Results of several patients in one message: those behind a PID are that one's and nobody else's.
fn each_patient(message: &Message, context: &Context) -> Interpretation {
    let mut parts = message.parts("PID");
    let has_results = |part: &Message| part.first("OBR").or_else(|| part.first("OBX")).is_some();
    if parts.iter().any(has_results) {
        parts.retain(has_results);
    }
    let mut all = Vec::new();
    for part in parts {
        match hl7(&part, context) {
            Interpretation::Changes(changes) => all.extend(changes),
            other => return other,
        }
    }
    Interpretation::Changes(all)
}

/// The numbers of the person that a message names first, whatever becomes of the rest of it.
pub fn about(message: &Message, context: &Context) -> Vec<model::Identifier> {
    let (Some(msh), Some(pid)) = (message.first("MSH"), message.first("PID")) else { return Vec::new() };
    let times = Times::new(context, &text(msh.field(7).component(1)).unwrap_or_default());
    patient::identifiers(pid, &times, context).0
}

/// The parts that every change begins with.
struct Frame<'m> {
    times: Times<'m>,
    trigger: Trigger,
    event: Option<PartialTime>,
    pid: Segment<'m>,
}

impl<'m> Frame<'m> {
    fn read(message: &'m Message, context: &'m Context) -> Result<Self, Reason> {
        let header = message.header();
        let msh = message.first("MSH").ok_or(Reason::NoPid)?;
        let times = Times::new(context, &text(msh.field(7).component(1)).unwrap_or_default());
        let evn = message.first("EVN").and_then(|evn| times.read(&evn.field(2)).ok().flatten());
        let sent = times.read(&msh.field(7)).ok().flatten();
        let optional = |value: &str| Some(value.to_owned()).filter(|value| !value.is_empty());
        let trigger = Trigger {
            code: header.message_code.clone(),
            event: header.trigger.clone(),
            control_id: header.control_id.clone(),
            application: text(msh.field(3).component(1)).or_else(|| optional(&header.sending_application)),
            facility: text(msh.field(4).component(1)).or_else(|| optional(&header.sending_facility)),
        };
        let pid = message.first("PID").ok_or(Reason::NoPid)?;
        Ok(Self { times, trigger, event: evn.or(sent), pid })
    }
}

fn trigger_name(code: &str, event: &str) -> String {
    if event.is_empty() { code.to_owned() } else { format!("{code}^{event}") }
}

/// Notes that an element is not what it should be.
fn doubt(marks: &mut Vec<Mark>, element: &str) {
    let mark = Mark::Doubtful(element.to_owned());
    if !marks.contains(&mark) {
        marks.push(mark);
    }
}

#[cfg(test)]
mod tests;
