//! Concurrent requests of one session lose nothing, and logout is final.

use std::time::Duration;

use cloakroom_tests::{
    browser::Browser,
    server::{DriverUnderTest, Server},
    step::{Step, flash, get, increment, increment_now, only, push, put, sleep, update_push},
};
use serde_json::{Value, json};

server_side! {
    fifty_parallel_increments_end_at_fifty,
    parallel_updates_all_run,
    items_that_parallel_requests_push_are_all_kept,
    a_reload_shows_what_another_request_has_committed,
    writers_of_different_keys_are_both_kept,
    a_slow_request_that_ends_after_a_logout_changes_nothing,
    a_slow_poll_that_ends_after_a_login_sets_no_cookie,
    a_slow_touch_does_not_bring_a_session_back,
    no_visitor_sees_values_of_another,
}

async fn signed_in(server: &Server) -> Browser {
    server.browser_with([put("user", "virk")]).await
}

async fn fifty_parallel_increments_end_at_fifty(server: Server) {
    let mut visitor = signed_in(&server).await;
    let step = [get("n"), sleep(20), increment("n")];
    let requests: Vec<_> = (0..50).map(|_| visitor.start(step.clone())).collect();
    for request in requests {
        assert_eq!(request.await.unwrap().0.status, 200);
    }
    let total = visitor.step(get("n")).await;
    assert_eq!(total, 50);
}

async fn parallel_updates_all_run(server: Server) {
    pushed_in_parallel(&server, |n| update_push("list", n)).await;
}

async fn items_that_parallel_requests_push_are_all_kept(server: Server) {
    pushed_in_parallel(&server, |n| push("list", n)).await;
}

/// Has parallel requests push numbers on a list.
async fn pushed_in_parallel(server: &Server, step: impl Fn(u64) -> Step) {
    let mut visitor = signed_in(server).await;
    let requests: Vec<_> = (0..30).map(|n| visitor.start([step(n), sleep(10)])).collect();
    for request in requests {
        request.await.unwrap();
    }
    let list = visitor.step(get("list")).await;
    let mut numbers: Vec<_> = list.as_array().unwrap().iter().filter_map(Value::as_u64).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..30).collect::<Vec<_>>());
}

async fn a_reload_shows_what_another_request_has_committed(server: Server) {
    let mut visitor = server.browser_with([put("import", "running")]).await;
    let waits = [
        increment_now("waiting"),
        get("import"),
        sleep(1_000),
        Step::Reload,
        get("import"),
        put("seen", true),
    ];
    let waiting = visitor.start(waits);
    while visitor.step(get("waiting")).await != 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    visitor.step(put("import", "done")).await;
    let (reply, _) = waiting.await.unwrap();
    assert_eq!([reply.value(1), reply.value(4)], ["running", "done"]);
    assert_eq!(
        visitor.step(only(["import", "seen"])).await,
        json!({"import": "done", "seen": true})
    );
}

async fn writers_of_different_keys_are_both_kept(server: Server) {
    let mut lost = 0;
    let rounds = 200;
    for round in 0..rounds {
        let mut visitor = signed_in(&server).await;
        let write = |key: &str, ms: u64| [sleep(ms), put(key, round)];
        let (one, two) =
            (visitor.start(write("form.x", round % 3)), visitor.start(write("form.y", round % 2)));
        one.await.unwrap();
        two.await.unwrap();
        let form = visitor.step(get("form")).await;
        lost += usize::from(form != json!({"x": round, "y": round}));
    }
    assert_eq!(lost, 0);
}

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
        put("user", "back"),
        increment("n"),
        flash([("m", 1)]),
        Step::Regenerate,
        Step::Commit,
        Step::CsrfToken,
    ];
    let (mut resurrected, mut cookies) = (0, 0);
    for round in 0..rounds {
        let mut visitor = signed_in(server).await;
        let late = |index: u64| {
            let ending = endings[usize::try_from(index).unwrap() % endings.len()].clone();
            [get("user"), sleep(index % 4), put("late", 1), ending]
        };
        let slow = [visitor.start(late(round)), visitor.start(late(round + 1))];
        if round % 2 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let old = visitor.clone();
        visitor.step(Step::Destroy).await;
        for request in slow {
            let (reply, mut after) = request.await.unwrap();
            assert_eq!(reply.status, 200);
            cookies += reply.set_cookies().iter().filter(|line| line.contains("Max-Age=0")).count();
            resurrected += usize::from(after.step(Step::All).await != json!({}));
        }
        resurrected += usize::from(old.clone().step(Step::All).await != json!({}));
    }
    assert_eq!((resurrected, cookies), (0, 0));
}

