//! Steps of a script: a browser sends them in a header, and the probe carries them out.
//!
//! One type is both ends of the header, so its JSON is the contract of the probe. A test below
//! compares each step with it to the letter.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// One step. The functions of this module build the steps that tests use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "the contract describes the steps; the fields carry its names")]
pub enum Step {
    Put {
        key: String,
        value: Value,
    },
    PutLiteral {
        key: String,
        value: Value,
    },
    PutFor {
        key: String,
        value: Value,
        ms: u64,
    },
    PutAll {
        values: Map<String, Value>,
    },
    Replace {
        values: Map<String, Value>,
    },
    GetOrPut {
        key: String,
        default: Value,
    },
    Remember {
        key: String,
        value: Value,
    },
    Push {
        key: String,
        value: Value,
    },
    Get {
        key: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        default: Option<Value>,
    },
    GetLiteral {
        key: String,
    },
    GetAs {
        key: String,
        r#type: Type,
    },
    All,
    Only {
        keys: Vec<String>,
    },
    Except {
        keys: Vec<String>,
    },
    Has {
        key: String,
    },
    HasAny {
        keys: Vec<String>,
    },
    Missing {
        key: String,
    },
    Increment {
        key: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        by: Option<By>,
    },
    Decrement {
        key: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        by: Option<By>,
    },
    IncrementNow {
        key: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        by: Option<By>,
    },
    Take {
        key: String,
    },
    Forget {
        key: String,
    },
    Pull {
        key: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        default: Option<Value>,
    },
    Clear,
    UpdatePush {
        key: String,
        value: Value,
    },
    Flash {
        values: Map<String, Value>,
    },
    FlashPush {
        level: String,
        text: String,
    },
    FlashAll,
    FlashOnly {
        fields: Vec<String>,
    },
    FlashExcept {
        fields: Vec<String>,
    },
    WithErrors {
        errors: Value,
    },
    WithErrorsIn {
        form: String,
        errors: Value,
    },
    DiscardFlash {
        keys: Vec<String>,
    },
    Reflash,
    ReflashOnly {
        keys: Vec<String>,
    },
    ReflashExcept {
        keys: Vec<String>,
    },
    FlashNow {
        values: Map<String, Value>,
    },
    Old {
        key: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        default: Option<Value>,
    },
    FlashMessage {
        key: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        default: Option<Value>,
    },
    Messages,
    HasErrorFor {
        field: String,
    },
    GetErrorFor {
        field: String,
    },
    Errors,
    ErrorsIn {
        form: String,
    },
    HasErrors,
    Regenerate,
    Destroy,
    NoTouch,
    SetIdleTimeout {
        ms: u64,
    },
    ResetIdleTimeout,
    BrowserSession {
        ends: bool,
    },
    IsModified,
    DiscardChanges,
    Reload,
    Commit,
    CsrfToken,
    SignIn {
        owner: String,
    },
    SignOut,
    SetOwner {
        owner: String,
    },
    SessionsOf {
        owner: String,
    },
    DestroyOthers {
        owner: String,
    },
    Device,
    IsNew,
    Sleep {
        ms: u64,
    },
    Repeat {
        times: u32,
        steps: Vec<Step>,
    },
    Fail {
        status: u16,
    },
    Error,
    Panic,
    Redirect {
        to: String,
    },
    RedirectBack {
        fallback: String,
    },
    Render {
        template: String,
    },
    Stream {
        chunks: u32,
        ms: u64,
    },
}

/// The type that a `get_as` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Type {
    String,
    I64,
    Bool,
}

/// The number that an `increment` adds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[expect(missing_docs, reason = "the names say it")]
pub enum By {
    Int(i64),
    Float(f64),
}

/// Puts a value under a key.
pub fn put(key: impl AsRef<str>, value: impl Serialize) -> Step {
    Step::Put { key: owned(key), value: json!(value) }
}

/// Puts a value under a name that may have dots.
pub fn put_literal(key: impl AsRef<str>, value: impl Serialize) -> Step {
    Step::PutLiteral { key: owned(key), value: json!(value) }
}

