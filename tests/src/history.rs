//! Checks whether the replies to concurrent clients of one record are possible one step at a time.
//!
//! A history is linearizable when its operations can be put into an order that a single client
//! would accept, and that puts no operation before one that had ended when it began. The search is
//! Wing and Gong's, with the configurations that were tried remembered (Lowe).

use std::{collections::HashSet, time::Duration};

use cloakroom::{
    clock::{Clock, SystemClock},
    store::{Commit, Draft, Entry, Outcome, RecordKey, Revision, Store, StoreError},
};

const HOUR: Duration = Duration::from_hours(1);

/// One operation of a client, with the moments between which it took effect.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// When it was asked for.
    pub invoked: u64,
    /// When its reply arrived.
    pub returned: u64,
    /// The request and its reply.
    pub told: Told,
}

/// A request of a client with its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// A record was created, with this revision.
    Created(Revision),
    /// The key was taken.
    Exists,
    /// A live record was there, of this revision.
    Loaded(Revision),
    /// Nothing live was there.
    LoadedNothing,
    /// The first revision was replaced by the second.
    Replaced(Revision, Revision),
    /// The record had another revision than the first: the second.
    Conflict(Revision, Revision),
    /// There was nothing to change.
    Gone,
    /// The record was destroyed.
    Destroyed,
    /// A creation ended with an error: it took effect at some time, or never will.
    MaybeCreated,
    /// A replacement of this revision ended with an error.
    MaybeReplaced(Revision),
    /// A destroy ended with an error.
    MaybeDestroyed,
}

impl Told {
    /// Returns the revision that the operation wrote, as its client knows.
    fn written(self) -> Option<Revision> {
        match self {
            Self::Created(revision) | Self::Replaced(_, revision) => Some(revision),
            _ => None,
        }
    }

    /// Returns the revision that the operation read.
    fn seen(self) -> Option<Revision> {
        match self {
            Self::Loaded(revision) | Self::Conflict(_, revision) => Some(revision),
            _ => None,
        }
    }

    fn is_certain(self) -> bool {
        !matches!(self, Self::MaybeCreated | Self::MaybeReplaced(_) | Self::MaybeDestroyed)
    }
}

/// The model: a register that is created once and destroyed once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum State {
    Absent,
    Live(Revision),
    Dead,
}

/// The revision of a write that no read has seen.
const UNSEEN: Revision = Revision(0);

impl State {
    /// Returns the states that may follow a step. `orphans` are the revisions that somebody saw and
    /// no client knows to have written.
    fn all_after(self, told: Told, orphans: &[Revision]) -> Vec<Self> {
        let written = || orphans.iter().copied().chain([UNSEEN]).map(Self::Live).collect();
        match (self, told) {
            (Self::Absent, Told::MaybeCreated) => written(),
            (Self::Live(now), Told::MaybeReplaced(expected)) if now == expected => written(),
            (Self::Live(_), Told::MaybeDestroyed) => vec![Self::Dead],
            _ => self.after(told).into_iter().collect(),
        }
    }

    /// Returns the state after a step with a known outcome, if its reply is right in this state.
    fn after(self, told: Told) -> Option<Self> {
        match (self, told) {
            (Self::Absent, Told::Created(revision)) => Some(Self::Live(revision)),
            (Self::Live(_) | Self::Dead, Told::Exists)
            | (Self::Absent | Self::Dead, Told::LoadedNothing | Told::Gone) => Some(self),
            (Self::Live(now), Told::Loaded(seen)) if now == seen => Some(self),
            (Self::Live(now), Told::Replaced(expected, next)) if now == expected => {
                Some(Self::Live(next))
            }
            (Self::Live(now), Told::Conflict(expected, seen)) if now == seen && now != expected => {
                Some(self)
            }
            (Self::Live(_), Told::Destroyed) => Some(Self::Dead),
            _ => None,
        }
    }
}

/// Whether the operations, all of one key that was free at first, are linearizable.
pub fn is_linearizable(operations: &[Operation]) -> bool {
    let written: HashSet<_> = operations.iter().filter_map(|it| it.told.written()).collect();
    let seen: HashSet<_> = operations.iter().filter_map(|it| it.told.seen()).collect();
    let orphans: Vec<_> = seen.difference(&written).copied().collect();
    let mut tried = HashSet::new();
    let mut open = vec![(vec![false; operations.len()], State::Absent)];
    while let Some((done, state)) = open.pop() {
        let left = || operations.iter().enumerate().filter(|(index, _)| !done[*index]);
        let certain = left().filter(|(_, operation)| operation.told.is_certain());
        let Some(first_return) = certain.map(|(_, operation)| operation.returned).min() else {
            return true;
        };
        for (index, operation) in left().filter(|(_, operation)| operation.invoked <= first_return)
        {
            for next in state.all_after(operation.told, &orphans) {
                let mut done = done.clone();
                done[index] = true;
                if tried.insert((done.clone(), next)) {
                    open.push((done, next));
                }
            }
        }
    }
    false
}

