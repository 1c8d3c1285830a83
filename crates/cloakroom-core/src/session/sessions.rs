//! The session system that all requests of an application share.

use std::{fmt, num::NonZeroUsize, panic::Location, sync::Arc, time::Duration};

use crate::{
    backend::{
        Backend,
        context::{Context, ServerErrors},
        decide::Worth,
        lookup::Lookup,
        not_before::NotBefore,
        sign_ins::SignIns,
        store::StoreBackend,
    },
    cookie::{CookieError, CookieSettings, Cookies, ValueForm, pre_session::PreSessions},
    crypto::{
        app_keys::AppKeys,
        app_tag::{AppTags, Scope},
        csrf_token::CsrfKeys,
        seal::Sealer,
    },
    error::Error,
    form::SecretFields,
    http::site_scheme::SiteScheme,
    record::lifetimes::Lifetimes,
};
use cloakroom_store::{
    Store,
    clock::{Clock, SystemClock},
};

/// The idle timeout unless set: two hours.
pub const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(2 * 3_600);

/// How long a commit is tried unless set: five seconds.
const DEFAULT_COMMIT_DEADLINE: Duration = Duration::from_secs(5);
/// How many bytes a store's record may have unless set: 256 KiB.
const DEFAULT_MAX_BYTES: usize = 256 * 1024;
/// How many sessions an owner may have unless set.
const DEFAULT_MAX_SESSIONS: usize = 100;

/// An application's session system: driver, keys, cookie and lifetimes. Cheap to clone.
///
/// Give it to your framework's layer or middleware; that is all an application does with it.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use std::time::Duration;
/// use cloakroom::{AppKeys, MemoryStore, Sessions};
///
/// let sessions = Sessions::store(MemoryStore::new(), AppKeys::random())
///     .idle_timeout(Duration::from_secs(30 * 60))
///     .absolute_timeout(Duration::from_secs(12 * 60 * 60))
///     .build()?;
/// # Ok::<(), cloakroom::cookie::CookieError>(())
/// ```
#[derive(Clone)]
pub struct Sessions {
    shared: Arc<Shared>,
    token_transport: TokenTransport,
    /// Where the application made the layer that these are in.
    layer: Option<&'static Location<'static>>,
}

struct Shared {
    context: Context,
    backend: Backend,
    sign_ins: SignIns,
}

/// What carries the token to and fro: one or the other, never both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenTransport {
    Cookie,
    /// `Authorization: Bearer`; the application hands the token out.
    Bearer,
}

impl Sessions {
    /// Sessions that travel in the visitor's cookie, sealed. Nothing to install, nothing to sweep;
    /// but the last response wins between tabs, a copied cookie stays good until its deadline, and
    /// a session has to fit into a few kilobytes. [The guide](https://docs.rs/cloakroom/latest/cloakroom/guide/drivers/) says when a store
    /// is better.
    pub fn cookie(keys: AppKeys) -> SessionsBuilder {
        SessionsBuilder::new(DriverChoice::Cookie, keys)
    }

    /// Sessions that live in `store`.
    pub fn store(store: impl Store, keys: AppKeys) -> SessionsBuilder {
        SessionsBuilder::new(DriverChoice::Store(Arc::new(store)), keys)
    }

    /// The same sessions for clients without cookies: the token comes in `Authorization: Bearer`
    /// (RFC 6750), and the application hands it out with
    /// [`Session::bearer_token`](crate::Session::bearer_token). Cookies are neither read nor set.
    ///
    /// Put it around the routes of the API alone; a route is reached by one way or the other. What
    /// no browser sends by itself cannot be forged by another site, so CSRF layers let these requests
    /// pass.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::{AppKeys, MemoryStore, Sessions};
    ///
    /// let sessions = Sessions::store(MemoryStore::new(), AppKeys::random()).build()?;
    /// let api = sessions.bearer()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::is_unsupported`] on the cookie driver, whose records travel in cookies.
    pub fn bearer(&self) -> Result<Self, Error> {
        self.lookup("carry a session in the Authorization header")?;
        Ok(Self { token_transport: TokenTransport::Bearer, ..self.clone() })
    }

