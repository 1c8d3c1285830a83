//! A folder, and operations on the files in it. All operations use the folder's descriptor and follow no
//! links. So no symbolic link, FIFO or file of another user is read or overwritten, even if another user
//! plants one while the application runs.

use std::{
    fs::File,
    io::{self, Write},
    os::{fd::OwnedFd, unix::fs::DirBuilderExt},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use rustix::{
    fs::{
        AtFlags, CWD, Dir, FileType, FlockOperation, Mode, OFlags, Stat, flock, fstat, mkdirat,
        openat, renameat, statat, unlinkat,
    },
    io::{Errno, retry_on_intr},
    process::geteuid,
};

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// `NONBLOCK` keeps an open of a FIFO from waiting for its other end.
pub(super) const FILE: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);
const PRIVATE_FOLDER: Mode = Mode::RWXU;
const PRIVATE_FILE: Mode = Mode::RUSR.union(Mode::WUSR);
const LOCK_FILE: &str = ".lock";
/// The pause between two attempts to take a lock that another process holds.
const MIN_WAIT: Duration = Duration::from_micros(100);
const MAX_WAIT: Duration = Duration::from_millis(5);

/// An open folder.
#[derive(Debug)]
pub(super) struct Folder(OwnedFd);

/// The result of opening a name.
#[derive(Debug)]
pub(super) enum Opened {
    Nothing,
    /// A link, a folder, a FIFO, a device or another user's file, which stays untouched.
    Foreign,
    File(File, Stat),
}

/// Returns `true` for a regular file of this process's user. It may have no name if it was replaced after
/// it was opened, or several if a backup links to it. A link in the place of another session's file fails
/// the checksum.
pub(super) fn is_ours(about: &Stat) -> bool {
    FileType::from_raw_mode(about.st_mode) == FileType::RegularFile
        && about.st_uid == geteuid().as_raw()
}

/// Returns the mode of a folder if only this process's user can write into it. Another user with this
/// right could sign in as any visitor.
fn check_private(about: &Stat) -> io::Result<Mode> {
    let mode = Mode::from_raw_mode(about.st_mode);
    let problem = if about.st_uid != geteuid().as_raw() {
        "it belongs to another user; choose a folder that belongs to the user of this process"
    } else if mode.intersects(Mode::WGRP | Mode::WOTH) {
        "other users may write into it; choose a folder that only this application uses, such as \
         /var/lib/APPLICATION/sessions, with mode 0700"
    } else {
        return Ok(mode);
    };
    Err(io::Error::new(io::ErrorKind::PermissionDenied, problem))
}

