//! Carries a script out against a session, whatever the framework.

use std::time::Duration;

use cloakroom::{
    Error, Key, Session, SessionHandle, SessionInfo, form::FieldErrors, store::Cursor,
};
use minijinja::{Environment, context};
use serde::Serialize;
use serde_json::{Value, json};

use crate::step::{By, Step, Type};

/// The name of the header that holds the script.
pub const HEADER: &str = "x-script";

/// The response that a script leads to.
#[derive(Debug)]
pub enum Ending {
    /// The results of all steps, with this status.
    Results(u16, Vec<Value>),
    /// The library's error, for the framework to turn into a response.
    Error(cloakroom::Error),
    /// A redirect to this address.
    Redirect(String),
    /// A redirect back, with the address of the fallback.
    RedirectBack(String),
    /// A page.
    Html(String),
    /// A body of this number of chunks, with a pause before each.
    Stream(u32, Duration),
}

/// The outcome of a step: a value, or the end of the request.
enum Outcome {
    Value(Value),
    End(Ending),
}

/// The reason why a step failed.
enum Failure {
    Session(Error),
    /// An error of the contract that the library has no type for: its word and its message.
    Word(&'static str, String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Session(error)
    }
}

/// Runs the steps of `script` in order.
pub async fn run(script: &str, session: &Session) -> Ending {
    let steps: Vec<Value> = match serde_json::from_str(script) {
        Ok(steps) => steps,
        Err(error) => return Ending::Results(200, vec![failed(bad_step(&error))]),
    };
    let loaded = session.handle();
    let mut results = Vec::with_capacity(steps.len());
    for step in steps {
        let outcome = match serde_json::from_value(step) {
            Ok(step) => run_step(step, session, loaded).await,
            Err(error) => Err(bad_step(&error)),
        };
        match outcome {
            Ok(Outcome::Value(value)) => results.push(json!({ "ok": value })),
            Ok(Outcome::End(Ending::Results(status, _))) => {
                return Ending::Results(status, results);
            }
            Ok(Outcome::End(ending)) => return ending,
            Err(failure) => results.push(failed(failure)),
        }
    }
    Ending::Results(200, results)
}

fn bad_step(error: &serde_json::Error) -> Failure {
    Failure::Word("bad_step", error.to_string())
}

fn failed(failure: Failure) -> Value {
    match failure {
        Failure::Session(error) => json!({ "err": error.code(), "message": error.to_string() }),
        Failure::Word(word, message) => json!({ "err": word, "message": message }),
    }
}

/// Runs a step. `loaded` is the handle that the session had before the first one. The steps fall into
/// four groups, each a function below that returns `None` for the steps of the others.
async fn run_step(
    step: Step,
    session: &Session,
    loaded: Option<SessionHandle>,
) -> Result<Outcome, Failure> {
    match step {
        Step::Sleep { ms } => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            Ok(Outcome::Value(Value::Null))
        }
        Step::Commit => nothing(session.commit().await),
        Step::Reload => nothing(session.reload().await),
        Step::Remember { key, value: made } => {
            value(session.remember(&key, async || Ok::<Value, Error>(made)).await?)
        }
        Step::IncrementNow { key, by } => increment_now(&key, by, session).await,
        Step::Take { key } => value(session.take::<Value>(&key).await?),
        Step::SignIn { owner } => nothing(session.sign_in(owner)),
        Step::SignOut => nothing(session.sign_out()),
        Step::SetOwner { owner } => nothing(session.set_owner(&owner)),
        Step::SessionsOf { owner } => sessions_of(&owner, session, loaded).await,
        Step::DestroyOthers { owner } => destroy_others(&owner, session, loaded).await,
        Step::Repeat { times, steps } => repeat(times, &steps, session, loaded).await,
        step => on_values(&step, session)
            .or_else(|| on_flash(&step, session))
            .or_else(|| on_view(&step, session))
            .unwrap_or_else(|| on_request(step, session)),
    }
}

async fn increment_now(key: &str, by: Option<By>, session: &Session) -> Result<Outcome, Failure> {
    match by.unwrap_or(By::Int(1)) {
        By::Int(by) => value(session.increment_now_by(key, by).await?),
        By::Float(by) => value(session.increment_now_by(key, by).await?),
    }
}

/// Lists the sessions of any owner. `current` marks the session of the request under the owner that
/// it had when it was loaded, and under the one that it has now.
async fn sessions_of(
    owner: &str,
    session: &Session,
    loaded: Option<SessionHandle>,
) -> Result<Outcome, Failure> {
    let (own, admin) = (session.owner_sessions()?, session.sessions().admin()?);
    let is_own = session.owner().as_deref() == Some(owner);
    let (mut list, mut next) = (Vec::new(), Some(Cursor::default()));
    while let Some(from) = next {
        let page =
            if is_own { own.page(from).await? } else { admin.sessions_of(owner, from).await? };
        list.extend(page.sessions.into_iter().map(|mut info| {
            info.current |= Some(info.handle) == loaded;
            shown(&info)
        }));
        next = page.next;
    }
    value(list)
}

