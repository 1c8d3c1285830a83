//! Patterns for the names of form fields that hold secrets.

use std::{fmt, ops::Range, rc::Rc};

use serde_json::{Map, Value};

use crate::form::field::{CSRF_FIELD, Choice, dotted, is_number, parts, retain};

/// Patterns for the names of secret fields, such as passwords.
///
/// [`flash_all`](crate::Session::flash_all) and [`flash_except`](crate::Session::flash_except) leave out
/// matching fields at any depth, so that no page shows them again (OWASP ASVS 5.0, 14.2.6). The default
/// patterns are [`DEFAULT`](Self::DEFAULT). Set your own with
/// [`SessionsBuilder::secret_fields`](crate::SessionsBuilder::secret_fields). The field of the CSRF token
/// (`_csrf`) always counts as secret.
///
/// # Words
/// A name is split into words:
/// - at every character that is neither a letter nor a digit: `card-number`, `card[number]`
/// - at a capital letter beside a small one: `cardNumber`, `PINCode`
/// - behind several capital letters: `PINcode`
/// - between letters and digits: `cvv2`
///
/// Upper and lower case are equal, and the indices of entries are ignored: `card[0][number]`.
///
/// # Patterns
/// A pattern is compared with the words of a name, written without separators:
///
/// | pattern | matches | for example | and not |
/// |---|---|---|---|
/// | `pin` | from the beginning of a word to the end of a word | `pin`, `newPin` | `shipping` |
/// | `otp*` | from the beginning of a word | `otpcode` | `totp` |
/// | `*otp` | to the end of a word | `totp` | `otpcode` |
/// | `*passw*` | anywhere | `mypassword2` | |
///
/// No word of a pattern matches across a bracket or a dot: `card_number` matches `card[number]`, and
/// `*token*` does not match `photo[kenya]`. A word may match across the words between them, so some
/// harmless fields match too: `*passw*` matches `bypass_warning`. To show such a field again, name it in
/// [`flash_only`](crate::Session::flash_only), or set a list without the pattern.
///
/// # Security
/// A secret in a field whose name matches no pattern is shown again. Add a pattern for it.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::{form::SecretFields, AppKeys, Driver, Sessions};
///
/// let fields = SecretFields::new(SecretFields::DEFAULT.into_iter().chain(["iban"]))?;
/// assert!(fields.has("customer[iban]") && fields.has("password"));
/// assert!(!fields.has("urbanisation"));
///
/// let sessions = Sessions::builder(Driver::Cookie, AppKeys::random()).secret_fields(fields).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFields(Vec<Pattern>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    words: Words,
    start: Anchor,
    end: Anchor,
}

/// The positions in a name where a pattern may start or end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Anchor {
    Anywhere,
    WordBoundary,
}

impl SecretFields {
    /// The default patterns.
    ///
    /// Most match anywhere, because names such as `clientsecret`, `accesstoken` and `creditcardnumber`
    /// are common. `otp` has to begin or end a word, because `footprint` is no secret. `pin` has to be a
    /// whole word or follow a common prefix such as `user`, because `spin` is no secret. `cards_number`
    /// is for lists: `cards[0][number]`.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::form::SecretFields;
    ///
    /// assert!(SecretFields::DEFAULT.contains(&"*passw*"));
    /// ```
    pub const DEFAULT: [&str; 17] = [
        "*passw*",
        "*secret*",
        "*token*",
        "*cvv*",
        "*cvc*",
        "otp*",
        "*otp",
        "pin",
        "*pin_code*",
        "*user_pin",
        "*card_pin",
        "*new_pin",
        "*old_pin",
        "*my_pin",
        "*card_number*",
        "*cards_number*",
        "*api_key*",
    ];

