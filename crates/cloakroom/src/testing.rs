//! Sessions without a server, for tests of functions that take one.

use futures_util::FutureExt;

use crate::{AppKeys, Session, Sessions, form::FormInput};

/// A new, empty session on the cookie driver.
///
/// ```
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
    let visit = sessions.visit();
    if let Some(form) = form {
        visit.capture(form);
    }
    let no_headers: &[(&str, &str)] = &[];
    let session = visit.session(no_headers).now_or_never();
    session.expect("the cookie driver never waits").expect("an absent cookie is no error")
}
