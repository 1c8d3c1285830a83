//! Stores sessions in files: for applications on one machine, with any number of processes.
//!
//! ```no_run
//! use cloakroom_file::FileStore;
//!
//! let store = FileStore::open("tmp/sessions")?;
//! # Ok::<(), cloakroom_store::StoreError>(())
//! ```
//!
//! # Layout
//! ```text
//! tmp/sessions/                0700
//!   4f/                        0700, one of 256 shards, by the key's tag
//!     4f2a…9c                  0600, a record or a tombstone, named by its key in hexadecimal
//!     4f2a…9c.1735….corrupt    an unreadable file with the time of its discovery, kept for a day
//!     .lock                    locked while a file of the shard changes
//!   owners/4f/4f2a…/9c/9c01…   the index of owners: owner 4f2a… has record 9c01…
//!   .sweep.lock                locked by the process that sweeps
//! ```
//!
//! # Writes
//! A write takes the shard's lock, writes a temporary file in the same folder, flushes it (fsync),
//! renames it to its name and flushes the folder. Commits of one shard that wait in one process at the
//! same time form a group: the group takes the lock once, writes, flushes and renames each file, and
//! flushes the folder once. All commits of the group are acknowledged after that flush, or all fail
//! with its error. Rotations and destructions form no groups, because they flush between their steps.
//!
//! Readers take no lock, because a rename replaces a file as a whole. The operating system releases
//! the lock of a process that crashes. A crash between any two steps leaves the old record or the new
//! one.
//!
//! # Reads
//! If the kernel has a file in its caches, the calling thread reads it without waiting. All other file
//! work runs on a pool of threads.
//!
//! # Trust
//! Each commit checks that the location belongs to this process's user and that no other user may
//! write into it, because another user may have created it again after it was deleted. A load that
//! finds no file checks the same. A file is valid under the name that it was written under only, even
//! if it is renamed, copied or linked. Backups with hard links (`cp -l`) are safe, because a file never
//! changes once it has its name.
//!
//! # Rotations
//! A rotation changes two files. It first writes the new record, which contains the old key and is not
//! live yet. Then it renames a tombstone to the old key's name, which contains the new key. This one
//! step ends the old record and makes the new one live. The new record is live only while the old
//! key's file is that tombstone.
//!
//! The first change of the new record removes the old key from it. If no change has come when the
//! tombstone expires, the sweep writes the record again without the old key and then removes the
//! tombstone.
//!
//! # Later versions
//! Files in a later version of the format are neither read nor replaced, renamed or removed, because a
//! later version of the library may run beside this one.
//!
//! # Requirements
//! A local file system of Linux, macOS or a BSD with atomic renames and a `flock` that works between
//! processes: ext4, xfs, btrfs, zfs, apfs, tmpfs and overlayfs have both. NFS and SMB do not. Use the
//! Redis driver for several machines.

#![cfg(unix)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod blocking_pool;
mod builder;
mod cached;
mod durability;
mod entry;
mod folder;
mod format;
mod inner;
mod names;
mod owner_index;
mod owners;
mod queue;
mod shard;
mod steps;
mod store;
mod sweep;
#[cfg(test)]
mod tests;

pub use builder::FileStoreBuilder;
pub use cloakroom_store::SweepBudget;
pub use durability::Durability;
pub use store::FileStore;
