//! The page that a session remembers: which responses count, and what they cost.

use std::sync::Arc;

use cloakroom::{
    AppKeys, Driver, Session, Sessions, SessionsBuilder, adapter::RequestContext, clock::FakeClock,
    cookie::CookieSettings,
};
use cloakroom_tests::local::{LocalApp, LocalBrowser, build};

fn app() -> LocalApp {
    LocalApp::with((), |builder: SessionsBuilder| builder.previous_url(true))
}

/// A response to a `GET` of this target, as an adapter notes it.
async fn respond(
    browser: &mut LocalBrowser,
    headers: &[(&str, &str)],
    (target, status, content_type): (&str, u16, &str),
    handler: impl FnOnce(&Session),
) {
    let context = RequestContext::new(&browser.sessions);
    let cookie = browser.jar.header().unwrap_or_default();
    let headers = [headers, &[("cookie", cookie.as_str())]].concat();
    handler(&context.session(headers.as_slice()).await.unwrap());
    context.note_page("GET", target, Some(content_type));
    browser.keep(&context.finish(status).await.unwrap());
}

async fn page(browser: &mut LocalBrowser, target: &str) {
    respond(browser, &[], (target, 200, "text/html; charset=utf-8"), |_| ()).await;
}

async fn previous(browser: &LocalBrowser) -> Option<String> {
    browser.open().await.previous_url().unwrap()
}

#[tokio::test]
async fn the_last_page_is_kept_and_written_only_if_it_differs() {
    let app = app();
    let mut browser = app.browser_with(|session| session.put("cart", 1).unwrap()).await;
    page(&mut browser, "/products?page=2").await;
    assert_eq!(app.store.calls(), ["load", "replace"]);
    page(&mut browser, "/products?page=2").await;
    assert_eq!(app.store.calls(), ["load"]);
    assert_eq!(previous(&browser).await.as_deref(), Some("/products?page=2"));
}

#[tokio::test]
async fn other_responses_are_no_pages() {
    let app = app();
    let mut browser = app.browser_with(|session| session.put("cart", 1).unwrap()).await;
    page(&mut browser, "/kept").await;
    let html = "text/html";
    for (headers, response) in [
        (vec![], ("/data", 200, "application/json")),
        (vec![], ("/moved", 303, html)),
        (vec![], ("/missing", 404, html)),
        (vec![], ("//evil.example", 200, html)),
        (vec![("sec-fetch-mode", "cors")], ("/part", 200, html)),
        (vec![("sec-purpose", "prefetch")], ("/prefetched", 200, html)),
    ] {
        respond(&mut browser, &headers, response, |_| ()).await;
        assert_eq!(previous(&browser).await.as_deref(), Some("/kept"), "{response:?}");
    }
    let long = format!("/{}", "x".repeat(2048));
    page(&mut browser, &long).await;
    let context = RequestContext::new(&app.sessions);
    let headers = [("cookie", browser.jar.header().unwrap())];
    context.session(headers.as_slice()).await.unwrap();
    context.note_page("POST", "/posted", Some(html));
    drop(context.finish(200).await.unwrap());
    assert_eq!(previous(&browser).await.as_deref(), Some("/kept"));
}

#[tokio::test]
async fn a_page_begins_no_session_and_keeps_none_alive() {
    let app = app();
    let mut browser = app.browser();
    page(&mut browser, "/").await;
    respond(&mut browser, &[], ("/", 200, "text/html"), |session| drop(session.csrf_token())).await;
    assert!(app.store.calls().is_empty() && app.store.records.is_empty());
    let begins = |session: &Session| session.put("cart", 1).unwrap();
    respond(&mut browser, &[], ("/first", 200, "text/html"), begins).await;
    assert_eq!(previous(&browser).await.as_deref(), Some("/first"));
    let ends = |session: &Session| session.destroy().unwrap();
    respond(&mut browser, &[], ("/bye", 200, "text/html"), ends).await;
    assert!(app.store.records.is_empty());
    let off = LocalApp::new();
    let mut browser = off.browser_with(begins).await;
    page(&mut browser, "/").await;
    assert_eq!(previous(&browser).await, None, "off by default");
}

#[tokio::test]
async fn the_cookie_driver_keeps_the_page_in_the_cookie() {
    let builder = Sessions::builder(Driver::Cookie, AppKeys::random()).previous_url(true);
    let mut browser = LocalBrowser::new(&build(builder, &Arc::new(FakeClock::default())));
    browser.visit(|session| session.put("cart", 1).unwrap()).await;
    page(&mut browser, "/a").await;
    assert_eq!(previous(&browser).await.as_deref(), Some("/a"));
}

#[tokio::test]
async fn a_full_session_keeps_its_values_and_forgets_the_page() {
    let on_store = LocalApp::with((), |builder| builder.previous_url(true).max_bytes(1_000));
    let one_cookie = CookieSettings { max_chunks: 1, ..CookieSettings::development() };
    let on_cookies = Sessions::builder(Driver::Cookie, AppKeys::random()).previous_url(true);
    let on_cookies = on_cookies.cookie_settings(one_cookie).build().unwrap();
    for (sessions, size) in [(on_store.sessions.clone(), 850), (on_cookies, 2_850)] {
        let mut browser = LocalBrowser::new(&sessions);
        let note = "n".repeat(size);
        browser.visit(|session| session.put("note", &note).unwrap()).await;
        page(&mut browser, "/short").await;
        assert_eq!(previous(&browser).await.as_deref(), Some("/short"), "{size}");
        let long = format!("/{}", "x".repeat(1_000));
        respond(&mut browser, &[], (&long, 200, "text/html"), |session| {
            session.put("seen", true).unwrap();
        })
        .await;
        assert_eq!(previous(&browser).await, None, "{size}");
        let session = browser.open().await;
        assert_eq!(session.get::<bool>("seen").unwrap(), Some(true), "{size}");
        assert_eq!(session.get::<String>("note").unwrap().as_ref(), Some(&note), "{size}");
    }
}

#[tokio::test]
async fn a_page_that_was_shown_before_makes_room_for_a_change() {
    let app = LocalApp::with((), |builder| builder.previous_url(true).max_bytes(1_000));
    let mut browser = app.browser_with(|session| session.put("a", "n".repeat(600)).unwrap()).await;
    page(&mut browser, &format!("/{}", "x".repeat(200))).await;
    assert!(previous(&browser).await.is_some());
    browser.visit(|session| session.put("b", "n".repeat(200)).unwrap()).await;
    assert_eq!(previous(&browser).await, None);
    assert!(browser.open().await.has("b"));
}
