//! The end of a request: what is committed, and which headers the response gets.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use super::context::{Part, RequestContext};
use crate::{
    backend::{context::ServerErrors, detached::Detached},
    error::WithCauses,
    http::{request_line::RequestLine, response_headers::ResponseHeaders},
    observe,
    session::{
        ending::Ending,
        uncommitted::{CommitResult, Uncommitted},
    },
};

/// The effects of layers inside, and of handlers for failures, on the end of a request in one layer.
#[derive(Default)]
pub(super) struct Inside {
    /// The cookies of the sessions of layers inside. They are lost if the response is.
    set_cookie: Vec<String>,
    /// The status of the response before a handler for failures replaced it.
    given: Option<u16>,
    panic: Panic,
}

/// Whether the response was made from a panic of the handler.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Panic {
    #[default]
    No,
    Yes,
}

impl RequestContext {
    /// Forgets how the last attempt ended, if a layer in between calls the handler again.
    pub(super) fn begin_attempt(&self) {
        for context in self.layers() {
            let inside = &mut context.progress().inside;
            (inside.given, inside.panic) = <_>::default();
        }
    }

    /// Notes for this layer and those around it that a handler for failures replaces a response of this
    /// status.
    pub(super) fn note_replaced(&self, status: u16) {
        for context in self.layers() {
            context.progress().inside.given.get_or_insert(status);
        }
    }

    /// Notes for this layer and those around it that the response is made from a panic.
    pub(super) fn note_panic(&self) {
        for context in self.layers() {
            context.progress().inside.panic = Panic::Yes;
        }
    }

    /// Commits the session if it was loaded, and returns the headers that the response has to carry.
    /// Later changes of the session are errors, and so are changes of a session that is first asked for
    /// later, inside a streamed body. `status` is the one of the response. The layer of a context that
    /// [leaves its session to an outer one](super::ContextStack::begin) commits nothing.
    ///
    /// With a status of 408 or 504 ordinary changes are discarded, and flash that was read stays for
    /// the next page, because a timeout inside the session layer has cut the handler off in the middle.
    /// If a handler for failures has [replaced](super::OnFailure) the response, the status before that
    /// decides whether changes are discarded, and `status` whether the visitor saw the flash. A response
    /// that a layer inside has made from a panic ends the session as [`abandon`](Self::abandon) does.
    pub fn finish(&self, status: u16) -> CommitFuture {
        if self.part == Part::LeavesToOuter {
            return CommitFuture::without_session();
        }
        let (Some(session), inside) = self.close() else { return CommitFuture::without_session() };
        let given = inside.given.unwrap_or(status);
        let ending = match status {
            _ if inside.panic == Panic::Yes => Ending::Abandoned,
            _ if self.discards(given) => Ending::Discarded,
            300..400 => Ending::Redirect,
            _ => Ending::Page,
        };
        let page = self.progress().page.take();
        if let (Ending::Page, 200..300, Some(page)) = (ending, status, page) {
            session.keep_url(&page);
        }
        CommitFuture::new(session.end(ending), self, Response::Sent, inside)
    }

    /// Returns whether ordinary changes are discarded if the handler replies with this status.
    fn discards(&self, status: u16) -> bool {
        let server_errors = self.sessions().context().server_errors();
        matches!(status, 408 | 504)
            || (server_errors == ServerErrors::Discard && (500..600).contains(&status))
    }

    /// Ends a request whose handler panicked. A `destroy` takes effect, and other changes that were not
    /// committed are dropped. A response, if there is one, has to carry the headers that earlier commits
    /// have earned. `request` is for the log line of a `destroy` that fails.
    pub fn abandon(&self, request: RequestLine<'_>) -> CommitFuture {
        if self.part == Part::LeavesToOuter {
            return CommitFuture::without_session();
        }
        let (session, inside) = self.close();
        let commit = match session {
            Some(session) if session.is_destroyed() => {
                let has_response = session.has_earned_cookie() || !inside.set_cookie.is_empty();
                let commit = session.end(Ending::Abandoned);
                let (method, path) = (request.method().to_owned(), request.path().to_owned());
                Detached::new(async move {
                    let committed = commit.await.inspect_err(|uncommitted| {
                        let error = WithCauses(&uncommitted.error);
                        let message = format_args!("the session could not be destroyed: {error}");
                        observe::failed(message, Some(RequestLine::new(&method, &path)));
                    });
                    committed.map(|headers| if has_response { headers } else { <_>::default() })
                })
            }
            Some(session) => session.end(Ending::Abandoned),
            None => Detached::ready(Ok(ResponseHeaders::default())),
        };
        CommitFuture::new(commit, self, Response::Lost, inside)
    }
}

/// A future that commits the session at the request's end and returns the headers for the response.
///
/// A commit that has to wait for a store continues in a separate task, so that it runs to its end even
/// if the client has disconnected. It then needs a tokio runtime with a timer.
///
/// # Errors
/// When the commit failed. The handler's response must then not be sent, because it may report a
/// success. Send the status [`Error::http_status`](crate::Error::http_status) and the headers of the
/// error instead.
#[must_use = "a commit that is not run is lost"]
pub struct CommitFuture {
    /// `None` if the request used no session.
    commit: Option<Detached<CommitResult>>,
    outer: Option<RequestContext>,
    response: Response,
    /// The cookies of layers inside, for the response that replaces a lost one.
    inside: Vec<String>,
}

/// Whether the response that came from inside is sent if the commit succeeds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Response {
    Sent,
    Lost,
}

impl CommitFuture {
    fn new(
        commit: Detached<CommitResult>,
        context: &RequestContext,
        response: Response,
        inside: Inside,
    ) -> Self {
        let outer = context.outer().cloned();
        Self { commit: Some(commit), outer, response, inside: inside.set_cookie }
    }

    /// Returns the empty result of a request that used no session.
    fn without_session() -> Self {
        Self { commit: None, outer: None, response: Response::Sent, inside: Vec::new() }
    }
}

impl Future for CommitFuture {
    type Output = Result<ResponseHeaders, Uncommitted>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(commit) = &mut self.commit else { return Poll::Ready(Ok(<_>::default())) };
        let mut result = ready!(Pin::new(commit).poll(cx));
        let is_lost = result.is_err() || self.response == Response::Lost;
        let headers = match &mut result {
            Ok(headers) | Err(Uncommitted { headers, .. }) => headers,
        };
        for outer in self.outer.iter().flat_map(RequestContext::layers) {
            outer.progress().inside.set_cookie.extend_from_slice(&headers.set_cookie);
        }
        if is_lost {
            headers.set_cookie.append(&mut self.inside);
        }
        Poll::Ready(result)
    }
}

impl fmt::Debug for CommitFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CommitFuture(…)")
    }
}
