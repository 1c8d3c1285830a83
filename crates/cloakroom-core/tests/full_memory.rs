//! A memory store that is full says so once. Alone in its process, because what is logged is decided
//! once for all threads.
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

mod log;

use cloakroom_core::adapter::RequestContext;
use std::sync::Arc;

use cloakroom_core::{AppKeys, MemoryStore, Sessions, store::Cursor};

use log::Log;

#[tokio::test]
async fn a_full_memory_store_warns_once_and_keeps_owners() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone());
    let _guard = tracing::subscriber::set_default(subscriber.finish());

    let store = Arc::new(MemoryStore::new().capacity(100));
    let sessions = Sessions::store(store.clone(), AppKeys::random()).build().unwrap();
    let no_headers: &[(&str, &str)] = &[];
    let owned = RequestContext::new(&sessions).session(no_headers).await.unwrap();
    owned.set_owner("virk").unwrap();
    owned.commit().await.unwrap();
    for _ in 0..500 {
        let session = RequestContext::new(&sessions).session(no_headers).await.unwrap();
        session.put("cart", 1).unwrap();
        session.commit().await.unwrap();
    }
    assert!((50..=100).contains(&store.len()), "{}", store.len());
    let listed = sessions.admin().unwrap().sessions_of("virk", Cursor::default()).await.unwrap();
    assert_eq!(listed.sessions.len(), 1);
    let log = log.text();
    assert_eq!(log.matches("the memory store is full").count(), 1, "{log}");
}
