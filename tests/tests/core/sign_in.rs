//! Signing in without HTTP: timeouts, levels, the application's users and their stamps.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use cloakroom::{
    AppKeys, Driver, MemoryStore, RequireOwner, Session, Sessions, SessionsBuilder, SignIn, Users,
    adapter::{AdapterError, Reason, RequestContext, RequestHead},
    clock::{Clock, FakeClock},
};
use cloakroom_tests::local::{LocalApp, LocalBrowser, build};

const MINUTE: Duration = Duration::from_mins(1);
const NO_HEADERS: &[(&str, &str)] = &[];

#[derive(Clone, Debug, PartialEq)]
struct User {
    name: String,
    password_hash: String,
}

/// A table of one user, which counts the queries.
#[derive(Clone, Default)]
struct Table {
    password_hash: Arc<Mutex<String>>,
    fails: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

impl Users for Table {
    type User = User;
    type Error = String;

    async fn user(&self, owner: &str) -> Result<Option<User>, String> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.fails.load(Ordering::Relaxed) {
            return Err("the table is locked".to_owned());
        }
        let password_hash = self.password_hash.lock().unwrap().clone();
        Ok((owner == "virk").then(|| User { name: owner.to_owned(), password_hash }))
    }

    fn stamp<'u>(&self, user: &'u User) -> Option<&'u [u8]> {
        Some(user.password_hash.as_bytes())
    }
}

/// An application with the table, on a store.
fn with_users() -> (Sessions, Table) {
    let clock = Arc::new(FakeClock::default());
    users_on(MemoryStore::with_clock(clock.clone()), &clock)
}

fn users_on(driver: impl Into<Driver>, clock: &Arc<FakeClock>) -> (Sessions, Table) {
    let table = Table::default();
    let builder = Sessions::builder(driver, AppKeys::random()).users(table.clone());
    (build(builder, clock), table)
}

async fn signed_in(sessions: &Sessions, sign_in: impl Into<SignIn>) -> LocalBrowser {
    let mut browser = LocalBrowser::new(sessions);
    browser.try_visit(|session| session.sign_in(sign_in)).await.unwrap();
    browser
}

/// Returns who is signed in, or what is missing.
async fn owner_of(browser: &mut LocalBrowser, required: &RequireOwner) -> Result<String, Reason> {
    let (context, _) = browser.begin().await;
    let checked = required.check(&context, head()).await;
    browser.finish(context).await;
    match checked {
        Ok(owner) => Ok(owner.into()),
        Err(AdapterError::SignInRequired(required)) => Err(required.reason),
        Err(other) => panic!("{other}"),
    }
}

fn head() -> RequestHead<'static, [(&'static str, &'static str)]> {
    RequestHead { method: "GET", target: "/", authority: None, headers: NO_HEADERS }
}

fn with_timeouts() -> LocalApp {
    let hour = Duration::from_hours(1);
    LocalApp::with((), |builder: SessionsBuilder| {
        builder.idle_timeout(hour).absolute_timeout(hour * 8)
    })
}

#[tokio::test]
async fn a_sign_in_starts_both_timeouts_again() {
    let app = with_timeouts();
    let mut browser = app.browser_with(|session| session.put("cart", 3).unwrap()).await;
    app.clock.advance(MINUTE * 50);
    browser.try_visit(|session| session.sign_in("virk")).await.unwrap();
    let deadlines = browser.open().await.deadlines();
    assert_eq!(deadlines.idle, Some(app.clock.now() + MINUTE * 60));
    assert_eq!(deadlines.absolute, Some(app.clock.now() + MINUTE * 480));
}

#[tokio::test]
async fn remember_me_has_its_own_timeouts_until_the_next_sign_in() {
    let app = with_timeouts();
    let days = Duration::from_hours(24);
    let remembered = || SignIn::of("virk").idle_timeout(days * 30).absolute_timeout(days * 90);
    let mut browser = signed_in(&app.sessions, remembered()).await;
    let deadlines = browser.open().await.deadlines();
    assert_eq!(deadlines.idle, Some(app.clock.now() + days * 30));
    assert_eq!(deadlines.absolute, Some(app.clock.now() + days * 90));
    browser.try_visit(|session| session.sign_in("virk")).await.unwrap();
    let deadlines = browser.open().await.deadlines();
    assert_eq!(deadlines.idle, Some(app.clock.now() + MINUTE * 60));
}

#[tokio::test]
async fn a_proof_of_identity_has_an_age_and_a_level() {
    let app = LocalApp::new();
    let mut browser = signed_in(&app.sessions, SignIn::of("virk").level(1)).await;
    let recent = RequireOwner::new().within(MINUTE * 10);
    let strong = RequireOwner::new().level(2);
    assert_eq!(owner_of(&mut browser, &recent).await.as_deref(), Ok("virk"));
    assert_eq!(owner_of(&mut browser, &strong).await, Err(Reason::LevelTooLow { needed: 2 }));
    app.clock.advance(MINUTE * 10);
    let within = MINUTE * 10;
    assert_eq!(owner_of(&mut browser, &recent).await, Err(Reason::TooLongAgo { within }));
    browser.try_visit(|session| session.sign_in(SignIn::of("virk").level(2))).await.unwrap();
    assert_eq!(owner_of(&mut browser, &recent).await.as_deref(), Ok("virk"));
    assert_eq!(owner_of(&mut browser, &strong).await.as_deref(), Ok("virk"));
    assert_eq!(browser.open().await.authentication_level(), 2);
}

