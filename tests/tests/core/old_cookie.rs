//! A session cookie that had another name before.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use cloakroom::{
    AppKeys, Driver, ForeignSession, ForeignSessions, Session, Sessions, SessionsBuilder,
    async_trait,
    clock::{Clock, FakeClock},
    cookie::CookieSettings,
    store::StoreError,
};
use cloakroom_tests::{
    local::{LocalApp, LocalBrowser, build},
    store::{Fault, FaultyStore, TestStore},
};
use futures_util::future::join_all;

const DAY: Duration = Duration::from_hours(24);

/// An application before and after the change of its cookie's name, on one store and one key.
struct Renamed {
    before: Sessions,
    after: Sessions,
    store: Arc<FaultyStore>,
    clock: Arc<FakeClock>,
}

impl Renamed {
    fn on_store() -> Self {
        Self::with(|store, keys| Sessions::builder(store.clone(), keys))
    }

    fn on_cookies() -> Self {
        Self::with(|_, keys| Sessions::builder(Driver::Cookie, keys))
    }

    fn with(builder: impl Fn(&Arc<FaultyStore>, AppKeys) -> SessionsBuilder) -> Self {
        let clock = Arc::new(FakeClock::default());
        let store = TestStore::new(<_>::default(), &clock);
        let keys = AppKeys::random();
        let settings = || builder(&store, keys.clone());
        let before = build(settings(), &clock);
        let after = renamed(settings().clock(clock.clone())).build().unwrap();
        Self { before, after, store, clock }
    }

    /// Returns a browser that has a session from before the change.
    async fn visitor(&self, handler: impl FnOnce(&Session)) -> LocalBrowser {
        let mut browser = LocalBrowser::new(&self.before);
        browser.visit(handler).await;
        browser.sessions = self.after.clone();
        self.store.calls();
        browser
    }
}

/// Gives the cookie the name `sid`, and reads cookies with the name `session` for a day.
fn renamed(builder: SessionsBuilder) -> SessionsBuilder {
    let cookie = CookieSettings { name: "sid".to_owned(), ..CookieSettings::development() };
    let until = SystemTime::from(FakeClock::default().now()) + DAY;
    builder.old_cookie(cookie.renamed("session"), until).cookie_settings(cookie)
}

fn sign_in(session: &Session) {
    session.sign_in("virk").unwrap();
}

fn assert_signed_in(session: &Session) {
    assert_eq!(session.owner().as_deref(), Some("virk"));
}

fn names(browser: &LocalBrowser) -> Vec<&str> {
    browser.jar.names().collect()
}

#[tokio::test]
async fn a_read_moves_the_session_to_the_new_name() {
    for app in [Renamed::on_store(), Renamed::on_cookies()] {
        let mut browser = app.visitor(sign_in).await;
        assert_eq!(names(&browser), ["session"]);
        let lines = browser.visit(assert_signed_in).await;
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("sid=") && lines[0].contains("Max-Age=7200"), "{lines:?}");
        assert!(lines[1].starts_with("session=; Max-Age=0"), "{lines:?}");
        assert_eq!(names(&browser), ["sid"]);
        let lines = browser.visit(assert_signed_in).await;
        assert!(lines.is_empty(), "{lines:?}");
    }
}

#[tokio::test]
async fn on_a_store_the_token_stays_and_one_touch_is_made() {
    let app = Renamed::on_store();
    let mut browser = app.visitor(sign_in).await;
    let token = browser.jar.get("session").unwrap().to_owned();
    browser.visit(assert_signed_in).await;
    assert_eq!(app.store.calls(), ["load", "touch"]);
    assert_eq!(browser.jar.get("sid"), Some(&*token));
    browser.visit(assert_signed_in).await;
    assert_eq!(app.store.calls(), ["load"]);
}

#[tokio::test]
async fn concurrent_requests_with_the_old_cookie_lose_nothing() {
    let app = Renamed::on_store();
    let before = app.visitor(sign_in).await;
    let requests = (0..16).map(|_| {
        let mut browser = before.clone();
        async move {
            let (context, session) = browser.begin().await;
            tokio::task::yield_now().await;
            session.increment("visits").unwrap();
            browser.finish(context).await;
            browser
        }
    });
    for browser in join_all(requests).await {
        assert_eq!(names(&browser), ["sid"]);
        assert_eq!(browser.open().await.get("visits").unwrap(), Some(16));
    }
}

#[tokio::test]
async fn a_browser_that_missed_the_response_sends_the_old_cookie_again() {
    for app in [Renamed::on_store(), Renamed::on_cookies()] {
        let browser = app.visitor(sign_in).await;
        browser.clone().visit(assert_signed_in).await;
        let mut again = browser;
        again.visit(assert_signed_in).await;
        assert_eq!(names(&again), ["sid"]);
    }
}

#[tokio::test]
async fn a_sign_out_by_the_old_cookie_is_final() {
    for app in [Renamed::on_store(), Renamed::on_cookies()] {
        let mut browser = app.visitor(sign_in).await;
        let copy = browser.clone();
        let (late, session) = copy.begin().await;
        let lines = browser.visit(|session| session.sign_out().unwrap()).await;
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines.iter().all(|line| line.contains("=; Max-Age=0")), "{lines:?}");
        assert!(browser.jar.is_empty());
        if app.after.driver_name() != "cookie" {
            session.put("theme", "dark").unwrap();
            let mut copy = copy;
            assert!(copy.finish(late).await.is_empty(), "the late response sets no cookie");
            for later in [Duration::ZERO, Duration::from_hours(1)] {
                app.clock.advance(later);
                assert_eq!(copy.open().await.owner(), None);
            }
        }
    }
}

