//! Schedules that need a clock, a faulty store, or calls between the calls of an adapter.

use std::time::Duration;

use cloakroom::{
    Session,
    adapter::{AdapterError, ContextStack, RequestContext, Uncommitted},
    csrf::{CsrfPolicy, CsrfRejection},
    testing::session,
};
use cloakroom_tests::{
    local::{LocalApp, LocalBrowser},
    store::{Fault, Faults},
};
use serde_json::json;

/// An application, and a browser whose session holds `user`.
async fn signed_in() -> (LocalApp<Faults>, LocalBrowser) {
    let app = LocalApp::faulty();
    let browser = app.browser_with(|session| session.put("user", "virk").unwrap()).await;
    (app, browser)
}

async fn is_signed_in(browser: &LocalBrowser) -> bool {
    browser.open().await.has("user")
}

fn regenerate(session: &Session) {
    session.regenerate().unwrap();
}

#[tokio::test]
async fn a_touch_that_cannot_be_written_is_a_warning() {
    let (app, mut browser) = signed_in().await;
    app.store.on("touch", Fault::Unavailable);
    app.clock.advance(Duration::from_mins(30));
    let cookies = browser.visit(|_| ()).await;
    assert!(cookies.is_empty(), "the cookie follows the deadline, which has not moved");
    assert!(is_signed_in(&browser).await);
}

#[tokio::test]
async fn a_logout_long_after_a_regenerate_ends_the_session() {
    for (minutes, confirms) in [(1, true), (59, true), (61, false)] {
        let (app, mut browser) = signed_in().await;
        let (logout, session) = browser.begin().await;
        browser.visit(regenerate).await;
        app.clock.advance(Duration::from_mins(minutes));
        session.destroy().unwrap();
        let ended = logout.finish(200).await;
        // After an hour the store has forgotten the new key, so the logout is an error.
        assert_eq!(ended.is_ok(), confirms, "{minutes} minutes: {ended:?}");
        assert_eq!(is_signed_in(&browser).await, !confirms, "{minutes} minutes");
    }
}

#[tokio::test]
async fn a_visitor_who_missed_the_new_cookie_can_start_over() {
    let (app, browser) = signed_in().await;
    browser.clone().visit(regenerate).await;
    for (seconds, starts_over) in [(29, false), (2, true)] {
        app.clock.advance(Duration::from_secs(seconds));
        let cookies = browser.clone().visit(|session| session.put("again", 1).unwrap()).await;
        assert_eq!(!cookies.is_empty(), starts_over, "after {seconds} s more");
    }
}

#[tokio::test]
async fn an_earned_cookie_survives_a_failed_final_commit() {
    let (app, mut browser) = signed_in().await;
    app.store.on("replace", Fault::Unavailable);
    let (context, session) = browser.begin().await;
    session.regenerate().unwrap();
    session.commit().await.unwrap();
    session.put("more", 1).unwrap();
    let Uncommitted { error, headers } = context.finish(200).await.unwrap_err();
    assert_eq!(error.http_status(), 503);
    browser.keep(&headers);
    assert!(is_signed_in(&browser).await);
}

#[tokio::test]
async fn an_error_with_an_earned_cookie_shows_no_token() {
    let (app, mut browser) = signed_in().await;
    app.store.on("replace", Fault::Unavailable);
    let (context, session) = browser.begin().await;
    regenerate(&session);
    session.commit().await.unwrap();
    session.put("more", 1).unwrap();
    let uncommitted = context.finish(200).await.unwrap_err();
    browser.keep(&uncommitted.headers);
    assert!(is_signed_in(&browser).await);
    let token = browser.jar.get("session").unwrap();
    let headers = format!("{:?}", uncommitted.headers);
    let shown = r#"ResponseHeaders(1 Set-Cookie, vary: Some("Cookie"), secret: false, clear_site_data: None)"#;
    assert_eq!(headers, shown);
    for shown in [headers, format!("{uncommitted:?}"), uncommitted.to_string()] {
        assert!(!shown.contains(token), "{shown}");
    }
}

