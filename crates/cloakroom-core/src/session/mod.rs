//! The session of a request, as handlers use it.

pub(crate) mod builder;
pub(crate) mod current_user;
pub(crate) mod deadlines;
pub(crate) mod device;
pub(crate) mod ending;
mod exact;
mod flash;
pub(crate) mod flash_messages;
mod incoming_flash;
mod lifecycle;
mod owner;
mod previous_url;
pub(crate) mod read;
mod reload;
mod reported;
mod response_effects;
mod security;
pub(crate) mod sessions;
mod several_values;
mod sign_in;
mod state;
pub(crate) mod uncommitted;
mod unit_of_work;
pub(crate) mod value_reads;
mod values;
pub(crate) mod view;
mod watches;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use current_user::AskedUser;
use read::ReadSession;
use state::State;

use crate::{
    backend::{
        commit::CookieUpdate,
        decide::{Persistence, Usage, Worth},
        loaded::LoadedSession,
    },
    cookie::SentCookies,
    error::Error,
    form::FormInput,
    http::fetch_metadata::{FetchMetadata, Initiator},
    record::{change::Change, owner::Owner},
    session::sessions::Sessions,
};
use cloakroom_store::{RecordKey, clock::Timestamp};

/// The session of one request. Clones are cheap and share one state.
///
/// Reads and changes take effect at once without waiting for a store. The changes are committed
/// together when the request ends. They merge with the changes that concurrent requests have committed:
/// [how changes merge](https://docs.rs/cloakroom/latest/cloakroom/guide/concurrency/#how-changes-merge)
/// has the rule for each pair of changes.
///
/// After the commit every change is an error ([`Error::is_committed`](crate::Error::is_committed)),
/// because it would be lost. Use a [`ReadSession`] in code that outlives the response, such as a
/// WebSocket.
///
/// As an argument of a handler, `Option<Session>` is `None` if no session layer is around the route. On
/// actix-web it is `None` if the session cannot be loaded as well, so take
/// `Result<Session, Problem>` there ([`Problem`](crate::adapter::Problem)).
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
    sent: SentCookies,
    input: OnceLock<Arc<FormInput>>,
    state: Mutex<State>,
    /// Held while a commit is under way, because the commits of one session have to follow each other.
    /// Unset until the first commit, because most requests make none.
    committing: OnceLock<tokio::sync::Mutex<()>>,
    asked: Mutex<Option<AskedUser>>,
}

/// When a session is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timing {
    InTime,
    /// The response's head was sent before.
    Late,
}

impl Session {
    pub(crate) fn new(
        sessions: Sessions,
        fetch: FetchMetadata,
        sent: SentCookies,
        loaded: LoadedSession,
        timing: Timing,
    ) -> Self {
        let usage = match fetch.initiator {
            Initiator::Visitor => Usage::Used,
            Initiator::Script => Usage::Unused,
        };
        let taken_over = loaded.is_taken_over.then(|| taken_over_cookie(&loaded, &sessions));
        let mut state = match timing {
            Timing::InTime => State::new(loaded, usage),
            Timing::Late => State::late(loaded),
        };
        if let Some(cookie) = taken_over {
            state.effects.take_over(cookie);
        }
        Self(Arc::new(Inner {
            sessions,
            fetch,
            sent,
            input: OnceLock::new(),
            state: Mutex::new(state),
            committing: OnceLock::new(),
            asked: Mutex::new(None),
        }))
    }

    /// Invariant: no code of the application runs while the state is locked.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes changes one after the other. Stops at the first that fails.
    fn change_all(&self, changes: impl IntoIterator<Item = Change>) -> Result<(), Error> {
        let mut state = self.state();
        changes.into_iter().try_for_each(|change| state.work.change(change))
    }

    /// Returns the user that this request has asked for. No code of the application runs under the lock.
    fn asked(&self) -> MutexGuard<'_, Option<AskedUser>> {
        self.0.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no other commit is under way. Returns the lock that a commit holds.
    async fn begin_commit(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.0.committing.get_or_init(tokio::sync::Mutex::default).lock().await
    }

    fn is_committing(&self) -> bool {
        self.0.committing.get().is_some_and(|turn| turn.try_lock().is_err())
    }

    /// Returns the key of the record that this session has after its commit. Returns `None` if it has
    /// no record then.
    pub(crate) fn record_key(&self) -> Option<RecordKey> {
        let state = self.state();
        let leaves_nothing = state.work.is_destroyed() && state.work.worth() != Worth::Record;
        let is_nowhere = leaves_nothing || state.whereabouts() == state::Whereabouts::Nowhere;
        (!is_nowhere).then(|| state.work.token_afterwards().record_key())
    }

    /// Returns whether the record under `key` with this owner belongs to this session.
    pub(crate) fn is_stored_as(&self, key: &RecordKey, owner: &Owner) -> bool {
        self.state().is_stored_as(key, owner)
    }

    /// Returns the session system that this session belongs to.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert_eq!(session.sessions().driver_name(), "cookie");
    /// ```
    pub fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    fn now(&self) -> Timestamp {
        self.sessions().context().now()
    }

    /// Stores the form of the request. Later calls change nothing, because a request has one body.
    pub(crate) fn capture(&self, input: Arc<FormInput>) {
        let _ = self.0.input.set(input);
    }

    /// Returns the captured form.
    pub(crate) fn input(&self) -> Option<Arc<FormInput>> {
        self.0.input.get().cloned()
    }

    /// Returns a reader of the session. Use it in code that outlives the response, such as a WebSocket.
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

/// Returns the cookie of a session that was taken over. A sealed one is set by the commit.
fn taken_over_cookie(loaded: &LoadedSession, sessions: &Sessions) -> CookieUpdate {
    let Persistence::Stored { expires, .. } = loaded.persistence else { return CookieUpdate::Keep };
    let max_age = sessions.context().deadlines(&loaded.record).max_age(expires, loaded.at);
    CookieUpdate::Set { value: loaded.token.expose(), max_age }
}

/// Shows the correlation id and hides the contents.
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
