//! Server-sent events: the session is committed before the first byte, and the stream reads it on.
//!
//! Changes of the handler are stored and the cookie is sent before the stream begins. Later changes
//! would be errors, so the stream takes a [`ReadSession`] and refreshes it.

use std::{convert::Infallible, time::Duration};

use axum::{
    Router,
    response::{
        IntoResponse,
        sse::{Event, Sse},
    },
    routing::get,
};
use cloakroom::{Error, ReadSession, Session, Sessions, axum::SessionLayer};
use futures_util::{Stream, stream};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    cloakroom_examples::serve(app(&cloakroom_examples::sessions())).await
}

fn app(sessions: &Sessions) -> Router {
    Router::new()
        .route("/", get(events))
        .route("/step", get(step))
        .layer(SessionLayer::new(sessions.clone()))
}

async fn events(session: Session, reader: ReadSession) -> Result<impl IntoResponse, Error> {
    session.increment("listeners")?;
    Ok(Sse::new(progress(reader)))
}

/// One event every 20 ms until the session ends or its job is done.
fn progress(session: ReadSession) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold((session, true), |(session, goes_on)| async move {
        goes_on.then_some(())?;
        let lives = session.refresh().await.unwrap_or(true);
        let done: i64 = session.get_or("done", 0).unwrap_or_default();
        if lives && done < 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let event = Event::default().data(if lives { done.to_string() } else { "over".to_owned() });
        Some((Ok(event), (session, lives && done < 3)))
    })
}

async fn step(session: Session) -> Result<String, Error> {
    Ok(session.increment("done")?.to_string())
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, HttpBody};
    use cloakroom::axum::testing::client;
    use tower::ServiceExt;

    use super::*;
    use cloakroom_examples::sessions;

    #[tokio::test]
    async fn the_session_is_committed_before_the_stream_begins() {
        let sessions = sessions();
        let mut visitor =
            client(app(&sessions), &sessions).with_session(serde_json::json!({ "done": 3 }));
        let response = visitor.get("/").send().await;
        response.assert_session("listeners", 1);
        assert_eq!(response.header("content-type"), Some("text/event-stream"));
        assert_eq!(response.text(), "data: 3\n\n", "it ends once the job is done");
    }

    #[tokio::test]
    async fn a_logout_ends_the_stream() {
        use axum::http::Request;
        let sessions = sessions();
        let mut visitor = client(app(&sessions), &sessions);
        let first = visitor.get("/step").send().await;
        let cookie = first.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let request = Request::get("/").header("cookie", &cookie).body(Body::empty()).unwrap();
        let response = app(&sessions).oneshot(request).await.unwrap();
        let mut body = Box::pin(response.into_body());
        let mut next = async || {
            let frame = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await;
            frame.map(|frame| {
                String::from_utf8(frame.unwrap().into_data().unwrap().to_vec()).unwrap()
            })
        };
        assert_eq!(next().await.as_deref(), Some("data: 1\n\n"));
        let visit = cloakroom::adapter::RequestContext::new(&sessions);
        let session = visit.session([("cookie", cookie.as_str())].as_slice()).await.unwrap();
        session.destroy().unwrap();
        let _ = visit.finish(200).await.unwrap();
        assert_eq!(next().await.as_deref(), Some("data: over\n\n"));
        assert_eq!(next().await, None);
    }
}
