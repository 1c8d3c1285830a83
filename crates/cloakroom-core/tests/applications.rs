//! Records of another application on the same store: an absence, and one warning. Alone in its
//! process, because what is logged is decided once for all threads.
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

mod log;

use cloakroom_core::adapter::RequestContext;
use std::sync::Arc;

use cloakroom_core::{
    AppKeys, MemoryStore, SessionHandle, Sessions, cookie::CookieSettings, store::Cursor,
};

use log::Log;

fn application(store: &Arc<MemoryStore>) -> Sessions {
    let sessions = Sessions::store(store.clone(), AppKeys::random());
    sessions.cookie_settings(CookieSettings::development()).build().unwrap()
}

/// Begins a session of `virk`. Returns its cookie and its handle.
async fn sign_in(sessions: &Sessions) -> (String, SessionHandle) {
    let visit = RequestContext::new(sessions);
    let no_headers: &[(&str, &str)] = &[];
    let session = visit.session(no_headers).await.unwrap();
    session.set_owner("virk").unwrap();
    session.commit().await.unwrap();
    let handle = session.handle().unwrap();
    let line = visit.finish(200).await.unwrap().set_cookie.remove(0);
    (line.split(';').next().unwrap().to_owned(), handle)
}

#[tokio::test]
async fn records_of_another_application_are_absences_with_one_warning() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone());
    let _guard = tracing::subscriber::set_default(subscriber.finish());

    let store = Arc::new(MemoryStore::new());
    let (shop, blog) = (application(&store), application(&store));
    let ((cookie, handle), own) = (sign_in(&shop).await, sign_in(&blog).await);
    for _ in 0..2 {
        let session =
            RequestContext::new(&blog).session([("cookie", &cookie)].as_slice()).await.unwrap();
        assert!(session.is_new() && session.owner().is_none());
    }
    let admin = blog.admin().unwrap();
    assert!(admin.contents(&handle).await.unwrap().is_none());
    assert!(!admin.destroy(&handle).await.unwrap());
    assert_eq!(blog.edit(&handle, |_| Ok(())).await.unwrap(), None);
    assert_eq!(admin.sessions_of("virk", Cursor::default()).await.unwrap().sessions.len(), 1);
    let (mut handles, mut next) = (Vec::new(), Some(Cursor::default()));
    while let Some(place) = next {
        let page = admin.page(place).await.unwrap();
        handles.extend(page.sessions.into_iter().map(|it| it.handle));
        next = page.next;
    }
    assert_eq!(handles, [own.1]);
    assert_eq!(admin.destroy_all("virk").await.unwrap(), 1);
    assert_eq!(store.len(), 1, "the shop's session is left alone");
    let session =
        RequestContext::new(&shop).session([("cookie", &cookie)].as_slice()).await.unwrap();
    assert_eq!(session.owner().as_deref(), Some("virk"));

    let log = log.text();
    assert_eq!(log.matches("of another application").count(), 1, "{log}");
}
