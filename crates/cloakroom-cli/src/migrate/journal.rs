//! What earlier runs between two stores found and wrote, so that a later one, in either direction, can
//! tell what has changed since, and where.
//!
//! It is a log in the target of the first run, under a name that follows from both stores. Another
//! folder, server or prefix has no part in it, whatever the command's settings say.
//!
//! The first line names both stores, the one whose name sorts first in front. Then one line for each
//! session: record key, then revision (hexadecimal) and deadline (ms) in the first store and in the
//! second; `-` for what is not known. A line that begins with `?` was written before a write that may
//! or may not have come about. The last line of a key counts; a line that was cut short counts for
//! nothing.

use std::{collections::HashMap, fmt, num::ParseIntError};

use cloakroom::{
    clock::Timestamp,
    store::{OwnerKey, RecordKey, Revision, StoredRecord},
};

use super::side::Side;
use crate::failure::Failure;

const UNKNOWN: &str = "-";
const INTENDED: char = '?';

/// A record as a store had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) revision: Revision,
    pub(super) expires: Timestamp,
}

/// A session as both stores had it when a run was done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Synced {
    pub(super) from: Option<Seen>,
    pub(super) to: Option<Seen>,
    /// A write to the target was begun, of which this does not know yet.
    pub(super) intended: bool,
}

pub(super) struct Journal<'a> {
    /// The store that has it, and the other.
    sides: [&'a Side<'a>; 2],
    name: String,
    /// The first line, until there is one.
    title: Option<String>,
    /// Whether this run goes from the second store to the first.
    reversed: bool,
    synced: HashMap<RecordKey, Synced>,
}

impl Seen {
    pub(super) fn of(stored: &StoredRecord) -> Self {
        Self { revision: stored.revision, expires: stored.expires }
    }
}

impl<'a> Journal<'a> {
    /// Reads the journal of two stores, for a run from one to the other. A run backwards finds it in
    /// its source.
    pub(super) async fn open(from: &'a Side<'a>, to: &'a Side<'a>) -> Result<Self, Failure> {
        let mut names = [from.name(), to.name()];
        let reversed = names[0] > names[1];
        names.sort();
        let title = format!("cloakroom migration: {}", names.join(" | "));
        let name = format!("migration-{}", OwnerKey::of(&title));
        let (mut sides, mut lines) = ([to, from], to.read(&name).await?);
        if lines.is_empty() {
            let there = from.read(&name).await?;
            if !there.is_empty() {
                (sides, lines) = ([from, to], there);
            }
        }
        let synced = lines.iter().filter_map(|line| parse(line, reversed)).collect();
        Ok(Self { sides, name, title: Some(title).filter(|_| lines.is_empty()), reversed, synced })
    }

    /// Returns `true` if no earlier run left anything.
    pub(super) fn is_new(&self) -> bool {
        self.title.is_some()
    }

    /// Returns where it is, for messages.
    pub(super) fn shown(&self) -> String {
        self.sides[0].log_shown(&self.name)
    }

    pub(super) fn get(&self, key: &RecordKey) -> Option<Synced> {
        self.synced.get(key).copied()
    }

    pub(super) fn all(&self) -> Vec<(RecordKey, Synced)> {
        self.synced.iter().map(|(key, synced)| (*key, *synced)).collect()
    }

    /// Notes how sessions are. Returns when the store has it.
    pub(super) async fn note(&mut self, sessions: &[(RecordKey, Synced)]) -> Result<(), Failure> {
        let mut lines: Vec<_> = self.title.iter().cloned().collect();
        for (key, synced) in sessions {
            if self.synced.insert(*key, *synced) != Some(*synced) {
                lines.push(line(key, *synced, self.reversed));
            }
        }
        if sessions.is_empty() {
            return Ok(());
        }
        if self.title.is_some() {
            self.sides.iter().try_for_each(|side| side.keep_id())?;
        }
        self.sides[0].append(&self.name, &lines).await?;
        self.title = None;
        Ok(())
    }
}

fn line(key: &RecordKey, synced: Synced, reversed: bool) -> String {
    let Synced { mut from, mut to, intended } = synced;
    if reversed {
        std::mem::swap(&mut from, &mut to);
    }
    let mark = if intended { INTENDED.to_string() } else { String::new() };
    format!("{mark}{key} {} {}", Shown(from), Shown(to))
}

/// The two words of a store.
struct Shown(Option<Seen>);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => write!(f, "{UNKNOWN} {UNKNOWN}"),
            Some(Seen { revision, expires }) => {
                write!(f, "{:x} {}", revision.0, expires.as_millis())
            }
        }
    }
}

fn parse(line: &str, reversed: bool) -> Option<(RecordKey, Synced)> {
    let plain = line.strip_prefix(INTENDED);
    let words: Vec<_> = plain.unwrap_or(line).split(' ').collect();
    let [key, first_revision, first_expires, second_revision, second_expires] = words[..] else {
        return None;
    };
    let (mut from, mut to) =
        (seen(first_revision, first_expires).ok()?, seen(second_revision, second_expires).ok()?);
    if reversed {
        std::mem::swap(&mut from, &mut to);
    }
    Some((RecordKey::parse(key)?, Synced { from, to, intended: plain.is_some() }))
}

/// Two words: what a store had, or that nothing is known.
fn seen(revision: &str, expires: &str) -> Result<Option<Seen>, ParseIntError> {
    if (revision, expires) == (UNKNOWN, UNKNOWN) {
        return Ok(None);
    }
    let revision = Revision(u64::from_str_radix(revision, 16)?);
    let expires = Timestamp::from_millis(expires.parse()?);
    Ok(Some(Seen { revision, expires }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> RecordKey {
        RecordKey::from_bytes([byte; 32])
    }

    fn synced(revision: u64) -> Synced {
        let seen = |revision| {
            Some(Seen { revision: Revision(revision), expires: Timestamp::from_millis(9) })
        };
        Synced { from: seen(revision), to: seen(revision + 1), intended: false }
    }

    #[test]
    fn a_line_says_the_same_in_both_directions() {
        let intended = Synced { to: None, intended: true, ..synced(3) };
        for synced in [synced(1), intended] {
            let Synced { from, to, intended } = synced;
            let back = Synced { from: to, to: from, intended };
            for reversed in [false, true] {
                let line = line(&key(1), synced, reversed);
                assert_eq!(parse(&line, reversed), Some((key(1), synced)));
                assert_eq!(parse(&line, !reversed), Some((key(1), back)));
            }
        }
    }

    #[test]
    fn a_line_that_was_cut_anywhere_counts_for_nothing() {
        let whole = line(&key(1), synced(0x123), false);
        for cut in 0..whole.len() {
            assert_eq!(parse(&format!("{} cut", &whole[..cut]), false), None, "cut at {cut}");
        }
        let title = "cloakroom migration: file a | redis b";
        assert_eq!(parse(title, false), None);
    }
}
