//! The entries of the guestbook. They belong to the application, not to a session.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use cloakroom::form::FieldErrors;
use serde::{Deserialize, Serialize};

const MAX_NAME: usize = 40;
const MAX_MESSAGE: usize = 280;
const MAX_ENTRIES: usize = 20;

/// The latest entries, newest first.
#[derive(Default)]
pub(crate) struct Guestbook(Mutex<VecDeque<Entry>>);

#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Entry {
    pub(crate) name: String,
    message: String,
}

impl Guestbook {
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    pub(crate) fn add(&self, entry: Entry) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.push_front(entry);
        entries.truncate(MAX_ENTRIES);
    }
}

impl Entry {
    /// Checks the entry that a visitor wrote.
    pub(crate) fn check(&self) -> Result<(), FieldErrors> {
        let mut errors = FieldErrors::new();
        match self.name.trim().chars().count() {
            0 => errors.add("name", "Please tell us your name."),
            1..=MAX_NAME => (),
            _ => errors.add("name", format!("A name may have {MAX_NAME} characters.")),
        }
        match self.message.trim().chars().count() {
            0..3 => errors.add("message", "Please write three characters or more."),
            3..=MAX_MESSAGE => (),
            _ => errors.add("message", format!("A message may have {MAX_MESSAGE} characters.")),
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Returns the entry without spaces around its texts.
    pub(crate) fn trimmed(&self) -> Self {
        Self { name: self.name.trim().to_owned(), message: self.message.trim().to_owned() }
    }
}
