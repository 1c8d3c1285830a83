//! Builds the session system from settings.

use cloakroom_core::{
    AppKeys, Driver, KeyError, MemoryStore, Sessions, SessionsBuilder, SiteOrigins,
    cookie::CookieSettings, observe, store::Store,
};

use crate::{CookieTable, DriverKind, Secret, Settings, SettingsError, origins::Origins};

impl Settings {
    /// Builds the session system.
    ///
    /// # Errors
    /// When the application key is missing or weak, the driver is not built in, or its settings are
    /// wrong. The error names them.
    ///
    /// ```
    /// use cloakroom_settings::{Settings, Variables};
    ///
    /// # let key = cloakroom_core::AppKeys::generate();
    /// # let nowhere = std::path::Path::new("/dev/null");
    /// # let settings = Settings::load_with(Some(nowhere), &Variables::from_iter([("APP_KEY", key)]))?;
    /// let sessions = settings.sessions()?;
    /// assert_eq!(sessions.driver_name(), "cookie");
    /// # Ok::<(), cloakroom_settings::SettingsError>(())
    /// ```
    pub fn sessions(&self) -> Result<Sessions, SettingsError> {
        self.builder()?.build().map_err(SettingsError::settings)
    }

    /// Returns a builder with these settings. Use it for hooks and other options that no setting can
    /// express, such as [`not_before`](SessionsBuilder::not_before).
    ///
    /// # Errors
    /// As [`sessions`](Self::sessions).
    ///
    /// ```
    /// use cloakroom_core::ServerErrors;
    /// use cloakroom_settings::{Settings, Variables};
    ///
    /// # let key = cloakroom_core::AppKeys::generate();
    /// # let nowhere = std::path::Path::new("/dev/null");
    /// # let settings = Settings::load_with(Some(nowhere), &Variables::from_iter([("APP_KEY", key)]))?;
    /// let sessions = settings.builder()?.server_errors(ServerErrors::Discard).build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder(&self) -> Result<SessionsBuilder, SettingsError> {
        // The key first, because no folder is to be made for an application that will not start.
        let keys = self.app_keys()?;
        let builder = match self.driver {
            DriverKind::Cookie => Sessions::builder(Driver::Cookie, keys),
            DriverKind::Memory => Sessions::builder(MemoryStore::new(), keys),
            #[cfg(all(unix, feature = "file"))]
            DriverKind::File => Sessions::builder(self.file.store()?, keys),
            #[cfg(not(all(unix, feature = "file")))]
            DriverKind::File => {
                return Err(
                    self.driver_is_missing("it needs the feature `file`, on Linux, macOS or a BSD")
                );
            }
            #[cfg(feature = "redis")]
            DriverKind::Redis => Sessions::builder(self.redis.store()?, keys),
            #[cfg(not(feature = "redis"))]
            DriverKind::Redis => return Err(self.driver_is_missing("it needs the feature `redis`")),
            #[cfg(feature = "postgres")]
            DriverKind::Postgres => Sessions::builder(self.database.postgres()?, keys),
            #[cfg(not(feature = "postgres"))]
            DriverKind::Postgres => {
                return Err(self.driver_is_missing("it needs the feature `postgres`"));
            }
            #[cfg(feature = "mysql")]
            DriverKind::MySql => Sessions::builder(self.database.mysql()?, keys),
            #[cfg(not(feature = "mysql"))]
            DriverKind::MySql => return Err(self.driver_is_missing("it needs the feature `mysql`")),
            #[cfg(feature = "sqlite")]
            DriverKind::Sqlite => Sessions::builder(self.database.sqlite()?, keys),
            #[cfg(not(feature = "sqlite"))]
            DriverKind::Sqlite => {
                return Err(self.driver_is_missing("it needs the feature `sqlite`"));
            }
        };
        Ok(self.apply(builder))
    }

    /// Returns a builder with these settings and a store of the application's own. The setting `driver`
    /// is ignored.
    ///
    /// # Errors
    /// When the application key is missing or weak.
    ///
    /// ```
    /// use cloakroom_core::MemoryStore;
    /// use cloakroom_settings::{Settings, Variables};
    ///
    /// # let key = cloakroom_core::AppKeys::generate();
    /// # let nowhere = std::path::Path::new("/dev/null");
    /// # let settings = Settings::load_with(Some(nowhere), &Variables::from_iter([("APP_KEY", key)]))?;
    /// let sessions = settings.builder_on(MemoryStore::new())?.build()?;
    /// assert_eq!(sessions.driver_name(), "memory");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder_on(&self, store: impl Store) -> Result<SessionsBuilder, SettingsError> {
        Ok(self.apply(Sessions::builder(store, self.app_keys()?)))
    }

    fn apply(&self, builder: SessionsBuilder) -> SessionsBuilder {
        observe::print_without_logger(self.print_errors);
        let builder = builder
            .idle_timeout(self.idle_timeout)
            .cookie_settings(self.cookie_settings())
            .trusted_origins(self.trusted_origins.iter().cloned())
            .max_bytes(self.max_bytes)
            .seal_records(self.seal_records)
            .max_sessions(self.max_sessions.limit())
            .commit_deadline(self.commit_deadline)
            .device_binding(self.device_binding)
            .device_refresh(self.device_refresh)
            .secret_fields(self.secret_fields.clone())
            .previous_url(self.previous_url)
            .show_errors(self.show_errors)
            .clear_site_data(self.clear_site_data.iter().copied());
        let builder = match &self.public_origin {
            Some(origin) => builder.public_origin(origin.clone()),
            None => builder,
        };
        let builder = match self.absolute_timeout {
            Some(timeout) => builder.absolute_timeout(timeout),
            None => builder,
        };
        let builder = match &self.sign_in_page {
            Some(page) => builder.sign_in_page(page),
            None => builder,
        };
        let builder = match &self.no_touch_header {
            Some(name) => builder.no_touch_header(name),
            None => builder,
        };
        match (self.old_cookie_settings(), self.old_cookie_until) {
            (Some(cookie), Some(until)) => builder.old_cookie(cookie, until),
            _ => builder,
        }
    }

    #[cfg(not(all(
        unix,
        feature = "file",
        feature = "mysql",
        feature = "postgres",
        feature = "redis",
        feature = "sqlite"
    )))]
    fn driver_is_missing(&self, remedy: &str) -> SettingsError {
        let drivers = [
            ("`cookie`", true),
            ("`memory`", true),
            ("`file`", cfg!(all(unix, feature = "file"))),
            ("`redis`", cfg!(feature = "redis")),
            ("`postgres`", cfg!(feature = "postgres")),
            ("`mysql`", cfg!(feature = "mysql")),
            ("`sqlite`", cfg!(feature = "sqlite")),
        ];
        let accepted = drivers.into_iter().filter(|(_, is_there)| *is_there);
        let accepted: Vec<_> = accepted.map(|(driver, _)| driver).collect();
        SettingsError::settings(format!(
            "`driver` is `{}`, which is not built into this application: {remedy}; expected one of {}",
            self.driver.name(),
            accepted.join(", "),
        ))
    }

    /// Returns the application's keys.
    ///
    /// # Errors
    /// When no key is set or one is weak. The error names the command that makes a key.
    ///
    /// ```
    /// # let nowhere = std::path::Path::new("/dev/null");
    /// use cloakroom_settings::{Settings, Variables};
    ///
    /// let settings = Settings::load_with(Some(nowhere), &Variables::default())?;
    /// assert!(settings.app_keys().unwrap_err().to_string().contains("APP_KEY"));
    /// # Ok::<(), cloakroom_settings::SettingsError>(())
    /// ```
    pub fn app_keys(&self) -> Result<AppKeys, SettingsError> {
        let keys = match &self.app_key {
            Some(text) => AppKeys::parse(text.expose()),
            None => Err(KeyError::UNSET),
        };
        let place = self.app_key.as_ref().and_then(Secret::place);
        keys.map_err(|error| match place {
            Some(place) => SettingsError::at(place, error),
            None => SettingsError::settings(error),
        })
    }

    /// Returns the cookie's name and attributes.
    ///
    /// ```
    /// # let nowhere = std::path::Path::new("/dev/null");
    /// use cloakroom_settings::{Settings, Variables};
    ///
    /// let settings = Settings::load_with(Some(nowhere), &Variables::default())?;
    /// assert_eq!(settings.cookie_settings().name, "__Host-Http-session");
    /// # Ok::<(), cloakroom_settings::SettingsError>(())
    /// ```
    pub fn cookie_settings(&self) -> CookieSettings {
        CookieSettings {
            name: self.cookie_name.clone().unwrap_or_else(|| self.cookie.default_name().to_owned()),
            secure: self.cookie.secure,
            http_only: self.cookie.http_only,
            same_site: self.cookie.same_site,
            path: self.cookie.path.clone(),
            domain: self.cookie.domain.clone(),
            partitioned: self.cookie.partitioned,
            max_chunks: self.cookie.max_chunks,
            browser_session: self.browser_session,
        }
    }

    /// Returns the settings of the cookie under its old name.
    fn old_cookie_settings(&self) -> Option<CookieSettings> {
        self.old_cookie_name.as_ref().map(|name| self.cookie_settings().renamed(name))
    }

    /// Checks the settings of the cookie's old name.
    fn check_old_cookie(&self, origins: &Origins) -> Result<(), SettingsError> {
        let refuse = |key, problem| Err(origins.refuse(key, problem));
        let Some(old) = self.old_cookie_settings() else {
            return match self.old_cookie_until {
                Some(_) => refuse("old_cookie_until", "it needs `old_cookie_name` beside it"),
                None => Ok(()),
            };
        };
        if self.old_cookie_until.is_none() {
            return refuse("old_cookie_name", "it needs `old_cookie_until` beside it");
        }
        if old.name == self.cookie_settings().name {
            let accepted = "a name that differs from `cookie_name` is accepted";
            return refuse("old_cookie_name", accepted);
        }
        let valid = old.validate();
        valid.map_err(|error| origins.refuse("old_cookie_name", error.accepted()))
    }

    /// Returns the origins of the application: its own, and those that it trusts.
    ///
    /// ```
    /// # let nowhere = std::path::Path::new("/dev/null");
    /// use cloakroom_settings::{Settings, Variables};
    ///
    /// let variables = [("SESSION_TRUSTED_ORIGINS", "https://admin.example.org")];
    /// let settings = Settings::load_with(Some(nowhere), &Variables::from_iter(variables))?;
    /// let next = "https://admin.example.org/users";
    /// assert_eq!(settings.site_origins().redirect_target(next, None).as_deref(), Some(next));
    /// # Ok::<(), cloakroom_settings::SettingsError>(())
    /// ```
    pub fn site_origins(&self) -> SiteOrigins {
        let origins = SiteOrigins::new(self.cookie_settings().site_scheme())
            .trusted_origins(self.trusted_origins.iter().cloned());
        match &self.public_origin {
            Some(origin) => origins.public_origin(origin.clone()),
            None => origins,
        }
    }

    /// Returns these settings, or an error if they contradict each other.
    pub(super) fn check(self, origins: &Origins) -> Result<Self, SettingsError> {
        let cookie = self.cookie_settings().validate();
        let valid = cookie.and_then(|()| self.site_origins().validate());
        valid.map_err(|error| origins.refuse(error.key(), error.accepted()))?;
        self.check_old_cookie(origins)?;
        #[cfg(feature = "redis")]
        if self.driver == DriverKind::Redis {
            let servers = self.redis.servers();
            servers.map_err(|refused| origins.refuse(refused.key, &refused.problem))?;
        }
        #[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite"))]
        {
            let database = self.database.check(self.driver);
            database.map_err(|refused| origins.refuse(refused.key, &refused.problem))?;
        }
        Ok(self)
    }
}

impl CookieTable {
    /// Returns the name with the strongest prefix that browsers accept with these attributes. With a
    /// domain it is `__Secure-`, because `__Http-` protects nothing in browsers that do not know it.
    fn default_name(&self) -> &'static str {
        match (self.secure, &self.domain, self.http_only) {
            (true, None, true) => "__Host-Http-session",
            (true, None, false) => "__Host-session",
            (true, Some(_), _) => "__Secure-session",
            (false, ..) => "session",
        }
    }
}
