//! The shop on actix-session.

use actix_session::{Session, SessionMiddleware, config::PersistentSession, storage::SessionStore};
use actix_web::{
    Result,
    cookie::{Key, time::Duration},
    dev::HttpServiceFactory,
    web::{self, Form, Redirect},
};

use crate::Item;

/// Sets the sessions up.
pub fn sessions<S: SessionStore>(store: S, key: Key) -> SessionMiddleware<S> {
    let lifecycle = PersistentSession::default().session_ttl(Duration::hours(2));
    SessionMiddleware::builder(store, key).session_lifecycle(lifecycle).build()
}

/// Makes the shop.
pub fn app(sessions: SessionMiddleware<impl SessionStore + 'static>) -> impl HttpServiceFactory {
    web::scope("")
        .route("/", web::get().to(visits))
        .route("/cart", web::get().to(cart))
        .route("/cart", web::post().to(add))
        .route("/order", web::post().to(order))
        .route("/leave", web::post().to(leave))
        .wrap(sessions)
}

async fn visits(session: Session) -> Result<String> {
    let visits = session.get::<u32>("visits")?.unwrap_or(0) + 1;
    session.insert("visits", visits)?;
    Ok(format!("visit number {visits}"))
}

async fn cart(session: Session) -> Result<String> {
    let cart = session.get::<Vec<String>>("cart")?.unwrap_or_default();
    Ok(format!("in the cart: {}", cart.join(", ")))
}

async fn add(session: Session, form: Form<Item>) -> Result<Redirect> {
    let mut cart = session.get::<Vec<String>>("cart")?.unwrap_or_default();
    cart.push(form.into_inner().item);
    session.insert("cart", cart)?;
    Ok(Redirect::to("/cart").see_other())
}

async fn order(session: Session) -> Result<String> {
    let cart = session.get::<Vec<String>>("cart")?.unwrap_or_default();
    session.remove("cart");
    session.renew();
    Ok(format!("ordered: {}", cart.join(", ")))
}

async fn leave(session: Session) -> Result<Redirect> {
    session.purge();
    Ok(Redirect::to("/").see_other())
}
