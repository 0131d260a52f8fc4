//! Random histories of deliveries against a model that recounts everything.

use std::collections::{BTreeMap, BTreeSet};

use feed::CaptureId;
use proptest::prelude::*;

use super::testing::{Scratch, at, feed, position, scratch};
use super::*;
use crate::audit::AuditEntry;

/// One step of a history. Numbers pick among what there is.
#[derive(Clone, Debug)]
enum Step {
    Enqueue {
        destination: u16,
        class: u8,
        lane: u8,
        segment: u32,
    },
    Settle {
        which: prop::sample::Index,
        state: SettledAs,
    },
    Requeue {
        which: prop::sample::Index,
    },
    Hold {
        which: prop::sample::Index,
    },
    Release {
        which: prop::sample::Index,
    },
    Move {
        which: prop::sample::Index,
        lane: u8,
    },
    Quarantine {
        segment: u32,
        row: u32,
    },
    Clear {
        segment: u32,
        row: u32,
    },
    Discard {
        which: prop::sample::Index,
    },
    Require {
        destination: u16,
        required: bool,
    },
    /// The step is done and its job then fails.
    RolledBack(Box<Self>),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let which = any::<prop::sample::Index>;
    let state = prop_oneof![
        3 => Just(SettledAs::Delivered),
        1 => Just(SettledAs::Superseded),
        1 => Just(SettledAs::Dead),
        1 => Just(SettledAs::Withheld),
    ];
    let step = prop_oneof![
        6 => (1..3_u16, 0..2_u8, 0..3_u8, 1..3_u32)
            .prop_map(|(destination, class, lane, segment)| Step::Enqueue { destination, class, lane, segment }),
        4 => (which(), state).prop_map(|(which, state)| Step::Settle { which, state }),
        2 => which().prop_map(|which| Step::Requeue { which }),
        1 => which().prop_map(|which| Step::Hold { which }),
        1 => which().prop_map(|which| Step::Release { which }),
        2 => (which(), 0..3_u8).prop_map(|(which, lane)| Step::Move { which, lane }),
        1 => (1..3_u32, 1..6_u32).prop_map(|(segment, row)| Step::Quarantine { segment, row }),
        1 => (1..3_u32, 1..6_u32).prop_map(|(segment, row)| Step::Clear { segment, row }),
        1 => which().prop_map(|which| Step::Discard { which }),
        1 => (1..3_u16, any::<bool>()).prop_map(|(destination, required)| Step::Require { destination, required }),
    ];
    prop_oneof![
        20 => step.clone(),
        2 => step.prop_map(|step| Step::RolledBack(Box::new(step))),
        1 => Just(Step::Restart),
    ]
}

#[derive(Clone, Default)]
struct Model {
    deliveries: BTreeMap<DeliveryId, (LaneKey, CaptureId, DeliveryState)>,
    held: BTreeSet<LaneKey>,
    quarantined: BTreeSet<CaptureId>,
    waived: BTreeSet<u16>,
}

impl Model {
    fn pick(&self, which: prop::sample::Index) -> Option<(DeliveryId, LaneKey, CaptureId, DeliveryState)> {
        let all = Vec::from_iter(&self.deliveries);
        let (id, (lane, capture, state)) = *which.get(if all.is_empty() { return None } else { &all });
        Some((*id, *lane, *capture, *state))
    }

    fn lanes(&self) -> BTreeMap<LaneKey, (Option<DeliveryId>, u64)> {
        let mut lanes: BTreeMap<_, _> = self.held.iter().map(|lane| (*lane, (None, 0))).collect();
        for (id, (lane, _, state)) in &self.deliveries {
            if *state == DeliveryState::Waiting {
                let lane = lanes.entry(*lane).or_default();
                *lane = (lane.0.or(Some(*id)), lane.1 + 1);
            }
        }
        lanes
    }

