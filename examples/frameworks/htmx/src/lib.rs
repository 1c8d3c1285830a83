//! A list of tasks with htmx: the same routes serve whole pages and fragments.
//!
//! Each form is an ordinary one with `hx-` attributes, so the pages work without the script as well. A
//! handler redirects in both cases. The browser follows the redirect of a script too, and repeats its
//! `HX-Request` header, so htmx gets the list as a fragment.

use askama::Template;
use axum::{
    Router,
    extract::Request,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{LOCATION, VARY},
    },
    middleware::{Next, from_fn},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use cloakroom::{
    Error, Input, Owner, SeeOther, Session, Sessions, View,
    axum::{CsrfLayer, SessionLayer},
};
use serde::Deserialize;

/// The path of the page on which visitors sign in, for [`Sessions`].
pub const SIGN_IN_PAGE: &str = "/sign-in";

/// Returns the application.
pub fn app(sessions: &Sessions) -> Router {
    Router::new()
        .route("/", get(list))
        .route("/tasks", post(add))
        .route("/count", get(count))
        .route("/account", get(account))
        .route(SIGN_IN_PAGE, get(sign_in_form).post(sign_in))
        .route("/sign-out", post(sign_out))
        .layer(CsrfLayer::default())
        .layer(SessionLayer::new(sessions.clone()))
        .layer(from_fn(load_sign_in_page))
}

/// Returns whether htmx asks for a fragment. It restores its history from a whole page.
fn wants_fragment(headers: &HeaderMap) -> bool {
    headers.contains_key("hx-request") && !headers.contains_key("hx-history-restore-request")
}

/// Makes htmx load the sign-in page, instead of putting it into the place of a fragment.
async fn load_sign_in_page(request: Request, next: Next) -> Response {
    let is_partial = wants_fragment(request.headers());
    let response = next.run(request).await;
    let leads_to_sign_in =
        response.headers().get(LOCATION).is_some_and(|target| target == SIGN_IN_PAGE);
    if !(is_partial && leads_to_sign_in) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    parts.status = StatusCode::NO_CONTENT;
    parts.headers.remove(LOCATION);
    parts.headers.insert("hx-redirect", HeaderValue::from_static(SIGN_IN_PAGE));
    Response::from_parts(parts, body)
}

#[derive(Template)]
#[template(path = "tasks.html")]
struct TaskList<'v> {
    view: &'v View,
    tasks: Vec<String>,
}

#[derive(Template)]
#[template(path = "page.html")]
struct Page<'v> {
    list: TaskList<'v>,
    user: Option<Owner>,
}

async fn list(
    headers: HeaderMap,
    session: Session,
    user: Option<Owner>,
) -> Result<impl IntoResponse, Error> {
    let view = session.view();
    let list = TaskList { view: &view, tasks: session.get_or("tasks", Vec::new())? };
    let html = if wants_fragment(&headers) { html(&list) } else { html(&Page { list, user }) };
    // The back button must not show a fragment from the browser's cache.
    Ok(([(VARY, "HX-Request")], html))
}

fn html(template: &impl Template) -> Html<String> {
    Html(template.render().unwrap_or_else(|error| error.to_string()))
}

#[derive(Deserialize)]
struct NewTask {
    title: String,
}

async fn add(session: Session, input: Input<NewTask>) -> Result<SeeOther, Error> {
    let task = input.check(|task| match task.title.trim().chars().count() {
        0 => Err([("title", "is required")]),
        1..=40 => Ok(()),
        _ => Err([("title", "has more than 40 characters")]),
    })?;
    session.update("tasks", move |tasks: &mut Vec<String>| tasks.push(task.title.clone()))?;
    session.flash([("notice", "Added.")])?;
    Ok(SeeOther::to("/"))
}

/// Replies to the polls of the page. They leave the messages for the next page, because they read none, and
/// do not keep the session alive.
async fn count(session: Session) -> Result<String, Error> {
    session.no_touch()?;
    let tasks = session.get_or("tasks", Vec::<String>::new())?;
    Ok(tasks.len().to_string())
}

async fn account(user: Owner) -> Html<String> {
    #[derive(Template)]
    #[template(ext = "html", source = "<p>Signed in as {{ user }}.</p>")]
    struct Account {
        user: Owner,
    }
    html(&Account { user })
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInForm<'v> {
    view: &'v View,
}

async fn sign_in_form(view: View) -> Html<String> {
    html(&SignInForm { view: &view })
}

#[derive(Deserialize)]
struct Credentials {
    user: String,
    password: String,
}

async fn sign_in(session: Session, input: Input<Credentials>) -> Result<SeeOther, Error> {
    let form = input.fallback(SIGN_IN_PAGE).check(|form| match form.password.as_str() {
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
