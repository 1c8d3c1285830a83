//! Visitors keep their sessions when the shop moves.
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::time::{Duration, SystemTime};

use actix_session::{
    SessionMiddleware,
    config::CookieContentSecurity,
    storage::{CookieSessionStore, RedisSessionStore, SessionStore},
};
use actix_web::cookie::Key;
use cloakroom::{AppKeys, Driver, ForeignSessions, MemoryStore};
use from_actix_session::{
    after, before,
    takeover::{self, ActixSessions},
};
use migrations_client::{Application, Browser, RedisServer, actix};

/// Makes the shop after the switch. It takes sessions over until a date.
async fn shop<S: SessionStore>(
    driver: impl Into<Driver>,
    old: ActixSessions<S>,
    until: SystemTime,
) -> impl Application + Clone
where
    ActixSessions<S>: ForeignSessions,
{
    let sessions = takeover::sessions(driver, AppKeys::random(), old, until).unwrap();
    actix(after::app(sessions)).await
}

fn in_a_day() -> SystemTime {
    SystemTime::now() + Duration::from_hours(24)
}

/// Visits the shop before the switch. Returns the visitor and the old cookie.
async fn visitor_of<A: Application>(shop: A) -> (Browser<A>, String) {
    let mut visitor = Browser::new(shop);
    visitor.get("/").await.assert_page("visit number 1");
    visitor.post("/cart", &[("item", "tea")]).await.assert_redirect("/cart");
    let cookie = visitor.cookie("id").unwrap().to_owned();
    (visitor, cookie)
}

#[actix_web::test]
async fn sessions_in_redis_are_taken_over_once() {
    let (server, key) = (RedisServer::start(), Key::generate());
    let store = RedisSessionStore::new(server.url()).await.unwrap();
    let before = actix(before::app(before::sessions(store.clone(), key.clone()))).await;
    let (visitor, cookie) = visitor_of(before).await;
    assert_eq!(server.keys(), 1);

    let old = ActixSessions::new(store, key);
    let shop = shop(MemoryStore::new(), old, in_a_day()).await;
    let mut visitor = visitor.after_the_switch_to(shop.clone());
    visitor.get("/cart").await.assert_page("in the cart: tea");
    assert!(visitor.cookie("__Host-Http-session").is_some() && visitor.cookie("id").is_none());
    visitor.get("/").await.assert_page("visit number 2");
    assert_eq!(server.keys(), 0, "the old record is removed");

    visitor.post("/leave", &[]).await.assert_redirect("/");
    visitor.get("/").await.assert_page("visit number 1");
    let mut thief = Browser::new(shop);
    thief.set_cookie("id", &cookie);
    thief.get("/cart").await.assert_page("in the cart: ");
}

async fn cookie_is_taken_over(driver: impl Into<Driver>, security: CookieContentSecurity) {
    let (store, key) = (CookieSessionStore::default(), Key::generate());
    let before = SessionMiddleware::builder(store, key.clone()).cookie_content_security(security);
    let before = before.build();
    let (visitor, _) = visitor_of(actix(before::app(before)).await).await;

    let old = ActixSessions::new(CookieSessionStore::default(), key);
    let old = old.cookie_content_security(security);
    let mut visitor = visitor.after_the_switch_to(shop(driver, old, in_a_day()).await);
    visitor.get("/cart").await.assert_page("in the cart: tea");
    assert!(visitor.cookie("__Host-Http-session").is_some() && visitor.cookie("id").is_none());
    visitor.get("/").await.assert_page("visit number 2");
    visitor.post("/leave", &[]).await.assert_redirect("/");
    visitor.get("/").await.assert_page("visit number 1");
}

#[actix_web::test]
async fn sessions_in_cookies_are_taken_over_into_a_store_or_a_cookie() {
    for security in [CookieContentSecurity::Private, CookieContentSecurity::Signed] {
        cookie_is_taken_over(MemoryStore::new(), security).await;
    }
    cookie_is_taken_over(Driver::Cookie, CookieContentSecurity::Private).await;
}

#[actix_web::test]
async fn a_cookie_under_another_key_is_refused() {
    let before = before::sessions(CookieSessionStore::default(), Key::generate());
    let (visitor, _) = visitor_of(actix(before::app(before)).await).await;
    let old = ActixSessions::new(CookieSessionStore::default(), Key::generate());
    let shop = shop(MemoryStore::new(), old, in_a_day()).await;
    visitor.after_the_switch_to(shop).get("/").await.assert_page("visit number 1");
}

#[actix_web::test]
async fn after_the_date_nothing_is_taken_over() {
    let (server, key) = (RedisServer::start(), Key::generate());
    let store = RedisSessionStore::new(server.url()).await.unwrap();
    let before = actix(before::app(before::sessions(store.clone(), key.clone()))).await;
    let (visitor, _) = visitor_of(before).await;
    let shop = shop(MemoryStore::new(), ActixSessions::new(store, key), SystemTime::now()).await;
    visitor.after_the_switch_to(shop).get("/").await.assert_page("visit number 1");
    assert_eq!(server.keys(), 1);
}
