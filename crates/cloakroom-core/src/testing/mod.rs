//! Helpers for the tests of applications.
//!
//! - [`session`] and [`session_with_form`] make a session for functions that take one.
//! - [`TestClient`] sends requests to an application in process, with cookies and a prepared session.
//!   The adapters have functions that make one. [`TestResponse`] has assertions on the response and the
//!   session after it.
//! - [`FakeClock`] is a clock that tests set.

mod client;
#[cfg(feature = "device-binding")]
mod device;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod response;

use futures_util::FutureExt;

pub use self::{
    client::{Application, RawRequest, RawResponse, TestClient, TestRequest},
    response::TestResponse,
};
pub use cloakroom_store::clock::FakeClock;
#[cfg(feature = "device-binding")]
pub use device::TestDevice;

use crate::{
    adapter::RequestContext,
    crypto::app_keys::AppKeys,
    form::FormInput,
    session::{
        Session,
        sessions::{Driver, Sessions},
    },
};

/// Makes a new, empty session on the cookie driver.
///
/// # Panics
/// Never, because the default settings are valid and the cookie driver waits for nothing.
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
#[must_use]
pub fn session() -> Session {
    loaded(None)
}

/// Makes a new, empty session in a request with the form `form`, encoded as by a browser.
///
/// # Panics
/// When [`FormInput::from_query`] refuses `form`.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// let session = cloakroom::testing::session_with_form("username=virk&password=secret");
/// session.flash_all().unwrap();
/// ```
#[must_use]
#[expect(clippy::expect_used, reason = "see Panics")]
pub fn session_with_form(form: &str) -> Session {
    loaded(Some(FormInput::from_query(form).expect("a form")))
}

#[expect(clippy::expect_used, reason = "see Panics above")]
fn loaded(form: Option<FormInput>) -> Session {
    let sessions = Sessions::builder(Driver::Cookie, AppKeys::random())
        .build()
        .expect("the defaults are valid");
    let context = RequestContext::new(&sessions);
    if let Some(form) = form {
        context.capture(form);
    }
    let no_headers: &[(&str, &str)] = &[];
    let session = context.session(no_headers).now_or_never();
    session.expect("the cookie driver never waits").expect("an absent cookie is no error")
}
