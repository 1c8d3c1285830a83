//! Who is signed in where: an owner's list, and `NotBefore` for drivers without one.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use cloakroom::{
    AppKeys, DEFAULT_IDLE_TIMEOUT, Driver, MemoryStore, NotBefore, Session, SessionInfo,
    SessionPage, Sessions, async_trait,
    clock::{Clock, FakeClock, Timestamp},
    store::{
        Commit, Cursor, Draft, Entry, KeyPage, Outcome, OwnerIndex, OwnerKey, RecordKey, Store,
        StoreError,
    },
};
use cloakroom_tests::{
    local::{LocalApp, LocalBrowser, build},
    store::Hooks,
};

const OWNER: &str = "user-42";

/// Returns a browser that has signed in under this label.
async fn signed_in(sessions: &Sessions, label: &str) -> LocalBrowser {
    let mut browser = LocalBrowser::new(sessions);
    let sign_in = |session: &Session| {
        session.regenerate()?;
        session.set_label(label)?;
        session.set_owner(OWNER)
    };
    browser.try_visit(sign_in).await.unwrap();
    browser
}

async fn is_signed_in(browser: &LocalBrowser) -> bool {
    browser.open().await.owner().is_some()
}

/// Returns the first page of the sessions of an owner.
async fn list(sessions: &Sessions, owner: &str) -> Vec<SessionInfo> {
    let admin = sessions.admin().unwrap();
    admin.sessions_of(owner, Cursor::default()).await.unwrap().sessions
}

#[tokio::test]
async fn the_list_shows_where_an_owner_is_signed_in() {
    let LocalApp { sessions, clock, .. } = LocalApp::new();
    let laptop = signed_in(&sessions, "laptop").await;
    clock.advance(Duration::from_mins(1));
    let began = clock.now();
    let mut phone = signed_in(&sessions, "phone").await;
    clock.advance(DEFAULT_IDLE_TIMEOUT / 4);
    phone.visit(|session| session.put("page", 1).unwrap()).await;

    let own = laptop.open().await.owner_sessions().unwrap();
    let listed = own.page(Cursor::default()).await.unwrap().sessions;
    let shown: Vec<_> = listed
        .iter()
        .map(|session| (session.label.as_deref().unwrap_or_default(), session.current))
        .collect();
    assert_eq!(shown, [("phone", false), ("laptop", true)], "the last used first");
    assert_eq!((listed[0].created, listed[0].signed_in), (began, Some(began)));
    assert_eq!(listed[0].last_seen, clock.now());
    assert_eq!(listed[0].owner.as_deref(), Some(OWNER));
    let seen_by_operators = list(&sessions, OWNER).await;
    assert!(seen_by_operators.iter().all(|session| !session.current));
    assert_eq!(listed.len(), seen_by_operators.len());
    assert!(list(&sessions, "user-43").await.is_empty());
}

#[tokio::test]
async fn a_handle_outlives_regenerations_and_signs_nobody_in() {
    let LocalApp { sessions, .. } = LocalApp::new();
    let mut phone = signed_in(&sessions, "phone").await;
    let laptop = signed_in(&sessions, "laptop").await;
    let own = laptop.open().await.owner_sessions().unwrap();
    let handle = async || {
        let listed = own.page(Cursor::default()).await.unwrap().sessions;
        listed.into_iter().find(|session| !session.current).unwrap().handle
    };
    let before = handle().await;
    phone.visit(|session| session.regenerate().unwrap()).await;
    assert_eq!(handle().await, before);

    let text = before.to_string();
    for forged in [&text, &text[1..], &text[1..44], &text[22..]] {
        let mut thief = LocalBrowser::new(&sessions);
        thief.jar.put("session", forged);
        let session = thief.open().await;
        assert!(session.is_new() && session.owner().is_none());
    }

    assert!(own.destroy(&before).await.unwrap());
    assert!(!own.destroy(&before).await.unwrap(), "it has ended");
    assert!(!is_signed_in(&phone).await);
    assert!(is_signed_in(&laptop).await);
}

