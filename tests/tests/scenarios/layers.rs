//! Other layers and options around the session layer, on both frameworks.

use std::{net::SocketAddr, time::Duration};

use actix_web::{Error, body::BoxBody, dev::ServiceRequest, error::InternalError, middleware, web};
use axum::{Router, extract::Request, middleware::from_fn, response::IntoResponse, routing};
use cloakroom::{
    AppKeys, CookieName, Driver, Sessions,
    actix::{CsrfMiddleware, SessionMiddleware},
    axum::{CsrfLayer, SessionLayer},
    cookie::CookieSettings,
};
use cloakroom_tests::{
    browser::{Browser, Reply, Sent},
    local::{self, LocalApp},
    probe,
    server::{Framework, Serving, serve, serve_actix},
    step::{Step, flash, flash_message, get, put, sleep},
};
use http::{Method, StatusCode};
use serde_json::{Value, json};

fn memory() -> Sessions {
    LocalApp::new().sessions
}

fn sealed() -> Sessions {
    let sessions = Sessions::builder(Driver::Cookie, AppKeys::random());
    sessions.cookie_settings(CookieSettings::development()).build().unwrap()
}

const LIMIT: Duration = Duration::from_millis(50);

/// The probe with a timeout between the session layer and the handlers.
async fn with_timeout(
    framework: Framework,
    sessions: Sessions,
    status: StatusCode,
) -> (SocketAddr, Serving) {
    match framework {
        Framework::Axum => {
            let limit = move |request: Request, next: axum::middleware::Next| async move {
                let response = tokio::time::timeout(LIMIT, next.run(request)).await;
                response.unwrap_or_else(|_| status.into_response())
            };
            let app = probe::axum::routes().layer(from_fn(limit));
            serve(app.layer(SessionLayer::new(sessions))).await
        }
        Framework::Actix => serve_actix(move |app| {
            let limit = move |request: ServiceRequest, next: middleware::Next<BoxBody>| async move {
                let response = tokio::time::timeout(LIMIT, next.call(request)).await;
                response.unwrap_or_else(|_| Err(timed_out(status)))
            };
            let inner = web::scope("").configure(probe::actix::routes);
            let inner = inner.wrap(middleware::from_fn(limit));
            app.service(inner.wrap(SessionMiddleware::new(sessions.clone())));
        }),
    }
}

fn timed_out(status: StatusCode) -> Error {
    let status = actix_web::http::StatusCode::from_u16(status.as_u16()).unwrap();
    InternalError::new("timed out", status).into()
}

/// Runs `steps` until the timeout.
async fn cut_off(visitor: &mut Browser, steps: impl Into<Vec<Step>>) -> Reply {
    let mut steps = steps.into();
    steps.push(sleep(10_000));
    visitor.run(steps).await
}

#[tokio::test]
async fn a_timeout_inside_the_layer_discards_ordinary_changes() {
    for framework in Framework::ALL {
        for status in [StatusCode::REQUEST_TIMEOUT, StatusCode::GATEWAY_TIMEOUT] {
            for sessions in [memory(), sealed()] {
                let (address, _serving) = with_timeout(framework, sessions, status).await;
                let mut visitor = Browser::new(address);
                visitor.step(put("k", "old")).await;
                let changes = [put("k", "new"), flash([("m", 1)])];
                let reply = cut_off(&mut visitor, changes).await;
                assert_eq!((reply.status, reply.set_cookies()), (status, Vec::new()));
                let next = [get("k"), flash_message("m")];
                let next = visitor.run(&next).await;
                assert_eq!((next.value(0), next.value(1)), (json!("old"), Value::Null));
            }
        }
    }
}

#[tokio::test]
async fn a_timeout_inside_the_layer_leaves_what_was_committed() {
    for framework in Framework::ALL {
        let (address, _serving) =
            with_timeout(framework, memory(), StatusCode::REQUEST_TIMEOUT).await;
        let mut visitor = Browser::new(address);
        let steps = [put("k", "paid"), Step::Commit, put("k", "later")];
        let reply = cut_off(&mut visitor, steps).await;
        assert_eq!((reply.status.as_u16(), reply.set_cookies().len()), (408, 1));
        assert_eq!(visitor.step(get("k")).await, "paid");
        let steps = [put("k", "sent"), Step::Commit, put("k", "x"), Step::Regenerate];
        cut_off(&mut visitor, steps).await;
        assert_eq!(visitor.step(get("k")).await, "sent");
    }
}

#[tokio::test]
async fn destroy_and_regenerate_survive_a_timeout() {
    for framework in Framework::ALL {
        for sessions in [memory(), sealed()] {
            let (address, _serving) =
                with_timeout(framework, sessions, StatusCode::REQUEST_TIMEOUT).await;
            let mut visitor = Browser::new(address);
            visitor.step(put("k", "old")).await;
            let before = visitor.token();
            cut_off(&mut visitor, [put("k", "new"), Step::Regenerate]).await;
            assert_ne!(visitor.jar.get("session").unwrap(), before);
            assert_eq!(visitor.step(get("k")).await, "old");
            cut_off(&mut visitor, [Step::Destroy, put("k", "new")]).await;
            assert!(visitor.jar.is_empty());
        }
    }
}