    fn open_refs(&self, segment: u32) -> u64 {
        let open = self.deliveries.values().filter(|(lane, capture, state)| {
            capture.segment() == segment && state.is_open() && !self.waived.contains(&lane.destination)
        });
        (open.count() + self.quarantined.iter().filter(|c| c.segment() == segment).count()) as u64
    }

    fn set(&mut self, id: DeliveryId, state: DeliveryState) {
        self.deliveries.entry(id).and_modify(|delivery| delivery.2 = state);
    }
}

/// Does `step` in the database and in the model.
fn apply(tx: &mut Tx<'_>, model: &mut Model, step: &Step) -> Result<(), StateError> {
    match *step {
        Step::Enqueue { destination, class, lane, segment } => {
            let key = LaneKey { destination, class, lane: [lane; 16] };
            let capture = CaptureId::new(segment, 1 + model.deliveries.len() as u32 % 5);
            let id = tx.enqueue(&NewDelivery {
                destination,
                class,
                lane: key.lane,
                capture,
                position: position(0, capture),
                refs: vec![],
                at: at(0),
            })?;
            assert!(model.deliveries.keys().all(|old| *old < id), "numbers grow");
            model.deliveries.insert(id, (key, capture, DeliveryState::Waiting));
        }
        Step::Settle { which, state } => {
            let Some((id, _, _, old)) = model.pick(which) else { return Ok(()) };
            let result = tx.settle(id, &settled(state));
            assert_eq!(result.is_ok(), old == DeliveryState::Waiting);
            if result.is_ok() {
                model.set(id, tx.delivery(id)?.unwrap().state);
            }
        }
        Step::Requeue { which } => {
            let Some((id, ..)) = model.pick(which) else { return Ok(()) };
            tx.requeue(id, at(2))?;
            model.set(id, DeliveryState::Waiting);
        }
        Step::Hold { which } => {
            let Some((_, lane, ..)) = model.pick(which) else { return Ok(()) };
            tx.hold_lane(&lane, "patient-dead", at(3))?;
            model.held.insert(lane);
        }
        Step::Release { which } => {
            let Some((_, lane, ..)) = model.pick(which) else { return Ok(()) };
            assert_eq!(tx.release_lane(&lane)?, model.held.remove(&lane));
        }
        Step::Move { which, lane } => {
            let Some((_, from, ..)) = model.pick(which) else { return Ok(()) };
            let to = LaneKey { lane: [lane; 16], ..from };
            tx.move_lane(&from, &to, at(2))?;
            if from != to {
                model.held.remove(&from);
                let waiting = model.deliveries.values_mut().filter(|d| d.0 == from);
                waiting.filter(|d| d.2 == DeliveryState::Waiting).for_each(|d| d.0 = to);
            }
        }
        Step::Quarantine { segment, row } => {
            let capture = CaptureId::new(segment, row);
            tx.except(&quarantine(capture))?;
            model.quarantined.insert(capture);
        }
        Step::Clear { segment, row } => {
            let capture = CaptureId::new(segment, row);
            tx.clear_exception(capture, at(4))?;
            model.quarantined.remove(&capture);
        }
        Step::Discard { which } => {
            let Some((_, _, capture, _)) = model.pick(which) else { return Ok(()) };
            tx.discard(capture, &feed("his"), &entry())?;
            model.quarantined.remove(&capture);
            for (_, of, state) in model.deliveries.values_mut() {
                if *of == capture && state.is_open() {
                    *state = DeliveryState::Withheld;
                }
            }
        }
        Step::Require { destination, required } => {
            tx.require(destination, required, at(5))?;
            if required {
                model.waived.remove(&destination)
            } else {
                model.waived.insert(destination)
            };
        }
        Step::RolledBack(_) | Step::Restart => {}
    }
    Ok(())
}

