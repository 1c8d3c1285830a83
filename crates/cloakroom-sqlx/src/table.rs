//! The names of the tables.

use std::{error::Error as StdError, fmt};

/// Settings of the store that cannot be used. The message names the setting and says what is accepted. It
/// never contains a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl ConfigError {
    pub(crate) fn new(problem: impl Into<String>) -> Self {
        Self(problem.into())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for ConfigError {}

/// The name of the table, if none is set.
pub(crate) const DEFAULT_TABLE: &str = "cloakroom_sessions";

/// The longest name. Databases accept 63 or 64 characters, and other names are made from it.
const MAX_NAME: usize = 48;

/// The table of the sessions, and those beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    schema: Option<String>,
    name: String,
    quote: char,
}

impl Table {
    pub(crate) fn new(schema: Option<&str>, name: &str, quote: char) -> Result<Self, ConfigError> {
        for (setting, name) in
            schema.map(|schema| ("schema", schema)).into_iter().chain([("table", name)])
        {
            check(setting, name)?;
        }
        Ok(Self { schema: schema.map(ToOwned::to_owned), name: name.to_owned(), quote })
    }

    /// Returns the schema, if one is set.
    pub(crate) fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// Returns the name of the table of sessions without its schema and without quotes.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the name of the table of sessions in a statement.
    pub(crate) fn sessions(&self) -> String {
        self.named("")
    }

    /// Returns the name of the table with one row: the version of the tables, and who sweeps.
    pub(crate) fn state(&self) -> String {
        self.named("_state")
    }

    /// Returns the name of the table with the logs of tools.
    pub(crate) fn log(&self) -> String {
        self.named("_log")
    }

    /// Returns the quoted name of an index. It is in the schema of its table.
    pub(crate) fn index(&self, suffix: &str) -> String {
        format!("{0}{1}{suffix}{0}", self.quote, self.name)
    }

    fn named(&self, suffix: &str) -> String {
        let name = self.index(suffix);
        match &self.schema {
            Some(schema) => format!("{0}{schema}{0}.{name}", self.quote),
            None => name,
        }
    }
}

/// Accepts names that need no escaping inside of quotes in any database.
fn check(setting: &str, name: &str) -> Result<(), ConfigError> {
    let starts = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let rest = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if starts && rest && name.len() <= MAX_NAME {
        return Ok(());
    }
    let shown: String = name.chars().take(MAX_NAME).flat_map(char::escape_debug).collect();
    Err(ConfigError::new(format!(
        "{setting}: `{shown}` is not accepted; expected a name of 1 to {MAX_NAME} letters (a to z), \
         digits and underscores that does not begin with a digit"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_those_that_need_escaping_are_refused() {
        let table = Table::new(Some("shop"), "user", '"').unwrap();
        assert_eq!(table.sessions(), r#""shop"."user""#);
        assert_eq!(table.state(), r#""shop"."user_state""#);
        assert_eq!(table.index("_owner"), r#""user_owner""#);
        assert_eq!(Table::new(None, "Sessions2", '`').unwrap().sessions(), "`Sessions2`");
        let long = "s".repeat(49);
        for bad in ["", "2fast", "a-b", "a.b", "a\"b", "a`; drop", "sitzung€", "$1", &long] {
            let error = Table::new(None, bad, '"').unwrap_err().to_string();
            assert!(error.starts_with("table: "), "{bad}: {error}");
            assert!(
                Table::new(Some(bad), "ok", '"').unwrap_err().to_string().starts_with("schema")
            );
        }
        assert!(Table::new(None, &"s".repeat(48), '"').is_ok());
    }
}
