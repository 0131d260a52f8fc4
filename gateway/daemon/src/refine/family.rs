//! Reports that were made for a result of another one, as a susceptibility panel for an organism: whichever comes first,
//! and in whatever message.

use jiff::civil::Date;
use model::{Body, Child, Parent, Record, RecordId, RecordKind, Report};

use super::bind::{self, Role};
use super::held;
use super::records::{Applier, Effects, Stop, Touched};
use super::rules::REVISION;

impl Applier<'_, '_> {
    /// Ties the report `id`, which stands in the state, to the one it was made for and to those that were made for it.
    pub(crate) fn tie(
        &mut self,
        id: RecordId,
        parent: Option<&Parent>,
        own: Option<&[String]>,
        date: Option<Date>,
        effects: &mut Effects,
    ) -> Result<(), Stop> {
        let ring = &self.rules.ring;
        let made_for_it = match own {
            Some(parts) => bind::noted(self.tx, ring, parts, Role::Child)?,
            None => Vec::new(),
        };
        if let Some(parent) = parent.filter(|parent| parent.result.is_some())
            && let Some(child) = held::record(self.tx, id)?
        {
            for number in [&parent.filler, &parent.placer].into_iter().flatten() {
                let Some(parts) = number.parts(date) else { continue };
                self.note(number, &parts, Role::Child, id, date)?;
                let found = bind::reports(self.tx, &self.rules.ring, &parts)?;
                if self.adopt(&found, &child, effects)? {
                    break;
                }
            }
        }
        for child in made_for_it.into_iter().filter(|child| *child != id) {
            if let Some(child) = held::record(self.tx, child)? {
                self.adopt(&[id], &child, effects)?;
            }
        }
        Ok(())
    }

    /// Notes the results of `child` with the result that it was made for, in the first of `parents` that has it.
    fn adopt(&mut self, parents: &[RecordId], child: &Record, effects: &mut Effects) -> Result<bool, Stop> {
        for parent in parents.iter().filter(|parent| **parent != child.id) {
            let Some(mut record) = held::record(self.tx, *parent)? else { continue };
            // What was split off to another person since is no family.
            let (Body::Report(report), Body::Report(made)) = (&mut record.body, &child.body) else {
                continue;
            };
            if record.person != child.person {
                continue;
            }
            let Some(changed) = note(report, child.id, made) else { continue };
            if changed {
                let capture = self.provenance.capture.max(record.position.capture);
                record.position.capture = capture;
                record.position.revision = REVISION;
                held::put(self.tx, &record)?;
                // It speaks of the other one: it goes behind it.
                effects.touched.retain(|touched| touched.id != record.id);
                effects.touched.push(Touched { id: record.id, kind: RecordKind::LabReport, current: true });
            }
            return Ok(true);
        }
        Ok(false)
    }
}

/// Whether `parent` has the result that the report `id` was made for, and whether that changed anything.
fn note(parent: &mut Report, id: RecordId, made: &Report) -> Option<bool> {
    let wanted = made.parent.as_ref()?.result.as_ref()?;
    let of = parent.find(wanted)?.key.clone();
    let results = made.results.iter().map(|result| result.key.clone()).collect();
    let child = Child { of, report: id, results };
    match parent.children.iter_mut().find(|held| held.report == id) {
        Some(held) if *held == child => Some(false),
        Some(held) => {
            *held = child;
            Some(true)
        }
        None => {
            parent.children.push(child);
            Some(true)
        }
    }
}
