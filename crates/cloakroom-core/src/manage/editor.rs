//! Changes a session from outside of its requests.

use std::{fmt, sync::Arc};

use serde::Serialize;

use crate::{
    backend::{
        commit::{Changes, ExactChange, ExactResult, PendingCommit, TokenAction},
        decide::{Persistence, Seal, Usage, Worth},
        detached::Detached,
        lookup::LiveRecord,
    },
    error::Error,
    record::{
        Record,
        change::{Change, closure},
        flash::{Bags, Batch, BatchId},
        handle::SessionHandle,
    },
    session::{flash_messages::FlashMessages, sessions::Sessions, value_reads::value_reads},
    values::{
        Path, Values,
        key::{AsKey, KeyOf},
        number::Number,
    },
};

/// The lines before each example of an editor.
macro_rules! before {
    () => {
        "# use cloakroom_core as cloakroom;
# use cloakroom::{AppKeys, MemoryStore, Sessions};
# tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
# let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
# let no_headers: &[(&str, &str)] = &[];
# let session = cloakroom::adapter::RequestContext::new(&sessions).session(no_headers).await?;
# session.put(\"k\", 1)?;
# session.commit().await?;
# let handle = session.handle().unwrap();
# let edited = sessions.edit(&handle, |session| {"
    };
}

/// The lines after each example of an editor.
macro_rules! after {
    () => {
        "# Ok(()) }).await?;
# assert_eq!(edited, Some(()));
# Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();"
    };
}

/// A session that a task changes from outside of its requests. [`Sessions::edit`] passes it to its
/// closure.
///
/// It reads values as a [`Session`](crate::Session) does, and has its methods `put`, `forget`, `increment_by`,
/// `flash` and `flash_push`. For any other change, `get` a value and `put` the new one: if a request changes the
/// session at the same time, the closure runs again.
///
/// ```
#[doc = before!()]
/// let done = session.get_or("import.lines", 0)?;
/// session.put("import.percent", done / 10)?;
#[doc = after!()]
/// ```
pub struct SessionEditor<'a> {
    record: &'a mut Record,
    batch: BatchId,
}

impl Sessions {
    /// Changes the session that `handle` names. Use it in tasks that continue after the response, such as
    /// a job that reports its progress. Returns the result of `edit`. Returns `None` if the session has
    /// ended, because an edit never restores a session.
    ///
    /// If a request changes the session at the same time, `edit` runs again on the new record, so no
    /// change is lost. So `edit` must depend only on its argument and on captured values. The session's
    /// deadlines stay unchanged, because the visitor was not active. If another process moves a deadline
    /// between the edit's read and its write, the edit moves it back.
    ///
    /// # Errors
    /// The error of `edit`. When the store fails. [`Error::is_unsupported`] on the cookie driver, and
    /// for a handle of a session with an owner if the store has no index of owners.
    /// [`Error::is_contention`] if other requests kept writing the session until the
    /// [deadline](crate::SessionsBuilder::commit_deadline).
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
    /// # let no_headers: &[(&str, &str)] = &[];
    /// # let session = cloakroom::adapter::RequestContext::new(&sessions).session(no_headers).await?;
    /// # session.put("import", "running")?;
    /// # session.commit().await?;
    /// let handle = session.handle().unwrap();
    /// let done = sessions.edit(&handle, |session| session.put("import", "done")).await?;
    /// assert_eq!(done, Some(()));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn edit<T: Send + 'static>(
        &self,
        handle: &SessionHandle,
        edit: impl Fn(&mut SessionEditor<'_>) -> Result<T, Error> + Send + Sync + 'static,
    ) -> Result<Option<T>, Error> {
        let lookup = self.lookup("change a session by its handle")?;
        let (change, result) = ExactResult::of(move |record| {
            let batch = BatchId::draw();
            closure::run(|| edit(&mut SessionEditor { record, batch }))?
        });
        // Again if the session is regenerated between the lookup and the commit.
        while let Some(found) = lookup.by_handle(*handle).await? {
            let (sessions, pending) = (self.clone(), self.exact(found, change.clone()));
            let committed = Detached::new(async move {
                sessions.backend().commit(pending, sessions.context()).await
            });
            if committed.await?.persistence != Persistence::Ended {
                return Ok(result.take());
            }
        }
        Ok(None)
    }

