//! The page on axum-messages and tower-sessions.

use axum::{
    Router,
    response::Redirect,
    routing::{get, post},
};
use axum_messages::{Messages, MessagesManagerLayer};
use tower_sessions::{MemoryStore, SessionManagerLayer};

/// Sets the sessions up.
pub fn sessions() -> SessionManagerLayer<MemoryStore> {
    SessionManagerLayer::new(MemoryStore::default())
}

/// Makes the application.
pub fn app(sessions: SessionManagerLayer<MemoryStore>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/save", post(save))
        .route("/remove", post(remove))
        .layer(MessagesManagerLayer)
        .layer(sessions)
}

async fn page(messages: Messages) -> String {
    let shown = messages.map(|message| format!("{}: {message}\n", message.level));
    shown.collect()
}

async fn save(messages: Messages) -> Redirect {
    messages.success("The page is saved.").info("A copy is on its way.");
    Redirect::to("/")
}

async fn remove(messages: Messages) -> Redirect {
    messages
        .debug("Three links lead to the page.")
        .warning("The links are dead.")
        .error("The page is not removed.")
        .error("Remove the links first.");
    Redirect::to("/")
}
