//! The queue of commits that wait for a shard.

use std::{
    collections::VecDeque,
    io,
    sync::{Mutex, PoisonError},
};

use tokio::sync::oneshot;

use cloakroom_store::{Commit, Outcome};

/// The largest group. It is small, because other processes wait for the shard's lock.
const MAX_GROUP: usize = 16;

/// The commits that wait, in the order of their arrival.
#[derive(Default)]
pub(super) struct Queue(Mutex<VecDeque<Waiting>>);

struct Waiting {
    commit: Commit,
    caller: oneshot::Sender<io::Result<Outcome>>,
}

impl Queue {
    /// Adds a commit. Returns the receiver of its outcome, which is sent after the commit's group.
    pub(super) fn add(&self, commit: Commit) -> oneshot::Receiver<io::Result<Outcome>> {
        let (caller, outcome) = oneshot::channel();
        self.lock().push_back(Waiting { commit, caller });
        outcome
    }

    /// Carries out the next group and sends the outcomes. A commit whose caller stopped waiting is
    /// dropped.
    pub(super) fn carry_out(
        &self,
        carry_out: impl FnOnce(Vec<Commit>) -> io::Result<Vec<io::Result<Outcome>>>,
    ) {
        let (commits, callers): (Vec<_>, Vec<_>) = self
            .next_group()
            .into_iter()
            .map(|Waiting { commit, caller }| (commit, caller))
            .unzip();
        if commits.is_empty() {
            return;
        }
        let outcomes = carry_out(commits)
            .unwrap_or_else(|error| callers.iter().map(|_| Err(copy_of(&error))).collect());
        for (caller, outcome) in callers.into_iter().zip(outcomes) {
            // The caller may have stopped waiting.
            drop(caller.send(outcome));
        }
    }

    /// Takes the next commits that may share a flush.
    fn next_group(&self) -> Vec<Waiting> {
        let mut queue = self.lock();
        queue.retain(|waiting| !waiting.caller.is_closed());
        let together =
            queue.iter().take(MAX_GROUP).take_while(|waiting| may_share(&waiting.commit)).count();
        let first = usize::from(!queue.is_empty());
        queue.drain(..together.max(first)).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns `true` for a commit of a single rename. The others flush between their own steps.
fn may_share(commit: &Commit) -> bool {
    match commit {
        Commit::Create { .. } | Commit::Replace { .. } | Commit::Touch { .. } => true,
        Commit::Destroy { .. } | Commit::Rotate { .. } => false,
    }
}

fn copy_of(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloakroom_store::{RecordKey, Revision, clock::Timestamp};

    const KEY: RecordKey = RecordKey::from_bytes([1; 32]);
    const LATER: Timestamp = Timestamp::from_millis(1);

    fn touch() -> Commit {
        Commit::touch(KEY, Revision(1), LATER)
    }

    fn destroy() -> Commit {
        Commit::destroy(KEY, LATER)
    }

    #[test]
    fn groups_keep_the_order_and_destructions_are_alone() {
        let queue = Queue::default();
        let commits = [touch(), touch(), destroy(), destroy(), touch()];
        let outcomes: Vec<_> = commits.into_iter().map(|commit| queue.add(commit)).collect();
        let sizes: Vec<_> = std::iter::repeat_with(|| queue.next_group().len()).take(5).collect();
        assert_eq!(sizes, [2, 1, 1, 1, 0]);
        let outcomes: Vec<_> =
            (0..=MAX_GROUP).map(|_| queue.add(touch())).chain(outcomes).collect();
        assert_eq!(queue.next_group().len(), MAX_GROUP);
        assert_eq!(queue.next_group().len(), 1);
        drop(outcomes);
    }

    #[test]
    fn an_error_of_the_group_reaches_every_caller_and_who_left_is_not_carried_out() {
        let queue = Queue::default();
        let (first, left, last) = (queue.add(touch()), queue.add(touch()), queue.add(touch()));
        drop(left);
        queue.carry_out(|commits| {
            assert_eq!(commits.len(), 2);
            Err(rustix::io::Errno::NOSPC.into())
        });
        for mut outcome in [first, last] {
            let error = outcome.try_recv().unwrap().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        }
    }
}
