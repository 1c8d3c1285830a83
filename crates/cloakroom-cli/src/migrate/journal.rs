//! The journal of the runs between two stores: the version of each session that both stores had at the
//! end of a run. A later run, in either direction, finds by it which store has changed a session since.
//!
//! The journal is a log in the target of the first run. Its name is derived from both stores, so that
//! another folder, server or key prefix never has the same journal.
//!
//! The first line names both stores in the order of their names. Each other line is about one session:
//! record key, then revision (hexadecimal) and deadline (ms) in the first store and in the second, with
//! `-` for an unknown one. A line that begins with `?` was written before a write to the target whose
//! result is unknown. The last line of a key counts. A truncated line is ignored.

use std::{collections::HashMap, fmt, num::ParseIntError};

use cloakroom::{
    clock::Timestamp,
    store::{OwnerKey, RecordKey, Revision, StoredRecord},
};

use super::endpoint::Endpoint;
use crate::failure::Failure;

const UNKNOWN: &str = "-";
const INTENDED: char = '?';

/// The version of a record in one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) revision: Revision,
    pub(super) expires: Timestamp,
}

/// The versions of a session in both stores at the end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SyncState {
    pub(super) from: Option<Version>,
    pub(super) to: Option<Version>,
    /// Whether a write to the target was begun whose result is not known yet.
    pub(super) is_intent: bool,
}

pub(super) struct Journal<'a> {
    /// The store that has the journal, and the other one.
    endpoints: [&'a Endpoint<'a>; 2],
    name: String,
    /// The first line, until it is written.
    title: Option<String>,
    /// Whether this run copies from the second store to the first.
    reversed: bool,
    states: HashMap<RecordKey, SyncState>,
}

impl Version {
    pub(super) fn of(stored: &StoredRecord) -> Self {
        Self { revision: stored.revision, expires: stored.expires }
    }
}

impl<'a> Journal<'a> {
    /// Reads the journal of two stores from the target, or from the source if this run goes back.
    pub(super) async fn open(
        from: &'a Endpoint<'a>,
        to: &'a Endpoint<'a>,
    ) -> Result<Self, Failure> {
        let mut names = [from.name(), to.name()];
        let reversed = names[0] > names[1];
        names.sort();
        let title = format!("cloakroom migration: {}", names.join(" | "));
        let name = format!("migration-{}", OwnerKey::of(&title));
        let (mut endpoints, mut lines) = ([to, from], to.read(&name).await?);
        if lines.is_empty() {
            let in_source = from.read(&name).await?;
            if !in_source.is_empty() {
                (endpoints, lines) = ([from, to], in_source);
            }
        }
        let states = lines.iter().filter_map(|line| parse(line, reversed)).collect();
        Ok(Self {
            endpoints,
            name,
            title: Some(title).filter(|_| lines.is_empty()),
            reversed,
            states,
        })
    }

    /// Returns `true` if no earlier run has written to the journal.
    pub(super) fn is_new(&self) -> bool {
        self.title.is_some()
    }

    /// Returns the location of the journal, for messages.
    pub(super) fn description(&self) -> String {
        self.endpoints[0].log_description(&self.name)
    }

    pub(super) fn get(&self, key: &RecordKey) -> Option<SyncState> {
        self.states.get(key).copied()
    }

    pub(super) fn all(&self) -> Vec<(RecordKey, SyncState)> {
        self.states.iter().map(|(key, state)| (*key, *state)).collect()
    }

    /// Has the store keep the journal for its whole time from now on.
    pub(super) async fn keep(&self) -> Result<(), Failure> {
        if self.is_new() { Ok(()) } else { self.endpoints[0].append(&self.name, &[]).await }
    }

    /// Writes the states of sessions to the store.
    pub(super) async fn note(
        &mut self,
        sessions: &[(RecordKey, SyncState)],
    ) -> Result<(), Failure> {
        let mut lines: Vec<_> = self.title.iter().cloned().collect();
        for (key, state) in sessions {
            if self.states.insert(*key, *state) != Some(*state) {
                lines.push(line(key, *state, self.reversed));
            }
        }
        if sessions.is_empty() {
            return Ok(());
        }
        if self.title.is_some() {
            self.endpoints.iter().try_for_each(|endpoint| endpoint.keep_id())?;
        }
        self.endpoints[0].append(&self.name, &lines).await?;
        self.title = None;
        Ok(())
    }
}

fn line(key: &RecordKey, state: SyncState, reversed: bool) -> String {
    let SyncState { mut from, mut to, is_intent } = state;
    if reversed {
        std::mem::swap(&mut from, &mut to);
    }
    let mark = if is_intent { INTENDED.to_string() } else { String::new() };
    format!("{mark}{key} {} {}", Words(from), Words(to))
}

/// Displays a version as the two words of a line.
struct Words(Option<Version>);

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => write!(f, "{UNKNOWN} {UNKNOWN}"),
            Some(Version { revision, expires }) => {
                write!(f, "{:x} {}", revision.0, expires.as_millis())
            }
        }
    }
}

fn parse(line: &str, reversed: bool) -> Option<(RecordKey, SyncState)> {
    let plain = line.strip_prefix(INTENDED);
    let words: Vec<_> = plain.unwrap_or(line).split(' ').collect();
    let [key, first_revision, first_expires, second_revision, second_expires] = words[..] else {
        return None;
    };
    let (mut from, mut to) = (
        version(first_revision, first_expires).ok()?,
        version(second_revision, second_expires).ok()?,
    );
    if reversed {
        std::mem::swap(&mut from, &mut to);
    }
    Some((RecordKey::parse(key)?, SyncState { from, to, is_intent: plain.is_some() }))
}

/// Parses the two words of a version. Returns `None` if they stand for an unknown one.
fn version(revision: &str, expires: &str) -> Result<Option<Version>, ParseIntError> {
    if (revision, expires) == (UNKNOWN, UNKNOWN) {
        return Ok(None);
    }
    let revision = Revision(u64::from_str_radix(revision, 16)?);
    let expires = Timestamp::from_millis(expires.parse()?);
    Ok(Some(Version { revision, expires }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> RecordKey {
        RecordKey::from_bytes([byte; 32])
    }

    fn state(revision: u64) -> SyncState {
        let version = |revision| {
            Some(Version { revision: Revision(revision), expires: Timestamp::from_millis(9) })
        };
        SyncState { from: version(revision), to: version(revision + 1), is_intent: false }
    }

    #[test]
    fn a_line_means_the_same_in_both_directions() {
        let intent = SyncState { to: None, is_intent: true, ..state(3) };
        for state in [state(1), intent] {
            let SyncState { from, to, is_intent } = state;
            let back = SyncState { from: to, to: from, is_intent };
            for reversed in [false, true] {
                let line = line(&key(1), state, reversed);
                assert_eq!(parse(&line, reversed), Some((key(1), state)));
                assert_eq!(parse(&line, !reversed), Some((key(1), back)));
            }
        }
    }

    #[test]
    fn a_truncated_line_is_ignored() {
        let whole = line(&key(1), state(0x123), false);
        for cut in 0..whole.len() {
            assert_eq!(parse(&format!("{} cut", &whole[..cut]), false), None, "cut at {cut}");
        }
        let title = "cloakroom migration: file a | redis b";
        assert_eq!(parse(title, false), None);
    }
}
