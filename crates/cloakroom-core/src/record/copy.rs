//! Copying a record into another store.

use std::time::Duration;

use cloakroom_store::{Draft, StoredRecord};

use super::{Record, owner::Owner};

/// Returns the draft that writes a record into another store with the deadline that it has. `idle` is
/// the idle timeout of sessions that have none of their own. Returns `None` if the record cannot be
/// read.
pub fn copy_record(stored: &StoredRecord, idle: Duration) -> Option<Draft> {
    let record = Record::decode(&stored.bytes)?;
    let idle = record.idle_timeout.map_or(idle, Duration::from_millis);
    let draft = Draft::new(stored.bytes.clone(), stored.expires, idle);
    Some(draft.with_expires(stored.expires).with_owner(record.owner.as_ref().map(Owner::key)))
}