/// A known limit: no layer can tell such a response from one that the handler made.
#[tokio::test]
async fn a_timeout_with_another_status_commits_what_was_done() {
    for framework in Framework::ALL {
        let (address, _serving) =
            with_timeout(framework, memory(), StatusCode::SERVICE_UNAVAILABLE).await;
        let mut visitor = Browser::new(address);
        assert_eq!(cut_off(&mut visitor, [put("k", "half")]).await.status, 503);
        assert_eq!(visitor.step(get("k")).await, "half");
    }
}

/// The cookie driver seals the record again when the deadline is due to move.
#[tokio::test]
async fn a_timeout_when_the_deadline_is_due_keeps_the_values() {
    for framework in Framework::ALL {
        let app = LocalApp::new();
        let sealed = local::build(Sessions::builder(Driver::Cookie, AppKeys::random()), &app.clock);
        for sessions in [sealed, app.sessions] {
            let (address, _serving) =
                with_timeout(framework, sessions, StatusCode::REQUEST_TIMEOUT).await;
            let mut visitor = Browser::new(address);
            visitor.step(put("k", "old")).await;
            app.clock.advance(Duration::from_hours(1));
            for changes in [vec![], vec![put("k", "new")]] {
                cut_off(&mut visitor, changes).await;
                assert_eq!(visitor.step(get("k")).await, "old", "{framework:?}");
            }
        }
    }
}

struct Site;

impl CookieName for Site {
    const COOKIE_NAME: &'static str = "session";
}

/// Replies to GET with the CSRF token of the cookie's session, and POST behind the CSRF layer. A layer
/// for bearer tokens is between the two and the layer for cookies.
async fn bearer_within_cookie(framework: Framework) -> (SocketAddr, Serving) {
    let sessions = memory();
    let bearer = sessions.bearer().unwrap();
    match framework {
        Framework::Axum => {
            let token = async |site: cloakroom::NamedSession<Site>| site.view().csrf_token();
            let app = Router::new().route("/", routing::get(token).post(async || "passed"));
            let app = app.layer(CsrfLayer::default()).layer(SessionLayer::new(bearer));
            serve(app.layer(SessionLayer::new(sessions))).await
        }
        Framework::Actix => serve_actix(move |app| {
            let token = async |site: cloakroom::NamedSession<Site>| site.view().csrf_token();
            let inner = web::scope("").route("/", web::get().to(token));
            let inner = inner.route("/", web::post().to(async || "passed"));
            let inner = inner.wrap(CsrfMiddleware::default());
            let inner = inner.wrap(SessionMiddleware::new(bearer.clone()));
            app.service(inner.wrap(SessionMiddleware::new(sessions.clone())));
        }),
    }
}

async fn post(visitor: &mut Browser, sent: Sent) -> u16 {
    let sent = Sent { method: Method::POST, ..sent };
    visitor.send("/", sent).await.status.as_u16()
}

#[tokio::test]
async fn a_bearer_layer_within_a_cookie_layer_leaves_csrf_on() {
    for framework in Framework::ALL {
        let (address, _serving) = bearer_within_cookie(framework).await;
        let mut visitor = Browser::new(address);
        let token = visitor.get("/").await.text();
        assert_eq!(post(&mut visitor, Sent::default()).await, 403);
        assert_eq!(post(&mut visitor, Sent::form("_csrf=x")).await, 403);
        assert_eq!(post(&mut visitor, Sent::with("x-csrf-token", "x")).await, 403);
        let bearer = "A".repeat(43);
        let forged = Sent::with("authorization", &format!("Bearer {bearer}"));
        assert_eq!(post(&mut visitor, forged).await, 403);
        let proved = Sent::with("x-csrf-token", &token);
        assert_eq!(post(&mut visitor, proved).await, 200, "{framework:?}");
    }
}

#[tokio::test]
async fn a_form_with_its_token_passes_a_bearer_layer_in_between() {
    for framework in Framework::ALL {
        let (address, _serving) = bearer_within_cookie(framework).await;
        let mut visitor = Browser::new(address);
        let token = visitor.get("/").await.text();
        let form = Sent::form(&format!("a=b&_csrf={token}"));
        assert_eq!(post(&mut visitor, form).await, 200, "{framework:?}");
    }
}

/// The CSRF layers of an application with a layer for cookies inside one for bearer tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Csrf {
    /// Between the two.
    Between,
    /// Between the two, and around the handlers.
    BetweenAndInside,
}

