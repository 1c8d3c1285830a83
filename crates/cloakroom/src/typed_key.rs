//! Keys that know the type of their value.

use std::{fmt, marker::PhantomData};

/// A key with the type of its value, so that the two are written down once.
///
/// Everything that takes a key takes one of these as well.
///
/// ```
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

/// What can name a value of type `T`: a string for any type, a [`TypedKey`] for its own.
pub trait Key<T> {
    /// The path of the value; dots descend into objects.
    fn path(&self) -> &str;
}

impl<T> Key<T> for TypedKey<T> {
    fn path(&self) -> &str {
        self.name
    }
}

impl<T> Key<T> for &str {
    fn path(&self) -> &str {
        self
    }
}

impl<T> Key<T> for String {
    fn path(&self) -> &str {
        self
    }
}

impl<T> Key<T> for &String {
    fn path(&self) -> &str {
        self
    }
}
