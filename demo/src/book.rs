//! The guestbook: read it, sign it.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use axum::{
    extract::State,
    response::{Html, IntoResponse, Redirect, Response},
};
use cloakroom::{Back, Input, Session, TypedKey, form::FieldErrors};
use minijinja::{context, value::Serde};
use serde::{Deserialize, Serialize};

use crate::site::{Failure, Shared};

const VISITS: &str = "visits";
/// The name that the visitor signed with last, to be offered again.
const SIGNED_AS: TypedKey<String> = TypedKey::new("signed_as");
const MAX_NAME: usize = 40;
const MAX_MESSAGE: usize = 280;
const KEPT: usize = 20;

/// The latest entries, newest first. They are the application's, not the session's.
#[derive(Default)]
pub(crate) struct Book(Mutex<VecDeque<Entry>>);

#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Entry {
    name: String,
    message: String,
}

impl Book {
    fn entries(&self) -> Vec<Entry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn add(&self, entry: Entry) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.push_front(entry);
        entries.truncate(KEPT);
    }
}

pub(crate) async fn show(
    State(site): State<Shared>,
    session: Session,
) -> Result<Html<String>, Failure> {
    let visits = session.increment(VISITS)?;
    let signed_as = session.get(SIGNED_AS)?;
    let entries = Serde(site.book.entries());
    site.page(&session, "book.html", context! { visits, signed_as, entries })
}

pub(crate) async fn sign(
    State(site): State<Shared>,
    session: Session,
    back: Back,
    input: Input<Entry>,
) -> Result<Response, Failure> {
    let entry = match input.into_result().and_then(Entry::check) {
        Ok(entry) => entry,
        Err(errors) => {
            session.with_errors(errors)?.flash_all()?;
            return Ok(back.or("/").into_response());
        }
    };
    session.put(SIGNED_AS, entry.name.clone())?;
    session.flash(serde_json::json!({ "notice": format!("Thank you, {}!", entry.name) }))?;
    site.book.add(entry);
    Ok(Redirect::to("/").into_response())
}

impl Entry {
    fn check(self) -> Result<Self, FieldErrors> {
        let mut errors = FieldErrors::new();
        let name = self.name.trim().to_owned();
        let message = self.message.trim().to_owned();
        if name.is_empty() {
            errors.add("name", "Please tell us your name.");
        } else if name.chars().count() > MAX_NAME {
            errors.add("name", format!("A name may have {MAX_NAME} characters."));
        }
        if message.chars().count() < 3 {
            errors.add("message", "Please write three characters or more.");
        } else if message.chars().count() > MAX_MESSAGE {
            errors.add("message", format!("A message may have {MAX_MESSAGE} characters."));
        }
        if errors.is_empty() { Ok(Self { name, message }) } else { Err(errors) }
    }
}
