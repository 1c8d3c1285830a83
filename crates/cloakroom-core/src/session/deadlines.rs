//! When a session ends.

use cloakroom_store::clock::Timestamp;

/// The times of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deadlines {
    /// When the session began.
    pub created: Timestamp,
    /// When it ends if nobody uses it; `None` until it is kept somewhere.
    pub idle: Option<Timestamp>,
    /// When it ends in any case, where it has an absolute lifetime.
    pub absolute: Option<Timestamp>,
}
