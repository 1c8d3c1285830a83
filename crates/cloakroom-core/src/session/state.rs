//! The state of one request's session.

use std::sync::Arc;

use crate::session::{
    deadlines::Deadlines,
    incoming_flash::IncomingFlash,
    reload::Reloaded,
    response_effects::ResponseEffects,
    unit_of_work::{Checkpoint, UnitOfWork},
};
use crate::{
    backend::{
        commit::{CommitOutcome, CookieUpdate},
        decide::{Persistence, Usage},
        device_binding::Presence,
        loaded::LoadedSession,
    },
    error::Error,
    form::field::Fields,
    observe,
    record::{
        Record,
        change::{Change, ChangeLog},
        device::{BoundDevice, DeviceId},
        flash::{Bags, Batch, BatchId},
        lifetimes,
        owner::{Owner, SessionId},
    },
    values::Values,
};
use cloakroom_store::{RecordKey, clock::Timestamp};

/// The number of fields whose errors a session keeps for one form of a request. A form can have a thousand fields
/// with an error each.
const MAX_ERRORS: usize = 100;

/// Whether and where a session is stored, for its readers outside of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whereabouts {
    /// A later commit stores the session.
    Pending,
    /// The session is stored until this moment. The key is that of its record in a store.
    Stored { key: Option<RecordKey>, ends: Timestamp },
    /// The session has ended, or never began.
    Nowhere,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) work: UnitOfWork,
    pub(super) flash: IncomingFlash,
    pub(super) effects: ResponseEffects,
    /// The batch of this request's own flash.
    batch: Option<BatchId>,
    /// The batch of the flash that this request keeps.
    kept: Option<BatchId>,
    /// The key of the record that the request loaded or last wrote, and its id in the owner's list.
    known: (Option<RecordKey>, Option<SessionId>),
    /// Whether the request comes from the device that the session was bound to when it was loaded, and the
    /// name of that binding.
    presence: (Presence, Option<DeviceId>),
}

impl State {
    pub(super) fn new(loaded: LoadedSession, usage: Usage) -> Self {
        let id = loaded.record.owner.as_ref().map(|owner| owner.id);
        Self {
            flash: IncomingFlash::new(&loaded.record.flash),
            effects: ResponseEffects::default(),
            batch: None,
            kept: None,
            known: (loaded.key, id),
            presence: (loaded.presence, loaded.record.device.as_ref().map(|device| device.id)),
            work: UnitOfWork::new(loaded, usage),
        }
    }

