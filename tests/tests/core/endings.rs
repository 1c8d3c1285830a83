//! The ends of a request, and what is left of a session's changes that no commit takes.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use cloakroom::{Session, adapter::RequestLine};
use cloakroom_tests::{
    local::{LocalApp, LocalBrowser},
    store::{Fault, Faults},
};

async fn visitor() -> (LocalApp<Faults>, LocalBrowser) {
    let app = LocalApp::faulty();
    let browser = app.browser_with(|session| session.put("user", "virk").unwrap()).await;
    (app, browser)
}

fn line() -> RequestLine<'static> {
    RequestLine::new("GET", "/")
}

#[tokio::test(start_paused = true)]
async fn a_change_during_a_commit_that_fails_is_committed_at_the_end() {
    for is_new in [false, true] {
        let (app, mut browser) = visitor().await;
        if is_new {
            browser = app.browser();
        }
        app.store.on_commit(Fault::Hangs);
        let (context, session) = browser.begin().await;
        session.put("a", 1).unwrap();
        let (failed, ()) = tokio::join!(session.commit(), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            session.put("b", 1).unwrap();
        });
        assert!(failed.unwrap_err().is_unavailable());
        app.store.on_commit(Fault::None);
        browser.finish(context).await;
        let next = browser.open().await;
        assert!(next.has("a") && next.has("b"), "{is_new}: {:?}", next.all());
    }
}

/// Without further changes, the caller of the commit has the error already.
#[tokio::test]
async fn a_commit_that_failed_is_not_repeated_at_the_end() {
    let (app, mut browser) = visitor().await;
    app.store.on_commit(Fault::Unavailable);
    let (context, session) = browser.begin().await;
    session.put("a", 1).unwrap();
    assert!(session.commit().await.is_err());
    app.store.on_commit(Fault::None);
    app.store.calls();
    browser.finish(context).await;
    assert_eq!(app.store.calls(), Vec::<&str>::new());
    assert!(!session.has("a"), "it shows what is stored");
}

#[tokio::test]
async fn a_reader_of_a_session_that_was_never_stored_has_ended() {
    let app = LocalApp::faulty();
    let mut browser = app.browser();
    app.store.on_commit(Fault::Unavailable);
    let (context, session) = browser.begin().await;
    session.put("user", "virk").unwrap();
    let reader = session.read_only();
    assert!(session.commit().await.is_err());
    browser.finish(context).await;
    assert!(!reader.refresh().await.unwrap());
    assert!(reader.is_empty());
}

/// How a request ends whose change holds a clone of its session.
#[derive(Clone, Copy, Debug)]
enum End {
    Commit,
    RefusedCommit,
    Discarded,
    Panic,
    Disconnect,
}

/// Updates a value by a closure that holds the session and what `witness` shows.
fn update(session: &Session) -> Weak<()> {
    let witness = Arc::new(());
    let (inside, held) = (session.clone(), witness.clone());
    let update = session.update("n", move |n: &mut i64| {
        *n += i64::from(inside.has("user")) + i64::try_from(Arc::strong_count(&held)).unwrap();
    });
    update.unwrap();
    Arc::downgrade(&witness)
}

#[tokio::test]
async fn no_end_of_a_request_leaves_its_session_in_memory() {
    for end in [End::Commit, End::RefusedCommit, End::Discarded, End::Panic, End::Disconnect] {
        let (app, browser) = visitor().await;
        let (context, session) = browser.begin().await;
        let witness = update(&session);
        let clone = context.clone();
        match end {
            End::Commit => drop(context.finish(200).await.unwrap()),
            End::RefusedCommit => {
                app.store.on_commit(Fault::Unavailable);
                assert!(session.commit().await.is_err());
                drop(context.finish(200).await.unwrap());
            }
            End::Discarded => drop(context.finish(504).await.unwrap()),
            End::Panic => drop(context.abandon(line()).await.unwrap()),
            End::Disconnect => drop(context),
        }
        drop((clone, session));
        assert!(witness.upgrade().is_none(), "{end:?}");
    }
}

#[tokio::test]
async fn nothing_of_a_request_that_panicked_is_committed_by_a_clone() {
    let (_, mut browser) = visitor().await;
    let (context, session) = browser.begin().await;
    session.put("half", 1).unwrap();
    session.regenerate().unwrap();
    drop(context.abandon(line()).await.unwrap());
    assert!(session.put("late", 1).unwrap_err().is_committed());
    assert!(session.commit().await.unwrap_err().is_committed(), "it would lose the change");
    assert!(session.increment_now("n").await.unwrap_err().is_committed());
    browser.visit(|session| assert!(session.has("user"), "the token is the same")).await;
    let next = browser.open().await;
    assert!(!next.has("half") && !next.has("n"));
    assert!(!session.has("half") && session.has("user"), "it shows what is stored");
}

#[tokio::test]
async fn a_task_that_outlives_a_disconnected_client_may_commit() {
    let (_, browser) = visitor().await;
    let (context, session) = browser.begin().await;
    session.put("before", 1).unwrap();
    drop(context);
    session.put("after", 1).unwrap();
    session.commit().await.unwrap();
    let next = browser.open().await;
    assert!(next.has("before") && next.has("after"));
}
