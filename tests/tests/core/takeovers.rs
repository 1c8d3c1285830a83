//! Sessions of another library that are taken over.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use cloakroom::{
    AppKeys, Driver, ForeignSession, ForeignSessions, MemoryStore, NotBefore, Session, SessionInfo,
    Sessions, SessionsBuilder, SignIn, async_trait,
    clock::{Clock, FakeClock, Timestamp},
    cookie::CookieSettings,
    store::{Commit, Cursor, Outcome, Store as _, StoreError},
};
use cloakroom_tests::{
    local::{LocalApp, LocalBrowser, build},
    store::Hooks,
};
use futures_util::future::join_all;
use serde_json::{Value, json};

/// The name of the other library's cookie.
const OLD: &str = "id";
const DAY: Duration = Duration::from_hours(24);

/// The sessions of the other library, by the values of their cookies.
#[derive(Clone, Default)]
struct Library {
    sessions: Arc<Mutex<HashMap<String, ForeignSession>>>,
    asked: Arc<AtomicUsize>,
    keeps: Arc<AtomicBool>,
    fails: Arc<AtomicBool>,
}

impl Library {
    /// Returns a library with a session of `virk`, who has a cart.
    fn of_virk() -> Self {
        Self::with(ForeignSession::new(cart()).sign_in("virk"))
    }

    fn with(session: ForeignSession) -> Self {
        let library = Self::default();
        library.sessions.lock().unwrap().insert("old-token".to_owned(), session);
        library
    }

    fn is_empty(&self) -> bool {
        self.sessions.lock().unwrap().is_empty()
    }

    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::Relaxed)
    }
}

#[async_trait]
impl ForeignSessions for Library {
    async fn find(&self, cookie: &str) -> Result<Option<ForeignSession>, StoreError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Ok(self.sessions.lock().unwrap().get(cookie).cloned())
    }

    async fn remove(&self, cookie: &str) -> Result<(), StoreError> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(StoreError::unavailable("remove it", "it is down"));
        }
        if !self.keeps.load(Ordering::Relaxed) {
            self.sessions.lock().unwrap().remove(cookie);
        }
        Ok(())
    }
}

fn cart() -> [(String, Value); 2] {
    [("cart".to_owned(), json!([7, 9])), ("a.b".to_owned(), json!(1))]
}

/// Takes over sessions of the library for a day.
fn moving(builder: SessionsBuilder, library: &Library) -> SessionsBuilder {
    let cookie = CookieSettings { name: OLD.to_owned(), ..CookieSettings::development() };
    let until = SystemTime::from(FakeClock::default().now()) + DAY;
    builder.foreign_sessions(cookie, until, library.clone())
}

fn app_with<H: Hooks>(hooks: H, library: &Library) -> LocalApp<H> {
    LocalApp::with(hooks, |builder| moving(builder, library))
}

fn app(library: &Library) -> LocalApp {
    app_with((), library)
}

/// Returns a browser that has only the cookie of the other library.
fn from_before<H: Hooks>(app: &LocalApp<H>) -> LocalBrowser {
    before_on(&app.sessions)
}

fn before_on(sessions: &Sessions) -> LocalBrowser {
    let mut browser = LocalBrowser::new(sessions);
    browser.jar.take(&format!("{OLD}=old-token"));
    browser
}

async fn list_of_virk(app: &LocalApp) -> Vec<SessionInfo> {
    let admin = app.sessions.admin().unwrap();
    admin.sessions_of("virk", Cursor::default()).await.unwrap().sessions
}

fn owner(session: &Session) -> Option<String> {
    session.owner()
}

#[tokio::test]
async fn a_visitor_stays_signed_in_with_all_values() {
    let library = Library::of_virk();
    let app = app(&library);
    let mut browser = from_before(&app);
    let lines = browser
        .visit(|session| {
            assert_eq!(session.owner().as_deref(), Some("virk"));
            assert_eq!(session.get::<Vec<u8>>("cart").unwrap(), Some(vec![7, 9]));
            let literal = cloakroom::Key::literal("a.b");
            assert_eq!(session.get::<u8>(literal).unwrap(), Some(1));
            assert!(!session.authenticated_within(DAY).unwrap(), "the sign-in was some time ago");
        })
        .await;
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[0].starts_with("session=") && lines[1].starts_with("id=; Max-Age=0"),
        "{lines:?}"
    );
    assert!(library.is_empty(), "the other library's record is removed");
    assert_eq!(app.store.calls(), ["load", "create"]);
    assert_eq!(library.asked(), 1);
    browser.visit(|session| assert_eq!(session.owner().as_deref(), Some("virk"))).await;
    assert_eq!((app.store.calls(), library.asked()), (vec!["load"], 0));
    assert_eq!(list_of_virk(&app).await.len(), 1);
}

