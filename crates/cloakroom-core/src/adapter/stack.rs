//! The contexts of all session layers around a route.

use std::sync::Arc;

use super::{context::RequestContext, nesting};
use crate::{
    http::fetch_metadata::Method,
    session::sessions::{Sessions, TokenTransport},
};

/// The visits of one request: that of the innermost session layer, and through it those of the layers
/// around. What an adapter puts into the request's extensions.
#[derive(Clone, Debug)]
pub struct ContextStack {
    current: RequestContext,
    outer: Option<Arc<ContextStack>>,
}

impl ContextStack {
    /// Begins a visit within those of the layers `around`. There is none to be finished where one of
    /// them is for the same cookie: a response must not set one cookie twice. If that layer has other
    /// settings, a warning says so once.
    pub fn begin(
        sessions: &Sessions,
        method: &str,
        outer: Option<Self>,
    ) -> (Self, Option<RequestContext>) {
        match outer {
            Some(outer) if outer.has(sessions) => (outer, None),
            outer => {
                let visit = RequestContext::with_method(sessions, Method::of(method));
                let outer = outer.map(Arc::new);
                (Self { current: visit.clone(), outer }, Some(visit))
            }
        }
    }

    /// The visit of the innermost layer.
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

    /// The visit of the innermost layer whose token a cookie carries: the one that a forged request
    /// would use.
    pub(crate) fn cookie(&self) -> Option<&RequestContext> {
        if self.current.sessions().token_transport() == TokenTransport::Cookie {
            return Some(&self.current);
        }
        self.outer.as_ref()?.cookie()
    }

    /// The visit of the layer for this cookie.
    pub fn named(&self, cookie: &str) -> Option<&RequestContext> {
        let sessions = self.current.sessions();
        if sessions.token_transport() == TokenTransport::Cookie && sessions.cookie_name() == cookie
        {
            return Some(&self.current);
        }
        self.outer.as_ref()?.named(cookie)
    }
}
