//! Which fields of a form are secret by their name.

use std::fmt;

use serde_json::{Map, Value};

use super::CSRF_FIELD;
use crate::field::{Choice, dotted, is_number, parts, retain};

/// The names of fields that are never given back to a page, because what is typed into them is secret:
/// `flash_all` and `flash_except` leave them out, at any depth.
///
/// A name is read as words: it is split at everything that is no letter or digit (`card-number`,
/// `card[number]`), where a capital begins a word (`cardNumber`), and between letters and digits
/// (`cvv2`). Upper and lower case are alike.
/// - `card_number` names the fields in which its words follow each other, written together or not:
///   `card_number`, `billing[cardNumber]`, `cardnumber`. So `pin` names `pin` and `newPin`, and neither
///   `shipping` nor `opinion`.
/// - `*passw*` names the fields in which it stands anywhere: `passwd`, `new_password`, `mypassword2`.
///
/// The field of the CSRF token (`_csrf`) is always left out.
///
/// ```
/// use cloakroom::{AppKeys, Sessions, form::SecretFields};
///
/// let fields = SecretFields::new(SecretFields::DEFAULT.into_iter().chain(["iban"]))?;
/// assert!(fields.has("customer[iban]") && fields.has("password"));
/// assert!(!fields.has("urbanisation"));
///
/// let sessions = Sessions::cookie(AppKeys::random()).secret_fields(fields).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFields(Vec<Pattern>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    /// Words that follow each other, written together.
    Words(String),
    /// Text that stands anywhere.
    Anywhere(String),
}

impl SecretFields {
    /// The patterns unless set. `secret` and `token` stand anywhere like `passw`, because names such as
    /// `clientsecret` and `accesstoken` are common.
    pub const DEFAULT: [&str; 9] =
        ["*passw*", "*secret*", "*token*", "cvv", "cvc", "otp", "pin", "card_number", "api_key"];

    /// Makes these patterns the list, in place of [`DEFAULT`](Self::DEFAULT). An empty list keeps the
    /// field of the CSRF token out and no other.
    ///
    /// # Errors
    /// When a pattern is not letters and digits with `_`, `-`, `.` or brackets between, or the same
    /// between two asterisks.
    pub fn new<P: AsRef<str>>(
        patterns: impl IntoIterator<Item = P>,
    ) -> Result<Self, SecretFieldError> {
        let patterns = patterns.into_iter().map(|pattern| Pattern::parse(pattern.as_ref()));
        patterns.collect::<Result<_, _>>().map(Self)
    }

    /// Returns whether a field of this name is secret.
    ///
    /// ```
    /// use cloakroom::form::SecretFields;
    ///
    /// assert!(SecretFields::default().has("user[newPin]"));
    /// assert!(!SecretFields::default().has("shipping"));
    /// ```
    pub fn has(&self, name: &str) -> bool {
        self.matches(&path_of("", name))
    }

    /// Removes the secret fields of a form. Names above count, because a pattern may reach over
    /// several.
    pub(super) fn remove_from(&self, fields: &mut Map<String, Value>) {
        retain(fields, &String::new(), &|above, name| {
            let path = path_of(above, name);
            // An entry of a list is as secret as the list.
            if path.len() > above.len() && self.matches(&path) {
                Choice::Drop
            } else {
                Choice::Descend(path)
            }
        });
    }

    fn matches(&self, path: &str) -> bool {
        let words = words(path);
        let last = path.rsplit('.').next();
        last == Some(CSRF_FIELD) || self.0.iter().any(|pattern| pattern.matches(&words, path))
    }
}

/// The dotted name of a field below `above`, without the numbers of entries.
fn path_of(above: &str, name: &str) -> String {
    let mut path = above.to_owned();
    for part in parts(name).into_iter().filter(|part| !is_number(part)) {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(part);
    }
    path
}

