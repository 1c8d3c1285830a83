//! The places where settings were set, for errors.

use std::collections::BTreeMap;

use crate::{SettingsError, names::is_secret};

/// The longest value that an error quotes in full, in characters.
const MAX_QUOTED: usize = 80;

/// The place where one setting was set.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// A file and its line, `environment`, or a default.
    place: String,
    /// The key or the variable.
    name: String,
    /// The value as it was written. `None` if it may be a secret.
    value: Option<String>,
}

impl Origin {
    /// Makes the origin of the setting `key`, which is called `name` at this place.
    pub(super) fn new(place: &str, key: &str, name: String, value: &str) -> Self {
        let value = Some(value).filter(|_| !is_secret(key)).map(ToOwned::to_owned);
        Self { place: place.to_owned(), name, value }
    }

    /// Returns the name and the value.
    fn said(&self) -> String {
        let Self { name, value, .. } = self;
        let Some(value) = value else { return name.clone() };
        match value.char_indices().nth(MAX_QUOTED) {
            Some((end, _)) => format!("{name} is {}…", &value[..end]),
            None => format!("{name} is {value}"),
        }
    }

    /// Makes the error about a value that was refused.
    pub(super) fn refuse(&self, problem: &str) -> SettingsError {
        SettingsError::at(&self.place, format!("{}: {problem}", self.said()))
    }
}

/// The origins of all settings that were set, by their keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// Keeps the origin of a setting. It takes the place of one that is less important.
    pub(super) fn set(&mut self, key: &str, origin: Origin) {
        self.0.insert(key.to_owned(), origin);
    }

    /// Keeps the origin of a setting unless it was set.
    pub(super) fn set_default(&mut self, key: &str, origin: Origin) {
        self.0.entry(key.to_owned()).or_insert(origin);
    }

    /// Makes the error about a setting that was refused: `problem` says what is accepted. Adds where the
    /// other settings that it names were set.
    pub(super) fn refuse(&self, key: &str, problem: &str) -> SettingsError {
        let named = self.0.iter().filter(|(other, _)| *other != key && problem.contains(*other));
        let named = named.map(|(_, origin)| format!("; {} ({})", origin.said(), origin.place));
        let problem = problem.to_owned() + &named.collect::<String>();
        match self.0.get(key) {
            Some(origin) => origin.refuse(&problem),
            None => SettingsError::settings(format!("`{key}`: {problem}")),
        }
    }
}