    /// Returns a list of these patterns, which replaces [`DEFAULT`](Self::DEFAULT). With an empty list
    /// only the field of the CSRF token is secret.
    ///
    /// # Errors
    /// If a pattern has no letter or digit, or has other characters than letters, digits, `_`, `-`, `.`
    /// and closed brackets. Its first and last character may be an asterisk.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::form::SecretFields;
    ///
    /// let fields = SecretFields::new(["iban", "*geheim*"])?;
    /// assert!(fields.has("customer[iban]") && fields.has("Geheimzahl"));
    /// assert!(!fields.has("password"));
    /// # Ok::<(), cloakroom::form::SecretFieldError>(())
    /// ```
    pub fn new<P: AsRef<str>>(
        patterns: impl IntoIterator<Item = P>,
    ) -> Result<Self, SecretFieldError> {
        let patterns = patterns.into_iter().map(|pattern| Pattern::parse(pattern.as_ref()));
        patterns.collect::<Result<_, _>>().map(Self)
    }

    /// Returns whether a field with this name is secret.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::form::SecretFields;
    ///
    /// assert!(SecretFields::default().has("user[newPin]"));
    /// assert!(!SecretFields::default().has("shipping"));
    /// ```
    pub fn has(&self, name: &str) -> bool {
        matches!(self.choose(&Rc::default(), name), Choice::Drop)
    }

    /// Removes the secret fields of a form. A pattern may match the names of a field and of the fields
    /// around it together.
    pub(super) fn remove_from(&self, fields: &mut Map<String, Value>) {
        retain(fields, &Rc::default(), &|outer, name| self.choose(outer, name));
    }

    /// Decides on a field. `outer` has the words of the names around it.
    fn choose(&self, outer: &Rc<Words>, name: &str) -> Choice<Rc<Words>> {
        // Shares the words, because a list may have thousands of entries.
        if is_number(name) {
            return Choice::Descend(outer.clone());
        }
        let mut words = Words::clone(outer);
        for part in parts(name).into_iter().filter(|part| !is_number(part)) {
            if part == CSRF_FIELD {
                return Choice::Drop;
            }
            words.extend(part);
        }
        if self.0.iter().any(|pattern| pattern.matches(&words, outer.text.len())) {
            Choice::Drop
        } else {
            Choice::Descend(Rc::new(words))
        }
    }
}

impl Default for SecretFields {
    fn default() -> Self {
        Self(Self::DEFAULT.iter().filter_map(|pattern| Pattern::parse(pattern).ok()).collect())
    }
}

impl Pattern {
    fn parse(pattern: &str) -> Result<Self, SecretFieldError> {
        let refused = || SecretFieldError { pattern: pattern.to_owned() };
        let (text, start) = match pattern.strip_prefix('*') {
            Some(text) => (text, Anchor::Anywhere),
            None => (pattern, Anchor::WordBoundary),
        };
        let (text, end) = match text.strip_suffix('*') {
            Some(text) => (text, Anchor::Anywhere),
            None => (text, Anchor::WordBoundary),
        };
        let plain = &*dotted(text);
        let is_accepted = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        if !plain.contains(char::is_alphanumeric) || !plain.chars().all(is_accepted) {
            return Err(refused());
        }
        let mut words = Words::default();
        words.extend(plain);
        Ok(Self { words, start, end })
    }

    /// Returns whether the pattern occurs in `name` and ends behind its first `outer` bytes. Occurrences
    /// that end earlier were found when the outer names were checked.
    fn matches(&self, name: &Words, outer: usize) -> bool {
        let text = self.words.text.as_bytes();
        let first = (outer + 1).saturating_sub(text.len());
        (first..name.text.len()).any(|start| {
            let end = start + text.len();
            name.text.as_bytes()[start..].starts_with(text)
                && (self.start == Anchor::Anywhere || name.has_boundary(start))
                && (self.end == Anchor::Anywhere || name.has_boundary(end))
                && name.joins(start..end).all(|join| self.words.has_boundary(join - start))
        })
    }
}

/// The words of a name, in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Words {
    /// All words without separators.
    text: String,
    /// The positions in the text where words begin and end, in ascending order.
    boundaries: Vec<usize>,
    /// The positions in the text where two parts of the name meet, at a bracket or a dot, in ascending
    /// order.
    joins: Vec<usize>,
}

