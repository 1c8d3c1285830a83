//! The application's settings and its store, as the application has them.

use cloakroom::{
    AppKeys, Sessions,
    redis::RedisStore,
    settings::{DriverKind, Settings, Variables},
    store::{Cursor, Store},
};

use crate::{
    arguments::{CommonOptions, Kept},
    failure::Failure,
};

/// Reads the settings.
pub(crate) fn settings(common: &CommonOptions) -> Result<Settings, Failure> {
    let variables = Variables::from_environment()?.or(dot_env(common)?);
    Ok(Settings::load_with(common.config.as_deref(), &variables)?)
}

/// The file of variables: one that was named has to be there.
fn dot_env(common: &CommonOptions) -> Result<Variables, Failure> {
    if let Some(path) = common.env_file.as_ref().filter(|path| !path.exists()) {
        return Err(Failure::unusable(format!("--env-file: {} does not exist", path.display())));
    }
    Ok(Variables::from_file(common.variables())?)
}

/// Returns `true` if the file of variables has the application key and the environment does not.
pub(crate) fn key_is_only_in_file(common: &CommonOptions) -> bool {
    let has_key = |variables: Variables| variables.get("APP_KEY").is_some();
    dot_env(common).is_ok_and(has_key) && !Variables::from_environment().is_ok_and(has_key)
}

/// A store that this process shares with the application.
pub(crate) enum Shared {
    #[cfg(unix)]
    File(cloakroom::FileStore),
    Redis(RedisStore),
}

impl Shared {
    /// The store of one driver, which has to be there: a folder that this process made might not be
    /// the application's to write in.
    pub(crate) fn existing(driver: Kept, settings: &Settings) -> Result<Self, Failure> {
        let location = &settings.file.location;
        if driver == Kept::File && !location.exists() {
            let shown = std::path::absolute(location).unwrap_or_else(|_| location.clone());
            return Err(Failure::failed(format!(
                "there are no session files: {} does not exist; the application makes it",
                shown.display()
            )));
        }
        Self::open(driver, settings)
    }

    /// The store of one driver, ready to take sessions.
    pub(crate) fn open(driver: Kept, settings: &Settings) -> Result<Self, Failure> {
        match driver {
            Kept::File => Self::files(settings),
            Kept::Redis => Ok(Self::Redis(settings.redis.store()?)),
        }
    }

    /// The store of the configured driver.
    pub(crate) fn configured(settings: &Settings) -> Result<Self, Failure> {
        match settings.driver {
            DriverKind::File => Self::existing(Kept::File, settings),
            DriverKind::Redis => Self::existing(Kept::Redis, settings),
            other => Err(Failure::unusable(format!(
                "the driver is `{}`: its sessions are not where another process could reach them; \
                 `file` and `redis` are accepted here, in SESSION_DRIVER or as `driver` in \
                 config/session.toml",
                other.name()
            ))),
        }
    }

    #[cfg(unix)]
    fn files(settings: &Settings) -> Result<Self, Failure> {
        Ok(Self::File(settings.file.store()?))
    }

    #[cfg(not(unix))]
    fn files(_: &Settings) -> Result<Self, Failure> {
        Err(Failure::unusable("the file driver is there on Linux, macOS and BSD"))
    }

    pub(crate) fn store(&self) -> &dyn Store {
        match self {
            #[cfg(unix)]
            Self::File(store) => store,
            Self::Redis(store) => store,
        }
    }

    /// The session system on this store, with the sessions of every application there. What it does
    /// here needs no key of the application's.
    pub(crate) fn sessions(&self, settings: &Settings) -> Result<Sessions, Failure> {
        let mut settings = settings.clone();
        settings.app_key = Some(AppKeys::generate().into());
        let builder = match self {
            #[cfg(unix)]
            Self::File(store) => settings.builder_on(store.clone()),
            Self::Redis(store) => settings.builder_on(store.clone()),
        };
        builder?.any_application().build().map_err(|error| Failure::unusable(error.to_string()))
    }

    /// How many entries there are, tombstones and what has expired among them.
    pub(crate) async fn count(&self) -> Result<u64, Failure> {
        let (mut count, mut next) = (0, Some(Cursor::default()));
        while let (Some(place), Some(store)) = (next, self.store().as_scan()) {
            let page = store.scan(place).await?;
            count += page.keys.len() as u64;
            next = page.next;
        }
        Ok(count)
    }
}
