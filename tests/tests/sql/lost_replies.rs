//! The reply to a statement is cut at every byte.

use cloakroom::{
    clock::{Clock, SystemClock},
    store::{Commit, Entry, Outcome, Store, StoreError},
};
use cloakroom_tests::proxy::{Fault, FaultProxy};

use super::{Database, HOUR, Place, Settings, create, done, draft, key, live, tombstone};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Load,
    Create,
    Replace,
    Touch,
    Rotate,
    /// A rotation that ends the session and begins another.
    Restart,
    Destroy,
}

impl Step {
    const ALL: [Self; 7] = [
        Self::Load,
        Self::Create,
        Self::Replace,
        Self::Touch,
        Self::Rotate,
        Self::Restart,
        Self::Destroy,
    ];
}

/// A server, and a store on it that nothing happens to.
struct Line {
    place: Place,
    proxy: FaultProxy,
    direct: std::sync::Arc<dyn Store>,
}

impl Line {
    async fn new(database: Database) -> Self {
        let place = Place::new(database);
        let proxy = FaultProxy::start(place.address()).await;
        let direct = place.store();
        create(&*direct, 0, "0").await;
        Self { place, proxy, direct }
    }

    /// Carries out a step on a connection that is cut after so many bytes of replies, and checks what
    /// became of it. Returns whether the connection was cut.
    async fn cut(&self, step: Step, at: usize, number: u64) -> bool {
        let url = self.place.url_at(self.proxy.address());
        let settings = Settings { pool_size: 1, migrates: false, ..Settings::default() };
        let through = self.place.database.open(&url, &settings);
        assert!(through.load(&key(1)).await.unwrap().is_none(), "it is connected");
        let (from, to) = (key(number), key(number + 1));
        let now = SystemClock.now();
        let expected = match step {
            Step::Create => None,
            _ => Some(create(&*self.direct, number, "old").await),
        };
        self.proxy.set(Fault::CutOnce(at));
        let commit = match (step, expected) {
            (Step::Replace, Some(expected)) => Commit::replace(from, expected, draft("new")),
            (Step::Touch, Some(expected)) => Commit::touch(from, expected, now + 2 * HOUR),
            (Step::Rotate, expected) => {
                Commit::rotate(from, expected, to, draft("new"), now + HOUR)
            }
            (Step::Restart, _) => Commit::rotate(from, None, to, draft("new"), now + HOUR),
            (Step::Destroy, _) => Commit::destroy(from, now + HOUR),
            _ => Commit::create(from, draft("new")),
        };
        let outcome = match step {
            Step::Load => through.load(&from).await.map(|entry| match entry {
                Some(Entry::Live(stored)) => Outcome::Done(stored.revision),
                other => panic!("{other:?}"),
            }),
            _ => through.commit(commit).await,
        };
        let was_cut = self.proxy.has_cut();
        self.proxy.set(Fault::None);
        self.check(step, number, expected.unwrap_or_default(), outcome).await;
        was_cut
    }

    async fn check(
        &self,
        step: Step,
        number: u64,
        expected: cloakroom::store::Revision,
        outcome: Result<Outcome, StoreError>,
    ) {
        let (from, to, direct) = (key(number), key(number + 1), &*self.direct);
        let revision = done(outcome);
        match step {
            Step::Load => assert_eq!(live(direct, from).await, ("old".to_owned(), revision)),
            Step::Create | Step::Replace => {
                assert_eq!(live(direct, from).await, ("new".to_owned(), revision));
            }
            Step::Touch => {
                assert_eq!(live(direct, from).await, ("old".to_owned(), expected));
                let expires = direct.load(&from).await.unwrap().unwrap().expires();
                assert!(expires > SystemClock.now() + HOUR + HOUR / 2);
            }
            Step::Rotate | Step::Restart => {
                let successor = (step == Step::Rotate).then_some(to);
                assert_eq!(tombstone(direct, from).await, successor);
                assert_eq!(live(direct, to).await, ("new".to_owned(), revision));
            }
            Step::Destroy => {
                assert_eq!((tombstone(direct, from).await, revision), (None, expected));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_whose_reply_is_cut_at_any_byte_is_done_once() {
    let check = |database| async move {
        let line = Line::new(database).await;
        let mut number = 100;
        for step in Step::ALL {
            let mut bytes = 0;
            while line.cut(step, bytes, number).await {
                (bytes, number) = (bytes + 1, number + 2);
            }
            number += 2;
            assert!(bytes > 10, "{database:?}, {step:?}: the reply has {bytes} bytes");
        }
    };
    let [one, two, three] = Database::SERVERS.map(|database| tokio::spawn(check(database)));
    for checked in [one, two, three] {
        checked.await.unwrap();
    }
}

/// The server replies to some copies of the statement with half of a reply, and to the rest with none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_replies_are_always_cut_is_unavailable_and_does_no_step_twice() {
    for database in Database::SERVERS {
        let line = Line::new(database).await;
        let url = line.place.url_at(line.proxy.address());
        let through = database.open(&url, &Settings::default());
        let expected = create(&*line.direct, 10, "old").await;
        for bytes in (0..80).step_by(7) {
            assert!(through.load(&key(1)).await.unwrap().is_none());
            line.proxy.set(Fault::CutAfter(bytes));
            let destroy = Commit::destroy(key(10), SystemClock.now() + HOUR);
            let replace = Commit::replace(key(10), expected, draft("new"));
            let outcomes = [through.commit(replace).await, through.commit(destroy).await];
            line.proxy.set(Fault::None);
            for outcome in outcomes {
                match outcome {
                    Ok(Outcome::Done(_) | Outcome::Gone) => {}
                    Ok(other) => panic!("{database:?}, after {bytes} bytes: {other:?}"),
                    Err(error) => assert!(error.is_unavailable(), "{error:?}"),
                }
            }
        }
        let destroy = Commit::destroy(key(10), SystemClock.now() + HOUR);
        let outcome = through.commit(destroy).await.unwrap();
        assert!(matches!(outcome, Outcome::Done(_) | Outcome::Gone), "it heals: {outcome:?}");
        assert_eq!(tombstone(&*line.direct, key(10)).await, None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_and_sliced_replies_are_right_replies() {
    for database in Database::SERVERS {
        let line = Line::new(database).await;
        let url = line.place.url_at(line.proxy.address());
        let through = database.open(&url, &Settings { migrates: false, ..Settings::default() });
        let faults =
            [Fault::None, Fault::Latency(HOUR / 360_000), Fault::Slice(1), Fault::Slice(7)];
        for (number, fault) in (10..).zip(faults) {
            line.proxy.set(fault);
            let expected = create(&*through, number, "old").await;
            done(through.commit(Commit::replace(key(number), expected, draft("new"))).await);
            assert_eq!(live(&*through, key(number)).await.0, "new", "{fault:?}");
            done(through.commit(Commit::destroy(key(number), SystemClock.now() + HOUR)).await);
        }
    }
}
