//! Sessions by the cookie of their layer.

use std::{marker::PhantomData, ops::Deref};

use crate::session::Session;

/// Names the cookie of one of several session layers, for [`NamedSession`].
pub trait CookieName {
    /// The name of the layer's cookie.
    const COOKIE_NAME: &'static str;
}

/// Extracts the session of the layer for one cookie, where several layers are around a route.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::{CookieName, Error, NamedSession, Session};
///
/// struct Shop;
/// impl CookieName for Shop {
///     const COOKIE_NAME: &'static str = "__Host-shop";
/// }
///
/// async fn cart(admin: Session, shop: NamedSession<Shop>) -> Result<&'static str, Error> {
///     shop.put("items", 3)?;
///     Ok("three items")
/// }
/// ```
#[derive(Clone, Debug)]
pub struct NamedSession<N> {
    session: Session,
    name: PhantomData<fn() -> N>,
}

impl<N> NamedSession<N> {
    /// Wraps the session of the layer for the cookie `N`. Adapters call this.
    pub fn new(session: Session) -> Self {
        Self { session, name: PhantomData }
    }
}

impl<N> Deref for NamedSession<N> {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}
