//! The session as handlers see it.

mod exact;
mod flash;
mod incoming_flash;
mod lifecycle;
mod owner;
mod read;
mod response_effects;
mod security;
mod state;
mod unit_of_work;
mod values;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

pub use lifecycle::Deadlines;
pub(crate) use lifecycle::Shown;
pub use read::ReadSession;
use state::State;

use crate::{
    Sessions,
    backend::{LoadedSession, decide::Worth},
    form::FormInput,
    owner::Owner,
    request::Headers,
    store::RecordKey,
};

/// The session of one request: a handle, cheap to clone.
///
/// Every operation is immediate, none waits for a store; what changed is committed once, when the
/// request ends. Changes that concurrent requests commit meanwhile are kept:
/// [how changes merge](crate::guide::concurrency#how-changes-merge) says what comes of each pair.
///
/// After the commit every change is an error ([`Error::is_committed`](crate::Error::is_committed)),
/// because it could only be lost. Where something outlives the response, hand it a
/// [`ReadSession`].
///
/// ```
/// # let session = cloakroom::testing::session();
/// session.put("username", "virk")?;
/// let name: Option<String> = session.get("username")?;
/// assert_eq!(name.as_deref(), Some("virk"));
/// # Ok::<(), cloakroom::Error>(())
/// ```
#[derive(Clone)]
pub struct Session(Arc<Inner>);

struct Inner {
    sessions: Sessions,
    fetch: FetchMetadata,
    /// The numbers of the session cookie's chunks that came.
    chunks: Vec<u8>,
    input: OnceLock<Arc<FormInput>>,
    state: Mutex<State>,
    /// Held while a commit is under way, so that two of them follow each other.
    committing: tokio::sync::Mutex<()>,
}

/// How a request came, as far as it matters to flash (Fetch Metadata, W3C) and to the cookie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FetchMetadata {
    /// Somebody looks at the response: a top-level navigation, or a client that does not say.
    navigation: bool,
    /// Perhaps nobody does: the browser fetches ahead, or asks for the head alone.
    speculative: bool,
    /// The cookie is not `Secure`, and yet leaves this machine.
    exposed: bool,
}

impl FetchMetadata {
    /// Of a request that came without flash, of which nothing more has to be known.
    pub(crate) const IRRELEVANT: Self =
        Self { navigation: false, speculative: false, exposed: false };

    pub(crate) fn of(method: Method, headers: &(impl Headers + ?Sized)) -> Self {
        let navigation = headers.text("sec-fetch-mode").is_none_or(|mode| mode == "navigate");
        let prefetch = headers.text("sec-purpose").is_some_and(|why| why.contains("prefetch"));
        Self { navigation, speculative: prefetch || method == Method::Head, exposed: false }
    }

    pub(crate) fn with_exposure(self, exposed: bool) -> Self {
        Self { exposed, ..self }
    }
}

/// A request's method, as far as it matters to sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Head,
    Other,
}

impl Method {
    pub(crate) fn of(method: &str) -> Self {
        if method == "HEAD" { Self::Head } else { Self::Other }
    }
}

/// When a session is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timing {
    InTime,
    /// The response's head has left.
    Late,
}

impl Session {
    pub(crate) fn new(
        sessions: Sessions,
        fetch: FetchMetadata,
        chunks: Vec<u8>,
        loaded: LoadedSession,
        timing: Timing,
    ) -> Self {
        let state = match timing {
            Timing::InTime => State::new(loaded),
            Timing::Late => State::late(loaded),
        };
        Self(Arc::new(Inner {
            sessions,
            fetch,
            chunks,
            input: OnceLock::new(),
            state: Mutex::new(state),
            committing: tokio::sync::Mutex::default(),
        }))
    }

    /// Invariant: no code of the application runs while the state is locked.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the key of the record that this session has after its commit. `None` if it is stored
    /// nowhere and nothing that this request does stores it.
    pub(crate) fn record_key(&self) -> Option<RecordKey> {
        let state = self.state();
        let leaves_nothing = state.work.is_destroyed() && state.work.worth() != Worth::Record;
        let is_nowhere = leaves_nothing || state.whereabouts() == state::Whereabouts::Nowhere;
        (!is_nowhere).then(|| state.work.token_afterwards().record_key())
    }

    /// Returns whether the record under `key`, which `owner` has, is this session's.
    pub(crate) fn is_stored_as(&self, key: &RecordKey, owner: &Owner) -> bool {
        self.state().is_stored_as(key, owner)
    }

    /// The session system that this session belongs to.
    pub fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    /// The first capture stands: a request has one body.
    pub(crate) fn capture(&self, input: Arc<FormInput>) {
        let _ = self.0.input.set(input);
    }

    /// A handle that can only read, for WebSockets and other places that outlive the response.
    ///
    /// ```
    /// # let session = cloakroom::testing::session();
    /// session.put("username", "virk")?;
    /// let reader = session.read_only();
    /// assert_eq!(reader.get::<String>("username")?.as_deref(), Some("virk"));
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    #[must_use]
    pub fn read_only(&self) -> ReadSession {
        ReadSession::of(self.clone())
    }
}

/// Shows which session it is, not what is in it.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut session = f.debug_struct("Session");
        if let Ok(state) = self.0.state.try_lock() {
            let id = state.work.token_afterwards().correlation();
            session.field("id", &id).field("persistence", &state.work.persistence());
        }
        session.finish_non_exhaustive()
    }
}
