//! Failing and slow stores, panics, visitors who leave.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use cloakroom::{
    AppKeys, MemoryStore, ServerErrors, Sessions,
    cookie::CookieSettings,
    store::{Commit, Entry, Outcome, RecordKey, Store, StoreError},
};
use cloakroom_tests::server::{Framework, Server, Setup, serve};
use serde_json::{Value, json};
use tower::ServiceExt;

every_driver! {
    changes_before_an_error_response_are_committed,
    a_handler_s_error_is_a_response_like_any_other,
    a_panic_discards_changes_and_the_server_lives,
    a_destroy_survives_the_server_error_and_the_panic,
}

server_side! {
    a_destroy_before_a_panic_ends_the_session,
    a_visitor_who_leaves_changes_what_the_handler_ends_with,
    an_explicit_commit_stays_even_if_the_visitor_leaves,
}

/// A memory store that fails or dawdles on demand, and counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faulty(Arc<Inner>);

#[derive(Debug, Default)]
pub(crate) struct Inner {
    store: MemoryStore,
    pub(crate) fails_to_load: AtomicBool,
    pub(crate) fails_to_commit: AtomicBool,
    dawdles: AtomicBool,
    calls: AtomicUsize,
}

#[async_trait]
impl Store for Faulty {
    async fn load(&self, key: &RecordKey) -> Result<Option<Entry>, StoreError> {
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        if self.0.fails_to_load.load(Ordering::SeqCst) {
            return Err(StoreError::unavailable(
                "reach the secret-host:6379",
                "connection refused",
            ));
        }
        self.0.store.load(key).await
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        if self.0.dawdles.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        if self.0.fails_to_commit.load(Ordering::SeqCst) {
            return Err(StoreError::failed("write the record", "disk full"));
        }
        self.0.store.commit(commit).await
    }
}

impl Faulty {
    pub(crate) fn set(&self, which: impl Fn(&Inner) -> &AtomicBool, value: bool) {
        which(&self.0).store(value, Ordering::SeqCst);
    }
}

fn put(key: &str, value: impl Into<Value>) -> Value {
    json!({"do": "put", "key": key, "value": value.into()})
}

fn get(key: &str) -> Value {
    json!({"do": "get", "key": key})
}

// Requirement 57, regression 3.
#[tokio::test]
async fn a_store_that_cannot_be_read_is_an_error_and_nobody_is_signed_out() {
    for framework in Framework::ALL {
        let store = Faulty::default();
        let server = Server::on_store(framework, store.clone()).await;
        let mut visitor = server.client();
        visitor.step(put("user", "virk")).await;
        store.set(|it| &it.fails_to_load, true);
        let reply = visitor.script(&json!([put("user", "evil")])).await;
        assert_eq!((reply.status.as_u16(), reply.body.len()), (503, 0));
        assert!(reply.set_cookies().is_empty());
        assert_eq!(visitor.get("/none").await.status, 200, "who does not ask does not notice");
        store.set(|it| &it.fails_to_load, false);
        assert_eq!(visitor.step(get("user")).await, "virk");
        println!("sessions lost 0");
    }
}

// Requirement 56.
#[tokio::test]
async fn a_commit_that_fails_replaces_the_response() {
    for framework in Framework::ALL {
        let store = Faulty::default();
        let server = Server::on_store(framework, store.clone()).await;
        let mut visitor = server.client();
        visitor.step(put("user", "virk")).await;
        store.set(|it| &it.fails_to_commit, true);
        let reply = visitor.script(&json!([put("user", "new"), {"do": "regenerate"}])).await;
        assert_eq!((reply.status.as_u16(), reply.body.len()), (500, 0));
        assert!(reply.set_cookies().is_empty() && !format!("{:?}", reply.headers).contains("disk"));
        let told = visitor.script(&json!([put("user", "new"), {"do": "commit"}])).await;
        assert_eq!((told.status.as_u16(), told.error(1).as_str()), (200, "store"));
        store.set(|it| &it.fails_to_commit, false);
        assert_eq!(visitor.step(get("user")).await, "virk", "the old state is intact");
    }
}

// Requirement 58.
async fn changes_before_an_error_response_are_committed(server: Server) {
    let mut visitor = server.client();
    for status in [400, 404, 422, 500, 503] {
        let reply =
            visitor.script(&json!([put("k", status), {"do": "fail", "status": status}])).await;
        assert_eq!(reply.status.as_u16(), status);
        assert_eq!(visitor.step(get("k")).await, status);
    }
}

async fn a_handler_s_error_is_a_response_like_any_other(server: Server) {
    let mut visitor = server.client();
    let reply = visitor.script(&json!([put("k", 1), {"do": "error"}])).await;
    assert_eq!((reply.status.as_u16(), reply.body.len()), (500, 0));
    assert_eq!(visitor.step(get("k")).await, 1);
}

/// The policy that undoes failed handlers; `destroy` and `regenerate` take effect all the same.
#[tokio::test]
async fn a_policy_may_discard_changes_on_server_errors() {
    for setup in Setup::all() {
        let server = Server::start_with(setup, |it| it.server_errors(ServerErrors::Discard)).await;
        let mut visitor = server.client();
        visitor.step(put("k", "old")).await;
        visitor.script(&json!([put("k", "new"), {"do": "fail", "status": 500}])).await;
        assert_eq!(visitor.step(get("k")).await, "old");
        visitor.script(&json!([put("k", "new"), {"do": "fail", "status": 422}])).await;
        assert_eq!(visitor.step(get("k")).await, "new");
        let before = visitor.jar.get("session").unwrap().to_owned();
        visitor
            .script(
                &json!([put("k", "newer"), {"do": "regenerate"}, {"do": "fail", "status": 500}]),
            )
            .await;
        assert_ne!(visitor.jar.get("session").unwrap(), before);
        assert_eq!(visitor.step(get("k")).await, "new");
        visitor
            .script(&json!([{"do": "destroy"}, put("k", "x"), {"do": "fail", "status": 500}]))
            .await;
        assert_eq!(visitor.step(get("k")).await, Value::Null, "{setup:?}");
    }
}

