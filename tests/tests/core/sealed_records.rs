//! Records that are sealed by the application key.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use cloakroom::{
    AppKeys, Session, Sessions,
    clock::FakeClock,
    store::{Commit, Cursor, Draft, Entry, RecordKey, Scan as _, Store as _, StoredRecord},
};
use cloakroom_tests::{
    local::{LocalBrowser, build},
    store::TestStore,
};

/// Applications on one store.
struct Shared {
    store: Arc<TestStore>,
    clock: Arc<FakeClock>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Records {
    Plain,
    Sealed,
}
use Records::{Plain, Sealed};

impl Shared {
    fn new() -> Self {
        let clock = Arc::new(FakeClock::default());
        Self { store: TestStore::new((), &clock), clock }
    }

    fn app(&self, keys: &str, records: Records) -> Sessions {
        let builder = Sessions::builder(self.store.clone(), AppKeys::parse(keys).unwrap());
        build(builder.seal_records(records == Sealed), &self.clock)
    }

    async fn visitor(&self, app: &Sessions, handler: impl FnOnce(&Session)) -> LocalBrowser {
        let mut browser = LocalBrowser::new(app);
        browser.visit(handler).await;
        self.store.calls();
        browser
    }

    /// Returns the live records.
    async fn records(&self) -> Vec<(RecordKey, StoredRecord)> {
        let (mut records, mut next) = (Vec::new(), Some(Cursor::default()));
        while let Some(cursor) = next {
            let page = self.store.records.scan(cursor).await.unwrap();
            for key in page.keys {
                if let Some(Entry::Live(stored)) = self.store.records.load(&key).await.unwrap() {
                    records.push((key, stored));
                }
            }
            next = page.next;
        }
        records
    }

