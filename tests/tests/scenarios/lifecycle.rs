//! Token and deadlines: regenerate, destroy, idle and absolute timeout.

use std::time::Duration;

use cloakroom::{
    clock::{Clock, Timestamp},
    store::Sweep,
};
use cloakroom_tests::{
    jar::SetCookie,
    server::{Backend, Server, Setup},
};
use serde_json::{Value, json};

every_driver! {
    regenerate_gives_a_new_token_and_keeps_the_values,
    destroy_ends_the_session_and_removes_its_cookie,
    a_busy_reader_moves_the_deadline_by_tenths,
    the_idle_timeout_is_enforced_without_the_browser,
    a_clock_that_goes_back_brings_nothing_back,
    putting_after_destroy_begins_another_session,
    is_new_says_whether_the_visitor_came_with_a_session,
}

server_side! {
    the_old_token_is_dead_after_regenerate,
    parallel_logins_leave_one_session,
    a_dead_token_writes_nothing_and_keeps_its_cookie,
    a_dead_token_begins_anew_when_its_tombstone_has_gone,
}

crate::on_drivers! { Memory; sweeping_removes_what_expired_and_nothing_else }

fn put_user() -> Value {
    json!([{"do": "put", "key": "user", "value": "virk"}])
}

fn user() -> Value {
    json!({"do": "get", "key": "user"})
}

// Requirement 6.
async fn regenerate_gives_a_new_token_and_keeps_the_values(server: Server) {
    let mut visitor = server.client();
    visitor.script(&put_user()).await;
    let before = visitor.jar.get("session").unwrap().to_owned();
    visitor.step(json!({"do": "regenerate"})).await;
    assert_ne!(visitor.jar.get("session").unwrap(), before);
    assert_eq!(visitor.step(user()).await, "virk");
}

// Requirement 6.
async fn the_old_token_is_dead_after_regenerate(server: Server) {
    let mut visitor = server.client();
    visitor.script(&put_user()).await;
    let mut old = visitor.clone();
    visitor.step(json!({"do": "regenerate"})).await;
    assert_eq!(old.step(user()).await, Value::Null);
    assert_eq!(server.backend.records(), 1);
    println!("records after regenerate: 1");
}

// Requirement 19.
async fn destroy_ends_the_session_and_removes_its_cookie(server: Server) {
    let mut visitor = server.client();
    visitor.script(&put_user()).await;
    let reply = visitor.script(&json!([{"do": "destroy"}])).await;
    let removal = SetCookie::parse(&reply.set_cookies()[0]).unwrap();
    assert!(removal.removes() && visitor.jar.is_empty());
    assert_eq!(visitor.step(user()).await, Value::Null);
}

// Requirements 11 and 38.
async fn the_idle_timeout_is_enforced_without_the_browser(server: Server) {
    let mut visitor = server.client();
    visitor.script(&put_user()).await;
    let kept = visitor.jar.clone();
    server.clock.advance(Duration::from_secs(7_199));
    assert_eq!(visitor.clone().step(user()).await, "virk");
    visitor.jar = kept.clone();
    server.clock.advance(Duration::from_hours(2));
    assert_eq!(visitor.step(user()).await, Value::Null);
    println!("{:?}: dead at its deadline", server.setup);
}

// Requirement 12.
#[tokio::test]
async fn the_absolute_lifetime_ends_even_a_busy_session() {
    for setup in Setup::all() {
        let hour = Duration::from_hours(1);
        let server =
            Server::start_with(setup, |it| it.idle_timeout(hour * 2).absolute_timeout(hour * 5))
                .await;
        let mut visitor = server.client();
        visitor.script(&put_user()).await;
        for hours in 1..5 {
            server.clock.advance(hour);
            assert_eq!(visitor.step(user()).await, "virk", "{setup:?} after {hours} h");
        }
        server.clock.advance(Duration::from_millis(3_599_999));
        assert_eq!(visitor.clone().step(user()).await, "virk");
        server.clock.advance(Duration::from_millis(1));
        assert_eq!(visitor.step(user()).await, Value::Null, "{setup:?}");
        println!("{setup:?}: ended at the absolute deadline, skew 0 s");
    }
}

/// Regression 9: Set-Cookie on every response.
async fn a_busy_reader_moves_the_deadline_by_tenths(server: Server) {
    let mut visitor = server.client();
    visitor.script(&put_user()).await;
    let mut cookies = 0;
    for _ in 0..60 {
        server.clock.advance(Duration::from_mins(2));
        cookies += visitor.script(&json!([user()])).await.set_cookies().len();
    }
    assert!((8..=10).contains(&cookies), "{cookies} cookies in one idle time");
    assert_eq!(visitor.step(user()).await, "virk");
}

