//! What handlers ask for.

use std::{marker::PhantomData, ops::Deref};

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload};
use cloakroom::{CookieName, Visit, visit::Visits};
use futures_util::future::LocalBoxFuture;

use crate::{SessionRejection, headers::RequestHeaders};

/// Extracts the request's session; asking for it loads it.
///
/// It is a [`cloakroom::Session`] with all its methods.
///
/// `Option<Session>`, which actix-web makes of every extractor, is `None` for any failure: also where
/// the store cannot be reached. Rather ask for `Result<Session, SessionRejection>`.
///
/// ```
/// use cloakroom_actix::{Session, SessionError};
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
/// use cloakroom_actix::{ReadSession, SessionError};
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
/// use cloakroom_actix::View;
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

        impl FromRequest for $name {
            type Error = SessionRejection;
            type Future = LocalBoxFuture<'static, Result<Self, SessionRejection>>;

            fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
                let (visit, request) = (innermost(request), request.clone());
                Box::pin(async move { Ok(Self($from(load(&request, &visit?).await?))) })
            }
        }
    };
}

extractor!(Session, |session| session);
extractor!(ReadSession, |session: cloakroom::Session| session.read_only());
extractor!(View, |session: cloakroom::Session| session.view());

/// The visit of the innermost session middleware.
pub(crate) fn innermost(request: &HttpRequest) -> Result<Visit, SessionRejection> {
    visits(request).map(|visits| visits.innermost().clone())
}

/// The visits of all session middleware around the route.
pub(crate) fn visits(request: &HttpRequest) -> Result<Visits, SessionRejection> {
    let visits = request.extensions().get::<Visits>().cloned();
    visits.ok_or_else(|| SessionRejection::no_middleware(request.headers()))
}

pub(crate) async fn load(
    request: &HttpRequest,
    visit: &Visit,
) -> Result<cloakroom::Session, SessionRejection> {
    let loaded = visit.session(&RequestHeaders(request.headers())).await;
    loaded.map_err(|error| SessionRejection::not_loaded(error, request.headers()))
}

/// Extracts the session of the middleware for one cookie, where several are around a route.
///
/// ```
/// use cloakroom_actix::{CookieName, NamedSession, Session, SessionError};
///
/// struct Shop;
/// impl CookieName for Shop {
///     const COOKIE_NAME: &'static str = "__Host-shop";
/// }
///
/// async fn cart(admin: Session, shop: NamedSession<Shop>) -> Result<String, SessionError> {
///     shop.put("items", 3)?;
///     Ok("three".to_owned())
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

impl<N: CookieName> FromRequest for NamedSession<N> {
    type Error = SessionRejection;
    type Future = LocalBoxFuture<'static, Result<Self, SessionRejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let visits = request.extensions().get::<Visits>().cloned();
        let request = request.clone();
        Box::pin(async move {
            let visit = visits.as_ref().and_then(|visits| visits.named(N::COOKIE_NAME));
            let visit = visit
                .ok_or_else(|| SessionRejection::not_named(N::COOKIE_NAME, request.headers()))?;
            Ok(Self { session: load(&request, visit).await?, name: PhantomData })
        })
    }
}
