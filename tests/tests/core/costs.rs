//! The cost of requests: the store notes every call, and "none" is asserted as well.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use cloakroom::{
    DEFAULT_IDLE_TIMEOUT, Error, MemoryStore, Session,
    adapter::{RequestContext, ResponseHeaders},
    async_trait,
    clock::Clock,
    store::{Commit, Draft, Entry, Outcome, RecordKey, Store, StoreError},
};
use cloakroom_tests::{
    local::{LocalApp, LocalBrowser},
    store::Hooks,
};
use serde_json::json;
use tokio::sync::Notify;

/// This number of commits lose their race: before each, another request writes.
#[derive(Clone, Debug, Default)]
struct Races(Arc<AtomicU32>);

#[async_trait]
impl Hooks for Races {
    async fn before_commit(
        &self,
        records: &MemoryStore,
        commit: &Commit,
    ) -> Result<Option<Outcome>, StoreError> {
        let Commit::Replace { key, draft, .. } = commit else { return Ok(None) };
        let lost =
            self.0.try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if lost.is_ok()
            && let Some(Entry::Live(current)) = records.load(key).await?
        {
            let mut theirs = draft.clone();
            theirs.bytes = current.bytes;
            records.commit(Commit::replace(*key, current.revision, theirs)).await?;
        }
        Ok(None)
    }
}

/// An application and one browser.
struct Stage {
    app: LocalApp<Races>,
    browser: LocalBrowser,
}

impl Stage {
    fn new() -> Self {
        let app = LocalApp::with(Races::default(), |builder| builder);
        Self { browser: app.browser(), app }
    }

    /// The browser has a stored session.
    async fn signed_in() -> Self {
        let mut stage = Self::new();
        stage.request(|session| session.put("username", "virk")).await;
        stage
    }

    fn lose_races(&self, count: u32) {
        self.app.store.hooks.0.store(count, Ordering::SeqCst);
    }

    /// Sends one request whose handler asks for the session. Returns the calls of the store, and how
    /// many cookies the response sets.
    async fn request(
        &mut self,
        handler: impl FnOnce(&Session) -> Result<(), Error>,
    ) -> (Vec<&'static str>, usize) {
        self.app.store.calls();
        let cookies = self.browser.try_visit(handler).await.unwrap();
        (self.app.store.calls(), cookies.len())
    }

    /// Returns the key of the session, as the store is asked for it.
    async fn key(&self) -> RecordKey {
        self.app.store.calls();
        self.browser.open().await;
        let [("load", key)] = self.app.store.keyed_calls()[..] else { panic!("one load") };
        key
    }
}

#[tokio::test]
async fn every_kind_of_request_makes_exactly_these_calls() {
    let mut stage = Stage::new();
    let nothing = |_: &Session| Ok(());
    let made = stage.request(nothing).await;
    assert_eq!(made, (vec![], 0), "no cookie, nothing put");

    let made = stage.request(|session| session.put("username", "virk")).await;
    assert_eq!(made, (vec!["create"], 1), "first write");

    let made = stage.request(|session| session.get::<String>("username").map(drop)).await;
    assert_eq!(made, (vec!["load"], 0), "read");

    let made = stage.request(|session| session.increment("visits").map(drop)).await;
    assert_eq!(made, (vec!["load", "replace"], 0), "write");

    let hundred =
        |session: &Session| (0..100).try_for_each(|_| session.increment("visits").map(drop));
    let made = stage.request(hundred).await;
    assert_eq!(made, (vec!["load", "replace"], 0), "a hundred mutations");

    stage.app.clock.advance(Duration::from_mins(30));
    let made = stage.request(Session::no_touch).await;
    assert_eq!(made, (vec!["load"], 0), "a poll while a touch is due");

    let poll = |session: &Session| {
        session.increment("visits")?;
        session.no_touch()
    };
    let made = stage.request(poll).await;
    assert_eq!(made, (vec!["load", "replace"], 0), "a poll that writes");

    let made = stage.request(nothing).await;
    assert_eq!(made, (vec!["load", "touch"], 1), "due touch");

    let regenerate = |session: &Session| {
        session.put("user", "virk")?;
        session.regenerate()
    };
    let made = stage.request(regenerate).await;
    assert_eq!(made, (vec!["load", "rotate"], 1), "regenerate and write");

    let made = stage.request(Session::destroy).await;
    assert_eq!(made, (vec!["load", "destroy"], 1), "destroy");
}

