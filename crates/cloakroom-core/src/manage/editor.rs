//! Writing to a session from outside its requests.

use std::{fmt, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    backend::{
        commit::{
            Answer, Changes, ExactChange, PendingCommit, Persistence, Seal, TokenAction, Usage,
        },
        decide::Worth,
        detached::Detached,
        lookup::LiveRecord,
    },
    error::Error,
    record::{
        Record,
        change::{Change, closure},
        flash::{Bags, Batch, BatchId},
    },
    session::{flash_messages::FlashMessages, sessions::Sessions},
    values::{
        Path,
        key::{AsKey, KeyOf},
        number::Number,
    },
};

/// A session in the hands of a task outside its requests. See [`Sessions::edit`].
pub struct SessionEditor<'a> {
    record: &'a mut Record,
    batch: BatchId,
}

impl Sessions {
    /// Changes the session that [`Session::handle`](crate::Session::handle) names, for tasks that go
    /// on after the response: a job that reports its progress, a payment that was confirmed. Returns
    /// what `edit` returns, or `None` if the session has ended: it is not brought back.
    ///
    /// Requests that change the session at the same time lose nothing: `edit` runs again on what they
    /// wrote, so let it depend on its argument and on what it captured alone. The visitor was not
    /// there, so the session's deadlines stay. One that another process moves between this read of
    /// the store and this write goes back to where it was.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let sessions = Sessions::store(MemoryStore::new(), AppKeys::random()).build()?;
    /// # let no_headers: &[(&str, &str)] = &[];
    /// # let session = cloakroom::adapter::RequestContext::new(&sessions).session(no_headers).await?;
    /// # session.put("import", "running")?;
    /// # session.commit().await?;
    /// let handle = session.handle().unwrap();
    /// let done = sessions.edit(&handle, |session| session.put("import", "done")).await?;
    /// assert_eq!(done, Some(()));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// What `edit` returns; when the store fails; [`Error::is_unsupported`] on the cookie driver;
    /// [`Error::is_contention`] when other writers came first until the
    /// [deadline](crate::SessionsBuilder::commit_deadline).
    pub async fn edit<T: Send + 'static>(
        &self,
        handle: &str,
        edit: impl Fn(&mut SessionEditor<'_>) -> Result<T, Error> + Send + Sync + 'static,
    ) -> Result<Option<T>, Error> {
        let lookup = self.lookup("change a session by its handle")?;
        let (change, answer) = Answer::of(move |record| {
            let batch = BatchId::draw();
            closure::run(|| edit(&mut SessionEditor { record, batch }))?
        });
        // Once more where the session is regenerated between the look and the commit.
        while let Some(reached) = lookup.by_handle(handle).await? {
            let (sessions, pending) = (self.clone(), self.exact(reached, change.clone()));
            let committed = Detached::new(async move {
                sessions.backend().commit(pending, sessions.context()).await
            });
            if committed.await?.persistence != Persistence::Ended {
                return Ok(answer.take());
            }
        }
        Ok(None)
    }

    /// A commit of `change` alone, from outside of the session's requests.
    fn exact(&self, reached: LiveRecord, change: ExactChange) -> Box<PendingCommit> {
        let LiveRecord { key, stored, record } = reached;
        let record = Arc::new(record);
        Box::new(PendingCommit {
            persistence: (&stored).into(),
            key: Some(key),
            token: None,
            action: TokenAction::Keep,
            changes: Changes::Exact(change),
            before: record.clone(),
            record,
            required: Worth::Nothing,
            seal: Seal::Current,
            usage: Usage::Unused,
            loaded_at: self.context().now(),
        })
    }
}

impl SessionEditor<'_> {
    /// As [`Session::get`](crate::Session::get).
    ///
    /// # Errors
    /// When the value is not a `T`.
    pub fn get<T: DeserializeOwned>(&self, key: impl KeyOf<T>) -> Result<Option<T>, Error> {
        self.record.values.get(Path::of(&key)?)
    }

    /// As [`Session::has`](crate::Session::has).
    pub fn has(&self, key: impl AsKey) -> bool {
        Path::of(&key).is_ok_and(|path| self.record.values.raw(path).is_some())
    }

    /// As [`Session::put`](crate::Session::put).
    ///
    /// # Errors
    /// When the value cannot be written, or below something that is not an object.
    pub fn put<T: Serialize>(&mut self, key: impl KeyOf<T>, value: T) -> Result<(), Error> {
        let path = Path::of(&key)?;
        let value = path.encode(&value)?;
        Change::Put { path: path.to_owned(), value }.apply(self.record)
    }

    /// As [`Session::forget`](crate::Session::forget).
    ///
    /// # Errors
    /// [`Error::is_bad_key`] as [`Session::put`](crate::Session::put).
    pub fn forget(&mut self, key: impl AsKey) -> Result<(), Error> {
        Change::Forget { path: Path::of(&key)?.to_owned() }.apply(self.record)
    }

    /// As [`Session::increment_by`](crate::Session::increment_by); the sum can be
    /// [read](Self::get).
    ///
    /// # Errors
    /// When the value is not a number, or the sum leaves its range.
    pub fn increment_by<N: Number>(&mut self, key: impl AsKey, by: N) -> Result<(), Error> {
        Change::Increment { path: Path::of(&key)?.to_owned(), by: by.delta() }.apply(self.record)
    }

    /// As [`Session::flash`](crate::Session::flash): the visitor's next page shows it.
    ///
    /// # Errors
    /// When `messages` is a JSON value other than an object.
    pub fn flash(&mut self, messages: impl FlashMessages) -> Result<(), Error> {
        let bags = Bags::of_messages(&messages)?;
        Change::Flash(Box::new(Batch { id: self.batch, bags })).apply(self.record)
    }
}

/// Shows nothing of what is in it.
impl fmt::Debug for SessionEditor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionEditor").finish_non_exhaustive()
    }
}
