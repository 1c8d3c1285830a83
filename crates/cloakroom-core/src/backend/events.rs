//! Events of sessions for the application's audit log.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use crate::{
    backend::context::Context,
    observe,
    record::{handle::SessionHandle, owner::Owner},
};
use cloakroom_store::clock::Timestamp;

/// An event in the life of a session, for [`SessionsBuilder::on_event`](crate::SessionsBuilder::on_event).
///
/// It has no token, so a log of events gives no access to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionEvent {
    /// The kind of event.
    pub kind: SessionEventKind,
    /// The owner of the session, if it has one.
    pub owner: Option<String>,
    /// The handle of the session. `None` on the cookie driver.
    pub handle: Option<SessionHandle>,
    /// The moment of the event.
    pub at: Timestamp,
}

/// A step in the life of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEventKind {
    /// A session was stored for the first time.
    Created,
    /// A request has set the owner, as [`Session::sign_in`](crate::Session::sign_in) does. Without a handle, a
    /// concurrent request has set another owner in the same commit.
    SignedIn,
    /// The session got a new token. With an owner the handle stays. Without one it changes, and this is the new
    /// one.
    Regenerated,
    /// The session was ended. The owner and the handle are those that it had.
    Destroyed(EndedBy),
    /// A request came with a session whose deadline had passed. Not every session that expires has this
    /// event, because many are never asked for again, and drivers remove expired records in bulk.
    /// A session can have it several times.
    Expired,
}

/// Who has ended a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndedBy {
    /// A request of the session itself, as at a sign-out. Also a request whose
    /// [owner stamp](crate::Session::set_owner_stamp) is out of date.
    Visitor,
    /// The owner, through [`OwnerSessions`](crate::OwnerSessions) in another session.
    Owner,
    /// The application, through [`SessionAdmin`](crate::SessionAdmin).
    Operator,
    /// A sign-in of the owner beyond [`max_sessions`](crate::SessionsBuilder::max_sessions).
    MaxSessions,
}

/// The application's function that gets the events.
#[derive(Clone)]
pub(crate) struct Subscriber(Arc<dyn Fn(&SessionEvent) + Send + Sync>);

impl Subscriber {
    pub(crate) fn new(call: impl Fn(&SessionEvent) + Send + Sync + 'static) -> Self {
        Self(Arc::new(call))
    }
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Subscriber")
    }
}

impl Context {
    pub(crate) fn has_subscriber(&self) -> bool {
        self.subscriber.is_some()
    }

    /// Calls the subscriber, if there is one. Its panic must not fail the commit that has succeeded.
    pub(crate) fn report(
        &self,
        kind: SessionEventKind,
        owner: Option<&Owner>,
        handle: Option<SessionHandle>,
    ) {
        let Some(Subscriber(call)) = &self.subscriber else { return };
        let owner = owner.map(|owner| owner.name.clone().into());
        let event = SessionEvent { kind, owner, handle, at: self.now() };
        if catch_unwind(AssertUnwindSafe(|| call(&event))).is_err() {
            observe::subscriber_panicked(kind);
        }
    }
}
