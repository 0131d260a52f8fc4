//! One delivery on its way: what to send next, and what became of each entry.
//!
//! The whole goes as one transaction. When the server refuses it for good the machine halves it until the culprit stands
//! alone; what depends on a refused entry is held back with it, everything else is delivered.

use std::collections::{BTreeSet, VecDeque};

use core::time::Duration;

use crate::Class;

/// An entry, by what it cannot be without: indexes of entries of the same delivery.
#[derive(Clone, Debug, Default)]
pub struct Item {
    /// Entries that have to be there; they come earlier in the list.
    pub depends_on: Vec<usize>,
    /// Entries that it speaks of; they come earlier too. When one of them is refused it has to be written anew before it
    /// goes.
    pub names: Vec<usize>,
}

/// What became of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryEnd {
    /// The server has it.
    Delivered,
    /// The server refuses it.
    Dead(String),
    /// What it depends on was refused.
    Held,
    /// What it names was refused: it was not sent as it was written.
    Stale,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send these entries as one transaction.
    Send(Vec<usize>),
    /// Everything has ended; see [`Attempt::ends`].
    Done,
    /// Begin anew later: the whole destination is in trouble.
    RetryDestination {
        /// How long the server asked to wait.
        after: Option<Duration>,
        /// Why.
        class: Class,
    },
    /// Begin anew later: only this delivery is in trouble.
    RetryLane,
}

/// The machine.
#[derive(Clone, Debug)]
pub struct Attempt {
    items: Vec<Item>,
    ends: Vec<Option<EntryEnd>>,
    queue: VecDeque<Vec<usize>>,
    /// Tries in vain so far: bounded failures become permanent when they were enough.
    tries: u32,
}

/// A conflict or an error inside the server is tried so often before the culprit is looked for.
const BOUNDED_TRIES: u32 = 5;

impl Attempt {
    /// An attempt at a delivery that was tried `tries` times in vain.
    pub fn new(items: Vec<Item>, tries: u32) -> Self {
        let all: Vec<usize> = (0..items.len()).collect();
        let ends = vec![None; items.len()];
        Self { items, ends, queue: VecDeque::from([all]), tries }
    }

    /// What to do next.
    pub fn step(&mut self) -> Step {
        while let Some(group) = self.queue.front_mut() {
            // What depends on something refused never goes.
            let (items, ends) = (&self.items, &mut self.ends);
            group.retain(|n| {
                let held = items[*n]
                    .depends_on
                    .iter()
                    .any(|d| matches!(ends[*d], Some(EntryEnd::Dead(_) | EntryEnd::Held)));
                let stale = items[*n]
                    .names
                    .iter()
                    .any(|d| matches!(ends[*d], Some(EntryEnd::Dead(_) | EntryEnd::Stale)));
                if held {
                    ends[*n] = Some(EntryEnd::Held);
                } else if stale {
                    ends[*n] = Some(EntryEnd::Stale);
                }
                !held && !stale
            });
            if group.is_empty() {
                self.queue.pop_front();
            } else {
                return Step::Send(group.clone());
            }
        }
        Step::Done
    }

    /// The answer to the transaction as a whole, where its entries have none of their own. `reason` is the code for a
    /// refusal.
    pub fn answered(&mut self, class: Class, reason: &str) -> Option<Step> {
        let group = self.queue.front()?.clone();
        match class {
            Class::Done => {
                self.end(&group, &EntryEnd::Delivered);
                self.queue.pop_front();
                None
            }
            Class::Transient { after } => Some(Step::RetryDestination { after, class }),
            Class::Unauthorized | Class::Misconfigured => Some(Step::RetryDestination { after: None, class }),
            Class::Bounded if self.tries < BOUNDED_TRIES => Some(Step::RetryLane),
            Class::Bounded | Class::TooLarge | Class::Permanent => {
                self.split(&group, reason);
                None
            }
        }
    }

