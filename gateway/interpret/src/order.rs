//! ORM, OML and OMG: orders. One change for each ORC with its OBR; what is stated beside an order stays with it.

use std::collections::BTreeMap;

use hl7::{Message, Segment};
use model::{
    Attachment, Change, Coded, Field, Mark, NumberKind, OrderChange, OrderStatus, PartialTime, Specimen,
};

use crate::field::{Times, coded, number, text, tri, whole_text};
use crate::{Context, Frame, Reason, doubt, patient, reading, specimen, visit};

/// Segments that hold what is ordered where that is no service: medication, diet, supply.
const OTHER_DETAILS: [&str; 6] = ["RXO", "RXE", "RXR", "ODS", "RQD", "RQ1"];

/// Whether an event is interpreted here. The answers to orders (ORL, ORR) say nothing that the orders do not.
pub(crate) fn is_known(message: &Message, code: &str, event: &str) -> bool {
    let services = || message.segments_named("OBR").next().is_some();
    let others = || message.segments().any(|segment| OTHER_DETAILS.contains(&segment.name()));
    match (code, event) {
        ("OML", "O21" | "O33" | "O35") | ("OMG", "O19") => true,
        // ORM is for orders of every kind: of medication, diet and supply nothing is made.
        ("ORM", "O01") => services() || !others(),
        _ => false,
    }
}

/// Interprets ORM, OML and OMG.
pub(crate) fn change(message: &Message, context: &Context) -> Result<Change, Reason> {
    let Frame { times, trigger, event, pid } = Frame::read(message, context)?;
    // OML^O33 and O35 put the specimen before the orders it is for.
    let by_specimen = matches!(trigger.event.as_str(), "O33" | "O35");
    let groups = groups(message, by_specimen);
    if groups.is_empty() {
        return Err(Reason::NoIdentity);
    }
    let mut seen = BTreeMap::new();
    let (mut orders, mut attachments) = (Vec::new(), Vec::new());
    for group in groups {
        let mut order = group.read(&times, context, event.as_ref(), &mut attachments);
        let service = order.service.as_ref().map(|service| service.key().to_owned());
        if let Some(service) = service {
            let numbers = (order.placer.clone(), order.filler.clone().filter(|_| order.placer.is_none()));
            let named = numbers.0.or(numbers.1).map(|number| number.value);
            let count: &mut u32 = seen.entry((named, service)).or_default();
            order.repeat = *count;
            *count += 1;
        }
        orders.push(order);
    }
    let person = patient::change(pid, &times, context);
    let encounter = visit::referenced(message, &times, context);
    let diagnoses = visit::diagnoses(&message.segments_named("DG1").collect::<Vec<_>>(), &times).all;
    Ok(Change { trigger, event, person, encounter, diagnoses, orders, attachments, ..Change::default() })
}

/// The segments of one order.
#[derive(Default)]
struct Group<'m> {
    orc: Option<Segment<'m>>,
    obr: Option<Segment<'m>>,
    detail: Option<Segment<'m>>,
    timing: Option<Segment<'m>>,
    specimens: Vec<Segment<'m>>,
    reasons: Vec<Segment<'m>>,
    /// Comments and what was stated, in their order: NTE and OBX.
    stated: Vec<Segment<'m>>,
}

/// Takes a message apart into its orders. Where segments stand in no order of the standard none is lost.
fn groups(message: &Message, by_specimen: bool) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut early: Vec<Segment<'_>> = Vec::new();
    let mut specimens: Vec<Segment<'_>> = Vec::new();
    // Results of earlier orders (ORC-1 `PR`) came in messages of their own; here they are only quoted.
    let mut quoted = false;
    let mut between = true;
    for segment in message.segments() {
        let name = segment.name();
        match name {
            "ORC" => {
                quoted = segment.field(1).text().trim() == "PR";
                if !quoted {
                    let stated = core::mem::take(&mut early);
                    let specimens = specimens.clone();
                    groups.push(Group { orc: Some(segment), stated, specimens, ..Group::default() });
                    between = false;
                }
            }
            _ if quoted => {}
            "OBR" => match groups.last_mut() {
                Some(group) if group.obr.is_none() && !between => group.obr = Some(segment),
                last => {
                    // Several services under one ORC, or none at all.
                    let orc = last.and_then(|group| group.orc);
                    let stated = core::mem::take(&mut early);
                    let specimens = specimens.clone();
                    groups.push(Group { orc, obr: Some(segment), stated, specimens, ..Group::default() });
                    between = false;
                }
            },
            "SPM" if by_specimen => {
                if between {
                    specimens.push(segment);
                } else {
                    (specimens, between) = (vec![segment], true);
                }
            }
            "OBX" if between => early.push(segment),
            "NTE" if between => {
                // A comment before the first order is about the patient.
                if !early.is_empty() {
                    early.push(segment);
                }
            }
            _ => {
                if let Some(group) = groups.last_mut().filter(|_| !between) {
                    group.take(segment);
                }
            }
        }
    }
    if let Some(last) = groups.last_mut() {
        last.stated.append(&mut early);
    }
    groups
}