// Requirement 59.
async fn a_panic_discards_changes_and_the_server_lives(server: Server) {
    let mut visitor = server.client();
    visitor.step(put("k", "old")).await;
    let places = [
        json!([{"do": "panic"}]),
        json!([put("k", "new"), {"do": "panic"}]),
        json!([put("k", "new"), {"do": "regenerate"}, {"do": "panic"}]),
        json!([{"do": "flash", "values": {"m": 1}}, {"do": "panic"}]),
        json!([{"do": "sleep", "ms": 1}, put("k", "new"), {"do": "panic"}]),
    ];
    for _ in 0..20 {
        for script in &places {
            assert!(
                visitor
                    .try_send("/script", script, cloakroom_tests::client::Sent::default())
                    .await
                    .is_err()
            );
            assert_eq!(visitor.step(get("k")).await, "old");
        }
    }
    println!("panics at 5 points × 20, hangs 0, half writes 0");
}

async fn a_destroy_survives_the_server_error_and_the_panic(server: Server) {
    let mut visitor = server.client();
    visitor.step(put("k", 1)).await;
    let reply = visitor.script(&json!([{"do": "destroy"}, {"do": "fail", "status": 500}])).await;
    assert_eq!(reply.status, 500);
    assert!(visitor.jar.is_empty(), "the removal came with the error");
    visitor.step(put("k", 1)).await;
    visitor.script(&json!([{"do": "destroy"}, {"do": "error"}])).await;
    assert!(visitor.jar.is_empty());
}

async fn a_destroy_before_a_panic_ends_the_session(server: Server) {
    let mut visitor = server.client();
    visitor.step(put("k", 1)).await;
    let script = json!([{"do": "destroy"}, put("k", 2), {"do": "panic"}]);
    assert!(
        visitor
            .try_send("/script", &script, cloakroom_tests::client::Sent::default())
            .await
            .is_err()
    );
    assert_eq!(visitor.step(get("k")).await, Value::Null);
    assert_eq!(server.backend.records(), 0);
}

// Requirement 60.
async fn a_visitor_who_leaves_changes_what_the_handler_ends_with(server: Server) {
    let mut visitor = server.client();
    visitor.step(put("k", "old")).await;
    for _ in 0..20 {
        let leaving = visitor.clone();
        let script = json!([put("k", "new"), {"do": "sleep", "ms": 100}]);
        let sending = async move { leaving.clone().script(&script).await };
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
    let mut visitor = server.client();
    visitor.step(put("k", "old")).await;
    let mut leaving = visitor.clone();
    let script =
        json!([put("k", "paid"), {"do": "commit"}, put("k", "later"), {"do": "sleep", "ms": 500}]);
    let sending = async move { leaving.script(&script).await };
    assert!(tokio::time::timeout(Duration::from_millis(100), sending).await.is_err());
    assert_eq!(visitor.step(get("k")).await, "paid");
}

// Requirement 60: once the handler has returned, the commit does not depend on the connection.
#[tokio::test]
async fn the_commit_runs_to_its_end_when_the_visitor_has_gone() {
    for framework in Framework::ALL {
        let store = Faulty::default();
        let server = Server::on_store(framework, store.clone()).await;
        let mut visitor = server.client();
        visitor.step(put("k", "old")).await;
        store.set(|it| &it.dawdles, true);
        for round in 0..5 {
            let mut leaving = visitor.clone();
            let script = json!([put("k", round)]);
            let sending = async move { leaving.script(&script).await };
            assert!(tokio::time::timeout(Duration::from_millis(40), sending).await.is_err());
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert_eq!(visitor.clone().step(get("k")).await, round);
        }
        println!("5 visitors left during the commit: all committed");
    }
}

// Requirement 60, at every await point: a future dropped after any number of polls.
#[tokio::test]
async fn a_future_dropped_at_any_poll_leaves_the_old_or_the_new_record() {
    let store = Faulty::default();
    let sessions = Sessions::store(store.clone(), AppKeys::random())
        .cookie_settings(CookieSettings::development())
        .build()
        .unwrap();
    let app = cloakroom_tests::probe::axum::router(sessions);
    let (address, _task) = serve(app.clone()).await;
    let mut visitor = cloakroom_tests::client::Client::new(address);
    visitor.step(json!({"do": "put", "key": "pair", "value": [0, 0]})).await;
    let cookie = visitor.jar.header().unwrap();
    store.set(|it| &it.dawdles, true);
    let mut outcomes = [0, 0];
    for polls in 0..8 {
        for round in 0..5 {
            let value = polls * 10 + round + 1;
            let script =
                json!([{"do": "sleep", "ms": 1}, put("pair", json!([value, value]))]).to_string();
            let request =
                http::Request::get("/script").header("x-script", script).header("cookie", &cookie);
            let request = request.body(axum::body::Body::empty()).unwrap();
            let mut future = Box::pin(app.clone().oneshot(request));
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
    println!("dropped at a poll: old {}, new {}, mixed 0", outcomes[0], outcomes[1]);
}
