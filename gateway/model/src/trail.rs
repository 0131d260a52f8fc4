//! What is known of a visit's places and classes, in the order of the events and not of their arrival.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{EarlierClass, EarlierLocation, Encounter, EncounterClass, Field, PartialTime, VisitStep};

/// Statements that are kept at most.
const STEPS: usize = 32;

/// A statement about the place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceStep {
    /// Where it stands among the statements.
    at: Timestamp,
    /// When it happened.
    happened: Option<PartialTime>,
    /// Whether the patient was moved there, or back.
    step: VisitStep,
    /// The place.
    location: Field<String>,
    /// Where the patient was before, as the message says (PV1-6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prior: Option<String>,
}

/// A statement about the class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassStep {
    /// Where it stands among the statements.
    at: Timestamp,
    /// When it happened.
    happened: Option<PartialTime>,
    /// Whether the class was changed, or only said.
    changed: bool,
    /// The class as written.
    class_source: String,
}

/// What a message says about place and class.
pub(crate) struct Said {
    pub(crate) at: Timestamp,
    /// A repetition of what was said before at the same time: it stands before what is held.
    pub(crate) again: bool,
    pub(crate) happened: Option<PartialTime>,
    pub(crate) step: VisitStep,
    pub(crate) location: Field<String>,
    pub(crate) prior: Option<String>,
    pub(crate) class_source: String,
}

impl Encounter {
    /// Puts what is said about place and class where it belongs, and tells the story anew.
    pub(crate) fn walk(&mut self, said: Said) {
        let Said { at, again, happened, step, location, prior, class_source } = said;
        if !class_source.is_empty() {
            let changed = step == VisitStep::ClassChange;
            let step = ClassStep { at, happened: happened.clone(), changed, class_source };
            insert(
                &mut self.classes,
                step,
                again,
                |step| step.at,
                |a, b| !a.changed && !b.changed && a.class_source == b.class_source,
            );
            self.tell_classes();
        }
        let back = step == VisitStep::TransferCancelled;
        if back || location != Field::Absent {
            let step = match step {
                VisitStep::Transfer | VisitStep::TransferCancelled => step,
                VisitStep::ClassChange | VisitStep::Statement => VisitStep::Statement,
            };
            let step = PlaceStep { at, happened, step, location, prior };
            insert(
                &mut self.places,
                step,
                again,
                |step| step.at,
                |a, b| {
                    let said = |step: &PlaceStep| step.step == VisitStep::Statement;
                    said(a) && said(b) && a.location == b.location
                },
            );
            self.tell_places();
        }
    }

    fn tell_classes(&mut self) {
        self.class_source.clear();
        self.earlier_classes.clear();
        for step in &self.classes {
            let before = core::mem::replace(&mut self.class_source, step.class_source.clone());
            if step.changed && !before.is_empty() && before != step.class_source {
                let (class, until) = (EncounterClass::read(&before), step.happened.clone());
                self.earlier_classes.push(EarlierClass { class, class_source: before, until });
            }
        }
        self.class = EncounterClass::read(&self.class_source);
    }

    fn tell_places(&mut self) {
        (self.location, self.located_since) = (None, None);
        self.earlier_locations.clear();
        for step in &self.places {
            match step.step {
                VisitStep::Transfer => {
                    let to = step.location.value();
                    if to.is_some() && to != self.location.as_ref() {
                        let since = self.located_since.take();
                        if let Some(location) = self.location.take().or_else(|| step.prior.clone()) {
                            let until = step.happened.clone();
                            self.earlier_locations.push(EarlierLocation { location, since, until });
                        }
                        self.located_since = step.happened.clone();
                    }
                }
                VisitStep::TransferCancelled => {
                    if let Some(last) = self.earlier_locations.pop() {
                        (self.location, self.located_since) = (Some(last.location), last.since);
                    }
                }
                VisitStep::ClassChange | VisitStep::Statement => {}
            }
            step.location.clone().apply(&mut self.location);
        }
    }
}

/// Inserts a step by its time, behind those of the same time unless it comes `again`. Of more than [`STEPS`] one goes that stands
/// between two that say the same, else the oldest.
fn insert<T>(
    steps: &mut Vec<T>,
    step: T,
    again: bool,
    at: impl Fn(&T) -> Timestamp,
    same: impl Fn(&T, &T) -> bool,
) {
    let time = at(&step);
    let place = steps.partition_point(|held| if again { at(held) < time } else { at(held) <= time });
    steps.insert(place, step);
    if steps.len() > STEPS {
        let between =
            steps.windows(3).position(|three| same(&three[0], &three[1]) && same(&three[1], &three[2]));
        steps.remove(between.map_or(0, |n| n + 1));
    }
}
