//! WebSocket handshakes over HTTP/2: `CONNECT` with `:protocol` (RFC 8441), which axum offers and
//! actix-web does not.

use cloakroom::adapter::RequestContext;
use std::{net::SocketAddr, time::Duration};

use axum::{Router, routing::any};
use bytes::Bytes;
use cloakroom::{
    AppKeys, MemoryStore, Session, Sessions,
    axum::{CsrfLayer, SessionLayer},
    cookie::CookieSettings,
};
use cloakroom_tests::server::serve;
use http::{HeaderName, Method, Request, StatusCode};
use http_body_util::Empty;
use hyper::{client::conn::http2, ext::Protocol};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, time::timeout};

/// A connection to a server that has said that it takes such handshakes.
async fn connect(address: SocketAddr) -> http2::SendRequest<Empty<Bytes>> {
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let builder = http2::Builder::new(TokioExecutor::new());
    let (mut client, connection) = builder.handshake(stream).await.unwrap();
    let mut connection = Box::pin(connection);
    let offered = async {
        while !connection.is_extended_connect_protocol_enabled() {
            let turn = std::future::poll_fn(|context| {
                drop(connection.as_mut().poll(context));
                std::task::Poll::Ready(())
            });
            turn.await;
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(5), offered).await.expect("the server offers RFC 8441");
    tokio::spawn(connection);
    client.ready().await.unwrap();
    client
}

#[tokio::test]
async fn a_websocket_handshake_over_http2_is_judged_by_its_origin() {
    let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random());
    let sessions = sessions.cookie_settings(CookieSettings::development()).build().unwrap();
    let visit = RequestContext::new(&sessions);
    let no_headers: &[(&str, &str)] = &[];
    visit.session(no_headers).await.unwrap().put("user", "virk").unwrap();
    let line = visit.finish(200).await.unwrap().set_cookie.remove(0);
    let cookie = line.split(';').next().unwrap();
    let open = async |protocol: Option<axum::Extension<Protocol>>, session: Session| {
        let user = session.get::<String>("user").unwrap();
        let is_websocket = protocol.is_some_and(|protocol| protocol.as_str() == "websocket");
        if is_websocket && user.as_deref() == Some("virk") {
            StatusCode::OK
        } else {
            StatusCode::BAD_REQUEST
        }
    };
    let app = Router::new().route("/socket", any(open)).layer(CsrfLayer::default());
    let (address, _serving) = serve(app.layer(SessionLayer::new(sessions))).await;
    let mut client = connect(address).await;
    let own = format!("http://{address}");
    for (name, value, expected) in [
        ("origin", own.as_str(), 200),
        ("sec-fetch-site", "same-origin", 200),
        ("x-any", "a client that is no browser", 200),
        ("origin", "https://evil.example", 403),
        ("origin", "null", 403),
        ("sec-fetch-site", "cross-site", 403),
        ("sec-fetch-site", "same-site", 403),
    ] {
        let request = Request::builder()
            .method(Method::CONNECT)
            .extension(Protocol::from_static("websocket"))
            .uri(format!("{own}/socket"))
            .header("cookie", cookie)
            .header("sec-websocket-version", "13")
            .header(HeaderName::from_static(name), value);
        let request = request.body(Empty::new()).unwrap();
        let response = timeout(Duration::from_secs(5), client.send_request(request)).await;
        assert_eq!(response.unwrap().unwrap().status(), expected, "{name}: {value}");
    }
}
