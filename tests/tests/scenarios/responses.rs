//! Responses that the library makes itself: JSON for those who want it, and the application's own.

use std::{convert::Infallible, net::SocketAddr};

use actix_web::{
    App, HttpResponse,
    body::{BoxBody, to_bytes},
    dev::{Service, ServiceRequest, ServiceResponse},
    middleware::{Next, from_fn},
    test, web,
};
use axum::{
    Router,
    extract::DefaultBodyLimit,
    response::IntoResponse,
    routing::{get, post},
};
use bytes::Bytes;
use cloakroom::{
    CookieName, Error, Input, NamedSession, Session, Sessions, View,
    adapter::{AdapterError, Problem},
    csrf::CsrfRejection,
};
use cloakroom_tests::{
    browser::{Browser, Reply, Sent},
    local::LocalApp,
    server::{Framework, Server, Serving, Setup, serve, serve_actix},
    step::put,
    store::Fault,
};
use http::StatusCode;
use http_body_util::{BodyExt, Full};
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tower::{Layer, ServiceExt};

fn json_client() -> Sent {
    Sent::with("accept", "application/json")
}

fn details(reply: &Reply) -> Value {
    assert_eq!(reply.headers["content-type"], "application/problem+json", "{}", reply.text());
    serde_json::from_slice(&reply.body).unwrap()
}

#[tokio::test]
async fn a_failed_commit_is_json_for_clients_that_accept_it() {
    for setup in Setup::all() {
        let server = Server::start_with(setup, |builder| builder.max_bytes(10_000)).await;
        let mut visitor = server.browser();
        let too_much = [put("k", "x".repeat(20_000))];
        let reply = visitor.run(&too_much).await;
        assert_eq!((reply.status.as_u16(), reply.body.len()), (500, 0), "{setup:?}");
        let reply = visitor.run_with(&too_much, json_client()).await;
        let expected =
            json!({"type": "about:blank", "title": "Internal Server Error", "status": 500});
        assert_eq!(reply.status, 500, "{setup:?}");
        assert_eq!(details(&reply), expected, "{setup:?}: the reason is for the log");
    }
}

struct Missing;

impl CookieName for Missing {
    const COOKIE_NAME: &'static str = "missing";
}

/// Whether the application has a handler for failures.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Handler {
    Set,
    Unset,
}

fn said(problem: &Problem) -> String {
    let client = if problem.wants_json() { "json" } else { "page" };
    format!("{} {} {client}", problem.http_status(), problem.failure().code())
}

/// Each kind of failure has a route; forms may have one kilobyte.
async fn start(
    framework: Framework,
    sessions: Sessions,
    handler: Handler,
) -> (SocketAddr, Serving) {
    match framework {
        Framework::Axum => serve(axum_app(sessions, handler)).await,
        Framework::Actix => serve_actix(move |app| actix_app(app, &sessions, handler)),
    }
}

async fn decode(session: Session) -> Result<String, Error> {
    session.increment("visits")?;
    session.put("text", "no number")?;
    Ok(session.get_or("text", 0)?.to_string())
}

async fn commit_and_panic(session: Session) -> String {
    session.put("paid", true).unwrap();
    session.commit().await.unwrap();
    panic!("after the commit")
}

async fn passed(_: Input<IgnoredAny>) -> &'static str {
    "passed"
}

async fn token(view: View) -> String {
    view.csrf_token()
}

async fn named(_: NamedSession<Missing>) -> &'static str {
    "passed"
}

async fn sign_in(session: Session) -> &'static str {
    session.put("user", "virk").unwrap();
    "put"
}

async fn never(_: Session) -> &'static str {
    "never"
}

fn axum_app(sessions: Sessions, handler: Handler) -> Router {
    use cloakroom::axum::{CsrfLayer, SessionLayer};
    let app = Router::new()
        .route("/token", get(token))
        .route("/guarded", post(passed))
        .layer(CsrfLayer::default())
        .route("/form", post(passed))
        .route("/decode", get(decode))
        .route("/panic", get(commit_and_panic))
        .route("/named", get(named))
        .layer(DefaultBodyLimit::max(1024));
    let layer = SessionLayer::new(sessions);
    app.layer(match handler {
        Handler::Unset => layer,
        Handler::Set => layer.on_failure(|problem| {
            (StatusCode::IM_A_TEAPOT, [("x-own", "yes")], said(problem)).into_response()
        }),
    })
}