/// Compares everything that the state keeps incrementally with a recount.
fn compare(read: &Read<'_>, model: &Model) -> Result<(), StateError> {
    let lanes = model.lanes();
    for (id, (key, ..)) in &model.deliveries {
        let lane = read.lane(key)?;
        assert_eq!(lane.as_ref().map(|l| (l.head, l.waiting)), lanes.get(key).copied(), "lane of {id}");
        assert_eq!(lane.is_some_and(|l| l.held.is_some()), model.held.contains(key));
    }
    for (destination, class) in [(1, 0), (1, 1), (2, 0), (2, 1)] {
        let ready = read.ready_lanes(destination, class, DeliveryId(0), 100)?;
        let mut expected = Vec::from_iter(lanes.iter().filter_map(|(key, (head, _))| {
            let here = (key.destination, key.class) == (destination, class) && !model.held.contains(key);
            here.then_some((*head)?)
        }));
        expected.sort();
        assert_eq!(Vec::from_iter(ready.iter().map(|lane| lane.head)), expected);
    }
    for segment in [1, 2] {
        assert_eq!(
            read.open_refs(segment)?,
            model.open_refs(segment),
            "open references of segment {segment}"
        );
    }
    let counters = read.counters()?;
    for state in DeliveryState::ALL {
        for (destination, name) in [(1, "east"), (2, "west")] {
            let all = model
                .deliveries
                .iter()
                .filter(|(_, (lane, _, s))| lane.destination == destination && *s == state);
            let ids = Vec::from_iter(all.map(|(id, _)| *id));
            let counted = counters.iter().find(|(counter, of, _)| counter == state.counter() && of == name);
            assert_eq!(counted.map_or(0, |(_, _, n)| *n), ids.len() as i64, "{} for {name}", state.as_str());
            let filter =
                DeliveryFilter { destination: Some(destination), state: Some(state), ..all_deliveries() };
            assert_eq!(Vec::from_iter(read.deliveries(&filter)?.iter().map(|d| d.id)), ids);
            if state == DeliveryState::Waiting {
                assert_eq!(read.oldest_waiting(destination)?.map(|(id, ..)| id), ids.first().copied());
            }
        }
    }
    Ok(())
}

fn run(steps: &[Step]) {
    let mut state = two_segments();
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Restart => state.reopen(),
            Step::RolledBack(step) => {
                let (step, mut lost) = (step.clone(), model.clone());
                state.fail(move |tx| apply(tx, &mut lost, &step));
            }
            step => {
                let (step, mut next) = (step.clone(), model);
                model = state.write(move |tx| apply(tx, &mut next, &step).map(|()| next));
            }
        }
        let model = model.clone();
        state.read(move |read| compare(read, &model));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn lanes_references_and_counters_are_what_a_recount_says(steps in prop::collection::vec(step(), 1..60)) {
        run(&steps);
    }
}

/// Two segments that are refined, and two destinations: 1 is east, 2 is west.
fn two_segments() -> Scratch {
    let state = scratch();
    state.write(|tx| {
        assert_eq!((tx.intern_destination("east")?, tx.intern_destination("west")?), (1, 2));
        tx.open_segment(1, 0, at(0))?;
        tx.open_segment(2, 0, at(0))?;
        tx.advance(CaptureId::new(2, 100))
    });
    state
}

fn settled(state: SettledAs) -> Settled {
    Settled { state, reason: String::new(), at: at(1), receipt: None, sent: vec![], dead: vec![] }
}

fn quarantine(capture: CaptureId) -> Exception {
    let reason = "id-conflict".to_owned();
    Exception { capture, feed: feed("his"), outcome: Outcome::Quarantined, reason, detail: vec![], at: at(4) }
}

fn entry() -> AuditEntry {
    AuditEntry {
        who: "officer".into(),
        what: "discard".into(),
        reason: "r".into(),
        object: "o".into(),
        at: at(4),
    }
}

fn all_deliveries() -> DeliveryFilter {
    DeliveryFilter { destination: None, state: None, capture: None, after: DeliveryId(0), limit: MAX_ROWS }
}