#[tokio::test]
async fn concurrent_requests_take_a_session_over_once() {
    let library = Library::of_virk();
    let app = app(&library);
    let requests = (0..16).map(|_| {
        let mut browser = from_before(&app);
        async move {
            let (context, session) = browser.begin().await;
            tokio::task::yield_now().await;
            session.increment("visits").unwrap();
            browser.finish(context).await;
            browser
        }
    });
    let mut browsers = join_all(requests).await;
    for browser in &mut browsers {
        let session = browser.open().await;
        assert_eq!(
            (session.owner().as_deref(), session.get("visits").unwrap()),
            (Some("virk"), Some(16))
        );
    }
}

#[tokio::test]
async fn a_browser_that_missed_the_response_finds_its_session() {
    let library = Library::of_virk();
    let app = app(&library);
    from_before(&app).visit(|session| session.put("note", "kept").unwrap()).await;
    assert!(library.is_empty());
    let mut again = from_before(&app);
    again
        .visit(|session| {
            assert_eq!(session.owner().as_deref(), Some("virk"));
            assert_eq!(session.get::<String>("note").unwrap().as_deref(), Some("kept"));
        })
        .await;
    assert_eq!(library.asked(), 1);
    again.visit(|session| session.put("note", "changed").unwrap()).await;
}

#[tokio::test]
async fn an_old_cookie_does_not_sign_in_after_the_sign_out() {
    let library = Library::of_virk();
    let app = app(&library);
    let mut browser = from_before(&app);
    browser.visit(|_| ()).await;
    browser.visit(|session| session.sign_out().unwrap()).await;
    for later in [Duration::ZERO, Duration::from_hours(2)] {
        app.clock.advance(later);
        assert_eq!(owner(&from_before(&app).open().await), None);
    }
}

#[tokio::test]
async fn a_sign_out_at_the_first_request_is_final() {
    let library = Library::of_virk();
    let app = app(&library);
    let mut browser = from_before(&app);
    let lines = browser.visit(|session| session.sign_out().unwrap()).await;
    assert!(
        lines.iter().all(|line| line.contains("=; Max-Age=0")) && lines.len() == 2,
        "{lines:?}"
    );
    assert_eq!(owner(&from_before(&app).open().await), None);
    assert_eq!(browser.jar.header(), None);
}

#[tokio::test]
async fn a_session_is_not_used_before_the_old_record_is_removed() {
    let library = Library::of_virk();
    let app = app(&library);
    library.fails.store(true, Ordering::Relaxed);
    let error = from_before(&app).try_begin().await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    library.fails.store(false, Ordering::Relaxed);
    assert!(!library.is_empty());
    from_before(&app).visit(|session| assert_eq!(session.owner().as_deref(), Some("virk"))).await;
    assert!(library.is_empty());
}

/// Carries out the first commit and loses its reply.
#[derive(Debug, Default)]
struct LosesFirstReply(AtomicBool);

#[async_trait]
impl Hooks for LosesFirstReply {
    async fn before_commit(
        &self,
        records: &MemoryStore,
        commit: &Commit,
    ) -> Result<Option<Outcome>, StoreError> {
        if self.0.swap(true, Ordering::Relaxed) {
            return Ok(None);
        }
        records.commit(commit.clone()).await?;
        Err(StoreError::unavailable("read the reply", "the connection broke"))
    }
}

#[tokio::test]
async fn a_lost_reply_of_the_store_loses_no_visitor() {
    let library = Library::of_virk();
    let app = app_with(LosesFirstReply::default(), &library);
    assert!(from_before(&app).try_begin().await.is_err());
    assert!(!library.is_empty());
    from_before(&app).visit(|session| assert_eq!(session.owner().as_deref(), Some("virk"))).await;
}

#[tokio::test]
async fn sessions_are_taken_over_until_the_date() {
    let library = Library::of_virk();
    let app = app(&library);
    app.clock.advance(DAY);
    assert_eq!((owner(&from_before(&app).open().await), library.asked()), (None, 0));
    assert!(!library.is_empty());
}