/// Makes a random step on a record, as `dice` from 0 to 99 says, and updates the revision that its client
/// knows.
///
/// # Errors
/// When the store fails.
pub async fn step(
    store: &dyn Store,
    key: RecordKey,
    dice: u64,
    known: &mut Revision,
) -> Result<Told, StoreError> {
    let (expected, now) = (*known, SystemClock.now());
    let draft = Draft::new(dice.to_string(), now, HOUR);
    let commit = match dice {
        0..20 => Commit::create(key, draft),
        20..50 => {
            return Ok(match store.load(&key).await? {
                Some(Entry::Live(stored)) => {
                    *known = stored.revision;
                    Told::Loaded(stored.revision)
                }
                _ => Told::LoadedNothing,
            });
        }
        50..98 => Commit::replace(key, expected, draft),
        _ => Commit::destroy(key, now + HOUR),
    };
    let outcome = store.commit(commit.clone()).await?;
    Ok(match (outcome, commit) {
        (Outcome::Done(_), Commit::Destroy { .. }) => Told::Destroyed,
        (Outcome::Done(revision), Commit::Create { .. }) => {
            *known = revision;
            Told::Created(revision)
        }
        (Outcome::Done(revision), _) => {
            *known = revision;
            Told::Replaced(expected, revision)
        }
        (Outcome::Conflict(stored), _) => {
            *known = stored.revision;
            Told::Conflict(expected, stored.revision)
        }
        (Outcome::Gone, _) => Told::Gone,
        (Outcome::Exists, _) => Told::Exists,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Revision = Revision(1);
    const TWO: Revision = Revision(2);

    fn at(invoked: u64, returned: u64, told: Told) -> Operation {
        Operation { invoked, returned, told }
    }

    #[test]
    fn what_could_have_happened_is_accepted() {
        let overlapping = [
            at(0, 1, Told::Created(ONE)),
            at(2, 9, Told::Replaced(ONE, TWO)),
            at(3, 5, Told::Loaded(TWO)),
            at(2, 8, Told::Loaded(ONE)),
            at(4, 9, Told::Conflict(ONE, TWO)),
            at(10, 11, Told::Destroyed),
            at(12, 13, Told::LoadedNothing),
        ];
        assert!(is_linearizable(&overlapping));
        assert!(is_linearizable(&[]));
    }

    #[test]
    fn a_write_without_an_outcome_is_there_at_some_time_or_never() {
        let begun = [at(0, 1, Told::Created(ONE)), at(2, 3, Told::MaybeReplaced(ONE))];
        let seen = [at(4, 5, Told::Loaded(ONE)), at(6, 7, Told::Loaded(TWO))];
        assert!(is_linearizable(&begun));
        assert!(is_linearizable(&[&begun[..], &seen].concat()), "it was late");
        assert!(!is_linearizable(&[&begun[..], &seen, &[at(8, 9, Told::Loaded(ONE))]].concat()));
        assert!(!is_linearizable(&[&begun[..1], &seen].concat()), "nobody has written it");
        assert!(!is_linearizable(&[&begun[..], &[at(4, 5, Told::Gone)]].concat()));
        let ended = [begun[0], at(2, 3, Told::MaybeDestroyed), at(4, 5, Told::Gone)];
        assert!(is_linearizable(&ended));
        assert!(!is_linearizable(&[&ended[..], &[at(6, 7, Told::Loaded(ONE))]].concat()));
        assert!(is_linearizable(&[at(0, 1, Told::MaybeCreated), at(2, 3, Told::Loaded(ONE))]));
    }

    #[test]
    fn a_stale_read_a_lost_update_and_a_resurrection_are_rejected() {
        let begun = [at(0, 1, Told::Created(ONE)), at(2, 3, Told::Replaced(ONE, TWO))];
        for impossible in [
            at(4, 5, Told::Loaded(ONE)),
            at(4, 5, Told::Replaced(ONE, Revision(3))),
            at(4, 5, Told::Gone),
            at(4, 5, Told::Created(Revision(3))),
            at(4, 5, Told::LoadedNothing),
        ] {
            assert!(!is_linearizable(&[begun[0], begun[1], impossible]), "{impossible:?}");
        }
        let dead = at(4, 5, Told::Destroyed);
        for resurrection in [Told::Loaded(TWO), Told::Replaced(TWO, ONE), Told::Created(ONE)] {
            assert!(!is_linearizable(&[begun[0], begun[1], dead, at(6, 7, resurrection)]));
        }
    }
}
