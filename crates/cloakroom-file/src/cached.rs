//! Reads files that are in the kernel's caches on the calling thread.
//!
//! Most session files are in the kernel's caches, and handing such a read to a thread of the pool costs
//! several times the read itself. So on Linux a load first makes calls that never wait for a disk.
//! `RESOLVE_CACHED` opens a file only if all names on its path are cached, `RWF_NOWAIT` copies only
//! pages in the page cache, and `O_NOATIME` leaves the file's times unchanged.
//!
//! In every other case this module returns an error, and the pool reads the file: if it is not cached,
//! damaged or another user's, if a rotation's state is unclear, and after a failure. If the kernel or
//! the file system does not support these flags, as tmpfs, the store does not try again. No descriptor
//! stays open, so the next read notices a folder that was deleted, moved or replaced.
//!
//! Closing the file can still wait for the disk in one case: if a writer replaced the file between
//! the open and the close, the close deletes the old one.

use std::{
    io,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;

use crate::{
    entry::{Content, found},
    folder::proves_absence,
    format::Header,
    names::{file_name, shard_name},
};
use cloakroom_store::{Entry, RecordKey, clock::Timestamp};

/// The largest file that is read here, in bytes. A larger one takes longer than the detour to the pool.
#[cfg(target_os = "linux")]
const MAX_FILE: usize = 32 * 1024;

/// Reads cached files of one store.
#[derive(Debug, Default)]
pub(super) struct Cached {
    unsupported: AtomicBool,
}

impl Cached {
    /// Loads the live record or tombstone under `key` without waiting.
    ///
    /// # Errors
    /// When the pool has to read the file.
    pub(super) fn load(
        &self,
        location: &Path,
        key: &RecordKey,
        now: Timestamp,
    ) -> io::Result<Option<Entry>> {
        if self.unsupported.load(Ordering::Relaxed) {
            return undecided();
        }
        let loaded = match load(location, key, now) {
            Ok(None) if !proves_absence(location) => undecided(),
            loaded => loaded,
        };
        if loaded.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Unsupported) {
            self.unsupported.store(true, Ordering::Relaxed);
        }
        loaded
    }
}

fn load(location: &Path, key: &RecordKey, now: Timestamp) -> io::Result<Option<Entry>> {
    let Some((header, record)) = content(location, key)? else { return Ok(None) };
    found(header, record, now, |from| match content(location, from)? {
        Some((before, _)) if before.kind.made_live() == Some(key) => Ok(true),
        _ => undecided(),
    })
}

fn content(location: &Path, key: &RecordKey) -> io::Result<Option<(Header, Bytes)>> {
    let mut path = location.join(shard_name(key));
    path.push(file_name(key));
    let Some(bytes) = read(&path)? else { return Ok(None) };
    match Content::of(key, bytes) {
        Content::Whole(header, record) => Ok(Some((header, record))),
        _ => undecided(),
    }
}

fn undecided<T>() -> io::Result<T> {
    Err(io::ErrorKind::WouldBlock.into())
}

/// Reads a whole file of this process's user.
#[cfg(target_os = "linux")]
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    use rustix::{
        fs::{CWD, Mode, OFlags, ResolveFlags, fstat, openat2},
        io::{Errno, ReadWriteFlags, preadv2},
    };

    let flags = OFlags::RDONLY | OFlags::NOATIME | super::folder::FILE;
    let cached = ResolveFlags::CACHED | ResolveFlags::NO_SYMLINKS;
    let file = match openat2(CWD, path, flags, Mode::empty(), cached) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let about = fstat(&file)?;
    let size = usize::try_from(about.st_size).unwrap_or(usize::MAX);
    if !super::folder::is_ours(&about) || size > MAX_FILE {
        return undecided();
    }
    let mut bytes = vec![0; size];
    let buffers = &mut [io::IoSliceMut::new(&mut bytes)];
    if preadv2(&file, buffers, 0, ReadWriteFlags::NOWAIT)? == size {
        Ok(Some(bytes))
    } else {
        undecided()
    }
}

#[cfg(not(target_os = "linux"))]
fn read(_: &Path) -> io::Result<Option<Vec<u8>>> {
    Err(io::ErrorKind::Unsupported.into())
}