/// A page with a form, for a visitor without a session.
#[tokio::test]
async fn a_csrf_token_costs_no_call_until_something_changes() {
    let mut stage = Stage::new();
    let token = Mutex::new(String::new());
    let page = |session: &Session| {
        *token.lock().unwrap() = session.csrf_token();
        Ok(())
    };
    assert_eq!(stage.request(page).await, (vec![], 1), "the first page");
    let token = token.into_inner().unwrap();
    let check = |session: &Session| {
        assert!(session.verify_csrf_token(&token));
        Ok(())
    };
    assert_eq!(stage.request(check).await, (vec![], 0), "a post that changes nothing");
    let another_page = |session: &Session| check(session).map(|()| drop(session.csrf_token()));
    assert_eq!(stage.request(another_page).await, (vec![], 0), "the next page");

    let change = |session: &Session| check(session).and_then(|()| session.put("cart", 1));
    assert_eq!(stage.request(change).await, (vec!["create"], 1), "the first change");
    assert_eq!(stage.request(check).await, (vec!["load"], 0), "a form of another tab");

    let goodbye = |session: &Session| session.destroy().map(|()| drop(session.csrf_token()));
    assert_eq!(stage.request(goodbye).await, (vec!["load", "destroy"], 1), "sign-out");
    let refused = |session: &Session| {
        assert!(session.is_new() && !session.verify_csrf_token(&token));
        Ok(())
    };
    let (calls, _) = stage.request(refused).await;
    assert!(calls.is_empty(), "the page after it left a pre-session with a seed of its own");
}

/// A record whose token is not handed out cannot be reached.
#[tokio::test]
async fn a_csrf_token_on_a_bearer_page_makes_no_record() {
    let stage = Stage::new();
    let mut bearer = LocalBrowser::new(&stage.app.sessions.bearer().unwrap());
    assert!(bearer.visit(|session| drop(session.csrf_token())).await.is_empty());
    assert!(stage.app.store.calls().is_empty());
}

/// The tag chooses the place in the store, so a visitor must not choose the tag.
#[tokio::test]
async fn sessions_that_begin_with_one_pre_session_share_no_tag() {
    let mut stage = Stage::new();
    stage.browser.visit(|session| drop(session.csrf_token())).await;
    let pre_session = stage.browser.jar.clone();
    let mut tags = HashSet::new();
    for _ in 0..64 {
        stage.browser.jar = pre_session.clone();
        stage.request(|session| session.put("cart", 1)).await;
        tags.insert(stage.key().await.tag());
    }
    assert!(tags.len() > 32, "{} tags of 64 sessions", tags.len());
}

/// Bearers have no pre-sessions: the token that the application hands out names a record.
#[tokio::test]
async fn a_bearer_token_is_that_of_a_record() {
    let mut stage = Stage::new();
    stage.browser.visit(|session| drop(session.csrf_token())).await;
    let pre_session = stage.browser.jar.get("session").unwrap();
    let api = stage.app.sessions.bearer().unwrap();
    let headers = [("authorization", format!("Bearer {pre_session}"))];
    let context = RequestContext::new(&api);
    let session = context.session(headers.as_slice()).await.unwrap();
    let token = session.csrf_token();
    assert!(session.is_new() && !session.verify_csrf_token(&token));
    let headers = [("authorization", format!("Bearer {}", session.bearer_token().unwrap()))];
    drop(context.finish(200).await.unwrap());
    assert_eq!(stage.app.store.calls(), ["create"]);
    let session = RequestContext::new(&api).session(headers.as_slice()).await.unwrap();
    assert!(!session.is_new() && session.verify_csrf_token(&token));
}

#[tokio::test]
async fn a_request_that_does_not_ask_makes_no_call() {
    let stage = Stage::signed_in().await;
    let context = RequestContext::new(&stage.app.sessions);
    assert_eq!(context.finish(200).await.unwrap(), ResponseHeaders::default());
    assert!(stage.app.store.calls().is_empty());
}

