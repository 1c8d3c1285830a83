//! The state of one request's session. Its fields are private to this module: what changes the
//! contents goes through [`State::change`], which also writes the change log.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    change::{Change, ChangeLog},
    clock::Timestamp,
    error::{Error, Kind},
    flash::{Bags, Batch, BatchId},
    lifetimes::{self, Lifetimes},
    owner::Owner,
    record::Record,
    session::Deadlines,
    store::{RecordKey, Revision},
    token::Token,
    values::Values,
};

/// What the driver knows of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nothing: no token came, or none that leads to a live record.
    New,
    /// A live record.
    Live { revision: Revision, expires: Timestamp, cookie: CookieState },
    /// A record that was regenerated or destroyed, a moment before the request came or while it was
    /// under way. Nothing is written and the cookie is left alone: it may be a newer login's.
    Gone,
}

/// Where a session is, seen from outside of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nowhere yet.
    Pending,
    /// With the driver: under this key where it is a store, until this moment.
    Kept { key: RecordKey, ends: Timestamp },
    /// Nowhere: it has ended, or it never began. Not even a key that once was its own leads to it, for
    /// what is there now is another login's.
    Over,
}

/// Whether the visitor's cookie is as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CookieState {
    Current,
    /// An old key sealed it: it has to be sealed again.
    OfOldKey,
}

/// What the request wants to become of the session's token. An intent until the commit.
#[derive(Clone, Debug, PartialEq, Eq)]
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

impl Work {
    /// The token that the visitor has once this work is done.
    pub(crate) fn token_afterwards(&self) -> &Token {
        match &self.fate {
            Fate::Stay => &self.token,
            Fate::Rotate(next) | Fate::End(next) => next,
        }
    }

    /// The idle deadline after this work, of a record that has `current`.
    pub(crate) fn moved(
        &self,
        current: Timestamp,
        lifetimes: &Lifetimes,
        now: Timestamp,
    ) -> Timestamp {
        if self.log.changes_lifetime() {
            lifetimes.deadline(&self.record, now)
        } else {
            lifetimes.throttled(&self.record, current, now)
        }
    }

    pub(crate) fn extent(&self) -> Committed {
        Committed { changes: self.log.len(), fate: self.fate.clone() }
    }

    /// Whether a session that is not kept anywhere yet has anything to be kept for.
    pub(crate) fn is_worth_creating(&self) -> bool {
        self.keep || !self.record.is_empty()
    }
}

/// How much of the work a commit took along.
#[derive(Clone, Debug)]
pub(crate) struct Committed {
    changes: usize,
    fate: Fate,
}

/// What a driver made of a [`Work`].
#[derive(Debug)]
pub(crate) struct Saved {
    pub(crate) origin: Origin,
    pub(crate) token: Token,
    /// The record, where it is another than the one that was to be committed.
    pub(crate) record: Option<Record>,
    /// The `Set-Cookie` lines that follow; none where the cookie stays as it is.
    pub(crate) cookies: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Changes go into the log.
    Open,
    /// An explicit commit failed and nothing was changed since. The caller knows, so the request's
    /// end does not try the same changes again.
    Refused,
    /// The final commit has begun: a change comes too late.
    Closed,
}

#[derive(Debug)]
pub(crate) struct State {
    /// What the next commit has to do.
    work: Work,
    phase: Phase,
    /// The flash that came with the request, if any did. It stays readable whatever becomes of the
    /// record.
    arrived: Option<Arc<Bags>>,
    /// The same, and over it what `flash_now` adds.
    shown: Option<Arc<Bags>>,
    seen: Vec<BatchId>,
    flash_was_read: bool,
    /// The batch that this request writes.
    batch: Option<BatchId>,
    /// The record as it was before any change, where the policy for server errors may want it back.
    untouched: Option<Record>,
    cookies: Vec<String>,
    token_was_shown: bool,
}

