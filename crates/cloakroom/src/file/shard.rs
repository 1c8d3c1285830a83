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

use super::{
    folder::{Entry, Folder, Lock},
    format::{HEADER, Header, Kind, decode, encode, is_genuine, is_whole},
    owners::{Owners, key_named},
};
use crate::{
    clock::Timestamp,
    store::{Commit, Draft, Found, Outcome, OwnerKey, RecordKey, Revision, Stored},
};

/// The end of the name of a file that cannot be read, after the time when it was set aside.
const SET_ASIDE: &str = ".corrupt";
/// How long such a file is kept for someone to look at.
const KEPT_ASIDE: Duration = Duration::from_hours(24);

/// How long a step waits for another process's step.
const PATIENCE: Duration = Duration::from_secs(4);

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
    Nothing,
    /// Not ours; the name is taken and stays so.
    Foreign,
    /// Ours, and spoilt.
    Corrupt,
    Whole(Header, R),
}

impl Content<()> {
    /// Returns the header of a file of ours.
    pub(super) fn header(self) -> Option<Header> {
        match self {
            Self::Whole(header, ()) => Some(header),
            Self::Nothing | Self::Foreign | Self::Corrupt => None,
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
    pub(super) fn load(&self, key: &RecordKey, now: Timestamp) -> io::Result<Option<Found>> {
        match self.content(key)? {
            Content::Nothing => Ok(None),
            Content::Foreign => {
                tracing::warn!(?key, "what is in a session file's place is not a file of ours");
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
            Entry::Nothing => Content::Nothing,
            Entry::Foreign => Content::Foreign,
            Entry::File(file, about) => read(key, &file, &about)?,
        })
    }

    fn found(
        &self,
        key: &RecordKey,
        header: Header,
        record: Bytes,
        now: Timestamp,
    ) -> io::Result<Option<Found>> {
        found(key, header, record, now, |from| self.header(from))
    }

    /// Returns `true` if the rotation `from` → `to` was carried out to its end.
    pub(super) fn was_rotated(
        &self,
        from: &RecordKey,
        to: &RecordKey,
        now: Timestamp,
    ) -> io::Result<bool> {
        Ok(is_rotated(self.header(from)?, to, now))
    }

    /// Returns what is under `key`, without the record, which is not checked.
    pub(super) fn header(&self, key: &RecordKey) -> io::Result<Content<()>> {
        let file = match self.folder.entry(&name_of(key))? {
            Entry::Nothing => return Ok(Content::Nothing),
            Entry::Foreign => return Ok(Content::Foreign),
            Entry::File(file, _) => file,
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
            None => Content::Corrupt,
        })
    }

    /// Returns the header of a file of ours. Sets a file aside whose header cannot be read.
    pub(super) fn header_or_set_aside(
        &self,
        key: &RecordKey,
        now: Timestamp,
    ) -> io::Result<Option<Header>> {
        let content = self.header(key)?;
        if matches!(content, Content::Corrupt) {
            self.set_aside(key, now);
        }
        Ok(content.header())
    }

    fn set_aside(&self, key: &RecordKey, now: Timestamp) {
        tracing::warn!(?key, "a session file cannot be read; setting it aside");
        if let Err(error) = self.try_set_aside(key, now) {
            tracing::warn!(?key, %error, "could not set a session file aside");
        }
    }

    /// Gives a file that cannot be read another name, unless a good one took its place meanwhile.
    ///
    /// It may have been the record that a rotation had not ended yet. An expired tombstone in its place
    /// keeps the rotation's new record from becoming live, until the sweep has removed both.
    fn try_set_aside(&self, key: &RecordKey, now: Timestamp) -> io::Result<()> {
        let _lock = self.take_lock()?;
        let name = name_of(key);
        if matches!(self.content(key)?, Content::Corrupt) {
            self.folder.rename(&name, &format!("{name}.{}{SET_ASIDE}", now.as_millis()))?;
            let header = Header {
                kind: Kind::Tombstone { successor: None },
                expires: now,
                revision: Revision(now.as_millis()),
                owner: None,
            };
            self.folder.put(&name, &encode(key, &header, &[]), false)?;
        }
        Ok(())
    }

    /// Takes this shard's lock, whoever needs it for what.
    pub(super) fn take_lock(&self) -> io::Result<Lock> {
        self.folder.lock(PATIENCE)
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
        _ => Content::Corrupt,
    })
}

