//! The state of one request's session: its work, its flash, and what its response carries.

use std::sync::Arc;

use crate::session::{
    deadlines::Deadlines, incoming_flash::IncomingFlash, response_effects::ResponseEffects,
    unit_of_work::UnitOfWork,
};
use crate::{
    backend::{LoadedSession, commit::Persistence},
    error::Error,
    form::FieldErrors,
    observe,
    record::{
        change::Change,
        flash::{Bags, Batch, BatchId},
        lifetimes,
        owner::{Owner, SessionId},
    },
    values::Values,
};
use cloakroom_store::{RecordKey, clock::Timestamp};

/// How many fields with errors a session keeps of one request: a form has a thousand, of which each may
/// be wrong.
const MAX_ERRORS: usize = 100;

/// Where a session is stored, as its readers outside of the request have to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whereabouts {
    /// The commit that stores it is still to come.
    Pending,
    /// Stored until this moment, in a store under this key.
    Stored { key: Option<RecordKey>, ends: Timestamp },
    /// Nowhere: it has ended, or it never began.
    Nowhere,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) work: UnitOfWork,
    pub(super) flash: IncomingFlash,
    pub(super) effects: ResponseEffects,
    /// The batch that this request writes.
    batch: Option<BatchId>,
    /// The batch of what it keeps of older flash.
    kept: Option<BatchId>,
    /// The record that the request loaded, and the name that it had in its owner's list.
    loaded: (Option<RecordKey>, Option<SessionId>),
}

impl State {
    pub(super) fn new(loaded: LoadedSession) -> Self {
        let id = loaded.record.owner.as_ref().map(|owner| owner.id);
        Self {
            flash: IncomingFlash::new(&loaded.record.flash),
            effects: ResponseEffects::default(),
            batch: None,
            kept: None,
            loaded: (loaded.key, id),
            work: UnitOfWork::new(loaded),
        }
    }

    /// A session that is first asked for when the response's head has left: nothing can be changed,
    /// and flash is not shown, because it could not be consumed.
    pub(super) fn late(loaded: LoadedSession) -> Self {
        let mut state = Self::new(loaded);
        state.flash = IncomingFlash::default();
        state.work.close();
        state
    }

    pub(super) fn deadlines(&self) -> Deadlines {
        let record = self.work.record();
        let idle = match self.work.persistence() {
            Persistence::Stored { expires, .. } => Some(lifetimes::end(record, expires)),
            Persistence::New | Persistence::PreSession { .. } | Persistence::Ended => None,
        };
        Deadlines { created: record.created, idle, absolute: record.absolute_deadline }
    }

    pub(super) fn whereabouts(&self) -> Whereabouts {
        match self.work.persistence() {
            Persistence::Stored { expires, .. } => Whereabouts::Stored {
                key: self.work.key(),
                ends: lifetimes::end(self.work.record(), expires),
            },
            Persistence::New | Persistence::PreSession { .. } if self.work.has_changes() => {
                Whereabouts::Pending
            }
            _ => Whereabouts::Nowhere,
        }
    }

    /// Returns whether `key` or `owner` name the session of this request: as it was when it was
    /// loaded, as it is, or as it will be.
    pub(super) fn is_stored_as(&self, key: &RecordKey, owner: &Owner) -> bool {
        let (loaded_key, loaded_id) = &self.loaded;
        [*loaded_key, self.work.key()].contains(&Some(*key))
            || [*loaded_id, self.owner().map(|owner| owner.id)].contains(&Some(owner.id))
            || self.work.token_afterwards().record_key() == *key
    }

    pub(super) fn owner(&self) -> Option<&Owner> {
        self.work.record().owner.as_ref()
    }

    pub(super) fn values(&self) -> &Values {
        &self.work.record().values
    }

    /// Returns what this request has flashed for the next page.
    fn outgoing_flash(&self) -> Option<&Bags> {
        self.work.record().flash.bags(self.batch?)
    }

    /// Adds `bags` to what this request flashes, with the errors of at most 100 fields. `draw` names the
    /// batch if it is the first.
    pub(super) fn flash(
        &mut self,
        mut bags: Bags,
        draw: impl FnOnce() -> BatchId,
    ) -> Result<(), Error> {
        let none = FieldErrors::new();
        let flashed = self.outgoing_flash().map_or(&none, |bags| &bags.errors);
        let left_out = bags.errors.limit(MAX_ERRORS, flashed);
        if left_out > 0 {
            observe::errors_over_limit(left_out, MAX_ERRORS);
        }
        let id = *self.batch.get_or_insert_with(draw);
        self.work.change(Change::Flash(Box::new(Batch { id, bags })))
    }

    /// Keeps `bags`, which came to be shown, for the next page. What this request flashes is newer.
    pub(super) fn keep(&mut self, bags: Bags, draw: impl FnOnce() -> BatchId) -> Result<(), Error> {
        if bags.is_empty() {
            return Ok(());
        }
        let id = *self.kept.get_or_insert_with(draw);
        let seen = self.flash.incoming_ids().to_vec();
        self.work.change(Change::Keep { batch: Box::new(Batch { id, bags }), seen })
    }

    /// Consumes the flash that came with the request, if it was read or `shown_anyway`.
    pub(super) fn consume_flash(&mut self, shown_anyway: bool) -> Result<(), Error> {
        if !self.work.is_open() {
            return Ok(());
        }
        match self.flash.consumed(&self.work.record().flash, shown_anyway) {
            Some(ids) => self.work.change(Change::Consume(ids)),
            None => Ok(()),
        }
    }

    pub(super) fn peek_flash(&self) -> Option<Arc<Bags>> {
        self.flash.peek()
    }
}
