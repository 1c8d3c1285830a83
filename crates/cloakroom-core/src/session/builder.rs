//! The settings of an application's sessions, and how they are checked.

use std::{
    fmt,
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    backend::{
        Backend,
        context::{Context, ServerErrors},
        device_binding::{Binding, DEFAULT_REFRESH, DeviceBinding},
        events::{SessionEvent, Subscriber},
        foreign::{Foreign, ForeignSessions, ForeignSettings},
        not_before::NotBefore,
        store::StoreBackend,
        users::{AnyUsers, Users},
    },
    cookie::{
        CookieSettings, Cookies, ValueForm,
        old_name::{OldName, OldNameSettings},
        pre_session::PreSessions,
    },
    crypto::{
        app_keys::AppKeys,
        app_tag::{AppTags, Scope},
        csrf_token::CsrfKeys,
        seal::Sealer,
    },
    error::ConfigError,
    form::SecretFields,
    http::{
        headers::is_header_name, origin::Origin, redirect::local_path, site_data::SiteData,
        site_origins::SiteOrigins, site_scheme::SiteScheme,
    },
    record::{
        lifetimes::Lifetimes,
        sealed::{RecordFormat, Writes},
    },
    session::sessions::{Driver, Sessions},
};
use cloakroom_store::clock::{Clock, SystemClock};

/// The default idle timeout: two hours.
pub const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(2 * 3_600);

/// The default time for a commit: five seconds.
const DEFAULT_COMMIT_DEADLINE: Duration = Duration::from_secs(5);
/// The default limit of a stored record: 256 KiB.
const DEFAULT_MAX_BYTES: usize = 256 * 1024;
/// The default limit of an owner's sessions.
const DEFAULT_MAX_SESSIONS: usize = 100;

/// The settings of [`Sessions`]. Names and defaults are those of `config/session.toml`.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use std::time::Duration;
/// use cloakroom::{AppKeys, Driver, Sessions};
///
/// let sessions = Sessions::builder(Driver::Cookie, AppKeys::random()).idle_timeout(Duration::from_secs(1_800)).build()?;
/// # Ok::<(), cloakroom::ConfigError>(())
/// ```
#[must_use = "settings do nothing until `build`"]
pub struct SessionsBuilder {
    driver: Driver,
    keys: AppKeys,
    scope: Scope,
    records: Writes,
    cookie: CookieSettings,
    public_origin: Option<Origin>,
    trusted_origins: Vec<Origin>,
    idle_timeout: Duration,
    absolute_timeout: Option<Duration>,
    commit_deadline: Duration,
    max_bytes: usize,
    max_sessions: Option<usize>,
    clear_site_data: Vec<SiteData>,
    server_errors: ServerErrors,
    show_errors: bool,
    previous_url: bool,
    sign_in_page: Option<Box<str>>,
    secret_fields: SecretFields,
    no_touch_header: Option<String>,
    not_before: Option<Arc<dyn NotBefore>>,
    users: Option<Arc<dyn AnyUsers>>,
    foreign: Option<ForeignSettings>,
    device_binding: DeviceBinding,
    device_refresh: Duration,
    subscriber: Option<Subscriber>,
    old_cookie: Option<OldNameSettings>,
    clock: Arc<dyn Clock>,
}

impl SessionsBuilder {
    pub(super) fn new(driver: Driver, keys: AppKeys) -> Self {
        Self {
            driver,
            keys,
            scope: Scope::default(),
            records: Writes::default(),
            cookie: CookieSettings::default(),
            public_origin: None,
            trusted_origins: Vec::new(),
            idle_timeout: DEFAULT_IDLE_TIMEOUT,
            absolute_timeout: None,
            commit_deadline: DEFAULT_COMMIT_DEADLINE,
            max_bytes: DEFAULT_MAX_BYTES,
            max_sessions: Some(DEFAULT_MAX_SESSIONS),
            clear_site_data: Vec::new(),
            server_errors: ServerErrors::default(),
            show_errors: false,
            previous_url: false,
            sign_in_page: None,
            secret_fields: SecretFields::default(),
            no_touch_header: None,
            not_before: None,
            users: None,
            foreign: None,
            device_binding: DeviceBinding::default(),
            device_refresh: DEFAULT_REFRESH,
            subscriber: None,
            old_cookie: None,
            clock: Arc::new(SystemClock),
        }
    }

