//! A task that goes on after the response and writes to the session by its handle.

use std::time::Duration;

use axum::{Router, extract::State, routing::get};
use cloakroom::{Error, Session, SessionHandle, Sessions, View, axum::SessionLayer};
use serde_json::json;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    cloakroom_examples::serve(app(&cloakroom_examples::sessions())).await
}

fn app(sessions: &Sessions) -> Router {
    Router::new()
        .route("/", get(status))
        .route("/import", get(import))
        .with_state(sessions.clone())
        .layer(SessionLayer::new(sessions.clone()))
}

async fn import(State(sessions): State<Sessions>, session: Session) -> Result<&'static str, Error> {
    session.put("import.lines", 0)?;
    // The task finds the session by its handle, so the session has to be in the store.
    session.commit().await?;
    if let Some(handle) = session.handle() {
        tokio::spawn(async move {
            if let Err(error) = work(&sessions, &handle).await {
                eprintln!("the import failed: {error}");
            }
        });
    }
    Ok("the import has begun; see / for how far it is")
}

async fn work(sessions: &Sessions, handle: &SessionHandle) -> Result<(), cloakroom::Error> {
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let counted = sessions.edit(handle, |session| session.increment_by("import.lines", 100));
        // The visitor has signed out: nobody is interested any more.
        if counted.await?.is_none() {
            return Ok(());
        }
    }
    let told = sessions.edit(handle, |session| session.flash(json!({ "notice": "Imported." })));
    told.await.map(drop)
}

async fn status(session: Session, view: View) -> Result<String, Error> {
    let lines = session.get_or("import.lines", 0)?;
    Ok(format!("{lines} lines {}", view.flash_message("notice", "")))
}

#[cfg(test)]
mod tests {
    use cloakroom::axum::testing::client;

    use super::*;
    use cloakroom_examples::sessions;

    #[tokio::test]
    async fn the_task_counts_and_says_when_it_is_done() {
        let sessions = sessions();
        let mut visitor = client(app(&sessions), &sessions);
        visitor.get("/import").send().await.assert_status(200);
        // The visitor looks in during the count, and no count is lost.
        let mut seen = String::new();
        while !seen.contains("Imported.") {
            tokio::task::yield_now().await;
            seen = visitor.get("/").send().await.text();
        }
        assert_eq!(seen, "300 lines Imported.");
    }

    #[tokio::test]
    async fn a_visitor_who_has_left_is_not_brought_back() {
        let sessions = sessions();
        let visit = cloakroom::adapter::RequestContext::new(&sessions);
        let nothing: &[(&str, &str)] = &[];
        let session = visit.session(nothing).await.unwrap();
        session.put("k", 1).unwrap();
        session.commit().await.unwrap();
        let handle = session.handle().unwrap();
        session.destroy().unwrap();
        session.commit().await.unwrap();
        work(&sessions, &handle).await.unwrap();
        assert!(sessions.admin().unwrap().contents(&handle).await.unwrap().is_none());
    }
}
