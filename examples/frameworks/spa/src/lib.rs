//! The API of a single-page application: JSON in and out, and the session in a cookie that scripts cannot
//! read.
//!
//! The browser proves the sender of each request (`Sec-Fetch-Site`), so the scripts need no CSRF token. They
//! send `Accept: application/json`, and then errors are JSON as well.

use axum::{
    Json, Router,
    http::{HeaderValue, StatusCode, header::CACHE_CONTROL},
    middleware::map_response,
    response::Response,
    routing::{get, put},
};
use cloakroom::{
    Error, JsonInput, Message, Owner, Session, Sessions,
    axum::{CsrfLayer, SessionLayer},
    csrf::CsrfPolicy,
};
use serde::{Deserialize, Serialize};

/// Returns the API.
pub fn app(sessions: &Sessions) -> Router {
    let api = Router::new()
        .route("/session", get(overview).post(sign_in).delete(sign_out))
        .route("/draft", put(save_draft))
        .route("/account", get(account))
        .layer(CsrfLayer::new(CsrfPolicy::fetch_metadata()))
        .layer(map_response(no_store));
    Router::new().nest("/api", api).layer(SessionLayer::new(sessions.clone()))
}

/// Keeps the replies out of every cache, also the browser's own: the next user of the machine must not see
/// them with the back button.
async fn no_store(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Holds the data of the first view.
#[derive(Serialize)]
struct Overview {
    user: Option<String>,
    draft: String,
    /// The messages of earlier requests, which are shown once.
    messages: Vec<Message>,
}

async fn overview(session: Session, owner: Option<Owner>) -> Result<Json<Overview>, Error> {
    Ok(Json(Overview {
        user: owner.map(String::from),
        draft: session.get_or("draft", String::new())?,
        messages: session.view().messages(),
    }))
}

#[derive(Deserialize)]
struct Draft {
    text: String,
}

async fn save_draft(session: Session, input: JsonInput<Draft>) -> Result<StatusCode, Error> {
    let draft = input.check(|draft| match draft.text.chars().count() {
        0..=500 => Ok(()),
        _ => Err([("text", "has more than 500 characters")]),
    })?;
    session.put("draft", draft.text)?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
struct Credentials {
    user: String,
    password: String,
}

async fn sign_in(session: Session, input: JsonInput<Credentials>) -> Result<StatusCode, Error> {
    let Credentials { user, .. } = input.check(|form| match form.password.as_str() {
        "guest" => Ok(()),
        _ => Err([("password", "is not the password")]),
    })?;
    session.sign_in(&user)?;
    session.flash_push("success", format!("Welcome, {user}!"))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn sign_out(session: Session) -> Result<StatusCode, Error> {
    session.sign_out()?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize)]
struct Account {
    user: String,
}

async fn account(owner: Owner) -> Json<Account> {
    Json(Account { user: owner.into() })
}
