//! Sessions from outside their requests: by handle, for readers that stay, for clients without
//! cookies, and with timeouts of their own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use cloakroom::{
    AppKeys, Driver, NotBefore, SessionEditor, SessionHandle, Sessions,
    adapter::RequestContext,
    async_trait,
    clock::{Clock, FakeClock, Timestamp},
    cookie::CookieSettings,
    store::{Cursor, StoreError},
};
use cloakroom_tests::{
    local::{LocalApp, LocalBrowser, build},
    store::Fault,
};
use serde_json::json;

const HOUR: Duration = Duration::from_hours(1);

/// An application whose sessions end after an hour without use.
fn app() -> LocalApp {
    LocalApp::with((), |builder| builder.idle_timeout(HOUR))
}

async fn handle_of(browser: &LocalBrowser) -> SessionHandle {
    browser.open().await.handle().unwrap()
}

#[tokio::test]
async fn a_task_edits_a_session_by_its_handle_beside_requests() {
    let app = app();
    let mut browser = app.browser();
    browser.visit(|session| session.put("n", 1).unwrap()).await;
    let handle = handle_of(&browser).await;
    let (context, slow) = browser.begin().await;
    slow.increment("n").unwrap();
    let edited = app.sessions.edit(&handle, |session| {
        session.increment_by("n", 10)?;
        session.flash(json!({ "job": "done" }))?;
        session.get::<i64>("n")
    });
    assert_eq!(edited.await.unwrap(), Some(Some(11)));
    browser.finish(context).await;
    let session = browser.open().await;
    assert_eq!(session.get::<i64>("n").unwrap(), Some(12));
    assert_eq!(session.view().flash_message("job", ""), "done");
}

#[tokio::test]
async fn an_edit_of_an_ended_session_is_none_and_restores_nothing() {
    let app = app();
    let mut browser = app.browser();
    browser.visit(|session| session.put("n", 1).unwrap()).await;
    let handle = handle_of(&browser).await;
    browser.visit(|session| session.destroy().unwrap()).await;
    let edited = app.sessions.edit(&handle, |session| session.put("n", 2)).await.unwrap();
    assert_eq!(edited, None);
    assert!(app.sessions.admin().unwrap().contents(&handle).await.unwrap().is_none());
    for unknown in [format!("k{}", "A".repeat(43)), format!("o{}", "A".repeat(64))] {
        let handle = unknown.parse().unwrap();
        let edited = app.sessions.edit(&handle, |session| session.put("n", 2)).await.unwrap();
        assert_eq!(edited, None, "{unknown}");
    }
}

#[tokio::test]
async fn the_handle_of_an_owned_session_outlives_a_regenerate() {
    let app = app();
    let mut browser = app.browser();
    browser.visit(|session| session.set_owner("virk").unwrap()).await;
    let handle = handle_of(&browser).await;
    for _ in 0..3 {
        browser.visit(|session| session.regenerate().unwrap()).await;
        app.clock.advance(Duration::from_mins(5));
    }
    assert_eq!(handle_of(&browser).await, handle);
    let edited = app.sessions.edit(&handle, |session| session.put("n", 2)).await.unwrap();
    assert_eq!(edited, Some(()));
}

#[tokio::test]
async fn a_reader_sees_its_session_change_and_notices_its_end() {
    let mut browser = app().browser();
    let mut reader = None;
    browser
        .visit(|session| {
            session.put("n", 1).unwrap();
            reader = Some(session.read_only());
        })
        .await;
    let reader = reader.unwrap();
    browser.visit(|session| session.put("n", 2).unwrap()).await;
    assert_eq!(reader.get::<i64>("n").unwrap(), Some(1));
    assert!(reader.refresh().await.unwrap());
    assert_eq!(reader.get::<i64>("n").unwrap(), Some(2));
    let waiting = tokio::spawn({
        let reader = reader.clone();
        async move { reader.ended(Duration::from_millis(1)).await }
    });
    browser.visit(|session| session.destroy().unwrap()).await;
    tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap();
    assert!(reader.is_empty());
}

