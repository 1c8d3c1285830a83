//! How a step is carried out, whatever the database.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use cloakroom_store::{
    Commit, Entry, Outcome, RecordKey, Revision, StoreError, SweepBudget,
    clock::{Clock, Timestamp},
};
use tokio::{sync::OnceCell, task::JoinHandle, time::timeout};

use crate::{
    dialect::{Applied, Dialect, Run},
    failure::{Failure, Meaning},
    sweeper::Round,
    table::Table,
    value::{self, Row},
};

/// How often a statement is sent again because others were in its way.
const COLLISIONS: u32 = 8;

/// A store on a database.
#[derive(Debug)]
pub(crate) struct Inner<D: Dialect> {
    pub(crate) dialect: D,
    pub(crate) connections: D::Connections,
    pub(crate) table: Table,
    /// Names the database in errors, without its password.
    pub(crate) place: String,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) budget: Option<SweepBudget>,
    /// Whether the first use makes the tables.
    pub(crate) migrates: bool,
    pub(crate) migrated: OnceCell<()>,
    /// The task that sweeps.
    pub(crate) sweeping: Mutex<Option<JoinHandle<()>>>,
    pub(crate) round: tokio::sync::Mutex<Round>,
}

impl<D: Dialect> Inner<D> {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Makes the tables before the first statement, if the settings say so.
    pub(crate) async fn ready(&self) -> Result<(), StoreError> {
        if self.migrates && !self.migrated.initialized() {
            // Rare and large, so it is not a part of each future.
            let making = Box::pin(self.migrated.get_or_try_init(|| self.migrate()));
            let made = timeout(self.connections.patience(), making).await;
            made.unwrap_or_else(|_| Err(self.failed("make the tables in", Failure::TimedOut)))?;
        }
        Ok(())
    }

    pub(crate) fn failed(&self, attempted: &str, failure: Failure) -> StoreError {
        let advice = if matches!(failure, Failure::Refused(Meaning::NoTable, _)) {
            format!(
                ": the table {} does not exist; `migrate` of the store makes it, the setting \
                 `database.migrate` makes it at the first use, and `cloakroom schema` prints it",
                self.table.sessions()
            )
        } else {
            let advice = failure.replied().and_then(D::advice);
            advice.map_or(String::new(), |advice| format!(": {advice}"))
        };
        failure.into_store_error(&format!("{attempted} {}{advice}", self.place))
    }

    /// Waits for the result of a call, however often its statements are sent and whatever they wait for. The
    /// call is pinned for the reason of [`Pool::within`](crate::pool::Pool::within).
    async fn bounded<T>(
        &self,
        call: Pin<&mut impl Future<Output = Result<T, Failure>>>,
    ) -> Result<T, Failure> {
        let done = timeout(self.connections.patience(), call).await;
        done.unwrap_or(Err(Failure::TimedOut))
    }

    /// Runs a statement that may be sent again: one that reads, or whose second copy changes nothing more.
    pub(crate) async fn repeat<T, W: Future<Output = Result<T, Failure>>>(
        &self,
        work: impl Fn() -> W,
    ) -> Result<T, Failure> {
        self.bounded(pin!(self.repeat_unbounded(work))).await
    }

    /// Does the same for work that has its own time limit.
    pub(crate) async fn repeat_unbounded<T, W: Future<Output = Result<T, Failure>>>(
        &self,
        work: impl Fn() -> W,
    ) -> Result<T, Failure> {
        let mut delivery = Delivery::new(&self.connections);
        loop {
            match work().await {
                Ok(done) => return Ok(done),
                Err(failure) => delivery.after(failure).await?,
            }
        }
    }

    /// Returns the row under a key, also if its deadline has passed.
    async fn row(&self, key: &RecordKey) -> Result<Option<Row>, Failure> {
        self.repeat(|| self.connections.row(&self.dialect.shared().select, key)).await
    }

    pub(crate) async fn load(&self, key: &RecordKey) -> Result<Option<Entry>, StoreError> {
        self.ready().await?;
        let row = self.row(key).await;
        let row = row.map_err(|failure| self.failed("read a session from", failure))?;
        Ok(row.and_then(|row| row.entry(self.now())))
    }

    pub(crate) async fn commit(&self, commit: &Commit) -> Result<Outcome, StoreError> {
        self.ready().await?;
        let outcome = self.bounded(pin!(self.carry_out(commit))).await;
        outcome.map_err(|failure| self.failed("write a session to", failure))
    }

    async fn carry_out(&self, commit: &Commit) -> Result<Outcome, Failure> {
        let drawn = drawn_revision()?;
        let mut delivery = Delivery::new(&self.connections);
        loop {
            let now = self.now();
            match self.dialect.apply(&self.connections, commit, drawn, now).await {
                Ok(Applied::Done(revision)) => return Ok(Outcome::Done(revision)),
                Ok(Applied::Nothing) => {
                    let why = Why { commit, drawn, now, may_be_ours: delivery.has_lost };
                    if let Some(outcome) = Box::pin(self.explain(&why)).await? {
                        return Ok(outcome);
                    }
                    delivery.after_collision().await?;
                }
                Err(failure) => delivery.after(failure).await?,
            }
        }
    }

