//! Discards changes: to start from the stored record, and at the end of a session or a request.

use std::mem;

use super::{Phase, UnitOfWork};
use crate::{
    backend::decide::{Persistence, Worth},
    record::change::ChangeLog,
    session::reload::Reloaded,
};
use cloakroom_store::{RecordKey, clock::Timestamp};

impl UnitOfWork {
    /// Returns the keys under which the session's record is read again, in order. Returns none for a session
    /// without a record, and after a `destroy`.
    pub(in crate::session) fn keys_to_reload(&self) -> Vec<RecordKey> {
        let (Persistence::Stored { .. }, Some(key)) = (self.persistence, self.key) else {
            return Vec::new();
        };
        if self.is_destroyed() {
            return Vec::new();
        }
        let next = self.token_afterwards().record_key();
        let may_have_moved = self.in_doubt.is_some() && next != key;
        [key].into_iter().chain(may_have_moved.then_some(next)).collect()
    }

    /// Starts from the record that was found at the time `now`. Returns the discarded changes, which the
    /// caller drops without a lock.
    pub(in crate::session) fn reload(&mut self, found: Reloaded, now: Timestamp) -> ChangeLog {
        let (key, persistence, record) = found;
        // A record that a failed commit has moved is found again by the next commit, which sets its cookie.
        if self.key == Some(key) {
            (self.persistence, self.loaded_at) = (persistence, now);
        }
        if persistence == Persistence::Ended {
            self.keep_ended_owner();
        }
        self.phase = Phase::Open;
        self.untouched = record;
        let discarded = self.discard_changes();
        // No commit is under way, and the copy is that of the store.
        self.discards_before = self.discards;
        discarded
    }

    /// Keeps the owner of a session that was found ended. Another sign-in of theirs in this request does not
    /// undo the logout.
    pub(super) fn keep_ended_owner(&mut self) {
        if let Some(owner) = &self.untouched.owner {
            self.ended_owner = Some(owner.clone());
        }
    }

    /// Discards all changes except `destroy` and `regenerate`. A commit that is under way still makes those that
    /// it has begun with. Returns the changes, and the caller drops them without a lock, because their closures
    /// may own anything.
    #[must_use]
    pub(in crate::session) fn discard_changes(&mut self) -> ChangeLog {
        let required = self.required;
        let discarded = self.take_changes();
        // A token that the request has shown stays valid.
        self.required = required;
        self.discards += 1;
        discarded
    }

    #[must_use]
    pub(super) fn take_changes(&mut self) -> ChangeLog {
        self.record = self.untouched.clone();
        self.in_doubt = self.in_doubt.map(|_| 0);
        self.required = Worth::Nothing;
        mem::take(&mut self.log)
    }
}
