//! A shard, which is one of the 256 folders of records, and the steps that change it under its lock.

use std::{
    cell::{Cell, RefCell},
    fs::File,
    io,
    os::unix::fs::FileExt,
    time::Duration,
};

use bytes::Bytes;
use rustix::fs::Stat;

use crate::{
    folder::{Folder, Lock, Opened},
    format::{HEADER, Header, Kind, decode, encode, is_genuine, is_of_later_version, is_whole},
    names::{file_name, key_of_file},
    owners::Owners,
};
use cloakroom_store::{
    Commit, Draft, Entry, Outcome, OwnerKey, RecordKey, Revision, StoredRecord, clock::Timestamp,
};

/// The end of the name of an unreadable file, behind the time when it was set aside.
const SET_ASIDE: &str = ".corrupt";
/// The time that such a file is kept for an operator to examine.
const KEPT_ASIDE: Duration = Duration::from_secs(24 * 3_600);

/// The log message about a file of a later version.
pub(super) const LATER_VERSION: &str = "ignoring a session file that a later version of the library wrote; \
    the file stays";

/// The time that a step waits for the step of another process.
const TIMEOUT: Duration = Duration::from_secs(4);

/// A shard's folder. Reading needs no lock.
pub(super) struct Shard {
    folder: Folder,
}

/// A shard whose lock is held, which steps that change it need.
pub(super) struct Locked<'a> {
    pub(super) shard: Shard,
    pub(super) now: Timestamp,
    pub(super) flushed: bool,
    pub(super) owners: &'a Owners,
    /// Whether a file was renamed since the last flush of the folder.
    renamed: Cell<bool>,
    /// The entries of owners that are removed after the next flush.
    disowned: RefCell<Vec<(OwnerKey, RecordKey)>>,
    _lock: Lock,
}

/// The file under a key, whether its record is live or not.
pub(super) enum Content<R> {
    /// No file.
    Nothing,
    /// A link, a folder or another user's file. It stays, so no record can have this key.
    Foreign,
    /// A file that a later version of the library wrote. It stays, because that version may run
    /// beside this one.
    LaterVersion,
    /// A damaged file, or one that was written under another name.
    Corrupt,
    /// An undamaged file.
    Whole(Header, R),
}

impl Content<()> {
    /// Returns the header of an undamaged file.
    pub(super) fn header(self) -> Option<Header> {
        match self {
            Self::Whole(header, ()) => Some(header),
            Self::Nothing | Self::Foreign | Self::LaterVersion | Self::Corrupt => None,
        }
    }
}

/// Returns `true` for the name of a file that was set aside at least [`KEPT_ASIDE`] ago.
pub(super) fn is_aside_too_long(name: &str, now: Timestamp) -> bool {
    let parts = name.strip_suffix(SET_ASIDE).and_then(|name| name.split_once('.'));
    let since = parts.filter(|(key, _)| key_of_file(key).is_some());
    let since = since.and_then(|(_, since)| since.parse().ok()).map(Timestamp::from_millis);
    since.is_some_and(|since| since + KEPT_ASIDE <= now)
}

impl Shard {
    pub(super) fn new(folder: Folder) -> Self {
        Self { folder }
    }

    pub(super) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Loads the live record or tombstone under `key`. Sets an unreadable file aside, so that it is
    /// reported once and the key can be used again.
    pub(super) fn load(&self, key: &RecordKey, now: Timestamp) -> io::Result<Option<Entry>> {
        match self.content(key)? {
            Content::Nothing => Ok(None),
            Content::Foreign => {
                tracing::warn!(
                    ?key,
                    "ignoring a link, a folder or another user's file in the place of a session file"
                );
                Ok(None)
            }
            Content::LaterVersion => {
                tracing::warn!(?key, "{LATER_VERSION}");
                Ok(None)
            }
            Content::Corrupt => {
                self.set_aside(key, now);
                Ok(None)
            }
            Content::Whole(header, record) => self.found(key, header, record, now),
        }
    }

