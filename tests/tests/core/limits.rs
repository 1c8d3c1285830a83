//! Records that are too large: what is refused, what takes effect all the same, and which calls a
//! store gets.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use cloakroom::{
    AppKeys, DEFAULT_IDLE_TIMEOUT, MemoryStore, Session, Sessions,
    adapter::{RequestContext, ResponseHeaders},
    async_trait,
    clock::Clock as _,
    store::{Commit, Draft, Entry, Outcome, RecordKey, Store as _, StoreError},
};
use cloakroom_tests::{
    local::{LocalApp, LocalBrowser, build},
    log::Log,
    store::Hooks,
};
use serde_json::json;
use tokio::sync::Semaphore;

const LIMIT: usize = 1_000;

#[test]
fn a_limit_of_nothing_is_refused() {
    let builder = || Sessions::builder(MemoryStore::new(), AppKeys::random());
    for (built, name) in [
        (builder().max_bytes(0).build(), "max_bytes"),
        (builder().commit_deadline(Duration::ZERO).build(), "commit_deadline"),
    ] {
        assert!(built.unwrap_err().to_string().starts_with(name));
    }
}

/// Browsers drop a cookie after 400 days, whatever its `Max-Age`.
#[tokio::test]
async fn a_session_without_an_end_keeps_its_cookie() {
    let app = LocalApp::new();
    let mut browser = app.browser();
    let begin = |session: &Session| {
        session.put("user", 1).unwrap();
        session.set_idle_timeout(Duration::MAX).unwrap();
    };
    browser.visit(begin).await;
    for _ in 0..3 {
        app.clock.advance(Duration::from_hours(24 * 201));
        let lines = browser.visit(|session| assert!(!session.is_new())).await;
        assert!(lines[0].contains("; Max-Age=34560000;"), "{lines:?}");
    }
}

/// While it is shut, a commit waits.
#[derive(Debug)]
struct Gate {
    is_shut: AtomicBool,
    opened: Semaphore,
}

#[async_trait]
impl Hooks for Gate {
    async fn before_commit(
        &self,
        _: &MemoryStore,
        _: &Commit,
    ) -> Result<Option<Outcome>, StoreError> {
        if self.is_shut.load(Ordering::SeqCst) {
            drop(self.opened.acquire().await.unwrap());
        }
        Ok(None)
    }
}

/// An application, and a browser whose session holds `user`.
struct Stage {
    app: LocalApp<Gate>,
    keys: String,
    browser: LocalBrowser,
}

impl Stage {
    async fn new() -> Self {
        let gate = Gate { is_shut: AtomicBool::new(false), opened: Semaphore::new(0) };
        let keys = AppKeys::generate();
        let mut app = LocalApp::with(gate, |builder| builder);
        app.sessions = sessions(&app, &keys, LIMIT);
        let browser = app.browser_with(|session| session.put("user", "virk").unwrap()).await;
        Self { app, keys, browser }
    }

    async fn begin(&self) -> (RequestContext, Session) {
        self.browser.begin().await
    }

    /// Returns the calls since the last time.
    fn calls(&self) -> Vec<&'static str> {
        self.app.store.calls()
    }

    /// Sets another limit, as a restart of the application does.
    fn restart_with(&mut self, limit: usize) {
        self.browser.sessions = sessions(&self.app, &self.keys, limit);
    }

    async fn is_as_it_was(&self) -> bool {
        json!(self.browser.open().await.all()) == json!({ "user": "virk" })
    }
}

fn sessions(app: &LocalApp<Gate>, keys: &str, limit: usize) -> Sessions {
    let keys = AppKeys::parse(keys).unwrap();
    build(Sessions::builder(app.store.clone(), keys).max_bytes(limit), &app.clock)
}

fn removes_the_cookie(headers: &ResponseHeaders) -> bool {
    matches!(&headers.set_cookie[..], [line] if line.contains("Max-Age=0"))
}

fn too_much() -> String {
    "x".repeat(LIMIT)
}

