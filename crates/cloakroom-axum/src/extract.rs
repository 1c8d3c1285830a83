//! What handlers ask for.

use std::{marker::PhantomData, ops::Deref};

use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use cloakroom::{CookieName, Visit, visit::Visits};
use http::{Extensions, HeaderMap, request::Parts};

use crate::{SessionRejection, headers::RequestHeaders};

/// Extracts the request's session; asking for it loads it.
///
/// It is a [`cloakroom::Session`] with all its methods. `Option<Session>` is `None` where no
/// [`SessionLayer`](crate::SessionLayer) is around the route; a store that fails is an error
/// either way.
///
/// ```
/// use cloakroom_axum::{Session, SessionError};
///
/// async fn visits(session: Session) -> Result<String, SessionError> {
///     Ok(format!("visit number {}", session.increment("visits")?))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Session(cloakroom::Session);

/// Extracts the session for reading only: for WebSockets, streams and tasks that outlive the
/// response. See [`cloakroom::ReadSession`].
///
/// ```
/// use cloakroom_axum::{ReadSession, SessionError};
///
/// async fn whoami(session: ReadSession) -> Result<String, SessionError> {
///     Ok(session.get_or("username", "guest".to_owned())?)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct ReadSession(cloakroom::ReadSession);

/// Extracts the view helpers: old input, errors, flash messages, CSRF field. See
/// [`cloakroom::View`].
///
/// ```
/// use cloakroom_axum::View;
///
/// async fn form(view: View) -> String {
///     format!("{}<input name=username>", view.csrf_field())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct View(cloakroom::View);

macro_rules! extractor {
    ($name:ident, $from:expr) => {
        impl Deref for $name {
            type Target = cloakroom::$name;

            fn deref(&self) -> &Self::Target {
                &self.0
            }
        }

        impl From<$name> for cloakroom::$name {
            fn from(extracted: $name) -> Self {
                extracted.0
            }
        }

        impl<S: Send + Sync> FromRequestParts<S> for $name {
            type Rejection = SessionRejection;

            async fn from_request_parts(
                parts: &mut Parts,
                _: &S,
            ) -> Result<Self, SessionRejection> {
                let visit = innermost(&parts.extensions, &parts.headers)?;
                let session = load(parts, visit).await?;
                Ok(Self($from(session)))
            }
        }

        impl<S: Send + Sync> OptionalFromRequestParts<S> for $name {
            type Rejection = SessionRejection;

            async fn from_request_parts(
                parts: &mut Parts,
                _: &S,
            ) -> Result<Option<Self>, SessionRejection> {
                let Some(visits) = parts.extensions.get::<Visits>() else { return Ok(None) };
                let session = load(parts, visits.innermost()).await?;
                Ok(Some(Self($from(session))))
            }
        }
    };
}

extractor!(Session, |session| session);
extractor!(ReadSession, |session: cloakroom::Session| session.read_only());
extractor!(View, |session: cloakroom::Session| session.view());

/// The visit of the innermost session layer.
pub(crate) fn innermost<'a>(
    extensions: &'a Extensions,
    headers: &HeaderMap,
) -> Result<&'a Visit, SessionRejection> {
    visits(extensions, headers).map(Visits::innermost)
}

/// The visits of all session layers around the route.
pub(crate) fn visits<'a>(
    extensions: &'a Extensions,
    headers: &HeaderMap,
) -> Result<&'a Visits, SessionRejection> {
    extensions.get().ok_or_else(|| SessionRejection::no_layer(headers))
}

pub(crate) async fn load(
    parts: &Parts,
    visit: &Visit,
) -> Result<cloakroom::Session, SessionRejection> {
    let loaded = visit.session(&RequestHeaders(&parts.headers)).await;
    loaded.map_err(|error| SessionRejection::not_loaded(error, &parts.headers))
}

/// Extracts the session of the layer for one cookie, where several layers are around a route.
///
/// ```
/// use cloakroom_axum::{CookieName, NamedSession, Session, SessionError};
///
/// struct Shop;
/// impl CookieName for Shop {
///     const COOKIE_NAME: &'static str = "__Host-shop";
/// }
///
/// async fn cart(admin: Session, shop: NamedSession<Shop>) -> Result<(), SessionError> {
///     shop.put("items", 3)?;
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct NamedSession<N> {
    session: cloakroom::Session,
    name: PhantomData<fn() -> N>,
}

impl<N> Deref for NamedSession<N> {
    type Target = cloakroom::Session;

    fn deref(&self) -> &cloakroom::Session {
        &self.session
    }
}

impl<S: Send + Sync, N: CookieName> FromRequestParts<S> for NamedSession<N> {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, SessionRejection> {
        let visits = parts.extensions.get::<Visits>();
        let visit = visits.and_then(|visits| visits.named(N::COOKIE_NAME));
        let visit =
            visit.ok_or_else(|| SessionRejection::not_named(N::COOKIE_NAME, &parts.headers))?;
        let session = load(parts, visit).await?;
        Ok(Self { session, name: PhantomData })
    }
}
