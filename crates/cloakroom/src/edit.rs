//! Writing to a session from outside its requests.

use std::fmt;

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Error, Sessions,
    change::Change,
    driver::stored::{send, wait_before},
    error::Kind,
    flash::{Bags, Batch, BatchId},
    number::Numeric,
    observe,
    reach::{ATTEMPTS, Reached},
    record::Record,
    store::{Commit, Draft, Outcome},
    typed_key::Key,
    values::{encode, encode_object},
};

/// A session in the hands of a task outside its requests. See [`Sessions::edit`].
pub struct Edit<'a> {
    record: &'a mut Record,
    batch: BatchId,
}

impl Sessions {
    /// Changes the session that [`Session::handle`](crate::Session::handle) named, for tasks that go
    /// on after the response: a job that reports its progress, a payment that was confirmed. Answers
    /// what `edit` answers, or nothing where the session has ended: it is not brought back.
    ///
    /// Requests that change the session meanwhile lose nothing: `edit` runs again on what they wrote.
    /// The visitor was not there, so the session's deadlines stay; one that a request moves in the very
    /// moment between this read of the store and this write goes back to where it was.
    ///
    /// ```
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let sessions = Sessions::store(MemoryStore::new(), AppKeys::random()).build()?;
    /// # let no_headers: &[(&str, &str)] = &[];
    /// # let session = sessions.visit().session(no_headers).await?;
    /// # session.put("import", "running")?;
    /// # session.commit().await?;
    /// let handle = session.handle().unwrap();
    /// let done = sessions.edit(&handle, |session| session.put("import", "done")).await?;
    /// assert_eq!(done, Some(()));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// What `edit` answers; when the store fails; [`Error::is_unsupported`] on the cookie driver;
    /// [`Error::is_contention`] when requests were faster 64 times in a row.
    pub async fn edit<T>(
        &self,
        handle: &str,
        edit: impl Fn(&mut Edit<'_>) -> Result<T, Error> + Send + Sync,
    ) -> Result<Option<T>, Error> {
        let store = self.backend("change a session by its handle")?;
        for attempt in 0..ATTEMPTS {
            wait_before(attempt, self.engine()).await;
            let Some(Reached { key, stored, mut record }) = self.reach(handle).await? else {
                return Ok(None);
            };
            let batch = BatchId::draw(self.engine());
            let answer = edit(&mut Edit { record: &mut record, batch })?;
            let draft = Draft {
                record: Bytes::from(record.encode()?),
                expires: stored.expires,
                idle: self.engine().lifetimes().idle(&record),
                owner: record.owner.as_ref().map(crate::owner::Owner::key),
            };
            let replace = Commit::Replace { key, expected: stored.revision, record: draft };
            match send(store, replace, "change a session").await? {
                Outcome::Done(_) => return Ok(Some(answer)),
                // Another request was faster: it is looked up again.
                Outcome::Conflict(_) | Outcome::Gone | Outcome::Exists => observe::rebased(attempt),
            }
        }
        observe::refused("contention");
        Err(Kind::Contention { attempts: ATTEMPTS }.into())
    }
}

impl Edit<'_> {
    /// As [`Session::get`](crate::Session::get).
    ///
    /// # Errors
    /// When the value is not a `T`.
    pub fn get<T: DeserializeOwned>(&self, key: impl Key<T>) -> Result<Option<T>, Error> {
        self.record.values.get(key.path())
    }

    /// As [`Session::has`](crate::Session::has).
    pub fn has(&self, key: impl AsRef<str>) -> bool {
        self.record.values.raw(key.as_ref()).is_some()
    }

    /// As [`Session::put`](crate::Session::put).
    ///
    /// # Errors
    /// When the value cannot be written, or below something that is not an object.
    pub fn put<T: Serialize>(&mut self, key: impl Key<T>, value: T) -> Result<(), Error> {
        let value = encode(key.path(), &value)?;
        Change::Put { path: key.path().into(), value }.apply(self.record)
    }

    /// As [`Session::forget`](crate::Session::forget).
    ///
    /// # Errors
    /// None at present.
    pub fn forget(&mut self, key: impl AsRef<str>) -> Result<(), Error> {
        Change::Forget { path: key.as_ref().into() }.apply(self.record)
    }

    /// As [`Session::increment_by`](crate::Session::increment_by); the sum can be
    /// [read](Self::get).
    ///
    /// # Errors
    /// When the value is not a number, or the sum leaves its range.
    pub fn increment_by<N: Numeric>(&mut self, key: impl AsRef<str>, by: N) -> Result<(), Error> {
        Change::Increment { path: key.as_ref().into(), by: by.delta() }.apply(self.record)
    }

    /// As [`Session::flash`](crate::Session::flash): the visitor's next page shows it.
    ///
    /// # Errors
    /// When `messages` is not an object.
    pub fn flash<T: Serialize>(&mut self, messages: T) -> Result<(), Error> {
        let bags = Bags { messages: encode_object("flash", &messages)?, ..Bags::default() };
        Change::Flash(Batch { id: self.batch, bags }).apply(self.record)
    }
}

/// Shows nothing of what is in it.
impl fmt::Debug for Edit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edit").finish_non_exhaustive()
    }
}
