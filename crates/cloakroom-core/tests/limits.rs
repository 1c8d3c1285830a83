//! Records that are too large: what is refused, what takes effect all the same, and which calls a
//! store gets.
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use cloakroom_core::{
    AppKeys, MemoryStore, Session, Sessions,
    adapter::{RequestContext, ResponseHeaders},
    async_trait,
    cookie::CookieSettings,
    store::{Commit, Entry, Outcome, RecordKey, Store, StoreError},
};
use serde_json::json;
use tokio::sync::Semaphore;

const LIMIT: usize = 1_000;

/// A memory store that notes each call. While it is shut, a commit waits.
#[derive(Debug)]
struct Spy {
    store: MemoryStore,
    calls: Mutex<Vec<&'static str>>,
    is_shut: AtomicBool,
    opened: Semaphore,
}

#[async_trait]
impl Store for Spy {
    async fn load(&self, key: &RecordKey) -> Result<Option<Entry>, StoreError> {
        self.note("load");
        self.store.load(key).await
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        self.note(match commit {
            Commit::Create { .. } => "create",
            Commit::Replace { .. } => "replace",
            Commit::Touch { .. } => "touch",
            Commit::Rotate { .. } => "rotate",
            Commit::Destroy { .. } => "destroy",
        });
        if self.is_shut.load(Ordering::SeqCst) {
            drop(self.opened.acquire().await.unwrap());
        }
        self.store.commit(commit).await
    }
}

impl Spy {
    fn note(&self, call: &'static str) {
        self.calls.lock().unwrap().push(call);
    }

    /// Returns the calls since the last time.
    fn calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }
}

/// A visitor with a session that holds `user`.
struct Stage {
    spy: Arc<Spy>,
    keys: String,
    sessions: Sessions,
    cookie: String,
}

impl Stage {
    async fn new() -> Self {
        let (is_shut, opened) = (AtomicBool::new(false), Semaphore::new(0));
        let store = MemoryStore::new();
        let spy = Arc::new(Spy { store, calls: Mutex::default(), is_shut, opened });
        let keys = AppKeys::generate();
        let sessions = sessions(&spy, &keys, LIMIT);
        let mut stage = Self { spy, keys, sessions, cookie: String::new() };
        let visit = stage.visit().await;
        session(&visit).put("user", "virk").unwrap();
        stage.cookie = cookie(&visit.finish(200).await.unwrap()).unwrap();
        stage.spy.calls();
        stage
    }

    async fn visit(&self) -> RequestContext {
        let visit = RequestContext::new(&self.sessions);
        visit.session([("cookie", self.cookie.as_str())].as_slice()).await.unwrap();
        visit
    }

    /// Sets another limit, as a restart of the application does.
    fn restart_with(&mut self, limit: usize) {
        self.sessions = sessions(&self.spy, &self.keys, limit);
    }

    async fn is_as_it_was(&self) -> bool {
        let all = session(&self.visit().await).all();
        json!(all) == json!({ "user": "virk" })
    }
}

fn sessions(spy: &Arc<Spy>, keys: &str, limit: usize) -> Sessions {
    let sessions = Sessions::store(spy.clone(), AppKeys::parse(keys).unwrap()).max_bytes(limit);
    sessions.cookie_settings(CookieSettings::development()).build().unwrap()
}

fn session(visit: &RequestContext) -> Session {
    visit.loaded().unwrap()
}

/// The cookie that a browser sends after this response. `None` if the response removes it.
fn cookie(headers: &ResponseHeaders) -> Option<String> {
    let line = headers.set_cookie.first()?;
    (!line.contains("Max-Age=0")).then(|| line.split(';').next().unwrap().to_owned())
}

fn removes_the_cookie(headers: &ResponseHeaders) -> bool {
    headers.set_cookie.len() == 1 && cookie(headers).is_none()
}

fn too_much() -> String {
    "x".repeat(LIMIT)
}

