//! Requests that take long: a logout after another request has rotated the token, and a read whose
//! deadline cannot be moved.
#![allow(clippy::incompatible_msrv, reason = "tests run on the newest Rust")]
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use cloakroom_core::{
    AppKeys, MemoryStore, Session, Sessions,
    adapter::{RequestContext, ResponseHeaders, Uncommitted},
    async_trait,
    clock::FakeClock,
    cookie::CookieSettings,
    store::{Commit, Entry, Outcome, RecordKey, Store, StoreError},
};

const DAY: Duration = Duration::from_hours(24);

/// A memory store that can refuse to move deadlines.
#[derive(Debug)]
struct Touchy {
    store: MemoryStore,
    refuses: AtomicBool,
    refused: AtomicUsize,
}

#[async_trait]
impl Store for Touchy {
    async fn load(&self, key: &RecordKey) -> Result<Option<Entry>, StoreError> {
        self.store.load(key).await
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        if matches!(commit, Commit::Touch { .. }) && self.refuses.load(Ordering::SeqCst) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(StoreError::unavailable("reach the server", "connection refused"));
        }
        self.store.commit(commit).await
    }
}

/// An application whose sessions end when nobody uses them for `idle_timeout`.
struct World {
    sessions: Sessions,
    store: Arc<Touchy>,
    clock: Arc<FakeClock>,
}

impl World {
    fn new(age: Duration) -> Self {
        let clock = Arc::new(FakeClock::default());
        let store = Arc::new(Touchy {
            store: MemoryStore::with_clock(clock.clone()),
            refuses: AtomicBool::default(),
            refused: AtomicUsize::default(),
        });
        let sessions = Sessions::store(store.clone(), AppKeys::random()).idle_timeout(age);
        let sessions = sessions.clock(clock.clone());
        let sessions = sessions.cookie_settings(CookieSettings::development()).build().unwrap();
        Self { sessions, store, clock }
    }

    /// Begins a request with a cookie, or without one.
    async fn request(&self, cookie: Option<&str>) -> (RequestContext, Session) {
        let visit = RequestContext::new(&self.sessions);
        let headers: Vec<_> = cookie.iter().map(|cookie| ("cookie", *cookie)).collect();
        let session = visit.session(headers.as_slice()).await.unwrap();
        (visit, session)
    }

    /// The cookie of a new session with the value `user`.
    async fn sign_in(&self) -> String {
        let (visit, session) = self.request(None).await;
        session.put("user", "virk").unwrap();
        cookie(visit.finish(200).await).unwrap()
    }

    /// Gives the session a new token and returns its cookie.
    async fn regenerate(&self, old: &str) -> String {
        let (visit, session) = self.request(Some(old)).await;
        session.regenerate().unwrap();
        cookie(visit.finish(200).await).unwrap()
    }

    async fn is_signed_in(&self, cookie: &str) -> bool {
        self.request(Some(cookie)).await.1.has("user")
    }
}

/// The cookie that a response sets.
fn cookie(committed: Result<ResponseHeaders, Uncommitted>) -> Option<String> {
    let line = committed.unwrap().set_cookie.pop()?;
    line.split(';').next().map(ToOwned::to_owned)
}

#[tokio::test]
async fn a_slow_logout_ends_the_session_under_its_new_token() {
    let world = World::new(10 * DAY);
    let old = world.sign_in().await;
    let (visit, leaving) = world.request(Some(&old)).await;
    let mut new = world.regenerate(&old).await;
    new = world.regenerate(&new).await;
    world.clock.advance(Duration::from_mins(10));
    assert!(world.is_signed_in(&new).await);
    leaving.destroy().unwrap();
    let headers = visit.finish(200).await.unwrap();
    assert!(headers.set_cookie[0].contains("Max-Age=0"), "{headers:?}");
    assert!(!world.is_signed_in(&new).await);
    assert!(world.store.store.is_empty());
}

/// Nobody can say any more where the session was moved to, so the visitor must not hear that it has
/// ended.
#[tokio::test]
async fn a_logout_that_took_two_hours_is_an_error() {
    let world = World::new(10 * DAY);
    let old = world.sign_in().await;
    let (visit, leaving) = world.request(Some(&old)).await;
    let new = world.regenerate(&old).await;
    world.clock.advance(Duration::from_hours(2));
    leaving.destroy().unwrap();
    let refused = visit.finish(200).await.unwrap_err();
    assert_eq!((refused.error.code(), refused.error.http_status()), ("store", 500));
    assert_eq!(refused.headers.set_cookie, Vec::<String>::new());
    assert!(world.is_signed_in(&new).await);
}

/// Nothing was moved, so there is nothing to be unsure of.
#[tokio::test]
async fn a_slow_logout_without_another_request_ends_the_session() {
    let world = World::new(10 * DAY);
    let cookie = world.sign_in().await;
    let (visit, leaving) = world.request(Some(&cookie)).await;
    world.clock.advance(Duration::from_hours(2));
    leaving.destroy().unwrap();
    let _ = visit.finish(200).await.unwrap();
    assert!(!world.is_signed_in(&cookie).await);
}

#[tokio::test]
async fn a_touch_that_cannot_be_written_does_not_fail_the_request() {
    let world = World::new(DAY);
    let signed_in = world.sign_in().await;
    world.store.refuses.store(true, Ordering::SeqCst);
    world.clock.advance(DAY / 4);
    let (visit, session) = world.request(Some(&signed_in)).await;
    assert_eq!(session.get::<String>("user").unwrap().as_deref(), Some("virk"));
    let headers = visit.finish(200).await.unwrap();
    assert_eq!(headers.set_cookie, Vec::<String>::new());
    assert_eq!(world.store.refused.load(Ordering::SeqCst), 1, "the touch was due");

    // An explicit commit is no different.
    let (_, session) = world.request(Some(&signed_in)).await;
    session.commit().await.unwrap();

    // A change moves the deadline as well, and is not a touch.
    let (visit, session) = world.request(Some(&signed_in)).await;
    session.put("seen", true).unwrap();
    assert!(cookie(visit.finish(200).await).is_some());
    world.clock.advance(Duration::from_secs(24 * 60 * 60 - 1));
    assert!(world.is_signed_in(&signed_in).await);
}

#[tokio::test]
async fn the_deadline_stands_while_touches_fail_and_moves_afterwards() {
    let world = World::new(DAY);
    let signed_in = world.sign_in().await;
    world.store.refuses.store(true, Ordering::SeqCst);
    world.clock.advance(DAY / 2);
    let (visit, _) = world.request(Some(&signed_in)).await;
    assert_eq!(cookie(visit.finish(200).await), None);
    world.store.refuses.store(false, Ordering::SeqCst);
    let (visit, _) = world.request(Some(&signed_in)).await;
    assert!(cookie(visit.finish(200).await).is_some());
    world.clock.advance(Duration::from_secs(24 * 60 * 60 - 1));
    assert!(world.is_signed_in(&signed_in).await);
    world.clock.advance(Duration::from_secs(1));
    assert!(!world.is_signed_in(&signed_in).await);
}
