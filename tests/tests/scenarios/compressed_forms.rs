//! `Input` and bodies with a `Content-Encoding`: they are refused, and nothing is decompressed.

use cloakroom::adapter::RequestContext;
use std::{convert::Infallible, env, process::Command};

use actix_web::{App, dev::Service, test, web};
use axum::{Router, body::Body, routing::post};
use bytes::Bytes;
use cloakroom::{AppKeys, MemoryStore, Sessions, cookie::CookieSettings};
use futures_util::stream;
use http_body_util::BodyExt;
use serde::de::IgnoredAny;
use tower::ServiceExt;

/// 211 bytes of brotli, made of 256 MiB of the letter `a`.
pub(crate) const BOMB: &[u8] = include_bytes!("bomb.br");

/// The layers between the visitor and the handler.
#[derive(Clone, Copy, Debug)]
enum Route {
    /// The session layer alone.
    Plain,
    /// The CSRF layer as well, with the token in the header.
    WithToken,
    /// A layer for bearer tokens, and the CSRF layer.
    Bearer,
}

impl Route {
    const ALL: [Self; 3] = [Self::Plain, Self::WithToken, Self::Bearer];

    /// The sessions of the route, and the headers of one of its visitors.
    async fn visitor(self) -> (Sessions, Vec<(&'static str, String)>) {
        let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random());
        let sessions = sessions.cookie_settings(CookieSettings::development());
        let sessions = sessions.build().unwrap();
        if matches!(self, Self::Bearer) {
            return (sessions.bearer().unwrap(), Vec::new());
        }
        let visit = RequestContext::new(&sessions);
        let no_headers: &[(&str, &str)] = &[];
        let token = visit.session(no_headers).await.unwrap().csrf_token();
        let line = visit.finish(200).await.unwrap().set_cookie.remove(0);
        let cookie = line.split(';').next().unwrap().to_owned();
        (sessions, vec![("cookie", cookie), ("x-csrf-token", token)])
    }
}

async fn post_to_axum(route: Route, coding: &str, body: &'static [u8]) -> (u16, String) {
    use cloakroom::{
        Input,
        axum::{CsrfLayer, SessionLayer},
    };
    let (sessions, headers) = route.visitor().await;
    let app = Router::new().route("/", post(async |_: Input<IgnoredAny>| "passed"));
    let app = match route {
        Route::Plain => app,
        Route::WithToken | Route::Bearer => app.layer(CsrfLayer::default()),
    };
    let mut request = http::Request::post("/").header("host", "localhost");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let body = Body::from_stream(stream::iter([Ok::<_, Infallible>(Bytes::from_static(body))]));
    let request = request.header("content-encoding", coding).body(body).unwrap();
    let response = app.layer(SessionLayer::new(sessions)).oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let text = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(text.to_vec()).unwrap())
}

/// The same with actix-web, whose own extractors decompress.
async fn post_to_actix(route: Route, coding: &str, body: &'static [u8]) -> (u16, String) {
    use actix_web::middleware::Condition;
    use cloakroom::{
        Input,
        actix::{CsrfMiddleware, SessionMiddleware},
    };
    let (sessions, headers) = route.visitor().await;
    let app = App::new().route("/", web::post().to(async |_: Input<IgnoredAny>| "passed"));
    let has_csrf = !matches!(route, Route::Plain);
    let app = app.wrap(Condition::new(has_csrf, CsrfMiddleware::default()));
    let app = test::init_service(app.wrap(SessionMiddleware::new(sessions))).await;
    let mut request = test::TestRequest::post().insert_header(("host", "localhost"));
    for header in headers {
        request = request.append_header(header);
    }
    let request = request.insert_header(("content-encoding", coding));
    let request = request.insert_header(("content-type", "application/x-www-form-urlencoded"));
    let response = app.call(request.set_payload(body).to_request()).await.unwrap();
    let status = response.status().as_u16();
    let text = test::read_body(response).await;
    (status, String::from_utf8(text.to_vec()).unwrap())
}

#[actix_web::test]
async fn a_body_with_a_content_encoding_is_unsupported() {
    for route in Route::ALL {
        for (coding, status) in [("br", 415), ("gzip", 415), ("x\"y", 415), ("Identity", 200)] {
            let replies = [
                post_to_axum(route, coding, b"a=b").await,
                post_to_actix(route, coding, b"a=b").await,
            ];
            for (replied, text) in replies {
                assert_eq!(replied, status, "{route:?} {coding}: {text}");
                assert_eq!(text.contains("content encoding"), status == 415, "{text}");
            }
        }
    }
}

/// In a separate process, because the peak of memory is that of a process.
#[actix_web::test]
#[cfg(target_os = "linux")]
async fn a_bomb_takes_no_memory() {
    const IN_CHILD: &str = "CLOAKROOM_TEST_BOMB";
    if env::var_os(IN_CHILD).is_none() {
        let mut child = Command::new(env::current_exe().unwrap());
        child.args(["compressed_forms::a_bomb_takes_no_memory", "--exact"]);
        let output = child.env(IN_CHILD, "1").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    for route in Route::ALL {
        // The code that a request runs takes memory when it is first used.
        post_to_axum(route, "br", b"small").await;
        post_to_actix(route, "br", b"small").await;
        let before = peak_kib();
        let [axum, actix] =
            [post_to_axum(route, "br", BOMB).await.0, post_to_actix(route, "br", BOMB).await.0];
        let taken = peak_kib() - before;
        assert!(taken < 16 * 1024, "{route:?}: a peak of {before} KiB grew by {taken} KiB");
        assert_eq!([axum, actix], [415; 2], "{route:?}");
    }
}

/// The most memory that this process has had.
#[cfg(target_os = "linux")]
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