#[tokio::test]
async fn a_timeout_inside_the_session_layer_discards_half_a_handler() {
    for status in [408, 504] {
        let (_, browser) = signed_in().await;
        let (context, session) = browser.begin().await;
        session.put("half", 1).unwrap();
        drop(context.finish(status).await.unwrap());
        assert!(!browser.open().await.has("half"), "{status}");
        let (logout, session) = browser.begin().await;
        session.destroy().unwrap();
        drop(logout.finish(status).await.unwrap());
        assert!(!is_signed_in(&browser).await, "{status}: a destroy takes effect");
    }
}

#[tokio::test]
async fn a_cookie_of_a_token_that_was_superseded_is_not_sent() {
    let (app, mut browser) = signed_in().await;
    app.clock.advance(Duration::from_mins(30));
    let (poll, session) = browser.begin().await;
    session.put("progress", 1).unwrap();
    // The touch is due, so this commit earns the cookie of the token that the request came with.
    session.commit().await.unwrap();
    browser.visit(regenerate).await;
    session.put("progress", 2).unwrap();
    let cookies = browser.finish(poll).await;
    assert_eq!(cookies, Vec::<String>::new(), "it would undo the login");
    assert!(is_signed_in(&browser).await);
}

#[tokio::test]
async fn a_late_second_logout_spares_the_login_after_the_first() {
    let (_, mut browser) = signed_in().await;
    let (late, session) = browser.begin().await;
    session.destroy().unwrap();
    let logout = |session: &Session| {
        session.destroy().unwrap();
        session.flash(json!({ "notice": "goodbye" })).unwrap();
    };
    browser.visit(logout).await;
    let login = |session: &Session| {
        session.put("user", "virk").unwrap();
        session.regenerate().unwrap();
    };
    browser.visit(login).await;
    assert_eq!(browser.finish(late).await, Vec::<String>::new());
    assert!(is_signed_in(&browser).await);
}

/// A token that was superseded begins a new session, but its logout is meant for the old one.
#[tokio::test]
async fn a_logout_with_an_old_bearer_token_follows_the_session() {
    let minutes = [0, 1, 59];
    for (says_goodbye, minutes) in
        minutes.into_iter().flat_map(|minutes| [(false, minutes), (true, minutes)])
    {
        let (app, mut browser) = signed_in().await;
        let bearer = app.sessions.bearer().unwrap();
        let authorization = format!("Bearer {}", browser.jar.get("session").unwrap());
        browser.visit(regenerate).await;
        app.clock.advance(Duration::from_mins(minutes));
        let logout = RequestContext::new(&bearer);
        let headers = [("authorization", authorization.as_str())];
        let session = logout.session(headers.as_slice()).await.unwrap();
        assert!(session.is_new() && session.is_empty());
        assert!(is_signed_in(&browser).await);
        session.destroy().unwrap();
        if says_goodbye {
            session.put("goodbye", 1).unwrap();
        }
        let token = session.bearer_token().unwrap();
        drop(logout.finish(200).await.unwrap());
        assert!(!is_signed_in(&browser).await);
        let headers = [("authorization", format!("Bearer {token}"))];
        let next = RequestContext::new(&bearer).session(headers.as_slice()).await.unwrap();
        assert_eq!((next.is_new(), next.has("goodbye")), (false, says_goodbye));
    }
}

/// The browser did not receive the cookie of the regenerate, and sends the old one.
#[tokio::test]
async fn a_logout_with_an_old_cookie_follows_the_session_for_an_hour() {
    for (minutes, says_goodbye, ends) in
        [(1, false, true), (59, false, true), (59, true, true), (61, false, false)]
    {
        let (app, mut browser) = signed_in().await;
        let mut old = browser.clone();
        browser.visit(regenerate).await;
        app.clock.advance(Duration::from_mins(minutes));
        assert!(old.visit(|session| assert!(session.is_new())).await.is_empty());
        let cookies = old.visit(|session| {
            session.destroy().unwrap();
            if says_goodbye {
                session.put("goodbye", 1).unwrap();
            }
        });
        let cookies = cookies.await;
        assert_eq!(cookies.len(), usize::from(ends), "{minutes}");
        assert_eq!(old.jar.get("session").is_some(), !ends || says_goodbye, "{cookies:?}");
        assert_eq!(is_signed_in(&browser).await, !ends, "{minutes}");
        assert_eq!(old.open().await.has("goodbye"), says_goodbye);
    }
}

