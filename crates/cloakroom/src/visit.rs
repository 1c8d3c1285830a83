//! One request's relation to the session system: what an adapter drives.
//!
//! An adapter is glue around four calls:
//! 1. [`Visits::begin`] when the request comes in, with its method, and the [`Visits`] into the
//!    request's extensions;
//! 2. [`Visit::session`] when a handler asks for the session;
//! 3. [`Visit::finish`] with the response's status, before its first byte; what it answers is
//!    [written](ResponseHeaders::write_to) into the response's headers;
//! 4. [`Visit::abandon`] instead, when the handler panicked.
//!
//! Forms are [captured](Visit::capture) and handed on as [`Submission`](crate::form::Submission);
//! what goes wrong is a [`Failure`], whose [`Problem`] knows its answer, and [`OnFailure`] when the
//! application makes another.

mod ending;
mod failure;
mod headers;
mod nesting;
mod on_failure;
mod problem;

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub use ending::Ending;
pub use failure::{Answer, Failure};
pub use headers::{HeadersMut, ResponseHeaders};
pub use on_failure::{GivenStatus, OnFailure, Replacement, headers_of_replaced};
use problem::ClientFormat;
pub use problem::Problem;

use crate::{
    Session, Sessions,
    backend::{LoadedSession, commit::Persistence},
    cookie::{self, Presented},
    error::{Error, WithCauses},
    form::FormInput,
    observe,
    request::Headers,
    session::{FetchMetadata, Method, Shown, Timing},
    sessions::{Carrier, ServerErrors},
};

/// One request, from its first header to the response's. Cheap to clone.
#[derive(Clone)]
pub struct Visit(Arc<Inner>);

struct Inner {
    sessions: Sessions,
    method: Method,
    asked: Mutex<Asked>,
}

/// What handlers have asked for so far.
#[derive(Default)]
struct Asked {
    session: Option<Session>,
    input: Option<Arc<FormInput>>,
    /// The format that the client wants a failure in, once the session was loaded.
    format: Option<ClientFormat>,
    /// Whether the response's head has left.
    closed: bool,
}

/// The headers of a response whose session could not be committed, and why.
#[derive(Clone, Debug)]
pub struct Uncommitted {
    /// Why the commit failed.
    pub error: Error,
    /// What earlier commits of the request have earned, such as the cookie of a new token. Write
    /// them into the error's response.
    pub headers: ResponseHeaders,
}

/// What becomes of a commit at the request's end.
pub(crate) type CommitResult = Result<ResponseHeaders, Uncommitted>;

impl From<Uncommitted> for Error {
    fn from(uncommitted: Uncommitted) -> Self {
        uncommitted.error
    }
}

impl fmt::Display for Uncommitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Uncommitted {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.error)
    }
}

/// Loads a request's session ahead of its handler. See [`Visit::preload`].
pub type Preload = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

impl Visit {
    pub(crate) fn new(sessions: Sessions, method: Method) -> Self {
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

    fn presented<'h>(&self, headers: &'h (impl Headers + ?Sized)) -> Presented<'h> {
        match self.0.sessions.carrier() {
            Carrier::Cookie => self.0.sessions.context().cookies().read(headers.all("cookie")),
            Carrier::Bearer => Presented::bearer(headers.all("authorization")),
        }
    }

    /// Returns whether a cookie that is not `Secure` would leave this machine.
    fn exposes_cookie(&self, headers: &(impl Headers + ?Sized)) -> bool {
        let sessions = &self.0.sessions;
        sessions.carrier() == Carrier::Cookie
            && !sessions.context().cookies().are_secure()
            && cookie::is_public(headers)
    }

    async fn load(&self, presented: &Presented<'_>) -> Result<LoadedSession, Error> {
        let sessions = &self.0.sessions;
        let loaded = sessions.backend().load(presented, sessions.context()).await?;
        // The cookie of a session that has just ended is left alone, because it may belong to a newer
        // login. A bearer's token does not: its holder starts over. Pre-sessions are for cookies.
        let starts_over = sessions.carrier() == Carrier::Bearer
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
        if let Some(input) = &asked.input {
            session.capture(input.clone());
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
        let mut asked = self.asked();
        let input = asked.input.insert(Arc::new(input)).clone();
        if let Some(session) = &asked.session {
            session.capture(input);
        }
    }

    /// What the visitor sent, once an extractor has captured it.
    pub fn input(&self) -> Option<Arc<FormInput>> {
        self.asked().input.clone()
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
    pub fn finish(&self, status: u16) -> Ending {
        self.finish_replaced(status, status)
    }

    /// Commits the session as [`finish`](Self::finish) does, where a handler for failures has
    /// [replaced](OnFailure) a response of status `given` by one of status `sent`. That the request has
    /// failed decides what is discarded. What is sent decides whether the visitor was shown the flash.
    pub fn finish_replaced(&self, given: u16, sent: u16) -> Ending {
        let Some(session) = self.close() else { return Ending::without_session() };
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
    pub fn abandon(&self) -> Ending {
        match self.close() {
            Some(session) if session.is_destroyed() => {
                session.discard_changes();
                let has_earned_cookie = session.has_earned_cookie();
                let ending = session.end(Shown::Nothing);
                Ending::new(async move {
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
            None => Ending::without_session(),
        }
    }
}

/// The visits of one request: that of the innermost session layer, and through it those of the layers
/// around. What an adapter puts into the request's extensions.
#[derive(Clone, Debug)]
pub struct Visits {
    innermost: Visit,
    around: Option<Arc<Visits>>,
}

impl Visits {
    /// Begins a visit within those of the layers `around`. There is none to be finished where one of
    /// them is for the same cookie: a response must not set one cookie twice. If that layer has other
    /// settings, a warning says so once.
    pub fn begin(sessions: &Sessions, method: &str, around: Option<Self>) -> (Self, Option<Visit>) {
        match around {
            Some(around) if around.has(sessions) => (around, None),
            around => {
                let visit = Visit::new(sessions.clone(), Method::of(method));
                let around = around.map(Arc::new);
                (Self { innermost: visit.clone(), around }, Some(visit))
            }
        }
    }

    /// The visit of the innermost layer.
    pub fn innermost(&self) -> &Visit {
        &self.innermost
    }

    /// Returns whether one of these layers is for the same cookie, and warns if its settings differ.
    fn has(&self, sessions: &Sessions) -> bool {
        let own = self.innermost.sessions();
        if own.meets(sessions) {
            if !own.shares_settings_with(sessions) {
                nesting::warn_once(own, sessions);
            }
            return true;
        }
        self.around.as_ref().is_some_and(|around| around.has(sessions))
    }

    /// The visit of the innermost layer whose token a cookie carries: the one that a forged request
    /// would use.
    pub(crate) fn cookie(&self) -> Option<&Visit> {
        if self.innermost.sessions().carrier() == Carrier::Cookie {
            return Some(&self.innermost);
        }
        self.around.as_ref()?.cookie()
    }

    /// The visit of the layer for this cookie.
    pub fn named(&self, cookie: &str) -> Option<&Visit> {
        let sessions = self.innermost.sessions();
        if sessions.carrier() == Carrier::Cookie && sessions.cookie_name() == cookie {
            return Some(&self.innermost);
        }
        self.around.as_ref()?.named(cookie)
    }
}

/// Names the cookie of one of several session layers, for an adapter's `NamedSession`.
pub trait CookieName {
    /// The layer's cookie name.
    const COOKIE_NAME: &'static str;
}

impl fmt::Debug for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visit").field("session", &self.loaded()).finish_non_exhaustive()
    }
}
