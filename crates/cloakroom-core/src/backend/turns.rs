//! Queues of the commits of one record inside this process.
//!
//! The first commit in a queue leads. It commits its own changes together with those of the waiting
//! commits, and then passes the lead on. A commit without concurrent ones takes a short lock at its
//! begin and another at its end.
//!
//! Invariant: while a record has a queue, exactly one [`Lead`] for it exists. A commit holds it, or it
//! is being sent to one. Dropping a lead passes it on, also after a panic, after a cancelled commit, and
//! when the receiving commit has stopped waiting.

use std::{
    collections::{VecDeque, hash_map::Entry},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    sync::oneshot::{self, error::RecvError},
    time::Instant,
};

use crate::backend::{
    attempts::Attempts,
    commit::{MemberResult, PendingCommit, TokenAction},
    decide::Persistence,
};
use crate::record::Record;
use cloakroom_store::{KeyMap, RecordKey};

const SHARDS: usize = 64;
/// The largest number of commits in a batch. A larger one could keep the leader's request waiting.
const MAX_BATCH: usize = 128;

/// The queues of all records with a commit under way.
pub(crate) struct Turns {
    shards: Box<[Mutex<Queues>]>,
}

type Queues = KeyMap<VecDeque<Ticket>>;

/// A commit in a queue.
pub(super) struct Ticket {
    pub(super) pending: Box<PendingCommit>,
    pub(super) seat: Seat,
}

/// The queue's half of the connection with a waiting request.
pub(super) struct Seat {
    reply: oneshot::Sender<Reply>,
    /// When the request stops waiting.
    pub(super) deadline: Instant,
    is_taken: Arc<AtomicBool>,
}

/// The request's half of the connection with the queue.
pub(super) struct Turn {
    reply: oneshot::Receiver<Reply>,
    is_taken: Arc<AtomicBool>,
}

/// The message to a waiting commit.
pub(super) enum Reply {
    /// A leader has carried this commit out.
    Finished(MemberResult),
    /// This commit leads now.
    Lead(Lead, Box<PendingCommit>),
}

/// The result of joining the queue of a record.
pub(super) enum Joined {
    /// No other commit of the record is under way, so this one leads.
    Leads(Lead, Box<PendingCommit>),
    Waits(Turn),
}

/// The state of the stored record that a leader passes on.
#[derive(Debug, Default)]
pub(super) enum Newest {
    #[default]
    Unknown,
    /// The leader has just read or written this record.
    Stored { persistence: Persistence, record: Arc<Record> },
    /// The key has no live record any more.
    Ended,
}

/// The right to commit a record. Dropping it passes it on to the next commit.
#[derive(Debug)]
pub(super) struct Lead {
    /// `None` after the lead was passed on.
    turns: Option<Arc<Turns>>,
    key: RecordKey,
    pub(super) newest: Newest,
}

impl Turns {
    pub(crate) fn new() -> Self {
        Self { shards: std::iter::repeat_with(Mutex::default).take(SHARDS).collect() }
    }

    /// Joins the queue of the record under `key`. `deadline` returns when the request stops waiting.
    pub(super) fn join(
        self: &Arc<Self>,
        key: RecordKey,
        pending: Box<PendingCommit>,
        deadline: impl FnOnce() -> Instant,
    ) -> Joined {
        match self.shard(&key).entry(key) {
            Entry::Vacant(free) => {
                free.insert(VecDeque::new());
            }
            Entry::Occupied(mut queue) => {
                let (seat, turn) = Seat::new(deadline());
                queue.get_mut().push_back(Ticket { pending, seat });
                return Joined::Waits(turn);
            }
        }
        let lead = Lead { turns: Some(self.clone()), key, newest: Newest::Unknown };
        Joined::Leads(lead, pending)
    }

