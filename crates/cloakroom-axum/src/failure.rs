//! Responses that the library makes itself, on their way out through the session layer.

use std::{any::Any, fmt, sync::Arc};

use axum_core::{body::Body, response::Response as AxumResponse};
use cloakroom::{
    Visit,
    visit::{Failure, Problem},
};
use http::{
    HeaderMap, Response,
    header::{CONTENT_LENGTH, CONTENT_TYPE, SET_COOKIE, VARY},
};

use crate::rejection::{render, respond};

type Handler = dyn Fn(&Problem) -> AxumResponse + Send + Sync;

/// The application's handler for failures, if it has one.
#[derive(Clone, Default)]
pub(crate) struct OnFailure(Option<Arc<Handler>>);

impl OnFailure {
    pub(crate) fn new(handler: impl Fn(&Problem) -> AxumResponse + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(handler)))
    }

    /// Makes the response to a failure of the session layer itself, which goes to the log.
    pub(crate) fn respond<B: Default + 'static>(
        &self,
        failure: Failure,
        visit: &Visit,
    ) -> Response<B> {
        self.replace(with_body(respond(visit.complete(failure))), visit)
    }

    /// Replaces a response that was made from a problem further inside with that of the application's
    /// handler. Without a handler, makes it JSON if the client wants JSON and the code that made the
    /// response did not know that.
    pub(crate) fn replace<B: Default + 'static>(
        &self,
        mut response: Response<B>,
        visit: &Visit,
    ) -> Response<B> {
        let Some(given) = response.extensions().get::<Problem>() else { return response };
        let problem = visit.complete(given.clone());
        let made = match &self.0 {
            Some(handler) => handler(&problem),
            None if problem.wants_json() != given.wants_json() => render(problem.answer()),
            None => return response,
        };
        let mut made = with_body(made);
        if self.0.is_some() {
            // Layers further out leave it at that.
            response.extensions_mut().remove::<Problem>();
        }
        made.extensions_mut().extend(std::mem::take(response.extensions_mut()));
        keep_headers(made.headers_mut(), response.headers());
        made
    }
}

/// Keeps what layers further inside have added, such as cookies.
fn keep_headers(made: &mut HeaderMap, given: &HeaderMap) {
    for (name, value) in given {
        if *name == SET_COOKIE || *name == VARY {
            made.append(name, value.clone());
        } else if *name != CONTENT_TYPE && *name != CONTENT_LENGTH {
            made.entry(name).or_insert_with(|| value.clone());
        }
    }
}

/// Gives a response the body type of the service. Where that is not axum's the body stays empty,
/// because no other can be made without knowing it.
fn with_body<B: Default + 'static>(response: AxumResponse) -> Response<B> {
    let (mut parts, made) = response.into_parts();
    let mut body = B::default();
    if let Some(place) = (&mut body as &mut dyn Any).downcast_mut::<Body>() {
        *place = made;
    } else {
        parts.headers.remove(CONTENT_TYPE);
        parts.headers.remove(CONTENT_LENGTH);
    }
    Response::from_parts(parts, body)
}

impl fmt::Debug for OnFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "OnFailure(set)" } else { "OnFailure(default)" })
    }
}
