//! What a session hands to its backend at a commit, and what it gets back.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    backend::context::Context,
    crypto::token::Token,
    error::Error,
    record::{Record, change::ChangeLog, flash::BatchId},
};
use crate::{
    backend::decide::{Action, Wanted, Worth},
    record::change::Contents,
};
use cloakroom_store::{RecordKey, Revision, StoredRecord, clock::Timestamp};

/// What the backend has of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// Nothing: no token came, or none that names a live record.
    New,
    /// No record, and a genuine pre-session cookie that counts until this moment: an earlier page has
    /// shown a CSRF token.
    PreSession { expires: Timestamp },
    /// A live record.
    Stored { revision: Revision, expires: Timestamp },
    /// A record that was rotated or destroyed just before the request or during it. Nothing is
    /// written, and the cookie stays as it is, because it may belong to a newer login.
    Ended,
}

/// What the request wants to become of the session's token. An intent until the commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenAction {
    Keep,
    /// `regenerate`: the record moves under this token.
    Rotate(Token),
    /// `destroy`: the record goes. What is put afterwards goes under this token.
    Destroy(Token),
}

/// Whether the newest application key sealed the visitor's cookie, or tagged the record in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seal {
    Current,
    /// An older key did: it has to be written again.
    OfOldKey,
}

/// A change of a record that reports what it found, and fails where it cannot be made.
pub(crate) type ExactChange = Arc<dyn Fn(&mut Record) -> Result<(), Error> + Send + Sync>;

/// What an exact change returned when it was last made.
pub(crate) struct Answer<T>(Arc<Mutex<Option<T>>>);

impl<T: Send + 'static> Answer<T> {
    /// Returns `change` as a commit makes it, and where its answer will be.
    pub(crate) fn of(
        change: impl Fn(&mut Record) -> Result<T, Error> + Send + Sync + 'static,
    ) -> (ExactChange, Self) {
        let slot = Arc::new(Mutex::new(None));
        let answer = Self(slot.clone());
        let change = move |record: &mut Record| {
            let value = change(record)?;
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
            Ok(())
        };
        (Arc::new(change), answer)
    }

    /// Returns the answer, once a commit has made the change.
    pub(crate) fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The changes that a commit makes.
#[derive(Clone)]
pub(crate) enum Changes {
    /// What a request did to its own copy of the record. On another request's record a change that
    /// is not possible there any more is dropped with a warning.
    Log(ChangeLog),
    /// One change that has to be made on the committed record, or not at all.
    Exact(ExactChange),
}

/// Whether a commit counts as a use of the session, which moves its idle deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    Used,
    /// A task outside of the session's requests: the visitor was not there.
    Unused,
}

/// A commit that has not been carried out yet.
#[derive(Clone, Debug)]
pub(crate) struct PendingCommit {
    pub(crate) persistence: Persistence,
    /// The key of the stored record, or of the ended session in whose place this one is new. `None`
    /// where neither is stored, and for sealed cookies.
    pub(crate) key: Option<RecordKey>,
    /// The token that came with the request. A new session's own. `None` for a task outside of the
    /// session's requests, which never learns it.
    pub(crate) token: Option<Token>,
    pub(crate) action: TokenAction,
    pub(crate) changes: Changes,
    /// The record that the changes start from. It has those of a log already.
    pub(crate) record: Arc<Record>,
    /// The record without the changes of a log.
    pub(crate) before: Arc<Record>,
    /// What the request needs of a session that is stored nowhere, whatever is in it.
    pub(crate) required: Worth,
    pub(crate) seal: Seal,
    pub(crate) usage: Usage,
    /// When the request loaded the session.
    pub(crate) loaded_at: Timestamp,
}

impl PendingCommit {
    /// Returns what this commit wants. `record` is the record with its changes.
    pub(crate) fn wanted(&self, record: &Record) -> Wanted {
        Wanted {
            action: self.action.kind(),
            contents: self.changes.contents(),
            worth: self.required.with(record),
            sets_owner: self.changes.sets_owner(),
            usage: self.usage,
            seal: self.seal,
        }
    }