impl<'m> Group<'m> {
    fn take(&mut self, segment: Segment<'m>) {
        match segment.name() {
            "OBX" | "NTE" => self.stated.push(segment),
            "TQ1" if self.timing.is_none() => self.timing = Some(segment),
            "SPM" => self.specimens.push(segment),
            "DG1" => self.reasons.push(segment),
            name if OTHER_DETAILS.contains(&name) && self.detail.is_none() => self.detail = Some(segment),
            _ => {}
        }
    }

    fn read(
        &self,
        times: &Times<'_>,
        context: &Context,
        event: Option<&PartialTime>,
        attachments: &mut Vec<Attachment>,
    ) -> OrderChange {
        let mut marks = Vec::new();
        let (orc, obr) = (self.orc, self.obr);
        let of = |segment: Option<Segment<'m>>, n: usize| segment.map(|segment| segment.field(n));
        let numbered = |kind, in_orc: usize, in_obr: usize| {
            [of(orc, in_orc), of(obr, in_obr)].into_iter().flatten().find_map(|f| number(f, kind, context))
        };
        let words = |segment, n: usize| of(segment, n).and_then(|f| text(f.component(1))).unwrap_or_default();
        let (control, status_source) = (words(orc, 1), words(orc, 5));
        if !OrderStatus::knows_control(&control) {
            doubt(&mut marks, "ORC-1");
        }
        let status = OrderStatus::read(&control, &status_source);
        let time = |segment: Option<Segment<'m>>, n: usize, marks: &mut Vec<Mark>| {
            segment.and_then(|segment| times.marked(segment, n, marks))
        };
        let transaction = time(orc, 9, &mut marks);
        let observed = time(obr, 7, &mut marks);
        let received = time(obr, 14, &mut marks);
        let mut specimens: Vec<Specimen> =
            self.specimens.iter().map(|spm| specimen::of(*spm, times, context, &mut marks)).collect();
        if specimens.is_empty() {
            let source = obr.map(specimen::source);
            specimens.extend(source.filter(|source| *source != Specimen::default()));
        }
        let collected = specimens.iter().find_map(|specimen| specimen.collected.clone());
        let dated = collected.or_else(|| observed.clone()).or(received).or_else(|| transaction.clone());
        let places = matches!(control.as_str(), "" | "NW" | "SN" | "RO" | "PA" | "CH");
        let stated = reading::observations(&self.stated, event, times);
        attachments.extend(stated.attachments);
        let notes = self.remarks().into_iter().chain(stated.notes).collect();
        OrderChange {
            placer: numbered(NumberKind::Placer, 2, 2),
            filler: numbered(NumberKind::Filler, 3, 3),
            group: of(orc, 4).map_or(Field::Absent, |field| {
                tri(field, "ORC-4", &mut marks, |field| number(field, NumberKind::Group, context))
            }),
            dated,
            service: self.service(),
            repeat: 0,
            exchanged: matches!(control.as_str(), "XO" | "XX" | "XR"),
            status,
            status_source,
            priority: self.priority(),
            requester: self.requester(&mut marks),
            ordered: transaction.clone().filter(|_| places),
            planned: self.planned(times, &mut marks),
            stated: transaction.or_else(|| event.cloned()),
            reasons: self.why(),
            control,
            specimens,
            notes,
            observations: stated.results,
            marks,
        }
    }

    fn service(&self) -> Option<Coded> {
        let obr = self.obr.and_then(|obr| coded(obr.field(4).first()));
        obr.or_else(|| {
            let detail = self.detail?;
            let n = match detail.name() {
                "RXE" | "RQD" => 2,
                "ODS" => 3,
                _ => 1,
            };
            coded(detail.field(n).first())
        })
    }

    /// TQ1-9, else the sixth component of ORC-7 or OBR-27, else OBR-5.
    fn priority(&self) -> Field<String> {
        let timing =
            |segment: Option<Segment<'m>>, n: usize| segment.and_then(|s| text(s.field(n).component(6)));
        let newer = self.timing.and_then(|tq1| text(tq1.field(9).component(1)));
        let value = newer.or_else(|| timing(self.orc, 7)).or_else(|| timing(self.obr, 27));
        let older = self.obr.map(|obr| obr.field(5));
        match (value, older) {
            (Some(value), _) => Field::Value(value),
            (None, Some(field)) if field.is_null() => Field::Null,
            (None, field) => field.and_then(|field| text(field.component(1))).into(),
        }
    }

    /// ORC-12, else OBR-16.
    fn requester(&self, marks: &mut Vec<Mark>) -> Field<model::Attending> {
        let read = |field: hl7::Field<'m>| visit::doctor(field.first());
        let mut found = Field::Absent;
        for (segment, n, element) in [(self.orc, 12, "ORC-12"), (self.obr, 16, "OBR-16")] {
            let Some(segment) = segment.filter(|_| found == Field::Absent) else { continue };
            let field = segment.field(n);
            // Delimiters without anything between them name nobody.
            if field.raw().chars().any(char::is_alphanumeric) || field.is_null() {
                found = tri(field, element, marks, read);
            }
        }
        found
    }

    /// TQ1-7, else the fourth component of ORC-7 or OBR-27, else OBR-36, OBR-6, OBR-7.
    fn planned(&self, times: &Times<'_>, marks: &mut Vec<Mark>) -> Field<PartialTime> {
        let part = |segment: Option<Segment<'m>>, n: usize, component: usize| {
            let written = text(segment?.field(n).component(component))?;
            times.parse(&written).ok()
        };
        let stated =
            part(self.timing, 7, 1).or_else(|| part(self.orc, 7, 4)).or_else(|| part(self.obr, 27, 4));
        if let Some(time) = stated {
            return Field::Value(time);
        }
        for n in [36, 6, 7] {
            let Some(obr) = self.obr else { break };
            if obr.field(n).is_null() {
                return Field::Null;
            }
            if let Some(time) = times.marked(obr, n, marks) {
                return Field::Value(time);
            }
        }
        Field::Absent
    }

    /// OBR-31 and the diagnoses of the order.
    fn why(&self) -> Field<Vec<Coded>> {
        let field = self.obr.map(|obr| obr.field(31));
        if self.reasons.is_empty() && field.is_some_and(|field| field.is_null()) {
            return Field::Null;
        }
        let stated =
            field.into_iter().flat_map(|field| field.repetitions().filter_map(coded).collect::<Vec<_>>());
        let all: Vec<Coded> =
            stated.chain(self.reasons.iter().filter_map(|dg1| visit::diagnosis_code(*dg1))).collect();
        if all.is_empty() { Field::Absent } else { Field::Value(all) }
    }

    /// OBR-13 and ORC-16.
    fn remarks(&self) -> Vec<String> {
        let clinical = self.obr.and_then(|obr| whole_text(obr.field(13).first()));
        let because = self.orc.and_then(|orc| coded(orc.field(16).first())).map(|because| {
            let words = because.codings.iter().find_map(|coding| coding.display.clone());
            because.text.clone().or(words).unwrap_or_else(|| because.key().to_owned())
        });
        clinical.into_iter().chain(because).collect()
    }
}

