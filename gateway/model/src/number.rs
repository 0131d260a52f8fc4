//! Business numbers of orders, reports, visits and specimens, each in its declared scope (contract 3).

use core::str::FromStr;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// A business number with everything that tells it from an equal one elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Number {
    /// What it numbers.
    pub kind: NumberKind,
    /// The number space: feeds that name one space share its numbers.
    pub space: String,
    /// How long the number means one thing.
    pub scope: Scope,
    /// The number.
    pub value: String,
}

/// What a business number numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NumberKind {
    /// A visit (PV1-19).
    Visit,
    /// An order, numbered by who placed it (OBR-2, ORC-2).
    Placer,
    /// An order, numbered by who fills it (OBR-3, ORC-3).
    Filler,
    /// A specimen (SPM-2).
    Specimen,
    /// An imaging order (accession number).
    Accession,
    /// An account of a patient (PID-18).
    Account,
    /// A form with several orders (ORC-4).
    Group,
    /// A vaccination (ORC-3 of VXU).
    Immunization,
    /// An appointment, numbered by who keeps the schedule (SCH-2).
    Appointment,
    /// An appointment, numbered by who asked for it (SCH-1).
    AppointmentRequest,
}

/// How long a number means one thing before it may be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// For ever.
    Global,
    /// Within a calendar year.
    Year,
    /// Within a day.
    Day,
    /// Within a day of one instrument; the space names the instrument.
    InstrumentDay,
}

/// A configured scope with an optional space: `SCOPE[@SPACE]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scoping {
    /// How long numbers mean one thing.
    pub scope: Scope,
    /// The space; none = the assigning authority, else the feed.
    pub space: Option<String>,
}

/// Why a text is not a scoping.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a number scope is global, year, day or instrument-day, with an optional space: year@lis")]
pub struct ScopeError;

impl Number {
    /// What its id and its binding are made of; `date` is the event date. None where the scope needs a date and there is none.
    pub fn parts(&self, date: Option<Date>) -> Option<[String; 4]> {
        let period = match self.scope {
            Scope::Global => String::new(),
            Scope::Year => format!("{:04}", date?.year()),
            Scope::Day | Scope::InstrumentDay => date?.to_string(),
        };
        Some([self.kind.name().to_owned(), self.space.clone(), period, self.value.clone()])
    }
}

impl NumberKind {
    /// Its name, as in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Visit => "visit",
            Self::Placer => "placer",
            Self::Filler => "filler",
            Self::Specimen => "specimen",
            Self::Accession => "accession",
            Self::Account => "account",
            Self::Group => "group",
            Self::Immunization => "immunization",
            Self::Appointment => "appointment",
            Self::AppointmentRequest => "appointment-request",
        }
    }
}

impl FromStr for Scoping {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let (scope, space) = match text.split_once('@') {
            Some((_, "")) => return Err(ScopeError),
            Some((scope, space)) => (scope, Some(space.to_owned())),
            None => (text, None),
        };
        let scope = match scope {
            "global" => Scope::Global,
            "year" => Scope::Year,
            "day" => Scope::Day,
            "instrument-day" => Scope::InstrumentDay,
            _ => return Err(ScopeError),
        };
        Ok(Self { scope, space })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_used_again_next_year_or_next_day_is_another_number() {
        let number = |scope| Number {
            kind: NumberKind::Filler,
            space: "lis".to_owned(),
            scope,
            value: "7".to_owned(),
        };
        let (today, tomorrow, next_year) =
            (Date::constant(2026, 11, 24), Date::constant(2026, 11, 25), Date::constant(2027, 11, 24));
        let differs = |scope, a, b| number(scope).parts(Some(a)) != number(scope).parts(Some(b));
        assert!(!differs(Scope::Global, today, next_year));
        assert!(!differs(Scope::Year, today, tomorrow) && differs(Scope::Year, today, next_year));
        assert!(differs(Scope::Day, today, tomorrow));
        assert_eq!(number(Scope::Day).parts(None), None);
    }

    #[test]
    fn scopings_are_read_as_configured() {
        assert_eq!("year@lis".parse(), Ok(Scoping { scope: Scope::Year, space: Some("lis".to_owned()) }));
        assert_eq!("global".parse(), Ok(Scoping { scope: Scope::Global, space: None }));
        for wrong in ["", "week", "year@", "@lis"] {
            assert_eq!(wrong.parse::<Scoping>(), Err(ScopeError));
        }
    }
}
