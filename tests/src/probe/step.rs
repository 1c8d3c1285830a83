//! One step of a script, as it is written in the header.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

/// One step.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "the contract describes the steps; the fields carry its names")]
pub enum Step {
    Put { key: String, value: Value },
    PutLiteral { key: String, value: Value },
    Get { key: String, default: Option<Value> },
    GetLiteral { key: String },
    GetAs { key: String, r#type: Type },
    All,
    Has { key: String },
    Increment { key: String, by: Option<By> },
    Decrement { key: String, by: Option<By> },
    IncrementNow { key: String, by: Option<By> },
    Take { key: String },
    Forget { key: String },
    Pull { key: String, default: Option<Value> },
    Clear,
    UpdatePush { key: String, value: Value },
    Flash { values: Map<String, Value> },
    FlashAll,
    FlashOnly { fields: Vec<String> },
    FlashExcept { fields: Vec<String> },
    WithErrors { errors: Value },
    Reflash,
    ReflashOnly { keys: Vec<String> },
    ReflashExcept { keys: Vec<String> },
    FlashNow { values: Map<String, Value> },
    Old { key: String, default: Option<Value> },
    FlashMessage { key: String, default: Option<Value> },
    HasErrorFor { field: String },
    GetErrorFor { field: String },
    Errors,
    HasErrors,
    Regenerate,
    Destroy,
    Commit,
    CsrfToken,
    SetOwner { owner: String },
    SessionsOf { owner: String },
    DestroyOthers { owner: String },
    IsNew,
    Sleep { ms: u64 },
    Repeat { times: u32, steps: Vec<Step> },
    Fail { status: u16 },
    Error,
    Panic,
    Redirect { to: String },
    RedirectBack { fallback: String },
    Render { template: String },
    Stream { chunks: u32, ms: u64 },
}

/// The type that a `get_as` asks for.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Type {
    String,
    I64,
    Bool,
}

/// What an `increment` adds.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
#[expect(missing_docs, reason = "the names say it")]
pub enum By {
    Whole(i64),
    Real(f64),
}

/// How a script ends the request before its last step, and how it ends after it.
#[derive(Debug)]
pub enum Answer {
    /// The results of all steps, with this status.
    Results(u16, Vec<Value>),
    /// The library's error, for the framework to turn into a response.
    Error(cloakroom::Error),
    /// A redirect there.
    Redirect(String),
    /// A redirect back, or there.
    RedirectBack(String),
    /// A page.
    Html(String),
    /// A body of so many chunks, with a pause before each.
    Stream(u32, Duration),
}
