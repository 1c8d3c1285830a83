//! The decision about one session, from what both stores and the journal have of it.

use cloakroom::{
    clock::{Clock, SystemClock, Timestamp},
    store::{Commit, Entry, RecordKey, Revision, StoredRecord},
};
use futures_util::future::try_join;

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
    /// The source has listed the session and does not return it: it has expired, or is unreadable.
    Missing,
    /// The target has no copy, and one may have ended there: the deadline in the journal has passed, or an
    /// interrupted run began to write the copy.
    Expired,
    /// The source has a record that cannot be copied.
    Unreadable,
    /// The target has something under the key that it does not return.
    UnreadableInTarget,
}

/// The decision of a run about one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Creates it in the target.
    Create,
    /// Replaces the target's record. The deadline is the later one, because a visitor may have used the
    /// session in the target.
    Replace { expected: Revision, expires: Timestamp },
    /// Moves the deadline of the target's record, which is the same otherwise.
    Touch { expected: Revision },
    /// Ends it in the target at the end of the run, because it has left the source in this way.
    Remove(CopyResult),
    /// Leaves it as it is.
    Skip(CopyResult),
}

/// The state of a session in both stores and in the journal.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) source: Option<Entry>,
    pub(super) target: Option<Entry>,
    pub(super) known: Option<SyncState>,
}

/// The next step of copying one session.
pub(super) enum Plan {
    /// Writes nothing. Has the state that the journal should note, if any.
    Skip(CopyResult, Option<SyncState>),
    Write {
        commit: Commit,
        /// The deadline that the record then has in the target.
        expires: Timestamp,
        source: StoredRecord,
        result: CopyResult,
    },
}

impl Facts {
    /// Decides about the session. `copies_expired` copies it again although a copy may have ended in the
    /// target.
    pub(super) fn decide(&self, now: Timestamp, copies_expired: bool) -> Decision {
        let known_copy = self.known.and_then(|known| known.to);
        match (&self.source, &self.target) {
            (Some(Entry::Live(source)), Some(Entry::Live(target))) => self.compare(source, target),
            (Some(Entry::Live(_)), tombstone @ Some(_)) => Decision::Skip(left(tombstone.as_ref())),
            // The copy ended before its deadline. After the deadline it may have expired, or a visitor may
            // have moved the deadline and signed out. The same holds if a run began to write it.
            (Some(Entry::Live(_)), None) => match known_copy {
                Some(copy) if copy.expires > now => Decision::Skip(CopyResult::Ended),
                _ if self.known.is_none() || copies_expired => Decision::Create,
                _ => Decision::Skip(CopyResult::Expired),
            },
            (gone, Some(Entry::Live(target))) if self.is_copy(target, now) => {
                Decision::Remove(left(gone.as_ref()))
            }
            (gone, _) => Decision::Skip(left(gone.as_ref())),
        }
    }

    /// Returns `true` if the target's record is as a run wrote it, from a record whose deadline has not passed.
    fn is_copy(&self, target: &StoredRecord, now: Timestamp) -> bool {
        self.known.is_some_and(|known| {
            known.from.is_some_and(|from| from.expires > now)
                && (known.is_intent || known.to == Some(Version::of(target)))
        })
    }

    /// Decides about a session that is live in both stores.
    fn compare(&self, source: &StoredRecord, target: &StoredRecord) -> Decision {
        let is_unchanged = |then: Option<Version>, now: &StoredRecord| {
            then.is_some_and(|then| then.revision == now.revision)
        };
        match self.known {
            _ if source.bytes == target.bytes && source.expires <= target.expires => {
                Decision::Skip(CopyResult::Unchanged)
            }
            _ if source.bytes == target.bytes => Decision::Touch { expected: target.revision },
            Some(known) if is_unchanged(known.to, target) => Decision::Replace {
                expected: target.revision,
                expires: source.expires.max(target.expires),
            },
            Some(known) if is_unchanged(known.from, source) => {
                Decision::Skip(CopyResult::NewerInTarget)
            }
            _ => Decision::Skip(CopyResult::Different),
        }
    }