impl Words {
    fn has_boundary(&self, at: usize) -> bool {
        self.boundaries.binary_search(&at).is_ok()
    }

    /// Returns the joins inside this range of the text.
    fn joins(&self, range: Range<usize>) -> impl Iterator<Item = usize> {
        let first = self.joins.partition_point(|join| *join <= range.start);
        self.joins[first..].iter().copied().take_while(move |join| *join < range.end)
    }

    /// Adds the words of the next part of a name.
    fn extend(&mut self, name: &str) {
        if !self.text.is_empty() {
            self.joins.push(self.text.len());
        }
        for part in name.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty()) {
            let characters: Vec<char> = part.chars().collect();
            for (index, character) in characters.iter().enumerate() {
                if begins_word(&characters, index) {
                    self.add_boundary();
                }
                self.text.extend(character.to_lowercase());
            }
            self.add_boundary();
        }
    }

    fn add_boundary(&mut self) {
        if !self.has_boundary(self.text.len()) {
            self.boundaries.push(self.text.len());
        }
    }
}

/// Returns whether a word begins at `index`. `newPin`, `PINCode` and `cvv2` have two words each. Behind
/// several capital letters a word may begin before the last capital (`PINCode`) or behind it
/// (`PINcode`), so both positions count.
fn begins_word(characters: &[char], index: usize) -> bool {
    let has = |back: usize, is: fn(char) -> bool| {
        index.checked_sub(back).and_then(|at| characters.get(at)).is_some_and(|c| is(*c))
    };
    let (is_capital, is_small) = (char::is_uppercase, char::is_lowercase);
    let next_is_small = characters.get(index + 1).is_some_and(|c| c.is_lowercase());
    index == 0
        || (has(0, is_capital) && (has(1, is_small) || (has(1, is_capital) && next_is_small)))
        || (has(0, is_small) && has(1, is_capital) && has(2, is_capital))
        || has(0, char::is_numeric) != has(1, char::is_numeric)
}

/// A pattern that [`SecretFields::new`] does not accept.
///
/// The message quotes the pattern and describes the accepted ones.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::form::SecretFields;
///
/// let error = SecretFields::new(["card number"]).unwrap_err().to_string();
/// assert!(error.starts_with("`card number` is no pattern for field names"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFieldError {
    pattern: String,
}

