//! The shop on cloakroom.

use std::time::Duration;

use axum::{
    Form, Router,
    response::Redirect,
    routing::{get, post},
};
use cloakroom::{
    AppKeys, Error, Session, Sessions, SessionsBuilder, axum::SessionLayer, store::Store,
};

use crate::Item;

/// Sets the sessions up.
pub fn sessions(store: impl Store, keys: AppKeys) -> SessionsBuilder {
    Sessions::builder(store, keys).idle_timeout(Duration::from_hours(2))
}

/// Makes the shop.
pub fn app(sessions: Sessions) -> Router {
    Router::new()
        .route("/", get(visits))
        .route("/cart", get(cart).post(add))
        .route("/order", post(order))
        .route("/leave", post(leave))
        .layer(SessionLayer::new(sessions))
}

async fn visits(session: Session) -> Result<String, Error> {
    let visits = session.increment("visits")?;
    Ok(format!("visit number {visits}"))
}

async fn cart(session: Session) -> Result<String, Error> {
    let cart = session.get::<Vec<String>>("cart")?.unwrap_or_default();
    Ok(format!("in the cart: {}", cart.join(", ")))
}

async fn add(session: Session, Form(form): Form<Item>) -> Result<Redirect, Error> {
    session.update("cart", move |cart: &mut Vec<String>| cart.push(form.item.clone()))?;
    Ok(Redirect::to("/cart"))
}

async fn order(session: Session) -> Result<String, Error> {
    let cart = session.pull::<Vec<String>>("cart")?.unwrap_or_default();
    session.regenerate()?;
    Ok(format!("ordered: {}", cart.join(", ")))
}

async fn leave(session: Session) -> Result<Redirect, Error> {
    session.destroy()?;
    Ok(Redirect::to("/"))
}
