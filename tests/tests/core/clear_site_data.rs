//! The data that browsers remove at a sign-out.

use cloakroom::{
    AppKeys, Driver, MemoryStore, Session, Sessions, SessionsBuilder, SiteData,
    adapter::RequestContext, cookie::CookieSettings,
};
use cloakroom_tests::local::LocalBrowser;

const DATA: [SiteData; 2] = [SiteData::Cache, SiteData::Storage];

fn builders() -> [SessionsBuilder; 2] {
    let keys = AppKeys::random();
    [Sessions::builder(Driver::Cookie, keys.clone()), Sessions::builder(MemoryStore::new(), keys)]
        .map(|builder| builder.clear_site_data(DATA))
}

/// Returns the header of the response to a request, and the browser afterwards.
async fn cleared(browser: &mut LocalBrowser, handler: impl FnOnce(&Session)) -> Option<String> {
    let (context, session) = browser.begin().await;
    handler(&session);
    let headers = context.finish(200).await.unwrap();
    browser.keep(&headers);
    headers.clear_site_data
}

fn sign_out(session: &Session) {
    session.sign_out().unwrap();
}

#[tokio::test]
async fn a_sign_out_clears_data_and_other_requests_do_not() {
    for builder in builders() {
        let mut browser = LocalBrowser::new(&builder.build().unwrap());
        assert_eq!(cleared(&mut browser, sign_out).await, None, "there was no session");
        assert_eq!(cleared(&mut browser, |session| session.sign_in("virk").unwrap()).await, None);
        assert_eq!(cleared(&mut browser, |session| session.regenerate().unwrap()).await, None);
        let header = Some("\"cache\", \"storage\"");
        assert_eq!(cleared(&mut browser, sign_out).await.as_deref(), header);
        assert_eq!(cleared(&mut browser, sign_out).await, None, "the session has ended before");
    }
}

#[tokio::test]
async fn a_sign_out_with_a_goodbye_message_clears_data() {
    for builder in builders() {
        let mut browser = LocalBrowser::new(&builder.build().unwrap());
        cleared(&mut browser, |session| session.sign_in("virk").unwrap()).await;
        let goodbye = |session: &Session| {
            sign_out(session);
            session.flash_push("notice", "Goodbye!").unwrap();
        };
        assert!(cleared(&mut browser, goodbye).await.is_some());
        assert_eq!(browser.jar.len(), 1);
        assert_eq!(cleared(&mut browser, |_| ()).await, None);
    }
}

#[tokio::test]
async fn a_sign_out_that_is_committed_early_clears_data() {
    let [_, on_store] = builders();
    let mut browser = LocalBrowser::new(&on_store.build().unwrap());
    cleared(&mut browser, |session| session.sign_in("virk").unwrap()).await;
    let (context, session) = browser.begin().await;
    sign_out(&session);
    session.commit().await.unwrap();
    assert!(context.finish(500).await.unwrap().clear_site_data.is_some());
}

// The other cookie belongs to a newer login, whose data would be cleared.
#[tokio::test]
async fn a_logout_that_finds_no_session_clears_nothing() {
    let [_, on_store] = builders();
    let mut browser = LocalBrowser::new(&on_store.build().unwrap());
    cleared(&mut browser, |session| session.sign_in("virk").unwrap()).await;
    let late = browser.clone();
    let (context, session) = late.begin().await;
    cleared(&mut browser, sign_out).await;
    sign_out(&session);
    assert_eq!(context.finish(200).await.unwrap().clear_site_data, None);
}

#[tokio::test]
async fn plain_http_and_the_default_clear_nothing() {
    let [_, plain] = builders();
    let plain = plain.cookie_settings(CookieSettings::development());
    for builder in [plain, Sessions::builder(MemoryStore::new(), AppKeys::random())] {
        let mut browser = LocalBrowser::new(&builder.build().unwrap());
        cleared(&mut browser, |session| session.sign_in("virk").unwrap()).await;
        assert_eq!(cleared(&mut browser, sign_out).await, None);
    }
}

#[tokio::test]
async fn a_sign_out_with_a_bearer_token_clears_data() {
    let [_, on_store] = builders();
    let sessions = on_store.build().unwrap().bearer().unwrap();
    let no_headers: &[(&str, &str)] = &[];
    let context = RequestContext::new(&sessions);
    let session = context.session(no_headers).await.unwrap();
    let token = format!("Bearer {}", session.bearer_token().unwrap());
    drop(context.finish(200).await.unwrap());
    let context = RequestContext::new(&sessions);
    let headers = [("authorization", token.as_str())];
    sign_out(&context.session(headers.as_slice()).await.unwrap());
    assert!(context.finish(200).await.unwrap().clear_site_data.is_some());
}

#[tokio::test]
async fn the_cookie_of_the_next_session_is_not_cleared() {
    for (data, header) in [
        (vec![SiteData::All], "\"cache\", \"storage\""),
        (vec![SiteData::Cache, SiteData::Cookies], "\"cache\""),
    ] {
        let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random());
        let mut browser = LocalBrowser::new(&sessions.clear_site_data(data).build().unwrap());
        browser.visit(|session| session.sign_in("virk").unwrap()).await;
        let other = cleared(&mut browser, |session| session.sign_in("eve").unwrap()).await;
        assert_eq!(other.as_deref(), Some(header));
        assert_eq!(browser.open().await.owner().as_deref(), Some("eve"));
    }
}