/// Puts a value that ends after `ms`.
pub fn put_for(key: impl AsRef<str>, value: impl Serialize, ms: u64) -> Step {
    Step::PutFor { key: owned(key), value: json!(value), ms }
}

/// Puts several values.
pub fn put_all(values: impl IntoIterator<Item = (impl AsRef<str>, impl Serialize)>) -> Step {
    Step::PutAll { values: map(values) }
}

/// Puts several values in place of all others.
pub fn replace(values: impl IntoIterator<Item = (impl AsRef<str>, impl Serialize)>) -> Step {
    Step::Replace { values: map(values) }
}

/// Reads a value, or puts the default and returns it.
pub fn get_or_put(key: impl AsRef<str>, default: impl Serialize) -> Step {
    Step::GetOrPut { key: owned(key), default: json!(default) }
}

/// Reads a value, or puts the one that a closure computes and returns it.
pub fn remember(key: impl AsRef<str>, value: impl Serialize) -> Step {
    Step::Remember { key: owned(key), value: json!(value) }
}

/// Appends a value to a list.
pub fn push(key: impl AsRef<str>, value: impl Serialize) -> Step {
    Step::Push { key: owned(key), value: json!(value) }
}

/// Reads a value.
pub fn get(key: impl AsRef<str>) -> Step {
    Step::Get { key: owned(key), default: None }
}

/// Reads a value, or the default.
pub fn get_or(key: impl AsRef<str>, default: impl Serialize) -> Step {
    Step::Get { key: owned(key), default: Some(json!(default)) }
}

/// Reads the value under a name that may have dots.
pub fn get_literal(key: impl AsRef<str>) -> Step {
    Step::GetLiteral { key: owned(key) }
}

