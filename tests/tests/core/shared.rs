//! Sessions that no visitor has.

use std::{sync::Arc, time::Duration};

use cloakroom::{
    AppKeys, Driver, MemoryStore, RequireOwner, Sessions,
    adapter::{AdapterError, RequestContext, RequestHead},
    clock::FakeClock,
};
use cloakroom_tests::local::{LocalApp, build};
use futures_util::future::join_all;

const NAME: &str = "sign-ins to virk";

#[tokio::test]
async fn all_who_open_it_count_in_one_session() {
    let app = LocalApp::new();
    let counts = (0..20).map(|_| async {
        let shared = app.sessions.shared(NAME).await.unwrap();
        shared.increment_now("count").await.unwrap()
    });
    let mut counts = join_all(counts).await;
    counts.sort_unstable();
    assert_eq!(counts, (1..=20).collect::<Vec<_>>());
    assert_eq!(
        app.store
            .keyed_calls()
            .iter()
            .map(|(_, key)| *key)
            .collect::<std::collections::BTreeSet<_>>()
            .len(),
        1
    );
    let other = app.sessions.shared("sign-ins to romain").await.unwrap();
    assert_eq!(other.increment_now("count").await.unwrap(), 1);
}

#[tokio::test]
async fn it_ends_by_its_timeouts() {
    let app = LocalApp::new();
    let shared = app.sessions.shared(NAME).await.unwrap();
    shared.increment_now("count").await.unwrap();
    shared.set_absolute_timeout(Some(Duration::from_mins(15))).unwrap();
    shared.commit().await.unwrap();
    app.clock.advance(Duration::from_mins(10));
    let shared = app.sessions.shared(NAME).await.unwrap();
    assert_eq!(shared.time_left(), Some(Duration::from_mins(5)));
    app.clock.advance(Duration::from_mins(5));
    let shared = app.sessions.shared(NAME).await.unwrap();
    assert_eq!(shared.increment_now("count").await.unwrap(), 1);
}

#[tokio::test]
async fn one_that_was_used_until_its_absolute_timeout_begins_again() {
    let app = LocalApp::new();
    let quarter = Duration::from_mins(15);
    let shared = app.sessions.shared(NAME).await.unwrap();
    shared.set_absolute_timeout(Some(quarter)).unwrap();
    shared.commit().await.unwrap();
    app.clock.advance(Duration::from_mins(10));
    // Moves the idle deadline, until which the store has the record, beyond the absolute one.
    app.sessions.shared(NAME).await.unwrap().increment_now("count").await.unwrap();
    app.clock.advance(Duration::from_mins(5));
    let opened = (0..4).map(|_| app.sessions.shared(NAME));
    for shared in join_all(opened).await {
        assert_eq!(shared.unwrap().get::<u8>("count").unwrap(), None);
    }
}

#[tokio::test]
async fn a_destroyed_one_drops_changes_for_half_a_minute() {
    let app = LocalApp::new();
    let shared = app.sessions.shared(NAME).await.unwrap();
    shared.destroy().unwrap();
    shared.commit().await.unwrap();
    let shared = app.sessions.shared(NAME).await.unwrap();
    assert!(shared.increment_now("count").await.is_err());
    app.clock.advance(cloakroom::store::TOMBSTONE);
    let shared = app.sessions.shared(NAME).await.unwrap();
    assert_eq!(shared.increment_now("count").await.unwrap(), 1);
}

#[tokio::test]
async fn another_application_key_has_other_sessions() {
    let clock = Arc::new(FakeClock::default());
    let store = Arc::new(MemoryStore::with_clock(clock.clone()));
    for _ in 0..2 {
        let sessions = build(Sessions::builder(store.clone(), AppKeys::random()), &clock);
        let shared = sessions.shared(NAME).await.unwrap();
        assert_eq!(shared.increment_now("count").await.unwrap(), 1);
    }
}

#[tokio::test]
async fn the_cookie_driver_has_none() {
    let sessions = Sessions::builder(Driver::Cookie, AppKeys::random()).build().unwrap();
    let error = sessions.shared(NAME).await.unwrap_err();
    assert!(error.is_unsupported() && error.to_string().contains("shared"), "{error}");
}

#[tokio::test]
async fn a_bearer_client_hears_how_to_authenticate() {
    let app = LocalApp::new();
    let api = app.sessions.bearer().unwrap();
    let headers: &[(&str, &str)] = &[];
    let challenge = async |sessions: &Sessions, required: RequireOwner| {
        let head = RequestHead { method: "GET", target: "/", authority: None, headers };
        let error = required.check(&RequestContext::new(sessions), head).await.unwrap_err();
        assert!(matches!(error, AdapterError::SignInRequired(_)));
        cloakroom::adapter::Problem::from(error).to_response().challenge
    };
    assert_eq!(challenge(&api, RequireOwner::new()).await.as_deref(), Some("Bearer"));
    assert_eq!(challenge(&app.sessions, RequireOwner::new()).await, None);
}
