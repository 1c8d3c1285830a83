//! Failing and slow stores, panics, visitors who leave.

use std::time::Duration;

use cloakroom::ServerErrors;
use cloakroom_tests::{
    browser::Sent,
    local::LocalApp,
    probe,
    server::{Framework, Server, Setup},
    step::{Step, fail, flash, get, put, sleep},
    store::Fault,
};
use serde_json::Value;
use tower::ServiceExt;

every_driver! {
    changes_before_an_error_response_are_committed,
    an_error_of_the_handler_is_a_response_like_any_other,
    a_panic_discards_changes_and_the_server_lives,
    a_destroy_survives_the_server_error_and_the_panic,
}

server_side! {
    a_destroy_before_a_panic_ends_the_session,
    a_visitor_who_leaves_changes_what_the_handler_ends_with,
    an_explicit_commit_stays_even_if_the_visitor_leaves,
}

#[tokio::test]
async fn an_unreadable_store_is_an_error_and_signs_nobody_out() {
    for framework in Framework::ALL {
        let app = LocalApp::faulty();
        let server = Server::of(framework, &app).await;
        let mut visitor = server.browser_with([put("user", "virk")]).await;
        app.store.on_load(Fault::Unavailable);
        let reply = visitor.run([put("user", "evil")]).await;
        assert_eq!((reply.status.as_u16(), reply.body.len()), (503, 0));
        assert!(reply.set_cookies().is_empty());
        assert_eq!(visitor.get("/none").await.status, 200, "who does not ask does not notice");
        app.store.on_load(Fault::None);
        assert_eq!(visitor.step(get("user")).await, "virk");
    }
}

#[tokio::test]
async fn a_commit_that_fails_replaces_the_response() {
    for framework in Framework::ALL {
        let app = LocalApp::faulty();
        let server = Server::of(framework, &app).await;
        let mut visitor = server.browser_with([put("user", "virk")]).await;
        app.store.on_commit(Fault::Failed);
        let reply = visitor.run([put("user", "new"), Step::Regenerate]).await;
        assert_eq!((reply.status.as_u16(), reply.body.len()), (500, 0));
        assert!(reply.set_cookies().is_empty() && !format!("{:?}", reply.headers).contains("disk"));
        let told = visitor.run([put("user", "new"), Step::Commit]).await;
        assert_eq!((told.status.as_u16(), told.error(1).code.as_str()), (200, "store"));
        app.store.on_commit(Fault::None);
        assert_eq!(visitor.step(get("user")).await, "virk", "the old state is intact");
    }
}

async fn changes_before_an_error_response_are_committed(server: Server) {
    let mut visitor = server.browser();
    for status in [400, 404, 422, 500, 503] {
        let reply = visitor.run([put("k", status), fail(status)]).await;
        assert_eq!(reply.status.as_u16(), status);
        assert_eq!(visitor.step(get("k")).await, status);
    }
}

async fn an_error_of_the_handler_is_a_response_like_any_other(server: Server) {
    let mut visitor = server.browser();
    let reply = visitor.run([put("k", 1), Step::Error]).await;
    assert_eq!((reply.status.as_u16(), reply.body.len()), (500, 0));
    assert_eq!(visitor.step(get("k")).await, 1);
}

/// The policy that undoes failed handlers; `destroy` and `regenerate` take effect all the same.
#[tokio::test]
async fn a_policy_may_discard_changes_on_server_errors() {
    for setup in Setup::all() {
        let server =
            Server::start_with(setup, |builder| builder.server_errors(ServerErrors::Discard)).await;
        let mut visitor = server.browser_with([put("k", "old")]).await;
        visitor.run([put("k", "new"), fail(500)]).await;
        assert_eq!(visitor.step(get("k")).await, "old");
        visitor.run([put("k", "new"), fail(422)]).await;
        assert_eq!(visitor.step(get("k")).await, "new");
        let before = visitor.token();
        visitor.run([put("k", "newer"), Step::Regenerate, fail(500)]).await;
        assert_ne!(visitor.jar.get("session").unwrap(), before);
        assert_eq!(visitor.step(get("k")).await, "new");
        visitor.run([Step::Destroy, put("k", "x"), fail(500)]).await;
        assert_eq!(visitor.step(get("k")).await, Value::Null, "{setup:?}");
    }
}

async fn a_panic_discards_changes_and_the_server_lives(server: Server) {
    let mut visitor = server.browser_with([put("k", "old")]).await;
    let places = [
        vec![Step::Panic],
        vec![put("k", "new"), Step::Panic],
        vec![put("k", "new"), Step::Regenerate, Step::Panic],
        vec![flash([("m", 1)]), Step::Panic],
        vec![sleep(1), put("k", "new"), Step::Panic],
    ];
    for _ in 0..20 {
        for script in &places {
            let sent = Sent::default().steps(script);
            assert!(visitor.try_send("/script", sent).await.is_err());
            assert_eq!(visitor.step(get("k")).await, "old");
        }
    }
}

