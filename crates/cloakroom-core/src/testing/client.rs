//! A visitor of an application in process.

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

/// An application that requests are sent to in process. Adapters implement it.
pub trait Application {
    /// Answers a request.
    fn answer(&self, request: Sent) -> impl Future<Output = Answered>;
}

/// A request as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The method.
    pub method: String,
    /// Path and query.
    pub uri: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// A response as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// The status code.
    pub status: u16,
    /// Names, in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

type Preparation = Box<dyn FnOnce(&Session) -> Result<(), Error> + Send>;

/// A visitor who keeps cookies from one request to the next.
///
/// What `with_…` and `signed_in_as` say is in the session before the next request. `cloakroom_axum`
/// and `cloakroom_actix` make one with their `testing::client`:
///
/// ```
/// # use cloakroom_core as cloakroom;
/// # use cloakroom::{testing::{Answered, Application, Sent, TestClient}, AppKeys, MemoryStore, Sessions};
/// # struct App(Sessions);
/// # impl Application for App {
/// #     async fn answer(&self, sent: Sent) -> Answered {
/// #         let visit = cloakroom::adapter::RequestContext::new(&self.0);
/// #         let session = visit.session(sent.headers.as_slice()).await.unwrap();
/// #         session.with_errors([("email", "is required")]).unwrap();
/// #         let headers = visit.finish(303).await.unwrap();
/// #         let lines = headers.set_cookie.into_iter().map(|line| ("set-cookie".to_owned(), line));
/// #         Answered { status: 303, headers: lines.collect(), body: Vec::new() }
/// #     }
/// # }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let sessions = Sessions::store(MemoryStore::new(), AppKeys::random()).build()?;
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
    sessions: Sessions,
    cookies: BTreeMap<String, String>,
    bearer: Option<String>,
    preparations: Vec<Preparation>,
}

impl<A: Application> TestClient<A> {
    /// A visitor of `app`, whose sessions are `sessions`, without a session yet.
    pub fn new(app: A, sessions: &Sessions) -> Self {
        let (sessions, cookies) = (sessions.clone(), BTreeMap::new());
        Self { app, sessions, cookies, bearer: None, preparations: Vec::new() }
    }

    fn prepare(
        mut self,
        prepare: impl FnOnce(&Session) -> Result<(), Error> + Send + 'static,
    ) -> Self {
        self.preparations.push(Box::new(prepare));
        self
    }

    /// The session has these values, an object's members.
    ///
    /// # Panics
    /// At once, if `values` is not an object. When the request is sent, if the session cannot take what
    /// was said, such as an owner on the cookie driver.
    #[must_use]
    pub fn with_session(self, values: impl Serialize) -> Self {
        let values = object(&values);
        self.prepare(move |session| {
            values.iter().try_for_each(|(key, value)| session.put(key, value))
        })
    }

    /// The session has these flash messages for the next page, an object's members.
    #[must_use]
    pub fn with_flash(self, messages: impl Serialize) -> Self {
        let messages = object(&messages);
        self.prepare(move |session| session.flash(messages).map(drop))
    }

    /// The session has these errors for the next page.
    #[must_use]
    pub fn with_errors(self, errors: impl IntoFieldErrors) -> Self {
        let errors = errors.into_field_errors();
        self.prepare(move |session| session.with_errors(errors).map(drop))
    }

    /// The session has this old form input for the next page, an object's members.
    #[must_use]
    pub fn with_old(self, input: impl Serialize) -> Self {
        let input = object(&input);
        self.prepare(move |session| {
            session
                .add(Bags { input: encode_object("input", &input)?, ..Bags::default() })
                .map(drop)
        })
    }

    /// The session is of this owner, who has [just proved it](Session::mark_authenticated).
    #[must_use]
    pub fn signed_in_as(self, owner: &str) -> Self {
        let owner = owner.to_owned();
        self.prepare(move |session| {
            session.set_owner(&owner)?;
            session.mark_authenticated()
        })
    }

    /// The client sends this token in place of cookies, as [`Session::bearer_token`] gave it.
    #[must_use]
    pub fn with_bearer(mut self, token: impl Into<String>) -> Self {
        self.bearer = Some(token.into());
        self
    }