    /// The answers to the entries of the transaction, in its order: some servers run it as a batch.
    pub fn answered_each(&mut self, answers: &[(Class, String)]) -> Option<Step> {
        let group = self.queue.pop_front()?;
        let mut again = Vec::new();
        let mut step = None;
        for (n, (class, reason)) in group.iter().zip(answers) {
            match class {
                Class::Done => self.ends[*n] = Some(EntryEnd::Delivered),
                Class::Permanent | Class::TooLarge => self.ends[*n] = Some(EntryEnd::Dead(reason.clone())),
                Class::Bounded if self.tries >= BOUNDED_TRIES => {
                    self.ends[*n] = Some(EntryEnd::Dead(reason.clone()))
                }
                Class::Bounded => step = step.or(Some(Step::RetryLane)),
                Class::Transient { after } => {
                    step = Some(Step::RetryDestination { after: *after, class: *class })
                }
                Class::Unauthorized | Class::Misconfigured => {
                    step = Some(Step::RetryDestination { after: None, class: *class });
                }
            }
            if self.ends[*n].is_none() {
                again.push(*n);
            }
        }
        // A server that answered fewer entries than it was sent has not said that it has the rest.
        again.extend(group.iter().skip(answers.len()));
        if !again.is_empty() && step.is_none() {
            step = Some(Step::RetryLane);
        }
        if !again.is_empty() {
            self.queue.push_front(again);
        }
        step
    }

    /// What became of each entry; none for those that have not ended.
    pub fn ends(&self) -> &[Option<EntryEnd>] {
        &self.ends
    }

    fn split(&mut self, group: &[usize], reason: &str) {
        self.queue.pop_front();
        if let [only] = group {
            self.ends[*only] = Some(EntryEnd::Dead(reason.to_owned()));
            return;
        }
        let (first, second) = group.split_at(group.len() / 2);
        self.queue.push_front(second.to_vec());
        self.queue.push_front(first.to_vec());
        // Entries are sent before what depends on them; a half never holds an entry whose ground is in a later one.
        debug_assert!(self.in_order());
    }

    fn end(&mut self, group: &[usize], end: &EntryEnd) {
        for n in group {
            self.ends[*n] = Some(end.clone());
        }
    }

