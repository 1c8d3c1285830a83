//! Responses of the session layer, and axum's layer beside others.

use std::collections::BTreeSet;

use actix_web::web;
use axum::{Router, routing};
use cloakroom::{
    AppKeys, CookieName, Error, MemoryStore, NamedSession, ReadSession, Session, Sessions,
    axum::SessionLayer, cookie::CookieSettings,
};
use cloakroom_tests::{
    browser::{Browser, Sent},
    probe,
    server::{DriverUnderTest, Framework, Server, serve, serve_actix},
    step::{Step, get, increment, put, stream},
};
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use tower::ServiceExt;

every_driver! {
    a_request_without_a_session_is_as_without_the_layer,
    a_used_session_varies_with_the_cookie,
    a_session_cookie_is_kept_from_shared_caches,
    a_stream_is_committed_before_its_first_byte,
    head_is_handled_like_get,
}

fn names(headers: &HeaderMap) -> BTreeSet<&str> {
    headers.keys().map(http::HeaderName::as_str).filter(|name| *name != "date").collect()
}

async fn a_request_without_a_session_is_as_without_the_layer(server: Server) {
    let mut visitor = server.browser_with([put("k", 1)]).await;
    let (bare, _serving) = match server.setup.framework {
        Framework::Axum => serve(Router::new().route("/none", routing::get(async || "none"))).await,
        Framework::Actix => {
            serve_actix(|app| _ = app.route("/none", web::get().to(async || "none")))
        }
    };
    let reply = visitor.get("/none").await;
    let expected = Browser::new(bare).get("/none").await;
    assert_eq!(names(&reply.headers), names(&expected.headers));
    assert_eq!(reply.body, expected.body);
}

async fn a_used_session_varies_with_the_cookie(server: Server) {
    let reply = server.browser().run([get("k")]).await;
    assert_eq!(reply.headers["vary"], "Cookie");
    assert!(!reply.headers.contains_key("cache-control"), "no cookie, nothing to keep private");
}

// A model of a shared cache that obeys `Vary` and `Cache-Control`.
async fn a_session_cookie_is_kept_from_shared_caches(server: Server) {
    let mut kept = 0;
    let mut visitor = server.browser();
    for script in [[put("k", 1)], [get("k")], [Step::Destroy]] {
        server.clock.advance(std::time::Duration::from_mins(30));
        let reply = visitor.run(&script).await;
        let control =
            reply.headers.get("cache-control").map(|value| value.to_str().unwrap().to_owned());
        let shared_cache_may_keep =
            !control.is_some_and(|value| value.contains("private") || value.contains("no-store"));
        assert!(!reply.set_cookies().is_empty(), "touched, written or removed: {script:?}");
        kept += usize::from(shared_cache_may_keep);
        assert_eq!(reply.headers["vary"], "Cookie");
    }
    assert_eq!(kept, 0);
}

async fn a_stream_is_committed_before_its_first_byte(server: Server) {
    let mut visitor = server.browser();
    let reply = visitor.run([put("k", 1), stream(3, 1)]).await;
    assert_eq!(reply.text(), "chunk 0\nchunk 1\nchunk 2\n");
    assert_eq!(reply.set_cookies().len(), 1);
    assert_eq!(visitor.step(get("k")).await, 1);
}

async fn head_is_handled_like_get(server: Server) {
    let mut visitor = server.browser();
    let head = Sent::method(Method::HEAD);
    let reply = visitor.run_with([increment("n")], head).await;
    assert_eq!((reply.status.as_u16(), reply.body.len()), (200, 0));
    assert_eq!(visitor.step(get("n")).await, 1);
}

