//! The application's handler for failures, which an adapter's `on_failure` sets.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{Answer, Problem, Visit};
use crate::observe;

type Handler<R> = dyn Fn(&Problem) -> R + Send + Sync;

/// The application's handler for failures, if it has one. `R` is the framework's response.
///
/// It decides which responses that were made from a [`Problem`] are replaced, and by what. An adapter
/// puts the new response in the place of the old one, with those of the old one's headers that
/// [`HeaderOfReplaced`] keeps, and finishes the session with [`Visit::finish_replaced`].
pub struct OnFailure<R>(Option<Arc<Handler<R>>>);

/// A response in the place of one that was made from a [`Problem`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Replacement<R> {
    /// The new response.
    pub response: R,
    /// What belongs into its extensions, for layers further out. `None` if the application's handler
    /// has decided, because layers further out leave it at that.
    pub problem: Option<Problem>,
}

impl<R> OnFailure<R> {
    /// Uses this handler.
    pub fn new(handler: impl Fn(&Problem) -> R + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(handler)))
    }

    /// Returns what takes the place of a response that was made from the problem `given`, or `None` if
    /// that response stays.
    ///
    /// Without a handler the library's own response, which `render` makes, is made again if the code
    /// that made it did not know that the client wants JSON. A handler that panics is logged, and the
    /// library's own response takes the place of its response: the request's session is finished as
    /// usual.
    pub fn replace(
        &self,
        given: &Problem,
        visit: &Visit,
        render: impl Fn(Answer) -> R,
    ) -> Option<Replacement<R>> {
        if !given.is_replaceable() {
            return None;
        }
        let problem = visit.complete(given.clone());
        if let Some(handler) = &self.0 {
            // What a panic leaves half done is the application's; the session is not among it.
            let made = catch_unwind(AssertUnwindSafe(|| handler(&problem)));
            let response = made.unwrap_or_else(|_| {
                observe::failed(format_args!(
                    "the `on_failure` handler panicked at this failure: {problem}; the response is \
                     the library's own"
                ));
                render(problem.answer())
            });
            return Some(Replacement { response, problem: None });
        }
        let is_stale = problem.wants_json() != given.wants_json();
        is_stale.then(|| Replacement { response: render(problem.answer()), problem: Some(problem) })
    }
}

/// No handler.
impl<R> Default for OnFailure<R> {
    fn default() -> Self {
        Self(None)
    }
}

impl<R> Clone for OnFailure<R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<R> fmt::Debug for OnFailure<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "OnFailure(set)" } else { "OnFailure(default)" })
    }
}

/// What becomes of a header of a response that was replaced. The new response keeps what layers further
/// inside have added, such as cookies, and nothing that describes the body that went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderOfReplaced {
    /// It is added to the new response's own.
    Added,
    /// It is kept unless the new response has one of its name.
    Kept,
    /// It described the body.
    Dropped,
}

/// What describes or delivers a body (RFC 9110, 6.6, 8 and 14; RFC 9112, 6.1).
const OF_THE_BODY: [&str; 11] = [
    "accept-ranges",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "etag",
    "last-modified",
    "trailer",
    "transfer-encoding",
];

impl HeaderOfReplaced {
    /// Decides about the header `name`, which is in lower case.
    pub fn of(name: &str) -> Self {
        if matches!(name, "set-cookie" | "vary") {
            Self::Added
        } else if OF_THE_BODY.contains(&name) {
            Self::Dropped
        } else {
            Self::Kept
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_the_replaced_body_go_and_those_of_layers_stay() {
        for name in OF_THE_BODY {
            assert_eq!(HeaderOfReplaced::of(name), HeaderOfReplaced::Dropped, "{name}");
        }
        for name in ["content-security-policy", "cache-control", "x-request-id"] {
            assert_eq!(HeaderOfReplaced::of(name), HeaderOfReplaced::Kept, "{name}");
        }
        for name in ["set-cookie", "vary"] {
            assert_eq!(HeaderOfReplaced::of(name), HeaderOfReplaced::Added, "{name}");
        }
    }
}
