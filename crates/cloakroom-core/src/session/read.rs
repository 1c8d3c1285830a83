//! The session where it must not be changed.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::session::{Session, state::Whereabouts};
use crate::{
    error::Error,
    values::{
        Path, Values,
        key::{AsKey, KeyOf},
    },
};

/// A session that can only be read: for WebSockets, streams and tasks that outlive the response,
/// where a change could no longer reach the visitor's record.
///
/// It shows the session as its request left it, until it is [refreshed](Self::refresh). To write from
/// such a place, see [`Sessions::edit`](crate::Sessions::edit).
///
/// ```
/// # use cloakroom_core as cloakroom;
/// # let session = cloakroom::testing::session();
/// session.put("username", "virk")?;
/// let reader = session.read_only();
/// assert_eq!(reader.get_or("username", String::new())?, "virk");
/// # Ok::<(), cloakroom::Error>(())
/// ```
#[derive(Clone)]
pub struct ReadSession {
    session: Session,
    /// What the last refresh found: `None` before the first, empty values once the session has ended.
    refreshed: Arc<RwLock<Option<Values>>>,
}

impl ReadSession {
    pub(super) fn of(session: Session) -> Self {
        Self { session, refreshed: Arc::default() }
    }

    fn read<T>(&self, read: impl FnOnce(&Values) -> T) -> T {
        let refreshed = self.refreshed.read().unwrap_or_else(PoisonError::into_inner);
        match &*refreshed {
            Some(values) => read(values),
            None => read(self.session.state().values()),
        }
    }

    /// Looks at the store: from here on it shows the session as it is now. Answers whether the session
    /// lives; of one that has ended, by a logout from anywhere or by its deadline, nothing is shown.
    /// A `regenerate` by another request ends it for this reader too: whoever has the old token does
    /// not come along into the new login.
    ///
    /// It costs one read of the store, and does not count as a use of the session. On the cookie
    /// driver there is nothing to look at: what its own request did and the deadline end it. A visitor
    /// without a session has none that lives.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let sessions = Sessions::store(MemoryStore::new(), AppKeys::random()).build()?;
    /// # let no_headers: &[(&str, &str)] = &[];
    /// # let session = cloakroom::adapter::RequestContext::new(&sessions).session(no_headers).await?;
    /// session.put("username", "virk")?;
    /// session.commit().await?;
    /// let reader = session.read_only();
    /// assert!(reader.refresh().await?);
    /// sessions.inventory()?.destroy(&session.handle().unwrap()).await?;
    /// assert!(!reader.refresh().await?);
    /// assert!(reader.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// When the store fails; it then shows what it showed before.
    pub async fn refresh(&self) -> Result<bool, Error> {
        let sessions = self.session.sessions();
        // Not held while the store is asked.
        let whereabouts = self.session.state().whereabouts();
        let found = match whereabouts {
            Whereabouts::Pending => return Ok(true),
            Whereabouts::Stored { key: Some(key), .. } => {
                sessions.lookup("find a session")?.by_key(key).await?
            }
            // Sealed in the cookie.
            Whereabouts::Stored { key: None, ends } if sessions.context().now() < ends => {
                return Ok(true);
            }
            Whereabouts::Stored { key: None, .. } | Whereabouts::Nowhere => None,
        };
        let lives = found.is_some();
        let values = found.map(|reached| reached.record.values).unwrap_or_default();
        *self.refreshed.write().unwrap_or_else(PoisonError::into_inner) = Some(values);
        Ok(lives)
    }

    /// Waits until the session has ended, [refreshing](Self::refresh) it `every` so often. A store
    /// that fails is asked again: a fault signs nobody out.
    ///
    /// ```no_run
    /// # use cloakroom_core as cloakroom;
    /// # async fn chat(reader: cloakroom::ReadSession) {
    /// # let talk = async {};
    /// tokio::select! {
    ///     () = reader.ended(std::time::Duration::from_secs(5)) => println!("signed out"),
    ///     () = talk => println!("done"),
    /// }
    /// # }
    /// ```
    pub async fn ended(&self, every: Duration) {
        while self.refresh().await.unwrap_or(true) {
            tokio::time::sleep(every).await;
        }
    }

    /// As [`Session::get`].
    ///
    /// # Errors
    /// When the value is not a `T`.
    pub fn get<T: DeserializeOwned>(&self, key: impl KeyOf<T>) -> Result<Option<T>, Error> {
        let path = Path::of(&key)?;
        self.read(|values| values.get(path))
    }

    /// As [`Session::get_or`].
    ///
    /// # Errors
    /// When the value is not a `T`.
    pub fn get_or<T: DeserializeOwned>(&self, key: impl KeyOf<T>, default: T) -> Result<T, Error> {
        Ok(self.get(key)?.unwrap_or(default))
    }

    /// As [`Session::all`].
    pub fn all(&self) -> Map<String, Value> {
        self.read(Values::all)
    }

    /// As [`Session::has`].
    pub fn has(&self, key: impl AsKey) -> bool {
        Path::of(&key).is_ok_and(|path| self.read(|values| values.raw(path).is_some()))
    }

    /// As [`Session::is_empty`].
    pub fn is_empty(&self) -> bool {
        self.read(Values::is_empty)
    }

    /// As [`Session::owner`]: whose the session was at its request.
    pub fn owner(&self) -> Option<String> {
        self.session.owner()
    }

    /// As [`Session::is_new`].
    pub fn is_new(&self) -> bool {
        self.session.is_new()
    }

    /// As [`Session::correlation_id`].
    pub fn correlation_id(&self) -> String {
        self.session.correlation_id()
    }
}

/// Shows which session it is, not what is in it.
impl fmt::Debug for ReadSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadSession").field(&self.session).finish()
    }
}
