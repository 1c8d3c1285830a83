//! Step-up: what needs more than an open browser asks for the password again, and goes on where the
//! visitor wanted to.

use std::time::Duration;

use axum::{
    Router,
    extract::OriginalUri,
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use cloakroom::{Error, Input, Session, Sessions, axum::SessionLayer};

const RECENTLY: Duration = Duration::from_mins(10);

#[tokio::main]
async fn main() -> std::io::Result<()> {
    cloakroom_examples::serve(app(&cloakroom_examples::sessions())).await
}

fn app(sessions: &Sessions) -> Router {
    Router::new()
        .route("/delete-account", get(delete_account))
        .route("/confirm", get(async || "Your password, please.").post(confirm))
        .layer(SessionLayer::new(sessions.clone()))
}

async fn delete_account(session: Session, uri: OriginalUri) -> Result<Response, Error> {
    if !session.authenticated_within(RECENTLY)? {
        // Without scheme and host, which HTTP/2 has in its URIs.
        session.set_intended_url(uri.path_and_query().map_or("/", |path| path.as_str()))?;
        return Ok(Redirect::to("/confirm").into_response());
    }
    Ok("gone".into_response())
}

#[derive(serde::Deserialize)]
struct Password {
    password: String,
}

async fn confirm(session: Session, input: Input<Password>) -> Result<Redirect, Error> {
    input.fallback("/confirm").check(|form| match form.password.as_str() {
        "guest" => Ok(()),
        _ => Err([("password", "is not the password")]),
    })?;
    // The visitor's rights change: a new token, and the moment of the proof.
    session.regenerate()?;
    session.mark_authenticated()?;
    Ok(Redirect::to(&session.pull_intended_url("/")?))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cloakroom::{
        AppKeys, MemoryStore,
        axum::testing::{FakeClock, client},
        cookie::CookieSettings,
    };

    use super::*;

    #[tokio::test]
    async fn the_password_is_required_after_ten_minutes() {
        let clock = Arc::new(FakeClock::default());
        let store = MemoryStore::with_clock(clock.clone());
        let sessions = Sessions::builder(store, AppKeys::random()).clock(clock.clone());
        let sessions = sessions.cookie_settings(CookieSettings::development()).build().unwrap();
        let mut visitor = client(app(&sessions), &sessions).signed_in_as("virk");
        visitor.get("/delete-account").send().await.assert_status(200);
        clock.advance(RECENTLY);
        visitor.get("/delete-account?sure=1").send().await.assert_redirect("/confirm");
        let wrong = visitor.post("/confirm").form(&[("password", "x")]).send().await;
        wrong.assert_redirect("/confirm").assert_error_for("password", "is not the password");
        let right = visitor.post("/confirm").form(&[("password", "guest")]).send().await;
        right.assert_redirect("/delete-account?sure=1").assert_signed_in_as("virk");
        assert_eq!(visitor.get("/delete-account").send().await.text(), "gone");
    }
}
