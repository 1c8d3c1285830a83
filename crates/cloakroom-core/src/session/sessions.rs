//! The session system of an application.

use std::{fmt, panic::Location, sync::Arc};

use crate::{
    backend::{Backend, context::Context, decide::Worth, lookup::Lookup, sign_ins::SignIns},
    crypto::app_keys::AppKeys,
    error::Error,
    http::site_origins::SiteOrigins,
    session::builder::SessionsBuilder,
};
use cloakroom_store::Store;

/// The session system of an application: driver, keys, cookie and timeouts. Clones are cheap and share
/// one state.
///
/// Build it once at startup and pass it to the layer or middleware of your framework.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use std::time::Duration;
/// use cloakroom::{AppKeys, MemoryStore, Sessions};
///
/// let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random())
///     .idle_timeout(Duration::from_secs(30 * 60))
///     .absolute_timeout(Duration::from_secs(12 * 60 * 60))
///     .build()?;
/// # Ok::<(), cloakroom::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Sessions {
    shared: Arc<Shared>,
    token_transport: TokenTransport,
    /// Where in its source the application made the layer of these sessions.
    layer: Option<&'static Location<'static>>,
}

struct Shared {
    context: Context,
    backend: Backend,
    sign_ins: SignIns,
}

/// How clients send the token. The sessions of one layer use one of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenTransport {
    Cookie,
    /// `Authorization: Bearer`. The application returns the token to the client.
    Bearer,
}

impl Sessions {
    /// Returns a builder of sessions on a driver: [`Driver::Cookie`], or a store.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::{AppKeys, Driver, MemoryStore, Sessions};
    ///
    /// let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
    /// assert_eq!(sessions.driver_name(), "memory");
    /// let sessions = Sessions::builder(Driver::Cookie, AppKeys::random()).build()?;
    /// assert_eq!(sessions.driver_name(), "cookie");
    /// # Ok::<(), cloakroom::ConfigError>(())
    /// ```
    pub fn builder(driver: impl Into<Driver>, keys: AppKeys) -> SessionsBuilder {
        SessionsBuilder::new(driver.into(), keys)
    }

    /// Makes the sessions of checked settings.
    pub(super) fn new(context: Context, backend: Backend) -> Self {
        let shared = Arc::new(Shared { context, backend, sign_ins: SignIns::default() });
        Self { shared, token_transport: TokenTransport::Cookie, layer: None }
    }

