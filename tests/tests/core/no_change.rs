//! Changes to what the session has already: nothing is written, and nothing of other requests is undone.

use std::{sync::Arc, time::Duration};

use cloakroom::{AppKeys, Driver, Error, Session, Sessions, clock::FakeClock};
use cloakroom_tests::{
    local::{LocalApp, LocalBrowser, build},
    store::Fault,
};
use serde_json::json;

/// Puts the values of every test.
fn start(session: &Session) {
    session.put("theme", "dark").unwrap();
    session.put("user", json!({ "name": "virk", "tags": ["a"] })).unwrap();
    session.put("count", 1).unwrap();
}

/// Returns a browser of the cookie driver with a session.
async fn sealed() -> LocalBrowser {
    let clock = Arc::new(FakeClock::default());
    let sessions = build(Sessions::builder(Driver::Cookie, AppKeys::random()), &clock);
    let mut browser = LocalBrowser::new(&sessions);
    browser.visit(start).await;
    browser
}

/// Repeats what the session has already.
fn repeat(session: &Session) {
    session.put("theme", "dark").unwrap();
    session.put("user.name", "virk").unwrap();
    session.put("user", json!({ "name": "virk", "tags": ["a"] })).unwrap();
    session.forget("missing").unwrap();
    session.forget("user.missing").unwrap();
    session.forget("user.tags.0").unwrap();
    assert!(!session.is_modified());
}

#[tokio::test]
async fn repeated_values_and_missing_ones_are_not_written() {
    let app = LocalApp::new();
    let mut browser = app.browser_with(start).await;
    assert!(browser.visit(repeat).await.is_empty());
    assert_eq!(app.store.calls(), ["load"]);
    let mut browser = sealed().await;
    assert!(browser.visit(repeat).await.is_empty(), "no cookie");
}

#[tokio::test]
async fn a_change_is_written_and_a_failure_is_an_error() {
    type Change = fn(&Session) -> Result<(), Error>;
    let changes: [Change; 8] = [
        |session| session.put("theme", "light"),
        |session| session.put("count", "1"),
        |session| session.put("user.missing", "x"),
        |session| session.put("missing", None::<u8>),
        |session| session.forget("user.name"),
        |session| session.clear().and_then(|()| session.put("theme", "dark")),
        |session| session.increment("count").and_then(|_| session.put("count", 1)),
        |session| session.put("theme", "light").and_then(|()| session.put("theme", "dark")),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let app = LocalApp::new();
        let mut browser = app.browser_with(start).await;
        browser.try_visit(change).await.unwrap();
        assert_eq!(app.store.calls(), ["load", "replace"], "change {number}");
    }
    let app = LocalApp::new();
    let session = app.browser_with(start).await.open().await;
    for key in ["user.tags.0", "theme.x"] {
        assert_eq!(session.put(key, "a").unwrap_err().code(), "not_an_object");
    }
}

#[tokio::test]
async fn a_repeated_value_does_not_undo_the_change_of_another_tab() {
    let mut browser = sealed().await;
    let mut other = browser.clone();
    other.visit(|session| session.put("theme", "light").unwrap()).await;
    let (context, session) = browser.begin().await;
    repeat(&session);
    browser.jar = other.jar.clone();
    browser.finish(context).await;
    assert_eq!(browser.open().await.get("theme").unwrap(), Some("light".to_owned()));
}

#[tokio::test]
async fn a_concurrent_change_of_a_repeated_value_stays() {
    let app = LocalApp::new();
    let mut browser = app.browser_with(start).await;
    let (context, session) = browser.begin().await;
    session.put("theme", "dark").unwrap();
    session.forget("lang").unwrap();
    session.put("other", 1).unwrap();
    let theirs = |session: &Session| session.put_all(json!({ "theme": "light", "lang": "fr" }));
    browser.clone().try_visit(theirs).await.unwrap();
    browser.finish(context).await;
    let session = browser.open().await;
    assert_eq!(session.get("theme").unwrap(), Some("light".to_owned()));
    assert!(session.has("lang") && session.has("other"));
}

/// The replay of the earlier changes leads to another value than the request has seen.
#[tokio::test]
async fn a_value_that_is_put_after_other_changes_of_it_counts() {
    let app = LocalApp::new();
    let mut browser = app.browser_with(start).await;
    let (context, session) = browser.begin().await;
    session.increment("count").unwrap();
    session.decrement("count").unwrap();
    session.put("count", 1).unwrap();
    let adds = |session: &Session| session.increment_by("count", 5).map(drop);
    browser.clone().try_visit(adds).await.unwrap();
    browser.finish(context).await;
    assert_eq!(browser.open().await.get("count").unwrap(), Some(1));
}

#[tokio::test]
async fn a_value_with_a_deadline_that_is_put_again_loses_it() {
    let minute = Duration::from_mins(1);
    for key in ["code", "user.code"] {
        let app = LocalApp::new();
        let mut browser =
            app.browser_with(|session| session.put_for(key, 7, minute).unwrap()).await;
        let whole = browser.open().await.get::<serde_json::Value>("user").unwrap();
        browser
            .visit(|session| match whole {
                Some(user) => session.put("user", user).unwrap(),
                None => session.put(key, 7).unwrap(),
            })
            .await;
        assert_eq!(app.store.calls(), ["load", "load", "replace"], "{key}");
        app.clock.advance(minute);
        assert!(browser.open().await.has(key), "{key}");
    }
}

#[tokio::test]
async fn values_put_before_the_session_is_stored_begin_it() {
    let app = LocalApp::new();
    let mut browser = app.browser_with(start).await;
    browser
        .visit(|session| {
            session.destroy().unwrap();
            start(session);
        })
        .await;
    assert_eq!(app.store.calls(), ["load", "rotate"]);
    assert!(app.browser().visit(|session| session.forget("theme").unwrap()).await.is_empty());
    assert!(app.store.calls().is_empty());
}

/// A clone of the session discards changes that a commit has begun to take, and makes others.
#[tokio::test]
async fn changes_after_a_discard_are_kept_while_a_commit_is_under_way() {
    let app = LocalApp::faulty();
    let mut browser = app.browser_with(start).await;
    let (context, session) = browser.begin().await;
    app.store.on_commit(Fault::Slow(Duration::from_millis(50)));
    session.put("theme", "light").unwrap();
    let committing = tokio::spawn({
        let session = session.clone();
        async move { session.commit().await }
    });
    tokio::time::sleep(Duration::from_millis(10)).await;
    session.discard_changes().unwrap();
    session.put("theme", "dark").unwrap();
    session.put("other", 2).unwrap();
    committing.await.unwrap().unwrap();
    browser.finish(context).await;
    let session = browser.open().await;
    assert_eq!(session.get::<String>("theme").unwrap().as_deref(), Some("dark"));
    assert_eq!(session.get("other").unwrap(), Some(2));
}
