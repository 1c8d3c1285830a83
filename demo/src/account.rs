//! Signing in and out.

use axum::{
    extract::State,
    http::{HeaderMap, header::USER_AGENT},
    response::{Html, Redirect},
};
use cloakroom::{Input, SeeOther, Session, SignIn, device_name, form::FieldErrors};
use minijinja::context;
use serde::Deserialize;
use serde_json::json;

use crate::{
    moments::from_now,
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
    site.page(&session, "sign_in.html", context! { intended => session.intended_url()? })
}

pub(crate) async fn sign_in(
    session: Session,
    headers: HeaderMap,
    input: Input<Credentials>,
) -> Result<SeeOther, Failure> {
    let credentials = input.fallback("/sign-in").check(Credentials::check)?;
    let user = credentials.username.trim();
    let user_agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
    session.sign_in(SignIn::of(user).label(device_name(user_agent.unwrap_or_default())))?;
    session.flash(json!({ "notice": format!("Welcome, {user}!") }))?;
    Ok(session.redirect_intended("/account")?)
}

pub(crate) async fn sign_out(session: Session) -> Result<Redirect, Failure> {
    session.sign_out()?;
    session.flash(json!({ "notice": "You are signed out. Goodbye!" }))?;
    Ok(Redirect::to("/"))
}

pub(crate) async fn show(
    State(site): State<Shared>,
    session: Session,
) -> Result<Html<String>, Failure> {
    let device = session.device();
    let device = context! {
        since => device.map(|device| from_now(device.since.as_millis())),
        present => device.is_some_and(|device| device.is_present),
    };
    let on_server = session.sessions().driver_name() != "cookie";
    site.page(&session, "account.html", context! { device, on_server })
}
