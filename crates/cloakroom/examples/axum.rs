//! The smallest application: `cargo run -p cloakroom --features axum --example axum`, with
//! `APP_KEY="base64:$(openssl rand -base64 32)"` in the environment.

use axum::{Router, response::Redirect, routing::get};
use cloakroom::{Error, Session, axum::SessionLayer, settings::Settings};

async fn home(session: Session) -> Result<Redirect, Error> {
    session.put("username", "virk")?;
    Ok(Redirect::to("/username"))
}

async fn username(session: Session) -> Result<String, Error> {
    session.get_or("username", "nobody".to_owned())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sessions = Settings::load_for_development(None)?.sessions()?;
    let app = Router::new()
        .route("/", get(home))
        .route("/username", get(username))
        .layer(SessionLayer::new(sessions));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    Ok(axum::serve(listener, app).await?)
}