    /// A GET of a path.
    pub fn get(&mut self, uri: &str) -> TestRequest<'_, A> {
        self.request("GET", uri)
    }

    /// A POST to a path.
    pub fn post(&mut self, uri: &str) -> TestRequest<'_, A> {
        self.request("POST", uri)
    }

    /// A request by any method.
    pub fn request(&mut self, method: &str, uri: &str) -> TestRequest<'_, A> {
        let (method, uri) = (method.to_owned(), uri.to_owned());
        let sent = Sent { method, uri, headers: Vec::new(), body: Vec::new() };
        TestRequest { client: self, sent, csrf: false }
    }

    /// The session as the next request would find it.
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

    /// A request of its own that does what was said of the session.
    async fn make_ready(&mut self, csrf: bool) -> Option<String> {
        if self.preparations.is_empty() && !csrf {
            return None;
        }
        let visit = RequestContext::new(&self.sessions);
        let session = visit.session(self.credentials().as_slice()).await;
        let session = session.unwrap_or_else(|error| panic!("no session: {error:?}"));
        for prepare in self.preparations.drain(..) {
            prepare(&session)
                .unwrap_or_else(|error| panic!("the session was not prepared: {error:?}"));
        }
        let token = csrf.then(|| session.csrf_token());
        if self.sessions.token_transport() == TokenTransport::Bearer {
            self.bearer = session.bearer_token().ok();
        }
        // A redirect shows no page, so flash that waits goes on waiting.
        let headers = visit.finish(303).await;
        let headers = headers.unwrap_or_else(|error| panic!("the session was not kept: {error:?}"));
        headers.set_cookie.iter().for_each(|line| self.take_cookie(line));
        token
    }

    /// As a browser would, as far as one site goes.
    fn take_cookie(&mut self, line: &str) {
        let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
        let Some((name, value)) = pair.split_once('=') else { return };
        let ended = attributes.split(';').any(|it| it.trim().eq_ignore_ascii_case("max-age=0"));
        if ended {
            self.cookies.remove(name.trim());
        } else {
            self.cookies.insert(name.trim().to_owned(), value.trim().to_owned());
        }
    }
}

fn object(values: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(values) {
        Ok(Value::Object(members)) => members,
        other => panic!("an object is needed, found {other:?}"),
    }
}

/// A request that is being written.
#[must_use = "it is not sent before `send`"]
pub struct TestRequest<'c, A> {
    client: &'c mut TestClient<A>,
    sent: Sent,
    csrf: bool,
}

impl<A: Application> TestRequest<'_, A> {
    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.sent.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends these fields as a form does.
    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.body("application/x-www-form-urlencoded", body)
    }

    /// Sends JSON.
    ///
    /// # Panics
    /// When `value` cannot be written as JSON.
    pub fn json(self, value: impl Serialize) -> Self {
        let body = serde_json::to_vec(&value);
        self.body("application/json", body.unwrap_or_else(|error| panic!("no JSON: {error}")))
    }

    /// Sends a body of any type.
    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.sent.body = body.into();
        self.header("content-type", content_type)
    }

    /// Sends a CSRF token of the session, which begins if there is none.
    pub fn with_csrf_token(mut self) -> Self {
        self.csrf = true;
        self
    }

    /// Sends it, and looks at the session afterwards.
    pub async fn send(self) -> TestResponse {
        let Self { client, mut sent, csrf } = self;
        if let Some(token) = client.make_ready(csrf).await {
            sent.headers.push(("x-csrf-token".to_owned(), token));
        }
        sent.headers.extend(client.credentials());
        let answered = client.app.answer(sent).await;
        for (name, value) in &answered.headers {
            if name == "set-cookie" {
                client.take_cookie(value);
            }
        }
        TestResponse::new(answered, client.session().await)
    }
}

/// Shows who it is, not what it carries.
impl<A> fmt::Debug for TestClient<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cookies: Vec<_> = self.cookies.keys().collect();
        f.debug_struct("TestClient").field("cookies", &cookies).finish_non_exhaustive()
    }
}

impl<A> fmt::Debug for TestRequest<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TestRequest({} {})", self.sent.method, self.sent.uri)
    }
}
