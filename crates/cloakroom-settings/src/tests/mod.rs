//! Every key by file and by environment, and every way to get one wrong.

mod contradictions;
#[cfg(all(feature = "mysql", feature = "postgres", feature = "sqlite"))]
mod databases;
mod defaults;
mod keys;
mod names;
mod places;
#[cfg(feature = "redis")]
mod redis;
mod sessions;
mod sources;
mod values;

use cloakroom_core::AppKeys;

use crate::{Settings, SettingsError, Variables};

fn file(text: &str) -> Result<Settings, SettingsError> {
    Settings::read(text, &Variables::default())
}

fn variable(name: &str, value: &str) -> Result<Settings, SettingsError> {
    Settings::read("", &Variables::from_iter([(name, value)]))
}

fn for_development(text: &str) -> Result<Settings, SettingsError> {
    Settings::read_for_development(text, &Variables::default())
}

/// Reads the text of a file, with a key.
fn with_key(text: &str) -> Settings {
    Settings::read(text, &Variables::from_iter([("APP_KEY", AppKeys::generate())])).unwrap()
}
