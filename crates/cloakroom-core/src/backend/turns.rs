//! Writers of one session take turns inside this process.
//!
//! Commits of one record queue up. The first leads: it takes the changes of those that wait, makes
//! one commit of them all, and hands the lead over. A record that nobody else commits costs one
//! short lock to begin and one to end.
//!
//! Invariant: while a record has a queue, exactly one [`Lead`] for it exists, in the hands of a
//! commit or on its way to one. A lead that is dropped hands over, also when it is dropped by a
//! panic, by a cancelled commit, or on its way to a commit that has stopped waiting.

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
    batch::Finished,
    commit::{PendingCommit, Persistence, TokenAction},
};
use crate::record::Record;
use cloakroom_store::{KeyMap, RecordKey};

const SHARDS: usize = 64;
/// How many commits one leader takes along at most, so that none waits too long for its own.
const MAX_BATCH: usize = 128;

/// The queues of all records that are being committed.
pub(crate) struct Turns {
    shards: Box<[Mutex<Queues>]>,
}

type Queues = KeyMap<VecDeque<Ticket>>;

/// A commit that waits for its turn.
pub(super) struct Ticket {
    pub(super) pending: Box<PendingCommit>,
    pub(super) seat: Seat,
}

/// The queue's half of what connects it with a request that waits.
pub(super) struct Seat {
    reply: oneshot::Sender<Reply>,
    /// When the request stops waiting.
    pub(super) deadline: Instant,
    is_taken: Arc<AtomicBool>,
}

/// The request's half.
pub(super) struct Turn {
    reply: oneshot::Receiver<Reply>,
    is_taken: Arc<AtomicBool>,
}

/// What a waiting commit hears.
pub(super) enum Reply {
    /// Another commit took this one along.
    Finished(Finished),
    /// It is this one's turn to lead.
    Lead(Lead, Box<PendingCommit>),
}

/// How a commit begins.
pub(super) enum Joined {
    /// Nobody else commits the record.
    Leads(Lead, Box<PendingCommit>),
    Waits(Turn),
}

/// What a leader knows of the stored record when it hands over.
#[derive(Debug, Default)]
pub(super) enum Newest {
    #[default]
    Unknown,
    /// The record that it has just written.
    Stored { persistence: Persistence, record: Arc<Record> },
    /// The record is gone from under its key.
    Ended,
}

/// The right to commit a record, until it is dropped.
#[derive(Debug)]
pub(super) struct Lead {
    /// `None` once the lead is in other hands.
    turns: Option<Arc<Turns>>,
    key: RecordKey,
    pub(super) newest: Newest,
}

impl Turns {
    pub(crate) fn new() -> Self {
        Self { shards: std::iter::repeat_with(Mutex::default).take(SHARDS).collect() }
    }

    /// Begins a commit of the record under `key`. `deadline` returns until when it can wait.
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
        // Every critical section is one operation of a collection.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the next commit that still waits, or closes the queue where there is none.
    fn next(&self, key: &RecordKey) -> Option<Ticket> {
        // What a commit has captured is dropped without the lock.
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

    /// Takes the commit along. Returns `false` if its request has stopped waiting.
    fn take(&self) -> bool {
        !self.is_taken.swap(true, Ordering::SeqCst) && !self.reply.is_closed()
    }

    /// Replies to the request. One that has stopped waiting gets nothing.
    pub(super) fn reply(self, finished: Finished) {
        drop(self.reply.send(Reply::Finished(finished)));
    }
}

impl Turn {
    /// Waits for the reply until the deadline. Returns `None` if there is none by then and no leader
    /// has taken the commit along.
    pub(super) async fn reply(
        mut self,
        attempts: &mut Attempts<'_>,
    ) -> Option<Result<Reply, RecvError>> {
        let reply = attempts.within(&mut self.reply).await;
        if reply.is_none() && self.is_taken.swap(true, Ordering::SeqCst) {
            // The leader knows what becomes of it, and its own deadline is not far.
            return Some(self.reply.await);
        }
        reply
    }
}

impl PendingCommit {
    /// Returns whether this commit may be one with others: it keeps the token. A rotation or an end
    /// is a barrier.
    pub(super) fn can_be_merged(&self) -> bool {
        self.action == TokenAction::Keep
    }
}

impl Lead {
    /// Takes the commits that wait, up to the first barrier.
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

    /// Puts commits that were taken back to where they were.
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

/// Hands over to the next commit that still waits.
impl Drop for Lead {
    fn drop(&mut self) {
        let Some(turns) = self.turns.take() else { return };
        while let Some(Ticket { pending, seat }) = turns.next(&self.key) {
            let newest = std::mem::take(&mut self.newest);
            let lead = Self { turns: Some(turns.clone()), key: self.key, newest };
            let Err(Reply::Lead(mut back, _)) = seat.reply.send(Reply::Lead(lead, pending)) else {
                return;
            };
            // That one stopped waiting at this very moment.
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
