//! For the tests of applications.
//!
//! - [`session`] and [`session_with_form`]: a session for functions that take one.
//! - [`TestClient`]: a visitor who sends requests to an application in process, and may come with a
//!   session already; the adapters have the functions that make one. What came of a request is looked
//!   at with [`TestResponse`].
//! - [`FakeClock`]: time that goes by when it is told to.

mod client;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod response;

use futures_util::FutureExt;

pub use self::{
    client::{Answered, Application, Sent, TestClient, TestRequest},
    response::TestResponse,
};
pub use cloakroom_store::clock::FakeClock;

use crate::{
    adapter::RequestContext,
    crypto::app_keys::AppKeys,
    form::FormInput,
    session::{Session, sessions::Sessions},
};

/// A new, empty session on the cookie driver.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// fn greet(session: &cloakroom::Session) -> String {
///     format!("Hello {}", session.get_or("username", "guest".to_owned()).unwrap())
/// }
///
/// let session = cloakroom::testing::session();
/// assert_eq!(greet(&session), "Hello guest");
/// session.put("username", "virk").unwrap();
/// assert_eq!(greet(&session), "Hello virk");
/// ```
///
/// # Panics
/// Never: the default settings are valid, and the cookie driver waits for nothing.
#[must_use]
pub fn session() -> Session {
    loaded(None)
}

/// The same in a request that sent `form`, as a browser would encode it.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// let session = cloakroom::testing::session_with_form("username=virk&password=secret");
/// session.flash_all().unwrap();
/// ```
///
/// # Panics
/// Where `form` is none, as [`FormInput::from_query`] says.
#[must_use]
#[expect(clippy::expect_used, reason = "see Panics")]
pub fn session_with_form(form: &str) -> Session {
    loaded(Some(FormInput::from_query(form).expect("a form")))
}

#[expect(clippy::expect_used, reason = "see Panics above")]
fn loaded(form: Option<FormInput>) -> Session {
    let sessions = Sessions::cookie(AppKeys::random()).build().expect("the defaults are valid");
    let visit = RequestContext::new(&sessions);
    if let Some(form) = form {
        visit.capture(form);
    }
    let no_headers: &[(&str, &str)] = &[];
    let session = visit.session(no_headers).now_or_never();
    session.expect("the cookie driver never waits").expect("an absent cookie is no error")
}
