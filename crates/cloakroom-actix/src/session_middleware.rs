//! The middleware that gives requests their sessions.

use std::{
    any::Any,
    future::{Ready, ready},
    panic::{AssertUnwindSafe, Location, resume_unwind},
};

use actix_web::{
    Error, HttpMessage, HttpResponse,
    body::{EitherBody, MessageBody},
    dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready},
};
use cloakroom_core::{
    Sessions,
    adapter::{AdapterError, ContextStack, Problem, ResponseHeaders, Uncommitted},
};
use futures_util::{FutureExt, future::LocalBoxFuture};

use crate::{
    failure::{MiddlewareError, OnFailure},
    handled_request::HandledRequest,
};

/// Gives every request within it a session.
///
/// Wrap it around the application or a scope last, so that it is outside the middleware that uses
/// sessions:
///
/// ```
/// # mod cloakroom { pub use cloakroom_core::*; pub mod actix { pub use cloakroom_actix::*; } }
/// use actix_web::{App, web};
/// use cloakroom::{actix::SessionMiddleware, AppKeys, MemoryStore, Session, Sessions};
///
/// let sessions = Sessions::store(MemoryStore::new(), AppKeys::random()).build()?;
/// let app = App::new()
///     .route("/", web::get().to(async |session: Session| session.correlation_id()))
///     .wrap(SessionMiddleware::new(sessions));
/// # Ok::<(), cloakroom::ConfigError>(())
/// ```
///
/// # What it does to a response
/// 1. The session is committed before the first byte is sent, also of a streamed body. A commit that has
///    begun runs to its end even if the client disconnects.
/// 2. If the commit fails, the handler's response is not sent. The response is 503 if the same request
///    may succeed later and 500 otherwise, as [`on_failure`](Self::on_failure) describes. It carries the
///    cookies that the request has earned: by an earlier
///    [`Session::commit`](cloakroom_core::Session::commit), or in middleware inside this one.
/// 3. A response whose handler asked for the session carries `Vary: Cookie`, or `Vary: Authorization`
///    for bearer tokens. If it sets the session cookie, it also carries
///    `Cache-Control: private, no-cache="Set-Cookie"` or stricter.
/// 4. An error that middleware returns becomes its response here, with the session's headers, and
///    goes on outwards as an error. An [`Error`](cloakroom_core::Error) with status 500 or 503 goes on as
///    a [`Problem`].
/// 5. A panic goes on through it, and only a `destroy` takes effect. If an earlier commit of the
///    request has earned a cookie, the response is 500 with that cookie instead. That response changes
///    no session of middleware around it either.
/// 6. actix-web runs a handler to its end if the client disconnects, and its changes are committed. A
///    handler whose future is dropped, as by a timeout, changes nothing.
/// 7. With a status of 408 or 504 ordinary changes are discarded, because a timeout has cut the handler
///    off in the middle. Put timeouts that reply with another status outside of this middleware.
/// 8. Once the response has left this middleware, its session is closed. A session that is first asked
///    for inside a streamed body can be read and not changed: see [`preload`](Self::preload).
/// 9. A failure with status 500 or 503 is logged once, with the method and the path of the request.
///
/// # Optional sessions
/// actix-web makes `None` of every error of an extractor, so `Option<Session>` is `None` without this
/// middleware and also if the store fails. The failure is logged. Take `Result<Session, Problem>` in
/// handlers that have to tell a visitor without a session from a store that fails.
///
/// # Several of them
/// Middleware within middleware for the same cookie leaves the session to the outer one, and so does a
/// second one for bearer tokens. If it was made of other [`Sessions`], the log has a warning that names
/// both places at the first request. Middleware for different cookies gives a request several sessions:
/// [`Session`](cloakroom_core::Session) is that of the innermost one, and
/// [`NamedSession`](cloakroom_core::NamedSession) picks one by its cookie.
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

    /// Sets the handler that makes the responses which the library makes by default:
    /// - [`CsrfMiddleware`](crate::CsrfMiddleware) refuses a request;
    /// - a session cannot be loaded or committed;
    /// - a handler panicked after a commit, whose cookie the response carries;
    /// - a handler returns an error of its session as [`Error`](cloakroom_core::Error);
    /// - [`Input`](cloakroom_core::Input) finds a form that is too long, or a body that is not a form;
    /// - there is no middleware for a [`NamedSession`](cloakroom_core::NamedSession).
    ///
    /// The handler also chooses the status. The middleware adds cookies that the request has earned,
    /// and `Vary`. It does not replace the response to an invalid form, which [`Input`](cloakroom_core::Input)
    /// describes.
    ///
    /// The handler decides about the response alone. With
    /// [`ServerErrors::Discard`](cloakroom_core::ServerErrors) the status of the failure decides whether
    /// changes are discarded, whatever status the handler chooses. If the handler panics, the log has an
    /// error and the response is the default one.
    ///
    /// Of several ones around a route, the innermost that has a handler and sees the failure calls
    /// it, even if it is inside another one for the same cookie. Failed commits are those of the outer
    /// one then.
    ///
    /// Default: [`Problem::to_response`], which is JSON (RFC 9457) for clients that want it. Other clients
    /// get the message as text with status 400, 403, 413 and 415, and an empty body with 500 and 503,
    /// unless [`show_errors`](cloakroom_core::SessionsBuilder::show_errors) is on.
    ///
    /// The handler runs on the worker's thread, so it must not block. A route without any session
    /// middleware does not call it; middleware of the application finds the [`Problem`] in the
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
    /// let sessions = Sessions::store(MemoryStore::new(), AppKeys::random()).build()?;
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

    /// Loads the session of each request before its handler runs. For routes that first ask for it
    /// inside a streamed body: when the response's head has left, a session can be read and no
    /// longer changed, and the response has no `Vary: Cookie`.
    ///
    /// ```
    /// # mod cloakroom { pub use cloakroom_core::*; pub mod actix { pub use cloakroom_actix::*; } }
    /// # use cloakroom::{actix::SessionMiddleware, AppKeys, MemoryStore, Sessions};
    /// # let sessions = Sessions::store(MemoryStore::new(), AppKeys::random()).build()?;
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
        let preload = (self.loading == Loading::Ahead)
            .then(|| (context.preload(request.headers()), context.clone()));
        let handled = HandledRequest::new(context, &request);
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
        let maker = ResponseMaker { request: handled, on_failure: self.on_failure.clone() };
        maker.run_and_commit(handler).boxed_local()
    }
}

/// Turns the handler's outcome into the response.
struct ResponseMaker {
    request: HandledRequest,
    on_failure: OnFailure,
}

impl ResponseMaker {
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
