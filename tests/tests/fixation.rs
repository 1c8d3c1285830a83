//! A warning about session fixation. Alone in its process, because it is logged once.

use cloakroom::{Error, Session};
use cloakroom_tests::{local::LocalApp, log::Log};

/// Returns the warnings about session fixation that a visitor causes who already has a session.
async fn warnings_of(handler: impl FnOnce(&Session) -> Result<(), Error>) -> usize {
    let app = LocalApp::new();
    let mut visitor = app.browser_with(|session| session.put("cart", 3).unwrap()).await;
    let (log, _guard) = Log::of_this_thread();
    visitor.try_visit(handler).await.unwrap();
    log.lines("WARN").iter().filter(|line| line.contains("fixation")).count()
}

#[tokio::test]
async fn an_owner_under_a_planted_token_is_warned_of_once() {
    let regenerate = |session: &Session| {
        session.regenerate()?;
        session.set_owner("virk")
    };
    assert_eq!(warnings_of(regenerate).await, 0);
    assert_eq!(warnings_of(|session| session.sign_in("virk")).await, 0);
    assert_eq!(warnings_of(|session| session.set_owner("virk")).await, 1);
    assert_eq!(warnings_of(|session| session.set_owner("virk")).await, 0, "once in a process");
}
