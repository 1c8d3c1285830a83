//! The server functions.

use std::fmt;

use cloakroom::{Owner, Session};
use leptos::{prelude::*, server_fn::codec::JsonEncoding};
use leptos_axum::{extract, redirect};
use serde::{Deserialize, Serialize};

/// Describes the failure of a server function to the client. `ServerFnError` would send the text of the
/// error, which can name a server or a setting.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) enum Failure {
    SignInFirst,
    WrongPassword,
    /// The log has the reason.
    Unavailable,
    /// The call itself failed, for example because an argument is missing.
    Call(ServerFnErrorErr),
}

impl From<cloakroom::Error> for Failure {
    fn from(error: cloakroom::Error) -> Self {
        tracing::error!("{error}");
        Self::Unavailable
    }
}

impl FromServerFnError for Failure {
    type Encoder = JsonEncoding;

    fn from_server_fn_error(error: ServerFnErrorErr) -> Self {
        Self::Call(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SignInFirst => "sign in first",
            Self::WrongPassword => "this is not the password",
            Self::Unavailable => "try again later",
            Self::Call(_) => "the request is invalid",
        })
    }
}

/// Returns the session of the request.
async fn session() -> Result<Session, Failure> {
    extract().await.map_err(unavailable)
}

fn unavailable(error: ServerFnErrorErr) -> Failure {
    tracing::error!("{error}");
    Failure::Unavailable
}

/// Holds the data of the first page.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Contents {
    pub(crate) user: Option<String>,
    pub(crate) note: String,
    pub(crate) notice: String,
}

#[server(endpoint = "overview")]
pub(crate) async fn overview() -> Result<Contents, Failure> {
    let session = session().await?;
    Ok(Contents {
        user: session.owner(),
        note: session.get_or("note", String::new())?,
        notice: session.view().flash_message("notice", ""),
    })
}

#[server(endpoint = "note")]
pub(crate) async fn save_note(text: String) -> Result<(), Failure> {
    let session = session().await?;
    session.put("note", text)?;
    session.flash([("notice", "Saved.")])?;
    Ok(())
}

#[server(endpoint = "sign-in")]
pub(crate) async fn sign_in(user: String, password: String) -> Result<(), Failure> {
    if password != "guest" {
        return Err(Failure::WrongPassword);
    }
    let session = session().await?;
    session.sign_in(&user)?;
    session.flash([("notice", format!("Welcome, {user}!"))])?;
    redirect("/account");
    Ok(())
}

#[server(endpoint = "sign-out")]
pub(crate) async fn sign_out() -> Result<(), Failure> {
    session().await?.sign_out()?;
    redirect("/");
    Ok(())
}

/// Returns who is signed in. Leads other visitors to the first page.
#[server(endpoint = "account")]
pub(crate) async fn account() -> Result<String, Failure> {
    let owner: Option<Owner> = extract().await.map_err(unavailable)?;
    let Some(owner) = owner else {
        redirect("/");
        return Err(Failure::SignInFirst);
    };
    Ok(owner.into())
}
