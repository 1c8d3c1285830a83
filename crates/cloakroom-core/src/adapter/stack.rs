//! The contexts of all session layers around a route.

use std::sync::Arc;

use super::{context::RequestContext, nesting};
use crate::{
    http::fetch_metadata::Method,
    session::sessions::{Sessions, TokenTransport},
};

/// The contexts of one request: one for each session layer around its route, the innermost first.
///
/// An adapter puts it into the request's extensions, where the extractors find it.
#[derive(Clone, Debug)]
pub struct ContextStack {
    current: RequestContext,
    outer: Option<Arc<ContextStack>>,
}

impl ContextStack {
    /// Starts the context of one layer. `outer` is the stack that the layers around it have put into the
    /// request's extensions.
    ///
    /// Returns the stack for the request's extensions, and the context that the layer has to
    /// [finish](RequestContext::finish). The latter is `None` if an outer layer handles the same cookie,
    /// because a response must not set one cookie twice. If the settings of that layer differ, a warning
    /// is logged once.
    pub fn begin(
        sessions: &Sessions,
        method: &str,
        outer: Option<Self>,
    ) -> (Self, Option<RequestContext>) {
        match outer {
            Some(outer) if outer.has(sessions) => (outer, None),
            outer => {
                let context = RequestContext::with_method(sessions, Method::of(method));
                let outer = outer.map(Arc::new);
                (Self { current: context.clone(), outer }, Some(context))
            }
        }
    }

    /// Returns the context of the innermost layer.
    pub fn current(&self) -> &RequestContext {
        &self.current
    }

    /// Returns whether one of these layers is for the same cookie, and warns if its settings differ.
    fn has(&self, sessions: &Sessions) -> bool {
        let own = self.current.sessions();
        if own.shares_slot_with(sessions) {
            if !own.shares_settings_with(sessions) {
                nesting::warn_once(own, sessions);
            }
            return true;
        }
        self.outer.as_ref().is_some_and(|outer| outer.has(sessions))
    }

    /// Returns the context of the innermost layer whose token travels in a cookie: the one that a forged
    /// request would use.
    pub(crate) fn cookie(&self) -> Option<&RequestContext> {
        if self.current.sessions().token_transport() == TokenTransport::Cookie {
            return Some(&self.current);
        }
        self.outer.as_ref()?.cookie()
    }

    /// Returns the context of the layer for the cookie of this name.
    pub fn named(&self, cookie: &str) -> Option<&RequestContext> {
        let sessions = self.current.sessions();
        if sessions.token_transport() == TokenTransport::Cookie && sessions.cookie_name() == cookie
        {
            return Some(&self.current);
        }
        self.outer.as_ref()?.named(cookie)
    }
}
