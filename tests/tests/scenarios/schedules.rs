//! Schedules of concurrent and repeated requests whose result used to be wrong in silence.

use std::collections::BTreeSet;

use cloakroom_tests::{
    client::{Client, Sent},
    server::Server,
};
use serde_json::{Value, json};

server_side! {
    a_double_click_on_sign_in_signs_in,
    a_mere_regenerate_of_an_ended_session_sets_no_cookie,
    a_new_owner_and_destroy_others_leave_the_visitor_signed_in,
    numbers_that_decide_are_given_once,
    a_limit_lets_through_as_many_as_it_says,
    a_value_that_counts_once_is_taken_once,
    a_crowd_on_one_session_is_counted_exactly,
}

every_driver! {
    a_cookie_that_a_commit_has_earned_survives_a_panic,
    a_session_first_asked_for_in_the_body_is_read_only,
    flash_in_a_late_session_waits_for_the_next_page,
    a_head_request_does_not_consume_flash,
}

crate::on_drivers! { Cookie; what_decides_is_unsupported_where_nothing_is_compared }

fn sign_in(user: &str) -> Value {
    json!([
        {"do": "put", "key": "user", "value": user},
        {"do": "set_owner", "owner": "u"},
        {"do": "regenerate"},
    ])
}

async fn visitor(server: &Server) -> Client {
    let mut visitor = server.client();
    visitor.step(json!({"do": "put", "key": "cart", "value": 1})).await;
    visitor
}

/// Sends the same steps from clones of the visitor at once.
async fn all_at_once(visitor: &Client, count: usize, steps: &Value) -> Vec<Value> {
    let requests: Vec<_> = (0..count)
        .map(|_| {
            let (mut visitor, steps) = (visitor.clone(), steps.clone());
            tokio::spawn(async move { visitor.script(&steps).await })
        })
        .collect();
    let mut results = Vec::new();
    for request in requests {
        let reply = request.await.unwrap();
        assert_eq!(reply.status, 200);
        results.push(reply.results().pop().unwrap());
    }
    results
}

async fn a_double_click_on_sign_in_signs_in(server: Server) {
    let before = visitor(&server).await;
    // The response to the first click is lost, and with it the new cookie.
    let mut lost = before.clone();
    lost.script(&sign_in("first")).await;
    let mut second = before.clone();
    let reply = second.script(&sign_in("second")).await;
    assert_eq!(reply.set_cookies().len(), 1, "a fresh token");
    let all = second.step(json!({"do": "all"})).await;
    assert_eq!(all, json!({"user": "second"}), "on an empty record");
    let sessions = second.step(json!({"do": "sessions_of", "owner": "u"})).await;
    assert_eq!(sessions.as_array().map(Vec::len), Some(2));
}

async fn a_mere_regenerate_of_an_ended_session_sets_no_cookie(server: Server) {
    let before = visitor(&server).await;
    before.clone().script(&sign_in("first")).await;
    let mut late = before.clone();
    let steps = json!([{"do": "put", "key": "late", "value": 1}, {"do": "regenerate"}]);
    assert!(late.script(&steps).await.set_cookies().is_empty());
}

async fn a_new_owner_and_destroy_others_leave_the_visitor_signed_in(server: Server) {
    let (mut here, mut there) = (visitor(&server).await, visitor(&server).await);
    here.script(&sign_in("here")).await;
    there.script(&sign_in("there")).await;
    let steps = json!([{"do": "set_owner", "owner": "u"}, {"do": "destroy_others", "owner": "u"}]);
    let reply = here.script(&steps).await;
    assert_eq!(reply.result(1), 1);
    assert_eq!(here.step(json!({"do": "get", "key": "user"})).await, "here");
    assert_eq!(there.step(json!({"do": "get", "key": "user"})).await, Value::Null);
}

async fn numbers_that_decide_are_given_once(server: Server) {
    let visitor = visitor(&server).await;
    let steps =
        json!([{"do": "put", "key": "other", "value": 1}, {"do": "increment_now", "key": "n"}]);
    let results = all_at_once(&visitor, 30, &steps).await;
    let numbers: BTreeSet<_> = results.iter().map(|it| it["ok"].as_i64().unwrap()).collect();
    assert_eq!(numbers, (1..=30).collect());
}

