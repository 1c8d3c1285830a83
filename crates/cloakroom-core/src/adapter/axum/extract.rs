//! The extractors that take no body.

use std::convert::Infallible;

use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use http::{
    Extensions, HeaderMap,
    request::Parts,
    uri::{Authority, PathAndQuery},
};

use crate::{
    adapter::{
        context::RequestContext,
        error::AdapterError,
        named_session::{CookieName, NamedSession},
        problem::Problem,
        require_owner::{Owner, RequestHead, RequireOwner},
        stack::ContextStack,
    },
    http::{redirect::Back, site_origins::SiteOrigins},
    session::{Session, current_user::CurrentUser, read::ReadSession, view::View},
};

const NO_LAYER: &str = "add `.layer(SessionLayer::new(sessions))` to the router, after its routes \
                        and after the layers that use sessions";

/// The data of the session layer in a request's extensions.
#[derive(Clone, Debug)]
pub struct SessionExtension {
    /// The contexts of all session layers around the route.
    pub stack: ContextStack,
    /// Path and query as the outermost session layer has seen them. Routers further inside may have
    /// stripped a prefix. `None` for a `CONNECT`.
    pub target: Option<PathAndQuery>,
}

impl SessionExtension {
    /// Returns path and query, or nothing for a `CONNECT`.
    pub fn target(&self) -> &str {
        self.target.as_ref().map_or("", PathAndQuery::as_str)
    }
}

/// Returns what the session layers around the route have put into the request's extensions.
///
/// # Errors
/// When there is no session layer.
pub(super) fn session_extension<'a>(
    extensions: &'a Extensions,
    headers: &HeaderMap,
) -> Result<&'a SessionExtension, Problem> {
    extensions.get().ok_or_else(|| no_session(NO_LAYER.to_owned(), headers))
}

/// Returns the contexts of all session layers around the route.
///
/// # Errors
/// When there is no session layer.
pub fn context_stack<'a>(
    extensions: &'a Extensions,
    headers: &HeaderMap,
) -> Result<&'a ContextStack, Problem> {
    Ok(&session_extension(extensions, headers)?.stack)
}

/// Returns the head of a request, as the check of its owner needs it.
pub(super) fn request_head<'r>(parts: &'r Parts, target: &'r str) -> RequestHead<'r, HeaderMap> {
    RequestHead {
        method: parts.method.as_str(),
        target,
        authority: parts.uri.authority().map(Authority::as_str),
        headers: &parts.headers,
    }
}

fn no_session(advice: String, headers: &HeaderMap) -> Problem {
    Problem::of_request(AdapterError::NoSession(advice), headers)
}

async fn load(parts: &Parts, context: &RequestContext) -> Result<Session, Problem> {
    let loaded = context.session(&parts.headers).await;
    loaded.map_err(|error| Problem::of_request(AdapterError::NotLoaded(error), &parts.headers))
}

macro_rules! extractor {
    ($name:ident, $from:expr) => {
        impl<S: Send + Sync> FromRequestParts<S> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
                let stack = context_stack(&parts.extensions, &parts.headers)?;
                Ok($from(load(parts, stack.current()).await?))
            }
        }

        impl<S: Send + Sync> OptionalFromRequestParts<S> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Problem> {
                let Some(found) = parts.extensions.get::<SessionExtension>() else {
                    return Ok(None);
                };
                Ok(Some($from(load(parts, found.stack.current()).await?)))
            }
        }
    };
}

extractor!(Session, |session| session);
extractor!(ReadSession, |session: Session| session.read_only());
extractor!(View, |session: Session| session.view());

impl<S: Send + Sync, N: CookieName> FromRequestParts<S> for NamedSession<N> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let found = parts.extensions.get::<SessionExtension>();
        let context =
            found.and_then(|found| found.stack.named(N::COOKIE_NAME)).ok_or_else(|| {
                let advice = format!("no layer is for the cookie `{}`; {NO_LAYER}", N::COOKIE_NAME);
                no_session(advice, &parts.headers)
            })?;
        Ok(Self::new(load(parts, context).await?))
    }
}

/// Generates the extractors of signed-in users, which refuse requests without one, and are optional.
macro_rules! signed_in_extractor {
    ($name:ty, [$($parameter:tt)*], $check:expr) => {
        impl<S: Send + Sync, $($parameter)*> FromRequestParts<S> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
                let found = session_extension(&parts.extensions, &parts.headers)?;
                let head = request_head(parts, found.target());
                let checked = $check(found.stack.current(), head).await;
                checked.map_err(|failure| Problem::of_request(failure, &parts.headers))
            }
        }

        impl<S: Send + Sync, $($parameter)*> OptionalFromRequestParts<S> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Problem> {
                match <Self as FromRequestParts<S>>::from_request_parts(parts, state).await {
                    Ok(found) => Ok(Some(found)),
                    Err(problem) if problem.needs_sign_in() => Ok(None),
                    Err(problem) => Err(problem),
                }
            }
        }
    };
}

signed_in_extractor!(Owner, [], async |context, head| RequireOwner::new()
    .check(context, head)
    .await);
signed_in_extractor!(CurrentUser<T>, [T: Send + Sync + 'static], RequireOwner::user_of);

impl Back {
    pub(super) fn of_parts(parts: &Parts) -> Self {
        let of_host = SiteOrigins::default();
        let found = parts.extensions.get::<SessionExtension>();
        let origins = found.map_or(&of_host, |found| found.stack.current().sessions().origins());
        Self::of(&parts.headers, parts.uri.authority().map(Authority::as_str), origins)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Back {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let back = Self::of_parts(parts);
        match parts.extensions.get::<SessionExtension>() {
            Some(found) => {
                let head = (parts.method.as_str(), found.target());
                Ok(back.or_remembered(found.stack.current(), &parts.headers, head).await)
            }
            None => Ok(back),
        }
    }
}
