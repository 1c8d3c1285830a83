//! The input and the outcome of a commit.

use std::{
    any::Any,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    backend::context::Context,
    crypto::token::Token,
    error::{Error, Kind},
    record::{Record, change::ChangeLog, flash::BatchId, owner::Owner},
};
use crate::{
    backend::decide::{Action, Persistence, Seal, Step, Usage, Wanted, Worth},
    record::change::Contents,
};
use cloakroom_store::{RecordKey, clock::Timestamp};

/// The request's intent for the session's token. The commit carries it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenAction {
    Keep,
    /// `regenerate`: the record moves under this token.
    Rotate(Token),
    /// `destroy`: the record is destroyed. Later changes begin a new session under this token.
    Destroy(Token),
}

/// A change that is made on the committed record and fails if it is impossible there.
pub(crate) type ExactChange = Arc<dyn Fn(&mut Record) -> Result<(), Error> + Send + Sync>;

/// The value that an exact change returned when it was last made.
pub(crate) struct ExactResult<T>(Arc<Mutex<Option<T>>>);

impl<T: Send + 'static> ExactResult<T> {
    /// Wraps `change` for a commit. Returns it with the place of its result.
    pub(crate) fn of(
        change: impl Fn(&mut Record) -> Result<T, Error> + Send + Sync + 'static,
    ) -> (ExactChange, Self) {
        let slot = Arc::new(Mutex::new(None));
        let result = Self(slot.clone());
        let change = move |record: &mut Record| {
            let value = change(record)?;
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
            Ok(())
        };
        (Arc::new(change), result)
    }

    /// Takes the result. Returns `None` if no commit has made the change.
    pub(crate) fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The changes that a commit makes.
#[derive(Clone)]
pub(crate) enum Changes {
    /// The changes that a request has made to its copy of the record. On another request's record, a
    /// change that is impossible there is dropped with a warning.
    Log(ChangeLog),
    /// One change that is made on the committed record. The commit fails if it is impossible there.
    Exact(ExactChange),
}

/// A commit that has not been carried out yet.
#[derive(Clone, Debug)]
pub(crate) struct PendingCommit {
    pub(crate) persistence: Persistence,
    /// The key of the stored record. For a new session, the key of the ended session whose token the
    /// request had. `None` if there is no such session, and for sealed cookies.
    pub(crate) key: Option<RecordKey>,
    /// The token of the request, or the first token of a new session. `None` for a task outside of the
    /// session's requests, because it never gets the token.
    pub(crate) token: Option<Token>,
    pub(crate) action: TokenAction,
    pub(crate) changes: Changes,
    /// The record that the changes start from. It already contains the changes of a log.
    pub(crate) record: Arc<Record>,
    /// The record without the changes of a log.
    pub(crate) before: Arc<Record>,
    /// The owner of the session before this request found it ended.
    pub(crate) ended_owner: Option<Owner>,
    /// The part of an unstored session that the commit stores even if the record is empty.
    pub(crate) required: Worth,
    pub(crate) seal: Seal,
    pub(crate) usage: Usage,
    /// How many changes of the log an earlier commit of the request may have carried out although it
    /// failed, because the reply of the store was lost. `None` if there was no such commit.
    pub(crate) in_doubt: Option<usize>,
    /// When the request loaded the session.
    pub(crate) loaded_at: Timestamp,
}

impl PendingCommit {
    /// Summarizes this commit for the decision. `record` contains the changes.
    pub(crate) fn wanted(&self, record: &Record) -> Wanted {
        Wanted {
            action: self.action.kind(),
            contents: self.changes.contents(),
            worth: self.required.with(record),
            signs_in: self.signs_in(),
            usage: self.usage,
            seal: self.seal,
        }
    }

    /// Returns whether the changes give the session an owner that it did not have.
    fn signs_in(&self) -> bool {
        let had = [self.before.owner.as_ref(), self.ended_owner.as_ref()];
        self.changes.owner().is_some_and(|owner| had.iter().all(|had| owner.is_other_than(*had)))
    }

    /// Returns whether a visitor would be signed in under a token that others may know: the session came
    /// under an anonymous token, which it keeps (session fixation). A sealed cookie is not such a token,
    /// because each commit replaces it.
    pub(crate) fn fixes_session(&self) -> bool {
        self.key.is_some()
            && matches!(self.persistence, Persistence::Stored { .. })
            && self.action == TokenAction::Keep
            && self.before.owner.is_none()
            && self.changes.owner().is_some()
    }