async fn a_limit_lets_through_as_many_as_it_says(server: Server) {
    let visitor = visitor(&server).await;
    let attempt = json!([{"do": "increment_now", "key": "attempts"}]);
    let results = all_at_once(&visitor, 30, &attempt).await;
    let passed = results.iter().filter(|it| it["ok"].as_i64().unwrap() <= 5).count();
    assert_eq!(passed, 5);
}

async fn a_value_that_counts_once_is_taken_once(server: Server) {
    let mut visitor = visitor(&server).await;
    visitor.step(json!({"do": "put", "key": "code", "value": "1234"})).await;
    let results = all_at_once(&visitor, 10, &json!([{"do": "take", "key": "code"}])).await;
    let taken = results.iter().filter(|it| it["ok"] == "1234").count();
    let nothing = results.iter().filter(|it| it["ok"].is_null() && it.get("err").is_none()).count();
    assert_eq!((taken, nothing), (1, 9), "{results:?}");
}

async fn a_crowd_on_one_session_is_counted_exactly(server: Server) {
    let mut visitor = visitor(&server).await;
    let crowd: Vec<_> = (0..32)
        .map(|_| {
            let mut visitor = visitor.clone();
            tokio::spawn(async move {
                for _ in 0..50 {
                    let reply = visitor.script(&json!([{"do": "increment", "key": "n"}])).await;
                    assert_eq!(reply.status, 200);
                }
            })
        })
        .collect();
    for connection in crowd {
        connection.await.unwrap();
    }
    assert_eq!(visitor.step(json!({"do": "get", "key": "n"})).await, 1_600);
}

async fn what_decides_is_unsupported_where_nothing_is_compared(server: Server) {
    let mut visitor = visitor(&server).await;
    let steps = json!([{"do": "increment_now", "key": "n"}, {"do": "take", "key": "cart"}]);
    let reply = visitor.script(&steps).await;
    assert_eq!((reply.error(0).as_str(), reply.error(1).as_str()), ("unsupported", "unsupported"));
}

async fn a_cookie_that_a_commit_has_earned_survives_a_panic(server: Server) {
    let mut visitor = visitor(&server).await;
    let steps = json!([
        {"do": "put", "key": "user", "value": "virk"},
        {"do": "regenerate"},
        {"do": "commit"},
        {"do": "put", "key": "half", "value": 1},
        {"do": "panic"},
    ]);
    let reply = visitor.script(&steps).await;
    assert_eq!((reply.status.as_u16(), reply.set_cookies().len()), (500, 1));
    let all = visitor.step(json!({"do": "all"})).await;
    assert_eq!(all, json!({"cart": 1, "user": "virk"}));
}

/// Runs steps in the body of `/late`.
async fn late(visitor: &mut Client, steps: &Value) -> Vec<Value> {
    let reply = visitor.send("/late", steps, Sent::default()).await;
    assert!(reply.set_cookies().is_empty());
    reply.results()
}

async fn a_session_first_asked_for_in_the_body_is_read_only(server: Server) {
    let mut visitor = visitor(&server).await;
    let steps = json!([
        {"do": "get", "key": "cart"},
        {"do": "put", "key": "late", "value": 1},
        {"do": "flash", "values": {"m": 1}},
        {"do": "regenerate"},
        {"do": "destroy"},
    ]);
    let results = late(&mut visitor, &steps).await;
    assert_eq!(results[0]["ok"], 1);
    assert!(results[1..].iter().all(|it| it["err"] == "committed"), "{results:?}");
    assert_eq!(visitor.step(json!({"do": "all"})).await, json!({"cart": 1}));
}

async fn flash_in_a_late_session_waits_for_the_next_page(server: Server) {
    let mut visitor = visitor(&server).await;
    visitor.step(json!({"do": "flash", "values": {"m": "hello"}})).await;
    let message = json!([{"do": "flash_message", "key": "m"}]);
    assert_eq!(late(&mut visitor, &message).await[0]["ok"], Value::Null);
    assert_eq!(visitor.script(&message).await.result(0), "hello");
    assert_eq!(visitor.script(&message).await.result(0), Value::Null);
}

async fn a_head_request_does_not_consume_flash(server: Server) {
    let mut visitor = visitor(&server).await;
    visitor.step(json!({"do": "flash", "values": {"m": "hello"}})).await;
    let message = json!([{"do": "flash_message", "key": "m"}]);
    let head = Sent { method: http::Method::HEAD, ..Sent::default() };
    visitor.send("/script", &message, head).await;
    assert_eq!(visitor.script(&message).await.result(0), "hello");
    assert_eq!(visitor.script(&message).await.result(0), Value::Null);
}
