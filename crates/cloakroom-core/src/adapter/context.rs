//! The session of one request: loading it, and committing it before the response.

use std::{
    borrow::Cow,
    fmt, iter,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arrayvec::ArrayVec;
use bytes::Bytes;
use tokio::sync::OnceCell;

use super::{
    body::BodyError,
    device_requests::Ahead,
    end::Inside,
    error::AdapterError,
    nesting,
    problem::{ClientFormat, Problem},
    require_owner::SignInRequired,
};
use crate::{
    backend::{
        decide::{Persistence, Seal},
        device_binding::{Binding, DeviceBinding, Presence, SUFFIX},
        loaded::LoadedSession,
    },
    cookie::{self, MAX_CANDIDATES, SentCookies, TokenCandidates},
    error::{Error, Kind},
    form::FormInput,
    http::{
        fetch_metadata::{FetchMetadata, Initiator, Method},
        headers::Headers,
    },
    observe,
    session::{
        Session, Timing,
        sessions::{Sessions, TokenTransport},
    },
};

/// One request, from its first header to those of its response, as one session layer handles it. Cheap
/// to clone.
#[derive(Clone)]
pub struct RequestContext {
    inner: Arc<Inner>,
    pub(super) part: Part,
}

struct Inner {
    sessions: Sessions,
    method: Method,
    progress: Mutex<Progress>,
    /// Set once an extractor has read the form.
    form: OnceCell<()>,
    /// The context of the next layer around this one's.
    outer: Option<RequestContext>,
}

/// The part that a layer has in the end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// It commits.
    Commits,
    /// A layer around it is for the same cookie, and commits.
    LeavesToOuter,
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
pub(super) struct Progress {
    /// The session, once it is loaded.
    session: Option<Session>,
    /// The captured form, until the session is loaded and keeps it.
    input: Option<Arc<FormInput>>,
    /// The format that the client wants a failure in, once the session is loaded.
    format: Option<ClientFormat>,
    /// The path and query of the request, if its response is a page that a redirect may lead back to.
    pub(super) page: Option<Box<str>>,
    /// `true` once the head of the response has been sent.
    closed: bool,
    /// The effects of layers inside on the end of the request.
    pub(super) inside: Inside,
    pub(super) csrf: Csrf,
}

/// The relation of a CSRF layer to one session layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Csrf {
    #[default]
    Unknown,
    /// The CSRF layer checks the sessions of this layer.
    Checks,
    /// The CSRF layer is inside this layer, which is for bearer tokens, and has no layer for cookies
    /// around it.
    FoundNoCookie,
    /// The CSRF layer is around this layer, which is for cookies, and therefore cannot check them.
    Misses,
}

/// Whether a request needs the bound cookie of its session's device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Enforcement {
    /// As the policy says.
    ByPolicy,
    /// No, because the browser asks for the cookie.
    WithoutDevice,
}

