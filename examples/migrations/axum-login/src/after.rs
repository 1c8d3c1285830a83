//! The sign-in on cloakroom.

use std::convert::Infallible;

use axum::{
    Router,
    extract::State,
    response::Html,
    routing::{get, post},
};
use cloakroom::{
    AppKeys, CurrentUser, Error, Input, RequireOwner, SeeOther, Session, Sessions, SessionsBuilder,
    SignIn, Users, View, axum::SessionLayer, store::Store,
};

use crate::{
    accounts::{Account, Accounts, Credentials},
    page,
};

/// Sets the sessions up.
pub fn sessions(accounts: &Accounts, store: impl Store, keys: AppKeys) -> SessionsBuilder {
    Sessions::builder(store, keys).users(accounts.clone()).sign_in_page("/sign-in")
}

/// Makes the application.
pub fn app(accounts: &Accounts, sessions: Sessions) -> Router {
    let for_users = Router::new().route("/account", get(account)).layer(RequireOwner::new());
    Router::new()
        .route("/sign-in", get(sign_in_page).post(sign_in))
        .route("/sign-out", post(sign_out))
        .merge(for_users)
        .with_state(accounts.clone())
        .layer(SessionLayer::new(sessions))
}

impl Users for Accounts {
    type User = Account;
    type Error = Infallible;

    async fn user(&self, owner: &str) -> Result<Option<Account>, Infallible> {
        Ok(self.find(owner))
    }

    fn stamp<'u>(&self, user: &'u Account) -> Option<&'u [u8]> {
        Some(user.password.as_bytes())
    }
}

async fn account(user: CurrentUser<Account>) -> String {
    format!("Signed in as {}.", user.full_name)
}

async fn sign_in_page(view: View) -> Html<String> {
    let messages = view.messages().into_iter().map(|message| message.to_string());
    page::sign_in_page(messages, &view.old("name", ""))
}

async fn sign_in(
    State(accounts): State<Accounts>,
    session: Session,
    input: Input<Credentials>,
) -> Result<SeeOther, Error> {
    let Some(user) = accounts.check(&input.valid()?) else {
        session.flash_push("error", "The name or the password is wrong.")?.flash_all()?;
        return Ok(SeeOther::to("/sign-in"));
    };
    session.sign_in(SignIn::of(user.name).stamp(user.password))?;
    session.redirect_intended("/account")
}

async fn sign_out(session: Session) -> Result<SeeOther, Error> {
    session.sign_out()?;
    Ok(SeeOther::to("/sign-in"))
}
