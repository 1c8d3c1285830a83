//! One request, from its first header to those of its response.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::problem::{ClientFormat, Problem};
use crate::{
    backend::{context::ServerErrors, decide::Persistence, loaded::LoadedSession},
    cookie::{self, TokenCandidates},
    error::{Error, WithCauses},
    form::FormInput,
    http::{
        fetch_metadata::{FetchMetadata, Method},
        headers::Headers,
        request_line::RequestLine,
    },
    observe,
    session::{
        Session, Timing,
        commit_future::CommitFuture,
        ending::Ending,
        sessions::{Sessions, TokenTransport},
    },
};

/// One request, from its first header to those of its response. Cheap to clone.
#[derive(Clone)]
pub struct RequestContext(Arc<Inner>);

struct Inner {
    sessions: Sessions,
    method: Method,
    progress: Mutex<Progress>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let progress = self.progress.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = progress.session.take() {
            session.drop_closures();
        }
    }
}

/// The progress of a request.
#[derive(Default)]
struct Progress {
    /// The session, once it is loaded.
    session: Option<Session>,
    /// The captured form, until the session is loaded and keeps it.
    input: Option<Arc<FormInput>>,
    /// The format that the client wants a failure in, once the session is loaded.
    format: Option<ClientFormat>,
    /// `true` once the head of the response has been sent.
    closed: bool,
}

/// A future that loads a request's session ahead of its handler. See [`RequestContext::preload`].
pub type Preload = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

impl RequestContext {
    /// Makes the context of a request outside of any session layer, as in tests and tools. Adapters call
    /// [`ContextStack::begin`](super::ContextStack::begin) instead, which knows the outer layers and the
    /// method.
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
        Self(Arc::new(Inner { sessions, method, progress: Mutex::default() }))
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        // A panic leaves nothing half changed, because every critical section is a single assignment
        // or read.
        self.0.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the session system that this request belongs to.
    pub fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    /// Returns the request's session. The first call loads it with one read of the store or one
    /// decryption. A request without a token costs neither.
    ///
    /// # Errors
    /// When the store fails. A failed load is never an empty session.
    pub async fn session(&self, headers: &(impl Headers + ?Sized)) -> Result<Session, Error> {
        if let Some(session) = self.loaded() {
            return Ok(session);
        }
        let candidates = self.candidates(headers);
        let loaded = self.load(&candidates).await?;
        // These headers matter to flash alone, so a session without flash does not pay for them.
        let fetch = if loaded.record.flash.is_empty() {
            FetchMetadata::IRRELEVANT
        } else {
            FetchMetadata::of(self.0.method, headers)
        };
        // Only an issued cookie causes the warning, and a visitor with a session has a cookie already.
        let is_issued = loaded.persistence == Persistence::New;
        let fetch = fetch.with_exposure(is_issued && self.exposes_cookie(headers));
        let format = ClientFormat::of(headers);
        Ok(self.get_or_insert_session(loaded, fetch, format, candidates.chunks))
    }

    /// Loads the session before the handler runs, for routes that first ask for it inside a streamed
    /// body, when it can no longer be changed.
    ///
    /// # Errors
    /// As [`session`](Self::session).
    pub fn preload(&self, headers: &(impl Headers + ?Sized)) -> Preload {
        let context = self.clone();
        let candidates = self.candidates(headers).into_owned();
        let fetch = FetchMetadata::of(self.0.method, headers);
        let fetch = fetch.with_exposure(self.exposes_cookie(headers));
        let format = ClientFormat::of(headers);
        // If the load fails, the layer makes the response without the request's headers.
        self.progress().format = Some(format);
        Box::pin(async move {
            let loaded = context.load(&candidates).await?;
            context.get_or_insert_session(loaded, fetch, format, candidates.chunks);
            Ok(())
        })
    }