// A read has no change to commit, and its response would put the old token over the one of the login.
#[tokio::test]
async fn a_slow_read_with_the_old_cookie_does_not_undo_a_login() {
    let app = Renamed::on_store();
    let mut browser = app.visitor(|session| session.put("cart", 7).unwrap()).await;
    let mut slow = browser.clone();
    let (context, _) = slow.begin().await;
    browser.visit(sign_in).await;
    assert!(slow.finish(context).await.is_empty());
    browser.visit(assert_signed_in).await;
}

#[tokio::test]
async fn a_store_that_refuses_the_touch_loses_no_visitor() {
    let app = Renamed::on_store();
    let mut browser = app.visitor(sign_in).await;
    app.store.on_commit(Fault::Unavailable);
    let lines = browser.visit(assert_signed_in).await;
    assert!(lines.is_empty(), "{lines:?}");
    app.store.on_commit(Fault::None);
    browser.visit(assert_signed_in).await;
    assert_eq!(names(&browser), ["sid"]);
}

#[tokio::test]
async fn the_new_cookie_takes_precedence_and_removes_the_old_one() {
    for app in [Renamed::on_store(), Renamed::on_cookies()] {
        let mut browser = app.visitor(|session| session.sign_in("romain").unwrap()).await;
        let old = browser.jar.get("session").unwrap().to_owned();
        browser.jar = app_session(&app).await.jar;
        browser.jar.put("session", &old);
        let lines = browser.visit(assert_signed_in).await;
        assert!(lines.is_empty(), "{lines:?}");
        browser.visit(|session| session.sign_out().unwrap()).await;
        assert!(browser.jar.is_empty(), "{:?}", browser.jar);
    }
}

/// Returns a browser that has signed in after the change.
async fn app_session(app: &Renamed) -> LocalBrowser {
    let mut browser = LocalBrowser::new(&app.after);
    browser.visit(sign_in).await;
    browser
}

#[tokio::test]
async fn all_chunks_of_an_old_cookie_are_read_and_removed() {
    let app = Renamed::on_cookies();
    let mut browser = app.visitor(|session| session.put("big", "x".repeat(7_000)).unwrap()).await;
    assert_eq!(names(&browser), ["session", "session.2", "session.3"]);
    let lines = browser
        .visit(|session| {
            let big = session.get::<String>("big").unwrap();
            assert_eq!(big.map(|big| big.len()), Some(7_000));
            session.forget("big").unwrap();
            session.put("small", 1).unwrap();
        })
        .await;
    assert_eq!((lines.len(), names(&browser)), (4, vec!["sid"]));
}

#[tokio::test]
async fn csrf_tokens_of_an_old_pre_session_stay_valid() {
    let app = Renamed::on_store();
    let mut token = String::new();
    let mut browser = app.visitor(|session| token = session.csrf_token()).await;
    assert_eq!(names(&browser), ["session"]);
    let lines = browser.visit(|session| assert!(session.verify_csrf_token(&token))).await;
    assert_eq!((lines.len(), names(&browser)), (2, vec!["sid"]));
    browser.visit(|session| assert!(session.verify_csrf_token(&token))).await;
}

#[tokio::test]
async fn the_old_name_is_read_until_the_date() {
    for app in [Renamed::on_store(), Renamed::on_cookies()] {
        let mut browser = app
            .visitor(|session| {
                sign_in(session);
                session.set_idle_timeout(DAY * 30).unwrap();
            })
            .await;
        app.clock.advance(Duration::from_hours(23));
        assert_signed_in(&browser.open().await);
        app.clock.advance(Duration::from_hours(1));
        assert_eq!(browser.open().await.owner(), None);
        browser.visit(|session| session.put("theme", "dark").unwrap()).await;
        assert_eq!(names(&browser), ["session", "sid"], "the old cookie is left alone");
    }
}

#[tokio::test]
async fn an_unknown_or_ended_session_under_the_old_name_sets_no_cookie() {
    let app = LocalApp::with((), renamed);
    let mut browser = app.browser();
    for value in ["A".repeat(43), "junk".to_owned()] {
        browser.jar.put("session", &value);
        let lines = browser.visit(|session| assert!(session.is_new())).await;
        assert!(lines.is_empty(), "{lines:?}");
    }
}

struct Elsewhere;

#[async_trait]
impl ForeignSessions for Elsewhere {
    async fn find(&self, _: &str) -> Result<Option<ForeignSession>, StoreError> {
        Ok(None)
    }
}

#[test]
fn the_old_name_is_another_one_that_browsers_accept() {
    let builder = || Sessions::builder(Driver::Cookie, AppKeys::random());
    let now = SystemTime::now();
    let same = builder().old_cookie(CookieSettings::default(), now).build();
    let error = same.unwrap_err().to_string();
    assert_eq!(error, "old_cookie_name: a name that differs from `cookie_name` is accepted");
    let foreign = CookieSettings { name: "id".into(), ..CookieSettings::default() };
    let both = builder().old_cookie(foreign.clone(), now).foreign_sessions(foreign, now, Elsewhere);
    let error = both.build().unwrap_err().to_string();
    let accepted = "a name that the other library's cookie does not have is accepted";
    assert_eq!(error, format!("old_cookie_name: {accepted}"));
    let refused = CookieSettings { name: "__Host-x".into(), path: "/a".into(), ..<_>::default() };
    let error = builder().old_cookie(refused, now).build().unwrap_err().to_string();
    assert!(error.starts_with("old_cookie_name: a name with the prefix `__Host-`"), "{error}");
}
