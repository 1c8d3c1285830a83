//! The probe on axum.

use std::{convert::Infallible, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{FromRequest, FromRequestParts, Request},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{any, get, post},
};
use cloakroom::{
    Back, Error, Input, Owner, RequireOwner, Session, Sessions, View,
    axum::{CsrfLayer, SessionLayer},
    csrf::CsrfPolicy,
};
use futures_util::stream;
use http::StatusCode;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::{
    FRESH,
    script::{Ending, HEADER, run},
};

/// The probe's routes, with the session layer around them.
pub fn router(sessions: Sessions) -> Router {
    routes().layer(SessionLayer::new(sessions))
}

/// The routes without the layer, for tests that put their own around them.
pub fn routes() -> Router {
    let guarded = Router::new()
        .route("/csrf-form", get(csrf_form))
        .route("/csrf-form", post(async || "passed"))
        .layer(CsrfLayer::default());
    let mine = Router::new()
        .route("/mine", get(async |owner: Owner| owner.to_string()))
        .layer(RequireOwner::new().or_redirect("/sign-in"));
    let fresh = Router::new()
        .route("/fresh", get(async |owner: Owner| owner.to_string()))
        .layer(RequireOwner::new().within(FRESH));
    let by_fetch_metadata = Router::new()
        .route("/csrf-fetch", post(async || "passed"))
        .layer(CsrfLayer::new(CsrfPolicy::fetch_metadata()));
    Router::new()
        .route("/script", any(script))
        .route("/none", get(async || "none"))
        .route("/late", any(late))
        .route("/login", get(login))
        .route("/read", get(read))
        .route("/write", get(write))
        .merge(guarded)
        .merge(mine)
        .merge(fresh)
        .merge(by_fetch_metadata)
}

/// Asks for the session inside the body, when the head has left.
async fn late(request: Request) -> Body {
    let (mut parts, _) = request.into_parts();
    let script = parts.headers.get(HEADER).and_then(|script| script.to_str().ok());
    let script = script.unwrap_or("[]").to_owned();
    let body = stream::once(async move {
        // The head goes first.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let results = match Session::from_request_parts(&mut parts, &()).await {
            Ok(session) => match run(&script, &session).await {
                Ending::Results(_, results) => json!({ "results": results }),
                other => json!({ "ended": format!("{other:?}") }),
            },
            Err(rejection) => json!({ "rejected": rejection.to_string() }),
        };
        Ok::<_, Infallible>(results.to_string())
    });
    Body::from_stream(body)
}

async fn login(session: Session) -> Result<&'static str, Error> {
    session.put("username", "virk")?;
    Ok("signed in")
}

async fn read(session: Session) -> Result<String, Error> {
    session.get_or("username", String::new())
}

async fn write(session: Session) -> Result<String, Error> {
    Ok(session.increment("counter")?.to_string())
}

async fn csrf_form(view: View) -> Html<String> {
    let field = view.csrf_field();
    Html(format!(r#"<form method="post" action="/csrf-form">{field}<button>Send</button></form>"#))
}

async fn script(session: Session, back: Back, request: Request) -> Result<Response, Response> {
    let script = request.headers().get(HEADER).and_then(|script| script.to_str().ok());
    let script = script.unwrap_or("[]").to_owned();
    capture_form(request).await?;
    Ok(match run(&script, &session).await {
        Ending::Results(status, results) => with_status(status, &results),
        Ending::Error(error) => error.into_response(),
        Ending::Redirect(to) => Redirect::to(&to).into_response(),
        Ending::RedirectBack(fallback) => back.or(&fallback).into_response(),
        Ending::Html(page) => Html(page).into_response(),
        Ending::Stream(chunks, pause) => stream_of(chunks, pause),
    })
}

/// Has the `Input` extractor see the body, if there is one.
async fn capture_form(request: Request) -> Result<(), Response> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await;
    let body = body.map_err(|_| StatusCode::BAD_REQUEST.into_response())?;
    if body.is_empty() {
        return Ok(());
    }
    let request = Request::from_parts(parts, Body::from(body));
    let input = Input::<IgnoredAny>::from_request(request, &()).await;
    input.map(drop).map_err(IntoResponse::into_response)
}

fn with_status(status: u16, results: &[Value]) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, axum::Json(json!({ "results": results }))).into_response()
}

fn stream_of(chunks: u32, pause: Duration) -> Response {
    let body = stream::unfold(0, move |sent| async move {
        (sent < chunks).then_some(())?;
        tokio::time::sleep(pause).await;
        Some((Ok::<_, Infallible>(format!("chunk {sent}\n")), sent + 1))
    });
    Body::from_stream(body).into_response()
}
