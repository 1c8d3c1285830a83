//! Copying a record into another store.

use std::time::Duration;

use cloakroom_store::{Draft, StoredRecord};

use super::{Record, owner::Owner};

/// Returns a draft that writes the same record into another store and keeps its deadline. `idle` is
/// the idle timeout for records that set none. Returns `None` if the record is unreadable.
pub fn copy_record(stored: &StoredRecord, idle: Duration) -> Option<Draft> {
    let record = Record::decode(&stored.bytes)?;
    let idle = record.idle_timeout.map_or(idle, Duration::from_millis);
    let draft = Draft::new(stored.bytes.clone(), stored.expires, idle);
    Some(draft.with_expires(stored.expires).with_owner(record.owner.as_ref().map(Owner::key)))
}