#[tokio::test]
async fn nothing_is_sent_of_changes_that_are_too_large() {
    let stage = Stage::new().await;
    for regenerates in [false, true] {
        let (context, session) = stage.begin().await;
        session.put("big", too_much()).unwrap();
        if regenerates {
            session.regenerate().unwrap();
        }
        let uncommitted = context.finish(200).await.unwrap_err();
        assert!(uncommitted.error.is_too_large(), "{uncommitted}");
        assert!(uncommitted.headers.set_cookie.is_empty());
        assert_eq!(stage.calls(), ["load"]);
        assert!(stage.is_as_it_was().await, "also under its old token");
        stage.calls();
    }
    let (context, session) = stage.app.browser().begin().await;
    session.put("big", too_much()).unwrap();
    assert!(context.finish(200).await.unwrap_err().error.is_too_large());
    assert!(stage.calls().is_empty(), "of a new session either");
}

#[tokio::test]
async fn a_logout_is_carried_out_if_the_rest_is_too_large() {
    let stage = Stage::new().await;
    let (context, session) = stage.begin().await;
    session.destroy().unwrap();
    session.put("last_search", too_much()).unwrap();
    let uncommitted = context.finish(200).await.unwrap_err();
    assert!(uncommitted.error.is_too_large(), "{uncommitted}");
    assert!(removes_the_cookie(&uncommitted.headers), "{:?}", uncommitted.headers);
    assert_eq!(stage.calls(), ["load", "destroy"]);
    assert!(stage.app.store.records.is_empty() && session.is_empty());
}

#[tokio::test]
async fn a_commit_of_a_logout_says_that_the_rest_is_too_large() {
    let stage = Stage::new().await;
    let (context, session) = stage.begin().await;
    session.destroy().unwrap();
    session.put("last_search", too_much()).unwrap();
    assert!(session.commit().await.unwrap_err().is_too_large());
    assert!(session.is_empty() && session.is_new());
    assert!(removes_the_cookie(&context.finish(200).await.unwrap()));
    assert_eq!(stage.calls(), ["load", "destroy"]);
}

/// The session moves to another key before the logout is loaded, or between its load and its commit.
#[tokio::test]
async fn a_logout_follows_the_session_if_the_rest_is_too_large() {
    for loads_first in [true, false] {
        let stage = Stage::new().await;
        let early = stage.begin().await;
        stage.browser.clone().visit(|session| session.regenerate().unwrap()).await;
        let (context, session) = if loads_first { early } else { stage.begin().await };
        session.destroy().unwrap();
        session.put("last_search", too_much()).unwrap();
        let uncommitted = context.finish(200).await.unwrap_err();
        assert!(uncommitted.error.is_too_large(), "{uncommitted}");
        assert!(removes_the_cookie(&uncommitted.headers), "{loads_first}");
        assert!(stage.app.store.records.is_empty(), "{loads_first}");
    }
}

/// Another request ends the session between the logout's load and its commit.
#[tokio::test]
async fn a_logout_of_a_session_that_has_ended_says_what_was_too_large() {
    let stage = Stage::new().await;
    let (context, session) = stage.begin().await;
    stage.browser.clone().visit(|session| session.destroy().unwrap()).await;
    session.destroy().unwrap();
    session.put("last_search", too_much()).unwrap();
    let uncommitted = context.finish(200).await.unwrap_err();
    assert!(uncommitted.error.is_too_large(), "{uncommitted}");
    assert!(stage.app.store.records.is_empty() && session.is_empty());
}