impl State {
    pub(crate) fn new(origin: Origin, token: Token, record: Record) -> Self {
        let arrived = record.flash.shown().map(Arc::new);
        Self {
            shown: arrived.clone(),
            arrived,
            seen: record.flash.ids(),
            work: Work {
                origin,
                token,
                fate: Fate::Stay,
                record,
                log: ChangeLog::default(),
                keep: false,
            },
            phase: Phase::Open,
            flash_was_read: false,
            batch: None,
            untouched: None,
            cookies: Vec::new(),
            token_was_shown: false,
        }
    }

    /// Remembers the record as it is now, for [`discard_changes`](Self::discard_changes).
    pub(crate) fn remember_untouched(&mut self) {
        self.untouched = Some(self.work.record.clone());
    }

    /// Every change of the contents: makes it, and logs it for the replay on another request's record.
    pub(crate) fn change(&mut self, change: Change) -> Result<(), Error> {
        self.admit_change()?;
        change.apply(&mut self.work.record)?;
        self.work.log.push(change);
        Ok(())
    }

    pub(crate) fn regenerate(&mut self) -> Result<(), Error> {
        self.admit_change()?;
        let fresh = self.work.token.successor();
        self.work.fate = match std::mem::replace(&mut self.work.fate, Fate::Stay) {
            Fate::Stay | Fate::Rotate(_) => Fate::Rotate(fresh),
            Fate::End(_) => Fate::End(fresh),
        };
        Ok(())
    }

    /// `empty` is what later changes start from: after a destroy they belong to another session.
    pub(crate) fn destroy(&mut self, empty: Record) -> Result<(), Error> {
        self.admit_change()?;
        self.work.fate = Fate::End(self.work.token.successor());
        self.work.record = empty;
        self.work.log = ChangeLog::default();
        self.work.keep = false;
        Ok(())
    }

    /// Makes the session exist even if it stays empty. Too late after the commit, when no page
    /// that needs it can be sent any more.
    pub(crate) fn keep(&mut self) {
        self.work.keep = true;
    }

    /// The token in clear, for a client that has no cookies.
    pub(crate) fn show_token(&mut self) -> String {
        self.keep();
        self.token_was_shown = true;
        self.token().expose()
    }

    pub(crate) fn token_was_shown(&self) -> bool {
        self.token_was_shown
    }

    fn admit_change(&mut self) -> Result<(), Error> {
        if self.phase == Phase::Closed {
            return Err(Kind::Committed.into());
        }
        self.phase = Phase::Open;
        Ok(())
    }

    pub(crate) fn origin(&self) -> Origin {
        self.work.origin
    }

    /// The token that the visitor has after this request's commit.
    pub(crate) fn token(&self) -> &Token {
        self.work.token_afterwards()
    }

    /// The token that came with the request, where it led anywhere.
    pub(crate) fn presented(&self) -> Option<&Token> {
        (self.work.origin != Origin::New).then_some(&self.work.token)
    }

    pub(crate) fn deadlines(&self) -> Deadlines {
        let record = &self.work.record;
        let idle = match self.work.origin {
            Origin::Live { expires, .. } => Some(lifetimes::end(record, expires)),
            Origin::New | Origin::Gone => None,
        };
        Deadlines { created: record.created, idle, absolute: record.until }
    }

    /// Where the session stands, for those who look at it from outside of the request.
    pub(crate) fn standing(&self) -> Standing {
        let Work { origin, token, record, log, keep, .. } = &self.work;
        match *origin {
            Origin::Live { expires, .. } => {
                Standing::Kept { key: token.record_key(), ends: lifetimes::end(record, expires) }
            }
            // The commit is still to come.
            Origin::New if !log.is_empty() || *keep => Standing::Pending,
            Origin::New | Origin::Gone => Standing::Over,
        }
    }

    pub(crate) fn owner(&self) -> Option<&Owner> {
        self.work.record.owner.as_ref()
    }

    pub(crate) fn values(&self) -> &Values {
        &self.work.record.values
    }

