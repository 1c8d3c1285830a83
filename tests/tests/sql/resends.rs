//! A statement whose reply was lost is sent again, and another writer was faster.

use std::sync::Arc;

use cloakroom::{
    clock::{Clock, SystemClock},
    store::{Commit, Outcome, RecordKey, Revision, Store, StoreError},
};
use cloakroom_tests::{
    proxy::{Fault, FaultProxy},
    resend::{Visitor, lose},
};

use super::{
    Database, HOUR, Place, Settings, create, done, draft, key, live, overwrite, tombstone,
};

/// A store behind a proxy that loses things, and one that is directly connected.
pub(crate) struct Lines {
    place: Place,
    pub(crate) proxy: Arc<FaultProxy>,
    pub(crate) through: Arc<dyn Store>,
    pub(crate) direct: Arc<dyn Store>,
    next: std::sync::atomic::AtomicU64,
}

impl Lines {
    pub(crate) async fn new(database: Database) -> Self {
        let place = Place::new(database);
        let proxy = Arc::new(FaultProxy::start(place.address()).await);
        let direct = place.store();
        create(&*direct, 0, "0").await;
        let settings = Settings { pool_size: 1, migrates: false, ..Settings::default() };
        let through = database.open(&place.url_at(proxy.address()), &settings);
        Self { place, proxy, through, direct, next: 1_000.into() }
    }

    /// Runs every statement once on the connection, so that it has been prepared.
    pub(crate) async fn warm_up(&self) {
        let number = self.next.fetch_add(2, std::sync::atomic::Ordering::SeqCst);
        let (from, to, until) = (key(number), key(number + 1), SystemClock.now() + HOUR);
        let expected = create(&*self.through, number, "0").await;
        done(self.through.commit(Commit::touch(from, expected, until)).await);
        done(self.through.commit(Commit::replace(from, expected, draft("1"))).await);
        done(self.through.commit(Commit::rotate(from, None, to, draft("2"), until)).await);
        done(self.through.commit(Commit::destroy(to, until)).await);
    }

    /// Returns a visitor of two processes: one is behind the proxy.
    pub(crate) async fn visitor(&self) -> Visitor {
        Visitor::new(self.proxy.clone(), self.through.clone(), self.direct.clone()).await
    }

    /// Commits through the proxy. What `fault` keeps back of the first copy is lost, then `gap` goes on,
    /// and then the connection breaks.
    async fn commit_with_gap(
        &self,
        commit: Commit,
        fault: Fault,
        gap: impl Future<Output = ()>,
    ) -> Result<Outcome, StoreError> {
        self.warm_up().await;
        let through = self.through.clone();
        lose(&self.proxy, fault, async move { through.commit(commit).await }, gap).await
    }

    /// Whether the first statement of a rotation is all of it.
    fn rotates_in_one_statement(&self) -> bool {
        matches!(self.place.database, Database::Postgres(_))
    }
}

