//! The session as a whole: its token, its end, its commit.

use std::time::Duration;

use tracing::{Instrument, field::Empty};

use super::{Session, state::Origin};
use crate::{
    change::Change,
    clock::Timestamp,
    driver::{Driver, sealed, stored},
    error::{Error, Kind},
    observe,
    seal::Sealer,
    sessions::Carrier,
    visit::{Ending, ResponseHeaders},
};

/// The times of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deadlines {
    /// When the session began.
    pub created: Timestamp,
    /// When it ends if nobody uses it; `None` until it is kept somewhere.
    pub idle: Option<Timestamp>,
    /// When it ends in any case, where it has an absolute lifetime.
    pub absolute: Option<Timestamp>,
}

impl Session {
    /// Gives the session a new token and keeps its values. Call it whenever the visitor's rights
    /// change, above all at sign-in (OWASP ASVS 5.0, 7.2.4): a token that someone planted or saw
    /// before is then worth nothing. CSRF tokens change with it.
    ///
    /// Takes effect at the commit, also when the response is an error. The absolute lifetime goes on
    /// from where it began.
    ///
    /// ```
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
        self.state().regenerate()
    }

    /// Ends the session: its record is deleted and its cookie removed at the commit, also when the
    /// response is an error or the handler panics afterwards. Requests of the same session that are
    /// still under way cannot bring it back.
    ///
    /// What is put or flashed after it, such as a goodbye message, goes into a new session under a
    /// new token.
    ///
    /// ```
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
        let empty = self.sessions().engine().empty_record();
        self.state().destroy(empty)
    }

    /// Gives this session an idle timeout of its own: it ends when it is not used for `idle`. For
    /// "remember me" at sign-in, or less time for administrators.
    ///
    /// The deadline counts anew from this request. A session that gets more time than others keeps
    /// its cookie when the browser is closed, also under `clear_with_browser`.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let session = cloakroom::testing::session();
    /// session.regenerate()?;
    /// session.set_age(Duration::from_secs(30 * 24 * 60 * 60))?;
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    ///
    /// # Errors
    /// After the commit, as every change.
    pub fn set_age(&self, idle: Duration) -> Result<(), Error> {
        let millis = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
        self.state().change(Change::Age(millis))
    }

    /// Ends this session `absolute` from now, however busy it is; `None` lifts that limit.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let session = cloakroom::testing::session();
    /// session.set_lifetime(Some(Duration::from_secs(12 * 60 * 60)))?;
    /// assert!(session.deadlines().absolute.is_some());
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    ///
    /// # Errors
    /// After the commit, as every change.
    pub fn set_lifetime(&self, absolute: Option<Duration>) -> Result<(), Error> {
        let now = self.sessions().engine().now();
        self.state().change(Change::Until(absolute.map(|span| now + span)))
    }

    /// Commits now instead of when the request ends. For work that must be kept even if the client
    /// goes away before the handler returns. Changes made afterwards are committed at the end.
    ///
    /// # Errors
    /// When the store fails, the session no longer fits, or too many races were lost. You have been
    /// told, so the request's end does not try the same changes again: call `commit` again, or
    /// change something, to have them tried.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let session = cloakroom::testing::session();
    /// session.put("paid", true)?;
    /// session.commit().await?;
    /// assert!(!session.is_new());
    /// # Ok::<(), cloakroom::Error>(()) }).unwrap();
    /// ```
    pub async fn commit(&self) -> Result<(), Error> {
        if !self.0.arrival.prefetch {
            self.state().consume_flash(false)?;
        }
        self.commit_changes().await.inspect_err(|_| self.state().refused())
    }

    /// Ends the time of changes. Answers whether a commit is left to do. `redirects`: the response
    /// sends the visitor elsewhere, so it shows no page and flash nobody read is for the next.
    fn close(&self, redirects: bool) -> Result<bool, Error> {
        let arrival = &self.0.arrival;
        let engine = self.sessions().engine();
        let mut state = self.state();
        if !arrival.prefetch {
            state.consume_flash(arrival.navigation && !redirects)?;
        }
        let settled = state.is_settled(engine.lifetimes(), engine.now());
        Ok(state.close() && !settled)
    }

    /// The commit at the request's end: at once where nothing has to be waited for.
    pub(crate) fn end(self, redirects: bool) -> Ending {
        let engine = self.sessions().engine();
        match (self.close(redirects), engine.driver()) {
            (Err(error), _) => Ending::now(Err(error)),
            (Ok(false), _) => Ending::now(Ok(self.response_headers())),
            (Ok(true), Driver::Cookie(sealer)) => {
                let sealed = self.commit_span().in_scope(|| self.seal(sealer));
                let sealed = sealed.inspect_err(|error| {
                    observe::refused(error.code());
                    self.discard_changes();
                });
                Ending::now(sealed.map(|()| self.response_headers()))
            }
            (Ok(true), Driver::Store(_)) => Ending::later(async move {
                // What could not be kept is nothing that readers of the session wait for.
                self.commit_changes().await.inspect_err(|_| self.discard_changes())?;
                Ok(self.response_headers())
            }),
        }
    }

    fn response_headers(&self) -> ResponseHeaders {
        let mut state = self.state();
        let set_cookie = state.take_cookies();
        match self.sessions().carrier() {
            Carrier::Cookie => ResponseHeaders { set_cookie, vary: Some("Cookie"), secret: false },
            Carrier::Bearer => {
                let (vary, secret) = (Some("Authorization"), state.token_was_shown());
                ResponseHeaders { set_cookie: Vec::new(), vary, secret }
            }
        }
    }

    async fn commit_changes(&self) -> Result<(), Error> {
        let committed = self.commit_to_driver().instrument(self.commit_span()).await;
        committed.inspect_err(|error| observe::refused(error.code()))
    }

    /// Names the session by the token that it had when the request came.
    fn commit_span(&self) -> tracing::Span {
        let driver = self.sessions().driver_name();
        let span = tracing::debug_span!(target: observe::TARGET, "commit", driver, session = Empty);
        if !span.is_disabled() {
            span.record("session", self.state().work().token.correlation());
        }
        span
    }

    async fn commit_to_driver(&self) -> Result<(), Error> {
        let engine = self.sessions().engine();
        let store = match engine.driver() {
            Driver::Cookie(sealer) => return self.seal(sealer),
            Driver::Store(store) => store,
        };
        let _turn = self.0.committing.lock().await;
        let work = self.state().work().clone();
        let committed = work.extent();
        let saved = stored::commit(&**store, work, &self.0.arrival.chunks, engine).await?;
        self.state().settle(saved, committed);
        Ok(())
    }

    /// Sealing waits for nothing, so the state stays locked and nothing changes meanwhile.
    fn seal(&self, sealer: &Sealer) -> Result<(), Error> {
        let mut state = self.state();
        let engine = self.sessions().engine();
        let saved = sealed::commit(sealer, state.work(), &self.0.arrival.chunks, engine)?;
        let committed = state.work().extent();
        state.settle(saved, committed);
        Ok(())
    }

    pub(crate) fn discard_changes(&self) {
        let empty = self.sessions().engine().empty_record();
        self.state().discard_changes(empty);
    }

    pub(crate) fn is_destroyed(&self) -> bool {
        self.state().is_destroyed()
    }

    /// Whether the visitor came without a live session. It stays so until a commit.
    ///
    /// ```
    /// # let session = cloakroom::testing::session();
    /// assert!(session.is_new());
    /// ```
    pub fn is_new(&self) -> bool {
        !matches!(self.state().origin(), Origin::Live { .. })
    }

    /// When the session began, and when it ends unless it is used.
    ///
    /// ```
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
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let sessions = Sessions::store(MemoryStore::new(), AppKeys::random()).build()?.bearer()?;
    /// # let no_headers: &[(&str, &str)] = &[];
    /// # let session = sessions.visit().session(no_headers).await?;
    /// session.regenerate()?;
    /// assert_eq!(session.bearer_token()?.len(), 43);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::is_unsupported`] where cookies carry the sessions: see
    /// [`Sessions::bearer`](crate::Sessions::bearer).
    pub fn bearer_token(&self) -> Result<String, Error> {
        if self.sessions().carrier() == Carrier::Cookie {
            return Err(Kind::CarriedByCookie.into());
        }
        Ok(self.state().show_token())
    }

    /// A short hash of the token: tells sessions apart in a log, signs nobody in.
    ///
    /// ```
    /// # let session = cloakroom::testing::session();
    /// assert_eq!(session.correlation_id().len(), 16);
    /// ```
    pub fn correlation_id(&self) -> String {
        self.state().token().correlation()
    }
}
