//! The session where it must not be changed.

use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Session;
use crate::{error::Error, typed_key::Key};

/// A session that can only be read: for WebSockets, streams and tasks that outlive the response,
/// where a change could no longer reach the visitor's record.
///
/// It shows the session as its request left it, not what later requests make of it.
///
/// ```
/// # let session = cloakroom::testing::session();
/// session.put("username", "virk")?;
/// let reader = session.read_only();
/// assert_eq!(reader.get_or("username", String::new())?, "virk");
/// # Ok::<(), cloakroom::Error>(())
/// ```
#[derive(Clone)]
pub struct ReadSession(Session);

impl ReadSession {
    pub(super) fn of(session: Session) -> Self {
        Self(session)
    }

    /// As [`Session::get`].
    ///
    /// # Errors
    /// When the value is not a `T`.
    pub fn get<T: DeserializeOwned>(&self, key: impl Key<T>) -> Result<Option<T>, Error> {
        self.0.get(key)
    }

    /// As [`Session::get_or`].
    ///
    /// # Errors
    /// When the value is not a `T`.
    pub fn get_or<T: DeserializeOwned>(&self, key: impl Key<T>, default: T) -> Result<T, Error> {
        self.0.get_or(key, default)
    }

    /// As [`Session::all`].
    pub fn all(&self) -> Map<String, Value> {
        self.0.all()
    }

    /// As [`Session::has`].
    pub fn has(&self, key: impl AsRef<str>) -> bool {
        self.0.has(key)
    }

    /// As [`Session::is_empty`].
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As [`Session::is_new`].
    pub fn is_new(&self) -> bool {
        self.0.is_new()
    }

    /// As [`Session::correlation_id`].
    pub fn correlation_id(&self) -> String {
        self.0.correlation_id()
    }
}

/// Shows which session it is, not what is in it.
impl fmt::Debug for ReadSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadSession").field(&self.0).finish()
    }
}
