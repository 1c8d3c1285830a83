//! The state of one request's session. Its fields are private to this module: what changes the
//! contents goes through [`State::change`], which also writes the change log.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::value::RawValue;

use crate::{
    change::{Change, ChangeLog},
    clock::Timestamp,
    error::{Error, Kind},
    flash::{Bags, Batch, BatchId},
    record::Record,
    session::Deadlines,
    store::Revision,
    token::Token,
    values::Values,
};

/// What the driver knows of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nothing: no token came, or none that leads to a live record.
    New,
    /// A live record.
    Live { revision: Revision, expires: Timestamp, sealed_by_old_key: bool },
    /// A record that was regenerated or destroyed, a moment before the request came or while it was
    /// under way. Nothing is written and the cookie is left alone: it may be a newer login's.
    Gone,
}

/// What the request wants to become of the session's token. An intent until the commit.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    Stay,
    /// `regenerate`: these contents under this token.
    Rotate(Token),
    /// `destroy`; what is put afterwards goes under this token.
    End(Token),
}

/// What a commit carries to the driver, and back.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub(crate) origin: Origin,
    pub(crate) token: Token,
    pub(crate) fate: Fate,
    pub(crate) record: Record,
    pub(crate) log: ChangeLog,
    /// A page shows a CSRF token of this session, so it has to exist even if it is empty.
    pub(crate) keep: bool,
}

/// What a driver made of a [`Work`].
#[derive(Debug)]
pub(crate) struct Saved {
    pub(crate) origin: Origin,
    pub(crate) token: Token,
    pub(crate) record: Record,
    /// The `Set-Cookie` lines that follow; none where the cookie stays as it is.
    pub(crate) cookies: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Changes go into the log.
    Open,
    /// An explicit commit failed when the log had this many changes. The caller knows, so the
    /// request's end does not try those again.
    Refused(usize),
    /// The final commit has begun: a change comes too late.
    Closed,
}

#[derive(Debug)]
pub(crate) struct State {
    origin: Origin,
    token: Token,
    fate: Fate,
    record: Record,
    log: ChangeLog,
    keep: bool,
    phase: Phase,
    /// The flash that came with the request. It stays readable whatever becomes of the record.
    shown: Arc<Bags>,
    seen: Vec<BatchId>,
    flash_was_read: bool,
    /// The batch that this request writes.
    batch: Option<BatchId>,
    /// The record as it was before any change, where the policy for server errors may want it back.
    untouched: Option<Record>,
    cookies: Vec<String>,
}

impl State {
    pub(crate) fn new(origin: Origin, token: Token, record: Record) -> Self {
        Self {
            shown: Arc::new(record.flash.shown()),
            seen: record.flash.ids(),
            origin,
            token,
            fate: Fate::Stay,
            record,
            log: ChangeLog::default(),
            keep: false,
            phase: Phase::Open,
            flash_was_read: false,
            batch: None,
            untouched: None,
            cookies: Vec::new(),
        }
    }

    /// Remembers the record as it is now, for [`discard_changes`](Self::discard_changes).
    pub(crate) fn remember_untouched(&mut self) {
        self.untouched = Some(self.record.clone());
    }

    /// Every change of the contents: makes it, and logs it for the replay on another request's record.
    pub(crate) fn change(&mut self, change: Change) -> Result<(), Error> {
        self.refuse_when_closed()?;
        change.apply(&mut self.record)?;
        self.log.push(change);
        Ok(())
    }

    pub(crate) fn regenerate(&mut self, fresh: Token) -> Result<(), Error> {
        self.refuse_when_closed()?;
        self.fate = match std::mem::replace(&mut self.fate, Fate::Stay) {
            Fate::Stay | Fate::Rotate(_) => Fate::Rotate(fresh),
            Fate::End(_) => Fate::End(fresh),
        };
        Ok(())
    }

    /// `empty` is what later changes start from: after a destroy they belong to another session.
    pub(crate) fn destroy(&mut self, fresh: Token, empty: Record) -> Result<(), Error> {
        self.refuse_when_closed()?;
        self.fate = Fate::End(fresh);
        self.record = empty;
        self.log = ChangeLog::default();
        self.keep = false;
        Ok(())
    }

    /// Makes the session exist even if it stays empty. Too late after the commit, when no page
    /// that needs it can be sent any more.
    pub(crate) fn keep(&mut self) {
        self.keep = true;
    }

