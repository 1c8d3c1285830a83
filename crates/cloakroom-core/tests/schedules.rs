//! Schedules that need a clock, a faulty store, or calls between the calls of an adapter.
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::{sync::Arc, time::Duration};

use cloakroom_core::{
    AppKeys, MemoryStore, Sessions,
    adapter::{AdapterError, ContextStack, RequestContext, ResponseHeaders, Uncommitted},
    async_trait,
    clock::FakeClock,
    cookie::CookieSettings,
    csrf::{CsrfPolicy, CsrfRejection},
    store::{Commit, Entry, Outcome, RecordKey, Store, StoreError},
};
use serde_json::json;

/// A memory store that refuses some steps.
#[derive(Clone, Debug)]
struct Refusing {
    store: Arc<MemoryStore>,
    refuses: fn(&Commit) -> bool,
}

#[async_trait]
impl Store for Refusing {
    async fn load(&self, key: &RecordKey) -> Result<Option<Entry>, StoreError> {
        self.store.load(key).await
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        if (self.refuses)(&commit) {
            return Err(StoreError::unavailable("write", "the disk is full"));
        }
        self.store.commit(commit).await
    }
}

/// An application with one visitor, whose session holds `user`.
struct Stage {
    sessions: Sessions,
    clock: Arc<FakeClock>,
    cookie: String,
}

impl Stage {
    async fn new(refuses: fn(&Commit) -> bool) -> Self {
        let clock = Arc::new(FakeClock::default());
        let store = Arc::new(MemoryStore::with_clock(clock.clone()));
        let sessions = Sessions::store(Refusing { store, refuses }, AppKeys::random())
            .clock(clock.clone())
            .cookie_settings(CookieSettings::development())
            .build()
            .unwrap();
        let mut stage = Self { sessions, clock, cookie: String::new() };
        let visit = stage.visit().await;
        visit.loaded().unwrap().put("user", "virk").unwrap();
        let headers = visit.finish(200).await.unwrap();
        stage.keep_cookie(&headers);
        stage
    }

    /// A request whose handler has asked for the session.
    async fn visit(&self) -> RequestContext {
        let visit = RequestContext::new(&self.sessions);
        visit.session([("cookie", self.cookie.as_str())].as_slice()).await.unwrap();
        visit
    }

    fn keep_cookie(&mut self, headers: &ResponseHeaders) {
        headers.set_cookie[0].split(';').next().unwrap().clone_into(&mut self.cookie);
    }

    async fn is_signed_in(&self) -> bool {
        self.visit().await.loaded().unwrap().has("user")
    }
}

#[tokio::test]
async fn a_touch_that_cannot_be_written_is_a_warning() {
    let stage = Stage::new(|commit| matches!(commit, Commit::Touch { .. })).await;
    stage.clock.advance(Duration::from_mins(30));
    let headers = stage.visit().await.finish(200).await.unwrap();
    assert!(headers.set_cookie.is_empty(), "the cookie follows the deadline, which has not moved");
    assert!(stage.is_signed_in().await);
}

#[tokio::test]
async fn a_logout_long_after_a_regenerate_ends_the_session() {
    for (minutes, confirms) in [(1, true), (59, true), (61, false)] {
        let mut stage = Stage::new(|_| false).await;
        let logout = stage.visit().await;
        let regenerating = stage.visit().await;
        regenerating.loaded().unwrap().regenerate().unwrap();
        let headers = regenerating.finish(200).await.unwrap();
        stage.keep_cookie(&headers);
        stage.clock.advance(Duration::from_mins(minutes));
        logout.loaded().unwrap().destroy().unwrap();
        let ended = logout.finish(200).await;
        // After an hour nobody knows where the session has moved, and no logout is claimed.
        assert_eq!(ended.is_ok(), confirms, "{minutes} minutes: {ended:?}");
        assert_eq!(stage.is_signed_in().await, !confirms, "{minutes} minutes");
    }
}

#[tokio::test]
async fn a_visitor_who_missed_the_new_cookie_can_start_over_after_half_a_minute() {
    let stage = Stage::new(|_| false).await;
    let regenerating = stage.visit().await;
    regenerating.loaded().unwrap().regenerate().unwrap();
    drop(regenerating.finish(200).await.unwrap());
    for (seconds, starts_over) in [(29, false), (2, true)] {
        stage.clock.advance(Duration::from_secs(seconds));
        let visit = stage.visit().await;
        visit.loaded().unwrap().put("again", 1).unwrap();
        let headers = visit.finish(200).await.unwrap();
        assert_eq!(!headers.set_cookie.is_empty(), starts_over, "after {seconds} s more");
    }
}

