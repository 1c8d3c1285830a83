//! Closures of `update`. They run again on the record at the commit, so they may read sessions and
//! change only their argument.

use std::{
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::Duration,
};

use cloakroom::{Error, Session, testing::session};
use cloakroom_tests::local::LocalApp;

/// Fails a test that hangs.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    std::thread::spawn(move || done.send(work()));
    result.recv_timeout(Duration::from_secs(10)).unwrap()
}

/// A change of the session beside the argument of the closure.
type Change = fn(&Session) -> Result<(), Error>;

const CHANGES: [Change; 11] = [
    |session| session.put("other", 1).map(drop),
    |session| session.increment("other").map(drop),
    |session| session.forget("list").map(drop),
    |session| session.pull::<Vec<u32>>("list").map(drop),
    |session| session.clear(),
    |session| session.flash(serde_json::json!({ "m": 1 })).map(drop),
    |session| session.flash_push("info", "m").map(drop),
    |session| session.update("list", |_: &mut Vec<u32>| ()).map(drop),
    |session| session.no_touch(),
    |session| session.regenerate(),
    |session| session.destroy(),
];

#[test]
fn a_closure_that_changes_the_session_is_an_error() {
    for change in CHANGES {
        let (outcome, within, left) = in_time(move || {
            let session = session();
            session.put("list", [1]).unwrap();
            let (inner, (sender, receiver)) = (session.clone(), mpsc::channel());
            let outcome = session.update("list", move |list: &mut Vec<u32>| {
                list.push(2);
                let _ = sender.send(change(&inner).map_err(|error| error.code()));
            });
            let within = receiver.recv().unwrap();
            (
                outcome.map_err(|error| error.code()),
                within,
                session.get::<Vec<u32>>("list").unwrap(),
            )
        });
        assert_eq!(within, Err("read_only"));
        assert_eq!(outcome, Err("read_only"));
        assert_eq!(left, Some(vec![1]), "the update itself is undone");
    }
}

#[test]
fn another_session_cannot_be_changed_by_a_closure_either() {
    let outcome = in_time(|| {
        let (session, other) = (session(), session());
        let within = other.clone();
        let outcome = session.update("n", move |_: &mut u32| drop(within.put("k", 1)));
        (outcome.map_err(|error| error.code()), other.has("k"))
    });
    assert_eq!(outcome, (Err("read_only"), false));
}

#[test]
fn a_session_can_be_changed_again_after_a_closure_panicked() {
    let read = in_time(|| {
        let session = session();
        let update = || session.update("n", |_: &mut u32| panic!("the closure says so"));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(update)).is_err());
        session.put("k", 1).unwrap();
        session.get::<u32>("k").unwrap()
    });
    assert_eq!(read, Some(1));
}

#[test]
fn a_closure_may_read_the_session() {
    let sum = in_time(|| {
        let session = session();
        session.put("by", 5).unwrap();
        let inner = session.clone();
        session.update("n", move |n: &mut u32| {
            *n += inner.get::<u32>("by").unwrap().unwrap_or_default();
        })
    });
    assert_eq!(sum.unwrap(), 5);
}

/// The first run, in the handler, changes only the argument. The second is in the commit, because
/// another request has written in between. The update is left out with a warning, like any change
/// that cannot be made again.
#[test]
fn an_update_that_first_misbehaves_in_the_commit_is_left_out() {
    let (outcome, kept) = in_time(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut browser =
                LocalApp::new().browser_with(|session| session.put("n", 1).unwrap()).await;
            let (late, session) = browser.begin().await;
            let (inner, runs) = (session.clone(), AtomicU32::new(0));
            let update = session.update("n", move |n: &mut u32| {
                *n += 10;
                if runs.fetch_add(1, Ordering::SeqCst) > 0 {
                    drop(inner.put("other", 1));
                }
            });
            update.unwrap();
            browser.visit(|session| _ = session.increment("n").unwrap()).await;
            let outcome = late.finish(200).await.map(drop);
            let outcome = outcome.map_err(|uncommitted| uncommitted.error.code());
            (outcome, serde_json::json!(browser.open().await.all()))
        })
    });
    assert_eq!(outcome, Ok(()));
    assert_eq!(kept, serde_json::json!({ "n": 2 }));
}

thread_local! {
    /// The session that code of the application reads from within a call of the session.
    static READ: std::cell::RefCell<Option<Session>> = const { std::cell::RefCell::new(None) };
}

/// Reads the session of this thread, if there is one.
fn read_session() -> bool {
    READ.with_borrow(|session| session.as_ref().is_some_and(|session| session.has("n")))
}

/// A number that reads the session while it is read, written or dropped.
#[derive(Default)]
struct Curious(u32);

impl serde::Serialize for Curious {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        read_session();
        self.0.serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for Curious {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_session();
        u32::deserialize(deserializer).map(Self)
    }
}

impl Drop for Curious {
    fn drop(&mut self) {
        read_session();
    }
}

/// Returns a closure that owns `by`.
fn adds(by: Curious) -> impl Fn(&mut u32) + Send + Sync + 'static {
    move |n| {
        let Curious(by) = &by;
        *n += by;
    }
}

#[derive(Clone, Copy)]
struct CuriousKey;

impl AsRef<str> for CuriousKey {
    fn as_ref(&self) -> &'static str {
        read_session();
        "n"
    }
}

/// A call of the session.
type Call = fn(&Session);

const CALLS: [Call; 12] = [
    |session| session.put("n", Curious(2)).unwrap(),
    |session| _ = session.get::<Curious>("n").unwrap(),
    |session| _ = session.read_only().get::<Curious>("n").unwrap(),
    |session| _ = session.pull::<Curious>("n").unwrap(),
    |session| _ = session.update("n", |n: &mut Curious| n.0 += 1).unwrap(),
    |session| _ = session.increment(CuriousKey).unwrap(),
    |session| session.forget(CuriousKey).unwrap(),
    |session| _ = session.flash(serde_json::json!({ "m": 1 })).unwrap(),
    |session| _ = session.flash([("m", Curious(1))]).unwrap(),
    |session| _ = session.flash_now([("m", Curious(1))]).unwrap(),
    |session| _ = session.decrement_by(CuriousKey, 2).unwrap(),
    |session| {
        _ = session.update("n", adds(Curious(1))).unwrap();
        session.destroy().unwrap();
    },
];

#[test]
fn code_of_the_application_may_read_the_session_in_any_call() {
    for (number, call) in CALLS.into_iter().enumerate() {
        let value = in_time(move || {
            let session = session();
            session.put("n", 1).unwrap();
            READ.set(Some(session.clone()));
            call(&session);
            READ.take();
            number
        });
        assert_eq!(value, number);
    }
}

/// The change log is dropped with the commit.
#[test]
fn what_a_closure_owns_may_read_the_session_when_it_is_dropped() {
    for fails in [false, true] {
        in_time(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let app = LocalApp::faulty();
                if fails {
                    app.store.on_commit(cloakroom_tests::store::Fault::Unavailable);
                }
                let (context, session) = app.browser().begin().await;
                session.update("n", adds(Curious(1))).unwrap();
                READ.set(Some(session));
                assert_eq!(context.finish(200).await.is_err(), fails);
                READ.take();
            });
        });
    }
}