#[tokio::test]
async fn a_csrf_token_after_the_logout_of_a_pre_session_is_valid() {
    for commits in [false, true] {
        let app = LocalApp::new();
        let mut browser = app.browser_with(|session| _ = session.csrf_token()).await;
        let (context, session) = browser.begin().await;
        session.destroy().unwrap();
        if commits {
            session.commit().await.unwrap();
        }
        let token = session.csrf_token();
        browser.finish(context).await;
        assert!(browser.open().await.verify_csrf_token(&token), "{commits}");
    }
}

#[tokio::test]
async fn a_bearer_layer_inside_leaves_the_cookie_protected() {
    let (app, browser) = signed_in().await;
    let (outer, _) = ContextStack::begin(&app.sessions, "POST", None);
    let bearer = app.sessions.bearer().unwrap();
    let (both, _) = ContextStack::begin(&bearer, "POST", Some(outer));
    let cookie = browser.jar.header().unwrap();
    let headers = [("cookie", cookie.as_str()), ("x-csrf-token", "forged")];
    let no_form = async { unreachable!() };
    let policy = CsrfPolicy::default();
    let admitted = policy.verify_request("POST", headers.as_slice(), None, &both, no_form).await;
    assert!(matches!(admitted, Err(AdapterError::Forged(CsrfRejection::BadToken))), "{admitted:?}");
    let (alone, _) = ContextStack::begin(&bearer, "POST", None);
    let no_form = async { unreachable!() };
    assert!(policy.verify_request("POST", headers.as_slice(), None, &alone, no_form).await.is_ok());
}

#[test]
fn an_update_that_changes_its_session_is_an_error_and_no_hang() {
    let session = session();
    session.put("n", 1).unwrap();
    let inside = session.clone();
    let changing = session.update("list", move |list: &mut Vec<u8>| {
        list.push(1);
        // Whatever the closure makes of the error.
        drop(inside.put("other", 1));
    });
    assert_eq!(changing.unwrap_err().code(), "read_only");
    assert!(!session.has("list") && !session.has("other"));
    let inside = session.clone();
    let reading = session.update("list", move |list: &mut Vec<u8>| {
        list.push(inside.get("n").unwrap().unwrap());
    });
    assert_eq!(reading.unwrap(), [1], "reading is no change");
}

#[tokio::test]
async fn a_preloaded_session_cannot_be_changed_in_the_body_but_varies() {
    let (app, browser) = signed_in().await;
    let context = RequestContext::new(&app.sessions);
    context.preload([("cookie", browser.jar.header().unwrap())].as_slice()).await.unwrap();
    let headers = context.finish(200).await.unwrap();
    assert_eq!(headers.vary, Some("Cookie"));
    let late = context.loaded().unwrap();
    assert_eq!(late.get::<String>("user").unwrap().as_deref(), Some("virk"));
    assert!(late.put("late", 1).unwrap_err().is_committed());
}

#[tokio::test]
async fn a_request_that_was_cut_off_consumes_no_flash() {
    for status in [408, 504] {
        let (_, browser) = signed_in().await;
        let (saving, session) = browser.begin().await;
        session.flash(json!({ "notice": "saved" })).unwrap();
        drop(saving.finish(303).await.unwrap());
        let (cut_off, session) = browser.begin().await;
        assert_eq!(session.view().flash_message("notice", ""), "saved");
        drop(cut_off.finish(status).await.unwrap());
        let page = browser.open().await.view();
        assert_eq!(page.flash_message("notice", ""), "saved", "{status}");
    }
}

#[tokio::test]
async fn a_cut_off_request_whose_commit_fails_changes_nothing() {
    let (app, browser) = signed_in().await;
    app.store.on("touch", Fault::Unavailable);
    app.store.on("rotate", Fault::Unavailable);
    let (context, session) = browser.begin().await;
    session.put("half", 1).unwrap();
    session.regenerate().unwrap();
    assert_eq!(context.finish(504).await.unwrap_err().error.http_status(), 503);
    assert_eq!(session.get::<String>("user").unwrap().as_deref(), Some("virk"));
    assert!(!session.has("half"));
}
