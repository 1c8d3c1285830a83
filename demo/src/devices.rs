//! Where a user is signed in, and signing out there.

use axum::{
    extract::State,
    response::{Html, IntoResponse},
};
use cloakroom::{Back, Input, Session, SessionHandle, SessionInfo, store::Cursor};
use minijinja::{context, value::Serde};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    moments::from_now,
    site::{Failure, Shared},
};

/// One line of the list.
#[derive(Serialize)]
struct Line {
    handle: SessionHandle,
    label: String,
    signed_in: String,
    last_seen: String,
    bound: bool,
    current: bool,
}

impl From<SessionInfo> for Line {
    fn from(info: SessionInfo) -> Self {
        Self {
            signed_in: info.signed_in.map(|at| from_now(at.as_millis())).unwrap_or_default(),
            last_seen: from_now(info.last_seen.as_millis()),
            label: info.label.unwrap_or_default(),
            handle: info.handle,
            bound: info.device_since.is_some(),
            current: info.current,
        }
    }
}

pub(crate) async fn show(
    State(site): State<Shared>,
    session: Session,
) -> Result<Html<String>, Failure> {
    match session.owner_sessions() {
        Ok(own) => {
            // `max_sessions` keeps the list on one page.
            let page = own.page(Cursor::default()).await?;
            let lines: Vec<_> = page.sessions.into_iter().map(Line::from).collect();
            site.page(&session, "devices.html", context! { lines => Serde(lines) })
        }
        Err(error) if error.is_unsupported() => {
            site.page(&session, "devices.html", context! { unsupported => true })
        }
        Err(error) => Err(error.into()),
    }
}

#[derive(Deserialize)]
pub(crate) struct Chosen {
    handle: SessionHandle,
}

pub(crate) async fn end(
    session: Session,
    back: Back,
    input: Input<Chosen>,
) -> Result<impl IntoResponse, Failure> {
    let notice = match input.into_result() {
        Ok(Chosen { handle }) if session.owner_sessions()?.destroy(&handle).await? => {
            "Signed out there."
        }
        _ => "That session had ended already.",
    };
    session.flash(json!({ "notice": notice }))?;
    Ok(back.or("/devices"))
}

pub(crate) async fn end_others(session: Session, back: Back) -> Result<impl IntoResponse, Failure> {
    let ended = session.owner_sessions()?.destroy_others().await?;
    session.flash(json!({ "notice": format!("Signed out in {ended} other places.") }))?;
    Ok(back.or("/devices"))
}
