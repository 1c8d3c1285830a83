//! The contract between cloakroom sessions and the stores that keep them.
//!
//! Applications use the crate `cloakroom`. Depend on this crate to write a store for a database
//! that cloakroom does not support: it changes rarely.
//!
//! A [`Store`] keeps records under keys. It sees bytes, never a token and never a value. It makes no
//! decisions: what to write, when, and how to merge a lost race is decided above it. A store promises
//! that each commit is **one atomic step** and that **nothing is overwritten blindly**. There is no
//! upsert, because an upsert brings a session back after its visitor has signed out.
//!
//! # Writing a store
//! 1. Keep either a record (bytes, [`Revision`], deadline) or a tombstone (successor, deadline) under
//!    each [`RecordKey`]. After its deadline, treat the entry as absent, even if it is still there.
//! 2. Carry out each [`Commit`] as its documentation says, atomically even across processes.
//! 3. Report failures as [`StoreError`], never as an absence.
//! 4. Run `conformance::check` on it (feature `conformance`). It includes races.
//!
//! Capabilities are separate traits: [`OwnerIndex`] finds the records of an owner, [`Scan`] goes
//! through all records, [`Sweep`] deletes expired entries, and [`EndingFeed`] reports sessions that
//! another process has ended. A store that implements one returns itself from
//! [`Store::as_owner_index`], [`Store::as_scan`], [`Store::as_sweep`] or [`Store::as_ending_feed`].
//!
//! For a database that changes one key at a time, implement the smaller contract in [`cells`]: two methods
//! over one key. A [`CellStore`](cells::CellStore) makes a `Store` of it.
//!
//! # Features
//! | feature | adds |
//! |---|---|
//! | `conformance` | the test suite for stores |
//! | `sweep` | [`sweep_in_background`](https://docs.rs/cloakroom-store/latest/cloakroom_store/fn.sweep_in_background.html), a task that deletes expired entries |

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "sweep")]
mod background;
pub mod cells;
pub mod clock;
mod commit;
#[cfg(feature = "conformance")]
pub mod conformance;
mod ending_feed;
mod error;
mod key;
mod memory;
mod owner_index;
mod scan;
mod store;
mod sweep;

pub use async_trait::async_trait;
#[cfg(feature = "sweep")]
pub use background::{SweepBudget, sweep_in_background};
pub use commit::{Commit, Draft, Outcome, TOMBSTONE};
pub use ending_feed::{EndingFeed, KeyWatch, WatchedKeys};
pub use error::StoreError;
pub use key::{KeyMap, OwnerKey, RecordKey};
pub use memory::MemoryStore;
pub use owner_index::{OwnerIndex, all_keys_of};
pub use scan::{Cursor, KeyPage, Scan};
pub use store::{Entry, Revision, Store, StoredRecord};
pub use sweep::{Sweep, SweepProgress, SweepRound};
