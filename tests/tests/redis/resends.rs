//! A command whose reply was lost is sent again, and another writer was faster.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use cloakroom::{
    Session,
    clock::{Clock, SystemClock},
    redis::RedisStore,
    store::{Commit, Entry, Outcome, RecordKey, Revision, Store, StoreError},
};
use cloakroom_tests::{
    proxy::{Fault, FaultProxy},
    redis::RedisServer,
    resend::{Visitor, lose},
};
use fastrand::Rng;

use super::{HOUR, builder, create, draft, key, store, text};

/// As many revisions as a record keeps besides its own.
const HISTORY: u64 = 4;

/// A server with a writer behind a proxy that loses things, and one that is directly connected.
struct Lines {
    server: RedisServer,
    proxy: Arc<FaultProxy>,
    through: RedisStore,
    direct: RedisStore,
}

impl Lines {
    async fn new() -> Self {
        let server = RedisServer::start();
        let proxy = Arc::new(FaultProxy::start(server.address()).await);
        let through = builder(&proxy.url()).command_timeout(Duration::from_secs(10));
        let lines =
            Self { through: through.build().unwrap(), direct: store(&server.url()), proxy, server };
        lines.warm_up().await;
        // By then the store has looked at the server's settings, and no answer to that is taken for
        // one that was to be lost.
        lines.through.health().await.unwrap();
        lines
    }

    /// Runs every script once, so that the replies that are lost below are not `NOSCRIPT`.
    async fn warm_up(&self) {
        let expected = create(&self.direct, 0, "0").await;
        let record = draft("0");
        self.commit(Commit::replace(key(0), expected, record)).await;
        let tombstone = SystemClock.now() + HOUR;
        let (from, to, record) = (key(0), key(1), draft("0"));
        self.commit(Commit::rotate(from, None, to, record, tombstone)).await;
        self.commit(Commit::destroy(to, tombstone)).await;
    }

    /// Returns a visitor of two processes: one is behind the proxy.
    async fn visitor(&self) -> Visitor {
        let [through, direct] = [&self.through, &self.direct].map(|store| Arc::new(store.clone()));
        Visitor::new(self.proxy.clone(), through, direct).await
    }

    /// Commits over the direct connection.
    async fn commit(&self, commit: Commit) -> Revision {
        done(self.direct.commit(commit).await)
    }

    async fn revision(&self, key: RecordKey) -> Revision {
        match self.direct.load(&key).await.unwrap() {
            Some(Entry::Live(stored)) => stored.revision,
            other => panic!("{other:?}"),
        }
    }

    /// Writes directly, so many times.
    async fn overwrite(&self, key: RecordKey, times: u64) {
        for n in 0..times {
            let (expected, record) = (self.revision(key).await, draft(format!("other {n}")));
            self.commit(Commit::replace(key, expected, record)).await;
        }
    }

    /// Commits through the proxy. What `fault` keeps back of the first copy is lost, then `gap` goes
    /// on, and then the connection breaks.
    async fn commit_with_gap(
        &self,
        commit: Commit,
        fault: Fault,
        gap: impl Future<Output = ()>,
    ) -> Result<Outcome, StoreError> {
        assert!(self.through.load(&key(99)).await.unwrap().is_none(), "it is connected");
        let through = self.through.clone();
        lose(&self.proxy, fault, async move { through.commit(commit).await }, gap).await
    }
}

fn done(outcome: Result<Outcome, StoreError>) -> Revision {
    match outcome.unwrap() {
        Outcome::Done(revision) => revision,
        other => panic!("{other:?}"),
    }
}

fn assert_unknown(outcome: Result<Outcome, StoreError>) {
    let error = outcome.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    assert!(error.to_string().contains("the outcome is unknown"), "{error}");
}