#[tokio::test]
async fn a_cookie_that_a_commit_has_earned_survives_a_failed_final_commit() {
    let mut stage = Stage::new(|commit| matches!(commit, Commit::Replace { .. })).await;
    let visit = stage.visit().await;
    let session = visit.loaded().unwrap();
    session.regenerate().unwrap();
    session.commit().await.unwrap();
    session.put("more", 1).unwrap();
    let Uncommitted { error, headers } = visit.finish(200).await.unwrap_err();
    assert_eq!(error.http_status(), 503);
    stage.keep_cookie(&headers);
    assert!(stage.is_signed_in().await);
}

#[tokio::test]
async fn a_timeout_inside_of_the_session_layer_discards_half_a_handler() {
    for status in [408, 504] {
        let stage = Stage::new(|_| false).await;
        let visit = stage.visit().await;
        visit.loaded().unwrap().put("half", 1).unwrap();
        drop(visit.finish(status).await.unwrap());
        assert!(!stage.visit().await.loaded().unwrap().has("half"), "{status}");
        let logout = stage.visit().await;
        logout.loaded().unwrap().destroy().unwrap();
        drop(logout.finish(status).await.unwrap());
        assert!(!stage.is_signed_in().await, "{status}: a destroy takes effect");
    }
}

#[tokio::test]
async fn a_cookie_of_a_token_that_was_superseded_is_not_sent() {
    let mut stage = Stage::new(|_| false).await;
    stage.clock.advance(Duration::from_mins(30));
    let poll = stage.visit().await;
    let session = poll.loaded().unwrap();
    session.put("progress", 1).unwrap();
    // The touch is due, so this commit earns the cookie of the token that the request came with.
    session.commit().await.unwrap();
    let login = stage.visit().await;
    login.loaded().unwrap().regenerate().unwrap();
    let headers = login.finish(200).await.unwrap();
    stage.keep_cookie(&headers);
    session.put("progress", 2).unwrap();
    let headers = poll.finish(200).await.unwrap();
    assert_eq!(headers.set_cookie, Vec::<String>::new(), "it would undo the login");
    assert!(stage.is_signed_in().await);
}

#[tokio::test]
async fn a_late_second_logout_spares_the_login_after_the_first() {
    let mut stage = Stage::new(|_| false).await;
    let late = stage.visit().await;
    late.loaded().unwrap().destroy().unwrap();
    let logout = stage.visit().await;
    let session = logout.loaded().unwrap();
    session.destroy().unwrap();
    session.flash(json!({ "notice": "goodbye" })).unwrap();
    let headers = logout.finish(200).await.unwrap();
    stage.keep_cookie(&headers);
    let login = stage.visit().await;
    let session = login.loaded().unwrap();
    session.put("user", "virk").unwrap();
    session.regenerate().unwrap();
    let headers = login.finish(200).await.unwrap();
    stage.keep_cookie(&headers);
    let headers = late.finish(200).await.unwrap();
    assert_eq!(headers.set_cookie, Vec::<String>::new());
    assert!(stage.is_signed_in().await);
}

/// A token that was just superseded begins a new session, but its logout is meant for the old one.
#[tokio::test]
async fn a_logout_with_an_old_bearer_token_follows_the_session() {
    for says_goodbye in [false, true] {
        let mut stage = Stage::new(|_| false).await;
        let bearer = stage.sessions.bearer().unwrap();
        let authorization = format!("Bearer {}", stage.cookie.split_once('=').unwrap().1);
        let regenerating = stage.visit().await;
        regenerating.loaded().unwrap().regenerate().unwrap();
        let headers = regenerating.finish(200).await.unwrap();
        stage.keep_cookie(&headers);
        let logout = RequestContext::new(&bearer);
        let headers = [("authorization", authorization.as_str())];
        let session = logout.session(headers.as_slice()).await.unwrap();
        assert!(session.is_new() && session.is_empty());
        assert!(stage.is_signed_in().await);
        session.destroy().unwrap();
        if says_goodbye {
            session.put("goodbye", 1).unwrap();
        }
        let token = session.bearer_token().unwrap();
        drop(logout.finish(200).await.unwrap());
        assert!(!stage.is_signed_in().await);
        let headers = [("authorization", format!("Bearer {token}"))];
        let next = RequestContext::new(&bearer).session(headers.as_slice()).await.unwrap();
        assert_eq!((next.is_new(), next.has("goodbye")), (false, says_goodbye));
    }
}

