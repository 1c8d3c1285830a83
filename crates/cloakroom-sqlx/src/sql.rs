//! The text of the statements. It has no types of sqlx, so that a store on another library can use it.
//!
//! Every step is one conditional statement, or two in a transaction. None changes a row blindly: a row is
//! named by its revision, or has to have expired.

use std::sync::Arc;

use crate::{table::Table, value::Value};

/// How the values of a statement reach the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placeholders {
    /// Beside the text, which has `$1`, `$2` and so on.
    Numbered,
    /// Beside the text, which has `?` for each.
    InOrder,
    /// In the text.
    Inline,
}

/// A statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sql {
    pub(crate) text: Arc<str>,
    pub(crate) placeholders: Placeholders,
    /// The index of the value that each `?` takes.
    order: Vec<usize>,
}

impl Sql {
    /// Makes a statement from a text with the placeholders `$1`, `$2` and so on.
    pub(crate) fn new(text: &str, placeholders: Placeholders) -> Self {
        let mut order = Vec::new();
        let text = match placeholders {
            Placeholders::Numbered | Placeholders::Inline => text.into(),
            Placeholders::InOrder => replace_placeholders(text, |index| {
                order.push(index);
                "?".to_owned()
            })
            .into(),
        };
        Self { text, placeholders, order }
    }

    /// Returns the values in the order in which they are bound.
    pub(crate) fn bound<'v>(&self, values: &'v [Value<'v>]) -> impl Iterator<Item = Value<'v>> {
        let is_reordered = self.placeholders == Placeholders::InOrder;
        let as_given = if is_reordered { &[] } else { values };
        as_given.iter().chain(self.order.iter().map(|index| &values[*index])).copied()
    }
}

/// Replaces each placeholder of a text by what `by` makes of the index of its value.
pub(crate) fn replace_placeholders(text: &str, mut by: impl FnMut(usize) -> String) -> String {
    let mut parts = text.split('$');
    let mut written = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        match part[..digits].parse::<usize>() {
            Ok(number) => written += &by(number - 1),
            Err(_) => written.push('$'),
        }
        written += &part[digits..];
    }
    written
}

/// Returns the text that creates a row, for databases with `ON CONFLICT`. A row that has expired makes
/// room, and one with the same revision is that of an earlier copy of the statement.
pub(crate) fn create(sessions: &str) -> String {
    format!(
        "INSERT INTO {sessions} AS taken (id, revision, expires, owner, record) \
         VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (id) DO UPDATE SET revision = $2, expires = $3, owner = $4, record = $5, \
         successor = NULL WHERE taken.expires <= $6 \
         OR taken.revision = $2 AND taken.record IS NOT NULL"
    )
}

/// The statements that all databases share.
#[derive(Debug)]
pub struct Statements {
    pub(crate) select: Sql,
    pub(crate) replace: Sql,
    pub(crate) touch: Sql,
    /// Puts a tombstone in the place of a record.
    pub(crate) bury: Sql,
    pub(crate) scan: Sql,
    pub(crate) owned: Sql,
    pub(crate) claim_sweep: Sql,
    pub(crate) release_sweep: Sql,
    pub(crate) version: Sql,
    pub(crate) append_to_log: Sql,
    pub(crate) keep_log: Sql,
    pub(crate) read_log: Sql,
    pub(crate) forget_logs: Sql,
}

impl Statements {
    pub(crate) fn of(table: &Table, placeholders: Placeholders) -> Self {
        let (sessions, state, log) = (table.sessions(), table.state(), table.log());
        let sql = |text: String| Sql::new(&text, placeholders);
        Self {
            select: sql(format!(
                "SELECT revision, expires, record, successor FROM {sessions} WHERE id = $1"
            )),
            // A statement that is sent again finds its own revision.
            replace: sql(format!(
                "UPDATE {sessions} SET revision = $3, expires = $4, owner = $5, record = $6 \
                 WHERE id = $1 AND revision IN ($2, $3) AND expires > $7 AND record IS NOT NULL"
            )),
            touch: sql(format!(
                "UPDATE {sessions} SET expires = $3 \
                 WHERE id = $1 AND revision = $2 AND expires > $4 AND record IS NOT NULL"
            )),
            bury: sql(format!(
                "UPDATE {sessions} SET record = NULL, owner = NULL, successor = $3, expires = $4 \
                 WHERE id = $1 AND ($2 IS NULL OR revision = $2) AND expires > $5 \
                 AND record IS NOT NULL"
            )),
            scan: sql(format!(
                "SELECT id, expires FROM {sessions} WHERE id > $1 ORDER BY id LIMIT $2"
            )),
            owned: sql(format!(
                "SELECT id, expires FROM {sessions} \
                 WHERE owner = $1 AND id > $2 AND id <= $3 ORDER BY id LIMIT $4"
            )),
            claim_sweep: sql(format!(
                "UPDATE {state} SET sweeper = $1, swept_until = $2 \
                 WHERE swept_until <= $3 OR sweeper = $1"
            )),
            release_sweep: sql(format!("UPDATE {state} SET swept_until = 0 WHERE sweeper = $1")),
            // It fails if one of the other tables is missing.
            version: sql(format!(
                "SELECT version FROM {state} \
                 WHERE NOT EXISTS (SELECT 1 FROM {sessions} WHERE 1 = 0) \
                 AND NOT EXISTS (SELECT 1 FROM {log} WHERE 1 = 0)"
            )),
            append_to_log: sql(format!(
                "INSERT INTO {log} (name, kept_until, content) VALUES ($1, $2, $3)"
            )),
            keep_log: sql(format!("UPDATE {log} SET kept_until = $2 WHERE name = $1")),
            read_log: sql(format!(
                "SELECT content, id FROM {log} WHERE name = $1 AND id > $2 ORDER BY id LIMIT $3"
            )),
            forget_logs: sql(format!("DELETE FROM {log} WHERE kept_until <= $1")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_without_numbers_know_their_values() {
        let text = "SET a = $2 WHERE b = $1 OR c = $12";
        let values: Vec<_> = (1..=12).map(Value::Number).collect();
        let bound = |sql: &Sql| -> Vec<_> {
            sql.bound(&values).map(|value| format!("{value:?}")).collect()
        };
        let in_order = Sql::new(text, Placeholders::InOrder);
        assert_eq!(&*in_order.text, "SET a = ? WHERE b = ? OR c = ?");
        assert_eq!(bound(&in_order), ["Number(2)", "Number(1)", "Number(12)"]);
        let numbered = Sql::new(text, Placeholders::Numbered);
        assert_eq!((&*numbered.text, bound(&numbered).len()), (text, 12));
        assert_eq!(replace_placeholders("$1 $x $", |index| index.to_string()), "0 $x $");
    }
}