// Requirement 14.
async fn a_clock_that_goes_back_brings_nothing_back(server: Server) {
    let mut visitor = server.client();
    visitor.script(&put_user()).await;
    let kept = visitor.jar.clone();
    server.clock.advance(Duration::from_hours(3));
    assert_eq!(visitor.step(user()).await, Value::Null);
    visitor.script(&put_user()).await;
    let now = server.clock.now().as_millis();
    server.clock.set(Timestamp::from_millis(now - 3_600_000));
    assert_eq!(visitor.step(user()).await, "virk");
    visitor.jar = kept;
    assert_eq!(visitor.step(user()).await, Value::Null);
}

/// Regression 4: `flush` then `insert` keeps the id.
async fn putting_after_destroy_begins_another_session(server: Server) {
    let mut visitor = server.client();
    visitor.script(&json!([{"do": "put", "key": "user", "value": 1}, {"do": "put", "key": "old", "value": 1}])).await;
    let old = visitor.clone();
    visitor.script(&json!([{"do": "destroy"}, {"do": "put", "key": "user", "value": 2}])).await;
    assert_ne!(visitor.jar.get("session"), old.jar.get("session"));
    assert_eq!(visitor.step(json!({"do": "all"})).await, json!({"user": 2}));
}

async fn is_new_says_whether_the_visitor_came_with_a_session(server: Server) {
    let mut visitor = server.client();
    assert_eq!(visitor.step(json!({"do": "is_new"})).await, true);
    visitor.script(&put_user()).await;
    assert_eq!(visitor.step(json!({"do": "is_new"})).await, false);
}

// Requirement 8.
async fn parallel_logins_leave_one_session(server: Server) {
    let mut visitor = server.client();
    visitor.script(&put_user()).await;
    let login = json!([{"do": "regenerate"}, {"do": "put", "key": "admin", "value": true}]);
    let logins: Vec<_> = (0..32)
        .map(|_| {
            let (mut visitor, login) = (visitor.clone(), login.clone());
            tokio::spawn(async move {
                let reply = visitor.script(&login).await;
                (reply.status.as_u16(), visitor)
            })
        })
        .collect();
    let (mut privileged, mut errors, mut carried_on) = (0, 0, 0);
    for login in logins {
        let (status, mut visitor) = login.await.unwrap();
        errors += usize::from(status >= 500);
        let all = visitor.step(json!({"do": "all"})).await;
        privileged += usize::from(all["admin"] == true);
        carried_on += usize::from(all["user"] == "virk");
    }
    assert_eq!(errors, 0);
    assert_eq!((carried_on, privileged), (1, 1), "the session went on under one new token");
    assert_eq!(visitor.step(user()).await, Value::Null, "the old token is dead");
    println!("32 parallel logins: 5xx 0, signed in {privileged}, clean losers {}", 32 - privileged);
}

async fn a_dead_token_writes_nothing_and_keeps_its_cookie(server: Server) {
    let mut visitor = server.client();
    visitor.script(&put_user()).await;
    let mut late = visitor.clone();
    visitor.step(json!({"do": "destroy"})).await;
    for step in [
        json!({"do": "put", "key": "k", "value": 1}),
        json!({"do": "destroy"}),
        json!({"do": "all"}),
    ] {
        let reply = late.script(&json!([step])).await;
        assert!(reply.set_cookies().is_empty(), "{:?}", reply.set_cookies());
    }
    assert_eq!(late.step(json!({"do": "all"})).await, json!({}));
    assert_eq!(server.backend.records(), 0);
}

/// A visitor whose browser never saw the answer to the logout still holds the dead token.
async fn a_dead_token_begins_anew_when_its_tombstone_has_gone(server: Server) {
    let mut visitor = server.client();
    visitor.script(&put_user()).await;
    let mut late = visitor.clone();
    visitor.step(json!({"do": "destroy"})).await;
    let login = json!([{"do": "regenerate"}, {"do": "put", "key": "user", "value": "again"}]);
    assert!(late.script(&login).await.set_cookies().is_empty());
    server.clock.advance(Duration::from_secs(30));
    late.script(&login).await;
    assert_eq!(late.step(json!({"do": "all"})).await, json!({"user": "again"}));
}

async fn sweeping_removes_what_expired_and_nothing_else(server: Server) {
    for _ in 0..200 {
        server.client().script(&put_user()).await;
    }
    server.clock.advance(Duration::from_hours(3));
    let mut live = server.client();
    live.script(&put_user()).await;
    let Backend::Memory(store) = &server.backend else { panic!("a sweep of the memory store") };
    let mut removed = 0;
    loop {
        let swept = store.sweep(1_000).await.unwrap();
        removed += swept.removed;
        if swept.is_finished() {
            break;
        }
    }
    assert_eq!(removed, 200);
    assert_eq!(live.step(user()).await, "virk");
    println!("swept: {removed} expired, 1 live left");
}
