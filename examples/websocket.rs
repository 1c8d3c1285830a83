//! WebSockets: the session says who is there, and the socket closes when it ends.

use std::time::Duration;

use axum::{
    Router,
    extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code},
    response::{IntoResponse, Response},
    routing::get,
};
use cloakroom::{Error, ReadSession, Session, Sessions, axum::SessionLayer};

/// A logout is pushed: in the same process on every server-side driver, and between processes on Redis.
/// Elsewhere the socket looks at this interval.
const LOOKS_EVERY: Duration = Duration::from_mins(1);

#[tokio::main]
async fn main() -> std::io::Result<()> {
    cloakroom_examples::serve(app(&cloakroom_examples::sessions())).await
}

fn app(sessions: &Sessions) -> Router {
    Router::new()
        .route("/sign-in", get(sign_in))
        .route("/sign-out", get(async |session: Session| session.destroy()))
        .route("/chat", get(chat))
        .layer(SessionLayer::new(sessions.clone()))
}

async fn sign_in(session: Session) -> Result<&'static str, Error> {
    session.regenerate()?;
    session.put("user", "virk")?;
    Ok("signed in")
}

async fn chat(session: ReadSession, upgrade: WebSocketUpgrade) -> Result<Response, Error> {
    let Some(user) = session.get::<String>("user")? else {
        return Ok(axum::http::StatusCode::UNAUTHORIZED.into_response());
    };
    Ok(upgrade.on_upgrade(async move |socket| talk(socket, session, user).await))
}

async fn talk(mut socket: WebSocket, session: ReadSession, user: String) {
    let ended = session.ended(LOOKS_EVERY);
    tokio::pin!(ended);
    loop {
        tokio::select! {
            () = &mut ended => {
                let reason = CloseFrame { code: close_code::POLICY, reason: "signed out".into() };
                drop(socket.send(Message::Close(Some(reason))).await);
                return;
            }
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => {
                    if socket.send(format!("{user}: {text}").into()).await.is_err() {
                        return;
                    }
                }
                Some(Ok(_)) => (),
                Some(Err(_)) | None => return,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, time::Instant};

    use cloakroom::{AppKeys, RedisStore, cookie::CookieSettings};
    use cloakroom_tests::{browser::Browser, redis::RedisServer, server::serve};
    use futures_util::{SinkExt, StreamExt};
    use tokio::{net::TcpStream, time::timeout};
    use tokio_tungstenite::{
        MaybeTlsStream, WebSocketStream, connect_async,
        tungstenite::{Message, client::IntoClientRequest},
    };

    use super::*;
    use cloakroom_examples::sessions;

    /// Signs a visitor in and opens a socket.
    async fn sign_in(address: SocketAddr) -> (Browser, WebSocketStream<MaybeTlsStream<TcpStream>>) {
        let mut visitor = Browser::new(address);
        assert_eq!(visitor.get("/sign-in").await.status, 200);
        let mut request = format!("ws://{address}/chat").into_client_request().unwrap();
        let cookie = visitor.jar.header().unwrap().parse().unwrap();
        request.headers_mut().insert("cookie", cookie);
        let (mut socket, _) = connect_async(request).await.unwrap();
        socket.send(Message::text("hello")).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("virk: hello"));
        (visitor, socket)
    }

    /// Opens a socket at the address `of_socket`, signs its visitor out at the other, and asserts that the
    /// socket closes at once. One of several attempts has to be as fast, because the machine may be busy.
    async fn closes_at_a_sign_out(of_socket: SocketAddr, of_sign_out: SocketAddr) {
        let mut took = Vec::new();
        for _ in 0..5 {
            let (visitor, mut socket) = sign_in(of_socket).await;
            let mut elsewhere = Browser::new(of_sign_out);
            elsewhere.jar = visitor.jar;
            // Until the socket's task waits, and its connection to Redis is open.
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert_eq!(elsewhere.get("/sign-out").await.status, 200);
            let signed_out = Instant::now();
            let message = timeout(Duration::from_secs(10), socket.next()).await;
            let Message::Close(Some(frame)) = message.expect("closed").unwrap().unwrap() else {
                panic!("a close was expected");
            };
            assert_eq!(frame.reason.as_str(), "signed out");
            took.push(signed_out.elapsed());
            if signed_out.elapsed() < Duration::from_millis(100) {
                return;
            }
        }
        panic!("{took:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_socket_knows_its_visitor_and_closes_at_the_logout() {
        let (address, _serving) = serve(app(&sessions())).await;
        closes_at_a_sign_out(address, address).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_socket_closes_at_a_logout_in_another_process() {
        let server = RedisServer::start();
        let keys = AppKeys::random();
        let process = || {
            let store = RedisStore::open(&server.url()).unwrap();
            let sessions = Sessions::builder(store, keys.clone());
            app(&sessions.cookie_settings(CookieSettings::development()).build().unwrap())
        };
        let (one, _serving_one) = serve(process()).await;
        let (other, _serving_other) = serve(process()).await;
        closes_at_a_sign_out(one, other).await;
    }

    #[tokio::test]
    async fn a_guest_gets_no_socket() {
        let (address, _serving) = serve(app(&sessions())).await;
        let refused = connect_async(format!("ws://{address}/chat")).await;
        assert!(refused.unwrap_err().to_string().contains("401"));
    }
}
