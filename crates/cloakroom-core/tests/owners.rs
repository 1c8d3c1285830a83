//! Who is signed in where: an owner's list, and `NotBefore` for drivers without one.
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use cloakroom_core::adapter::RequestContext;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use cloakroom_core::{
    AppKeys, DEFAULT_IDLE_TIMEOUT, Error, MemoryStore, NotBefore, Session, SessionPage, Sessions,
    SessionsBuilder, async_trait,
    clock::{Clock, FakeClock, Timestamp},
    cookie::CookieSettings,
    store::{
        Commit, Cursor, Draft, Entry, KeyPage, Outcome, OwnerIndex, OwnerKey, RecordKey, Store,
        StoreError,
    },
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
        RequestContext::new(&self.sessions).session(headers.as_slice()).await.unwrap()
    }

    async fn request(
        &mut self,
        handler: impl FnOnce(&Session) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let headers: Vec<_> = self.cookie.iter().map(|cookie| ("cookie", cookie.clone())).collect();
        let visit = RequestContext::new(&self.sessions);
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

#[tokio::test]
async fn the_list_shows_where_an_owner_is_signed_in() {
    let (sessions, clock) = in_memory();
    let laptop = Browser::signed_in(&sessions, "laptop").await;
    clock.advance(Duration::from_mins(1));
    let began = clock.now();
    let mut phone = Browser::signed_in(&sessions, "phone").await;
    clock.advance(DEFAULT_IDLE_TIMEOUT / 4);
    phone.request(|session| session.put("page", 1)).await.unwrap();

    let own = laptop.open().await.owner_sessions().unwrap();
    let list = own.page(Cursor::default()).await.unwrap().sessions;
    let shown: Vec<_> =
        list.iter().map(|info| (info.label.as_deref().unwrap_or_default(), info.current)).collect();
    assert_eq!(shown, [("phone", false), ("laptop", true)], "the last used first");
    assert_eq!((list[0].created, list[0].signed_in), (began, Some(began)));
    assert_eq!(list[0].last_seen, clock.now());
    assert_eq!(list[0].owner.as_deref(), Some(OWNER));
    let admin = sessions.admin().unwrap();
    let seen_by_operators = admin.sessions_of(OWNER, Cursor::default()).await.unwrap().sessions;
    assert!(seen_by_operators.iter().all(|info| !info.current));
    assert_eq!(list.len(), seen_by_operators.len());
    assert!(admin.sessions_of("user-43", Cursor::default()).await.unwrap().sessions.is_empty());
}

#[tokio::test]
async fn a_handle_names_a_session_through_regenerations_and_signs_nobody_in() {
    let (sessions, _) = in_memory();
    let mut phone = Browser::signed_in(&sessions, "phone").await;
    let laptop = Browser::signed_in(&sessions, "laptop").await;
    let own = laptop.open().await.owner_sessions().unwrap();
    let other = async || {
        let list = own.page(Cursor::default()).await.unwrap().sessions;
        list.into_iter().find(|info| !info.current).map(|info| info.handle).unwrap()
    };
    let before = other().await;
    phone.request(Session::regenerate).await.unwrap();
    assert_eq!(other().await, before);

    let text = before.to_string();
    for forged in [&text, &text[1..], &text[1..44], &text[22..]] {
        let headers = [("cookie", format!("session={forged}"))];
        let session = RequestContext::new(&sessions).session(headers.as_slice()).await.unwrap();
        assert!(session.is_new() && session.owner().is_none());
    }

    assert!(own.destroy(&before).await.unwrap());
    assert!(!own.destroy(&before).await.unwrap(), "it has ended");
    assert!(!phone.is_signed_in().await);
    assert!(laptop.is_signed_in().await);
}

#[tokio::test]
async fn a_visitor_ends_sessions_of_the_same_owner_alone() {
    let (sessions, _) = in_memory();
    let victim = Browser::signed_in(&sessions, "victim").await;
    let admin = sessions.admin().unwrap();
    let handle =
        admin.sessions_of(OWNER, Cursor::default()).await.unwrap().sessions.remove(0).handle;

    let mut other = Browser::new(&sessions);
    other.request(|session| session.set_owner("user-43")).await.unwrap();
    for stranger in [other, Browser::new(&sessions)] {
        let own = stranger.open().await.owner_sessions().unwrap();
        assert!(!own.destroy(&handle).await.unwrap());
        assert!(victim.is_signed_in().await);
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
    let own = here.open().await.owner_sessions().unwrap();
    assert_eq!(own.destroy_others().await.unwrap(), 2);
    assert!(here.is_signed_in().await);
    for other in others {
        assert!(!other.is_signed_in().await);
    }
    assert_eq!(own.destroy_all().await.unwrap(), 1);
    assert!(!here.is_signed_in().await);
}

#[tokio::test]
async fn an_operator_spares_the_session_of_a_handle() {
    let (sessions, _) = in_memory();
    let here = Browser::signed_in(&sessions, "here").await;
    let there = Browser::signed_in(&sessions, "there").await;
    let mut guest = Browser::new(&sessions);
    guest.request(|session| session.put("cart", 1)).await.unwrap();
    let admin = sessions.admin().unwrap();
    let (keep, guest) = (here.open().await.handle(), guest.open().await.handle());
    assert_eq!(admin.destroy_others("user-43", &keep.unwrap()).await.unwrap(), 0);
    assert_eq!(admin.destroy_others(OWNER, &keep.unwrap()).await.unwrap(), 1);
    assert!(here.is_signed_in().await && !there.is_signed_in().await);
    assert_eq!(admin.destroy_others(OWNER, &guest.unwrap()).await.unwrap(), 1);
    assert!(!here.is_signed_in().await);
    assert!(admin.contents(&guest.unwrap()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_visitor_without_an_owner_lists_and_ends_nothing() {
    let (sessions, _) = in_memory();
    let signed_in = Browser::signed_in(&sessions, "browser").await;
    let (mut guest, mut neighbour) = (Browser::new(&sessions), Browser::new(&sessions));
    for visitor in [&mut guest, &mut neighbour] {
        visitor.request(|session| session.put("cart", 1)).await.unwrap();
    }
    let own = guest.open().await.owner_sessions().unwrap();
    assert_eq!(own.page(Cursor::default()).await.unwrap(), SessionPage::default());
    assert_eq!(own.destroy_others().await.unwrap() + own.destroy_all().await.unwrap(), 0);
    for visitor in [&guest, &neighbour, &signed_in] {
        let handle = visitor.open().await.handle().unwrap();
        assert!(!own.destroy(&handle).await.unwrap());
        assert!(sessions.admin().unwrap().contents(&handle).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn the_list_stays_with_the_owner_that_it_was_asked_for() {
    let (sessions, _) = in_memory();
    let here = Browser::signed_in(&sessions, "here").await;
    Browser::signed_in(&sessions, "there").await;
    let session = here.open().await;
    let own = session.owner_sessions().unwrap();
    session.set_owner("user-43").unwrap();
    let page = own.page(Cursor::default()).await.unwrap();
    assert_eq!(page.sessions.iter().filter(|info| info.current).count(), 1);
    assert_eq!((page.sessions.len(), own.destroy_others().await.unwrap()), (2, 1));
}

#[tokio::test]
async fn a_session_that_changes_hands_is_listed_with_its_owner_at_once() {
    let (sessions, _) = in_memory();
    let mut browser = Browser::signed_in(&sessions, "browser").await;
    browser.request(|session| session.set_owner("user-43")).await.unwrap();
    let admin = sessions.admin().unwrap();
    assert_eq!(admin.sessions_of(OWNER, Cursor::default()).await.unwrap().sessions, []);
    assert_eq!(admin.sessions_of("user-43", Cursor::default()).await.unwrap().sessions.len(), 1);
    browser.request(Session::forget_owner).await.unwrap();
    assert_eq!(admin.sessions_of("user-43", Cursor::default()).await.unwrap().sessions, []);
}

#[tokio::test]
async fn the_cookie_driver_says_that_it_keeps_no_list() {
    let clock = Arc::new(FakeClock::default());
    let sessions = build(Sessions::cookie(AppKeys::random()), &clock);
    let session = Browser::new(&sessions).open().await;
    for error in [
        sessions.admin().map(drop).unwrap_err(),
        session.owner_sessions().map(drop).unwrap_err(),
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
    println!("replay after logout: window {DEFAULT_IDLE_TIMEOUT:?} without the hook, 0 s with it");
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

fn limited(limit: Option<usize>) -> (Sessions, Arc<FakeClock>) {
    let clock = Arc::new(FakeClock::default());
    let store = MemoryStore::with_clock(clock.clone());
    let builder = Sessions::store(store, AppKeys::random()).max_sessions(limit);
    (build(builder, &clock), clock)
}

async fn labels(sessions: &Sessions) -> Vec<String> {
    let admin = sessions.admin().unwrap();
    let page = admin.sessions_of(OWNER, Cursor::default()).await.unwrap();
    let mut labels: Vec<_> = page.sessions.into_iter().filter_map(|info| info.label).collect();
    labels.sort();
    labels
}

#[tokio::test]
async fn a_sign_in_beyond_the_limit_ends_the_session_unused_longest() {
    let (sessions, clock) = limited(Some(3));
    let mut first = Browser::signed_in(&sessions, "1").await;
    for label in ["2", "3"] {
        clock.advance(Duration::from_secs(1));
        Browser::signed_in(&sessions, label).await;
    }
    clock.advance(DEFAULT_IDLE_TIMEOUT / 4);
    first.request(|session| session.put("page", 1)).await.unwrap();
    Browser::signed_in(&sessions, "4").await;
    assert_eq!(labels(&sessions).await, ["1", "3", "4"], "2 was not used for the longest time");
    let mut stranger = Browser::new(&sessions);
    stranger.request(|session| session.set_owner("user-43")).await.unwrap();
    assert_eq!(labels(&sessions).await, ["1", "3", "4"], "another owner has a list of their own");
}

#[tokio::test]
async fn sign_ins_within_one_millisecond_keep_to_the_limit_as_well() {
    for limit in 1..4 {
        let (sessions, _) = limited(Some(limit));
        for number in 0..10 {
            let browser = Browser::signed_in(&sessions, &number.to_string()).await;
            assert!(browser.is_signed_in().await, "the one that signs in stays");
            assert_eq!(labels(&sessions).await.len(), limit.min(number + 1));
        }
    }
}

#[tokio::test]
async fn a_session_that_names_its_owner_once_more_ends_no_other() {
    let (sessions, clock) = limited(Some(1));
    let mut here = Browser::signed_in(&sessions, "here").await;
    clock.advance(Duration::from_secs(1));
    let there = Browser::signed_in(&sessions, "there").await;
    assert!(!here.is_signed_in().await);
    here = Browser { sessions: sessions.clone(), cookie: there.cookie.clone() };
    here.request(|session| session.set_owner(OWNER)).await.unwrap();
    assert!(there.is_signed_in().await);
    assert_eq!(labels(&sessions).await, ["there"]);
}

#[tokio::test]
async fn a_session_that_names_its_owner_once_more_keeps_its_handle() {
    let (sessions, clock) = in_memory();
    let mut browser = Browser::signed_in(&sessions, "browser").await;
    let handle = browser.open().await.handle().unwrap();
    clock.advance(Duration::from_mins(1));
    for regenerates in [false, true] {
        let again = |session: &Session| {
            if regenerates {
                session.regenerate()?;
            }
            session.set_owner(OWNER)
        };
        browser.request(again).await.unwrap();
        assert_eq!(browser.open().await.handle().unwrap(), handle);
    }
    let admin = sessions.admin().unwrap();
    let page = admin.sessions_of(OWNER, Cursor::default()).await.unwrap();
    assert_eq!((page.sessions.len(), page.sessions[0].signed_in), (1, Some(clock.now())));
    browser.request(|session| session.set_owner("user-43")).await.unwrap();
    assert_ne!(browser.open().await.handle().unwrap(), handle, "another owner's list");
}

#[tokio::test]
async fn an_owner_without_limit_has_pages_of_sessions() {
    let (sessions, clock) = limited(None);
    for number in 0..300 {
        clock.advance(Duration::from_millis(1));
        Browser::signed_in(&sessions, &number.to_string()).await;
    }
    let admin = sessions.admin().unwrap();
    let (mut handles, mut sizes) = (std::collections::HashSet::new(), Vec::new());
    let mut next = Some(Cursor::default());
    while let Some(from) = next {
        let page = admin.sessions_of(OWNER, from).await.unwrap();
        assert!(page.sessions.is_sorted_by_key(|info| std::cmp::Reverse(info.last_seen)));
        sizes.push(page.sessions.len());
        handles.extend(page.sessions.into_iter().map(|info| info.handle));
        next = page.next;
    }
    assert_eq!(handles.len(), 300);
    assert!(sizes.len() == 3 && sizes.iter().all(|size| *size < 140), "{sizes:?}");
    assert_eq!(admin.destroy_all(OWNER).await.unwrap(), 300);
    assert!(labels(&sessions).await.is_empty());
}

/// A memory store that counts what is read.
#[derive(Debug)]
struct Counted {
    store: MemoryStore,
    loads: AtomicUsize,
}

#[async_trait]
impl Store for Counted {
    async fn load(&self, key: &RecordKey) -> Result<Option<Entry>, StoreError> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        self.store.load(key).await
    }

    fn as_owner_index(&self) -> Option<&dyn OwnerIndex> {
        self.store.as_owner_index()
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        self.store.commit(commit).await
    }
}

/// A store whose index has many entries of sessions that have ended, and behind them those that live.
#[derive(Debug)]
struct Outdated {
    store: Counted,
    dead: u64,
    /// Whether it leaves out the entries of sessions that have ended, after it has looked at them.
    filters: bool,
    seen: AtomicUsize,
}

impl Outdated {
    fn page(&self, keys: Vec<RecordKey>, next: Cursor) -> KeyPage {
        let seen = keys.len();
        self.seen.fetch_add(seen, Ordering::SeqCst);
        let keys = if self.filters { Vec::new() } else { keys };
        KeyPage::new(keys, Some(next)).with_seen(seen)
    }
}

#[async_trait]
impl Store for Outdated {
    async fn load(&self, key: &RecordKey) -> Result<Option<Entry>, StoreError> {
        self.store.load(key).await
    }

    fn as_owner_index(&self) -> Option<&dyn OwnerIndex> {
        Some(self)
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        self.store.commit(commit).await
    }
}

#[async_trait]
impl OwnerIndex for Outdated {
    async fn keys_of(
        &self,
        owner: &OwnerKey,
        from: Cursor,
        limit: usize,
    ) -> Result<KeyPage, StoreError> {
        if from.part() == 1 {
            let mut page =
                self.store.store.keys_of(owner, Cursor::new(0, from.offset()), limit).await?;
            page.next = page.next.map(|next| Cursor::new(1, next.offset()));
            return Ok(page);
        }
        let until = self.dead.min(from.offset() + limit as u64);
        let keys = (from.offset()..until).map(|number| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            RecordKey::from_bytes(bytes)
        });
        let next = match until {
            until if until == self.dead => Cursor::new(1, 0),
            offset => Cursor::new(from.part(), offset),
        };
        Ok(self.page(keys.collect(), next))
    }
}

#[tokio::test]
async fn a_page_over_entries_that_lead_to_nothing_ends_and_the_next_goes_on() {
    for filters in [false, true] {
        let clock = Arc::new(FakeClock::default());
        let store = MemoryStore::with_clock(clock.clone());
        let store = Counted { store, loads: AtomicUsize::new(0) };
        let seen = AtomicUsize::new(0);
        let store = Arc::new(Outdated { store, dead: 10_000, filters, seen });
        let sessions = Sessions::store(store.clone(), AppKeys::random()).max_sessions(None);
        let sessions = build(sessions, &clock);
        for number in 0..3 {
            Browser::signed_in(&sessions, &number.to_string()).await;
        }
        let admin = sessions.admin().unwrap();
        let (mut listed, mut pages, mut next) = (0, 0, Some(Cursor::default()));
        while let Some(from) = next {
            store.store.loads.store(0, Ordering::SeqCst);
            store.seen.store(0, Ordering::SeqCst);
            let page = admin.sessions_of(OWNER, from).await.unwrap();
            let loads = store.store.loads.load(Ordering::SeqCst);
            let seen = store.seen.load(Ordering::SeqCst);
            assert!(loads < 1_200 && seen < 1_200, "{loads} records and {seen} entries for a page");
            listed += page.sessions.len();
            pages += 1;
            next = page.next;
        }
        assert_eq!((listed, pages), (3, 10));
        assert_eq!(admin.destroy_all(OWNER).await.unwrap(), 3);
    }
}

#[tokio::test]
async fn a_handle_and_a_sign_in_read_no_other_records_of_the_owner() {
    let clock = Arc::new(FakeClock::default());
    let store = MemoryStore::with_clock(clock.clone());
    let store = Arc::new(Counted { store, loads: AtomicUsize::new(0) });
    let sessions = Sessions::store(store.clone(), AppKeys::random()).max_sessions(Some(300));
    let sessions = build(sessions, &clock);
    for number in 0..300 {
        Browser::signed_in(&sessions, &number.to_string()).await;
    }
    assert_eq!(store.loads.load(Ordering::SeqCst), 0, "new sessions within the limit");
    let admin = sessions.admin().unwrap();
    let handle = {
        let mut page = admin.sessions_of(OWNER, Cursor::default()).await.unwrap();
        page.sessions.swap_remove(7).handle
    };
    let before = store.loads.load(Ordering::SeqCst);
    let edited = sessions.edit(&handle, |session| session.put("seen", true)).await.unwrap();
    assert_eq!(edited, Some(()));
    assert!(admin.destroy(&handle).await.unwrap());
    let loads = store.loads.load(Ordering::SeqCst) - before;
    assert!(loads <= 4, "{loads} records read, of 300");
}

/// A memory store whose commits wait for each other in pairs.
#[derive(Debug)]
struct Paired {
    store: MemoryStore,
    pair: tokio::sync::Barrier,
}

#[async_trait]
impl Store for Paired {
    async fn load(&self, key: &RecordKey) -> Result<Option<Entry>, StoreError> {
        self.store.load(key).await
    }

    fn as_owner_index(&self) -> Option<&dyn OwnerIndex> {
        self.store.as_owner_index()
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        if let Commit::Create { .. } = commit {
            self.pair.wait().await;
        }
        self.store.commit(commit).await
    }
}

#[tokio::test]
async fn sign_ins_at_once_do_not_end_each_other() {
    let clock = Arc::new(FakeClock::default());
    let store = MemoryStore::with_clock(clock.clone());
    let store = Paired { store, pair: tokio::sync::Barrier::new(2) };
    let sessions = build(Sessions::store(store, AppKeys::random()).max_sessions(Some(1)), &clock);
    for round in 0..5 {
        let (one, other) = tokio::join!(
            Browser::signed_in(&sessions, "one"),
            Browser::signed_in(&sessions, "other")
        );
        assert!(one.is_signed_in().await && other.is_signed_in().await, "round {round}");
        assert_eq!(labels(&sessions).await, ["one", "other"], "those of before had to go");
    }
}

/// A memory store whose index of owners is down.
#[derive(Debug)]
struct Unlisted(MemoryStore);

#[async_trait]
impl Store for Unlisted {
    async fn load(&self, key: &RecordKey) -> Result<Option<Entry>, StoreError> {
        self.0.load(key).await
    }

    fn as_owner_index(&self) -> Option<&dyn OwnerIndex> {
        Some(self)
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        self.0.commit(commit).await
    }
}

#[async_trait]
impl OwnerIndex for Unlisted {
    async fn keys_of(&self, _: &OwnerKey, _: Cursor, _: usize) -> Result<KeyPage, StoreError> {
        Err(StoreError::unavailable("list an owner's sessions", "the index is down"))
    }
}

#[tokio::test]
async fn a_sign_in_succeeds_although_the_list_cannot_be_read() {
    let clock = Arc::new(FakeClock::default());
    let store = Unlisted(MemoryStore::with_clock(clock.clone()));
    let sessions = Sessions::store(store, AppKeys::random()).max_sessions(Some(1));
    let sessions = build(sessions, &clock);
    let browser = Browser::signed_in(&sessions, "browser").await;
    assert!(browser.is_signed_in().await);
}

/// A memory store whose list of one owner hangs.
#[derive(Debug)]
struct Hanging {
    store: MemoryStore,
    /// Of this owner, once so many pages were read.
    owner: OwnerKey,
    pages: Mutex<usize>,
}

#[async_trait]
impl Store for Hanging {
    async fn load(&self, key: &RecordKey) -> Result<Option<Entry>, StoreError> {
        self.store.load(key).await
    }

    fn as_owner_index(&self) -> Option<&dyn OwnerIndex> {
        Some(self)
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        self.store.commit(commit).await
    }
}

#[async_trait]
impl OwnerIndex for Hanging {
    async fn keys_of(
        &self,
        owner: &OwnerKey,
        from: Cursor,
        limit: usize,
    ) -> Result<KeyPage, StoreError> {
        let hangs = *owner == self.owner && {
            let mut pages = self.pages.lock().unwrap();
            *pages = pages.saturating_sub(1);
            *pages == 0
        };
        if hangs {
            std::future::pending::<()>().await;
        }
        self.store.keys_of(owner, from, limit).await
    }
}

#[tokio::test(start_paused = true)]
async fn an_owner_whose_list_hangs_keeps_no_other_waiting() {
    let clock = Arc::new(FakeClock::default());
    let store = MemoryStore::with_clock(clock.clone());
    // Its second sign-in looks whether there are too many, and once more when it is its turn.
    let store = Hanging { store, owner: OwnerKey::of("slow"), pages: Mutex::new(3) };
    let sessions = build(Sessions::store(store, AppKeys::random()).max_sessions(Some(1)), &clock);
    let sign_in = |owner: String| {
        let sessions = sessions.clone();
        async move {
            let mut browser = Browser::new(&sessions);
            browser.request(|session| session.set_owner(&owner)).await.unwrap();
        }
    };
    sign_in("slow".to_owned()).await;
    let slow = tokio::spawn(sign_in("slow".to_owned()));
    tokio::task::yield_now().await;
    let began = tokio::time::Instant::now();
    for number in 0..200 {
        let owner = format!("user-{number}");
        for _ in 0..2 {
            sign_in(owner.clone()).await;
            clock.advance(Duration::from_secs(1));
        }
        let admin = sessions.admin().unwrap();
        let page = admin.sessions_of(&owner, Cursor::default()).await.unwrap();
        assert_eq!(page.sessions.len(), 1, "{owner}");
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert!(!slow.is_finished());
    slow.await.unwrap();
}

/// A memory store in which a session gets another record right after it was read.
#[derive(Debug, Default)]
struct Swapping {
    store: MemoryStore,
    next: Mutex<Option<(RecordKey, Draft)>>,
    created: Mutex<Vec<RecordKey>>,
}

#[async_trait]
impl Store for Swapping {
    async fn load(&self, key: &RecordKey) -> Result<Option<Entry>, StoreError> {
        let found = self.store.load(key).await?;
        let next = self.next.lock().unwrap().take_if(|(swapped, _)| swapped == key);
        if let (Some((key, record)), Some(Entry::Live(stored))) = (next, &found) {
            let expected = stored.revision;
            self.store.commit(Commit::replace(key, expected, record)).await?;
        }
        Ok(found)
    }

    fn as_owner_index(&self) -> Option<&dyn OwnerIndex> {
        self.store.as_owner_index()
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        if let Commit::Create { key, .. } = &commit {
            self.created.lock().unwrap().push(*key);
        }
        self.store.commit(commit).await
    }
}

#[tokio::test]
async fn a_session_that_changes_hands_during_destroy_all_stays() {
    let store = Arc::new(Swapping::default());
    let sessions = Sessions::store(store.clone(), AppKeys::random());
    let sessions = sessions.cookie_settings(CookieSettings::development()).build().unwrap();
    let browser = Browser::signed_in(&sessions, "browser").await;
    let mut other = Browser::new(&sessions);
    other.request(|session| session.set_owner("user-43")).await.unwrap();
    let [key, others] = store.created.lock().unwrap()[..] else { panic!("two sessions") };
    let Some(Entry::Live(theirs)) = store.store.load(&others).await.unwrap() else { panic!() };
    *store.next.lock().unwrap() =
        Some((key, cloakroom_core::copy_record(&theirs, DEFAULT_IDLE_TIMEOUT).unwrap()));
    assert_eq!(sessions.admin().unwrap().destroy_all(OWNER).await.unwrap(), 0);
    assert_eq!(browser.open().await.owner().as_deref(), Some("user-43"));
}

/// A memory store that says of each new key once that it is taken.
#[derive(Debug, Default)]
struct Taken {
    store: MemoryStore,
    refused: Mutex<Vec<RecordKey>>,
}

#[async_trait]
impl Store for Taken {
    async fn load(&self, key: &RecordKey) -> Result<Option<Entry>, StoreError> {
        self.store.load(key).await
    }

    fn as_owner_index(&self) -> Option<&dyn OwnerIndex> {
        self.store.as_owner_index()
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        if let Commit::Create { key, .. } | Commit::Rotate { to: key, .. } = &commit {
            let mut refused = self.refused.lock().unwrap();
            if refused.len().is_multiple_of(2) {
                refused.push(*key);
                return Ok(Outcome::Exists);
            }
            assert_eq!(refused.last().map(RecordKey::tag), Some(key.tag()));
            refused.push(*key);
        }
        self.store.commit(commit).await
    }
}

#[tokio::test]
async fn a_token_whose_key_is_taken_gives_way_to_one_of_the_same_place() {
    let sessions = Sessions::store(Taken::default(), AppKeys::random());
    let sessions = sessions.cookie_settings(CookieSettings::development()).build().unwrap();
    let mut token = String::new();
    let mut browser = Browser::signed_in(&sessions, "browser").await;
    for _ in 0..2 {
        let session = browser.open().await;
        assert!(
            session.owner().is_some() && (token.is_empty() || session.verify_csrf_token(&token))
        );
        let handle = session.handle().unwrap();
        assert_eq!(sessions.edit(&handle, |_| Ok(())).await.unwrap(), Some(()), "by its tag");
        let regenerate = |session: &Session| {
            session.regenerate()?;
            token = session.csrf_token();
            Ok(())
        };
        browser.request(regenerate).await.unwrap();
    }
}

/// A memory store that can neither scan its records nor list an owner's.
#[derive(Debug, Default)]
struct Plain(MemoryStore);

#[async_trait]
impl Store for Plain {
    async fn load(&self, key: &RecordKey) -> Result<Option<Entry>, StoreError> {
        self.0.load(key).await
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        self.0.commit(commit).await
    }
}

#[tokio::test]
async fn a_store_without_an_index_refuses_only_what_needs_one() {
    let (listed, _) = in_memory();
    let elsewhere = Browser::signed_in(&listed, "elsewhere").await.open().await.handle().unwrap();
    let sessions = Sessions::store(Plain::default(), AppKeys::random());
    let sessions = sessions.not_before(Users::default());
    let sessions = sessions.cookie_settings(CookieSettings::development()).build().unwrap();
    let browser = Browser::signed_in(&sessions, "browser").await;
    let session = browser.open().await;
    let handle = session.handle().unwrap();
    let admin = sessions.admin().unwrap();
    for error in [
        admin.page(Cursor::default()).await.unwrap_err(),
        admin.sessions_of(OWNER, Cursor::default()).await.unwrap_err(),
        admin.destroy_all(OWNER).await.unwrap_err(),
        admin.destroy_others(OWNER, &handle).await.unwrap_err(),
        admin.contents(&elsewhere).await.unwrap_err(),
        admin.destroy(&elsewhere).await.unwrap_err(),
        session.owner_sessions().unwrap_err(),
    ] {
        assert!(error.is_unsupported(), "{error}");
    }
    // The handle names the record, because nothing finds a session by its owner here.
    let edited = sessions.edit(&handle, |session| session.put("seen", true)).await.unwrap();
    assert_eq!(edited, Some(()));
    let contents = admin.contents(&handle).await.unwrap().unwrap();
    assert_eq!((contents.info.handle, contents.info.owner.as_deref()), (handle, Some(OWNER)));
    assert!(admin.destroy(&handle).await.unwrap());
    assert!(!browser.is_signed_in().await);
}
