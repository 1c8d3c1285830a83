//! From file and environment to settings: the environment over the file over the defaults.

use std::{
    collections::HashMap,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use confique::{
    Config, Layer,
    meta::{FieldKind, Meta},
};
use toml::{Table, Value};

use crate::{Secret, Settings, SettingsError};
use cloakroom_core::observe;

type SettingsLayer = <Settings as Config>::Layer;

/// The file that is read when none is named.
const DEFAULT_FILE: &str = "config/session.toml";
/// What development reads variables from that are not in the environment.
const DOT_ENV: &str = ".env";
/// Never in the file.
pub(super) const APP_KEY: &str = "APP_KEY";

/// Which defaults apply.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Defaults {
    Production,
    Development,
}

impl Settings {
    /// Reads `file`, or `config/session.toml` where there is one, and the environment.
    ///
    /// # Errors
    /// When a named file does not exist, or for what the [module page](crate) says.
    pub fn load(file: Option<&Path>) -> Result<Self, SettingsError> {
        load(file, &variable, Defaults::Production)
    }

    /// The same for plain http on localhost: `cookie.secure` is off unless file or environment turn
    /// it on, and variables that are not in the environment are looked up in the file `.env`, which
    /// production does not read.
    ///
    /// A build without debug assertions, such as `cargo build --release`, warns that these are not
    /// settings for production.
    ///
    /// # Errors
    /// As [`load`](Self::load); and when `.env` cannot be read.
    pub fn load_for_development(file: Option<&Path>) -> Result<Self, SettingsError> {
        if !cfg!(debug_assertions) {
            observe::warn_loudly(
                "`Settings::load_for_development` was called in a build without debug assertions: session \
                 cookies are not `Secure` unless the settings say so; in production use Settings::load",
            );
        }
        let dot_env = DotEnv::read(Path::new(DOT_ENV))?;
        load(file, &|name| variable(name).or_else(|| dot_env.variable(name)), Defaults::Development)
    }

    /// The same with variables that `environment` looks up in place of the process's, for tools. The
    /// defaults are those of production.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_with(
        file: Option<&Path>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, SettingsError> {
        load(file, environment, Defaults::Production)
    }

    /// Reads the text of a file and variables that `environment` looks up, for tests.
    #[cfg(test)]
    pub(super) fn read(
        text: &str,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, SettingsError> {
        let path = PathBuf::from(DEFAULT_FILE);
        combine(from_file(&path, text)?, environment, Defaults::Production)
    }
}

/// Variables from a file of lines `NAME=value`.
#[derive(Debug, Default)]
pub struct DotEnv(HashMap<String, Secret>);

impl DotEnv {
    /// Reads a file; one that does not exist holds nothing.
    ///
    /// # Errors
    /// When the file cannot be read or has a line that is not `NAME=value`.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        // Its own message would quote the line, and with it perhaps a key.
        let refused = || SettingsError::file(path, "has a line that is not `NAME=value`");
        let lines = match dotenvy::from_path_iter(path) {
            Ok(lines) => lines,
            Err(dotenvy::Error::Io(error)) if error.kind() == ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(dotenvy::Error::Io(error)) => {
                return Err(SettingsError::file(path, format!("cannot be read: {error}")));
            }
            Err(_) => return Err(refused()),
        };
        let pairs = lines.map(|line| line.map(|(name, value)| (name, Secret::from(value))));
        pairs.collect::<Result<_, _>>().map(Self).map_err(|_| refused())
    }

    /// A variable's value; an empty one counts as none.
    pub fn variable(&self, name: &str) -> Option<String> {
        let value = self.0.get(name)?.expose();
        (!value.is_empty()).then(|| value.to_owned())
    }
}

/// An empty variable counts as none: that is how shells and containers unset one.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn load(
    file: Option<&Path>,
    environment: &dyn Fn(&str) -> Option<String>,
    defaults: Defaults,
) -> Result<Settings, SettingsError> {
    let path = file.map_or_else(|| PathBuf::from(DEFAULT_FILE), Path::to_owned);
    let layer = match std::fs::read_to_string(&path) {
        Ok(text) => from_file(&path, &text)?,
        Err(error) if error.kind() == ErrorKind::NotFound && file.is_none() => {
            SettingsLayer::empty()
        }
        Err(error) => return Err(SettingsError::file(&path, format!("cannot be read: {error}"))),
    };
    combine(layer, environment, defaults)
}

