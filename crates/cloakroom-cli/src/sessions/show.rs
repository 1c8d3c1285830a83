//! `cloakroom show`.

use cloakroom::{
    Message, SessionContents, SessionInfo,
    clock::{Clock, SystemClock, Timestamp},
};
use serde_json::{Map, Value, json};

use super::{
    handle, open,
    text::{ago, printable, within},
    to_json,
};
use crate::{
    arguments::{CommonOptions, Show},
    failure::Failure,
    output::{Output, remark},
};

/// A list or an object that is longer than this is shown on several lines.
const LINE: usize = 60;

pub(crate) async fn show(
    options: &Show,
    common: &CommonOptions,
    output: Output,
) -> Result<(), Failure> {
    let (_, admin) = open(common)?;
    let handle = handle::resolve(&admin, &options.handle).await?;
    let contents = admin.contents(&handle).await?;
    let contents = contents.ok_or_else(|| handle::unknown(&options.handle))?;
    output.result(&object(&contents, options.reveal), page(&contents, options.reveal));
    if !options.reveal {
        remark("values are hidden; --reveal shows them");
    }
    Ok(())
}

/// Returns the session for programs.
fn object(contents: &SessionContents, reveal: bool) -> Value {
    let mut object = to_json(&contents.info);
    if reveal {
        object["values"] = json!(contents.values);
        object["messages"] = json!(contents.messages);
        object["pushed"] = json!(contents.pushed);
        object["input"] = json!(contents.input);
        object["errors"] = json!(contents.errors);
        if !contents.form_errors.is_empty() {
            object["form_errors"] = json!(contents.form_errors);
        }
    } else {
        let kinds = contents.values.iter();
        object["values"] = kinds.map(|(key, value)| (key.clone(), json!(kind(value)))).collect();
    }
    object
}

/// Returns the session as a page for people: its fields, and its values below.
fn page(contents: &SessionContents, reveal: bool) -> String {
    let mut lines = vec![summary(&contents.info, SystemClock.now())];
    lines.extend(section("values", &contents.values, reveal));
    if reveal {
        lines.extend(section("messages", &contents.messages, reveal));
        lines.extend(list("messages in order", &contents.pushed));
        lines.extend(section("input", &contents.input, reveal));
        if let Value::Object(errors) = json!(contents.errors) {
            lines.extend(section("errors", &errors, reveal));
        }
        if let Value::Object(errors) = json!(contents.form_errors) {
            lines.extend(section("errors by form", &errors, reveal));
        }
    }
    lines.join("\n")
}

/// Returns the lines of a section. An empty section has no lines.
fn section(title: &str, entries: &Map<String, Value>, reveal: bool) -> Vec<String> {
    let names: Vec<_> = entries.keys().map(|key| printable(key)).collect();
    let Some(width) = names.iter().map(|name| name.chars().count()).max() else {
        return Vec::new();
    };
    let mut lines = vec![String::new(), title.to_owned()];
    for (name, value) in names.iter().zip(entries.values()) {
        if reveal && is_long(value) {
            let value = serde_json::to_string_pretty(value).unwrap_or_default();
            lines.push(format!("  {name}"));
            lines.extend(value.lines().map(|line| format!("    {}", printable(line))));
        } else {
            let value = if reveal { value.to_string() } else { kind(value).to_owned() };
            lines.push(format!("  {name:width$}  {}", printable(&value)));
        }
    }
    lines
}

/// Returns the lines of a section of messages with levels. An empty section has no lines.
fn list(title: &str, messages: &[Message]) -> Vec<String> {
    let levels: Vec<_> = messages.iter().map(|message| printable(&message.level)).collect();
    let Some(width) = levels.iter().map(|level| level.chars().count()).max() else {
        return Vec::new();
    };
    let mut lines = vec![String::new(), title.to_owned()];
    lines.extend(levels.iter().zip(messages).map(|(level, message)| {
        format!("  {level:width$}  {}", printable(&json!(message.text).to_string()))
    }));
    lines
}

/// Returns `true` for a list or an object that is shown on several lines.
fn is_long(value: &Value) -> bool {
    (value.is_object() || value.is_array()) && value.to_string().chars().count() > LINE
}

fn summary(session: &SessionInfo, now: Timestamp) -> String {
    let or_dash = |text: &Option<String>| printable(text.as_deref().unwrap_or("-"));
    let fields = [
        ("handle", session.handle.to_string()),
        ("owner", or_dash(&session.owner)),
        ("label", or_dash(&session.label)),
        ("created", format!("{}, {}", session.created, ago(session.created, now))),
        ("last seen", format!("{}, {}", session.last_seen, ago(session.last_seen, now))),
        ("ends", format!("{}, {}", session.expires, within(session.expires, now))),
        ("size", format!("{} bytes", session.bytes)),
    ];
    fields.map(|(name, value)| format!("{name:9}  {value}")).join("\n")
}

/// Returns the kind of a value, in place of the value.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "(null)",
        Value::Bool(_) => "(boolean)",
        Value::Number(_) => "(number)",
        Value::String(_) => "(string)",
        Value::Array(_) => "(list)",
        Value::Object(_) => "(object)",
    }
}
