//! Conservation: what was sent is what was acknowledged is what is accounted for, by control id.

use std::collections::{BTreeMap, BTreeSet};

use crate::gateway::Gateway;

/// What became of everything, by outcome.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Control ids by outcome.
    pub by_outcome: BTreeMap<String, BTreeSet<String>>,
    /// Captures without a control id, by outcome.
    pub without: BTreeMap<String, usize>,
}

/// Everything that a gateway has, by outcome. A control id that came several times counts by its best fate: a duplicate
/// of something delivered is delivered.
pub fn account(gateway: &Gateway) -> Account {
    let mut account = Account::default();
    for capture in gateway.captures() {
        let outcome = capture["outcome"].as_str().unwrap_or("?").to_owned();
        match capture["control_id"].as_str().filter(|id| !id.is_empty()) {
            Some(id) => {
                account.by_outcome.entry(outcome).or_default().insert(id.to_owned());
            }
            None => *account.without.entry(outcome).or_default() += 1,
        }
    }
    account
}

impl Account {
    /// How many control ids came to an outcome.
    pub fn count(&self, outcome: &str) -> usize {
        self.by_outcome.get(outcome).map_or(0, BTreeSet::len)
    }

    /// What is wrong with the account of what was sent and acknowledged; nothing when it is whole.
    pub fn faults(&self, sent: &BTreeSet<String>, acknowledged: &BTreeSet<String>) -> Vec<String> {
        let mut faults = Vec::new();
        let all: BTreeSet<String> = self.by_outcome.values().flatten().cloned().collect();
        let mut differ = |what: &str, a: &BTreeSet<String>, b: &BTreeSet<String>| {
            let missing: Vec<&String> = a.difference(b).take(5).collect();
            if !missing.is_empty() {
                faults.push(format!("{what}: {missing:?}"));
            }
        };
        differ("sent, not acknowledged", sent, acknowledged);
        differ("acknowledged, never sent", acknowledged, sent);
        differ("acknowledged, not accounted for", acknowledged, &all);
        differ("accounted for, never sent", &all, sent);
        for unsettled in ["pending", "waiting", "dead", "forgotten"] {
            if self.count(unsettled) > 0 {
                faults.push(format!("{} are {unsettled}", self.count(unsettled)));
            }
        }
        faults
    }
}