#[tokio::test]
async fn a_visitor_ends_sessions_of_the_same_owner_alone() {
    let LocalApp { sessions, .. } = LocalApp::new();
    let victim = signed_in(&sessions, "victim").await;
    let admin = sessions.admin().unwrap();
    let handle = list(&sessions, OWNER).await.remove(0).handle;

    let mut other = LocalBrowser::new(&sessions);
    other.visit(|session| session.set_owner("user-43").unwrap()).await;
    for stranger in [other, LocalBrowser::new(&sessions)] {
        let own = stranger.open().await.owner_sessions().unwrap();
        assert!(!own.destroy(&handle).await.unwrap());
        assert!(is_signed_in(&victim).await);
    }
    assert!(admin.destroy(&handle).await.unwrap());
    assert!(!is_signed_in(&victim).await);
}

#[tokio::test]
async fn everywhere_else_spares_the_current_session() {
    let LocalApp { sessions, .. } = LocalApp::new();
    let here = signed_in(&sessions, "here").await;
    let others = [signed_in(&sessions, "1").await, signed_in(&sessions, "2").await];
    let own = here.open().await.owner_sessions().unwrap();
    assert_eq!(own.destroy_others().await.unwrap(), 2);
    assert!(is_signed_in(&here).await);
    for other in others {
        assert!(!is_signed_in(&other).await);
    }
    assert_eq!(own.destroy_all().await.unwrap(), 1);
    assert!(!is_signed_in(&here).await);
}