    /// Returns the only live record.
    async fn record(&self) -> Bytes {
        let [(_, stored)] = &self.records().await[..] else { panic!("there is one record") };
        stored.bytes.clone()
    }
}

fn is_sealed(record: &[u8]) -> bool {
    record[0] == 1 && !contains(record, "virk")
}

fn contains(record: &[u8], text: &str) -> bool {
    record.windows(text.len()).any(|part| part == text.as_bytes())
}

fn sign_in(session: &Session) {
    session.sign_in("virk").unwrap();
    session.put("address", "virk@example.org").unwrap();
}

fn assert_signed_in(session: &Session) {
    assert_eq!(session.owner().as_deref(), Some("virk"));
    assert!(session.has("address"));
}

#[tokio::test]
async fn a_store_holds_no_value_in_clear() {
    let (shared, keys) = (Shared::new(), AppKeys::generate());
    let app = shared.app(&keys, Sealed);
    let mut browser = shared.visitor(&app, sign_in).await;
    assert!(is_sealed(&shared.record().await));
    browser
        .visit(|session| {
            session.flash_push("notice", "hello, virk").unwrap();
        })
        .await;
    assert!(is_sealed(&shared.record().await));
    browser.visit(assert_signed_in).await;
    let admin = app.admin().unwrap();
    let page = admin.sessions_of("virk", Cursor::default()).await.unwrap();
    assert_eq!((page.sessions.len(), page.locked), (1, 0));
    assert_eq!(admin.destroy_all("virk").await.unwrap(), 1);
}

#[tokio::test]
async fn a_rotation_seals_the_record_for_its_new_key() {
    let (shared, keys) = (Shared::new(), AppKeys::generate());
    let app = shared.app(&keys, Sealed);
    let mut browser = shared.visitor(&app, sign_in).await;
    for _ in 0..3 {
        browser.visit(|session| session.regenerate().unwrap()).await;
        assert!(is_sealed(&shared.record().await));
        browser.visit(assert_signed_in).await;
    }
    browser
        .visit(|session| {
            session.sign_out().unwrap();
            session.flash_push("notice", "goodbye, virk").unwrap();
        })
        .await;
    assert!(is_sealed(&shared.record().await));
    browser.visit(|session| assert_eq!(session.view().messages().len(), 1)).await;
}

#[tokio::test]
async fn concurrent_changes_of_a_sealed_record_add_up() {
    let (shared, keys) = (Shared::new(), AppKeys::generate());
    let app = shared.app(&keys, Sealed);
    let before = shared.visitor(&app, sign_in).await;
    // Another process, which does not take turns with this one.
    let other = shared.app(&keys, Plain);
    let requests = (0..16).map(|number| {
        let mut browser = before.clone();
        browser.sessions = if number % 2 == 0 { app.clone() } else { other.clone() };
        async move {
            let (context, session) = browser.begin().await;
            tokio::task::yield_now().await;
            session.increment("visits").unwrap();
            browser.finish(context).await;
        }
    });
    futures_util::future::join_all(requests).await;
    assert_eq!(before.open().await.get("visits").unwrap(), Some(16));
}

#[tokio::test]
async fn plain_records_are_read_and_sealed_at_the_next_use() {
    let (shared, keys) = (Shared::new(), AppKeys::generate());
    let mut browser = shared.visitor(&shared.app(&keys, Plain), sign_in).await;
    assert!(!is_sealed(&shared.record().await));
    browser.sessions = shared.app(&keys, Sealed);
    browser.visit(assert_signed_in).await;
    assert_eq!(shared.store.calls(), ["load", "replace"]);
    assert!(is_sealed(&shared.record().await));
    browser.visit(assert_signed_in).await;
    assert_eq!(shared.store.calls().last(), Some(&"load"), "a read writes nothing");
}

#[tokio::test]
async fn sealed_records_are_read_after_the_setting_is_turned_off() {
    let (shared, keys) = (Shared::new(), AppKeys::generate());
    let mut browser = shared.visitor(&shared.app(&keys, Sealed), sign_in).await;
    browser.sessions = shared.app(&keys, Plain);
    browser.visit(assert_signed_in).await;
    assert!(is_sealed(&shared.record().await));
    browser.visit(|session| session.put("theme", "dark").unwrap()).await;
    assert!(!is_sealed(&shared.record().await));
    browser.visit(assert_signed_in).await;
}

#[tokio::test]
async fn a_record_of_an_older_key_is_sealed_again_at_the_next_use() {
    let (shared, old, new) = (Shared::new(), AppKeys::generate(), AppKeys::generate());
    let mut browser = shared.visitor(&shared.app(&old, Sealed), sign_in).await;
    browser.sessions = shared.app(&format!("{new},{old}"), Sealed);
    browser.visit(assert_signed_in).await;
    assert_eq!(shared.store.calls(), ["load", "replace"]);
    browser.sessions = shared.app(&new, Sealed);
    browser.visit(assert_signed_in).await;
    browser.sessions = shared.app(&old, Sealed);
    assert_eq!(browser.open().await.owner(), None, "the old key is of no use any more");
}

// With write access to the store, one visitor's record would otherwise give another visitor its contents.
#[tokio::test]
async fn a_record_that_was_copied_under_another_key_does_not_open() {
    let (shared, keys) = (Shared::new(), AppKeys::generate());
    let app = shared.app(&keys, Sealed);
    let victim = shared.visitor(&app, sign_in).await;
    let (_, theirs) = shared.records().await.remove(0);
    let attacker = shared.visitor(&app, |session| session.put("theme", "dark").unwrap()).await;
    let records = shared.records().await;
    let (key, own) = records.iter().find(|(_, stored)| stored.bytes != theirs.bytes).unwrap();
    let draft = Draft::new(theirs.bytes.clone(), own.expires, Duration::from_hours(2));
    let replace = Commit::replace(*key, own.revision, draft.with_expires(own.expires));
    shared.store.records.commit(replace).await.unwrap();
    let session = attacker.open().await;
    assert!(session.is_new() && session.owner().is_none());
    assert_signed_in(&victim.open().await);
}

#[tokio::test]
async fn the_limit_of_a_record_counts_its_text_and_not_the_seal() {
    let (shared, keys) = (Shared::new(), AppKeys::generate());
    for records in [Plain, Sealed] {
        let builder = Sessions::builder(shared.store.clone(), AppKeys::parse(&keys).unwrap());
        let builder = builder.seal_records(records == Sealed).max_bytes(300);
        let mut browser = LocalBrowser::new(&build(builder, &shared.clock));
        let mut put = async |length| {
            browser.try_visit(|session| session.put("text", "x".repeat(length))).await.is_ok()
        };
        let largest = 300
            - r#"{"v":1,"app":"3q2-796tvu8","created":1735689600000,"values":{"text":""}}"#.len();
        assert!(put(largest).await && !put(largest + 1).await);
    }
}

#[tokio::test]
async fn a_tool_without_the_key_counts_sealed_sessions() {
    let (shared, keys) = (Shared::new(), AppKeys::generate());
    shared.visitor(&shared.app(&keys, Sealed), sign_in).await;
    shared.visitor(&shared.app(&keys, Plain), sign_in).await;
    // The tool without the key ends the session that it can read.
    for (tool_keys, readable, locked) in [(AppKeys::generate(), 1, 1), (keys, 1, 0)] {
        let keys = AppKeys::parse(&tool_keys).unwrap();
        let builder = Sessions::builder(shared.store.clone(), keys).any_application();
        let admin = build(builder, &shared.clock).admin().unwrap();
        let (mut found, mut next) = ((0, 0), Some(Cursor::default()));
        while let Some(cursor) = next {
            let page = admin.page(cursor).await.unwrap();
            found = (found.0 + page.sessions.len(), found.1 + page.locked);
            next = page.next;
        }
        assert_eq!(found, (readable, locked));
        let ended = admin.destroy_all("virk").await;
        assert_eq!(ended.as_ref().err().is_some_and(cloakroom::Error::is_locked), locked == 1);
    }
}

#[tokio::test]
async fn shared_sessions_and_edits_are_sealed() {
    let (shared, keys) = (Shared::new(), AppKeys::generate());
    let app = shared.app(&keys, Sealed);
    let session = app.shared("virk").await.unwrap();
    session.put("failures", 1).unwrap();
    session.commit().await.unwrap();
    assert!(is_sealed(&shared.record().await));
    let handle = session.handle().unwrap();
    app.edit(&handle, |session| session.put("note", "virk")).await.unwrap().unwrap();
    assert!(is_sealed(&shared.record().await));
    assert_eq!(app.shared("virk").await.unwrap().get("note").unwrap(), Some("virk".to_owned()));
}