fn assert_unknown(outcome: Result<Outcome, StoreError>) {
    let error = outcome.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    assert!(super::shown(&error).contains("is unknown"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replace_that_others_wrote_over_is_unknown_and_never_a_conflict() {
    for database in Database::SERVERS {
        let lines = Lines::new(database).await;
        for (number, fault) in [(10, Fault::BlackHole), (11, Fault::Unheard)] {
            for gap in [0, 1, 5] {
                let key = key(number + 10 * gap);
                let expected = create(&*lines.direct, number + 10 * gap, "old").await;
                let replace = Commit::replace(key, expected, draft("own"));
                let writes = async {
                    for _ in 0..gap {
                        overwrite(&*lines.direct, key, "other").await;
                    }
                };
                let outcome = lines.commit_with_gap(replace, fault, writes).await;
                if gap > 0 {
                    assert_unknown(outcome);
                    assert_eq!(live(&*lines.direct, key).await.0, "other");
                } else {
                    let own = (String::from("own"), done(outcome));
                    assert_eq!(live(&*lines.direct, key).await, own);
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflict_of_what_was_sent_once_is_a_conflict() {
    for database in Database::SERVERS {
        let lines = Lines::new(database).await;
        let expected = create(&*lines.direct, 10, "old").await;
        overwrite(&*lines.direct, key(10), "other").await;
        let replace = Commit::replace(key(10), expected, draft("own"));
        let outcome = lines.through.commit(replace).await.unwrap();
        assert!(matches!(outcome, Outcome::Conflict(_)), "{outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_that_others_wrote_over_is_unknown() {
    for database in Database::SERVERS {
        let lines = Lines::new(database).await;
        for (number, gap) in [(10, 0), (20, 1)] {
            let key = key(number);
            let writes = async {
                for _ in 0..gap {
                    overwrite(&*lines.direct, key, "other").await;
                }
            };
            let create = Commit::create(key, draft("own"));
            let outcome = lines.commit_with_gap(create, Fault::BlackHole, writes).await;
            if gap > 0 {
                assert_unknown(outcome);
            } else {
                assert_eq!(live(&*lines.direct, key).await.1, done(outcome));
            }
        }
        // It was written, and then ended by another.
        let create = Commit::create(key(30), draft("own"));
        let ends = async {
            done(lines.direct.commit(Commit::destroy(key(30), SystemClock.now() + HOUR)).await);
        };
        done(lines.commit_with_gap(create, Fault::BlackHole, ends).await);
        assert_eq!(tombstone(&*lines.direct, key(30)).await, None);
        // Nothing had been written, and the key is another's.
        let others = Commit::create(key(40), draft("other"));
        let gap = async {
            done(lines.direct.commit(others).await);
        };
        let create = Commit::create(key(40), draft("own"));
        assert_unknown(lines.commit_with_gap(create, Fault::Unheard, gap).await);
        assert_eq!(live(&*lines.direct, key(40)).await.0, "other");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replace_before_a_rotation_or_a_destroy_is_exact() {
    for database in Database::SERVERS {
        let lines = Lines::new(database).await;
        let mut number = 10;
        for fault in [Fault::BlackHole, Fault::Unheard] {
            for (rotates, others) in [(false, 0), (true, 0), (false, 1), (true, 1)] {
                let (from, to, until) = (key(number), key(number + 1), SystemClock.now() + HOUR);
                let expected = create(&*lines.direct, number, "old").await;
                number += 2;
                let end = if rotates {
                    Commit::rotate(from, None, to, draft("moved"), until)
                } else {
                    Commit::destroy(from, until)
                };
                let gap = async {
                    for _ in 0..others {
                        overwrite(&*lines.direct, from, "other").await;
                    }
                    done(lines.direct.commit(end).await);
                };
                let replace = Commit::replace(from, expected, draft("own"));
                let outcome = lines.commit_with_gap(replace, fault, gap).await;
                let case = format!("{database:?}, {fault:?}, rotates {rotates}, others {others}");
                match (others, fault) {
                    (0, Fault::BlackHole) => {
                        let is_done = matches!(outcome, Ok(Outcome::Done(_)));
                        assert!(is_done, "{case}: what follows has read it: {outcome:?}");
                    }
                    (0, _) => assert_eq!(outcome.unwrap(), Outcome::Gone, "{case}"),
                    _ => assert_unknown(outcome),
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotate_and_a_destroy_are_done_once_whatever_others_try() {
    for database in Database::SERVERS {
        let lines = Lines::new(database).await;
        let until = SystemClock.now() + HOUR;
        let try_all = async |key: RecordKey, expected: Revision| {
            let replace = Commit::replace(key, expected, draft("late"));
            let touch = Commit::touch(key, expected, SystemClock.now() + 2 * HOUR);
            for commit in [replace, touch, Commit::destroy(key, until)] {
                assert_eq!(lines.direct.commit(commit).await.unwrap(), Outcome::Gone);
            }
        };
        for (number, continues) in [(10, true), (20, false)] {
            let (from, to) = (key(number), key(number + 1));
            let expected = create(&*lines.direct, number, "old").await;
            let rotate =
                Commit::rotate(from, continues.then_some(expected), to, draft("moved"), until);
            if lines.rotates_in_one_statement() {
                let gap = async {
                    try_all(from, expected).await;
                    overwrite(&*lines.direct, to, "other").await;
                };
                done(lines.commit_with_gap(rotate, Fault::BlackHole, gap).await);
                assert_eq!(live(&*lines.direct, to).await.0, "other");
            } else {
                done(lines.commit_with_gap(rotate, Fault::BlackHole, async {}).await);
            }
            assert_eq!(tombstone(&*lines.direct, from).await, continues.then_some(to));
        }
        let expected = create(&*lines.direct, 30, "old").await;
        let destroy = Commit::destroy(key(30), until);
        let gap = try_all(key(30), expected);
        let had = done(lines.commit_with_gap(destroy, Fault::BlackHole, gap).await);
        assert_eq!(had, expected, "the revision that the record had");
        // Another one ends it in the same millisecond.
        create(&*lines.direct, 40, "old").await;
        let other = Commit::destroy(key(40), until);
        let gap = async {
            done(lines.direct.commit(other.clone()).await);
        };
        let outcome = lines.commit_with_gap(other.clone(), Fault::Unheard, gap).await;
        assert_eq!(outcome.unwrap(), Outcome::Gone, "the other one ended it");
        assert_eq!(tombstone(&*lines.direct, key(40)).await, None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resent_rotation_that_others_came_before_is_a_conflict_or_gone() {
    for database in Database::SERVERS {
        let lines = Lines::new(database).await;
        let until = SystemClock.now() + HOUR;
        let expected = create(&*lines.direct, 10, "old").await;
        let rotate = Commit::rotate(key(10), Some(expected), key(11), draft("own"), until);
        let gap = async {
            overwrite(&*lines.direct, key(10), "other").await;
        };
        let outcome = lines.commit_with_gap(rotate, Fault::Unheard, gap).await.unwrap();
        assert!(matches!(outcome, Outcome::Conflict(_)), "it was not done: {outcome:?}");
        for (number, continues) in [(20, true), (30, false)] {
            let expected = create(&*lines.direct, number, "old").await;
            let (from, to, other) = (key(number), key(number + 1), key(number + 2));
            let expected = continues.then_some(expected);
            let rotate = Commit::rotate(from, expected, to, draft("own"), until);
            let before = Commit::rotate(from, expected, other, draft("other"), until);
            let gap = async {
                done(lines.direct.commit(before).await);
            };
            let outcome = lines.commit_with_gap(rotate, Fault::Unheard, gap).await;
            assert_eq!(outcome.unwrap(), Outcome::Gone);
            assert!(lines.direct.load(&to).await.unwrap().is_none(), "two live keys");
            assert_eq!(live(&*lines.direct, other).await.0, "other");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_gone_without_a_trace_is_unknown() {
    for database in Database::SERVERS {
        let lines = Lines::new(database).await;
        let until = SystemClock.now() + HOUR;
        for kind in 0..2 {
            let (from, to) = (key(10 + 2 * kind), key(11 + 2 * kind));
            let expected = create(&*lines.direct, 10 + 2 * kind, "old").await;
            let commit = match kind {
                0 => Commit::replace(from, expected, draft("own")),
                _ => Commit::rotate(from, None, to, draft("own"), until),
            };
            let empty = async {
                lines.place.sql("DELETE FROM cloakroom_sessions");
            };
            assert_unknown(lines.commit_with_gap(commit, Fault::BlackHole, empty).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resent_touch_leaves_what_others_wrote_as_it_is() {
    for database in Database::SERVERS {
        let lines = Lines::new(database).await;
        let expected = create(&*lines.direct, 10, "old").await;
        let touch = Commit::touch(key(10), expected, SystemClock.now() + 2 * HOUR);
        let gap = async {
            overwrite(&*lines.direct, key(10), "other").await;
        };
        let outcome = lines.commit_with_gap(touch, Fault::BlackHole, gap).await.unwrap();
        assert!(matches!(outcome, Outcome::Conflict(stored) if stored.bytes == "other"));
        let expected = live(&*lines.direct, key(10)).await.1;
        let touch = Commit::touch(key(10), expected, SystemClock.now() + 2 * HOUR);
        done(lines.commit_with_gap(touch, Fault::BlackHole, async {}).await);
    }
}
