//! The steps that change a shard under its lock.

use std::{
    cell::{Cell, RefCell},
    io,
};

use crate::{
    entry::{Content, detached},
    folder::Lock,
    format::{Header, Kind, encode},
    names::file_name,
    owners::Owners,
    shard::Shard,
};
use cloakroom_store::{
    Commit, Draft, Entry, Outcome, OwnerKey, RecordKey, Revision, StoredRecord, clock::Timestamp,
};

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

/// A live record that a step found.
struct Live {
    stored: StoredRecord,
    header: Header,
}

impl<'a> Locked<'a> {
    pub(super) fn new(
        shard: Shard,
        lock: Lock,
        now: Timestamp,
        flushed: bool,
        owners: &'a Owners,
    ) -> Self {
        let (renamed, disowned) = Default::default();
        Self { shard, now, flushed, owners, renamed, disowned, _lock: lock }
    }

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
            self.shard.folder().remove(&file_name(key))?;
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
        self.shard.folder().put(&file_name(key), &encode(key, header, record), self.flushed)?;
        self.renamed.set(true);
        Ok(())
    }

    /// Flushes the folder if files were renamed and this store is durable.
    fn flush(&self) -> io::Result<()> {
        if self.renamed.replace(false) && self.flushed {
            self.shard.folder().flush()
        } else {
            Ok(())
        }
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