#[tokio::test]
async fn an_operator_spares_the_session_of_a_handle() {
    let LocalApp { sessions, .. } = LocalApp::new();
    let here = signed_in(&sessions, "here").await;
    let there = signed_in(&sessions, "there").await;
    let mut guest = LocalBrowser::new(&sessions);
    guest.visit(|session| session.put("cart", 1).unwrap()).await;
    let admin = sessions.admin().unwrap();
    let (keep, guest) = (here.open().await.handle(), guest.open().await.handle());
    assert_eq!(admin.destroy_others("user-43", &keep.unwrap()).await.unwrap(), 0);
    assert_eq!(admin.destroy_others(OWNER, &keep.unwrap()).await.unwrap(), 1);
    assert!(is_signed_in(&here).await && !is_signed_in(&there).await);
    assert_eq!(admin.destroy_others(OWNER, &guest.unwrap()).await.unwrap(), 1);
    assert!(admin.contents(&guest.unwrap()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_visitor_without_an_owner_lists_and_ends_nothing() {
    let LocalApp { sessions, .. } = LocalApp::new();
    let browser = signed_in(&sessions, "browser").await;
    let (mut guest, mut neighbour) = (LocalBrowser::new(&sessions), LocalBrowser::new(&sessions));
    for visitor in [&mut guest, &mut neighbour] {
        visitor.visit(|session| session.put("cart", 1).unwrap()).await;
    }
    let own = guest.open().await.owner_sessions().unwrap();
    assert_eq!(own.page(Cursor::default()).await.unwrap(), SessionPage::default());
    assert_eq!(own.destroy_others().await.unwrap() + own.destroy_all().await.unwrap(), 0);
    for visitor in [&guest, &neighbour, &browser] {
        let handle = visitor.open().await.handle().unwrap();
        assert!(!own.destroy(&handle).await.unwrap());
        assert!(sessions.admin().unwrap().contents(&handle).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn the_list_stays_with_the_owner_that_it_was_asked_for() {
    let LocalApp { sessions, .. } = LocalApp::new();
    let here = signed_in(&sessions, "here").await;
    signed_in(&sessions, "there").await;
    let session = here.open().await;
    let own = session.owner_sessions().unwrap();
    session.set_owner("user-43").unwrap();
    let page = own.page(Cursor::default()).await.unwrap();
    assert_eq!(page.sessions.iter().filter(|session| session.current).count(), 1);
    assert_eq!((page.sessions.len(), own.destroy_others().await.unwrap()), (2, 1));
}

#[tokio::test]
async fn a_session_that_changes_hands_is_listed_with_its_owner_at_once() {
    let LocalApp { sessions, .. } = LocalApp::new();
    let mut browser = signed_in(&sessions, "browser").await;
    browser.visit(|session| session.set_owner("user-43").unwrap()).await;
    assert_eq!(list(&sessions, OWNER).await, []);
    assert_eq!(list(&sessions, "user-43").await.len(), 1);
    browser.visit(|session| session.forget_owner().unwrap()).await;
    assert_eq!(list(&sessions, "user-43").await, []);
}

#[tokio::test]
async fn the_cookie_driver_says_that_it_keeps_no_list() {
    let clock = Arc::new(FakeClock::default());
    let sessions = build(Sessions::builder(Driver::Cookie, AppKeys::random()), &clock);
    let session = LocalBrowser::new(&sessions).open().await;
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

/// Sessions in cookies, which count as these users say.
fn sealed_sessions_of(users: &Users, clock: &Arc<FakeClock>) -> Sessions {
    let builder = Sessions::builder(Driver::Cookie, AppKeys::random());
    build(builder.not_before(users.clone()), clock)
}

#[tokio::test]
async fn a_copied_cookie_is_dead_after_a_sign_out_everywhere() {
    let clock = Arc::new(FakeClock::default());
    let users = Users::default();
    let sessions = sealed_sessions_of(&users, &clock);
    let mut browser = signed_in(&sessions, "browser").await;
    let copy = browser.clone();
    assert!(is_signed_in(&copy).await, "without the hook it is good until its deadline");

    clock.advance(Duration::from_mins(1));
    *users.0.lock().unwrap() = Some(Ok(clock.now()));
    assert!(!is_signed_in(&copy).await);
    assert!(!is_signed_in(&browser).await);
    browser.visit(|session| session.set_owner(OWNER).unwrap()).await;
    assert!(is_signed_in(&browser).await, "who signs in again is in");
    assert!(!is_signed_in(&copy).await);
}

#[tokio::test]
async fn a_hook_that_cannot_tell_is_an_error_and_loses_nothing() {
    let clock = Arc::new(FakeClock::default());
    let users = Users::default();
    let sessions = sealed_sessions_of(&users, &clock);
    let mut browser = signed_in(&sessions, "browser").await;
    *users.0.lock().unwrap() = Some(Err(()));
    let error = browser.try_visit(|_| Ok(())).await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    *users.0.lock().unwrap() = None;
    assert!(is_signed_in(&browser).await);
}

fn limited(limit: Option<usize>) -> LocalApp {
    LocalApp::with((), |builder| builder.max_sessions(limit))
}

async fn labels(sessions: &Sessions) -> Vec<String> {
    let listed = list(sessions, OWNER).await.into_iter();
    let mut labels: Vec<_> = listed.filter_map(|session| session.label).collect();
    labels.sort();
    labels
}

#[tokio::test]
async fn a_sign_in_beyond_the_limit_ends_the_session_unused_longest() {
    let LocalApp { sessions, clock, .. } = limited(Some(3));
    let mut first = signed_in(&sessions, "1").await;
    for label in ["2", "3"] {
        clock.advance(Duration::from_secs(1));
        signed_in(&sessions, label).await;
    }
    clock.advance(DEFAULT_IDLE_TIMEOUT / 4);
    first.visit(|session| session.put("page", 1).unwrap()).await;
    signed_in(&sessions, "4").await;
    assert_eq!(labels(&sessions).await, ["1", "3", "4"], "2 was not used for the longest time");
    let mut stranger = LocalBrowser::new(&sessions);
    stranger.visit(|session| session.set_owner("user-43").unwrap()).await;
    assert_eq!(labels(&sessions).await, ["1", "3", "4"], "another owner has a list of their own");
}

#[tokio::test]
async fn sign_ins_within_one_millisecond_keep_to_the_limit_as_well() {
    for limit in 1..4 {
        let LocalApp { sessions, .. } = limited(Some(limit));
        for number in 0..10 {
            let browser = signed_in(&sessions, &number.to_string()).await;
            assert!(is_signed_in(&browser).await, "the one that signs in stays");
            assert_eq!(labels(&sessions).await.len(), limit.min(number + 1));
        }
    }
}

#[tokio::test]
async fn a_session_that_names_its_owner_once_more_ends_no_other() {
    let LocalApp { sessions, clock, .. } = limited(Some(1));
    let mut here = signed_in(&sessions, "here").await;
    clock.advance(Duration::from_secs(1));
    let there = signed_in(&sessions, "there").await;
    assert!(!is_signed_in(&here).await);
    here.jar = there.jar.clone();
    here.visit(|session| session.set_owner(OWNER).unwrap()).await;
    assert!(is_signed_in(&there).await);
    assert_eq!(labels(&sessions).await, ["there"]);
}

#[tokio::test]
async fn a_session_that_names_its_owner_once_more_keeps_its_handle() {
    let LocalApp { sessions, clock, .. } = LocalApp::new();
    let mut browser = signed_in(&sessions, "browser").await;
    let handle = browser.open().await.handle().unwrap();
    clock.advance(Duration::from_mins(1));
    for regenerates in [false, true] {
        let again = |session: &Session| {
            if regenerates {
                session.regenerate()?;
            }
            session.set_owner(OWNER)
        };
        browser.try_visit(again).await.unwrap();
        assert_eq!(browser.open().await.handle().unwrap(), handle);
    }
    let listed = list(&sessions, OWNER).await;
    assert_eq!((listed.len(), listed[0].signed_in), (1, Some(clock.now())));
    browser.visit(|session| session.set_owner("user-43").unwrap()).await;
    assert_ne!(browser.open().await.handle().unwrap(), handle, "another owner's list");
}

#[tokio::test]
async fn an_owner_without_limit_has_pages_of_sessions() {
    let LocalApp { sessions, clock, .. } = limited(None);
    for number in 0..300 {
        clock.advance(Duration::from_millis(1));
        signed_in(&sessions, &number.to_string()).await;
    }
    let admin = sessions.admin().unwrap();
    let (mut handles, mut sizes) = (HashSet::new(), Vec::new());
    let mut next = Some(Cursor::default());
    while let Some(from) = next {
        let page = admin.sessions_of(OWNER, from).await.unwrap();
        assert!(page.sessions.is_sorted_by_key(|session| std::cmp::Reverse(session.last_seen)));
        sizes.push(page.sessions.len());
        handles.extend(page.sessions.into_iter().map(|session| session.handle));
        next = page.next;
    }
    assert_eq!(handles.len(), 300);
    assert!(sizes.len() == 3 && sizes.iter().all(|size| *size < 140), "{sizes:?}");
    assert_eq!(admin.destroy_all(OWNER).await.unwrap(), 300);
    assert!(labels(&sessions).await.is_empty());
}

/// An index that has many entries of sessions that have ended, and behind them those that live.
#[derive(Debug)]
struct Outdated {
    dead: u64,
    /// Whether it leaves out the entries of sessions that have ended, after it has examined them.
    filters: bool,
    seen: AtomicUsize,
}

#[async_trait]
impl Hooks for Outdated {
    async fn keys_of(
        &self,
        records: &MemoryStore,
        owner: &OwnerKey,
        from: Cursor,
        limit: usize,
    ) -> Result<KeyPage, StoreError> {
        if from.part() == 1 {
            let mut page = records.keys_of(owner, Cursor::new(0, from.offset()), limit).await?;
            page.next = page.next.map(|next| Cursor::new(1, next.offset()));
            return Ok(page);
        }
        let until = self.dead.min(from.offset() + limit as u64);
        let keys: Vec<_> = (from.offset()..until)
            .map(|number| {
                let mut bytes = [0; 32];
                bytes[..8].copy_from_slice(&number.to_be_bytes());
                RecordKey::from_bytes(bytes)
            })
            .collect();
        let next = if until == self.dead { Cursor::new(1, 0) } else { Cursor::new(0, until) };
        let seen = keys.len();
        self.seen.fetch_add(seen, Ordering::SeqCst);
        let keys = if self.filters { Vec::new() } else { keys };
        Ok(KeyPage::new(keys, Some(next)).with_seen(seen))
    }
}

#[tokio::test]
async fn a_page_over_dead_entries_ends_and_the_next_continues() {
    for filters in [false, true] {
        let index = Outdated { dead: 10_000, filters, seen: AtomicUsize::new(0) };
        let LocalApp { sessions, store, .. } =
            LocalApp::with(index, |builder| builder.max_sessions(None));
        for number in 0..3 {
            signed_in(&sessions, &number.to_string()).await;
        }
        let admin = sessions.admin().unwrap();
        let (mut listed, mut pages, mut next) = (0, 0, Some(Cursor::default()));
        while let Some(from) = next {
            store.calls();
            store.hooks.seen.store(0, Ordering::SeqCst);
            let page = admin.sessions_of(OWNER, from).await.unwrap();
            let (loads, seen) = (store.count("load"), store.hooks.seen.load(Ordering::SeqCst));
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
    let LocalApp { sessions, store, .. } = limited(Some(300));
    for number in 0..300 {
        signed_in(&sessions, &number.to_string()).await;
    }
    assert_eq!(store.count("load"), 0, "new sessions within the limit");
    let admin = sessions.admin().unwrap();
    let handle = list(&sessions, OWNER).await.swap_remove(7).handle;
    store.calls();
    let edited = sessions.edit(&handle, |session| session.put("seen", true)).await.unwrap();
    assert_eq!(edited, Some(()));
    assert!(admin.destroy(&handle).await.unwrap());
    let loads = store.count("load");
    assert!(loads <= 4, "{loads} records read, of 300");
}

/// New sessions wait for each other in pairs.
#[derive(Debug)]
struct Paired(tokio::sync::Barrier);

#[async_trait]
impl Hooks for Paired {
    async fn before_commit(
        &self,
        _: &MemoryStore,
        commit: &Commit,
    ) -> Result<Option<Outcome>, StoreError> {
        if let Commit::Create { .. } = commit {
            self.0.wait().await;
        }
        Ok(None)
    }
}

#[tokio::test]
async fn sign_ins_at_once_do_not_end_each_other() {
    let pair = Paired(tokio::sync::Barrier::new(2));
    let LocalApp { sessions, .. } = LocalApp::with(pair, |builder| builder.max_sessions(Some(1)));
    for round in 0..5 {
        let (one, other) = tokio::join!(signed_in(&sessions, "one"), signed_in(&sessions, "other"));
        assert!(is_signed_in(&one).await && is_signed_in(&other).await, "round {round}");
        assert_eq!(
            labels(&sessions).await,
            ["one", "other"],
            "those of the round before have ended"
        );
    }
}

/// The index of owners is down.
#[derive(Debug)]
struct Unlisted;

#[async_trait]
impl Hooks for Unlisted {
    async fn keys_of(
        &self,
        _: &MemoryStore,
        _: &OwnerKey,
        _: Cursor,
        _: usize,
    ) -> Result<KeyPage, StoreError> {
        Err(StoreError::unavailable("list an owner's sessions", "the index is down"))
    }
}

#[tokio::test]
async fn a_sign_in_succeeds_although_the_list_cannot_be_read() {
    let LocalApp { sessions, .. } =
        LocalApp::with(Unlisted, |builder| builder.max_sessions(Some(1)));
    let browser = signed_in(&sessions, "browser").await;
    assert!(is_signed_in(&browser).await);
}

/// The list of one owner hangs.
#[derive(Debug)]
struct Hanging {
    owner: OwnerKey,
    /// It hangs at this page.
    pages: Mutex<usize>,
}

#[async_trait]
impl Hooks for Hanging {
    async fn keys_of(
        &self,
        records: &MemoryStore,
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
        records.keys_of(owner, from, limit).await
    }
}

#[tokio::test(start_paused = true)]
async fn an_owner_whose_list_hangs_keeps_no_other_waiting() {
    // The second sign-in looks whether there are too many, and once more when it is its turn.
    let slow_list = Hanging { owner: OwnerKey::of("slow"), pages: Mutex::new(3) };
    let LocalApp { sessions, clock, .. } =
        LocalApp::with(slow_list, |builder| builder.max_sessions(Some(1)));
    let sign_in = |owner: String| {
        let sessions = sessions.clone();
        async move {
            let mut browser = LocalBrowser::new(&sessions);
            browser.visit(|session| session.set_owner(&owner).unwrap()).await;
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
        assert_eq!(list(&sessions, &owner).await.len(), 1, "{owner}");
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert!(!slow.is_finished());
    slow.await.unwrap();
}

/// A record is replaced right after it was read.
#[derive(Debug, Default)]
struct Swapping(Mutex<Option<(RecordKey, Draft)>>);

#[async_trait]
impl Hooks for Swapping {
    async fn after_load(
        &self,
        records: &MemoryStore,
        key: &RecordKey,
        found: Option<&Entry>,
    ) -> Result<(), StoreError> {
        let next = self.0.lock().unwrap().take_if(|(swapped, _)| swapped == key);
        if let (Some((key, draft)), Some(Entry::Live(stored))) = (next, found) {
            records.commit(Commit::replace(key, stored.revision, draft)).await?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_session_that_changes_hands_during_destroy_all_stays() {
    let LocalApp { sessions, store, .. } = LocalApp::with(Swapping::default(), |builder| builder);
    let browser = signed_in(&sessions, "browser").await;
    let mut other = LocalBrowser::new(&sessions);
    other.visit(|session| session.set_owner("user-43").unwrap()).await;
    let created = store.keyed_calls().into_iter().filter(|(call, _)| *call == "create");
    let [(_, key), (_, others)] = created.collect::<Vec<_>>()[..] else { panic!("two sessions") };
    let Some(Entry::Live(theirs)) = store.records.load(&others).await.unwrap() else { panic!() };
    let draft = cloakroom::copy_record(&others, &theirs, DEFAULT_IDLE_TIMEOUT, None).unwrap();
    *store.hooks.0.lock().unwrap() = Some((key, draft));
    assert_eq!(sessions.admin().unwrap().destroy_all(OWNER).await.unwrap(), 0);
    assert_eq!(browser.open().await.owner().as_deref(), Some("user-43"));
}

/// Each new key is said to be taken once.
#[derive(Debug, Default)]
struct Taken(Mutex<Vec<RecordKey>>);

#[async_trait]
impl Hooks for Taken {
    async fn before_commit(
        &self,
        _: &MemoryStore,
        commit: &Commit,
    ) -> Result<Option<Outcome>, StoreError> {
        let (Commit::Create { key, .. } | Commit::Rotate { to: key, .. }) = commit else {
            return Ok(None);
        };
        let mut refused = self.0.lock().unwrap();
        let is_first = refused.len().is_multiple_of(2);
        if !is_first {
            assert_eq!(refused.last().map(RecordKey::tag), Some(key.tag()));
        }
        refused.push(*key);
        Ok(is_first.then_some(Outcome::Exists))
    }
}

#[tokio::test]
async fn a_token_whose_key_is_taken_gives_way_to_one_of_the_same_place() {
    let LocalApp { sessions, .. } = LocalApp::with(Taken::default(), |builder| builder);
    let mut token = String::new();
    let mut browser = signed_in(&sessions, "browser").await;
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
        browser.try_visit(regenerate).await.unwrap();
    }
}

/// A memory store that can neither scan its records nor list those of an owner.
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
    let listed = LocalApp::new();
    let elsewhere = signed_in(&listed.sessions, "elsewhere").await.open().await.handle().unwrap();
    let clock = Arc::new(FakeClock::default());
    let store = Plain(MemoryStore::with_clock(clock.clone()));
    let builder = Sessions::builder(store, AppKeys::random()).not_before(Users::default());
    let sessions = build(builder, &clock);
    let browser = signed_in(&sessions, "browser").await;
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
    assert!(!is_signed_in(&browser).await);
}
