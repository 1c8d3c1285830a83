//! How often one request allocates memory on account of its session: a request through
//! [`SessionLayer`] beside the same through a layer that does nothing, which axum pays for alike.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test reports by panicking")]

use std::{convert::Infallible, sync::Arc};

use axum::{Router, body::Body, response::Response, routing::get};
use bytes::Bytes;
use cloakroom_axum::SessionLayer;
use cloakroom_core::{AppKeys, Error, MemoryStore, Session, Sessions, cookie::CookieSettings};
use futures_util::FutureExt;
use http::{Request, Uri, header};
use tower::{Service, layer::layer_fn};

async fn read(session: Session) -> Result<String, Error> {
    Ok(session.get("username")?.unwrap_or_default())
}

async fn write(session: Session) -> Result<String, Error> {
    Ok(session.increment("visits")?.to_string())
}

async fn login(session: Session) -> Result<(), Error> {
    session.put("username", "virk")
}

/// The routes with sessions in memory, and a cookie.
fn with_sessions() -> (Router, String) {
    let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random());
    let sessions = sessions.cookie_settings(CookieSettings::development()).build().unwrap();
    let routes = Router::new().route("/none", get(async || "none"));
    let routes = routes.route("/read", get(read)).route("/write", get(write));
    let mut app = routes.route("/login", get(login)).layer(SessionLayer::new(sessions));
    let response = call(&mut app, "/login", "");
    let line = response.headers()[header::SET_COOKIE].to_str().unwrap();
    (app, line.split(';').next().unwrap().to_owned())
}

/// The same routes without sessions, behind a layer that does nothing.
fn without_sessions() -> Router {
    let routes = Router::new().route("/none", get(async || "none"));
    let routes = routes.route("/read", get(async || "virk".to_owned()));
    let routes = routes.route("/write", get(async || 1.to_string()));
    // Of a certain size, as layers are: axum allocates for each that is not empty.
    let settings = Arc::new(());
    routes.layer(layer_fn(move |routes| {
        let _ = &settings;
        routes
    }))
}

/// Makes a request as servers do: its URI is a part of their shared buffer, so a clone of it does not
/// allocate.
fn request(path: &str, cookie: &str) -> Request<Body> {
    let buffer = Bytes::copy_from_slice(path.as_bytes());
    let uri = Uri::from_maybe_shared(buffer.clone()).unwrap();
    Request::get(uri).header(header::COOKIE, cookie).body(Body::empty()).unwrap()
}

fn call(app: &mut Router, path: &str, cookie: &str) -> Response {
    respond(app, request(path, cookie)).unwrap()
}

fn respond(app: &mut Router, request: Request<Body>) -> Result<Response, Infallible> {
    app.call(request).now_or_never().expect("nothing to wait for")
}

/// Counts the allocations of a request from its head to its response. Tables that grow once and stay
/// are left out.
fn allocations(app: &mut Router, path: &str, cookie: &str) -> u64 {
    let count = |_| {
        let request = request(path, cookie);
        allocation_counter::measure(|| drop(respond(app, request))).count_total
    };
    (0..100).map(count).min().unwrap()
}

#[test]
fn a_request_allocates_no_more_for_its_session_than_this() {
    let (mut app, cookie) = with_sessions();
    let mut bare = without_sessions();
    // Labels of counters are allocated.
    let (read, write) = if cfg!(feature = "metrics") { (7, 21) } else { (5, 16) };
    for (path, at_most) in [("/none", 2), ("/read", read), ("/write", write)] {
        let whole = allocations(&mut app, path, &cookie);
        let session = whole - allocations(&mut bare, path, &cookie);
        assert!(session <= at_most, "{path}: {session} allocations for the session");
    }
}
