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
/// 2. If the commit fails, the handler's response is not sent: the answer is 503 where the store
///    cannot be reached and 500 otherwise, with an empty body and without cookies.
/// 3. A response whose handler asked for the session carries `Vary: Cookie`, or `Vary: Authorization`
///    for bearer tokens; one that sets the session cookie also carries `Cache-Control: private, no-cache="Set-Cookie"` or stricter.
/// 4. A panic goes on through this layer; only a `destroy` takes effect.
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
}

impl SessionLayer {
    /// A layer for `sessions`.
    #[must_use]
    pub fn new(sessions: Sessions) -> Self {
        Self { sessions }
    }
}

impl<S> Layer<S> for SessionLayer {
    type Service = SessionService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SessionService::new(self.sessions.clone(), inner)
    }
}