async fn cookie_within_bearer(framework: Framework, csrf: Csrf) -> (SocketAddr, Serving) {
    let sessions = memory();
    let bearer = sessions.bearer().unwrap();
    let read = async |session: cloakroom::Session| session.view().csrf_token();
    match framework {
        Framework::Axum => {
            let app = Router::new().route("/", routing::get(read).post(read));
            let app = app.route("/none", routing::post(async || "passed"));
            let app = match csrf {
                Csrf::Between => app,
                Csrf::BetweenAndInside => app.layer(CsrfLayer::default()),
            };
            let app = app.layer(SessionLayer::new(sessions)).layer(CsrfLayer::default());
            serve(app.layer(SessionLayer::new(bearer))).await
        }
        Framework::Actix => serve_actix(move |app| {
            let routes = web::scope("").route("/", web::get().to(read));
            let routes = routes.route("/", web::post().to(read));
            let routes = routes.route("/none", web::post().to(async || "passed"));
            let inside = matches!(csrf, Csrf::BetweenAndInside);
            let routes = routes.wrap(middleware::Condition::new(inside, CsrfMiddleware::default()));
            let routes = routes.wrap(SessionMiddleware::new(sessions.clone()));
            let routes = routes.wrap(CsrfMiddleware::default());
            app.service(routes.wrap(SessionMiddleware::new(bearer.clone())));
        }),
    }
}

/// Without the layer for bearer tokens the same mistake is a failure as well.
#[tokio::test]
async fn a_csrf_layer_around_the_layer_for_cookies_is_a_failure() {
    for framework in Framework::ALL {
        let (address, _serving) = cookie_within_bearer(framework, Csrf::Between).await;
        let mut visitor = Browser::new(address);
        assert_eq!(visitor.get("/").await.status, 500, "{framework:?}");
        let forged = Sent::with("sec-fetch-site", "cross-site");
        assert_eq!(post(&mut visitor, forged).await, 500, "{framework:?}");
        let unused = visitor.send("/none", Sent::method(Method::POST)).await;
        assert_eq!(unused.status, 200, "{framework:?}: no session is used");

        let (address, _serving) = cookie_within_bearer(framework, Csrf::BetweenAndInside).await;
        let mut visitor = Browser::new(address);
        let token = visitor.get("/").await.text();
        assert_eq!(post(&mut visitor, Sent::default()).await, 403, "{framework:?}");
        let proved = Sent::with("x-csrf-token", &token);
        assert_eq!(post(&mut visitor, proved).await, 200, "{framework:?}");
    }
}

/// When the session of `/late` is loaded.
#[derive(Clone, Copy)]
enum Loaded {
    Ahead,
    Late,
}

async fn probe_with(
    framework: Framework,
    sessions: Sessions,
    loaded: Loaded,
) -> (SocketAddr, Serving) {
    match framework {
        Framework::Axum => {
            let layer = SessionLayer::new(sessions);
            let layer = if let Loaded::Ahead = loaded { layer.preload() } else { layer };
            serve(probe::axum::routes().layer(layer)).await
        }
        Framework::Actix => serve_actix(move |app| {
            let layer = SessionMiddleware::new(sessions.clone());
            let layer = if let Loaded::Ahead = loaded { layer.preload() } else { layer };
            app.service(web::scope("").configure(probe::actix::routes).wrap(layer));
        }),
    }
}

#[tokio::test]
async fn a_preloaded_session_varies_and_cannot_be_changed_late() {
    for framework in Framework::ALL {
        for sessions in [memory(), sealed()] {
            let (address, _serving) = probe_with(framework, sessions, Loaded::Ahead).await;
            let mut visitor = Browser::new(address);
            visitor.step(put("k", "old")).await;
            let script = [get("k"), put("k", "new"), Step::Destroy];
            let reply = visitor.run_late(&script).await;
            assert_eq!(reply.headers["vary"], "Cookie", "{framework:?}");
            assert!(reply.set_cookies().is_empty());
            assert_eq!(reply.value(0), "old");
            assert_eq!(
                (reply.error(1).code.as_str(), reply.error(2).code.as_str()),
                ("committed", "committed")
            );
            assert_eq!(visitor.step(get("k")).await, "old");
        }
    }
}

/// The page that the body streams is the one that shows it.
#[tokio::test]
async fn a_preloaded_session_shows_flash_in_the_stream_once() {
    for framework in Framework::ALL {
        for sessions in [memory(), sealed()] {
            let (address, _serving) = probe_with(framework, sessions, Loaded::Ahead).await;
            let mut visitor = Browser::new(address);
            visitor.step(flash([("m", "saved")])).await;
            let message = flash_message("m");
            let reply = visitor.run_late([message.clone()]).await;
            assert_eq!(reply.value(0), "saved", "{framework:?}");
            assert_eq!(visitor.step(message).await, Value::Null);
        }
    }
}

#[tokio::test]
async fn a_session_that_is_loaded_late_does_not_vary() {
    for framework in Framework::ALL {
        let (address, _serving) = probe_with(framework, memory(), Loaded::Late).await;
        let mut visitor = Browser::new(address);
        visitor.step(put("k", 1)).await;
        let reply = visitor.run_late([get("k")]).await;
        assert_eq!((reply.value(0), reply.headers.get("vary")), (json!(1), None));
    }
}