/// Ends the sessions of any owner, and spares the one of the request as [`sessions_of`] marks it.
async fn destroy_others(
    owner: &str,
    session: &Session,
    loaded: Option<SessionHandle>,
) -> Result<Outcome, Failure> {
    let admin = session.sessions().admin()?;
    value(match loaded {
        _ if session.owner().as_deref() == Some(owner) => {
            session.owner_sessions()?.destroy_others().await?
        }
        Some(keep) => admin.destroy_others(owner, &keep).await?,
        None => admin.destroy_all(owner).await?,
    })
}

fn shown(info: &SessionInfo) -> Value {
    json!({
        "handle": info.handle,
        "created": info.created,
        "signed_in": info.signed_in,
        "last_seen": info.last_seen,
        "label": info.label,
        "current": info.current,
    })
}

async fn repeat(
    times: u32,
    steps: &[Step],
    session: &Session,
    loaded: Option<SessionHandle>,
) -> Result<Outcome, Failure> {
    for _ in 0..times {
        for step in steps {
            let outcome = Box::pin(run_step(step.clone(), session, loaded)).await;
            if let Ok(end @ Outcome::End(_)) = outcome {
                return Ok(end);
            }
        }
    }
    Ok(Outcome::Value(Value::Null))
}

type Attempt = Option<Result<Outcome, Failure>>;

fn nothing<T>(result: Result<T, Error>) -> Result<Outcome, Failure> {
    Ok(result.map(|_| Outcome::Value(Value::Null))?)
}

fn value(value: impl Serialize) -> Result<Outcome, Failure> {
    Ok(Outcome::Value(json!(value)))
}

fn on_values(step: &Step, session: &Session) -> Attempt {
    Some(match step {
        Step::Put { key, value } => nothing(session.put(key, value)),
        Step::PutLiteral { key, value } => nothing(session.put(Key::literal(key), value)),
        Step::PutFor { key, value, ms } => {
            nothing(session.put_for(key, value, Duration::from_millis(*ms)))
        }
        Step::PutAll { values } => nothing(session.put_all(values)),
        Step::Replace { values } => nothing(session.replace(values)),
        Step::GetOrPut { key, default } => {
            session.get_or_put(key, default.clone()).map_or_else(fail, value)
        }
        Step::Push { key, value } => nothing(session.push(key, value)),
        Step::GetLiteral { key } => {
            session.get(Key::literal(key)).map_or_else(fail, |found: Option<Value>| value(found))
        }
        Step::Get { key, default } => session
            .get(key)
            .map_or_else(fail, |found: Option<Value>| value(found.or_else(|| default.clone()))),
        Step::GetAs { key, r#type } => get_as(key, *r#type, session),
        Step::All => value(session.all()),
        Step::Only { keys } => value(session.only(&names(keys))),
        Step::Except { keys } => value(session.except(&names(keys))),
        Step::Has { key } => value(session.has(key)),
        Step::HasAny { keys } => value(session.has_any(keys)),
        Step::Missing { key } => value(session.missing(key)),
        Step::Increment { key, by } => count(key, *by, 1, session),
        Step::Decrement { key, by } => count(key, *by, -1, session),
        Step::Forget { key } => nothing(session.forget(key)),
        Step::Pull { key, default } => session
            .pull(key)
            .map_or_else(fail, |found: Option<Value>| value(found.or_else(|| default.clone()))),
        Step::Clear => nothing(session.clear()),
        Step::UpdatePush { key, value: pushed } => {
            let pushed = pushed.clone();
            let push = move |list: &mut Vec<Value>| list.push(pushed.clone());
            session.update(key, push).map_or_else(fail, value)
        }
        _ => return None,
    })
}

fn fail(error: Error) -> Result<Outcome, Failure> {
    Err(error.into())
}

fn get_as(key: &str, r#type: Type, session: &Session) -> Result<Outcome, Failure> {
    match r#type {
        Type::String => value(session.get::<String>(key)?),
        Type::I64 => value(session.get::<i64>(key)?),
        Type::Bool => value(session.get::<bool>(key)?),
    }
}