    fn in_order(&self) -> bool {
        let waiting: Vec<usize> = self.queue.iter().flatten().copied().collect();
        let mut seen = BTreeSet::new();
        waiting.iter().all(|n| {
            let item = &self.items[*n];
            let ground = item.depends_on.iter().chain(&item.names);
            let ok = ground.clone().all(|d| seen.contains(d) || !waiting.contains(d));
            seen.insert(*n);
            ok
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Patient, Encounter, results, report; everything depends on the patient, the report on the encounter too.
    fn bundle(results: usize) -> Vec<Item> {
        let on = |depends_on: &[usize]| Item { depends_on: depends_on.to_vec(), names: Vec::new() };
        let mut items = vec![on(&[]), on(&[0])];
        items.extend((0..results).map(|_| on(&[0])));
        items.push(on(&[0, 1]));
        items
    }

    /// Runs against a server that refuses any transaction with one of `culprits` in it.
    fn run(items: Vec<Item>, culprits: &[usize]) -> (Vec<EntryEnd>, usize) {
        let mut attempt = Attempt::new(items, 0);
        let mut requests = 0;
        loop {
            match attempt.step() {
                Step::Send(group) => {
                    requests += 1;
                    let refused = group.iter().any(|n| culprits.contains(n));
                    let class = if refused { Class::Permanent } else { Class::Done };
                    assert_eq!(attempt.answered(class, "422"), None);
                }
                Step::Done => break,
                step => panic!("{step:?}"),
            }
        }
        (attempt.ends().iter().map(|end| end.clone().unwrap()).collect(), requests)
    }

    #[test]
    fn a_refused_result_dies_alone_and_a_refused_patient_holds_everything() {
        let (ends, _) = run(bundle(3), &[3]);
        assert_eq!(ends[3], EntryEnd::Dead("422".to_owned()));
        assert!(ends.iter().enumerate().all(|(n, end)| n == 3 || *end == EntryEnd::Delivered));
        let (ends, _) = run(bundle(3), &[0]);
        assert_eq!(ends[0], EntryEnd::Dead("422".to_owned()));
        assert!(ends[1..].iter().all(|end| *end == EntryEnd::Held));
    }

    #[test]
    fn what_names_a_refused_entry_is_not_sent_before_it_is_written_anew() {
        let mut items = bundle(3);
        items[5].names = vec![2, 3, 4];
        let (ends, _) = run(items.clone(), &[3]);
        assert_eq!((&ends[3], &ends[5]), (&EntryEnd::Dead("422".to_owned()), &EntryEnd::Stale));
        assert!([0, 1, 2, 4].iter().all(|n| ends[*n] == EntryEnd::Delivered));
        let (ends, requests) = run(items, &[]);
        assert!(ends.iter().all(|end| *end == EntryEnd::Delivered) && requests == 1);
    }

    #[test]
    fn too_large_is_halved_and_one_entry_that_is_too_large_is_dead() {
        let mut attempt = Attempt::new(bundle(2), 0);
        assert_eq!(attempt.step(), Step::Send(vec![0, 1, 2, 3, 4]));
        assert_eq!(attempt.answered(Class::TooLarge, "413"), None);
        assert_eq!(attempt.step(), Step::Send(vec![0, 1]));
        assert_eq!(attempt.answered(Class::Done, ""), None);
        assert_eq!(attempt.step(), Step::Send(vec![2, 3, 4]));
    }

    #[test]
    fn throttled_entries_inside_a_success_are_tried_again() {
        let mut attempt = Attempt::new(bundle(1), 0);
        let throttled = Class::Transient { after: Some(Duration::from_secs(1)) };
        let answers = [Class::Done, Class::Done, throttled, Class::Permanent].map(|c| (c, "x".to_owned()));
        let step = attempt.answered_each(&answers).unwrap();
        assert!(matches!(step, Step::RetryDestination { after: Some(_), .. }));
        assert_eq!(attempt.ends()[2], None);
        assert_eq!(attempt.ends()[3], Some(EntryEnd::Dead("x".to_owned())));
    }

    #[test]
    fn an_answer_that_leaves_entries_out_is_no_success() {
        let mut attempt = Attempt::new(bundle(0), 0);
        assert_eq!(attempt.answered_each(&[(Class::Done, String::new())]), Some(Step::RetryLane));
    }

    #[test]
    fn conflicts_are_tried_again_a_bounded_number_of_times() {
        let mut attempt = Attempt::new(bundle(0), BOUNDED_TRIES - 1);
        assert_eq!(attempt.answered(Class::Bounded, "409"), Some(Step::RetryLane));
        let mut attempt = Attempt::new(bundle(0), BOUNDED_TRIES);
        assert_eq!(attempt.answered(Class::Bounded, "409"), None);
        assert_eq!(attempt.step(), Step::Send(vec![0]));
    }

    proptest! {
        #[test]
        fn exactly_the_culprits_die_and_only_what_needs_them_is_held(
            results in 0_usize..40,
            picks in proptest::collection::vec(any::<prop::sample::Index>(), 0..4),
        ) {
            let items = bundle(results);
            let culprits: BTreeSet<usize> = picks.iter().map(|pick| pick.index(items.len())).collect();
            let culprits: Vec<usize> = culprits.into_iter().collect();
            let (ends, requests) = run(items.clone(), &culprits);
            for (n, end) in ends.iter().enumerate() {
                let held = items[n].depends_on.iter().any(|d| ends[*d] != EntryEnd::Delivered);
                let expected = match (held, culprits.contains(&n)) {
                    (true, _) => EntryEnd::Held,
                    (false, true) => EntryEnd::Dead("422".to_owned()),
                    (false, false) => EntryEnd::Delivered,
                };
                prop_assert_eq!(end, &expected);
            }
            prop_assert!(requests <= 2 * items.len() + 1);
        }
    }
}
