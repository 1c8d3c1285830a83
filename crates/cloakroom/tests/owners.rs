//! Who is signed in where: the directory, and `NotBefore` where there is none.
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use cloakroom::{
    AppKeys, DEFAULT_AGE, Error, MemoryStore, NotBefore, Session, Sessions, SessionsBuilder,
    async_trait,
    clock::{Clock, FakeClock, Timestamp},
    cookie::CookieSettings,
    store::{Place, StoreError},
};

const OWNER: &str = "user-42";

/// One browser: it keeps the cookie from request to request.
struct Browser {
    sessions: Sessions,
    cookie: Option<String>,
}

impl Browser {
    fn new(sessions: &Sessions) -> Self {
        Self { sessions: sessions.clone(), cookie: None }
    }

    async fn signed_in(sessions: &Sessions, label: &str) -> Self {
        let mut browser = Self::new(sessions);
        browser
            .request(|session| {
                session.regenerate()?;
                session.set_label(label)?;
                session.set_owner(OWNER)
            })
            .await
            .unwrap();
        browser
    }

    async fn open(&self) -> Session {
        let headers: Vec<_> = self.cookie.iter().map(|cookie| ("cookie", cookie.clone())).collect();
        self.sessions.visit().session(headers.as_slice()).await.unwrap()
    }

    async fn request(
        &mut self,
        handler: impl FnOnce(&Session) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let headers: Vec<_> = self.cookie.iter().map(|cookie| ("cookie", cookie.clone())).collect();
        let visit = self.sessions.visit();
        handler(&visit.session(headers.as_slice()).await?)?;
        if let Some(line) = visit.finish(200).await?.set_cookie.first() {
            self.cookie = line.split(';').next().map(ToOwned::to_owned);
        }
        Ok(())
    }

    async fn is_signed_in(&self) -> bool {
        self.open().await.owner().is_some()
    }
}

fn build(builder: SessionsBuilder, clock: &Arc<FakeClock>) -> Sessions {
    let builder = builder.clock(clock.clone()).cookie_settings(CookieSettings::development());
    builder.build().unwrap()
}

fn in_memory() -> (Sessions, Arc<FakeClock>) {
    let clock = Arc::new(FakeClock::default());
    let store = MemoryStore::with_clock(clock.clone());
    (build(Sessions::store(store, AppKeys::random()), &clock), clock)
}

// Requirement 17.
#[tokio::test]
async fn the_list_shows_where_an_owner_is_signed_in() {
    let (sessions, clock) = in_memory();
    let laptop = Browser::signed_in(&sessions, "laptop").await;
    clock.advance(Duration::from_mins(1));
    let began = clock.now();
    let mut phone = Browser::signed_in(&sessions, "phone").await;
    clock.advance(DEFAULT_AGE / 4);
    phone.request(|session| session.put("page", 1)).await.unwrap();

    let directory = laptop.open().await.directory().unwrap();
    let list = directory.sessions_of(OWNER, Place::default()).await.unwrap().sessions;
    let shown: Vec<_> =
        list.iter().map(|it| (it.label.as_deref().unwrap_or_default(), it.current)).collect();
    assert_eq!(shown, [("phone", false), ("laptop", true)], "the last used first");
    assert_eq!((list[0].created, list[0].signed_in), (began, began));
    assert_eq!(list[0].last_seen, clock.now());
    assert!(directory.sessions_of("user-43", Place::default()).await.unwrap().sessions.is_empty());
}

#[tokio::test]
async fn a_handle_names_a_session_through_regenerations_and_signs_nobody_in() {
    let (sessions, _) = in_memory();
    let mut phone = Browser::signed_in(&sessions, "phone").await;
    let laptop = Browser::signed_in(&sessions, "laptop").await;
    let directory = laptop.open().await.directory().unwrap();
    let handle = |list: Vec<cloakroom::SessionInfo>| {
        list.into_iter().find(|it| !it.current).map(|it| it.handle).unwrap()
    };
    let before = handle(directory.sessions_of(OWNER, Place::default()).await.unwrap().sessions);
    phone.request(Session::regenerate).await.unwrap();
    assert_eq!(handle(directory.sessions_of(OWNER, Place::default()).await.unwrap().sessions), before);

    for forged in [before.clone(), before[..43].to_owned(), before[21..].to_owned()] {
        let headers = [("cookie", format!("session={forged}"))];
        let session = sessions.visit().session(headers.as_slice()).await.unwrap();
        assert!(session.is_new() && session.owner().is_none());
    }

    assert!(directory.destroy(&before).await.unwrap());
    assert!(!directory.destroy(&before).await.unwrap(), "it has ended");
    assert!(!phone.is_signed_in().await);
    assert!(laptop.is_signed_in().await);
}