    fn refuse_when_closed(&self) -> Result<(), Error> {
        if self.phase == Phase::Closed { Err(Kind::Committed.into()) } else { Ok(()) }
    }

    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    /// The token that the visitor has after this request's commit.
    pub(crate) fn token(&self) -> &Token {
        match &self.fate {
            Fate::Stay => &self.token,
            Fate::Rotate(next) | Fate::End(next) => next,
        }
    }

    /// The token that came with the request, where it led anywhere.
    pub(crate) fn presented(&self) -> Option<&Token> {
        (self.origin != Origin::New).then_some(&self.token)
    }

    pub(crate) fn deadlines(&self) -> Deadlines {
        let idle = match self.origin {
            Origin::Live { expires, .. } => Some(expires),
            Origin::New | Origin::Gone => None,
        };
        Deadlines { created: self.record.created, idle, absolute: self.record.until }
    }

    pub(crate) fn values(&self) -> &Values {
        &self.record.values
    }

    pub(crate) fn raw(&self, path: &str) -> Option<Box<RawValue>> {
        self.record.values.raw(path)
    }

    /// The flash that came with the request; asking for it consumes it.
    pub(crate) fn read_flash(&mut self) -> Arc<Bags> {
        self.flash_was_read = true;
        self.shown.clone()
    }

    /// The same without consuming it, to carry it on.
    pub(crate) fn shown(&self) -> Arc<Bags> {
        self.shown.clone()
    }

    /// Adds `bags` to what this request flashes; `draw` names the batch if it is the first.
    pub(crate) fn flash(
        &mut self,
        bags: Bags,
        draw: impl FnOnce() -> BatchId,
    ) -> Result<(), Error> {
        let id = *self.batch.get_or_insert_with(draw);
        self.change(Change::Flash(Batch { id, bags }))
    }

    /// Shows `messages` within this request.
    pub(crate) fn flash_now(&mut self, messages: Values) {
        let now = Bags { messages, input: Values::default(), errors: BTreeMap::new() };
        Arc::make_mut(&mut self.shown).extend(now);
    }

    /// Consumes what the request saw, if it was read or `shown_anyway`.
    pub(crate) fn consume_flash(&mut self, shown_anyway: bool) -> Result<(), Error> {
        let pending = self.record.flash.ids();
        let any_left = self.seen.iter().any(|id| pending.contains(id));
        if any_left && (self.flash_was_read || shown_anyway) {
            self.change(Change::Consume(self.seen.clone()))?;
        }
        Ok(())
    }

    /// What a commit has to do now. The log stays until [`settle`](Self::settle): a commit that
    /// fails loses nothing.
    pub(crate) fn work(&self) -> Work {
        Work {
            origin: self.origin,
            token: self.token.clone(),
            fate: self.fate.clone(),
            record: self.record.clone(),
            log: self.log.clone(),
            keep: self.keep,
        }
    }

    /// Takes over what the driver saved, and makes anew what was changed while it did.
    pub(crate) fn settle(&mut self, saved: Saved, committed: usize) {
        let meanwhile = self.log.split_off(committed.min(self.log.len()));
        self.origin = saved.origin;
        self.token = saved.token;
        self.fate = Fate::Stay;
        self.record = saved.record;
        meanwhile.replay(&mut self.record);
        self.log = meanwhile;
        self.keep = false;
        if self.untouched.is_some() {
            self.remember_untouched();
        }
        if self.phase != Phase::Closed {
            self.phase = Phase::Open;
        }
        if let Some(cookies) = saved.cookies {
            self.cookies = cookies;
        }
    }

    /// Notes that the caller of an explicit commit was told of its failure.
    pub(crate) fn refused(&mut self) {
        if self.phase != Phase::Closed {
            self.phase = Phase::Refused(self.log.len());
        }
    }

    /// Ends the time of changes. Answers whether there is anything to commit.
    pub(crate) fn close(&mut self) -> bool {
        let told = self.phase == Phase::Refused(self.log.len());
        self.phase = Phase::Closed;
        !told
    }

    /// Forgets the ordinary changes; `destroy` and `regenerate` stay.
    pub(crate) fn discard_changes(&mut self, empty: Record) {
        self.record = match (&self.fate, self.untouched.take()) {
            (Fate::Stay | Fate::Rotate(_), Some(untouched)) => untouched,
            _ => empty,
        };
        self.log = ChangeLog::default();
        self.keep = false;
    }

    pub(crate) fn is_destroyed(&self) -> bool {
        matches!(self.fate, Fate::End(_))
    }

    pub(crate) fn take_cookies(&mut self) -> Vec<String> {
        std::mem::take(&mut self.cookies)
    }
}
