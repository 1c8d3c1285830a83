//! Users stay signed in when the application moves.
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::time::{Duration, SystemTime};

use actix_session::storage::{CookieSessionStore, RedisSessionStore, SessionStore};
use actix_web::cookie::Key;
use cloakroom::{AppKeys, ForeignSessions, MemoryStore};
use from_actix_identity::{
    after, before,
    takeover::{self, ActixIdentity},
};
use from_actix_session::takeover::ActixSessions;
use migrations_client::{Application, Browser, RedisServer, actix};

const RIGHT: [(&str, &str); 2] = [("name", "virk"), ("password", "correct horse")];

/// Makes the application after the switch. It takes sessions over until a date.
async fn app<S: SessionStore>(old: ActixSessions<S>, until: SystemTime) -> impl Application + Clone
where
    ActixIdentity<S>: ForeignSessions,
{
    let sessions = takeover::sessions(MemoryStore::new(), AppKeys::random(), old, until);
    actix(after::app(sessions.unwrap())).await
}

fn in_a_day() -> SystemTime {
    SystemTime::now() + Duration::from_hours(24)
}

/// Signs in before the switch. Returns the user and the old cookie.
async fn signed_in<A: Application>(app: A) -> (Browser<A>, String) {
    let mut user = Browser::new(app);
    user.post("/sign-in", &RIGHT).await.assert_redirect("/account");
    user.get("/account").await.assert_page("Signed in as virk.");
    let cookie = user.cookie("id").unwrap().to_owned();
    (user, cookie)
}

#[actix_web::test]
async fn users_stay_signed_in_from_redis() {
    let (server, key) = (RedisServer::start(), Key::generate());
    let store = RedisSessionStore::new(server.url()).await.unwrap();
    let before = actix(before::app(before::sessions(store.clone(), key.clone()))).await;
    let (user, cookie) = signed_in(before).await;

    let app = app(ActixSessions::new(store, key), in_a_day()).await;
    let mut user = user.after_the_switch_to(app.clone());
    user.get("/account").await.assert_page("Signed in as virk.");
    assert!(user.cookie("__Host-Http-session").is_some() && user.cookie("id").is_none());
    user.get("/account").await.assert_page("Signed in as virk.");
    assert_eq!(server.keys(), 0, "the old record is removed");

    user.post("/sign-out", &[]).await.assert_redirect("/sign-in");
    user.get("/account").await.assert_redirect("/sign-in");
    let mut thief = Browser::new(app);
    thief.set_cookie("id", &cookie);
    thief.get("/account").await.assert_redirect("/sign-in");
}

#[actix_web::test]
async fn users_stay_signed_in_from_cookies() {
    let key = Key::generate();
    let before = before::sessions(CookieSessionStore::default(), key.clone());
    let (user, _) = signed_in(actix(before::app(before)).await).await;

    let old = ActixSessions::new(CookieSessionStore::default(), key);
    let mut user = user.after_the_switch_to(app(old, in_a_day()).await);
    user.get("/account").await.assert_page("Signed in as virk.");
    assert!(user.cookie("__Host-Http-session").is_some() && user.cookie("id").is_none());
    user.post("/sign-out", &[]).await.assert_redirect("/sign-in");
    user.get("/account").await.assert_redirect("/sign-in");
}

#[actix_web::test]
async fn after_the_date_nothing_is_taken_over() {
    let (server, key) = (RedisServer::start(), Key::generate());
    let store = RedisSessionStore::new(server.url()).await.unwrap();
    let before = actix(before::app(before::sessions(store.clone(), key.clone()))).await;
    let (user, _) = signed_in(before).await;
    let app = app(ActixSessions::new(store, key), SystemTime::now()).await;
    user.after_the_switch_to(app).get("/account").await.assert_redirect("/sign-in");
    assert_eq!(server.keys(), 1);
}
