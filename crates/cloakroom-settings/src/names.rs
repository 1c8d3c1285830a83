//! The names of settings, and the name that was probably meant by another.

use confique::{
    Config,
    meta::{FieldKind, Meta},
};

use crate::Settings;

/// The variable of the application key, which the file must not contain.
pub(super) const APP_KEY: &str = "APP_KEY";
/// The beginning of all other variables.
pub(super) const PREFIX: &str = "SESSION_";
/// Desktops of the X Window System set this variable in every process.
const X_SESSION_MANAGER: &str = "SESSION_MANAGER";
/// A name that is at most this far from a setting's is taken for a typing error.
const MAX_DISTANCE: usize = 2;

/// Keys of older versions and their new names. Their variables are named accordingly.
const RENAMED: [(&str, &str); 3] = [
    ("age", "idle_timeout"),
    ("lifetime", "absolute_timeout"),
    ("clear_with_browser", "browser_session"),
];

/// Keys whose values may hold a password and are never shown.
const SECRET: [&str; 6] = [
    "app_key",
    "redis.url",
    "redis.host",
    "redis.nodes",
    "redis.password",
    "redis.sentinel_password",
];

impl Settings {
    /// Returns the names of all environment variables that are settings.
    ///
    /// ```
    /// use cloakroom_settings::Settings;
    ///
    /// assert!(Settings::variables().contains(&"SESSION_DRIVER"));
    /// ```
    pub fn variables() -> Vec<&'static str> {
        variables().into_iter().map(|(name, _)| name).collect()
    }
}

/// Returns every environment variable with the dotted key that it sets.
pub(super) fn variables() -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    add_variables(&Settings::META, "", &mut all);
    all
}

fn add_variables(meta: &'static Meta, parent: &str, variables: &mut Vec<(&'static str, String)>) {
    for field in meta.fields {
        let key = dotted(parent, field.name);
        match field.kind {
            FieldKind::Leaf { env: Some(name), .. } => variables.push((name, key)),
            FieldKind::Leaf { env: None, .. } => (),
            FieldKind::Nested { meta } => add_variables(meta, &key, variables),
        }
    }
}

/// Returns the dotted key of a field in the table `parent`, or in the root if that is empty.
pub(super) fn dotted(parent: &str, field: &str) -> String {
    if parent.is_empty() { field.to_owned() } else { format!("{parent}.{field}") }
}

pub(super) fn is_secret(key: &str) -> bool {
    SECRET.contains(&key)
}

/// A variable that begins with [`PREFIX`] and is not a setting.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// It was meant as a setting. Says what is wrong with it.
    Mistaken(String),
    /// It may belong to the application or to another program.
    Foreign,
    /// It belongs to the desktop.
    Desktop,
}

/// Judges a variable. Returns `None` if it is a setting.
pub(super) fn judge_variable(name: &str) -> Option<Unknown> {
    let known = Settings::variables();
    if known.contains(&name) {
        return None;
    }
    if name == X_SESSION_MANAGER {
        return Some(Unknown::Desktop);
    }
    let in_environment = |key: &str| format!("{PREFIX}{}", key.to_ascii_uppercase());
    if let Some((_, new)) = RENAMED.iter().find(|(old, _)| in_environment(old) == name) {
        return Some(Unknown::Mistaken(format!(
            "{name} has a new name: {} is accepted",
            in_environment(new)
        )));
    }
    let (distance, nearest) = nearest(name, known.iter().copied())?;
    if distance <= MAX_DISTANCE {
        return Some(Unknown::Mistaken(format!(
            "{name} is not a setting; did you mean {nearest}? A variable of another program needs a \
             name that differs more"
        )));
    }
    let table = table_prefixes().find(|prefix| name.starts_with(prefix));
    Some(table.map_or(Unknown::Foreign, |prefix| {
        let accepted = known.iter().copied().filter(|name| name.starts_with(&prefix));
        let accepted: Vec<_> = accepted.collect();
        Unknown::Mistaken(format!(
            "{name} is not a setting; the names that begin with {prefix} are {}",
            accepted.join(", ")
        ))
    }))
}

/// Returns the beginnings of variables that set keys of a table, such as `SESSION_COOKIE_`.
fn table_prefixes() -> impl Iterator<Item = String> {
    let tables =
        Settings::META.fields.iter().filter(|field| matches!(field.kind, FieldKind::Nested { .. }));
    tables.map(|table| format!("{PREFIX}{}_", table.name.to_ascii_uppercase()))
}

/// Says what is wrong with a key of the table `meta` that is not a setting, and what is accepted.
pub(super) fn unknown_key(meta: &'static Meta, parent: &str, name: &str) -> String {
    let key = dotted(parent, name);
    if let Some((_, new)) = RENAMED.iter().find(|(old, _)| *old == key) {
        return format!("`{key}` has a new name: `{new}` is accepted");
    }
    let keys: Vec<_> = variables().into_iter().map(|(_, key)| key).collect();
    let keys = || keys.iter().map(String::as_str).filter(|key| *key != "app_key");
    let is_elsewhere = |known: &&str| known.rsplit('.').next() == Some(name);
    let meant = keys().find(is_elsewhere).or_else(|| {
        nearest(&key, keys()).filter(|(distance, _)| *distance <= MAX_DISTANCE).map(|(_, key)| key)
    });
    let hint = meant.map(|meant| format!(" did you mean `{meant}`?")).unwrap_or_default();
    let accepted = meta.fields.iter().map(|field| field.name).filter(|name| *name != "app_key");
    let accepted: Vec<_> = accepted.collect();
    format!("`{key}` is not a setting;{hint} expected one of `{}`", accepted.join("`, `"))
}

/// Returns the name that is nearest to `name`, and how many letters they differ in.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<(usize, &'a str)> {
    known.map(|known| (strsim::damerau_levenshtein(name, known), known)).min()
}