    fn content(&self, key: &RecordKey) -> io::Result<Content<Bytes>> {
        Ok(match self.folder.entry(&file_name(key))? {
            Opened::Nothing => Content::Nothing,
            Opened::Foreign => Content::Foreign,
            Opened::File(file, about) => read(key, &file, &about)?,
        })
    }

    fn found(
        &self,
        key: &RecordKey,
        header: Header,
        record: Bytes,
        now: Timestamp,
    ) -> io::Result<Option<Entry>> {
        found(header, record, now, |from| self.was_rotated(from, key))
    }

    /// Returns `true` if the rotation `from` → `to` was completed. The record under `to` was read and
    /// depends on it.
    pub(super) fn was_rotated(&self, from: &RecordKey, to: &RecordKey) -> io::Result<bool> {
        let before = self.header(from)?.header();
        if before.is_some_and(|header| header.kind.made_live() == Some(to)) {
            return Ok(true);
        }
        // The sweep may have detached the record since it was read, and removed the tombstone.
        let after = self.header(to)?.header();
        Ok(after.is_some_and(|header| header.kind == detached()))
    }

    /// Writes the record under `to` again if it depends on the tombstone under `from`. It then stays
    /// live without the tombstone.
    pub(super) fn detach(&self, to: &RecordKey, from: &RecordKey, flushed: bool) -> io::Result<()> {
        if !self.depends(to, from)? {
            return Ok(());
        }
        let _lock = self.take_lock()?;
        self.detach_locked(to, from, flushed)
    }

    fn detach_locked(&self, to: &RecordKey, from: &RecordKey, flushed: bool) -> io::Result<()> {
        let Content::Whole(header, record) = self.content(to)? else { return Ok(()) };
        if header.kind != (Kind::Record { rotated_from: Some(*from) }) {
            return Ok(());
        }
        let header = Header { kind: detached(), ..header };
        self.folder.put(&file_name(to), &encode(to, &header, &record), flushed)?;
        if flushed { self.folder.flush() } else { Ok(()) }
    }

    /// Returns `true` if the record under `to` is live because of the tombstone under `from`.
    pub(super) fn depends(&self, to: &RecordKey, from: &RecordKey) -> io::Result<bool> {
        let header = self.header(to)?.header();
        Ok(header.is_some_and(|header| header.kind == Kind::Record { rotated_from: Some(*from) }))
    }

    /// Returns the header of the file under `key`. Does not check the record.
    pub(super) fn header(&self, key: &RecordKey) -> io::Result<Content<()>> {
        let file = match self.folder.entry(&file_name(key))? {
            Opened::Nothing => return Ok(Content::Nothing),
            Opened::Foreign => return Ok(Content::Foreign),
            Opened::File(file, _) => file,
        };
        let mut front = [0; HEADER];
        match file.read_exact_at(&mut front, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok(Content::Corrupt);
            }
            read => read?,
        }
        Ok(match decode(&front).filter(|_| is_genuine(key, &front)) {
            Some(header) => Content::Whole(header, ()),
            None if is_of_later_version(&front) => Content::LaterVersion,
            None => Content::Corrupt,
        })
    }

    pub(super) fn set_aside(&self, key: &RecordKey, now: Timestamp) {
        tracing::warn!(?key, "setting an unreadable session file aside");
        if let Err(error) = self.try_set_aside(key, now) {
            tracing::warn!(?key, %error, "could not set a session file aside");
        }
    }

    /// Gives an unreadable file another name, unless a readable one has replaced it.
    fn try_set_aside(&self, key: &RecordKey, now: Timestamp) -> io::Result<()> {
        let _lock = self.take_lock()?;
        let name = file_name(key);
        if matches!(self.content(key)?, Content::Corrupt) {
            self.folder.rename(&name, &format!("{name}.{}{SET_ASIDE}", now.as_millis()))?;
        }
        Ok(())
    }

    /// Takes this shard's lock.
    pub(super) fn take_lock(&self) -> io::Result<Lock> {
        self.folder.lock(TIMEOUT)
    }

    pub(super) fn lock(
        self,
        now: Timestamp,
        flushed: bool,
        owners: &Owners,
    ) -> io::Result<Locked<'_>> {
        let lock = self.take_lock()?;
        let (renamed, disowned) = Default::default();
        Ok(Locked { shard: self, now, flushed, owners, renamed, disowned, _lock: lock })
    }
}

