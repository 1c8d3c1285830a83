//! A shard, which is one of the 256 folders of records.

use std::{fs::File, io, os::unix::fs::FileExt, time::Duration};

use bytes::Bytes;
use rustix::fs::Stat;

use crate::{
    entry::{Content, LATER_VERSION, detached, found},
    folder::{Folder, Lock, Opened},
    format::{HEADER, Header, Kind, decode, encode, is_genuine, is_of_later_version},
    names::{file_name, key_of_file},
    owners::Owners,
    steps::Locked,
};
use cloakroom_store::{Entry, RecordKey, clock::Timestamp};

/// The end of the name of an unreadable file, behind the time when it was set aside.
const SET_ASIDE: &str = ".corrupt";
/// The time that such a file is kept for an operator to examine.
const KEPT_ASIDE: Duration = Duration::from_secs(24 * 3_600);

/// The time that a step waits for the step of another process.
const TIMEOUT: Duration = Duration::from_secs(4);

/// A shard's folder. Reading needs no lock.
pub(super) struct Shard {
    folder: Folder,
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

    pub(super) fn content(&self, key: &RecordKey) -> io::Result<Content<Bytes>> {
        Ok(match self.folder.entry(&file_name(key))? {
            Opened::Nothing => Content::Nothing,
            Opened::Foreign => Content::Foreign,
            Opened::File(file, about) => {
                read(&file, &about)?.map_or(Content::Corrupt, |bytes| Content::of(key, bytes))
            }
        })
    }

    pub(super) fn found(
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

    pub(super) fn detach_locked(
        &self,
        to: &RecordKey,
        from: &RecordKey,
        flushed: bool,
    ) -> io::Result<()> {
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
        Ok(Locked::new(self, lock, now, flushed, owners))
    }
}

/// Reads a file in one piece, because a file never changes its size once it has its name. Returns `None` if
/// it is shorter than `about` says.
fn read(file: &File, about: &Stat) -> io::Result<Option<Vec<u8>>> {
    let size = usize::try_from(about.st_size).unwrap_or_default();
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size)?;
    bytes.resize(size, 0);
    match file.read_exact_at(&mut bytes, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        read => read.map(|()| Some(bytes)),
    }
}
