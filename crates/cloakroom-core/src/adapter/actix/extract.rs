//! The extractors that take no body.

use std::convert::Infallible;

use actix_web::{
    FromRequest, HttpMessage, HttpRequest,
    dev::Payload,
    http::{
        header::HeaderMap,
        uri::{Authority, PathAndQuery},
    },
};
use futures_util::future::LocalBoxFuture;

use crate::{
    adapter::{
        context::RequestContext,
        error::AdapterError,
        named_session::{CookieName, NamedSession},
        problem::Problem,
        require_owner::{Owner, RequestHead, RequireOwner},
        stack::ContextStack,
    },
    http::{redirect::Back, request_line::RequestLine, site_origins::SiteOrigins},
    session::{Session, current_user::CurrentUser, read::ReadSession, view::View},
};

const NO_MIDDLEWARE: &str = "add `.wrap(SessionMiddleware::new(sessions))` to the application or \
                             the scope, after the middleware that uses sessions";

/// Returns the contexts of all session middleware around the route.
///
/// # Errors
/// When there is no session middleware.
pub fn context_stack(request: &HttpRequest) -> Result<ContextStack, Problem> {
    let stack = request.extensions().get::<ContextStack>().cloned();
    stack.ok_or_else(|| no_session(NO_MIDDLEWARE.to_owned(), request))
}

fn no_session(advice: String, request: &HttpRequest) -> Problem {
    Problem::of_request(AdapterError::NoSession(advice), request.headers())
}

async fn load(request: &HttpRequest, context: &RequestContext) -> Result<Session, Problem> {
    let loaded = context.session(request.headers()).await;
    loaded.map_err(|error| refused(AdapterError::NotLoaded(error), request))
}

/// Makes the problem of an extractor and logs it, because `Option` and other extractors around this one
/// can drop it.
pub(super) fn refused(failure: AdapterError, request: &HttpRequest) -> Problem {
    let problem = Problem::of_request(failure, request.headers());
    let target = request.uri().path_and_query().map_or("", PathAndQuery::as_str);
    problem.log(RequestLine::new(request.method().as_str(), target));
    problem
}

macro_rules! extractor {
    ($name:ident, $from:expr) => {
        impl FromRequest for $name {
            type Error = Problem;
            type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

            fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
                let (stack, request) = (context_stack(request), request.clone());
                Box::pin(async move { Ok($from(load(&request, stack?.current()).await?)) })
            }
        }
    };
}

extractor!(Session, |session| session);
extractor!(ReadSession, |session: Session| session.read_only());
extractor!(View, |session: Session| session.view());

impl<N: CookieName> FromRequest for NamedSession<N> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let stack = request.extensions().get::<ContextStack>().cloned();
        let request = request.clone();
        Box::pin(async move {
            let context = stack.as_ref().and_then(|stack| stack.named(N::COOKIE_NAME));
            let context = context.ok_or_else(|| {
                let cookie = N::COOKIE_NAME;
                no_session(format!("none is for the cookie `{cookie}`; {NO_MIDDLEWARE}"), &request)
            })?;
            Ok(Self::new(load(&request, context).await?))
        })
    }
}

/// Returns the head of a request, as the check of its owner needs it.
pub(super) fn request_head(request: &HttpRequest) -> RequestHead<'_, HeaderMap> {
    RequestHead {
        method: request.method().as_str(),
        target: request.uri().path_and_query().map_or("", PathAndQuery::as_str),
        authority: request.uri().authority().map(Authority::as_str),
        headers: request.headers(),
    }
}

/// Generates the extractors of signed-in users, which refuse requests without one.
macro_rules! signed_in_extractor {
    ($name:ty, [$($parameter:tt)*], $check:expr) => {
        impl<$($parameter)*> FromRequest for $name {
            type Error = Problem;
            type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

            fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
                let (stack, request) = (context_stack(request), request.clone());
                Box::pin(async move {
                    let checked = $check(stack?.current(), request_head(&request)).await;
                    checked.map_err(|failure| refused(failure, &request))
                })
            }
        }
    };
}

signed_in_extractor!(Owner, [], async |context, head| RequireOwner::new()
    .check(context, head)
    .await);
signed_in_extractor!(CurrentUser<T>, [T: Send + Sync + 'static], RequireOwner::user_of);

impl Back {
    pub(super) fn of_http_request(request: &HttpRequest) -> Self {
        let (of_host, extensions) = (SiteOrigins::default(), request.extensions());
        let stack = extensions.get::<ContextStack>();
        let origins = stack.map_or(&of_host, |stack| stack.current().sessions().origins());
        Self::of(request.headers(), request.uri().authority().map(Authority::as_str), origins)
    }
}

impl FromRequest for Back {
    type Error = Infallible;
    type Future = LocalBoxFuture<'static, Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let (back, request) = (Self::of_http_request(request), request.clone());
        Box::pin(async move {
            let stack = request.extensions().get::<ContextStack>().cloned();
            match stack {
                Some(stack) => {
                    let target = request.uri().path_and_query();
                    let target = target.map_or("", PathAndQuery::as_str);
                    let head = (request.method().as_str(), target);
                    Ok(back.or_remembered(stack.current(), request.headers(), head).await)
                }
                None => Ok(back),
            }
        })
    }
}
