//! The keys of values: strings, typed keys, and literal keys.

use std::{fmt, marker::PhantomData};

/// A key that fixes the type of its value.
///
/// Declare it as a constant for a value that several handlers use. The compiler then infers the type
/// when the value is read, and refuses a value of another type. Every method that takes a key accepts a
/// `TypedKey`. Dots and brackets in its name descend into objects, as in a plain string.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::TypedKey;
///
/// const CART: TypedKey<Vec<u32>> = TypedKey::new("cart");
///
/// # let session = cloakroom::testing::session();
/// session.put(CART, vec![7, 9])?;
/// assert_eq!(session.get(CART)?, Some(vec![7, 9]));
/// # Ok::<(), cloakroom::Error>(())
/// ```
pub struct TypedKey<T> {
    name: &'static str,
    value: PhantomData<fn() -> T>,
}

impl<T> TypedKey<T> {
    /// Returns the key `name` for a value of type `T`.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::TypedKey;
    ///
    /// const THEME: TypedKey<String> = TypedKey::new("user.theme");
    ///
    /// assert_eq!(THEME.as_ref(), "user.theme");
    /// ```
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, value: PhantomData }
    }
}

impl<T> Clone for TypedKey<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for TypedKey<T> {}

impl<T> AsRef<str> for TypedKey<T> {
    fn as_ref(&self) -> &str {
        self.name
    }
}

impl<T> fmt::Debug for TypedKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TypedKey({:?})", self.name)
    }
}

/// A key and how it is read: as a path, or as one literal name.
///
/// A plain string is a path: `"user.theme"` names the member `theme` of `user`, and so does `"user[theme]"`,
/// as forms name their fields. Brackets that enclose no name, or that other text follows, are ordinary
/// letters. Use [`Key::literal`] for text from outside, such as from a form, a URL or another service.
///
/// # Security
/// With a visitor's text in a path, the visitor chooses the value that is read or changed. A
/// literal key always names one top-level member.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::Key;
///
/// # let session = cloakroom::testing::session();
/// # let host = "shop.example.org";
/// session.increment(Key::literal(host))?;
/// assert_eq!(session.get(Key::literal(host))?, Some(1));
/// assert_eq!(session.all()["shop.example.org"], 1, "one member with dots in its name");
/// # Ok::<(), cloakroom::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<'k> {
    pub(crate) text: &'k str,
    pub(crate) notation: Notation,
}

/// The way in which the text of a key is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notation {
    /// Dots descend into objects. Brackets are ordinary letters.
    Dotted,
    /// Names in brackets descend into objects as well, as in `user[address][city]`.
    Bracketed,
    /// The text is one name, and dots and brackets are part of it.
    Literal,
}

impl Notation {
    /// Returns the notation of a plain string. Without a step all notations mean the same, and it is
    /// `Literal`.
    pub(super) fn of(text: &str) -> Self {
        if has_bracketed_names(text) {
            Self::Bracketed
        } else if text.contains('.') {
            Self::Dotted
        } else {
            Self::Literal
        }
    }

    /// Returns whether a name begins after `letter`.
    pub(super) fn separates(self, letter: char) -> bool {
        match self {
            Self::Dotted => letter == '.',
            Self::Bracketed => matches!(letter, '.' | '['),
            Self::Literal => false,
        }
    }
}

/// Returns whether `text` has names in brackets, and each stands behind another name and before the end,
/// a dot or the next bracket.
fn has_bracketed_names(text: &str) -> bool {
    let Some((root, brackets)) = text.split_once('[') else { return false };
    let is_name = |bracket: &str| {
        let Some((name, behind)) = bracket.split_once(']') else { return false };
        let is_separated = behind.is_empty() || behind.starts_with('.');
        !name.is_empty() && is_separated && !behind.contains(']')
    };
    !root.is_empty() && !root.contains(']') && brackets.split('[').all(is_name)
}

impl<'k> Key<'k> {
    /// Returns the key of the top-level member `name`. Dots and brackets in `name` have no special meaning.
    ///
    /// Like every key, it may have 1,024 bytes. Methods that take a longer key return an error for which
    /// [`is_bad_key`](crate::Error::is_bad_key) is true.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::Key;
    ///
    /// # let session = cloakroom::testing::session();
    /// session.put("a.b", 1)?;
    /// assert_eq!(session.get::<u8>(Key::literal("a.b"))?, None);
    /// assert!(session.put(Key::literal(&"k".repeat(1_025)), 1).unwrap_err().is_bad_key());
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    #[must_use]
    pub const fn literal(name: &'k str) -> Self {
        Self { text: name, notation: Notation::Literal }
    }
}

/// A type that can name a value: strings, [`TypedKey`] and [`Key`].
///
/// Every type that implements `AsRef<str>` can name a value, as a path.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::{AsKey, Key};
///
/// enum Setting { Theme }
///
/// impl AsRef<str> for Setting {
///     fn as_ref(&self) -> &str { "settings.theme" }
/// }
/// assert_eq!(Setting::Theme.as_key(), "settings.theme".as_key());
/// assert_ne!(Setting::Theme.as_key(), Key::literal("settings.theme"));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot name a value of a session",
    note = "strings, `TypedKey` and `Key::literal(text)` can"
)]
pub trait AsKey {
    /// Returns the key.
    fn as_key(&self) -> Key<'_>;
}

impl<S: AsRef<str> + ?Sized> AsKey for S {
    fn as_key(&self) -> Key<'_> {
        Key { text: self.as_ref(), notation: Notation::Dotted }
    }
}

impl AsKey for Key<'_> {
    fn as_key(&self) -> Key<'_> {
        *self
    }
}

/// A type that can name a value of type `T`: strings and [`Key`] for every type, a [`TypedKey`] for the
/// type of its value.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::{Error, KeyOf, Session, TypedKey};
///
/// const CART: TypedKey<Vec<u32>> = TypedKey::new("cart");
///
/// fn count(session: &Session, list: impl KeyOf<Vec<u32>>) -> Result<usize, Error> {
///     Ok(session.get(list)?.map_or(0, |entries| entries.len()))
/// }
/// # let session = cloakroom::testing::session();
/// session.put("cart", [7, 9])?;
/// assert_eq!((count(&session, CART)?, count(&session, "wishes")?), (2, 0));
/// # Ok::<(), cloakroom::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot name a value of type `{T}`",
    note = "strings and `Key::literal(text)` can, and a `TypedKey` for its own type"
)]
pub trait KeyOf<T>: AsKey {}

impl<T> KeyOf<T> for TypedKey<T> {}
impl<T> KeyOf<T> for &str {}
impl<T> KeyOf<T> for String {}
impl<T> KeyOf<T> for &String {}
impl<T> KeyOf<T> for Key<'_> {}
