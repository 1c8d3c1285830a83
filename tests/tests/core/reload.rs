//! A session that is read again in the middle of a request.

use std::sync::Arc;

use cloakroom::{AppKeys, Driver, Session, Sessions, clock::FakeClock};
use cloakroom_tests::{
    local::{LocalApp, LocalBrowser, build},
    store::Fault,
};
use serde_json::json;

fn begin(session: &Session) {
    session.put("import", "running").unwrap();
}

#[tokio::test]
async fn a_reload_shows_what_others_committed_and_drops_own_changes() {
    let app = LocalApp::new();
    let mut browser = app.browser_with(begin).await;
    let (context, session) = browser.begin().await;
    session.put("own", 1).unwrap();
    session.flash(json!({ "notice": "own" })).unwrap();
    browser.clone().visit(|session| session.put("import", "done").unwrap()).await;
    app.store.calls();
    session.reload().await.unwrap();
    assert_eq!(json!(session.all()), json!({ "import": "done" }));
    assert!(!session.is_modified());
    session.put("seen", true).unwrap();
    browser.finish(context).await;
    assert_eq!(app.store.calls(), ["load", "replace"], "from the newest revision");
    let session = browser.open().await;
    assert_eq!(json!(session.all()), json!({ "import": "done", "seen": true }));
    assert_eq!(session.view().flash_message("notice", ""), "");
}

#[tokio::test]
async fn a_session_that_has_ended_shows_nothing_and_writes_nothing() {
    let app = LocalApp::new();
    let mut browser = app.browser_with(begin).await;
    let (context, session) = browser.begin().await;
    browser.clone().visit(|session| session.destroy().unwrap()).await;
    session.reload().await.unwrap();
    assert!(session.is_empty() && session.is_new());
    session.put("late", 1).unwrap();
    assert!(browser.finish(context).await.is_empty(), "no cookie");
    assert!(app.store.records.is_empty());
    assert!(browser.open().await.is_empty());
}

#[tokio::test]
async fn a_reload_after_destroy_or_regenerate_keeps_the_intent() {
    let app = LocalApp::new();
    for destroys in [true, false] {
        let mut browser = app.browser_with(begin).await;
        let (context, session) = browser.begin().await;
        if destroys { session.destroy() } else { session.regenerate() }.unwrap();
        session.put("own", 1).unwrap();
        app.store.calls();
        session.reload().await.unwrap();
        assert_eq!(session.is_empty(), destroys);
        let before = browser.clone();
        browser.finish(context).await;
        assert_eq!(
            app.store.calls(),
            if destroys { vec!["destroy"] } else { vec!["load", "rotate"] }
        );
        assert!(before.open().await.is_empty(), "the old token");
        assert_eq!(browser.open().await.has("import"), !destroys);
    }
}

#[tokio::test]
async fn a_reload_that_fails_keeps_the_changes() {
    let app = LocalApp::faulty();
    let mut browser = app.browser_with(begin).await;
    let (context, session) = browser.begin().await;
    session.put("own", 1).unwrap();
    app.store.on_load(Fault::Unavailable);
    assert!(session.reload().await.unwrap_err().is_unavailable());
    app.store.on_load(Fault::None);
    browser.finish(context).await;
    assert!(session.reload().await.unwrap_err().is_committed());
    assert!(browser.open().await.has("own"));
}

#[tokio::test]
async fn without_a_record_a_reload_only_discards() {
    let clock = Arc::new(FakeClock::default());
    let sealed = build(Sessions::builder(Driver::Cookie, AppKeys::random()), &clock);
    let app = LocalApp::new();
    for sessions in [&sealed, &app.sessions] {
        let mut browser = LocalBrowser::new(sessions);
        let (context, session) = browser.begin().await;
        begin(&session);
        session.reload().await.unwrap();
        assert!(session.is_empty() && browser.finish(context).await.is_empty());
    }
    assert!(app.store.calls().is_empty());
    let mut browser = LocalBrowser::new(&sealed);
    browser.visit(begin).await;
    let (_, session) = browser.begin().await;
    session.put("own", 1).unwrap();
    session.reload().await.unwrap();
    assert_eq!(json!(session.all()), json!({ "import": "running" }));
}

#[tokio::test]
async fn a_sign_in_after_a_reload_does_not_undo_a_logout() {
    let app = LocalApp::new();
    let mut browser = app.browser_with(|session| session.sign_in("virk").unwrap()).await;
    let (context, session) = browser.begin().await;
    browser.clone().visit(|session| session.sign_out().unwrap()).await;
    session.reload().await.unwrap();
    session.sign_in("virk").unwrap();
    assert!(browser.finish(context).await.is_empty(), "no cookie");
    assert_eq!(app.store.records.len(), 0);
}
