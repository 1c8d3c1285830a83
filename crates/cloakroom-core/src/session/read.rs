//! A session that can only be read.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use crate::session::{Session, state::Whereabouts, value_reads::value_reads};
use crate::{error::Error, values::Values};

/// A session that can only be read. For WebSockets, streams and tasks that outlive the response,
/// because a change could no longer be committed there.
///
/// It shows the session as its request left it, until it is [refreshed](Self::refresh). To change the
/// session there, use [`Sessions::edit`](crate::Sessions::edit).
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
    /// The values that the last refresh found. `None` before the first, empty if the session has ended.
    refreshed: Arc<RwLock<Option<Values>>>,
}

value_reads! {
    ReadSession,
    before: "# use cloakroom_core as cloakroom;\n# let session = cloakroom::testing::session();",
    reader: "let session = session.read_only();",
    after: "# Ok::<(), cloakroom::Error>(())",
}

impl ReadSession {
    pub(super) fn of(session: Session) -> Self {
        Self { session, refreshed: Arc::default() }
    }

    fn read_values<T>(&self, read: impl FnOnce(&Values) -> T) -> T {
        let refreshed = self.refreshed.read().unwrap_or_else(PoisonError::into_inner);
        match &*refreshed {
            Some(values) => read(values),
            None => read(self.session.state().values()),
        }
    }

    /// Loads the session again, so that this reader shows its current values. Returns `true` if the
    /// session is live. Returns `false` if it has ended, by a logout or at its deadline, or if the visitor
    /// has no session. The reader then shows no values.
    ///
    /// A `regenerate` by another request also ends the session for this reader, because a reader from
    /// before a sign-in must not see the session after it.
    ///
    /// Costs one read of the store, and does not count as a use of the session. The cookie driver has no
    /// store to read, so there the reader shows the session of its own request until the deadline.
    ///
    /// # Errors
    /// When the store fails. The reader then shows what it showed before.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
    /// # let no_headers: &[(&str, &str)] = &[];
    /// # let session = cloakroom::adapter::RequestContext::new(&sessions).session(no_headers).await?;
    /// session.put("username", "virk")?;
    /// session.commit().await?;
    /// let reader = session.read_only();
    /// assert!(reader.refresh().await?);
    /// sessions.admin()?.destroy(&session.handle().unwrap()).await?;
    /// assert!(!reader.refresh().await?);
    /// assert!(reader.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn refresh(&self) -> Result<bool, Error> {
        let sessions = self.session.sessions();
        // Read first, so that the state is not locked while the store is read.
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

    /// Waits until the session has ended, and [refreshes](Self::refresh) the reader at this interval. If
    /// the store fails, it tries again, because a failure is not a logout.
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

    /// Returns the name of the owner that the session had at its request, as [`Session::owner`].
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert_eq!(session.read_only().owner(), None);
    /// ```
    pub fn owner(&self) -> Option<String> {
        self.session.owner()
    }

    /// Returns whether the session was new at its request, as [`Session::is_new`].
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert!(session.read_only().is_new());
    /// ```
    pub fn is_new(&self) -> bool {
        self.session.is_new()
    }

    /// Returns the id of the session for logs, as [`Session::correlation_id`].
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert_eq!(session.read_only().correlation_id(), session.correlation_id());
    /// ```
    pub fn correlation_id(&self) -> String {
        self.session.correlation_id()
    }
}

/// Shows which session it is. Values stay out of logs.
impl fmt::Debug for ReadSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadSession").field(&self.session).finish()
    }
}
