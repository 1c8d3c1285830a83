//! What earlier runs wrote into the target, so that a later one can tell it from what the target's
//! application has written.
//!
//! One line for each write: record key, revision in the target, deadline in ms. The last line of a
//! key counts; a line that was cut short counts for nothing.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use cloakroom::{
    clock::Timestamp,
    store::{RecordKey, Revision, Stored},
};

use crate::{env_file, failure::Failure};

/// A record as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) revision: Revision,
    pub(super) expires: Timestamp,
}

impl Written {
    /// Whether `there` is it, neither written nor used since.
    pub(super) fn is(self, there: &Stored) -> bool {
        (there.revision, there.expires) == (self.revision, self.expires)
    }
}

pub(super) struct Journal {
    path: PathBuf,
    /// None before there is something to remember.
    file: Option<File>,
    written: HashMap<RecordKey, Written>,
}

impl Journal {
    pub(super) fn open(path: PathBuf) -> Result<Self, Failure> {
        let failed = |error| Failure::new(format!("read the journal {}", path.display()), error);
        let text = env_file::read(&path).map_err(failed)?;
        Ok(Self { written: text.lines().filter_map(parse).collect(), path, file: None })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn note(&mut self, key: &RecordKey, written: Written) -> Result<(), Failure> {
        if self.written.insert(*key, written) == Some(written) {
            return Ok(());
        }
        let Written { revision, expires } = written;
        let line = format!("{key} {:x} {}\n", revision.0, expires.as_millis());
        let noted = self.file().and_then(|file| file.write_all(line.as_bytes()));
        noted.map_err(|error| Failure::new(format!("write {}", self.path.display()), error))
    }

    fn file(&mut self) -> io::Result<&mut File> {
        match &mut self.file {
            Some(file) => Ok(file),
            file @ None => {
                let opened = OpenOptions::new().create(true).append(true).open(&self.path)?;
                Ok(file.insert(opened))
            }
        }
    }

    /// Whether `there` is as an earlier run wrote it. A use of the session alone does not change
    /// that: the source may still have a newer record.
    pub(super) fn wrote(&self, key: &RecordKey, there: &Stored) -> bool {
        self.written.get(key).is_some_and(|written| written.revision == there.revision)
    }

    pub(super) fn all(&self) -> Vec<(RecordKey, Written)> {
        self.written.iter().map(|(key, written)| (*key, *written)).collect()
    }
}

fn parse(line: &str) -> Option<(RecordKey, Written)> {
    let mut words = line.split(' ');
    let key = RecordKey::parse(words.next()?)?;
    let revision = Revision(u64::from_str_radix(words.next()?, 16).ok()?);
    let expires = Timestamp::from_millis(words.next()?.parse().ok()?);
    Some((key, Written { revision, expires }))
}
