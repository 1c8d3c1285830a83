//! Sessions from outside their requests: by handle, for readers that stay, for clients without
//! cookies, and with timeouts of their own.

#![allow(clippy::incompatible_msrv, reason = "tests run on the newest Rust")]
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use cloakroom_core::adapter::RequestContext;
use std::{sync::Arc, time::Duration};

use cloakroom_core::{
    AppKeys, MemoryStore, Session, SessionHandle, Sessions,
    clock::{Clock, FakeClock},
    cookie::CookieSettings,
    store::{Commit, Cursor, Entry, Outcome, RecordKey, Store, StoreError},
};

const HOUR: Duration = Duration::from_hours(1);

struct World {
    sessions: Sessions,
    clock: Arc<FakeClock>,
    cookie: Option<String>,
}

impl World {
    fn new() -> Self {
        Self::with(CookieSettings::development())
    }

    fn with(cookie: CookieSettings) -> Self {
        let clock = Arc::new(FakeClock::default());
        let store = MemoryStore::with_clock(clock.clone());
        let sessions = Sessions::store(store, AppKeys::random());
        let sessions = sessions.clock(clock.clone()).idle_timeout(HOUR).cookie_settings(cookie);
        Self { sessions: sessions.build().unwrap(), clock, cookie: None }
    }

    /// One request; answers the line of the cookie that came, if one did.
    async fn visit(&mut self, handle: impl FnOnce(&Session)) -> Option<String> {
        let cookie = self.cookie.clone().unwrap_or_default();
        let visit = RequestContext::new(&self.sessions);
        let session = visit.session([("cookie", cookie.as_str())].as_slice()).await.unwrap();
        handle(&session);
        let line = visit.finish(200).await.unwrap().set_cookie.pop();
        if let Some((cookie, _)) = line.as_deref().and_then(|line| line.split_once(';')) {
            self.cookie = Some(cookie.to_owned());
        }
        line
    }

    async fn handle(&mut self) -> SessionHandle {
        let mut handle = None;
        self.visit(|session| handle = session.handle()).await;
        handle.unwrap()
    }
}

#[tokio::test]
async fn a_task_edits_a_session_by_its_handle_and_requests_lose_nothing() {
    let mut world = World::new();
    world.visit(|session| session.put("n", 1).unwrap()).await;
    let handle = world.handle().await;
    let visit = RequestContext::new(&world.sessions);
    let cookie = world.cookie.clone().unwrap();
    let slow = visit.session([("cookie", cookie.as_str())].as_slice()).await.unwrap();
    slow.increment("n").unwrap();
    let edited = world.sessions.edit(&handle, |session| {
        session.increment_by("n", 10)?;
        session.flash(serde_json::json!({ "job": "done" }))?;
        session.get::<i64>("n")
    });
    assert_eq!(edited.await.unwrap(), Some(Some(11)));
    let _ = visit.finish(200).await.unwrap();
    world
        .visit(|session| {
            assert_eq!(session.get::<i64>("n").unwrap(), Some(12));
            assert_eq!(session.view().flash_message("job", ""), "done");
        })
        .await;
}

#[tokio::test]
async fn an_edit_of_a_session_that_has_ended_is_none_and_brings_nothing_back() {
    let mut world = World::new();
    world.visit(|session| session.put("n", 1).unwrap()).await;
    let handle = world.handle().await;
    world.visit(|session| session.destroy().unwrap()).await;
    let edited = world.sessions.edit(&handle, |session| session.put("n", 2)).await.unwrap();
    assert_eq!(edited, None);
    assert!(world.sessions.admin().unwrap().contents(&handle).await.unwrap().is_none());
    for unknown in [format!("k{}", "A".repeat(43)), format!("o{}", "A".repeat(64))] {
        let handle = unknown.parse().unwrap();
        let edited = world.sessions.edit(&handle, |session| session.put("n", 2)).await.unwrap();
        assert_eq!(edited, None, "{unknown}");
    }
}

#[tokio::test]
async fn the_handle_of_an_owned_session_outlives_a_regenerate() {
    let mut world = World::new();
    world.visit(|session| session.set_owner("virk").unwrap()).await;
    let handle = world.handle().await;
    for _ in 0..3 {
        world.visit(|session| session.regenerate().unwrap()).await;
        world.clock.advance(Duration::from_mins(5));
    }
    assert_eq!(world.handle().await, handle);
    let edited = world.sessions.edit(&handle, |session| session.put("n", 2)).await.unwrap();
    assert_eq!(edited, Some(()));
}