impl RequestContext {
    /// Makes the context of a request outside of any session layer, as in tests and tools. Adapters call
    /// [`ContextStack::begin`](super::ContextStack::begin) instead, which knows the outer layers and the
    /// method.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{adapter::RequestContext, AppKeys, Driver, Sessions};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let sessions = Sessions::builder(Driver::Cookie, AppKeys::random()).build()?;
    /// let context = RequestContext::new(&sessions);
    /// let session = context.session([("cookie", "theme=dark")].as_slice()).await?;
    /// assert!(session.is_new());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn new(sessions: &Sessions) -> Self {
        Self::within(None, sessions, Method::Other)
    }

    /// Makes the context of a layer inside the layer of `outer`.
    pub(super) fn within(outer: Option<Self>, sessions: &Sessions, method: Method) -> Self {
        let found_no_cookie = |outer: &Self| outer.progress().csrf == Csrf::FoundNoCookie;
        let is_missed = sessions.token_transport() == TokenTransport::Cookie
            && outer.as_ref().is_some_and(|outer| outer.layers().any(found_no_cookie));
        let csrf = if is_missed { Csrf::Misses } else { Csrf::Unknown };
        let form = OnceCell::new();
        let progress = Mutex::new(Progress { csrf, ..Progress::default() });
        let sessions = sessions.clone();
        let inner = Arc::new(Inner { sessions, method, progress, form, outer });
        Self { inner, part: Part::Commits }
    }

    /// Returns the same context for a layer that leaves the commit to the layer of this context.
    pub(super) fn without_commit(self) -> Self {
        Self { part: Part::LeavesToOuter, ..self }
    }

    /// Returns the contexts of this layer and of those around it, the innermost first.
    pub(super) fn layers(&self) -> impl Iterator<Item = &Self> {
        iter::successors(Some(self), |context| context.outer())
    }

    pub(super) fn outer(&self) -> Option<&Self> {
        self.inner.outer.as_ref()
    }

    pub(super) fn progress(&self) -> MutexGuard<'_, Progress> {
        // A panic leaves nothing half changed, because every critical section is a single assignment
        // or read.
        self.inner.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the session system that this request belongs to.
    pub fn sessions(&self) -> &Sessions {
        &self.inner.sessions
    }

    /// Returns the request's session. The first call loads it with one read of the store or one
    /// decryption. A request without a token costs neither.
    ///
    /// # Errors
    /// When the store fails. A failed load is never an empty session. Also for a layer whose token
    /// travels in a cookie, if a CSRF layer is around it that should be inside.
    pub async fn session(&self, headers: &(impl Headers + ?Sized)) -> Result<Session, Error> {
        if let Some(session) = self.loaded() {
            return Ok(session);
        }
        let candidates = self.candidates(headers);
        let loaded = self.load(&candidates, Enforcement::ByPolicy).await?;
        // These headers matter to flash and the previous URL alone, so other sessions do not pay for them.
        let keeps_url = self.inner.sessions.context().keeps_previous_url();
        let fetch = if loaded.record.flash.is_empty() && !keeps_url {
            FetchMetadata::IRRELEVANT
        } else {
            FetchMetadata::of(self.inner.method, headers)
        };
        // Only an issued cookie causes the warning, and a visitor with a session has a cookie already.
        let is_issued = loaded.persistence == Persistence::New
            || loaded.is_taken_over
            || loaded.seal == Seal::OfOldName;
        let fetch = fetch
            .with_exposure(is_issued && self.exposes_cookie(headers))
            .with_initiator(self.initiator(headers));
        let format = ClientFormat::of(headers);
        Ok(self.get_or_insert_session(loaded, fetch, format, candidates.sent))
    }

    /// Loads the session before the handler runs. Use it for routes that first need the session inside a
    /// streamed body, where it can no longer be changed.
    ///
    /// # Errors
    /// As [`session`](Self::session).
    pub fn preload(&self, headers: &(impl Headers + ?Sized)) -> Ahead {
        let context = self.clone();
        let candidates = self.candidates(headers).into_owned();
        let fetch = FetchMetadata::of(self.inner.method, headers);
        let fetch = fetch
            .with_exposure(self.exposes_cookie(headers))
            .with_initiator(self.initiator(headers));
        let format = ClientFormat::of(headers);
        // If the load fails, the layer makes the response without the request's headers.
        self.progress().format = Some(format);
        Box::pin(async move {
            let loaded = context.load(&candidates, Enforcement::ByPolicy).await?;
            context.get_or_insert_session(loaded, fetch, format, candidates.sent);
            Ok(None)
        })
    }

    pub(super) fn candidates<'h>(
        &self,
        headers: &'h (impl Headers + ?Sized),
    ) -> TokenCandidates<'h> {
        match self.inner.sessions.token_transport() {
            TokenTransport::Cookie => {
                let context = self.inner.sessions.context();
                let mut found = context.cookies().read(headers.all("cookie"));
                if let Some(old) = context.old_name() {
                    old.add(&mut found, headers.all("cookie"), context.now());
                }
                if let (true, Some(foreign)) = (found.candidates.is_empty(), context.foreign()) {
                    let cookie = foreign.cookie(headers.all("cookie"), context.now());
                    found.foreign = cookie.map(Cow::Borrowed);
                }
                if let Some(binding) = context.device_binding() {
                    found.device = self.bound_cookies(binding, headers);
                }
                found
            }
            TokenTransport::Bearer => TokenCandidates::bearer(headers.all("authorization")),
        }
    }

    /// Returns the values of the bound cookie, and of the one under the session cookie's old name.
    fn bound_cookies<'h>(
        &self,
        binding: &Binding,
        headers: &'h (impl Headers + ?Sized),
    ) -> ArrayVec<Cow<'h, [u8]>, MAX_CANDIDATES> {
        let context = self.inner.sessions.context();
        let old = context.old_name().and_then(|old| old.name(context.now()));
        let old = old.map(|name| format!("{name}{SUFFIX}"));
        let old = old.iter().flat_map(|name| cookie::values(headers.all("cookie"), name));
        let found = binding.cookies(headers.all("cookie")).chain(old);
        found.take(MAX_CANDIDATES).map(Cow::Borrowed).collect()
    }

    /// Returns whether a cookie that is not `Secure` would leave this machine.
    fn exposes_cookie(&self, headers: &(impl Headers + ?Sized)) -> bool {
        let sessions = &self.inner.sessions;
        sessions.token_transport() == TokenTransport::Cookie
            && !sessions.context().cookies().are_secure()
            && cookie::is_public(headers)
    }

    /// Returns who has sent the request, by the header that marks the polls of scripts.
    fn initiator(&self, headers: &(impl Headers + ?Sized)) -> Initiator {
        match self.inner.sessions.context().no_touch_header() {
            Some(name) if headers.all(name).next().is_some() => Initiator::Script,
            _ => Initiator::Visitor,
        }
    }

    pub(super) async fn load(
        &self,
        candidates: &TokenCandidates<'_>,
        enforcement: Enforcement,
    ) -> Result<LoadedSession, Error> {
        let sessions = &self.inner.sessions;
        if self.progress().csrf == Csrf::Misses {
            return Err(Kind::Unprotected { layer: nesting::place(sessions) }.into());
        }
        let mut loaded = sessions.backend().load(candidates, sessions.context()).await?;
        if let Some(binding) = sessions.context().device_binding() {
            let cookies = candidates.device.iter().map(|value| &**value);
            loaded.presence = binding.presence(&loaded.record, cookies, loaded.at);
            if loaded.presence == Presence::Missing && enforcement == Enforcement::ByPolicy {
                observe::device("missing", loaded.token.correlation());
                if binding.policy == DeviceBinding::Require {
                    return Ok(loaded.withheld(sessions.context()));
                }
            }
        }
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
    pub(super) fn get_or_insert_session(
        &self,
        loaded: LoadedSession,
        fetch: FetchMetadata,
        format: ClientFormat,
        sent: SentCookies,
    ) -> Session {
        let mut progress = self.progress();
        progress.format = Some(format);
        if let Some(session) = &progress.session {
            return session.clone();
        }
        let timing = if progress.closed { Timing::Late } else { Timing::InTime };
        let session = Session::new(self.inner.sessions.clone(), fetch, sent, loaded, timing);
        if timing == Timing::Late {
            observe::late();
        }
        if let Some(input) = progress.input.take() {
            session.capture(input);
        }
        progress.session.insert(session).clone()
    }

    /// Closes the context. Returns the session if it was loaded, and the effects of layers inside. A
    /// session that is first asked for later is read-only.
    pub(super) fn close(&self) -> (Option<Session>, Inside) {
        let mut progress = self.progress();
        progress.closed = true;
        (progress.session.clone(), std::mem::take(&mut progress.inside))
    }

    /// Reads the request's form and [captures](Self::capture) it: the query for `GET` and `HEAD`, and
    /// otherwise the body, which `read` reads without decompressing it. Of several extractors of one
    /// request, one reads the form, and the others wait for it.
    ///
    /// The body is read even if a CSRF layer has captured the form, because the limit of this route can be
    /// lower.
    ///
    /// # Errors
    /// When the body cannot be read or is not a form.
    pub async fn read_form(
        &self,
        method: &str,
        query: Option<&str>,
        headers: &(impl Headers + ?Sized),
        read: impl Future<Output = Result<Bytes, BodyError>>,
    ) -> Result<(), AdapterError> {
        let reading = || async {
            if matches!(method, "GET" | "HEAD") {
                let form = FormInput::from_query(query.unwrap_or_default());
                self.capture(form.map_err(AdapterError::NotAForm)?);
                return Ok(());
            }
            FormInput::check_encoding(headers).map_err(AdapterError::NotAForm)?;
            let body = read.await.map_err(|error| error.into_failure(None))?;
            if self.input().is_none() {
                let form = FormInput::parse(headers, body).await;
                self.capture(form.map_err(AdapterError::NotAForm)?);
            }
            Ok(())
        };
        self.inner.form.get_or_try_init(reading).await.copied()
    }

    /// Stores the form that the visitor sent, for [`Input`](crate::Input) and for
    /// [`flash_all`](Session::flash_all), [`flash_only`](Session::flash_only) and
    /// [`flash_except`](Session::flash_except).
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

    /// Stores the page that the visitor wants to see after signing in.
    pub(super) fn keep_intended_url(&self, required: &SignInRequired) {
        if let (Some(session), Some(intended)) = (self.loaded(), &required.intended) {
            // Without it, the visitor gets to the page that follows every sign-in.
            drop(session.set_intended_url(intended));
        }
    }

    /// Adds to a problem the format that the client wants, if the session was loaded, and whether errors
    /// are [shown](crate::SessionsBuilder::show_errors).
    pub fn complete(&self, problem: impl Into<Problem>) -> Problem {
        let problem = problem.into().or_format(self.progress().format);
        let is_shown = self.inner.sessions.context().show_errors();
        if is_shown { problem.with_visible_message() } else { problem }
    }
}

impl fmt::Debug for RequestContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestContext").field("session", &self.loaded()).finish_non_exhaustive()
    }
}