    /// The flash that this page shows; asking for it consumes it.
    pub(crate) fn read_flash(&mut self) -> Option<Arc<Bags>> {
        self.flash_was_read = true;
        self.shown.clone()
    }

    /// The flash that came with the request, without consuming it.
    pub(crate) fn arrived_flash(&self) -> Option<Arc<Bags>> {
        self.arrived.clone()
    }

    /// What this request has flashed for the next page.
    pub(crate) fn own_flash(&self) -> Option<&Bags> {
        self.work.record.flash.bags(self.batch?)
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
        Arc::make_mut(self.shown.get_or_insert_default()).extend(now);
    }

    /// Consumes what the request saw, if it was read or `shown_anyway`.
    pub(crate) fn consume_flash(&mut self, shown_anyway: bool) -> Result<(), Error> {
        let consumes = !self.seen.is_empty() && (self.flash_was_read || shown_anyway);
        if self.phase == Phase::Open
            && consumes
            && self.work.record.flash.ids().iter().any(|id| self.seen.contains(id))
        {
            self.change(Change::Consume(self.seen.clone()))?;
        }
        Ok(())
    }

    /// Whether a commit would find nothing to do: nothing was changed and the deadline stays.
    pub(crate) fn is_settled(&self, lifetimes: &Lifetimes, now: Timestamp) -> bool {
        let idle = self.work.log.is_empty() && matches!(self.work.fate, Fate::Stay);
        idle && match self.work.origin {
            Origin::New => !self.work.keep,
            Origin::Live { expires, cookie, .. } => {
                cookie == CookieState::Current
                    && self.work.moved(expires, lifetimes, now) == expires
            }
            Origin::Gone => true,
        }
    }

    /// What a commit has to do now. It stays until [`settle`](Self::settle): a commit that fails
    /// loses nothing.
    pub(crate) fn work(&self) -> &Work {
        &self.work
    }

    /// Takes over what the driver saved of `committed`, and makes anew what was changed while it did:
    /// a clone of the session may have been busy meanwhile.
    pub(crate) fn settle(&mut self, saved: Saved, committed: Committed) {
        let fate_is_new = self.work.fate != committed.fate;
        let destroyed_meanwhile = fate_is_new && matches!(self.work.fate, Fate::End(_));
        // A `destroy` has emptied record and log; what it left belongs to the next session.
        if !destroyed_meanwhile {
            self.work.log = self.work.log.split_off(committed.changes.min(self.work.log.len()));
            if let Some(record) = saved.record {
                self.work.record = record;
            }
            if self.untouched.is_some() {
                self.remember_untouched();
            }
            self.work.log.replay(&mut self.work.record);
        }
        if !fate_is_new {
            self.work.fate = Fate::Stay;
        }
        self.work.origin = saved.origin;
        self.work.token = saved.token;
        self.work.keep &= saved.origin == Origin::New;
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
            self.phase = Phase::Refused;
        }
    }

    /// Ends the time of changes. Answers whether the caller was not told already that they cannot be
    /// committed; `destroy` and `regenerate` are tried again in any case.
    pub(crate) fn close(&mut self) -> bool {
        let told = self.phase == Phase::Refused && self.work.fate == Fate::Stay;
        self.phase = Phase::Closed;
        !told
    }

    /// Forgets the ordinary changes; `destroy` and `regenerate` stay.
    pub(crate) fn discard_changes(&mut self, empty: Record) {
        self.work.record = match (&self.work.fate, self.untouched.take()) {
            (Fate::Stay | Fate::Rotate(_), Some(untouched)) => untouched,
            _ => empty,
        };
        self.work.log = ChangeLog::default();
        self.work.keep = false;
    }

    pub(crate) fn is_destroyed(&self) -> bool {
        matches!(self.work.fate, Fate::End(_))
    }

    pub(crate) fn take_cookies(&mut self) -> Vec<String> {
        std::mem::take(&mut self.cookies)
    }
}