#[tokio::test]
async fn a_reader_sees_its_session_change_and_notices_its_end() {
    let mut world = World::new();
    let mut reader = None;
    world
        .visit(|session| {
            session.put("n", 1).unwrap();
            reader = Some(session.read_only());
        })
        .await;
    let reader = reader.unwrap();
    world.visit(|session| session.put("n", 2).unwrap()).await;
    assert_eq!(reader.get::<i64>("n").unwrap(), Some(1));
    assert!(reader.refresh().await.unwrap());
    assert_eq!(reader.get::<i64>("n").unwrap(), Some(2));
    let waiting = tokio::spawn({
        let reader = reader.clone();
        async move { reader.ended(Duration::from_millis(1)).await }
    });
    world.visit(|session| session.destroy().unwrap()).await;
    tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap();
    assert!(reader.is_empty());
}

#[tokio::test]
async fn whoever_has_the_token_of_before_does_not_come_along_into_the_login() {
    let mut world = World::new();
    world.visit(|session| session.put("planted", true).unwrap()).await;
    let (before, mut early) = (world.cookie.clone(), None);
    world.visit(|session| early = Some((session.read_only(), session.handle().unwrap()))).await;
    let (early, handle) = early.unwrap();
    let mut own = None;
    world
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
    let forge = |session: &mut cloakroom_core::SessionEditor<'_>| session.put("forged", true);
    assert_eq!(world.sessions.edit(&handle, forge).await.unwrap(), None);
    let after = std::mem::replace(&mut world.cookie, before);
    let mut late = None;
    world.visit(|session| late = Some((session.read_only(), session.handle()))).await;
    let (late, handle) = late.unwrap();
    assert_eq!(handle, None);
    for _ in 0..2 {
        assert!(!late.refresh().await.unwrap());
        assert!(late.is_empty());
        world.clock.advance(Duration::from_mins(10));
    }
    world.cookie = after;
    world.visit(|session| assert!(session.has("secret") && !session.has("forged"))).await;
}

#[tokio::test]
async fn a_reader_of_a_session_that_is_yet_to_be_kept_waits_for_it() {
    let world = World::new();
    let visit = RequestContext::new(&world.sessions);
    let nothing: &[(&str, &str)] = &[];
    let session = visit.session(nothing).await.unwrap();
    session.put("n", 1).unwrap();
    let reader = session.read_only();
    assert!(reader.refresh().await.unwrap());
    assert_eq!(reader.get::<i64>("n").unwrap(), Some(1));
    let _ = visit.finish(200).await.unwrap();
    assert!(reader.refresh().await.unwrap());
    let guest = RequestContext::new(&world.sessions);
    let session = guest.session(nothing).await.unwrap();
    let _ = guest.finish(200).await.unwrap();
    assert!(!session.read_only().refresh().await.unwrap(), "a guest has none that lives");
}

/// A store that takes nothing.
#[derive(Debug)]
struct Full(MemoryStore);

#[cloakroom_core::async_trait]
impl Store for Full {
    async fn load(&self, key: &RecordKey) -> Result<Option<Entry>, StoreError> {
        self.0.load(key).await
    }

    async fn commit(&self, _: Commit) -> Result<Outcome, StoreError> {
        Err(StoreError::failed("write the record", "the disk is full"))
    }
}

#[tokio::test]
async fn what_could_not_be_kept_is_nothing_to_wait_for() {
    let sessions = Sessions::store(Full(MemoryStore::new()), AppKeys::random()).build().unwrap();
    let visit = RequestContext::new(&sessions);
    let nothing: &[(&str, &str)] = &[];
    let session = visit.session(nothing).await.unwrap();
    session.put("n", 1).unwrap();
    let reader = session.read_only();
    assert!(visit.finish(200).await.is_err());
    assert!(!reader.refresh().await.unwrap());
    assert_eq!(session.handle(), None);
}

#[tokio::test]
async fn a_session_that_is_being_destroyed_has_no_handle() {
    let mut world = World::new();
    world.visit(|session| session.put("n", 1).unwrap()).await;
    world
        .visit(|session| {
            session.destroy().unwrap();
            assert_eq!(session.handle(), None);
            session.flash(serde_json::json!({ "notice": "Goodbye." })).unwrap();
            assert!(session.handle().is_some(), "of the session that has the message");
        })
        .await;
}

