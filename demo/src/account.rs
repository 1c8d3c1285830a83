//! Signing in and out.

use axum::{
    extract::{OriginalUri, State},
    http::HeaderMap,
    response::{Html, IntoResponse, Redirect, Response},
};
use cloakroom::{Input, Session, form::FieldErrors};
use minijinja::context;
use serde::Deserialize;
use serde_json::json;

use crate::{
    devices,
    keys::USER,
    site::{Failure, Shared},
};

/// The demo's whole user database: any name, this password. The page says so.
const PASSWORD: &str = "guest";

#[derive(Deserialize)]
pub(crate) struct Credentials {
    username: String,
    password: String,
}

impl Credentials {
    fn check(&self) -> Result<(), FieldErrors> {
        let mut errors = FieldErrors::new();
        if self.username.trim().is_empty() {
            errors.add("username", "Please choose a name.");
        }
        if self.password != PASSWORD {
            errors.add("password", "That is not the password.");
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

pub(crate) async fn sign_in_page(
    State(site): State<Shared>,
    session: Session,
) -> Result<Html<String>, Failure> {
    site.page(&session, "sign_in.html", context! {})
}

pub(crate) async fn sign_in(
    session: Session,
    headers: HeaderMap,
    input: Input<Credentials>,
) -> Result<Redirect, Failure> {
    let credentials = input.fallback("/sign-in").check(Credentials::check)?;
    let user = credentials.username.trim().to_owned();
    // The visitor's rights change, so the token does.
    session.regenerate()?;
    devices::enter(&session, &user, &headers)?;
    session.flash(json!({ "notice": format!("Welcome, {user}!") }))?;
    session.put(USER, user)?;
    Ok(Redirect::to(&session.pull_intended_url("/account")?))
}

pub(crate) async fn sign_out(session: Session) -> Result<Redirect, Failure> {
    session.destroy()?;
    session.flash(json!({ "notice": "You are signed out. Goodbye!" }))?;
    Ok(Redirect::to("/"))
}

pub(crate) async fn show(
    State(site): State<Shared>,
    OriginalUri(here): OriginalUri,
    session: Session,
) -> Result<Response, Failure> {
    if session.get(USER)?.is_none() {
        session.set_intended_url(here.path_and_query().map_or("/", |path| path.as_str()))?;
        session.flash(json!({ "notice": "Please sign in to see that page." }))?;
        return Ok(Redirect::to("/sign-in").into_response());
    }
    Ok(site.page(&session, "account.html", context! {})?.into_response())
}
