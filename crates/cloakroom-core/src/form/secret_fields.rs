//! Which fields of a form are secret by their name.

use std::{fmt, ops::Range, rc::Rc};

use serde_json::{Map, Value};

use crate::form::CSRF_FIELD;
use crate::form::field::{Choice, dotted, is_number, parts, retain};

/// The names of fields that are never given back to a page, because what is typed into them is secret:
/// `flash_all` and `flash_except` leave them out, at any depth.
///
/// A name is read as words: it is split at everything that is no letter or digit (`card-number`,
/// `card[number]`), where a capital begins a word (`cardNumber`), behind several capitals (`PINcode`),
/// and between letters and digits (`cvv2`). Upper and lower case are alike, and the numbers of entries
/// do not count (`card[0][number]`). A pattern is compared with the words written together:
/// - `card_number` names the fields in which it begins and ends with a word: `card_number`,
///   `billing[cardNumber]`, `cardnumber`. So `pin` names `pin` and `newPin`, and neither `shipping` nor
///   `opinion`.
/// - `otp*` names those in which it begins with a word (`otpcode`), and `*otp` those in which it ends
///   with one (`totp`).
/// - `*passw*` names the fields in which it stands anywhere: `passwd`, `new_password`, `mypassword2`.
///
/// A word of a pattern does not reach over brackets or dots: `card_number` names `card[number]`, and
/// `*token*` does not name `photo[kenya]`. Within them words are joined, so some innocent fields are
/// left out: `*passw*` names `bypass_warning` too. To show such a field again, name it in
/// [`flash_only`](crate::Session::flash_only), or set a list without the pattern.
///
/// The field of the CSRF token (`_csrf`) is always left out.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::{form::SecretFields, AppKeys, Sessions};
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
struct Pattern {
    words: Words,
    begins: At,
    ends: At,
}

/// Where in a name a pattern may begin or end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Anywhere,
    WordBoundary,
}

impl SecretFields {
    /// The patterns unless set.
    ///
    /// Most stand anywhere, because names such as `clientsecret`, `accesstoken` and `creditcardnumber`
    /// are common. Words such as `footprint` and `spin` are not secret, so `otp` has to begin or end a
    /// word, and `pin` is one, or ends a word with what often stands before it. `cards_number` is for
    /// lists: `cards[0][number]`.
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

    /// Makes these patterns the list, in place of [`DEFAULT`](Self::DEFAULT). An empty list keeps the
    /// field of the CSRF token out and no other.
    ///
    /// # Errors
    /// When a pattern is not letters and digits with `_`, `-`, `.` or brackets between, with or without
    /// an asterisk before or behind.
    pub fn new<P: AsRef<str>>(
        patterns: impl IntoIterator<Item = P>,
    ) -> Result<Self, SecretFieldError> {
        let patterns = patterns.into_iter().map(|pattern| Pattern::parse(pattern.as_ref()));
        patterns.collect::<Result<_, _>>().map(Self)
    }

    /// Returns whether a field of this name is secret.
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

    /// Removes the secret fields of a form. Names above count, because a pattern may reach over
    /// several.
    pub(super) fn remove_from(&self, fields: &mut Map<String, Value>) {
        retain(fields, &Rc::default(), &|above, name| self.choose(above, name));
    }

    /// Decides on a field below `above`.
    fn choose(&self, above: &Rc<Words>, name: &str) -> Choice<Rc<Words>> {
        // Entries of lists come by the thousand.
        if is_number(name) {
            return Choice::Descend(above.clone());
        }
        let mut words = Words::clone(above);
        for part in parts(name).into_iter().filter(|part| !is_number(part)) {
            if part == CSRF_FIELD {
                return Choice::Drop;
            }
            words.extend(part);
        }
        if self.0.iter().any(|pattern| pattern.matches(&words, above.text.len())) {
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
        let (text, begins) = match pattern.strip_prefix('*') {
            Some(text) => (text, At::Anywhere),
            None => (pattern, At::WordBoundary),
        };
        let (text, ends) = match text.strip_suffix('*') {
            Some(text) => (text, At::Anywhere),
            None => (text, At::WordBoundary),
        };
        let plain = &*dotted(text);
        let is_accepted = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        if !plain.contains(char::is_alphanumeric) || !plain.chars().all(is_accepted) {
            return Err(refused());
        }
        let mut words = Words::default();
        words.extend(plain);
        Ok(Self { words, begins, ends })
    }

    /// Returns whether a name has this in it that ends behind its first `above` bytes. Names above have
    /// been asked for what ends before.
    fn matches(&self, name: &Words, above: usize) -> bool {
        let text = self.words.text.as_bytes();
        let first = (above + 1).saturating_sub(text.len());
        (first..name.text.len()).any(|begin| {
            let end = begin + text.len();
            name.text.as_bytes()[begin..].starts_with(text)
                && (self.begins == At::Anywhere || name.has_boundary(begin))
                && (self.ends == At::Anywhere || name.has_boundary(end))
                && name.joins(begin..end).all(|at| self.words.has_boundary(at - begin))
        })
    }
}

/// The words of a name, in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Words {
    /// All words, written together.
    text: String,
    /// Where words begin and end in the text, in order.
    boundaries: Vec<usize>,
    /// Where names within each other meet in the text, in order.
    joins: Vec<usize>,
}

impl Words {
    fn has_boundary(&self, at: usize) -> bool {
        self.boundaries.binary_search(&at).is_ok()
    }

    /// Returns where names within each other meet in this range of the text.
    fn joins(&self, range: Range<usize>) -> impl Iterator<Item = usize> {
        let first = self.joins.partition_point(|join| *join <= range.start);
        self.joins[first..].iter().copied().take_while(move |join| *join < range.end)
    }

    /// Adds the words of a name within.
    fn extend(&mut self, name: &str) {
        if !self.text.is_empty() {
            self.joins.push(self.text.len());
        }
        for part in name.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty()) {
            let characters: Vec<char> = part.chars().collect();
            for (index, character) in characters.iter().enumerate() {
                if begins_word(&characters, index) {
                    self.bound();
                }
                self.text.extend(character.to_lowercase());
            }
            self.bound();
        }
    }

    fn bound(&mut self) {
        if !self.has_boundary(self.text.len()) {
            self.boundaries.push(self.text.len());
        }
    }
}

/// `newPin` and `PINCode` have two words each, and so has `cvv2`. Behind several capitals a word begins
/// as well, for `PINcode`: the last of them may belong to either.
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
             such as `card_number` or `card[number]`, and an asterisk before or behind, such as `*passw*`",
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
    fn words_are_joined_within_a_name_and_not_over_brackets() {
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
    fn an_asterisk_stands_for_the_rest_of_a_word() {
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
    fn a_pattern_reaches_over_names_above_and_begins_in_any_of_them() {
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

    /// The largest forms that are accepted, in the shapes that cost most.
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
    fn a_pattern_that_names_no_field_is_refused() {
        for pattern in ["", "_", "*", "**", "*_*", "***", "pass*w", "a b", "card[number"] {
            let error = SecretFields::new([pattern]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{pattern}` names no field")), "{error}");
        }
        assert_eq!(SecretFields::default(), SecretFields::new(SecretFields::DEFAULT).unwrap());
    }
}
