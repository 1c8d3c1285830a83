//! The sign-in on cloakroom.

use actix_web::{
    dev::HttpServiceFactory,
    web::{self, Html},
};
use cloakroom::{
    AppKeys, Error, Input, Owner, SeeOther, Session, Sessions, SessionsBuilder, View,
    actix::SessionMiddleware, store::Store,
};

use crate::{Credentials, page};

/// Sets the sessions up.
pub fn sessions(store: impl Store, keys: AppKeys) -> SessionsBuilder {
    Sessions::builder(store, keys).sign_in_page("/sign-in")
}

/// Makes the application.
pub fn app(sessions: Sessions) -> impl HttpServiceFactory {
    web::scope("")
        .route("/account", web::get().to(account))
        .route("/sign-in", web::get().to(sign_in_page))
        .route("/sign-in", web::post().to(sign_in))
        .route("/sign-out", web::post().to(sign_out))
        .wrap(SessionMiddleware::new(sessions))
}

async fn account(owner: Owner) -> String {
    format!("Signed in as {owner}.")
}

async fn sign_in_page(view: View) -> Html {
    let messages = view.messages().into_iter().map(|message| message.to_string());
    page::sign_in_page(messages, &view.old("name", ""))
}

async fn sign_in(session: Session, input: Input<Credentials>) -> Result<SeeOther, Error> {
    let form = input.valid()?;
    if !form.are_right() {
        session.flash_push("error", "The name or the password is wrong.")?.flash_all()?;
        return Ok(SeeOther::to("/sign-in"));
    }
    session.sign_in(form.name)?;
    session.redirect_intended("/account")
}

async fn sign_out(session: Session) -> Result<SeeOther, Error> {
    session.sign_out()?;
    Ok(SeeOther::to("/sign-in"))
}