    /// Returns a commit of `change` alone, from outside of the session's requests.
    fn exact(&self, found: LiveRecord, change: ExactChange) -> Box<PendingCommit> {
        let LiveRecord { key, stored, record } = found;
        let record = Arc::new(record);
        Box::new(PendingCommit {
            persistence: (&stored).into(),
            key: Some(key),
            token: None,
            action: TokenAction::Keep,
            changes: Changes::Exact(change),
            ended_owner: None,
            before: record.clone(),
            record,
            required: Worth::Nothing,
            seal: Seal::Current,
            usage: Usage::Unused,
            in_doubt: None,
            loaded_at: self.context().now(),
        })
    }
}

value_reads! {
    SessionEditor<'_>,
    before: before!(),
    after: after!(),
}

impl SessionEditor<'_> {
    fn read_values<T>(&self, read: impl FnOnce(&Values) -> T) -> T {
        read(&self.record.values)
    }

    /// Puts a value under `key`, as [`Session::put`](crate::Session::put).
    ///
    /// # Errors
    /// When the value cannot be written as JSON, or a dotted key selects a member of a value that is not
    /// an object. [`Error::is_bad_key`] as [`Session::put`](crate::Session::put).
    ///
    /// ```
    #[doc = before!()]
    /// session.put("import.state", "done")?;
    /// assert_eq!(session.get::<String>("import.state")?.as_deref(), Some("done"));
    #[doc = after!()]
    /// ```
    pub fn put<T: Serialize>(&mut self, key: impl KeyOf<T>, value: T) -> Result<(), Error> {
        let path = Path::for_write(&key)?;
        let value = path.encode(&value)?;
        Change::Put { path: path.to_owned(), value }.apply(self.record)
    }

    /// Removes the value under `key`, if there is one, as
    /// [`Session::forget`](crate::Session::forget).
    ///
    /// # Errors
    /// [`Error::is_bad_key`] as [`Session::put`](crate::Session::put).
    ///
    /// ```
    #[doc = before!()]
    /// session.put("import.state", "done")?;
    /// session.forget("import.state")?;
    /// assert!(!session.has("import.state"));
    #[doc = after!()]
    /// ```
    pub fn forget(&mut self, key: impl AsKey) -> Result<(), Error> {
        Change::Forget { path: Path::of(&key)?.to_owned() }.apply(self.record)
    }

    /// Adds `by`, an `i64` or an `f64`, to the number under `key`, as
    /// [`Session::increment_by`](crate::Session::increment_by). [`get`](Self::get) returns the sum.
    ///
    /// # Errors
    /// When the value is not a number of this kind, or the sum does not fit into it. The value stays.
    ///
    /// ```
    #[doc = before!()]
    /// session.increment_by("import.lines", 100)?;
    /// assert_eq!(session.get("import.lines")?, Some(100));
    #[doc = after!()]
    /// ```
    pub fn increment_by<N: Number>(&mut self, key: impl AsKey, by: N) -> Result<(), Error> {
        Change::Increment { path: Path::for_write(&key)?.to_owned(), by: by.delta() }
            .apply(self.record)
    }

    /// Adds messages for the visitor's next page, as [`Session::flash`](crate::Session::flash).
    ///
    /// # Errors
    /// When `messages` is a JSON value other than an object.
    ///
    /// ```
    #[doc = before!()]
    /// session.flash(serde_json::json!({ "notice": "Your import is complete." }))?;
    #[doc = after!()]
    /// ```
    pub fn flash(&mut self, messages: impl FlashMessages) -> Result<(), Error> {
        self.add(Bags::of_messages(&messages)?)
    }

    /// Adds a message to the list for the visitor's next page, as
    /// [`Session::flash_push`](crate::Session::flash_push).
    ///
    /// # Errors
    /// None. It returns a `Result` as all changes do.
    ///
    /// ```
    #[doc = before!()]
    /// session.flash_push("success", "Your import is complete.")?;
    #[doc = after!()]
    /// ```
    pub fn flash_push(
        &mut self,
        level: impl Into<String>,
        text: impl Into<String>,
    ) -> Result<(), Error> {
        self.add(Bags::of_pushed(level, text))
    }

    fn add(&mut self, bags: Bags) -> Result<(), Error> {
        Change::Flash(Box::new(Batch { id: self.batch, bags })).apply(self.record)
    }
}

/// Shows no values, because they do not belong in logs.
impl fmt::Debug for SessionEditor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionEditor").finish_non_exhaustive()
    }
}
