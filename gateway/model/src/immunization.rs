//! Immunizations.

use serde::{Deserialize, Serialize};

use crate::{Attending, Coded, ImmunizationChange, LabResult, Number, PartialTime};

/// A vaccination that was given, or was not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Immunization {
    /// Its number (ORC-3, else ORC-2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<Number>,
    /// The vaccine (RXA-5).
    pub vaccine: Coded,
    /// What became of it.
    pub status: ImmunizationStatus,
    /// The completion as written (RXA-20).
    #[serde(default)]
    pub status_source: String,
    /// Only a part of the dose was given (RXA-20 `PA`).
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub partly: bool,
    /// When (RXA-3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<PartialTime>,
    /// When it was entered (RXA-22).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<PartialTime>,
    /// Where the statement comes from (RXA-9): a new administration, or a report of an earlier one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Coded>,
    /// The dose as written (RXA-6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dose: Option<String>,
    /// Its unit (RXA-7).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Coded>,
    /// Who gave it (RXA-10).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Attending>,
    /// Where it was given (RXA-11).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// The lot (RXA-15).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lot: Option<String>,
    /// Until when the lot is good (RXA-16).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<PartialTime>,
    /// Who made it (RXA-17).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<Coded>,
    /// Why it was refused (RXA-18).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Coded>,
    /// Why it was given (RXA-19).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Coded>,
    /// How (RXR-1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<Coded>,
    /// Into which part of the body (RXR-2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Coded>,
    /// Comments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What was stated with it (OBX): funding, information sheets, reactions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observations: Vec<LabResult>,
}

/// What became of a vaccination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImmunizationStatus {
    /// It was given, in whole or in part.
    #[default]
    Completed,
    /// It was not given: refused, or not administered.
    NotDone,
    /// The statement was taken back (RXA-21 `D`).
    EnteredInError,
}

impl ImmunizationStatus {
    /// What a message makes of a vaccination: a total function of completion (RXA-20, HL7 table 0322) and action (RXA-21,
    /// table 0323). Who leaves the completion out means that it was given.
    pub fn read(completion: &str, action: &str) -> Self {
        match (completion.trim(), action.trim()) {
            (_, "D") => Self::EnteredInError,
            ("RE" | "NA", _) => Self::NotDone,
            _ => Self::Completed,
        }
    }

    /// Whether a completion is of table 0322.
    pub fn knows(completion: &str) -> bool {
        matches!(completion.trim(), "" | "CP" | "NA" | "PA" | "RE")
    }
}

impl Immunization {
    /// The vaccination after `change`; of an older one only what was missing is taken.
    pub fn apply(held: Option<Self>, change: ImmunizationChange, older: bool) -> Self {
        let new = held.is_none();
        let mut next = held.unwrap_or_default();
        next.number = next.number.or(change.number);
        if new || !older {
            next.vaccine = if change.vaccine.is_empty() { next.vaccine } else { change.vaccine };
            next.status = change.status;
            next.partly = change.status_source == "PA";
            next.status_source = change.status_source;
        }
        let fields = change.fields;
        macro_rules! take {
            ($($field:ident),*) => {$(
                if !older {
                    fields.$field.apply(&mut next.$field);
                } else if next.$field.is_none() {
                    next.$field = fields.$field.value().cloned();
                }
            )*};
        }
        take!(given, recorded, source, dose, unit, by, place, lot, expires, manufacturer, refusal, reason);
        take!(route, site);
        if !change.notes.is_empty() && (!older || next.notes.is_empty()) {
            next.notes = change.notes;
        }
        for observation in change.observations {
            match next.observations.iter_mut().find(|held| held.key == observation.key) {
                Some(held) if !older => *held = observation,
                Some(_) => {}
                None => next.observations.push(observation),
            }
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_completion_and_action_has_a_meaning() {
        use ImmunizationStatus::{Completed, EnteredInError, NotDone};
        for (completion, action, meaning) in [
            ("CP", "A", Completed),
            ("PA", "A", Completed),
            ("", "U", Completed),
            ("RE", "A", NotDone),
            ("NA", "", NotDone),
            ("CP", "D", EnteredInError),
            ("RE", "D", EnteredInError),
            ("?", "X", Completed),
        ] {
            assert_eq!(ImmunizationStatus::read(completion, action), meaning, "{completion} {action}");
        }
        assert!(ImmunizationStatus::knows("PA") && !ImmunizationStatus::knows("?"));
    }
}
