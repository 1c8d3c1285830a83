//! One request, from its first header to the response's.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::problem::{ClientFormat, Problem};
use crate::{
    backend::{LoadedSession, commit::Persistence, context::ServerErrors},
    cookie::{self, TokenCandidates},
    error::{Error, WithCauses},
    form::FormInput,
    http::{
        fetch_metadata::{FetchMetadata, Method},
        headers::Headers,
    },
    observe,
    session::{
        Session, Shown, Timing,
        commit_future::CommitFuture,
        sessions::{Sessions, TokenTransport},
    },
};

/// One request, from its first header to the response's. Cheap to clone.
#[derive(Clone)]
pub struct RequestContext(Arc<Inner>);

struct Inner {
    sessions: Sessions,
    method: Method,
    asked: Mutex<Asked>,
}

/// What handlers have asked for so far.
#[derive(Default)]
struct Asked {
    session: Option<Session>,
    /// The captured form, until the session is loaded and keeps it.
    input: Option<Arc<FormInput>>,
    /// The format that the client wants a failure in, once the session was loaded.
    format: Option<ClientFormat>,
    /// Whether the response's head has left.
    closed: bool,
}

/// Loads a request's session ahead of its handler. See [`RequestContext::preload`].
pub type Preload = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

impl RequestContext {
    /// Makes the context of one request, whose method is none that matters. Adapters call
    /// [`ContextStack::begin`](super::ContextStack::begin) instead, which knows the layers around.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{adapter::RequestContext, AppKeys, Sessions};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let sessions = Sessions::cookie(AppKeys::random()).build()?;
    /// let context = RequestContext::new(&sessions);
    /// let session = context.session([("cookie", "theme=dark")].as_slice()).await?;
    /// assert!(session.is_new());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn new(sessions: &Sessions) -> Self {
        Self::with_method(sessions, Method::Other)
    }

    pub(super) fn with_method(sessions: &Sessions, method: Method) -> Self {
        let sessions = sessions.clone();
        Self(Arc::new(Inner { sessions, method, asked: Mutex::default() }))
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        // Every critical section is a single assignment or read.
        self.0.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session system that this request belongs to.
    pub fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    /// The request's session. The first call loads it: one store read or one decryption where a
    /// cookie came, and nothing where none did.
    ///
    /// # Errors
    /// When the store fails. A failed load is never an empty session.
    pub async fn session(&self, headers: &(impl Headers + ?Sized)) -> Result<Session, Error> {
        if let Some(session) = self.loaded() {
            return Ok(session);
        }
        let presented = self.presented(headers);
        let loaded = self.load(&presented).await?;
        // What matters to flash alone is not looked up where there is none.
        let fetch = if loaded.record.flash.is_empty() {
            FetchMetadata::IRRELEVANT
        } else {
            FetchMetadata::of(self.0.method, headers)
        };
        // A visitor who has a cookie was warned of when it was issued.
        let is_issued = loaded.persistence == Persistence::New;
        let fetch = fetch.with_exposure(is_issued && self.exposes_cookie(headers));
        let format = ClientFormat::of(headers);
        Ok(self.get_or_insert_session(loaded, fetch, format, presented.chunks))
    }

    /// Loads the session before the handler runs, for responses that first ask for it inside a
    /// streamed body, when it can no longer be changed.
    ///
    /// # Errors
    /// As [`session`](Self::session).
    pub fn preload(&self, headers: &(impl Headers + ?Sized)) -> Preload {
        let visit = self.clone();
        let presented = self.presented(headers).into_owned();
        let fetch = FetchMetadata::of(self.0.method, headers);
        let fetch = fetch.with_exposure(self.exposes_cookie(headers));
        let format = ClientFormat::of(headers);
        // If the session cannot be loaded, the layer makes the response and has no headers at hand.
        self.asked().format = Some(format);
        Box::pin(async move {
            let loaded = visit.load(&presented).await?;
            visit.get_or_insert_session(loaded, fetch, format, presented.chunks);
            Ok(())
        })
    }

    fn presented<'h>(&self, headers: &'h (impl Headers + ?Sized)) -> TokenCandidates<'h> {
        match self.0.sessions.token_transport() {
            TokenTransport::Cookie => {
                self.0.sessions.context().cookies().read(headers.all("cookie"))
            }
            TokenTransport::Bearer => TokenCandidates::bearer(headers.all("authorization")),
        }
    }

    /// Returns whether a cookie that is not `Secure` would leave this machine.
    fn exposes_cookie(&self, headers: &(impl Headers + ?Sized)) -> bool {
        let sessions = &self.0.sessions;
        sessions.token_transport() == TokenTransport::Cookie
            && !sessions.context().cookies().are_secure()
            && cookie::is_public(headers)
    }

    async fn load(&self, presented: &TokenCandidates<'_>) -> Result<LoadedSession, Error> {
        let sessions = &self.0.sessions;
        let loaded = sessions.backend().load(presented, sessions.context()).await?;
        // The cookie of a session that has just ended is left alone, because it may belong to a newer
        // login. A bearer's token does not: its holder starts over. Pre-sessions are for cookies.
        let starts_over = sessions.token_transport() == TokenTransport::Bearer
            && !matches!(loaded.persistence, Persistence::Stored { .. });
        Ok(if starts_over { loaded.start_over(sessions.context()) } else { loaded })
    }

    /// The session, if a handler asked for it.
    pub fn loaded(&self) -> Option<Session> {
        self.asked().session.clone()
    }

    /// Of two extractors that loaded at the same time, both get the session of the first.
    fn get_or_insert_session(
        &self,
        loaded: LoadedSession,
        fetch: FetchMetadata,
        format: ClientFormat,
        chunks: Vec<u8>,
    ) -> Session {
        let mut asked = self.asked();
        asked.format = Some(format);
        if let Some(session) = &asked.session {
            return session.clone();
        }
        let timing = if asked.closed { Timing::Late } else { Timing::InTime };
        let session = Session::new(self.0.sessions.clone(), fetch, chunks, loaded, timing);
        if timing == Timing::Late {
            observe::late();
        }
        if let Some(input) = asked.input.take() {
            session.capture(input);
        }
        asked.session.insert(session).clone()
    }

    /// Closes the request's context. A session that is first asked for later is read-only.
    fn close(&self) -> Option<Session> {
        let mut asked = self.asked();
        asked.closed = true;
        asked.session.clone()
    }

    /// Remembers what the visitor sent, for `flash_all` and its siblings.
    pub fn capture(&self, input: FormInput) {
        let (mut asked, input) = (self.asked(), Arc::new(input));
        match &asked.session {
            Some(session) => session.capture(input),
            None => asked.input = Some(input),
        }
    }

    /// Returns the captured form.
    pub fn input(&self) -> Option<Arc<FormInput>> {
        let asked = self.asked();
        match &asked.session {
            Some(session) => session.input(),
            None => asked.input.clone(),
        }
    }

    /// Completes a problem that arose without the request's headers at hand with the format that the
    /// client wants, if the session was loaded.
    pub fn complete(&self, problem: impl Into<Problem>) -> Problem {
        problem.into().or_format(self.asked().format)
    }

    /// Commits the session, if a handler asked for it, and says what the response has to carry.
    /// Later changes of the session are errors, and so are those of a session that is first asked for
    /// later, inside a streamed body.
    ///
    /// With a status of 408 or 504 ordinary changes are discarded, and flash that was read stays for
    /// the next page: a timeout inside of the session layer has cut the handler off in the middle.
    pub fn finish(&self, status: u16) -> CommitFuture {
        self.finish_replaced(status, status)
    }

    /// Commits the session as [`finish`](Self::finish) does, where a handler for failures has
    /// [replaced](super::OnFailure) a response of status `given` by one of status `sent`. That the request has
    /// failed decides what is discarded. What is sent decides whether the visitor was shown the flash.
    pub fn finish_replaced(&self, given: u16, sent: u16) -> CommitFuture {
        let Some(session) = self.close() else { return CommitFuture::without_session() };
        let discards_errors = self.0.sessions.context().server_errors() == ServerErrors::Discard;
        let is_discarded =
            matches!(given, 408 | 504) || (discards_errors && (500..600).contains(&given));
        if is_discarded {
            session.discard_changes();
            return session.end(Shown::Nothing);
        }
        session.end(if (300..400).contains(&sent) { Shown::Redirect } else { Shown::Page })
    }

    /// Ends a request whose handler panicked: a `destroy` takes effect, and nothing else that was not
    /// committed before. The response, if there is one, has to carry what earlier commits have earned.
    pub fn abandon(&self) -> CommitFuture {
        match self.close() {
            Some(session) if session.is_destroyed() => {
                session.discard_changes();
                let has_earned_cookie = session.has_earned_cookie();
                let ending = session.end(Shown::Nothing);
                CommitFuture::new(async move {
                    let ended = ending.await;
                    let ended = ended
                        .map(|headers| if has_earned_cookie { headers } else { <_>::default() });
                    ended.inspect_err(|uncommitted| {
                        let error = WithCauses(&uncommitted.error);
                        observe::failed(format_args!(
                            "the session could not be destroyed: {error}"
                        ));
                    })
                })
            }
            Some(session) => session.earned(),
            None => CommitFuture::without_session(),
        }
    }
}

impl fmt::Debug for RequestContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestContext").field("session", &self.loaded()).finish_non_exhaustive()
    }
}