    /// Returns whether this ends the session. The changes belong to the one that begins after it.
    pub(super) fn is_logout(&self) -> bool {
        self.action.kind() == Action::Destroy
    }

    /// Returns whether this ends the session that a new one is in place of, if it was moved.
    pub(super) fn ends_former_session(&self) -> bool {
        self.is_logout() && self.persistence == Persistence::New && self.key.is_some()
    }

    /// Drops the changes, and with them the session that was to begin after a logout.
    pub(super) fn drop_changes(&mut self, context: &Context) {
        self.changes = Changes::Log(ChangeLog::default());
        self.record = Arc::new(context.empty_record());
        self.required = Worth::Nothing;
    }

    /// Returns the token that the visitor has once this is committed.
    pub(crate) fn token_afterwards(&self) -> Option<&Token> {
        self.action.new_token().or(self.token.as_ref())
    }
}

impl TokenAction {
    pub(crate) fn kind(&self) -> Action {
        match self {
            Self::Keep => Action::Keep,
            Self::Rotate(_) => Action::Rotate,
            Self::Destroy(_) => Action::Destroy,
        }
    }

    /// Returns the token that takes the place of the current one.
    pub(crate) fn new_token(&self) -> Option<&Token> {
        match self {
            Self::Keep => None,
            Self::Rotate(next) | Self::Destroy(next) => Some(next),
        }
    }
}

impl From<&StoredRecord> for Persistence {
    fn from(stored: &StoredRecord) -> Self {
        Self::Stored { revision: stored.revision, expires: stored.expires }
    }
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Log(log) if log.is_empty())
    }

    /// Makes the changes.
    pub(super) fn apply(&self, record: &mut Record) -> Result<(), Error> {
        match self {
            Self::Log(log) => {
                log.replay(record);
                Ok(())
            }
            Self::Exact(change) => change(record),
        }
    }

    /// Returns whether making the changes runs code of the application.
    pub(super) fn can_fail(&self) -> bool {
        match self {
            Self::Log(log) => log.has_closures(),
            Self::Exact(_) => true,
        }
    }

    pub(super) fn contents(&self) -> Contents {
        match self {
            Self::Log(log) => log.contents(),
            Self::Exact(_) => Contents::Changed,
        }
    }

    /// Returns whether the request says who the visitor is.
    pub(super) fn sets_owner(&self) -> bool {
        matches!(self, Self::Log(log) if log.sets_owner())
    }

    /// Returns the batches of flash that these changes write.
    pub(super) fn flashed(&self) -> Vec<BatchId> {
        match self {
            Self::Log(log) => log.flashed(),
            Self::Exact(_) => Vec::new(),
        }
    }

    /// Returns how many changes there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Log(log) => log.len(),
            Self::Exact(_) => 1,
        }
    }
}

/// Shows which operations there are, and nothing that they carry.
impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(log) => log.fmt(f),
            Self::Exact(_) => f.write_str("Exact"),
        }
    }
}

/// What a backend made of a [`PendingCommit`].
#[derive(Debug)]
pub(crate) struct CommitOutcome {
    pub(crate) persistence: Persistence,
    pub(crate) key: Option<RecordKey>,
    /// The token that the visitor has now. `None` where the commit had none.
    pub(crate) token: Option<Token>,
    /// The record as it is stored now, if that differs from the one that was to be committed.
    pub(crate) record: Option<Arc<Record>>,
    pub(crate) cookie: CookieUpdate,
    /// Why the changes that follow a logout were dropped. The logout itself is carried out.
    pub(crate) refused: Option<Error>,
}

/// What becomes of the visitor's cookie.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) enum CookieUpdate {
    /// It stays as it is.
    #[default]
    Keep,
    /// It gets this value.
    Set {
        value: String,
        /// How long the browser keeps it. `None`: until the browser is closed.
        max_age: Option<Duration>,
    },
    /// It goes.
    Remove,
}

/// Does not show the value.
impl fmt::Debug for CookieUpdate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep => f.write_str("Keep"),
            Self::Set { max_age, .. } => write!(f, "Set(…, max_age: {max_age:?})"),
            Self::Remove => f.write_str("Remove"),
        }
    }
}