#[tokio::test]
async fn a_token_from_before_the_login_does_not_lead_into_it() {
    let app = app();
    let mut browser = app.browser();
    browser.visit(|session| session.put("planted", true).unwrap()).await;
    let stranger = browser.clone();
    let session = stranger.open().await;
    let (early, handle) = (session.read_only(), session.handle().unwrap());
    let mut own = None;
    browser
        .visit(|session| {
            session.regenerate().unwrap();
            session.put("secret", 1).unwrap();
            own = Some(session.read_only());
        })
        .await;
    let own = own.unwrap();
    assert!(own.refresh().await.unwrap(), "the reader of the login itself goes on");
    assert_eq!(own.get::<i64>("secret").unwrap(), Some(1));

    assert!(!early.refresh().await.unwrap());
    assert!(early.is_empty());
    let forge = |session: &mut SessionEditor<'_>| session.put("forged", true);
    assert_eq!(app.sessions.edit(&handle, forge).await.unwrap(), None);
    let session = stranger.open().await;
    let late = session.read_only();
    assert_eq!(session.handle(), None);
    for _ in 0..2 {
        assert!(!late.refresh().await.unwrap());
        assert!(late.is_empty());
        app.clock.advance(Duration::from_mins(10));
    }
    browser.visit(|session| assert!(session.has("secret") && !session.has("forged"))).await;
}

#[tokio::test]
async fn a_reader_of_a_session_that_is_yet_to_be_kept_waits_for_it() {
    let browser = app().browser();
    let (context, session) = browser.begin().await;
    session.put("n", 1).unwrap();
    let reader = session.read_only();
    assert!(reader.refresh().await.unwrap());
    assert_eq!(reader.get::<i64>("n").unwrap(), Some(1));
    drop(context.finish(200).await.unwrap());
    assert!(reader.refresh().await.unwrap());
    let (guest, session) = browser.begin().await;
    drop(guest.finish(200).await.unwrap());
    assert!(!session.read_only().refresh().await.unwrap(), "a guest has none that lives");
}

#[tokio::test]
async fn what_could_not_be_kept_is_nothing_to_wait_for() {
    let app = LocalApp::faulty();
    app.store.on_commit(Fault::Failed);
    let (context, session) = app.browser().begin().await;
    session.put("n", 1).unwrap();
    let reader = session.read_only();
    assert!(context.finish(200).await.is_err());
    assert!(!reader.refresh().await.unwrap());
    assert_eq!(session.handle(), None);
}

#[tokio::test]
async fn a_session_that_is_being_destroyed_has_no_handle() {
    let mut browser = app().browser();
    browser.visit(|session| session.put("n", 1).unwrap()).await;
    browser
        .visit(|session| {
            session.destroy().unwrap();
            assert_eq!(session.handle(), None);
            session.flash(json!({ "notice": "Goodbye." })).unwrap();
            assert!(session.handle().is_some(), "of the session that has the message");
        })
        .await;
}

#[tokio::test]
async fn on_the_cookie_driver_a_reader_ends_at_the_deadline() {
    let clock = Arc::new(FakeClock::default());
    let sessions =
        build(Sessions::builder(Driver::Cookie, AppKeys::random()).idle_timeout(HOUR), &clock);
    let mut browser = LocalBrowser::new(&sessions);
    let (context, session) = browser.begin().await;
    session.put("n", 1).unwrap();
    browser.finish(context).await;
    let reader = session.read_only();
    assert!(reader.refresh().await.unwrap());
    let (context, leaving) = browser.begin().await;
    leaving.destroy().unwrap();
    browser.finish(context).await;
    assert!(!leaving.read_only().refresh().await.unwrap());
    assert!(reader.refresh().await.unwrap(), "there is nothing to look at");
    clock.advance(HOUR);
    assert!(!reader.refresh().await.unwrap());
    assert!(reader.is_empty());
}

#[tokio::test]
async fn sign_ins_that_do_not_count_any_more_end_readers_and_edits() {
    #[derive(Debug)]
    struct SignedOut(Arc<AtomicBool>);

    #[async_trait]
    impl NotBefore for SignedOut {
        async fn not_before(&self, _: &str) -> Result<Option<Timestamp>, StoreError> {
            let is_out = self.0.load(Ordering::Relaxed);
            Ok(is_out.then(|| Timestamp::from_millis(u64::MAX)))
        }
    }

    let is_out = Arc::new(AtomicBool::default());
    let hook = SignedOut(is_out.clone());
    let LocalApp { sessions, .. } = LocalApp::with((), |builder| builder.not_before(hook));
    let session = LocalBrowser::new(&sessions).open().await;
    session.set_owner("virk").unwrap();
    session.commit().await.unwrap();
    let (reader, handle) = (session.read_only(), session.handle().unwrap());
    assert!(reader.refresh().await.unwrap());
    is_out.store(true, Ordering::Relaxed);
    assert!(!reader.refresh().await.unwrap());
    assert_eq!(sessions.edit(&handle, |session| session.put("n", 1)).await.unwrap(), None);
}