    /// Notes where the application makes a layer of these sessions, so that a warning about the layer
    /// can name the place. For adapters, whose constructors have `#[track_caller]`.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, Sessions};
    /// #[track_caller]
    /// fn layer(sessions: Sessions) -> Sessions {
    ///     sessions.in_layer_at(std::panic::Location::caller())
    /// }
    /// # layer(Sessions::cookie(AppKeys::random()).build()?);
    /// # Ok::<(), cloakroom::cookie::CookieError>(())
    /// ```
    #[must_use]
    pub fn in_layer_at(self, place: &'static Location<'static>) -> Self {
        Self { layer: Some(place), ..self }
    }

    pub(crate) fn layer(&self) -> Option<&'static Location<'static>> {
        self.layer
    }

    /// Returns whether these and `other` are clones of one session system, with the same settings.
    pub(crate) fn shares_settings_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    pub(crate) fn token_transport(&self) -> TokenTransport {
        self.token_transport
    }

    /// Returns what a page leaves behind that shows a CSRF token to a visitor without a session. The
    /// cookie driver's record is in the cookie anyway. A bearer gets no token from such a page, so
    /// a record of it would be out of reach and is not stored.
    pub(crate) fn worth_of_csrf_token(&self) -> Worth {
        match (self.token_transport, self.backend()) {
            (TokenTransport::Bearer, _) => Worth::Nothing,
            (TokenTransport::Cookie, Backend::Store(_)) => Worth::Cookie,
            (TokenTransport::Cookie, Backend::Cookie(_)) => Worth::Record,
        }
    }

    /// Whether these and `other` would put their tokens into the same place of a request.
    pub(crate) fn shares_slot_with(&self, other: &Self) -> bool {
        self.token_transport == other.token_transport
            && (self.token_transport == TokenTransport::Bearer
                || self.cookie_name() == other.cookie_name())
    }

    /// The name of the cookie.
    pub fn cookie_name(&self) -> &str {
        self.context().cookies().name()
    }

    /// The driver's name: `cookie`, or what the store calls itself.
    pub fn driver_name(&self) -> &'static str {
        self.backend().name()
    }

    /// Whether browsers send the cookie over https alone, which says how visitors come here.
    pub fn transport(&self) -> SiteScheme {
        if self.context().cookies().are_secure() { SiteScheme::Https } else { SiteScheme::Any }
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

    /// Returns what finds sessions from outside of their requests. `attempted` says in errors what it
    /// is for.
    ///
    /// # Errors
    /// On the cookie driver.
    pub(crate) fn lookup(&self, attempted: &'static str) -> Result<Lookup<'_>, Error> {
        Lookup::new(self.backend(), self.context(), attempted)
    }
}

/// Shows settings, no secrets.
impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("driver", &self.driver_name())
            .field("cookie_name", &self.cookie_name())
            .field("lifetimes", self.context().lifetimes())
            .field("show_errors", &self.context().show_errors())
            .finish_non_exhaustive()
    }
}

enum DriverChoice {
    Cookie,
    Store(Arc<dyn Store>),
}

/// Settings of [`Sessions`] in code, with the names and defaults of `config/session.toml`.
#[must_use = "settings do nothing until `build`"]
pub struct SessionsBuilder {
    driver: DriverChoice,
    keys: AppKeys,
    scope: Scope,
    cookie: CookieSettings,
    idle_timeout: Duration,
    absolute_timeout: Option<Duration>,
    commit_deadline: Duration,
    max_bytes: usize,
    max_sessions: Option<usize>,
    server_errors: ServerErrors,
    show_errors: bool,
    secret_fields: SecretFields,
    not_before: Option<Arc<dyn NotBefore>>,
    clock: Arc<dyn Clock>,
}

impl SessionsBuilder {
    fn new(driver: DriverChoice, keys: AppKeys) -> Self {
        Self {
            driver,
            keys,
            scope: Scope::default(),
            cookie: CookieSettings::default(),
            idle_timeout: DEFAULT_IDLE_TIMEOUT,
            absolute_timeout: None,
            commit_deadline: DEFAULT_COMMIT_DEADLINE,
            max_bytes: DEFAULT_MAX_BYTES,
            max_sessions: Some(DEFAULT_MAX_SESSIONS),
            server_errors: ServerErrors::default(),
            show_errors: false,
            secret_fields: SecretFields::default(),
            not_before: None,
            clock: Arc::new(SystemClock),
        }
    }

