//! VXU: vaccinations. One change for each RXA; what is stated beside one stays with it.

use std::collections::BTreeMap;

use hl7::{Message, Segment};
use model::{
    Attachment, Change, Field, ImmunizationChange, ImmunizationFields, ImmunizationStatus, Mark, NumberKind,
    PartialTime,
};

use crate::field::{Times, coded, number, text, tri};
use crate::{Context, Frame, Reason, doubt, patient, reading, visit};

/// The number that vaccination systems write where there is none.
const NO_NUMBER: &str = "9999";
/// The dose that they write where none is known.
const NO_DOSE: &str = "999";

/// Whether an event is interpreted here.
pub(crate) fn is_known(code: &str, event: &str) -> bool {
    (code, event) == ("VXU", "V04")
}

/// Interprets VXU.
pub(crate) fn change(message: &Message, context: &Context) -> Result<Change, Reason> {
    let Frame { times, trigger, event, pid } = Frame::read(message, context)?;
    let mut seen: BTreeMap<Option<String>, u32> = BTreeMap::new();
    let (mut immunizations, mut attachments) = (Vec::new(), Vec::new());
    for group in groups(message)? {
        let mut immunization = group.read(&times, context, event.as_ref(), &mut attachments);
        let count = seen.entry(immunization.number.as_ref().map(|number| number.value.clone())).or_default();
        if immunization.number.is_some() {
            immunization.repeat = *count;
        }
        *count += 1;
        immunizations.push(immunization);
    }
    let person = patient::change(pid, &times, context);
    let encounter = visit::referenced(message, &times, context);
    Ok(Change { trigger, event, person, encounter, immunizations, attachments, ..Change::default() })
}

/// The segments of one vaccination.
struct Group<'m> {
    orc: Option<Segment<'m>>,
    rxa: Segment<'m>,
    rxr: Option<Segment<'m>>,
    stated: Vec<Segment<'m>>,
}

/// Takes a message apart into its vaccinations. What stands before the first belongs to it.
fn groups(message: &Message) -> Result<Vec<Group<'_>>, Reason> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let (mut orc, mut early) = (None, Vec::new());
    for segment in message.segments() {
        match segment.name() {
            "ORC" => orc = Some(segment),
            "RXA" => {
                let stated = core::mem::take(&mut early);
                groups.push(Group { orc, rxa: segment, rxr: None, stated });
            }
            "RXR" => {
                if let Some(group) = groups.last_mut().filter(|group| group.rxr.is_none()) {
                    group.rxr = Some(segment);
                }
            }
            "OBX" | "NTE" => match groups.last_mut() {
                Some(group) => group.stated.push(segment),
                None => early.push(segment),
            },
            _ => {}
        }
    }
    // What is stated about a vaccination that is not there cannot be told from that about another.
    if early.iter().any(|segment| segment.name() == "OBX") {
        return Err(Reason::NoIdentity);
    }
    Ok(groups)
}

impl Group<'_> {
    fn read(
        &self,
        times: &Times<'_>,
        context: &Context,
        event: Option<&PartialTime>,
        attachments: &mut Vec<Attachment>,
    ) -> ImmunizationChange {
        let mut marks = Vec::new();
        let rxa = self.rxa;
        let words = |n: usize| text(rxa.field(n).component(1)).unwrap_or_default();
        let (status_source, action) = (words(20), words(21));
        if !ImmunizationStatus::knows(&status_source) {
            doubt(&mut marks, "RXA-20");
        }
        if !matches!(action.as_str(), "" | "A" | "U" | "D") {
            doubt(&mut marks, "RXA-21");
        }
        let numbered = |n: usize, kind| {
            let number = self.orc.and_then(|orc| number(orc.field(n), kind, context));
            number.filter(|number| number.value != NO_NUMBER)
        };
        let vaccine = coded(rxa.field(5).first()).unwrap_or_else(|| {
            doubt(&mut marks, "RXA-5");
            model::Coded::default()
        });
        let fields = self.fields(times, &mut marks);
        let stated = reading::observations(&self.stated, event, times);
        attachments.extend(stated.attachments);
        ImmunizationChange {
            number: numbered(3, NumberKind::Immunization).or_else(|| numbered(2, NumberKind::Placer)),
            repeat: 0,
            vaccine,
            status: ImmunizationStatus::read(&status_source, &action),
            status_source,
            fields,
            notes: stated.notes,
            observations: stated.results,
            marks,
        }
    }

    fn fields(&self, times: &Times<'_>, marks: &mut Vec<Mark>) -> ImmunizationFields {
        let rxa = self.rxa;
        let element = |segment: Segment<'_>, n: usize| format!("{}-{n}", segment.name());
        let mut time =
            |n: usize| tri(rxa.field(n), &element(rxa, n), marks, |f| times.read(&f).ok().flatten());
        let (given, expires, recorded) = (time(3), time(16), time(22));
        let mut concept = |segment: Option<Segment<'_>>, n: usize| {
            segment.map_or(Field::Absent, |segment| {
                tri(segment.field(n), &element(segment, n), marks, |field| coded(field.first()))
            })
        };
        let (unit, source, manufacturer) =
            (concept(Some(rxa), 7), concept(Some(rxa), 9), concept(Some(rxa), 17));
        let (refusal, reason) = (concept(Some(rxa), 18), concept(Some(rxa), 19));
        let (route, site) = (concept(self.rxr, 1), concept(self.rxr, 2));
        let dose = tri(rxa.field(6), "RXA-6", marks, |field| text(field.component(1)));
        ImmunizationFields {
            given,
            recorded,
            source,
            dose: if dose.value().is_some_and(|dose| dose == NO_DOSE) { Field::Absent } else { dose },
            unit,
            by: tri(rxa.field(10), "RXA-10", marks, |field| visit::doctor(field.first())),
            // Subcomponents and components that name a facility only are no place that could be shown.
            place: place(rxa).into(),
            lot: tri(rxa.field(15), "RXA-15", marks, |field| text(field.component(1))),
            expires,
            manufacturer,
            refusal,
            reason,
            route,
            site,
        }
    }
}

