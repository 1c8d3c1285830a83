//! An adapter for plain tower: a middleware that gives handlers of `http::Request` a session.

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, resume_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use cloakroom_core::{
    AppKeys, Error, MemoryStore, Session, Sessions,
    adapter::{
        AdapterError, ContextStack, OnFailure, Problem, RequestContext, RequestLine, ResponseParts,
        Uncommitted,
    },
};
use futures_util::FutureExt;
use http::{Request, Response, header};
use tower::{Service, service_fn};

/// Gives each request of `inner` a session, and commits it before the response leaves.
#[derive(Clone, Debug)]
pub struct SessionMiddleware<S> {
    /// The session system.
    pub sessions: Sessions,
    /// The service that handles the requests.
    pub inner: S,
}

impl<S, B> Service<Request<B>> for SessionMiddleware<S>
where
    S: Service<Request<B>, Response = Response<String>>,
    S::Future: Send + 'static,
    S::Error: Send,
{
    type Response = Response<String>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // Step 1: Start the context, inside the contexts of outer layers.
        let outer = request.extensions_mut().remove();
        let method = request.method().clone();
        let (stack, context) = ContextStack::begin(&self.sessions, method.as_str(), outer);
        request.extensions_mut().insert(stack);
        let uri = request.uri().clone();
        let handler = self.inner.call(request);
        Box::pin(async move {
            let line = RequestLine::new(method.as_str(), uri.path());
            match AssertUnwindSafe(handler).catch_unwind().await {
                Ok(Ok(response)) => Ok(commit(&context, line, response).await),
                Ok(Err(error)) => {
                    // No response can carry the cookie, so nothing but a `destroy` takes effect.
                    drop(context.abandon(line).await);
                    Err(error)
                }
                Err(panic) => {
                    // Step 4: End a request that has panicked.
                    let committed = context.abandon(line).await;
                    let headers = committed.unwrap_or_else(|uncommitted| uncommitted.headers);
                    if headers.set_cookie.is_empty() {
                        resume_unwind(panic);
                    }
                    let mut response = respond(context.complete(AdapterError::Panicked));
                    headers.write_to(response.headers_mut());
                    Ok(finish_failure(&context, line, response))
                }
            }
        })
    }
}

/// Step 3: Commits the session, and writes what the response has to carry.
async fn commit(
    context: &RequestContext,
    line: RequestLine<'_>,
    response: Response<String>,
) -> Response<String> {
    let mut response = finish_failure(context, line, response);
    match context.finish(response.status().as_u16()).await {
        Ok(headers) => headers.write_to(response.headers_mut()),
        Err(Uncommitted { error, headers }) => {
            let failed = respond(context.complete(AdapterError::NotCommitted(error)));
            response = finish_failure(context, line, failed);
            headers.write_to(response.headers_mut());
        }
    }
    response
}

/// Step 5: Logs the failure that a response was made from, and makes the response again if the handler did
/// not know all about the request. An adapter with a setter for a handler of failures keeps the
/// `OnFailure` in its middleware.
fn finish_failure(
    context: &RequestContext,
    line: RequestLine<'_>,
    response: Response<String>,
) -> Response<String> {
    let problem = response.extensions().get::<Problem>();
    let on_failure = OnFailure::default();
    let replaced = problem.and_then(|given| on_failure.replace(given, context, line, render));
    replaced.map_or(response, |replacement| replacement.response)
}

/// Step 2: Loads the session of a request, for handlers.
pub async fn session<B>(request: &Request<B>) -> Result<Session, Problem> {
    let stack = request.extensions().get::<ContextStack>().ok_or_else(|| {
        let advice = "put a `SessionMiddleware` around the service".to_owned();
        Problem::of_request(AdapterError::NoSession(advice), request.headers())
    })?;
    let loaded = stack.current().session(request.headers()).await;
    loaded.map_err(|error| Problem::of_request(AdapterError::NotLoaded(error), request.headers()))
}

/// Makes the response to a problem. The middleware finds the problem in the extensions.
pub fn respond(problem: Problem) -> Response<String> {
    let mut response = render(problem.to_response());
    response.extensions_mut().insert(problem);
    response
}

fn render(parts: ResponseParts) -> Response<String> {
    let mut response = Response::builder().status(parts.status);
    if let Some(target) = &parts.location {
        response = response.header(header::LOCATION, target);
    }
    if let Some(vary) = parts.vary {
        response = response.header(header::VARY, vary);
    }
    if let Some(challenge) = &parts.challenge {
        response = response.header(header::WWW_AUTHENTICATE, challenge);
    }
    let (content_type, body) = parts.content.unzip();
    if let Some(content_type) = content_type {
        response = response.header(header::CONTENT_TYPE, content_type);
    }
    response.body(body.unwrap_or_default()).unwrap_or_default()
}

/// A handler: counts the visitor's requests.
async fn count(request: Request<()>) -> Result<Response<String>, Infallible> {
    let count = async {
        let session = session(&request).await?;
        let failed = |error: Error| Problem::of_request(error.into(), request.headers());
        session.increment("count").map_err(failed)
    };
    Ok(match count.await {
        Ok(count) => Response::new(format!("request number {count}")),
        Err(problem) => respond(problem),
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
    let mut service = SessionMiddleware { sessions, inner: service_fn(count) };

    let response = service.call(Request::get("/").body(())?).await?;
    assert_eq!(response.body(), "request number 1");

    let cookie = response.headers()[header::SET_COOKIE].to_str()?;
    let cookie = cookie.split(';').next().unwrap_or_default();
    let request = Request::get("/").header(header::COOKIE, cookie).body(())?;
    assert_eq!(service.call(request).await?.body(), "request number 2");
    Ok(())
}