#[tokio::test]
async fn a_bearer_whose_session_has_just_ended_starts_over() {
    let app = app();
    let api = app.sessions.bearer().unwrap();
    let session = LocalBrowser::new(&api).open().await;
    let token = session.bearer_token().unwrap();
    session.commit().await.unwrap();
    session.destroy().unwrap();
    session.commit().await.unwrap();
    let presented = format!("Bearer {token}");
    let context = RequestContext::new(&api);
    let again = context.session([("authorization", presented.as_str())].as_slice()).await.unwrap();
    again.set_owner("virk").unwrap();
    let fresh = again.bearer_token().unwrap();
    assert_ne!(fresh, token);
    drop(context.finish(200).await.unwrap());
    let presented = format!("Bearer {fresh}");
    let found =
        RequestContext::new(&api).session([("authorization", presented.as_str())].as_slice()).await;
    assert_eq!(found.unwrap().owner().as_deref(), Some("virk"));
}

#[tokio::test]
async fn a_session_with_its_own_idle_timeout_outlives_the_others() {
    let settings = CookieSettings { browser_session: true, ..CookieSettings::development() };
    let app = LocalApp::with((), |builder| builder.idle_timeout(HOUR).cookie_settings(settings));
    let mut browser = app.browser();
    let line = browser.visit(|session| session.put("user", "virk").unwrap()).await.remove(0);
    assert!(!line.contains("Max-Age"), "{line}");
    let line =
        browser.visit(|session| session.set_idle_timeout(24 * HOUR).unwrap()).await.remove(0);
    assert!(line.contains("Max-Age=86400"), "{line}");
    for _ in 0..3 {
        app.clock.advance(23 * HOUR);
        let line =
            browser.visit(|session| assert!(session.has("user"), "used within its own age")).await;
        assert!(line[0].contains("Max-Age=86400"));
    }
    app.clock.advance(24 * HOUR);
    browser.visit(|session| assert!(!session.has("user"))).await;
}

#[tokio::test]
async fn a_shorter_idle_timeout_counts_at_once() {
    let app = app();
    let mut browser = app.browser();
    browser.visit(|session| session.put("user", "root").unwrap()).await;
    let line = browser.visit(|session| session.set_idle_timeout(HOUR / 6).unwrap()).await.remove(0);
    assert!(line.contains("Max-Age=600"), "{line}");
    app.clock.advance(HOUR / 6);
    browser.visit(|session| assert!(session.is_new())).await;
}

#[tokio::test]
async fn an_idle_timeout_out_of_range_is_the_nearest_one_within() {
    let app = LocalApp::with((), |builder| builder.absolute_timeout(24 * HOUR));
    for (idle, seconds) in [(Duration::ZERO, 1), (Duration::MAX, 24 * 3_600)] {
        let mut browser = app.browser();
        let lines = browser.visit(|session| session.set_owner("virk").unwrap()).await;
        assert_eq!(lines.len(), 1);
        let lines = browser.visit(|session| session.set_idle_timeout(idle).unwrap()).await;
        assert!(lines[0].contains(&format!("Max-Age={seconds};")), "{lines:?}");
        let session = browser.open().await;
        assert_eq!(session.owner().as_deref(), Some("virk"));
        assert_eq!(session.deadlines().idle, Some(app.clock.now() + Duration::from_secs(seconds)));
        app.store.calls();
        browser.visit(|_| ()).await;
        assert_eq!(app.store.calls(), ["load"], "no touch is due");
    }
}