#[tokio::test]
async fn each_lost_race_costs_one_call_more() {
    for lost in 0..4 {
        let mut stage = Stage::signed_in().await;
        stage.lose_races(lost);
        let (calls, _) = stage.request(|session| session.increment("visits").map(drop)).await;
        assert_eq!(calls.len(), 2 + usize::try_from(lost).unwrap());
        assert!(calls[1..].iter().all(|call| *call == "replace"));
    }
}

#[tokio::test]
async fn a_race_that_is_never_won_is_a_typed_error() {
    let stage = Stage::signed_in().await;
    stage.lose_races(u32::MAX);
    let (context, session) = stage.browser.begin().await;
    session.increment("visits").unwrap();
    let error = session.commit().await.unwrap_err();
    assert!(error.is_contention(), "{error:?}");
    let end = context.finish(200).await;
    assert!(end.is_ok(), "the handler has the error, so the end does not try again");
}

#[tokio::test]
async fn a_goodbye_after_destroy_is_one_step_as_well() {
    let mut stage = Stage::signed_in().await;
    let goodbye = |session: &Session| {
        session.destroy()?;
        session.flash(json!({ "notice": "goodbye" })).map(drop)
    };
    assert_eq!(stage.request(goodbye).await, (vec!["load", "rotate"], 1));
}

/// An error for such a record would lock its visitor out for as long as the record exists.
#[tokio::test]
async fn a_record_that_cannot_be_read_is_an_absence() {
    let mut stage = Stage::signed_in().await;
    let key = stage.key().await;
    let records = &stage.app.store.records;
    let Some(Entry::Live(stored)) = records.load(&key).await.unwrap() else { panic!() };
    let garbage = Draft::new("garbage", stage.app.clock.now(), DEFAULT_IDLE_TIMEOUT);
    records.commit(Commit::replace(key, stored.revision, garbage)).await.unwrap();
    let session = stage.browser.open().await;
    assert!(session.is_new() && session.is_empty());
    let made = stage.request(|session| session.put("username", "again")).await;
    assert_eq!(made, (vec!["load", "create"], 1), "a new token");
}

#[tokio::test]
async fn a_stored_key_signs_nobody_in() {
    let mut stage = Stage::signed_in().await;
    let key = stage.key().await.to_string();
    assert!(!key.contains(stage.browser.jar.get("session").unwrap()));
    stage.browser.jar.put("session", &key);
    let session = stage.browser.open().await;
    assert!(session.is_new() && session.is_empty());
}

/// Lets a commit through when the test says so.
#[derive(Clone, Debug, Default)]
struct Gate(Arc<Notify>);

#[async_trait]
impl Hooks for Gate {
    async fn before_commit(
        &self,
        _: &MemoryStore,
        _: &Commit,
    ) -> Result<Option<Outcome>, StoreError> {
        self.0.notified().await;
        Ok(None)
    }
}

/// A clone of the session is busy while the first commits.
#[tokio::test]
async fn what_happens_during_a_commit_is_not_lost() {
    let gate = Gate::default();
    let app = LocalApp::with(gate.clone(), |builder| builder);
    for destroyed in [false, true] {
        let mut browser = app.browser();
        let (context, session) = browser.begin().await;
        session.put("before", 1).unwrap();
        let committing = tokio::spawn({
            let session = session.clone();
            async move { session.commit().await }
        });
        tokio::task::yield_now().await;
        if destroyed {
            session.destroy().unwrap();
        } else {
            session.put("during", 2).unwrap();
        }
        gate.0.notify_one();
        committing.await.unwrap().unwrap();
        gate.0.notify_one();
        let cookies = browser.finish(context).await;
        if destroyed {
            assert!(cookies[0].contains("Max-Age=0"), "{cookies:?}");
            assert_eq!(app.store.records.len(), 1, "the one of the first round");
        } else {
            let all = browser.open().await.all();
            assert_eq!(json!(all), json!({"before": 1, "during": 2}));
        }
    }
}

/// The caller of a failed commit has its error, and later changes count.
#[tokio::test]
async fn a_destroy_after_a_failed_commit_takes_effect() {
    let mut stage = Stage::signed_in().await;
    let (context, session) = stage.browser.begin().await;
    session.increment("visits").unwrap();
    stage.lose_races(u32::MAX);
    assert!(session.commit().await.is_err());
    session.destroy().unwrap();
    let cookies = stage.browser.finish(context).await;
    assert!(cookies[0].contains("Max-Age=0"));
    assert!(stage.app.store.records.is_empty());
}
