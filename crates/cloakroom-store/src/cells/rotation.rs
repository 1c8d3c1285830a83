//! Moving a record to another key, although only one cell can be changed at a time.

use super::{
    contract::{Cells, Swap},
    format::Kind,
    store::{CellStore, Change, Checked, Found, Slot},
};
use crate::{Draft, Outcome, RecordKey, Revision, StoreError, clock::Timestamp};

impl<C: Cells> CellStore<C> {
    /// Carries out a [`Rotate`](crate::Commit::Rotate). The module page lists what each step leaves if it
    /// fails.
    pub(super) async fn rotate(
        &self,
        from: &RecordKey,
        expected: Option<Revision>,
        to: &RecordKey,
        draft: Draft,
        tombstone: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let checked = self.check(from, expected).await?;
        if let Checked::Refused(outcome) = checked {
            return Ok(outcome);
        }
        // The tombstone has to stay until the new record is independent of it, or has expired.
        let deadline = tombstone.max(draft.expires);
        let created = self.create(to, draft, Some(*from)).await?;
        let Outcome::Done(revision) = created else { return Ok(created) };
        let kind = match expected {
            Some(_) => Kind::Tombstone { successor: Some(*to) },
            None => Kind::Replaced { by: *to },
        };
        let change = Change::Tombstone { kind, expires: tombstone, deadline };
        // This one swap ends the old record and makes the new one live.
        match self.change_checked(from, expected, checked, change).await? {
            Outcome::Done(_) => {
                self.finish(self.detach(to, from).await, to);
                Ok(Outcome::Done(revision))
            }
            refused => {
                self.finish(self.take_back(to, from).await, to);
                Ok(refused)
            }
        }
    }

    /// Deletes the record of a rotation that another client has prevented.
    async fn take_back(&self, to: &RecordKey, from: &RecordKey) -> Result<(), StoreError> {
        let Slot::Whole(Found { content, version }) = self.read(to).await? else { return Ok(()) };
        if content.kind.rotated_from() == Some(*from) {
            self.cells.swap(to, Swap::delete(version)).await?;
        }
        Ok(())
    }

    /// Logs the failure of a last step, which changes nothing for the session.
    fn finish(&self, result: Result<(), StoreError>, key: &RecordKey) {
        if let Err(error) = result {
            let store = crate::Store::name(self);
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(?key, store, %error, cause, "could not tidy up after a rotation; \
                the session is not affected");
        }
    }
}
