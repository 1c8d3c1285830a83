//! Users stay signed in when the application moves.
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::time::{Duration, SystemTime};

use axum::Router;
use cloakroom::{AppKeys, MemoryStore};
use from_axum_login::{accounts::Accounts, after, before, takeover};
use from_tower_sessions::takeover::TowerSessions;
use migrations_client::{Browser, RedisServer};
use tower_sessions::SessionStore;
use tower_sessions_redis_store::{
    RedisStore,
    fred::prelude::{ClientLike, Config, Pool},
};
use tower_sessions_sqlx_store::{
    SqliteStore,
    sqlx::sqlite::{SqliteConnectOptions, SqlitePool},
};

const RIGHT: [(&str, &str); 2] = [("name", "virk"), ("password", "correct horse")];

fn accounts() -> Accounts {
    let accounts = Accounts::default();
    accounts.put("virk", "Virk Roy", "correct horse");
    accounts
}

/// Makes the application after the switch. It takes sessions over until a date.
fn app(accounts: &Accounts, old: impl SessionStore, until: SystemTime) -> Router {
    let (store, keys, old) = (MemoryStore::new(), AppKeys::random(), TowerSessions::new(old));
    let sessions = takeover::sessions(accounts, store, keys, old, until);
    after::app(accounts, sessions.unwrap())
}

fn in_a_day() -> SystemTime {
    SystemTime::now() + Duration::from_hours(24)
}

/// Signs in before the switch. Returns the user and the old cookie.
async fn signed_in(
    accounts: &Accounts,
    store: impl SessionStore + Clone,
) -> (Browser<Router>, String) {
    let mut user = Browser::new(before::app(accounts, before::sessions(store)));
    user.post("/sign-in", &RIGHT).await.assert_redirect("/account");
    user.get("/account").await.assert_page("Signed in as Virk Roy.");
    let cookie = user.cookie("id").unwrap().to_owned();
    (user, cookie)
}

async fn stays_signed_in(old: impl SessionStore + Clone) {
    let accounts = accounts();
    let (user, cookie) = signed_in(&accounts, old.clone()).await;
    let app = app(&accounts, old.clone(), in_a_day());
    let mut user = user.after_the_switch_to(app.clone());
    user.get("/account").await.assert_page("Signed in as Virk Roy.");
    assert!(user.cookie("__Host-Http-session").is_some() && user.cookie("id").is_none());
    user.get("/account").await.assert_page("Signed in as Virk Roy.");
    assert!(old.load(&cookie.parse().unwrap()).await.unwrap().is_none(), "the record is removed");

    user.post("/sign-out", &[]).await.assert_redirect("/sign-in");
    user.get("/account").await.assert_redirect("/sign-in");
    let mut thief = Browser::new(app);
    thief.set_cookie("id", &cookie);
    thief.get("/account").await.assert_redirect("/sign-in");
}

#[tokio::test]
async fn users_stay_signed_in_from_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let file = SqliteConnectOptions::new().filename(folder.path().join("sessions.sqlite"));
    let pool = SqlitePool::connect_with(file.create_if_missing(true)).await.unwrap();
    let store = SqliteStore::new(pool);
    store.migrate().await.unwrap();
    stays_signed_in(store).await;
}

#[tokio::test]
async fn users_stay_signed_in_from_redis() {
    let server = RedisServer::start();
    let config = Config::from_url(&server.url()).unwrap();
    let pool = Pool::new(config, None, None, None, 1).unwrap();
    pool.init().await.unwrap();
    stays_signed_in(RedisStore::new(pool)).await;
    assert_eq!(server.keys(), 0);
}

#[tokio::test]
async fn a_password_changed_before_the_takeover_signs_nobody_in() {
    let (accounts, old) = (accounts(), tower_sessions::MemoryStore::default());
    let (user, _) = signed_in(&accounts, old.clone()).await;
    accounts.put("virk", "Virk Roy", "battery");
    let mut user = user.after_the_switch_to(app(&accounts, old, in_a_day()));
    user.get("/account").await.assert_redirect("/sign-in");
}

#[tokio::test]
async fn a_password_changed_after_the_takeover_ends_the_session() {
    let (accounts, old) = (accounts(), tower_sessions::MemoryStore::default());
    let (user, _) = signed_in(&accounts, old.clone()).await;
    let mut user = user.after_the_switch_to(app(&accounts, old, in_a_day()));
    user.get("/account").await.assert_page("Signed in as Virk Roy.");
    accounts.put("virk", "Virk Roy", "battery");
    user.get("/account").await.assert_redirect("/sign-in");
}

#[tokio::test]
async fn after_the_date_nothing_is_taken_over() {
    let (accounts, old) = (accounts(), tower_sessions::MemoryStore::default());
    let (user, cookie) = signed_in(&accounts, old.clone()).await;
    let mut user = user.after_the_switch_to(app(&accounts, old.clone(), SystemTime::now()));
    user.get("/account").await.assert_redirect("/sign-in");
    assert!(old.load(&cookie.parse().unwrap()).await.unwrap().is_some());
}