#[tokio::test]
async fn on_the_cookie_driver_the_deadline_and_the_own_request_end_a_reader() {
    let clock = Arc::new(FakeClock::default());
    let sessions = Sessions::cookie(AppKeys::random()).idle_timeout(HOUR).clock(clock.clone());
    let sessions = sessions.build().unwrap();
    let nothing: &[(&str, &str)] = &[];
    let visit = RequestContext::new(&sessions);
    let session = visit.session(nothing).await.unwrap();
    session.put("n", 1).unwrap();
    let set = visit.finish(200).await.unwrap().set_cookie.pop().unwrap();
    let reader = session.read_only();
    assert!(reader.refresh().await.unwrap());
    let cookie = set.split(';').next().unwrap();
    let visit = RequestContext::new(&sessions);
    let leaving = visit.session([("cookie", cookie)].as_slice()).await.unwrap();
    leaving.destroy().unwrap();
    let _ = visit.finish(200).await.unwrap();
    assert!(!leaving.read_only().refresh().await.unwrap());
    assert!(reader.refresh().await.unwrap(), "there is nothing to look at");
    clock.advance(HOUR);
    assert!(!reader.refresh().await.unwrap());
    assert!(reader.is_empty());
}

#[tokio::test]
async fn sign_ins_that_do_not_count_any_more_end_readers_and_edits() {
    #[derive(Debug)]
    struct SignedOut(Arc<std::sync::atomic::AtomicBool>);

    #[cloakroom_core::async_trait]
    impl cloakroom_core::NotBefore for SignedOut {
        async fn not_before(
            &self,
            _: &str,
        ) -> Result<Option<cloakroom_core::clock::Timestamp>, cloakroom_core::store::StoreError>
        {
            let out = self.0.load(std::sync::atomic::Ordering::Relaxed);
            Ok(out.then(|| cloakroom_core::clock::Timestamp::from_millis(u64::MAX)))
        }
    }

    let out = Arc::default();
    let sessions = Sessions::store(MemoryStore::new(), AppKeys::random());
    let sessions = sessions.not_before(SignedOut(Arc::clone(&out))).build().unwrap();
    let nothing: &[(&str, &str)] = &[];
    let session = RequestContext::new(&sessions).session(nothing).await.unwrap();
    session.set_owner("virk").unwrap();
    session.commit().await.unwrap();
    let (reader, handle) = (session.read_only(), session.handle().unwrap());
    assert!(reader.refresh().await.unwrap());
    out.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(!reader.refresh().await.unwrap());
    assert_eq!(sessions.edit(&handle, |session| session.put("n", 1)).await.unwrap(), None);
}

#[tokio::test]
async fn a_bearer_whose_session_has_just_ended_begins_anew() {
    let world = World::new();
    let api = world.sessions.bearer().unwrap();
    let nothing: &[(&str, &str)] = &[];
    let session = RequestContext::new(&api).session(nothing).await.unwrap();
    let token = session.bearer_token().unwrap();
    session.commit().await.unwrap();
    session.destroy().unwrap();
    session.commit().await.unwrap();
    let presented = format!("Bearer {token}");
    let visit = RequestContext::new(&api);
    let again = visit.session([("authorization", presented.as_str())].as_slice()).await.unwrap();
    again.set_owner("virk").unwrap();
    let fresh = again.bearer_token().unwrap();
    assert_ne!(fresh, token);
    let _ = visit.finish(200).await.unwrap();
    let presented = format!("Bearer {fresh}");
    let found =
        RequestContext::new(&api).session([("authorization", presented.as_str())].as_slice()).await;
    assert_eq!(found.unwrap().owner().as_deref(), Some("virk"));
}

#[tokio::test]
async fn a_session_with_an_age_of_its_own_outlives_the_others_and_their_browser() {
    let settings = CookieSettings { browser_session: true, ..CookieSettings::development() };
    let mut world = World::with(settings);
    let line = world.visit(|session| session.put("user", "virk").unwrap()).await.unwrap();
    assert!(!line.contains("Max-Age"), "{line}");
    let line = world.visit(|session| session.set_idle_timeout(24 * HOUR).unwrap()).await.unwrap();
    assert!(line.contains("Max-Age=86400"), "{line}");
    for _ in 0..3 {
        world.clock.advance(23 * HOUR);
        let line =
            world.visit(|session| assert!(session.has("user"), "used within its own age")).await;
        assert!(line.unwrap().contains("Max-Age=86400"));
    }
    world.clock.advance(24 * HOUR);
    world.visit(|session| assert!(!session.has("user"))).await;
}

