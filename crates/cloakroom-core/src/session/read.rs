//! A session that can only be read.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use cloakroom_store::{RecordKey, clock::Timestamp};

use crate::session::{Session, state::Whereabouts, value_reads::value_reads, watches::Watches};
use crate::{backend::lookup::LiveRecord, error::Error, record::lifetimes, values::Values};

/// The longest pause after a look that failed.
const RETRY: Duration = Duration::from_secs(1);

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
        Ok(self.look().await?.is_some())
    }

    /// Refreshes the reader. Returns when the session ends if it is not used until then, or `None` if it
    /// has ended.
    async fn look(&self) -> Result<Option<Timestamp>, Error> {
        let context = self.session.sessions().context();
        // Read first, so that the state is not locked while the store is read.
        let whereabouts = self.session.state().whereabouts();
        let found = match whereabouts {
            Whereabouts::Pending => {
                let idle = context.lifetimes().idle(self.session.state().work.record());
                return Ok(Some(context.now() + idle));
            }
            Whereabouts::Stored { key: Some(key), .. } => self.find(key).await?,
            // Sealed in the cookie.
            Whereabouts::Stored { key: None, ends } if context.now() < ends => {
                return Ok(Some(ends));
            }
            Whereabouts::Stored { key: None, .. } | Whereabouts::Nowhere => None,
        };
        let ends = found.as_ref().map(|found| lifetimes::end(&found.record, found.stored.expires));
        let values = found.map(|found| found.record.values).unwrap_or_default();
        *self.refreshed.write().unwrap_or_else(PoisonError::into_inner) = Some(values);
        Ok(ends)
    }

    /// Finds the live record under `key`, or under the key to which this reader's own request has just
    /// moved it: the store may have carried out a `regenerate` of which the request does not know yet.
    async fn find(&self, key: RecordKey) -> Result<Option<LiveRecord>, Error> {
        let lookup = self.session.sessions().lookup("find a session")?;
        let found = lookup.by_key(key).await?;
        let next = self.session.state().key_afterwards();
        if found.is_some() || next == key { Ok(found) } else { lookup.by_key(next).await }
    }

    /// Waits until the session has ended, by a logout, a `regenerate` of another request, or at its deadline.
    ///
    /// Resolves at once if the session is ended in this process through these `Sessions` or a clone, on any
    /// server-side driver. If another process ends it, this resolves at once on Redis, and on stores that
    /// are an [`EndingFeed`](crate::store::EndingFeed). On other drivers it resolves when the reader is next
    /// [refreshed](Self::refresh), which is done at the interval `every`. So the interval bounds the delay
    /// of what is not pushed, and costs one read of the store each time. A minute is enough where endings
    /// are pushed. A sign-in that [`NotBefore`](crate::NotBefore) rejects is also noticed at the interval.
    /// On the cookie driver only the deadline can be seen.
    ///
    /// If the store fails, this tries again within a second, because a failure is not a logout.
    ///
    /// ```no_run
    /// # use cloakroom_core as cloakroom;
    /// # async fn chat(reader: cloakroom::ReadSession) {
    /// # let talk = async {};
    /// tokio::select! {
    ///     () = reader.ended(std::time::Duration::from_secs(60)) => println!("signed out"),
    ///     () = talk => println!("done"),
    /// }
    /// # }
    /// ```
    pub async fn ended(&self, every: Duration) {
        let mut watches = Watches::default();
        loop {
            // Before the look, so that an ending in between is not missed.
            watches.follow(&self.session);
            let pause = match self.look().await {
                Ok(None) => return,
                Ok(Some(ends)) => self.session.sessions().context().now().until(ends),
                Err(_) => RETRY,
            };
            watches.woken_within(pause.min(every)).await;
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
