//! Layers of settings from the text of a file, a serde source and variables, and what their errors say.

use std::{collections::BTreeMap, ops::Range, path::Path};

use confique::{
    Config,
    meta::{FieldKind, Meta},
};
use serde::{Deserialize, Deserializer};
use serde_path_to_error::Segment;
use toml::{
    Table, Value,
    de::{DeTable, DeValue},
};

use crate::{
    Settings, SettingsError,
    error::SETTINGS,
    load::SettingsLayer,
    names::{APP_KEY, dotted, unknown_key},
    origins::{Origin, Origins},
};

/// Reads the text of the file at `path`. Returns where its settings are as well.
pub(super) fn read_file(
    path: &Path,
    text: &str,
) -> Result<(SettingsLayer, Origins), SettingsError> {
    let document = Document { path, text };
    let refused = |error: &toml::de::Error| {
        SettingsError::at(document.place(&error.span().unwrap_or_default()), error.message())
    };
    let spanned = DeTable::parse(text).map_err(|error| refused(&error))?.into_inner();
    let mut places = Places::default();
    document.add_places(&spanned, "", &mut places);
    let table = toml::from_str(text).map_err(|error| refused(&error))?;
    read_table(table, &places)
}

/// Reads settings from a serde source. Errors name no place in it, because serde has none.
pub(super) fn read_source<'de>(
    source: impl Deserializer<'de>,
) -> Result<(SettingsLayer, Origins), SettingsError> {
    let table = Table::deserialize(source).map_err(SettingsError::settings)?;
    read_table(table, &Places::default())
}

fn read_table(table: Table, places: &Places) -> Result<(SettingsLayer, Origins), SettingsError> {
    let mut origins = Origins::default();
    check_keys(&table, &Settings::META, "", places, &mut origins)?;
    let layer = serde_path_to_error::deserialize(Value::Table(table)).map_err(|error| {
        let keys = error.path().iter().filter_map(|segment| match segment {
            Segment::Map { key } => Some(key.as_str()),
            _ => None,
        });
        let keys: Vec<_> = keys.collect();
        origins.refuse(&keys.join("."), &problem(error.inner().message(), "true or false"))
    })?;
    Ok((layer, origins))
}

/// Refuses keys that are not settings. Keeps where the others are.
fn check_keys(
    table: &Table,
    meta: &'static Meta,
    parent: &str,
    places: &Places,
    origins: &mut Origins,
) -> Result<(), SettingsError> {
    for (name, value) in table {
        let key = dotted(parent, name);
        let place = places.0.get(&key);
        let refused = |problem: &str| match place {
            Some(place) => Err(SettingsError::at(&place.name, problem)),
            None => Err(SettingsError::settings(problem)),
        };
        if name.eq_ignore_ascii_case(APP_KEY) {
            return refused(
                "the application key is never in the file; set the environment variable APP_KEY",
            );
        }
        let Some(field) = meta.fields.iter().find(|field| field.name == name) else {
            return refused(&unknown_key(meta, parent, name));
        };
        if let FieldKind::Nested { meta } = field.kind {
            let Value::Table(table) = value else {
                return refused(&format!("`{key}` is not a table; expected `[{key}]`"));
            };
            check_keys(table, meta, &key, places, origins)?;
        } else {
            let origin = match place {
                Some(Place { value, text, .. }) => {
                    Origin::new(value, &key, format!("`{key}`"), text)
                }
                None => Origin::new(SETTINGS, &key, format!("`{key}`"), &written(value)),
            };
            origins.set(&key, origin);
        }
    }
    Ok(())
}

/// Returns a value as TOML writes it.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(is) => is.to_string(),
        Value::Array(values) => {
            format!("[{}]", values.iter().map(written).collect::<Vec<_>>().join(", "))
        }
        Value::Table(_) | Value::Datetime(_) => value.type_str().to_owned(),
    }
}

/// Where the keys of a file are, by their dotted names.
#[derive(Default)]
struct Places(BTreeMap<String, Place>);

struct Place {
    /// The file and the line of the key.
    name: String,
    /// The file and the line of the value.
    value: String,
    /// The value as it was written.
    text: String,
}

/// The text of a settings file.
struct Document<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Document<'_> {
    /// Returns the name of the file and the line.
    fn place(&self, span: &Range<usize>) -> String {
        let before = self.text.get(..span.start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        format!("{}:{line}", self.path.display())
    }

    fn add_places(&self, table: &DeTable<'_>, parent: &str, places: &mut Places) {
        for (name, value) in table {
            let key = dotted(parent, name.get_ref());
            if let DeValue::Table(table) = value.get_ref() {
                self.add_places(table, &key, places);
            }
            let text = self.text.get(value.span()).unwrap_or_default().to_owned();
            let (name, value) = (self.place(&name.span()), self.place(&value.span()));
            places.0.insert(key, Place { name, value, text });
        }
    }
}

/// Reads the text of the variable of the setting `key`. Tries what TOML would call it: a boolean, a
/// number, a string.
pub(super) fn read_variable(
    key: &str,
    text: &str,
    origin: &Origin,
) -> Result<SettingsLayer, SettingsError> {
    let typed = [
        boolean(text).map(Value::Boolean),
        text.parse().ok().map(Value::Integer),
        Some(Value::String(text.to_owned())),
    ];
    let mut refused = String::new();
    for value in typed.into_iter().flatten() {
        let nested = key
            .rsplit('.')
            .fold(value, |inner, name| Value::Table(Table::from_iter([(name.to_owned(), inner)])));
        match SettingsLayer::deserialize(nested) {
            Ok(layer) => return Ok(layer),
            Err(error) => error.message().clone_into(&mut refused),
        }
    }
    Err(origin.refuse(&problem(&refused, "true, 1, yes, on, false, 0, no or off")))
}

/// Reads a boolean as shells, containers and people write it.
fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// Returns a problem with what was found cut off, because that may be a secret. [`Origin`] adds it.
fn problem(message: &str, booleans: &str) -> String {
    match message.split_once("expected ") {
        Some((_, "a boolean")) => format!("expected {booleans}"),
        Some((_, expected)) => format!("expected {expected}"),
        None => message.to_owned(),
    }
}
