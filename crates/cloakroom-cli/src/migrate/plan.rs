//! The decision about one session: to write it to the target, or to skip it.

use cloakroom::{
    clock::{Clock, SystemClock, Timestamp},
    store::{Commit, Draft, Entry, RecordKey, StoredRecord},
};

use super::{Migration, SyncState, Version};
use crate::failure::Failure;

/// The result for one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CopyResult {
    Copied,
    Updated,
    Unchanged,
    /// Only the target has changed the session.
    NewerInTarget,
    /// The stores have different sessions, and the journal cannot tell which is newer.
    Different,
    /// The session has ended, in either store.
    Ended,
    /// The session has another key now, in either store, because its token was rotated.
    Rotated,
    /// The copy in the target is gone and the deadline in the journal has passed: the copy expired, or
    /// a visitor used it longer and ended it.
    Expired,
    Unreadable,
}

/// The next step for one session.
pub(super) enum Plan {
    /// Writes nothing. Has the state that the journal should note, if any.
    Skip(CopyResult, Option<SyncState>),
    Write {
        commit: Commit,
        source: StoredRecord,
        result: CopyResult,
    },
}

impl Migration<'_> {
    /// Compares both stores and the journal, and decides about the session under `key`.
    pub(super) async fn plan(&self, key: &RecordKey) -> Result<Plan, Failure> {
        let source = match self.from.load(key).await? {
            Some(Entry::Live(source)) => source,
            gone => return Ok(Plan::Skip(ending(gone.as_ref()), None)),
        };
        let Some(draft) = cloakroom::copy_record(&source, self.idle_timeout) else {
            return Ok(Plan::Skip(CopyResult::Unreadable, None));
        };
        let known = self.journal.get(key);
        let known_copy = known.and_then(|known| known.to);
        Ok(match self.to.load(key).await? {
            Some(Entry::Live(target)) => plan_for_both(key, known, source, &target, draft),
            gone @ Some(Entry::Tombstone { .. }) => Plan::Skip(ending(gone.as_ref()), None),
            // The copy ended before its deadline. After the deadline it may have expired, or a visitor
            // may have moved the deadline and signed out.
            None if known_copy.is_some_and(|copy| copy.expires > SystemClock.now()) => {
                Plan::Skip(CopyResult::Ended, None)
            }
            None if known_copy.is_some() && !self.copy_expired => {
                Plan::Skip(CopyResult::Expired, None)
            }
            None => {
                let commit = Commit::create(*key, draft);
                Plan::Write { commit, source, result: CopyResult::Copied }
            }
        })
    }
}

/// Returns the result for a session that is not live in a store, given the entry in its place.
fn ending(entry: Option<&Entry>) -> CopyResult {
    match entry {
        Some(Entry::Tombstone { successor: Some(_), .. }) => CopyResult::Rotated,
        _ => CopyResult::Ended,
    }
}

/// Decides about a session that is live in both stores.
fn plan_for_both(
    key: &RecordKey,
    known: Option<SyncState>,
    source: StoredRecord,
    target: &StoredRecord,
    mut draft: Draft,
) -> Plan {
    let (key, expected) = (*key, target.revision);
    let is_unchanged = |then: Option<Version>, now: &StoredRecord| {
        then.is_some_and(|then| then.revision == now.revision)
    };
    if source.bytes == target.bytes {
        if source.expires <= target.expires {
            let (from, to) = (Some(Version::of(&source)), Some(Version::of(target)));
            let state = SyncState { from, to, is_intent: false };
            return Plan::Skip(CopyResult::Unchanged, Some(state));
        }
        let commit = Commit::touch(key, expected, source.expires);
        return Plan::Write { commit, source, result: CopyResult::Updated };
    }
    match known {
        Some(known) if is_unchanged(known.to, target) => {
            // A visitor who has used the session in the target keeps the later deadline.
            draft.expires = draft.expires.max(target.expires);
            let commit = Commit::replace(key, expected, draft);
            Plan::Write { commit, source, result: CopyResult::Updated }
        }
        Some(known) if is_unchanged(known.from, &source) => {
            Plan::Skip(CopyResult::NewerInTarget, None)
        }
        _ => Plan::Skip(CopyResult::Different, None),
    }
}

/// Returns the deadline that a record has after a commit.
pub(super) fn deadline(commit: &Commit) -> Option<Timestamp> {
    match commit {
        Commit::Touch { expires, .. } => Some(*expires),
        commit => commit.draft().map(|draft| draft.expires),
    }
}
