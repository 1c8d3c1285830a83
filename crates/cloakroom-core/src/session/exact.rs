//! Changes that are committed at once, with a result that no other request gets.

use serde::de::DeserializeOwned;

use crate::session::{
    Session,
    unit_of_work::{Checkpoint, RecordSource},
};
use crate::{
    backend::{
        Backend,
        commit::{ExactChange, ExactResult, PendingCommit},
        decide::Persistence,
        detached::Detached,
    },
    error::{Error, Kind},
    record::{Record, change::Change},
    values::{
        Path,
        key::{AsKey, KeyOf},
        number::{self, Number},
    },
};

impl Session {
    /// Adds 1 to the number under `key`, commits the change, and returns the committed sum. Each
    /// request gets a different sum.
    ///
    /// Use it when the sum decides something, such as the number of attempts or a place in a queue.
    /// [`increment`](Self::increment) is cheaper when it does not, because it waits for no store.
    ///
    /// Commits only this change. Other changes of the request are committed when it ends.
    ///
    /// # Errors
    /// As [`increment_by`](Self::increment_by) and [`commit`](Self::commit). When the session has ended.
    /// [`Error::is_unsupported`] on the cookie driver, because it
    /// has no server-side record to compare with.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
    /// # let no_headers: &[(&str, &str)] = &[];
    /// # let session = cloakroom::adapter::RequestContext::new(&sessions).session(no_headers).await?;
    /// let attempt = session.increment_now("attempts").await?;
    /// assert!(attempt <= 5, "too many attempts");
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn increment_now(&self, key: impl AsKey) -> Result<i64, Error> {
        self.increment_now_by(key, 1).await
    }

    /// Adds `by`, an `i64` or an `f64`, to the number under `key`, commits the change, and returns the
    /// committed sum, as [`increment_now`](Self::increment_now).
    ///
    /// # Errors
    /// As [`increment_now`](Self::increment_now).
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
    /// # let no_headers: &[(&str, &str)] = &[];
    /// # let session = cloakroom::adapter::RequestContext::new(&sessions).session(no_headers).await?;
    /// assert_eq!(session.increment_now_by("tickets", 3).await?, 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn increment_now_by<N: Number>(&self, key: impl AsKey, by: N) -> Result<N, Error> {
        let path = Path::for_write(&key)?.to_owned();
        let sum = self.commit_exact("count one by one", move |record| {
            let path = path.borrow();
            record.values.add(path, by.delta(), |sum| number::read(path.text(), sum))
        });
        sum.await?.ok_or_else(|| Kind::Ended.into())
    }

    /// Removes the value under `key`, commits the change, and returns the value. Of several concurrent
    /// requests, one gets the value and the others get `None`.
    ///
    /// Use it for values that are valid once: a code, a voucher, a one-time link.
    /// [`pull`](Self::pull) is cheaper when several requests may get the value.
    ///
    /// Commits only this change. Other changes of the request are committed when it ends.
    ///
    /// # Errors
    /// When the value is not a `T`: the value stays. As [`commit`](Self::commit).
    /// [`Error::is_unsupported`] on the cookie driver, because it has no server-side record to compare
    /// with.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
    /// # let no_headers: &[(&str, &str)] = &[];
    /// # let session = cloakroom::adapter::RequestContext::new(&sessions).session(no_headers).await?;
    /// # session.put("code", "1234")?;
    /// # session.commit().await?;
    /// let code: Option<String> = session.take("code").await?;
    /// assert_eq!(code.as_deref(), Some("1234"));
    /// assert_eq!(session.take::<String>("code").await?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn take<T: DeserializeOwned + Send + 'static>(
        &self,
        key: impl KeyOf<T>,
    ) -> Result<Option<T>, Error> {
        let path = Path::of(&key)?.to_owned();
        let taken = self.commit_exact("take a value once", move |record| {
            let value = record.values.get(path.borrow())?;
            Change::Forget { path: path.clone() }.apply(record)?;
            Ok(value)
        });
        Ok(taken.await?.flatten())
    }

    /// Commits `change` alone and returns its result on the committed record. Returns `None` if the
    /// session has ended.
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
        let commits_log_first = self.state().work.commits_log_first();
        if commits_log_first {
            self.commit().await?;
        }
        let (exact, result) = ExactResult::of(change);
        let session = self.clone();
        let persistence = Detached::new(async move {
            let _turn = session.begin_commit().await;
            let (pending, checkpoint) = session.pending_exact(exact).await?;
            session.commit_pending(pending, &checkpoint).await
        });
        let persistence = persistence.await?;
        Ok(result.take().filter(|_| persistence != Persistence::Ended))
    }

    async fn pending_exact(
        &self,
        change: ExactChange,
    ) -> Result<(Box<PendingCommit>, Checkpoint), Error> {
        let sessions = self.sessions();
        let (mut pending, source, checkpoint) = {
            let empty = sessions.context().empty_record();
            let state = self.state();
            let (pending, source) = state.work.pending_exact(change, empty);
            (pending, source, state.work.checkpoint_of_nothing())
        };
        // The request's copy contains uncommitted changes.
        if let (RecordSource::Store, Backend::Store(backend)) = (source, sessions.backend()) {
            (pending.persistence, pending.record) =
                backend.reload(pending.key, sessions.context()).await?;
        }
        Ok((pending, checkpoint))
    }
}
