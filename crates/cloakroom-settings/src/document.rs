//! Layers of settings from the text of a file and from variables, and what their errors say.

use std::{ops::Range, path::Path};

use confique::{
    Config,
    meta::{FieldKind, Meta},
};
use serde::Deserialize;
use serde_path_to_error::Segment;
use toml::{
    Table, Value,
    de::{DeTable, DeValue},
};

use crate::{
    Settings, SettingsError,
    load::SettingsLayer,
    names::{APP_KEY, dotted, unknown_key},
    origins::{Origin, Origins},
};

/// The text of a settings file.
struct Document<'a> {
    path: &'a Path,
    text: &'a str,
}

/// Reads the text of the file at `path`. Returns where its settings are as well.
pub(super) fn read_file(
    path: &Path,
    text: &str,
) -> Result<(SettingsLayer, Origins), SettingsError> {
    let document = Document { path, text };
    let refused = |error: &toml::de::Error| {
        document.error_at(&error.span().unwrap_or_default(), error.message())
    };
    let spanned = DeTable::parse(text).map_err(|error| refused(&error))?.into_inner();
    let mut origins = Origins::default();
    document.check_keys(&spanned, &Settings::META, "", &mut origins)?;
    let table: Table = toml::from_str(text).map_err(|error| refused(&error))?;
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

impl Document<'_> {
    /// Makes an error that names the file and the line.
    fn error_at(&self, span: &Range<usize>, problem: &str) -> SettingsError {
        SettingsError::at(self.place(span), problem)
    }

    /// Returns the name of the file and the line.
    fn place(&self, span: &Range<usize>) -> String {
        let before = self.text.get(..span.start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        format!("{}:{line}", self.path.display())
    }

    /// Refuses keys that are not settings. Keeps where the others are.
    fn check_keys(
        &self,
        table: &DeTable<'_>,
        meta: &'static Meta,
        parent: &str,
        origins: &mut Origins,
    ) -> Result<(), SettingsError> {
        for (name, value) in table {
            let refused = |problem: &str| Err(self.error_at(&name.span(), problem));
            let name = name.get_ref().as_ref();
            if name.eq_ignore_ascii_case(APP_KEY) {
                return refused(
                    "the application key is never in the file; set the environment variable APP_KEY",
                );
            }
            let Some(field) = meta.fields.iter().find(|field| field.name == name) else {
                return refused(&unknown_key(meta, parent, name));
            };
            let key = dotted(parent, name);
            if let FieldKind::Nested { meta } = field.kind {
                let DeValue::Table(table) = value.get_ref() else {
                    return refused(&format!("`{key}` is not a table; expected `[{key}]`"));
                };
                self.check_keys(table, meta, &key, origins)?;
            } else {
                let text = self.text.get(value.span()).unwrap_or_default();
                let place = self.place(&value.span());
                origins.set(&key, Origin::new(&place, &key, format!("`{key}`"), text));
            }
        }
        Ok(())
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
