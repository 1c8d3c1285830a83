//! Why a statement failed, and what follows from it.

use cloakroom_store::StoreError;
use sqlx::error::DatabaseError;

/// The meaning of a database's error code for a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The statement was undone because another one was in its way. It may be sent again.
    Collision,
    /// The server goes down, or must not be written to. Another one may take over.
    Ended,
    /// The statement was undone for a reason that passes, such as a full disk.
    Unavailable,
    /// The tables are missing.
    NoTable,
    /// A row with this key is there already.
    Taken,
    /// Anything else.
    Refused,
}

/// The failure of a statement.
#[derive(Debug)]
pub enum Failure {
    /// No connection, so nothing was sent.
    NoConnection(sqlx::Error),
    /// The reply did not arrive, so the statement may have taken effect.
    Lost(sqlx::Error),
    /// No reply within the time limit. The statement may still take effect.
    TimedOut,
    /// The database replied with an error. The statement had no effect.
    Refused(Meaning, sqlx::Error),
    /// A copy of the statement may have taken effect, and the row does not tell.
    Unknown,
    /// Other writers were in the way of each attempt.
    Crowded,
}

impl Failure {
    /// Tells failures of a statement apart. `meaning` knows the database's codes.
    pub(crate) fn of(error: sqlx::Error, meaning: fn(&dyn DatabaseError) -> Meaning) -> Self {
        match &error {
            sqlx::Error::Database(refused) => match meaning(&**refused) {
                // The connection ends with it, and the server may have committed just before.
                Meaning::Ended => Self::Lost(error),
                meaning => Self::Refused(meaning, error),
            },
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::WorkerCrashed => Self::Lost(error),
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => Self::NoConnection(error),
            _ => Self::Refused(Meaning::Refused, error),
        }
    }

    /// Returns a value instead of a refusal, and other failures as they are.
    pub(crate) fn unless_refused<T>(self, value: T) -> Result<T, Self> {
        if matches!(self, Self::Refused(..)) { Ok(value) } else { Err(self) }
    }

    /// Returns the error of the database, if it replied with one.
    pub(crate) fn replied(&self) -> Option<&dyn DatabaseError> {
        match self {
            Self::NoConnection(error) | Self::Lost(error) | Self::Refused(_, error) => {
                error.as_database_error()
            }
            Self::TimedOut | Self::Unknown | Self::Crowded => None,
        }
    }

    /// Converts it into the error of the store. `attempted` completes "could not …".
    pub(crate) fn into_store_error(self, attempted: &str) -> StoreError {
        match self {
            Self::NoConnection(error)
            | Self::Lost(error)
            | Self::Refused(Meaning::Collision | Meaning::Unavailable, error) => {
                StoreError::unavailable(attempted, error)
            }
            Self::TimedOut => StoreError::unavailable(attempted, "no reply within the time limit"),
            Self::Unknown => StoreError::unavailable(
                attempted,
                "the connection broke before the reply, and the session has changed since: whether the \
                 change was made is unknown",
            ),
            Self::Crowded => {
                StoreError::unavailable(attempted, "other writers were in the way of each attempt")
            }
            Self::Refused(_, error) => StoreError::failed(attempted, error),
        }
    }
}