#[tokio::test]
async fn a_user_is_asked_for_once_in_a_request_and_only_if_needed() {
    let (sessions, table) = with_users();
    let mut browser = signed_in(&sessions, "virk").await;
    assert!(owner_of(&mut browser, &RequireOwner::new()).await.is_ok());
    assert_eq!(table.asked.load(Ordering::Relaxed), 0, "the owner alone needs no query");
    let session = browser.open().await;
    for _ in 0..3 {
        assert_eq!(session.current_user::<User>().await.unwrap().unwrap().name, "virk");
    }
    assert_eq!(table.asked.load(Ordering::Relaxed), 1);
    let unknown = signed_in(&sessions, "eve").await.open().await;
    assert!(unknown.current_user::<User>().await.unwrap().is_none());
    assert_eq!(unknown.owner().as_deref(), Some("eve"), "a missing user ends no session");
}

#[tokio::test]
async fn a_change_of_the_password_ends_every_other_session() {
    for (sessions, table) in [users_on(Driver::Cookie, &Arc::default()), with_users()] {
        let before = || SignIn::of("virk").stamp("");
        let mut here = signed_in(&sessions, before()).await;
        let mut there = signed_in(&sessions, before()).await;
        let owner = RequireOwner::new();
        assert!(owner_of(&mut there, &owner).await.is_ok());
        "$argon2id$new".clone_into(&mut table.password_hash.lock().unwrap());
        here.try_visit(|session| session.set_owner_stamp("$argon2id$new")).await.unwrap();
        assert!(owner_of(&mut here, &owner).await.is_ok());
        assert_eq!(owner_of(&mut there, &owner).await, Err(Reason::NotSignedIn));
        assert_eq!(there.open().await.owner(), None, "the session has ended");
        assert!(owner_of(&mut here, &owner).await.is_ok());
    }
}

#[tokio::test]
async fn a_stamp_of_one_owner_does_not_reach_another() {
    let (sessions, _) = with_users();
    let mut browser = signed_in(&sessions, SignIn::of("virk").stamp("")).await;
    let (late, session) = browser.begin().await;
    session.set_owner_stamp("new").unwrap();
    browser.try_visit(|session| session.set_owner("eve")).await.unwrap();
    _ = late.finish(200).await;
    assert_eq!(owner_of(&mut browser, &RequireOwner::new()).await.as_deref(), Ok("eve"));
}

#[tokio::test]
async fn a_failed_query_signs_nobody_in_and_nobody_out() {
    let (sessions, table) = with_users();
    let mut browser = signed_in(&sessions, SignIn::of("virk").stamp("")).await;
    table.fails.store(true, Ordering::Relaxed);
    let (context, _) = browser.begin().await;
    let error = RequireOwner::new().check(&context, head()).await.unwrap_err();
    assert_eq!((error.http_status(), error.code()), (500, "store"));
    browser.finish(context).await;
    table.fails.store(false, Ordering::Relaxed);
    assert!(owner_of(&mut browser, &RequireOwner::new()).await.is_ok());
}

#[tokio::test]
async fn a_type_of_user_that_nobody_returns_is_a_mistake_with_advice() {
    let (sessions, _) = with_users();
    let session = signed_in(&sessions, "virk").await.open().await;
    let other = session.current_user::<Infallible>().await.unwrap_err();
    assert!(other.to_string().contains("SessionsBuilder::users"), "{other}");
    let none = signed_in(&LocalApp::new().sessions, "virk").await.open().await;
    assert_eq!(none.current_user::<User>().await.unwrap_err().code(), "no_users");
}

#[tokio::test]
async fn a_redirect_leads_to_the_sign_in_page_but_never_into_a_loop() {
    let app = LocalApp::with((), |builder| builder.sign_in_page("/sign-in"));
    let context = RequestContext::new(&app.sessions);
    let page_for = async |target: &'static str| {
        let refused = RequireOwner::new().check(&context, RequestHead { target, ..head() }).await;
        let AdapterError::SignInRequired(required) = refused.unwrap_err() else { panic!() };
        required.page
    };
    assert_eq!(page_for("/account").await.as_deref(), Some("/sign-in"));
    assert_eq!(page_for("/sign-in?again").await, None);
    let error =
        Sessions::builder(Driver::Cookie, AppKeys::random()).sign_in_page("https://x/").build();
    assert_eq!(error.unwrap_err().key(), "sign_in_page");
}

#[tokio::test]
async fn values_that_are_kept_at_a_sign_out_begin_a_new_session() {
    let app = LocalApp::new();
    let mut browser = signed_in(&app.sessions, "virk").await;
    let put = |session: &Session| {
        session.put("cart.items", 3).unwrap();
        session.put("address", "…").unwrap();
    };
    browser.visit(put).await;
    let copy = browser.clone();
    browser.try_visit(|session| session.sign_out_keeping(["cart", "nothing"])).await.unwrap();
    let session = browser.open().await;
    assert_eq!((session.get("cart.items").unwrap(), session.owner()), (Some(3), None));
    assert!(!session.has("address"));
    assert!(copy.open().await.is_new(), "the session before has ended");
}