#[tokio::test]
async fn less_time_than_others_have_counts_at_once() {
    let mut world = World::new();
    world.visit(|session| session.put("user", "root").unwrap()).await;
    let line = world.visit(|session| session.set_idle_timeout(HOUR / 6).unwrap()).await.unwrap();
    assert!(line.contains("Max-Age=600"), "{line}");
    world.clock.advance(HOUR / 6);
    world.visit(|session| assert!(session.is_new())).await;
}

#[tokio::test]
async fn a_lifetime_of_its_own_ends_a_busy_session_and_can_be_taken_back() {
    let mut world = World::new();
    world.visit(|session| session.set_absolute_timeout(Some(HOUR / 2)).unwrap()).await;
    world.visit(|session| session.put("user", "virk").unwrap()).await;
    let line =
        world.visit(|session| session.set_absolute_timeout(Some(HOUR)).unwrap()).await.unwrap();
    assert!(line.contains("Max-Age=3600"), "{line}");
    world.clock.advance(Duration::from_millis(3_599_999));
    world.visit(|session| assert!(session.has("user"))).await;
    world.clock.advance(Duration::from_millis(1));
    world.visit(|session| assert!(!session.has("user"))).await;
}

#[tokio::test]
async fn a_bearer_s_token_is_taken_from_the_header_alone_and_no_cookie_is_set() {
    let world = World::new();
    let api = world.sessions.bearer().unwrap();
    let visit = RequestContext::new(&api);
    let none: &[(&str, &str)] = &[];
    let session = visit.session(none).await.unwrap();
    session.put("user", "virk").unwrap();
    let token = session.bearer_token().unwrap();
    let headers = visit.finish(200).await.unwrap();
    assert_eq!(
        (headers.set_cookie.len(), headers.vary, headers.secret),
        (0, Some("Authorization"), true)
    );

    let is_new = async |sessions: &Sessions, name: &str, value: &str| {
        let visit = RequestContext::new(sessions);
        let session = visit.session([(name, value)].as_slice()).await.unwrap();
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
    assert!(!is_new(&world.sessions, "cookie", &cookie).await);
    assert!(is_new(&world.sessions, "authorization", &format!("Bearer {token}")).await);
    let twice =
        [("authorization", format!("Bearer {token}")), ("authorization", "Bearer x".into())];
    assert!(
        RequestContext::new(&api).session(twice.as_slice()).await.unwrap().is_new(),
        "two are none"
    );
}

#[tokio::test]
async fn what_a_cookie_carries_is_not_handed_out_and_the_cookie_driver_has_no_bearer() {
    let world = World::new();
    let none: &[(&str, &str)] = &[];
    let session = RequestContext::new(&world.sessions).session(none).await.unwrap();
    assert!(session.bearer_token().unwrap_err().is_unsupported());
    let sealed = Sessions::cookie(AppKeys::random()).build().unwrap();
    assert!(sealed.bearer().unwrap_err().is_unsupported());
    assert!(sealed.admin().unwrap_err().is_unsupported());
    let handle = format!("k{}", "A".repeat(43)).parse().unwrap();
    assert!(sealed.edit(&handle, |_| Ok(())).await.unwrap_err().is_unsupported());
    assert_eq!(cloakroom_core::testing::session().handle(), None);
}

#[tokio::test]
async fn operators_see_every_session_and_end_any() {
    let mut world = World::new();
    world
        .visit(|session| {
            session.set_owner("virk").unwrap();
            session.set_label("Firefox").unwrap();
            session.put("cart", [1, 2]).unwrap();
            session.flash(serde_json::json!({ "notice": "saved" })).unwrap();
        })
        .await;
    let owned = world.handle().await;
    let admin = world.sessions.admin().unwrap();
    let (mut all, mut next) = (Vec::new(), Some(Cursor::default()));
    while let Some(place) = next {
        let page = admin.page(place).await.unwrap();
        all.extend(page.sessions);
        next = page.next;
    }
    let [info] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!((info.owner.as_deref(), info.label.as_deref()), (Some("virk"), Some("Firefox")));
    assert_eq!(info.created, world.clock.now());
    for handle in [&info.handle, &owned] {
        let contents = admin.contents(handle).await.unwrap().unwrap();
        assert_eq!(contents.values["cart"], serde_json::json!([1, 2]));
        assert_eq!(contents.info, *info);
        assert!(!format!("{contents:?}").contains("cart"));
    }
    assert!(admin.destroy(&info.handle).await.unwrap());
    assert!(!admin.destroy(&info.handle).await.unwrap());
    world.visit(|session| assert!(!session.has("cart"))).await;
}