#[tokio::test]
async fn nothing_is_sent_of_changes_that_are_too_large() {
    let stage = Stage::new().await;
    for regenerates in [false, true] {
        let visit = stage.visit().await;
        session(&visit).put("big", too_much()).unwrap();
        if regenerates {
            session(&visit).regenerate().unwrap();
        }
        let uncommitted = visit.finish(200).await.unwrap_err();
        assert!(uncommitted.error.is_too_large(), "{uncommitted}");
        assert!(uncommitted.headers.set_cookie.is_empty());
        assert_eq!(stage.spy.calls(), ["load"]);
        assert!(stage.is_as_it_was().await, "also under its old token");
        stage.spy.calls();
    }
    let visit = RequestContext::new(&stage.sessions);
    let none: &[(&str, &str)] = &[];
    visit.session(none).await.unwrap().put("big", too_much()).unwrap();
    assert!(visit.finish(200).await.unwrap_err().error.is_too_large());
    assert!(stage.spy.calls().is_empty(), "of a new session either");
}

#[tokio::test]
async fn a_logout_is_carried_out_although_what_follows_is_too_large() {
    let stage = Stage::new().await;
    let visit = stage.visit().await;
    session(&visit).destroy().unwrap();
    session(&visit).put("last_search", too_much()).unwrap();
    let uncommitted = visit.finish(200).await.unwrap_err();
    assert!(uncommitted.error.is_too_large(), "{uncommitted}");
    assert!(removes_the_cookie(&uncommitted.headers), "{:?}", uncommitted.headers);
    assert_eq!(stage.spy.calls(), ["load", "destroy"]);
    assert!(stage.spy.store.is_empty() && session(&visit).is_empty());
}

#[tokio::test]
async fn a_logout_that_is_committed_before_the_end_says_what_was_too_large() {
    let stage = Stage::new().await;
    let visit = stage.visit().await;
    session(&visit).destroy().unwrap();
    session(&visit).put("last_search", too_much()).unwrap();
    assert!(session(&visit).commit().await.unwrap_err().is_too_large());
    assert!(session(&visit).is_empty() && session(&visit).is_new());
    assert!(removes_the_cookie(&visit.finish(200).await.unwrap()));
    assert_eq!(stage.spy.calls(), ["load", "destroy"]);
}

/// The session moves to another key before the logout is loaded, or between its load and its commit.
#[tokio::test]
async fn a_logout_follows_the_session_although_what_follows_is_too_large() {
    for loads_first in [true, false] {
        let stage = Stage::new().await;
        let early = stage.visit().await;
        let regenerating = stage.visit().await;
        session(&regenerating).regenerate().unwrap();
        drop(regenerating.finish(200).await.unwrap());
        let visit = if loads_first { early } else { stage.visit().await };
        session(&visit).destroy().unwrap();
        session(&visit).put("last_search", too_much()).unwrap();
        let uncommitted = visit.finish(200).await.unwrap_err();
        assert!(uncommitted.error.is_too_large(), "{uncommitted}");
        assert!(removes_the_cookie(&uncommitted.headers), "{loads_first}");
        assert!(stage.spy.store.is_empty(), "{loads_first}");
    }
}

/// Another request ends the session between the logout's load and its commit.
#[tokio::test]
async fn a_logout_of_a_session_that_has_ended_says_what_was_too_large() {
    let stage = Stage::new().await;
    let visit = stage.visit().await;
    let other = stage.visit().await;
    session(&other).destroy().unwrap();
    drop(other.finish(200).await.unwrap());
    session(&visit).destroy().unwrap();
    session(&visit).put("last_search", too_much()).unwrap();
    let uncommitted = visit.finish(200).await.unwrap_err();
    assert!(uncommitted.error.is_too_large(), "{uncommitted}");
    assert!(stage.spy.store.is_empty() && session(&visit).is_empty());
}

