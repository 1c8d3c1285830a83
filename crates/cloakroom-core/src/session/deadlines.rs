//! The deadlines of a session.

use cloakroom_store::clock::Timestamp;

/// When a session began, and when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deadlines {
    /// When the session began.
    pub created: Timestamp,
    /// When the session ends if it is not used until then. `None` before its first commit.
    pub idle: Option<Timestamp>,
    /// When the session ends at the latest. `None` without an absolute timeout.
    pub absolute: Option<Timestamp>,
}
