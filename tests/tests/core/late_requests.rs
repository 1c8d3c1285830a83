//! Requests that take long: a logout after another request has rotated the token, and a read whose
//! deadline cannot be moved.

use std::time::Duration;

use cloakroom_tests::{
    local::{LocalApp, LocalBrowser},
    store::{Fault, Faults},
};

const DAY: Duration = Duration::from_hours(24);

/// An application with this idle timeout, and a browser whose session has the value `user`.
async fn signed_in(idle_timeout: Duration) -> (LocalApp<Faults>, LocalBrowser) {
    let app = LocalApp::with(Faults::default(), |builder| builder.idle_timeout(idle_timeout));
    let browser = app.browser_with(|session| session.put("user", "virk").unwrap()).await;
    (app, browser)
}

async fn is_signed_in(browser: &LocalBrowser) -> bool {
    browser.open().await.has("user")
}

async fn regenerate(browser: &mut LocalBrowser) {
    browser.visit(|session| session.regenerate().unwrap()).await;
}

#[tokio::test]
async fn a_slow_logout_ends_the_session_under_its_new_token() {
    let (app, mut browser) = signed_in(10 * DAY).await;
    let (request, leaving) = browser.begin().await;
    regenerate(&mut browser).await;
    regenerate(&mut browser).await;
    app.clock.advance(Duration::from_mins(10));
    assert!(is_signed_in(&browser).await);
    leaving.destroy().unwrap();
    let headers = request.finish(200).await.unwrap();
    assert!(headers.set_cookie[0].contains("Max-Age=0"), "{headers:?}");
    assert!(!is_signed_in(&browser).await);
    assert!(app.store.records.is_empty());
}

/// After two hours the store has forgotten the new key of the session, so the response must not say
/// that the session has ended.
#[tokio::test]
async fn a_logout_that_took_two_hours_is_an_error() {
    let (app, mut browser) = signed_in(10 * DAY).await;
    let (request, leaving) = browser.begin().await;
    regenerate(&mut browser).await;
    app.clock.advance(Duration::from_hours(2));
    leaving.destroy().unwrap();
    let refused = request.finish(200).await.unwrap_err();
    assert_eq!((refused.error.code(), refused.error.http_status()), ("store", 500));
    assert_eq!(refused.headers.set_cookie, Vec::<String>::new());
    assert!(is_signed_in(&browser).await);
}

/// The session has not moved, so the logout ends it however late it is.
#[tokio::test]
async fn a_slow_logout_without_another_request_ends_the_session() {
    let (app, browser) = signed_in(10 * DAY).await;
    let (request, leaving) = browser.begin().await;
    app.clock.advance(Duration::from_hours(2));
    leaving.destroy().unwrap();
    drop(request.finish(200).await.unwrap());
    assert!(!is_signed_in(&browser).await);
}

#[tokio::test]
async fn a_touch_that_cannot_be_written_does_not_fail_the_request() {
    let (app, mut browser) = signed_in(DAY).await;
    app.store.on("touch", Fault::Unavailable);
    app.clock.advance(DAY / 4);
    let user = |session: &cloakroom::Session| {
        assert_eq!(session.get::<String>("user").unwrap().as_deref(), Some("virk"));
    };
    assert_eq!(browser.visit(user).await, Vec::<String>::new());
    assert_eq!(app.store.count("touch"), 1, "the touch was due");

    // An explicit commit is no different.
    browser.open().await.commit().await.unwrap();

    // A change moves the deadline as well, and is not a touch.
    assert!(!browser.visit(|session| session.put("seen", true).unwrap()).await.is_empty());
    app.clock.advance(Duration::from_secs(24 * 60 * 60 - 1));
    assert!(is_signed_in(&browser).await);
}

#[tokio::test]
async fn the_deadline_stands_while_touches_fail_and_moves_afterwards() {
    let (app, mut browser) = signed_in(DAY).await;
    app.store.on("touch", Fault::Unavailable);
    app.clock.advance(DAY / 2);
    assert_eq!(browser.visit(|_| ()).await, Vec::<String>::new());
    app.store.on("touch", Fault::None);
    assert!(!browser.visit(|_| ()).await.is_empty());
    app.clock.advance(Duration::from_secs(24 * 60 * 60 - 1));
    assert!(is_signed_in(&browser).await);
    app.clock.advance(Duration::from_secs(1));
    assert!(!is_signed_in(&browser).await);
}