pub(crate) fn memory(name: &str) -> Sessions {
    let settings = CookieSettings { name: name.to_owned(), ..CookieSettings::development() };
    Sessions::builder(MemoryStore::new(), AppKeys::random())
        .cookie_settings(settings)
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_layer_within_a_layer_for_the_same_cookie_commits_once() {
    let sessions = memory("session");
    let app = probe::axum::router(sessions.clone()).layer(SessionLayer::new(sessions));
    let (address, _task) = serve(app).await;
    let mut visitor = Browser::new(address);
    let reply = visitor.run([increment("n")]).await;
    assert_eq!(reply.set_cookies().len(), 1);
    assert_eq!(visitor.step(increment("n")).await, 2);
}

pub(crate) struct Shop;

impl CookieName for Shop {
    const COOKIE_NAME: &'static str = "shop";
}

pub(crate) async fn both(admin: Session, shop: NamedSession<Shop>) -> Result<String, Error> {
    Ok(format!("{} {}", admin.increment("n")?, shop.increment_by("n", 10)?))
}

#[tokio::test]
async fn two_layers_for_two_cookies_are_two_sessions() {
    let app = Router::new()
        .route("/", routing::get(both))
        .layer(SessionLayer::new(memory("admin")))
        .layer(SessionLayer::new(memory("shop")));
    let (address, _task) = serve(app).await;
    let mut visitor = Browser::new(address);
    assert_eq!(visitor.get("/").await.text(), "1 10");
    assert_eq!(visitor.get("/").await.text(), "2 20");
    assert_eq!(visitor.jar.names().collect::<Vec<_>>(), ["admin", "shop"]);
}

#[tokio::test]
async fn a_route_without_the_layer_is_a_plain_500() {
    let app = Router::new().route("/", routing::get(async |_: Session| "never")).route(
        "/maybe",
        routing::get(async |session: Option<Session>| session.is_none().to_string()),
    );
    let (address, _task) = serve(app).await;
    let reply = Browser::new(address).get("/").await;
    assert_eq!((reply.status.as_u16(), reply.body.len()), (500, 0));
    assert_eq!(Browser::new(address).get("/maybe").await.text(), "true");
}

/// A clone of the session that outlives the commit must not lose a change in silence.
#[tokio::test]
async fn a_change_after_the_commit_is_an_error() {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let sender = std::sync::Mutex::new(Some(sender));
    let handler = move |session: Session, reader: ReadSession| {
        let sender = sender.lock().unwrap().take();
        async move {
            session.put("k", 1)?;
            if let Some(sender) = sender {
                drop(sender.send((session, reader)));
            }
            Ok::<_, Error>("done")
        }
    };
    let handler = std::sync::Arc::new(handler);
    let app = Router::new()
        .route(
            "/",
            routing::get(move |session: Session, reader: ReadSession| handler(session, reader)),
        )
        .layer(SessionLayer::new(memory("session")));
    let (address, _task) = serve(app).await;
    Browser::new(address).get("/").await;
    let (session, reader) = receiver.await.unwrap();
    assert!(session.put("k", 2).unwrap_err().is_committed());
    assert!(session.flash(json!({"m": 1})).err().unwrap().is_committed());
    assert!(session.regenerate().unwrap_err().is_committed());
    assert_eq!(reader.get::<Value>("k").unwrap(), Some(json!(1)));
}

/// An upgraded connection's response goes through the layer as it is.
#[tokio::test]
async fn an_upgrade_passes_with_its_session() {
    let upgrade = async |session: Session| {
        session.increment("n")?;
        let headers = [("connection", "upgrade"), ("upgrade", "echo")];
        Ok::<_, Error>((http::StatusCode::SWITCHING_PROTOCOLS, headers))
    };
    let app =
        Router::new().route("/", routing::get(upgrade)).layer(SessionLayer::new(memory("session")));
    let request = http::Request::get("/").body(axum::body::Body::empty()).unwrap();
    let response = app.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 101);
    assert_eq!(response.headers()["upgrade"], "echo");
    assert!(response.headers().contains_key("set-cookie"));
}

#[tokio::test]
async fn drivers_are_named_as_in_the_settings() {
    let server = Server::start(DriverUnderTest::Memory).await;
    assert!(server.setup.driver.is_server_side());
    assert_eq!(memory("session").driver_name(), "memory");
}
