//! The middleware that gives requests their sessions.

use std::{
    any::Any,
    future::{Ready, ready},
    panic::{AssertUnwindSafe, Location, resume_unwind},
};

use actix_web::{
    Error, HttpMessage, HttpResponse,
    body::{BoxBody, EitherBody, MessageBody},
    dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready},
    http::{header::HeaderMap, uri::Authority},
};
use cloakroom_core::{
    Sessions,
    adapter::{
        AdapterError, Ahead, ContextStack, Problem, RequestContext, RequestHead, ResponseHeaders,
        Uncommitted, actix::render,
    },
};
use futures_util::{FutureExt, future::LocalBoxFuture};

use crate::{
    failure::{MiddlewareError, OnFailure},
    handled_request::HandledRequest,
};

/// Gives every request inside it a session.
///
/// Wrap the application or a scope in it last, so that it is outside the middleware that uses sessions:
///
/// ```
/// # mod cloakroom { pub use cloakroom_core::*; pub mod actix { pub use cloakroom_actix::*; } }
/// use actix_web::{App, web};
/// use cloakroom::{actix::SessionMiddleware, AppKeys, MemoryStore, Session, Sessions};
///
/// let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
/// let app = App::new()
///     .route("/", web::get().to(async |session: Session| session.correlation_id()))
///     .wrap(SessionMiddleware::new(sessions));
/// # Ok::<(), cloakroom::ConfigError>(())
/// ```
///
/// # What it does to a response
/// 1. The session is committed before the first byte is sent, also if the body is streamed. A commit that
///    has begun runs to its end even if the client disconnects.
/// 2. If the commit fails, the handler's response is not sent. The status is 503 if the same request may
///    succeed later, and 500 otherwise, as [`on_failure`](Self::on_failure) describes. It has the
///    cookies that were changed by an earlier [`Session::commit`](cloakroom_core::Session::commit) of the
///    request, or by middleware inside this one.
/// 3. If the request has loaded the session, the response has `Vary: Cookie`, or `Vary: Authorization`
///    for bearer tokens. If it sets the session cookie, it also has
///    `Cache-Control: private, no-cache="Set-Cookie"` or a stricter directive.
/// 4. If inner middleware returns an error, its response gets the session's headers. The error is passed
///    on to outer middleware. An [`Error`](cloakroom_core::Error) with status 500 or 503 is passed on as a
///    [`Problem`].
/// 5. A panic goes on through this middleware, and only a `destroy` takes effect. The exception is a
///    request whose earlier commit has changed the cookie: the response has status 500 and this cookie, and
///    middleware around this one commits nothing but a `destroy`.
/// 6. actix-web runs a handler to its end if the client disconnects, and its changes are committed. If the
///    handler's future is dropped, such as by a timeout, nothing is changed.
/// 7. If the status is 408 or 504, ordinary changes are discarded, because a timeout has stopped the
///    handler in the middle. Put timeouts that reply with another status outside of this middleware.
/// 8. After the response has left this middleware, its session is closed. A session that is first loaded
///    inside a streamed body can be read but not changed: see [`preload`](Self::preload).
/// 9. A failure with status 500 or 503 is logged once, with the method and the path of the request.
///
/// # Optional sessions
/// actix-web makes `None` of every error of an extractor, so `Option<Session>` is `None` without this
/// middleware, and also if the store fails. The failure is logged. To tell the two apart, take
/// `Result<Session, Problem>`.
///
/// # Several session middlewares
/// If one is inside another one for the same cookie, the outer one handles the session. This is also true
/// for two of them for bearer tokens. If they have different [`Sessions`], the first request logs a
/// warning that names both places.
///
/// Session middlewares for different cookies give a request several sessions.
/// [`Session`](cloakroom_core::Session) is the one of the innermost middleware, and
/// [`NamedSession`](cloakroom_core::NamedSession) selects one by its cookie.
#[derive(Clone, Debug)]
pub struct SessionMiddleware {
    sessions: Sessions,
    loading: Loading,
    on_failure: OnFailure,
}

/// The time at which a session is loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Loading {
    /// When a handler asks for it.
    #[default]
    OnDemand,
    /// Before the handler runs.
    Ahead,
}

impl SessionMiddleware {
    /// Makes middleware for `sessions`.
    #[must_use]
    #[track_caller]
    pub fn new(sessions: Sessions) -> Self {
        let sessions = sessions.in_layer_at(Location::caller());
        Self { sessions, loading: Loading::default(), on_failure: OnFailure::default() }
    }

