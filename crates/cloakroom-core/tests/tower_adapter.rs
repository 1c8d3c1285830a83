//! The adapter that the documentation shows.
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

mod log;
#[path = "../examples/tower_adapter.rs"]
#[expect(dead_code, unreachable_pub, reason = "its `main` is for the example")]
mod tower_adapter;

use std::{convert::Infallible, panic::AssertUnwindSafe};

use cloakroom_core::{
    AppKeys, Error, MemoryStore, Session, Sessions, adapter::AdapterError, cookie::CookieSettings,
};
use futures_util::FutureExt;
use http::{Request, Response, header};
use log::Log;
use tower::{Service, service_fn};
use tower_adapter::{SessionMiddleware, respond, session};

/// Runs what the path names.
async fn handle(request: Request<()>) -> Result<Response<String>, Infallible> {
    let session = match session(&request).await {
        Ok(session) => session,
        Err(problem) => return Ok(respond(problem)),
    };
    let done = run(request.uri().path(), &session).await;
    Ok(match done {
        Ok(body) => Response::new(body),
        Err(error) => respond(AdapterError::from(error).into()),
    })
}

async fn run(path: &str, session: &Session) -> Result<String, Error> {
    match path {
        "/put" => session.put("user", "virk")?,
        "/decode" => return session.get_or("user", 0).map(|number| number.to_string()),
        "/large" => session.put("large", "x".repeat(2000))?,
        "/panic" => {
            session.put("user", "changed")?;
            panic!("in the handler");
        }
        "/paid" => {
            session.put("paid", true)?;
            session.commit().await?;
            panic!("after the commit");
        }
        _ => (),
    }
    session.get_or("user", "nobody".to_owned())
}

fn sessions() -> Sessions {
    let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random());
    sessions.cookie_settings(CookieSettings::development()).max_bytes(1000).build().unwrap()
}

async fn send(sessions: &Sessions, path: &str, cookie: &str) -> Response<String> {
    let inner = SessionMiddleware { sessions: sessions.clone(), inner: service_fn(handle) };
    let mut service = SessionMiddleware { sessions: sessions.clone(), inner };
    let request = Request::get(path).header(header::COOKIE, cookie).body(()).unwrap();
    service.call(request).await.unwrap()
}

fn cookie(response: &Response<String>) -> String {
    let lines = response.headers().get_all(header::SET_COOKIE);
    let line = lines.iter().next().unwrap().to_str().unwrap();
    assert_eq!(lines.iter().count(), 1, "two layers set one cookie");
    line.split(';').next().unwrap().to_owned()
}

fn captured() -> (Log, tracing::subscriber::DefaultGuard) {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::ERROR);
    let subscriber = subscriber.with_ansi(false).with_writer(move || writer.clone()).finish();
    (log, tracing::subscriber::set_default(subscriber))
}

#[tokio::test]
async fn a_value_of_one_request_is_there_in_the_next() {
    let sessions = sessions();
    let response = send(&sessions, "/put", "").await;
    assert_eq!(response.headers()[header::VARY], "Cookie");
    assert_eq!(send(&sessions, "/", &cookie(&response)).await.body(), "virk");
    assert_eq!(send(&sessions, "/", "").await.body(), "nobody");
}

#[tokio::test]
async fn a_failure_is_a_response_and_one_line_in_the_log() {
    let sessions = sessions();
    let cookie = cookie(&send(&sessions, "/put", "").await);
    for path in ["/decode", "/large"] {
        let (log, _guard) = captured();
        let response = send(&sessions, path, &cookie).await;
        assert_eq!((response.status().as_u16(), response.body().as_str()), (500, ""));
        drop(response);
        let text = log.text();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains(&format!(r#"method="GET" path="{path}""#)), "{text}");
    }
    assert_eq!(send(&sessions, "/", &cookie).await.body(), "virk");
}

#[tokio::test]
async fn a_panic_changes_nothing_and_an_earned_cookie_is_sent() {
    let sessions = sessions();
    let cookie_before = cookie(&send(&sessions, "/put", "").await);
    let panicked = AssertUnwindSafe(send(&sessions, "/panic", &cookie_before)).catch_unwind();
    assert!(panicked.await.is_err());
    assert_eq!(send(&sessions, "/", &cookie_before).await.body(), "virk");
    let response = send(&sessions, "/paid", "").await;
    assert_eq!(response.status(), 500);
    assert_eq!(send(&sessions, "/", &cookie(&response)).await.body(), "nobody");
}
