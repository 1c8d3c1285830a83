//! The shop on tower-sessions.

use axum::{
    Form, Router,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use tower_sessions::{
    Expiry, Session, SessionManagerLayer, SessionStore, cookie::time::Duration,
    service::CookieController, session::Error,
};

use crate::Item;

/// Sets the sessions up.
pub fn sessions<S: SessionStore>(store: S) -> SessionManagerLayer<S> {
    SessionManagerLayer::new(store).with_expiry(Expiry::OnInactivity(Duration::hours(2)))
}

/// Makes the shop.
pub fn app<S: SessionStore + Clone, C: CookieController + Sync>(
    sessions: SessionManagerLayer<S, C>,
) -> Router {
    Router::new()
        .route("/", get(visits))
        .route("/cart", get(cart).post(add))
        .route("/order", post(order))
        .route("/leave", post(leave))
        .layer(sessions)
}

async fn visits(session: Session) -> Result<String, Failure> {
    let visits = session.get::<u32>("visits").await?.unwrap_or(0) + 1;
    session.insert("visits", visits).await?;
    Ok(format!("visit number {visits}"))
}

async fn cart(session: Session) -> Result<String, Failure> {
    let cart = session.get::<Vec<String>>("cart").await?.unwrap_or_default();
    Ok(format!("in the cart: {}", cart.join(", ")))
}

async fn add(session: Session, Form(form): Form<Item>) -> Result<Redirect, Failure> {
    let mut cart = session.get::<Vec<String>>("cart").await?.unwrap_or_default();
    cart.push(form.item);
    session.insert("cart", cart).await?;
    Ok(Redirect::to("/cart"))
}

async fn order(session: Session) -> Result<String, Failure> {
    let cart = session.remove::<Vec<String>>("cart").await?.unwrap_or_default();
    session.cycle_id().await?;
    Ok(format!("ordered: {}", cart.join(", ")))
}

async fn leave(session: Session) -> Result<Redirect, Failure> {
    session.flush().await?;
    Ok(Redirect::to("/"))
}

/// An error of the session as a response, which tower-sessions does not have.
struct Failure(Error);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, self.0.to_string()).into_response()
    }
}