fn actix_app(app: &mut web::ServiceConfig, sessions: &Sessions, handler: Handler) {
    use cloakroom::actix::{CsrfMiddleware, SessionMiddleware};
    let guarded = web::resource("/guarded").route(web::post().to(passed));
    let routes = web::scope("")
        .route("/token", web::get().to(token))
        .service(guarded.wrap(CsrfMiddleware::default()))
        .route("/form", web::post().to(passed))
        .route("/decode", web::get().to(decode))
        .route("/panic", web::get().to(commit_and_panic))
        .route("/named", web::get().to(named));
    let layer = SessionMiddleware::new(sessions.clone());
    let layer = match handler {
        Handler::Unset => layer,
        Handler::Set => layer.on_failure(|problem| {
            let mut response = HttpResponse::ImATeapot();
            response.insert_header(("x-own", "yes")).body(said(problem))
        }),
    };
    app.app_data(web::PayloadConfig::new(1024)).service(routes.wrap(layer));
}

/// One request for each kind of failure: its path, what is sent, and what comes of it.
fn failures() -> Vec<(&'static str, Sent, u16, &'static str)> {
    let long = "a=".to_owned() + &"x".repeat(2000);
    vec![
        ("/guarded", Sent::form("_csrf=x"), 403, "bad_token"),
        ("/guarded", Sent::body("text/csv", b"a,b"), 403, "missing_token"),
        ("/guarded", Sent::form(&long).and("content-encoding", "br"), 415, "not_a_form"),
        ("/guarded", Sent::body("application/json", b"{"), 400, "not_a_form"),
        ("/guarded", Sent::form("").and("origin", "https://evil.example"), 403, "origin"),
        ("/form", Sent::form(&long), 413, "body_too_large"),
        ("/form", Sent::body("text/csv", b"a,b"), 415, "not_a_form"),
        ("/form", Sent::body("application/json", b"{"), 400, "not_a_form"),
        ("/decode", Sent::default(), 500, "decode"),
        ("/named", Sent::default(), 500, "no_session_layer"),
    ]
}

#[tokio::test]
async fn the_application_replaces_every_response_of_the_library() {
    for framework in Framework::ALL {
        let app = LocalApp::faulty();
        let (address, _serving) = start(framework, app.sessions.clone(), Handler::Set).await;
        let mut visitor = Browser::new(address);
        visitor.get("/token").await;
        let mut expect = async |path: &str, sent: Sent, expected: String| {
            let reply = visitor.send(path, sent).await;
            let own = reply.headers.get("x-own").is_some();
            assert!(own && reply.status == 418, "{framework:?} {path}: {}", reply.status);
            assert_eq!(reply.text(), expected, "{framework:?} {path}");
            reply
        };
        for (path, sent, status, code) in failures() {
            let page = sent.clone().and("accept", "text/html");
            expect(path, page, format!("{status} {code} page")).await;
            let script = sent.and("accept", "application/json");
            expect(path, script, format!("{status} {code} json")).await;
        }
        let refused = Sent::form("_csrf=x").and("accept", "text/html");
        let reply = expect("/guarded", refused, "403 bad_token page".to_owned()).await;
        let vary = reply
            .headers
            .get_all("vary")
            .iter()
            .any(|value| value.to_str().unwrap().contains("Origin"));
        assert!(vary, "{:?}", reply.headers);
        app.store.on_commit(Fault::Failed);
        expect("/decode", json_client(), "500 store json".to_owned()).await;
        app.store.on_load(Fault::Unavailable);
        expect("/token", json_client(), "503 store json".to_owned()).await;
        expect("/guarded", Sent::form("_csrf=x"), "503 store page".to_owned()).await;
    }
}

#[tokio::test]
async fn without_a_handler_they_are_json_for_clients_that_accept_it() {
    for framework in Framework::ALL {
        let (address, _serving) = start(framework, LocalApp::new().sessions, Handler::Unset).await;
        let mut visitor = Browser::new(address);
        visitor.get("/token").await;
        for (path, sent, status, code) in failures() {
            let page = sent.clone().and("accept", "text/html");
            let page = visitor.send(path, page).await;
            let content_type =
                page.headers.get("content-type").map(|value| value.to_str().unwrap());
            let expected = (status != 500).then_some("text/plain; charset=utf-8");
            assert_eq!((page.status.as_u16(), content_type), (status, expected), "{path}");
            assert_eq!(page.body.is_empty(), status == 500, "{framework:?} {path}");
            let sent = sent.and("accept", "application/json");
            let reply = visitor.send(path, sent).await;
            let details = details(&reply);
            assert_eq!((reply.status.as_u16(), &details["status"]), (status, &json!(status)));
            let expected = if status == 500 { Value::Null } else { json!(code) };
            assert_eq!(details["code"], expected, "{framework:?} {path}");
            assert_eq!(details["detail"].is_string(), status != 500);
        }
    }
}

