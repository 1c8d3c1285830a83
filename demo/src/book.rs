//! The page of the guestbook: read it, sign it.

use axum::{
    extract::State,
    response::{Html, Redirect},
};
use cloakroom::{Input, Session};
use minijinja::{context, value::Serde};
use serde_json::json;

use crate::{
    guestbook::Entry,
    keys::{SIGNED_AS, VISITS},
    site::{Failure, Shared},
};

pub(crate) async fn show(
    State(site): State<Shared>,
    session: Session,
) -> Result<Html<String>, Failure> {
    let visits = session.increment(VISITS)?;
    let signed_as = session.get(SIGNED_AS)?;
    let entries = Serde(site.guestbook.entries());
    site.page(&session, "book.html", context! { visits, signed_as, entries })
}

pub(crate) async fn sign(
    State(site): State<Shared>,
    session: Session,
    input: Input<Entry>,
) -> Result<Redirect, Failure> {
    let entry = input.check(Entry::check)?.trimmed();
    session.put(SIGNED_AS, entry.name.clone())?;
    session.flash(json!({ "notice": format!("Thank you, {}!", entry.name) }))?;
    site.guestbook.add(entry);
    Ok(Redirect::to("/"))
}
