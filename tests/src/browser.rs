//! A browser: sends requests over loopback and keeps cookies.

use std::net::SocketAddr;

use bytes::Bytes;
use cloakroom::testing::{Application, RawRequest, RawResponse};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::Value;
use tokio::{net::TcpStream, task::JoinHandle};

use crate::{jar::Jar, probe::script::HEADER, step::Step};

/// One browser of one server.
#[derive(Clone, Debug)]
pub struct Browser {
    server: SocketAddr,
    /// The cookies. Responses change them.
    pub jar: Jar,
}

/// A response.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// The error of a step.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct StepError {
    /// The word of the contract for this kind of error.
    #[serde(rename = "err")]
    pub code: String,
    /// The message for people.
    pub message: String,
}

/// A request without the browser's cookies.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    /// The method. GET by default.
    pub method: Method,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Sent {
    /// Makes a request with this method.
    pub fn method(method: Method) -> Self {
        Self { method, ..Self::default() }
    }

    /// Makes a GET with one header.
    pub fn with(name: &'static str, value: &str) -> Self {
        Self::default().and(name, value)
    }

    /// Adds a header.
    ///
    /// # Panics
    /// When `value` is not a header value.
    #[must_use]
    #[expect(clippy::expect_used, reason = "test equipment")]
    pub fn and(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header value");
        self.headers.append(name, value);
        self
    }

    /// Adds a script.
    ///
    /// # Panics
    /// When the steps are no JSON.
    #[must_use]
    #[expect(clippy::expect_used, reason = "test equipment")]
    pub fn steps(self, steps: impl AsRef<[Step]>) -> Self {
        let script = serde_json::to_string(steps.as_ref()).expect("steps are JSON");
        self.and(HEADER, &script)
    }

    /// Makes a POST of an urlencoded form.
    pub fn form(body: &str) -> Self {
        Self::body("application/x-www-form-urlencoded", body.as_bytes())
    }

    /// Makes a POST of a body of any type.
    pub fn body(content_type: &str, body: &[u8]) -> Self {
        let body = Bytes::copy_from_slice(body);
        Self { body, ..Self::method(Method::POST) }.and("content-type", content_type)
    }
}

impl Browser {
    /// Makes a browser without cookies.
    pub fn new(server: SocketAddr) -> Self {
        Self { server, jar: Jar::default() }
    }

    /// Returns the value of the cookie `session`.
    ///
    /// # Panics
    /// When there is none.
    pub fn token(&self) -> String {
        self.jar.get("session").unwrap_or_else(|| panic!("no cookie `session`")).to_owned()
    }

    /// Runs steps.
    pub async fn run(&mut self, steps: impl AsRef<[Step]>) -> Reply {
        self.run_with(steps, Sent::default()).await
    }

    /// Runs steps with a form, headers or another method.
    pub async fn run_with(&mut self, steps: impl AsRef<[Step]>, sent: Sent) -> Reply {
        self.send("/script", sent.steps(steps)).await
    }

    /// Runs steps in the body of a response, after its head has left.
    pub async fn run_late(&mut self, steps: impl AsRef<[Step]>) -> Reply {
        self.send("/late", Sent::default().steps(steps)).await
    }

    /// Runs one step and returns its value.
    ///
    /// # Panics
    /// When the step failed.
    pub async fn step(&mut self, step: Step) -> Value {
        self.run([step]).await.value(0)
    }

    /// Runs steps on a copy of this browser while the test goes on. Returns the copy as well.
    pub fn start(&self, steps: impl AsRef<[Step]>) -> JoinHandle<(Reply, Self)> {
        let (mut copy, steps) = (self.clone(), steps.as_ref().to_vec());
        tokio::spawn(async move { (copy.run(steps).await, copy) })
    }

    /// GETs a path.
    pub async fn get(&mut self, path: &str) -> Reply {
        self.send(path, Sent::default()).await
    }

    /// Sends a request and keeps the cookies of its response.
    ///
    /// # Panics
    /// When there is no response.
    pub async fn send(&mut self, path: &str, sent: Sent) -> Reply {
        let reply = self.try_send(path, sent).await;
        let reply = reply.unwrap_or_else(|error| panic!("no reply from {path}: {error}"));
        for line in reply.set_cookies() {
            self.jar.take(&line);
        }
        reply
    }

