//! Errors on the page, in development.

use std::net::SocketAddr;

use actix_web::{HttpResponse, web};
use axum::{Router, routing::get};
use cloakroom::{Error, Session, Sessions};
use cloakroom_tests::{
    browser::{Browser, Sent},
    local::LocalApp,
    server::{Framework, Serving, serve, serve_actix},
    store::{Fault, Faults, FaultyStore},
};
use serde_json::{Value, json};

/// The maker of the responses to failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replies {
    Library,
    Application,
}

async fn decode(session: Session) -> Result<String, Error> {
    session.put("text", "no number")?;
    Ok(session.get_or("text", 0)?.to_string())
}

async fn put(session: Session) -> Result<&'static str, Error> {
    session.increment("visits")?;
    Ok("put")
}

async fn start(
    framework: Framework,
    sessions: Sessions,
    replies: Replies,
) -> (SocketAddr, Serving) {
    match framework {
        Framework::Axum => {
            use cloakroom::axum::SessionLayer;
            let app = Router::new().route("/decode", get(decode)).route("/put", get(put));
            let layer = SessionLayer::new(sessions);
            let layer = match replies {
                Replies::Library => layer,
                Replies::Application => layer.on_failure(|_| "own"),
            };
            serve(app.layer(layer)).await
        }
        Framework::Actix => serve_actix(move |app| {
            use cloakroom::actix::SessionMiddleware;
            let routes = web::scope("")
                .route("/decode", web::get().to(decode))
                .route("/put", web::get().to(put));
            let layer = SessionMiddleware::new(sessions.clone());
            let layer = match replies {
                Replies::Library => layer,
                Replies::Application => layer.on_failure(|_| HttpResponse::Ok().body("own")),
            };
            app.service(routes.wrap(layer));
        }),
    }
}

/// The path, the fault of the store, the status, and the sentence in the log.
type Failure = (&'static str, fn(&FaultyStore), u16, &'static str);

fn failures() -> [Failure; 3] {
    [
        ("/decode", |_| (), 500, "the session value `text` is not of the type i32"),
        (
            "/put",
            |store| store.on_commit(Fault::Failed),
            500,
            "the session could not be committed; the response is dropped: the session store \
             failed to commit the session: could not write the record: disk full",
        ),
        (
            "/put",
            |store| store.on_load(Fault::Unavailable),
            503,
            "the session could not be loaded: the session store failed to load the \
             session: could not reach the secret-host:6379: connection refused",
        ),
    ]
}

#[tokio::test]
async fn errors_are_on_the_page_if_they_are_shown() {
    for framework in Framework::ALL {
        for (path, breaks, status, sentence) in failures() {
            let app = LocalApp::with(Faults::default(), |builder| builder.show_errors(true));
            let (address, _serving) = start(framework, app.sessions, Replies::Library).await;
            let mut visitor = Browser::new(address);
            visitor.get("/put").await;
            breaks(&app.store);
            let page = visitor.get(path).await;
            assert_eq!((page.status.as_u16(), page.text().as_str()), (status, sentence));
            assert_eq!(page.headers["content-type"], "text/plain; charset=utf-8");
            let json = Sent::with("accept", "application/json");
            let reply = visitor.send(path, json).await;
            assert_eq!(reply.headers["content-type"], "application/problem+json");
            let details: Value = serde_json::from_slice(&reply.body).unwrap();
            assert_eq!(
                (&details["status"], &details["detail"]),
                (&json!(status), &json!(sentence))
            );
        }
    }
}

#[tokio::test]
async fn errors_are_for_the_log_alone_unless_they_are_shown() {
    for framework in Framework::ALL {
        for (path, breaks, status, _) in failures() {
            let app = LocalApp::with(Faults::default(), |builder| builder.show_errors(false));
            let (address, _serving) = start(framework, app.sessions, Replies::Library).await;
            let mut visitor = Browser::new(address);
            visitor.get("/put").await;
            breaks(&app.store);
            let page = visitor.get(path).await;
            assert_eq!(
                (page.status.as_u16(), page.body.len()),
                (status, 0),
                "{framework:?} {path}"
            );
        }
    }
}

#[tokio::test]
async fn shown_errors_change_nothing_for_a_handler_for_failures() {
    for framework in Framework::ALL {
        for (path, breaks, _, _) in failures() {
            let app = LocalApp::with(Faults::default(), |builder| builder.show_errors(true));
            let (address, _serving) = start(framework, app.sessions, Replies::Application).await;
            let mut visitor = Browser::new(address);
            visitor.get("/put").await;
            breaks(&app.store);
            assert_eq!(visitor.get(path).await.text(), "own", "{framework:?} {path}");
        }
    }
}
