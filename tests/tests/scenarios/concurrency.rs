//! Concurrent requests of one session lose nothing, and logout is final.

use std::time::Duration;

use cloakroom_tests::{
    client::Client,
    server::{DriverUnderTest, Server},
};
use serde_json::{Value, json};

server_side! {
    fifty_parallel_increments_end_at_fifty,
    parallel_updates_all_run,
    writers_of_different_keys_are_both_kept,
    a_slow_request_that_ends_after_a_logout_changes_nothing,
    a_slow_poll_that_ends_after_a_login_sets_no_cookie,
    a_slow_touch_does_not_bring_a_session_back,
    no_visitor_sees_another_s_values,
}

/// The visitor's script on a connection of its own, under way while the test goes on.
pub(crate) fn start(
    visitor: &Client,
    steps: Value,
) -> tokio::task::JoinHandle<(cloakroom_tests::client::Reply, Client)> {
    let mut visitor = visitor.clone();
    tokio::spawn(async move { (visitor.script(&steps).await, visitor) })
}

async fn signed_in(server: &Server) -> Client {
    let mut visitor = server.client();
    visitor.step(json!({"do": "put", "key": "user", "value": "virk"})).await;
    visitor
}

async fn fifty_parallel_increments_end_at_fifty(server: Server) {
    let mut visitor = signed_in(&server).await;
    let step = json!([{"do": "get", "key": "n"}, {"do": "sleep", "ms": 20}, {"do": "increment", "key": "n"}]);
    let requests: Vec<_> = (0..50).map(|_| start(&visitor, step.clone())).collect();
    for request in requests {
        assert_eq!(request.await.unwrap().0.status, 200);
    }
    let total = visitor.step(json!({"do": "get", "key": "n"})).await;
    assert_eq!(total, 50);
    println!("50 parallel increments end at {total}");
}

async fn parallel_updates_all_run(server: Server) {
    let mut visitor = signed_in(&server).await;
    let requests: Vec<_> = (0..30)
        .map(|n| start(&visitor, json!([{"do": "update_push", "key": "list", "value": n}, {"do": "sleep", "ms": 10}])))
        .collect();
    for request in requests {
        request.await.unwrap();
    }
    let list = visitor.step(json!({"do": "get", "key": "list"})).await;
    let mut numbers: Vec<_> = list.as_array().unwrap().iter().filter_map(Value::as_u64).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..30).collect::<Vec<_>>());
}

// Requirement 61.
async fn writers_of_different_keys_are_both_kept(server: Server) {
    let mut lost = 0;
    let rounds = 200;
    for round in 0..rounds {
        let mut visitor = signed_in(&server).await;
        let write = |key: &str, ms: u64| json!([{"do": "sleep", "ms": ms}, {"do": "put", "key": key, "value": round}]);
        let (one, two) = (
            start(&visitor, write("form.x", round % 3)),
            start(&visitor, write("form.y", round % 2)),
        );
        one.await.unwrap();
        two.await.unwrap();
        let form = visitor.step(json!({"do": "get", "key": "form"})).await;
        lost += usize::from(form != json!({"x": round, "y": round}));
    }
    assert_eq!(lost, 0);
    println!("overlapping writers: {rounds}, lost updates 0 %");
}