#[tokio::test]
async fn an_own_absolute_timeout_ends_a_busy_session() {
    let app = app();
    let mut browser = app.browser();
    browser.visit(|session| session.set_absolute_timeout(Some(HOUR / 2)).unwrap()).await;
    browser.visit(|session| session.put("user", "virk").unwrap()).await;
    let line =
        browser.visit(|session| session.set_absolute_timeout(Some(HOUR)).unwrap()).await.remove(0);
    assert!(line.contains("Max-Age=3600"), "{line}");
    app.clock.advance(Duration::from_millis(3_599_999));
    browser.visit(|session| assert!(session.has("user"))).await;
    app.clock.advance(Duration::from_millis(1));
    browser.visit(|session| assert!(!session.has("user"))).await;
}

#[tokio::test]
async fn a_bearer_token_is_read_from_the_header_and_sets_no_cookie() {
    let app = app();
    let api = app.sessions.bearer().unwrap();
    let (context, session) = LocalBrowser::new(&api).begin().await;
    session.put("user", "virk").unwrap();
    let token = session.bearer_token().unwrap();
    let headers = context.finish(200).await.unwrap();
    assert_eq!(
        (headers.set_cookie.len(), headers.vary, headers.secret),
        (0, Some("Authorization"), true)
    );

    let is_new = async |sessions: &Sessions, name: &str, value: &str| {
        let context = RequestContext::new(sessions);
        let session = context.session([(name, value)].as_slice()).await.unwrap();
        session.is_new()
    };
    assert!(!is_new(&api, "authorization", &format!("Bearer {token}")).await);
    assert!(!is_new(&api, "authorization", &format!("bearer  {token}")).await);
    for other in
        [format!("Basic {token}"), token.clone(), format!("Bearer {token}x"), String::new()]
    {
        assert!(is_new(&api, "authorization", &other).await, "{other}");
    }
    let cookie = format!("session={token}");
    assert!(is_new(&api, "cookie", &cookie).await, "never both");
    assert!(!is_new(&app.sessions, "cookie", &cookie).await);
    assert!(is_new(&app.sessions, "authorization", &format!("Bearer {token}")).await);
    let twice =
        [("authorization", format!("Bearer {token}")), ("authorization", "Bearer x".into())];
    assert!(
        RequestContext::new(&api).session(twice.as_slice()).await.unwrap().is_new(),
        "two are none"
    );
}

#[tokio::test]
async fn sessions_in_cookies_have_no_bearer_token() {
    let browser = app().browser();
    let session = browser.open().await;
    assert!(session.bearer_token().unwrap_err().is_unsupported());
    let sealed = Sessions::builder(Driver::Cookie, AppKeys::random()).build().unwrap();
    assert!(sealed.bearer().unwrap_err().is_unsupported());
    assert!(sealed.admin().unwrap_err().is_unsupported());
    let handle = format!("k{}", "A".repeat(43)).parse().unwrap();
    assert!(sealed.edit(&handle, |_| Ok(())).await.unwrap_err().is_unsupported());
    assert_eq!(cloakroom::testing::session().handle(), None);
}

#[tokio::test]
async fn operators_see_every_session_and_end_any() {
    let app = app();
    let mut browser = app.browser();
    browser
        .visit(|session| {
            session.set_owner("virk").unwrap();
            session.set_label("Firefox").unwrap();
            session.put("cart", [1, 2]).unwrap();
            session.flash(json!({ "notice": "saved" })).unwrap();
        })
        .await;
    let owned = handle_of(&browser).await;
    let admin = app.sessions.admin().unwrap();
    let (mut all, mut next) = (Vec::new(), Some(Cursor::default()));
    while let Some(from) = next {
        let page = admin.page(from).await.unwrap();
        all.extend(page.sessions);
        next = page.next;
    }
    let [info] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!((info.owner.as_deref(), info.label.as_deref()), (Some("virk"), Some("Firefox")));
    assert_eq!(info.created, app.clock.now());
    for handle in [&info.handle, &owned] {
        let contents = admin.contents(handle).await.unwrap().unwrap();
        assert_eq!(contents.values["cart"], json!([1, 2]));
        assert_eq!(contents.info, *info);
        assert!(!format!("{contents:?}").contains("cart"));
    }
    assert!(admin.destroy(&info.handle).await.unwrap());
    assert!(!admin.destroy(&info.handle).await.unwrap());
    browser.visit(|session| assert!(!session.has("cart"))).await;
}
