//! Operations on several values, and on values that may be missing.

use std::iter;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::session::Session;
use crate::{
    error::{Error, Kind},
    record::change::Change,
    values::{
        Path, encode_object,
        key::{AsKey, Key, KeyOf},
    },
};

impl Session {
    /// Stores each member of `values`, a map or struct, under its name. Values of other names stay. A dot in a
    /// name is an ordinary letter.
    ///
    /// # Errors
    /// When `values` does not serialize to a JSON object. [`Error::is_bad_key`] as [`put`](Self::put).
    /// Nothing is stored then. After the commit, as every change.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.put_all(serde_json::json!({ "name": "virk", "theme": "dark" }))?;
    /// assert_eq!(session.get::<String>("theme")?.as_deref(), Some("dark"));
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn put_all(&self, values: impl Serialize) -> Result<(), Error> {
        self.change_all(puts("put_all", &values)?)
    }

    /// Removes all values and stores each member of `values`, a map or struct, under its name. A dot in a name
    /// is an ordinary letter.
    ///
    /// # Errors
    /// As [`put_all`](Self::put_all).
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.put("step", 3)?;
    /// session.replace(serde_json::json!({ "name": "virk" }))?;
    /// assert!(session.has("name") && session.missing("step"));
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn replace(&self, values: impl Serialize) -> Result<(), Error> {
        let puts = puts("replace", &values)?;
        self.change_all(iter::once(Change::Clear).chain(puts))
    }

    /// Returns the value under `key`. If there is none, or it is `null`, stores `default` and returns it.
    ///
    /// If a concurrent request commits a value first, that value stays, although this request has returned its
    /// default. On the cookie driver the last response wins.
    ///
    /// # Errors
    /// As [`get`](Self::get) and [`put`](Self::put).
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert_eq!(session.get_or_put("theme", "light".to_owned())?, "light");
    /// assert!(session.has("theme"));
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn get_or_put<T: Serialize + DeserializeOwned>(
        &self,
        key: impl KeyOf<T>,
        default: T,
    ) -> Result<T, Error> {
        let path = Path::for_write(&key)?;
        if let Some(value) = self.get(path.key())? {
            return Ok(value);
        }
        self.put_missing(path, &default)?;
        Ok(default)
    }

    /// Returns the value under `key`. If there is none, or it is `null`, computes it, stores it and returns it.
    ///
    /// Use it for what is slow to compute and the same for the whole session, such as the visitor's country.
    /// Concurrent requests may each compute it. The value that is committed first stays. On the cookie driver the
    /// last response wins.
    ///
    /// # Errors
    /// The error of `make`. As [`get`](Self::get) and [`put`](Self::put).
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let session = cloakroom::testing::session();
    /// # async fn country_of(_: &str) -> Result<String, cloakroom::Error> { Ok("fr".to_owned()) }
    /// let address = "192.0.2.7";
    /// let country: String = session.remember("country", async || country_of(address).await).await?;
    /// assert_eq!(session.get("country")?, Some(country));
    /// # Ok::<(), cloakroom::Error>(()) }).unwrap();
    /// ```
    pub async fn remember<T: Serialize + DeserializeOwned, E: From<Error>>(
        &self,
        key: impl KeyOf<T>,
        make: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let path = Path::for_write(&key)?;
        if let Some(value) = self.get(path.key())? {
            return Ok(value);
        }
        let value = make().await?;
        self.put_missing(path, &value)?;
        Ok(value)
    }

    fn put_missing(&self, path: Path<&str>, value: &impl Serialize) -> Result<(), Error> {
        let value = path.encode(value)?;
        self.state().work.change(Change::PutMissing { path: path.to_owned(), value })
    }

    /// Appends `item` to the list under `key`. A missing list starts empty.
    ///
    /// Items that concurrent requests append are all kept, in the order of their commits.
    ///
    /// # Errors
    /// When the value is not a list: it stays. As [`put`](Self::put).
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.push("recent", "/products/7")?;
    /// session.push("recent", "/cart")?;
    /// assert_eq!(session.get::<Vec<String>>("recent")?.unwrap(), ["/products/7", "/cart"]);
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn push<T: Serialize>(&self, key: impl AsKey, item: T) -> Result<(), Error> {
        let path = Path::for_write(&key)?;
        let item = RawValue::from_string(path.encode(&item)?.into())
            .map_err(|cause| Kind::Encode { key: path.text().to_owned(), cause })?;
        self.update(path.key(), move |list: &mut Vec<Box<RawValue>>| list.push(item.clone()))?;
        Ok(())
    }
}

/// Returns the changes that put the members of `values`. Errors name the caller.
fn puts<T: Serialize>(caller: &str, values: &T) -> Result<Vec<Change>, Error> {
    let (values, mut puts) = (encode_object(caller, values)?, Vec::new());
    let mut refused = None;
    values.each(|name, value| match Path::for_write(&Key::literal(name)) {
        Ok(path) => puts.push(Change::Put { path: path.to_owned(), value: value.into() }),
        Err(error) => refused = Some(error),
    });
    match refused {
        Some(error) => Err(error),
        None => Ok(puts),
    }
}
