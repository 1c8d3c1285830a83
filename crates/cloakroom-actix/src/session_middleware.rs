//! The middleware that gives requests their sessions.

use std::{
    fmt,
    future::{Ready, ready},
    panic::{AssertUnwindSafe, resume_unwind},
};

use actix_web::{
    Error, HttpMessage, HttpResponse, ResponseError,
    body::{EitherBody, MessageBody},
    dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready},
    error::InternalError,
    http::StatusCode,
};
use cloakroom::{
    ResponseHeaders, Sessions, Visit,
    visit::{Failure, Visits},
};
use futures_util::{FutureExt, future::LocalBoxFuture};

use crate::{headers::ResponseHeaderMap, rejection::respond};

/// Gives every request within it a session.
///
/// Wrap it around the application or a scope last, so that it is outside the middleware that uses
/// sessions:
///
/// ```
/// use actix_web::{App, web};
/// use cloakroom_actix::{AppKeys, MemoryStore, Session, SessionMiddleware, Sessions};
///
/// let sessions = Sessions::store(MemoryStore::new(), AppKeys::random()).build()?;
/// let app = App::new()
///     .route("/", web::get().to(async |session: Session| session.correlation_id()))
///     .wrap(SessionMiddleware::new(sessions));
/// # Ok::<(), cloakroom_actix::cookie::CookieError>(())
/// ```
///
/// # What it does to a response
/// 1. The session is committed before the first byte, also of a streamed body; once begun, the
///    commit runs to its end even when the client has gone.
/// 2. If the commit fails, the handler's response is not sent: the answer is 503 where the store
///    cannot be reached and 500 otherwise, with an empty body and without cookies.
/// 3. A response whose handler asked for the session carries `Vary: Cookie`, or `Vary: Authorization`
///    for bearer tokens; one that sets the session cookie also carries `Cache-Control: private, no-cache="Set-Cookie"` or stricter.
/// 4. An error that middleware returns becomes its response here, with the session's headers, and
///    goes on outwards as an error.
/// 5. A panic goes on through it; only a `destroy` takes effect.
/// 6. actix-web lets a handler finish when its client has gone, and its changes are committed. A
///    handler whose future is dropped, as by a timeout, changes nothing.
///
/// # Several of them
/// One within another for the same cookie does nothing, nor does a second one for bearer tokens.
/// Middleware for different cookies give a request several sessions: [`Session`](crate::Session) is
/// the innermost one's, [`NamedSession`](crate::NamedSession) picks one by its cookie.
#[derive(Clone, Debug)]
pub struct SessionMiddleware {
    sessions: Sessions,
}

impl SessionMiddleware {
    /// Middleware for `sessions`.
    #[must_use]
    pub fn new(sessions: Sessions) -> Self {
        Self { sessions }
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
        ready(Ok(SessionService { sessions: self.sessions.clone(), inner }))
    }
}

/// The service that [`SessionMiddleware`] makes.
#[derive(Debug)]
pub struct SessionService<S> {
    sessions: Sessions,
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
        let around = request.extensions_mut().remove();
        let (visits, visit) = Visits::begin(&self.sessions, around);
        request.extensions_mut().insert(visits);
        let handling = self.inner.call(request);
        match visit {
            Some(visit) => conclude(visit, handling).boxed_local(),
            None => async { handling.await.map(ServiceResponse::map_into_left_body) }.boxed_local(),
        }
    }
}

/// From the handler's answer to the response: the commit.
///
/// Whatever a panic left half done is not looked at again, but for a `destroy`, which is complete
/// from the moment it is called.
async fn conclude<B: MessageBody>(
    visit: Visit,
    handling: impl Future<Output = Result<ServiceResponse<B>, Error>>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    match AssertUnwindSafe(handling).catch_unwind().await {
        Ok(Ok(mut response)) => match visit.finish(response.status().as_u16()).await {
            Ok(session) => {
                session.write_to(&mut ResponseHeaderMap(response.headers_mut()));
                Ok(response.map_into_left_body())
            }
            Err(error) => Ok(response.into_response(not_committed(error)).map_into_right_body()),
        },
        Ok(Err(error)) if visit.loaded().is_none() => Err(error),
        Ok(Err(error)) => {
            let status = error.as_response_error().status_code().as_u16();
            Err(match visit.finish(status).await {
                Ok(session) => WithSession { error, session }.into(),
                Err(failure) => InternalError::from_response(error, not_committed(failure)).into(),
            })
        }
        Err(payload) => {
            // What goes wrong with it is in the log.
            drop(visit.abandon().await);
            resume_unwind(payload)
        }
    }
}

/// An error of middleware, whose response carries what its session asks for, however often it is asked
/// for the response.
#[derive(Debug)]
struct WithSession {
    error: Error,
    session: ResponseHeaders,
}

impl fmt::Display for WithSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl ResponseError for WithSession {
    fn status_code(&self) -> StatusCode {
        self.error.as_response_error().status_code()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = self.error.error_response();
        self.session.clone().write_to(&mut ResponseHeaderMap(response.headers_mut()));
        response
    }
}

fn not_committed(error: cloakroom::Error) -> HttpResponse {
    respond(Failure::NotCommitted(error).answer())
}