/// Adds integers as such, unless the stored number is a float.
fn count(key: &str, by: Option<By>, sign: i32, session: &Session) -> Result<Outcome, Failure> {
    let is_float = session.get::<Value>(key)?.is_some_and(|stored| stored.is_f64());
    #[expect(clippy::cast_precision_loss, reason = "the stored number is a float already")]
    let by = match by.unwrap_or(By::Int(1)) {
        By::Int(by) if is_float => By::Float(by as f64),
        by => by,
    };
    match by {
        By::Int(by) if sign < 0 => value(session.decrement_by(key, by)?),
        By::Int(by) => value(session.increment_by(key, by)?),
        By::Float(by) => value(session.increment_by(key, by * f64::from(sign))?),
    }
}

fn names(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

fn on_flash(step: &Step, session: &Session) -> Attempt {
    Some(match step {
        Step::Flash { values } => nothing(session.flash(values)),
        Step::FlashPush { level, text } => nothing(session.flash_push(level, text)),
        Step::FlashAll => nothing(session.flash_all()),
        Step::FlashOnly { fields } => nothing(session.flash_only(&names(fields))),
        Step::FlashExcept { fields } => nothing(session.flash_except(&names(fields))),
        Step::WithErrors { errors } => {
            field_errors(errors).and_then(|errors| nothing(session.with_errors(errors)))
        }
        Step::WithErrorsIn { form, errors } => {
            field_errors(errors).and_then(|errors| nothing(session.with_errors_in(form, errors)))
        }
        Step::DiscardFlash { keys } => nothing(session.discard_flash(&names(keys))),
        Step::Reflash => nothing(session.reflash()),
        Step::ReflashOnly { keys } => nothing(session.reflash_only(&names(keys))),
        Step::ReflashExcept { keys } => nothing(session.reflash_except(&names(keys))),
        Step::FlashNow { values } => nothing(session.flash_now(values)),
        _ => return None,
    })
}

fn field_errors(errors: &Value) -> Result<FieldErrors, Failure> {
    FieldErrors::from_json(errors).ok_or_else(|| {
        let accepted = "errors: a list of {field, message} or an object of messages by field";
        Failure::Word("bad_step", accepted.to_owned())
    })
}

fn on_view(step: &Step, session: &Session) -> Attempt {
    let view = session.view();
    Some(match step {
        Step::Old { key, default } => value(view.old_value(key).or_else(|| default.clone())),
        Step::FlashMessage { key, default } => {
            value(view.flash_value(key).or_else(|| default.clone()))
        }
        Step::Messages => value(view.messages()),
        Step::HasErrorFor { field } => value(view.has_error_for(field)),
        Step::GetErrorFor { field } => value(view.get_error_for(field)),
        Step::Errors => value(view.errors()),
        Step::ErrorsIn { form } => value(view.errors_in(form)),
        Step::HasErrors => value(view.has_errors()),
        Step::CsrfToken => value(view.csrf_token()),
        _ => return None,
    })
}

fn on_request(step: Step, session: &Session) -> Result<Outcome, Failure> {
    match step {
        Step::Regenerate => nothing(session.regenerate()),
        Step::Destroy => nothing(session.destroy()),
        Step::NoTouch => nothing(session.no_touch()),
        Step::SetIdleTimeout { ms } => nothing(session.set_idle_timeout(Duration::from_millis(ms))),
        Step::ResetIdleTimeout => nothing(session.reset_idle_timeout()),
        Step::BrowserSession { ends } => nothing(session.browser_session(ends)),
        Step::IsModified => value(session.is_modified()),
        Step::DiscardChanges => nothing(session.discard_changes()),
        Step::Device => {
            let device = session.device();
            value(device.map(|device| json!({ "is_present": device.is_present })))
        }
        Step::IsNew => value(session.is_new()),
        Step::Fail { status } => end(Ending::Results(status, Vec::new())),
        // Any error of the library will do; this one leaves the session as it is.
        Step::Error => match session.flash(Value::Null) {
            Err(error) => end(Ending::Error(error)),
            Ok(_) => Err(Failure::Word("bad_step", "null was taken for an object".to_owned())),
        },
        Step::Panic => panic!("the script says so"),
        Step::Redirect { to } => end(Ending::Redirect(to)),
        Step::RedirectBack { fallback } => end(Ending::RedirectBack(fallback)),
        Step::Render { template } => render(&template, session),
        Step::Stream { chunks, ms } => end(Ending::Stream(chunks, Duration::from_millis(ms))),
        step => Err(Failure::Word("bad_step", format!("{step:?} is not for here"))),
    }
}

fn end(ending: Ending) -> Result<Outcome, Failure> {
    Ok(Outcome::End(ending))
}

fn render(template: &str, session: &Session) -> Result<Outcome, Failure> {
    let mut templates = Environment::new();
    cloakroom::minijinja::add_helpers(&mut templates);
    let page = templates
        .render_named_str("page.html", template, context! { view => session.view().to_value() })
        .map_err(|error| Failure::Word("bad_step", error.to_string()))?;
    end(Ending::Html(page))
}
