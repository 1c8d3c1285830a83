//! Checks whether the results of concurrent steps are those of an order of single steps.

use std::collections::BTreeMap;

use crate::{
    Commit, Draft, Entry, Outcome, RecordKey, Revision, StoredRecord,
    clock::{Clock, FakeClock},
};

#[derive(Clone, Debug)]
pub(super) enum Call {
    Load(RecordKey),
    Commit(Commit),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Found(Option<Entry>),
    Outcome(Outcome),
    /// The outcome is unknown.
    Failed,
}

/// A call and its result, with the moments between which it took effect.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) call: Call,
    pub(super) told: Told,
    pub(super) invoked: u64,
    pub(super) returned: u64,
}

/// The contract of a store, one step at a time. No deadline passes.
#[derive(Clone, Debug, Default)]
pub(super) struct Contract(BTreeMap<RecordKey, Entry>);

impl Contract {
    pub(super) fn carry_out(&mut self, call: &Call) -> Told {
        match call.clone() {
            Call::Load(key) => Told::Found(self.0.get(&key).cloned()),
            Call::Commit(commit) => Told::Outcome(self.commit(commit)),
        }
    }

    fn commit(&mut self, commit: Commit) -> Outcome {
        match commit {
            Commit::Create { key, draft } => self.create(key, draft),
            Commit::Replace { key, expected, draft } => match self.live(key, Some(expected)) {
                Ok(stored) => self.put(key, draft, Revision(stored.revision.0 + 1)),
                Err(refused) => refused,
            },
            Commit::Touch { key, expected, expires } => match self.live(key, Some(expected)) {
                Ok(stored) => {
                    let revision = stored.revision;
                    let moved = StoredRecord::new(stored.bytes, revision, expires);
                    self.0.insert(key, Entry::Live(moved));
                    Outcome::Done(revision)
                }
                Err(refused) => refused,
            },
            Commit::Rotate { from, expected, to, draft, tombstone } => {
                match self.live(from, expected) {
                    Ok(_) => {
                        let created = self.create(to, draft);
                        if matches!(created, Outcome::Done(_)) {
                            self.0.insert(from, Entry::tombstone(expected.map(|_| to), tombstone));
                        }
                        created
                    }
                    Err(refused) => refused,
                }
            }
            Commit::Destroy { key, tombstone } => match self.live(key, None) {
                Ok(stored) => {
                    self.0.insert(key, Entry::tombstone(None, tombstone));
                    Outcome::Done(stored.revision)
                }
                Err(refused) => refused,
            },
        }
    }

    fn live(&self, key: RecordKey, expected: Option<Revision>) -> Result<StoredRecord, Outcome> {
        match self.0.get(&key) {
            Some(Entry::Live(stored))
                if expected.is_none_or(|expected| expected == stored.revision) =>
            {
                Ok(stored.clone())
            }
            Some(Entry::Live(stored)) => Err(Outcome::Conflict(stored.clone())),
            Some(Entry::Tombstone { .. }) | None => Err(Outcome::Gone),
        }
    }

    fn create(&mut self, key: RecordKey, draft: Draft) -> Outcome {
        if self.0.contains_key(&key) {
            return Outcome::Exists;
        }
        self.put(key, draft, Revision(FakeClock::default().now().as_millis() + 1))
    }

    fn put(&mut self, key: RecordKey, draft: Draft, revision: Revision) -> Outcome {
        let stored = StoredRecord::new(draft.bytes, revision, draft.expires);
        self.0.insert(key, Entry::Live(stored));
        Outcome::Done(revision)
    }
}

/// Returns whether there is an order of the operations in which the contract gives these results, and in
/// which no operation comes before one that had ended when it began.
pub(super) fn is_linearizable(before: &Contract, operations: &[Operation]) -> bool {
    let Some(first_return) = operations.iter().map(|operation| operation.returned).min() else {
        return true;
    };
    (0..operations.len()).any(|index| {
        let operation = &operations[index];
        if operation.invoked > first_return {
            return false;
        }
        let mut left = operations.to_vec();
        left.remove(index);
        let mut after = before.clone();
        let told = after.carry_out(&operation.call);
        match operation.told {
            Told::Failed => is_linearizable(&after, &left) || is_linearizable(before, &left),
            _ => told == operation.told && is_linearizable(&after, &left),
        }
    })
}
