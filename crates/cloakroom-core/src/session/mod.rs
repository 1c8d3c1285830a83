//! The session as handlers see it.

pub(crate) mod commit_future;
pub(crate) mod deadlines;
mod exact;
mod flash;
pub(crate) mod flash_messages;
mod incoming_flash;
mod lifecycle;
mod owner;
pub(crate) mod read;
mod response_effects;
mod security;
pub(crate) mod sessions;
mod state;
mod unit_of_work;
pub(crate) mod value_reads;
mod values;
pub(crate) mod view;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

pub(crate) use lifecycle::Shown;
use read::ReadSession;
use state::State;

use crate::{
    backend::{LoadedSession, decide::Worth},
    form::FormInput,
    http::fetch_metadata::FetchMetadata,
    record::owner::Owner,
    session::sessions::Sessions,
};
use cloakroom_store::RecordKey;

/// The session of one request: a handle, cheap to clone.
///
/// Every operation is immediate, none waits for a store; what changed is committed once, when the
/// request ends. Changes that concurrent requests commit meanwhile are kept:
/// [how changes merge](https://docs.rs/cloakroom/latest/cloakroom/guide/concurrency/#how-changes-merge) says what comes of each pair.
///
/// After the commit every change is an error ([`Error::is_committed`](crate::Error::is_committed)),
/// because it could only be lost. Where something outlives the response, hand it a
/// [`ReadSession`].
///
/// ```
/// # use cloakroom_core as cloakroom;
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

    /// Returns the form that was captured.
    pub(crate) fn input(&self) -> Option<Arc<FormInput>> {
        self.0.input.get().cloned()
    }

    /// A handle that can only read, for WebSockets and other places that outlive the response.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
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
