//! Sessions that no visitor has.

use std::future::ready;

use crate::{
    crypto::token::Token,
    error::{Error, Kind},
    http::fetch_metadata::FetchMetadata,
    session::{Session, Timing, sessions::Sessions},
};

impl Sessions {
    /// Opens a session that no visitor has: the application names it, and all its processes share it. It is
    /// made at the first call, and ends by its timeouts as every session.
    ///
    /// Use it for what belongs to a name and not to a browser, such as the failed sign-ins of an account
    /// from an address. It has no request that commits it at its end, so call
    /// [`commit`](Session::commit), or use calls that commit by themselves, such as
    /// [`increment_now`](Session::increment_now). To empty it, use [`clear`](Session::clear): after
    /// [`destroy`](Session::destroy), changes under this name are dropped for half a minute.
    ///
    /// The token is derived from the newest application key and the name, and is never sent to anyone. So a new
    /// key begins new shared sessions.
    ///
    /// # Errors
    /// When the store fails. [`Error::is_unsupported`] on the cookie driver, because its records are in
    /// cookies.
    ///
    /// # Security
    /// A name that contains what visitors send lets them make records. They end by their timeouts, so give
    /// them short ones.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use std::time::Duration;
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
    /// let failures = sessions.shared("sign-ins of virk from 192.0.2.7").await?;
    /// failures.set_idle_timeout(Duration::from_secs(15 * 60))?;
    /// assert_eq!(failures.increment_now("count").await?, 1);
    /// let same = sessions.shared("sign-ins of virk from 192.0.2.7").await?;
    /// assert_eq!(same.increment_now("count").await?, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn shared(&self, name: &str) -> Result<Session, Error> {
        let store = self.backend().store("open a shared session")?;
        let context = self.context();
        let token = Token::derived(context.shared_key(), name.as_bytes());
        let make = ready(Ok(Some(context.empty_record())));
        let loaded = store.load_or_store(&token, make, context).await?;
        let loaded = loaded.ok_or(Kind::Ended)?;
        Ok(Session::new(
            self.clone(),
            FetchMetadata::IRRELEVANT,
            <_>::default(),
            loaded,
            Timing::InTime,
        ))
    }
}
