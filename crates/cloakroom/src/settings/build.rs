//! From settings to the session system.

use super::{DriverKind, Settings, SettingsError};
#[cfg(unix)]
use super::{FileDurability, FileTable};
use crate::{
    AppKeys, MemoryStore, Sessions, SessionsBuilder, cookie::CookieSettings, key::KeyError,
    store::Store,
};
#[cfg(unix)]
use crate::{FileStore, error::WithCauses, file::Durability};

impl Settings {
    /// Builds the session system.
    ///
    /// The driver `redis` needs a store that this crate does not have: the function `sessions` of the
    /// crate `cloakroom-redis` takes these settings and builds every driver.
    ///
    /// # Errors
    /// When the application key is missing or weak, the driver is not built in, or the folder of the
    /// session files cannot be used.
    pub fn sessions(&self) -> Result<Sessions, SettingsError> {
        self.builder()?.build().map_err(SettingsError::settings)
    }

    /// The same before it is built, for what has no setting, such as
    /// [`not_before`](SessionsBuilder::not_before). With Redis it is `cloakroom_redis::builder`.
    ///
    /// # Errors
    /// As [`sessions`](Self::sessions).
    ///
    /// ```
    /// use cloakroom::{AppKeys, ServerErrors, settings::Settings};
    ///
    /// # let key = AppKeys::generate();
    /// # let nowhere = std::path::Path::new("/dev/null");
    /// # let settings = Settings::load_with(Some(nowhere), &|name| (name == "APP_KEY").then(|| key.clone()))?;
    /// let sessions = settings.builder()?.server_errors(ServerErrors::Discard).build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder(&self) -> Result<SessionsBuilder, SettingsError> {
        let builder = match self.driver {
            DriverKind::Cookie => Sessions::cookie(self.app_keys()?),
            DriverKind::Memory => Sessions::store(MemoryStore::new(), self.app_keys()?),
            DriverKind::File => self.on_files()?,
            DriverKind::Redis => {
                return Err(self.driver_is_missing(
                    "add the crate cloakroom-redis and call its `sessions(&settings)` or `builder(&settings)`",
                ));
            }
        };
        Ok(self.apply(builder))
    }

    /// A session system on a store of the application's own, before it is built.
    ///
    /// # Errors
    /// When the application key is missing or weak.
    pub fn builder_on(&self, store: impl Store) -> Result<SessionsBuilder, SettingsError> {
        Ok(self.apply(Sessions::store(store, self.app_keys()?)))
    }

    fn apply(&self, builder: SessionsBuilder) -> SessionsBuilder {
        let builder = builder
            .age(self.age)
            .cookie_settings(self.cookie_settings())
            .max_bytes(self.max_bytes)
            .max_sessions(self.max_sessions.limit())
            .commit_deadline(self.commit_deadline)
            .secret_fields(self.secret_fields.clone());
        match self.lifetime {
            Some(lifetime) => builder.lifetime(lifetime),
            None => builder,
        }
    }

    #[cfg(unix)]
    fn on_files(&self) -> Result<SessionsBuilder, SettingsError> {
        // The key first: a folder is not made for an application that will not start.
        let keys = self.app_keys()?;
        Ok(Sessions::store(FileStore::from_settings(&self.file)?, keys))
    }

    #[cfg(not(unix))]
    fn on_files(&self) -> Result<SessionsBuilder, SettingsError> {
        Err(self.driver_is_missing("it is there on Linux, macOS and BSD"))
    }

    fn driver_is_missing(&self, remedy: &str) -> SettingsError {
        let driver = self.driver.name();
        SettingsError::settings(format!(
            "`driver`: `{driver}` is not built into this application ({remedy}); `cookie`, `memory` \
             and `file` are accepted",
        ))
    }

    /// The application's keys.
    ///
    /// # Errors
    /// When there is none, or one is weak; the error names the command that makes one.
    pub fn app_keys(&self) -> Result<AppKeys, SettingsError> {
        let keys = match &self.app_key {
            Some(text) => AppKeys::parse(text.expose()),
            None => Err(KeyError::UNSET),
        };
        keys.map_err(SettingsError::settings)
    }

    /// The cookie's name and attributes.
    pub fn cookie_settings(&self) -> CookieSettings {
        let default_name = match (self.cookie.secure, &self.cookie.domain) {
            (true, None) => "__Host-session",
            (true, Some(_)) => "__Secure-session",
            (false, _) => "session",
        };
        CookieSettings {
            name: self.cookie_name.clone().unwrap_or_else(|| default_name.to_owned()),
            secure: self.cookie.secure,
            http_only: self.cookie.http_only,
            same_site: self.cookie.same_site,
            path: self.cookie.path.clone(),
            domain: self.cookie.domain.clone(),
            max_chunks: self.cookie.max_chunks,
            clear_with_browser: self.clear_with_browser,
        }
    }

    /// These settings, if they do not contradict each other.
    pub(super) fn check(self) -> Result<Self, SettingsError> {
        self.cookie_settings().validate().map_err(SettingsError::settings)?;
        let redis = &self.redis;
        let parts = redis.host.is_some()
            || redis.port.is_some()
            || redis.user.is_some()
            || redis.password.is_some()
            || redis.db.is_some();
        if redis.url.is_some() && parts {
            let problem = "`redis.url` and its parts (host, port, user, password, db) are both set; one of \
                           the two ways is accepted";
            return Err(SettingsError::settings(problem));
        }
        Ok(self)
    }
}

#[cfg(unix)]
impl FileStore {
    /// The store that the table `[file]` describes.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_settings(table: &FileTable) -> Result<Self, SettingsError> {
        let durability = match table.durability {
            FileDurability::Full => Durability::Full,
            FileDurability::Fast => Durability::Fast,
        };
        let opened = Self::builder(&table.location).durability(durability).open();
        opened.map_err(|error| {
            SettingsError::settings(format!("`file.location`: {}", WithCauses(&error)))
        })
    }
}
