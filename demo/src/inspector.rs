//! Shows the visitor their own session.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::{
    extract::State,
    http::{HeaderMap, header::COOKIE},
    response::Html,
};
use cloakroom::{Session, View};
use minijinja::{context, value::Serde};

use crate::site::{Failure, Shared};

pub(crate) async fn show(
    State(site): State<Shared>,
    session: Session,
    view: View,
    headers: HeaderMap,
) -> Result<Html<String>, Failure> {
    let sessions = session.sessions();
    let deadlines = session.deadlines();
    let content = context! {
        values => pretty(&session.all()),
        messages => pretty(&view.messages()),
        input => pretty(&view.input()),
        errors => pretty(&view.errors()),
        id => session.correlation_id(),
        is_new => session.is_new(),
        created => Serde(from_now(deadlines.created.as_millis())),
        idle => Serde(deadlines.idle.map(|it| from_now(it.as_millis()))),
        absolute => Serde(deadlines.absolute.map(|it| from_now(it.as_millis()))),
        driver => sessions.driver_name(),
        cookie_name => sessions.cookie_name(),
        cookie_size => cookie_size(&headers, sessions.cookie_name()),
    };
    site.page(&session, "inspector.html", content)
}

fn pretty(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// `in 119 minutes`, `5 seconds ago`.
pub(crate) fn from_now(millis: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let moment = Duration::from_millis(millis);
    let text = match moment.abs_diff(now).as_secs() {
        seconds @ 0..=119 => format!("{seconds} seconds"),
        seconds @ 120..=7_199 => format!("{} minutes", seconds / 60),
        seconds => format!("{} hours", seconds / 3_600),
    };
    if moment > now { format!("in {text}") } else { format!("{text} ago") }
}

/// How many bytes of this request's `Cookie` headers are the session's.
fn cookie_size(headers: &HeaderMap, name: &str) -> usize {
    let pairs =
        headers.get_all(COOKIE).into_iter().flat_map(|it| it.as_bytes().split(|b| *b == b';'));
    pairs
        .map(<[u8]>::trim_ascii)
        .filter(|pair| pair.starts_with(name.as_bytes()))
        .map(<[u8]>::len)
        .sum()
}