#[tokio::test]
async fn exact_changes_and_edits_keep_to_the_limit() {
    let stage = Stage::new().await;
    let visit = stage.visit().await;
    session(&visit).put("fill", "x".repeat(LIMIT - 150)).unwrap();
    drop(visit.finish(200).await.unwrap());
    stage.spy.calls();

    let visit = stage.visit().await;
    let long = "counter".repeat(10);
    assert!(session(&visit).increment_now(&long).await.unwrap_err().is_too_large());
    assert_eq!(stage.spy.calls(), ["load"]);
    let handle = session(&visit).handle().unwrap();
    let edit = stage.sessions.edit(&handle, |session| session.put("big", too_much()));
    assert!(edit.await.unwrap_err().is_too_large());
    assert_eq!(stage.spy.calls(), ["load"]);

    assert_eq!(session(&visit).increment_now("n").await.unwrap(), 1, "which fits");
    let taken: Option<String> = session(&visit).take("fill").await.unwrap();
    assert_eq!(taken.map(|text| text.len()), Some(LIMIT - 150));
    assert_eq!(session(&visit).increment_now(&long).await.unwrap(), 1, "now it fits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_commit_that_is_too_large_fails_none_of_those_it_is_merged_with() {
    let stage = Stage::new().await;
    let mut visits = Vec::new();
    for _ in 0..8 {
        visits.push(stage.visit().await);
    }
    stage.spy.is_shut.store(true, Ordering::SeqCst);
    stage.spy.calls();
    let mut commits = Vec::new();
    for (number, visit) in visits.into_iter().enumerate() {
        let text = if number == 4 { too_much() } else { "x".to_owned() };
        session(&visit).put(format!("key{number}"), text).unwrap();
        commits.push(tokio::spawn(visit.finish(200)));
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    stage.spy.is_shut.store(false, Ordering::SeqCst);
    stage.spy.opened.add_permits(100);
    for (number, commit) in commits.into_iter().enumerate() {
        match commit.await.unwrap() {
            Ok(_) => assert_ne!(number, 4),
            Err(uncommitted) => {
                assert!(number == 4 && uncommitted.error.is_too_large(), "{number}: {uncommitted}");
            }
        }
    }
    assert_eq!(stage.spy.calls(), ["replace"; 2], "the first alone, and the others as one");
    let all = session(&stage.visit().await).all();
    assert!(all.len() == 8 && !all.contains_key("key4"), "{all:?}");
}

#[tokio::test]
async fn a_session_above_a_lower_limit_may_shrink_and_not_grow() {
    let mut stage = Stage::new().await;
    let visit = stage.visit().await;
    session(&visit).put("one", "x".repeat(300)).unwrap();
    session(&visit).put("other", "x".repeat(300)).unwrap();
    session(&visit).flash(json!({ "notice": "saved" })).unwrap();
    drop(visit.finish(303).await.unwrap());
    stage.restart_with(200);

    let page = stage.visit().await;
    assert_eq!(session(&page).view().flash_message("notice", ""), "saved");
    drop(page.finish(200).await.unwrap());
    let page = stage.visit().await;
    assert_eq!(session(&page).view().flash_message("notice", ""), "", "it was consumed");

    for grows in ["put", "increment_now"] {
        let visit = stage.visit().await;
        let error = if grows == "put" {
            session(&visit).put("more", 1).unwrap();
            visit.finish(200).await.unwrap_err().error
        } else {
            session(&visit).increment_now("more").await.unwrap_err()
        };
        assert!(error.is_too_large(), "{grows}: {error}");
    }
    let visit = stage.visit().await;
    session(&visit).forget("one").unwrap();
    session(&visit).put("more", 1).unwrap();
    drop(visit.finish(200).await.unwrap());
    let visit = stage.visit().await;
    let other: Option<String> = session(&visit).take("other").await.unwrap();
    assert_eq!(other.map(|text| text.len()), Some(300));
    assert_eq!(json!(session(&stage.visit().await).all()), json!({ "user": "virk", "more": 1 }));
}
