//! A client that sends requests to an application in process.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::testing::TestResponse;
use crate::{
    adapter::RequestContext,
    error::Error,
    form::IntoFieldErrors,
    record::flash::Bags,
    session::{
        Session,
        sessions::{Sessions, TokenTransport},
    },
    values::encode_object,
};

/// An application that receives requests in process. Adapters implement it.
pub trait Application {
    /// Replies to a request.
    fn call(&self, request: RawRequest) -> impl Future<Output = RawResponse>;
}

/// The request of a [`TestClient`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRequest {
    /// The method.
    pub method: String,
    /// The path and the query.
    pub uri: String,
    /// The names and values of the headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// The response of an [`Application`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawResponse {
    /// The status code.
    pub status: u16,
    /// The names, in lower case, and values of the headers.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl RawResponse {
    /// Returns the first header of this lower-case name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(candidate, _)| candidate == name);
        found.map(|(_, value)| value.as_str())
    }
}

type Preparation = Box<dyn FnOnce(&Session) -> Result<(), Error> + Send>;

/// A client that keeps cookies from one request to the next.
///
/// The functions `with_…` and `signed_in_as` prepare the session before the next request.
/// `testing::client` of `cloakroom_axum` and `cloakroom_actix` makes a client:
///
/// ```
/// # use cloakroom_core as cloakroom;
/// # use cloakroom::{testing::{RawResponse, Application, RawRequest, TestClient}, AppKeys, MemoryStore, Sessions};
/// # struct App(Sessions);
/// # impl Application for App {
/// #     async fn call(&self, request: RawRequest) -> RawResponse {
/// #         let context = cloakroom::adapter::RequestContext::new(&self.0);
/// #         let session = context.session(request.headers.as_slice()).await.unwrap();
/// #         session.with_errors([("email", "is required")]).unwrap();
/// #         let headers = context.finish(303).await.unwrap();
/// #         let lines = headers.set_cookie.into_iter().map(|line| ("set-cookie".to_owned(), line));
/// #         RawResponse { status: 303, headers: lines.collect(), body: Vec::new() }
/// #     }
/// # }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
/// # let app = App(sessions.clone());
/// let mut client = TestClient::new(app, &sessions)
///     .with_session(serde_json::json!({ "cart": [1, 2] }))
///     .signed_in_as("user-42");
/// let response = client.post("/users").form(&[("email", "")]).send().await;
/// response
///     .assert_status(303)
///     .assert_session("cart", [1, 2])
///     .assert_signed_in_as("user-42")
///     .assert_error_for("email", "is required")
///     .assert_no_error_for("name");
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub struct TestClient<A> {
    app: A,
    pub(super) sessions: Sessions,
    pub(super) cookies: BTreeMap<String, String>,
    bearer: Option<String>,
    preparations: Vec<Preparation>,
    #[cfg(feature = "device-binding")]
    pub(super) device: Option<super::TestDevice>,
}

impl<A: Application> TestClient<A> {
    /// Makes a client of `app` without cookies. `sessions` is the session system of `app`.
    pub fn new(app: A, sessions: &Sessions) -> Self {
        let (sessions, cookies) = (sessions.clone(), BTreeMap::new());
        Self {
            app,
            sessions,
            cookies,
            bearer: None,
            preparations: Vec::new(),
            #[cfg(feature = "device-binding")]
            device: None,
        }
    }