/// Creates a folder with mode 0700, and the folders above it with the usual mode.
pub(super) fn make_folder(location: &Path) -> io::Result<()> {
    if let Some(parent) = location.parent() {
        std::fs::create_dir_all(parent)?;
    }
    match std::fs::DirBuilder::new().mode(0o700).create(location) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Returns `true` if a missing file in the folder at `path` means that there is no record: the folder is
/// private or does not exist.
pub(super) fn proves_absence(path: &Path) -> bool {
    match retry_on_intr(|| rustix::fs::stat(path)) {
        Err(error) => error == Errno::NOENT,
        Ok(about) => check_private(&about).is_ok(),
    }
}

/// The shards whose folders, from the location downwards, this store has flushed. A folder that exists
/// may be the work of a process that could not flush it.
#[derive(Debug)]
pub(super) struct Flushed(Box<[AtomicBool]>);

impl Default for Flushed {
    fn default() -> Self {
        Self(std::iter::repeat_with(AtomicBool::default).take(256).collect())
    }
}

impl Flushed {
    /// Runs `flush` for a shard. Its argument is `true`, and all folders have to be flushed, until the
    /// first success and again after a failure.
    pub(super) fn once(
        &self,
        shard: u8,
        flush: impl FnOnce(bool) -> io::Result<()>,
    ) -> io::Result<()> {
        let is_flushed = &self.0[usize::from(shard)];
        let is_first = !is_flushed.load(Ordering::SeqCst);
        let outcome = flush(is_first);
        if is_first || outcome.is_err() {
            is_flushed.store(outcome.is_ok(), Ordering::SeqCst);
        }
        outcome
    }
}

impl Folder {
    /// Opens a folder, which must exist.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(retry_on_intr(|| openat(CWD, path, FOLDER, Mode::empty()))?))
    }

    /// Returns the mode of this folder if it is [private](check_private).
    pub(super) fn check_private(&self) -> io::Result<Mode> {
        check_private(&retry_on_intr(|| fstat(&self.0))?)
    }

    /// Opens a folder in this one. Returns `None` if it does not exist.
    pub(super) fn inner(&self, name: &str) -> io::Result<Option<Self>> {
        match retry_on_intr(|| openat(&self.0, name, FOLDER, Mode::empty())) {
            Ok(descriptor) => Ok(Some(Self(descriptor))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a folder in this one and creates it if it does not exist. Returns whether it was created.
    pub(super) fn inner_or_new(&self, name: &str) -> io::Result<(Self, bool)> {
        if let Some(folder) = self.inner(name)? {
            return Ok((folder, false));
        }
        match mkdirat(&self.0, name, PRIVATE_FOLDER) {
            Ok(()) | Err(Errno::EXIST) => (),
            Err(error) => return Err(error.into()),
        }
        let made = self.inner(name)?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok((made, true))
    }

    /// Opens the file `name` for reading.
    pub(super) fn entry(&self, name: &str) -> io::Result<Opened> {
        let opened = retry_on_intr(|| openat(&self.0, name, OFlags::RDONLY | FILE, Mode::empty()));
        let file = match opened {
            Ok(descriptor) => File::from(descriptor),
            Err(Errno::NOENT) => return Ok(Opened::Nothing),
            Err(Errno::LOOP | Errno::NXIO) => return Ok(Opened::Foreign),
            Err(error) => return Err(error.into()),
        };
        let about = retry_on_intr(|| fstat(&file))?;
        Ok(if is_ours(&about) { Opened::File(file, about) } else { Opened::Foreign })
    }

    /// Replaces the file `name` as a whole, so that readers find the old file or the new one. With
    /// `flushed`, the contents survive a loss of power, and so does the name after a [`flush`].
    ///
    /// [`flush`]: Self::flush
    pub(super) fn put(&self, name: &str, bytes: &[u8], flushed: bool) -> io::Result<()> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let temporary = format!("{TEMPORARY}{:016x}", u64::from_ne_bytes(random));
        let written = self
            .write_new(&temporary, bytes, flushed)
            .and_then(|()| Ok(retry_on_intr(|| renameat(&self.0, &temporary, &self.0, name))?));
        if written.is_err() {
            // The sweep deletes it if this fails as well.
            drop(self.remove(&temporary));
        }
        written
    }

    /// Creates a file. Fails if the name is taken.
    fn write_new(&self, name: &str, bytes: &[u8], flushed: bool) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | FILE;
        let mut file = File::from(retry_on_intr(|| openat(&self.0, name, flags, PRIVATE_FILE))?);
        file.write_all(bytes)?;
        if flushed { file.sync_all() } else { Ok(()) }
    }

    /// Creates an empty file unless it exists. Returns whether it was created.
    pub(super) fn mark(&self, name: &str) -> io::Result<bool> {
        match self.write_new(name, &[], false) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Flushes this folder, so that the names in it survive a loss of power.
    pub(super) fn flush(&self) -> io::Result<()> {
        Ok(retry_on_intr(|| rustix::fs::fsync(&self.0))?)
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(retry_on_intr(|| renameat(&self.0, from, &self.0, to))?)
    }

    /// Removes a file. Returns whether it existed.
    pub(super) fn remove(&self, name: &str) -> io::Result<bool> {
        self.unlink(name, AtFlags::empty())
    }

    /// Removes a folder in this one if it exists and is empty. Returns whether it was removed.
    pub(super) fn remove_empty(&self, name: &str) -> io::Result<bool> {
        match self.unlink(name, AtFlags::REMOVEDIR) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
            other => other,
        }
    }

    fn unlink(&self, name: &str, flags: AtFlags) -> io::Result<bool> {
        match retry_on_intr(|| unlinkat(&self.0, name, flags)) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the names in this folder, which are read one by one.
    pub(super) fn names(&self) -> io::Result<Names> {
        Ok(Names(Dir::read_from(&self.0)?))
    }

    /// Takes this folder's lock, which the operating system releases if the process crashes. Waits up to
    /// `limit`.
    pub(super) fn lock(&self, limit: Duration) -> io::Result<Lock> {
        let started = Instant::now();
        let mut wait = MIN_WAIT;
        loop {
            if let Some(lock) = self.try_lock(LOCK_FILE)? {
                return Ok(lock);
            }
            if started.elapsed() > limit {
                let problem = format!("another process has held the lock for {limit:?}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, problem));
            }
            std::thread::sleep(wait);
            wait = MAX_WAIT.min(wait * 2);
        }
    }

    /// Takes the lock `name`. Returns `None` if another process holds it.
    pub(super) fn try_lock(&self, name: &str) -> io::Result<Option<Lock>> {
        self.lock_opened(name, self.open_lock(name)?)
    }

    fn open_lock(&self, name: &str) -> io::Result<OwnedFd> {
        let flags = OFlags::RDWR | OFlags::CREATE | FILE;
        Ok(retry_on_intr(|| openat(&self.0, name, flags, PRIVATE_FILE))?)
    }

    /// Locks a file that was opened under `name`. Returns `None` if another process holds the lock, or if
    /// the file has lost its name in between, because others lock the file that has the name.
    fn lock_opened(&self, name: &str, file: OwnedFd) -> io::Result<Option<Lock>> {
        match retry_on_intr(|| flock(&file, FlockOperation::NonBlockingLockExclusive)) {
            Err(Errno::WOULDBLOCK) => return Ok(None),
            locked => locked?,
        }
        let locked = retry_on_intr(|| fstat(&file))?;
        let named = match retry_on_intr(|| statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)) {
            Err(Errno::NOENT) => return Ok(None),
            named => named?,
        };
        let same = (locked.st_dev, locked.st_ino) == (named.st_dev, named.st_ino);
        Ok(same.then_some(Lock { _file: file }))
    }
}

/// The beginning of the names of files that are being written.
pub(super) const TEMPORARY: &str = ".tmp-";

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: OwnedFd,
}

/// The names in a folder.
pub(super) struct Names(Dir);

impl Iterator for Names {
    type Item = io::Result<String>;

    /// Returns the next name. Skips names that are not UTF-8, because this store has none.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.0.read()? {
                Err(error) => return Some(Err(error.into())),
                Ok(entry) => match entry.file_name().to_str() {
                    Ok("." | "..") | Err(_) => (),
                    Ok(name) => return Some(Ok(name.to_owned())),
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_file_that_was_removed_since_it_was_opened_is_no_lock() {
        let location = tempfile::tempdir().unwrap();
        let folder = Folder::open(location.path()).unwrap();
        for is_made_again in [false, true] {
            let opened = folder.open_lock(LOCK_FILE).unwrap();
            assert!(folder.remove(LOCK_FILE).unwrap());
            let again = is_made_again.then(|| folder.try_lock(LOCK_FILE).unwrap().unwrap());
            assert!(folder.lock_opened(LOCK_FILE, opened).unwrap().is_none());
            assert_eq!(folder.try_lock(LOCK_FILE).unwrap().is_none(), is_made_again);
            drop(again);
        }
    }

    #[test]
    fn a_shard_is_flushed_whole_until_that_has_succeeded_and_after_a_failure() {
        let flushed = Flushed::default();
        let flush = |shard, succeeds: bool| {
            let mut is_whole = false;
            let outcome = flushed.once(shard, |is_first| {
                is_whole = is_first;
                if succeeds { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
            });
            assert_eq!(outcome.is_ok(), succeeds);
            is_whole
        };
        let whole = [false, true, true, false, true].map(|succeeds| flush(7, succeeds));
        assert_eq!(whole, [true, true, false, false, true]);
        assert!(flush(8, true), "each shard by itself");
    }
}
