//! Step-up: what needs more than an open browser asks for the password again, and goes on where the
//! visitor wanted to.

use std::time::Duration;

use axum::{Router, routing::get};
use cloakroom::{
    Error, Input, Owner, RequireOwner, SeeOther, Session, Sessions, axum::SessionLayer,
};

const RECENTLY: Duration = Duration::from_mins(10);

#[tokio::main]
async fn main() -> std::io::Result<()> {
    cloakroom_examples::serve(app(&cloakroom_examples::sessions())).await
}

fn app(sessions: &Sessions) -> Router {
    let sensitive = Router::new()
        .route("/delete-account", get(async || "gone"))
        .layer(RequireOwner::new().within(RECENTLY).or_redirect("/confirm"));
    Router::new()
        .route("/confirm", get(async || "Your password, please.").post(confirm))
        .merge(sensitive)
        .layer(SessionLayer::new(sessions.clone()))
}

#[derive(serde::Deserialize)]
struct Password {
    password: String,
}

async fn confirm(
    owner: Owner,
    session: Session,
    input: Input<Password>,
) -> Result<SeeOther, Error> {
    input.fallback("/confirm").check(|form| match form.password.as_str() {
        "guest" => Ok(()),
        _ => Err([("password", "is not the password")]),
    })?;
    // The same owner again: a new token, and the moment of the proof.
    session.sign_in(owner)?;
    session.redirect_intended("/")
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
