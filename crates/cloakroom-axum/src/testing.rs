//! A client that tests an application in process.

use std::{future::poll_fn, sync::Mutex};

use axum_core::{body::Body, extract::Request, response::Response};
pub use cloakroom_core::testing::{FakeClock, TestClient, TestRequest, TestResponse};
use cloakroom_core::{
    Sessions,
    testing::{Application, RawRequest, RawResponse},
};
use http_body_util::BodyExt;
use tower_service::Service;

/// Makes a client of a router or any other tower service. `sessions` are those of its session layer.
///
/// ```
/// # mod cloakroom { pub use cloakroom_core::*; pub mod axum { pub use cloakroom_axum::*; } }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use axum::{Router, routing::post};
/// use cloakroom::{axum::{testing::client, SessionLayer}, AppKeys, Error, Input, MemoryStore, Session, Sessions};
///
/// #[derive(serde::Deserialize)]
/// struct Order { quantity: u8 }
///
/// async fn order(session: Session, input: Input<Order>) -> Result<&'static str, Error> {
///     session.increment_by("items", i64::from(input.valid()?.quantity))?;
///     Ok("ordered")
/// }
///
/// let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
/// let app = Router::new().route("/order", post(order)).layer(SessionLayer::new(sessions.clone()));
///
/// let mut client = client(app, &sessions).with_session(serde_json::json!({ "items": 2 }));
/// client.post("/order").form(&[("quantity", "3")]).send().await.assert_session("items", 5);
/// let refused = client.post("/order").form(&[("quantity", "many")]).send().await;
/// refused
///     .assert_redirect("/")
///     .assert_error_for("quantity", "must be a whole number from 0 to 255")
///     .assert_old("quantity", "many")
///     .assert_session("items", 5);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub fn client<S>(app: S, sessions: &Sessions) -> TestClient<InProcess<S>>
where
    S: Service<Request, Response = Response> + Clone,
{
    TestClient::new(InProcess(Mutex::new(app)), sessions)
}

/// A service that is called in process.
#[derive(Debug)]
pub struct InProcess<S>(Mutex<S>);

impl<S> Application for InProcess<S>
where
    S: Service<Request, Response = Response> + Clone,
{
    async fn call(&self, raw: RawRequest) -> RawResponse {
        let mut app = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let response = match poll_fn(|cx| app.poll_ready(cx)).await {
            Ok(()) => app.call(request(raw)).await.ok(),
            Err(_) => None,
        };
        match response {
            Some(response) => raw_response(response).await,
            None => panic!("the service failed without a response"),
        }
    }
}

fn request(raw: RawRequest) -> Request {
    let mut request = http::Request::builder().method(raw.method.as_str()).uri(raw.uri);
    for (name, value) in raw.headers {
        request = request.header(name, value);
    }
    let request = request.body(Body::from(raw.body));
    request.unwrap_or_else(|error| panic!("the request is invalid: {error}"))
}

async fn raw_response(response: Response) -> RawResponse {
    let (parts, body) = response.into_parts();
    let body = body.collect().await;
    let body = body.unwrap_or_else(|error| panic!("the body broke off: {error}"));
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = parts.headers.iter().map(|(name, value)| (name.to_string(), text(value)));
    let headers = headers.collect();
    RawResponse { status: parts.status.as_u16(), headers, body: body.to_bytes().to_vec() }
}
