//! The probe on actix-web.

use std::{convert::Infallible, time::Duration};

use actix_web::{
    Error, FromRequest, HttpRequest, HttpResponse,
    dev::Payload,
    http::{StatusCode, header::ContentType},
    web::{self, Bytes, PayloadConfig, Redirect, ServiceConfig},
};
use cloakroom::{
    Back, Input, Owner, RequireOwner, Session, Sessions, View,
    actix::{CsrfMiddleware, SessionMiddleware},
    csrf::CsrfPolicy,
};
use futures_util::stream;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::{
    FRESH,
    script::{Ending, HEADER, run},
};

/// As axum has it, so that both probes take the same forms.
const BODY_LIMIT: usize = cloakroom::form::DEFAULT_BODY_LIMIT;

/// The probe's routes, with the session middleware around them.
pub fn configure(app: &mut ServiceConfig, sessions: &Sessions) {
    let routes = web::scope("").configure(routes).wrap(SessionMiddleware::new(sessions.clone()));
    app.app_data(PayloadConfig::new(BODY_LIMIT)).service(routes);
}

/// The routes without the middleware, for tests that put their own around them.
pub fn routes(app: &mut ServiceConfig) {
    let guarded = web::resource("/csrf-form")
        .route(web::get().to(csrf_form))
        .route(web::post().to(async || "passed"))
        .wrap(CsrfMiddleware::default());
    let mine = web::resource("/mine")
        .route(web::get().to(async |owner: Owner| owner.to_string()))
        .wrap(RequireOwner::new().or_redirect("/sign-in"));
    let fresh = web::resource("/fresh")
        .route(web::get().to(async |owner: Owner| owner.to_string()))
        .wrap(RequireOwner::new().within(FRESH));
    let by_fetch_metadata = web::resource("/csrf-fetch")
        .route(web::post().to(async || "passed"))
        .wrap(CsrfMiddleware::new(CsrfPolicy::fetch_metadata()));
    app.route("/script", web::to(script))
        .route("/none", web::get().to(async || "none"))
        .route("/late", web::to(late))
        .route("/login", web::get().to(login))
        .route("/read", web::get().to(read))
        .route("/write", web::get().to(write))
        .service(guarded)
        .service(by_fetch_metadata)
        .service(mine)
        .service(fresh);
}

/// Asks for the session inside the body, when the head has left.
async fn late(request: HttpRequest) -> HttpResponse {
    let body = stream::once(async move {
        // The head goes first.
        actix_web::rt::time::sleep(Duration::from_millis(20)).await;
        let script = request.headers().get(HEADER).and_then(|script| script.to_str().ok());
        let results = match Session::extract(&request).await {
            Ok(session) => match run(script.unwrap_or("[]"), &session).await {
                Ending::Results(_, results) => json!({ "results": results }),
                other => json!({ "ended": format!("{other:?}") }),
            },
            Err(rejection) => json!({ "rejected": rejection.to_string() }),
        };
        Ok::<_, Infallible>(Bytes::from(results.to_string()))
    });
    HttpResponse::Ok().streaming(body)
}

async fn login(session: Session) -> Result<&'static str, Error> {
    session.put("username", "virk")?;
    Ok("signed in")
}

async fn read(session: Session) -> Result<String, Error> {
    Ok(session.get_or("username", String::new())?)
}

async fn write(session: Session) -> Result<String, Error> {
    Ok(session.increment("counter")?.to_string())
}

async fn csrf_form(view: View) -> HttpResponse {
    let field = view.csrf_field();
    let form =
        format!(r#"<form method="post" action="/csrf-form">{field}<button>Send</button></form>"#);
    HttpResponse::Ok().content_type(ContentType::html()).body(form)
}

async fn script(
    session: Session,
    back: Back,
    request: HttpRequest,
    body: Bytes,
) -> Result<HttpResponse, Error> {
    capture_form(&request, body).await?;
    let script = request.headers().get(HEADER).and_then(|script| script.to_str().ok());
    match run(script.unwrap_or("[]"), &session).await {
        Ending::Results(status, results) => Ok(with_status(status, &results)),
        Ending::Error(error) => Err(Error::from(error)),
        Ending::Redirect(to) => Ok(see_other(to, &request)),
        Ending::RedirectBack(fallback) => Ok(back.or(&fallback).into()),
        Ending::Html(page) => Ok(HttpResponse::Ok().content_type(ContentType::html()).body(page)),
        Ending::Stream(chunks, pause) => Ok(stream_of(chunks, pause)),
    }
}

/// Has the `Input` extractor see the body, if there is one.
async fn capture_form(request: &HttpRequest, body: Bytes) -> Result<(), Error> {
    if body.is_empty() {
        return Ok(());
    }
    let body = Box::pin(stream::once(std::future::ready(Ok(body))));
    Input::<IgnoredAny>::from_request(request, &mut Payload::Stream { payload: body }).await?;
    Ok(())
}

fn see_other(to: String, request: &HttpRequest) -> HttpResponse {
    use actix_web::Responder;
    Redirect::to(to).see_other().respond_to(request).map_into_boxed_body()
}

fn with_status(status: u16, results: &[Value]) -> HttpResponse {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    HttpResponse::build(status).json(json!({ "results": results }))
}

fn stream_of(chunks: u32, pause: Duration) -> HttpResponse {
    let body = stream::unfold(0, move |sent| async move {
        (sent < chunks).then_some(())?;
        actix_web::rt::time::sleep(pause).await;
        Some((Ok::<_, Infallible>(Bytes::from(format!("chunk {sent}\n"))), sent + 1))
    });
    HttpResponse::Ok().streaming(body)
}