    /// Returns the names and values of the cookies.
    pub fn cookies(&self) -> impl Iterator<Item = (&str, &str)> {
        self.cookies.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Takes the cookies of another client, as someone who has stolen them.
    ///
    /// ```no_run
    /// # use cloakroom_core as cloakroom;
    /// # async fn example<A: cloakroom::testing::Application + Clone>(app: A, sessions: cloakroom::Sessions) {
    /// use cloakroom::testing::TestClient;
    ///
    /// let mut virk = TestClient::new(app.clone(), &sessions).signed_in_as("virk");
    /// virk.get("/").send().await;
    /// let mut thief = TestClient::new(app, &sessions).with_cookies_of(&virk);
    /// thief.get("/").send().await.assert_signed_in_as("virk");
    /// # }
    /// ```
    #[must_use]
    pub fn with_cookies_of<B>(mut self, other: &TestClient<B>) -> Self {
        self.cookies.clone_from(&other.cookies);
        self
    }

    fn prepare(
        mut self,
        prepare: impl FnOnce(&Session) -> Result<(), Error> + Send + 'static,
    ) -> Self {
        self.preparations.push(Box::new(prepare));
        self
    }

    /// Puts values into the session before the next request: the members of an object.
    ///
    /// # Panics
    /// If `values` is not an object. The next request panics if the session refuses the values, for
    /// example because they are too large.
    #[must_use]
    pub fn with_session(self, values: impl Serialize) -> Self {
        let values = object(&values);
        self.prepare(move |session| {
            values.iter().try_for_each(|(key, value)| session.put(key, value))
        })
    }

    /// Adds flash messages for the next page: the members of an object.
    ///
    /// # Panics
    /// As [`with_session`](Self::with_session).
    #[must_use]
    pub fn with_flash(self, messages: impl Serialize) -> Self {
        let messages = object(&messages);
        self.prepare(move |session| session.flash(messages).map(drop))
    }

    /// Adds a message to the list for the next page, as [`Session::flash_push`].
    #[must_use]
    pub fn with_message(self, level: impl Into<String>, text: impl Into<String>) -> Self {
        let (level, text) = (level.into(), text.into());
        self.prepare(move |session| session.flash_push(level, text).map(drop))
    }

    /// Adds errors for the next page.
    #[must_use]
    pub fn with_errors(self, errors: impl IntoFieldErrors) -> Self {
        let errors = errors.into_field_errors();
        self.prepare(move |session| session.with_errors(errors).map(drop))
    }

    /// Adds old form input for the next page: the members of an object.
    ///
    /// # Panics
    /// As [`with_session`](Self::with_session).
    #[must_use]
    pub fn with_old(self, input: impl Serialize) -> Self {
        let input = object(&input);
        self.prepare(move |session| {
            session
                .add(Bags { input: encode_object("input", &input)?, ..Bags::default() })
                .map(drop)
        })
    }

    /// Signs the client in with [`Session::sign_in`].
    #[must_use]
    pub fn signed_in_as(self, owner: &str) -> Self {
        let owner = owner.to_owned();
        self.prepare(move |session| session.sign_in(&owner))
    }

    /// Sends a token of [`Session::bearer_token`] instead of cookies.
    #[must_use]
    pub fn with_bearer(mut self, token: impl Into<String>) -> Self {
        self.bearer = Some(token.into());
        self
    }

    /// Begins a GET request.
    pub fn get(&mut self, uri: &str) -> TestRequest<'_, A> {
        self.request("GET", uri)
    }

    /// Begins a POST request.
    pub fn post(&mut self, uri: &str) -> TestRequest<'_, A> {
        self.request("POST", uri)
    }

    /// Begins a request with any method. `uri` is a path with an optional query.
    pub fn request(&mut self, method: &str, uri: &str) -> TestRequest<'_, A> {
        let (method, uri) = (method.to_owned(), uri.to_owned());
        let request = RawRequest { method, uri, headers: Vec::new(), body: Vec::new() };
        TestRequest { client: self, request, csrf: false }
    }

    /// Loads the session as the next request would.
    async fn session(&self) -> Session {
        let credentials = self.credentials();
        let session = RequestContext::new(&self.sessions).session(credentials.as_slice()).await;
        session.unwrap_or_else(|error| panic!("the session could not be loaded: {error:?}"))
    }

    fn credentials(&self) -> Vec<(String, String)> {
        if let Some(token) = &self.bearer {
            return vec![("authorization".to_owned(), format!("Bearer {token}"))];
        }
        let pairs = self.cookies.iter().map(|(name, value)| format!("{name}={value}"));
        let pairs: Vec<_> = pairs.collect();
        if pairs.is_empty() { Vec::new() } else { vec![("cookie".to_owned(), pairs.join("; "))] }
    }

    /// Prepares the session in a separate request context. Returns a CSRF token if `csrf` is set.
    async fn prepare_session(&mut self, csrf: bool) -> Option<String> {
        if self.preparations.is_empty() && !csrf {
            return None;
        }
        let context = RequestContext::new(&self.sessions);
        let session = context.session(self.credentials().as_slice()).await;
        let session =
            session.unwrap_or_else(|error| panic!("the session could not be loaded: {error:?}"));
        for prepare in self.preparations.drain(..) {
            prepare(&session)
                .unwrap_or_else(|error| panic!("the session could not be prepared: {error:?}"));
        }
        let token = csrf.then(|| session.csrf_token());
        if self.sessions.token_transport() == TokenTransport::Bearer {
            self.bearer = session.bearer_token().ok();
        }
        // A redirect shows no page, so the flash stays for the next page.
        let headers = context.finish(303).await;
        let headers =
            headers.unwrap_or_else(|error| panic!("the session could not be committed: {error:?}"));
        headers.set_cookie.iter().for_each(|line| self.take_cookie(line));
        #[cfg(feature = "device-binding")]
        self.register_device(headers.registration.as_deref()).await;
        token
    }

    /// Stores or removes a cookie, as a browser does for one site.
    /// Sends a request with the cookies, and keeps those of the response.
    pub(super) async fn exchange(&mut self, mut request: RawRequest) -> RawResponse {
        request.headers.extend(self.credentials());
        let response = self.app.call(request).await;
        for (name, value) in &response.headers {
            if name == "set-cookie" {
                self.take_cookie(value);
            }
        }
        response
    }

    fn take_cookie(&mut self, line: &str) {
        let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
        let Some((name, value)) = pair.split_once('=') else { return };
        let mut attributes = attributes.split(';').map(str::trim);
        if attributes.any(|attribute| attribute.eq_ignore_ascii_case("max-age=0")) {
            self.cookies.remove(name.trim());
        } else {
            self.cookies.insert(name.trim().to_owned(), value.trim().to_owned());
        }
    }
}