    /// Returns `true` if a session of the journal is live in a store, and its deadline has not passed.
    pub(super) fn is_live(&self, now: Timestamp) -> bool {
        let is_live = |entry: &Option<Entry>| matches!(entry, Some(Entry::Live(_)));
        let is_current = |known: SyncState| known.from.is_some_and(|from| from.expires > now);
        self.known.is_some_and(is_current) && (is_live(&self.source) || is_live(&self.target))
    }
}

/// Returns how a session has left a store that has this entry in its place.
fn left(entry: Option<&Entry>) -> CopyResult {
    match entry {
        None => CopyResult::Missing,
        Some(Entry::Tombstone { successor: Some(_), .. }) => CopyResult::Rotated,
        Some(_) => CopyResult::Ended,
    }
}

impl Migration<'_> {
    /// Reads what both stores have of a session.
    pub(super) async fn facts(
        &self,
        key: &RecordKey,
        known: Option<SyncState>,
    ) -> Result<Facts, Failure> {
        let (source, target) = try_join(self.from.load(key), self.to.load(key)).await?;
        Ok(Facts { source, target, known })
    }

    /// Decides about a session that the source has listed, and prepares the write. `known` is from the journal
    /// as it was before this run.
    pub(super) async fn plan(
        &self,
        key: &RecordKey,
        known: Option<SyncState>,
    ) -> Result<Plan, Failure> {
        let facts = self.facts(key, known).await?;
        let decision = facts.decide(SystemClock.now(), self.copy_expired);
        let Facts { source: Some(Entry::Live(source)), target, .. } = facts else {
            return Ok(Plan::Skip(left(facts.source.as_ref()), None));
        };
        let keys = self.keys.as_ref();
        let Some(draft) = cloakroom::copy_record(key, &source, self.idle_timeout, keys) else {
            return Ok(Plan::Skip(CopyResult::Unreadable, None));
        };
        let (commit, expires, result) = match decision {
            Decision::Create => (Commit::create(*key, draft), source.expires, CopyResult::Copied),
            Decision::Replace { expected, expires } => {
                let commit = Commit::replace(*key, expected, draft.with_expires(expires));
                (commit, expires, CopyResult::Updated)
            }
            Decision::Touch { expected } => {
                let commit = Commit::touch(*key, expected, source.expires);
                (commit, source.expires, CopyResult::Updated)
            }
            Decision::Skip(result) | Decision::Remove(result) => {
                let state = match target {
                    Some(Entry::Live(target)) if result == CopyResult::Unchanged => {
                        Some(SyncState {
                            from: Some(Version::of(&source)),
                            to: Some(Version::of(&target)),
                            is_intent: false,
                        })
                    }
                    _ => None,
                };
                return Ok(Plan::Skip(result, state));
            }
        };
        Ok(Plan::Write { commit, expires, source, result })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 3;
    const GONE: [&str; 3] = ["missing", "ended", "rotated"];
    /// A record of the source. The deadline of `later` is after that of the target's record.
    const LIVE: [&str; 2] = ["live", "later"];
    /// A record of the target, with the bytes of the source's or with others.
    const COPY: [&str; 2] = ["same", "other"];
    /// The journal has the versions that the stores have now, or those before the change of one. `begun` and
    /// `updating` are intents.
    const JOURNAL: [&str; 8] = [
        "never",
        "begun",
        "updating",
        "synced",
        "source changed",
        "target changed",
        "both changed",
        "synced, expired",
    ];
    const SOURCE: (Revision, u64) = (Revision(1), 5);
    const TARGET: (Revision, u64) = (Revision(11), 6);

    /// Sources, targets, journals, and what is decided for each combination of them.
    type Row<'a> = (&'a [&'a str], &'a [&'a str], &'a [&'a str], Decision);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn entry(name: &str) -> Option<Entry> {
        let (source, target) = (SOURCE, TARGET);
        let live = |bytes: &'static str, (revision, expires)| {
            Some(Entry::Live(StoredRecord::new(bytes, revision, at(expires))))
        };
        match name {
            "ended" => Some(Entry::tombstone(None, at(9))),
            "rotated" => Some(Entry::tombstone(Some(RecordKey::from_bytes([1; 32])), at(9))),
            "live" => live("bytes", source),
            "later" => live("bytes", (source.0, target.1 + 1)),
            "same" => live("bytes", target),
            "other" => live("other bytes", target),
            _ => None,
        }
    }

    fn journal(name: &str) -> Option<SyncState> {
        let version =
            |(revision, expires): (Revision, u64)| Some(Version { revision, expires: at(expires) });
        let before = |(Revision(number), expires)| (Revision(number + 100), expires);
        let expired = |(revision, _)| (revision, NOW - 1);
        let (from, to) = match name {
            "never" => return None,
            "source changed" => (version(before(SOURCE)), version(TARGET)),
            "target changed" => (version(SOURCE), version(before(TARGET))),
            "both changed" => (version(before(SOURCE)), version(before(TARGET))),
            "synced, expired" => (version(expired(SOURCE)), version(expired(TARGET))),
            "begun" => (version(SOURCE), None),
            _ => (version(SOURCE), version(TARGET)),
        };
        Some(SyncState { from, to, is_intent: ["begun", "updating"].contains(&name) })
    }

    #[test]
    fn every_combination_has_one_decision() {
        use CopyResult::{Different, Ended, Expired, Missing, NewerInTarget, Rotated, Unchanged};
        use Decision::{Create, Remove, Replace, Skip, Touch};
        let expected = TARGET.0;
        let replace = |expires| Replace { expected, expires: at(expires) };
        let known_copy = ["updating", "synced", "source changed", "target changed", "both changed"];
        let is_copy = ["updating", "synced", "source changed", "synced, expired"];
        let is_removed = ["begun", "updating", "synced", "source changed"];
        let is_kept = ["never", "target changed", "both changed", "synced, expired"];
        let mut rows: Vec<Row<'_>> = vec![
            (&LIVE, &["missing"], &["never"], Create),
            (&LIVE, &["missing"], &["begun", "synced, expired"], Skip(Expired)),
            (&LIVE, &["missing"], &known_copy, Skip(Ended)),
            (&LIVE, &["ended"], &JOURNAL, Skip(Ended)),
            (&LIVE, &["rotated"], &JOURNAL, Skip(Rotated)),
            (&["live"], &["same"], &JOURNAL, Skip(Unchanged)),
            (&["later"], &["same"], &JOURNAL, Touch { expected }),
            (&["live"], &["other"], &is_copy, replace(TARGET.1)),
            (&["later"], &["other"], &is_copy, replace(TARGET.1 + 1)),
            (&LIVE, &["other"], &["begun", "target changed"], Skip(NewerInTarget)),
            (&LIVE, &["other"], &["never", "both changed"], Skip(Different)),
        ];
        for (source, left) in GONE.chunks(1).zip([Missing, Ended, Rotated]) {
            rows.push((source, &GONE, &JOURNAL, Skip(left)));
            rows.push((source, &COPY, &is_removed, Remove(left)));
            rows.push((source, &COPY, &is_kept, Skip(left)));
        }
        for source in GONE.iter().chain(&LIVE) {
            for target in GONE.iter().chain(&COPY) {
                for known in &JOURNAL {
                    let has = |names: &[&str], name| names.contains(name);
                    let found: Vec<_> = rows
                        .iter()
                        .filter(|row| has(row.0, source) && has(row.1, target) && has(row.2, known))
                        .collect();
                    let case = format!("{source}, {target}, {known}");
                    let [(_, _, _, decision)] = found[..] else { panic!("{case}: {found:?}") };
                    let facts = Facts {
                        source: entry(source),
                        target: entry(target),
                        known: journal(known),
                    };
                    assert_eq!(facts.decide(at(NOW), false), *decision, "{case}");
                    let again = if *decision == Skip(Expired) { Create } else { *decision };
                    assert_eq!(facts.decide(at(NOW), true), again, "{case}, copied again");
                }
            }
        }
    }
}