/// Reads a file in one piece, because a file never changes its size once it has its name.
fn read(key: &RecordKey, file: &File, about: &Stat) -> io::Result<Content<Bytes>> {
    let size = usize::try_from(about.st_size).unwrap_or_default();
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size)?;
    bytes.resize(size, 0);
    match file.read_exact_at(&mut bytes, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Content::Corrupt),
        read => read?,
    }
    let Some((front, record)) = bytes.split_first_chunk::<HEADER>() else {
        return Ok(Content::Corrupt);
    };
    Ok(match decode(front) {
        Some(header) if is_whole(key, front, record) => {
            Content::Whole(header, Bytes::from(bytes).split_off(HEADER))
        }
        None if is_of_later_version(front) => Content::LaterVersion,
        _ => Content::Corrupt,
    })
}

/// Returns the live record or tombstone of a file. `was_rotated` returns whether the rotation from its
/// argument to the key of this file was completed.
pub(super) fn found(
    header: Header,
    record: Bytes,
    now: Timestamp,
    was_rotated: impl FnOnce(&RecordKey) -> io::Result<bool>,
) -> io::Result<Option<Entry>> {
    if header.expires <= now {
        return Ok(None);
    }
    let Header { revision, expires, .. } = header;
    Ok(match header.kind {
        Kind::Tombstone { successor } => Some(Entry::tombstone(successor, expires)),
        Kind::Replaced { .. } => Some(Entry::tombstone(None, expires)),
        Kind::Record { rotated_from: Some(from) } if !was_rotated(&from)? => None,
        Kind::Record { .. } => Some(Entry::Live(StoredRecord::new(record, revision, expires))),
    })
}

/// A live record that a step found.
struct Live {
    stored: StoredRecord,
    header: Header,
}