    fn shard(&self, key: &RecordKey) -> MutexGuard<'_, Queues> {
        let shard = &self.shards[usize::from(key.as_bytes()[31]) % SHARDS];
        // A poisoned lock is safe to use, because each critical section makes one complete change.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the next commit that still waits. Removes the queue if there is none.
    fn next(&self, key: &RecordKey) -> Option<Ticket> {
        // Abandoned commits are dropped without the lock, because their closures may own anything.
        while let Some(ticket) = self.pop(key) {
            if !ticket.seat.reply.is_closed() {
                return Some(ticket);
            }
        }
        None
    }

    fn pop(&self, key: &RecordKey) -> Option<Ticket> {
        let mut queues = self.shard(key);
        let Entry::Occupied(mut queue) = queues.entry(*key) else { return None };
        let ticket = queue.get_mut().pop_front();
        if ticket.is_none() {
            queue.remove();
        }
        ticket
    }
}

impl Seat {
    fn new(deadline: Instant) -> (Self, Turn) {
        let (reply, receiver) = oneshot::channel();
        let is_taken = Arc::new(AtomicBool::new(false));
        (Self { reply, deadline, is_taken: is_taken.clone() }, Turn { reply: receiver, is_taken })
    }

    /// Claims the commit for a batch. Returns `false` if its request has stopped waiting.
    fn take(&self) -> bool {
        !self.is_taken.swap(true, Ordering::SeqCst) && !self.reply.is_closed()
    }

    /// Replies to the request, if it still waits.
    pub(super) fn reply(self, result: MemberResult) {
        drop(self.reply.send(Reply::Finished(result)));
    }
}

impl Turn {
    /// Waits for the reply until the deadline. A commit that a leader has claimed waits for the reply in
    /// any case. Returns `None` if the deadline passes before a reply or a claim.
    pub(super) async fn reply(
        mut self,
        attempts: &mut Attempts<'_>,
    ) -> Option<Result<Reply, RecvError>> {
        let reply = attempts.within(&mut self.reply).await;
        if reply.is_none() && self.is_taken.swap(true, Ordering::SeqCst) {
            // Only the leader knows the outcome, and its deadline is near.
            return Some(self.reply.await);
        }
        reply
    }
}

impl PendingCommit {
    /// Returns whether this commit can share a batch. Only a commit that keeps the token can: a rotation
    /// or a logout is a barrier in the queue.
    pub(super) fn can_be_merged(&self) -> bool {
        self.action == TokenAction::Keep
    }
}

impl Lead {
    /// Takes the waiting commits up to the first barrier. `so_far` is the size of the batch.
    pub(super) fn take_waiting(&self, so_far: usize) -> Vec<Ticket> {
        let mut taken = Vec::new();
        let Some(turns) = &self.turns else { return taken };
        if let Some(queue) = turns.shard(&self.key).get_mut(&self.key) {
            let merged = queue.iter().take_while(|ticket| ticket.pending.can_be_merged()).count();
            taken.extend(queue.drain(..merged.min(MAX_BATCH.saturating_sub(so_far))));
        }
        taken.retain(|ticket| ticket.seat.take());
        taken
    }

    /// Puts commits back to the front of the queue.
    pub(super) fn put_back(&self, tickets: Vec<Ticket>) {
        let Some(turns) = &self.turns else { return };
        if let Some(queue) = turns.shard(&self.key).get_mut(&self.key) {
            for ticket in tickets.into_iter().rev() {
                ticket.seat.is_taken.store(false, Ordering::SeqCst);
                queue.push_front(ticket);
            }
        }
    }
}

/// Passes the lead on to the next commit that still waits.
impl Drop for Lead {
    fn drop(&mut self) {
        let Some(turns) = self.turns.take() else { return };
        while let Some(Ticket { pending, seat }) = turns.next(&self.key) {
            let newest = std::mem::take(&mut self.newest);
            let lead = Self { turns: Some(turns.clone()), key: self.key, newest };
            let Err(Reply::Lead(mut back, _)) = seat.reply.send(Reply::Lead(lead, pending)) else {
                return;
            };
            // The request has stopped waiting since `next` returned its ticket.
            back.turns = None;
            self.newest = std::mem::take(&mut back.newest);
        }
    }
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turns").finish_non_exhaustive()
    }
}
