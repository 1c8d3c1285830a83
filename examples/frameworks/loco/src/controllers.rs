//! The routes.

use axum::response::Html;
use cloakroom::{Error, Input, JsonInput, Owner, SeeOther, Session, View};
use loco_rs::prelude::*;
use serde::{Deserialize, Serialize};

pub(crate) fn routes() -> Routes {
    Routes::new()
        .get("/", home)
        .post("/note", save_note)
        .get("/sign-in", sign_in_form)
        .post("/sign-in", sign_in)
        .post("/sign-out", sign_out)
        .get("/account", account)
        .get("/api/account", account_as_json)
        .put("/api/note", save_note_as_json)
}

/// Renders a template, whose helpers show the flash data of the session.
fn render(
    ViewEngine(engine): &ViewEngine<TeraView>,
    view: &View,
    name: &str,
    data: impl Serialize,
) -> Result<Html<String>> {
    Ok(Html(view.render_tera_with(name, || engine.render(name, data))?))
}

async fn home(
    engine: ViewEngine<TeraView>,
    session: Session,
    user: Option<Owner>,
) -> Result<impl IntoResponse, Error> {
    let note = session.get_or("note", String::new())?;
    let data = data!({ "note": note, "user": user.as_deref() });
    Ok(render(&engine, &session.view(), "home.html", data))
}

/// Holds a note from a form or from JSON.
///
/// Loco uses validator 0.20, so the library's feature is `validator_0_20`. The handlers call
/// `Validate::validate`, because Loco's prelude gives each type another `validate`.
#[derive(Deserialize, Validate)]
struct Note {
    #[validate(length(min = 3, max = 80))]
    text: String,
}

/// Saves a note. The error is the library's, because it holds the response to an invalid form. Loco's error
/// would lose it.
async fn save_note(session: Session, input: Input<Note>) -> Result<SeeOther, Error> {
    let note = input.check(Validate::validate)?;
    session.put("note", note.text)?;
    session.flash([("notice", "Saved.")])?;
    Ok(SeeOther::to("/"))
}

async fn save_note_as_json(
    session: Session,
    input: JsonInput<Note>,
) -> Result<impl IntoResponse, Error> {
    let note = input.check(Validate::validate)?;
    session.put("note", &note.text)?;
    Ok(format::json(data!({ "note": note.text })))
}

async fn sign_in_form(engine: ViewEngine<TeraView>, view: View) -> Result<Html<String>> {
    render(&engine, &view, "sign_in.html", data!({}))
}

#[derive(Deserialize)]
struct Credentials {
    user: String,
    password: String,
}

async fn sign_in(session: Session, input: Input<Credentials>) -> Result<SeeOther, Error> {
    let form = input.fallback("/sign-in").check(|form| match form.password.as_str() {
        "guest" => Ok(()),
        _ => Err([("password", "is not the password")]),
    })?;
    session.sign_in(&form.user)?;
    session.flash([("notice", format!("Welcome, {}!", form.user))])?;
    session.redirect_intended("/")
}

async fn sign_out(session: Session) -> Result<SeeOther, Error> {
    session.sign_out()?;
    Ok(SeeOther::to("/"))
}

async fn account(user: Owner) -> String {
    format!("signed in as {user}")
}

async fn account_as_json(user: Owner) -> Result<Response> {
    format::json(data!({ "user": &*user }))
}
