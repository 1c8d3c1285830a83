//! Runs file work on a bounded pool of threads. A disk that stalls delays only the requests that wait for
//! it, and those up to a timeout.

use std::{io, pin::pin, sync::Arc, time::Duration};

use futures_util::future::{Either, select};
use tokio::{
    sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore, oneshot},
    time::timeout,
};

use cloakroom_store::StoreError;

/// The number of threads that do file work.
const WORKERS: usize = 64;

/// The time that a request waits for its file work, including the wait for its turn.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// The pool.
#[derive(Debug)]
pub(super) struct BlockingPool {
    workers: Arc<Semaphore>,
    /// The queues of writers, in the order of their arrival. One writer of a shard runs at a time,
    /// because several would occupy a thread each and wait at the shard's lock.
    shard_queues: Box<[Arc<Mutex<()>>]>,
}

/// The permits that work holds until it ends, even if its caller stops waiting.
struct Held {
    _turn: Option<OwnedMutexGuard<()>>,
    _worker: OwnedSemaphorePermit,
}

impl BlockingPool {
    pub(super) fn new(shards: usize) -> Self {
        let shard_queues = std::iter::repeat_with(Arc::default).take(shards).collect();
        Self { workers: Arc::new(Semaphore::new(WORKERS)), shard_queues }
    }

    /// Runs work that only reads.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        attempted: &'static str,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        within(attempted, self.run(None, work)).await
    }

    /// Waits for the outcome of a change to a shard. The callers that wait for one shard take turns. The
    /// caller whose turn it is runs `work`, which carries out the next changes and sends their outcomes.
    /// The work runs to its end even if the caller stops waiting.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        shard: usize,
        attempted: &'static str,
        mut outcome: oneshot::Receiver<io::Result<T>>,
        work: impl FnOnce() -> io::Result<()> + Clone + Send + 'static,
    ) -> Result<T, StoreError> {
        let shard_queues = async {
            loop {
                let turn = pin!(async {
                    let turn = self.shard_queues[shard].clone().lock_owned().await;
                    self.run(Some(turn), work.clone()).await
                });
                match select(&mut outcome, turn).await {
                    Either::Left((outcome, _)) => return outcome.map_err(io::Error::other)?,
                    Either::Right((ran, _)) => ran?,
                }
            }
        };
        within(attempted, shard_queues).await
    }

    /// Runs a part of a sweep, without a timeout.
    pub(super) async fn sweep<T: Send + 'static>(
        &self,
        attempted: &'static str,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(None, work).await.map_err(|error| failed(attempted, error))
    }

    async fn run<T: Send + 'static>(
        &self,
        turn: Option<OwnedMutexGuard<()>>,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let worker = self.workers.clone().acquire_owned().await.map_err(io::Error::other)?;
        let held = Held { _turn: turn, _worker: worker };
        let work = move || {
            let done = work();
            drop(held);
            done
        };
        tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
    }
}

async fn within<T>(
    attempted: &'static str,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, StoreError> {
    match timeout(TIMEOUT, work).await {
        Ok(done) => done.map_err(|error| failed(attempted, error)),
        Err(_) => Err(StoreError::unavailable(
            attempted,
            format!("the file system did not finish within {TIMEOUT:?}"),
        )),
    }
}

/// Makes a store error. It is unavailable if the machine lacks a resource that may return, such as space.
pub(super) fn failed(attempted: impl Into<String>, error: io::Error) -> StoreError {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull, TimedOut};
    match error.kind() {
        QuotaExceeded | ReadOnlyFilesystem | StorageFull | TimedOut => {
            StoreError::unavailable(attempted, error)
        }
        _ if is_short_of_descriptors(&error) => StoreError::unavailable(attempted, error),
        _ => StoreError::failed(attempted, error),
    }
}

/// Returns `true` if the process or the machine has too many files open.
pub(super) fn is_short_of_descriptors(error: &io::Error) -> bool {
    [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}
