//! A visitor: sends requests over loopback and keeps cookies.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::{jar::Jar, probe::script::HEADER};

/// One visitor of one server.
#[derive(Clone, Debug)]
pub struct Client {
    server: SocketAddr,
    /// The visitor's cookies. Responses change them.
    pub jar: Jar,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// What is sent beside cookies and script.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    /// The method; GET unless set.
    pub method: Method,
    /// Headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Sent {
    /// A GET with one header.
    pub fn with(name: &'static str, value: &str) -> Self {
        Self::default().and(name, value)
    }

    /// The same with another header.
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

    /// A POST of an urlencoded form.
    pub fn form(body: &str) -> Self {
        Self::body("application/x-www-form-urlencoded", body.as_bytes())
    }

    /// A POST of a body of any type.
    pub fn body(content_type: &str, body: &[u8]) -> Self {
        let body = Bytes::copy_from_slice(body);
        Self { method: Method::POST, body, ..Self::default() }.and("content-type", content_type)
    }
}

impl Client {
    /// A visitor without cookies.
    pub fn new(server: SocketAddr) -> Self {
        Self { server, jar: Jar::default() }
    }

    /// Runs a script and keeps the cookies that come back.
    pub async fn script(&mut self, steps: &Value) -> Reply {
        self.send("/script", steps, Sent::default()).await
    }

    /// The same with a form, headers or another method.
    pub async fn script_with(&mut self, steps: &Value, sent: Sent) -> Reply {
        self.send("/script", steps, sent).await
    }

    /// Runs one step and returns what came of it.
    pub async fn step(&mut self, step: Value) -> Value {
        self.script(&Value::Array(vec![step])).await.result(0)
    }

    /// GETs a path.
    pub async fn get(&mut self, path: &str) -> Reply {
        self.send(path, &Value::Null, Sent::default()).await
    }

    /// Sends anything and keeps the cookies that come back.
    pub async fn send(&mut self, path: &str, script: &Value, sent: Sent) -> Reply {
        let reply = self.try_send(path, script, sent).await;
        let reply = reply.unwrap_or_else(|error| panic!("no reply from {path}: {error}"));
        for line in reply.set_cookies() {
            self.jar.take(&line);
        }
        reply
    }

    /// Sends anything; an error where the server closed the connection without an answer, as it
    /// does when a handler panics.
    ///
    /// # Errors
    /// When no reply came.
    pub async fn try_send(
        &self,
        path: &str,
        script: &Value,
        sent: Sent,
    ) -> Result<Reply, hyper::Error> {
        let request = self.request(path, script, sent);
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

    fn request(&self, path: &str, script: &Value, sent: Sent) -> Request<Full<Bytes>> {
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
        if !script.is_null() {
            own.insert(HEADER, value(&script.to_string()));
        }
        request
    }
}

impl Reply {
    /// The `Set-Cookie` lines.
    pub fn set_cookies(&self) -> Vec<String> {
        let lines = self.headers.get_all(header::SET_COOKIE).into_iter();
        lines.map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned()).collect()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The results of all steps.
    ///
    /// # Panics
    /// When the reply is not one to a script.
    pub fn results(&self) -> Vec<Value> {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_else(|_| {
            panic!("{} is not a script's result: {}", self.status, self.text())
        });
        body["results"].as_array().cloned().unwrap_or_default()
    }

    /// What step number `index` came to: its value, or the whole entry where it failed.
    ///
    /// # Panics
    /// When there is no such step.
    pub fn result(&self, index: usize) -> Value {
        let results = self.results();
        let entry =
            results.get(index).unwrap_or_else(|| panic!("no result {index} in {results:?}"));
        entry.get("ok").unwrap_or(entry).clone()
    }

    /// The error word of step number `index`.
    pub fn error(&self, index: usize) -> String {
        self.result(index)["err"].as_str().unwrap_or("no error").to_owned()
    }
}
