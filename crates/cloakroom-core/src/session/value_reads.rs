//! The methods that read values, written once for every type that has values to read.

/// Generates the inherent methods `get`, `get_or`, `has`, `has_any`, `missing`, `all`, `only`, `except` and `is_empty`. They are inherent,
/// because users would have to import a trait.
///
/// The type has a method `read_values`, which runs a closure on its values. `before` and `after` are
/// the lines around each example. In between, `session` is what the values are put with, and the line
/// `reader` makes it what they are read from if that is another type.
macro_rules! value_reads {
    (
        $reader_type:ty,
        before: $before:expr,
        $(reader: $reader:expr,)?
        after: $after:expr $(,)?
    ) => {
        impl $reader_type {
            /// Returns the value under `key`. Returns `None` if there is none, or if it is `null`.
            ///
            /// For a key with text from outside use [`Key::literal`](crate::Key::literal), in which
            /// dots do not descend.
            ///
            /// # Errors
            /// When the value is not a `T`. The error names the key, and the value stays.
            /// [`Error::is_bad_key`](crate::Error::is_bad_key) as
            /// [`Session::put`](crate::Session::put).
            ///
            /// ```
            #[doc = $before]
            /// session.put("visits", 3)?;
            $(#[doc = $reader])?
            /// assert_eq!(session.get::<u32>("visits")?, Some(3));
            /// assert_eq!(session.get::<u32>("nothing")?, None);
            /// assert!(session.get::<bool>("visits").unwrap_err().is_decode());
            #[doc = $after]
            /// ```
            pub fn get<T: serde::de::DeserializeOwned>(
                &self,
                key: impl $crate::values::key::KeyOf<T>,
            ) -> Result<Option<T>, $crate::error::Error> {
                let path = $crate::values::Path::of(&key)?;
                let text = self.read_values(|values| values.text(path));
                // Without a lock, because it runs code of the application.
                $crate::values::decode(path.text(), text.as_deref())
            }

            /// Returns the value under `key`, or `default` if there is none.
            ///
            /// # Errors
            /// As [`get`](Self::get). A value that is not a `T` is an error, because a default in its
            /// place would hide the mistake.
            ///
            /// ```
            #[doc = $before]
            /// session.put("visits", 3)?;
            $(#[doc = $reader])?
            /// assert_eq!(session.get_or("visits", 0)?, 3);
            /// assert_eq!(session.get_or("username", "guest".to_owned())?, "guest");
            #[doc = $after]
            /// ```
            pub fn get_or<T: serde::de::DeserializeOwned>(
                &self,
                key: impl $crate::values::key::KeyOf<T>,
                default: T,
            ) -> Result<T, $crate::error::Error> {
                Ok(self.get(key)?.unwrap_or(default))
            }

            /// Returns all values, as a JSON object.
            ///
            /// ```
            #[doc = $before]
            /// session.put("username", "virk")?;
            $(#[doc = $reader])?
            /// assert_eq!(session.all()["username"], "virk");
            #[doc = $after]
            /// ```
            pub fn all(&self) -> serde_json::Map<String, serde_json::Value> {
                self.read_values($crate::values::Values::all)
            }

            /// Returns `true` if anything is under `key`, be it `false`, an empty list or `null`.
            /// Returns `false` for a key beyond the limits of [`Session::put`](crate::Session::put), because
            /// nothing can be stored under it.
            ///
            /// ```
            #[doc = $before]
            /// session.put("seen", false)?;
            $(#[doc = $reader])?
            /// assert!(session.has("seen") && !session.has("unseen"));
            #[doc = $after]
            /// ```
            pub fn has(&self, key: impl $crate::values::key::AsKey) -> bool {
                let path = $crate::values::Path::of(&key);
                path.is_ok_and(|path| self.read_values(|values| values.raw(path).is_some()))
            }

            /// Returns `true` if anything is under one of `keys`, as [`has`](Self::has).
            ///
            /// ```
            #[doc = $before]
            /// session.put("cart", [7])?;
            $(#[doc = $reader])?
            /// assert!(session.has_any(["wishlist", "cart"]) && !session.has_any(["wishlist"]));
            #[doc = $after]
            /// ```
            pub fn has_any<K: $crate::values::key::AsKey>(
                &self,
                keys: impl IntoIterator<Item = K>,
            ) -> bool {
                keys.into_iter().any(|key| self.has(key))
            }

            /// Returns `true` if nothing is under `key`: the opposite of [`has`](Self::has).
            ///
            /// ```
            #[doc = $before]
            /// session.put("cart", [7])?;
            $(#[doc = $reader])?
            /// assert!(session.missing("wishlist"));
            #[doc = $after]
            /// ```
            pub fn missing(&self, key: impl $crate::values::key::AsKey) -> bool {
                !self.has(key)
            }

            /// Returns the values of these names, as a JSON object. Names that have no value are left out, and a
            /// dot in a name is an ordinary letter.
            ///
            /// ```
            #[doc = $before]
            /// session.put("name", "virk")?;
            /// session.put("step", 2)?;
            $(#[doc = $reader])?
            /// assert_eq!(serde_json::Value::from(session.only(&["step", "none"])), serde_json::json!({ "step": 2 }));
            #[doc = $after]
            /// ```
            pub fn only(&self, names: &[&str]) -> serde_json::Map<String, serde_json::Value> {
                self.read_values(|values| values.all_of(|name| names.contains(&name)))
            }

            /// Returns the values of all other names, as a JSON object. A dot in a name is an ordinary letter.
            ///
            /// ```
            #[doc = $before]
            /// session.put("name", "virk")?;
            /// session.put("step", 2)?;
            $(#[doc = $reader])?
            /// let rest = session.except(&["name"]);
            /// assert!(rest.contains_key("step") && !rest.contains_key("name"));
            #[doc = $after]
            /// ```
            pub fn except(&self, names: &[&str]) -> serde_json::Map<String, serde_json::Value> {
                self.read_values(|values| values.all_of(|name| !names.contains(&name)))
            }

            /// Returns `true` if there are no values. Flash does not count.
            ///
            /// ```
            #[doc = $before]
            /// session.put("username", "virk")?;
            $(#[doc = $reader])?
            /// assert!(!session.is_empty());
            #[doc = $after]
            /// ```
            pub fn is_empty(&self) -> bool {
                self.read_values($crate::values::Values::is_empty)
            }
        }
    };
}

pub(crate) use value_reads;
