//! One of the 256 folders that records are spread over, and the steps that change it under its lock.

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
    owners::{Owners, key_named},
};
use cloakroom_store::{
    Commit, Draft, Entry, Outcome, OwnerKey, RecordKey, Revision, StoredRecord, clock::Timestamp,
};

/// The end of the name of a file that cannot be read, after the time when it was set aside.
const SET_ASIDE: &str = ".corrupt";
/// How long such a file is kept for someone to look at.
const KEPT_ASIDE: Duration = Duration::from_secs(24 * 3_600);

/// What the log says of a file of a later version.
pub(super) const LATER_VERSION: &str = "a later version of the library wrote a session file; it stays, \
    and this version does not read it";

/// How long a step waits for another process's step.
const TIMEOUT: Duration = Duration::from_secs(4);

/// A shard's folder. Reading needs no more.
pub(super) struct Shard {
    folder: Folder,
}

/// A shard whose lock is held: what changes it has this at hand.
pub(super) struct Locked<'a> {
    pub(super) shard: Shard,
    pub(super) now: Timestamp,
    pub(super) flushed: bool,
    pub(super) owners: &'a Owners,
    /// Whether a file got its name since the last flush of the folder.
    renamed: Cell<bool>,
    /// Entries of owners to remove after the next flush.
    disowned: RefCell<Vec<(OwnerKey, RecordKey)>>,
    _lock: Lock,
}

/// What is under a key, dead or alive.
pub(super) enum Content<R> {
    /// No file.
    Nothing,
    /// A link, a folder or another user's file. It stays, and its name is taken.
    Foreign,
    /// A file that a later version of the library wrote. It stays, because that version may run
    /// beside this one.
    LaterVersion,
    /// A file that is damaged, or that was written under another name.
    Corrupt,
    /// A file as it was written.
    Whole(Header, R),
}

impl Content<()> {
    /// Returns the header of a file of ours.
    pub(super) fn header(self) -> Option<Header> {
        match self {
            Self::Whole(header, ()) => Some(header),
            Self::Nothing | Self::Foreign | Self::LaterVersion | Self::Corrupt => None,
        }
    }
}

/// The name of a record's file.
pub(super) fn name_of(key: &RecordKey) -> String {
    hex(key.as_bytes())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.extend([byte >> 4, byte & 0xf].map(|digit| char::from(DIGITS[usize::from(digit)])));
    }
    text
}

/// Returns `true` for the name of a file that was set aside long enough ago.
pub(super) fn is_aside_too_long(name: &str, now: Timestamp) -> bool {
    let parts = name.strip_suffix(SET_ASIDE).and_then(|name| name.split_once('.'));
    let since = parts.filter(|(key, _)| key_named(key).is_some());
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

    /// What is live under `key`. A file that cannot be read is set aside, so that it is reported once
    /// and does not stand in the way.
    pub(super) fn load(&self, key: &RecordKey, now: Timestamp) -> io::Result<Option<Entry>> {
        match self.content(key)? {
            Content::Nothing => Ok(None),
            Content::Foreign => {
                tracing::warn!(?key, "what is in a session file's place is not a file of ours");
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
        Ok(match self.folder.entry(&name_of(key))? {
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

    /// Returns `true` if the rotation `from` → `to` was carried out to its end, given that the record
    /// under `to` was read and depends on it.
    pub(super) fn was_rotated(&self, from: &RecordKey, to: &RecordKey) -> io::Result<bool> {
        let before = self.header(from)?.header();
        if before.is_some_and(|header| header.kind.made_live() == Some(to)) {
            return Ok(true);
        }
        // The sweep may have detached the record since it was read, and removed the tombstone.
        let after = self.header(to)?.header();
        Ok(after.is_some_and(|header| header.kind == detached()))
    }

    /// Writes the record under `to` again if it depends on the tombstone under `from`, so that it
    /// stays live without the tombstone.
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
        self.folder.put(&name_of(to), &encode(to, &header, &record), flushed)?;
        if flushed { self.folder.flush() } else { Ok(()) }
    }

    /// Returns `true` if the record under `to` is live because of the tombstone under `from`.
    pub(super) fn depends(&self, to: &RecordKey, from: &RecordKey) -> io::Result<bool> {
        let header = self.header(to)?.header();
        Ok(header.is_some_and(|it| it.kind == Kind::Record { rotated_from: Some(*from) }))
    }

    /// Returns what is under `key`, without the record, which is not checked.
    pub(super) fn header(&self, key: &RecordKey) -> io::Result<Content<()>> {
        let file = match self.folder.entry(&name_of(key))? {
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
        tracing::warn!(?key, "a session file cannot be read; setting it aside");
        if let Err(error) = self.try_set_aside(key, now) {
            tracing::warn!(?key, %error, "could not set a session file aside");
        }
    }

    /// Gives a file that cannot be read another name, unless a good one took its place meanwhile.
    fn try_set_aside(&self, key: &RecordKey, now: Timestamp) -> io::Result<()> {
        let _lock = self.take_lock()?;
        let name = name_of(key);
        if matches!(self.content(key)?, Content::Corrupt) {
            self.folder.rename(&name, &format!("{name}.{}{SET_ASIDE}", now.as_millis()))?;
        }
        Ok(())
    }

    /// Takes this shard's lock, whoever needs it for what.
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

/// Reads a file in one piece: it never changes its size once it has its name.
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

/// Returns what is live, given a file. `was_rotated` returns whether the rotation of its argument to the
/// key of this file was carried out to its end.
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

/// A live record, as a step finds it.
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
                        // This is what ends the old record and makes the new one live, in one step.
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
        let nobody = Header {
            kind: detached(),
            expires: self.now,
            // By the clock, so that no reader of an earlier record under this key can mistake this
            // one for it.
            revision: Revision(self.now.as_millis()),
            owner: None,
        };
        let before = match self.shard.content(key)? {
            Content::Nothing | Content::Corrupt => nobody,
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
            // A logout has to work on a full disk. Without its tombstone the key leads to nothing,
            // which no request can change either.
            tracing::warn!(%error, "no room for a tombstone; deleting the session file");
            self.shard.folder.remove(&name_of(key))?;
            self.renamed.set(true);
            self.flush()?;
        }
        self.owners.remove(live.owner, key);
        Ok(())
    }

    fn bury(&self, key: &RecordKey, live: &Header, kind: Kind, until: Timestamp) -> io::Result<()> {
        // The owner stays, so that the sweep finds the index entry that led here.
        let tombstone = Header { kind, expires: until, ..live.clone() };
        self.put(key, &tombstone, &[])?;
        self.flush()
    }

    fn put(&self, key: &RecordKey, header: &Header, record: &[u8]) -> io::Result<()> {
        self.shard.folder.put(&name_of(key), &encode(key, header, record), self.flushed)?;
        self.renamed.set(true);
        Ok(())
    }

    /// Has the names of all files so far survive a loss of power, if this store promises that.
    fn flush(&self) -> io::Result<()> {
        if self.renamed.replace(false) && self.flushed { self.shard.folder.flush() } else { Ok(()) }
    }

    /// Makes everything that was carried out durable and releases the lock. An error concerns every
    /// commit since the lock was taken.
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
