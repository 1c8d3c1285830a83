//! Names of values that only the library writes.

/// The moment of the last proof of identity.
pub(crate) const AUTHENTICATED_AT: &str = "_authenticated_at";

/// The URL to return to after signing in.
pub(crate) const INTENDED_URL: &str = "_intended_url";

/// The URL of the last page that was shown.
pub(crate) const PREVIOUS_URL: &str = "_previous_url";

/// All of them. An application that stores a form with [`put_all`](crate::Session::put_all) must not let a
/// visitor decide when they have proved their identity.
pub(super) const NAMES: [&str; 3] = [AUTHENTICATED_AT, INTENDED_URL, PREVIOUS_URL];