#[tokio::test]
async fn a_replace_that_others_wrote_over_is_done_or_unknown() {
    let lines = Lines::new().await;
    for (number, gap) in [(2, 0), (3, 1), (4, 3), (5, HISTORY), (6, HISTORY + 1), (7, 10)] {
        let (key, expected) = (key(number), create(&lines.direct, number, "0").await);
        let replace = Commit::replace(key, expected, draft("own"));
        let gap_writes = lines.overwrite(key, gap);
        let outcome = lines.commit_with_gap(replace, Fault::BlackHole, gap_writes).await;
        if gap > HISTORY {
            assert_unknown(outcome);
        } else {
            let own = done(outcome);
            assert_eq!(own == lines.revision(key).await, gap == 0);
        }
    }
}

#[tokio::test]
async fn a_replace_that_never_arrived_is_a_conflict_or_unknown() {
    let lines = Lines::new().await;
    for (number, gap) in [(2, 1), (3, 3), (4, HISTORY), (5, HISTORY + 1), (6, 10)] {
        create(&lines.direct, number, "0").await;
        let key = key(number);
        // A record that is older than its history.
        lines.overwrite(key, 10).await;
        let expected = lines.revision(key).await;
        let replace = Commit::replace(key, expected, draft("own"));
        let gap_writes = lines.overwrite(key, gap);
        let outcome = lines.commit_with_gap(replace, Fault::Unheard, gap_writes).await;
        if gap > HISTORY {
            assert_unknown(outcome);
        } else {
            assert!(matches!(outcome.unwrap(), Outcome::Conflict(_)), "gap {gap}");
        }
        assert_eq!(text(&lines.direct, number).await, Some(format!("other {}", gap - 1)));
    }
}

#[tokio::test]
async fn a_conflict_of_what_was_sent_once_is_a_conflict_however_old() {
    let lines = Lines::new().await;
    let (key, expected) = (key(2), create(&lines.direct, 2, "0").await);
    lines.overwrite(key, 50).await;
    let replace = Commit::replace(key, expected, draft("own"));
    assert!(matches!(lines.through.commit(replace).await.unwrap(), Outcome::Conflict(_)));
    lines.commit(Commit::destroy(key, SystemClock.now() + HOUR)).await;
    let replace = Commit::replace(key, expected, draft("own"));
    assert_eq!(lines.through.commit(replace).await.unwrap(), Outcome::Gone);
}

#[tokio::test]
async fn a_create_that_others_wrote_over_is_done_or_unknown() {
    let lines = Lines::new().await;
    for (number, gap) in [(2, 1), (3, HISTORY), (4, HISTORY + 1)] {
        let key = key(number);
        let create = Commit::create(key, draft("own"));
        let gap_writes = lines.overwrite(key, gap);
        let outcome = lines.commit_with_gap(create, Fault::BlackHole, gap_writes).await;
        if gap > HISTORY {
            assert_unknown(outcome);
        } else {
            done(outcome);
        }
    }
    let record = draft("another's");
    let create = Commit::create(key(5), record);
    let other = create.clone();
    let gap = async {
        lines.commit(other).await;
    };
    let outcome = lines.commit_with_gap(create, Fault::Unheard, gap).await;
    assert_eq!(outcome.unwrap(), Outcome::Exists);
}

#[tokio::test]
async fn a_replace_before_a_rotation_or_a_destroy_is_done() {
    let lines = Lines::new().await;
    for (number, fault) in
        [(10, Fault::BlackHole), (20, Fault::BlackHole), (30, Fault::Unheard), (40, Fault::Unheard)]
    {
        let (from, expected) = (key(number), create(&lines.direct, number, "0").await);
        let tombstone = SystemClock.now() + HOUR;
        let end = match number {
            10 | 30 => {
                let (to, record) = (key(number + 1), draft("moved"));
                Commit::rotate(from, None, to, record, tombstone)
            }
            _ => Commit::destroy(from, tombstone),
        };
        let replace = Commit::replace(from, expected, draft("own"));
        let gap = async {
            lines.overwrite(from, HISTORY - 1).await;
            lines.commit(end).await;
        };
        let outcome = lines.commit_with_gap(replace, fault, gap).await;
        match fault {
            Fault::BlackHole => {
                done(outcome);
            }
            _ => assert_eq!(outcome.unwrap(), Outcome::Gone),
        }
    }
}

