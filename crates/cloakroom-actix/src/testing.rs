//! A client that tests an application in process.

use actix_http::Request;
use actix_web::{
    Error,
    body::{MessageBody, to_bytes},
    dev::{Service, ServiceResponse},
    http::{Method, header::HeaderValue},
    test,
};
pub use cloakroom_core::testing::{FakeClock, TestClient, TestRequest, TestResponse};
use cloakroom_core::{
    Sessions,
    testing::{Application, RawRequest, RawResponse},
};

/// Makes a client of an application that [`init_service`](actix_web::test::init_service) has made.
/// `sessions` are those of its session middleware.
///
/// ```
/// # mod cloakroom { pub use cloakroom_core::*; pub mod actix { pub use cloakroom_actix::*; } }
/// # actix_web::rt::System::new().block_on(async {
/// use actix_web::{App, test::init_service, web};
/// use cloakroom::{actix::{testing::client, SessionMiddleware}, AppKeys, Error, Input, MemoryStore, Session, Sessions};
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
/// let app = App::new()
///     .route("/order", web::post().to(order))
///     .wrap(SessionMiddleware::new(sessions.clone()));
///
/// let mut client = client(init_service(app).await, &sessions)
///     .with_session(serde_json::json!({ "items": 2 }));
/// client.post("/order").form(&[("quantity", "3")]).send().await.assert_session("items", 5);
/// let refused = client.post("/order").form(&[("quantity", "many")]).send().await;
/// refused
///     .assert_redirect("/")
///     .assert_error_for("quantity", "must be a whole number from 0 to 255")
///     .assert_old("quantity", "many")
///     .assert_session("items", 5);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub fn client<S, B>(app: S, sessions: &Sessions) -> TestClient<InProcess<S>>
where
    S: Service<Request, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody + 'static,
{
    TestClient::new(InProcess(app), sessions)
}

/// A service that is called in process.
#[derive(Debug)]
pub struct InProcess<S>(S);

impl<S, B> Application for InProcess<S>
where
    S: Service<Request, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody + 'static,
{
    async fn call(&self, raw: RawRequest) -> RawResponse {
        match self.0.call(request(raw)).await {
            Ok(response) => raw_response(response.map_into_boxed_body().into_parts().1).await,
            // The server makes the response in the same way if middleware returns an error.
            Err(error) => raw_response(error.error_response()).await,
        }
    }
}

fn request(raw: RawRequest) -> Request {
    let method = Method::from_bytes(raw.method.as_bytes());
    let method = method.unwrap_or_else(|error| panic!("the method is invalid: {error}"));
    let mut request = test::TestRequest::with_uri(&raw.uri).method(method).set_payload(raw.body);
    for (name, value) in raw.headers {
        request = request.append_header((name, value));
    }
    request.to_request()
}

async fn raw_response(response: actix_web::HttpResponse) -> RawResponse {
    let status = response.status().as_u16();
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = response.headers().iter().map(|(name, value)| (name.to_string(), text(value)));
    let headers = headers.collect();
    let body = to_bytes(response.into_body()).await;
    let body = body.unwrap_or_else(|error| panic!("the body broke off: {error}"));
    RawResponse { status, headers, body: body.to_vec() }
}
