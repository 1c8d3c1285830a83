//! The shop on cloakroom.

use std::time::Duration;

use actix_web::{
    dev::HttpServiceFactory,
    web::{self, Form, Redirect},
};
use cloakroom::{
    AppKeys, Driver, Error, Session, Sessions, SessionsBuilder, actix::SessionMiddleware,
};

use crate::Item;

/// Sets the sessions up.
pub fn sessions(driver: impl Into<Driver>, keys: AppKeys) -> SessionsBuilder {
    Sessions::builder(driver, keys).idle_timeout(Duration::from_hours(2))
}

/// Makes the shop.
pub fn app(sessions: Sessions) -> impl HttpServiceFactory {
    web::scope("")
        .route("/", web::get().to(visits))
        .route("/cart", web::get().to(cart))
        .route("/cart", web::post().to(add))
        .route("/order", web::post().to(order))
        .route("/leave", web::post().to(leave))
        .wrap(SessionMiddleware::new(sessions))
}

async fn visits(session: Session) -> Result<String, Error> {
    let visits = session.increment("visits")?;
    Ok(format!("visit number {visits}"))
}

async fn cart(session: Session) -> Result<String, Error> {
    let cart = session.get::<Vec<String>>("cart")?.unwrap_or_default();
    Ok(format!("in the cart: {}", cart.join(", ")))
}

async fn add(session: Session, form: Form<Item>) -> Result<Redirect, Error> {
    session.update("cart", move |cart: &mut Vec<String>| cart.push(form.item.clone()))?;
    Ok(Redirect::to("/cart").see_other())
}

async fn order(session: Session) -> Result<String, Error> {
    let cart = session.pull::<Vec<String>>("cart")?.unwrap_or_default();
    session.regenerate()?;
    Ok(format!("ordered: {}", cart.join(", ")))
}

async fn leave(session: Session) -> Result<Redirect, Error> {
    session.destroy()?;
    Ok(Redirect::to("/").see_other())
}
