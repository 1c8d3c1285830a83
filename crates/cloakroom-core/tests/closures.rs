//! Closures of `update` run on the record of whichever request commits: they may read sessions and
//! change nothing but their argument.
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use cloakroom_core::adapter::RequestContext;
use std::{
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::Duration,
};

use cloakroom_core::{AppKeys, Error, MemoryStore, Session, Sessions, cookie::CookieSettings};

/// Fails a test that hangs.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    std::thread::spawn(move || done.send(work()));
    result.recv_timeout(Duration::from_secs(10)).unwrap()
}

/// What a closure does to the session beside its argument.
type Change = fn(&Session) -> Result<(), Error>;

const CHANGES: [Change; 9] = [
    |session| session.put("other", 1).map(drop),
    |session| session.increment("other").map(drop),
    |session| session.forget("list").map(drop),
    |session| session.pull::<Vec<u32>>("list").map(drop),
    |session| session.clear(),
    |session| session.flash(serde_json::json!({ "m": 1 })).map(drop),
    |session| session.update("list", |_: &mut Vec<u32>| ()).map(drop),
    |session| session.regenerate(),
    |session| session.destroy(),
];

#[test]
fn a_closure_that_changes_the_session_is_an_error() {
    for change in CHANGES {
        let (outcome, within, left) = in_time(move || {
            let session = cloakroom_core::testing::session();
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
        let (session, other) =
            (cloakroom_core::testing::session(), cloakroom_core::testing::session());
        let within = other.clone();
        let outcome = session.update("n", move |_: &mut u32| drop(within.put("k", 1)));
        (outcome.map_err(|error| error.code()), other.has("k"))
    });
    assert_eq!(outcome, (Err("read_only"), false));
}

#[test]
fn a_session_can_be_changed_again_after_a_closure_panicked() {
    let read = in_time(|| {
        let session = cloakroom_core::testing::session();
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
        let session = cloakroom_core::testing::session();
        session.put("by", 5).unwrap();
        let inner = session.clone();
        session.update("n", move |n: &mut u32| {
            *n += inner.get::<u32>("by").unwrap().unwrap_or_default();
        })
    });
    assert_eq!(sum.unwrap(), 5);
}

/// The first run, in the handler, is innocent. The second is in the commit, because another request
/// has written meanwhile: like any change that cannot be made again, it is left out with a warning.
#[test]
fn an_update_that_first_misbehaves_in_the_commit_is_left_out() {
    let (outcome, kept) = in_time(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let sessions = Sessions::store(MemoryStore::new(), AppKeys::random())
                .cookie_settings(CookieSettings::development())
                .build()
                .unwrap();
            let visit = RequestContext::new(&sessions);
            let nothing: &[(&str, &str)] = &[];
            visit.session(nothing).await.unwrap().put("n", 1).unwrap();
            let line = visit.finish(200).await.unwrap().set_cookie.pop().unwrap();
            let headers = [("cookie", line.split(';').next().unwrap().to_owned())];
            let late = RequestContext::new(&sessions);
            let session = late.session(headers.as_slice()).await.unwrap();
            let (inner, runs) = (session.clone(), AtomicU32::new(0));
            let update = session.update("n", move |n: &mut u32| {
                *n += 10;
                if runs.fetch_add(1, Ordering::SeqCst) > 0 {
                    drop(inner.put("other", 1));
                }
            });
            update.unwrap();
            let other = RequestContext::new(&sessions);
            other.session(headers.as_slice()).await.unwrap().increment("n").unwrap();
            let _ = other.finish(200).await.unwrap();
            let outcome = late.finish(200).await.map(drop);
            let next = RequestContext::new(&sessions).session(headers.as_slice()).await.unwrap();
            (outcome.map_err(|it| it.error.code()), serde_json::json!(next.all()))
        })
    });
    assert_eq!(outcome, Ok(()));
    assert_eq!(kept, serde_json::json!({ "n": 2 }));
}