#[cfg(test)]
mod tests {
    use model::Value;
    use proptest::prelude::*;

    use super::*;
    use crate::Interpretation;
    use crate::tests::{PID, changed, interpreted};

    fn message(kind: &str, segments: &str) -> String {
        format!("MSH|^~\\&|HIS|H1|||20261124100000||{kind}|C1|P|2.5\r{PID}\r{segments}")
    }

    fn orders(kind: &str, segments: &str) -> Vec<OrderChange> {
        changed(&message(kind, segments)).orders
    }

    #[test]
    fn an_order_says_what_who_when_why_and_under_which_numbers() {
        let segments = "PV1|1|O|||||||||||||||||V1\rORC|NW|P1^HIS|F1^LIS|G1^HIS|SC||^^^20261125070000^^S||20261124095900|||D7^\u{674e}^\u{660e}||||^\u{590d}\u{67e5}\rTQ1|1||||||20261125073000||A\rOBR|1|P1^HIS|F1^LIS|CBC^\u{8840}\u{5e38}\u{89c4}^L||||||||\u{8d2b}\u{8840}|||||||||||||||||||^\u{53d1}\u{70ed}\rNTE|1||\u{7a7a}\u{8179}\rDG1|1||J18.9^\u{80ba}\u{708e}^I10|||W\rOBX|1|NM|WT^\u{4f53}\u{91cd}||65.0|kg|||||F\rNTE|1||\u{81ea}\u{8ff0}\rSPM|1|S1&HIS^S1&LIS||BLD^\u{8840}|||||||||||||20261124093000";
        let mut change = changed(&message("ORM^O01", segments));
        assert_eq!((change.diagnoses.len(), change.orders.len()), (1, 1));
        assert!(change.encounter.is_some());
        let order = change.orders.remove(0);
        let value = |number: &Option<model::Number>| number.as_ref().unwrap().value.clone();
        assert_eq!((value(&order.placer), value(&order.filler)), ("P1".to_owned(), "F1".to_owned()));
        assert_eq!(order.group.value().unwrap().value, "G1");
        assert_eq!(order.status, Some(OrderStatus::Active));
        assert_eq!(order.priority, Field::Value("A".to_owned()), "the newer place comes first");
        assert_eq!(order.requester.value().unwrap().name.as_deref(), Some("\u{674e}\u{660e}"));
        assert_eq!(order.planned.value().unwrap().to_string(), "2026-11-25T07:30:00+08:00");
        assert_eq!(order.ordered.unwrap().to_string(), "2026-11-24T09:59:00+08:00");
        let reasons: Vec<_> = order.reasons.value().unwrap().iter().map(Coded::key).collect();
        assert_eq!(reasons, ["\u{53d1}\u{70ed}", "J18.9"]);
        assert_eq!(order.notes, ["\u{590d}\u{67e5}", "\u{7a7a}\u{8179}"]);
        assert_eq!(order.observations[0].notes, ["\u{81ea}\u{8ff0}"]);
        assert!(matches!(&order.observations[0].value, Value::Number { decimal, .. } if decimal == "65.0"));
        let specimen = &order.specimens[0];
        assert_eq!(
            (specimen.number.as_ref().unwrap().value.as_str(), specimen.kind.as_ref().unwrap().key()),
            ("S1", "BLD")
        );
        assert_eq!(order.dated, specimen.collected);
    }