/// Reads a value of this type.
pub fn get_as(key: impl AsRef<str>, r#type: Type) -> Step {
    Step::GetAs { key: owned(key), r#type }
}

/// Asks whether there is a value.
pub fn has(key: impl AsRef<str>) -> Step {
    Step::Has { key: owned(key) }
}

/// Reads the values of these names.
pub fn only(names: impl IntoIterator<Item = impl AsRef<str>>) -> Step {
    Step::Only { keys: list(names) }
}

/// Reads all values but those of these names.
pub fn except(names: impl IntoIterator<Item = impl AsRef<str>>) -> Step {
    Step::Except { keys: list(names) }
}

/// Asks whether there is a value under one of the keys.
pub fn has_any(keys: impl IntoIterator<Item = impl AsRef<str>>) -> Step {
    Step::HasAny { keys: list(keys) }
}

/// Asks whether there is no value.
pub fn missing(key: impl AsRef<str>) -> Step {
    Step::Missing { key: owned(key) }
}

/// Adds one.
pub fn increment(key: impl AsRef<str>) -> Step {
    Step::Increment { key: owned(key), by: None }
}

/// Adds a number.
pub fn increment_by(key: impl AsRef<str>, by: i64) -> Step {
    Step::Increment { key: owned(key), by: Some(By::Int(by)) }
}

/// Subtracts one.
pub fn decrement(key: impl AsRef<str>) -> Step {
    Step::Decrement { key: owned(key), by: None }
}

/// Subtracts a number.
pub fn decrement_by(key: impl AsRef<str>, by: i64) -> Step {
    Step::Decrement { key: owned(key), by: Some(By::Int(by)) }
}

/// Adds one and commits it.
pub fn increment_now(key: impl AsRef<str>) -> Step {
    Step::IncrementNow { key: owned(key), by: None }
}

/// Removes and returns a value, and commits it.
pub fn take(key: impl AsRef<str>) -> Step {
    Step::Take { key: owned(key) }
}

/// Removes a value.
pub fn forget(key: impl AsRef<str>) -> Step {
    Step::Forget { key: owned(key) }
}

/// Removes and returns a value.
pub fn pull(key: impl AsRef<str>) -> Step {
    Step::Pull { key: owned(key), default: None }
}

/// Removes and returns a value, or returns the default.
pub fn pull_or(key: impl AsRef<str>, default: impl Serialize) -> Step {
    Step::Pull { key: owned(key), default: Some(json!(default)) }
}

/// Pushes a value on a list, in a closure of `update`.
pub fn update_push(key: impl AsRef<str>, value: impl Serialize) -> Step {
    Step::UpdatePush { key: owned(key), value: json!(value) }
}

/// Flashes messages by name.
pub fn flash(values: impl IntoIterator<Item = (impl AsRef<str>, impl Serialize)>) -> Step {
    Step::Flash { values: map(values) }
}

/// Adds a message to the list for the next page.
pub fn flash_push(level: impl AsRef<str>, text: impl AsRef<str>) -> Step {
    Step::FlashPush { level: owned(level), text: owned(text) }
}

/// Shows messages in this request alone.
pub fn flash_now(values: impl IntoIterator<Item = (impl AsRef<str>, impl Serialize)>) -> Step {
    Step::FlashNow { values: map(values) }
}

/// Flashes these fields of the form.
pub fn flash_only(names: impl IntoIterator<Item = impl AsRef<str>>) -> Step {
    Step::FlashOnly { fields: list(names) }
}

/// Flashes the form without these fields.
pub fn flash_except(names: impl IntoIterator<Item = impl AsRef<str>>) -> Step {
    Step::FlashExcept { fields: list(names) }
}

/// Flashes errors: messages by field, or a list of `{field, message}`.
pub fn with_errors(errors: impl Serialize) -> Step {
    Step::WithErrors { errors: json!(errors) }
}

/// Flashes errors of the form of this name.
pub fn with_errors_in(form: impl AsRef<str>, errors: impl Serialize) -> Step {
    Step::WithErrorsIn { form: owned(form), errors: json!(errors) }
}

/// Removes messages of earlier requests.
pub fn discard_flash(names: impl IntoIterator<Item = impl AsRef<str>>) -> Step {
    Step::DiscardFlash { keys: list(names) }
}

/// Keeps these names for one more page.
pub fn reflash_only(names: impl IntoIterator<Item = impl AsRef<str>>) -> Step {
    Step::ReflashOnly { keys: list(names) }
}

/// Keeps all but these names for one more page.
pub fn reflash_except(names: impl IntoIterator<Item = impl AsRef<str>>) -> Step {
    Step::ReflashExcept { keys: list(names) }
}

/// Reads old input.
pub fn old(key: impl AsRef<str>) -> Step {
    Step::Old { key: owned(key), default: None }
}

/// Reads old input, or the default.
pub fn old_or(key: impl AsRef<str>, default: impl Serialize) -> Step {
    Step::Old { key: owned(key), default: Some(json!(default)) }
}

/// Reads a message.
pub fn flash_message(key: impl AsRef<str>) -> Step {
    Step::FlashMessage { key: owned(key), default: None }
}

/// Asks whether a field has errors.
pub fn has_error_for(field: impl AsRef<str>) -> Step {
    Step::HasErrorFor { field: owned(field) }
}

/// Reads the first error of a field.
pub fn get_error_for(field: impl AsRef<str>) -> Step {
    Step::GetErrorFor { field: owned(field) }
}

/// Reads the errors of the form of this name.
pub fn errors_in(form: impl AsRef<str>) -> Step {
    Step::ErrorsIn { form: owned(form) }
}

/// Sets the session's own idle timeout.
pub fn set_idle_timeout(ms: u64) -> Step {
    Step::SetIdleTimeout { ms }
}

/// Sets whether the cookie ends with the browser.
pub fn browser_session(ends: bool) -> Step {
    Step::BrowserSession { ends }
}

/// Signs an owner in.
pub fn sign_in(owner: impl AsRef<str>) -> Step {
    Step::SignIn { owner: owned(owner) }
}

/// Gives the session an owner.
pub fn set_owner(owner: impl AsRef<str>) -> Step {
    Step::SetOwner { owner: owned(owner) }
}

/// Lists the sessions of an owner.
pub fn sessions_of(owner: impl AsRef<str>) -> Step {
    Step::SessionsOf { owner: owned(owner) }
}

/// Ends the other sessions of an owner.
pub fn destroy_others(owner: impl AsRef<str>) -> Step {
    Step::DestroyOthers { owner: owned(owner) }
}

/// Sleeps in the handler.
pub fn sleep(ms: u64) -> Step {
    Step::Sleep { ms }
}

/// Repeats steps.
pub fn repeat(times: u32, steps: impl Into<Vec<Step>>) -> Step {
    Step::Repeat { times, steps: steps.into() }
}

/// Ends the request with this status.
pub fn fail(status: u16) -> Step {
    Step::Fail { status }
}

/// Redirects.
pub fn redirect(to: impl AsRef<str>) -> Step {
    Step::Redirect { to: owned(to) }
}

/// Redirects back.
pub fn redirect_back(fallback: impl AsRef<str>) -> Step {
    Step::RedirectBack { fallback: owned(fallback) }
}

/// Renders a template as the page.
pub fn render(template: impl AsRef<str>) -> Step {
    Step::Render { template: owned(template) }
}

/// Streams chunks, with a pause before each.
pub fn stream(chunks: u32, ms: u64) -> Step {
    Step::Stream { chunks, ms }
}

fn owned(text: impl AsRef<str>) -> String {
    text.as_ref().to_owned()
}

fn list(names: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<String> {
    names.into_iter().map(owned).collect()
}

fn map(values: impl IntoIterator<Item = (impl AsRef<str>, impl Serialize)>) -> Map<String, Value> {
    values.into_iter().map(|(name, value)| (owned(name), json!(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Black-box clients drive the probe with this JSON.
    #[test]
    fn steps_are_the_json_of_the_contract() {
        for (step, contract) in [
            (put("k", 1), json!({"do": "put", "key": "k", "value": 1})),
            (put_literal("a.b", 1), json!({"do": "put_literal", "key": "a.b", "value": 1})),
            (put_for("k", 1, 5), json!({"do": "put_for", "key": "k", "value": 1, "ms": 5})),
            (put_all([("k", 1)]), json!({"do": "put_all", "values": {"k": 1}})),
            (replace([("k", 1)]), json!({"do": "replace", "values": {"k": 1}})),
            (get_or_put("k", 1), json!({"do": "get_or_put", "key": "k", "default": 1})),
            (remember("k", 1), json!({"do": "remember", "key": "k", "value": 1})),
            (push("k", 1), json!({"do": "push", "key": "k", "value": 1})),
            (get("k"), json!({"do": "get", "key": "k"})),
            (get_or("k", "d"), json!({"do": "get", "key": "k", "default": "d"})),
            (get_literal("a.b"), json!({"do": "get_literal", "key": "a.b"})),
            (get_as("k", Type::I64), json!({"do": "get_as", "key": "k", "type": "i64"})),
            (get_as("k", Type::Bool), json!({"do": "get_as", "key": "k", "type": "bool"})),
            (get_as("k", Type::String), json!({"do": "get_as", "key": "k", "type": "string"})),
            (Step::All, json!({"do": "all"})),
            (only(["k"]), json!({"do": "only", "keys": ["k"]})),
            (except(["k"]), json!({"do": "except", "keys": ["k"]})),
            (has("k"), json!({"do": "has", "key": "k"})),
            (has_any(["k"]), json!({"do": "has_any", "keys": ["k"]})),
            (missing("k"), json!({"do": "missing", "key": "k"})),
            (increment("k"), json!({"do": "increment", "key": "k"})),
            (increment_by("k", 2), json!({"do": "increment", "key": "k", "by": 2})),
            (decrement("k"), json!({"do": "decrement", "key": "k"})),
            (decrement_by("k", 2), json!({"do": "decrement", "key": "k", "by": 2})),
            (increment_now("k"), json!({"do": "increment_now", "key": "k"})),
            (take("k"), json!({"do": "take", "key": "k"})),
            (forget("k"), json!({"do": "forget", "key": "k"})),
            (pull("k"), json!({"do": "pull", "key": "k"})),
            (pull_or("k", 7), json!({"do": "pull", "key": "k", "default": 7})),
            (Step::Clear, json!({"do": "clear"})),
            (update_push("k", 1), json!({"do": "update_push", "key": "k", "value": 1})),
            (flash([("m", 1)]), json!({"do": "flash", "values": {"m": 1}})),
            (flash_push("l", "t"), json!({"do": "flash_push", "level": "l", "text": "t"})),
            (Step::FlashAll, json!({"do": "flash_all"})),
            (flash_only(["a"]), json!({"do": "flash_only", "fields": ["a"]})),
            (flash_except(["a"]), json!({"do": "flash_except", "fields": ["a"]})),
            (with_errors(json!({"f": "m"})), json!({"do": "with_errors", "errors": {"f": "m"}})),
            (
                with_errors_in("a", json!({"f": "m"})),
                json!({"do": "with_errors_in", "form": "a", "errors": {"f": "m"}}),
            ),
            (discard_flash(["a"]), json!({"do": "discard_flash", "keys": ["a"]})),
            (Step::Reflash, json!({"do": "reflash"})),
            (reflash_only(["a"]), json!({"do": "reflash_only", "keys": ["a"]})),
            (reflash_except(["a"]), json!({"do": "reflash_except", "keys": ["a"]})),
            (flash_now([("m", 1)]), json!({"do": "flash_now", "values": {"m": 1}})),
            (old("f"), json!({"do": "old", "key": "f"})),
            (old_or("f", "d"), json!({"do": "old", "key": "f", "default": "d"})),
            (flash_message("m"), json!({"do": "flash_message", "key": "m"})),
            (Step::Messages, json!({"do": "messages"})),
            (has_error_for("f"), json!({"do": "has_error_for", "field": "f"})),
            (get_error_for("f"), json!({"do": "get_error_for", "field": "f"})),
            (Step::Errors, json!({"do": "errors"})),
            (errors_in("a"), json!({"do": "errors_in", "form": "a"})),
            (Step::HasErrors, json!({"do": "has_errors"})),
            (Step::Regenerate, json!({"do": "regenerate"})),
            (Step::Destroy, json!({"do": "destroy"})),
            (Step::NoTouch, json!({"do": "no_touch"})),
            (set_idle_timeout(5), json!({"do": "set_idle_timeout", "ms": 5})),
            (Step::ResetIdleTimeout, json!({"do": "reset_idle_timeout"})),
            (browser_session(true), json!({"do": "browser_session", "ends": true})),
            (Step::IsModified, json!({"do": "is_modified"})),
            (Step::DiscardChanges, json!({"do": "discard_changes"})),
            (Step::Reload, json!({"do": "reload"})),
            (Step::Commit, json!({"do": "commit"})),
            (Step::CsrfToken, json!({"do": "csrf_token"})),
            (set_owner("o"), json!({"do": "set_owner", "owner": "o"})),
            (sessions_of("o"), json!({"do": "sessions_of", "owner": "o"})),
            (destroy_others("o"), json!({"do": "destroy_others", "owner": "o"})),
            (Step::Device, json!({"do": "device"})),
            (Step::IsNew, json!({"do": "is_new"})),
            (sleep(5), json!({"do": "sleep", "ms": 5})),
            (repeat(2, [Step::All]), json!({"do": "repeat", "times": 2, "steps": [{"do": "all"}]})),
            (fail(500), json!({"do": "fail", "status": 500})),
            (Step::Error, json!({"do": "error"})),
            (Step::Panic, json!({"do": "panic"})),
            (redirect("/"), json!({"do": "redirect", "to": "/"})),
            (redirect_back("/"), json!({"do": "redirect_back", "fallback": "/"})),
            (render("t"), json!({"do": "render", "template": "t"})),
            (stream(3, 1), json!({"do": "stream", "chunks": 3, "ms": 1})),
        ] {
            assert_eq!(json!(step), contract);
            assert_eq!(serde_json::from_value::<Step>(contract).unwrap(), step);
        }
        let by_a_half = json!({"do": "increment", "key": "k", "by": 0.5});
        let step = serde_json::from_value::<Step>(by_a_half).unwrap();
        assert_eq!(step, Step::Increment { key: "k".to_owned(), by: Some(By::Float(0.5)) });
        let unknown = json!({"do": "get", "key": "k", "fallback": 1});
        assert!(serde_json::from_value::<Step>(unknown).is_err());
    }
}
