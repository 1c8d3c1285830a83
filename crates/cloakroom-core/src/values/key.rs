//! What names a value: strings, keys that know the type of their value, keys without dots.

use std::{fmt, marker::PhantomData};

/// A key with the type of its value, so that the two are written down once.
///
/// Everything that takes a key takes one of these as well.
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
    /// The key `name` of a `T`.
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

/// A key that says how its text is read.
///
/// A plain string is a dotted path: `"user.theme"` names the member `theme` of `user`. Use
/// [`Key::literal`] where the text, or a part of it, comes from outside: from a form, a URL, another
/// service.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::Key;
///
/// # let session = cloakroom::testing::session();
/// # let host = "shop.example.org";
/// session.increment(Key::literal(host))?;
/// assert_eq!(session.get(Key::literal(host))?, Some(1));
/// assert_eq!(session.all()["shop.example.org"], 1, "one member, whatever dots it has");
/// # Ok::<(), cloakroom::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<'k> {
    pub(crate) text: &'k str,
    pub(crate) notation: Notation,
}

/// How the text of a key is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notation {
    /// Dots descend into objects.
    Dotted,
    /// One name, whatever dots it has.
    Literal,
}

impl<'k> Key<'k> {
    /// Names the one member `name` of the session's values, whatever dots it has.
    ///
    /// A literal key may have 1 KiB, as any other. A longer one is an error with the code `bad_key`
    /// from each method that takes it.
    #[must_use]
    pub const fn literal(name: &'k str) -> Self {
        Self { text: name, notation: Notation::Literal }
    }
}

/// What can name a value: a string, a [`TypedKey`], or a [`Key`].
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

/// What can name a value of type `T`: a string or a [`Key`] for any type, a [`TypedKey`] for its own.
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
