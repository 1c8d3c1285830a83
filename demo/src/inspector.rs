//! Shows the visitor their own session.

use axum::{
    extract::State,
    http::{HeaderMap, header::COOKIE},
    response::Html,
};
use cloakroom::{Session, View};
use minijinja::{context, value::Serde};

use crate::{
    moments::from_now,
    site::{Failure, Shared},
};

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
        messages => pretty(&view.flash_values()),
        input => pretty(&view.input()),
        errors => pretty(&view.errors()),
        id => session.correlation_id(),
        is_new => session.is_new(),
        created => Serde(from_now(deadlines.created.as_millis())),
        idle => Serde(deadlines.idle.map(|deadline| from_now(deadline.as_millis()))),
        absolute => Serde(deadlines.absolute.map(|deadline| from_now(deadline.as_millis()))),
        driver => sessions.driver_name(),
        cookie_name => sessions.cookie_name(),
        cookie_size => cookie_size(&headers, sessions.cookie_name()),
    };
    site.page(&session, "inspector.html", content)
}

fn pretty(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// Returns how many bytes of the request's `Cookie` headers belong to the session.
fn cookie_size(headers: &HeaderMap, name: &str) -> usize {
    let pairs = headers
        .get_all(COOKIE)
        .into_iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    pairs
        .map(<[u8]>::trim_ascii)
        .filter(|pair| pair.starts_with(name.as_bytes()))
        .map(<[u8]>::len)
        .sum()
}