impl Locked<'_> {
    /// Carries out a commit, which is durable after [`finish`](Self::finish).
    pub(super) fn carry_out(&self, commit: Commit) -> io::Result<Outcome> {
        match commit {
            Commit::Create { key, draft, .. } => self.create(&key, draft, None),
            Commit::Replace { key, expected, draft, .. } => {
                self.change(&key, Some(expected), |live| {
                    self.write(
                        &key,
                        draft,
                        Revision(live.stored.revision.0 + 1),
                        None,
                        &live.header,
                    )
                })
            }
            Commit::Touch { key, expected, expires, .. } => {
                self.change(&key, Some(expected), |live| {
                    let StoredRecord { bytes, revision, .. } = live.stored;
                    let header = Header { expires, kind: detached(), ..live.header };
                    self.put(&key, &header, &bytes)?;
                    Ok(Outcome::Done(revision))
                })
            }
            Commit::Destroy { key, tombstone, .. } => self.change(&key, None, |live| {
                self.destroy(&key, &live.header, tombstone)?;
                Ok(Outcome::Done(live.stored.revision))
            }),
            Commit::Rotate { from, expected, to, draft, tombstone, .. } => {
                self.change(&from, expected, |live| {
                    let created = self.create(&to, draft, Some(from))?;
                    if matches!(created, Outcome::Done(_)) {
                        self.flush()?;
                        // This one step ends the old record and makes the new one live.
                        let kind = match expected {
                            Some(_) => Kind::Tombstone { successor: Some(to) },
                            None => Kind::Replaced { by: Some(to) },
                        };
                        self.bury(&from, &live.header, kind, tombstone)?;
                    }
                    Ok(created)
                })
            }
        }
    }

    fn create(
        &self,
        key: &RecordKey,
        draft: Draft,
        rotated_from: Option<RecordKey>,
    ) -> io::Result<Outcome> {
        let unowned = Header {
            kind: detached(),
            expires: self.now,
            // The clock's time, because a reader of an earlier record under this key must not mistake
            // this one for it.
            revision: Revision(self.now.as_millis()),
            owner: None,
        };
        let before = match self.shard.content(key)? {
            Content::Nothing | Content::Corrupt => unowned,
            Content::Foreign | Content::LaterVersion => return Ok(Outcome::Exists),
            Content::Whole(header, _) if header.expires > self.now => return Ok(Outcome::Exists),
            Content::Whole(header, _) => header,
        };
        if let Some(to) = before.kind.made_live() {
            self.shard.detach_locked(to, key, self.flushed)?;
        }
        let revision = Revision(before.revision.0.max(self.now.as_millis()) + 1);
        self.write(key, draft, revision, rotated_from, &before)
    }

    /// Applies `step` to a live record of the expected revision.
    fn change(
        &self,
        key: &RecordKey,
        expected: Option<Revision>,
        step: impl FnOnce(Live) -> io::Result<Outcome>,
    ) -> io::Result<Outcome> {
        let Content::Whole(header, record) = self.shard.content(key)? else {
            return Ok(Outcome::Gone);
        };
        let Some(Entry::Live(stored)) = self.shard.found(key, header.clone(), record, self.now)?
        else {
            return Ok(Outcome::Gone);
        };
        if expected.is_some_and(|expected| expected != stored.revision) {
            return Ok(Outcome::Conflict(stored));
        }
        step(Live { stored, header })
    }

    fn write(
        &self,
        key: &RecordKey,
        draft: Draft,
        revision: Revision,
        rotated_from: Option<RecordKey>,
        before: &Header,
    ) -> io::Result<Outcome> {
        let Draft { bytes, expires, owner, .. } = draft;
        if let Some(owner) = owner.filter(|_| owner != before.owner) {
            self.owners.add(&owner, key, self.flushed)?;
            self.disowned.borrow_mut().retain(|entry| *entry != (owner, *key));
        }
        let header = Header { kind: Kind::Record { rotated_from }, expires, revision, owner };
        self.put(key, &header, &bytes)?;
        if let Some(before) = before.owner.filter(|_| owner != before.owner) {
            self.disowned.borrow_mut().push((before, *key));
        }
        Ok(Outcome::Done(revision))
    }

    fn destroy(&self, key: &RecordKey, live: &Header, until: Timestamp) -> io::Result<()> {
        let tombstone = Kind::Tombstone { successor: None };
        if let Err(error) = self.bury(key, live, tombstone, until) {
            // A logout has to work on a full disk. Without the tombstone, the key has no record, and
            // a concurrent request cannot change it either.
            tracing::warn!(%error, "could not write a tombstone; deleting the session file instead");
            self.shard.folder.remove(&file_name(key))?;
            self.renamed.set(true);
            self.flush()?;
        }
        self.owners.remove(live.owner, key);
        Ok(())
    }

    fn bury(&self, key: &RecordKey, live: &Header, kind: Kind, until: Timestamp) -> io::Result<()> {
        // The owner stays in the tombstone, so that the sweep finds the entry in the index.
        let tombstone = Header { kind, expires: until, ..live.clone() };
        self.put(key, &tombstone, &[])?;
        self.flush()
    }

    fn put(&self, key: &RecordKey, header: &Header, record: &[u8]) -> io::Result<()> {
        self.shard.folder.put(&file_name(key), &encode(key, header, record), self.flushed)?;
        self.renamed.set(true);
        Ok(())
    }

    /// Flushes the folder if files were renamed and this store is durable.
    fn flush(&self) -> io::Result<()> {
        if self.renamed.replace(false) && self.flushed { self.shard.folder.flush() } else { Ok(()) }
    }

    /// Makes all commits since the lock was taken durable and releases the lock. An error concerns all of
    /// them.
    pub(super) fn finish(self) -> io::Result<()> {
        self.flush()?;
        for (owner, key) in self.disowned.take() {
            self.owners.remove(Some(owner), &key);
        }
        Ok(())
    }
}

/// Returns the kind of a record that depends on no tombstone.
fn detached() -> Kind {
    Kind::Record { rotated_from: None }
}
