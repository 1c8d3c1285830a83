//! Copying a record into another store.

use std::time::Duration;

use cloakroom_store::{Draft, RecordKey, StoredRecord};

use super::{Record, owner::Owner, sealed};
use crate::crypto::app_keys::AppKeys;

/// Returns a draft that writes the record under `key` into another store, under the same key, and keeps its
/// deadline. A sealed record stays sealed. `keys` open it, because the draft has the owner and the idle timeout
/// in clear. `idle` is the idle timeout for records that set none. Returns `None` if the record is unreadable,
/// or sealed by a key that is not among `keys`.
pub fn copy_record(
    key: &RecordKey,
    stored: &StoredRecord,
    idle: Duration,
    keys: Option<&AppKeys>,
) -> Option<Draft> {
    let record = Record::decode(&sealed::open(&stored.bytes, key, keys)?)?;
    let idle = record.idle_timeout.map_or(idle, Duration::from_millis);
    let draft = Draft::new(stored.bytes.clone(), stored.expires, idle);
    Some(draft.with_expires(stored.expires).with_owner(record.owner.as_ref().map(Owner::key)))
}
