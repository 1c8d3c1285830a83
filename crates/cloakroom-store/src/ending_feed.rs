//! Waiting for the end of a record.

use std::{
    fmt,
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use crate::{KeyMap, RecordKey, Store};

/// Reports soon when a record ends, also if another process ends it. For stores whose database can push:
/// a subscription, a notification, an invalidation.
///
/// Sessions need no feed for what their own process does, because the library sees those steps. With a
/// feed, [`ReadSession::ended`] also resolves at once when another process ends the session. Without one,
/// it notices at its interval.
///
/// A feed is a hint, because a connection can lose messages: the code that is woken loads the record, and also
/// loads it at an interval.
///
/// ```
/// use cloakroom_store::{Commit, EndingFeed, Entry, KeyWatch, MemoryStore, Outcome, RecordKey, Store};
/// use cloakroom_store::{StoreError, WatchedKeys, async_trait};
///
/// /// A store with a database that calls `has_ended` for each record that ends.
/// #[derive(Debug)]
/// struct Pushing {
///     records: MemoryStore,
///     watched: WatchedKeys,
/// }
///
/// impl Pushing {
///     fn has_ended(&self, key: &RecordKey) {
///         self.watched.wake(key);
///     }
/// }
///
/// impl EndingFeed for Pushing {
///     fn watch(&self, key: &RecordKey) -> KeyWatch {
///         self.watched.watch(*key)
///     }
/// }
///
/// #[async_trait]
/// impl Store for Pushing {
///     async fn load(&self, key: &RecordKey) -> Result<Option<Entry>, StoreError> {
///         self.records.load(key).await
///     }
///
///     async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
///         self.records.commit(commit).await
///     }
///
///     fn as_ending_feed(&self) -> Option<&dyn EndingFeed> {
///         Some(self)
///     }
/// }
/// ```
///
/// [`ReadSession::ended`]: https://docs.rs/cloakroom/latest/cloakroom/struct.ReadSession.html#method.ended
pub trait EndingFeed: Store {
    /// Begins to watch the record under `key` and returns at once. The watch is woken soon after the record
    /// has ended: by a [`Destroy`], by a [`Rotate`] from this key, or because the database has lost it. It
    /// is also woken when messages may have been lost, as after a reconnect. It may be woken for no reason.
    ///
    /// An ending before this call need not wake it, so begin the watch before loading the record.
    ///
    /// [`Destroy`]: crate::Commit::Destroy
    /// [`Rotate`]: crate::Commit::Rotate
    fn watch(&self, key: &RecordKey) -> KeyWatch;
}

/// The keys that are watched. An [`EndingFeed`] creates its watches here, and wakes them when its database
/// reports an ending. Clones share the keys.
///
/// Costs memory only for keys that are watched. [`wake`](Self::wake) takes no lock if none is.
///
/// ```
/// use cloakroom_store::{RecordKey, WatchedKeys};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let (watched, key) = (WatchedKeys::default(), RecordKey::from_bytes([7; 32]));
/// let mut watch = watched.watch(key);
/// watched.wake(&key);
/// watch.woken().await;
///
/// drop(watch);
/// assert!(watched.is_empty());
/// # });
/// ```
#[derive(Clone, Default)]
pub struct WatchedKeys(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// The number of watches, so that nothing is locked without one.
    count: AtomicUsize,
    watches: Mutex<KeyMap<Vec<Arc<Waiter>>>>,
}

/// The half of a watch that wakes it.
#[derive(Default)]
struct Waiter(Mutex<WaiterState>);

#[derive(Default)]
struct WaiterState {
    is_woken: bool,
    waker: Option<Waker>,
}

impl WatchedKeys {
    /// Begins to watch `key`.
    pub fn watch(&self, key: RecordKey) -> KeyWatch {
        let waiter = Arc::<Waiter>::default();
        // Counted before the caller loads the record. So a step that the load does not see yet finds the
        // watch when it is done.
        self.0.count.fetch_add(1, Ordering::SeqCst);
        self.watches().entry(key).or_default().push(waiter.clone());
        KeyWatch { watched: self.clone(), key, waiter }
    }

    /// Wakes the watches of `key`.
    pub fn wake(&self, key: &RecordKey) {
        if self.is_empty() {
            return;
        }
        let woken = self.watches().get(key).cloned().unwrap_or_default();
        for waiter in woken {
            waiter.wake();
        }
    }

    /// Wakes all watches, because messages about them may have been lost.
    ///
    /// ```
    /// # use cloakroom_store::{RecordKey, WatchedKeys};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let watched = WatchedKeys::default();
    /// let mut watch = watched.watch(RecordKey::from_bytes([7; 32]));
    /// watched.wake_all();
    /// watch.woken().await;
    /// # });
    /// ```
    pub fn wake_all(&self) {
        let woken: Vec<_> = self.watches().values().flatten().cloned().collect();
        for waiter in woken {
            waiter.wake();
        }
    }

    /// Returns whether `key` is watched.
    ///
    /// ```
    /// # use cloakroom_store::{RecordKey, WatchedKeys};
    /// let (watched, key) = (WatchedKeys::default(), RecordKey::from_bytes([7; 32]));
    /// let watch = watched.watch(key);
    /// assert!(watched.contains(&key));
    /// ```
    pub fn contains(&self, key: &RecordKey) -> bool {
        self.watches().contains_key(key)
    }

    /// Returns the keys that are watched, once each.
    ///
    /// ```
    /// # use cloakroom_store::{RecordKey, WatchedKeys};
    /// let (watched, key) = (WatchedKeys::default(), RecordKey::from_bytes([7; 32]));
    /// let watches = (watched.watch(key), watched.watch(key));
    /// assert_eq!(watched.keys(), [key]);
    /// ```
    pub fn keys(&self) -> Vec<RecordKey> {
        self.watches().keys().copied().collect()
    }

    /// Returns whether no key is watched.
    ///
    /// ```
    /// assert!(cloakroom_store::WatchedKeys::default().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.0.count.load(Ordering::SeqCst) == 0
    }

    fn watches(&self) -> MutexGuard<'_, KeyMap<Vec<Arc<Waiter>>>> {
        lock(&self.0.watches)
    }
}