    /// Finds out why a step changed nothing. Returns `None` if it may succeed now.
    async fn explain(&self, why: &Why<'_>) -> Result<Option<Outcome>, Failure> {
        let Some(row) = self.row(&why.commit.key()).await? else { return why.absent() };
        let revision = row.revision();
        let has_mark = row.successor.as_deref() == Some(&value::mark(why.drawn));
        match row.entry(why.now) {
            None => why.absent(),
            Some(Entry::Live(stored)) => match why.commit {
                Commit::Create { .. } => why.unless_ours(Outcome::Exists),
                Commit::Rotate { expected, to, .. }
                    if expected.is_none_or(|expected| expected == stored.revision) =>
                {
                    let taken = self.row(to).await?.and_then(|row| row.entry(why.now));
                    Ok(taken.map(|_| Outcome::Exists))
                }
                Commit::Replace { expected, .. } if *expected != stored.revision => {
                    why.unless_ours(Outcome::Conflict(stored))
                }
                Commit::Touch { expected, .. }
                | Commit::Rotate { expected: Some(expected), .. }
                    if *expected != stored.revision =>
                {
                    Ok(Some(Outcome::Conflict(stored)))
                }
                // It was written, or its clock was set, between the two statements.
                _ => Ok(None),
            },
            Some(Entry::Tombstone { successor, .. }) => match why.commit {
                // A tombstone keeps the last revision of its record.
                Commit::Create { .. } | Commit::Replace { .. } if revision == why.drawn => {
                    Ok(Some(Outcome::Done(revision)))
                }
                Commit::Create { .. } => why.unless_ours(Outcome::Exists),
                Commit::Replace { expected, .. } if *expected != revision => {
                    why.unless_ours(Outcome::Gone)
                }
                // No other request has drawn this key.
                Commit::Rotate { expected: Some(_), to, .. } if successor == Some(*to) => {
                    Ok(Some(Outcome::Done(why.drawn)))
                }
                Commit::Rotate { expected: None, to, .. } if why.may_be_ours => {
                    let began = self.row(to).await?.is_some();
                    Ok(Some(if began { Outcome::Done(why.drawn) } else { Outcome::Gone }))
                }
                Commit::Destroy { .. } if has_mark => Ok(Some(Outcome::Done(revision))),
                _ => Ok(Some(Outcome::Gone)),
            },
        }
    }
}

/// A step that changed nothing.
struct Why<'c> {
    commit: &'c Commit,
    drawn: Revision,
    now: Timestamp,
    /// Whether an earlier copy of the statement may have taken effect.
    may_be_ours: bool,
}

impl Why<'_> {
    /// Returns the outcome if nothing is under the key. A key can become free only if its entry expired.
    fn absent(&self) -> Result<Option<Outcome>, Failure> {
        match self.commit {
            Commit::Create { .. } => Ok(None),
            Commit::Replace { .. } | Commit::Rotate { .. } => self.unless_ours(Outcome::Gone),
            Commit::Touch { .. } | Commit::Destroy { .. } => Ok(Some(Outcome::Gone)),
        }
    }

    /// Returns an outcome that says that nothing was written, unless an earlier copy may have written: the
    /// change would then be made twice, or be reported as not made.
    fn unless_ours(&self, outcome: Outcome) -> Result<Option<Outcome>, Failure> {
        if self.may_be_ours { Err(Failure::Unknown) } else { Ok(Some(outcome)) }
    }
}

/// The copies of one statement.
struct Delivery {
    began: Instant,
    /// How long a statement may take. Another copy would have too little time if half of it has passed.
    limit: Duration,
    collisions: u32,
    /// How many copies may get lost. Each connection that was idle may be a broken one.
    copies_left: u32,
    has_lost: bool,
}

impl Delivery {
    fn new(connections: &impl Run) -> Self {
        Self {
            began: Instant::now(),
            limit: connections.limit(),
            collisions: 0,
            copies_left: connections.size().saturating_add(1),
            has_lost: false,
        }
    }

    /// Waits until another copy may be sent.
    ///
    /// # Errors
    /// The failure, if no other copy is to be sent.
    async fn after(&mut self, failure: Failure) -> Result<(), Failure> {
        match failure {
            Failure::Refused(Meaning::Collision, _)
                if self.collisions < COLLISIONS && self.began.elapsed() < self.limit / 2 =>
            {
                self.after_collision().await
            }
            Failure::Lost(_) if self.copies_left > 0 => {
                self.copies_left -= 1;
                self.has_lost = true;
                Ok(())
            }
            failure => Err(failure),
        }
    }

    async fn after_collision(&mut self) -> Result<(), Failure> {
        if self.collisions == COLLISIONS {
            return Err(Failure::Crowded);
        }
        self.collisions += 1;
        let longest = 1_u64 << self.collisions;
        tokio::time::sleep(Duration::from_millis(fastrand::u64(1..=longest))).await;
        Ok(())
    }
}

/// Draws the revision that a step gives its record. Drawn and not counted, because a statement that is
/// sent again has to recognise its own.
fn drawn_revision() -> Result<Revision, Failure> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::Lost(sqlx::Error::Io(std::io::Error::other(error))))?;
    Ok(Revision(u64::from_ne_bytes(bytes)))
}