    /// Returns whether the request has proved again who the owner of its session is, as after a change
    /// of the password.
    pub(super) fn signs_in_again(&self) -> bool {
        let sets_owner = self.changes.owner().is_some();
        self.action.kind() == Action::Rotate && sets_owner && !self.signs_in()
    }

    /// Returns the key under which an earlier commit of this request may have written the session
    /// although it failed. Only this request knows the token of this key.
    pub(super) fn key_in_doubt(&self) -> Option<RecordKey> {
        self.in_doubt?;
        let key = self.token_afterwards()?.record_key();
        (Some(key) != self.key).then_some(key)
    }

    /// Goes on after an earlier commit of this request that has written the session under its new key.
    pub(super) fn go_on(&mut self) {
        self.token = self.token_afterwards().cloned();
        self.key = self.token.as_ref().map(Token::record_key);
        self.action = TokenAction::Keep;
        if let (Changes::Log(log), Some(carried_out)) = (&mut self.changes, self.in_doubt.take()) {
            *log = log.since(carried_out);
        }
    }

    /// Returns whether this commit ends the session. Its changes belong to the session after it.
    pub(super) fn is_logout(&self) -> bool {
        self.action.kind() == Action::Destroy
    }

    /// Returns whether this commit is a logout in a new session that has replaced an ended one. The
    /// record of the ended one may have been rotated to another key, where the logout has to find it.
    pub(super) fn ends_former_session(&self) -> bool {
        self.is_logout() && self.persistence == Persistence::New && self.key.is_some()
    }

    /// Drops the changes. After a logout, no new session begins without them.
    pub(super) fn drop_changes(&mut self, context: &Context) {
        self.changes = Changes::Log(ChangeLog::default());
        self.record = Arc::new(context.empty_record());
        self.required = Worth::Nothing;
    }

    /// Returns the token that the visitor has after this commit.
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

    /// Returns the token that replaces the current one.
    pub(crate) fn new_token(&self) -> Option<&Token> {
        match self {
            Self::Keep => None,
            Self::Rotate(next) | Self::Destroy(next) => Some(next),
        }
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

    /// Returns whether the changes may fail or panic, because they run closures.
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

    /// Returns the owner that the changes give to a session without an owner.
    pub(crate) fn owner(&self) -> Option<Owner> {
        match self {
            Self::Log(log) => log.owner(),
            Self::Exact(_) => None,
        }
    }

    /// Returns the ids of the flash batches that the changes write.
    pub(super) fn flashed(&self) -> Vec<BatchId> {
        match self {
            Self::Log(log) => log.flashed(),
            Self::Exact(_) => Vec::new(),
        }
    }

    /// Returns the number of changes.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Log(log) => log.len(),
            Self::Exact(_) => 1,
        }
    }
}

/// Shows the names of the operations and hides their contents.
impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(log) => log.fmt(f),
            Self::Exact(_) => f.write_str("Exact"),
        }
    }
}

/// The outcome of a [`PendingCommit`].
#[derive(Debug)]
pub(crate) struct CommitOutcome {
    pub(crate) persistence: Persistence,
    pub(crate) key: Option<RecordKey>,
    /// The token that the visitor has now. `None` if the commit had none.
    pub(crate) token: Option<Token>,
    /// The record as it is stored, or without changes that were dropped.
    pub(crate) record: Arc<Record>,
    pub(crate) cookie: CookieUpdate,
    /// The step that the backend has carried out.
    pub(crate) step: Step,
    /// The error of the changes after a logout, which were dropped. The logout itself has succeeded.
    pub(crate) refused: Option<Error>,
}

/// The reason why one commit of a batch failed.
pub(super) enum MemberError {
    Error(Error),
    /// A closure of the request panicked. Holds the payload.
    Panic(Box<dyn Any + Send>),
}

impl From<Error> for MemberError {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Kind> for MemberError {
    fn from(kind: Kind) -> Self {
        Self::Error(kind.into())
    }
}

/// The result of one commit of a batch.
pub(super) type MemberResult = Result<CommitOutcome, MemberError>;

/// The change of the visitor's cookie.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) enum CookieUpdate {
    /// The cookie stays unchanged.
    #[default]
    Keep,
    /// The cookie gets this value.
    Set {
        value: String,
        /// How long the browser keeps the cookie. `None`: until the browser is closed.
        max_age: Option<Duration>,
    },
    /// The browser removes the cookie.
    Remove,
}

/// Hides the value.
impl fmt::Debug for CookieUpdate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep => f.write_str("Keep"),
            Self::Set { max_age, .. } => write!(f, "Set(…, max_age: {max_age:?})"),
            Self::Remove => f.write_str("Remove"),
        }
    }
}
