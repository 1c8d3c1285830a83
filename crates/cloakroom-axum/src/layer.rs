//! The layer that gives requests their sessions.

use cloakroom::Sessions;
use tower_layer::Layer;

use crate::SessionService;

/// Gives every request below it a session, for axum and any other tower service.
///
/// Put it around the routes, outside the layers that use sessions:
///
/// ```
/// use axum::{Router, routing::get};
/// use cloakroom_axum::{AppKeys, MemoryStore, Session, SessionLayer, Sessions};
///
/// let sessions = Sessions::store(MemoryStore::new(), AppKeys::random()).build()?;
/// let app: Router = Router::new()
///     .route("/", get(async |session: Session| session.correlation_id()))
///     .layer(SessionLayer::new(sessions));
/// # Ok::<(), cloakroom_axum::cookie::CookieError>(())
/// ```
///
/// # What it does to a response
/// 1. The session is committed before the first byte, also of a streamed body; once begun, the
///    commit runs to its end even when the client has gone.
/// 2. If the commit fails, the handler's response is not sent: the response is 503 where trying again
///    later makes sense and 500 otherwise, with an empty body. It carries the cookie that an earlier
///    [`Session::commit`](cloakroom::Session::commit) of the request has earned.
/// 3. A response whose handler asked for the session carries `Vary: Cookie`, or `Vary: Authorization`
///    for bearer tokens; one that sets the session cookie also carries `Cache-Control: private, no-cache="Set-Cookie"` or stricter.
/// 4. A panic goes on through this layer, and only a `destroy` takes effect. Where an earlier
///    commit of the request has earned a cookie, the response is 500 with that cookie instead.
/// 5. With a status of 408 or 504 ordinary changes are discarded, because a timeout has cut the handler
///    off in the middle. Put timeouts that answer with another status outside of this layer.
/// 6. Once the response has left this layer, its session is closed. A session that is first asked for
///    inside a streamed body can be read and not changed: see [`preload`](Self::preload).
///
/// # Several layers
/// A layer inside another for the same cookie does nothing, nor does a second one for bearer tokens.
/// Layers for different cookies give a request several sessions: [`Session`](crate::Session) is the
/// innermost layer's, [`NamedSession`](crate::NamedSession) picks one by its cookie.
///
/// # Services that fail
/// An error of the service itself, which in axum no handler can cause, is passed on; the session's
/// changes are dropped, as no response can carry its cookie, except a `destroy`.
#[derive(Clone, Debug)]
pub struct SessionLayer {
    sessions: Sessions,
    loading: Loading,
}

/// When a session is loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Loading {
    /// When a handler asks for it.
    #[default]
    OnDemand,
    /// Before the handler runs.
    Ahead,
}

impl SessionLayer {
    /// A layer for `sessions`.
    #[must_use]
    pub fn new(sessions: Sessions) -> Self {
        Self { sessions, loading: Loading::default() }
    }

    /// Loads the session of each request before its handler runs. For routes that first ask for it
    /// inside a streamed body, such as Leptos' `<Suspense>`: when the response's head has left, a
    /// session can be read and no longer changed, and the response has no `Vary: Cookie`.
    ///
    /// ```
    /// # use cloakroom_axum::{AppKeys, MemoryStore, SessionLayer, Sessions};
    /// # let sessions = Sessions::store(MemoryStore::new(), AppKeys::random()).build()?;
    /// let layer = SessionLayer::new(sessions).preload();
    /// # Ok::<(), cloakroom_axum::cookie::CookieError>(())
    /// ```
    #[must_use]
    pub fn preload(self) -> Self {
        Self { loading: Loading::Ahead, ..self }
    }
}

impl<S> Layer<S> for SessionLayer {
    type Service = SessionService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SessionService::new(self.sessions.clone(), self.loading, inner)
    }
}