    fn candidates<'h>(&self, headers: &'h (impl Headers + ?Sized)) -> TokenCandidates<'h> {
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

    async fn load(&self, candidates: &TokenCandidates<'_>) -> Result<LoadedSession, Error> {
        let sessions = &self.0.sessions;
        let loaded = sessions.backend().load(candidates, sessions.context()).await?;
        // The cookie of a session that has just ended is left alone, because it may belong to a newer
        // login. A bearer's token does not: its holder starts over. Pre-sessions are for cookies.
        let starts_over = sessions.token_transport() == TokenTransport::Bearer
            && !matches!(loaded.persistence, Persistence::Stored { .. });
        Ok(if starts_over { loaded.start_over(sessions.context()) } else { loaded })
    }

    /// Returns the session if it was loaded.
    pub fn loaded(&self) -> Option<Session> {
        self.progress().session.clone()
    }

    /// Keeps the loaded session. Of two extractors that loaded at the same time, both get the first one.
    fn get_or_insert_session(
        &self,
        loaded: LoadedSession,
        fetch: FetchMetadata,
        format: ClientFormat,
        chunks: Vec<u8>,
    ) -> Session {
        let mut progress = self.progress();
        progress.format = Some(format);
        if let Some(session) = &progress.session {
            return session.clone();
        }
        let timing = if progress.closed { Timing::Late } else { Timing::InTime };
        let session = Session::new(self.0.sessions.clone(), fetch, chunks, loaded, timing);
        if timing == Timing::Late {
            observe::late();
        }
        if let Some(input) = progress.input.take() {
            session.capture(input);
        }
        progress.session.insert(session).clone()
    }

    /// Closes the context and returns the session if it was loaded. A session that is first asked for
    /// later is read-only.
    fn close(&self) -> Option<Session> {
        let mut progress = self.progress();
        progress.closed = true;
        progress.session.clone()
    }

    /// Keeps the form that the visitor sent, for [`Input`](crate::Input) and for
    /// [`flash_all`](Session::flash_all) and its siblings.
    pub fn capture(&self, input: FormInput) {
        let (mut progress, input) = (self.progress(), Arc::new(input));
        match &progress.session {
            Some(session) => session.capture(input),
            None => progress.input = Some(input),
        }
    }

    /// Returns the captured form.
    pub fn input(&self) -> Option<Arc<FormInput>> {
        let progress = self.progress();
        match &progress.session {
            Some(session) => session.input(),
            None => progress.input.clone(),
        }
    }

    /// Completes a problem with what this request and its session system know: the format that the
    /// client wants, if the session was loaded, and whether errors are
    /// [shown](crate::SessionsBuilder::show_errors).
    pub fn complete(&self, problem: impl Into<Problem>) -> Problem {
        let problem = problem.into().or_format(self.progress().format);
        let is_shown = self.0.sessions.context().show_errors();
        if is_shown { problem.with_visible_message() } else { problem }
    }

    /// Commits the session if it was loaded, and returns the headers that the response has to carry.
    /// Later changes of the session are errors, and so are changes of a session that is first asked for
    /// later, inside a streamed body.
    ///
    /// With a status of 408 or 504 ordinary changes are discarded, and flash that was read stays for
    /// the next page, because a timeout inside the session layer has cut the handler off in the middle.
    pub fn finish(&self, status: u16) -> CommitFuture {
        self.finish_replaced(status, status)
    }

    /// Commits the session as [`finish`](Self::finish) does, after a handler for failures has
    /// [replaced](super::OnFailure) a response of status `given` by one of status `sent`. `given` decides
    /// whether changes are discarded. `sent` decides whether the visitor saw the flash.
    pub fn finish_replaced(&self, given: u16, sent: u16) -> CommitFuture {
        let Some(session) = self.close() else { return CommitFuture::without_session() };
        let discards_errors = self.0.sessions.context().server_errors() == ServerErrors::Discard;
        let is_discarded =
            matches!(given, 408 | 504) || (discards_errors && (500..600).contains(&given));
        session.end(match sent {
            _ if is_discarded => Ending::Discarded,
            300..400 => Ending::Redirect,
            _ => Ending::Page,
        })
    }

    /// Ends a request whose handler panicked. A `destroy` takes effect, and other changes that were not
    /// committed are dropped. A response, if there is one, has to carry the headers that earlier commits
    /// have earned. `request` is for the log line of a `destroy` that fails.
    pub fn abandon(&self, request: RequestLine<'_>) -> CommitFuture {
        match self.close() {
            Some(session) if session.is_destroyed() => {
                let has_earned_cookie = session.has_earned_cookie();
                let commit = session.end(Ending::Abandoned);
                let (method, path) = (request.method().to_owned(), request.path().to_owned());
                CommitFuture::new(async move {
                    let committed = commit.await.inspect_err(|uncommitted| {
                        let error = WithCauses(&uncommitted.error);
                        let message = format_args!("the session could not be destroyed: {error}");
                        observe::failed(message, Some(RequestLine::new(&method, &path)));
                    });
                    committed
                        .map(|headers| if has_earned_cookie { headers } else { <_>::default() })
                })
            }
            Some(session) => session.end(Ending::Abandoned),
            None => CommitFuture::without_session(),
        }
    }
}

impl fmt::Debug for RequestContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestContext").field("session", &self.loaded()).finish_non_exhaustive()
    }
}