#[tokio::test]
async fn a_bearer_layer_inside_leaves_the_cookie_protected() {
    let stage = Stage::new(|_| false).await;
    let (outer, _) = ContextStack::begin(&stage.sessions, "POST", None);
    let bearer = stage.sessions.bearer().unwrap();
    let (both, _) = ContextStack::begin(&bearer, "POST", Some(outer));
    let headers = [("cookie", stage.cookie.as_str()), ("x-csrf-token", "forged")];
    let no_form = async { unreachable!() };
    let policy = CsrfPolicy::default();
    let admitted = policy.verify_request("POST", headers.as_slice(), None, &both, no_form).await;
    assert!(matches!(admitted, Err(AdapterError::Forged(CsrfRejection::BadToken))), "{admitted:?}");
    let (alone, _) = ContextStack::begin(&bearer, "POST", None);
    let no_form = async { unreachable!() };
    assert!(policy.verify_request("POST", headers.as_slice(), None, &alone, no_form).await.is_ok());
}

#[test]
fn an_update_that_changes_its_session_is_an_error_and_no_hang() {
    let session = cloakroom_core::testing::session();
    session.put("n", 1).unwrap();
    let inside = session.clone();
    let changing = session.update("list", move |list: &mut Vec<u8>| {
        list.push(1);
        // Whatever the closure makes of the error.
        drop(inside.put("other", 1));
    });
    assert_eq!(changing.unwrap_err().code(), "read_only");
    assert!(!session.has("list") && !session.has("other"));
    let inside = session.clone();
    let reading = session.update("list", move |list: &mut Vec<u8>| {
        list.push(inside.get("n").unwrap().unwrap());
    });
    assert_eq!(reading.unwrap(), [1], "reading is no change");
}

#[tokio::test]
async fn a_preloaded_session_can_be_changed_in_the_body_no_more_but_varies() {
    let stage = Stage::new(|_| false).await;
    let visit = RequestContext::new(&stage.sessions);
    visit.preload([("cookie", stage.cookie.as_str())].as_slice()).await.unwrap();
    let headers = visit.finish(200).await.unwrap();
    assert_eq!(headers.vary, Some("Cookie"));
    let late = visit.loaded().unwrap();
    assert_eq!(late.get::<String>("user").unwrap().as_deref(), Some("virk"));
    assert!(late.put("late", 1).unwrap_err().is_committed());
}

#[tokio::test]
async fn a_record_above_the_limit_is_refused_and_the_session_stays() {
    let store = Arc::new(MemoryStore::new());
    let sessions = Sessions::store(store, AppKeys::random())
        .cookie_settings(CookieSettings::development())
        .max_bytes(1_000)
        .build()
        .unwrap();
    let none: &[(&str, &str)] = &[];
    let visit = RequestContext::new(&sessions);
    visit.session(none).await.unwrap().put("user", "virk").unwrap();
    let headers = visit.finish(200).await.unwrap();
    let cookie = headers.set_cookie[0].split(';').next().unwrap().to_owned();
    let big = RequestContext::new(&sessions);
    let session = big.session([("cookie", cookie.as_str())].as_slice()).await.unwrap();
    session.put("big", "x".repeat(1_000)).unwrap();
    let error = big.finish(200).await.unwrap_err().error;
    assert!(error.is_too_large(), "{error:?}");
    let next = RequestContext::new(&sessions);
    let session = next.session([("cookie", cookie.as_str())].as_slice()).await.unwrap();
    assert!(session.has("user") && !session.has("big"));
}

#[tokio::test]
async fn a_request_that_was_cut_off_consumes_no_flash() {
    for status in [408, 504] {
        let stage = Stage::new(|_| false).await;
        let saving = stage.visit().await;
        saving.loaded().unwrap().flash(json!({ "notice": "saved" })).unwrap();
        drop(saving.finish(303).await.unwrap());
        let cut_off = stage.visit().await;
        let view = cut_off.loaded().unwrap().view();
        assert_eq!(view.flash_message("notice", ""), "saved");
        drop(cut_off.finish(status).await.unwrap());
        let page = stage.visit().await.loaded().unwrap().view();
        assert_eq!(page.flash_message("notice", ""), "saved", "{status}");
    }
}

#[tokio::test]
async fn a_cut_off_request_whose_commit_fails_shows_the_session_as_it_was() {
    let stage = Stage::new(|commit| matches!(commit, Commit::Touch { .. } | Commit::Rotate { .. }));
    let stage = stage.await;
    let visit = stage.visit().await;
    let session = visit.loaded().unwrap();
    session.put("half", 1).unwrap();
    session.regenerate().unwrap();
    assert_eq!(visit.finish(504).await.unwrap_err().error.http_status(), 503);
    assert_eq!(session.get::<String>("user").unwrap().as_deref(), Some("virk"));
    assert!(!session.has("half"));
}
