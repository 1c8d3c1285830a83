//! Loads settings: the environment over the file over the defaults.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use cloakroom_core::{form::SecretFields, observe};
use confique::{Config, Layer};
use serde::Deserializer;

use crate::{
    Secret, Settings, SettingsError, Variables, document,
    names::{self, APP_KEY, DATABASE_URL},
    origins::{Origin, Origins},
};

pub(super) type SettingsLayer = <Settings as Config>::Layer;

/// The file that is read if none is named.
const DEFAULT_FILE: &str = "config/session.toml";
/// The file that has variables for development.
const DOT_ENV: &str = ".env";

/// The defaults that apply.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Defaults {
    Production,
    Development,
}

impl Settings {
    /// Loads `file`, or `config/session.toml` if it exists, and the environment.
    ///
    /// # Errors
    /// When a named file does not exist, and for what the [crate page](crate) lists.
    ///
    /// ```no_run
    /// use cloakroom_settings::Settings;
    ///
    /// let settings = Settings::load(None)?;
    /// # Ok::<(), cloakroom_settings::SettingsError>(())
    /// ```
    pub fn load(file: Option<&Path>) -> Result<Self, SettingsError> {
        load(file, &Variables::from_environment()?, Defaults::Production)
    }

    /// Loads settings for plain http on localhost. Differs from [`load`](Self::load) in four ways:
    /// - `cookie.secure` is off by default, because browsers refuse `Secure` cookies over plain http.
    /// - `print_errors` and `show_errors` are on by default, because an application may have no logger yet.
    /// - `database.migrate` is on by default.
    /// - Variables that are not in the environment are looked up in the file `.env`.
    ///
    /// A build without debug assertions, such as `cargo build --release`, logs a warning that these are
    /// not settings for production.
    ///
    /// # Errors
    /// As [`load`](Self::load), and when `.env` cannot be read.
    ///
    /// ```no_run
    /// use cloakroom_settings::Settings;
    ///
    /// let settings = Settings::load_for_development(None)?;
    /// # Ok::<(), cloakroom_settings::SettingsError>(())
    /// ```
    pub fn load_for_development(file: Option<&Path>) -> Result<Self, SettingsError> {
        let dot_env = Variables::from_file(Path::new(DOT_ENV))?;
        let variables = Variables::from_environment()?.or(dot_env);
        let settings = load(file, &variables, Defaults::Development)?;
        if !cfg!(debug_assertions) {
            observe::print_without_logger(settings.print_errors);
            observe::warn_insecure(
                "`Settings::load_for_development` was called in a build without debug assertions: session \
                 cookies are not `Secure` unless the settings say so; in production use Settings::load",
            );
        }
        Ok(settings)
    }

    /// Loads the settings that `source` gives instead of a file, and the environment. The source is a table with
    /// the keys of `config/session.toml`, in any format of serde: a part of the application's own settings,
    /// for example. It must not have the application key. The defaults are those of production.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    ///
    /// ```
    /// use cloakroom_settings::{DriverKind, Settings};
    ///
    /// let source = serde_json::json!({ "driver": "memory", "cookie": { "same_site": "strict" } });
    /// let settings = Settings::load_from(source)?;
    /// assert_eq!(settings.driver, DriverKind::Memory);
    /// # Ok::<(), cloakroom_settings::SettingsError>(())
    /// ```
    pub fn load_from<'de>(source: impl Deserializer<'de>) -> Result<Self, SettingsError> {
        let variables = Variables::from_environment()?;
        combine(document::read_source(source)?, &variables, Defaults::Production)
    }

    /// Loads `file`, or `config/session.toml` if it exists, and these variables instead of the process's
    /// own, for tools and tests. The defaults are those of production.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    ///
    /// ```no_run
    /// use cloakroom_settings::{Settings, Variables};
    ///
    /// let variables = Variables::from_iter([("SESSION_DRIVER", "memory")]);
    /// let settings = Settings::load_with(None, &variables)?;
    /// # Ok::<(), cloakroom_settings::SettingsError>(())
    /// ```
    pub fn load_with(file: Option<&Path>, variables: &Variables) -> Result<Self, SettingsError> {
        load(file, variables, Defaults::Production)
    }

    /// Reads the text of a file and variables, for tests.
    #[cfg(test)]
    pub(super) fn read(text: &str, variables: &Variables) -> Result<Self, SettingsError> {
        let file = document::read_file(Path::new(DEFAULT_FILE), text)?;
        combine(file, variables, Defaults::Production)
    }

    /// Reads the text of a file and variables with the defaults of development, for tests.
    #[cfg(test)]
    pub(super) fn read_for_development(
        text: &str,
        variables: &Variables,
    ) -> Result<Self, SettingsError> {
        let file = document::read_file(Path::new(DEFAULT_FILE), text)?;
        combine(file, variables, Defaults::Development)
    }
}

fn load(
    file: Option<&Path>,
    variables: &Variables,
    defaults: Defaults,
) -> Result<Settings, SettingsError> {
    let path = file.map_or_else(|| PathBuf::from(DEFAULT_FILE), Path::to_owned);
    let file = match std::fs::read_to_string(&path) {
        Ok(text) => document::read_file(&path, &text)?,
        Err(error) if error.kind() == ErrorKind::NotFound && file.is_none() => {
            (SettingsLayer::empty(), Origins::default())
        }
        Err(error) => {
            return Err(SettingsError::at(path.display(), format!("cannot be read: {error}")));
        }
    };
    combine(file, variables, defaults)
}

fn combine(
    (file, mut origins): (SettingsLayer, Origins),
    variables: &Variables,
    defaults: Defaults,
) -> Result<Settings, SettingsError> {
    variables.check_names()?;
    let mut layer = SettingsLayer::empty();
    for (name, key) in names::variables() {
        if let Some(text) = variables.get(name).filter(|_| name != APP_KEY) {
            let place = variables.place(name);
            let origin = Origin::new(place, &key, name.to_owned(), &format!("{text:?}"));
            layer = layer.with_fallback(document::read_variable(&key, text, &origin)?);
            origins.set(&key, origin);
        }
    }
    layer.app_key = variables
        .get(APP_KEY)
        .map(|key| Secret::from(key.to_owned()).set_at(variables.place(APP_KEY)));
    layer = layer.with_fallback(file);
    if let Some(url) = variables.get(DATABASE_URL).filter(|_| layer.database.url.is_none()) {
        layer.database.url = Some(Secret::from(url.to_owned()));
        let (place, key) = (variables.place(DATABASE_URL), "database.url");
        origins.set(key, Origin::new(place, key, DATABASE_URL.to_owned(), ""));
    }
    if defaults == Defaults::Development {
        layer.cookie.secure = layer.cookie.secure.or(Some(false));
        let (place, secure) = ("the default of `Settings::load_for_development`", "cookie.secure");
        origins.set_default(secure, Origin::new(place, secure, format!("`{secure}`"), "false"));
        layer.database.migrate = layer.database.migrate.or(Some(true));
        layer.print_errors = layer.print_errors.or(Some(true));
        layer.show_errors = layer.show_errors.or(Some(true));
    }
    layer.secret_fields = layer.secret_fields.or_else(|| Some(SecretFields::default()));
    let layer = layer.with_fallback(SettingsLayer::default_values());
    let settings = Settings::from_layer(layer).map_err(SettingsError::settings)?;
    settings.check(&origins)
}