    /// Sets the handler that makes the response to a failure, instead of the library:
    /// - [`CsrfMiddleware`](crate::CsrfMiddleware) refuses a request;
    /// - a session cannot be loaded or committed;
    /// - a handler panicked after a commit that has changed the cookie;
    /// - a handler returns an [`Error`](cloakroom_core::Error) of its session;
    /// - [`Input`](cloakroom_core::Input) or [`JsonInput`](cloakroom_core::JsonInput) refuses the body;
    /// - there is no middleware for a [`NamedSession`](cloakroom_core::NamedSession).
    ///
    /// The response to an invalid form is not replaced. [`Input`](cloakroom_core::Input) describes it.
    ///
    /// The handler also chooses the status. The middleware adds `Vary`, and the cookies of the request's
    /// commits. With [`ServerErrors::Discard`](cloakroom_core::ServerErrors), the status of the failure
    /// decides whether changes are discarded, whatever status the handler chooses. If the handler panics,
    /// the log has an error, and the response is the default one.
    ///
    /// If a route has several session middlewares, the innermost one that has a handler and sees the
    /// failure calls it, even if an outer one handles the same cookie. In that case, the outer one commits
    /// the session, so only its handler sees a failed commit.
    ///
    /// Default: [`Problem::to_response`], which is JSON (RFC 9457) for clients that want it. Other clients
    /// get the message as text with status 400, 403, 413 and 415, and an empty body with 500 and 503,
    /// unless [`show_errors`](cloakroom_core::SessionsBuilder::show_errors) is on.
    ///
    /// The handler runs on the worker's thread, so it must not block. On a route without any session
    /// middleware, no handler is called. Middleware of the application finds the [`Problem`] in the
    /// extensions of the response.
    ///
    /// ```
    /// # mod cloakroom { pub use cloakroom_core::*; pub mod actix { pub use cloakroom_actix::*; } }
    /// use actix_web::{HttpResponse, http::StatusCode};
    /// use cloakroom::{actix::SessionMiddleware, adapter::{AdapterError, Problem}, AppKeys, MemoryStore, Sessions};
    ///
    /// let page = |problem: &Problem| {
    ///     let status = StatusCode::from_u16(problem.http_status()).unwrap_or_default();
    ///     let mut response = HttpResponse::build(status);
    ///     match problem.failure() {
    ///         _ if problem.wants_json() => response.json(problem.failure().code()),
    ///         AdapterError::Forged(_) => response.body("This page is too old. Load it again."),
    ///         _ => response.body("Something went wrong."),
    ///     }
    /// };
    /// let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
    /// let middleware = SessionMiddleware::new(sessions).on_failure(page);
    /// # Ok::<(), cloakroom::ConfigError>(())
    /// ```
    #[must_use]
    pub fn on_failure(
        self,
        handler: impl Fn(&Problem) -> HttpResponse + Send + Sync + 'static,
    ) -> Self {
        Self { on_failure: OnFailure::new(handler), ..self }
    }

    /// Loads the session of each request before its handler runs.
    ///
    /// Use it for routes that first need the session inside a streamed body. There the head of the response
    /// has already been sent. Without `preload`, the session could be read but not changed, and the
    /// response would have no `Vary: Cookie`.
    ///
    /// ```
    /// # mod cloakroom { pub use cloakroom_core::*; pub mod actix { pub use cloakroom_actix::*; } }
    /// # use cloakroom::{actix::SessionMiddleware, AppKeys, MemoryStore, Sessions};
    /// # let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
    /// let middleware = SessionMiddleware::new(sessions).preload();
    /// # Ok::<(), cloakroom::ConfigError>(())
    /// ```
    #[must_use]
    pub fn preload(self) -> Self {
        Self { loading: Loading::Ahead, ..self }
    }
}

impl<S, B> Transform<S, ServiceRequest> for SessionMiddleware
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = SessionService<S>;
    type InitError = ();
    type Future = Ready<Result<SessionService<S>, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        let Self { sessions, loading, on_failure } = self.clone();
        ready(Ok(SessionService { sessions, loading, on_failure, inner }))
    }
}

/// The service that [`SessionMiddleware`] makes.
#[derive(Debug)]
pub struct SessionService<S> {
    sessions: Sessions,
    loading: Loading,
    on_failure: OnFailure,
    inner: S,
}

