//! The shop on `axum_session`, with sessions in memory.

use axum::{
    Form, Router,
    response::Redirect,
    routing::{get, post},
};
use axum_session::{
    SessionConfig, SessionError, SessionLayer, SessionNullPool, SessionNullSession as Session,
    SessionStore,
};

use crate::Item;

/// Sets the sessions up. They idle for six hours, which is the default.
pub async fn sessions() -> Result<SessionStore<SessionNullPool>, SessionError> {
    SessionStore::new(None, SessionConfig::default().with_secure(true)).await
}

/// Makes the shop.
pub fn app(sessions: SessionStore<SessionNullPool>) -> Router {
    Router::new()
        .route("/", get(visits))
        .route("/cart", get(cart).post(add))
        .route("/order", post(order))
        .route("/leave", post(leave))
        .layer(SessionLayer::new(sessions))
}

async fn visits(session: Session) -> String {
    let visits = session.get::<u32>("visits").unwrap_or(0) + 1;
    session.set("visits", visits);
    format!("visit number {visits}")
}

async fn cart(session: Session) -> String {
    let cart = session.get::<Vec<String>>("cart").unwrap_or_default();
    format!("in the cart: {}", cart.join(", "))
}

async fn add(session: Session, Form(form): Form<Item>) -> Redirect {
    let mut cart = session.get::<Vec<String>>("cart").unwrap_or_default();
    cart.push(form.item);
    session.set("cart", cart);
    Redirect::to("/cart")
}

async fn order(session: Session) -> String {
    let cart = session.get_remove::<Vec<String>>("cart").unwrap_or_default();
    session.renew();
    format!("ordered: {}", cart.join(", "))
}

async fn leave(session: Session) -> Redirect {
    session.destroy();
    Redirect::to("/")
}
