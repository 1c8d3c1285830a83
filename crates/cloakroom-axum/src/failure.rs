//! Responses that the library makes itself, on their way out through the session layer.

use std::any::Any;

use axum_core::{body::Body, response::Response as AxumResponse};
use cloakroom::{
    Visit,
    visit::{Failure, HeaderOfReplaced, Problem, Replacement},
};
use http::{
    HeaderMap, Response,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};

use crate::rejection::{render, respond};

/// The application's handler for failures, if it has one.
#[derive(Clone, Debug, Default)]
pub(crate) struct OnFailure(cloakroom::visit::OnFailure<AxumResponse>);

/// The status that a response had before the application's handler replaced it, in its extensions.
#[derive(Clone, Copy)]
struct GivenStatus(u16);

/// Returns the status of a response as the code further inside gave it.
pub(crate) fn given_status<B>(response: &Response<B>) -> u16 {
    let replaced = response.extensions().get().map(|GivenStatus(status)| *status);
    replaced.unwrap_or_else(|| response.status().as_u16())
}

impl OnFailure {
    pub(crate) fn new(handler: impl Fn(&Problem) -> AxumResponse + Send + Sync + 'static) -> Self {
        Self(cloakroom::visit::OnFailure::new(handler))
    }

    /// Makes the response to a failure of the session layer itself, which goes to the log.
    pub(crate) fn respond<B: Default + 'static>(
        &self,
        failure: Failure,
        visit: &Visit,
    ) -> Response<B> {
        self.replace(with_body(respond(visit.complete(failure))), visit)
    }

    /// Replaces a response that was made from a problem further inside, where
    /// [`OnFailure`](cloakroom::visit::OnFailure) says so.
    pub(crate) fn replace<B: Default + 'static>(
        &self,
        mut response: Response<B>,
        visit: &Visit,
    ) -> Response<B> {
        let given = response.extensions().get::<Problem>();
        let replacement = given.and_then(|given| self.0.replace(given, visit, render));
        let Some(Replacement { response: made, problem, .. }) = replacement else {
            return response;
        };
        let status = GivenStatus(given_status(&response));
        let mut made = with_body(made);
        let mut extensions = std::mem::take(response.extensions_mut());
        extensions.remove::<Problem>();
        made.extensions_mut().extend(extensions);
        made.extensions_mut().insert(status);
        if let Some(problem) = problem {
            made.extensions_mut().insert(problem);
        }
        keep_headers(made.headers_mut(), response.headers());
        made
    }
}

fn keep_headers(made: &mut HeaderMap, given: &HeaderMap) {
    for (name, value) in given {
        match HeaderOfReplaced::of(name.as_str()) {
            HeaderOfReplaced::Added => _ = made.append(name, value.clone()),
            HeaderOfReplaced::Kept => _ = made.entry(name).or_insert_with(|| value.clone()),
            HeaderOfReplaced::Dropped => (),
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
