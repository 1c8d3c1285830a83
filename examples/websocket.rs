//! WebSockets: the session says who is there, and the socket closes when it ends.

use std::time::Duration;

use axum::{
    Router,
    extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code},
    response::{IntoResponse, Response},
    routing::get,
};
use cloakroom::{Error, ReadSession, Session, Sessions, axum::SessionLayer};

/// A logout anywhere is noticed within this time.
const LOOKS_EVERY: Duration = Duration::from_millis(50);

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
    use cloakroom_tests::{browser::Browser, server::serve};
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::{
        connect_async,
        tungstenite::{Message, client::IntoClientRequest},
    };

    use super::*;
    use cloakroom_examples::sessions;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_socket_knows_its_visitor_and_closes_at_the_logout() {
        let (address, _serving) = serve(app(&sessions())).await;
        let mut visitor = Browser::new(address);
        assert_eq!(visitor.get("/sign-in").await.status, 200);
        let mut request = format!("ws://{address}/chat").into_client_request().unwrap();
        let cookie = visitor.jar.header().unwrap().parse().unwrap();
        request.headers_mut().insert("cookie", cookie);
        let (mut socket, _) = connect_async(request).await.unwrap();
        socket.send(Message::text("hello")).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("virk: hello"));
        visitor.get("/sign-out").await;
        let Message::Close(Some(frame)) = socket.next().await.unwrap().unwrap() else {
            panic!("a close was expected");
        };
        assert_eq!(frame.reason.as_str(), "signed out");
    }

    #[tokio::test]
    async fn a_guest_gets_no_socket() {
        let (address, _serving) = serve(app(&sessions())).await;
        let refused = connect_async(format!("ws://{address}/chat")).await;
        assert!(refused.unwrap_err().to_string().contains("401"));
    }
}
