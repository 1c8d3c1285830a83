//! Layers of settings from the text of a file and from variables, and what their errors say.

use std::{ops::Range, path::Path};

use confique::{
    Config,
    meta::{FieldKind, Meta},
};
use serde::Deserialize;
use serde_path_to_error::Segment;
use toml::{
    Spanned, Table, Value,
    de::{DeTable, DeValue},
};

use crate::{
    Settings, SettingsError,
    load::SettingsLayer,
    names::{APP_KEY, dotted, is_secret, unknown_key},
};

/// The longest value that an error quotes in full, in characters.
const MAX_QUOTED: usize = 80;

/// The text of a settings file.
struct Document<'a> {
    path: &'a Path,
    text: &'a str,
}

/// Reads the text of the file at `path`.
pub(super) fn read_file(path: &Path, text: &str) -> Result<SettingsLayer, SettingsError> {
    let document = Document { path, text };
    let refused = |error: &toml::de::Error| {
        document.error_at(&error.span().unwrap_or_default(), error.message())
    };
    let spanned = DeTable::parse(text).map_err(|error| refused(&error))?.into_inner();
    document.check_keys(&spanned, &Settings::META, "")?;
    let table: Table = toml::from_str(text).map_err(|error| refused(&error))?;
    serde_path_to_error::deserialize(Value::Table(table)).map_err(|error| {
        let keys = error.path().iter().filter_map(|segment| match segment {
            Segment::Map { key } => Some(key.as_str()),
            _ => None,
        });
        let keys: Vec<_> = keys.collect();
        let found = find(&spanned, &keys);
        let span = found.map(Spanned::span).unwrap_or_default();
        let key = keys.join(".");
        let is_quoted = found.is_some_and(|value| !value.get_ref().is_table()) && !is_secret(&key);
        let value = text.get(span.clone()).filter(|_| is_quoted);
        let problem = problem(error.inner().message(), "true or false");
        document.error_at(&span, &said(&format!("`{key}`"), value, &problem))
    })
}

impl Document<'_> {
    /// Makes an error that names the file and the line.
    fn error_at(&self, span: &Range<usize>, problem: &str) -> SettingsError {
        let before = self.text.get(..span.start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        SettingsError::at(format!("{}:{line}", self.path.display()), problem)
    }

    /// Refuses keys that are not settings.
    fn check_keys(
        &self,
        table: &DeTable<'_>,
        meta: &'static Meta,
        parent: &str,
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
            if let FieldKind::Nested { meta } = field.kind {
                let key = dotted(parent, name);
                let DeValue::Table(table) = value.get_ref() else {
                    return refused(&format!("`{key}` is not a table; expected `[{key}]`"));
                };
                self.check_keys(table, meta, &key)?;
            }
        }
        Ok(())
    }
}

/// Returns the value under a key, given by the names of its tables and its own.
fn find<'a, 'i>(table: &'a DeTable<'i>, keys: &[&str]) -> Option<&'a Spanned<DeValue<'i>>> {
    let (key, rest) = keys.split_first()?;
    let (_, value) = table.iter().find(|(name, _)| name.get_ref() == key)?;
    match value.get_ref() {
        DeValue::Table(table) if !rest.is_empty() => find(table, rest),
        _ => Some(value),
    }
}

/// Reads the text of a variable. Tries what TOML would call it: a boolean, a number, a string.
pub(super) fn read_variable(
    name: &str,
    key: &str,
    text: &str,
    place: &str,
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
    let problem = problem(&refused, "true, 1, yes, on, false, 0, no or off");
    let quoted = format!("{text:?}");
    Err(SettingsError::at(place, said(name, Some(&*quoted).filter(|_| !is_secret(key)), &problem)))
}

/// Reads a boolean as shells, containers and people write it.
fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// Returns a problem with what was found cut off, because that may be a secret. [`said`] adds it.
fn problem(message: &str, booleans: &str) -> String {
    match message.split_once("expected ") {
        Some((_, "a boolean")) => format!("expected {booleans}"),
        Some((_, expected)) => format!("expected {expected}"),
        None => message.to_owned(),
    }
}

/// Returns the sentence about a value that was refused.
fn said(name: &str, value: Option<&str>, problem: &str) -> String {
    let Some(value) = value else { return format!("{name}: {problem}") };
    match value.char_indices().nth(MAX_QUOTED) {
        Some((end, _)) => format!("{name} is {}…: {problem}", &value[..end]),
        None => format!("{name} is {value}: {problem}"),
    }
}
