//! Commits that a store carries out although it reports an error, and what the request commits next.

use std::sync::Mutex;

use cloakroom::{
    MemoryStore, Session, async_trait,
    store::{Commit, Cursor, Outcome, Store as _, StoreError},
};
use cloakroom_tests::{
    local::{LocalApp, LocalBrowser},
    store::Hooks,
};

const OWNER: &str = "virk";

/// Loses the reply to the next commit of this name.
#[derive(Debug, Default)]
struct LostReply(Mutex<Option<&'static str>>);

impl LostReply {
    fn to(&self, commit: &'static str) {
        *self.0.lock().unwrap() = Some(commit);
    }
}

#[async_trait]
impl Hooks for LostReply {
    async fn before_commit(
        &self,
        records: &MemoryStore,
        commit: &Commit,
    ) -> Result<Option<Outcome>, StoreError> {
        if self.0.lock().unwrap().take_if(|name| *name == commit.name()).is_none() {
            return Ok(None);
        }
        records.commit(commit.clone()).await?;
        Err(StoreError::unavailable("wait for the reply", "the connection was reset"))
    }
}

fn app() -> LocalApp<LostReply> {
    LocalApp::with(LostReply::default(), |builder| builder)
}

/// Commits explicitly and loses the reply.
async fn commit_unheard(app: &LocalApp<LostReply>, session: &Session, commit: &'static str) {
    app.store.hooks.to(commit);
    assert!(session.commit().await.unwrap_err().is_unavailable());
}

async fn count(browser: &LocalBrowser) -> Option<i64> {
    browser.open().await.get("n").unwrap()
}

fn sign_in(session: &Session) {
    session.regenerate().unwrap();
    session.set_owner(OWNER).unwrap();
}

#[tokio::test]
async fn a_rotation_whose_reply_was_lost_gets_its_cookie() {
    for (signs_in, changes_more) in [(false, false), (false, true), (true, false), (true, true)] {
        let app = app();
        let mut browser = app.browser_with(|session| session.put("n", 0).unwrap()).await;
        let (context, session) = browser.begin().await;
        session.increment("n").unwrap();
        if signs_in {
            sign_in(&session);
        } else {
            session.regenerate().unwrap();
        }
        commit_unheard(&app, &session, "rotate").await;
        if changes_more {
            session.increment("n").unwrap();
        }
        assert_eq!(browser.finish(context).await.len(), 1, "{signs_in} {changes_more}");
        assert_eq!(count(&browser).await, Some(1 + i64::from(changes_more)), "each counts once");
        assert_eq!(browser.open().await.owner().is_some(), signs_in);
        assert_eq!(app.store.records.len(), 1, "{signs_in} {changes_more}");
    }
}

#[tokio::test]
async fn a_reload_follows_a_rotation_whose_reply_was_lost() {
    let app = app();
    let mut browser = app.browser_with(|session| session.put("n", 0).unwrap()).await;
    let (context, session) = browser.begin().await;
    session.increment("n").unwrap();
    session.regenerate().unwrap();
    commit_unheard(&app, &session, "rotate").await;
    session.reload().await.unwrap();
    assert_eq!(session.increment("n").unwrap(), 2);
    assert_eq!(browser.finish(context).await.len(), 1);
    assert_eq!((count(&browser).await, app.store.records.len()), (Some(2), 1));
}

#[tokio::test]
async fn a_new_session_whose_reply_was_lost_is_gone_on_with() {
    for signs_in in [false, true] {
        let app = app();
        let mut browser = app.browser();
        let (context, session) = browser.begin().await;
        session.increment("n").unwrap();
        if signs_in {
            sign_in(&session);
        }
        commit_unheard(&app, &session, "create").await;
        session.commit().await.unwrap();
        session.increment("n").unwrap();
        assert_eq!(browser.finish(context).await.len(), 1, "{signs_in}");
        assert_eq!((count(&browser).await, app.store.records.len()), (Some(2), 1), "{signs_in}");
        let admin = app.sessions.admin().unwrap();
        let listed = admin.sessions_of(OWNER, Cursor::default()).await.unwrap().sessions;
        assert_eq!(listed.len(), usize::from(signs_in));
    }
}

#[tokio::test]
async fn an_exact_change_whose_reply_was_lost_begins_one_session() {
    let app = app();
    let mut browser = app.browser();
    let (context, session) = browser.begin().await;
    app.store.hooks.to("create");
    assert!(session.increment_now("n").await.unwrap_err().is_unavailable());
    assert_eq!(session.increment_now("n").await.unwrap(), 2, "the first one was carried out");
    assert_eq!(browser.finish(context).await.len(), 1);
    assert_eq!((count(&browser).await, app.store.records.len()), (Some(2), 1));
}

/// The session after the logout is the one that the lost reply was about.
#[tokio::test]
async fn a_logout_with_a_message_whose_reply_was_lost_keeps_the_message() {
    let app = app();
    let mut browser = app.browser_with(|session| session.put("n", 5).unwrap()).await;
    let (context, session) = browser.begin().await;
    session.destroy().unwrap();
    session.put("n", 1).unwrap();
    commit_unheard(&app, &session, "rotate").await;
    assert_eq!(browser.finish(context).await.len(), 1);
    assert_eq!((count(&browser).await, app.store.records.len()), (Some(1), 1));
}

/// A request that ended the session in between has the last word.
#[tokio::test]
async fn a_rotation_whose_reply_was_lost_stays_ended() {
    let app = app();
    let mut browser = app.browser_with(sign_in).await;
    let (context, session) = browser.begin().await;
    sign_in(&session);
    commit_unheard(&app, &session, "rotate").await;
    assert_eq!(app.sessions.admin().unwrap().destroy_all(OWNER).await.unwrap(), 1);
    assert_eq!(browser.finish(context).await, Vec::<String>::new());
    assert!(app.store.records.is_empty());
}

/// A commit without changes in between does not ask the store what it has done.
#[tokio::test]
async fn a_value_is_put_back_after_a_change_whose_reply_was_lost() {
    let app = app();
    let mut browser = app.browser_with(|session| session.put("n", 0).unwrap()).await;
    let (context, session) = browser.begin().await;
    app.store.hooks.to("replace");
    assert!(session.increment_now("n").await.unwrap_err().is_unavailable());
    session.commit().await.unwrap();
    session.put("n", 0).unwrap();
    browser.finish(context).await;
    assert_eq!(count(&browser).await, Some(0));
}