/// Returns what is live, given the file under `key`. `header_of` reads the header of another file of
/// the shard, which is necessary after a rotation.
pub(super) fn found(
    key: &RecordKey,
    header: Header,
    record: Bytes,
    now: Timestamp,
    header_of: impl FnOnce(&RecordKey) -> io::Result<Content<()>>,
) -> io::Result<Option<Found>> {
    if header.expires <= now {
        return Ok(None);
    }
    let Header { revision, expires, .. } = header;
    Ok(match header.kind {
        Kind::Tombstone { successor } => Some(Found::Tombstone { successor, expires }),
        Kind::Replaced { .. } => Some(Found::Tombstone { successor: None, expires }),
        Kind::Record { rotated_from: Some(from) } if !is_rotated(header_of(&from)?, key, now) => {
            None
        }
        Kind::Record { .. } => Some(Found::Live(Stored { record, revision, expires })),
    })
}

/// Returns `true` if `before`, the file of the rotation's old key, shows that the rotation has ended
/// the record under that key. A file that cannot be read shows nothing.
fn is_rotated(before: Content<()>, to: &RecordKey, now: Timestamp) -> bool {
    let header = match before {
        Content::Nothing => return true,
        Content::Foreign | Content::Corrupt => return false,
        Content::Whole(header, ()) => header,
    };
    match header.kind {
        Kind::Record { .. } => header.expires <= now,
        Kind::Tombstone { successor: link } | Kind::Replaced { by: link } => link == Some(*to),
    }
}

/// A live record, as a step finds it.
struct Live {
    stored: Stored,
    header: Header,
}

impl Locked<'_> {
    /// Carries out a commit, which is durable after [`finish`](Self::finish).
    pub(super) fn carry_out(&self, commit: Commit) -> io::Result<Outcome> {
        match commit {
            Commit::Create { key, record } => self.create(&key, record, None),
            Commit::Replace { key, expected, record } => {
                self.change(&key, Some(expected), |live| {
                    self.write(
                        &key,
                        record,
                        Revision(live.stored.revision.0 + 1),
                        None,
                        &live.header,
                    )
                })
            }
            Commit::Touch { key, expected, expires } => self.change(&key, Some(expected), |live| {
                let Stored { record, revision, .. } = live.stored;
                let header = Header { expires, kind: settled(), ..live.header };
                self.put(&key, &header, &record)?;
                Ok(Outcome::Done(revision))
            }),
            Commit::Destroy { key, tombstone } => self.change(&key, None, |live| {
                self.destroy(&key, &live.header, tombstone)?;
                Ok(Outcome::Done(live.stored.revision))
            }),
            Commit::Rotate { from, expected, to, record, tombstone } => {
                self.change(&from, expected, |live| {
                    let created = self.create(&to, record, Some(from))?;
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
            kind: settled(),
            expires: self.now,
            // By the clock, so that no reader of an earlier record under this key can mistake this
            // one for it.
            revision: Revision(self.now.as_millis()),
            owner: None,
        };
        let before = match self.shard.content(key)? {
            Content::Nothing | Content::Corrupt => nobody,
            Content::Foreign => return Ok(Outcome::Exists),
            Content::Whole(header, _) if header.expires > self.now => return Ok(Outcome::Exists),
            Content::Whole(header, _) => header,
        };
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
        let Some(Found::Live(stored)) = self.shard.found(key, header.clone(), record, self.now)?
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
        let Draft { record, expires, owner, .. } = draft;
        if let Some(owner) = owner.filter(|_| owner != before.owner) {
            self.owners.add(&owner, key, self.flushed)?;
            self.disowned.borrow_mut().retain(|entry| *entry != (owner, *key));
        }
        let header = Header { kind: Kind::Record { rotated_from }, expires, revision, owner };
        self.put(key, &header, &record)?;
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

/// A record that waits for no rotation to end.
fn settled() -> Kind {
    Kind::Record { rotated_from: None }
}