async fn a_slow_poll_that_ends_after_a_login_sets_no_cookie(server: Server) {
    let mut visitor = server.browser_with([put("cart", 1)]).await;
    for slow in [[get("cart"), sleep(400)], [put("seen", 1), sleep(400)]] {
        // So late that the deadline would be due to move.
        server.clock.advance(Duration::from_mins(30));
        let polling = visitor.start(slow);
        tokio::time::sleep(Duration::from_millis(20)).await;
        let login = [Step::Regenerate, put("user", "virk")];
        visitor.run(&login).await;
        let (reply, _) = polling.await.unwrap();
        assert!(reply.set_cookies().is_empty(), "{:?}", reply.set_cookies());
        assert_eq!(visitor.step(Step::All).await, json!({"cart": 1, "user": "virk"}));
    }
}

async fn a_slow_touch_does_not_bring_a_session_back(server: Server) {
    let mut visitor = signed_in(&server).await;
    server.clock.advance(Duration::from_mins(30));
    let touching = visitor.start([get("user"), sleep(60)]);
    let writing = visitor.start([put("x", 1)]);
    writing.await.unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(visitor.step(get("x")).await, 1, "the write is kept");
    let old = visitor.clone();
    visitor.step(Step::Destroy).await;
    let (reply, _) = touching.await.unwrap();
    assert!(reply.set_cookies().is_empty());
    assert_eq!(old.clone().step(Step::All).await, json!({}));
}

async fn no_visitor_sees_values_of_another(server: Server) {
    let visitors: Vec<_> = (0..100_u64)
        .map(|owner| {
            let mut visitor = server.browser();
            tokio::spawn(async move {
                visitor.step(put("owner", owner)).await;
                let mut wrong = 0;
                for round in 0..20_u64 {
                    let steps = [get("owner"), sleep(round % 3), increment("n")];
                    if round % 5 == 4 {
                        let cancelled = visitor.clone();
                        let gone = tokio::time::timeout(Duration::from_millis(1), async move {
                            cancelled.clone().run(&steps).await
                        });
                        drop(gone.await);
                    } else {
                        wrong += u64::from(visitor.run(&steps).await.value(0) != owner);
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
}

/// A known limit of the cookie driver: between two tabs the last response wins.
#[tokio::test]
async fn on_the_cookie_driver_the_last_response_wins() {
    let server = Server::start(DriverUnderTest::Cookie).await;
    let mut visitor = signed_in(&server).await;
    let (mut one, mut two) = (visitor.clone(), visitor.clone());
    one.step(put("x", 1)).await;
    two.step(put("y", 2)).await;
    visitor.jar = two.jar;
    assert_eq!(visitor.step(Step::All).await, json!({"user": "virk", "y": 2}));
}

/// A known limit of the cookie driver: a copy of the cookie stays good until the
/// deadline that is sealed in it.
#[tokio::test]
async fn on_the_cookie_driver_a_copy_is_valid_until_its_deadline() {
    let server = Server::start(DriverUnderTest::Cookie).await;
    let mut visitor = signed_in(&server).await;
    let mut copy = visitor.clone();
    visitor.step(Step::Destroy).await;
    assert_eq!(copy.clone().step(get("user")).await, "virk");
    server.clock.advance(Duration::from_hours(2));
    assert_eq!(copy.step(get("user")).await, Value::Null);
}
