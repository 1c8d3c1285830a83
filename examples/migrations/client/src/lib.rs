//! A browser that visits an application in process, and a Redis server for the tests.

#[cfg(feature = "actix")]
mod actix;
#[cfg(feature = "axum")]
mod axum;
mod redis_server;

use std::collections::BTreeMap;

#[cfg(feature = "actix")]
pub use actix::{Actix, actix};
pub use redis_server::RedisServer;

/// An application that is called in process.
pub trait Application {
    /// Sends a request and returns the response.
    fn call(&self, request: Request) -> impl Future<Output = Response>;
}

/// A request of a [`Browser`].
#[derive(Debug)]
pub struct Request {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// The path and the query.
    pub target: String,
    /// The headers, by lower-case name.
    pub headers: Vec<(&'static str, String)>,
    /// The form, URL-encoded.
    pub body: String,
}

/// A response, with the assertions of the tests.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers, by lower-case name.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub text: String,
}

impl Response {
    /// Returns the first header with this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(candidate, _)| candidate == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Asserts that the response is a page with this text.
    ///
    /// # Panics
    /// If it is not.
    #[track_caller]
    pub fn assert_page(&self, text: &str) {
        assert_eq!((self.status, self.text.as_str()), (200, text), "{self:?}");
    }

    /// Asserts that the response is a page that contains this text.
    ///
    /// # Panics
    /// If it is not.
    #[track_caller]
    pub fn assert_contains(&self, text: &str) {
        assert!(self.status == 200 && self.text.contains(text), "no {text:?} in {self:?}");
    }

    /// Asserts that the response is a page that does not contain this text.
    ///
    /// # Panics
    /// If it is not.
    #[track_caller]
    pub fn assert_lacks(&self, text: &str) {
        assert!(self.status == 200 && !self.text.contains(text), "{text:?} in {self:?}");
    }

    /// Asserts that the response redirects to this path, with any query. Returns the whole target.
    ///
    /// # Panics
    /// If it does not.
    #[track_caller]
    pub fn assert_redirect(&self, path: &str) -> String {
        let is_redirect = (300..400).contains(&self.status);
        let target = self.header("location").filter(|_| is_redirect).unwrap_or_default();
        assert_eq!(target.split('?').next(), Some(path), "{self:?}");
        target.to_owned()
    }
}

/// A browser with its cookies. It sends the headers of a visitor who clicks on links and buttons.
#[derive(Debug)]
pub struct Browser<A> {
    app: A,
    cookies: BTreeMap<String, String>,
}

impl<A: Application> Browser<A> {
    /// Opens a browser without cookies.
    pub fn new(app: A) -> Self {
        Self { app, cookies: BTreeMap::new() }
    }

    /// Replaces the application, as a deployment does. The browser keeps its cookies.
    pub fn after_the_switch_to<B: Application>(self, app: B) -> Browser<B> {
        Browser { app, cookies: self.cookies }
    }

    /// Returns the value of a cookie, as the response had it.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.get(name).map(String::as_str)
    }

    /// Adds a cookie, such as a stolen one.
    pub fn set_cookie(&mut self, name: &str, value: &str) {
        self.cookies.insert(name.to_owned(), value.to_owned());
    }

    /// Opens a page.
    pub async fn get(&mut self, target: &str) -> Response {
        let headers = Vec::new();
        self.send(Request {
            method: "GET",
            target: target.to_owned(),
            headers,
            body: String::new(),
        })
        .await
    }

    /// Sends a form.
    pub async fn post(&mut self, target: &str, form: &[(&str, &str)]) -> Response {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let headers = vec![("content-type", "application/x-www-form-urlencoded".to_owned())];
        self.send(Request { method: "POST", target: target.to_owned(), headers, body }).await
    }

    async fn send(&mut self, mut request: Request) -> Response {
        let own = [
            ("host", "shop.example"),
            ("accept", "text/html"),
            ("sec-fetch-dest", "document"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-site", "same-origin"),
        ];
        request.headers.extend(own.map(|(name, value)| (name, value.to_owned())));
        let pairs = self.cookies.iter().map(|(name, value)| format!("{name}={value}"));
        let pairs: Vec<_> = pairs.collect();
        if !pairs.is_empty() {
            request.headers.push(("cookie", pairs.join("; ")));
        }
        let response = self.app.call(request).await;
        for (name, line) in &response.headers {
            if name == "set-cookie" {
                self.take_cookie(line);
            }
        }
        response
    }

    fn take_cookie(&mut self, line: &str) {
        let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
        let Some((name, value)) = pair.split_once('=') else { return };
        let mut attributes = attributes.split(';').map(str::trim);
        if attributes.any(|attribute| attribute.eq_ignore_ascii_case("max-age=0")) {
            self.cookies.remove(name);
        } else {
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }
}
