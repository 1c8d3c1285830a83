//! Operations on values.

use std::{sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use crate::session::{Session, value_reads::value_reads};
use crate::{
    error::{Error, Kind},
    record::change::{Change, Rerun, closure},
    values::{
        Path, Values, decode,
        key::{AsKey, KeyOf},
        number::Number,
    },
};

value_reads! {
    Session,
    before: "# use cloakroom_core as cloakroom;\n# let session = cloakroom::testing::session();",
    after: "# Ok::<(), cloakroom::Error>(())",
}

impl Session {
    fn read_values<T>(&self, read: impl FnOnce(&Values) -> T) -> T {
        read(self.state().values())
    }

    /// Stores a value under `key` and replaces an earlier one. Accepts any value that serde can write
    /// as JSON.
    ///
    /// If the session has this very value already, nothing changes and nothing is written. A concurrent
    /// request's change of the value then stays.
    ///
    /// If the new value depends on the old one, use [`increment`](Self::increment) or
    /// [`update`](Self::update), because they lose no change of a concurrent request.
    ///
    /// Dots in the key select members of objects: `put("user.theme", "dark")` sets the member `theme`
    /// of `user`, and creates `user` if it is missing. Brackets do the same, as in the names of form fields:
    /// `user[theme]`.
    ///
    /// # Errors
    /// When the value cannot be written as JSON, or a key selects a member of a value that is
    /// not an object. [`Error::is_bad_key`] if the key is longer than 1 KiB or has more than 32
    /// segments. The same limits apply to every method with a key, except that [`has`](Self::has)
    /// returns `false`. [`Error::is_bad_key`] as well for the values that only cloakroom writes:
    /// `_authenticated_at`, `_intended_url` and `_previous_url`. After the commit, as every change.
    ///
    /// # Security
    /// If a part of the key comes from outside, such as an article number from a form, use
    /// [`Key::literal`](crate::Key::literal). In a plain string, a visitor could reach another value
    /// with dots or brackets.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.put("username", "virk")?;
    /// session.put("user.theme", "dark")?;
    /// assert_eq!(session.get::<String>("user[theme]")?.as_deref(), Some("dark"));
    /// assert!(session.put("username.first", "v").is_err());
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn put<T: Serialize>(&self, key: impl KeyOf<T>, value: T) -> Result<(), Error> {
        self.put_at(Path::for_write(&key)?, &value)
    }

    /// Stores a value that only the library writes.
    pub(super) fn put_reserved(&self, name: &str, value: impl Serialize) -> Result<(), Error> {
        self.put_at(Path::of(name)?, &value)
    }

    fn put_at(&self, path: Path<&str>, value: &impl Serialize) -> Result<(), Error> {
        let value = path.encode(value)?;
        self.state().work.change(Change::Put { path: path.to_owned(), value })
    }

    /// Stores a value under `key` that ends after `span`, such as a code that was sent by e-mail. Later requests
    /// find nothing there, as after a [`forget`](Self::forget).
    ///
    /// A later [`put`](Self::put) under the key stays without an end. `increment`, `update` and `push` keep the
    /// end. Of a value in it, such as `user.code` in `user`, the end stays until that value or `user` is
    /// replaced.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use std::time::Duration;
    /// # let session = cloakroom::testing::session();
    /// session.put_for("code", "1234", Duration::from_secs(10 * 60))?;
    /// assert!(session.has("code"));
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn put_for<T: Serialize>(
        &self,
        key: impl KeyOf<T>,
        value: T,
        span: Duration,
    ) -> Result<(), Error> {
        let (path, at) = (Path::for_write(&key)?, self.now() + span);
        let value = path.encode(&value)?;
        self.state().work.change(Change::PutUntil { path: path.to_owned(), value, at })
    }

    /// Adds 1 to the number under `key` and returns the sum as this request sees it. A missing value
    /// counts as 0.
    ///
    /// Use [`increment_now`](Self::increment_now) if the sum decides something, because concurrent
    /// requests may get the same sum here. Their increments still add up on every driver with a store. For
    /// a key with text from outside, such as a counter for each article, use
    /// [`Key::literal`](crate::Key::literal).
    ///
    /// # Errors
    /// When the value is not an integer, or the sum does not fit into 64 bits: the value stays.
    /// After the commit, as every change.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert_eq!(session.increment("visits")?, 1);
    /// assert_eq!(session.increment("visits")?, 2);
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn increment(&self, key: impl AsKey) -> Result<i64, Error> {
        self.increment_by(key, 1)
    }

    /// Adds `by`, an `i64` or an `f64`, to the number under `key` and returns the sum.
    ///
    /// # Errors
    /// As [`increment`](Self::increment). When the stored number is a floating-point number, such as 0.5
    /// or 1.0, and `by` is an `i64`: use an `f64` for such numbers.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert_eq!(session.increment_by("counter", 5)?, 5);
    /// assert_eq!(session.increment_by("balance", 0.5)?, 0.5);
    /// assert_eq!(session.increment("balance").unwrap_err().code(), "not_a_number");
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn increment_by<N: Number>(&self, key: impl AsKey, by: N) -> Result<N, Error> {
        let path = Path::for_write(&key)?;
        self.state().work.increment(path, by)
    }

    /// Subtracts 1 from the number under `key` and returns the difference, as
    /// [`increment`](Self::increment) adds 1.
    ///
    /// # Errors
    /// As [`increment`](Self::increment).
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert_eq!(session.decrement("lives")?, -1);
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn decrement(&self, key: impl AsKey) -> Result<i64, Error> {
        self.increment_by(key, -1)
    }

    /// Subtracts `by`, an `i64` or an `f64`, from the number under `key` and returns the difference.
    ///
    /// # Errors
    /// As [`increment_by`](Self::increment_by).
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.put("counter", 10)?;
    /// assert_eq!(session.decrement_by("counter", 2)?, 8);
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn decrement_by<N: Number>(&self, key: impl AsKey, by: N) -> Result<N, Error> {
        let path = Path::for_write(&key)?;
        let overflow = || Kind::Overflow { key: path.text().to_owned() };
        let negated = by.negated().ok_or_else(overflow)?;
        self.state().work.increment(path, negated)
    }

    /// Removes the value under `key`. If there is none, nothing changes and nothing is written. Use
    /// [`pull`](Self::pull) to get the value as well.
    ///
    /// # Errors
    /// After the commit, as every change. [`Error::is_bad_key`] as [`put`](Self::put).
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.put("username", "virk")?;
    /// session.forget("username")?;
    /// assert!(!session.has("username"));
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn forget(&self, key: impl AsKey) -> Result<(), Error> {
        let path = Path::of(&key)?.to_owned();
        self.state().work.change(Change::Forget { path })
    }

    /// Removes the value under `key` and returns it as this request sees it.
    ///
    /// Use [`take`](Self::take) if only one request may get the value, because concurrent requests may
    /// get the same value here.
    ///
    /// # Errors
    /// When the value is not a `T`: the value stays. After the commit, as every change.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.put("username", "virk")?;
    /// assert_eq!(session.pull::<String>("username")?.as_deref(), Some("virk"));
    /// assert_eq!(session.pull::<String>("username")?, None);
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn pull<T: DeserializeOwned>(&self, key: impl KeyOf<T>) -> Result<Option<T>, Error> {
        let path = Path::of(&key)?;
        loop {
            let text = self.state().values().text(path);
            let value = decode(path.text(), text.as_deref())?;
            let mut state = self.state();
            if state.values().raw(path) == text.as_deref() {
                if text.is_some() {
                    state.work.change(Change::Forget { path: path.to_owned() })?;
                }
                return Ok(value);
            }
        }
    }

    /// Removes all values. Keeps flash, owner, token and deadlines. Use [`destroy`](Self::destroy) to
    /// end the session.
    ///
    /// # Errors
    /// After the commit, as every change.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.put("username", "virk")?;
    /// session.clear()?;
    /// assert!(session.is_empty());
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn clear(&self) -> Result<(), Error> {
        self.state().work.change(Change::Clear)
    }

    /// Changes the value under `key` in place and returns it as this request sees it. A missing value
    /// starts from its default.
    ///
    /// If a concurrent request has changed the record, the commit runs the closure again on the stored
    /// value, so no update is lost. So the closure must depend only on its argument and on captured
    /// values. The returned value does not contain changes of concurrent requests.
    ///
    /// # Errors
    /// When the value is not a `T`: the closure does not run. When the closure changes the session
    /// itself rather than its argument. After the commit, as every change.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// # let article = 7; // from the form
    /// let cart = session.update("cart", move |cart: &mut Vec<u32>| cart.push(article))?;
    /// assert_eq!(cart, [7]);
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn update<T, F>(&self, key: impl KeyOf<T>, change: F) -> Result<T, Error>
    where
        T: Serialize + DeserializeOwned + Default,
        F: Fn(&mut T) + Send + Sync + 'static,
    {
        let path = Path::for_write(&key)?;
        let rerun: Rerun = {
            let path = path.to_owned();
            Arc::new(move |current: Option<&str>| {
                let path = path.borrow();
                let mut value: T = decode(path.text(), current)?.unwrap_or_default();
                change(&mut value);
                path.encode(&value)
            })
        };
        closure::refuse_change()?;
        loop {
            let current = self.state().values().text(path);
            // Without the lock, because the closure may read the session.
            let value = closure::run(|| rerun(current.as_deref()))??;
            let mut state = self.state();
            if state.values().raw(path) == current.as_deref() {
                state.work.update(path.to_owned(), rerun.clone(), value.clone())?;
                drop(state);
                return decode(path.text(), Some(&value)).map(Option::unwrap_or_default);
            }
        }
    }
}
