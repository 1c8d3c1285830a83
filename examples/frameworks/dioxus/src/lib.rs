//! A note on Dioxus fullstack: the session in server functions, and in a page that is rendered on the
//! server.
//!
//! Only the server is here. A client that is built for the browser calls the same functions.
#![expect(unreachable_pub, reason = "the macros repeat each server function inside of itself")]
#![expect(clippy::unused_async, reason = "a server function is called over the network")]

use cloakroom::{
    Error, Owner, Session, Sessions,
    axum::{CsrfLayer, SessionLayer},
    csrf::CsrfPolicy,
};
use dioxus::{prelude::*, server::axum::Router};
use serde::{Deserialize, Serialize};

/// Returns the application: its page, and its server functions at `/api`.
///
/// Server functions send no CSRF token, so the headers of the browser prove the sender. With a client for
/// the browser, begin with `dioxus::server::router(page)`, which serves its files as well.
pub fn app(sessions: &Sessions) -> Router {
    Router::new()
        .serve_api_application(ServeConfig::new(), page)
        .layer(CsrfLayer::new(CsrfPolicy::fetch_metadata()))
        .layer(SessionLayer::new(sessions.clone()))
}

/// Makes the error that the client gets. A `Result` without an error type would send the text of the
/// error, which can name a server or a setting.
fn unavailable(error: Error) -> HttpError {
    tracing::error!("{error}");
    HttpError::new(StatusCode::SERVICE_UNAVAILABLE, "try again later")
}

/// Holds the data of the page.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Overview {
    /// The user, if one is signed in.
    pub user: Option<String>,
    /// The note of the visitor.
    pub note: String,
    /// The message of an earlier request. It is shown once.
    pub notice: String,
}

/// Returns the data of the page.
#[get("/api/overview", session: Session)]
pub async fn overview() -> Result<Overview, HttpError> {
    Ok(Overview {
        user: session.owner(),
        note: session.get_or("note", String::new()).map_err(unavailable)?,
        notice: session.view().flash_message("notice", ""),
    })
}

/// Saves the note.
#[post("/api/note", session: Session)]
pub async fn save_note(text: String) -> Result<(), HttpError> {
    session.put("note", text).map_err(unavailable)?;
    session.flash([("notice", "Saved.")]).map_err(unavailable)?;
    Ok(())
}

/// Signs a user in.
#[post("/api/sign-in", session: Session)]
pub async fn sign_in(user: String, password: String) -> Result<(), HttpError> {
    if password != "guest" {
        return HttpError::unauthorized("this is not the password");
    }
    session.sign_in(&user).map_err(unavailable)?;
    session.flash([("notice", format!("Welcome, {user}!"))]).map_err(unavailable)?;
    Ok(())
}

/// Signs the visitor out.
#[post("/api/sign-out", session: Session)]
pub async fn sign_out() -> Result<(), HttpError> {
    session.sign_out().map_err(unavailable)
}

/// Returns who is signed in. Other visitors get status 401 from the extractor.
#[get("/api/account", owner: Owner)]
pub async fn account() -> Result<String, HttpError> {
    Ok(owner.into())
}

/// Shows the note. Dioxus renders the page before it sends the head of the response, unless streaming is
/// turned on.
fn page() -> Element {
    let shown = use_loader(overview)?;
    let Overview { user, note, notice } = shown.cloned();
    let user = user.unwrap_or_else(|| "guest".to_owned());
    rsx! {
        p { class: "notice", "{notice}" }
        p { class: "note", "{note}" }
        p { class: "user", "{user}" }
    }
}