    #[test]
    fn null_deletes_absent_leaves_and_an_odd_control_is_marked() {
        let order = &orders("ORM^O01", "ORC|CD:1|P1||\"\"|||||2026139|||\"\"\rOBR|1|P1||K|\"\"||\"\"")[0];
        assert_eq!((&order.group, &order.requester), (&Field::Null, &Field::Null));
        assert_eq!((&order.priority, &order.planned), (&Field::Null, &Field::Null));
        let marks = ["ORC-1", "ORC-9"].map(|element| Mark::Doubtful(element.to_owned()));
        assert_eq!((order.status, &order.marks[..]), (None, &marks[..]));
        let order = &orders("ORM^O01", "ORC|XO|P1\rOBR|1|P1||K")[0];
        assert_eq!(
            (&order.group, &order.requester, &order.priority),
            (&Field::Absent, &Field::Absent, &Field::Absent)
        );
        assert!(order.exchanged);
    }

    #[test]
    fn orders_by_specimen_find_their_specimen_and_several_services_share_an_orc() {
        let specimen = |n: u8| format!("SPM|{n}|S{n}||BLD");
        let segments = format!(
            "{}\rOBX|1|ST|VOL||5||||||F\rSAC|1\rORC|NW|P1\rOBR|1|P1||K\rORC|NW|P2\rOBR|2|P2||NA\r{}\rORC|NW|P3\rOBR|3|P3||GLU",
            specimen(1),
            specimen(2)
        );
        for kind in ["OML^O33", "OML^O35"] {
            let orders = orders(kind, &segments);
            let of = |order: &OrderChange| order.specimens[0].number.as_ref().unwrap().value.clone();
            assert_eq!(orders.iter().map(of).collect::<Vec<_>>(), ["S1", "S1", "S2"], "{kind}");
            assert_eq!(
                orders[0].observations.len(),
                1,
                "what is stated of a specimen goes with its first order"
            );
        }
        let several = orders("OML^O21", "ORC|NW|P1\rOBR|1|P1||K\rOBR|2|P1||NA\rOBR|3|P1||K");
        let keys: Vec<_> = several
            .iter()
            .map(|o| (o.service.as_ref().unwrap().key(), o.repeat, o.control.as_str()))
            .collect();
        assert_eq!(keys, [("K", 0, "NW"), ("NA", 0, "NW"), ("K", 1, "NW")]);
    }

