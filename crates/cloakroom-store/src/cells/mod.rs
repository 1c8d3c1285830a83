//! A smaller contract for databases that change one key at a time.
//!
//! A [`Store`](crate::Store) rotates a session in one atomic step over two keys. Many databases cannot
//! do that, but can write one key under a condition: memcached, DynamoDB, etcd, NATS, Consul, the object
//! stores. For these, implement [`Cells`], which has two methods over one key: read it, and swap it if
//! it has not changed. [`CellStore`] makes a full store of it.
//!
//! ```
//! use std::{collections::HashMap, sync::Mutex, time::Duration};
//! use cloakroom_store::{
//!     Commit, Draft, Outcome, RecordKey, Store, StoreError, async_trait,
//!     cells::{Cell, CellStore, Cells, Swap, Swapped},
//!     clock::{Clock, SystemClock},
//! };
//!
//! #[derive(Debug, Default)]
//! struct MapCells(Mutex<(HashMap<RecordKey, (Vec<u8>, u64)>, u64)>);
//!
//! #[async_trait]
//! impl Cells for MapCells {
//!     type Version = u64;
//!
//!     async fn read(&self, key: &RecordKey) -> Result<Option<Cell<u64>>, StoreError> {
//!         let found = self.0.lock().unwrap().0.get(key).cloned();
//!         Ok(found.map(|(bytes, version)| Cell::new(bytes, version)))
//!     }
//!
//!     async fn swap(&self, key: &RecordKey, swap: Swap<u64>) -> Result<Swapped, StoreError> {
//!         let (map, last) = &mut *self.0.lock().unwrap();
//!         let (expected, new) = match swap {
//!             Swap::Insert { bytes, .. } => (None, Some(bytes)),
//!             Swap::Replace { version, bytes, .. } => (Some(version), Some(bytes)),
//!             Swap::Delete { version, .. } => (Some(version), None),
//!         };
//!         if map.get(key).map(|(_, version)| *version) != expected {
//!             return Ok(Swapped::Differs);
//!         }
//!         *last += 1;
//!         match new {
//!             Some(bytes) => map.insert(*key, (bytes.to_vec(), *last)),
//!             None => map.remove(key),
//!         };
//!         Ok(Swapped::Done)
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let store = CellStore::new(MapCells::default());
//! let (from, to) = (RecordKey::from_bytes([7; 32]), RecordKey::from_bytes([8; 32]));
//! let draft = Draft::new("values", SystemClock.now(), Duration::from_secs(60));
//! let outcome = store.commit(Commit::create(from, draft.clone())).await?;
//! let Outcome::Done(revision) = outcome else { panic!("the key was free") };
//!
//! let tombstone = draft.expires;
//! store.commit(Commit::rotate(from, Some(revision), to, draft.clone(), tombstone)).await?;
//! let late = store.commit(Commit::replace(from, revision, draft)).await?;
//! assert_eq!(late, Outcome::Gone);
//! # Ok::<(), StoreError>(()) }).unwrap();
//! ```
//!
//! Test it with `conformance::check` (feature `conformance`) on the `CellStore`. The repository has an
//! example for memcached, `examples/memcached.rs`.
//!
//! # Capabilities
//! A `CellStore` is no [`OwnerIndex`](crate::OwnerIndex) and no [`Scan`](crate::Scan), because a list of
//! keys is neither one cell of bounded size nor written in one step with the records. So an application
//! cannot list the sessions of an owner. It is no [`Sweep`](crate::Sweep) either, because the database
//! deletes expired cells: each swap passes on a deadline. A database that does not expire keys by itself
//! needs a rule or a task that deletes cells by these deadlines.
//!
//! # Deadlines and eviction
//! The deadline that counts is in the bytes of the cell and is compared with the clock of the
//! `CellStore`, so a database may delete late. If it deletes early, for want of memory or because its
//! clock is ahead, sessions end early. A deleted tombstone has two effects: a late request of the session
//! that ended gets a new session and cookie, and a logout with the old token of a regenerated session
//! finds nothing to end. Nothing that the database deletes brings an ended session back.
//!
//! # Rotation
//! A rotation changes three cells, one after the other:
//! 1. It inserts the record under the new key. This record names the old key and is not live yet.
//! 2. It replaces the old record by a tombstone that names the new key. This swap is the rotation: it ends
//!    the old record, and makes the new one live.
//! 3. It writes the new record again, without the name of the old key. The record is then live by itself.
//!
//! So at each moment exactly one of the keys is live. A step can fail, its reply can be lost, or the
//! process can end:
//!
//! | step | result of the rotation | what is left | who tidies up |
//! |---|---|---|---|
//! | 1 | an error; the session is under the old key | perhaps a record that is never live | its deadline |
//! | 2, not carried out | an error; the session is under the old key | a record that is not live | its deadline |
//! | 2, carried out and the reply lost | an error; the session is under the new key, and a logout with the old token ends it | a record that needs its tombstone | as in step 3 |
//! | 2, another client was first | that client's change | nothing: the new record is deleted | if that fails, its deadline |
//! | 3 | success | a record that needs its tombstone, so each read of it reads two cells | the next write or touch of the session |
//!
//! The database keeps a tombstone as long as a record may need it, which is until the deadline that the
//! record had when it was rotated. A request whose outcome is unknown may still be carried out later. It
//! then fails if the cell has changed, and otherwise is the rotation as if it had come later.
//!
//! # Round trips
//! | step | reads | swaps |
//! |---|---|---|
//! | load | 1 | 0 |
//! | create | 0 | 1 |
//! | replace, touch, destroy | 1 | 1 |
//! | rotate | 2 | 3 |
//!
//! Add a read of the tombstone while a record needs it, and a read and a swap for each lost race.
//!
//! # Security
//! The bytes of a cell have a checksum that includes the key. So a reply that a client mixes up with the
//! reply to another request is unreadable and counts as an absence, and no visitor gets another one's
//! session. Unreadable cells are logged and stay.
//!
//! # DynamoDB
//! It fits, with an item for each key: the bytes, a version and a TTL attribute.
//! - `read` is a `GetItem` with `ConsistentRead`. The default may show a session after its logout.
//! - `swap` is a `PutItem` or `DeleteItem` on the condition `attribute_not_exists(pk)` or `version = :read`.
//!   `ConditionalCheckFailedException` is [`Swapped::Differs`]. No transaction over keys is needed.
//! - Turn off the SDK's retries of `swap`, because a retry takes its own write for another client's.
//! - TTL deletes up to 48 hours late, and counts seconds (round up). A `CellStore` checks deadlines itself.
//! - An item has at most 400 KB, so set a lower maximum size of a record. The conformance suite stores a
//!   megabyte, so a store that keeps a record in one item fails that rule.

mod contract;
mod format;
mod rotation;
mod store;

pub use contract::{Cell, Cells, Swap, Swapped};
pub use store::CellStore;

#[cfg(test)]
mod tests;
