//! The session as a whole: its token, its end, its commit.

use std::time::Duration;

use tracing::{Instrument as _, field::Empty};

use super::{Session, deadlines::Deadlines, unit_of_work::Checkpoint};
use crate::{
    backend::{
        Backend,
        commit::{CommitOutcome, CookieUpdate, PendingCommit, Persistence},
        cookie,
        decide::Worth,
        detached::Detached,
    },
    error::{Error, Kind},
    http::response_headers::ResponseHeaders,
    observe,
    record::{change::Change, owner::Owner},
    session::{
        commit_future::{CommitFuture, CommitResult, Uncommitted},
        sessions::TokenTransport,
    },
};

/// What the visitor gets to see at the request's end, which decides which flash is consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    Page,
    /// The response sends the visitor elsewhere: flash that was not read is for the next page.
    Redirect,
    /// The handler's work was discarded, and what it read with it.
    Nothing,
}

impl Session {
    /// Gives the session a new token and keeps its values. Call it whenever the visitor's rights
    /// change, above all at sign-in (OWASP ASVS 5.0, 7.2.4): a token that someone planted or saw
    /// before is then worth nothing. CSRF tokens change with it.
    ///
    /// Takes effect at the commit, also when the response is an error. The absolute timeout goes on
    /// from where it began.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// let before = session.correlation_id();
    /// session.regenerate()?;
    /// assert_ne!(session.correlation_id(), before);
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    ///
    /// # Errors
    /// After the commit, as every change.
    pub fn regenerate(&self) -> Result<(), Error> {
        self.state().work.regenerate()
    }

    /// Ends the session: its record is deleted and its cookie removed at the commit, also when the
    /// response is an error or the handler panics afterwards. Requests of the same session that are
    /// still under way cannot bring it back.
    ///
    /// What is put or flashed after it, such as a goodbye message, goes into a new session under a
    /// new token. If that is too large, it is dropped: the session ends, and the commit fails with an
    /// error that [`is_too_large`](Error::is_too_large).
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.put("username", "virk")?;
    /// session.destroy()?;
    /// assert!(session.is_empty());
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    ///
    /// # Errors
    /// After the commit, as every change.
    pub fn destroy(&self) -> Result<(), Error> {
        let empty = self.sessions().context().empty_record();
        self.state().work.destroy(empty)
    }

    /// Gives this session an idle timeout of its own: it ends when it is not used for `idle`. For
    /// "remember me" at sign-in, or less time for administrators.
    ///
    /// The deadline counts anew from this request. A session that gets more time than others keeps
    /// its cookie when the browser is closed, also under `browser_session`.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use std::time::Duration;
    /// # let session = cloakroom::testing::session();
    /// session.regenerate()?;
    /// session.set_idle_timeout(Duration::from_secs(30 * 24 * 60 * 60))?;
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    ///
    /// # Errors
    /// After the commit, as every change.
    pub fn set_idle_timeout(&self, idle: Duration) -> Result<(), Error> {
        let millis = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
        self.state().work.change(Change::IdleTimeout(millis))
    }

    /// Ends this session `absolute` from now, however busy it is; `None` lifts that limit.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use std::time::Duration;
    /// # let session = cloakroom::testing::session();
    /// session.set_absolute_timeout(Some(Duration::from_secs(12 * 60 * 60)))?;
    /// assert!(session.deadlines().absolute.is_some());
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    ///
    /// # Errors
    /// After the commit, as every change.
    pub fn set_absolute_timeout(&self, absolute: Option<Duration>) -> Result<(), Error> {
        let now = self.sessions().context().now();
        self.state().work.change(Change::AbsoluteDeadline(absolute.map(|span| now + span)))
    }