// Requirement 9.
async fn a_slow_request_that_ends_after_a_logout_changes_nothing(server: Server) {
    race_logouts(&server, 1_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: cargo xtask soak"]
async fn ten_thousand_logouts_are_final() {
    race_logouts(&Server::start(DriverUnderTest::Memory).await, 10_000).await;
}

async fn race_logouts(server: &Server, rounds: u64) {
    let endings = [
        json!({"do": "put", "key": "user", "value": "back"}),
        json!({"do": "increment", "key": "n"}),
        json!({"do": "flash", "values": {"m": 1}}),
        json!({"do": "regenerate"}),
        json!({"do": "commit"}),
        json!({"do": "csrf_token"}),
    ];
    let (mut resurrected, mut cookies) = (0, 0);
    for round in 0..rounds {
        let mut visitor = signed_in(server).await;
        let late = |index: u64| {
            let ending = endings[usize::try_from(index).unwrap() % endings.len()].clone();
            json!([{"do": "get", "key": "user"}, {"do": "sleep", "ms": index % 4}, {"do": "put", "key": "late", "value": 1}, ending])
        };
        let slow = [start(&visitor, late(round)), start(&visitor, late(round + 1))];
        if round % 2 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let old = visitor.clone();
        visitor.step(json!({"do": "destroy"})).await;
        for request in slow {
            let (reply, mut after) = request.await.unwrap();
            assert_eq!(reply.status, 200);
            cookies += reply.set_cookies().iter().filter(|line| line.contains("Max-Age=0")).count();
            resurrected += usize::from(after.step(json!({"do": "all"})).await != json!({}));
        }
        resurrected += usize::from(old.clone().step(json!({"do": "all"})).await != json!({}));
    }
    assert_eq!((resurrected, cookies), (0, 0));
    println!(
        "logouts raced: {rounds}, resurrected {resurrected}, cookies removed by others {cookies}"
    );
}

async fn a_slow_poll_that_ends_after_a_login_sets_no_cookie(server: Server) {
    let mut visitor = server.client();
    visitor.step(json!({"do": "put", "key": "cart", "value": 1})).await;
    for slow in [
        json!([{"do": "get", "key": "cart"}, {"do": "sleep", "ms": 60}]),
        json!([{"do": "put", "key": "seen", "value": 1}, {"do": "sleep", "ms": 60}]),
    ] {
        // So late that the deadline would be due to move.
        server.clock.advance(Duration::from_mins(30));
        let polling = start(&visitor, slow);
        tokio::time::sleep(Duration::from_millis(20)).await;
        let login = json!([{"do": "regenerate"}, {"do": "put", "key": "user", "value": "virk"}]);
        visitor.script(&login).await;
        let (reply, _) = polling.await.unwrap();
        assert!(reply.set_cookies().is_empty(), "{:?}", reply.set_cookies());
        assert_eq!(visitor.step(json!({"do": "all"})).await, json!({"cart": 1, "user": "virk"}));
    }
}

// Requirement 13.
async fn a_slow_touch_does_not_bring_a_session_back(server: Server) {
    let mut visitor = signed_in(&server).await;
    server.clock.advance(Duration::from_mins(30));
    let touching =
        start(&visitor, json!([{"do": "get", "key": "user"}, {"do": "sleep", "ms": 60}]));
    let writing = start(&visitor, json!([{"do": "put", "key": "x", "value": 1}]));
    writing.await.unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(visitor.step(json!({"do": "get", "key": "x"})).await, 1, "the write is kept");
    let old = visitor.clone();
    visitor.step(json!({"do": "destroy"})).await;
    let (reply, _) = touching.await.unwrap();
    assert!(reply.set_cookies().is_empty());
    assert_eq!(old.clone().step(json!({"do": "all"})).await, json!({}));
    println!("touch raced a write and a logout: lost 0, resurrected 0");
}

// Requirement 62.
async fn no_visitor_sees_another_s_values(server: Server) {
    let visitors: Vec<_> = (0..100_u64)
        .map(|owner| {
            let mut visitor = server.client();
            tokio::spawn(async move {
                visitor.step(json!({"do": "put", "key": "owner", "value": owner})).await;
                let mut wrong = 0;
                for round in 0..20_u64 {
                    let steps = json!([{"do": "get", "key": "owner"}, {"do": "sleep", "ms": round % 3}, {"do": "increment", "key": "n"}]);
                    if round % 5 == 4 {
                        let cancelled = visitor.clone();
                        let gone = tokio::time::timeout(Duration::from_millis(1), async move { cancelled.clone().script(&steps).await });
                        drop(gone.await);
                    } else {
                        wrong += u64::from(visitor.script(&steps).await.result(0) != owner);
                    }
                }
                wrong
            })
        })
        .collect();
    let mut mismatches = 0;
    for visitor in visitors {
        mismatches += visitor.await.unwrap();
    }
    assert_eq!(mismatches, 0);
    println!("100 visitors × 20 requests, every fifth cancelled: mismatches {mismatches}");
}

/// A known limit of the cookie driver (R35): between two tabs the last response wins.
#[tokio::test]
async fn on_the_cookie_driver_the_last_response_wins() {
    let server = Server::start(DriverUnderTest::Cookie).await;
    let mut visitor = signed_in(&server).await;
    let (mut one, mut two) = (visitor.clone(), visitor.clone());
    one.step(json!({"do": "put", "key": "x", "value": 1})).await;
    two.step(json!({"do": "put", "key": "y", "value": 2})).await;
    visitor.jar = two.jar;
    assert_eq!(visitor.step(json!({"do": "all"})).await, json!({"user": "virk", "y": 2}));
}

/// A known limit of the cookie driver (requirement 10): a copy of the cookie stays good until the
/// deadline that is sealed in it.
#[tokio::test]
async fn on_the_cookie_driver_a_copied_cookie_is_good_until_its_deadline() {
    let server = Server::start(DriverUnderTest::Cookie).await;
    let mut visitor = signed_in(&server).await;
    let mut copy = visitor.clone();
    visitor.step(json!({"do": "destroy"})).await;
    assert_eq!(copy.clone().step(json!({"do": "get", "key": "user"})).await, "virk");
    server.clock.advance(Duration::from_hours(2));
    assert_eq!(copy.step(json!({"do": "get", "key": "user"})).await, Value::Null);
    println!("replay after logout: possible for 7200 s, as documented");
}