#[tokio::test]
async fn exact_changes_and_edits_keep_to_the_limit() {
    let stage = Stage::new().await;
    let fill = |session: &Session| session.put("fill", "x".repeat(LIMIT - 150)).unwrap();
    stage.browser.clone().visit(fill).await;
    stage.calls();

    let session = stage.browser.open().await;
    let long = "counter".repeat(10);
    assert!(session.increment_now(&long).await.unwrap_err().is_too_large());
    assert_eq!(stage.calls(), ["load"]);
    let handle = session.handle().unwrap();
    let edit = stage.browser.sessions.edit(&handle, |session| session.put("big", too_much()));
    assert!(edit.await.unwrap_err().is_too_large());
    assert_eq!(stage.calls(), ["load"]);

    assert_eq!(session.increment_now("n").await.unwrap(), 1, "which fits");
    let taken: Option<String> = session.take("fill").await.unwrap();
    assert_eq!(taken.map(|text| text.len()), Some(LIMIT - 150));
    assert_eq!(session.increment_now(&long).await.unwrap(), 1, "now it fits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_is_too_large_fails_alone() {
    let stage = Stage::new().await;
    let mut requests = Vec::new();
    for _ in 0..8 {
        requests.push(stage.begin().await);
    }
    stage.app.store.hooks.is_shut.store(true, Ordering::SeqCst);
    stage.calls();
    let mut commits = Vec::new();
    for (number, (context, session)) in requests.into_iter().enumerate() {
        let text = if number == 4 { too_much() } else { "x".to_owned() };
        session.put(format!("key{number}"), text).unwrap();
        commits.push(tokio::spawn(context.finish(200)));
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    stage.app.store.hooks.is_shut.store(false, Ordering::SeqCst);
    stage.app.store.hooks.opened.add_permits(100);
    for (number, commit) in commits.into_iter().enumerate() {
        match commit.await.unwrap() {
            Ok(_) => assert_ne!(number, 4),
            Err(uncommitted) => {
                assert!(number == 4 && uncommitted.error.is_too_large(), "{number}: {uncommitted}");
            }
        }
    }
    assert_eq!(stage.calls(), ["replace"; 2], "the first alone, and the others as one");
    let all = stage.browser.open().await.all();
    assert!(all.len() == 8 && !all.contains_key("key4"), "{all:?}");
}

#[tokio::test]
async fn a_session_above_a_lower_limit_may_shrink_and_not_grow() {
    let mut stage = Stage::new().await;
    let (context, session) = stage.begin().await;
    session.put("one", "x".repeat(300)).unwrap();
    session.put("other", "x".repeat(300)).unwrap();
    session.flash(json!({ "notice": "saved" })).unwrap();
    drop(context.finish(303).await.unwrap());
    stage.restart_with(200);

    let mut message = String::new();
    let page = |session: &Session| message = session.view().flash_message("notice", "");
    stage.browser.visit(page).await;
    assert_eq!(message, "saved");
    let view = stage.browser.open().await.view();
    assert_eq!(view.flash_message("notice", ""), "", "it was consumed");

    for grows in ["put", "increment_now"] {
        let (context, session) = stage.begin().await;
        let error = if grows == "put" {
            session.put("more", 1).unwrap();
            context.finish(200).await.unwrap_err().error
        } else {
            session.increment_now("more").await.unwrap_err()
        };
        assert!(error.is_too_large(), "{grows}: {error}");
    }
    let shrink = |session: &Session| {
        session.forget("one").unwrap();
        session.put("more", 1).unwrap();
    };
    stage.browser.visit(shrink).await;
    let session = stage.browser.open().await;
    let other: Option<String> = session.take("other").await.unwrap();
    assert_eq!(other.map(|text| text.len()), Some(300));
    assert_eq!(json!(stage.browser.open().await.all()), json!({ "user": "virk", "more": 1 }));
}

/// A record that is damaged within its values, where a load does not look.
#[tokio::test]
async fn damaged_values_are_ignored_with_a_warning() {
    let app = LocalApp::new();
    let mut browser = app.browser_with(|session| session.put("k", 1).unwrap()).await;
    let handle = browser.open().await.handle().unwrap();
    let key = RecordKey::parse(&handle.to_string()[1..]).unwrap();
    let Some(Entry::Live(stored)) = app.store.records.load(&key).await.unwrap() else { panic!() };
    let damaged = String::from_utf8(stored.bytes.to_vec()).unwrap().replace("\"k\":1", "\"k\"?1");
    let draft = Draft::new(damaged, app.clock.now(), DEFAULT_IDLE_TIMEOUT);
    app.store.records.commit(Commit::replace(key, stored.revision, draft)).await.unwrap();
    let (log, _guard) = Log::of_this_thread();
    browser.visit(|session| session.put("n", 2).unwrap()).await;
    assert_eq!(json!(browser.open().await.all()), json!({ "n": 2 }));
    let text = log.text();
    assert_eq!(text.matches("they are damaged").count(), 1, "{text}");
}