/// A watch of one key, until it is dropped.
#[must_use = "a watch ends when it is dropped"]
pub struct KeyWatch {
    watched: WatchedKeys,
    key: RecordKey,
    waiter: Arc<Waiter>,
}

impl KeyWatch {
    /// Waits until the watch is woken. Returns at once if it was woken since this last returned.
    ///
    /// ```
    /// # use cloakroom_store::{RecordKey, WatchedKeys};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let (watched, key) = (WatchedKeys::default(), RecordKey::from_bytes([7; 32]));
    /// let mut watch = watched.watch(key);
    /// watched.wake(&key);
    /// watch.woken().await;
    /// # });
    /// ```
    pub async fn woken(&mut self) {
        poll_fn(|cx| self.poll_woken(cx)).await;
    }

    /// Polls for [`woken`](Self::woken), for code that waits for several watches at once.
    ///
    /// ```
    /// # use cloakroom_store::{RecordKey, WatchedKeys};
    /// # use std::task::{Context, Poll, Waker};
    /// let mut watch = WatchedKeys::default().watch(RecordKey::from_bytes([7; 32]));
    /// assert_eq!(watch.poll_woken(&mut Context::from_waker(Waker::noop())), Poll::Pending);
    /// ```
    pub fn poll_woken(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.waiter.0);
        if std::mem::take(&mut state.is_woken) {
            return Poll::Ready(());
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for KeyWatch {
    fn drop(&mut self) {
        let mut watches = self.watched.watches();
        if let Some(waiters) = watches.get_mut(&self.key) {
            waiters.retain(|waiter| !Arc::ptr_eq(waiter, &self.waiter));
            if waiters.is_empty() {
                watches.remove(&self.key);
            }
        }
        if watches.is_empty() {
            // Frees the table, which may have been large.
            *watches = KeyMap::default();
        }
        self.watched.0.count.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Waiter {
    fn wake(&self) {
        let waker = {
            let mut state = lock(&self.0);
            state.is_woken = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Locks a mutex. A panic elsewhere does not matter, because every critical section makes one complete
/// change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shows how many watches there are.
impl fmt::Debug for WatchedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WatchedKeys({} watches)", self.0.count.load(Ordering::SeqCst))
    }
}

/// Shows the key.
impl fmt::Debug for KeyWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyWatch").field("key", &self.key).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn key(number: u8) -> RecordKey {
        RecordKey::from_bytes([number; 32])
    }

    #[test]
    fn a_wake_reaches_the_watches_of_its_key_once() {
        let watched = WatchedKeys::default();
        let mut watches = [1, 1, 2].map(|number| watched.watch(key(number)));
        watched.wake(&key(1));
        let woken = |watch: &mut KeyWatch| watch.woken().now_or_never().is_some();
        assert_eq!(watches.each_mut().map(woken), [true, true, false]);
        assert_eq!(watches.each_mut().map(woken), [false; 3]);
        watched.wake_all();
        assert_eq!(watches.each_mut().map(woken), [true; 3]);
    }

    #[test]
    fn what_is_watched_no_more_takes_no_memory() {
        let watched = WatchedKeys::default();
        let watches: Vec<_> = (0..100).map(|number| watched.watch(key(number))).collect();
        assert_eq!(watched.keys().len(), 100);
        assert!(watched.contains(&key(99)) && !watched.contains(&key(100)));
        assert_eq!(format!("{watched:?}"), "WatchedKeys(100 watches)");
        drop(watches);
        assert!(watched.is_empty());
        assert_eq!(watched.watches().capacity(), 0);
    }

    #[test]
    fn a_key_is_watched_until_its_last_watch_ends() {
        let watched = WatchedKeys::default();
        let (first, mut second) = (watched.watch(key(1)), watched.watch(key(1)));
        drop(first);
        watched.wake(&key(1));
        assert!(second.woken().now_or_never().is_some());
        assert!(format!("{second:?}").starts_with("KeyWatch"));
    }
}