async fn a_destroy_survives_the_server_error_and_the_panic(server: Server) {
    let mut visitor = server.browser_with([put("k", 1)]).await;
    let reply = visitor.run([Step::Destroy, fail(500)]).await;
    assert_eq!(reply.status, 500);
    assert!(visitor.jar.is_empty(), "the removal came with the error");
    visitor.step(put("k", 1)).await;
    visitor.run([Step::Destroy, Step::Error]).await;
    assert!(visitor.jar.is_empty());
}

async fn a_destroy_before_a_panic_ends_the_session(server: Server) {
    let mut visitor = server.browser_with([put("k", 1)]).await;
    let sent = Sent::default().steps([Step::Destroy, put("k", 2), Step::Panic]);
    assert!(visitor.try_send("/script", sent).await.is_err());
    assert_eq!(visitor.step(get("k")).await, Value::Null);
    assert_eq!(server.backend.records(), 0);
}

async fn a_visitor_who_leaves_changes_what_the_handler_ends_with(server: Server) {
    let mut visitor = server.browser_with([put("k", "old")]).await;
    for _ in 0..20 {
        let leaving = visitor.clone();
        let script = [put("k", "new"), sleep(100)];
        let sending = async move { leaving.clone().run(&script).await };
        assert!(tokio::time::timeout(Duration::from_millis(5), sending).await.is_err());
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let expected = match server.setup.framework {
        // hyper drops the handler of a visitor who has gone, and with it what it changed.
        Framework::Axum => "old",
        // actix-web lets it finish: its changes are committed as ever.
        Framework::Actix => "new",
    };
    assert_eq!(visitor.step(get("k")).await, expected);
}

async fn an_explicit_commit_stays_even_if_the_visitor_leaves(server: Server) {
    let mut visitor = server.browser_with([put("k", "old")]).await;
    let mut leaving = visitor.clone();
    let script = [put("k", "paid"), Step::Commit, put("k", "later"), sleep(500)];
    let sending = async move { leaving.run(&script).await };
    assert!(tokio::time::timeout(Duration::from_millis(100), sending).await.is_err());
    assert_eq!(visitor.step(get("k")).await, "paid");
}

// Once the handler has returned, the commit does not depend on the connection.
#[tokio::test]
async fn the_commit_runs_to_its_end_when_the_visitor_has_gone() {
    for framework in Framework::ALL {
        let app = LocalApp::faulty();
        let server = Server::of(framework, &app).await;
        let visitor = server.browser_with([put("k", "old")]).await;
        app.store.on_commit(Fault::Slow(Duration::from_millis(100)));
        for round in 0..5 {
            let mut leaving = visitor.clone();
            let script = [put("k", round)];
            let sending = async move { leaving.run(&script).await };
            assert!(tokio::time::timeout(Duration::from_millis(40), sending).await.is_err());
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert_eq!(visitor.clone().step(get("k")).await, round);
        }
    }
}

// At every await point: a future dropped after any number of polls.
#[tokio::test]
async fn a_future_dropped_at_any_poll_leaves_the_old_or_the_new_record() {
    let app = LocalApp::faulty();
    let server = Server::of(Framework::Axum, &app).await;
    let visitor = server.browser_with([put("pair", [0, 0])]).await;
    let router = probe::axum::router(app.sessions.clone());
    let cookie = visitor.jar.header().unwrap();
    app.store.on_commit(Fault::Slow(Duration::from_millis(100)));
    let mut outcomes = [0, 0];
    for polls in 0..8 {
        for round in 0..5 {
            let value = polls * 10 + round + 1;
            let sent = Sent::default().steps([sleep(1), put("pair", [value, value])]);
            let mut request = http::Request::new(axum::body::Body::empty());
            *request.uri_mut() = "/script".parse().unwrap();
            *request.headers_mut() = sent.and("cookie", &cookie).headers;
            let mut future = Box::pin(router.clone().oneshot(request));
            for _ in 0..polls {
                if tokio::time::timeout(Duration::from_millis(2), &mut future).await.is_ok() {
                    break;
                }
            }
            drop(future);
            tokio::time::sleep(Duration::from_millis(130)).await;
            let pair = visitor.clone().step(get("pair")).await;
            assert_eq!(pair[0], pair[1], "a mixed record");
            outcomes[usize::from(pair[0] == value)] += 1;
        }
    }
    assert!(outcomes.iter().all(|count| *count > 0), "{outcomes:?}");
}