#[tokio::test]
async fn a_visitor_ends_sessions_of_the_same_owner_alone() {
    let (sessions, _) = in_memory();
    let victim = Browser::signed_in(&sessions, "victim").await;
    let admin = sessions.directory().unwrap();
    let handle = admin.sessions_of(OWNER, Place::default()).await.unwrap().sessions.remove(0).handle;

    let mut other = Browser::new(&sessions);
    other.request(|session| session.set_owner("user-43")).await.unwrap();
    for stranger in [other, Browser::new(&sessions)] {
        let directory = stranger.open().await.directory().unwrap();
        assert!(!directory.destroy(&handle).await.unwrap());
        assert!(victim.is_signed_in().await);
    }
    for malformed in ["", "x", &handle[1..]] {
        assert!(!admin.destroy(malformed).await.unwrap());
    }
    assert!(admin.destroy(&handle).await.unwrap());
    assert!(!victim.is_signed_in().await);
}

#[tokio::test]
async fn everywhere_else_spares_the_current_session() {
    let (sessions, _) = in_memory();
    let here = Browser::signed_in(&sessions, "here").await;
    let others =
        [Browser::signed_in(&sessions, "1").await, Browser::signed_in(&sessions, "2").await];
    let session = here.open().await;
    let directory = session.directory().unwrap();
    assert_eq!(directory.destroy_others(OWNER).await.unwrap(), 2);
    assert!(here.is_signed_in().await);
    for other in others {
        assert!(!other.is_signed_in().await);
    }
    assert_eq!(directory.destroy_all(OWNER).await.unwrap(), 1);
    assert!(!here.is_signed_in().await);
}

#[tokio::test]
async fn a_session_that_changes_hands_is_listed_with_its_owner_at_once() {
    let (sessions, _) = in_memory();
    let mut browser = Browser::signed_in(&sessions, "browser").await;
    browser.request(|session| session.set_owner("user-43")).await.unwrap();
    let directory = sessions.directory().unwrap();
    assert_eq!(directory.sessions_of(OWNER, Place::default()).await.unwrap().sessions, []);
    assert_eq!(directory.sessions_of("user-43", Place::default()).await.unwrap().sessions.len(), 1);
    browser.request(Session::forget_owner).await.unwrap();
    assert_eq!(directory.sessions_of("user-43", Place::default()).await.unwrap().sessions, []);
}

#[tokio::test]
async fn the_cookie_driver_says_that_it_keeps_no_list() {
    let clock = Arc::new(FakeClock::default());
    let sessions = build(Sessions::cookie(AppKeys::random()), &clock);
    let session = Browser::new(&sessions).open().await;
    for error in [
        sessions.directory().map(drop).unwrap_err(),
        session.directory().map(drop).unwrap_err(),
        session.set_owner(OWNER).unwrap_err(),
    ] {
        assert!(error.is_unsupported());
        assert_eq!(error.code(), "unsupported");
    }
}

/// The application's users: since when sign-ins count, or that the database is down.
#[derive(Clone, Default)]
struct Users(Arc<Mutex<Option<Result<Timestamp, ()>>>>);

#[async_trait]
impl NotBefore for Users {
    async fn not_before(&self, owner: &str) -> Result<Option<Timestamp>, StoreError> {
        assert_eq!(owner, OWNER);
        let answer = *self.0.lock().unwrap();
        let down = |()| StoreError::unavailable("ask the users table", "it is down");
        answer.transpose().map_err(down)
    }
}

// Requirement 10: a cookie that was copied before the logout is none after it.
#[tokio::test]
async fn a_copied_cookie_is_worthless_once_its_owner_signed_out_everywhere() {
    let clock = Arc::new(FakeClock::default());
    let users = Users::default();
    let sessions = build(Sessions::cookie(AppKeys::random()).not_before(users.clone()), &clock);
    let mut browser = Browser::signed_in(&sessions, "browser").await;
    let copy = Browser { sessions: sessions.clone(), cookie: browser.cookie.clone() };
    assert!(copy.is_signed_in().await, "without the hook it is good until its deadline");

    clock.advance(Duration::from_mins(1));
    *users.0.lock().unwrap() = Some(Ok(clock.now()));
    assert!(!copy.is_signed_in().await);
    assert!(!browser.is_signed_in().await);
    browser.request(|session| session.set_owner(OWNER)).await.unwrap();
    assert!(browser.is_signed_in().await, "who signs in again is in");
    assert!(!copy.is_signed_in().await);
    println!("replay after logout: window {DEFAULT_AGE:?} without the hook, 0 s with it");
}

#[tokio::test]
async fn a_hook_that_cannot_tell_is_an_error_and_loses_nothing() {
    let clock = Arc::new(FakeClock::default());
    let users = Users::default();
    let sessions = build(Sessions::cookie(AppKeys::random()).not_before(users.clone()), &clock);
    let mut browser = Browser::signed_in(&sessions, "browser").await;
    *users.0.lock().unwrap() = Some(Err(()));
    let error = browser.request(|_| Ok(())).await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    *users.0.lock().unwrap() = None;
    assert!(browser.is_signed_in().await);
}
