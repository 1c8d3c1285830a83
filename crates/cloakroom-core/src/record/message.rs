//! A message with a level.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A message with a level, which [`Session::flash_push`](crate::Session::flash_push) adds to a list.
/// [`View::messages`](crate::View::messages) returns the list.
///
/// `Display` shows the text. Serializes as `{"level": "success", "text": "Saved"}`.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::Message;
///
/// let message = Message::new("success", "Saved");
/// assert_eq!(message.level, "success");
/// assert_eq!(message.to_string(), "Saved");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Message {
    /// The level, such as `success`, `info`, `warning` or `error`.
    pub level: String,
    /// The text for the visitor.
    pub text: String,
}

impl Message {
    /// Makes a message.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// let message = cloakroom::Message::new("warning", "Your trial ends today");
    /// assert_eq!(message.text, "Your trial ends today");
    /// ```
    pub fn new(level: impl Into<String>, text: impl Into<String>) -> Self {
        Self { level: level.into(), text: text.into() }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
