//! The page on cloakroom. The levels are free text, and are those of axum-messages here.

use axum::{
    Router,
    response::Redirect,
    routing::{get, post},
};
use cloakroom::{
    AppKeys, ConfigError, Error, MemoryStore, Session, Sessions, View, axum::SessionLayer,
};

/// Sets the sessions up.
pub fn sessions() -> Result<Sessions, ConfigError> {
    Sessions::builder(MemoryStore::new(), AppKeys::random()).build()
}

/// Makes the application.
pub fn app(sessions: Sessions) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/save", post(save))
        .route("/remove", post(remove))
        .layer(SessionLayer::new(sessions))
}

async fn page(view: View) -> String {
    let messages = view.messages().into_iter();
    let shown = messages.map(|message| format!("{}: {message}\n", message.level));
    shown.collect()
}

async fn save(session: Session) -> Result<Redirect, Error> {
    session
        .flash_push("Success", "The page is saved.")?
        .flash_push("Info", "A copy is on its way.")?;
    Ok(Redirect::to("/"))
}

async fn remove(session: Session) -> Result<Redirect, Error> {
    session
        .flash_push("Debug", "Three links lead to the page.")?
        .flash_push("Warning", "The links are dead.")?
        .flash_push("Error", "The page is not removed.")?
        .flash_push("Error", "Remove the links first.")?;
    Ok(Redirect::to("/"))
}