#[tokio::test]
async fn a_rotate_and_a_destroy_are_done_once_whatever_others_try() {
    let lines = Lines::new().await;
    let tombstone = SystemClock.now() + HOUR;
    let try_all = async |key: RecordKey, expected: Revision| {
        let replace = Commit::replace(key, expected, draft("late"));
        let touch = Commit::touch(key, expected, SystemClock.now() + 2 * HOUR);
        for commit in [replace, touch, Commit::destroy(key, tombstone)] {
            assert_eq!(lines.direct.commit(commit).await.unwrap(), Outcome::Gone);
        }
    };
    let (from, to, expected) = (key(2), key(3), create(&lines.direct, 2, "0").await);
    let record = draft("moved");
    let rotate = Commit::rotate(from, Some(expected), to, record, tombstone);
    let gap = async {
        try_all(from, expected).await;
        lines.overwrite(to, 10).await;
    };
    done(lines.commit_with_gap(rotate, Fault::BlackHole, gap).await);
    assert_eq!(text(&lines.direct, 3).await.as_deref(), Some("other 9"));

    let expected = lines.revision(to).await;
    let destroy = Commit::destroy(to, tombstone);
    let gap = try_all(to, expected);
    let had = done(lines.commit_with_gap(destroy, Fault::BlackHole, gap).await);
    assert_eq!(had, expected, "the revision that the record had");
}

#[tokio::test]
async fn what_is_gone_without_a_trace_is_unknown() {
    let lines = Lines::new().await;
    let tombstone = SystemClock.now() + HOUR;
    for (number, fault) in [(10, Fault::BlackHole), (20, Fault::Unheard)] {
        for kind in 0..3 {
            let (key, to) = (key(number + 2 * kind), key(number + 2 * kind + 1));
            let expected = create(&lines.direct, number + 2 * kind, "0").await;
            let record = draft("own");
            let commit = match kind {
                0 => Commit::replace(key, expected, record),
                1 => Commit::rotate(key, None, to, record, tombstone),
                _ => Commit::destroy(key, tombstone),
            };
            let flush = async {
                lines.server.cli(&["FLUSHALL"]);
            };
            assert_unknown(lines.commit_with_gap(commit, fault, flush).await);
        }
    }
}

#[tokio::test]
async fn a_resent_touch_leaves_what_others_wrote_as_it_is() {
    let lines = Lines::new().await;
    let (key, expected) = (key(2), create(&lines.direct, 2, "0").await);
    // The server has to know the script.
    let expires = SystemClock.now() + HOUR;
    lines.commit(Commit::touch(key, expected, expires)).await;
    let touch = Commit::touch(key, expected, SystemClock.now() + 2 * HOUR);
    let outcome =
        lines.commit_with_gap(touch.clone(), Fault::BlackHole, lines.overwrite(key, 1)).await;
    assert!(matches!(outcome.unwrap(), Outcome::Conflict(stored) if stored.bytes == "other 0"));
    let Commit::Touch { expires, .. } = touch else { unreachable!() };
    let expected = lines.revision(key).await;
    let touch = Commit::touch(key, expected, expires);
    done(lines.commit_with_gap(touch, Fault::BlackHole, async {}).await);
}

#[tokio::test]
async fn a_record_keeps_its_last_revisions_through_a_touch() {
    let lines = Lines::new().await;
    let key = key(2);
    let mut revisions = vec![create(&lines.direct, 2, "0").await];
    let name = live_key(&lines.server);
    for n in 0..7 {
        let expected = *revisions.last().unwrap();
        let touch = Commit::touch(key, expected, SystemClock.now() + 2 * HOUR);
        lines.commit(touch).await;
        assert_eq!(history(&lines.server, &name), newest_first(&revisions), "after {n} writes");
        let replace = Commit::replace(key, expected, draft("x"));
        revisions.push(lines.commit(replace).await);
    }
}