    /// Sets the cookie's name and attributes. Default: [`CookieSettings::default`], whose cookie browsers
    /// only accept over https.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, Driver, Sessions, cookie::CookieSettings};
    /// let settings = CookieSettings::development();
    /// let sessions = Sessions::builder(Driver::Cookie, AppKeys::random()).cookie_settings(settings).build()?;
    /// # Ok::<(), cloakroom::ConfigError>(())
    /// ```
    pub fn cookie_settings(mut self, settings: CookieSettings) -> Self {
        self.cookie = settings;
        self
    }

    /// Sets the origin by which visitors reach the application. Default: the `Host` header of each request,
    /// with https unless the cookie is not `Secure`.
    ///
    /// Set it if a proxy replaces `Host`. CSRF layers compare the sender of a request with it, and redirects
    /// back compare the `Referer`. `Host` is not read for them then, so another address of the application
    /// counts as another site unless [`trusted_origins`](Self::trusted_origins) names it.
    ///
    /// # Security
    /// `X-Forwarded-Host` and similar headers are never read in its place, because clients can send them.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, Driver, Sessions};
    /// let sessions = Sessions::builder(Driver::Cookie, AppKeys::random())
    ///     .public_origin("https://shop.example.org".parse()?)
    ///     .build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn public_origin(mut self, origin: Origin) -> Self {
        self.public_origin = Some(origin);
        self
    }

    /// Sets other origins that the application trusts. Default: none.
    ///
    /// CSRF layers accept requests from their pages, and redirects may lead to them:
    /// [`Back`](crate::Back) and [`Session::set_intended_url`](crate::Session::set_intended_url).
    /// [`CsrfPolicy::trust_origin`](crate::csrf::CsrfPolicy::trust_origin) trusts an origin for the routes of
    /// one CSRF layer only.
    ///
    /// # Security
    /// A page of a trusted origin can do what a page of this site can, so list only origins that you control.
    /// Anyone on the network path can write pages of an origin with plain http.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, Driver, Sessions};
    /// let sessions = Sessions::builder(Driver::Cookie, AppKeys::random())
    ///     .trusted_origins(["https://admin.example.org".parse()?])
    ///     .build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn trusted_origins(mut self, origins: impl IntoIterator<Item = Origin>) -> Self {
        self.trusted_origins = origins.into_iter().collect();
        self
    }

    /// Sets the idle timeout: a session ends when it is not used for this long (OWASP ASVS 5.0, 7.3.1).
    /// Default: 2 hours. Minimum: 1 second.
    ///
    /// A longer timeout is more convenient for visitors, but an attacker can use a stolen or forgotten
    /// session for longer. [`Session::set_idle_timeout`](crate::Session::set_idle_timeout) changes it
    /// for one session. [`no_touch_header`](Self::no_touch_header) leaves out the polls of scripts.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use std::time::Duration;
    /// # use cloakroom::{AppKeys, Driver, Sessions};
    /// let half_an_hour = Duration::from_secs(30 * 60);
    /// let sessions = Sessions::builder(Driver::Cookie, AppKeys::random()).idle_timeout(half_an_hour).build()?;
    /// # Ok::<(), cloakroom::ConfigError>(())
    /// ```
    pub fn idle_timeout(mut self, idle: Duration) -> Self {
        self.idle_timeout = idle;
        self
    }

    /// Sets the name of a request header that marks requests which scripts send by themselves. A request
    /// with this header, whatever its value, is no use of its session, as with
    /// [`Session::no_touch`](crate::Session::no_touch). Default: none.
    ///
    /// Set it if pages poll, and let their scripts send the header with each poll. Without it, a forgotten
    /// tab keeps its visitor signed in, and the idle timeout never ends the session (OWASP ASVS 5.0,
    /// 7.3.1).
    ///
    /// # Security
    /// A client that sends the header with other requests only shortens its own session. A client that
    /// leaves it out of its polls prolongs the session up to the absolute timeout, as without this
    /// setting.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::{AppKeys, Driver, Sessions};
    ///
    /// let builder = || Sessions::builder(Driver::Cookie, AppKeys::random());
    /// assert!(builder().no_touch_header("X-Background").build().is_ok());
    /// let error = builder().no_touch_header("X-Background: 1").build().unwrap_err();
    /// assert!(error.to_string().starts_with("no_touch_header: the name of a header is accepted"));
    /// ```
    pub fn no_touch_header(mut self, name: impl Into<String>) -> Self {
        self.no_touch_header = Some(name.into());
        self
    }

    /// Sets the absolute timeout: a session ends this long after its first commit, also if it is used
    /// (OWASP ASVS 5.0, 7.3.2). Default: none. Minimum: 1 second.
    ///
    /// It limits how long a stolen session can be used. In return, visitors have to sign in again.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use std::time::Duration;
    /// # use cloakroom::{AppKeys, Driver, Sessions};
    /// let a_day = Duration::from_secs(24 * 60 * 60);
    /// let sessions = Sessions::builder(Driver::Cookie, AppKeys::random()).absolute_timeout(a_day).build()?;
    /// # Ok::<(), cloakroom::ConfigError>(())
    /// ```
    pub fn absolute_timeout(mut self, absolute: Duration) -> Self {
        self.absolute_timeout = Some(absolute);
        self
    }

    /// Sets how long a commit may take. Default: 5 seconds.
    ///
    /// The time includes the wait for earlier writers, and further attempts while other processes write
    /// the same session. After this time, the request fails. If the store has not replied, the error
    /// [`is_unavailable`](crate::Error::is_unavailable). If other requests kept writing the session, it
    /// [`is_contention`](crate::Error::is_contention). With a longer time, requests wait longer for a store that
    /// hangs.
    ///
    /// A request can wait for up to twice this time, because its commit can include those of later
    /// requests. It then waits for the store until the latest of their deadlines, but begins no attempt
    /// after its own.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use std::time::Duration;
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions};
    /// let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random());
    /// let sessions = sessions.commit_deadline(Duration::from_secs(2)).build()?;
    /// # Ok::<(), cloakroom::ConfigError>(())
    /// ```
    pub fn commit_deadline(mut self, span: Duration) -> Self {
        self.commit_deadline = span;
        self
    }

    /// Sets the largest size of a session's record in a store, in bytes. Default: 262,144 (256 KiB).
    /// The cookie driver has [chunks](CookieSettings::max_chunks) instead.
    ///
    /// If a record would be larger, the commit forgets the [previous URL](Self::previous_url), and then leaves
    /// out old form input, largest fields first, with a warning. If that is not enough, it fails with an error that
    /// [`is_too_large`](crate::Error::is_too_large), and the stored session stays unchanged. A record above a
    /// lowered limit can still be changed as long as it does not grow.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions};
    /// let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random());
    /// let sessions = sessions.max_bytes(64 * 1024).build()?;
    /// # Ok::<(), cloakroom::ConfigError>(())
    /// ```
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets whether records in a store are sealed by the application key (XAES-256-GCM). A copy of the
    /// database, a backup of it, or the traffic to it then shows no values. Default: off. The cookie driver always
    /// seals.
    ///
    /// A sealed record is bound to its record key. The index of owners and the deadlines are beside the record
    /// and stay as they are. Records that were stored plain, or sealed by an older key, are still read, and
    /// their next use seals them. After the setting is turned off, sealed records are still read. A sealed
    /// record is 45 bytes longer; [`max_bytes`](Self::max_bytes) does not count them.
    ///
    /// # Security
    /// A lost application key loses all sessions. Sealing hides values from readers of the store. Someone who
    /// can write to it can still delete records, or put an earlier one back.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions};
    /// let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random());
    /// let sessions = sessions.seal_records(true).build()?;
    /// # Ok::<(), cloakroom::ConfigError>(())
    /// ```
    pub fn seal_records(mut self, on: bool) -> Self {
        self.records = if on { Writes::Sealed } else { Writes::Plain };
        self
    }

    /// Sets how many sessions an owner may have at once, on drivers that keep a list of them (OWASP
    /// ASVS 5.0, 7.1.2). Default: 100. `None` removes the limit. [`build`](Self::build) refuses 0.
    ///
    /// The commit of a sign-in ([`Session::set_owner`](crate::Session::set_owner)) ends the owner's
    /// sessions beyond the limit, those that were unused longest. It never ends the one that signs in.
    /// Concurrent sign-ins do not end each other, so the limit may be exceeded by their number until
    /// the next sign-in. Only sign-ins cause additional reads: the owner's list, and its records if the
    /// list is longer than the limit.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::{AppKeys, MemoryStore, Sessions};
    ///
    /// let sessions = || Sessions::builder(MemoryStore::new(), AppKeys::random());
    /// assert!(sessions().max_sessions(Some(5)).build().is_ok());
    /// assert!(sessions().max_sessions(None).build().is_ok());
    /// let error = sessions().max_sessions(Some(0)).build().unwrap_err();
    /// assert_eq!(error.to_string(), "max_sessions: at least 1 is accepted, or none for no limit");
    /// ```
    pub fn max_sessions(mut self, limit: Option<usize>) -> Self {
        self.max_sessions = limit;
        self
    }

    /// Reads the records of all applications in the store. Default: only records whose tag belongs to
    /// one of this application's keys. The others count as absent, with one warning.
    ///
    /// Use it in tools that list, show or end sessions without the application key. Do not change
    /// sessions with it, because a written record gets the tag of the first key here.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use std::sync::Arc;
    /// # use cloakroom::{store::Cursor, AppKeys, MemoryStore, Sessions};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = Arc::new(MemoryStore::new());
    /// # let application = Sessions::builder(store.clone(), AppKeys::random()).build()?;
    /// # let no_headers: &[(&str, &str)] = &[];
    /// # let session = cloakroom::adapter::RequestContext::new(&application).session(no_headers).await?;
    /// # session.put("user", "virk")?;
    /// # session.commit().await?;
    /// let tool = Sessions::builder(store, AppKeys::random()).any_application().build()?;
    /// let handle = session.handle().unwrap();
    /// assert!(tool.admin()?.contents(&handle).await?.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn any_application(mut self) -> Self {
        self.scope = Scope::Any;
        self
    }

    /// Sets the data of the site that the browser removes when a visitor signs out (OWASP ASVS 5.0,
    /// 14.3.1). Default: none.
    ///
    /// The response to a request that has destroyed its session gets the header `Clear-Site-Data`, so that
    /// the next user of the computer does not see pages in the cache of the browser. Without a `Secure`
    /// cookie it is left out, because browsers ignore it on plain http. A handler that sets the header itself
    /// takes precedence. Removing the cache can delay the response by seconds.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::{AppKeys, MemoryStore, Sessions, SiteData};
    ///
    /// let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random())
    ///     .clear_site_data([SiteData::Cache, SiteData::Storage])
    ///     .build()?;
    /// # Ok::<(), cloakroom::ConfigError>(())
    /// ```
    pub fn clear_site_data(mut self, data: impl IntoIterator<Item = SiteData>) -> Self {
        self.clear_site_data = data.into_iter().collect();
        self
    }

    /// Sets whether changes are committed when the response is a server error. Default:
    /// [`ServerErrors::Commit`].
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, ServerErrors, Driver, Sessions};
    /// let sessions = Sessions::builder(Driver::Cookie, AppKeys::random());
    /// let sessions = sessions.server_errors(ServerErrors::Discard).build()?;
    /// # Ok::<(), cloakroom::ConfigError>(())
    /// ```
    pub fn server_errors(mut self, policy: ServerErrors) -> Self {
        self.server_errors = policy;
        self
    }

    /// Sets whether the library's own responses with status 500 or 503 contain the error message of the
    /// log, and those to refused requests the explanation of the CSRF layer. Default: off.
    ///
    /// Turn it on in development, so that the browser shows why a request failed. Responses of
    /// `on_failure` handlers do not change.
    ///
    /// # Security
    /// The messages name settings and keys of the session, so keep it off in production.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions};
    /// let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random())
    ///     .show_errors(cfg!(debug_assertions))
    ///     .build()?;
    /// # Ok::<(), cloakroom::ConfigError>(())
    /// ```
    pub fn show_errors(mut self, on: bool) -> Self {
        self.show_errors = on;
        self
    }

    /// Sets whether sessions keep the path and query of the last page that was shown, so that
    /// [`Back`](crate::Back) and the redirect of an invalid [`Input`](crate::Input) lead there. Default: off,
    /// and they lead to the `Referer`.
    ///
    /// Turn it on if your pages send no `Referer`, such as with the header `Referrer-Policy: no-referrer`. A
    /// page counts if it is the HTML response to a `GET` that a visitor navigates to, its status is 200 to 299,
    /// and its handler has asked for the session. Sessions of visitors with several tabs keep the page of the
    /// tab that was used last. A session that is not stored otherwise keeps no page.
    ///
    /// Each page with another URL than the last one costs a write of the session, and a cookie on the cookie
    /// driver.
    ///
    /// # Security
    /// The query of the page is stored too. Do not turn it on if the queries of your pages hold secrets that
    /// the store must not have.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions};
    /// let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random());
    /// let sessions = sessions.previous_url(true).build()?;
    /// # Ok::<(), cloakroom::ConfigError>(())
    /// ```
    pub fn previous_url(mut self, on: bool) -> Self {
        self.previous_url = on;
        self
    }

    /// Sets the path of the page on which visitors sign in. Default: none.
    ///
    /// Browsers that ask for something that needs an [`Owner`](crate::Owner) are redirected to it. Without
    /// it they get status 401, as clients that want JSON always do.
    /// [`RequireOwner::or_redirect`](crate::RequireOwner::or_redirect) sets another page for some routes.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions};
    /// let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random());
    /// let sessions = sessions.sign_in_page("/sign-in").build()?;
    /// # Ok::<(), cloakroom::ConfigError>(())
    /// ```
    pub fn sign_in_page(mut self, page: impl Into<String>) -> Self {
        self.sign_in_page = Some(page.into().into());
        self
    }

    /// Sets the form fields that `flash_all` and `flash_except` leave out. Default:
    /// [`SecretFields::DEFAULT`].
    ///
    /// If the name of a secret field matches no entry of the list, its value is stored in the session and
    /// shown in the page again.
    pub fn secret_fields(mut self, fields: SecretFields) -> Self {
        self.secret_fields = fields;
        self
    }

    /// Sets the hook that rejects sessions of earlier sign-ins. Default: none. [`NotBefore`] has an
    /// example.
    pub fn not_before(mut self, hook: impl NotBefore) -> Self {
        self.not_before = Some(Arc::new(hook));
        self
    }

    /// Sets where the application's users come from, for [`CurrentUser`](crate::CurrentUser) and
    /// [owner stamps](crate::Session::set_owner_stamp). Default: none. [`Users`] has an example.
    pub fn users(mut self, users: impl Users) -> Self {
        self.users = Some(Arc::new(users));
        self
    }

    /// Takes over the sessions of another library until a date, so that an application moves to this one
    /// without signing its visitors out. Default: none.
    ///
    /// `cookie` has the name, path and domain of the other library's cookie. When a handler asks for the
    /// session of a request that has this cookie and no session cookie:
    ///
    /// 1. [`ForeignSessions::find`] returns the session's values and owner.
    /// 2. A store gets a record of them, under a token that is derived from the cookie. If several requests
    ///    come at once, or the browser does not receive the response, all of them get the same session.
    /// 3. [`ForeignSessions::remove`] removes the other library's record, before the handler gets the
    ///    session.
    /// 4. The response sets the session cookie and removes the other library's.
    ///
    /// On the cookie driver, the session goes into the cookie, and the other library's record is not
    /// removed, because the browser may never receive the response. It ends by its own timeout.
    ///
    /// Remove the call after `until`. Choose a date by which the sessions of the other library have expired.
    ///
    /// # Security
    /// A cookie that itself holds the session, or that is taken over on the cookie driver, cannot be
    /// invalidated. A copy of it signs in until `until`, also after a sign-out.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use std::time::{Duration, SystemTime};
    /// use cloakroom::{AppKeys, MemoryStore, Sessions, cookie::CookieSettings};
    /// # use cloakroom::{ForeignSession, ForeignSessions, async_trait, store::StoreError};
    /// # struct OldTable;
    /// # #[async_trait]
    /// # impl ForeignSessions for OldTable {
    /// #     async fn find(&self, _: &str) -> Result<Option<ForeignSession>, StoreError> { Ok(None) }
    /// # }
    ///
    /// let cookie = CookieSettings { name: "id".into(), ..CookieSettings::default() };
    /// let first_of_2027 = SystemTime::UNIX_EPOCH + Duration::from_secs(1_798_761_600);
    /// let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random())
    ///     .foreign_sessions(cookie, first_of_2027, OldTable)
    ///     .build()?;
    /// # Ok::<(), cloakroom::ConfigError>(())
    /// ```
    pub fn foreign_sessions(
        mut self,
        cookie: CookieSettings,
        until: SystemTime,
        sessions: impl ForeignSessions,
    ) -> Self {
        self.foreign = Some(ForeignSettings { cookie, until, sessions: Arc::new(sessions) });
        self
    }

    /// Binds sessions to the device that signs in, as far as its browser can
    /// (Device Bound Session Credentials, W3C). The policy says where a request without the bound cookie is
    /// refused. There, a copied cookie is worth nothing one minute after [`device_refresh`](Self::device_refresh).
    ///
    /// The session layer has to be around the whole application, because it replies to the requests by which
    /// browsers register and prove their devices. Needs the feature `device-binding`. Default:
    /// [`DeviceBinding::Off`].
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::{AppKeys, DeviceBinding, MemoryStore, Sessions};
    ///
    /// let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random())
    ///     .device_binding(DeviceBinding::Report)
    ///     .build();
    /// assert_eq!(sessions.is_ok(), cfg!(feature = "device-binding"));
    /// ```
    pub fn device_binding(mut self, policy: DeviceBinding) -> Self {
        self.device_binding = policy;
        self
    }

    /// Sets how long a bound cookie counts, from one minute to one day. Then the browser proves its device
    /// again, which takes it two requests. Default: ten minutes.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use std::time::Duration;
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions};
    /// let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random())
    ///     .device_refresh(Duration::from_secs(5 * 60))
    ///     .build()?;
    /// # Ok::<(), cloakroom::ConfigError>(())
    /// ```
    pub fn device_refresh(mut self, refresh: Duration) -> Self {
        self.device_refresh = refresh;
        self
    }

    /// Calls a function for each event in the life of a session, such as for an audit log: sign-ins, sign-outs,
    /// and who has ended a session. Default: none. Of several calls the last counts.
    ///
    /// The function runs after the commit of the event has succeeded, in the task of the request. It must not
    /// block: send the event to a channel, and write the log in a separate task. If the function panics, the
    /// event is lost and the panic is logged. Events that another process causes are reported there.
    ///
    /// # Security
    /// An event has no token. If each sign-in has to be in the log before the visitor is signed in, write the
    /// log in the handler instead, because an event is lost if the process dies after the commit, or if the reply of
    /// the store is lost.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// use cloakroom::SessionEventKind;
    /// use tokio::sync::mpsc;
    ///
    /// let (events, mut log) = mpsc::unbounded_channel();
    /// let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random())
    ///     .on_event(move |event| drop(events.send(event.clone())))
    ///     .build()?;
    /// # let no_headers: &[(&str, &str)] = &[];
    /// # let session = cloakroom::adapter::RequestContext::new(&sessions).session(no_headers).await?;
    /// session.sign_in("user-42")?;
    /// session.commit().await?;
    /// assert_eq!(log.recv().await.unwrap().kind, SessionEventKind::Created);
    /// let event = log.recv().await.unwrap();
    /// assert_eq!((event.kind, event.owner.as_deref()), (SessionEventKind::SignedIn, Some("user-42")));
    /// assert_eq!(event.handle, session.handle());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn on_event(mut self, subscriber: impl Fn(&SessionEvent) + Send + Sync + 'static) -> Self {
        self.subscriber = Some(Subscriber::new(subscriber));
        self
    }

    /// Reads cookies of an earlier name until a date, so that visitors stay signed in when the name changes.
    /// Default: none.
    ///
    /// `cookie` has the name, path and domain that the cookie had;
    /// [`CookieSettings::renamed`] makes it from the current settings. A request that has this cookie and no
    /// cookie of the current name is served from it. Its response sets the cookie of the current name and
    /// removes the old one. If a browser does not receive the response, it sends the old cookie again. A
    /// sign-out removes both cookies.
    ///
    /// On a store, such a request touches the record, because a late response must not set the cookie of a
    /// session that has ended since. Instances of the application that know only the old name do not read the
    /// new cookie, so exchange all of them at once.
    ///
    /// Remove the call after `until`. Choose a date by which sessions that were in use at the change have
    /// expired.
    ///
    /// # Security
    /// A neighbouring host that can set a cookie of the old name can plant one until `until`. The prefix of
    /// the new name protects from then on. No other session system of the application may use the old name.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use std::time::{Duration, SystemTime};
    /// use cloakroom::{AppKeys, MemoryStore, Sessions, cookie::CookieSettings};
    ///
    /// let cookie = CookieSettings::default();
    /// let old = cookie.renamed("__Host-session");
    /// let first_of_2027 = SystemTime::UNIX_EPOCH + Duration::from_secs(1_798_761_600);
    /// let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random())
    ///     .cookie_settings(cookie)
    ///     .old_cookie(old, first_of_2027)
    ///     .build()?;
    /// # Ok::<(), cloakroom::ConfigError>(())
    /// ```
    pub fn old_cookie(mut self, cookie: CookieSettings, until: SystemTime) -> Self {
        self.old_cookie = Some(OldNameSettings { cookie, until });
        self
    }

    /// Sets the clock. Default: the clock of the operating system. Tests set a
    /// [`FakeClock`](crate::testing::FakeClock).
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use std::sync::Arc;
    /// # use cloakroom::{AppKeys, Driver, Sessions, testing::FakeClock};
    /// let clock = Arc::new(FakeClock::default());
    /// let sessions = Sessions::builder(Driver::Cookie, AppKeys::random()).clock(clock.clone()).build()?;
    /// # Ok::<(), cloakroom::ConfigError>(())
    /// ```
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Checks the settings and builds the session system.
    ///
    /// # Errors
    /// When browsers would refuse the cookie, or would not send it to the public origin. When a timeout is
    /// below one second, because browsers would remove the cookie at once. When `commit_deadline`,
    /// `max_bytes` or `max_sessions` is 0. When `no_touch_header` cannot be the name of a header. When two of
    /// the session cookie, the one of [`foreign_sessions`](Self::foreign_sessions) and the
    /// [`old_cookie`](Self::old_cookie) have one name. The error names the setting and the accepted values.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use std::time::Duration;
    /// use cloakroom::{AppKeys, Driver, Sessions};
    ///
    /// let error = Sessions::builder(Driver::Cookie, AppKeys::random()).idle_timeout(Duration::from_millis(500)).build();
    /// assert_eq!(error.unwrap_err().to_string(), "idle_timeout: at least one second is accepted");
    /// ```
    pub fn build(self) -> Result<Sessions, ConfigError> {
        let form = match self.driver {
            Driver::Cookie => ValueForm::Sealed,
            Driver::Store(_) => ValueForm::Token,
        };
        let scheme = self.cookie.site_scheme();
        let origins = checked_origins(scheme, self.public_origin, self.trusted_origins)?;
        let device_binding =
            Binding::new(self.device_binding, self.device_refresh, &self.cookie, &self.keys)?;
        let cookies = Cookies::new(self.cookie, form)?;
        let is_https = cookies.are_secure();
        let backend = match self.driver {
            Driver::Cookie => Backend::Cookie(Sealer::new(&self.keys, "session", cookies.name())),
            Driver::Store(store) => Backend::Store(StoreBackend::new(store)),
        };
        let tags = AppTags::new(&self.keys, self.scope);
        let foreign = self.foreign.map(|foreign| Foreign::new(foreign, &self.keys));
        let old_name = self.old_cookie.map(|old| OldName::new(old, form, &self.keys));
        let context = Context {
            cookie_contents: backend.cookie_contents(),
            records: RecordFormat::new(&self.keys, tags, self.records),
            csrf: CsrfKeys::new(self.keys.derive_all("csrf")),
            shared: self.keys.derive("shared session"),
            pre_sessions: PreSessions::new(&self.keys, cookies.name()),
            foreign: foreign.transpose()?,
            device_binding,
            old_name: old_name.transpose()?,
            cookies,
            origins,
            lifetimes: Lifetimes::new(self.idle_timeout, self.absolute_timeout)?,
            commit_deadline: checked_deadline(self.commit_deadline)?,
            max_bytes: checked_bytes(self.max_bytes)?,
            max_sessions: checked_sessions(self.max_sessions)?,
            clear_site_data: if is_https { self.clear_site_data } else { Vec::new() },
            server_errors: self.server_errors,
            show_errors: self.show_errors,
            previous_url: self.previous_url,
            sign_in_page: checked_page(self.sign_in_page)?,
            secret_fields: self.secret_fields,
            no_touch_header: self.no_touch_header.map(checked_header).transpose()?,
            not_before: self.not_before,
            users: self.users,
            subscriber: self.subscriber,
            clock: self.clock,
        };
        check_names(&context)?;
        Ok(Sessions::new(context, backend))
    }
}