    /// Commits now instead of when the request ends. For work that has to be kept even if the client
    /// goes away before the handler returns. Changes made later are committed at the end.
    ///
    /// A commit that has begun runs to its end, also if this future is dropped. The cookie that it
    /// earns is sent even if the final commit fails or the handler panics.
    ///
    /// # Errors
    /// When the store fails, the session no longer fits, or other writers came first until the
    /// [deadline](crate::SessionsBuilder::commit_deadline). The request's end does not try the same
    /// changes again: call `commit` again, or change something, to have them tried.
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
        if !self.0.fetch.speculative {
            self.state().consume_flash(false)?;
        }
        let session = self.clone();
        let committed = Detached::new(async move { session.commit_changes().await });
        committed.await.inspect_err(|_| self.state().work.refuse())
    }

    /// Closes the session to further changes. Returns whether a final commit should be attempted.
    fn close(&self, shown: Shown) -> Result<bool, Error> {
        let fetch = self.0.fetch;
        let mut state = self.state();
        if !fetch.speculative && shown != Shown::Nothing {
            state.consume_flash(fetch.navigation && shown == Shown::Page)?;
        }
        let nothing = state.work.has_nothing_to_commit(self.sessions().context());
        Ok(state.work.close() && !nothing)
    }

    /// The commit at the request's end: at once where nothing has to be waited for.
    pub(crate) fn end(self, shown: Shown) -> CommitFuture {
        let sessions = self.sessions();
        match (self.close(shown), sessions.backend()) {
            (Err(error), _) => CommitFuture::ready(self.uncommitted(error)),
            (Ok(false), _) => self.earned(),
            (Ok(true), Backend::Cookie(sealer)) => {
                let sealed = self.commit_span().in_scope(|| {
                    let pending = self.state().work.pending();
                    let checkpoint = self.state().work.checkpoint();
                    let outcome = cookie::commit(sealer, &pending, sessions.context())?;
                    self.apply(outcome, &checkpoint)
                });
                let sealed = sealed.inspect_err(|error: &Error| observe::refused(error.code()));
                CommitFuture::ready(self.concluded(sealed))
            }
            (Ok(true), Backend::Store(_)) => CommitFuture::new(async move {
                let committed = self.commit_changes().await;
                self.concluded(committed)
            }),
        }
    }

    /// Returns what the commits of the request have earned. Waits for one that is still under way,
    /// whose caller has stopped waiting for it.
    pub(crate) fn earned(self) -> CommitFuture {
        if self.0.committing.try_lock().is_ok() {
            return CommitFuture::ready(Ok(self.response_headers()));
        }
        CommitFuture::new(async move {
            drop(self.0.committing.lock().await);
            Ok(self.response_headers())
        })
    }

    fn concluded(&self, committed: Result<(), Error>) -> CommitResult {
        match committed {
            Ok(()) => Ok(self.response_headers()),
            Err(error) => {
                // Readers of the session do not wait for what could not be kept.
                self.discard_changes();
                self.uncommitted(error)
            }
        }
    }

    /// Returns the error with the headers that earlier commits have earned.
    fn uncommitted(&self, error: Error) -> CommitResult {
        Err(Uncommitted { error, headers: self.response_headers() })
    }

    /// Returns what the response has to carry by now.
    pub(crate) fn response_headers(&self) -> ResponseHeaders {
        let mut state = self.state();
        let cookie = state.effects.take_cookie();
        match self.sessions().token_transport() {
            TokenTransport::Cookie => {
                let set_cookie = self.cookie_lines(cookie);
                ResponseHeaders { set_cookie, vary: Some("Cookie"), secret: false }
            }
            TokenTransport::Bearer => {
                let secret = state.effects.token_was_shown();
                ResponseHeaders { set_cookie: Vec::new(), vary: Some("Authorization"), secret }
            }
        }
    }

    /// Returns whether a commit of this request has made something of the cookie.
    pub(crate) fn has_earned_cookie(&self) -> bool {
        self.state().effects.has_cookie()
    }

    /// Returns the `Set-Cookie` lines that carry an update out.
    fn cookie_lines(&self, cookie: CookieUpdate) -> Vec<String> {
        let cookies = self.sessions().context().cookies();
        match cookie {
            CookieUpdate::Keep => Vec::new(),
            CookieUpdate::Remove => cookies.remove(&self.0.chunks),
            CookieUpdate::Set { value, max_age } => {
                if self.0.fetch.exposed {
                    observe::insecure_cookie();
                }
                cookies.issue(&value, max_age, &self.0.chunks)
            }
        }
    }

    async fn commit_changes(&self) -> Result<(), Error> {
        let work = async {
            let _turn = self.0.committing.lock().await;
            let (pending, checkpoint, new_owner) = {
                let state = self.state();
                (state.work.pending(), state.work.checkpoint(), state.work.new_owner())
            };
            match new_owner {
                None => self.commit_pending(pending, &checkpoint).await.map(drop),
                // In a box, because it is rare and its future large.
                Some(owner) => Box::pin(self.commit_sign_in(owner, pending, &checkpoint)).await,
            }
        };
        let committed = work.instrument(self.commit_span()).await;
        committed.inspect_err(|error| observe::refused(error.code()))
    }

    /// Commits what gives the session a new owner, and ends what the owner has too many of.
    async fn commit_sign_in(
        &self,
        owner: Owner,
        pending: Box<PendingCommit>,
        checkpoint: &Checkpoint,
    ) -> Result<(), Error> {
        let sign_in = self.sessions().sign_ins().begin(owner);
        let persistence = self.commit_pending(pending, checkpoint).await?;
        if matches!(persistence, Persistence::Stored { .. }) {
            sign_in.end_surplus(self.sessions().backend(), self.sessions().context()).await;
        }
        Ok(())
    }

    /// Commits, and takes over the outcome. Returns what the backend has of the session then.
    pub(super) async fn commit_pending(
        &self,
        pending: Box<PendingCommit>,
        checkpoint: &Checkpoint,
    ) -> Result<Persistence, Error> {
        let sessions = self.sessions();
        let outcome = sessions.backend().commit(pending, sessions.context()).await?;
        let persistence = outcome.persistence;
        self.apply(outcome, checkpoint)?;
        Ok(persistence)
    }

    /// Takes over an outcome, and makes what was changed since the checkpoint again: a clone of the
    /// session may have been busy. Closures of the application run without the lock.
    ///
    /// # Errors
    /// That of the changes that were dropped after a logout.
    fn apply(&self, outcome: CommitOutcome, checkpoint: &Checkpoint) -> Result<(), Error> {
        loop {
            let (rest, mut record) = self.state().work.rest(&outcome, checkpoint);
            if !rest.is_empty() && outcome.record.is_some() {
                rest.replay(std::sync::Arc::make_mut(&mut record));
            }
            let mut state = self.state();
            if state.work.apply(&outcome, checkpoint, &rest, &record) {
                state.effects.note(outcome.cookie, outcome.persistence);
                return outcome.refused.map_or(Ok(()), Err);
            }
        }
    }

    /// Names the session by the token that it had when the request came.
    fn commit_span(&self) -> tracing::Span {
        let driver = self.sessions().driver_name();
        let span = tracing::debug_span!(target: observe::TARGET, "commit", driver, session = Empty);
        if !span.is_disabled() {
            span.record("session", self.state().work.current_token().correlation());
        }
        span
    }

    pub(crate) fn discard_changes(&self) {
        self.state().work.discard_changes();
    }

    pub(crate) fn is_destroyed(&self) -> bool {
        self.state().work.is_destroyed()
    }

    /// Whether the visitor came without a live session. It stays so until a commit.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert!(session.is_new());
    /// ```
    pub fn is_new(&self) -> bool {
        !matches!(self.state().work.persistence(), Persistence::Stored { .. })
    }

    /// When the session began, and when it ends unless it is used.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert_eq!(session.deadlines().idle, None, "it is kept nowhere yet");
    /// ```
    pub fn deadlines(&self) -> Deadlines {
        self.state().deadlines()
    }

    /// The token that this visitor has after the commit, for a client without cookies: it sends it back
    /// as `Authorization: Bearer …`. Hand it out once, over https, at sign-in, and after `regenerate`,
    /// which makes what was handed out before worthless; the session exists from this request's commit
    /// on, even if it is empty. The response is not stored by any cache
    /// (RFC 6750, 5.3).
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let sessions = Sessions::store(MemoryStore::new(), AppKeys::random()).build()?.bearer()?;
    /// # let no_headers: &[(&str, &str)] = &[];
    /// # let session = cloakroom::adapter::RequestContext::new(&sessions).session(no_headers).await?;
    /// session.regenerate()?;
    /// assert_eq!(session.bearer_token()?.len(), 43);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::is_unsupported`] where cookies carry the sessions: see
    /// [`Sessions::bearer`](crate::Sessions::bearer).
    pub fn bearer_token(&self) -> Result<String, Error> {
        if self.sessions().token_transport() == TokenTransport::Cookie {
            return Err(Kind::CarriedByCookie.into());
        }
        let mut state = self.state();
        state.work.require(Worth::Record);
        state.effects.show_token();
        Ok(state.work.token_afterwards().expose())
    }

    /// A short hash of the token: tells sessions apart in a log, signs nobody in.
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