/// The layer reads more than the route's extractors may.
#[tokio::test]
async fn a_form_that_passed_the_csrf_layer_has_the_limit_of_its_route() {
    for framework in Framework::ALL {
        let (address, _serving) = start(framework, LocalApp::new().sessions, Handler::Unset).await;
        let mut visitor = Browser::new(address);
        let token = visitor.get("/token").await.text();
        for (length, expected) in [(500, 200), (2000, 413)] {
            let form = Sent::form(&format!("_csrf={token}&a={}", "x".repeat(length)));
            let reply = visitor.send("/guarded", form).await;
            assert_eq!(reply.status, expected, "{framework:?}");
        }
    }
}

/// A new session's cookie, which a commit in mid-request has earned, is in the application's response.
#[tokio::test]
async fn a_replaced_response_carries_what_the_session_has_earned() {
    for framework in Framework::ALL {
        let (address, _serving) = start(framework, LocalApp::new().sessions, Handler::Set).await;
        let reply = Browser::new(address).get("/decode").await;
        assert_eq!((reply.status.as_u16(), reply.set_cookies().len()), (418, 1), "{framework:?}");
        assert_eq!(reply.headers["vary"], "Cookie");
    }
}

/// The response that carries the cookie of a commit before a panic.
#[tokio::test]
async fn a_response_in_place_of_a_panic_is_like_the_others() {
    for framework in Framework::ALL {
        let (address, _serving) = start(framework, LocalApp::new().sessions, Handler::Set).await;
        let reply = Browser::new(address).send("/panic", json_client()).await;
        assert_eq!((reply.status.as_u16(), reply.set_cookies().len()), (418, 1), "{framework:?}");
        assert_eq!(reply.text(), "500 panicked json");
        let (address, _serving) = start(framework, LocalApp::new().sessions, Handler::Unset).await;
        let reply = Browser::new(address).send("/panic", json_client()).await;
        assert_eq!((reply.status.as_u16(), reply.set_cookies().len()), (500, 1), "{framework:?}");
        assert_eq!(details(&reply)["status"], 500);
    }
}

#[tokio::test]
async fn a_missing_layer_is_json_for_clients_that_accept_it() {
    let axum = Router::new().route("/", get(never));
    let (axum, _task) = serve(axum).await;
    let (actix, _serving) = serve_actix(|app| {
        app.route("/", web::get().to(never));
    });
    for address in [axum, actix] {
        let reply = Browser::new(address).get("/").await;
        assert_eq!((reply.status.as_u16(), reply.body.len()), (500, 0));
        let reply = Browser::new(address).send("/", json_client()).await;
        assert_eq!((reply.status.as_u16(), &details(&reply)["status"]), (500, &json!(500)));
    }
}

/// The handler of the group of routes that has one, although the layer around it commits.
#[tokio::test]
async fn the_innermost_handler_makes_the_response() {
    for framework in Framework::ALL {
        let sessions = LocalApp::new().sessions;
        let (address, _serving) = match framework {
            Framework::Axum => {
                use cloakroom::axum::{CsrfLayer, SessionLayer};
                let layer = |name: &'static str| {
                    SessionLayer::new(sessions.clone()).on_failure(move |_| name)
                };
                let inner = Router::new().route("/inner", post(async || "passed"));
                let inner = inner.layer(CsrfLayer::default()).layer(layer("inner"));
                let outer = Router::new().route("/outer", post(async || "passed"));
                let app = inner.merge(outer.layer(CsrfLayer::default()));
                serve(app.layer(layer("outer"))).await
            }
            Framework::Actix => serve_actix(move |app| {
                use cloakroom::actix::{CsrfMiddleware, SessionMiddleware};
                let layer = |name: &'static str| {
                    let made = SessionMiddleware::new(sessions.clone());
                    made.on_failure(move |_| HttpResponse::Ok().body(name))
                };
                let route = || web::post().to(async || "passed");
                let inner = web::resource("/inner").route(route()).wrap(CsrfMiddleware::default());
                let outer = web::resource("/outer").route(route()).wrap(CsrfMiddleware::default());
                let routes = web::scope("").service(inner.wrap(layer("inner"))).service(outer);
                app.service(routes.wrap(layer("outer")));
            }),
        };
        for path in ["/inner", "/outer"] {
            let reply = Browser::new(address).send(path, Sent::form("a=b")).await;
            assert_eq!(reply.text(), path[1..], "{framework:?}");
        }
    }
}