/// Checks that the session cookie, its old name and the cookie of another library have different names.
fn check_names(context: &Context) -> Result<(), ConfigError> {
    let own = context.cookies.name();
    let old = context.old_name.as_ref().map(OldName::cookie_name);
    let foreign = context.foreign.as_ref().map(Foreign::cookie_name);
    let differs = "a name that differs from `cookie_name` is accepted";
    let is_foreign = "a name that the other library's cookie does not have is accepted";
    let mistakes = [
        (old == Some(own), "old_cookie_name", differs),
        (foreign == Some(own), "cookie_name", is_foreign),
        (old.is_some() && foreign == old, "old_cookie_name", is_foreign),
    ];
    match mistakes.into_iter().find(|(is_made, ..)| *is_made) {
        Some((_, key, accepted)) => Err(ConfigError::new(key, accepted)),
        None => Ok(()),
    }
}

/// Checks the origins of the application.
fn checked_origins(
    scheme: SiteScheme,
    public: Option<Origin>,
    trusted: Vec<Origin>,
) -> Result<SiteOrigins, ConfigError> {
    let origins = SiteOrigins::new(scheme).trusted_origins(trusted);
    let origins = match public {
        Some(public) => origins.public_origin(public),
        None => origins,
    };
    origins.validate()?;
    Ok(origins)
}