/// Since Redis 7.2 a `WAIT` waits for the last write of its own connection. So the second copy has to
/// write, or it would not wait for the replicas that the first copy lost.
#[tokio::test]
async fn a_second_copy_of_a_logout_is_replicated_as_well() {
    let lines = Lines::new().await;
    let port = lines.server.address().port();
    // A ping of a replica counts as a write.
    lines.server.cli(&["CONFIG", "SET", "repl-ping-replica-period", "3600"]);
    let replica = RedisServer::start();
    replica.cli(&["REPLICAOF", "127.0.0.1", &port.to_string()]);
    while !lines.server.cli(&["INFO", "replication"]).contains("state=online") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let written = || {
        let info = lines.server.cli(&["INFO", "replication"]);
        let offset = info.lines().find_map(|line| line.strip_prefix("master_repl_offset:"));
        offset.unwrap().trim().parse::<u64>().unwrap()
    };
    let tombstone = SystemClock.now() + HOUR;
    for (number, rotates) in [(2, false), (3, true)] {
        create(&lines.direct, number, "0").await;
        let commit = if rotates {
            Commit::rotate(key(number), None, key(40), draft("new"), tombstone)
        } else {
            Commit::destroy(key(number), tombstone)
        };
        let mut after_first = 0;
        let gap = async { after_first = written() };
        done(lines.commit_with_gap(commit, Fault::BlackHole, gap).await);
        assert!(written() > after_first, "rotates: {rotates}");
    }
}

/// The key of the one live record.
fn live_key(server: &RedisServer) -> String {
    let keys = server.cli(&["KEYS", "session:{*"]);
    let mut live = keys.lines().filter(|key| server.cli(&["GET", key]).starts_with("CR1R"));
    live.next().unwrap().to_owned()
}

/// The revision in a record's header and the previous ones.
fn history(server: &RedisServer, name: &str) -> Vec<String> {
    let value = server.cli(&["GET", name]);
    let revisions = value[39..123].split(' ').filter(|revision| !revision.starts_with('-'));
    revisions.map(ToOwned::to_owned).collect()
}

fn newest_first(revisions: &[Revision]) -> Vec<String> {
    revisions.iter().rev().take(5).map(|revision| format!("{:016x}", revision.0)).collect()
}

#[tokio::test]
async fn an_increment_counts_once_and_an_update_appends_once() {
    const ROUNDS: u64 = 120;
    let lines = Lines::new().await;
    let visitor = lines.visitor().await;
    let mut random = Rng::with_seed(7);
    let push = |id: u64| {
        move |session: &Session| {
            session.increment("count")?;
            session.update("ids", move |ids: &mut Vec<u64>| ids.push(id)).map(drop)
        }
    };
    let (mut next_id, mut done, mut unknown) = (0, Vec::new(), Vec::new());
    let mut new_id = || {
        next_id += 1;
        next_id
    };
    for round in 0..ROUNDS {
        let gap = match round {
            0 => 1,
            1 => 3,
            2 | 3 => 10,
            _ => random.u64(..) % (2 * HISTORY),
        };
        let fault = if round % 3 == 2 { Fault::Unheard } else { Fault::BlackHole };
        let own = new_id();
        let others: Vec<_> = (0..gap).map(|_| new_id()).collect();
        let gap_writes = async {
            for id in &others {
                visitor.change(push(*id)).await;
            }
        };
        match visitor.change_with_gap(push(own), fault, gap_writes).await {
            Ok(()) => done.push(own),
            Err(error) => {
                assert!(gap > HISTORY && error.is_unavailable(), "gap {gap}: {error:?}");
                unknown.push((own, fault));
            }
        }
        done.extend(others);
    }
    // The first copy of a write whose answer alone was lost was carried out.
    let carried_out = unknown.iter().filter(|(_, fault)| *fault == Fault::BlackHole);
    let expected: BTreeSet<_> =
        done.iter().copied().chain(carried_out.map(|(own, _)| *own)).collect();
    let count = visitor.read(|session| session.get_or("count", 0_usize)).await;
    let ids: Vec<u64> = visitor.read(|session| session.get_or("ids", Vec::new())).await;
    assert_eq!(count, expected.len());
    assert_eq!(ids.len(), expected.len(), "none is there twice");
    assert_eq!(ids.into_iter().collect::<BTreeSet<_>>(), expected);
    assert!(!unknown.is_empty() && unknown.len() < usize::try_from(ROUNDS).unwrap() / 2);
}
