//! One request's relation to the session system: what an adapter drives.
//!
//! An adapter is glue around four calls:
//! 1. [`Visits::begin`] when the request comes in, and the [`Visits`] into the request's extensions;
//! 2. [`Visit::session`] when a handler asks for the session;
//! 3. [`Visit::finish`] with the response's status, before its first byte; what it answers is
//!    [written](ResponseHeaders::write_to) into the response's headers;
//! 4. [`Visit::abandon`] instead, when the handler panicked.
//!
//! Forms are [captured](Visit::capture) and handed on as [`Submission`](crate::form::Submission);
//! what goes wrong is a [`Failure`], which knows its answer.

mod ending;
mod failure;
mod headers;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub use ending::Ending;
pub use failure::{Answer, Failure};
pub use headers::{HeadersMut, ResponseHeaders};

use crate::{
    Session, Sessions,
    cookie::Presented,
    driver::Opened,
    error::{Error, WithCauses},
    form::FormInput,
    observe,
    request::Headers,
    session::{Arrival, state::Origin},
    sessions::{Carrier, ServerErrors},
};

/// One request, from its first header to the response's. Cheap to clone.
#[derive(Clone)]
pub struct Visit(Arc<Inner>);

struct Inner {
    sessions: Sessions,
    asked: Mutex<Asked>,
}

/// What handlers have asked for so far.
#[derive(Default)]
struct Asked {
    session: Option<Session>,
    input: Option<Arc<FormInput>>,
}

impl Visit {
    pub(crate) fn new(sessions: Sessions) -> Self {
        Self(Arc::new(Inner { sessions, asked: Mutex::default() }))
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
        let engine = self.0.sessions.engine();
        let presented = match self.0.sessions.carrier() {
            Carrier::Cookie => engine.cookies().read(headers.all("cookie")),
            Carrier::Bearer => Presented::bearer(headers.all("authorization")),
        };
        let mut opened = engine.driver().open(&presented, engine).await?;
        // The cookie of a session that ended a moment ago is left alone, for it may be a newer
        // login's by now. A bearer's token cannot be: its holder begins anew.
        if self.0.sessions.carrier() == Carrier::Bearer && opened.origin == Origin::Gone {
            opened = Opened::anew(engine);
        }
        let Opened { origin, token, record } = opened;
        let chunks = presented.chunks;
        // What matters to flash alone is not looked up where there is none.
        let arrival = if record.flash.is_empty() {
            Arrival::without_flash(chunks)
        } else {
            Arrival::of(headers, chunks)
        };
        let session = Session::new(self.0.sessions.clone(), arrival, origin, token, record);
        Ok(self.settle_on(session))
    }

    /// The session, if a handler asked for it.
    pub fn loaded(&self) -> Option<Session> {
        self.asked().session.clone()
    }

    /// Of two extractors that loaded at the same time, both get the session of the first.
    fn settle_on(&self, session: Session) -> Session {
        let mut asked = self.asked();
        let session = asked.session.get_or_insert(session).clone();
        if let Some(input) = &asked.input {
            session.capture(input.clone());
        }
        session
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

    /// Commits the session, if a handler asked for it, and says what the response has to carry.
    /// From here on a change of the session is an error.
    pub fn finish(&self, status: u16) -> Ending {
        let Some(session) = self.loaded() else {
            return Ending::now(Ok(ResponseHeaders::default()));
        };
        if (500..600).contains(&status)
            && self.0.sessions.engine().server_errors() == ServerErrors::Discard
        {
            session.discard_changes();
        }
        session.end((300..400).contains(&status))
    }

    /// Ends a request whose handler panicked: a `destroy` takes effect, nothing else does.
    pub fn abandon(&self) -> Ending {
        match self.loaded() {
            Some(session) if session.is_destroyed() => {
                session.discard_changes();
                let ending = session.end(false);
                Ending::later(async move {
                    ending.await.inspect_err(|error| {
                        let error = WithCauses(error);
                        observe::failed(format_args!(
                            "the session could not be destroyed: {error}"
                        ));
                    })
                })
            }
            _ => Ending::now(Ok(ResponseHeaders::default())),
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
    /// them is for the same cookie: a response must not set one cookie twice.
    pub fn begin(sessions: &Sessions, around: Option<Self>) -> (Self, Option<Visit>) {
        match around {
            Some(around) if around.has(sessions) => (around, None),
            around => {
                let visit = sessions.visit();
                let around = around.map(Arc::new);
                (Self { innermost: visit.clone(), around }, Some(visit))
            }
        }
    }

    /// The visit of the innermost layer.
    pub fn innermost(&self) -> &Visit {
        &self.innermost
    }

    fn has(&self, sessions: &Sessions) -> bool {
        self.innermost.sessions().meets(sessions)
            || self.around.as_ref().is_some_and(|around| around.has(sessions))
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
