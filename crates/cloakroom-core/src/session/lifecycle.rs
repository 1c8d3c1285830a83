//! Operations on the session as a whole: its token, its end, its commit.

use std::{pin::pin, sync::Arc, time::Duration};

use tracing::{Instrument as _, field::Empty};

use super::{Session, deadlines::Deadlines, unit_of_work::Checkpoint};
use crate::{
    backend::{
        commit::{CommitOutcome, PendingCommit},
        decide::{Persistence, Worth},
        detached::Detached,
    },
    error::{Error, Kind},
    observe,
    record::{change::Change, owner::Owner},
    session::sessions::TokenTransport,
};

impl Session {
    /// Gives the session a new token and keeps its values. Call it at sign-in and whenever the
    /// visitor's rights change.
    ///
    /// Takes effect at the commit, even if the response is an error. The CSRF tokens of the session change
    /// too. The absolute deadline stays.
    ///
    /// # Errors
    /// After the commit, as every change.
    ///
    /// # Security
    /// Prevents session fixation (OWASP ASVS 5.0, 7.2.4): a token that an attacker planted or read before
    /// the sign-in becomes invalid.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// let before = session.correlation_id();
    /// session.regenerate()?;
    /// assert_ne!(session.correlation_id(), before);
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn regenerate(&self) -> Result<(), Error> {
        self.state().work.regenerate()
    }

    /// Ends the session. The commit deletes its record and removes its cookie.
    ///
    /// Use it at logout. Use [`clear`](Self::clear) to remove all values from a session that continues.
    ///
    /// Takes effect even if the response is an error or the handler panics afterwards. Concurrent requests
    /// of the session cannot restore it on drivers with a store. Later changes of this request, such as a
    /// goodbye message, go into a new session with a new token. If they are too large, they are dropped:
    /// the session ends, and the commit fails with an error that
    /// [`is_too_large`](Error::is_too_large).
    ///
    /// # Errors
    /// After the commit, as every change.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.put("username", "virk")?;
    /// session.destroy()?;
    /// assert!(session.is_empty());
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn destroy(&self) -> Result<(), Error> {
        let empty = self.sessions().context().empty_record();
        let destroyed = self.state().work.destroy(empty)?;
        drop(destroyed);
        Ok(())
    }

    /// Sets the idle timeout of this session: it ends when it is not used for `idle`.
    ///
    /// Use it for "remember me" at sign-in, or for a shorter timeout of administrators. The setting
    /// [`idle_timeout`](crate::SessionsBuilder::idle_timeout) applies to all other sessions.
    ///
    /// The timeout starts at this request. If it is longer than the setting, the browser keeps the
    /// cookie when it is closed, even with `browser_session`. A timeout below one second counts as one
    /// second, and one beyond the session's absolute timeout, or beyond a hundred years, as that.
    ///
    /// # Errors
    /// After the commit, as every change.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use std::time::Duration;
    /// # let session = cloakroom::testing::session();
    /// session.regenerate()?;
    /// session.set_idle_timeout(Duration::from_secs(30 * 24 * 60 * 60))?;
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn set_idle_timeout(&self, idle: Duration) -> Result<(), Error> {
        self.state().work.change(Change::idle_timeout(Some(idle)))
    }

    /// Sets whether the cookie of this session ends when the browser is closed, as a box "remember me" that is
    /// left empty asks for. Default: [the setting](crate::cookie::CookieSettings::browser_session), and the cookie stays if
    /// the session has a longer idle timeout than others.
    ///
    /// The timeouts apply in both cases, and browsers that restore their windows keep such cookies. The idle
    /// timeout begins again now.
    ///
    /// # Errors
    /// After the commit, as every change.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// # let remember_me = false;
    /// session.sign_in("user-42")?;
    /// session.browser_session(!remember_me)?;
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn browser_session(&self, ends: bool) -> Result<(), Error> {
        self.state().work.change(Change::BrowserSession(ends))
    }

