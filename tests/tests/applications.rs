//! Records of another application on the same store: an absence, and one warning. Alone in its
//! process, because what is logged is decided once for all threads.

use std::sync::Arc;

use cloakroom::{AppKeys, MemoryStore, SessionHandle, Sessions, clock::FakeClock, store::Cursor};
use cloakroom_tests::{
    local::{self, LocalBrowser},
    log::Log,
};

fn application(store: &Arc<MemoryStore>) -> Sessions {
    local::build(
        Sessions::builder(store.clone(), AppKeys::random()),
        &Arc::new(FakeClock::default()),
    )
}

/// Begins a session of `virk`. Returns its browser and its handle.
async fn sign_in(sessions: &Sessions) -> (LocalBrowser, SessionHandle) {
    let mut browser = LocalBrowser::new(sessions);
    browser.visit(|session| session.set_owner("virk").unwrap()).await;
    let handle = browser.open().await.handle().unwrap();
    (browser, handle)
}

#[tokio::test]
async fn records_of_another_application_are_absences_with_one_warning() {
    let (log, _guard) = Log::of_this_thread();
    let store = Arc::new(MemoryStore::with_clock(Arc::new(FakeClock::default())));
    let (shop, blog) = (application(&store), application(&store));
    let ((visitor, handle), (_, own)) = (sign_in(&shop).await, sign_in(&blog).await);
    let stranger = LocalBrowser { sessions: blog.clone(), jar: visitor.jar.clone() };
    for _ in 0..2 {
        let session = stranger.open().await;
        assert!(session.is_new() && session.owner().is_none());
    }
    let admin = blog.admin().unwrap();
    assert!(admin.contents(&handle).await.unwrap().is_none());
    assert!(!admin.destroy(&handle).await.unwrap());
    assert_eq!(blog.edit(&handle, |_| Ok(())).await.unwrap(), None);
    assert_eq!(admin.sessions_of("virk", Cursor::default()).await.unwrap().sessions.len(), 1);
    let (mut handles, mut next) = (Vec::new(), Some(Cursor::default()));
    while let Some(from) = next {
        let page = admin.page(from).await.unwrap();
        handles.extend(page.sessions.into_iter().map(|session| session.handle));
        next = page.next;
    }
    assert_eq!(handles, [own]);
    assert_eq!(admin.destroy_all("virk").await.unwrap(), 1);
    assert_eq!(store.len(), 1, "the session of the shop stays");
    assert_eq!(visitor.open().await.owner().as_deref(), Some("virk"));
    let log = log.text();
    assert_eq!(log.matches("of another application").count(), 1, "{log}");
}
