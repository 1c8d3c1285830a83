//! A memory store that is full says so once. Alone in its process, because what is logged is decided
//! once for all threads.

use std::sync::Arc;

use cloakroom::{AppKeys, MemoryStore, Sessions, store::Cursor};
use cloakroom_tests::{local::LocalBrowser, log::Log};

#[tokio::test]
async fn a_full_memory_store_warns_once_and_keeps_owners() {
    let (log, _guard) = Log::of_this_thread();
    let store = Arc::new(MemoryStore::new().capacity(100));
    let sessions = Sessions::builder(store.clone(), AppKeys::random()).build().unwrap();
    LocalBrowser::new(&sessions).visit(|session| session.set_owner("virk").unwrap()).await;
    for _ in 0..500 {
        LocalBrowser::new(&sessions).visit(|session| session.put("cart", 1).unwrap()).await;
    }
    assert!((50..=100).contains(&store.len()), "{}", store.len());
    let admin = sessions.admin().unwrap();
    let listed = admin.sessions_of("virk", Cursor::default()).await.unwrap();
    assert_eq!(listed.sessions.len(), 1);
    let log = log.text();
    assert_eq!(log.matches("the memory store is full").count(), 1, "{log}");
}