fn combine(
    file: SettingsLayer,
    environment: &dyn Fn(&str) -> Option<String>,
    defaults: Defaults,
) -> Result<Settings, SettingsError> {
    let mut layer = SettingsLayer::empty();
    for (name, path) in variables(&Settings::META, "") {
        if let Some(text) = environment(name).filter(|_| name != APP_KEY) {
            layer = layer.with_fallback(from_variable(name, &path, &text)?);
        }
    }
    layer.app_key = environment(APP_KEY).map(Secret::from);
    layer = layer.with_fallback(file);
    if defaults == Defaults::Development {
        layer.cookie.secure = layer.cookie.secure.or(Some(false));
    }
    let layer = layer.with_fallback(SettingsLayer::default_values());
    let settings = Settings::from_layer(layer).map_err(SettingsError::settings)?;
    settings.check()
}

fn from_file(path: &Path, text: &str) -> Result<SettingsLayer, SettingsError> {
    let table: Table = toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        SettingsError::file(path, format!("line {line}: {}", error.message()))
    })?;
    if table.keys().any(|key| key.eq_ignore_ascii_case(APP_KEY)) {
        let problem =
            "the application key is never in the file; set the environment variable APP_KEY";
        return Err(SettingsError::file(path, problem));
    }
    read(table).map_err(|problem| SettingsError::file(path, problem))
}

/// A variable's text is tried as what TOML would call it: a boolean, a number, a string.
fn from_variable(name: &str, path: &str, text: &str) -> Result<SettingsLayer, SettingsError> {
    let typed = [
        text.parse().ok().map(Value::Boolean),
        text.parse().ok().map(Value::Integer),
        Some(Value::String(text.to_owned())),
    ];
    let mut refused = String::new();
    for value in typed.into_iter().flatten() {
        let table = path
            .rsplit('.')
            .fold(value, |inner, key| Value::Table(Table::from_iter([(key.to_owned(), inner)])));
        let Value::Table(table) = table else { continue };
        match read(table) {
            Ok(layer) => return Ok(layer),
            Err(problem) => refused = problem,
        }
    }
    Err(SettingsError::variable(name, refused))
}

/// Reads a table, or says which key is wrong and what is accepted.
fn read(table: Table) -> Result<SettingsLayer, String> {
    serde_path_to_error::deserialize(Value::Table(table)).map_err(|error| {
        let path = error.path().to_string();
        // serde quotes what it found, which for these is nobody's business.
        if ["redis.url", "redis.password", "redis.sentinel_password"].contains(&path.as_str()) {
            return format!("`{path}`: a string is accepted");
        }
        let problem = error.into_inner();
        let problem = problem.message();
        // That a key is unknown names it already.
        let named = path == "." || (!path.contains('.') && problem.starts_with("unknown field"));
        if named { problem.to_owned() } else { format!("`{path}`: {problem}") }
    })
}

impl Settings {
    /// The names of all environment variables that are settings.
    ///
    /// ```
    /// use cloakroom_settings::Settings;
    ///
    /// assert!(Settings::variables().contains(&"SESSION_DRIVER"));
    /// ```
    pub fn variables() -> Vec<&'static str> {
        variables(&Self::META, "").into_iter().map(|(name, _)| name).collect()
    }
}

/// Every environment variable, with the dotted key that it sets.
pub(super) fn variables(meta: &'static Meta, parent: &str) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    for field in meta.fields {
        let key = if parent.is_empty() {
            field.name.to_owned()
        } else {
            format!("{parent}.{}", field.name)
        };
        match field.kind {
            FieldKind::Leaf { env: Some(name), .. } => all.push((name, key)),
            FieldKind::Leaf { env: None, .. } => (),
            FieldKind::Nested { meta } => all.extend(variables(meta, &key)),
        }
    }
    all
}