    /// Removes the session's own idle timeout, so that the one of the settings applies again. It begins again
    /// now.
    ///
    /// # Errors
    /// After the commit, as every change.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use std::time::Duration;
    /// # let session = cloakroom::testing::session();
    /// session.set_idle_timeout(Duration::from_secs(30 * 24 * 60 * 60))?;
    /// session.reset_idle_timeout()?;
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn reset_idle_timeout(&self) -> Result<(), Error> {
        self.state().work.change(Change::idle_timeout(None))
    }

    /// Sets the absolute timeout of this session: it ends `absolute` from now, even if it is used. `None`
    /// removes the limit.
    ///
    /// # Errors
    /// After the commit, as every change.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use std::time::Duration;
    /// # let session = cloakroom::testing::session();
    /// session.set_absolute_timeout(Some(Duration::from_secs(12 * 60 * 60)))?;
    /// assert!(session.deadlines().absolute.is_some());
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn set_absolute_timeout(&self, absolute: Option<Duration>) -> Result<(), Error> {
        let now = self.sessions().context().now();
        self.state().work.change(Change::AbsoluteDeadline(absolute.map(|span| now + span)))
    }

    /// Makes this request no use of the session: its commit does not move the idle deadline, and the
    /// cookie is not renewed. Call it in handlers that scripts poll, because a forgotten tab would
    /// otherwise keep its visitor signed in (OWASP ASVS 5.0, 7.3.1).
    ///
    /// The request's changes are committed as usual, and `regenerate` and `destroy` take effect. A
    /// [sign-in](Self::sign_in) still counts as a use, because its visitor is there. A
    /// timeout that the request sets still starts at this request. An explicit [`commit`](Self::commit)
    /// before this call has counted as a use.
    ///
    /// The setting [`no_touch_header`](crate::SessionsBuilder::no_touch_header) does the same for all
    /// requests with a header, so that scripts can mark their polls.
    ///
    /// # Errors
    /// After the commit, as every change.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use std::{sync::Arc, time::Duration};
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions, adapter::RequestContext, testing::FakeClock};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let clock = Arc::new(FakeClock::default());
    /// # let store = MemoryStore::with_clock(clock.clone());
    /// # let sessions = Sessions::builder(store, AppKeys::random()).clock(clock.clone()).build()?;
    /// # let no_headers: &[(&str, &str)] = &[];
    /// # let session = RequestContext::new(&sessions).session(no_headers).await?;
    /// # session.put("unread", 3)?;
    /// # session.commit().await?;
    /// let idle = session.deadlines().idle;
    /// # clock.advance(Duration::from_secs(3_600));
    /// session.no_touch()?; // an hour later
    /// session.put("unread", 4)?;
    /// session.commit().await?;
    /// assert_eq!(session.deadlines().idle, idle);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn no_touch(&self) -> Result<(), Error> {
        self.state().work.no_touch()
    }

    /// Commits the changes now rather than at the request's end. Later changes are committed at the
    /// end.
    ///
    /// Use it for changes that must be kept even if the client disconnects before the handler returns.
    ///
    /// A commit that has begun runs to its end, even if this future is dropped. Its cookie is sent even if
    /// the commit at the request's end fails or the handler panics.
    ///
    /// # Errors
    /// When the store fails, the session is too large, or other requests kept writing it until the
    /// [deadline](crate::SessionsBuilder::commit_deadline). The commit at the request's end does not
    /// repeat changes that failed here, unless another change follows. To repeat them, call `commit`
    /// again.
    /// [`Error::is_committed`] if the request has ended without its changes, because its handler panicked
    /// or was dropped.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let session = cloakroom::testing::session();
    /// session.put("paid", true)?;
    /// session.commit().await?;
    /// assert!(!session.is_new());
    /// # Ok::<(), cloakroom::Error>(()) }).unwrap();
    /// ```
    pub async fn commit(&self) -> Result<(), Error> {
        self.state().work.refuse_when_abandoned()?;
        if !self.0.fetch.speculative {
            self.state().consume_flash(false)?;
        }
        let session = self.clone();
        let committed = Detached::new(async move {
            let (committed, checkpoint) = session.commit_changes().await;
            committed.inspect_err(|_| session.state().work.refuse(&checkpoint))
        });
        committed.await
    }

    /// Commits the current changes. Returns the result with the part of the work that it is about.
    pub(super) async fn commit_changes(&self) -> (Result<(), Error>, Checkpoint) {
        // Pinned here, because a move into the span would copy the whole future.
        let work = pin!(async {
            let _turn = self.begin_commit().await;
            let (pending, checkpoint, new_owner) = {
                let state = self.state();
                (state.work.pending(), state.work.checkpoint(), state.work.new_owner())
            };
            if pending.fixes_session() {
                observe::fixed_session();
            }
            let committed = match new_owner {
                None => self.commit_pending(pending, &checkpoint).await.map(drop),
                // In a box, because it is rare and its future is large.
                Some(owner) => Box::pin(self.commit_sign_in(owner, pending, &checkpoint)).await,
            };
            (committed, checkpoint)
        });
        let (committed, checkpoint) = work.instrument(self.commit_span()).await;
        (committed.inspect_err(|error| observe::refused(error.code())), checkpoint)
    }

    /// Commits changes that set an owner. If the owner has one session more then, ends the sessions
    /// beyond the limit.
    async fn commit_sign_in(
        &self,
        owner: Owner,
        pending: Box<PendingCommit>,
        checkpoint: &Checkpoint,
    ) -> Result<(), Error> {
        let (sessions, had) = (self.sessions(), pending.before.owner.as_ref().map(|had| had.id));
        let sign_in = sessions.sign_ins().begin(&owner);
        let persistence = self.commit_pending(pending, checkpoint).await?;
        let committed = self.state().work.committed_owner().cloned();
        let is_new = |owner: &Owner| had != Some(owner.id);
        if let (Persistence::Stored { .. }, Some(owner)) = (persistence, committed.filter(is_new)) {
            sign_in.end_surplus(owner, sessions.backend(), sessions.context()).await;
        }
        Ok(())
    }

    /// Commits `pending` and applies the outcome. Returns how the session is stored afterwards.
    pub(super) async fn commit_pending(
        &self,
        pending: Box<PendingCommit>,
        checkpoint: &Checkpoint,
    ) -> Result<Persistence, Error> {
        let sessions = self.sessions();
        let reported = self.prepare_report(&pending);
        let outcome = sessions.backend().commit(pending, sessions.context()).await;
        let outcome = outcome.inspect_err(|error| {
            if error.is_of_store() {
                self.state().work.doubt(checkpoint);
            }
        })?;
        self.report(reported, &outcome);
        let persistence = outcome.persistence;
        self.apply(outcome, checkpoint)?;
        Ok(persistence)
    }

    /// Applies the outcome of a commit. Replays the changes that clones of the session have made since
    /// the checkpoint. Closures of the application run without the lock.
    ///
    /// # Errors
    /// The error of changes that were dropped after a logout.
    pub(super) fn apply(
        &self,
        outcome: CommitOutcome,
        checkpoint: &Checkpoint,
    ) -> Result<(), Error> {
        loop {
            let (rest, mut record) = (self.state().work.since(checkpoint), outcome.record.clone());
            if !rest.is_empty() {
                rest.replay(Arc::make_mut(&mut record));
            }
            let mut state = self.state();
            let ends = state.work.is_ended_by(&outcome, checkpoint);
            if let Some(done) = state.apply(&outcome, checkpoint, &rest, &record) {
                state.effects.add(outcome.cookie, outcome.persistence);
                if ends {
                    state.effects.end();
                }
                drop(state);
                // Without the lock, because closures may own anything.
                drop(done);
                return outcome.refused.map_or(Ok(()), Err);
            }
        }
    }

    /// Makes the span of a commit. It identifies the session by the token before the commit.
    pub(super) fn commit_span(&self) -> tracing::Span {
        let driver = self.sessions().driver_name();
        let span = tracing::debug_span!(target: observe::TARGET, "commit", driver, session = Empty);
        if !span.is_disabled() {
            span.record("session", self.state().work.current_token().correlation());
        }
        span
    }

    pub(crate) fn is_destroyed(&self) -> bool {
        self.state().work.is_destroyed()
    }

    /// Returns whether this request has changed the session since it loaded it or last committed.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert!(!session.is_modified());
    /// session.put("theme", "dark")?;
    /// assert!(session.is_modified());
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn is_modified(&self) -> bool {
        self.state().work.is_modified()
    }

    /// Discards the changes that this request has made since it loaded the session or last committed, such as
    /// values, flash and the owner. `regenerate` and `destroy` take effect all the same, because a logout must
    /// not depend on what follows it.
    ///
    /// Use it when a handler finds out late that it must leave the session as it was.
    ///
    /// # Errors
    /// After the commit, as every change.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.put("theme", "dark")?;
    /// session.discard_changes()?;
    /// assert!(session.missing("theme") && !session.is_modified());
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn discard_changes(&self) -> Result<(), Error> {
        let discarded = {
            let mut state = self.state();
            state.work.refuse_when_closed()?;
            state.work.discard_changes()
        };
        // Without the lock, because closures may own anything.
        drop(discarded);
        Ok(())
    }

    /// Returns whether the session has no live record. A new session stays new until its first commit.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert!(session.is_new());
    /// ```
    pub fn is_new(&self) -> bool {
        !matches!(self.state().work.persistence(), Persistence::Stored { .. })
    }

    /// Returns when the session began, and when it ends.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert_eq!(session.deadlines().idle, None, "it is not committed yet");
    /// ```
    pub fn deadlines(&self) -> Deadlines {
        self.state().deadlines()
    }

    /// Returns how long the session lasts if it is not used again. Returns `None` if it is not stored yet.
    ///
    /// Use it for a page that warns before the session ends.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let session = cloakroom::testing::session();
    /// session.put("theme", "dark")?;
    /// assert_eq!(session.time_left(), None);
    /// session.commit().await?;
    /// assert!(session.time_left().unwrap().as_secs() <= 2 * 60 * 60);
    /// # Ok::<(), cloakroom::Error>(()) }).unwrap();
    /// ```
    pub fn time_left(&self) -> Option<Duration> {
        Some(self.now().until(self.deadlines().idle?))
    }

    /// Returns the visitor's token after the commit, for a client without cookies. The client sends it
    /// back as `Authorization: Bearer …`.
    ///
    /// Return it to the client at sign-in, and after `regenerate`, which invalidates the earlier token.
    /// The commit stores the session even if it is empty. The response gets `Cache-Control: no-store`
    /// (RFC 6750, 5.3).
    ///
    /// # Errors
    /// [`Error::is_unsupported`] if cookies carry the token. Use
    /// [`Sessions::bearer`](crate::Sessions::bearer) for routes of clients without cookies.
    ///
    /// # Security
    /// Send the token over https only, because it gives full access to the session.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?.bearer()?;
    /// # let no_headers: &[(&str, &str)] = &[];
    /// # let session = cloakroom::adapter::RequestContext::new(&sessions).session(no_headers).await?;
    /// session.regenerate()?;
    /// assert_eq!(session.bearer_token()?.len(), 43);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn bearer_token(&self) -> Result<String, Error> {
        if self.sessions().token_transport() == TokenTransport::Cookie {
            return Err(Kind::CarriedByCookie.into());
        }
        let mut state = self.state();
        state.work.require(Worth::Record);
        state.effects.show_token();
        Ok(state.work.token_afterwards().expose())
    }

    /// Returns a short hash of the token, which identifies the session in a log.
    ///
    /// # Security
    /// The token cannot be computed from the hash, so the hash gives no access to the session.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert_eq!(session.correlation_id().len(), 16);
    /// ```
    pub fn correlation_id(&self) -> String {
        self.state().work.token_afterwards().correlation()
    }
}
