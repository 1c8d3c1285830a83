//! The application's handler for failures, which an adapter's `on_failure` sets.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use crate::{
    adapter::{
        context::RequestContext, error::AdapterError, problem::Problem,
        response_parts::ResponseParts,
    },
    http::request_line::RequestLine,
    observe,
};

type Handler<R> = dyn Fn(&Problem) -> R + Send + Sync;

/// Holds the application's handler for failures, if it has one. `R` is the framework's response.
///
/// It decides which responses that were made from a [`Problem`] are replaced, and by what. An adapter
/// puts the new response in the place of the old one, and adds the old one's headers that
/// [`headers_of_replaced`] returns.
pub struct OnFailure<R>(Option<Arc<Handler<R>>>);

/// A response in the place of one that was made from a [`Problem`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Replacement<R> {
    /// The new response.
    pub response: R,
    /// The problem for the extensions of the new response, so that layers further out can replace it
    /// again. `None` if the application's handler has made the response, because that is final.
    pub problem: Option<Problem>,
}

impl<R> OnFailure<R> {
    /// Uses this handler.
    pub fn new(handler: impl Fn(&Problem) -> R + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(handler)))
    }

    /// Returns the replacement of a response that was made from the problem `given`. Returns `None` if that
    /// response stays. [Logs](Problem::log) the failure with the request. If the response leads to the
    /// sign-in page, the session keeps the page that the visitor wanted.
    ///
    /// Without a handler the library's own response, which `render` makes, is made again if the code
    /// that made it did not know that the client wants JSON, or that errors are
    /// [shown](crate::SessionsBuilder::show_errors). A handler that panics is logged, and the library's
    /// own response replaces its response. The request's session is finished as usual: `context` keeps
    /// the status of the failure, which decides whether changes are discarded.
    pub fn replace(
        &self,
        given: &Problem,
        context: &RequestContext,
        request: RequestLine<'_>,
        render: impl Fn(ResponseParts) -> R,
    ) -> Option<Replacement<R>> {
        given.log(request);
        if let AdapterError::SignInRequired(required) = given.failure() {
            context.keep_intended_url(required);
        }
        if !given.is_replaceable() {
            return None;
        }
        let problem = context.complete(given.clone());
        if matches!(problem.failure(), AdapterError::Panicked) {
            context.note_panic();
        }
        if let Some(handler) = &self.0 {
            context.note_replaced(problem.http_status());
            // A panic can leave data of the application half changed, and no data of the session.
            let made = catch_unwind(AssertUnwindSafe(|| handler(&problem)));
            let response = made.unwrap_or_else(|_| {
                let message = format_args!(
                    "the `on_failure` handler panicked at this failure: {problem}; the response is \
                     the library's own"
                );
                observe::failed(message, Some(request));
                render(problem.to_response())
            });
            return Some(Replacement { response, problem: None });
        }
        let is_stale = !problem.renders_like(given);
        is_stale.then(|| Replacement {
            response: render(problem.to_response()),
            problem: Some(problem),
        })
    }
}

/// Makes one without a handler.
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

/// Headers that describe or deliver a body (RFC 9110, 6.6, 8 and 14; RFC 9112, 6.1; RFC 6266; RFC 9530).
const OF_THE_BODY: [&str; 14] = [
    "accept-ranges",
    "content-digest",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "etag",
    "last-modified",
    "repr-digest",
    "trailer",
    "transfer-encoding",
];

/// Returns the headers that the response `made` takes over from the response `given` that it replaces.
/// An adapter appends them to its own.
///
/// Cookies and `Vary` are always taken over. Headers that describe the body of `given` are dropped. Any
/// other header, which a layer further inside has added, is taken over with all its lines, unless `made`
/// has one of this name. Names are in lower case.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::adapter::headers_of_replaced;
///
/// let made = [("content-type", "text/html"), ("cache-control", "no-store")];
/// let given = [("link", "</a>"), ("link", "</b>"), ("etag", "1"), ("cache-control", "public")];
/// let kept = headers_of_replaced(
///     made.iter().map(|(name, value)| (name, value)),
///     given.iter().map(|(name, value)| (name, value)),
/// );
/// assert_eq!(kept, [("link", "</a>"), ("link", "</b>")]);
/// ```
pub fn headers_of_replaced<'a, N, V>(
    made: impl IntoIterator<Item = (&'a N, &'a V)>,
    given: impl IntoIterator<Item = (&'a N, &'a V)>,
) -> Vec<(N, V)>
where
    N: AsRef<str> + Clone + 'a,
    V: Clone + 'a,
{
    let own: Vec<&str> = made.into_iter().map(|(name, _)| name.as_ref()).collect();
    let is_kept = |name: &str| match name {
        "set-cookie" | "vary" => true,
        name => !OF_THE_BODY.contains(&name) && !own.contains(&name),
    };
    let kept = given.into_iter().filter(|(name, _)| is_kept(name.as_ref()));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_the_replaced_body_go_and_those_of_layers_stay_with_all_their_lines() {
        let kept = |own: &str, given: &str| {
            let (own, given) = ([(own, 0)], [(given, 1), (given, 2)]);
            let own = own.iter().map(|(name, value)| (name, value));
            let given = given.iter().map(|(name, value)| (name, value));
            headers_of_replaced(own, given).len()
        };
        for name in OF_THE_BODY {
            assert_eq!(kept("x-own", name), 0, "{name}");
        }
        for name in ["content-security-policy", "link", "x-request-id"] {
            assert_eq!((kept("x-own", name), kept(name, name)), (2, 0), "{name}");
        }
        for name in ["set-cookie", "vary"] {
            assert_eq!((kept("x-own", name), kept(name, name)), (2, 2), "{name}");
        }
    }
}