    /// Makes the state of a session that is first used after the response's head was sent. It is closed
    /// to changes. It shows no flash, because it could not consume it.
    pub(super) fn late(loaded: LoadedSession) -> Self {
        let mut state = Self::new(loaded, Usage::Unused);
        state.flash = IncomingFlash::default();
        state.work.close_late();
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

    /// Returns the key of the session's record after this request's commit.
    pub(super) fn key_afterwards(&self) -> RecordKey {
        self.work.token_afterwards().record_key()
    }

    /// Applies the outcome of a commit, as [`UnitOfWork::apply`] does.
    pub(super) fn apply(
        &mut self,
        outcome: &CommitOutcome,
        checkpoint: &Checkpoint,
        rest: &ChangeLog,
        record: &Arc<Record>,
    ) -> Option<ChangeLog> {
        let done = self.work.apply(outcome, checkpoint, rest, record)?;
        // A session that has ended for this request may live on under another key.
        if matches!(outcome.persistence, Persistence::Stored { .. }) {
            self.known = (outcome.key, outcome.record.owner.as_ref().map(|owner| owner.id));
        }
        Some(done)
    }

    /// Starts from the record that was found, if there was one to read, without the changes of this request.
    pub(super) fn reload(&mut self, found: Option<Reloaded>, now: Timestamp) -> ChangeLog {
        let Some((key, persistence, record)) = found.filter(|_| !self.work.is_destroyed()) else {
            return self.work.discard_changes();
        };
        if persistence != Persistence::Ended {
            self.known = (Some(key), record.owner.as_ref().map(|owner| owner.id));
        }
        // Drops the cookie of an earlier commit if the session has ended since.
        self.effects.add(CookieUpdate::Keep, persistence);
        self.work.reload((key, persistence, record), now)
    }

    /// Returns whether `key` or `owner` identify the session of this request. Compares with the session
    /// as it was loaded or last committed, as it is now, and as it will be after the commit.
    pub(super) fn is_stored_as(&self, key: &RecordKey, owner: &Owner) -> bool {
        let (known_key, known_id) = &self.known;
        [*known_key, self.work.key()].contains(&Some(*key))
            || [*known_id, self.owner().map(|owner| owner.id)].contains(&Some(owner.id))
            || self.key_afterwards() == *key
    }

    /// Returns whether the request comes from `device`. A device that this request has registered is present.
    pub(super) fn presence_of(&self, device: &BoundDevice) -> Presence {
        match self.presence {
            (presence, Some(id)) if id == device.id => presence,
            (_, None) => Presence::Settling,
            (_, Some(_)) => Presence::Missing,
        }
    }

    pub(super) fn owner(&self) -> Option<&Owner> {
        self.work.record().owner.as_ref()
    }

    pub(super) fn values(&self) -> &Values {
        &self.work.record().values
    }

    /// Returns the flash of this request for the next page.
    fn outgoing_flash(&self) -> Option<&Bags> {
        self.work.record().flash.bags(self.batch?)
    }

    /// Adds `bags` to the flash of this request. Keeps the errors of at most [`MAX_ERRORS`] fields of each
    /// form. `draw` draws the id of a new batch.
    pub(super) fn flash(
        &mut self,
        mut bags: Bags,
        draw: impl FnOnce() -> BatchId,
    ) -> Result<(), Error> {
        let left_out = bags.limit_errors(MAX_ERRORS, self.outgoing_flash());
        if left_out > 0 {
            observe::errors_over_limit(left_out, MAX_ERRORS);
        }
        let id = *self.batch.get_or_insert_with(draw);
        self.work.change(Change::Flash(Box::new(Batch { id, bags })))
    }

    /// Flashes form input, in place of the input that this request has flashed before.
    pub(super) fn flash_input(
        &mut self,
        input: Values,
        draw: impl FnOnce() -> BatchId,
    ) -> Result<(), Error> {
        let id = *self.batch.get_or_insert_with(draw);
        let bags = Bags { input, ..Bags::default() };
        self.work.change(Change::FlashInput(Box::new(Batch { id, bags })))
    }

    /// Keeps `bags` of the incoming flash for the next page, in place of what this request has kept before.
    /// New flash of this request takes precedence.
    pub(super) fn keep(&mut self, bags: Bags, draw: impl FnOnce() -> BatchId) -> Result<(), Error> {
        let id = *self.kept.get_or_insert_with(draw);
        let incoming_ids = self.flash.incoming_ids().to_vec();
        self.work.change(Change::Keep { batch: Box::new(Batch { id, bags }), incoming_ids })
    }

    /// Removes the named messages of earlier requests from this page and from later ones.
    pub(super) fn discard_flash(&mut self, names: &[&str]) -> Result<(), Error> {
        let fields = Fields::named(names);
        let batches: Vec<_> = self.flash.incoming_ids().iter().copied().chain(self.kept).collect();
        if self.work.record().flash.has_messages(&fields, &batches) {
            let names = names.iter().map(|name| (*name).into()).collect();
            self.work.change(Change::DiscardFlash { names, batches })?;
        } else {
            self.work.refuse_when_closed()?;
        }
        self.flash.discard(&fields)
    }

    /// Consumes the incoming flash, if it was read or `showed_page` is set.
    pub(super) fn consume_flash(&mut self, showed_page: bool) -> Result<(), Error> {
        if !self.work.is_open() {
            return Ok(());
        }
        match self.flash.consumed(&self.work.record().flash, showed_page) {
            Some(ids) => self.work.change(Change::Consume(ids)),
            None => Ok(()),
        }
    }

    pub(super) fn peek_flash(&self) -> Option<Arc<Bags>> {
        self.flash.peek()
    }
}