fn object(values: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(values) {
        Ok(Value::Object(members)) => members,
        other => panic!("a JSON object is needed, found {other:?}"),
    }
}

/// A request of a [`TestClient`] before it is sent.
///
/// ```no_run
/// # use cloakroom_core as cloakroom;
/// # async fn example<A: cloakroom::testing::Application>(mut client: cloakroom::testing::TestClient<A>) {
/// let response = client.post("/cart").header("accept", "application/json").json([1, 2]).send().await;
/// response.assert_status(200).assert_session("cart", [1, 2]);
/// # }
/// ```
#[must_use = "the request is sent by `send`"]
pub struct TestRequest<'c, A> {
    client: &'c mut TestClient<A>,
    request: RawRequest,
    csrf: bool,
}

impl<A: Application> TestRequest<'_, A> {
    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body to an urlencoded form with these fields.
    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.body("application/x-www-form-urlencoded", body)
    }

    /// Sets the body to JSON.
    ///
    /// # Panics
    /// When `value` cannot be written as JSON.
    pub fn json(self, value: impl Serialize) -> Self {
        let body = serde_json::to_vec(&value);
        let body =
            body.unwrap_or_else(|error| panic!("the value cannot be written as JSON: {error}"));
        self.body("application/json", body)
    }

    /// Sets the body and its type.
    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.request.body = body.into();
        self.header("content-type", content_type)
    }

    /// Adds a CSRF token of the session in the header `X-CSRF-Token`. A client without a session first
    /// gets the cookie that a page with a form sets.
    pub fn with_csrf_token(mut self) -> Self {
        self.csrf = true;
        self
    }

    /// Sends the request, and loads the session after it for the assertions of [`TestResponse`].
    ///
    /// # Panics
    /// When the session cannot be loaded, or cannot be prepared as `with_…` or `signed_in_as` say.
    pub async fn send(self) -> TestResponse {
        let Self { client, mut request, csrf } = self;
        if let Some(token) = client.prepare_session(csrf).await {
            request.headers.push(("x-csrf-token".to_owned(), token));
        }
        #[cfg(feature = "device-binding")]
        client.refresh_device().await;
        let response = client.exchange(request).await;
        #[cfg(feature = "device-binding")]
        client.register_device(response.header("secure-session-registration")).await;
        TestResponse::new(response, client.session().await)
    }
}

/// Shows the names of the cookies and hides their values.
impl<A> fmt::Debug for TestClient<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cookies: Vec<_> = self.cookies.keys().collect();
        f.debug_struct("TestClient").field("cookies", &cookies).finish_non_exhaustive()
    }
}

impl<A> fmt::Debug for TestRequest<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TestRequest({} {})", self.request.method, self.request.uri)
    }
}
