//! The middleware that gives requests their sessions.

use std::{
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
    adapter::{AdapterError, ContextStack, Problem, RequestContext, ResponseHeaders, Uncommitted},
};
use futures_util::{FutureExt, future::LocalBoxFuture};

use crate::failure::{MiddlewareError, OnFailure, given_status};

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
/// # Ok::<(), cloakroom::cookie::CookieError>(())
/// ```
///
/// # What it does to a response
/// 1. The session is committed before the first byte, also of a streamed body; once begun, the
///    commit runs to its end even when the client has gone.
/// 2. If the commit fails, the handler's response is not sent: the response is 503 where trying again
///    later makes sense and 500 otherwise, as [`on_failure`](Self::on_failure) describes. It carries
///    the cookie that an earlier [`Session::commit`](cloakroom_core::Session::commit) of the request has
///    earned.
/// 3. A response whose handler asked for the session carries `Vary: Cookie`, or `Vary: Authorization`
///    for bearer tokens; one that sets the session cookie also carries `Cache-Control: private, no-cache="Set-Cookie"` or stricter.
/// 4. An error that middleware returns becomes its response here, with the session's headers, and
///    goes on outwards as an error.
/// 5. A panic goes on through it, and only a `destroy` takes effect. Where an earlier commit of the
///    request has earned a cookie, the response is 500 with that cookie instead.
/// 6. actix-web lets a handler finish when its client has gone, and its changes are committed. A
///    handler whose future is dropped, as by a timeout, changes nothing.
/// 7. With a status of 408 or 504 ordinary changes are discarded, because a timeout has cut the handler
///    off in the middle. Put timeouts that answer with another status outside of this middleware.
/// 8. Once the response has left this middleware, its session is closed. A session that is first asked
///    for inside a streamed body can be read and not changed: see [`preload`](Self::preload).
///
/// # Several of them
/// One within another for the same cookie does nothing, nor does a second one for bearer tokens.
/// If it was made of other [`Sessions`], a warning names both places at the first request.
/// Middleware for different cookies give a request several sessions: [`Session`](cloakroom_core::Session) is
/// the innermost one's, [`NamedSession`](cloakroom_core::NamedSession) picks one by its cookie.
#[derive(Clone, Debug)]
pub struct SessionMiddleware {
    sessions: Sessions,
    loading: Loading,
    on_failure: OnFailure,
}

/// When a session is loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Loading {
    /// When a handler asks for it.
    #[default]
    OnDemand,
    /// Before the handler runs.
    Ahead,
}

impl SessionMiddleware {
    /// Middleware for `sessions`.
    #[must_use]
    #[track_caller]
    pub fn new(sessions: Sessions) -> Self {
        let sessions = sessions.in_layer_at(Location::caller());
        Self { sessions, loading: Loading::default(), on_failure: OnFailure::default() }
    }

    /// Sets the handler that makes the responses which the library otherwise makes itself:
    /// - [`CsrfMiddleware`](crate::CsrfMiddleware) refuses a request;
    /// - a session cannot be loaded or committed;
    /// - a handler panicked after a commit, whose cookie the response carries;
    /// - a handler returns an error of its session as [`Error`](cloakroom_core::Error);
    /// - [`Input`](cloakroom_core::Input) finds a form that is too long, or none;
    /// - there is no middleware for a [`NamedSession`](cloakroom_core::NamedSession).
    ///
    /// The handler chooses the status, too. The middleware adds cookies that the request has earned,
    /// and `Vary`. It does not replace the response to an invalid form, which [`Input`](cloakroom_core::Input)
    /// describes.
    ///
    /// The handler decides what the client sees, and nothing about the session: with
    /// [`ServerErrors::Discard`](cloakroom_core::ServerErrors) changes are discarded by the status of the
    /// failure, whatever the handler's is. If the handler panics, the log says so and the response is
    /// the default one.
    ///
    /// Of several ones around a route, the innermost that has a handler and sees the failure calls
    /// it, even if it is inside another one for the same cookie. Failed commits are those of the outer
    /// one then.
    ///
    /// Default: [`Problem::to_response`], which is JSON (RFC 9457) for clients that want it. Other clients
    /// get the message as text with status 400, 403, 413 and 415, and an empty body with 500 and 503.
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
    /// # Ok::<(), cloakroom::cookie::CookieError>(())
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
    /// # Ok::<(), cloakroom::cookie::CookieError>(())
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
        // The request itself must not be cloned: routing wants it for itself.
        let outer = request.extensions_mut().remove();
        let (visits, visit) = ContextStack::begin(&self.sessions, request.method().as_str(), outer);
        let preload = (self.loading == Loading::Ahead).then(|| {
            let visit = visits.current().clone();
            (visit.preload(request.headers()), visit)
        });
        let visit = visit.ok_or_else(|| visits.current().clone());
        request.extensions_mut().insert(visits);
        let (handling, on_failure) = (self.inner.call(request), self.on_failure.clone());
        let handling = async move {
            if let Some((preload, visit)) = preload {
                let loaded = preload.await;
                loaded.map_err(|error| visit.complete(AdapterError::NotLoaded(error)))?;
            }
            // The handler begins when it is polled first.
            handling.await
        };
        match visit {
            Ok(visit) => conclude(visit, on_failure, handling).boxed_local(),
            // The middleware around it, which is for the same cookie, commits.
            Err(outer) => async move {
                let outcome =
                    handling.await.map_err(|error| on_failure.replace_error(error, &outer));
                outcome.map(|response| on_failure.replace(response, &outer))
            }
            .boxed_local(),
        }
    }
}

/// From the handler's answer to the response: the commit.
///
/// Whatever a panic left half done is not looked at again, but for a `destroy`, which is complete
/// from the moment it is called.
async fn conclude<B: MessageBody>(
    visit: RequestContext,
    on_failure: OnFailure,
    handling: impl Future<Output = Result<ServiceResponse<B>, Error>>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let not_committed = |Uncommitted { error, headers }| {
        let mut response = on_failure.respond(AdapterError::NotCommitted(error), &visit);
        headers.write_to(response.headers_mut());
        response
    };
    match AssertUnwindSafe(handling).catch_unwind().await {
        Ok(Ok(response)) => {
            let mut response = on_failure.replace(response, &visit);
            let given = given_status(response.response());
            match visit.finish_replaced(given.as_u16(), response.status().as_u16()).await {
                Ok(session) => {
                    session.write_to(response.headers_mut());
                    Ok(response)
                }
                Err(failed) => {
                    Ok(response.into_response(not_committed(failed)).map_into_right_body())
                }
            }
        }
        Ok(Err(error)) => {
            let error = on_failure.replace_error(error, &visit);
            let given = MiddlewareError::given_status(&error);
            let sent = error.as_response_error().status_code().as_u16();
            Err(match visit.finish_replaced(given.as_u16(), sent).await {
                Ok(session) if session == ResponseHeaders::default() => error,
                Ok(session) => MiddlewareError::with_session(error, session),
                Err(failed) => MiddlewareError::replaced(error, not_committed(failed)),
            })
        }
        Err(payload) => {
            // What goes wrong with it is in the log.
            let session = visit.abandon().await.unwrap_or_else(|failed| failed.headers);
            if session.set_cookie.is_empty() {
                resume_unwind(payload);
            }
            let mut response = on_failure.respond(AdapterError::Panicked, &visit);
            session.write_to(response.headers_mut());
            Err(MiddlewareError::replaced("the handler panicked", response))
        }
    }
}
