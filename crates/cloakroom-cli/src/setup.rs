//! The settings and the store that the application uses.

use std::sync::Arc;

use cloakroom::{
    AppKeys, Sessions,
    redis::RedisStore,
    settings::{DriverKind, Settings, Variables},
    store::{Cursor, Store},
};

use crate::{
    arguments::{CommonOptions, SharedDriver, SqlDriver},
    database::{self, DatabaseStore},
    failure::Failure,
};

/// Reads the settings.
pub(crate) fn settings(common: &CommonOptions) -> Result<Settings, Failure> {
    let variables = Variables::from_environment()?.or(dot_env(common)?);
    Ok(Settings::load_with(common.config.as_deref(), &variables)?)
}

/// Reads the file of variables.
///
/// # Errors
/// If `--env-file` names a file that does not exist, or the file cannot be read.
fn dot_env(common: &CommonOptions) -> Result<Variables, Failure> {
    if let Some(path) = &common.env_file {
        let unusable = |problem: String| {
            Failure::unusable(format!("--env-file: {} {problem}", path.display()))
        };
        match path.try_exists() {
            Ok(true) => (),
            Ok(false) => return Err(unusable("does not exist".to_owned())),
            Err(error) => return Err(unusable(format!("cannot be read: {error}"))),
        }
    }
    Ok(Variables::from_file(common.variables())?)
}

/// Returns `true` if the file of variables has the application key and the environment does not.
pub(crate) fn key_is_only_in_file(common: &CommonOptions) -> bool {
    let has_key = |variables: Variables| variables.get("APP_KEY").is_some();
    dot_env(common).is_ok_and(has_key) && !Variables::from_environment().is_ok_and(has_key)
}

/// A store that this process shares with the application.
pub(crate) enum SharedStore {
    #[cfg(unix)]
    File(cloakroom::FileStore),
    Redis(RedisStore),
    Database(Arc<dyn DatabaseStore>),
}

impl SharedStore {
    /// Opens the store of a driver. Creates no folder, because the application might not have the right
    /// to write to it.
    ///
    /// # Errors
    /// If the folder of session files, or the file of an SQLite database, does not exist.
    pub(crate) fn existing(driver: SharedDriver, settings: &Settings) -> Result<Self, Failure> {
        let location = match driver {
            SharedDriver::File => Some(settings.file.location.clone()),
            SharedDriver::Sqlite => database::sqlite_file(&settings.database),
            SharedDriver::Redis | SharedDriver::Postgres | SharedDriver::MySql => None,
        };
        // Another error than absence is the store's to report.
        if let Some(location) = location.filter(|path| matches!(path.try_exists(), Ok(false))) {
            let shown = std::path::absolute(&location).unwrap_or(location);
            return Err(Failure::failed(format!(
                "there are no sessions: {} does not exist; the application creates it",
                shown.display()
            )));
        }
        Self::connect(driver, settings)
    }

    /// Opens the store of a driver, and creates folder, file or tables if necessary.
    pub(crate) fn open(driver: SharedDriver, settings: &Settings) -> Result<Self, Failure> {
        let mut settings = settings.clone();
        settings.database.migrate = true;
        Self::connect(driver, &settings)
    }

    fn connect(driver: SharedDriver, settings: &Settings) -> Result<Self, Failure> {
        match driver {
            SharedDriver::File => Self::files(settings),
            SharedDriver::Redis => Ok(Self::Redis(settings.redis.store()?)),
            SharedDriver::Postgres => Self::database(SqlDriver::Postgres, settings),
            SharedDriver::MySql => Self::database(SqlDriver::MySql, settings),
            SharedDriver::Sqlite => Self::database(SqlDriver::Sqlite, settings),
        }
    }

    fn database(driver: SqlDriver, settings: &Settings) -> Result<Self, Failure> {
        Ok(Self::Database(database::store(driver, &settings.database)?))
    }

    /// Opens the store of the configured driver.
    pub(crate) fn configured(settings: &Settings) -> Result<Self, Failure> {
        match settings.driver {
            DriverKind::File => Self::existing(SharedDriver::File, settings),
            DriverKind::Redis => Self::existing(SharedDriver::Redis, settings),
            DriverKind::Postgres => Self::existing(SharedDriver::Postgres, settings),
            DriverKind::MySql => Self::existing(SharedDriver::MySql, settings),
            DriverKind::Sqlite => Self::existing(SharedDriver::Sqlite, settings),
            other => Err(Failure::unusable(format!(
                "the driver is `{}`: another process cannot reach its sessions; `file`, `redis`, \
                 `postgres`, `mysql` and `sqlite` are accepted here, in SESSION_DRIVER or as `driver` in config/session.toml",
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
        Err(Failure::unusable("the file driver works on Linux, macOS and BSD"))
    }

    pub(crate) fn store(&self) -> &dyn Store {
        match self {
            #[cfg(unix)]
            Self::File(store) => store,
            Self::Redis(store) => store,
            Self::Database(store) => &**store,
        }
    }

    /// Builds the session system on this store, for the sessions of all applications in it. Without a usable
    /// application key it has a random one, because only sealed records need the key.
    pub(crate) fn sessions(&self, settings: &Settings) -> Result<Sessions, Failure> {
        let mut settings = settings.clone();
        if settings.app_keys().is_err() {
            settings.app_key = Some(AppKeys::generate().into());
        }
        let builder = match self {
            #[cfg(unix)]
            Self::File(store) => settings.builder_on(store.clone()),
            Self::Redis(store) => settings.builder_on(store.clone()),
            Self::Database(store) => settings.builder_on(store.clone() as Arc<dyn Store>),
        };
        builder?.any_application().build().map_err(|error| Failure::unusable(error.to_string()))
    }

    /// Counts the entries, tombstones and expired ones included.
    pub(crate) async fn count(&self) -> Result<u64, Failure> {
        let (mut count, mut next) = (0, Some(Cursor::default()));
        while let (Some(cursor), Some(store)) = (next, self.store().as_scan()) {
            let page = store.scan(cursor).await?;
            count += page.keys.len() as u64;
            next = page.next;
        }
        Ok(count)
    }
}