/// RXA-11: point of care, room and bed, else the facility; RXA-27 in newer versions.
fn place(rxa: Segment<'_>) -> Option<String> {
    [11, 27].into_iter().find_map(|n| {
        let first = rxa.field(n).first();
        visit::location(first).or_else(|| text(first.component(4).subcomponent(1)))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Interpretation;
    use crate::tests::{PID, changed, interpreted};

    fn message(segments: &str) -> String {
        format!("MSH|^~\\&|IMM|H1|||20261124100000||VXU^V04|C1|P|2.5.1\r{PID}\r{segments}")
    }

    #[test]
    fn a_vaccination_says_what_when_how_much_from_which_lot_and_how() {
        let change = changed(&message(
            "ORC|RE|O1^HIS|I1^IMM\rRXA|0|1|20261120093000||03^\u{9ebb}\u{98ce}\u{75ab}\u{82d7}^CVX|0.50|mL^^UCUM||00^New^NIP001|N1^\u{738b}^\u{82b3}|^^^\u{63a5}\u{79cd}\u{95e8}\u{8bca}||||L123|202712|SP^Sinopharm^MVX|||CP|A|20261120\rRXR|SC^\u{76ae}\u{4e0b}|LA^\u{5de6}\u{4e0a}\u{81c2}\rOBX|1|CE|30963-3^Funding^LN||PUB^\u{514d}\u{8d39}||||||F\rNTE|1||\u{65e0}\u{53cd}\u{5e94}\rORC|RE||9999\rRXA|0|1|2019||88^flu^CVX|999|||01^Historical^NIP001|||||||||00^Refused||RE",
        ));
        let given = &change.immunizations[0];
        assert_eq!(given.number.as_ref().unwrap().value, "I1");
        assert_eq!((given.vaccine.key(), given.status), ("03", ImmunizationStatus::Completed));
        let fields = &given.fields;
        assert_eq!(
            (fields.dose.value().unwrap().as_str(), fields.unit.value().unwrap().key()),
            ("0.50", "mL")
        );
        assert_eq!(
            (fields.lot.value().unwrap().as_str(), fields.expires.value().unwrap().to_date().as_str()),
            ("L123", "2027-12")
        );
        assert_eq!(fields.by.value().unwrap().name.as_deref(), Some("\u{738b}\u{82b3}"));
        assert_eq!(fields.place.value().unwrap(), "\u{63a5}\u{79cd}\u{95e8}\u{8bca}");
        assert_eq!((fields.route.value().unwrap().key(), fields.site.value().unwrap().key()), ("SC", "LA"));
        assert_eq!(given.observations[0].notes, ["\u{65e0}\u{53cd}\u{5e94}"]);
        let refused = &change.immunizations[1];
        assert_eq!((&refused.number, refused.status), (&None, ImmunizationStatus::NotDone));
        assert_eq!(
            (&refused.fields.dose, refused.fields.given.value().unwrap().year()),
            (&Field::Absent, 2019)
        );
    }

    #[test]
    fn null_deletes_absent_leaves_and_odd_is_marked() {
        let change = changed(&message("RXA|0|1|2026139||||\"\"|||\"\"|||||\"\"|||||ZZ|Q"));
        let odd = &change.immunizations[0];
        let fields = &odd.fields;
        assert_eq!(
            (&fields.unit, &fields.by, &fields.lot, &fields.route),
            (&Field::Null, &Field::Null, &Field::Null, &Field::Absent)
        );
        let mut marks: Vec<_> = odd.marks.iter().map(|mark| format!("{mark:?}")).collect();
        marks.sort();
        assert_eq!(marks, ["RXA-20", "RXA-21", "RXA-3", "RXA-5"].map(|e| format!("Doubtful({e:?})")));
        assert_eq!(interpreted(&message("OBX|1|ST|A||x")), Interpretation::Quarantine(Reason::NoIdentity));
    }

    proptest! {
        #[test]
        fn no_vaccination_and_no_obx_is_lost_whatever_the_order_of_segments(
            kinds in proptest::collection::vec(prop::sample::select(vec!["OBX", "RXA", "ORC", "RXR", "NTE"]), 0..25),
            tail in "[|^~&\\\\A-Z0-9.\"+-]{0,60}",
        ) {
            let line = |(n, kind): (usize, &&str)| match *kind {
                "OBX" => format!("OBX|{n}|ST|C{n}||v||||||F"),
                kind => format!("{kind}|{n}|A{tail}"),
            };
            let body: Vec<String> = kinds.iter().enumerate().map(line).collect();
            let count = |kind: &str| kinds.iter().filter(|k| **k == kind).count();
            match interpreted(&message(&body.join("\r"))) {
                Interpretation::Changes(changes) => {
                    let all = &changes[0].immunizations;
                    prop_assert_eq!(all.len(), count("RXA"));
                    prop_assert_eq!(all.iter().map(|one| one.observations.len()).sum::<usize>(), count("OBX"));
                }
                other => prop_assert!(count("RXA") == 0, "{:?}", other),
            }
        }
    }
}