    /// Returns the same sessions for clients without cookies. The client sends the token in
    /// `Authorization: Bearer` (RFC 6750), and cookies are neither read nor set.
    ///
    /// Use it in a layer around the routes of an API. A handler gets the token for the client from
    /// [`Session::bearer_token`](crate::Session::bearer_token).
    ///
    /// # Errors
    /// [`Error::is_unsupported`] on the cookie driver, because its records are in cookies.
    ///
    /// # Security
    /// CSRF layers let these requests pass, because browsers do not add the header by themselves, so
    /// another site cannot forge it.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::{AppKeys, MemoryStore, Sessions};
    ///
    /// let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
    /// let api = sessions.bearer()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn bearer(&self) -> Result<Self, Error> {
        self.lookup("carry a session in the Authorization header")?;
        Ok(Self { token_transport: TokenTransport::Bearer, ..self.clone() })
    }

    /// Sets the source location at which the application makes a layer of these sessions, so that a
    /// warning about the layer can name it. Adapters call it in constructors with `#[track_caller]`.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, Driver, Sessions};
    /// #[track_caller]
    /// fn layer(sessions: Sessions) -> Sessions {
    ///     sessions.in_layer_at(std::panic::Location::caller())
    /// }
    /// # layer(Sessions::builder(Driver::Cookie, AppKeys::random()).build()?);
    /// # Ok::<(), cloakroom::ConfigError>(())
    /// ```
    #[must_use]
    pub fn in_layer_at(self, location: &'static Location<'static>) -> Self {
        Self { layer: Some(location), ..self }
    }

    pub(crate) fn layer(&self) -> Option<&'static Location<'static>> {
        self.layer
    }

    /// Returns whether these and `other` are clones of one session system.
    pub(crate) fn shares_settings_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    pub(crate) fn token_transport(&self) -> TokenTransport {
        self.token_transport
    }

    /// Returns what a commit stores when a page shows a CSRF token to a visitor without a session. A
    /// store needs a pre-session cookie. The cookie driver stores its record in the cookie anyway. A
    /// bearer client gets nothing, because it would not receive the token of the stored record.
    pub(crate) fn worth_of_csrf_token(&self) -> Worth {
        match (self.token_transport, self.backend()) {
            (TokenTransport::Bearer, _) => Worth::Nothing,
            (TokenTransport::Cookie, Backend::Store(_)) => Worth::Cookie,
            (TokenTransport::Cookie, Backend::Cookie(_)) => Worth::Record,
        }
    }

    /// Returns whether these and `other` read their tokens from the same cookie or header.
    pub(crate) fn shares_slot_with(&self, other: &Self) -> bool {
        self.token_transport == other.token_transport
            && (self.token_transport == TokenTransport::Bearer
                || self.cookie_name() == other.cookie_name())
    }

    /// Returns the name of the cookie.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, Driver, Sessions};
    /// let sessions = Sessions::builder(Driver::Cookie, AppKeys::random()).build()?;
    /// assert!(sessions.cookie_name().starts_with("__Host-"));
    /// # Ok::<(), cloakroom::ConfigError>(())
    /// ```
    pub fn cookie_name(&self) -> &str {
        self.context().cookies().name()
    }

    /// Returns the driver's name: `cookie`, or the name of the store.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions};
    /// let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
    /// assert_eq!(sessions.driver_name(), "memory");
    /// # Ok::<(), cloakroom::ConfigError>(())
    /// ```
    pub fn driver_name(&self) -> &'static str {
        self.backend().name()
    }

    /// Returns the origins of the application: its own, and those that it trusts.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, Driver, Sessions};
    /// let sessions = Sessions::builder(Driver::Cookie, AppKeys::random())
    ///     .trusted_origins(["https://admin.example.org".parse()?])
    ///     .build()?;
    /// let next = "https://admin.example.org/users";
    /// assert_eq!(sessions.origins().redirect_target(next, None).as_deref(), Some(next));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn origins(&self) -> &SiteOrigins {
        self.context().origins()
    }

    /// Returns the path of the [sign-in page](SessionsBuilder::sign_in_page).
    pub(crate) fn sign_in_page(&self) -> Option<&str> {
        self.context().sign_in_page()
    }

    pub(crate) fn context(&self) -> &Context {
        &self.shared.context
    }

    pub(crate) fn sign_ins(&self) -> &SignIns {
        &self.shared.sign_ins
    }

    pub(crate) fn backend(&self) -> &Backend {
        &self.shared.backend
    }

    /// Returns a lookup of sessions outside of their requests. `attempted` names the purpose in an
    /// error.
    ///
    /// # Errors
    /// On the cookie driver.
    pub(crate) fn lookup(&self, attempted: &'static str) -> Result<Lookup<'_>, Error> {
        Lookup::new(self.backend(), self.context(), attempted)
    }
}

/// Shows settings and no secrets.
impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("driver", &self.driver_name())
            .field("cookie_name", &self.cookie_name())
            .field("origins", self.origins())
            .field("lifetimes", self.context().lifetimes())
            .field("show_errors", &self.context().show_errors())
            .finish_non_exhaustive()
    }
}

/// Where sessions are stored. Every store converts into one.
///
/// [The guide](https://docs.rs/cloakroom/latest/cloakroom/guide/drivers/) compares the drivers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Driver {
    /// The visitor's cookie, sealed. It needs no server. Use a store if its limits matter: of two
    /// concurrent responses the last one wins, a session has to fit into a few kilobytes, and a copied
    /// cookie is valid until its deadline.
    Cookie,
    /// A store. The cookie has only a token.
    Store(Arc<dyn Store>),
}

impl<S: Store> From<S> for Driver {
    fn from(store: S) -> Self {
        Self::Store(Arc::new(store))
    }
}