/// Checks the time for a commit.
fn checked_deadline(deadline: Duration) -> Result<Duration, ConfigError> {
    let refused = ConfigError::new("commit_deadline", "more than 0 is accepted");
    if deadline.is_zero() { Err(refused) } else { Ok(deadline) }
}

/// Checks the limit of a stored record.
fn checked_bytes(limit: usize) -> Result<usize, ConfigError> {
    let refused = ConfigError::new("max_bytes", "at least 1 is accepted");
    if limit == 0 { Err(refused) } else { Ok(limit) }
}

/// Checks the limit of an owner's sessions.
fn checked_sessions(limit: Option<usize>) -> Result<Option<NonZeroUsize>, ConfigError> {
    let accepted = "at least 1 is accepted, or none for no limit";
    let refused = || ConfigError::new("max_sessions", accepted);
    limit.map(|limit| NonZeroUsize::new(limit).ok_or_else(refused)).transpose()
}

/// Checks that the sign-in page is a path of this site.
fn checked_page(page: Option<Box<str>>) -> Result<Option<Box<str>>, ConfigError> {
    let is_path = page.as_deref().is_none_or(|page| local_path(page).is_some());
    let accepted = "a path of this site is accepted, such as \"/sign-in\"";
    if is_path { Ok(page) } else { Err(ConfigError::new("sign_in_page", accepted)) }
}

/// Checks the name of a header, and returns it in lower case.
fn checked_header(mut name: String) -> Result<String, ConfigError> {
    name.make_ascii_lowercase();
    let accepted = "the name of a header is accepted, such as `x-background`";
    if is_header_name(&name) {
        Ok(name)
    } else {
        Err(ConfigError::new("no_touch_header", accepted))
    }
}

/// Hides the keys.
impl fmt::Debug for SessionsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionsBuilder")
            .field("cookie", &self.cookie)
            .field("idle_timeout", &self.idle_timeout)
            .field("absolute_timeout", &self.absolute_timeout)
            .finish_non_exhaustive()
    }
}
