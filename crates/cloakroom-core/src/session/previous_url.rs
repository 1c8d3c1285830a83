//! The URL of the last page that was shown.

use crate::{
    backend::decide::{Persistence, Worth},
    error::Error,
    http::redirect::local_path,
    session::Session,
    values::reserved::PREVIOUS_URL,
};

/// The length of the longest URL that is kept, in bytes.
const MAX_URL: usize = 2048;

impl Session {
    /// Returns the path and query of the last page that the visitor was shown, if the setting
    /// [`previous_url`](crate::SessionsBuilder::previous_url) is on. [`Back`](crate::Back) leads there.
    ///
    /// # Errors
    /// When the stored URL cannot be read.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert_eq!(session.previous_url()?, None);
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn previous_url(&self) -> Result<Option<String>, Error> {
        let url: Option<String> = self.get(PREVIOUS_URL)?;
        Ok(url.filter(|url| local_path(url).is_some()))
    }

    /// Returns whether `url` is the page that the session remembers.
    #[cfg(any(feature = "actix", feature = "axum"))]
    pub(crate) fn remembers(&self, url: &str) -> bool {
        self.previous_url().is_ok_and(|remembered| remembered.as_deref() == Some(url))
    }

    /// Remembers the page of this request for later ones. Does nothing if the response is not shown as a page,
    /// or if the session is not stored anyway.
    pub(crate) fn keep_url(&self, url: &str) {
        let fetch = self.0.fetch;
        let is_shown = fetch.navigation && !fetch.speculative;
        if is_shown && self.will_be_stored() && url.len() <= MAX_URL && local_path(url).is_some() {
            // Without it, a redirect leads to the `Referer` or to the fallback.
            drop(self.put_reserved(PREVIOUS_URL, url));
        }
    }

    fn will_be_stored(&self) -> bool {
        let state = self.state();
        match state.work.persistence() {
            _ if !state.work.is_open() => false,
            Persistence::Ended => false,
            Persistence::Stored { .. } if !state.work.is_destroyed() => true,
            _ => state.work.worth() == Worth::Record,
        }
    }
}