    /// The cookie's name and attributes. Default: [`CookieSettings::default`], which browsers accept
    /// over https only.
    pub fn cookie_settings(mut self, settings: CookieSettings) -> Self {
        self.cookie = settings;
        self
    }

    /// The idle timeout: a session that is not used for this long ends. Default: 2 hours. Longer
    /// is more convenient and gives a stolen or forgotten session more time. At least one second.
    pub fn idle_timeout(mut self, idle: Duration) -> Self {
        self.idle_timeout = idle;
        self
    }

    /// The absolute timeout: a session ends this long after it began, however busy it is.
    /// Default: none. Signing in again is its price. At least one second.
    pub fn absolute_timeout(mut self, absolute: Duration) -> Self {
        self.absolute_timeout = Some(absolute);
        self
    }

    /// Sets how long a commit may take: waiting for the writers before it, and trying again while
    /// other processes write the same session. Then the request fails with an error that
    /// [`is_contention`](Error::is_contention), or is [unavailable](Error::is_unavailable) where the
    /// store has not answered. Default: 5 seconds. More keeps requests waiting behind a store that
    /// hangs.
    ///
    /// A request whose commit carries those of others along waits for the store until the last of
    /// their deadlines, because that one step serves all of them. So it may wait for up to twice this
    /// time, and begins no further attempt after its own.
    pub fn commit_deadline(mut self, span: Duration) -> Self {
        self.commit_deadline = span;
        self
    }

    /// Sets how many bytes the record of a session may have in a store. A change that makes it larger
    /// fails with an error that [`is_too_large`](Error::is_too_large), and the session stays as it is.
    /// Before that, old input of a form is left out, largest fields first, with a warning. A record
    /// that is above a lowered limit may shrink. Default: 262,144 (256 KiB). The cookie driver has
    /// [chunks](CookieSettings::max_chunks) instead.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets how many sessions an owner may have at once, on drivers that keep a list of them (OWASP
    /// ASVS 5.0, 7.1.2). Default: 100. `None` lifts the limit, and 0 is refused by
    /// [`build`](Self::build).
    ///
    /// The commit that gives a session its owner ([`Session::set_owner`](crate::Session::set_owner))
    /// ends what is beyond the limit: the sessions that were not used for the longest time, never the
    /// one that signs in. Sign-ins at the same time do not end each other, so there may be as many
    /// more until the next one. Only sign-ins pay for the limit: one look into the owner's list, and
    /// where it is longer than the limit, a read of its records.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::{AppKeys, MemoryStore, Sessions};
    ///
    /// let sessions = || Sessions::store(MemoryStore::new(), AppKeys::random());
    /// assert!(sessions().max_sessions(Some(5)).build().is_ok());
    /// assert!(sessions().max_sessions(None).build().is_ok());
    /// let error = sessions().max_sessions(Some(0)).build().unwrap_err();
    /// assert_eq!(error.to_string(), "max_sessions: at least 1 is accepted, or none for no limit");
    /// ```
    pub fn max_sessions(mut self, limit: Option<usize>) -> Self {
        self.max_sessions = limit;
        self
    }

