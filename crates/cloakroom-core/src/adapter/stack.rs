//! The contexts of all session layers around a route.

use super::{context::RequestContext, nesting};
use crate::{
    http::fetch_metadata::Method,
    session::sessions::{Sessions, TokenTransport},
};

/// The contexts of one request: one for each session layer around its route, the innermost first.
///
/// An adapter puts it into the request's extensions, where the extractors find it.
#[derive(Clone, Debug)]
pub struct ContextStack(RequestContext);

impl ContextStack {
    /// Starts the context of one layer. `outer` is the stack that the layers around it have put into the
    /// request's extensions.
    ///
    /// Returns the stack for the request's extensions, and the context of the layer. If an outer layer
    /// handles the same cookie, that is the context of the outer layer, and its
    /// [`finish`](RequestContext::finish) commits nothing here, because a response must not set one cookie
    /// twice. If the settings of that layer differ, a warning is logged once.
    pub fn begin(sessions: &Sessions, method: &str, outer: Option<Self>) -> (Self, RequestContext) {
        if let Some(outer) = outer.as_ref() {
            outer.0.begin_attempt();
            if let Some(same) = outer.for_slot_of(sessions) {
                return (outer.clone(), same.clone().without_commit());
            }
        }
        let outer = outer.map(|outer| outer.0);
        let context = RequestContext::within(outer, sessions, Method::of(method));
        (Self(context.clone()), context)
    }

    /// Returns the context of the innermost layer.
    pub fn current(&self) -> &RequestContext {
        &self.0
    }

    /// Returns the context of the layer for the same cookie, and warns if its settings differ.
    fn for_slot_of(&self, sessions: &Sessions) -> Option<&RequestContext> {
        let mut layers = self.0.layers();
        let same = layers.find(|context| context.sessions().shares_slot_with(sessions))?;
        if !same.sessions().shares_settings_with(sessions) {
            nesting::warn_once(same.sessions(), sessions);
        }
        Some(same)
    }

    /// Returns the context of the innermost layer whose token travels in a cookie: the one that a forged
    /// request would use.
    pub(crate) fn cookie(&self) -> Option<&RequestContext> {
        self.0
            .layers()
            .find(|context| context.sessions().token_transport() == TokenTransport::Cookie)
    }

    /// Returns the context of the layer for the cookie of this name.
    pub fn named(&self, cookie: &str) -> Option<&RequestContext> {
        self.0.layers().find(|context| {
            let sessions = context.sessions();
            sessions.token_transport() == TokenTransport::Cookie && sessions.cookie_name() == cookie
        })
    }
}