#[tokio::test]
async fn a_failed_preload_is_json_for_clients_that_accept_it() {
    for framework in Framework::ALL {
        let app = LocalApp::faulty();
        let sessions = app.sessions.clone();
        let (address, _serving) = match framework {
            Framework::Axum => {
                use cloakroom::axum::SessionLayer;
                let router = Router::new().route("/", get(sign_in));
                serve(router.layer(SessionLayer::new(sessions).preload())).await
            }
            Framework::Actix => serve_actix(move |app| {
                use cloakroom::actix::SessionMiddleware;
                let route = web::get().to(sign_in);
                let layer = SessionMiddleware::new(sessions.clone()).preload();
                app.service(web::scope("").route("/", route).wrap(layer));
            }),
        };
        let mut visitor = Browser::new(address);
        visitor.get("/").await;
        app.store.on_load(Fault::Unavailable);
        let reply = visitor.get("/").await;
        assert_eq!((reply.status.as_u16(), reply.body.len()), (503, 0), "{framework:?}");
        let reply = visitor.send("/", json_client()).await;
        assert_eq!((reply.status.as_u16(), &details(&reply)["status"]), (503, &json!(503)));
    }
}

/// Where no session layer is around a route, middleware of the application finds the reason.
#[tokio::test]
async fn the_reason_is_in_the_extensions_of_the_response() {
    let axum = Router::new().route("/", get(never));
    let axum =
        axum.layer(axum::middleware::map_response(async |response: axum::response::Response| {
            response.extensions().get::<Problem>().map(said).unwrap_or_default()
        }));
    let (axum, _task) = serve(axum).await;
    let (actix, _serving) = serve_actix(|app| {
        let replace = async |request, next: Next<BoxBody>| {
            let response: ServiceResponse = next.call(request).await?;
            let reason = response.response().extensions().get::<Problem>().map(said);
            let made = HttpResponse::Ok().body(reason.unwrap_or_default());
            Ok::<_, actix_web::Error>(response.into_response(made))
        };
        let route = web::get().to(never);
        app.service(web::scope("").route("/", route).wrap(from_fn(replace)));
    });
    for address in [axum, actix] {
        assert_eq!(Browser::new(address).get("/").await.text(), "500 no_session_layer page");
    }
}

/// An error of the library that middleware of actix-web returns goes on as an error.
#[actix_web::test]
async fn an_error_that_middleware_returns_is_replaced_as_well() {
    use cloakroom::actix::SessionMiddleware;
    let guard = async |session: Session, _: ServiceRequest, _: Next<BoxBody>| {
        session.put("text", "no number")?;
        session.get::<u8>("text")?;
        Err::<ServiceResponse, actix_web::Error>(actix_web::error::ErrorNotFound("never"))
    };
    for (handler, expected) in [(Handler::Set, 418), (Handler::Unset, 500)] {
        let layer = SessionMiddleware::new(LocalApp::new().sessions);
        let layer = match handler {
            Handler::Unset => layer,
            Handler::Set => {
                layer.on_failure(|problem| HttpResponse::ImATeapot().body(said(problem)))
            }
        };
        let app = App::new().wrap(from_fn(guard)).wrap(layer);
        let app = test::init_service(app).await;
        let request = test::TestRequest::get().insert_header(("accept", "application/json"));
        let error = app.call(request.to_request()).await.unwrap_err();
        let response = error.error_response();
        assert_eq!(response.status(), expected);
        assert!(response.headers().contains_key("set-cookie"), "what it put is committed");
        let body = to_bytes(response.into_body()).await.unwrap();
        let text = std::str::from_utf8(&body).unwrap();
        match handler {
            Handler::Set => assert_eq!(text, "500 decode json"),
            Handler::Unset => assert!(text.contains("about:blank"), "{text}"),
        }
    }
}

/// A tower service with a body type that is not axum's.
#[tokio::test]
async fn a_service_with_another_body_gets_status_and_headers() {
    let inner = tower::service_fn(async |_: http::Request<()>| {
        let problem = Problem::from(AdapterError::from(CsrfRejection::BadToken));
        let response = http::Response::builder().extension(problem).header("content-length", "5");
        Ok::<_, Infallible>(response.body(Full::new(Bytes::from("inner"))).unwrap())
    });
    let layer = cloakroom::axum::SessionLayer::new(LocalApp::new().sessions);
    let layer =
        layer.on_failure(|problem| (StatusCode::IM_A_TEAPOT, [("x-own", "yes")], said(problem)));
    let response = layer.layer(inner).oneshot(http::Request::new(())).await.unwrap();
    assert_eq!((response.status(), response.headers().len()), (StatusCode::IM_A_TEAPOT, 1));
    assert_eq!(response.headers()["x-own"], "yes");
    assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
}