    #[test]
    fn quoted_results_are_no_orders_and_orders_of_medication_are_not_interpreted() {
        assert_eq!(
            orders("OML^O21", "ORC|NW|P1\rOBR|1|P1||K\rORC|PR|P0\rOBR|1|P0||K\rOBX|1|NM|K||4").len(),
            1
        );
        let medication = message("ORM^O01", "ORC|NW|P1\rRXO|AMP^Ampicillin");
        assert_eq!(
            interpreted(&medication),
            Interpretation::NotInterpreted { trigger: "ORM^O01".to_owned() }
        );
        for answer in ["ORL^O22", "ORR^O02", "ORG^O20"] {
            let told = interpreted(&message(answer, "ORC|OK|P1"));
            assert_eq!(told, Interpretation::NotInterpreted { trigger: answer.to_owned() });
        }
        assert_eq!(
            interpreted(&message("OMG^O19", "PV1|1|O")),
            Interpretation::Quarantine(Reason::NoIdentity)
        );
        assert_eq!(orders("ORM^O01", "ORC|CA|P1")[0].service, None, "all services of the order");
    }

    proptest! {
        #[test]
        fn no_order_and_no_obx_is_lost_whatever_the_order_of_segments(
            kinds in proptest::collection::vec(prop::sample::select(vec!["OBX", "OBR", "ORC", "SPM", "NTE", "TQ1", "DG1", "SAC"]), 0..25),
        ) {
            let line = |(n, kind): (usize, &&str)| match *kind {
                "OBX" => format!("OBX|{n}|ST|C{n}||v||||||F"),
                "OBR" => format!("OBR|{n}|P{n}|F{n}|X"),
                "ORC" => format!("ORC|NW|P{n}"),
                kind => format!("{kind}|{n}|A^B"),
            };
            let body: Vec<String> = kinds.iter().enumerate().map(line).collect();
            let count = |kind: &str| kinds.iter().filter(|k| **k == kind).count();
            for kind in ["ORM^O01", "OML^O21", "OML^O33", "OMG^O19"] {
                match interpreted(&message(kind, &body.join("\r"))) {
                    Interpretation::Changes(changes) => {
                        let change = &changes[0];
                        let found: usize = change.orders.iter().map(|order| order.observations.len()).sum();
                        prop_assert_eq!(found, count("OBX"), "{} {:?}", kind, kinds);
                        prop_assert!(change.orders.len() >= count("ORC").max(count("OBR")), "{} {:?}", kind, kinds);
                    }
                    other => prop_assert!(count("ORC") + count("OBR") == 0, "{:?}", other),
                }
            }
        }

        #[test]
        fn arbitrary_segments_never_panic(body in "(ORC|OBR|TQ1|SPM|DG1|OBX)[|^~&\\\\A-Z0-9.\r\"+-]{0,200}") {
            let _ = interpreted(&message("OML^O21", &body));
        }
    }
}