impl<S, B> Service<ServiceRequest> for SessionService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Error>>;

    forward_ready!(inner);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        // The request itself must not be cloned, because routing needs the only reference to it.
        let outer = request.extensions_mut().remove();
        let (stack, context) =
            ContextStack::begin(&self.sessions, request.method().as_str(), outer);
        if let Some(reply) = context.device_reply(&head_of(&request)) {
            let maker = self.response_maker(context, &request);
            return async move {
                let response = maker.reply(request, reply).await;
                Ok(response.map_into_boxed_body().map_into_right_body())
            }
            .boxed_local();
        }
        let preload = (self.loading == Loading::Ahead)
            .then(|| (context.preload(request.headers()), context.clone()));
        let maker = self.response_maker(context, &request);
        request.extensions_mut().insert(stack);
        let handler = self.inner.call(request);
        let handler = async move {
            if let Some((preload, context)) = preload {
                let loaded = preload.await;
                loaded.map_err(|error| context.complete(AdapterError::NotLoaded(error)))?;
            }
            // The handler runs when this future is polled first.
            handler.await
        };
        maker.run_and_commit(handler).boxed_local()
    }
}

impl<S> SessionService<S> {
    fn response_maker(&self, context: RequestContext, request: &ServiceRequest) -> ResponseMaker {
        let request = HandledRequest::new(context, request);
        ResponseMaker { request, on_failure: self.on_failure.clone() }
    }
}

fn head_of(request: &ServiceRequest) -> RequestHead<'_, HeaderMap> {
    RequestHead {
        method: request.method().as_str(),
        target: request.uri().path(),
        authority: request.uri().authority().map(Authority::as_str),
        headers: request.headers(),
    }
}

/// Turns the handler's outcome into the response.
struct ResponseMaker {
    request: HandledRequest,
    on_failure: OnFailure,
}

impl ResponseMaker {
    /// Sends the library's own reply in place of the handler's response.
    async fn reply(
        self,
        request: ServiceRequest,
        reply: Ahead,
    ) -> ServiceResponse<EitherBody<BoxBody>> {
        let response = match reply.await {
            Ok(parts) => render(parts.unwrap_or_default()),
            Err(error) => self.on_failure.respond(AdapterError::NotLoaded(error), &self.request),
        };
        self.commit_response(request.into_response(response)).await
    }

    /// Runs the handler, then the commit.
    ///
    /// A panic can leave data half changed. The middleware looks at no such data afterwards but at a
    /// `destroy`, which is complete from the moment it is called.
    async fn run_and_commit<B: MessageBody>(
        self,
        handler: impl Future<Output = Result<ServiceResponse<B>, Error>>,
    ) -> Result<ServiceResponse<EitherBody<B>>, Error> {
        match AssertUnwindSafe(handler).catch_unwind().await {
            Ok(Ok(response)) => Ok(self.commit_response(response).await),
            Ok(Err(error)) => Err(self.commit_error(error).await),
            Err(payload) => Err(self.abandon(payload).await),
        }
    }

    async fn commit_response<B: MessageBody>(
        &self,
        response: ServiceResponse<B>,
    ) -> ServiceResponse<EitherBody<B>> {
        let mut response = self.on_failure.replace(response, &self.request);
        self.request.note_response(response.headers());
        match self.request.context.finish(response.status().as_u16()).await {
            Ok(headers) => {
                headers.write_to(response.headers_mut());
                response
            }
            Err(uncommitted) => {
                response.into_response(self.not_committed(uncommitted)).map_into_right_body()
            }
        }
    }

    async fn commit_error(&self, error: Error) -> Error {
        let error = self.on_failure.replace_error(error, &self.request).await;
        let status = error.as_response_error().status_code().as_u16();
        let response = match self.request.context.finish(status).await {
            Ok(headers) if headers == ResponseHeaders::default() => return error,
            Ok(headers) => {
                let mut response = error.error_response();
                headers.write_to(response.headers_mut());
                response
            }
            Err(uncommitted) => self.not_committed(uncommitted),
        };
        MiddlewareError::of(error, response).await
    }

    /// Lets a panic go on, unless an earlier commit of the request has earned a cookie.
    async fn abandon(&self, payload: Box<dyn Any + Send>) -> Error {
        let committed = self.request.context.abandon(self.request.line()).await;
        // A failed commit is logged already.
        let headers = committed.unwrap_or_else(|uncommitted| uncommitted.headers);
        if headers.set_cookie.is_empty() {
            resume_unwind(payload);
        }
        let mut response = self.on_failure.respond(AdapterError::Panicked, &self.request);
        headers.write_to(response.headers_mut());
        MiddlewareError::of("the handler panicked", response).await
    }

    /// Makes the response to a failed commit.
    fn not_committed(&self, Uncommitted { error, headers }: Uncommitted) -> HttpResponse {
        let failure = AdapterError::NotCommitted(error);
        let mut response = self.on_failure.respond(failure, &self.request);
        headers.write_to(response.headers_mut());
        response
    }
}
