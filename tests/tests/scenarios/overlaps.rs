//! Requests that overlap, and what comes too late.

use std::time::Duration;

use cloakroom_tests::{
    client::{Client, Sent},
    server::{Server, Setup},
};
use http::Method;
use serde_json::{Value, json};

use crate::concurrency::start;

every_driver! {
    no_change_of_a_late_session_is_taken,
    no_head_request_consumes_flash,
}

server_side! {
    of_two_overlapping_sign_ins_each_answer_signs_in,
    a_regenerate_that_a_sign_in_overtakes_gets_no_cookie,
    ending_the_others_spares_whoever_signs_in_beside_it,
    exact_changes_of_a_late_session_come_too_late,
    a_slow_poll_leaves_the_cookie_of_a_login_alone,
    a_late_second_logout_spares_the_next_login,
}

fn put(key: &str, value: impl Into<Value>) -> Value {
    json!({"do": "put", "key": key, "value": value.into()})
}

fn get(key: &str) -> Value {
    json!({"do": "get", "key": key})
}

async fn guest(server: &Server) -> Client {
    let mut visitor = server.client();
    visitor.step(put("cart", 1)).await;
    visitor
}

fn cookie(visitor: &Client) -> String {
    visitor.jar.get("session").unwrap().to_owned()
}

/// The sleep stands for the check of a password.
fn sign_in() -> Value {
    json!([
        get("cart"),
        {"do": "sleep", "ms": 20},
        {"do": "set_owner", "owner": "u"},
        put("user", "virk"),
        {"do": "regenerate"},
    ])
}

async fn is_signed_in(visitor: &mut Client) -> bool {
    visitor.step(get("user")).await == "virk"
}

/// How many sessions the owner has, and how many of them are the visitor's.
async fn listed(visitor: &mut Client) -> (usize, usize) {
    let list = visitor.step(json!({"do": "sessions_of", "owner": "u"})).await;
    let list = list.as_array().cloned().unwrap();
    (list.len(), list.iter().filter(|session| session["current"] == true).count())
}

/// The browser drops the answer to the first click. Which of the two commits first is open.
async fn of_two_overlapping_sign_ins_each_answer_signs_in(server: Server) {
    for _ in 0..10 {
        let visitor = guest(&server).await;
        let (first, second) = (start(&visitor, sign_in()), start(&visitor, sign_in()));
        let (_, dropped) = first.await.unwrap();
        let (reply, mut after) = second.await.unwrap();
        assert_eq!((reply.status.as_u16(), reply.set_cookies().len()), (200, 1));
        assert_ne!(cookie(&after), cookie(&visitor));
        assert_ne!(cookie(&after), cookie(&dropped));
        assert!(is_signed_in(&mut after).await);
        assert_eq!(listed(&mut after).await.1, 1);
    }
}

/// Whoever has an old token of the session must not get the new one.
async fn a_regenerate_that_a_sign_in_overtakes_gets_no_cookie(server: Server) {
    let late =
        json!([get("cart"), {"do": "sleep", "ms": 400}, put("user", "eve"), {"do": "regenerate"}]);
    let mut old = guest(&server).await;
    let mut visitor = old.clone();
    let slow = start(&old, late.clone());
    tokio::time::sleep(Duration::from_millis(40)).await;
    visitor.script(&sign_in()).await;
    let (overtaken, _) = slow.await.unwrap();
    let repeated = old.script(&late).await;
    for reply in [overtaken, repeated] {
        assert_eq!((reply.status.as_u16(), reply.set_cookies()), (200, Vec::new()));
    }
    assert_eq!(old.step(json!({"do": "all"})).await, json!({}));
    assert!(is_signed_in(&mut visitor).await);
}

/// The poll commits while its touch is due, which earns a cookie of the token that it came with.
async fn a_slow_poll_leaves_the_cookie_of_a_login_alone(server: Server) {
    let mut visitor = guest(&server).await;
    server.clock.advance(Duration::from_mins(30));
    let poll = json!([
        put("progress", 1),
        {"do": "commit"},
        {"do": "sleep", "ms": 400},
        put("progress", 2),
    ]);
    let slow = start(&visitor, poll);
    tokio::time::sleep(Duration::from_millis(40)).await;
    visitor.script(&sign_in()).await;
    let (reply, _) = slow.await.unwrap();
    assert_eq!((reply.status.as_u16(), reply.set_cookies()), (200, Vec::new()));
    assert!(is_signed_in(&mut visitor).await);
}

async fn a_late_second_logout_spares_the_next_login(server: Server) {
    let mut visitor = guest(&server).await;
    let logout = json!([get("cart"), {"do": "sleep", "ms": 400}, {"do": "destroy"}]);
    let late = start(&visitor, logout);
    tokio::time::sleep(Duration::from_millis(40)).await;
    let goodbye = json!({"do": "flash", "values": {"m": "goodbye"}});
    visitor.script(&json!([{"do": "destroy"}, goodbye])).await;
    visitor.script(&sign_in()).await;
    let (reply, _) = late.await.unwrap();
    assert_eq!((reply.status.as_u16(), reply.set_cookies()), (200, Vec::new()));
    assert!(is_signed_in(&mut visitor).await);
}

