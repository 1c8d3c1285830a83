//! Changes that decide something: committed one by one, with an answer that no two requests share.

use serde::de::DeserializeOwned;

use crate::session::{
    Session,
    unit_of_work::{Base, Checkpoint},
};
use crate::{
    backend::{
        Backend,
        commit::{Answer, ExactChange, PendingCommit, Persistence},
        detached::Detached,
    },
    error::{Error, Kind},
    record::Record,
    values::{
        Path,
        key::{AsKey, KeyOf},
        number::{self, Number},
    },
};

impl Session {
    /// Adds 1 to the number under `key`, commits that, and returns the sum as it was committed. No
    /// two requests get the same. For what decides: the number of attempts, a place in a queue.
    ///
    /// It commits this change alone. What else the request has changed is committed when it ends.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let sessions = Sessions::store(MemoryStore::new(), AppKeys::random()).build()?;
    /// # let no_headers: &[(&str, &str)] = &[];
    /// # let session = cloakroom::adapter::RequestContext::new(&sessions).session(no_headers).await?;
    /// let attempt = session.increment_now("attempts").await?;
    /// assert!(attempt <= 5, "too many attempts");
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`increment_by`](Self::increment_by) and [`commit`](Self::commit). When the session has
    /// ended: nothing is counted then. [`Error::is_unsupported`] on the cookie driver, which has
    /// nothing to compare with.
    pub async fn increment_now(&self, key: impl AsKey) -> Result<i64, Error> {
        self.increment_now_by(key, 1).await
    }

    /// Adds `by` to the number under `key`, as [`increment_now`](Self::increment_now) adds 1.
    ///
    /// # Errors
    /// As there.
    pub async fn increment_now_by<N: Number>(&self, key: impl AsKey, by: N) -> Result<N, Error> {
        let path = Path::of(&key)?.to_owned();
        let sum = self.commit_exact("count one by one", move |record| {
            let path = path.borrow();
            record.values.add(path, by.delta(), |sum| number::read(path.text(), sum))
        });
        sum.await?.ok_or_else(|| Kind::Ended.into())
    }

    /// Takes the value under `key` out of the session, commits that, and returns it. Of requests
    /// that do so at once, one gets the value and the others `None`. For what counts once: a code, a
    /// voucher, a one-time link.
    ///
    /// It commits this change alone. What else the request has changed is committed when it ends.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let sessions = Sessions::store(MemoryStore::new(), AppKeys::random()).build()?;
    /// # let no_headers: &[(&str, &str)] = &[];
    /// # let session = cloakroom::adapter::RequestContext::new(&sessions).session(no_headers).await?;
    /// # session.put("code", "1234")?;
    /// # session.commit().await?;
    /// let code: Option<String> = session.take("code").await?;
    /// assert_eq!(code.as_deref(), Some("1234"));
    /// assert_eq!(session.take::<String>("code").await?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// When the value is not a `T`: then it stays. As [`commit`](Self::commit).
    /// [`Error::is_unsupported`] on the cookie driver, which has nothing to compare with.
    pub async fn take<T: DeserializeOwned + Send + 'static>(
        &self,
        key: impl KeyOf<T>,
    ) -> Result<Option<T>, Error> {
        let path = Path::of(&key)?.to_owned();
        let taken = self.commit_exact("take a value once", move |record| {
            let value = record.values.get(path.borrow())?;
            record.values.forget(path.borrow());
            Ok(value)
        });
        Ok(taken.await?.flatten())
    }

    /// Commits `change` alone and returns what it returned, on the record as it was committed.
    /// Returns `None` if the session has ended.
    async fn commit_exact<T: Send + 'static>(
        &self,
        attempted: &'static str,
        change: impl Fn(&mut Record) -> Result<T, Error> + Send + Sync + 'static,
    ) -> Result<Option<T>, Error> {
        if let Backend::Cookie(_) = self.sessions().backend() {
            let driver = self.sessions().driver_name();
            return Err(Kind::Unsupported { attempted, driver }.into());
        }
        self.state().work.refuse_when_closed()?;
        if self.is_destroyed() {
            // The change belongs to the session after the one that ends.
            self.commit().await?;
        }
        let (exact, answer) = Answer::of(change);
        let session = self.clone();
        let persistence = Detached::new(async move {
            let _turn = session.0.committing.lock().await;
            let pending = session.pending_exact(exact).await?;
            session.commit_pending(pending, &Checkpoint::NOTHING).await
        });
        let persistence = persistence.await?;
        Ok(answer.take().filter(|_| persistence != Persistence::Ended))
    }

    async fn pending_exact(&self, change: ExactChange) -> Result<Box<PendingCommit>, Error> {
        let sessions = self.sessions();
        let pending = self.state().work.pending_exact(change, sessions.context());
        match (pending, sessions.backend()) {
            // The request's copy has changes of its own in it.
            ((mut pending, Base::ToBeLoaded), Backend::Store(backend)) => {
                (pending.persistence, pending.record) =
                    backend.reload(pending.key, sessions.context()).await?;
                Ok(pending)
            }
            ((pending, _), _) => Ok(pending),
        }
    }
}