    /// Sends a request and drops the cookies of its response.
    ///
    /// # Errors
    /// When the server closed the connection without a response, as it does when a handler panics.
    pub async fn try_send(&self, path: &str, sent: Sent) -> Result<Reply, hyper::Error> {
        let request = self.request(path, sent);
        let stream = TcpStream::connect(self.server).await;
        let stream = stream.unwrap_or_else(|error| panic!("cannot connect: {error}"));
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driving = tokio::spawn(connection);
        let response = sender.send_request(request).await?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        driving.abort();
        Ok(Reply { status: parts.status, headers: parts.headers, body })
    }

    fn request(&self, path: &str, sent: Sent) -> Request<Full<Bytes>> {
        let Sent { method, headers, body } = sent;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap_or_else(|_| panic!("{path} is no path"));
        *request.headers_mut() = headers;
        let own = request.headers_mut();
        let value = |text: &str| {
            HeaderValue::from_bytes(text.as_bytes())
                .unwrap_or_else(|_| panic!("{text:?} is no header"))
        };
        if !own.contains_key(header::HOST) {
            own.insert(header::HOST, value(&self.server.to_string()));
        }
        if let Some(cookies) = self.jar.header() {
            own.append(header::COOKIE, value(&cookies));
        }
        request
    }
}

/// A browser without cookies sends the requests of a `TestClient` to its server.
impl Application for Browser {
    async fn call(&self, request: RawRequest) -> RawResponse {
        let method = request.method.parse().unwrap_or_else(|error| panic!("{error}"));
        let mut sent = Sent { body: request.body.into(), ..Sent::method(method) };
        for (name, value) in &request.headers {
            let name: HeaderName = name.parse().unwrap_or_else(|error| panic!("{error}"));
            let value = HeaderValue::from_str(value).unwrap_or_else(|error| panic!("{error}"));
            sent.headers.append(name, value);
        }
        let reply = self.try_send(&request.uri, sent).await;
        let Reply { status, headers, body } = reply.unwrap_or_else(|error| panic!("{error}"));
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = headers.iter().map(|(name, value)| (name.to_string(), text(value)));
        RawResponse { status: status.as_u16(), headers: headers.collect(), body: body.into() }
    }
}

impl Reply {
    /// Returns the `Set-Cookie` lines.
    pub fn set_cookies(&self) -> Vec<String> {
        let lines = self.headers.get_all(header::SET_COOKIE).into_iter();
        lines.map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned()).collect()
    }

    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the result of each step.
    ///
    /// # Panics
    /// When the reply is not one to a script.
    pub fn results(&self) -> Vec<Result<Value, StepError>> {
        #[derive(Deserialize)]
        struct Body {
            results: Vec<Value>,
        }
        let body: Body = serde_json::from_slice(&self.body).unwrap_or_else(|_| {
            panic!("{} is not a script's result: {}", self.status, self.text())
        });
        let result = |mut entry: Value| match entry.get_mut("ok") {
            Some(value) => Ok(value.take()),
            None => Err(serde_json::from_value(entry).unwrap_or_else(|error| panic!("{error}"))),
        };
        body.results.into_iter().map(result).collect()
    }

    /// Returns the values of all steps.
    ///
    /// # Panics
    /// When a step failed.
    pub fn values(&self) -> Vec<Value> {
        let results = self.results().into_iter();
        results.map(|result| result.unwrap_or_else(|error| panic!("{error:?}"))).collect()
    }

    /// Returns the value of step number `index`.
    ///
    /// # Panics
    /// When there is no such step, or it failed.
    pub fn value(&self, index: usize) -> Value {
        let mut results = self.results();
        results.swap_remove(index).unwrap_or_else(|error| panic!("step {index}: {error:?}"))
    }

    /// Returns the error of step number `index`.
    ///
    /// # Panics
    /// When there is no such step, or it succeeded.
    pub fn error(&self, index: usize) -> StepError {
        match self.results().swap_remove(index) {
            Ok(value) => panic!("step {index} returned {value}"),
            Err(error) => error,
        }
    }
}
