//! The layer that gives requests their sessions.

use std::panic::Location;

use axum_core::response::IntoResponse;
use cloakroom_core::{Sessions, adapter::Problem};
use tower_layer::Layer;

use crate::{SessionService, failure::OnFailure};

/// Gives every request inside it a session, on axum and any other tower service.
///
/// Put it around the routes, outside the layers that use sessions:
///
/// ```
/// # mod cloakroom { pub use cloakroom_core::*; pub mod axum { pub use cloakroom_axum::*; } }
/// use axum::{Router, routing::get};
/// use cloakroom::{axum::SessionLayer, AppKeys, MemoryStore, Session, Sessions};
///
/// let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
/// let app: Router = Router::new()
///     .route("/", get(async |session: Session| session.correlation_id()))
///     .layer(SessionLayer::new(sessions));
/// # Ok::<(), cloakroom::ConfigError>(())
/// ```
///
/// # What it does to a response
/// 1. The session is committed before the first byte is sent, also if the body is streamed. A commit that
///    has begun runs to its end even if the client disconnects.
/// 2. If the commit fails, the handler's response is not sent. The status is 503 if the same request may
///    succeed later, and 500 otherwise, as [`on_failure`](Self::on_failure) describes. It has the
///    cookies that were changed by an earlier [`Session::commit`](cloakroom_core::Session::commit) of the
///    request, or by a layer inside this one.
/// 3. If the request has loaded the session, the response has `Vary: Cookie`, or `Vary: Authorization`
///    for bearer tokens. If it sets the session cookie, it also has
///    `Cache-Control: private, no-cache="Set-Cookie"` or a stricter directive.
/// 4. A panic goes on through this layer, and only a `destroy` takes effect. The exception is a request
///    whose earlier commit has changed the cookie: the response has status 500 and this cookie, and
///    a layer around this one commits nothing but a `destroy`.
/// 5. If the status is 408 or 504, ordinary changes are discarded, because a timeout has stopped the
///    handler in the middle. Put timeouts that reply with another status outside of this layer.
/// 6. After the response has left this layer, its session is closed. A session that is first loaded inside
///    a streamed body can be read but not changed: see [`preload`](Self::preload).
/// 7. A failure with status 500 or 503 is logged once, with the method and the path that this layer
///    sees.
///
/// # Several layers
/// If a layer is inside another one for the same cookie, the outer layer handles the session. This is also
/// true for two layers for bearer tokens. If they have different [`Sessions`], the first request logs a
/// warning that names both layers.
///
/// Layers for different cookies give a request several sessions. [`Session`](cloakroom_core::Session) is
/// the one of the innermost layer, and [`NamedSession`](cloakroom_core::NamedSession) selects one by its
/// cookie.
///
/// # Services that fail
/// An error of the service itself, which handlers of axum cannot cause, is passed on. Only a `destroy`
/// takes effect, because there is no response that could set the cookie.
#[derive(Clone, Debug)]
pub struct SessionLayer {
    sessions: Sessions,
    loading: Loading,
    on_failure: OnFailure,
}

/// The time at which a session is loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Loading {
    /// When a handler asks for it.
    #[default]
    OnDemand,
    /// Before the handler runs.
    Ahead,
}

impl SessionLayer {
    /// Makes a layer for `sessions`.
    #[must_use]
    #[track_caller]
    pub fn new(sessions: Sessions) -> Self {
        let sessions = sessions.in_layer_at(Location::caller());
        Self { sessions, loading: Loading::default(), on_failure: OnFailure::default() }
    }

    /// Sets the handler that makes the response to a failure, instead of the library:
    /// - [`CsrfLayer`](crate::CsrfLayer) refuses a request;
    /// - a session cannot be loaded or committed;
    /// - a handler panicked after a commit that has changed the cookie;
    /// - a handler returns an [`Error`](cloakroom_core::Error) of its session;
    /// - [`Input`](cloakroom_core::Input) or [`JsonInput`](cloakroom_core::JsonInput) refuses the body;
    /// - there is no layer for a [`NamedSession`](cloakroom_core::NamedSession).
    ///
    /// The response to an invalid form is not replaced. [`Input`](cloakroom_core::Input) describes it.
    ///
    /// The handler also chooses the status. The layer adds `Vary`, and the cookies of the request's
    /// commits. With [`ServerErrors::Discard`](cloakroom_core::ServerErrors), the status of the failure
    /// decides whether changes are discarded, whatever status the handler chooses. If the handler panics,
    /// the log has an error, and the response is the default one.
    ///
    /// If a route has several layers, the innermost layer that has a handler and sees the failure calls
    /// it, even if an outer layer handles the same cookie. In that case, the outer layer commits the
    /// session, so only its handler sees a failed commit.
    ///
    /// Default: [`Problem::to_response`], which is JSON (RFC 9457) for clients that want it. Other clients
    /// get the message as text with status 400, 403, 413 and 415, and an empty body with 500 and 503,
    /// unless [`show_errors`](cloakroom_core::SessionsBuilder::show_errors) is on.
    ///
    /// The handler runs on the thread of the request, so it must not block. On a tower service with
    /// another body type than axum's, its status and headers are used, and the body is empty. On a route
    /// without any session layer, no handler is called. Middleware of the application finds the
    /// [`Problem`] in the extensions of the response.
    ///
    /// ```
    /// # mod cloakroom { pub use cloakroom_core::*; pub mod axum { pub use cloakroom_axum::*; } }
    /// use axum::{http::StatusCode, response::{Html, IntoResponse}};
    /// use cloakroom::{adapter::{AdapterError, Problem}, axum::SessionLayer, AppKeys, MemoryStore, Sessions};
    ///
    /// let page = |problem: &Problem| {
    ///     let status = StatusCode::from_u16(problem.http_status()).unwrap_or_default();
    ///     match problem.failure() {
    ///         _ if problem.wants_json() => (status, problem.failure().code()).into_response(),
    ///         AdapterError::Forged(_) => (status, Html("This page is too old. Load it again.")).into_response(),
    ///         _ => (status, Html("Something went wrong.")).into_response(),
    ///     }
    /// };
    /// let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
    /// let layer = SessionLayer::new(sessions).on_failure(page);
    /// # Ok::<(), cloakroom::ConfigError>(())
    /// ```
    #[must_use]
    pub fn on_failure<R: IntoResponse>(
        self,
        handler: impl Fn(&Problem) -> R + Send + Sync + 'static,
    ) -> Self {
        let on_failure = OnFailure::new(move |problem| handler(problem).into_response());
        Self { on_failure, ..self }
    }

    /// Loads the session of each request before its handler runs.
    ///
    /// Use it for routes that first need the session inside a streamed body, such as in Leptos'
    /// `<Suspense>`. There the head of the response has already been sent. Without `preload`, the session
    /// could be read but not changed, and the response would have no `Vary: Cookie`.
    ///
    /// ```
    /// # mod cloakroom { pub use cloakroom_core::*; pub mod axum { pub use cloakroom_axum::*; } }
    /// # use cloakroom::{axum::SessionLayer, AppKeys, MemoryStore, Sessions};
    /// # let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
    /// let layer = SessionLayer::new(sessions).preload();
    /// # Ok::<(), cloakroom::ConfigError>(())
    /// ```
    #[must_use]
    pub fn preload(self) -> Self {
        Self { loading: Loading::Ahead, ..self }
    }
}

impl<S> Layer<S> for SessionLayer {
    type Service = SessionService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SessionService::new(self.sessions.clone(), self.loading, self.on_failure.clone(), inner)
    }
}