async fn ending_the_others_spares_whoever_signs_in_beside_it(server: Server) {
    let owner = json!({"do": "set_owner", "owner": "u"});
    let others = json!({"do": "destroy_others", "owner": "u"});
    let scripts = [
        json!([owner, others]),
        json!([others, owner]),
        json!([owner, {"do": "regenerate"}, others]),
        json!([owner, {"do": "commit"}, others]),
    ];
    for script in scripts {
        let (mut here, mut there) = (guest(&server).await, guest(&server).await);
        here.script(&sign_in()).await;
        there.script(&sign_in()).await;
        let reply = here.script(&script).await;
        assert!(reply.results().iter().all(|result| result.get("ok").is_some()), "{reply:?}");
        assert!(is_signed_in(&mut here).await, "{script}");
        assert!(!is_signed_in(&mut there).await, "{script}");
        assert_eq!(listed(&mut here).await, (1, 1), "{script}");
        here.step(json!({"do": "destroy"})).await;
    }
}

#[tokio::test]
async fn an_earned_cookie_is_sent_when_the_last_commit_fails() {
    for setup in Setup::all() {
        let server = Server::start_with(setup, |builder| builder.max_bytes(10_000)).await;
        let mut visitor = guest(&server).await;
        let before = cookie(&visitor);
        // More than four cookies hold.
        let large = put("late", "x".repeat(30_000));
        let script = json!([put("user", "virk"), {"do": "regenerate"}, {"do": "commit"}, large]);
        let reply = visitor.script(&script).await;
        assert_eq!((reply.status.as_u16(), reply.body.len()), (500, 0), "{setup:?}");
        assert_eq!(reply.set_cookies().len(), 1, "{setup:?}");
        assert_ne!(cookie(&visitor), before);
        assert!(is_signed_in(&mut visitor).await, "{setup:?}");
        assert_eq!(visitor.step(get("late")).await, Value::Null);
    }
}

async fn no_change_of_a_late_session_is_taken(server: Server) {
    let mut visitor = guest(&server).await;
    let changes = json!([
        put("cart", 2),
        {"do": "increment", "key": "cart"},
        {"do": "forget", "key": "cart"},
        {"do": "pull", "key": "cart"},
        {"do": "clear"},
        {"do": "update_push", "key": "list", "value": 1},
        {"do": "flash", "values": {"m": 1}},
        {"do": "regenerate"},
        {"do": "destroy"},
    ]);
    let reply = visitor.send("/late", &changes, Sent::default()).await;
    assert_eq!((reply.status.as_u16(), reply.set_cookies()), (200, Vec::new()));
    for (index, step) in changes.as_array().unwrap().iter().enumerate() {
        assert_eq!(reply.error(index), "committed", "{step}");
    }
    let reading = json!([get("cart"), {"do": "has", "key": "list"}, {"do": "is_new"}]);
    let reply = visitor.send("/late", &reading, Sent::default()).await;
    let read: Vec<_> = (0..3).map(|index| reply.result(index)).collect();
    assert_eq!(read, [json!(1), json!(false), json!(false)]);
    assert_eq!(visitor.step(json!({"do": "all"})).await, json!({"cart": 1}));
}

async fn exact_changes_of_a_late_session_come_too_late(server: Server) {
    let mut visitor = guest(&server).await;
    let script = json!([
        {"do": "increment_now", "key": "cart"},
        {"do": "take", "key": "cart"},
        {"do": "set_owner", "owner": "u"},
    ]);
    let reply = visitor.send("/late", &script, Sent::default()).await;
    for index in 0..3 {
        assert_eq!(reply.error(index), "committed", "{index}");
    }
    assert_eq!(visitor.step(json!({"do": "all"})).await, json!({"cart": 1}));
}

/// Nobody sees the page that a HEAD request stands for.
async fn no_head_request_consumes_flash(server: Server) {
    let mut visitor = guest(&server).await;
    let message = json!({"do": "flash_message", "key": "m"});
    visitor.step(json!({"do": "flash", "values": {"m": "saved"}})).await;
    for script in [json!([]), json!([message]), json!([put("seen", 1), {"do": "commit"}])] {
        let head = Sent { method: Method::HEAD, ..Sent::default() };
        let reply = visitor.script_with(&script, head).await;
        assert_eq!((reply.status.as_u16(), reply.body.len()), (200, 0));
    }
    assert_eq!(visitor.step(message.clone()).await, "saved");
    assert_eq!(visitor.step(message).await, Value::Null);
}