    /// Reads the store's records of all applications, whatever key they belong to. Default: only those
    /// whose tag belongs to one of this application's keys; others are absences, with one warning.
    ///
    /// For tools that list sessions, show them or end them without the application key. Do not change
    /// sessions through it: a record that is written gets the tag of the first key here.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use std::sync::Arc;
    /// # use cloakroom::{store::Cursor, AppKeys, MemoryStore, Sessions};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = Arc::new(MemoryStore::new());
    /// # let application = Sessions::store(store.clone(), AppKeys::random()).build()?;
    /// # let no_headers: &[(&str, &str)] = &[];
    /// # let session = cloakroom::adapter::RequestContext::new(&application).session(no_headers).await?;
    /// # session.put("user", "virk")?;
    /// # session.commit().await?;
    /// let tool = Sessions::store(store, AppKeys::random()).any_application().build()?;
    /// let handle = session.handle().unwrap();
    /// assert!(tool.admin()?.contents(&handle).await?.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn any_application(mut self) -> Self {
        self.scope = Scope::Any;
        self
    }

    /// What becomes of changes when the response is a server error. Default: they are committed.
    pub fn server_errors(mut self, policy: ServerErrors) -> Self {
        self.server_errors = policy;
        self
    }

    /// Sets whether the library's own response with status 500 or 503 carries the sentence that the log
    /// has, so that a developer sees in the browser why a request failed. Default: off. Turn it on in
    /// development alone, because the sentence names settings and keys of the session. Handlers of
    /// `on_failure` make their responses as before.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions};
    /// let sessions = Sessions::store(MemoryStore::new(), AppKeys::random())
    ///     .show_errors(cfg!(debug_assertions))
    ///     .build()?;
    /// # Ok::<(), cloakroom::cookie::CookieError>(())
    /// ```
    pub fn show_errors(mut self, on: bool) -> Self {
        self.show_errors = on;
        self
    }

    /// Sets which fields of a form `flash_all` and `flash_except` leave out. Default:
    /// [`SecretFields::DEFAULT`]. A field that is missing in the list is kept in the session, and shown
    /// in the page, as it was typed.
    pub fn secret_fields(mut self, fields: SecretFields) -> Self {
        self.secret_fields = fields;
        self
    }

    /// Since when an owner's sign-ins count. Default: all do, as long as they last.
    pub fn not_before(mut self, hook: impl NotBefore) -> Self {
        self.not_before = Some(Arc::new(hook));
        self
    }

    /// Where the time comes from. Default: the operating system.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Checks the settings and builds the session system.
    ///
    /// # Errors
    /// When browsers would refuse the cookie, or remove it at once because a timeout is below one
    /// second, or when an owner may have no session. The error names the settings and says what is accepted.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use std::time::Duration;
    /// use cloakroom::{AppKeys, Sessions};
    ///
    /// let error = Sessions::cookie(AppKeys::random()).idle_timeout(Duration::from_millis(500)).build();
    /// assert_eq!(error.unwrap_err().to_string(), "idle_timeout: at least one second is accepted");
    /// ```
    pub fn build(self) -> Result<Sessions, CookieError> {
        let form = match self.driver {
            DriverChoice::Cookie => ValueForm::Sealed,
            DriverChoice::Store(_) => ValueForm::Token,
        };
        let cookies = Cookies::new(self.cookie, form)?;
        let max_sessions = match self.max_sessions.map(NonZeroUsize::new) {
            Some(None) => {
                return Err(CookieError::new(
                    "max_sessions: at least 1 is accepted, or none for no limit",
                ));
            }
            limit => limit.flatten(),
        };
        let backend = match self.driver {
            DriverChoice::Cookie => {
                Backend::Cookie(Sealer::new(&self.keys, "session", cookies.name()))
            }
            DriverChoice::Store(store) => Backend::Store(StoreBackend::new(store)),
        };
        let context = Context {
            cookie_contents: backend.cookie_contents(),
            apps: AppTags::new(&self.keys, self.scope),
            csrf: CsrfKeys::new(self.keys.derive_all("csrf")),
            pre_sessions: PreSessions::new(&self.keys, cookies.name()),
            cookies,
            lifetimes: Lifetimes::new(self.idle_timeout, self.absolute_timeout)?,
            commit_deadline: self.commit_deadline,
            max_bytes: self.max_bytes,
            max_sessions,
            server_errors: self.server_errors,
            show_errors: self.show_errors,
            secret_fields: self.secret_fields,
            not_before: self.not_before,
            clock: self.clock,
        };
        let shared = Arc::new(Shared { context, backend, sign_ins: SignIns::default() });
        Ok(Sessions { shared, token_transport: TokenTransport::Cookie, layer: None })
    }
}

/// Shows nothing of the keys.
impl fmt::Debug for SessionsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionsBuilder")
            .field("cookie", &self.cookie)
            .field("age", &self.idle_timeout)
            .field("lifetime", &self.absolute_timeout)
            .finish_non_exhaustive()
    }
}