#[tokio::test]
async fn a_session_of_ours_takes_precedence() {
    let library = Library::of_virk();
    let app = app(&library);
    let mut browser = app.browser_with(|session| session.sign_in("romain").unwrap()).await;
    browser.jar.take(&format!("{OLD}=old-token"));
    assert_eq!(owner(&browser.open().await).as_deref(), Some("romain"));
    assert_eq!(library.asked(), 0);
}

#[tokio::test]
async fn different_values_of_the_old_cookie_are_ignored() {
    let library = Library::of_virk();
    let app = app(&library);
    let context = cloakroom::adapter::RequestContext::new(&app.sessions);
    let headers = [("cookie", "id=old-token; id=planted")];
    assert_eq!(owner(&context.session(headers.as_slice()).await.unwrap()), None);
    let context = cloakroom::adapter::RequestContext::new(&app.sessions);
    let headers = [("cookie", "id=old-token"), ("cookie", "id=old-token; ")];
    assert!(owner(&context.session(headers.as_slice()).await.unwrap()).is_some());
}

#[tokio::test]
async fn an_unknown_or_empty_session_of_the_library_is_none() {
    for library in [Library::default(), Library::with(ForeignSession::new([]))] {
        let app = app(&library);
        let mut browser = from_before(&app);
        let lines = browser.visit(|session| assert!(session.is_new())).await;
        assert!(lines.is_empty(), "{lines:?}");
        assert_eq!(app.store.calls(), ["load"]);
    }
}

#[tokio::test]
async fn the_cookie_driver_seals_the_session() {
    let library = Library::of_virk();
    let clock = Arc::new(FakeClock::default());
    let sessions =
        build(moving(Sessions::builder(Driver::Cookie, AppKeys::random()), &library), &clock);
    let mut browser = before_on(&sessions);
    let lines = browser.visit(|session| assert_eq!(session.owner().as_deref(), Some("virk"))).await;
    assert!(
        lines[0].starts_with("session=") && lines[1].starts_with("id=; Max-Age=0"),
        "{lines:?}"
    );
    assert!(!library.is_empty(), "the browser may not have received the response");
    browser.visit(|session| assert_eq!(session.owner().as_deref(), Some("virk"))).await;
    assert_eq!(library.asked(), 1);
}

#[tokio::test]
async fn details_of_the_sign_in_are_taken_over() {
    let month = DAY * 30;
    let sign_in = SignIn::of("virk").label("Firefox on Linux").level(2).idle_timeout(month);
    let library =
        Library::with(ForeignSession::new([]).sign_in(sign_in.absolute_timeout(month * 2)));
    let app = app(&library);
    let mut browser = from_before(&app);
    let lines = browser.visit(|session| assert_eq!(session.authentication_level(), 2)).await;
    assert!(lines[0].contains("Max-Age=2592000"), "{lines:?}");
    let deadlines = browser.open().await.deadlines();
    let now = app.clock.now();
    assert_eq!((deadlines.idle, deadlines.absolute), (Some(now + month), Some(now + month * 2)));
    assert_eq!(list_of_virk(&app).await[0].label.as_deref(), Some("Firefox on Linux"));
}

/// Rejects all sign-ins until the end of time.
struct Nobody;

#[async_trait]
impl NotBefore for Nobody {
    async fn not_before(&self, _: &str) -> Result<Option<Timestamp>, StoreError> {
        Ok(Some(Timestamp::from_millis(u64::MAX)))
    }
}

#[tokio::test]
async fn rejected_sign_ins_are_not_taken_over() {
    let library = Library::of_virk();
    let app = LocalApp::with((), |builder| moving(builder, &library).not_before(Nobody));
    let session = from_before(&app).open().await;
    assert!(session.is_new() && session.owner().is_none());
    assert_eq!(app.store.calls(), ["load"]);
}

#[test]
fn the_old_cookie_has_another_name() {
    let cookie = CookieSettings { name: "session".to_owned(), ..CookieSettings::development() };
    let builder = Sessions::builder(MemoryStore::new(), AppKeys::random());
    let builder = builder.cookie_settings(CookieSettings::development());
    let same = builder.foreign_sessions(cookie, SystemTime::now(), Library::default());
    let error = same.build().unwrap_err().to_string();
    assert!(error.starts_with("cookie_name: a name that the other"), "{error}");
}
