//! Reading a session again in the middle of a request.

use std::sync::Arc;

use crate::{
    backend::{Backend, decide::Persistence, is_revoked},
    error::Error,
    record::Record,
    session::Session,
};
use cloakroom_store::RecordKey;

/// The current record of a request's session. The key is that of a stored one.
pub(super) type Reloaded = (RecordKey, Persistence, Arc<Record>);

impl Session {
    /// Reads the session again from the store, so that later reads see what other requests have committed.
    /// Discards the changes that this request has not committed, as
    /// [`discard_changes`](Self::discard_changes) does.
    ///
    /// Use it in a handler that waits for another request, such as one that polls for the end of an import.
    /// Use [`ReadSession::refresh`](crate::ReadSession::refresh) in code that outlives the response.
    ///
    /// If the session has ended, by a logout or at its deadline, it shows no values after this, and a commit
    /// of later changes writes nothing. The flash that this request shows stays. The cookie driver and a new
    /// session have no record to read, so only the changes are discarded there.
    ///
    /// # Errors
    /// When the store fails: the session then stays as it was, with its changes. After the commit, as every
    /// change.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
    /// # let no_headers: &[(&str, &str)] = &[];
    /// # let session = cloakroom::adapter::RequestContext::new(&sessions).session(no_headers).await?;
    /// session.put("import", "running")?;
    /// session.commit().await?;
    /// # let handle = session.handle().unwrap();
    /// # sessions.edit(&handle, |session| session.put("import", "done")).await?;
    /// // A task has put "done" since.
    /// session.reload().await?;
    /// assert_eq!(session.get::<String>("import")?.as_deref(), Some("done"));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn reload(&self) -> Result<(), Error> {
        self.state().work.refuse_when_closed()?;
        let _turn = self.begin_commit().await;
        let found = self.find_current().await?;
        let now = self.now();
        let discarded = {
            let mut state = self.state();
            state.work.refuse_when_closed()?;
            state.reload(found, now)
        };
        // Without the lock, because closures may own anything.
        drop(discarded);
        Ok(())
    }

    /// Finds the current record. Returns `None` if there is none to read. Looks under the new key as well,
    /// if a failed commit may have moved the record to it.
    async fn find_current(&self) -> Result<Option<Reloaded>, Error> {
        let Backend::Store(backend) = self.sessions().backend() else { return Ok(None) };
        let context = self.sessions().context();
        let keys = self.state().work.keys_to_reload();
        let mut found = None;
        for key in keys {
            let (persistence, record) = backend.reload(Some(key), context).await?;
            let is_live =
                persistence != Persistence::Ended && !is_revoked(&record, context).await?;
            if is_live {
                return Ok(Some((key, persistence, record)));
            }
            let ended = (key, Persistence::Ended, Arc::new(context.empty_record()));
            found.get_or_insert(ended);
        }
        Ok(found)
    }
}
