//! What earlier runs between two stores found and wrote, so that a later one, in either direction, can
//! tell what has changed since, and where.
//!
//! One line for each session: record key, then revision (hexadecimal) and deadline (ms) in the first
//! store and in the second, in the order of their names; `-` for what is not known. A line that begins
//! with `?` was written before a write that may or may not have come about. The last line of a key
//! counts; a line that was cut short counts for nothing.

use std::{
    collections::HashMap,
    fmt,
    fs::{File, OpenOptions},
    io::{self, Write},
    num::ParseIntError,
    path::{Path, PathBuf},
};

use cloakroom::{
    clock::Timestamp,
    store::{RecordKey, Revision, Stored},
};

use crate::{env_file, failure::Failure};

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

pub(super) struct Journal {
    path: PathBuf,
    /// None before there is something to remember.
    file: Option<File>,
    /// Whether this run goes from the second store to the first.
    reversed: bool,
    synced: HashMap<RecordKey, Synced>,
}

impl Seen {
    pub(super) fn of(stored: &Stored) -> Self {
        Self { revision: stored.revision, expires: stored.expires }
    }
}

impl Journal {
    /// The journal of two stores, for a run from one to the other.
    pub(super) fn open(path: PathBuf, from: &str, to: &str) -> Result<Self, Failure> {
        let failed = |error| Failure::new(format!("read the journal {}", path.display()), error);
        let text = env_file::read(&path).map_err(failed)?;
        let reversed = from > to;
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let synced = whole.filter_map(|line| parse(line.trim_end(), reversed)).collect();
        Ok(Self { path, file: None, reversed, synced })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn get(&self, key: &RecordKey) -> Option<Synced> {
        self.synced.get(key).copied()
    }

    pub(super) fn all(&self) -> Vec<(RecordKey, Synced)> {
        self.synced.iter().map(|(key, synced)| (*key, *synced)).collect()
    }

    pub(super) fn note(&mut self, key: &RecordKey, synced: Synced) -> Result<(), Failure> {
        if self.synced.insert(*key, synced) == Some(synced) {
            return Ok(());
        }
        let Synced { mut from, mut to, intended } = synced;
        if self.reversed {
            std::mem::swap(&mut from, &mut to);
        }
        let mark = if intended { INTENDED.to_string() } else { String::new() };
        let line = format!("{mark}{key} {} {}\n", Shown(from), Shown(to));
        let noted = self.file().and_then(|file| file.write_all(line.as_bytes()));
        noted.map_err(|error| Failure::new(format!("write {}", self.path.display()), error))
    }

    fn file(&mut self) -> io::Result<&mut File> {
        match &mut self.file {
            Some(file) => Ok(file),
            file @ None => Ok(file.insert(open_to_append(&self.path)?)),
        }
    }
}

/// Ends a line that was cut short, in a way that it still counts for nothing, so that it takes no other
/// along.
fn open_to_append(path: &Path) -> io::Result<File> {
    let is_cut = std::fs::read(path).is_ok_and(|text| !text.is_empty() && !text.ends_with(b"\n"));
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    if is_cut {
        file.write_all(b" cut\n")?;
    }
    Ok(file)
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
    fn what_was_noted_is_known_in_both_directions() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::open(path.clone(), "file", "redis").unwrap();
        assert!(!path.exists(), "nothing to remember yet");
        journal.note(&key(1), synced(1)).unwrap();
        let intended = Synced { to: None, intended: true, ..synced(3) };
        journal.note(&key(2), intended).unwrap();
        let again = Journal::open(path.clone(), "file", "redis").unwrap();
        assert_eq!((again.get(&key(1)), again.get(&key(2))), (Some(synced(1)), Some(intended)));
        let back = Journal::open(path, "redis", "file").unwrap().get(&key(1)).unwrap();
        assert_eq!((back.from, back.to), (synced(1).to, synced(1).from));
    }

    #[test]
    fn a_line_that_was_cut_anywhere_counts_for_nothing_and_takes_no_other_along() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        Journal::open(path.clone(), "a", "b").unwrap().note(&key(1), synced(0x123)).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for cut in 1..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut journal = Journal::open(path.clone(), "a", "b").unwrap();
            assert_eq!(journal.get(&key(1)), None, "cut at {cut}");
            journal.note(&key(2), synced(5)).unwrap();
            let again = Journal::open(path.clone(), "a", "b").unwrap();
            assert_eq!(again.get(&key(2)), Some(synced(5)), "cut at {cut}");
            assert_eq!(again.get(&key(1)), None, "cut at {cut}");
        }
    }
}
