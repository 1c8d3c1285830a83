//! Reads that need no disk, on the thread that asks for them.
//!
//! The kernel has most session files that are read in its caches, and handing such a read to a thread
//! of the pool costs several times the read itself. On Linux a load therefore tries first what cannot
//! wait for a disk: `RESOLVE_CACHED` opens a file only if all names on its path are cached,
//! `RWF_NOWAIT` copies only what is in the page cache, and `O_NOATIME` keeps a read from changing the
//! file's times. Anything else is an error here, and then the pool reads the file in the usual way:
//! a file that is not cached, not ours or not whole, a rotation whose end is not plain to see, or a
//! failure. A kernel or file system without these flags, as tmpfs, is not asked again. No descriptor
//! stays open, so a folder that was deleted, moved or replaced is noticed by the next read.
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
    folder::proves_absence,
    format::{HEADER, Header, decode, is_whole},
    shard::{found, hex, name_of},
};
use cloakroom_store::{Entry, RecordKey, clock::Timestamp};

/// Copying and checking a larger file takes longer than the pool needs to take it over.
#[cfg(target_os = "linux")]
const LARGEST: usize = 32 * 1024;

/// Reads cached files of one store.
#[derive(Debug, Default)]
pub(super) struct Cached {
    unsupported: AtomicBool,
}

impl Cached {
    /// Loads what is live under `key`, without waiting.
    ///
    /// # Errors
    /// When only the pool can find out.
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
    let mut path = location.join(hex(&key.tag()[..1]));
    path.push(name_of(key));
    let Some(bytes) = read(&path)? else { return Ok(None) };
    let Some((front, record)) = bytes.split_first_chunk::<HEADER>() else { return undecided() };
    match decode(front) {
        Some(header) if is_whole(key, front, record) => {
            Ok(Some((header, Bytes::from(bytes).split_off(HEADER))))
        }
        _ => undecided(),
    }
}

fn undecided<T>() -> io::Result<T> {
    Err(io::ErrorKind::WouldBlock.into())
}

/// Reads a whole file of ours.
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
    if !super::folder::is_ours(&about) || size > LARGEST {
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