impl fmt::Display for SecretFieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is no pattern for field names: letters and digits are accepted, with `_`, `-`, `.` or \
             brackets between them, such as `card_number` or `card[number]`, and an asterisk before or \
             behind them, such as `*passw*`",
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
    fn default_patterns_match_the_words_of_secret_names() {
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
            "user[_csrf]",
            "pass_word",
            "totp",
            "totp_code",
            "hotp",
            "smsotp",
            "otpcode",
            "OTPcode",
            "otp2",
            "pincode",
            "PINcode",
            "newPINcode",
            "userpin",
            "mypin",
            "cvvcode",
            "cardcvc",
            "creditcardnumber",
            "creditcardNumber",
            "myapikey",
            "cards[0][number]",
            "cards.1.number",
        ];
        let open = [
            "name",
            "shipping",
            "opinion",
            "pinned",
            "spin",
            "spinner",
            "Spinner",
            "SPINner",
            "shipping_address",
            "SHIPping",
            "shipPingTime",
            "group_in",
            "userping",
            "hotplate",
            "potpourri",
            "cards",
            "footprint",
            "option",
            "optional",
            "laptop",
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
            assert!(fields.has(name), "{name}");
        }
        for name in open {
            assert!(!fields.has(name), "{name}");
        }
    }

    #[test]
    fn patterns_cross_words_and_respect_brackets() {
        let fields = SecretFields::default();
        for name in ["bypass_warning", "rcv_code", "creditcard[number]", "my[card][number]"] {
            assert!(fields.has(name), "{name}");
        }
        for name in [
            "compass[width]",
            "compass.width",
            "compass[0][width]",
            "photo[kenya]",
            "rcv[code]",
            "p[in]",
            "card[num][ber]",
        ] {
            assert!(!fields.has(name), "{name}");
        }
    }

    #[test]
    fn a_new_list_replaces_the_default() {
        let fields = SecretFields::new(["iban", "*geheim*"]).unwrap();
        assert!(fields.has("customer[iban]") && fields.has("Geheimzahl") && fields.has("_csrf"));
        assert!(!fields.has("password"));
        assert!(!SecretFields::new::<&str>([]).unwrap().has("password"));
    }

    #[test]
    fn a_pattern_may_be_spelled_like_a_field() {
        let fields = SecretFields::new(["card[number]", "*user[tax]*"]).unwrap();
        for name in ["card[number]", "card.number", "cards[3][card][number]", "user[tax_id]"] {
            assert!(fields.has(name), "{name}");
        }
        assert!(!fields.has("card[holder]") && !fields.has("tax"));
    }

    #[test]
    fn secret_fields_are_found_below_lists_and_indices() {
        for query in
            ["card[0][number]=1&card[1][number]=2", "card[7][number]=1", "user[card.number]=1"]
        {
            let input = FormInput::from_query(query).unwrap();
            let left = serde_json::json!(input.flashable()).to_string();
            assert!(!left.contains("number"), "{left}");
        }
    }

    #[test]
    fn an_asterisk_matches_the_rest_of_a_word() {
        for (pattern, named, others) in [
            ("tax", ["tax", "my_tax"], ["syntax", "taxi"]),
            ("tax*", ["tax", "taxi"], ["syntax", "mytaxi"]),
            ("*tax", ["tax", "syntax"], ["taxi", "mytaxi"]),
            ("*tax*", ["syntax", "mytaxi"], ["ta", "x"]),
        ] {
            let fields = SecretFields::new([pattern]).unwrap();
            assert!(named.iter().all(|name| fields.has(name)), "{pattern}");
            assert!(!others.iter().any(|name| fields.has(name)), "{pattern}");
        }
    }

    #[test]
    fn a_pattern_may_span_the_names_of_nested_fields() {
        let fields = SecretFields::new(["card_number", "*été*"]).unwrap();
        let mut form = serde_json::json!({
            "my": {"card": [{"number": 1, "n": {"umber": 1}, "holder": 2}], "numbers": 3},
            "é": {"té": 1, "t": 2, "été": 3},
        });
        fields.remove_from(form.as_object_mut().unwrap());
        let left = serde_json::json!({
            "my": {"card": [{"n": {"umber": 1}, "holder": 2}], "numbers": 3},
            "é": {"té": 1, "t": 2},
        });
        assert_eq!(form, left);
    }

    /// Uses the largest accepted forms, in the shapes that cost most.
    #[test]
    fn the_work_on_a_form_does_not_multiply_with_its_depth() {
        let dots = "a.".repeat(500);
        let children: Map<_, _> = (0..999).map(|n| (format!("k{n}"), 1.into())).collect();
        let mut deep = serde_json::json!(vec![0; 9_900]);
        (0..60).for_each(|_| deep = serde_json::json!({"aaaaaaaaaaaaaaa": [deep]}));
        let wide = serde_json::json!({ dots: children });
        let started = std::time::Instant::now();
        for mut form in [wide, deep] {
            let before = form.clone();
            SecretFields::default().remove_from(form.as_object_mut().unwrap());
            assert_eq!(form, before);
        }
        assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    }

    #[test]
    fn invalid_patterns_are_refused() {
        for pattern in ["", "_", "*", "**", "*_*", "***", "pass*w", "a b", "card[number"] {
            let error = SecretFields::new([pattern]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{pattern}` is no pattern")), "{error}");
        }
        assert_eq!(SecretFields::default(), SecretFields::new(SecretFields::DEFAULT).unwrap());
    }
}
