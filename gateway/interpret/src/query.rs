//! Queries of department systems: QBP^Q23 (other numbers of a person) and QBP^Q22 (persons by what is known of them), as IHE
//! profiles them in ITI-9 and ITI-21.

use hl7::Message;
use model::{Identifier, PartialTime, PersonName, Sex};

use crate::field::{Times, text};
use crate::{Context, patient};

/// A query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// What is asked.
    pub question: Question,
    /// The sender's name for this query (QPD-2).
    pub tag: String,
    /// QPD as written: the answer repeats it.
    pub qpd: String,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// The other numbers of who has this one.
    Numbers {
        /// The number.
        of: Identifier,
        /// Only numbers of these authorities; empty: of all.
        domains: Vec<String>,
    },
    /// The persons that all of this is true of.
    Persons(Box<Known>),
}

/// What is known of a person that is looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// A number.
    pub number: Option<Identifier>,
    /// The whole name.
    pub name: Option<PersonName>,
    /// The birth date.
    pub birth: Option<PartialTime>,
    /// The sex.
    pub sex: Option<Sex>,
}

/// Why a query is not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Another query.
    #[error("of queries QBP^Q22 (persons) and QBP^Q23 (numbers) are answered here")]
    Unknown,
    /// No QPD.
    #[error("it has no QPD segment")]
    NoQpd,
    /// Nothing that anybody could be found by.
    #[error(
        "QPD-3 names no number and no whole name: a person is found by a number, or by the name together with more"
    )]
    NothingToFindBy,
    /// A parameter that is not known.
    #[error("QPD-3: the parameter @{0} is not known here; PID.3, PID.5, PID.7 and PID.8 are")]
    Parameter(String),
    /// A parameter with an odd value.
    #[error("QPD-3: the value of @{0} cannot be read")]
    Value(String),
}

/// Reads a query.
///
/// # Errors
/// When it is another query, or nobody could be found by it.
pub fn query(message: &Message, context: &Context) -> Result<Query, QueryError> {
    let qpd = message.first("QPD").ok_or(QueryError::NoQpd)?;
    let question = match message.header().trigger.as_str() {
        "Q23" => {
            let of = patient::identifier(qpd.field(3).first(), context).ok_or(QueryError::NothingToFindBy)?;
            let wanted = qpd.field(4);
            let domains = wanted.repetitions().filter_map(|r| text(r.component(4).subcomponent(1))).collect();
            Question::Numbers { of, domains }
        }
        "Q22" => Question::Persons(Box::new(known(qpd, message, context)?)),
        _ => return Err(QueryError::Unknown),
    };
    let tag = text(qpd.field(2).component(1)).unwrap_or_default();
    Ok(Query { question, tag, qpd: qpd.raw().to_owned() })
}

fn known(qpd: hl7::Segment<'_>, message: &Message, context: &Context) -> Result<Known, QueryError> {
    let times = Times::new(context, &message.header().time);
    let (mut known, mut name) = (Known::default(), PersonName::default());
    let (mut value, mut authority, mut code) = (None, None, None);
    for parameter in qpd.field(3).repetitions() {
        let Some(written) = text(parameter.component(2)) else { continue };
        let key = text(parameter.component(1)).unwrap_or_default();
        let key = key.trim_start_matches('@').to_owned();
        match key.as_str() {
            "PID.3" | "PID.3.1" => value = Some(written),
            "PID.3.4" | "PID.3.4.1" => authority = Some(written),
            "PID.3.5" => code = Some(written),
            "PID.5" | "PID.5.1" | "PID.5.1.1" => name.family = Some(written),
            "PID.5.2" | "PID.5.3" => name.given.push(written),
            "PID.7" | "PID.7.1" => {
                known.birth = Some(times.parse(&written).map_err(|_| QueryError::Value(key))?);
            }
            "PID.8" => known.sex = Some(Sex::read(&written).ok_or(QueryError::Value(key))?),
            _ => return Err(QueryError::Parameter(key)),
        }
    }
    known.number = value.and_then(|value| {
        let parts = patient::Parts { name: authority, code, ..patient::Parts::default() };
        patient::number(value, parts, context)
    });
    known.name = Some(name).filter(|name| !name.is_empty());
    let more = known.birth.is_some() || known.sex.is_some();
    // A name alone would show a stranger's data to whoever guesses it.
    if known.number.is_none() && !(known.name.is_some() && more) {
        return Err(QueryError::NothingToFindBy);
    }
    Ok(known)
}