impl Default for SecretFields {
    fn default() -> Self {
        Self(Self::DEFAULT.iter().filter_map(|pattern| Pattern::parse(pattern).ok()).collect())
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, SecretFieldError> {
        let refused = || SecretFieldError { pattern: text.to_owned() };
        let anywhere = text.strip_prefix('*').and_then(|text| text.strip_suffix('*'));
        let plain = &*dotted(anywhere.unwrap_or(text));
        let is_accepted = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        if !plain.contains(char::is_alphanumeric) || !plain.chars().all(is_accepted) {
            return Err(refused());
        }
        Ok(match anywhere {
            Some(_) => Self::Anywhere(plain.to_lowercase()),
            None => Self::Words(words(plain).concat()),
        })
    }

    fn matches(&self, words: &[String], path: &str) -> bool {
        match self {
            Self::Anywhere(text) => path.to_lowercase().contains(text),
            Self::Words(joined) => (0..words.len()).any(|from| begins_with(&words[from..], joined)),
        }
    }
}

/// Returns whether the first words are `joined` when they are written together.
fn begins_with(words: &[String], joined: &str) -> bool {
    let mut rest = joined;
    for word in words {
        match rest.strip_prefix(word.as_str()) {
            Some("") => return true,
            Some(behind) => rest = behind,
            None => return false,
        }
    }
    false
}

/// The words of a name, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words = Vec::new();
    for part in name.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty()) {
        let characters: Vec<char> = part.chars().collect();
        let mut word = String::new();
        for (index, character) in characters.iter().enumerate() {
            if index > 0 && begins_word(&characters, index) {
                words.push(std::mem::take(&mut word));
            }
            word.extend(character.to_lowercase());
        }
        words.push(word);
    }
    words
}

/// `newPin` and `PINCode` have two words each, and so has `cvv2`.
fn begins_word(characters: &[char], index: usize) -> bool {
    let (before, here) = (characters[index - 1], characters[index]);
    let is_lower = |c: Option<&char>| c.is_some_and(|c| c.is_lowercase());
    let is_capital = here.is_uppercase()
        && (before.is_lowercase()
            || (before.is_uppercase() && is_lower(characters.get(index + 1))));
    is_capital || before.is_numeric() != here.is_numeric()
}

/// A pattern of [`SecretFields`] that names no field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFieldError {
    pattern: String,
}

impl fmt::Display for SecretFieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` names no field: letters and digits are accepted, with `_`, `-`, `.` or brackets between, \
             such as `card_number` or `card[number]`, or the same between two asterisks, such as `*passw*`",
            self.pattern
        )
    }
}

impl std::error::Error for SecretFieldError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::form::FormInput;

    #[test]
    fn names_are_read_as_words() {
        let secret = [
            "password",
            "new_password",
            "PASSWD",
            "mypassword2",
            "client_secret",
            "clientSecret",
            "csrf_token",
            "accessToken",
            "cvv",
            "cvv2",
            "card[cvc]",
            "otp",
            "otp_1",
            "userOTP",
            "OTPCode",
            "pin",
            "newPin",
            "PINCode",
            "user.pin",
            "new-pin",
            "card_number",
            "cardNumber",
            "cardnumber",
            "billing[card][number]",
            "card[0][number]",
            "api_key",
            "apiKey",
            "API-Key",
            "apikey",
            "_csrf",
        ];
        let open = [
            "name",
            "shipping",
            "opinion",
            "pinned",
            "spin",
            "footprint",
            "option",
            "optional",
            "laptop",
            "discard_numbers",
            "card",
            "number",
            "key",
            "cvs",
            "email2",
            "",
            "[]",
            "straße",
        ];
        let fields = SecretFields::default();
        for name in secret {
            assert!(fields.has(name), "{name}: {:?}", words(name));
        }
        for name in open {
            assert!(!fields.has(name), "{name}: {:?}", words(name));
        }
    }

    #[test]
    fn another_list_takes_the_place_of_the_default() {
        let fields = SecretFields::new(["iban", "*geheim*"]).unwrap();
        assert!(fields.has("customer[iban]") && fields.has("Geheimzahl") && fields.has("_csrf"));
        assert!(!fields.has("password"));
        assert!(!SecretFields::new::<&str>([]).unwrap().has("password"));
    }

    #[test]
    fn a_pattern_may_be_spelled_as_the_field_is() {
        let fields = SecretFields::new(["card[number]", "*user[tax]*"]).unwrap();
        for name in ["card[number]", "card.number", "cards[3][card][number]", "user[tax_id]"] {
            assert!(fields.has(name), "{name}");
        }
        assert!(!fields.has("card[holder]") && !fields.has("tax"));
    }

    #[test]
    fn secret_fields_are_found_below_numbers_as_below_lists() {
        for query in
            ["card[0][number]=1&card[1][number]=2", "card[7][number]=1", "user[card.number]=1"]
        {
            let input = FormInput::from_query(query).unwrap();
            let left = serde_json::json!(input.flashable()).to_string();
            assert!(!left.contains("number"), "{left}");
        }
    }

    #[test]
    fn a_pattern_that_names_no_field_is_refused() {
        for pattern in ["", "_", "*", "**", "*_*", "passw*", "*passw", "a b", "card[number"] {
            let error = SecretFields::new([pattern]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{pattern}` names no field")), "{error}");
        }
        assert_eq!(SecretFields::default(), SecretFields::new(SecretFields::DEFAULT).unwrap());
    }
}
