//! Visitors keep their sessions when the shop moves.
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::time::{Duration, SystemTime};

use axum::Router;
use cloakroom::{AppKeys, ForeignSessions, MemoryStore};
use from_tower_sessions::{
    after, before,
    takeover::{self, Protection, TowerSessions},
};
use migrations_client::{Browser, RedisServer};
use tower_sessions::{SessionStore, cookie::Key};
use tower_sessions_redis_store::{
    RedisStore,
    fred::prelude::{ClientLike, Config, Pool},
};
use tower_sessions_sqlx_store::{
    SqliteStore,
    sqlx::sqlite::{SqliteConnectOptions, SqlitePool},
};

/// Makes the shop after the switch. It takes sessions over until a date.
fn shop(old: TowerSessions<impl SessionStore>, until: SystemTime) -> Router {
    after::app(takeover::sessions(MemoryStore::new(), AppKeys::random(), old, until).unwrap())
}

fn in_a_day() -> SystemTime {
    SystemTime::now() + Duration::from_hours(24)
}

/// Visits the shop before the switch. Returns the visitor and the old cookie.
async fn visitor_of(shop: Router) -> (Browser<Router>, String) {
    let mut visitor = Browser::new(shop);
    visitor.get("/").await.assert_page("visit number 1");
    visitor.post("/cart", &[("item", "tea")]).await.assert_redirect("/cart");
    let cookie = visitor.cookie("id").unwrap().to_owned();
    (visitor, cookie)
}

/// Checks that the shop after the switch takes a session over, and only once.
async fn is_taken_over<S: SessionStore>(before: Router, old: impl Fn() -> TowerSessions<S>) {
    let (visitor, cookie) = visitor_of(before).await;
    assert!(old().find(&cookie).await.unwrap().is_some());

    let shop = shop(old(), in_a_day());
    let mut visitor = visitor.after_the_switch_to(shop.clone());
    visitor.get("/cart").await.assert_page("in the cart: tea");
    assert!(visitor.cookie("__Host-Http-session").is_some() && visitor.cookie("id").is_none());
    visitor.get("/").await.assert_page("visit number 2");
    assert!(old().find(&cookie).await.unwrap().is_none(), "the old record is removed");

    visitor.post("/leave", &[]).await.assert_redirect("/");
    visitor.get("/").await.assert_page("visit number 1");
    let mut thief = Browser::new(shop);
    thief.set_cookie("id", &cookie);
    thief.get("/cart").await.assert_page("in the cart: ");
}

#[tokio::test]
async fn sessions_in_sqlite_are_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let file = SqliteConnectOptions::new().filename(folder.path().join("sessions.sqlite"));
    let store =
        SqliteStore::new(SqlitePool::connect_with(file.create_if_missing(true)).await.unwrap());
    store.migrate().await.unwrap();
    let before = before::app(before::sessions(store.clone()));
    is_taken_over(before, || TowerSessions::new(store.clone())).await;
}

#[tokio::test]
async fn sessions_in_redis_are_taken_over() {
    let server = RedisServer::start();
    let config = Config::from_url(&server.url()).unwrap();
    let pool = Pool::new(config, None, None, None, 1).unwrap();
    pool.init().await.unwrap();
    let store = RedisStore::new(pool);
    let before = before::app(before::sessions(store.clone()));
    is_taken_over(before, || TowerSessions::new(store.clone())).await;
    assert_eq!(server.keys(), 0);
}

#[tokio::test]
async fn signed_and_encrypted_cookies_are_read() {
    let (store, key) = (tower_sessions::MemoryStore::default(), Key::generate());
    let before = before::app(before::sessions(store.clone()).with_signed(key.clone()));
    let signed = || Protection::Signed(key.clone());
    is_taken_over(before, || TowerSessions::new(store.clone()).protection(signed())).await;
    let before = before::app(before::sessions(store.clone()).with_private(key.clone()));
    let private = || Protection::Private(key.clone());
    is_taken_over(before, || TowerSessions::new(store.clone()).protection(private())).await;
}

#[tokio::test]
async fn a_cookie_under_another_key_is_refused() {
    let store = tower_sessions::MemoryStore::default();
    let before = before::app(before::sessions(store.clone()).with_signed(Key::generate()));
    let (visitor, _) = visitor_of(before).await;
    let old = TowerSessions::new(store).protection(Protection::Signed(Key::generate()));
    let mut visitor = visitor.after_the_switch_to(shop(old, in_a_day()));
    visitor.get("/").await.assert_page("visit number 1");
}

#[tokio::test]
async fn after_the_date_nothing_is_taken_over() {
    let store = tower_sessions::MemoryStore::default();
    let (visitor, cookie) = visitor_of(before::app(before::sessions(store.clone()))).await;
    let shop = shop(TowerSessions::new(store.clone()), SystemTime::now());
    let mut visitor = visitor.after_the_switch_to(shop);
    visitor.get("/").await.assert_page("visit number 1");
    assert!(TowerSessions::new(store).find(&cookie).await.unwrap().is_some());
}
