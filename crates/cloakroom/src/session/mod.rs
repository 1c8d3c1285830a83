//! The session as handlers see it.

mod flash;
mod lifecycle;
mod owner;
mod read;
mod security;
pub(crate) mod state;
mod values;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

pub use lifecycle::Deadlines;
pub use read::ReadSession;
use state::{Origin, State};

use crate::{
    Sessions, form::FormInput, record::Record, request::Headers, store::RecordKey, token::Token,
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
    arrival: Arrival,
    input: OnceLock<Arc<FormInput>>,
    state: Mutex<State>,
    /// Held while a commit is under way, so that two of them follow each other.
    committing: tokio::sync::Mutex<()>,
}

/// What the request's headers say about how it came.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    /// Someone will look at the answer: a top-level navigation, or a client that does not say.
    navigation: bool,
    /// Perhaps no one will: the browser fetches ahead.
    prefetch: bool,
    /// The numbers of the session cookie's chunks that came.
    chunks: Vec<u8>,
}

impl Arrival {
    /// Of a request that came without flash, of which nothing more needs to be known.
    pub(crate) fn without_flash(chunks: Vec<u8>) -> Self {
        Self { navigation: false, prefetch: false, chunks }
    }

    pub(crate) fn of(headers: &(impl Headers + ?Sized), chunks: Vec<u8>) -> Self {
        let navigation = headers.text("sec-fetch-mode").is_none_or(|mode| mode == "navigate");
        let prefetch = headers.text("sec-purpose").is_some_and(|why| why.contains("prefetch"));
        Self { navigation, prefetch, chunks }
    }
}

impl Session {
    pub(crate) fn new(
        sessions: Sessions,
        arrival: Arrival,
        origin: Origin,
        token: Token,
        record: Record,
    ) -> Self {
        let mut state = State::new(origin, token, record);
        if sessions.engine().server_errors() == crate::ServerErrors::Discard {
            state.remember_untouched();
        }
        Self(Arc::new(Inner {
            sessions,
            arrival,
            input: OnceLock::new(),
            state: Mutex::new(state),
            committing: tokio::sync::Mutex::default(),
        }))
    }

    /// A closure of `update` that panicked left the state as it was: changes are made in one step.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the session is nowhere, and nothing that this request does brings it into being.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.state();
        let leaves_nothing = state.is_destroyed() && !state.work().is_worth_creating();
        leaves_nothing || state.standing() == state::Standing::Over
    }

    /// The key of the record that this session has after its commit.
    pub(crate) fn record_key(&self) -> RecordKey {
        self.state().token().record_key()
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
            session.field("id", &state.token().correlation()).field("origin", &state.origin());
        }
        session.finish_non_exhaustive()
    }
}
