//! A session layer inside another for the same cookie.

use actix_web::{App, test, web};
use axum::{Router, body::Body, routing::get};
use cloakroom::{actix::SessionMiddleware, axum::SessionLayer};
use cloakroom_tests::{local::LocalApp, log::Log};
use tower::ServiceExt;

async fn send_to_axum(outer: SessionLayer, inner: SessionLayer) {
    let app = Router::new().route("/", get(async |_: cloakroom::Session| "passed"));
    let app = app.layer(inner).layer(outer);
    for _ in 0..2 {
        let request = http::Request::get("/").body(Body::empty()).unwrap();
        assert_eq!(app.clone().oneshot(request).await.unwrap().status(), 200);
    }
}

/// Makes the application twice, as each worker of a server does.
async fn send_to_actix(outer: SessionMiddleware, inner: SessionMiddleware) {
    for _ in 0..2 {
        let route = web::get().to(async |_: cloakroom::Session| "passed");
        let inner = web::scope("").route("/", route).wrap(inner.clone());
        let app = test::init_service(App::new().service(inner).wrap(outer.clone())).await;
        for _ in 0..2 {
            let request = test::TestRequest::get().to_request();
            assert_eq!(test::call_service(&app, request).await.status(), 200);
        }
    }
}

fn assert_warned_once(log: &Log, outer_line: u32) {
    let warnings = log.lines("WARN");
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    for expected in [
        &format!("made at {}:{} is ignored", file!(), outer_line + 1),
        &format!("inside the one made at {}:{outer_line}", file!()),
        "the cookie `session`",
        "make both of clones of one `Sessions`",
    ] {
        assert!(warnings[0].contains(expected), "no {expected:?} in {}", warnings[0]);
    }
}

#[actix_web::test]
async fn an_inner_layer_with_other_settings_is_warned_of_once() {
    let (log, _guard) = Log::of_this_thread();
    let outer = SessionLayer::new(LocalApp::new().sessions);
    let inner = SessionLayer::new(LocalApp::new().sessions);
    send_to_axum(outer, inner).await;
    assert_warned_once(&log, line!() - 3);

    let (log, _guard) = Log::of_this_thread();
    let outer = SessionMiddleware::new(LocalApp::new().sessions);
    let inner = SessionMiddleware::new(LocalApp::new().sessions);
    send_to_actix(outer, inner).await;
    assert_warned_once(&log, line!() - 3);
}

#[actix_web::test]
async fn an_inner_layer_with_the_same_settings_needs_no_warning() {
    let (log, _guard) = Log::of_this_thread();
    let sessions = LocalApp::new().sessions;
    let outer = SessionLayer::new(sessions.clone());
    send_to_axum(outer, SessionLayer::new(sessions.clone())).await;
    let outer = SessionMiddleware::new(sessions.clone());
    send_to_actix(outer, SessionMiddleware::new(sessions)).await;
    assert_eq!(log.lines("WARN"), Vec::<String>::new());
}

#[actix_web::test]
async fn each_inner_layer_is_warned_of_by_itself() {
    let (log, _guard) = Log::of_this_thread();
    let sessions = LocalApp::new().sessions;
    let outer = || SessionLayer::new(sessions.clone());
    send_to_axum(outer(), SessionLayer::new(LocalApp::new().sessions)).await;
    send_to_axum(outer(), SessionLayer::new(LocalApp::new().sessions)).await;
    assert_eq!(log.lines("WARN").len(), 2);
}
