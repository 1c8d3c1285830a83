//! Environment variables, each with the place where it was set.

use std::{collections::BTreeMap, io::ErrorKind, path::Path};

use crate::{
    Secret, Settings, SettingsError,
    names::{APP_KEY, DATABASE_URL, PREFIX, Unknown, judge_variable},
};

const ENVIRONMENT: &str = "environment";

/// The variables that settings are read from: `APP_KEY`, `DATABASE_URL` and those that begin with `SESSION_`. Other
/// variables are not kept, and an empty variable counts as unset. `Debug` shows names and no values.
///
/// Applications use [`Settings::load`] or [`Settings::load_for_development`] and do not need this type.
/// Tools and tests give variables of their own to [`Settings::load_with`].
///
/// ```
/// use cloakroom_settings::Variables;
///
/// let variables = Variables::from_iter([("SESSION_DRIVER", "memory"), ("PATH", "/bin")]);
/// assert_eq!(variables.get("SESSION_DRIVER"), Some("memory"));
/// assert_eq!(variables.get("PATH"), None);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Variables(BTreeMap<String, Variable>);

#[derive(Clone, Debug)]
struct Variable {
    value: Secret,
    place: String,
}

impl Variables {
    /// Reads the environment of this process.
    ///
    /// # Errors
    /// When the value of a setting is not UTF-8.
    ///
    /// ```
    /// use cloakroom_settings::Variables;
    ///
    /// let variables = Variables::from_environment()?;
    /// # Ok::<(), cloakroom_settings::SettingsError>(())
    /// ```
    pub fn from_environment() -> Result<Self, SettingsError> {
        let mut variables = Self::default();
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else { continue };
            // Windows does not distinguish upper and lower case in names.
            let name = if cfg!(windows) { name.to_ascii_uppercase() } else { name };
            match value.into_string() {
                Ok(value) => variables.insert(name, value, ENVIRONMENT),
                Err(_) if Settings::variables().contains(&name.as_str()) => {
                    return Err(SettingsError::at(
                        ENVIRONMENT,
                        format!("the value of {name} is not UTF-8; UTF-8 is accepted"),
                    ));
                }
                Err(_) => (),
            }
        }
        Ok(variables)
    }

    /// Reads a file of lines `NAME=value`, such as `.env`. A file that does not exist has no variables.
    ///
    /// # Errors
    /// When the file cannot be read or has a line that is not `NAME=value`.
    ///
    /// ```
    /// use std::path::Path;
    /// use cloakroom_settings::Variables;
    ///
    /// let variables = Variables::from_environment()?.or(Variables::from_file(Path::new(".env"))?);
    /// # Ok::<(), cloakroom_settings::SettingsError>(())
    /// ```
    pub fn from_file(path: &Path) -> Result<Self, SettingsError> {
        let place = path.display().to_string();
        // The parser's own message would quote the line, which may hold a key.
        let refused = || SettingsError::at(&place, "has a line that is not `NAME=value`");
        let lines = match dotenvy::from_path_iter(path) {
            Ok(lines) => lines,
            Err(dotenvy::Error::Io(error)) if error.kind() == ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(dotenvy::Error::Io(error)) => {
                return Err(SettingsError::at(&place, format!("cannot be read: {error}")));
            }
            Err(_) => return Err(refused()),
        };
        let mut variables = Self::default();
        for line in lines {
            let (name, value) = line.map_err(|_| refused())?;
            variables.insert(name, value, &place);
        }
        Ok(variables)
    }

    /// Adds the variables of `other` that are not set here.
    ///
    /// ```
    /// use cloakroom_settings::Variables;
    ///
    /// let first = Variables::from_iter([("SESSION_DRIVER", "file")]);
    /// let second = Variables::from_iter([("SESSION_DRIVER", "redis"), ("SESSION_REDIS_HOST", "db")]);
    /// let both = first.or(second);
    /// assert_eq!(both.get("SESSION_DRIVER"), Some("file"));
    /// assert_eq!(both.get("SESSION_REDIS_HOST"), Some("db"));
    /// ```
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        for (name, variable) in other.0 {
            self.0.entry(name).or_insert(variable);
        }
        self
    }

    /// Returns the value of a variable, or `None` if it is unset or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|variable| variable.value.expose())
    }

    /// Returns where a variable was set: `environment`, or the path of a file.
    pub(super) fn place(&self, name: &str) -> &str {
        self.0.get(name).map_or(ENVIRONMENT, |variable| &variable.place)
    }

    /// Refuses names that were meant as a setting and are none. Warns of other unknown names.
    pub(super) fn check_names(&self) -> Result<(), SettingsError> {
        for (name, Variable { place, .. }) in &self.0 {
            match judge_variable(name) {
                Some(Unknown::Mistaken(problem)) => return Err(SettingsError::at(place, problem)),
                Some(Unknown::Foreign) => tracing::warn!(
                    target: "cloakroom",
                    "ignoring {name} ({place}): it is not a setting of cloakroom"
                ),
                Some(Unknown::Desktop) | None => (),
            }
        }
        Ok(())
    }

    fn insert(&mut self, name: String, value: String, place: &str) {
        let is_ours = [APP_KEY, DATABASE_URL].contains(&&*name) || name.starts_with(PREFIX);
        if !value.is_empty() && is_ours {
            let variable = Variable { value: Secret::from(value), place: place.to_owned() };
            self.0.insert(name, variable);
        }
    }
}

/// Collects names and values, as if the environment of a process had them.
impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Variables {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut variables = Self::default();
        for (name, value) in pairs {
            variables.insert(name.into(), value.into(), ENVIRONMENT);
        }
        variables
    }
}
