//! The extractors that take no body.

use std::convert::Infallible;

use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use http::{Extensions, HeaderMap, request::Parts, uri::Authority};

use crate::{
    adapter::{
        context::RequestContext,
        error::AdapterError,
        named_session::{CookieName, NamedSession},
        problem::Problem,
        stack::ContextStack,
    },
    http::{redirect::Back, site_origins::SiteOrigins},
    session::{Session, read::ReadSession, view::View},
};

const NO_LAYER: &str = "add `.layer(SessionLayer::new(sessions))` to the router, after its routes \
                        and after the layers that use sessions";

/// Returns the contexts of all session layers around the route.
///
/// # Errors
/// When there is no session layer.
pub fn context_stack<'a>(
    extensions: &'a Extensions,
    headers: &HeaderMap,
) -> Result<&'a ContextStack, Problem> {
    extensions.get().ok_or_else(|| no_session(NO_LAYER.to_owned(), headers))
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
                let Some(stack) = parts.extensions.get::<ContextStack>() else { return Ok(None) };
                Ok(Some($from(load(parts, stack.current()).await?)))
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
        let stack = parts.extensions.get::<ContextStack>();
        let context = stack.and_then(|stack| stack.named(N::COOKIE_NAME)).ok_or_else(|| {
            let advice = format!("no layer is for the cookie `{}`; {NO_LAYER}", N::COOKIE_NAME);
            no_session(advice, &parts.headers)
        })?;
        Ok(Self::new(load(parts, context).await?))
    }
}

impl Back {
    pub(super) fn of_parts(parts: &Parts) -> Self {
        let of_host = SiteOrigins::default();
        let stack = parts.extensions.get::<ContextStack>();
        let origins = stack.map_or(&of_host, |stack| stack.current().sessions().origins());
        Self::of(&parts.headers, parts.uri.authority().map(Authority::as_str), origins)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Back {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of_parts(parts))
    }
}
